/*
 * im2col_math.h - windows laid out as columns, and their sums back, for every device.
 *
 * y (n, c kh kw, oh, ow): row (c, i, j) has what the windows see at their place (i, j).
 */
#ifndef OT_LAYERS_IM2COL_MATH_H
#define OT_LAYERS_IM2COL_MATH_H

#include "base/hd.h"
#include "layers/geom.h"

/* Row r of all n c kh kw rows, output (oh, ow); 0 in the padding. */
OT_HD float ot_im2col_at(const struct ot_conv_geom *g, size_t r, int oh, int ow, const float *x)
{
    const size_t kw = (size_t)g->kw, kh = (size_t)g->kh;
    const int h = oh * g->sh - g->ph + (int)(r / kw % kh) * g->dh;
    const int w = ow * g->sw - g->pw + (int)(r % kw) * g->dw;

    return h >= 0 && h < g->h && w >= 0 && w < g->w
               ? x[(r / (kw * kh) * (size_t)g->h + (size_t)h) * (size_t)g->w + (size_t)w]
               : 0.0f;
}

/* Sum over the windows that see (h, w) of plane p of all n c planes. */
OT_HD float ot_col2im_at(const struct ot_conv_geom *g, size_t p, int h, int w, const float *dy)
{
    double sum = 0.0;

    for (int i = 0; i < g->kh; i++) {
        const int oh = h + g->ph - i * g->dh;

        if (oh < 0 || oh % g->sh || oh / g->sh >= g->oh)
            continue;
        for (int j = 0; j < g->kw; j++) {
            const int ow = w + g->pw - j * g->dw;
            const size_t row = (p * (size_t)g->kh + (size_t)i) * (size_t)g->kw + (size_t)j;

            if (ow >= 0 && ow % g->sw == 0 && ow / g->sw < g->ow)
                sum += (double)dy[(row * (size_t)g->oh + (size_t)(oh / g->sh)) * (size_t)g->ow +
                                  (size_t)(ow / g->sw)];
        }
    }
    return (float)sum;
}

#endif
