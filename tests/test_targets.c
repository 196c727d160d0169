/* test_targets.c - what the region proposal network and the detector are taught. */
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "layers/box_math.h"
#include "layers/regions.h"
#include "tests/check.h"
#include "tests/regions.h"

static size_t count_equal(const struct ot_mini_array *a, size_t from, size_t n, float v)
{
    size_t found = 0;

    for (size_t i = from; i < from + n; i++)
        found += a->v[i] == v;
    return found;
}

static void *scratch_of(size_t bytes)
{
    struct ot_err err = OT_ERR_INIT;
    void *p = ot_alloc(bytes, 1, &err);

    assert_non_null(p);
    return p;
}

/* ---- anchors ------------------------------------------------------------------------------- */

static struct ot_mini *golden_anchors(const struct ot_golden *g, const char *param)
{
    const struct ot_shape in[] = { ot_shape4(1, 18, 38, 50), ot_shape2(6, 5), ot_shape2(1, 3) };
    struct ot_mini *m;
    char text[300];

    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'AnchorTarget' bottom: 's' bottom: 'g' bottom: 'i' "
                   "top: 'l' top: 't' top: 'n' top: 'o' anchor_target_param { %s } }",
                   param);
    m = ot_test_mini(text, 3, in);
    ot_test_give(g, "gt_boxes", &m->in[1]);
    ot_test_give(g, "im_info", &m->in[2]);
    return m;
}

