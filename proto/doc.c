/*
 * doc.c - memory and places of a document, and the one place that knows how protobuf-c lays a
 * field out in a struct: value at `offset`, has_ flag or count at `quantifier_offset`.
 */
#include "proto/doc.h"

#include <string.h>

#include "base/mem.h"

enum { BLOCK = 1 << 14, ROUND = 16 };

struct ot_block {
    struct ot_block *next;
    size_t used, cap; /* of the bytes after the header */
};

/* Header size that keeps the bytes after it aligned. */
static size_t head(void)
{
    return (sizeof(struct ot_block) + ROUND - 1) / ROUND * ROUND;
}

void *ot_doc_alloc(struct ot_doc *doc, size_t n, struct ot_err *err)
{
    struct ot_block *b = doc->blocks;
    char *p;

    if (n > SIZE_MAX / 4) {
        (void)ot_fail(err, OT_ENOMEM, "out of memory: %zu bytes", n);
        return NULL;
    }
    n = (n + ROUND - 1) / ROUND * ROUND;
    if (!b || b->cap - b->used < n) {
        size_t cap = n > BLOCK ? n : BLOCK;

        b = ot_alloc(head() + cap, 1, err);
        if (!b)
            return NULL;
        b->cap = cap;
        b->next = doc->blocks;
        doc->blocks = b;
    }
    p = (char *)b + head() + b->used;
    b->used += n;
    return p;
}

struct ot_doc *ot_doc_new(const char *file, struct ot_err *err)
{
    struct ot_doc *doc = ot_alloc(1, sizeof *doc, err);

    if (!doc)
        return NULL;
    doc->file = ot_strdup(file, err);
    if (!doc->file) {
        ot_free(doc);
        return NULL;
    }
    return doc;
}

void ot_doc_free(struct ot_doc *doc)
{
    if (!doc)
        return;
    while (doc->blocks) {
        struct ot_block *next = doc->blocks->next;

        ot_free(doc->blocks);
        doc->blocks = next;
    }
    ot_map_release(&doc->places);
    ot_free(doc->file);
    ot_free(doc);
}

ProtobufCMessage *ot_doc_root(const struct ot_doc *doc)
{
    return doc->root;
}

const char *ot_doc_file(const struct ot_doc *doc)
{
    return doc->file;
}

ProtobufCMessage *ot_doc_message(struct ot_doc *doc, const ProtobufCMessageDescriptor *type,
                                 struct ot_loc loc, struct ot_err *err)
{
    struct ot_place *pl = ot_doc_alloc(doc, sizeof *pl, err);
    ProtobufCMessage *msg = pl ? ot_doc_alloc(doc, type->sizeof_message, err) : NULL;

    if (!msg)
        return NULL;
    pl->loc = loc;
    pl->type = type;
    protobuf_c_message_init(type, msg);
    if (ot_map_set(&doc->places, (uint64_t)(uintptr_t)msg, (uint64_t)(uintptr_t)pl, err) < 0)
        return NULL;
    return msg;
}

struct ot_place *ot_doc_place(const struct ot_doc *doc, const void *msg)
{
    uint64_t at;

    if (!doc || !ot_map_get(&doc->places, (uint64_t)(uintptr_t)msg, &at))
        return NULL;
    return (struct ot_place *)(uintptr_t)at;
}

/* An array that grows by doubling is full when its count is 0 or a power of two from 4 on; so no
 * capacity has to be remembered. */
static bool is_full(size_t n)
{
    return n == 0 || (n >= 4 && (n & (n - 1)) == 0);
}

static void *grown(struct ot_doc *doc, const void *old, size_t n, size_t size, struct ot_err *err)
{
    void *p = ot_doc_alloc(doc, (n ? 2 * n : 4) * size, err);

    if (p && n)
        memcpy(p, old, n * size);
    return p;
}

int ot_doc_mark(struct ot_doc *doc, const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                size_t index, struct ot_loc loc, struct ot_err *err)
{
    struct ot_place *pl = ot_doc_place(doc, msg);
    struct ot_spot spot = { loc, (uint32_t)(f - pl->type->fields), (uint32_t)index };

    if (index < ot_field_count(msg, f)) /* an older record can only be there for an older value */
        for (size_t i = 0; i < pl->n; i++)
            if (pl->spots[i].field == spot.field && pl->spots[i].index == spot.index) {
                pl->spots[i] = spot;
                return 0;
            }
    if (is_full(pl->n)) {
        struct ot_spot *more = grown(doc, pl->spots, pl->n, sizeof spot, err);

        if (!more)
            return err->code;
        pl->spots = more;
    }
    pl->spots[pl->n++] = spot;
    return 0;
}

int ot_field_name_len(const ProtobufCFieldDescriptor *f)
{
    size_t n = strlen(f->name);

    return (int)(n > 1 && f->name[n - 1] == '_' ? n - 1 : n);
}

static bool has_name(const ProtobufCFieldDescriptor *f, const char *name)
{
    size_t n = (size_t)ot_field_name_len(f);

    return strcmp(f->name, name) == 0 || (strncmp(f->name, name, n) == 0 && !name[n]);
}

const struct ot_spot *ot_place_find(const struct ot_place *pl, const char *field, size_t index)
{
    for (size_t i = 0; i < pl->n; i++)
        if (pl->spots[i].index == index && has_name(&pl->type->fields[pl->spots[i].field], field))
            return &pl->spots[i];
    return NULL;
}

