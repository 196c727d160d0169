/* test_regions.c - boxes, anchors, NMS, RoI pooling, proposals and detections. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "layers/anchors.h"
#include "layers/box_math.h"
#include "layers/regions.h"
#include "layers/roi_pool_math.h"
#include "tests/check.h"
#include "tests/gradcheck.h"
#include "tests/regions.h"

/* ---- boxes and anchors ---------------------------------------------------------------------- */

static void boxes_encode_decode_and_overlap_as_the_reference(void **state)
{
    struct ot_golden g;
    const struct ot_golden_blob *ex, *gt, *deltas;
    static float targets[200 * 4], pred[200 * 12], clipped[200 * 12], iou[200 * 40];

    (void)state;
    ot_test_golden(&g, "bbox_transform");
    ex = ot_test_blob(&g, "ex");
    gt = ot_test_blob(&g, "gt");
    deltas = ot_test_blob(&g, "deltas");
    for (size_t i = 0; i < 200; i++) {
        double t[4];

        ot_box_encode(ex->v + 4 * i, gt->v + 4 * i, t);
        for (size_t k = 0; k < 4; k++)
            targets[4 * i + k] = (float)t[k];
        for (size_t c = 0; c < 3; c++) {
            size_t at = 12 * i + 4 * c;

            ot_box_decode(ex->v + 4 * i, deltas->v + at, pred + at);
            memcpy(clipped + at, pred + at, 4 * sizeof(float));
            ot_box_clip(clipped + at, 600, 800);
        }
        for (size_t j = 0; j < 40; j++)
            iou[40 * i + j] = (float)ot_iou(ex->v + 4 * i, gt->v + 4 * j);
    }
    ot_test_same(&g, "targets", targets, 200 * 4, 1e-6);
    ot_test_same(&g, "pred", pred, 200 * 12, 1e-6);
    ot_test_same(&g, "clipped", clipped, 200 * 12, 1e-6);
    ot_test_same(&g, "iou_ex_gt40", iou, 200 * 40, 1e-7);
    ot_golden_close(&g);
}

static void anchors_case(const struct ot_golden *g, const char *name,
                         const Caffe__AnchorParameter *p)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_anchors a;

    assert_ok(ot_anchors_make(p, &a, &err), &err);
    assert_int_equal(a.a, ot_anchors_count(p));
    ot_test_same(g, name, a.box[0], 4 * (size_t)a.a, 0.0);
}

static void anchors_are_the_references_to_the_last_bit(void **state)
{
    Caffe__AnchorParameter p;
    struct ot_golden g;

    (void)state;
    ot_test_golden(&g, "anchors");
    anchors_case(&g, "default", NULL);
    caffe__anchor_parameter__init(&p);
    p.n_scale = 4;
    p.scale = (float[]){ 4, 8, 16, 32 };
    anchors_case(&g, "scales_4_8_16_32", &p);
    p.base_size = 8;
    p.n_scale = 2;
    p.scale = (float[]){ 2, 5 };
    p.n_ratio = 3;
    p.ratio = (float[]){ 0.33f, 1, 3 };
    anchors_case(&g, "ratios_033_1_3_base8", &p);
    ot_golden_close(&g);
}

static void impossible_anchors_are_refused(void **state)
{
    static const struct {
        const char *param, *message;
    } bad[] = {
        { "scale: 0", "scale: must be in (0, 10000], got 0" },
        { "ratio: -1", "ratio: must be in (0, 1000], got -1" },
        { "feat_stride: 0", "feat_stride: must be in [1, 4096], got 0" },
        { "base_size: 0", "base_size: must be in [1, 4096], got 0" },
        { "ratio: [1,2,3,4,5,6,7,8,9] scale: [1,2,3,4,5,6,7,8]",
          "anchor_param: at most 64 anchors, got 9 ratios x 8 scales" },
    };
    const struct ot_shape in[] = { ot_shape4(1, 18, 4, 4), ot_shape4(1, 36, 4, 4),
                                   ot_shape2(1, 3) };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[300];

        (void)snprintf(text, sizeof text,
                       "layer { name: 'l' type: 'Proposal' bottom: 'a' bottom: 'b' bottom: 'c' "
                       "top: 't'\nanchor_param { %s } }",
                       bad[i].param);
        ot_test_refused(text, 3, in, OT_ECONFIG, bad[i].message);
    }
}

