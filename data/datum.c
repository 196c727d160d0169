/*
 * datum.c - a protobuf wire reader for two messages
 * (https://protobuf.dev/programming-guides/encoding).  Unknown fields are skipped, known ones
 * with a wrong wire type are errors: that is how a Datum given as an AnnotatedDatum is noticed.
 */
#include "data/datum.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "data/image.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, MAX_CHANNELS = 1 << 20 };

struct wire {
    const unsigned char *p, *end;
};

struct field {
    unsigned number, type;
    uint64_t v;           /* VARINT, FIXED32 */
    struct ot_bytes body; /* BYTES */
};

static struct wire wire_of(struct ot_bytes b)
{
    const unsigned char *p = b.data;

    return (struct wire){ p, p ? p + b.n : p };
}

static bool varint(struct wire *w, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && w->p < w->end; shift += 7) {
        unsigned char c = *w->p++;

        *v |= (uint64_t)(c & 0x7F) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

static bool skip(struct wire *w, uint64_t n)
{
    if (n > (uint64_t)(w->end - w->p))
        return false;
    w->p += n;
    return true;
}

static bool payload(struct wire *w, struct field *f)
{
    switch (f->type) {
    case VARINT:
        return varint(w, &f->v);
    case FIXED64:
        return skip(w, 8);
    case BYTES:
        if (!varint(w, &f->v) || f->v > (uint64_t)(w->end - w->p))
            return false;
        f->body = (struct ot_bytes){ w->p, (size_t)f->v };
        w->p += f->v;
        return true;
    case FIXED32:
        if (w->end - w->p < 4)
            return false;
        f->v = (uint64_t)w->p[0] | (uint64_t)w->p[1] << 8 | (uint64_t)w->p[2] << 16 |
               (uint64_t)w->p[3] << 24;
        w->p += 4;
        return true;
    default:
        return false;
    }
}

/* 1: a field; 0: the message is over; < 0: error */
static int next_field(struct wire *w, const char *message, struct field *f, struct ot_err *err)
{
    size_t left = (size_t)(w->end - w->p);
    uint64_t tag;

    if (left == 0)
        return 0;
    if (!varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
        return ot_fail(err, OT_EDATA, "%s: broken field tag, %zu bytes before the end", message,
                       left);
    f->number = (unsigned)(tag >> 3);
    f->type = (unsigned)(tag & 7);
    if (!payload(w, f))
        return ot_fail(err, OT_EDATA, "%s: field %u is cut off or broken, %zu bytes before the end",
                       message, f->number, left);
    return 1;
}

static int want(const struct field *f, unsigned type, const char *message, struct ot_err *err)
{
    if (f->type == type)
        return 0;
    return ot_fail(err, OT_EDATA, "no %s: field %u has wire type %u, expected %u", message,
                   f->number, f->type, type);
}

static int as_int(const struct field *f)
{
    return (int)(uint32_t)f->v;
}

static float as_float(const struct field *f)
{
    uint32_t bits = (uint32_t)f->v;
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static int datum_field(const struct field *f, struct ot_record *r, struct ot_err *err)
{
    static const char name[] = "Datum";

    switch (f->number) {
    case 1:
        r->channels = as_int(f);
        return want(f, VARINT, name, err);
    case 2:
        r->height = as_int(f);
        return want(f, VARINT, name, err);
    case 3:
        r->width = as_int(f);
        return want(f, VARINT, name, err);
    case 4:
        r->data = f->body;
        return want(f, BYTES, name, err);
    case 5:
        r->label = as_int(f);
        return want(f, VARINT, name, err);
    case 6:
        r->n_floats += f->type == BYTES ? f->body.n / 4 : 1;
        if (f->type == BYTES && f->body.n % 4 == 0) /* the packed form */
            return 0;
        return want(f, FIXED32, name, err);
    case 7:
        r->encoded = f->v != 0;
        return want(f, VARINT, name, err);
    default:
        return 0;
    }
}

static int check_shape(const struct ot_record *r, struct ot_err *err)
{
    uint64_t n;

    if (r->encoded)
        return r->data.n
                   ? 0
                   : ot_fail(err, OT_EDATA, "Datum: encoded, but data has %zu bytes", r->data.n);
    if (r->channels < 1 || r->height < 1 || r->width < 1 || r->channels > MAX_CHANNELS ||
        r->height > OT_IMAGE_MAX_SIDE || r->width > OT_IMAGE_MAX_SIDE)
        return ot_fail(err, OT_EDATA, "Datum: impossible shape, got %dx%dx%d", r->channels,
                       r->height, r->width);
    n = (uint64_t)r->channels * (uint64_t)r->height * (uint64_t)r->width;
    if (r->data.n && r->data.n != n)
        return ot_fail(err, OT_EDATA, "Datum: shape %dx%dx%d wants %llu bytes of data, got %zu",
                       r->channels, r->height, r->width, (unsigned long long)n, r->data.n);
    if (!r->data.n && r->n_floats != n)
        return ot_fail(err, OT_EDATA, "Datum: shape %dx%dx%d wants %llu values, got %zu",
                       r->channels, r->height, r->width, (unsigned long long)n, r->n_floats);
    return 0;
}

static int parse_datum(struct ot_bytes bytes, struct ot_record *r, struct ot_err *err)
{
    struct wire w = wire_of(bytes);
    struct field f = { 0 };
    int rc;

    r->datum = bytes;
    r->n_floats = 0;
    while ((rc = next_field(&w, "Datum", &f, err)) == 1)
        if (datum_field(&f, r, err) < 0)
            return err->code;
    return rc < 0 ? rc : check_shape(r, err);
}

static int parse_bbox(struct ot_bytes bytes, struct ot_record_box *b, struct ot_err *err)
{
    float *const side[] = { &b->xmin, &b->ymin, &b->xmax, &b->ymax };
    struct wire w = wire_of(bytes);
    struct field f = { 0 };
    int rc;

    while ((rc = next_field(&w, "NormalizedBBox", &f, err)) == 1) {
        if (f.number <= 4) {
            *side[f.number - 1] = as_float(&f);
            rc = want(&f, FIXED32, "NormalizedBBox", err);
        } else if (f.number == 6) {
            b->difficult = f.v != 0;
            rc = want(&f, VARINT, "NormalizedBBox", err);
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int parse_annotation(struct ot_bytes bytes, struct ot_record *r, struct ot_err *err)
{
    struct wire w = wire_of(bytes);
    struct field f = { 0 };
    struct ot_record_box *b;
    int rc;

    if (ot_grow(&r->box, &r->cap_boxes, r->n_boxes + 1, sizeof *r->box, err) < 0)
        return err->code;
    b = &r->box[r->n_boxes++];
    *b = (struct ot_record_box){ 0 };
    while ((rc = next_field(&w, "Annotation", &f, err)) == 1) {
        if (f.number == 1) {
            b->instance = as_int(&f);
            rc = want(&f, VARINT, "Annotation", err);
        } else if (f.number == 2) {
            rc = want(&f, BYTES, "Annotation", err);
            if (rc == 0)
                rc = parse_bbox(f.body, b, err);
        }
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* The group's label may come after its boxes. */
static int parse_group(struct ot_bytes bytes, struct ot_record *r, struct ot_err *err)
{
    struct wire w = wire_of(bytes);
    struct field f = { 0 };
    size_t first = r->n_boxes;
    int rc, label = 0;

    while ((rc = next_field(&w, "AnnotationGroup", &f, err)) == 1) {
        if (f.number == 1) {
            label = as_int(&f);
            rc = want(&f, VARINT, "AnnotationGroup", err);
        } else if (f.number == 2) {
            rc = want(&f, BYTES, "AnnotationGroup", err);
            if (rc == 0)
                rc = parse_annotation(f.body, r, err);
        }
        if (rc < 0)
            return rc;
    }
    for (size_t i = first; i < r->n_boxes; i++)
        r->box[i].label = label;
    return rc;
}

static int parse_annotated(struct ot_bytes bytes, struct ot_record *r, struct ot_err *err)
{
    struct wire w = wire_of(bytes);
    struct field f = { 0 };
    bool datum = false;
    int rc;

    while ((rc = next_field(&w, "AnnotatedDatum", &f, err)) == 1) {
        if (f.number == 1) {
            datum = true;
            rc = want(&f, BYTES, "AnnotatedDatum", err);
            if (rc == 0)
                rc = parse_datum(f.body, r, err);
        } else if (f.number == 2) {
            rc = want(&f, VARINT, "AnnotatedDatum", err);
            if (rc == 0 && f.v != 0)
                rc = ot_fail(err, OT_EDATA, "AnnotatedDatum: type must be 0 (BBOX), got %d",
                             as_int(&f));
        } else if (f.number == 3) {
            rc = want(&f, BYTES, "AnnotatedDatum", err);
            if (rc == 0)
                rc = parse_group(f.body, r, err);
        }
        if (rc < 0)
            return rc;
    }
    if (rc == 0 && !datum)
        return ot_fail(err, OT_EDATA, "AnnotatedDatum: has no datum, got %zu bytes", bytes.n);
    return rc;
}

int ot_record_parse(struct ot_bytes bytes, bool annotated, struct ot_record *r, struct ot_err *err)
{
    struct ot_record_box *box = r->box;
    size_t cap = r->cap_boxes;

    *r = (struct ot_record){ .box = box, .cap_boxes = cap };
    return annotated ? parse_annotated(bytes, r, err) : parse_datum(bytes, r, err);
}

void ot_record_floats(const struct ot_record *r, float *out)
{
    struct wire w = wire_of(r->datum);
    struct field f = { 0 };
    struct ot_err unused = OT_ERR_INIT; /* the same bytes were parsed before */

    while (next_field(&w, "Datum", &f, &unused) == 1) {
        if (f.number != 6)
            continue;
        if (f.type == BYTES) {
            memcpy(out, f.body.data, f.body.n / 4 * sizeof *out);
            out += f.body.n / 4;
        } else {
            *out++ = as_float(&f);
        }
    }
}

void ot_record_release(struct ot_record *r)
{
    ot_free(r->box);
    *r = (struct ot_record){ 0 };
}
