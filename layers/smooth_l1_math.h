/*
 * smooth_l1_math.h - the smooth L1 loss of one difference, for every device.
 *
 * f(d) = 0.5 (sigma d)^2 where |d| < 1 / sigma^2, |d| - 0.5 / sigma^2 elsewhere.
 * Source: S. Ren et al., "Faster R-CNN", with the sigma of py-faster-rcnn's Caffe.
 */
#ifndef OT_LAYERS_SMOOTH_L1_MATH_H
#define OT_LAYERS_SMOOTH_L1_MATH_H

#include <stddef.h>

#include "base/hd.h"

OT_HD float ot_smooth_l1(float d, float sigma2)
{
    float a = d < 0.0f ? -d : d;

    return a < 1.0f / sigma2 ? 0.5f * d * d * sigma2 : a - 0.5f / sigma2;
}

OT_HD float ot_smooth_l1_grad(float d, float sigma2)
{
    float a = d < 0.0f ? -d : d, sign = d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d;

    return a < 1.0f / sigma2 ? sigma2 * d : sign;
}

/* Of one instance: its c values lie `inner` apart; w may be NULL. */
OT_HD float ot_smooth_l1_inst(size_t c, size_t inner, float sigma2, const float *x, const float *t,
                              const float *w)
{
    double sum = 0.0;

    for (size_t k = 0; k < c * inner; k += inner)
        sum += (double)ot_smooth_l1(w ? w[k] * (x[k] - t[k]) : x[k] - t[k], sigma2);
    return (float)sum;
}

#endif