static void anchors_are_labelled_as_in_py_faster_rcnn(void **state)
{
    struct ot_golden g;
    struct ot_mini *m;

    (void)state;
    ot_test_golden(&g, "anchor_target");
    m = golden_anchors(&g, "batch_size: 1000000");
    ot_test_forward(m);
    ot_test_same(&g, "labels_nosample", m->out[0].v, m->out[0].n, 0.0);
    ot_test_same(&g, "bbox_targets_nosample", m->out[1].v, m->out[1].n, 1e-7);
    ot_test_same(&g, "bbox_inside_weights_nosample", m->out[2].v, m->out[2].n, 0.0);
    ot_test_same(&g, "bbox_outside_weights_nosample", m->out[3].v, m->out[3].n, 1e-7);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static void sampled_anchors_give_the_references_targets(void **state)
{
    struct ot_golden g;
    struct ot_mini *m;
    const struct ot_anchor_target_geom *geom;
    const struct ot_golden_blob *inside, *off;
    struct ot_anchor_work w;
    void *scratch;

    (void)state;
    ot_test_golden(&g, "anchor_target");
    m = golden_anchors(&g, "");
    geom = m->layer.state;
    scratch = scratch_of(ot_anchor_target_scratch(geom));
    w = ot_anchor_work_at(geom, 0, scratch);
    ot_anchor_assign(geom, 0, m->in[1].v, m->in[2].v, &w);
    inside = ot_test_blob(&g, "inside_inds");
    for (size_t k = 0, j = 0; k < 9 * 38 * 50; k++)
        if (w.label[k] != OT_ANCHOR_OUTSIDE)
            assert_int_equal(ot_test_int(inside, j++), k);
    off = ot_test_blob(&g, "disabled_bg");
    for (size_t j = 0; j < off->n; j++)
        w.label[ot_test_int(inside, (size_t)ot_test_int(off, j))] = OT_ANCHOR_IGNORED;
    ot_anchor_write(geom, m->in[1].v, scratch, m->out[0].v, m->out[1].v, m->out[2].v, m->out[3].v);
    ot_test_same(&g, "labels", m->out[0].v, m->out[0].n, 0.0);
    ot_test_same(&g, "bbox_targets", m->out[1].v, m->out[1].n, 1e-7);
    ot_test_same(&g, "bbox_inside_weights", m->out[2].v, m->out[2].n, 0.0);
    ot_test_same(&g, "bbox_outside_weights", m->out[3].v, m->out[3].n, 1e-7);
    ot_free(scratch);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static const char small_anchors[] = "anchor_param { feat_stride: 8 base_size: 8 ratio: [0.5, 1, 2] "
                                    "scale: 2 }";

static struct ot_mini *small_targets(int n, int gts, const char *param)
{
    const struct ot_shape in[] = { ot_shape4(n, 6, 8, 10), { 3, { n, gts, 6 } }, ot_shape2(n, 3) };
    char text[500];

    (void)snprintf(text, sizeof text,
                   "%s layer { name: 'l' type: 'AnchorTarget' bottom: 's' bottom: 'g' bottom: 'i' "
                   "top: 'l' top: 't' top: 'n' top: 'o' anchor_target_param { %s } }",
                   small_anchors, param);
    return ot_test_mini(text, 3, in);
}

/* Two images of different size, three rows of boxes each, some unused. */
static void give_scenes(struct ot_mini *m, int gt, int info)
{
    static const float boxes[] = { 3, 5, 20, 18, 1,  1, 40, 30, 70, 60, 2, 0.25f,
                                   0, 0, 0,  0,  -1, 0, 10, 10, 30, 22, 2, 1,
                                   0, 0, 0,  0,  -1, 0, 33, 8,  47, 23, 1, 0.5f };
    static const float images[] = { 64, 80, 1, 50, 61, 1 };

    memcpy(m->in[gt].v, boxes, m->in[gt].n * sizeof(float));
    if (info)
        memcpy(m->in[info].v, images, m->in[info].n * sizeof(float));
}

static void images_of_a_batch_are_labelled_as_if_alone(void **state)
{
    struct ot_mini *all = small_targets(2, 3, "batch_size: 5000"),
                   *one = small_targets(1, 3, "batch_size: 5000");
    double active = 0.0, alone[2];

    (void)state;
    give_scenes(all, 1, 2);
    ot_test_forward(all);
    for (size_t i = 0; i < 2; i++)
        alone[i] = 240.0 - (double)count_equal(&all->out[0], 240 * i, 240, -1.0f);
    active = alone[0] + alone[1];
    for (size_t i = 0; i < 2; i++) {
        for (int k = 1; k < 3; k++)
            memcpy(one->in[k].v, all->in[k].v + i * one->in[k].n, one->in[k].n * sizeof(float));
        ot_test_forward(one);
        assert_memory_equal(one->out[0].v, all->out[0].v + 240 * i, 240 * sizeof(float));
        assert_memory_equal(one->out[1].v, all->out[1].v + 960 * i, 960 * sizeof(float));
        assert_memory_equal(one->out[2].v, all->out[2].v + 960 * i, 960 * sizeof(float));
        /* SmoothL1Loss divides by the images: 2 / active here is 1 / active in the loss */
        for (size_t j = 0; j < 960; j++)
            assert_near(all->out[3].v[960 * i + j],
                        (double)one->out[3].v[j] * alone[i] * 2.0 / active, 1e-8);
    }
    ot_mini_close(all);
    ot_mini_close(one);
}

static void the_sample_has_exactly_the_asked_size_and_share(void **state)
{
    struct ot_mini *m = small_targets(2, 3,
                                      "batch_size: 21 fg_fraction: 0.1 "
                                      "positive_overlap: 0.2 negative_overlap: 0.1");
    static float first[480];
    size_t same = 0;

    (void)state;
    give_scenes(m, 1, 2);
    for (uint64_t iter = 0; iter < 5; iter++) {
        m->env.iter = iter % 4;
        ot_test_forward(m);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(count_equal(&m->out[0], 240 * i, 240, 1.0f), 2); /* int(2.1) */
            assert_int_equal(count_equal(&m->out[0], 240 * i, 240, 0.0f), 19);
        }
        if (iter == 0)
            memcpy(first, m->out[0].v, sizeof first);
        else if (iter < 4)
            same += !memcmp(first, m->out[0].v, sizeof first);
        else
            assert_memory_equal(first, m->out[0].v, sizeof first); /* iteration 0 again */
    }
    assert_int_equal(same, 0);
    ot_mini_close(m);
}

static void a_boxs_weight_scales_its_anchors_outside_weights(void **state)
{
    struct ot_mini *m = small_targets(1, 3, "batch_size: 5000");
    size_t light = 0, full = 0;
    double unit;

    (void)state;
    give_scenes(m, 1, 2);
    ot_test_forward(m);
    unit = 1.0 / (240.0 - (double)count_equal(&m->out[0], 0, 240, -1.0f));
    for (size_t k = 0; k < 240; k++) {
        size_t a = k / 80, cell = k % 80;
        double w = (double)m->out[3].v[4 * a * 80 + cell];

        if (m->out[0].v[k] == 1.0f && cell / 10 > 2) { /* the lower box: weight 1/4 */
            assert_near(w, 0.25 * unit, 1e-8);
            light++;
        } else if (m->out[0].v[k] >= 0.0f) {
            assert_near(w, unit, 1e-8);
            full++;
        } else
            assert_near(w, 0.0, 0.0);
    }
    assert_true(light > 0 && full > 0);
    ot_mini_close(m);
}

static void anchors_of_a_box_of_weight_0_are_ignored(void **state)
{
    struct ot_mini *with = small_targets(1, 3, "batch_size: 5000"),
                   *without = small_targets(1, 3, "batch_size: 5000");
    size_t muted = 0, fg = 0, at = 0;

    (void)state;
    give_scenes(with, 1, 2);
    give_scenes(without, 1, 2);
    for (size_t j = 0; j < 3; j++) /* the lower box, of weight 1/4 */
        at = without->in[1].v[6 * j + 5] == 0.25f ? j : at;
    without->in[1].v[6 * at + 5] = 0.0f;
    ot_test_forward(with);
    ot_test_forward(without);
    for (size_t k = 0; k < 240; k++) {
        float a = with->out[0].v[k], b = without->out[0].v[k];
        float w = without->out[3].v[4 * (k / 80) * 80 + k % 80];

        muted += a == 1.0f && b == -1.0f;
        fg += a == 1.0f && b == 1.0f;
        assert_true(a == b || (a == 1.0f && b == -1.0f)); /* never background instead */
        assert_true((w > 0.0f) == (b >= 0.0f));
    }
    assert_true(muted > 0 && fg > 0);
    ot_mini_close(with);
    ot_mini_close(without);
}

static void an_image_without_boxes_has_only_background(void **state)
{
    struct ot_mini *m = small_targets(2, 0, "batch_size: 30");

    (void)state;
    give_scenes(m, 1, 2);
    ot_test_forward(m);
    assert_int_equal(count_equal(&m->out[0], 0, 480, 1.0f), 0);
    assert_int_equal(count_equal(&m->out[0], 0, 480, 0.0f), 60);
    assert_int_equal(count_equal(&m->out[1], 0, 1920, 0.0f), 1920);
    ot_mini_close(m);
}

static void a_box_that_overlaps_no_anchor_makes_no_anchor_foreground(void **state)
{
    struct ot_mini *m = small_targets(1, 1, "batch_size: 5000");

    (void)state;
    memcpy(m->in[1].v, (float[]){ 500, 500, 520, 520, 1, 1 }, 6 * sizeof(float));
    memcpy(m->in[2].v, (float[]){ 64, 80, 1 }, 3 * sizeof(float));
    ot_test_forward(m);
    assert_int_equal(count_equal(&m->out[0], 0, 240, 1.0f), 0);
    assert_true(count_equal(&m->out[0], 0, 240, 0.0f) > 50);
    ot_mini_close(m);
}

static void low_overlap_wins_where_clobbering_is_asked(void **state)
{
    struct ot_mini *keep = small_targets(1, 1, "batch_size: 5000 positive_weight: 0.75"),
                   *clobber = small_targets(1, 1, "batch_size: 5000 clobber_positives: true");
    const float box[] = { 30, 30, 34, 34, 1, 1 }, info[] = { 64, 80, 1 };
    double pos = 0.0, neg = 0.0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ot_mini *m = i ? clobber : keep;

        memcpy(m->in[1].v, box, sizeof box);
        memcpy(m->in[2].v, info, sizeof info);
        ot_test_forward(m);
    }
    assert_true(count_equal(&keep->out[0], 0, 240, 1.0f) > 0);
    assert_int_equal(count_equal(&clobber->out[0], 0, 240, 1.0f), 0);
    for (size_t k = 0; k < 240; k++) {
        double w = (double)keep->out[3].v[4 * (k / 80) * 80 + k % 80];

        pos += keep->out[0].v[k] == 1.0f ? w : 0.0;
        neg += keep->out[0].v[k] == 0.0f ? w : 0.0;
    }
    assert_near(pos, 0.75, 1e-6);
    assert_near(neg, 0.25, 1e-6);
    ot_mini_close(keep);
    ot_mini_close(clobber);
}

