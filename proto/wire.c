/*
 * wire.c - decides what counts as damage: a tag, a length or a group that does not end inside its
 * message, and a blob whose dims and values disagree.  Unknown fields and fields of another wire
 * type than expected are stepped over, as protobuf does.
 */
#include "proto/wire.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

/* Field numbers of caffe.proto. */
enum {
    NET_LAYERS_V1 = 2,
    NET_LAYER = 100,
    V1_LAYER_V0 = 1,
    BLOB_NUM = 1,
    BLOB_WIDTH = 4,
    BLOB_DATA = 5,
    BLOB_SHAPE = 7,
    BLOB_DOUBLE_DATA = 8,
    SHAPE_DIM = 1
};

/* Where a layer of each age has what is read; type 0: not as a string of today. */
static const struct layout {
    uint32_t name, type, blobs;
} today = { 1, 2, 7 }, v1 = { 4, 0, 6 }, v0 = { 1, 0, 50 };

enum wire_type { VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 };

struct span {
    const uint8_t *p, *end, *base; /* base: of the whole file, for offsets in messages */
};

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;   /* VARINT */
    struct span body; /* FIXED32, FIXED64, BYTES */
};

static int damaged(const struct span *s, const char *what, uint64_t got, struct ot_err *err)
{
    return ot_fail(err, OT_EDATA, "%s at byte %zu of the file, got %" PRIu64, what,
                   (size_t)(s->p - s->base), got);
}

static int read_varint(struct span *s, uint64_t *value, struct ot_err *err)
{
    const uint8_t *p = s->p;

    *value = 0;
    for (int shift = 0; shift < 64 && p < s->end; shift += 7) {
        *value |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80)) {
            s->p = p;
            return 0;
        }
    }
    return damaged(s, "number does not end", *value, err);
}

static int read_body(struct span *s, uint64_t n, struct span *body, struct ot_err *err)
{
    if (n > (uint64_t)(s->end - s->p))
        return damaged(s, "field is longer than its message", n, err);
    *body = (struct span){ s->p, s->p + n, s->base };
    s->p += n;
    return 0;
}

/* One field; of a group only its start or end. */
static int read_raw(struct span *s, struct field *f, struct ot_err *err)
{
    uint64_t tag, n = 8;

    *f = (struct field){ 0 };
    if (read_varint(s, &tag, err) < 0)
        return err->code;
    f->number = (uint32_t)(tag >> 3);
    f->type = (enum wire_type)(tag & 7);
    if (tag >> 32 || !f->number)
        return damaged(s, "impossible field tag before", tag, err);
    switch (f->type) {
    case VARINT:
        return read_varint(s, &f->value, err);
    case GROUP:
    case END_GROUP:
        return 0;
    case BYTES:
        if (read_varint(s, &n, err) < 0)
            return err->code;
        return read_body(s, n, &f->body, err);
    case FIXED32:
        n = 4;
        return read_body(s, n, &f->body, err);
    case FIXED64:
        return read_body(s, n, &f->body, err);
    }
    return damaged(s, "impossible wire type before", tag & 7, err);
}

/* One field; groups (a dead feature, but legal) are stepped over whole, without recursion. */
static int next_field(struct span *s, struct field *f, struct ot_err *err)
{
    struct field inner;
    size_t depth;

    if (read_raw(s, f, err) < 0)
        return err->code;
    if (f->type == END_GROUP)
        return damaged(s, "end of a group that was not begun before", f->number, err);
    for (depth = f->type == GROUP; depth;) {
        if (read_raw(s, &inner, err) < 0)
            return err->code;
        depth += inner.type == GROUP;
        depth -= inner.type == END_GROUP;
    }
    return 0;
}

static int add_dim(struct ot_wire_shape *shape, int64_t dim, struct ot_err *err)
{
    if (shape->nd == OT_WIRE_DIMS)
        return ot_fail(err, OT_EDATA, "shape must have at most %d dims, got more", OT_WIRE_DIMS);
    if (dim < 0)
        return ot_fail(err, OT_EDATA, "dim %d must be >= 0, got %" PRId64, shape->nd, dim);
    shape->dim[shape->nd++] = dim;
    return 0;
}

