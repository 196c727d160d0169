/*
 * roi_pool_math.h - which cells of the feature map belong to a bin of a RoI, for every device.
 *
 * Corners times `scale` are rounded half away from zero to cells, both inclusive, at least one
 * cell; bin edges are float, floor and ceil, and may lie one cell beyond the RoI's end.
 * Source: R. Girshick, "Fast R-CNN", ICCV 2015, section 2.1, as its Caffe computes it.
 */
#ifndef OT_LAYERS_ROI_POOL_MATH_H
#define OT_LAYERS_ROI_POOL_MATH_H

#include <math.h>

#include "base/hd.h"

enum { OT_ROI_BINS = 1024 }; /* along one side, at most */

/* Which of `n` images a row of RoIs names: -1 for an unused row or one that names none. */
OT_HD int ot_roi_image(const float *roi, int n)
{
    return roi[0] >= 0.0f && roi[0] < (float)n ? (int)roi[0] : -1;
}

struct ot_roi {         /* in cells */
    int x1, y1, x2, y2; /* inclusive, as rounded */
    float bin_h, bin_w;
};

/* Rounded half away from zero; beyond +-2^24 and NaN to a number that no map reaches. */
OT_HD int ot_cell(float v)
{
    v = roundf(v);
    if (!(v > -16777216.0f))
        return -16777216;
    return v < 16777216.0f ? (int)v : 16777216;
}

OT_HD struct ot_roi ot_roi_cells(const float box[4], float scale, int ph, int pw)
{
    struct ot_roi r;
    int h, w;

    r.x1 = ot_cell(box[0] * scale);
    r.y1 = ot_cell(box[1] * scale);
    r.x2 = ot_cell(box[2] * scale);
    r.y2 = ot_cell(box[3] * scale);
    h = r.y2 - r.y1 + 1;
    w = r.x2 - r.x1 + 1;
    r.bin_h = (float)(h > 1 ? h : 1) / (float)ph;
    r.bin_w = (float)(w > 1 ? w : 1) / (float)pw;
    return r;
}

/* Bin i covers cells [*from, *to) of [0, limit); empty when *from >= *to. */
OT_HD void ot_roi_bin(int i, float bin, int start, int limit, int *from, int *to)
{
    int a = (int)floorf((float)i * bin) + start, b = (int)ceilf((float)(i + 1) * bin) + start;

    *from = a < 0 ? 0 : a > limit ? limit : a;
    *to = b < 0 ? 0 : b > limit ? limit : b;
}

/* A maximum that a bin found beyond the RoI's own end gets no gradient, as in Caffe. */
OT_HD int ot_roi_has(const struct ot_roi *r, int y, int x)
{
    return y >= r->y1 && y <= r->y2 && x >= r->x1 && x <= r->x2;
}

#endif