/* ---- regions ----------------------------------------------------------------------------------
 */

static struct ot_mini *golden_regions(const struct ot_golden *g)
{
    const struct ot_shape in[] = { ot_shape2(560, 5), ot_shape2(6, 5) };
    struct ot_mini *m = ot_test_mini(
        "num_classes: 21 layer { name: 'l' type: 'ProposalTarget' bottom: 'r' bottom: 'g' "
        "top: 'r' top: 'l' top: 't' top: 'i' top: 'o' top: 'm' top: 'w' }",
        2, in);

    ot_test_give(g, "rois_in", &m->in[0]);
    ot_test_give(g, "gt_boxes", &m->in[1]);
    return m;
}

static void regions_are_labelled_as_in_py_faster_rcnn(void **state)
{
    struct ot_golden g;
    struct ot_mini *m;
    const struct ot_proposal_target_geom *geom;
    const struct ot_golden_blob *fg, *bg;
    struct ot_roi_work w;
    struct ot_roi_rows out;
    void *scratch;
    float overlap[566], match[566];
    size_t nf = 0, nb = 0;

    (void)state;
    ot_test_golden(&g, "proposal_target");
    m = golden_regions(&g);
    geom = m->layer.state;
    scratch = scratch_of(ot_proposal_target_scratch(geom));
    w = ot_roi_work_at(geom, 0, scratch);
    ot_roi_assign(geom, 0, m->in[0].v, m->in[1].v, NULL, &w);
    for (size_t c = 0; c < 566; c++) {
        overlap[c] = (float)w.overlap[c];
        match[c] = (float)w.match[c];
        if (w.kind[c] == OT_ROI_FG)
            assert_int_equal(ot_test_int(ot_test_blob(&g, "fg_candidates"), nf++), c);
        if (w.kind[c] == OT_ROI_BG)
            assert_int_equal(ot_test_int(ot_test_blob(&g, "bg_candidates"), nb++), c);
    }
    assert_int_equal(nf, 78);
    assert_int_equal(nb, 488);
    ot_test_same(&g, "max_overlap", overlap, 566, 1e-7);
    ot_test_same(&g, "gt_assignment", match, 566, 0.0);
    fg = ot_test_blob(&g, "fg_inds");
    bg = ot_test_blob(&g, "bg_inds");
    for (size_t i = 0; i < 128; i++)
        w.pick[i] = i < 32 ? ot_test_int(fg, i) : ot_test_int(bg, i - 32);
    out = (struct ot_roi_rows){ m->out[0].v, m->out[1].v, m->out[2].v, m->out[3].v,
                                m->out[4].v, m->out[5].v, m->out[6].v };
    ot_roi_write(geom, 0, m->in[0].v, m->in[1].v, NULL, &w, &out);
    ot_test_same(&g, "rois", out.rois, 640, 0.0);
    ot_test_same(&g, "labels", out.label, 128, 0.0);
    ot_test_same(&g, "bbox_targets", out.target, 128 * 84, 1e-6);
    ot_test_same(&g, "bbox_inside_weights", out.inside, 128 * 84, 0.0);
    ot_test_same(&g, "bbox_outside_weights", out.outside, 128 * 84, 0.0);
    ot_free(scratch);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static void the_layer_samples_what_the_reference_would_allow(void **state)
{
    struct ot_golden g;
    struct ot_mini *m;

    (void)state;
    ot_test_golden(&g, "proposal_target");
    m = golden_regions(&g);
    ot_test_forward(m);
    assert_int_equal(count_equal(&m->out[1], 0, 128, 0.0f), 96);
    assert_int_equal(count_equal(&m->out[5], 0, 128, -1.0f), 96);
    assert_int_equal(count_equal(&m->out[6], 0, 128, 1.0f), 128);
    assert_int_equal(count_equal(&m->out[3], 0, 128 * 84, 1.0f), 32 * 4);
    ot_mini_close(m);
    ot_golden_close(&g);
}

enum { BATCH = 16 };

/* Two images; booked rows (2, booked, 5) when asked for. */
static struct ot_mini *regions_with(int n, int rois, int booked, const char *more)
{
    const struct ot_shape in[] = {
        ot_shape2(rois, 5), { 3, { n, 3, 6 } }, ot_shape2(n, 3), { 3, { n, booked, 5 } }
    };
    struct ot_mini *m;
    char text[300];

    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'ProposalTarget' bottom: 'r' bottom: 'g' bottom: 'i' "
                   "%s top: 'r' top: 'l' top: 't' top: 'i' top: 'o' top: 'm' top: 'w' "
                   "proposal_target_param { num_classes: 3 batch_size: 16 %s } }",
                   booked ? "bottom: 'b'" : "", more);
    m = ot_test_mini(text, booked ? 4 : 3, in);
    give_scenes(m, 1, 2);
    return m;
}

