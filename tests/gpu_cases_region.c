/*
 * gpu_cases_region.c - CUDA against the CPU: regions in numbers that a real image has, where
 * other forms of the kernels begin, and maxima of many bins in one cell.
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

static float unit(uint64_t a, uint64_t b)
{
    return ot_rng_unit(51, OT_RNG_TEST, a, b);
}

/* Of every kind: unused, of the other image, upside down, of one cell, beyond the map. */
static void give_many_rois(struct ot_mini *m)
{
    const struct ot_shape *s = &m->in[0].shape;
    const float h = (float)s->dim[2], w = (float)s->dim[3];

    for (size_t r = 0; r < m->in[1].n / 5; r++) {
        float *roi = m->in[1].v + 5 * r;

        roi[0] = r % 7 == 3 ? -1.0f : (float)(r % (size_t)s->dim[0]);
        roi[1] = floorf(unit(r, 0) * w);
        roi[2] = floorf(unit(r, 1) * h);
        roi[3] = r % 5 == 0 ? roi[1] : roi[1] + floorf(unit(r, 2) * w * 0.7f) - 1.0f;
        roi[4] = r % 5 == 0 ? roi[2] : roi[2] + floorf(unit(r, 3) * h * 0.7f) - 1.0f;
    }
}

/* 13 bins of 7, 14 or 28 columns: in float the last one ends a column beyond the RoI. */
static void give_overhanging_rois(struct ot_mini *m)
{
    for (size_t r = 0; r < m->in[1].n / 5; r++) {
        float *roi = m->in[1].v + 5 * r;

        roi[0] = 0.0f;
        roi[1] = floorf(unit(r, 0) * 10.0f);
        roi[2] = floorf(unit(r, 1) * 4.0f);
        roi[3] = roi[1] + (float)(7 << r % 3) - 1.0f;
        roi[4] = roi[2] + 5.0f;
    }
}

/* Scores with ties and NaN; boxes of an image of 300 x 320 that overlap in heaps. */
static void give_crowd(struct ot_mini *m)
{
    struct ot_mini_array *prob = &m->in[0], *pred = &m->in[1], *info = &m->in[2];

    for (size_t i = 0; i < prob->n; i++)
        prob->v[i] = i % 501 == 500 ? NAN : floorf(unit(i, 4) * 300.0f) / 300.0f;
    for (size_t i = 0; i < pred->n; i++)
        pred->v[i] = 0.6f * unit(i, 5) - 0.3f;
    for (size_t i = 0; i < info->n; i += 3) {
        info->v[i] = 300.0f - (float)i;
        info->v[i + 1] = 320.0f;
        info->v[i + 2] = 1.0f + (float)i / 6.0f;
    }
}

/* Boxes x1, y1, x2, y2, class in an image of 300 x 320. */
static void give_targets(struct ot_mini *m)
{
    struct ot_mini_array *gt = &m->in[1], *info = &m->in[2];

    for (size_t r = 0; r < gt->n / 5; r++) {
        float *b = gt->v + 5 * r;

        b[0] = 240.0f * unit(r, 6);
        b[1] = 220.0f * unit(r, 7);
        b[2] = b[0] + 16.0f + 60.0f * unit(r, 8);
        b[3] = b[1] + 16.0f + 60.0f * unit(r, 9);
        b[4] = r % 4 == 3 ? 0.0f : (float)(1 + r % 2);
    }
    for (size_t i = 0; i < info->n; i += 3) {
        info->v[i] = 300.0f;
        info->v[i + 1] = 320.0f;
        info->v[i + 2] = 1.0f;
    }
}

#define ANCHORS                                                       \
    "anchor_param { feat_stride: 12 base_size: 8 ratio: [0.5, 1, 2] " \
    "scale: [2, 5] } "
#define PROPOSAL(param)                                                                       \
    "layer { type: 'Proposal' bottom: 'p' bottom: 'd' bottom: 'i' top: 'r' top: 's' " ANCHORS \
    "proposal_param { " param " } }"
