/*
 * lrn_math.h - local response normalisation, for every device: y = x s^-beta with
 * s = k + alpha / places * (sum of squares over a window), and
 * dx = dy s^-beta - 2 alpha beta / places * x * (sum over the window of dy y / s).
 *
 * A window is `size` channels (across) or size x size places of the own channel (within); places
 * outside count as zeros.  Source: A. Krizhevsky et al., "ImageNet classification with deep
 * convolutional neural networks", 2012, section 3.3, divided by the window as Caffe does.
 */
#ifndef OT_LAYERS_LRN_MATH_H
#define OT_LAYERS_LRN_MATH_H

#include <math.h>

#include "base/hd.h"
#include "layers/geom.h"

/* [a, b): places within size / 2 of v that are inside [0, n). */
OT_HD void ot_lrn_range(size_t v, size_t n, size_t size, size_t *a, size_t *b)
{
    const size_t half = size / 2;

    *a = v > half ? v - half : 0;
    *b = v + half + 1 < n ? v + half + 1 : n;
}

OT_HD float ot_lrn_places(const struct ot_lrn_geom *g)
{
    return (float)(g->within ? g->size * g->size : g->size);
}

OT_HD float ot_lrn_scale(const struct ot_lrn_geom *g, float squares)
{
    return g->k + g->alpha / ot_lrn_places(g) * squares;
}

/* s^-beta; `usual`: beta is 3/4, which two square roots make. */
OT_HD float ot_lrn_power(float s, float beta, int usual)
{
    return usual ? 1.0f / (sqrtf(s) * sqrtf(sqrtf(s))) : powf(s, -beta);
}

OT_HD int ot_lrn_usual(const struct ot_lrn_geom *g)
{
    return g->beta == 0.75f;
}

OT_HD float ot_lrn_grad(const struct ot_lrn_geom *g, float x, float scale, float dy, float sum,
                        int usual)
{
    const float ratio = 2.0f * g->alpha * g->beta / ot_lrn_places(g);

    return dy * ot_lrn_power(scale, g->beta, usual) - ratio * x * sum;
}

#endif