static struct ot_mini *small_regions(int n, int rois, int booked)
{
    return regions_with(n, rois, booked, "");
}

/* Row r: mostly background; every 4th jitters a box of its image. */
static void give_rois(struct ot_mini *m, int n)
{
    for (size_t r = 0; r < m->in[0].n / 5; r++) {
        float *roi = m->in[0].v + 5 * r;
        size_t image = r % (size_t)n;
        const float *box = m->in[1].v + 18 * image;
        float x = 45.0f * ot_rng_unit(3, OT_RNG_TEST, 1, r);
        float y = 35.0f * ot_rng_unit(3, OT_RNG_TEST, 2, r);

        roi[0] = (float)image;
        for (int k = 0; k < 4; k++)
            roi[k + 1] = r / (size_t)n % 4 ? (k % 2 ? y : x) + (k > 1 ? 9.0f : 0.0f)
                                           : box[k] + (float)(r % 3);
    }
}

/* R-FCN's one box for all classes has the values that each class's own box has. */
static void class_agnostic_targets_are_those_of_the_class(void **state)
{
    struct ot_mini *own = regions_with(2, 40, 0, "");
    struct ot_mini *one = regions_with(2, 40, 0, "class_agnostic: true");
    size_t fg = 0;

    (void)state;
    give_rois(own, 2);
    give_rois(one, 2);
    ot_test_forward(own);
    ot_test_forward(one);
    assert_memory_equal(one->out[1].v, own->out[1].v, own->out[1].n * sizeof(float));
    for (int top = 2; top < 5; top++)
        assert_int_equal(one->out[top].n, own->out[1].n * 8);
    for (size_t r = 0; r < own->out[1].n; r++) {
        size_t cls = own->out[1].v[r] > 0.0f ? (size_t)own->out[1].v[r] : 0;

        fg += cls == 2;
        for (int top = 2; top < 5; top++) {
            const float *a = one->out[top].v + 8 * r, *b = own->out[top].v + 12 * r;

            assert_int_equal(count_equal(&one->out[top], 8 * r, 4, 0.0f), 4);
            assert_memory_equal(a + 4, b + 4 * cls, 4 * sizeof(float));
        }
    }
    assert_true(fg > 0); /* whose own place would be beyond the row */
    ot_mini_close(own);
    ot_mini_close(one);
}