/* ---- ranking and NMS ---------------------------------------------------------------------- */

static int by_value(const void *pa, const void *pb)
{
    const uint64_t *a = pa, *b = pb;

    return *a < *b ? -1 : *a > *b;
}

static void ranking_is_score_descending_then_index(void **state)
{
    static const float score[] = { 0.5f, -0.0f, NAN, 2, 0.5f, -3, INFINITY, 0.0f, -INFINITY };
    static const uint32_t want[] = { 6, 3, 0, 4, 1, 7, 5, 8, 2 };
    uint64_t key[9], tmp[9];

    (void)state;
    for (uint32_t i = 0; i < 9; i++)
        key[i] = ot_rank_key(score[i], i);
    ot_rank(key, tmp, 9);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(key[i] & 0xffffffffu, want[i]);
}

static void the_smallest_keys_come_first_for_every_count(void **state)
{
    (void)state;
    for (size_t n = 1; n < 40; n++)
        for (size_t m = 0; m <= n; m++) {
            uint64_t key[40], sorted[40];

            for (size_t i = 0; i < n; i++)
                key[i] = sorted[i] = (uint64_t)ot_rng_u32(n, OT_RNG_TEST, m, i) << 32 | i;
            qsort(sorted, n, sizeof *sorted, by_value);
            if (m % 3 == 0)
                memcpy(key, sorted, n * sizeof *key);
            ot_smallest(key, n, m);
            qsort(key, m, sizeof *key, by_value);
            assert_memory_equal(key, sorted, m * sizeof *key);
        }
}

static void nms_keeps_what_the_reference_keeps(void **state)
{
    static const struct {
        const char *name;
        float thresh;
    } part[] = { { "keep_30", 0.3f }, { "keep_50", 0.5f }, { "keep_70", 0.7f } };
    struct ot_golden g;
    const struct ot_golden_blob *dets;

    (void)state;
    ot_test_golden(&g, "nms");
    dets = ot_test_blob(&g, "dets");
    for (size_t p = 0; p < 3; p++) {
        const struct ot_golden_blob *keep = ot_test_blob(&g, part[p].name);
        static float mem[5 * 300];
        struct ot_kept kept = ot_kept_at(mem, 300);
        uint64_t key[300], tmp[300];

        for (uint32_t i = 0; i < 300; i++)
            key[i] = ot_rank_key(dets->v[5 * i + 4], i);
        ot_rank(key, tmp, 300);
        for (size_t i = 0; i < 300; i++) {
            size_t k = key[i] & 0xffffffffu;

            if (ot_nms_keep(&kept, dets->v + 5 * k, part[p].thresh))
                assert_int_equal(ot_test_int(keep, (size_t)kept.n - 1), k);
        }
        assert_int_equal(kept.n, keep->n);
    }
    ot_golden_close(&g);
}

static void an_overlap_of_exactly_the_threshold_is_kept(void **state)
{
    float mem[10];
    struct ot_kept kept = ot_kept_at(mem, 2);

    (void)state;
    assert_true(ot_nms_keep(&kept, (float[]){ 0, 0, 9, 9 }, 0.5f));
    assert_true(ot_nms_keep(&kept, (float[]){ 0, 0, 9, 4 }, 0.5f));
    kept.n = 1;
    assert_false(ot_nms_keep(&kept, (float[]){ 0, 0, 9, 5 }, 0.5f));
}

/* ---- RoI pooling ------------------------------------------------------------------------------
 */

static const char roi_text[] = "layer { name: 'l' type: 'ROIPooling' bottom: 'x' bottom: 'r' "
                               "top: 'y' roi_pooling_param { pooled_h: 3 pooled_w: 2 "
                               "spatial_scale: 0.5 } }";

