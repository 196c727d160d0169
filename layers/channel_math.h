/* channel_math.h - one element of the kernels that work channel by channel, for every device. */
#ifndef OT_LAYERS_CHANNEL_MATH_H
#define OT_LAYERS_CHANNEL_MATH_H

#include <stddef.h>
#include <stdint.h>

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

/* Physical elements, padding included. */
OT_HD size_t ot_channel_elems(const struct ot_channels *g)
{
    return g->c ? g->outer * ot_channel_blocks(g) * g->block * g->inner : 0;
}

/* Where physical element i would be in plain order; 32 bits hold every place (struct ot_shape) and
 * divide several times faster.  Padding gets some number. */
OT_HD size_t ot_channel_logical(const struct ot_channels *g, size_t i)
{
    const uint32_t block = (uint32_t)g->block, inner = (uint32_t)g->inner;
    const uint32_t blocks = (uint32_t)ot_channel_blocks(g);
    const uint32_t row = (uint32_t)i / block, lane = (uint32_t)i - row * block;
    const uint32_t at = row / inner, n = at / blocks, c = (at - n * blocks) * block + lane;

    return block == 1 ? i : (n * g->c + c) * inner + (row - at * inner);
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