static int read_shape(struct span s, struct ot_wire_shape *shape, struct ot_err *err)
{
    struct field f;
    uint64_t v;

    while (s.p < s.end) {
        if (next_field(&s, &f, err) < 0)
            return err->code;
        if (f.number != SHAPE_DIM)
            continue;
        if (f.type == VARINT && add_dim(shape, (int64_t)f.value, err) < 0)
            return err->code;
        while (f.type == BYTES && f.body.p < f.body.end)
            if (read_varint(&f.body, &v, err) < 0 || add_dim(shape, (int64_t)v, err) < 0)
                return err->code;
    }
    return 0;
}

/* What a blob's fields say, before any value is copied. */
struct blob_scan {
    struct ot_wire_shape shape;
    int64_t legacy[4];
    bool is_legacy;
    uint64_t floats, doubles; /* how many values */
};

/* Counts the values of one field of `size` bytes each, packed or not. */
static int count_values(const struct field *f, uint64_t size, uint64_t *n, struct ot_err *err)
{
    uint64_t bytes = (uint64_t)(f->body.end - f->body.p);

    if (f->type != BYTES && f->type != (size == 4 ? FIXED32 : FIXED64))
        return 0;
    if (bytes % size)
        return damaged(&f->body, "bytes of values are not whole values", bytes, err);
    *n += bytes / size;
    return 0;
}

static int scan_blob(struct span s, struct blob_scan *b, struct ot_err *err)
{
    struct field f;
    int rc = 0;

    while (rc == 0 && s.p < s.end) {
        rc = next_field(&s, &f, err);
        if (rc < 0)
            break;
        if (f.number >= BLOB_NUM && f.number <= BLOB_WIDTH && f.type == VARINT) {
            b->legacy[f.number - BLOB_NUM] = (int64_t)f.value;
            b->is_legacy = true;
        } else if (f.number == BLOB_SHAPE && f.type == BYTES) {
            rc = read_shape(f.body, &b->shape, err);
        } else if (f.number == BLOB_DATA) {
            rc = count_values(&f, sizeof(float), &b->floats, err);
        } else if (f.number == BLOB_DOUBLE_DATA) {
            rc = count_values(&f, sizeof(double), &b->doubles, err);
        }
    }
    return rc;
}

static const char *show_shape(const struct ot_wire_shape *s, char *buf, size_t size)
{
    size_t n = 0;

    (void)snprintf(buf, size, "(scalar)");
    for (int i = 0; i < s->nd && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRId64, i ? "x" : "", s->dim[i]);
    return buf;
}

/* Dims and number of values must agree; also what keeps memory within the file's size. */
static int check_count(const struct ot_wire_shape *s, uint64_t values, int64_t *count,
                       struct ot_err *err)
{
    char show[128];
    bool empty = false, absurd = false;
    int64_t n = 1;

    for (int i = 0; i < s->nd; i++)
        empty |= s->dim[i] == 0;
    for (int i = 0; i < s->nd && !empty && !absurd; i++) {
        absurd = n > INT64_MAX / s->dim[i];
        n = absurd ? n : n * s->dim[i];
    }
    if (absurd)
        return ot_fail(err, OT_EDATA, "shape %s has more than 2^63 values, got %" PRIu64,
                       show_shape(s, show, sizeof show), values);
    n = empty ? 0 : n;
    if ((uint64_t)n != values)
        return ot_fail(err, OT_EDATA, "shape %s has %" PRId64 " values, got %" PRIu64,
                       show_shape(s, show, sizeof show), n, values);
    *count = n;
    return 0;
}

/* Copies the values; every host we build for is little-endian, as the wire is. */
static int copy_values(struct span s, bool doubles, float *out, struct ot_err *err)
{
    uint32_t number = doubles ? BLOB_DOUBLE_DATA : BLOB_DATA;
    enum wire_type one = doubles ? FIXED64 : FIXED32;
    struct field f;

    while (s.p < s.end) {
        if (next_field(&s, &f, err) < 0)
            return err->code;
        if (f.number != number || (f.type != BYTES && f.type != one))
            continue;
        if (!doubles && f.body.p < f.body.end) {
            memcpy(out, f.body.p, (size_t)(f.body.end - f.body.p));
            out += (f.body.end - f.body.p) / (ptrdiff_t)sizeof *out;
            continue;
        }
        for (; f.body.p < f.body.end; f.body.p += sizeof(double)) {
            double d;

            memcpy(&d, f.body.p, sizeof d);
            *out++ = (float)d;
        }
    }
    return 0;
}