static void corners_round_half_away_and_bins_may_pass_the_end(void **state)
{
    struct ot_roi r = ot_roi_cells((float[]){ -1, 1, 5, 3 }, 0.5f, 1, 1);
    int from, to;

    (void)state;
    assert_int_equal(r.x1, -1);
    assert_int_equal(r.y1, 1);
    assert_int_equal(r.x2, 3);
    assert_int_equal(r.y2, 2);
    r = ot_roi_cells((float[]){ 0, 0, 56, 56 }, 1.0f, 7, 7); /* 57 cells in 7 bins */
    ot_roi_bin(6, r.bin_h, r.y1, 100, &from, &to);
    assert_int_equal(to, 58);
    r = ot_roi_cells((float[]){ NAN, -1e30f, 1e30f, INFINITY }, 1.0f, 7, 7);
    ot_roi_bin(6, r.bin_w, r.x1, 10, &from, &to);
    assert_true(from >= 0 && to <= 10);
}

static void unused_rois_pool_to_zero_and_get_no_gradient(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 3, 5, 6), ot_shape2(3, 5) };
    struct ot_mini *m = ot_test_mini(roi_text, 2, in);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_mini_random(m, 4, -2, -1);
    memcpy(m->in[1].v, (float[]){ -1, 0, 0, 9, 9, 1, 0, 0, 9, 9, -1, 0, 0, 0, 0 },
           15 * sizeof(float));
    ot_test_forward(m);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (size_t i = 0; i < 18; i++) {
        assert_near(m->out[0].v[i], 0.0, 0.0);
        assert_true(m->out[0].v[18 + i] < 0.0f);
        assert_near(m->out[0].v[36 + i], 0.0, 0.0);
    }
    for (size_t i = 0; i < 90; i++)
        assert_near(m->in_grad[0].v[i], 0.0, 0.0);
    ot_mini_close(m);
}

static void a_roi_of_no_image_is_an_error(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 3, 5, 6), ot_shape2(2, 5) };
    struct ot_mini *m = ot_test_mini(roi_text, 2, in);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    memcpy(m->in[1].v, (float[]){ 0, 0, 0, 9, 9, 2, 0, 0, 9, 9 }, 10 * sizeof(float));
    assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "RoI 1: batch index must be below 2, got 2");
    ot_mini_close(m);
}

static void the_gradient_of_roi_pooling_is_that_of_its_maxima(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 2, 6, 7), ot_shape2(4, 5) };
    struct ot_mini *m = ot_test_mini(roi_text, 2, in);

    (void)state;
    ot_mini_random(m, 9, -1, 1);
    for (size_t i = 0; i < m->in[0].n; i++) /* all different: no ties within a step */
        m->in[0].v[i] = 0.05f * (float)(i * 37 % 168);
    memcpy(m->in[1].v, (float[]){ 0, 0, 0, 13, 11, 1, 3, 2, 9, 9, 1, 8, 8, 20, 20, 0, 5, 5, 5, 5 },
           20 * sizeof(float));
    assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 2 }), 168);
    ot_mini_close(m);
}

/* Scans every bin in the order of rows, as Caffe does; compares value and first place. */
static void compare_with_a_plain_scan(const struct ot_roi_pool_geom *g, const float *x,
                                      const float *box, const int32_t *argmax, const float *y)
{
    struct ot_roi r = ot_roi_cells(box, g->scale, g->ph, g->pw);

    for (int i = 0; i < g->ph * g->pw; i++) {
        int y0, y1, x0, x1, at = -1;

        ot_roi_bin(i / g->pw, r.bin_h, r.y1, g->h, &y0, &y1);
        ot_roi_bin(i % g->pw, r.bin_w, r.x1, g->w, &x0, &x1);
        for (int v = y0; v < y1; v++)
            for (int u = x0; u < x1; u++)
                if (at < 0 || x[v * g->w + u] > x[at])
                    at = v * g->w + u;
        assert_int_equal(argmax[i], at);
        assert_near(y[i], at < 0 ? 0.0f : x[at], 0.0);
    }
}