static void assert_rows_are_sound(const struct ot_mini *m, int n)
{
    for (size_t r = 0; r < (size_t)n * BATCH; r++) {
        const float *roi = m->out[0].v + 5 * r, label = m->out[1].v[r];
        size_t image = r / BATCH, cls = label > 0 ? (size_t)label : 0;
        double best = 0.0;

        if (roi[0] < 0.0f) {
            assert_near(label, -1.0, 0.0);
            assert_near(m->out[6].v[r], 0.0, 0.0);
            assert_int_equal(count_equal(&m->out[4], 12 * r, 12, 0.0f), 12);
            continue;
        }
        assert_near(roi[0], (double)image, 0.0);
        for (size_t j = 0; j < 3; j++) {
            const float *b = m->in[1].v + 18 * image + 6 * j;
            double iou = b[4] > 0.0f ? ot_iou(roi + 1, b) : 0.0;

            if (iou > best && label > 0 && m->out[5].v[r] == (float)j)
                assert_near(label, b[4], 0.0);
            best = iou > best ? iou : best;
        }
        assert_true((label > 0.0f) == (best >= 0.5));
        for (size_t k = 0; k < 12; k++)
            assert_near(m->out[3].v[12 * r + k], cls && k / 4 == cls ? 1.0 : 0.0, 0.0);
    }
}

static void every_image_has_its_rows_and_the_rest_is_marked_unused(void **state)
{
    struct ot_mini *m = small_regions(2, 60, 0), *few = small_regions(2, 6, 0);

    (void)state;
    give_rois(m, 2);
    ot_test_forward(m);
    assert_rows_are_sound(m, 2);
    for (size_t i = 0; i < 2; i++) {
        size_t bg = count_equal(&m->out[1], BATCH * i, BATCH, 0.0f);

        assert_int_equal(bg, 12);
        assert_int_equal(count_equal(&m->out[1], BATCH * i, BATCH, -1.0f), 0);
    }
    give_rois(few, 2);
    ot_test_forward(few);
    assert_rows_are_sound(few, 2);
    for (size_t i = 0; i < 2; i++) {
        size_t unused = count_equal(&few->out[1], BATCH * i, BATCH, -1.0f);

        assert_int_equal(unused, 16 - 5); /* 3 rows and 2 boxes */
        assert_near(few->out[0].v[5 * (BATCH * i + 15)], -1.0, 0.0);
    }
    ot_mini_close(m);
    ot_mini_close(few);
}