static int read_blob(struct span s, struct ot_wire_blob *b, struct ot_err *err)
{
    struct blob_scan scan = { 0 };

    if (scan_blob(s, &scan, err) < 0)
        return err->code;
    b->shape = scan.shape;
    b->legacy = scan.is_legacy;
    if (scan.is_legacy) {
        b->shape.nd = 0;
        for (int i = 0; i < 4; i++)
            if (add_dim(&b->shape, scan.legacy[i], err) < 0)
                return err->code;
    }
    if (check_count(&b->shape, scan.doubles ? scan.doubles : scan.floats, &b->count, err) < 0)
        return err->code;
    b->data = ot_alloc((size_t)b->count, sizeof *b->data, err);
    return b->data ? copy_values(s, scan.doubles != 0, b->data, err) : err->code;
}

/* Replaces *text, as the last occurrence of a field wins. */
static int read_text(struct span s, char **text, struct ot_err *err)
{
    size_t n = (size_t)(s.end - s.p);
    char *copy;

    if (n && memchr(s.p, 0, n))
        return damaged(&s, "byte 0 in a name", n, err);
    copy = ot_alloc(n + 1, 1, err);
    if (!copy)
        return err->code;
    if (n)
        memcpy(copy, s.p, n);
    ot_free(*text);
    *text = copy;
    return 0;
}

static int add_blob(struct ot_wire_layer *l, size_t *cap, struct span s, struct ot_err *err)
{
    if (l->nblob == OT_WIRE_BLOBS)
        return ot_fail(err, OT_EDATA, "a layer must have at most %d blobs, got more",
                       OT_WIRE_BLOBS);
    if (ot_grow(&l->blob, cap, l->nblob + 1, sizeof *l->blob, err) < 0)
        return err->code;
    l->nblob++;
    if (read_blob(s, &l->blob[l->nblob - 1], err) < 0)
        return ot_err_wrap(err, "blob %zu", l->nblob - 1);
    return 0;
}

static int read_names(struct span s, const struct layout *at, struct ot_wire_layer *l,
                      struct ot_err *err)
{
    struct field f;

    while (s.p < s.end) {
        if (next_field(&s, &f, err) < 0)
            return err->code;
        if (f.type != BYTES)
            continue;
        if (f.number == at->name && read_text(f.body, &l->name, err) < 0)
            return err->code;
        if (at->type && f.number == at->type && read_text(f.body, &l->type, err) < 0)
            return err->code;
    }
    if (!l->name)
        l->name = ot_strdup("", err);
    if (l->name && !l->type)
        l->type = ot_strdup("", err);
    return l->name && l->type ? 0 : err->code;
}

/* Names come first, whatever the order in the file, so that every later message has them. */
static int read_layer(struct span s, const struct layout *at, struct ot_wire_layer *l,
                      struct ot_err *err)
{
    struct field f;
    size_t cap = 0;

    if (read_names(s, at, l, err) < 0)
        return ot_err_wrap(err, "layer '%s'", l->name ? l->name : "?");
    while (s.p < s.end) {
        if (next_field(&s, &f, err) < 0 ||
            (f.type == BYTES && f.number == at->blobs && add_blob(l, &cap, f.body, err) < 0))
            return ot_err_wrap(err, "layer '%s'", l->name);
    }
    return 0;
}

/* A layer of `layers`: V1, or V0 when it has a layer inside.  Damage is left to read_layer(), which
 * says it with the layer's name. */
