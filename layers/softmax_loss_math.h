/* softmax_loss_math.h - the formulas of the softmax loss, one for every device. */
#ifndef OT_LAYERS_SOFTMAX_LOSS_MATH_H
#define OT_LAYERS_SOFTMAX_LOSS_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "base/hd.h"
#include "layers/exp_math.h"
#include "layers/geom.h"

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

/*
 * Focal loss, -(1 - p)^gamma log p with p of the label: what -log p is multiplied by.
 * Source: T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.
 */
OT_HD float ot_focal_weight(float gamma, float p)
{
    return gamma > 0.0f ? powf(1.0f - p, gamma) : 1.0f;
}

/* And what the gradient of the scores, prob - onehot, is multiplied by:
 * (1 - p)^(gamma - 1) (1 - p - gamma p log p); 1 - p is floored where its power may be infinite. */
OT_HD float ot_focal_slope(float gamma, float p)
{
    float q = 1.0f - p;

    if (!(gamma > 0.0f))
        return 1.0f;
    q = q < FLT_EPSILON ? FLT_EPSILON : q;
    return powf(q, gamma - 1.0f) * (q + gamma * p * ot_instance_loss(p));
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