static void a_sample_is_a_function_of_seed_and_iteration(void **state)
{
    struct ot_mini *m = small_regions(2, 100, 0);
    float first[5 * 2 * BATCH];

    (void)state;
    give_rois(m, 2);
    ot_test_forward(m);
    memcpy(first, m->out[0].v, sizeof first);
    m->env.iter = 1;
    ot_test_forward(m);
    assert_memory_not_equal(first, m->out[0].v, sizeof first);
    m->env.iter = 0;
    ot_test_forward(m);
    assert_memory_equal(first, m->out[0].v, sizeof first);
    ot_mini_close(m);
}

static void fewer_candidates_than_places_are_taken_as_if_alone(void **state)
{
    struct ot_mini *all = small_regions(2, 12, 0), *one = small_regions(1, 6, 0);

    (void)state;
    give_rois(all, 2);
    ot_test_forward(all);
    for (size_t i = 0; i < 2; i++) {
        for (size_t r = 0; r < 6; r++) {
            memcpy(one->in[0].v + 5 * r, all->in[0].v + 5 * (2 * r + i), 5 * sizeof(float));
            one->in[0].v[5 * r] = 0.0f;
        }
        memcpy(one->in[1].v, all->in[1].v + 18 * i, 18 * sizeof(float));
        ot_test_forward(one);
        assert_memory_equal(one->out[1].v, all->out[1].v + BATCH * i, BATCH * sizeof(float));
        assert_memory_equal(one->out[2].v, all->out[2].v + 12 * BATCH * i,
                            12 * BATCH * sizeof(float));
        assert_memory_equal(one->out[6].v, all->out[6].v + BATCH * i, BATCH * sizeof(float));
    }
    ot_mini_close(all);
    ot_mini_close(one);
}

static void a_boxs_weight_goes_to_the_rows_matched_to_it(void **state)
{
    struct ot_mini *m = small_regions(2, 12, 0);
    size_t light = 0;

    (void)state;
    give_rois(m, 2);
    ot_test_forward(m);
    for (size_t r = 0; r < 2 * BATCH; r++) {
        float matched = m->out[5].v[r], label = m->out[1].v[r];
        const float *b = m->in[1].v + 18 * (r / BATCH) + 6 * (size_t)(matched < 0 ? 0 : matched);
        double want = label > 0 ? (double)b[5] : label < 0 ? 0.0 : 1.0;

        light += label > 0 && b[5] < 1.0f;
        assert_near(m->out[6].v[r], want, 0.0);
        if (label > 0)
            assert_near(m->out[4].v[12 * r + 4 * (size_t)label], want, 0.0);
    }
    assert_true(light > 0);
    ot_mini_close(m);
}

static void booked_regions_take_their_places_first(void **state)
{
    struct ot_mini *m = small_regions(2, 100, 3);
    /* image 0: a background and a foreground region; image 1: nothing */
    const float booked[30] = { 60, 2, 70, 11, 1, 4, 5, 21, 18, 1 };

    (void)state;
    give_rois(m, 2);
    memcpy(m->in[3].v, booked, sizeof booked);
    for (uint64_t iter = 0; iter < 4; iter++) {
        m->env.iter = iter;
        ot_test_forward(m);
        assert_rows_are_sound(m, 2);
        assert_memory_equal(m->out[0].v + 1, booked + 5, 4 * sizeof(float)); /* foreground first */
        assert_near(m->out[1].v[0], 1.0, 0.0);
        assert_memory_equal(m->out[0].v + 6, booked, 4 * sizeof(float));
        assert_near(m->out[1].v[1], 0.0, 0.0);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(count_equal(&m->out[1], BATCH * i, BATCH, 0.0f), 12);
    }
    ot_mini_close(m);
}