#define POOL(param) \
    "layer { type: 'ROIPooling' bottom: 'x' bottom: 'r' top: 'y' roi_pooling_param { " param " } }"

const struct ot_cuda_case ot_cuda_cases_region[] = {
    { .name = "RoI pooling, many RoIs",
      .text = POOL("pooled_h: 7 pooled_w: 7 spatial_scale: 1"),
      .n_in = 2,
      .in = { { 4, { 2, 5, 19, 23 } }, { 2, { 150, 5 } } },
      .give = give_many_rois,
      .levels = 5,
      .tol = 1e-12 },
    { .name = "RoI pooling, 117 bins",
      .text = POOL("pooled_h: 9 pooled_w: 13 spatial_scale: 1"),
      .n_in = 2,
      .in = { { 4, { 3, 3, 11, 40 } }, { 2, { 41, 5 } } },
      .give = give_many_rois,
      .levels = 3,
      .tol = 1e-12 },
    { .name = "RoI pooling, 64 bins of one cell",
      .text = POOL("pooled_h: 8 pooled_w: 8 spatial_scale: 1"),
      .n_in = 2,
      .in = { { 4, { 1, 9, 1, 1 } }, { 2, { 12, 5 } } },
      .give = give_many_rois,
      .tol = 1e-12 },
    { .name = "RoI pooling, bins beyond the RoI",
      .text = POOL("pooled_h: 2 pooled_w: 13 spatial_scale: 1"),
      .n_in = 2,
      .in = { { 4, { 1, 6, 11, 40 } }, { 2, { 20, 5 } } },
      .give = give_overhanging_rois,
      .tol = 1e-12 },
    { .name = "proposal, 3744 anchors of two images",
      .text = PROPOSAL("pre_nms_top_n: 3000 post_nms_top_n: 900 nms_thresh: 0.7 min_size: 4"),
      .n_in = 3,
      .in = { { 4, { 2, 12, 24, 26 } }, { 4, { 2, 24, 24, 26 } }, { 2, { 2, 3 } } },
      .give = give_crowd,
      .no_backward = true,
      .tol = 2e-6 },
    { .name = "proposal, all of 3744 anchors, more rows than are left",
      .text = PROPOSAL("pre_nms_top_n: 0 post_nms_top_n: 3000 nms_thresh: 0.3 min_size: 24"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 24, 26 } }, { 4, { 1, 24, 24, 26 } }, { 2, { 1, 3 } } },
      .give = give_crowd,
      .no_backward = true,
      .tol = 2e-6 },
    { .name = "proposal, 1025 before NMS, few after",
      .text = PROPOSAL("pre_nms_top_n: 1025 post_nms_top_n: 65 nms_thresh: 0.5 min_size: 0"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 24, 26 } }, { 4, { 1, 24, 24, 26 } }, { 2, { 1, 3 } } },
      .give = give_crowd,
      .no_backward = true,
      .tol = 2e-6 },
    { .name = "proposal, nothing is large enough",
      .text = PROPOSAL("pre_nms_top_n: 2000 post_nms_top_n: 10 nms_thresh: 0.5 min_size: 5000"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 24, 26 } }, { 4, { 1, 24, 24, 26 } }, { 2, { 1, 3 } } },
      .give = give_crowd,
      .no_backward = true },
    { .name = "anchor target, 3744 anchors of two images",
      .text = "layer { type: 'AnchorTarget' bottom: 's' bottom: 'g' bottom: 'i' top: 'l' top: 't' "
              "top: 'n' top: 'o' " ANCHORS "anchor_target_param { batch_size: 256 } }",
      .n_in = 3,
      .in = { { 4, { 2, 12, 24, 26 } }, { 3, { 2, 20, 5 } }, { 2, { 2, 3 } } },
      .give = give_targets,
      .no_backward = true },
    { .name = NULL },
};
