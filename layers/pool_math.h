/*
 * pool_math.h - Caffe's pooling windows, for every device.
 *
 * A window is clipped to the image; AVE divides by the window's size clipped to the padded image,
 * so padding counts and what hangs over it does not.  STOCHASTIC is M. Zeiler and R. Fergus,
 * "Stochastic pooling", ICLR 2013, for values >= 0 and without padding.
 */
#ifndef OT_LAYERS_POOL_MATH_H
#define OT_LAYERS_POOL_MATH_H

#include <stdbool.h>

#include "base/hd.h"
#include "base/rng.h"
#include "layers/geom.h"

/* One output's window, clipped: rows [h0, h1), columns [w0, w1); size: AVE's divisor. */
struct ot_window {
    int hs, ws; /* where it would begin */
    int h0, h1, w0, w1;
    float size;
};

OT_HD struct ot_window ot_pool_window(const struct ot_pool_geom *g, int oh, int ow)
{
    struct ot_window v;
    int h_end, w_end;

    v.hs = oh * g->sh - g->ph;
    v.ws = ow * g->sw - g->pw;
    h_end = v.hs + g->kh < g->h + g->ph ? v.hs + g->kh : g->h + g->ph;
    w_end = v.ws + g->kw < g->w + g->pw ? v.ws + g->kw : g->w + g->pw;
    v.size = (float)((h_end - v.hs) * (w_end - v.ws));
    v.h0 = v.hs > 0 ? v.hs : 0;
    v.w0 = v.ws > 0 ? v.ws : 0;
    v.h1 = h_end < g->h ? h_end : g->h;
    v.w1 = w_end < g->w ? w_end : g->w;
    return v;
}

/* Outputs along one axis. */
OT_HD int ot_pool_out(int size, int kernel, int stride, int pad, bool ceil_mode)
{
    int room = size + 2 * pad - kernel, n = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;

    while (n > 1 && (n - 1) * stride >= size + pad)
        n--;
    return n;
}

/* Whether p takes the maximum's place: a number replaces NaN, NaN replaces nothing. */
OT_HD int ot_pool_more(float p, float best)
{
    return p > best || (best != best && p == p);
}

/* The window of output i of all, and where its plane begins. */
OT_HD struct ot_window ot_pool_window_of(const struct ot_pool_geom *g, size_t i, size_t *plane)
{
    const size_t ow = (size_t)g->ow, oh = (size_t)g->oh;

    *plane = i / (ow * oh) * ((size_t)g->h * (size_t)g->w);
    return ot_pool_window(g, (int)(i / ow % oh), (int)(i % ow));
}

/* y[i], at[i]: a place with the probability that is its share of the window's sum, the first where
 * the running sum reaches a random part of it; the last when none does (NaN, negative values). */
OT_HD void ot_pool_draw(const struct ot_pool_geom *g, size_t i, uint64_t seed, uint64_t iter,
                        uint64_t stream, const float *x, uint16_t *at, float *y)
{
    /* (0, 1]: a zero before the first positive value is never drawn */
    const float share = 1.0f - ot_rng_unit(seed, OT_RNG_POOL, iter, stream << 40 | i);
    size_t plane;
    const struct ot_window v = ot_pool_window_of(g, i, &plane);
    float total = 0.0f, sum = 0.0f;
    bool found = false;

    for (int h = v.h0; h < v.h1; h++)
        for (int w = v.w0; w < v.w1; w++)
            total += x[plane + (size_t)h * (size_t)g->w + (size_t)w];
    for (int h = v.h0; h < v.h1 && !found; h++)
        for (int w = v.w0; w < v.w1 && !found; w++) {
            const float p = x[plane + (size_t)h * (size_t)g->w + (size_t)w];

            sum += p;
            found = sum >= share * total;
            y[i] = p;
            if (at)
                at[i] = (uint16_t)((h - v.hs) * g->kw + w - v.ws);
        }
}

/* The mean of a window with its values as weights; 0 where they do not add up to more than 0. */
OT_HD float ot_pool_weighted(const struct ot_pool_geom *g, size_t i, const float *x)
{
    size_t plane;
    const struct ot_window v = ot_pool_window_of(g, i, &plane);
    double sum = 0.0, squares = 0.0;

    for (int h = v.h0; h < v.h1; h++)
        for (int w = v.w0; w < v.w1; w++) {
            const double p = (double)x[plane + (size_t)h * (size_t)g->w + (size_t)w];

            sum += p;
            squares += p * p;
        }
    return sum > 0.0 ? (float)(squares / sum) : 0.0f;
}

#endif