static int read_old_layer(struct span s, struct ot_wire_layer *l, struct ot_err *err)
{
    struct ot_err unsaid = OT_ERR_INIT;
    struct span inside = { 0 }, look = s;
    struct field f;

    while (look.p < look.end) {
        if (next_field(&look, &f, &unsaid) < 0)
            return read_layer(s, &v1, l, err);
        if (f.number == V1_LAYER_V0 && f.type == BYTES)
            inside = f.body;
    }
    return inside.p ? read_layer(inside, &v0, l, err) : read_layer(s, &v1, l, err);
}

static int read_net(struct span s, struct ot_weights *w, struct ot_err *err)
{
    struct field f;
    size_t cap = 0, blobs = 0;

    while (s.p < s.end) {
        if (next_field(&s, &f, err) < 0)
            return err->code;
        if (f.type != BYTES || (f.number != NET_LAYER && f.number != NET_LAYERS_V1))
            continue;
        if (w->n == OT_WIRE_LAYERS)
            return ot_fail(err, OT_EDATA, "a net must have at most %d layers, got more",
                           OT_WIRE_LAYERS);
        if (ot_grow(&w->layer, &cap, w->n + 1, sizeof *w->layer, err) < 0)
            return err->code;
        w->n++;
        if ((f.number == NET_LAYERS_V1 ? read_old_layer(f.body, &w->layer[w->n - 1], err)
                                       : read_layer(f.body, &today, &w->layer[w->n - 1], err)) < 0)
            return err->code;
        blobs += w->layer[w->n - 1].nblob;
        if (blobs > OT_WIRE_ALL_BLOBS)
            return ot_fail(err, OT_EDATA, "a net must have at most %d blobs, got more",
                           OT_WIRE_ALL_BLOBS);
    }
    return 0;
}

int ot_wire_parse_net(const void *bytes, size_t n, struct ot_weights *w, struct ot_err *err)
{
    struct span s = { bytes, (const uint8_t *)bytes + n, bytes };

    *w = (struct ot_weights){ 0 };
    if (read_net(s, w, err) < 0) {
        ot_weights_free(w);
        return err->code;
    }
    return 0;
}

int ot_wire_read_net(const char *path, struct ot_weights *w, struct ot_err *err)
{
    size_t n = 0;
    char *bytes = ot_read_file(path, OT_WIRE_BYTES, &n, err);
    int rc;

    *w = (struct ot_weights){ 0 };
    if (!bytes)
        return err->code;
    rc = ot_wire_parse_net(bytes, n, w, err);
    ot_free(bytes);
    return rc < 0 ? ot_err_at(err, (struct ot_loc){ path, 0, 0 }) : 0;
}

void ot_wire_blob_free(struct ot_wire_blob *b)
{
    ot_free(b->data);
    *b = (struct ot_wire_blob){ 0 };
}

void ot_weights_free(struct ot_weights *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct ot_wire_layer *l = &w->layer[i];

        for (size_t k = 0; k < l->nblob; k++)
            ot_wire_blob_free(&l->blob[k]);
        ot_free(l->blob);
        ot_free(l->name);
        ot_free(l->type);
    }
    ot_free(w->layer);
    *w = (struct ot_weights){ 0 };
}

const struct ot_wire_layer *ot_weights_find(const struct ot_weights *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->layer[i].name, name) == 0)
            return &w->layer[i];
    return NULL;
}

int ot_wire_parse_blob(const void *bytes, size_t n, struct ot_wire_blob *b, struct ot_err *err)
{
    struct span s = { bytes, (const uint8_t *)bytes + n, bytes };

    *b = (struct ot_wire_blob){ 0 };
    if (read_blob(s, b, err) < 0) {
        ot_wire_blob_free(b);
        return err->code;
    }
    return 0;
}

int ot_wire_read_blob(const char *path, struct ot_wire_blob *b, struct ot_err *err)
{
    size_t n = 0;
    char *bytes = ot_read_file(path, OT_WIRE_BYTES, &n, err);
    int rc;

    *b = (struct ot_wire_blob){ 0 };
    if (!bytes)
        return err->code;
    rc = ot_wire_parse_blob(bytes, n, b, err);
    ot_free(bytes);
    return rc < 0 ? ot_err_at(err, (struct ot_loc){ path, 0, 0 }) : 0;
}