static void wide_rois_with_ties_pool_to_the_first_maximum(void **state)
{
    const struct ot_roi_pool_geom g = { 1, 2, 9, 600, 40, 3, 4, 0.5f };
    static float x[2 * 9 * 600], rois[40 * 5], y[40 * 2 * 12];
    static int32_t argmax[40 * 2 * 12];

    (void)state;
    for (size_t i = 0; i < 2 * 9 * 600; i++)
        x[i] = (float)ot_rng_below(1, OT_RNG_TEST, 7, i, i % 2 ? 3 : 60) - 70.0f;
    for (size_t i = 0; i < 40; i++)
        for (size_t k = 1; k < 5; k++)
            rois[5 * i + k] = (k % 2 ? 1300.0f : 24.0f) * ot_rng_unit(1, OT_RNG_TEST, k, i) - 3.0f;
    ot_test_dev->k->roi_pool_fwd(ot_test_dev, &g, x, rois, argmax, y);
    for (size_t i = 0; i < 80; i++)
        compare_with_a_plain_scan(&g, x + i % 2 * 5400, rois + 5 * (i / 2) + 1, argmax + 12 * i,
                                  y + 12 * i);
}

static void a_maximum_beyond_the_rois_end_gets_no_gradient(void **state)
{
    const struct ot_shape in[] = { ot_shape4(1, 1, 1, 60), ot_shape2(1, 5) };
    struct ot_mini *m = ot_test_mini("layer { name: 'l' type: 'ROIPooling' bottom: 'x' bottom: 'r' "
                                     "top: 'y' roi_pooling_param { pooled_h: 1 pooled_w: 7 } }",
                                     2, in);
    struct ot_err err = OT_ERR_INIT;
    double sum = 0.0;

    (void)state;
    memcpy(m->in[1].v, (float[]){ 0, 0, 0, 56, 0 }, 5 * sizeof(float));
    m->in[0].v[57] = 1.0f; /* 57 cells in 7 bins: the last bin sees cell 57 */
    for (size_t i = 0; i < 7; i++)
        m->out_grad[0].v[i] = 1.0f;
    ot_test_forward(m);
    assert_ok(ot_mini_backward(m, &err), &err);
    assert_near(m->out[0].v[6], 1.0, 0.0);
    for (size_t i = 0; i < 60; i++)
        sum += (double)m->in_grad[0].v[i];
    assert_near(sum, 6.0, 0.0);
    ot_mini_close(m);
}

/* ---- proposals --------------------------------------------------------------------------------
 */

static void proposal_case(const char *name, int pre, int post)
{
    const struct ot_shape in[] = { ot_shape4(1, 18, 38, 50), ot_shape4(1, 36, 38, 50),
                                   ot_shape2(1, 3) };
    struct ot_golden g;
    struct ot_mini *m;
    char text[300];

    ot_test_golden(&g, name);
    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'Proposal' bottom: 'p' bottom: 'd' bottom: 'i' "
                   "top: 'r' top: 's' proposal_param { pre_nms_top_n: %d post_nms_top_n: %d } }",
                   pre, post);
    m = ot_test_mini(text, 3, in);
    ot_test_give(&g, "scores_map", &m->in[0]);
    ot_test_give(&g, "deltas_map", &m->in[1]);
    ot_test_give(&g, "im_info", &m->in[2]);
    ot_test_forward(m);
    ot_test_same(&g, "rois", m->out[0].v, m->out[0].n, 1e-6);
    ot_test_same(&g, "scores", m->out[1].v, m->out[1].n, 0.0);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static void proposals_agree_with_py_faster_rcnn(void **state)
{
    (void)state;
    proposal_case("proposal_test", 6000, 300);
    proposal_case("proposal_train", 12000, 2000);
}

/* Small maps with 3 anchors per cell; images of different size in one batch. */
static const char small_anchors[] = "anchor_param { feat_stride: 8 base_size: 8 ratio: [0.5, 1, 2] "
                                    "scale: 2 }";

