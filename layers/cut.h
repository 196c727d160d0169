/*
 * cut.h - layers that put blobs side by side along an axis or cut one up (Concat, Slice): in which
 * format they run and what is one run of memory there.
 *
 * Channels last stay so along the channels and along the images; an order that is plain but for its
 * type stays along any axis.  Blobs of several types become F32.
 * Ownership: nothing.  Threads: the net's.  Errors: the device's latch.
 */
#ifndef OT_LAYERS_CUT_H
#define OT_LAYERS_CUT_H

#include "layers/layer.h"

struct ot_cut {
    size_t rows, unit; /* of each row, how many elements one step along the axis is */
    enum ot_type type;
};

/* For plan: chooses in_fmt[] and the formats of the outputs, all alike; whole: the uncut blob. */
struct ot_cut ot_cut_plan(struct ot_layer *l, int axis, const struct ot_shape *whole);

/* Element `at` of a blob's data. */
static inline float *ot_cut_at(const struct ot_cut *c, float *data, size_t at)
{
    return (float *)(void *)((char *)data + at * ot_type_bytes(c->type));
}

#endif
