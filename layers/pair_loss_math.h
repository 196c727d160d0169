/*
 * pair_loss_math.h - losses of two arrays, element by element, and the contrastive loss of pairs
 * of rows, for every device.
 *
 *   Euclidean     0.5 (x - t)^2
 *   sigmoid CE    -(t log s + (1 - t) log(1 - s)), s = sigmoid(x), in the form that does not
 *                 overflow: max(x, 0) - x t + log(1 + e^-|x|)
 *   contrastive   d = |a - b|: 0.5 d^2 where a and b belong together, otherwise
 *                 0.5 max(0, margin - d)^2, or (legacy) 0.5 max(0, margin - d^2)
 * Source: BVLC Caffe; R. Hadsell et al., "Dimensionality reduction by learning an invariant
 * mapping" (contrastive; Caffe's legacy form is another function).
 */
#ifndef OT_LAYERS_PAIR_LOSS_MATH_H
#define OT_LAYERS_PAIR_LOSS_MATH_H

#include "layers/softmax_loss_math.h"

OT_HD double ot_pair_loss_of(enum ot_pair_loss kind, float x, float t)
{
    const float d = x - t, pos = x >= 0.0f ? x : 0.0f, a = x >= 0.0f ? -x : x;

    if (kind == OT_EUCLIDEAN)
        return 0.5 * (double)d * (double)d;
    return (double)(pos - x * t) + (double)log1pf(expf(a));
}

/* By x; for Euclidean that by t is its negative. */
OT_HD float ot_pair_loss_grad(enum ot_pair_loss kind, float x, float t)
{
    return (kind == OT_EUCLIDEAN ? x : 1.0f / (1.0f + expf(-x))) - t;
}

/* Caffe's (int)y != 0 without its undefined cases; NaN does not belong together. */
OT_HD int ot_pair_same(float y)
{
    return y >= 1.0f || y <= -1.0f;
}

/* Of one row; dist2: squared distance.  Not yet divided by 2 rows. */
OT_HD double ot_contrastive_of(const struct ot_contrastive_geom *g, int same, float dist2)
{
    float m;

    if (same)
        return (double)dist2;
    m = g->legacy ? g->margin - dist2 : g->margin - sqrtf(dist2);
    m = m < 0.0f ? 0.0f : m;
    return g->legacy ? (double)m : (double)m * (double)m;
}

/* Factor of (a - b) in the gradient of a; 1e-4 keeps Caffe's from dividing by 0. */
OT_HD float ot_contrastive_factor(const struct ot_contrastive_geom *g, int same, float dist2)
{
    float d, m;

    if (same)
        return 1.0f;
    if (g->legacy)
        return g->margin - dist2 > 0.0f ? -1.0f : 0.0f;
    d = sqrtf(dist2);
    m = g->margin - d;
    return m > 0.0f ? -m / (d + 1e-4f) : 0.0f;
}

#endif