static struct ot_mini *small_proposal(int n, int post)
{
    const struct ot_shape in[] = { ot_shape4(n, 6, 5, 7), ot_shape4(n, 12, 5, 7), ot_shape2(n, 3) };
    char text[400];

    (void)snprintf(text, sizeof text,
                   "%s layer { name: 'l' type: 'Proposal' bottom: 'p' bottom: 'd' bottom: 'i' "
                   "top: 'r' top: 's' proposal_param { post_nms_top_n: %d min_size: 4 } }",
                   small_anchors, post);
    return ot_test_mini(text, 3, in);
}

static void images_of_a_batch_are_proposed_as_if_alone(void **state)
{
    static const float info[] = { 40, 56, 1, 33, 41, 1.5f, 40, 50, 0.5f };
    struct ot_mini *all = small_proposal(3, 20), *one = small_proposal(1, 20);

    (void)state;
    ot_mini_random(all, 31, -0.5f, 0.5f);
    memcpy(all->in[2].v, info, sizeof info);
    ot_test_forward(all);
    for (size_t i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            memcpy(one->in[k].v, all->in[k].v + i * one->in[k].n, one->in[k].n * sizeof(float));
        ot_test_forward(one);
        for (size_t r = 0; r < 20; r++) {
            const float *a = all->out[0].v + 5 * (20 * i + r), *b = one->out[0].v + 5 * r;

            assert_near(a[0], b[0] < 0.0f ? -1.0f : (float)i, 0.0);
            assert_memory_equal(a + 1, b + 1, 4 * sizeof(float));
        }
        assert_memory_equal(all->out[1].v + 20 * i, one->out[1].v, 20 * sizeof(float));
    }
    ot_mini_close(all);
    ot_mini_close(one);
}

static void rows_without_a_proposal_are_marked_unused(void **state)
{
    struct ot_mini *m = small_proposal(1, 200);
    bool unused = false;
    size_t used = 0;

    (void)state;
    ot_mini_random(m, 32, -0.5f, 0.5f);
    for (size_t i = 0; i < 12; i++)
        m->in[1].v[35 * i] = NAN; /* boxes that are not numbers are no proposals */
    memcpy(m->in[2].v, (float[]){ 40, 56, 1 }, 3 * sizeof(float));
    ot_test_forward(m);
    assert_int_equal(m->out[0].n, 1000);
    for (size_t r = 0; r < 200; r++) {
        const float *roi = m->out[0].v + 5 * r;

        assert_true(roi[0] == 0.0f || roi[0] == -1.0f);
        unused = unused || roi[0] < 0.0f;
        assert_true(unused == (roi[0] < 0.0f));
        used += !unused;
        assert_true(unused || (roi[1] >= 0 && roi[2] >= 0 && roi[3] <= 55 && roi[4] <= 39 &&
                               roi[3] - roi[1] + 1 >= 4 && roi[4] - roi[2] + 1 >= 4));
        if (unused)
            assert_true(roi[1] == 0 && roi[2] == 0 && roi[3] == 0 && roi[4] == 0);
        if (r && !unused)
            assert_true(m->out[1].v[r] <= m->out[1].v[r - 1]);
    }
    assert_true(used > 5 && used < 105);
    ot_mini_close(m);
}

static void proposals_of_equal_score_come_in_the_order_of_anchors(void **state)
{
    struct ot_mini *m = small_proposal(1, 105);

    (void)state;
    memcpy(m->in[2].v, (float[]){ 400, 560, 0.01f }, 3 * sizeof(float));
    ot_test_forward(m); /* scores and deltas 0 */
    for (size_t r = 1; r < 105 && m->out[0].v[5 * r] >= 0.0f; r++) {
        const float *a = m->out[0].v + 5 * (r - 1), *b = a + 5;

        assert_true(b[4] >= a[4] - 24.0f); /* never back by more than a row of cells */
    }
    ot_mini_close(m);
}

