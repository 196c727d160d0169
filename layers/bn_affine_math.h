/*
 * bn_affine_math.h - batch normalisation, scale and shift of a channel, something added to that,
 * and a ReLU: one element of the pass that does it all, for every device.
 *
 * With h = (x - mean) inv the unfused layers compute max(0, gamma h + shift + other); here
 * max(0, (x - mean) (gamma inv) + shift + other), so that they agree to rounding.  Backward reads x
 * only: where the ReLU was 0 it computes again, with the same operations and so the same outcome.
 * With something added it would have to read that for it, and reads y instead.
 */
#ifndef OT_LAYERS_BN_AFFINE_MATH_H
#define OT_LAYERS_BN_AFFINE_MATH_H

#include "layers/bn_math.h"
#include "layers/neuron_math.h"

/* slope: gamma inv */
OT_HD float ot_bn_affine(float x, float mean, float slope, float shift)
{
    return (x - mean) * slope + shift;
}

/* y from the sum. */
OT_HD float ot_bn_affine_top(bool relu, float v)
{
    return relu ? ot_relu(v, 0.0f) : v;
}

/* The gradient that passes the ReLU. */
OT_HD float ot_bn_affine_mask(bool relu, float x, float mean, float slope, float shift, float dy)
{
    return ot_relu_mask(relu, ot_bn_affine(x, mean, slope, shift), dy);
}

/* dx from g, what passed the ReLU, and the means of g and of g h: ot_bn_grad() of gamma g, whose
 * means are gamma times these.  Statistics that do not depend on x: slope g. */
OT_HD float ot_bn_affine_grad(float x, float g, float mean, float inv, float slope, float mean_g,
                              float mean_g_h)
{
    return ot_bn_grad((x - mean) * inv, g, mean_g, mean_g_h, slope);
}

#endif
