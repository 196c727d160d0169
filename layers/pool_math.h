/*
 * pool_math.h - Caffe's pooling windows, for every device.
 *
 * A window is clipped to the image; AVE divides by the window's size clipped to the padded image,
 * so padding counts and what hangs over it does not.
 */
#ifndef OT_LAYERS_POOL_MATH_H
#define OT_LAYERS_POOL_MATH_H

#include "base/hd.h"
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

/* Whether p takes the maximum's place: a number replaces NaN, NaN replaces nothing. */
OT_HD int ot_pool_more(float p, float best)
{
    return p > best || (best != best && p == p);
}

#endif
