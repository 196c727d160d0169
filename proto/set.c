/*
 * set.c - one field by path, for --set.  Walks the path by the descriptors, makes the messages that
 * are missing, and reads the value with the parser of files, so that both mean the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/parse.h"
#include "proto/text.h"

struct step { /* one component of the path */
    const ProtobufCFieldDescriptor *f;
    bool alias, has_index;
    size_t index;
};

/* Reads "name" or "name[3]" at *p, which ends at '.' or the end of the path. */
static int read_step(const char **p, const ProtobufCMessage *msg, struct ot_loc loc, struct step *s,
                     struct ot_err *err)
{
    size_t n = strcspn(*p, ".["), count;
    const char *q = *p + n;

    *s = (struct step){ 0 };
    if (!n)
        return ot_fail_at(err, loc, OT_EPARSE,
                          "expected the name of a field in the path, got \"%s\"", *p);
    s->f = ot_find_field(msg->descriptor, *p, n, loc, &s->alias, err);
    if (!s->f)
        return err->code;
    count = ot_field_count(msg, s->f);
    if (*q == '[') {
        size_t digits = strspn(q + 1, "0123456789");

        if (!digits || digits > 9 || q[1 + digits] != ']' ||
            (q[2 + digits] && q[2 + digits] != '.'))
            return ot_fail_at(err, loc, OT_EPARSE, "expected an index [number], got \"%s\"", q);
        if (s->f->label != PROTOBUF_C_LABEL_REPEATED)
            return ot_fail_at(err, loc, OT_EPARSE, "field \"%.*s\" is not repeated, got index %s",
                              ot_field_name_len(s->f), s->f->name, q);
        s->has_index = true;
        s->index = (size_t)strtoul(q + 1, NULL, 10);
        if (s->index > count)
            return ot_fail_at(err, loc, OT_EPARSE, "index of \"%s\" must be at most %zu, got %zu",
                              s->f->name, count, s->index);
        q += digits + 2;
    }
    *p = *q == '.' ? q + 1 : q;
    if (*q == '.' && !**p)
        return ot_fail_at(err, loc, OT_EPARSE,
                          "expected the name of a field at the end of the path, got \"%s\"", q);
    return 0;
}

/* The message that step s names inside msg, made when missing; NULL with the error. */
static ProtobufCMessage *enter(struct ot_doc *doc, ProtobufCMessage *msg, const struct step *s,
                               struct ot_loc loc, struct ot_err *err)
{
    union ot_value v = { 0 };

    if (s->f->type != PROTOBUF_C_TYPE_MESSAGE) {
        (void)ot_fail_at(err, loc, OT_EPARSE,
                         "field \"%.*s\" of \"%s\" has no fields of its own, got "
                         "a longer path",
                         ot_field_name_len(s->f), s->f->name, msg->descriptor->name);
        return NULL;
    }
    if (s->f->label == PROTOBUF_C_LABEL_REPEATED && !s->has_index) {
        (void)ot_fail_at(err, loc, OT_EPARSE,
                         "field \"%s\" is repeated and needs an index as in "
                         "%s[0], got none",
                         s->f->name, s->f->name);
        return NULL;
    }
    if (s->index < ot_field_count(msg, s->f))
        return ot_field_get(msg, s->f, s->index).msg;
    v.msg = ot_doc_message(doc, s->f->descriptor, loc, err);
    if (!v.msg || ot_doc_mark(doc, msg, s->f, s->index, loc, err) < 0 ||
        ot_field_put(doc, msg, s->f, s->index, &v, err) < 0)
        return NULL;
    return v.msg;
}

/* A string without quotes: the value as it stands. */
static int put_bare(struct ot_doc *doc, ProtobufCMessage *msg, const struct step *s,
                    const char *value, struct ot_loc loc, struct ot_err *err)
{
    size_t n = strlen(value);
    char *copy = ot_doc_alloc(doc, n + 1, err);
    union ot_value v = { 0 };

    if (!copy)
        return err->code;
    memcpy(copy, value, n);
    if (s->f->type == PROTOBUF_C_TYPE_STRING)
        v.str = copy;
    else
        v.bytes = (ProtobufCBinaryData){ n, (uint8_t *)copy };
    if (ot_doc_mark(doc, msg, s->f, s->index, loc, err) < 0)
        return err->code;
    return ot_field_put(doc, msg, s->f, s->index, &v, err);
}

static int put_value(struct ot_doc *doc, ProtobufCMessage *msg, const struct step *s,
                     const char *value, struct ot_loc loc, struct ot_err *err)
{
    bool text = s->f->type == PROTOBUF_C_TYPE_STRING || s->f->type == PROTOBUF_C_TYPE_BYTES;
    bool list = s->f->label == PROTOBUF_C_LABEL_REPEATED && !s->has_index;
    struct ot_parser ps = { .doc = doc };
    char show[OT_TOK_SHOW];

    if (list)
        ot_field_clear(doc, msg, s->f);
    if (text && *value != '"' && *value != '\'' && !(list && *value == '['))
        return put_bare(doc, msg, s, value, loc, err);
    if (s->has_index && *value == '[')
        return ot_fail_at(err, loc, OT_EPARSE, "field \"%s\" with an index takes one value, got %s",
                          s->f->name, value);
    if (ot_lex_init(&ps.lx, loc.file, 0, value, strlen(value), err) < 0 ||
        ot_parse_value(&ps, msg, s->f, s->alias, s->index, loc, err) < 0)
        return err->code;
    if (ps.lx.tok.kind != OT_TOK_END)
        return ot_fail_at(err, loc, OT_EPARSE, "expected nothing after the value, got %s",
                          ot_tok_show(&ps.lx.tok, show));
    return 0;
}

int ot_text_set(struct ot_doc *doc, const char *path, const char *value, struct ot_err *err)
{
    size_t n = strlen(path) + strlen(value) + sizeof "--set =";
    char *label = ot_doc_alloc(doc, n, err);
    struct ot_loc loc = { label, 0, 0 };
    ProtobufCMessage *msg = doc->root;
    const char *p = path;
    struct step s;

    if (!label)
        return err->code;
    (void)snprintf(label, n, "--set %s=%s", path, value);
    for (;;) {
        if (read_step(&p, msg, loc, &s, err) < 0)
            return err->code;
        if (!*p)
            return put_value(doc, msg, &s, value, loc, err);
        msg = enter(doc, msg, &s, loc, err);
        if (!msg)
            return err->code;
    }
}
