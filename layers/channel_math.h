/* channel_math.h - one element of the kernels that work channel by channel, for every device. */
#ifndef OT_LAYERS_CHANNEL_MATH_H
#define OT_LAYERS_CHANNEL_MATH_H

#include <stddef.h>

#include "base/hd.h"
#include "layers/geom.h"

OT_HD float ot_prelu(float x, float slope)
{
    float below = slope * x;

    return x > 0.0f ? x : below;
}

OT_HD float ot_prelu_grad(float x, float slope, float dy)
{
    float below = slope * dy;

    return x > 0.0f ? dy : below;
}

OT_HD double ot_channel_term(enum ot_channel_term term, float a, float b)
{
    float neg = b > 0.0f ? 0.0f : b;

    if (term == OT_TERM_A)
        return (double)a;
    return (double)a * (double)(term == OT_TERM_AB ? b : neg);
}

OT_HD size_t ot_channel_blocks(const struct ot_channels *g)
{
    return (g->c + g->block - 1) / g->block;
}

/* Channels that are last (inner 1) lie side by side; one channel is one run. */
OT_HD struct ot_channels ot_channels_merged(const struct ot_channels *g)
{
    struct ot_channels m = *g;

    if (g->block == 1 && g->c == 1) {
        m.inner = g->outer * g->inner;
        m.outer = 1;
    } else if (g->block == 1 && g->inner == 1 && g->c > 1) {
        m.block = g->c;
        m.inner = g->outer;
        m.outer = 1;
    }
    return m;
}

#endif