static void no_more_than_the_best_go_into_nms(void **state)
{
    const struct ot_shape in[] = { ot_shape4(1, 6, 5, 7), ot_shape4(1, 12, 5, 7), ot_shape2(1, 3) };
    struct ot_mini *m = ot_test_mini(
        "anchor_param { feat_stride: 8 base_size: 8 ratio: [0.5, 1, 2] scale: 1 } "
        "layer { name: 'l' type: 'Proposal' bottom: 'p' bottom: 'd' bottom: 'i' top: 'r' top: 's' "
        "proposal_param { pre_nms_top_n: 7 post_nms_top_n: 20 nms_thresh: 1 min_size: 0 } }",
        3, in);

    (void)state;
    ot_mini_random(m, 33, 0, 0.01f);
    memcpy(m->in[2].v, (float[]){ 40, 56, 1 }, 3 * sizeof(float));
    ot_test_forward(m);
    assert_true(m->out[0].v[5 * 6] == 0.0f);
    assert_true(m->out[0].v[5 * 7] == -1.0f);
    ot_mini_close(m);
}

static void wrong_proposal_settings_are_refused_by_name(void **state)
{
    const struct ot_shape in[] = { ot_shape4(1, 18, 4, 4), ot_shape4(1, 30, 4, 4),
                                   ot_shape2(1, 3) };
    static const char *const head = "layer { name: 'l' type: 'Proposal' bottom: 'p' bottom: 'd' "
                                    "bottom: 'i' top: 'r'";
    char text[300];

    (void)state;
    (void)snprintf(text, sizeof text, "%s }", head);
    ot_test_refused(text, 3, in, OT_ESHAPE,
                    "bottom 'd': wanted box deltas of shape 1x36x4x4, got 1x30x4x4");
    (void)snprintf(text, sizeof text, "%s\nproposal_param { post_nms_top_n: 0 } }", head);
    ot_test_refused(text, 3, in, OT_ECONFIG,
                    "mini.prototxt:2:18: layer 'l': post_nms_top_n: must be in [1, 1048576]");
    (void)snprintf(text, sizeof text, "%s proposal_param { nms_thresh: 1.5 } }", head);
    ot_test_refused(text, 3, in, OT_ECONFIG, "nms_thresh: must be in [0, 1], got 1.5");
    (void)snprintf(text, sizeof text, "%s proposal_param { min_size: -1 } }", head);
    ot_test_refused(text, 3, in, OT_ECONFIG, "min_size: must be >= 0, got -1");
    (void)snprintf(text, sizeof text, "%s roi_pooling_param { } }",
                   "layer { name: 'l' type: "
                   "'ROIPooling' bottom: 'p' bottom: 'd' top: 'r'");
    ot_test_refused(text, 2, in, OT_ECONFIG, "pooled_h: must be in [1, 1024], got 0");
    ot_test_refused(roi_text, 2, in, OT_ESHAPE,
                    "bottom 'r': wanted RoIs of shape Rx5, got 1x30x4x4");
}

/* ---- detections -------------------------------------------------------------------------------
 */

static struct ot_mini *detector_of(int n, int rois, int room, bool agnostic)
{
    const struct ot_shape in[] = { ot_shape2(rois, 5), ot_shape2(rois, 3),
                                   ot_shape2(rois, agnostic ? 8 : 12), ot_shape2(n, 3) };
    char text[300];

    (void)snprintf(text, sizeof text,
                   "num_classes: 3 layer { name: 'l' type: 'DetectionOutput' bottom: 'r' "
                   "bottom: 'p' bottom: 'd' bottom: 'i' top: 'o' detection_output_param { "
                   "max_per_image: %d class_agnostic: %s } }",
                   room, agnostic ? "true" : "false");
    return ot_test_mini(text, 4, in);
}

static struct ot_mini *detector(int n, int rois, int room)
{
    return detector_of(n, rois, room, false);
}

