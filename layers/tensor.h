/*
 * tensor.h - what a blob's memory looks like.
 *
 * A shape is logical: N, C, H, W or fewer or more axes, as Caffe counts them.  A tensor lives on
 * ONE device, in plain C order (fmt == NULL) or in a format that its device likes (oneDNN's
 * channel blocks, cuDNN's NHWC).  Formats are interned by the device: equal formats are equal
 * pointers.  A format may pad: `elems` counts physical elements, padding (always 0) included.
 *
 * Ownership: nobody frees through a tensor; the net's arenas own all memory.
 * Threads: the thread that owns the net.
 */
#ifndef OT_LAYERS_TENSOR_H
#define OT_LAYERS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layers/geom.h"

enum { OT_MAX_DIMS = 8 };

struct ot_shape {
    int nd; /* 0: a scalar, one element */
    int dim[OT_MAX_DIMS];
};

/* A device's physical order of one shape; the device's own fields follow these in memory. */
struct ot_format {
    size_t elems;      /* physical elements, padding included */
    const char *name;  /* for people: "nChw16c", "nhwc bf16" */
    enum ot_type type; /* of the elements; plain order is F32 unless a format says otherwise */
    /* Channels that lie side by side: 16 of nChw16c, C of nhwc; 0: another order.  Then element
     * (n, c, i) of a shape (N, C, inner..) is at ((n * ceil(C / block) + c / block) * inner + i) *
     * block + c % block; plain order is block 1. */
    size_t block;
};

struct ot_tensor {
    struct ot_shape shape;
    const struct ot_format *fmt; /* NULL: plain C order */
    size_t elems;                /* physical elements; == ot_count(&shape) when plain */
    float *data;                 /* borrowed; NULL until the net is planned; of the format's type */
};

static inline enum ot_type ot_type_of(const struct ot_format *fmt)
{
    return fmt ? fmt->type : OT_F32;
}

static inline size_t ot_type_bytes(enum ot_type type)
{
    return type == OT_BF16 ? 2 : 4;
}

static inline size_t ot_bytes(const struct ot_tensor *t)
{
    return t->elems * ot_type_bytes(ot_type_of(t->fmt));
}

static inline size_t ot_count_range(const struct ot_shape *s, int from, int to)
{
    size_t n = 1;

    for (int i = from; i < to; i++)
        n *= (size_t)s->dim[i];
    return n;
}

static inline size_t ot_count(const struct ot_shape *s)
{
    return ot_count_range(s, 0, s->nd);
}

/* As many values as Caffe counts, in an int, and no axis so long that what layers add to it
 * (padding, a kernel) would leave an int.  An empty axis counts as one, so that the product of any
 * axes is an int as well.  The net refuses other blobs. */
enum { OT_MAX_AXIS = 1 << 30 };

static inline bool ot_shape_fits(const struct ot_shape *s)
{
    bool fits = true;
    double n = 1;

    for (int i = 0; i < s->nd; i++) {
        fits = fits && s->dim[i] >= 0 && s->dim[i] <= OT_MAX_AXIS;
        n *= s->dim[i] ? s->dim[i] : 1;
    }
    return fits && n <= INT32_MAX;
}

static inline bool ot_shape_eq(const struct ot_shape *a, const struct ot_shape *b)
{
    if (a->nd != b->nd)
        return false;
    for (int i = 0; i < a->nd; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

/* Dimension i, or 1 beyond the last axis (Caffe's legacy num/channels/height/width). */
static inline int ot_dim(const struct ot_shape *s, int i)
{
    return i < s->nd ? s->dim[i] : 1;
}

static inline struct ot_shape ot_shape1(int a)
{
    return (struct ot_shape){ 1, { a } };
}

static inline struct ot_shape ot_shape2(int a, int b)
{
    return (struct ot_shape){ 2, { a, b } };
}

static inline struct ot_shape ot_shape4(int a, int b, int c, int d)
{
    return (struct ot_shape){ 4, { a, b, c, d } };
}

/* "64x3x28x28", "scalar" for no axes; returns buf. */
enum { OT_SHAPE_TEXT = 96 };

char *ot_shape_str(const struct ot_shape *s, char buf[OT_SHAPE_TEXT]);

#endif
