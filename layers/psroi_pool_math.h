/*
 * psroi_pool_math.h - which cells of the feature map belong to a bin of a position-sensitive RoI,
 * for every device.
 *
 * Corners are rounded half away from zero, the last one cell further, and then scaled: unlike
 * those of roi_pool_math.h they are no whole cells.  Sides are at least 0.1 cells; bin edges are
 * float, floor and ceil, so neighbouring bins may share cells.
 * Source: J. Dai, Y. Li, K. He, J. Sun, "R-FCN", NIPS 2016, section 2, as its Caffe computes it.
 */
#ifndef OT_LAYERS_PSROI_POOL_MATH_H
#define OT_LAYERS_PSROI_POOL_MATH_H

#include <math.h>

#include "base/hd.h"
#include "layers/geom.h"

/* Channel (o group + i) group + j is read by bin (i, j) of output o alone. */
OT_HD size_t ot_psroi_channels(const struct ot_psroi_pool_geom *g)
{
    return (size_t)g->out * (size_t)g->group * (size_t)g->group;
}

struct ot_psroi { /* in cells */
    float x, y, bin_w, bin_h;
};

OT_HD struct ot_psroi ot_psroi_place(const float box[4], float scale, int group)
{
    struct ot_psroi r;
    float w, h;

    r.x = roundf(box[0]) * scale;
    r.y = roundf(box[1]) * scale;
    w = (roundf(box[2]) + 1.0f) * scale - r.x;
    h = (roundf(box[3]) + 1.0f) * scale - r.y;
    r.bin_w = (w > 0.1f ? w : 0.1f) / (float)group;
    r.bin_h = (h > 0.1f ? h : 0.1f) / (float)group;
    return r;
}

/* v in [0, limit]; 0 for NaN. */
OT_HD int ot_psroi_edge(float v, int limit)
{
    if (!(v > 0.0f))
        return 0;
    return v < (float)limit ? (int)v : limit;
}

/* Bin i covers cells [*from, *to) of [0, limit); empty when *from >= *to. */
OT_HD void ot_psroi_bin(int i, float bin, float start, int limit, int *from, int *to)
{
    *from = ot_psroi_edge(floorf((float)i * bin + start), limit);
    *to = ot_psroi_edge(ceilf((float)(i + 1) * bin + start), limit);
}

#endif