static void detections_are_in_pixels_of_the_original_image(void **state)
{
    struct ot_mini *m = detector(1, 3, 4);
    /* 20 x 40 original pixels at scale 2; the third row is unused */
    static const float want[] = { 0, 2, 0.9f, 5, 2.5f, 15.5f, 13 };

    (void)state;
    memcpy(m->in[0].v, (float[]){ 0, 10, 5, 29, 24, 0, 12, 5, 29, 24, -1, 0, 0, 9, 9 },
           15 * sizeof(float));
    memcpy(m->in[1].v, (float[]){ 0.05f, 0.05f, 0.9f, 0.2f, 0, 0.8f, 0, 0, 1 }, 9 * sizeof(float));
    memcpy(m->in[3].v, (float[]){ 40, 80, 2 }, 3 * sizeof(float));
    ot_test_forward(m);
    /* the second overlaps the first of its class; background never counts; 0.05 is not above */
    assert_memory_equal(m->out[0].v, want, 3 * sizeof(float));
    for (size_t k = 3; k < 7; k++)
        assert_near(m->out[0].v[k], want[k], 1e-5);
    for (size_t r = 1; r < 4; r++)
        assert_near(m->out[0].v[7 * r], -1.0, 0.0);
    memset(m->in[2].v, 0, m->in[2].n * sizeof(float));
    m->in[2].v[8] = 1.0f; /* class 2 of row 0: one tenth of 10.5 pixels to the right */
    m->in[2].v[11] = 50.0f;
    ot_test_forward(m);
    assert_near(m->out[0].v[3], 6.05, 1e-5);
    assert_near(m->out[0].v[4], 0.0, 0.0); /* e^10 times as high: clipped to 20 rows */
    assert_near(m->out[0].v[6], 19.0, 0.0);
    ot_mini_close(m);
}

static void detections_are_the_best_of_each_image(void **state)
{
    struct ot_mini *m = detector(2, 200, 9);
    size_t above = 0;

    (void)state;
    ot_mini_random(m, 5, 0, 1);
    for (size_t r = 0; r < 200; r++) {
        float x = 10.0f * (float)(r / 2 % 20), y = 10.0f * (float)(r / 40);
        const float roi[] = { (float)(r % 2), x, y, x + 8, y + 8 };

        memcpy(m->in[0].v + 5 * r, roi, sizeof roi);
    }
    memset(m->in[2].v, 0, m->in[2].n * sizeof(float));
    memcpy(m->in[3].v, (float[]){ 300, 300, 1, 300, 300, 1 }, 6 * sizeof(float));
    ot_test_forward(m);
    for (size_t i = 0; i < 2; i++) {
        float last = m->out[0].v[7 * (9 * i + 8) + 2];

        for (size_t j = 0; j < 9; j++) {
            const float *d = m->out[0].v + 7 * (9 * i + j);

            assert_near(d[0], (double)i, 0.0);
            assert_true(j == 0 || d[2] <= d[-5]);
        }
        above = 0;
        for (size_t r = i; r < 200; r += 2)
            for (size_t c = 1; c < 3; c++)
                above += m->in[1].v[3 * r + c] >= last;
        assert_int_equal(above, 9); /* no box overlaps another: nothing better was left out */
    }
    ot_mini_close(m);
}

/* One box for all classes: as if every class had that box of its own. */
static void class_agnostic_detections_take_the_box_of_all(void **state)
{
    struct ot_mini *own = detector(1, 30, 20), *one = detector_of(1, 30, 20, true);

    (void)state;
    ot_mini_random(own, 5, 0, 1);
    for (size_t r = 0; r < 30; r++) {
        const float roi[] = { 0, (float)r, (float)(r % 7), (float)r + 30, (float)(r % 7) + 20 };

        memcpy(own->in[0].v + 5 * r, roi, sizeof roi);
        memcpy(own->in[2].v + 12 * r + 8, own->in[2].v + 12 * r + 4, 4 * sizeof(float));
        memcpy(one->in[2].v + 8 * r, own->in[2].v + 12 * r, 8 * sizeof(float));
    }
    memcpy(own->in[3].v, (float[]){ 90, 90, 1 }, 3 * sizeof(float));
    for (int i = 0; i < 4; i++)
        if (i != 2)
            memcpy(one->in[i].v, own->in[i].v, own->in[i].n * sizeof(float));
    ot_test_forward(own);
    ot_test_forward(one);
    assert_memory_equal(one->out[0].v, own->out[0].v, own->out[0].n * sizeof(float));
    assert_true(one->out[0].v[7] >= 0.0f);
    ot_mini_close(own);
    ot_mini_close(one);
}

