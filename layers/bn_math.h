/*
 * bn_math.h - batch normalisation: the layout of its sums and the formulas of one channel, for
 * every device.
 *
 * Sums over a channel are made in parts, one for every ot_bn_parts()-th image, each in double; the
 * parts are then added in order: the same numbers for any count of threads.
 */
#ifndef OT_LAYERS_BN_MATH_H
#define OT_LAYERS_BN_MATH_H

#include <math.h>

#include "base/hd.h"
#include "layers/geom.h"

/* Channels with the padding of the last block. */
OT_HD size_t ot_bn_channels(const struct ot_bn_geom *g)
{
    return (g->c + g->block - 1) / g->block * g->block;
}

OT_HD size_t ot_bn_parts(const struct ot_bn_geom *g)
{
    return g->n < 64 ? g->n : 64;
}

/* Two sums of every part and channel, then two means (floats) of every channel. */
OT_HD size_t ot_bn_sums(const struct ot_bn_geom *g)
{
    return 2 * ot_bn_parts(g) * ot_bn_channels(g);
}

OT_HD size_t ot_bn_scratch(const struct ot_bn_geom *g)
{
    return ot_bn_sums(g) * sizeof(double) + 2 * ot_bn_channels(g) * sizeof(float);
}

OT_HD float ot_bn_running(float now, float before, float fraction)
{
    return now + fraction * before;
}

/* From biased to unbiased variance. */
OT_HD float ot_bn_unbias(const struct ot_bn_geom *g)
{
    const float m = (float)(g->n * g->inner);

    return m > 1.0f ? m / (m - 1.0f) : 1.0f;
}

OT_HD float ot_bn_inv(float var, float eps)
{
    return 1.0f / sqrtf(var + eps);
}

/* Mean and biased variance of m values from their sum and sum of squares. */
OT_HD float ot_bn_mean(double sum, double m)
{
    return (float)(sum / m);
}

OT_HD float ot_bn_var(double sum, double squares, double m)
{
    double v = squares / m - sum / m * (sum / m);

    return v > 0.0 ? (float)v : v == v ? 0.0f : (float)v;
}

/* dx for y = (x - mean) inv: (dy - mean(dy) - y mean(dy y)) inv.  Source: S. Ioffe and C. Szegedy,
 * "Batch normalization", ICML 2015, section 3, with y put in. */
OT_HD float ot_bn_grad(float y, float dy, float mean_dy, float mean_dy_y, float inv)
{
    return (dy - mean_dy - y * mean_dy_y) * inv;
}

#endif