struct ot_loc ot_doc_loc_at(const struct ot_doc *doc, const void *msg, const char *field,
                            size_t index)
{
    const struct ot_place *pl = ot_doc_place(doc, msg);
    const struct ot_spot *spot = pl && field ? ot_place_find(pl, field, index) : NULL;

    if (spot)
        return spot->loc;
    return pl ? pl->loc : (struct ot_loc){ 0 };
}

struct ot_loc ot_doc_loc(const struct ot_doc *doc, const void *msg, const char *field)
{
    return ot_doc_loc_at(doc, msg, field, 0);
}

size_t ot_field_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(int32_t);
    }
}

static void *at(const ProtobufCMessage *msg, size_t offset)
{
    return (char *)(uintptr_t)msg + offset;
}

static void *pointer_at(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    void *p;

    memcpy(&p, at(msg, f->offset), sizeof p);
    return p;
}

size_t ot_field_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    protobuf_c_boolean has;
    size_t n;

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&n, at(msg, f->quantifier_offset), sizeof n);
        return n;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return pointer_at(msg, f) && pointer_at(msg, f) != f->default_value;
    if (f->label != PROTOBUF_C_LABEL_OPTIONAL)
        return 1;
    memcpy(&has, at(msg, f->quantifier_offset), sizeof has);
    return has != 0;
}

union ot_value ot_field_get(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                            size_t index)
{
    const char *p = at(msg, f->offset);
    union ot_value v = { 0 };

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        p = (const char *)pointer_at(msg, f) + index * ot_field_size(f);
    memcpy(&v, p, ot_field_size(f));
    return v;
}

static int put_repeated(struct ot_doc *doc, ProtobufCMessage *msg,
                        const ProtobufCFieldDescriptor *f, size_t index, const union ot_value *v,
                        struct ot_err *err)
{
    size_t n = ot_field_count(msg, f), size = ot_field_size(f);
    char *array = pointer_at(msg, f);

    if (index == n) {
        if (is_full(n)) {
            array = grown(doc, array, n, size, err);
            if (!array)
                return err->code;
            memcpy(at(msg, f->offset), &array, sizeof array);
        }
        n++;
        memcpy(at(msg, f->quantifier_offset), &n, sizeof n);
    }
    memcpy(array + index * size, v, size);
    return 0;
}

int ot_field_put(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                 size_t index, const union ot_value *v, struct ot_err *err)
{
    const protobuf_c_boolean has = 1;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return put_repeated(doc, msg, f, index, v, err);
    memcpy(at(msg, f->offset), v, ot_field_size(f));
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
        f->type != PROTOBUF_C_TYPE_MESSAGE)
        memcpy(at(msg, f->quantifier_offset), &has, sizeof has);
    return 0;
}

static void reset(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    const size_t none = 0;
    const protobuf_c_boolean no = 0;

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        /* A smaller count never promises more room than there is (is_full). */
        memcpy(at(msg, f->quantifier_offset), &none, sizeof none);
        return;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE) {
        memcpy(at(msg, f->offset), &f->default_value, sizeof f->default_value);
        return;
    }
    if (f->default_value)
        memcpy(at(msg, f->offset), f->default_value, ot_field_size(f));
    else
        memset(at(msg, f->offset), 0, ot_field_size(f));
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
        memcpy(at(msg, f->quantifier_offset), &no, sizeof no);
}

void ot_field_clear(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    struct ot_place *pl = ot_doc_place(doc, msg);
    size_t kept = 0;

    reset(msg, f);
    for (size_t i = 0; i < pl->n; i++)
        if (pl->spots[i].field != (uint32_t)(f - pl->type->fields))
            pl->spots[kept++] = pl->spots[i];
    pl->n = kept;
}

const ProtobufCFieldDescriptor *ot_field_named(const ProtobufCMessage *msg, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
        msg->descriptor, name);

    OT_BUG_IF(!f);
    return f;
}

int ot_field_add(struct ot_doc *doc, ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
                 const union ot_value *v, struct ot_loc loc, struct ot_err *err)
{
    size_t index = f->label == PROTOBUF_C_LABEL_REPEATED ? ot_field_count(msg, f) : 0;

    if (ot_doc_mark(doc, msg, f, index, loc, err) < 0)
        return err->code;
    return ot_field_put(doc, msg, f, index, v, err);
}

int ot_field_move(struct ot_doc *doc, ProtobufCMessage *from, const ProtobufCFieldDescriptor *f,
                  ProtobufCMessage *to, const ProtobufCFieldDescriptor *g, struct ot_err *err)
{
    const struct ot_place *pl = ot_doc_place(doc, from);
    uint32_t field = (uint32_t)(f - pl->type->fields);
    size_t n = ot_field_count(from, f), k = 0;

    for (size_t i = 0; i < n; i++) {
        union ot_value v = ot_field_get(from, f, i);
        struct ot_loc loc = pl->loc;

        for (; k < pl->n; k++) /* spots are in the order of the values: one pass for all */
            if (pl->spots[k].field == field && pl->spots[k].index == i) {
                loc = pl->spots[k].loc;
                break;
            }
        if (ot_field_add(doc, to, g, &v, loc, err) < 0)
            return err->code;
    }
    ot_field_clear(doc, from, f);
    return 0;
}
