/*
 * softmax_loss_math.h - the formulas of the softmax loss, one for every device.
 *
 * ot_expf is a polynomial without branches and without calls, so that the CPU bodies vectorise
 * it; within 2 units in the last place of e^x (cephes' single-precision coefficients).
 */
#ifndef OT_LAYERS_SOFTMAX_LOSS_MATH_H
#define OT_LAYERS_SOFTMAX_LOSS_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/hd.h"
#include "layers/geom.h"

/* e^x for x <= 0 (a score minus the largest); 0 where the result would be below FLT_MIN; NaN
 * stays NaN. */
OT_HD float ot_expf(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float t = x * 1.44269504088896341f + magic, n = t - magic;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f, p, y;
    uint32_t bits;

    memcpy(&bits, &t, sizeof bits);
    bits = (bits << 23) + (127u << 23); /* 2^n: the low bits of t are n */
    memcpy(&y, &bits, sizeof y);
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return x < -87.3f ? 0.0f : p * y;
}

/* The class of a label, -1 when it is outside [0, c); truncates as Caffe's cast does. */
OT_HD int64_t ot_label_class(float label, size_t c)
{
    int64_t k;

    if (!(label > -1.0f && label < (float)c))
        return -1;
    k = (int64_t)label;
    return k < (int64_t)c ? k : -1;
}

OT_HD int ot_label_ignored(const struct ot_softmax_loss_geom *g, float label)
{
    return g->has_ignore && label > -2147483648.0f && label < 2147483648.0f &&
           (int)label == g->ignore_label;
}

/* -log p with p floored at FLT_MIN (so at most 87.34); NaN stays NaN. */
OT_HD float ot_instance_loss(float p)
{
    return -logf(p < FLT_MIN ? FLT_MIN : p);
}

/* What the summed loss is divided by, never below 1. */
OT_HD double ot_loss_norm(const struct ot_softmax_loss_geom *g, double valid)
{
    double n = 1.0;

    switch (g->norm) {
    case OT_NORM_FULL:
        n = (double)g->outer * (double)g->inner;
        break;
    case OT_NORM_VALID:
        n = valid;
        break;
    case OT_NORM_BATCH_SIZE:
        n = (double)g->outer;
        break;
    case OT_NORM_NONE:
        break;
    case OT_NORM_PRE_FIXED:
        n = (double)g->fixed;
        break;
    }
    return n > 1.0 ? n : 1.0;
}

#endif
