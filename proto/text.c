/*
 * text.c - the grammar of messages and fields, by recursive descent.  Decides which field a name
 * means, that a field is given once, and what is said about braces that do not match.
 */
#include "proto/text.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "proto/parse.h"

/* How many edits a typo may be away and still be the same word; that half of a layer's fields end
 * with _param makes none of them nearer. */
static int near_enough(const char *name)
{
    size_t n = strlen(name);

    if (n > 6 && !strcmp(name + n - 6, "_param"))
        n -= 6;
    return n < 5 ? 1 : n < 12 ? 2 : 3;
}

static const ProtobufCFieldDescriptor *nearest(const ProtobufCMessageDescriptor *type,
                                               const char *name)
{
    int best = near_enough(name) + 1;
    const ProtobufCFieldDescriptor *found = NULL;

    for (unsigned i = 0; i < type->n_fields; i++) {
        int d = ot_edit_distance(name, type->fields[i].name);

        if (d < best) {
            best = d;
            found = &type->fields[i];
        }
    }
    return found;
}

const ProtobufCFieldDescriptor *ot_find_field(const ProtobufCMessageDescriptor *type,
                                              const char *name, size_t n, struct ot_loc loc,
                                              bool *alias, struct ot_err *err)
{
    const ProtobufCFieldDescriptor *f = NULL, *guess;
    char key[64];

    if (n < sizeof key) {
        memcpy(key, name, n);
        key[n] = '\0';
        *alias = strcmp(type->name, "caffe.PoolingParameter") == 0 &&
                 strcmp(key, "round_mode") == 0;
        f = protobuf_c_message_descriptor_get_field_by_name(type, *alias ? "ceil_mode" : key);
        if (!f && n + 1 < sizeof key) { /* `base_` is written base (proto/layer_params.proto) */
            memcpy(key + n, "_", 2);
            f = protobuf_c_message_descriptor_get_field_by_name(type, key);
            key[n] = '\0';
        }
    }
    if (f)
        return f;
    guess = n < sizeof key ? nearest(type, key) : NULL;
    (void)ot_fail_at(err, loc, OT_EPARSE, "message type \"%s\" has no field named \"%.*s\"%s%.*s%s",
                     type->name, (int)(n < 80 ? n : 80), name, guess ? "; did you mean \"" : "",
                     guess ? ot_field_name_len(guess) : 0, guess ? guess->name : "",
                     guess ? "\"?" : "");
    return NULL;
}

static int parse_fields(struct ot_parser *ps, ProtobufCMessage *msg, char close,
                        struct ot_err *err);

static int unexpected(const struct ot_parser *ps, const char *want, struct ot_err *err)
{
    char show[OT_TOK_SHOW];

    return ot_fail_at(err, ps->lx.tok.loc, OT_EPARSE, "expected %s, got %s", want,
                      ot_tok_show(&ps->lx.tok, show));
}

/* The bracket that ends the current message is wrong: says where the message was opened. */
static int unclosed(const struct ot_parser *ps, const ProtobufCFieldDescriptor *f, char close,
                    struct ot_loc open, struct ot_err *err)
{
    char show[OT_TOK_SHOW];

    return ot_fail_at(err, ps->lx.tok.loc, OT_EPARSE,
                      "expected '%c' to close \"%s\" opened at line %d, column %d, got %s", close,
                      f->name, open.line, open.col, ot_tok_show(&ps->lx.tok, show));
}

static int parse_message(struct ot_parser *ps, const ProtobufCFieldDescriptor *f, struct ot_loc loc,
                         ProtobufCMessage *msg, struct ot_err *err)
{
    char close = ot_tok_is(&ps->lx.tok, '<') ? '>' : '}', show[OT_TOK_SHOW];
    struct ot_loc open = ps->lx.tok.loc;

    if (!ot_tok_is(&ps->lx.tok, '{') && close == '}')
        return ot_fail_at(err, loc, OT_EPARSE, "field \"%s\" (message %s) must be { ... }, got %s",
                          f->name, msg->descriptor->name, ot_tok_show(&ps->lx.tok, show));
    if (ps->depth >= OT_TEXT_DEPTH)
        return ot_fail_at(err, loc, OT_EPARSE, "\"%s\" is nested deeper than %d messages, got %d",
                          f->name, OT_TEXT_DEPTH, ps->depth + 1);
    ps->depth++;
    if (ot_lex_next(&ps->lx, err) < 0 || parse_fields(ps, msg, close, err) < 0)
        return err->code;
    ps->depth--;
    if (!ot_tok_is(&ps->lx.tok, close))
        return unclosed(ps, f, close, open, err);
    return ot_lex_next(&ps->lx, err);
}

static int parse_one(struct ot_parser *ps, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                     bool alias, size_t index, struct ot_loc loc, struct ot_err *err)
{
    union ot_value v = { 0 };
    int rc;

    if (index >= UINT32_MAX)
        return ot_fail_at(err, loc, OT_EPARSE, "field \"%s\" has too many values, got %zu", f->name,
                          index);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (++ps->messages > OT_TEXT_MESSAGES)
            return ot_fail_at(err, loc, OT_EPARSE, "text has more than %d messages, got \"%s\"",
                              OT_TEXT_MESSAGES, f->name);
        v.msg = ot_doc_message(ps->doc, f->descriptor, loc, err);
        rc = v.msg ? parse_message(ps, f, loc, v.msg, err) : err->code;
    } else {
        rc = alias ? ot_parse_round_mode(ps, loc, &v, err) : ot_parse_scalar(ps, f, loc, &v, err);
    }
    if (rc == 0)
        rc = ot_doc_mark(ps->doc, msg, f, index, loc, err);
    return rc == 0 ? ot_field_put(ps->doc, msg, f, index, &v, err) : rc;
}