static void booked_background_leaves_a_quarter_to_the_foreground(void **state)
{
    struct ot_mini *m = small_regions(2, 100, 40);

    (void)state;
    give_rois(m, 2);
    for (size_t k = 0; k < 80; k++) {
        const float box[] = { 60.0f + (float)(k % 5), 2, 70, 11, 1 };

        memcpy(m->in[3].v + 5 * k, box, sizeof box);
    }
    ot_test_forward(m);
    assert_rows_are_sound(m, 2);
    for (size_t i = 0; i < 2; i++) {
        size_t bg = count_equal(&m->out[1], BATCH * i, BATCH, 0.0f);

        assert_int_equal(bg, 12);
        for (size_t r = BATCH * i; r < BATCH * i + 12; r++)
            assert_true(m->out[0].v[5 * r + 1] >= 60.0f); /* all booked */
    }
    ot_mini_close(m);
}

static void booked_foreground_never_overflows_the_rows(void **state)
{
    struct ot_mini *m = small_regions(2, 100, 40);

    (void)state;
    give_rois(m, 2);
    for (size_t k = 0; k < 80; k++) {
        const float box[] = { 3, 5, 20, 18, 1 };

        memcpy(m->in[3].v + 5 * k, box, sizeof box);
    }
    ot_test_forward(m);
    assert_rows_are_sound(m, 2);
    assert_int_equal(count_equal(&m->out[1], 0, BATCH, 1.0f), BATCH);
    ot_mini_close(m);
}

static void a_quarantined_region_lightens_the_background_it_covers(void **state)
{
    struct ot_mini *m = small_regions(2, 100, 2);
    size_t light = 0;

    (void)state;
    give_rois(m, 2);
    memcpy(m->in[3].v, (float[]){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.125f }, 10 * sizeof(float));
    memcpy(m->in[3].v + 5, m->in[0].v + 5 * 2 + 1, 4 * sizeof(float)); /* a row of image 0 */
    for (uint64_t iter = 0; iter < 20; iter++) {
        m->env.iter = iter;
        ot_test_forward(m);
        for (size_t r = 0; r < 2 * BATCH; r++) {
            bool same = r < BATCH && m->out[1].v[r] == 0.0f &&
                        ot_iou(m->out[0].v + 5 * r + 1, m->in[3].v + 5) >= 0.7;

            if (m->out[1].v[r] == 0.0f)
                assert_near(m->out[6].v[r], same ? 0.125 : 1.0, 0.0);
            light += same;
        }
    }
    assert_true(light > 0);
    ot_mini_close(m);
}

static void a_class_beyond_num_classes_is_an_error(void **state)
{
    struct ot_mini *m = small_regions(2, 12, 0);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    give_rois(m, 2);
    m->in[1].v[18 + 4] = 3.0f;
    assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "gt_boxes row 3: class must be below num_classes 3, got 3");
    ot_mini_close(m);
}

/* ---- settings ----------------------------------------------------------------------------------
 */

struct bad {
    const char *param;
    enum ot_code code;
    const char *message;
};

static void refuse_all(const char *head, int n_in, const struct ot_shape *in, const struct bad *bad,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[500];

        (void)snprintf(text, sizeof text, "layer { name: 'l' %s { %s } }", head, bad[i].param);
        ot_test_refused(text, n_in, in, bad[i].code, bad[i].message);
    }
}