static void wrong_detection_settings_are_refused_by_name(void **state)
{
    const struct ot_shape in[] = { ot_shape2(4, 5), ot_shape2(4, 3), ot_shape2(4, 8),
                                   ot_shape2(1, 3) };
    static const char *const head = "layer { name: 'l' type: 'DetectionOutput' bottom: 'r' "
                                    "bottom: 'p' bottom: 'd' bottom: 'i' top: 'o'\n"
                                    "detection_output_param {";

    static const struct {
        const char *param;
        enum ot_code code;
        const char *message;
    } bad[] = {
        { "", OT_ECONFIG, "num_classes: must be given here or in the net, got neither" },
        { "num_classes: 1", OT_ECONFIG, "num_classes: must be at least 2 (background included)" },
        { "num_classes: 3", OT_ESHAPE, "bottom 'd': wanted box deltas of shape 4x12, got 4x8" },
        { "num_classes: 3 max_per_image: 0", OT_ECONFIG, "max_per_image: must be in [1, 1048576]" },
        { "num_classes: 3 bbox_mean: [1, 2]", OT_ECONFIG, "bbox_mean: must have 4 values, got 2" },
        { "num_classes: 3 bbox_std: [1, 2, 0, 1]", OT_ECONFIG, "bbox_std: must be > 0, got 0" },
        { "num_classes: 3 nms_thresh: -1", OT_ECONFIG, "nms_thresh: must be in [0, 1], got -1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[300];

        (void)snprintf(text, sizeof text, "%s %s } }", head, bad[i].param);
        ot_test_refused(text, 4, in, bad[i].code, bad[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_encode_decode_and_overlap_as_the_reference),
        cmocka_unit_test(anchors_are_the_references_to_the_last_bit),
        cmocka_unit_test(impossible_anchors_are_refused),
        cmocka_unit_test(ranking_is_score_descending_then_index),
        cmocka_unit_test(the_smallest_keys_come_first_for_every_count),
        cmocka_unit_test(nms_keeps_what_the_reference_keeps),
        cmocka_unit_test(an_overlap_of_exactly_the_threshold_is_kept),
        cmocka_unit_test(corners_round_half_away_and_bins_may_pass_the_end),
        cmocka_unit_test(unused_rois_pool_to_zero_and_get_no_gradient),
        cmocka_unit_test(a_roi_of_no_image_is_an_error),
        cmocka_unit_test(the_gradient_of_roi_pooling_is_that_of_its_maxima),
        cmocka_unit_test(wide_rois_with_ties_pool_to_the_first_maximum),
        cmocka_unit_test(a_maximum_beyond_the_rois_end_gets_no_gradient),
        cmocka_unit_test(proposals_agree_with_py_faster_rcnn),
        cmocka_unit_test(images_of_a_batch_are_proposed_as_if_alone),
        cmocka_unit_test(rows_without_a_proposal_are_marked_unused),
        cmocka_unit_test(proposals_of_equal_score_come_in_the_order_of_anchors),
        cmocka_unit_test(no_more_than_the_best_go_into_nms),
        cmocka_unit_test(wrong_proposal_settings_are_refused_by_name),
        cmocka_unit_test(detections_are_in_pixels_of_the_original_image),
        cmocka_unit_test(detections_are_the_best_of_each_image),
        cmocka_unit_test(class_agnostic_detections_take_the_box_of_all),
        cmocka_unit_test(wrong_detection_settings_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, ot_test_open_device, ot_test_close_device);
}