int ot_parse_value(struct ot_parser *ps, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                   bool alias, size_t index, struct ot_loc loc, struct ot_err *err)
{
    if (!ot_tok_is(&ps->lx.tok, '['))
        return parse_one(ps, msg, f, alias, index, loc, err);
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return ot_fail_at(err, loc, OT_EPARSE, "field \"%.*s\" takes one value, got a list",
                          ot_field_name_len(f), f->name);
    if (ot_lex_next(&ps->lx, err) < 0)
        return err->code;
    if (ot_tok_is(&ps->lx.tok, ']'))
        return ot_lex_next(&ps->lx, err);
    for (;; index++) {
        struct ot_loc own = loc.line ? ps->lx.tok.loc : loc;

        if (parse_one(ps, msg, f, alias, index, own, err) < 0)
            return err->code;
        if (ot_tok_is(&ps->lx.tok, ']'))
            return ot_lex_next(&ps->lx, err);
        if (!ot_tok_is(&ps->lx.tok, ','))
            return unexpected(ps, "',' or ']' in a list", err);
        if (ot_lex_next(&ps->lx, err) < 0)
            return err->code;
    }
}

static int given_twice(const struct ot_parser *ps, const ProtobufCMessage *msg,
                       const ProtobufCFieldDescriptor *f, const struct ot_tok *name,
                       struct ot_err *err)
{
    struct ot_loc first = ot_doc_loc(ps->doc, msg, f->name);
    bool pooling = strcmp(msg->descriptor->name, "caffe.PoolingParameter") == 0;

    return ot_fail_at(err, name->loc, OT_EPARSE,
                      "field \"%.*s\" is given twice%s; first at line %d, column %d", (int)name->n,
                      name->s,
                      pooling && strcmp(f->name, "ceil_mode") == 0
                          ? " (round_mode and ceil_mode are the same field)"
                          : "",
                      first.line, first.col);
}

static int parse_field(struct ot_parser *ps, ProtobufCMessage *msg, struct ot_err *err)
{
    struct ot_tok name = ps->lx.tok;
    const ProtobufCFieldDescriptor *f;
    bool alias = false, colon;
    size_t count;

    if (name.kind != OT_TOK_NAME)
        return unexpected(ps, "the name of a field", err);
    f = ot_find_field(msg->descriptor, name.s, name.n, name.loc, &alias, err);
    if (!f || ot_lex_next(&ps->lx, err) < 0)
        return err->code;
    count = ot_field_count(msg, f);
    if (count && f->label != PROTOBUF_C_LABEL_REPEATED)
        return given_twice(ps, msg, f, &name, err);
    colon = ot_tok_is(&ps->lx.tok, ':');
    if (colon && ot_lex_next(&ps->lx, err) < 0)
        return err->code;
    if (!colon && f->type != PROTOBUF_C_TYPE_MESSAGE) {
        char want[128];

        (void)snprintf(want, sizeof want, "':' after field \"%.*s\"", ot_field_name_len(f),
                       f->name);
        return unexpected(ps, want, err);
    }
    if (ot_parse_value(ps, msg, f, alias, f->label == PROTOBUF_C_LABEL_REPEATED ? count : 0,
                       name.loc, err) < 0)
        return err->code;
    if (ot_tok_is(&ps->lx.tok, ',') || ot_tok_is(&ps->lx.tok, ';'))
        return ot_lex_next(&ps->lx, err);
    return 0;
}

/* Fields up to a closing bracket of any kind or the end of the text; the caller judges which. */
static int parse_fields(struct ot_parser *ps, ProtobufCMessage *msg, char close, struct ot_err *err)
{
    while (ps->lx.tok.kind != OT_TOK_END && !ot_tok_is(&ps->lx.tok, '}') &&
           !ot_tok_is(&ps->lx.tok, '>'))
        if (parse_field(ps, msg, err) < 0)
            return err->code;
    if (!close && ps->lx.tok.kind != OT_TOK_END)
        return unexpected(ps, "a field (no message is open)", err);
    return 0;
}

struct ot_doc *ot_text_parse(const ProtobufCMessageDescriptor *type, const char *file,
                             const char *text, size_t n, struct ot_err *err)
{
    struct ot_parser ps = { .doc = ot_doc_new(file, err) };
    struct ot_loc top = { 0 };

    if (!ps.doc)
        return NULL;
    top = (struct ot_loc){ ps.doc->file, 1, 1 };
    if (n > OT_TEXT_BYTES) {
        (void)ot_fail_at(err, top, OT_EPARSE, "text is longer than %d bytes, got %zu",
                         OT_TEXT_BYTES, n);
        goto fail;
    }
    ps.doc->root = ot_doc_message(ps.doc, type, top, err);
    if (ps.doc->root && ot_lex_init(&ps.lx, ps.doc->file, 1, text, n, err) == 0 &&
        parse_fields(&ps, ps.doc->root, 0, err) == 0)
        return ps.doc;
fail:
    ot_doc_free(ps.doc);
    return NULL;
}

struct ot_doc *ot_text_parse_file(const ProtobufCMessageDescriptor *type, const char *path,
                                  struct ot_err *err)
{
    struct ot_doc *doc;
    size_t n = 0;
    char *text = ot_read_file(path, OT_TEXT_BYTES, &n, err);

    if (!text)
        return NULL;
    doc = ot_text_parse(type, path, text, n, err);
    ot_free(text);
    return doc;
}