static void wrong_settings_are_refused_by_name(void **state)
{
    static const char anchors[] = "type: 'AnchorTarget' bottom: 's' bottom: 'g' bottom: 'i' "
                                  "top: 'l' top: 't' top: 'n' top: 'o' anchor_target_param";
    static const char regions[] = "type: 'ProposalTarget' bottom: 'r' bottom: 'g' bottom: 'i' "
                                  "top: 'r' top: 'l' top: 't' top: 'i' top: 'o'\n"
                                  "proposal_target_param";
    const struct ot_shape a[] = { ot_shape4(2, 18, 4, 4), ot_shape2(4, 6), ot_shape2(2, 3) };
    const struct ot_shape wide[] = { ot_shape4(1, 12, 4, 4), ot_shape2(4, 6), ot_shape2(1, 3) };
    const struct ot_shape r[] = { ot_shape2(9, 5), ot_shape2(4, 7), ot_shape2(1, 3) };
    static const struct bad bad_anchor[] = {
        { "", OT_ESHAPE, "bottom 'g': wanted boxes of 2 images, got 1" },
        { "batch_size: 0", OT_ECONFIG, "batch_size: must be in [1, 16777216], got 0" },
        { "fg_fraction: 2", OT_ECONFIG, "fg_fraction: must be in [0, 1], got 2" },
        { "negative_overlap: 0.8", OT_ECONFIG,
          "negative_overlap: must be in [0, positive_overlap 0.7], got 0.8" },
        { "positive_weight: 1.5", OT_ECONFIG, "positive_weight: must be below 1" },
        { "bbox_inside_weight: 1", OT_ECONFIG, "bbox_inside_weight: must have 4 values, got 1" },
    };
    static const struct bad bad_wide[] = {
        { "", OT_ESHAPE, "bottom 's': wanted scores of shape 1x18x4x4, got 1x12x4x4" },
    };
    static const struct bad bad_region[] = {
        { "num_classes: 3", OT_ESHAPE,
          "bottom 'g': wanted boxes of shape Gx5, Gx6, NxGx5 or NxGx6, got 4x7" },
        { "num_classes: 1", OT_ECONFIG, "mini.prototxt:2:25: layer 'l': num_classes: must be" },
        { "num_classes: 3 batch_size: 0", OT_ECONFIG, "batch_size: must be in [1, 1048576]" },
        { "num_classes: 3 fg_fraction: -1", OT_ECONFIG, "fg_fraction: must be in [0, 1], got -1" },
        { "num_classes: 3 fg_thresh: 0", OT_ECONFIG, "fg_thresh: must be in (0, 1], got 0" },
        { "num_classes: 3 bg_thresh_lo: 0.6", OT_ECONFIG,
          "bg_thresh_lo: must be in [0, bg_thresh_hi 0.5], got 0.6" },
        { "num_classes: 3 bbox_mean: inf bbox_mean: 0 bbox_mean: 0 bbox_mean: 0", OT_ECONFIG,
          "bbox_mean: must be finite, got inf" },
    };

    (void)state;
    refuse_all(anchors, 3, a, bad_anchor, sizeof bad_anchor / sizeof *bad_anchor);
    refuse_all(anchors, 3, wide, bad_wide, 1);
    refuse_all(regions, 3, r, bad_region, sizeof bad_region / sizeof *bad_region);
}

static void thresholds_are_the_decimals_a_person_wrote(void **state)
{
    (void)state;
    assert_true(ot_decimal(0.7f) == 0.7);
    assert_true(ot_decimal(0.3f) == 0.3);
    assert_true(ot_decimal(0.1f) == 0.1);
    assert_true(ot_decimal(-1.0f) == -1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anchors_are_labelled_as_in_py_faster_rcnn),
        cmocka_unit_test(sampled_anchors_give_the_references_targets),
        cmocka_unit_test(images_of_a_batch_are_labelled_as_if_alone),
        cmocka_unit_test(the_sample_has_exactly_the_asked_size_and_share),
        cmocka_unit_test(a_boxs_weight_scales_its_anchors_outside_weights),
        cmocka_unit_test(anchors_of_a_box_of_weight_0_are_ignored),
        cmocka_unit_test(an_image_without_boxes_has_only_background),
        cmocka_unit_test(a_box_that_overlaps_no_anchor_makes_no_anchor_foreground),
        cmocka_unit_test(low_overlap_wins_where_clobbering_is_asked),
        cmocka_unit_test(regions_are_labelled_as_in_py_faster_rcnn),
        cmocka_unit_test(the_layer_samples_what_the_reference_would_allow),
        cmocka_unit_test(class_agnostic_targets_are_those_of_the_class),
        cmocka_unit_test(every_image_has_its_rows_and_the_rest_is_marked_unused),
        cmocka_unit_test(a_sample_is_a_function_of_seed_and_iteration),
        cmocka_unit_test(fewer_candidates_than_places_are_taken_as_if_alone),
        cmocka_unit_test(a_boxs_weight_goes_to_the_rows_matched_to_it),
        cmocka_unit_test(booked_regions_take_their_places_first),
        cmocka_unit_test(booked_background_leaves_a_quarter_to_the_foreground),
        cmocka_unit_test(booked_foreground_never_overflows_the_rows),
        cmocka_unit_test(a_quarantined_region_lightens_the_background_it_covers),
        cmocka_unit_test(a_class_beyond_num_classes_is_an_error),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
        cmocka_unit_test(thresholds_are_the_decimals_a_person_wrote),
    };

    return cmocka_run_group_tests(tests, ot_test_open_device, ot_test_close_device);
}
