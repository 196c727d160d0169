/*
 * box_math.h - the arithmetic of boxes, one formula for every device.
 *
 * A box is x1, y1, x2, y2 with inclusive corners: x1 == x2 is one pixel wide, so a width is
 * x2 - x1 + 1 (Girshick's convention).  Overlaps that decide labels are double, because a box's
 * best anchor is found by equality; NMS and decoding are float, as in py-faster-rcnn's numpy.
 *
 * Source: S. Ren et al., "Faster R-CNN", NIPS 2015, eq. 2; R. Girshick, "Fast R-CNN", ICCV 2015.
 */
#ifndef OT_LAYERS_BOX_MATH_H
#define OT_LAYERS_BOX_MATH_H

#include <math.h>

#include "base/hd.h"

OT_HD double ot_box_area(const float b[4])
{
    return ((double)b[2] - (double)b[0] + 1.0) * ((double)b[3] - (double)b[1] + 1.0);
}

/* Intersection over union; 0 for boxes that do not touch. */
OT_HD double ot_iou(const float a[4], const float b[4])
{
    double x1 = a[0] > b[0] ? (double)a[0] : (double)b[0];
    double y1 = a[1] > b[1] ? (double)a[1] : (double)b[1];
    double x2 = a[2] < b[2] ? (double)a[2] : (double)b[2];
    double y2 = a[3] < b[3] ? (double)a[3] : (double)b[3];
    double w = x2 - x1 + 1.0, h = y2 - y1 + 1.0;

    if (!(w > 0.0 && h > 0.0))
        return 0.0;
    return w * h / (ot_box_area(a) + ot_box_area(b) - w * h);
}

OT_HD float ot_nms_area(const float b[4])
{
    return (b[2] - b[0] + 1.0f) * (b[3] - b[1] + 1.0f);
}

/* The overlap that NMS compares: kept box k of area ka with candidate c of area ca. */
OT_HD float ot_nms_iou(float kx1, float ky1, float kx2, float ky2, float ka, const float c[4],
                       float ca)
{
    float x1 = kx1 > c[0] ? kx1 : c[0], y1 = ky1 > c[1] ? ky1 : c[1];
    float x2 = kx2 < c[2] ? kx2 : c[2], y2 = ky2 < c[3] ? ky2 : c[3];
    float w = x2 - x1 + 1.0f, h = y2 - y1 + 1.0f, inter;

    w = w > 0.0f ? w : 0.0f;
    h = h > 0.0f ? h : 0.0f;
    inter = w * h;
    return inter / (ka + ca - inter);
}

/* t = what takes box `ex` to box `gt`: shift of the centre in widths, log of the ratio of sizes */
OT_HD void ot_box_encode(const float ex[4], const float gt[4], double t[4])
{
    double ew = (double)ex[2] - (double)ex[0] + 1.0, eh = (double)ex[3] - (double)ex[1] + 1.0;
    double gw = (double)gt[2] - (double)gt[0] + 1.0, gh = (double)gt[3] - (double)gt[1] + 1.0;

    t[0] = ((double)gt[0] + 0.5 * gw - ((double)ex[0] + 0.5 * ew)) / ew;
    t[1] = ((double)gt[1] + 0.5 * gh - ((double)ex[1] + 0.5 * eh)) / eh;
    t[2] = log(gw / ew);
    t[3] = log(gh / eh);
}

/* The inverse, except that x2 and y2 come out one pixel larger, as in py-faster-rcnn. */
OT_HD void ot_box_decode(const float b[4], const float t[4], float out[4])
{
    float w = b[2] - b[0] + 1.0f, h = b[3] - b[1] + 1.0f;
    float cx = t[0] * w + (b[0] + 0.5f * w), cy = t[1] * h + (b[1] + 0.5f * h);
    float ow = expf(t[2]) * w, oh = expf(t[3]) * h;

    out[0] = cx - 0.5f * ow;
    out[1] = cy - 0.5f * oh;
    out[2] = cx + 0.5f * ow;
    out[3] = cy + 0.5f * oh;
}

/* Into [0, hi]; NaN stays. */
OT_HD float ot_clip1(float v, float hi)
{
    v = v > hi ? hi : v;
    return v < 0.0f ? 0.0f : v;
}

/* Into an image of h x w pixels. */
OT_HD void ot_box_clip(float b[4], float h, float w)
{
    b[0] = ot_clip1(b[0], w - 1.0f);
    b[1] = ot_clip1(b[1], h - 1.0f);
    b[2] = ot_clip1(b[2], w - 1.0f);
    b[3] = ot_clip1(b[3], h - 1.0f);
}

#endif
