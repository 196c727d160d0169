/*
 * region_math.h - anchors, candidates and ranks: what the region kernels of every device must
 * compute bit for bit alike, because comparisons decide labels.
 *
 * The order of anchors is (y, x, anchor), index (y w + x) a + anchor.
 */
#ifndef OT_LAYERS_REGION_MATH_H
#define OT_LAYERS_REGION_MATH_H

#include <string.h>

#include "layers/box_math.h"
#include "layers/geom.h"

/* Labels of anchors and kinds of candidates while they are being chosen. */
enum { OT_ANCHOR_OUTSIDE = -2, OT_ANCHOR_IGNORED = -1, OT_ANCHOR_BG = 0, OT_ANCHOR_FG = 1 };

/* NONE: of another image, unused, or in neither range of overlap */
enum { OT_ROI_NONE = 0, OT_ROI_BG = 1, OT_ROI_FG = 2 };

/* Anchor k of a map `w` cells wide, in pixels. */
OT_HD void ot_anchor_at(const struct ot_anchors *anchors, int w, size_t k, float box[4])
{
    size_t a = (size_t)anchors->a, cell = k / a;
    const float *ref = anchors->box[k % a];
    float x = (float)(cell % (size_t)w) * (float)anchors->stride;
    float y = (float)(cell / (size_t)w) * (float)anchors->stride;

    box[0] = ref[0] + x;
    box[1] = ref[1] + y;
    box[2] = ref[2] + x;
    box[3] = ref[3] + y;
}

OT_HD int ot_anchor_inside(const float box[4], double border, const float *im_info)
{
    return (double)box[0] >= -border && (double)box[1] >= -border &&
           (double)box[2] < (double)im_info[1] + border &&
           (double)box[3] < (double)im_info[0] + border;
}

/* Key that sorts ascending as score descending, then index ascending; NaN comes last. */
OT_HD uint64_t ot_rank_of(float score, uint32_t index)
{
    uint32_t bits;

    score += 0.0f; /* -0 ties with 0 */
    memcpy(&bits, &score, sizeof bits);
    bits = bits >> 31 ? bits : bits ^ 0x7fffffffu; /* ascending = score descending */
    if (score != score)
        bits = 0xffffffffu;
    return (uint64_t)bits << 32 | index;
}

/* Candidates of image i for the detector: rows of rois, then its boxes, then its booked rows. */
OT_HD size_t ot_roi_candidates(const struct ot_proposal_target_geom *g)
{
    return (size_t)g->rois + (size_t)g->gts + (size_t)g->booked;
}

/* Box of candidate c; NULL when image i has no such candidate. */
OT_HD const float *ot_roi_candidate(const struct ot_proposal_target_geom *g, int i, size_t c,
                                    const float *rois, const float *gt, const float *booked)
{
    const size_t r = (size_t)g->rois, n = (size_t)g->gts;
    const float *b;

    if (c < r)
        return rois[5 * c] == (float)i ? rois + 5 * c + 1 : NULL;
    if (c < r + n) {
        b = gt + ((size_t)i * n + (c - r)) * (size_t)g->gt_cols;
        return g->append_gt && b[4] > 0.0f ? b : NULL;
    }
    b = booked + 5 * ((size_t)i * (size_t)g->booked + (c - r - n));
    return b[4] >= 1.0f ? b : NULL;
}

/* Which of a row's boxes is that of class cls: its own, or the one of all objects. */
OT_HD int ot_box_class(int cls, int box_classes)
{
    return cls < box_classes ? cls : 1;
}

/* Whether a box teaches: one of weight 0 (a label that was planted, or excluded by a person) says
 * nothing, neither that there is an object nor that there is none. */
OT_HD bool ot_box_teaches(const float *box, int cols)
{
    return cols <= 5 || box[5] > 0.0f;
}

/* What a background region counts: the least weight of the quarantined regions (booked rows with
 * a weight below 1) that it coincides with. */
OT_HD float ot_background_weight(const struct ot_proposal_target_geom *g, int i, const float *box,
                                 const float *booked)
{
    const double same_place = 0.7; /* overlap of two boxes that mean the same */
    float weight = 1.0f;

    for (int k = 0; k < g->booked; k++) {
        const float *b = booked + 5 * ((size_t)i * (size_t)g->booked + (size_t)k);

        if (b[4] > 0.0f && b[4] < weight && ot_iou(box, b) >= same_place)
            weight = b[4];
    }
    return weight;
}

#endif
