/* neuron_math.h - formulas of one element: ReLU, dropout; for every device. */
#ifndef OT_LAYERS_NEURON_MATH_H
#define OT_LAYERS_NEURON_MATH_H

#include <stdbool.h>

#include "base/rng.h"

/* NaN passes through, as in Caffe: a net that diverges must show it. */
OT_HD float ot_relu(float x, float slope)
{
    return x < 0.0f ? x * slope : x;
}

OT_HD float ot_relu_grad(float y, float dy, float slope)
{
    return y > 0.0f ? dy : dy * slope;
}

/* The gradient for slope 0, as a difference: of a plain choice compilers make a masked load of dy,
 * which takes several times as long as all the rest on CPUs of today. */
OT_HD float ot_relu_pass(float y, float dy)
{
    const float stopped = y > 0.0f ? 0.0f : dy;

    return dy - stopped;
}

/* The same where there may be none. */
OT_HD float ot_relu_mask(bool relu, float y, float dy)
{
    return relu ? ot_relu_pass(y, dy) : dy;
}

OT_HD float ot_dropout(float x, float ratio, float scale, uint64_t seed, uint64_t iter,
                       uint64_t stream, uint64_t i)
{
    float u = ot_rng_unit(seed, OT_RNG_DROPOUT, iter, stream << 40 | i), v = x * scale;

    return u >= ratio ? v : 0.0f;
}

#endif
