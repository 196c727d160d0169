/*
 * test_ohem_block.c - R-FCN's online hard example mining: the loss of each RoI, which RoIs of an
 * image are kept, and that only these teach.
 */
#include <math.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/netkit.h"

static struct ot_err err;

static struct ot_mini *open_mini(const char *text, int n, const struct ot_shape *in)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n };
    struct ot_mini *m;

    memcpy(spec.in, in, (size_t)n * sizeof *in);
    err = (struct ot_err)OT_ERR_INIT;
    m = ot_mini_open(ot_cpu, &spec, &err);
    if (!m)
        assert_ok(err.code, &err);
    return m;
}

static void forward(struct ot_mini *m)
{
    assert_ok(ot_mini_forward(m, &err), &err);
}

static void integers(struct ot_mini_array *a, uint32_t below, uint64_t seed)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(seed, OT_RNG_TEST, 1, i, below);
}

/* ---- SmoothL1LossOHEM ---------------------------------------------------------------------- */

#define TWO                                                                             \
    "layer { name: 'l' type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' top: 't' top: " \
    "'i' loss_weight: 1 loss_weight: 0 "
#define THREE                                                                                  \
    "layer { name: 'l' type: 'SmoothL1LossOHEM' bottom: 'a' bottom: 'b' bottom: 'w' top: 't' " \
    "top: 'i' loss_weight: 2.5 loss_weight: 0 "

static double smooth(double d)
{
    return fabs(d) < 1 ? 0.5 * d * d : fabs(d) - 0.5;
}

/* What each normalisation divides the sum by, for 2 x 4 x 3 x 5. */
static const struct norm {
    const char *more;
    double by;
} norms[] = {
    { "}", 30 },
    { "loss_param { normalization: VALID } }", 30 },
    { "loss_param { normalization: FULL } }", 30 },
    { "loss_param { normalization: BATCH_SIZE } }", 2 },
    { "loss_param { normalize: false } }", 2 },
    { "loss_param { normalization: NONE } }", 1 },
    { "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 } }", 128 },
    { "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 0.25 } }", 1 },
    { "smooth_l1_loss_param { sigma: 1 } }", 30 },
};

static void loss_is_the_sum_of_the_instances(const char *text, int nin, double by)
{
    const struct ot_shape s = ot_shape4(2, 4, 3, 5), in[] = { s, s, s };
    struct ot_mini *m = open_mini(text, nin, in);
    double all = 0;

    ot_mini_random(m, 7, -2, 2);
    if (nin == 3)
        ot_mini_fill(&m->in[2], 8, 0, 2); /* not only 0 and 1 */
    forward(m);
    assert_true(ot_shape_eq(&m->out[1].shape, &(struct ot_shape){ 4, { 2, 1, 3, 5 } }));
    for (size_t i = 0; i < 30; i++) {
        double sum = 0;

        for (size_t c = 0; c < 4; c++) {
            const size_t at = (i / 15 * 4 + c) * 15 + i % 15;
            const double w = nin == 3 ? (double)m->in[2].v[at] : 1;

            sum += smooth(w * ((double)m->in[0].v[at] - (double)m->in[1].v[at]));
        }
        assert_near(m->out[1].v[i], sum, 2e-6);
        all += sum;
    }
    assert_near(m->out[0].v[0], all / by, 1e-6 * all / by);
    ot_mini_close(m);
}

static void the_instances_add_up_to_the_loss_by_each_normalisation(void **state)
{
    char text[400];

    (void)state;
    for (size_t k = 0; k < sizeof norms / sizeof norms[0]; k++) {
        (void)snprintf(text, sizeof text, "%s%s", TWO, norms[k].more);
        loss_is_the_sum_of_the_instances(text, 2, norms[k].by);
        (void)snprintf(text, sizeof text, "%s%s", THREE, norms[k].more);
        loss_is_the_sum_of_the_instances(text, 3, norms[k].by);
    }
}

static void the_gradient_is_the_derivative_for_weights_of_0_and_1(void **state)
{
    const struct ot_shape s = ot_shape4(2, 4, 3, 2), in[] = { s, s, s };

    (void)state;
    for (int nin = 2; nin <= 3; nin++) {
        struct ot_mini *m = open_mini(nin == 2 ? TWO "}" : THREE "}", nin, in);

        ot_mini_random(m, 11, -2, 2);
        if (nin == 3)
            integers(&m->in[2], 2, 3);
        memset(m->out_grad[1].v, 0, m->out_grad[1].n * sizeof(float));
        assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 4 }), 96);
        ot_mini_close(m);
    }
}

static void the_gradient_leaves_the_weight_out_as_caffe_does(void **state)
{
    const struct ot_shape s = ot_shape2(1, 2), in[] = { s, s, s };
    struct ot_mini *m = open_mini(THREE "}", 3, in);

    (void)state;
    m->in[0].v[0] = 0.25f, m->in[1].v[0] = 0.0f, m->in[2].v[0] = 2.0f;
    m->in[0].v[1] = -1.0f, m->in[1].v[1] = 1.0f, m->in[2].v[1] = 3.0f;
    forward(m);
    assert_ok(ot_mini_backward(m, &err), &err);
    assert_near(m->in_grad[0].v[0], 2.5 * 0.5, 0); /* f'(2 x 0.25), not twice that */
    assert_near(m->in_grad[1].v[0], -2.5 * 0.5, 0);
    assert_near(m->in_grad[0].v[1], -2.5, 0);
    assert_near(m->in_grad[1].v[1], 2.5, 0);
    ot_mini_close(m);
}

static void both_names_of_rfcns_loss_give_the_same_bits(void **state)
{
    const struct ot_shape s = ot_shape4(5, 8, 1, 1), in[] = { s, s, s };
    struct ot_mini *a = open_mini(THREE "}", 3, in);
    struct ot_mini *b = open_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' "
                                  "bottom: 'w' top: 't' top: 'i' loss_weight: 2.5 loss_weight: 0 "
                                  "}",
                                  3, in);
    struct ot_mini *both[] = { a, b };

    (void)state;
    for (int i = 0; i < 2; i++) {
        ot_mini_random(both[i], 3, -2, 2);
        forward(both[i]);
        assert_ok(ot_mini_backward(both[i], &err), &err);
    }
    assert_memory_equal(a->out[0].v, b->out[0].v, sizeof(float));
    assert_memory_equal(a->out[1].v, b->out[1].v, a->out[1].n * sizeof(float));
    assert_memory_equal(a->in_grad[0].v, b->in_grad[0].v, a->in[0].n * sizeof(float));
    assert_memory_equal(a->in_grad[1].v, b->in_grad[1].v, a->in[0].n * sizeof(float));
    ot_mini_close(a);
    ot_mini_close(b);
}

/* ---- BoxAnnotatorOHEM ---------------------------------------------------------------------- */

#define ANNOTATOR(param)                                                                        \
    "layer { name: 'a' type: 'BoxAnnotatorOHEM' bottom: 'rois' bottom: 'loss' bottom: 'label' " \
    "bottom: 'weight' top: 'l' top: 'w'" param "}"

struct annotation {
    const char *name;
    int rois, h, w, channels, images, levels; /* levels: of the losses, for ties */
    unsigned keep;
    bool flat; /* bottoms without spatial axes */
};

static const struct annotation annotations[] = {
    { "some of one image", 300, 1, 1, 8, 1, 0, 128, true },
    { "as Caffe shapes them", 307, 1, 1, 84, 2, 0, 64, false },
    { "many images, few places", 1009, 1, 1, 8, 97, 7, 3, true },
    { "ties everywhere", 211, 1, 1, 4, 3, 1, 17, true },
    { "more places than rows", 23, 1, 1, 4, 2, 0, 4000000000u, true },
    { "positions", 13, 3, 5, 4, 2, 9, 31, false },
    { "one row", 1, 1, 1, 1, 1, 0, 1, true },
    { "no row", 0, 1, 1, 8, 1, 0, 128, true },
    { "no channel", 11, 1, 1, 0, 2, 0, 3, true },
    { "no position", 11, 0, 1, 4, 2, 0, 3, false },
};

static struct ot_mini *open_annotation(const struct annotation *a)
{
    const struct ot_shape spatial[] = { ot_shape4(a->rois, 5, a->h, a->w),
                                        ot_shape4(a->rois, 1, a->h, a->w),
                                        ot_shape4(a->rois, 1, a->h, a->w),
                                        ot_shape4(a->rois, a->channels, a->h, a->w) };
    const struct ot_shape flat[] = { ot_shape2(a->rois, 5), ot_shape1(a->rois), ot_shape1(a->rois),
                                     ot_shape2(a->rois, a->channels) };
    char text[300];
    struct ot_mini *m;

    (void)snprintf(text, sizeof text,
                   ANNOTATOR(" box_annotator_ohem_param { roi_per_img: %u ignore_label: -7 } "),
                   a->keep);
    m = open_mini(text, 4, a->flat ? flat : spatial);
    ot_mini_random(m, 17, 0, 3);
    integers(&m->in[2], 21, 18);
    for (size_t i = 0; a->levels && i < m->in[1].n; i++)
        m->in[1].v[i] = (float)(int)(m->in[1].v[i] * (float)a->levels);
    for (size_t i = 0; i < m->in[1].n; i++) {
        const size_t inner = (size_t)a->h * (size_t)a->w;
        const uint32_t image = ot_rng_below(19, OT_RNG_TEST, 2, i, (uint32_t)a->images);

        /* numbers need not be next to each other, and have a fraction that says nothing */
        m->in[0].v[i / inner * 5 * inner + i % inner] =
            i % 11 == 10 ? -1.0f : (float)(image * image) + (i % 5 == 1 ? 0.25f : 0.0f);
    }
    return m;
}

static bool harder(const float *loss, size_t a, size_t b)
{
    if (isnan(loss[a]) || isnan(loss[b]))
        return isnan(loss[a]) && (!isnan(loss[b]) || a < b);
    return loss[a] > loss[b] || (loss[a] == loss[b] && a < b);
}

/* The rule, read out loud: kept are those of which fewer than `keep` of their image are harder. */
static void compare_with_the_rule(const struct annotation *a, struct ot_mini *m)
{
    const size_t inner = (size_t)a->h * (size_t)a->w, n = (size_t)a->rois * inner;

    forward(m);
    assert_true(ot_shape_eq(&m->out[0].shape, &m->in[2].shape));
    assert_true(ot_shape_eq(&m->out[1].shape, &m->in[3].shape));
    for (size_t i = 0; i < n; i++) {
        const float *image = m->in[0].v;
        const float own = image[i / inner * 5 * inner + i % inner];
        unsigned before = 0;
        bool kept;

        for (size_t j = 0; j < n; j++)
            before += floorf(image[j / inner * 5 * inner + j % inner]) == floorf(own) &&
                      harder(m->in[1].v, j, i);
        kept = own >= 0.0f && before < a->keep;
        if (m->out[0].v[i] != (kept ? m->in[2].v[i] : -7.0f))
            fail_msg("%s: instance %zu of image %g: %u are harder, label %g became %g", a->name, i,
                     (double)own, before, (double)m->in[2].v[i], (double)m->out[0].v[i]);
        for (int c = 0; c < a->channels; c++) {
            const size_t at = (i / inner * (size_t)a->channels + (size_t)c) * inner + i % inner;

            assert_near(m->out[1].v[at], kept ? (double)m->in[3].v[at] : 0.0, 0);
        }
    }
}

static void the_hardest_of_each_image_are_kept(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof annotations / sizeof annotations[0]; k++) {
        struct ot_mini *m = open_annotation(&annotations[k]);

        compare_with_the_rule(&annotations[k], m);
        ot_mini_close(m);
    }
}

static void losses_that_are_no_numbers_come_first_and_infinities_next(void **state)
{
    const struct annotation a = { "no numbers", 64, 1, 1, 4, 2, 4, 5, true };
    struct ot_mini *m = open_annotation(&a);

    (void)state;
    m->in[1].v[3] = m->in[1].v[30] = m->in[1].v[31] = NAN;
    m->in[1].v[40] = -NAN;
    m->in[1].v[9] = m->in[1].v[41] = INFINITY;
    m->in[1].v[50] = -INFINITY;
    m->in[1].v[51] = -0.0f;
    m->in[1].v[5] = 0.0f;
    compare_with_the_rule(&a, m);
    assert_near(m->out[0].v[30], m->in[2].v[30], 0);
    assert_near(m->out[0].v[50], -7.0, 0);
    ot_mini_close(m);
}

static void unused_rows_take_no_place_and_rows_to_ignore_may(void **state)
{
    const struct ot_shape in[] = { ot_shape2(5, 5), ot_shape1(5), ot_shape1(5), ot_shape2(5, 1) };
    const float image[] = { -1, 0, 0, NAN, -0.0f }, loss[] = { 9, 0, 2, 9, 0 };
    const float label[] = { 3, -1, 1, 2, 0 }, want[] = { -1, -1, 1, -1, -1 };
    const float weight[] = { 0, 1, 1, 0, 0 };
    struct ot_mini *m = open_mini(ANNOTATOR(" box_annotator_ohem_param { roi_per_img: 2 } "), 4,
                                  in);

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        m->in[0].v[5 * i] = image[i];
        m->in[1].v[i] = loss[i];
        m->in[2].v[i] = label[i];
        m->in[3].v[i] = 1.0f;
    }
    forward(m);
    for (size_t i = 0; i < 5; i++) {
        assert_near(m->out[0].v[i], want[i], 0);
        assert_near(m->out[1].v[i], weight[i], 0);
    }
    ot_mini_close(m);
}

static void refuse(const char *text, int n, const struct ot_shape *in, const char *part)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n };

    memcpy(spec.in, in, (size_t)n * sizeof *in);
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, err.code == OT_ESHAPE ? OT_ESHAPE : OT_ECONFIG, part);
}

static void wrong_settings_are_refused_with_their_place(void **state)
{
    static const char some[] = ANNOTATOR(" box_annotator_ohem_param { roi_per_img: 2 } ");
    const struct ot_shape like[] = { ot_shape2(6, 4), ot_shape2(6, 4), ot_shape2(6, 4) };
    const struct ot_shape deep = { 5, { 1, 2, 1, 1, 2 } }, deeper[] = { deep, deep };
    struct ot_shape in[] = { ot_shape2(6, 5), ot_shape1(6), ot_shape1(6), ot_shape2(6, 8) };

    (void)state;
    refuse(THREE "\nsmooth_l1_loss_param { sigma: 3 } }", 3, like,
           "mini.prototxt:2:24: layer 'l': sigma: must be 1 for SmoothL1LossOHEM, got 3");
    refuse(TWO "}", 2, in, "bottom 'b': wanted shape 6x5 of bottom 'a', got 6");
    refuse(TWO "}", 2, deeper, "bottom 'a': wanted at most 4 axes, got shape 1x2x1x1x2");
    refuse(ANNOTATOR(), 4, in, "mini.prototxt:1:1: layer 'a': roi_per_img: must be >= 1, got none");
    refuse(ANNOTATOR("\nbox_annotator_ohem_param { roi_per_img: 0 }"), 4, in,
           "mini.prototxt:2:28: layer 'a': roi_per_img: must be >= 1, got 0");
    refuse(some, 4, (struct ot_shape[]){ ot_shape2(6, 4), in[1], in[2], in[3] },
           "bottom 'rois': wanted RoIs of shape Rx5 or Rx5xHxW, got 6x4");
    in[1] = ot_shape1(7);
    refuse(some, 4, in,
           "bottom 'loss': wanted a loss for each of RoIs 'rois' of shape 6x5, got shape 7");
    in[1] = ot_shape1(6), in[2] = ot_shape2(6, 2);
    refuse(some, 4, in,
           "bottom 'label': wanted a label for each of RoIs 'rois' of shape 6x5, got shape 6x2");
    in[2] = ot_shape1(6), in[3] = ot_shape4(6, 8, 1, 2);
    refuse(some, 4, in,
           "bottom 'weight': wanted weights (RxC or RxCxHxW) of RoIs 'rois' of shape 6x5, got "
           "shape 6x8x1x2");
}

/* ---- the block as R-FCN has it ------------------------------------------------------------- */

/* The class's score is 0 and the three others are `others`; boxes of foreground are `off`. */
static const struct roi {
    float image, label, others, off;
    bool kept;
} block[] = {
    /* clang-format off */
    { 0, 0, -3, 0, true }, /* as hard as row 9: the first is kept */
    { 1, 2, 0, 0.5f, true },
    { 0, 1, 1, 2, true },
    { 1, 0, 2, 0, true },
    { 0, 0, -1, 0, true },
    { 1, 2, -2, 0.05f, false },
    { 0, 3, -4, 1.5f, true }, /* hard by its box alone */
    { 1, 1, -2, 0.1f, true },
    { -1, -1, 5, 3, false }, /* unused */
    { 0, 0, -3, 0, false },
    { 1, 0, 2, 0, true },
    /* clang-format on */
};

enum { ROIS = sizeof block / sizeof block[0], CLASSES = 4, BOX = 8, KEPT = 8 };

static void give_block(struct ot_kit *k)
{
    float score[ROIS * CLASSES], pred[ROIS * BOX], target[ROIS * BOX], inside[ROIS * BOX];
    float rois[ROIS * 5] = { 0 }, label[ROIS];

    for (int r = 0; r < ROIS; r++) {
        rois[5 * r] = block[r].image;
        label[r] = block[r].label;
        for (int c = 0; c < CLASSES; c++)
            score[r * CLASSES + c] = (float)c == block[r].label ? 0.0f : block[r].others;
        for (int j = 0; j < BOX; j++) {
            inside[r * BOX + j] = block[r].label != 0.0f && j >= 4 ? 1.0f : 0.0f;
            target[r * BOX + j] = 0.125f * (float)j;
            pred[r * BOX + j] = target[r * BOX + j] + (j >= 4 ? block[r].off : 1.0f);
        }
    }
    ot_kit_set(k, "cls_score", score);
    ot_kit_set(k, "bbox_pred", pred);
    ot_kit_set(k, "rois", rois);
    ot_kit_set(k, "labels", label);
    ot_kit_set(k, "bbox_targets", target);
    ot_kit_set(k, "bbox_inside_weights", inside);
}

static float number_of(struct ot_kit *k, const char *blob)
{
    size_t n;
    float *v = ot_kit_blob(k->net, blob, &n), first = v[0];

    assert_int_equal(n, 1);
    ot_free(v);
    return first;
}

static void check_losses(struct ot_kit *k, double total)
{
    float *label = ot_kit_blob(k->net, "labels_ohem", NULL);
    double cls = 0, box = 0;

    for (int r = 0; r < ROIS; r++) {
        assert_near(label[r], block[r].kept ? block[r].label : -1.0f, 0);
        cls += block[r].kept ? log(1 + 3 * exp((double)block[r].others)) / KEPT : 0;
        box += block[r].kept ? 4 * smooth((double)block[r].off) / 128 : 0;
    }
    ot_free(label);
    assert_near(number_of(k, "loss_cls"), cls, 1e-6);
    assert_near(number_of(k, "loss_bbox"), box, 1e-7);
    assert_near(total, cls + box, 1e-6);
    assert_near(number_of(k, "accuracy"), 0.5, 0); /* of those kept, where the others are below 0 */
}

static void check_gradients(struct ot_kit *k)
{
    float *score = ot_kit_blob_grad(k->net, "cls_score", NULL);
    float *pred = ot_kit_blob_grad(k->net, "bbox_pred", NULL);

    for (int r = 0; r < ROIS; r++) {
        const double e = exp((double)block[r].others), off = (double)block[r].off;

        for (int c = 0; c < CLASSES; c++) {
            const bool own = (float)c == block[r].label;
            const double want = (own ? 1 / (1 + 3 * e) - 1 : e / (1 + 3 * e)) / KEPT;

            assert_near(score[r * CLASSES + c], block[r].kept ? want : 0, block[r].kept ? 1e-7 : 0);
        }
        for (int j = 0; j < BOX; j++)
            assert_near(pred[r * BOX + j],
                        block[r].kept && j >= 4 ? (off < 1 ? off : 1.0) / 128 : 0,
                        block[r].kept && j >= 4 ? 1e-9 : 0);
    }
    ot_free(score);
    ot_free(pred);
}

static void only_the_rois_that_are_kept_teach(void **state)
{
    static const char *const measuring[] = { "per_roi_loss_cls", "per_roi_loss_bbox",
                                             "per_roi_loss", "annotator_detector" };
    struct ot_kit k = ot_kit_file("ohem_block", (struct ot_net_conf){ .keep_all = true });

    (void)state;
    for (size_t i = 0; i < sizeof measuring / sizeof measuring[0]; i++)
        assert_false(ot_net_node(k.net, measuring[i])->backward);
    for (int pass = 0; pass < 2; pass++) {
        give_block(&k);
        check_losses(&k, ot_kit_forward(&k));
        ot_kit_backward(&k);
        check_gradients(&k);
    }
    ot_kit_close(&k);
}

/* The end of py-R-FCN's own net over RoIs of one image; owned. */
static char *real_block(const char *path)
{
    static const char inputs[] =
        "force_backward: true layer { name: 'rois' type: 'Input' top: 'rois' input_param { shape { "
        "dim: 300 dim: 5 dim: 1 dim: 1 } } } layer { name: 'labels' type: 'Input' top: 'labels' "
        "input_param { shape { dim: 300 dim: 1 dim: 1 dim: 1 } } } layer { name: 'cls_score' type: "
        "'Input' top: 'cls_score' input_param { shape { dim: 300 dim: 21 dim: 1 dim: 1 } } } layer "
        "{ name: 'box' type: 'Input' top: 'bbox_pred' top: 'bbox_targets' top: "
        "'bbox_inside_weights' top: 'bbox_outside_weights' input_param { shape { dim: 300 dim: 8 "
        "dim: 1 dim: 1 } } }\n";
    size_t n, room;
    char *file = ot_read_file(path, 1 << 20, &n, &err), *text;
    const char *from = file ? strstr(file, "#--------------online hard example mining") : NULL;

    assert_non_null(from);
    room = sizeof inputs + strlen(from);
    text = ot_alloc(room, 1, &err);
    assert_non_null(text);
    (void)snprintf(text, room, "%s%s", inputs, from);
    ot_free(file);
    return text;
}

static void the_end_of_rfcns_own_net_keeps_128_rois(void **state)
{
    static const char path[] =
        "compat/py-R-FCN/ResNet-50/rfcn_end2end/train_agnostic_ohem.prototxt";
    static float zero[300 * 8], one[300 * 8];
    double cls = 0, box = 0, total;
    float *label, *of_cls, *of_box;
    struct ot_kit k;
    int kept = 0;
    char *text;

    (void)state;
    if (!ot_shared(path))
        skip_because("no %s", path);
    text = real_block(ot_shared(path));
    k = ot_kit_open(text, (struct ot_net_conf){ .keep_all = true });
    ot_kit_fill(&k, 3, 21);
    for (int i = 0; i < 300 * 8; i++)
        one[i] = 1.0f;
    ot_kit_set(&k, "rois", zero);
    ot_kit_set(&k, "bbox_inside_weights", one);
    total = ot_kit_forward(&k);
    label = ot_kit_blob(k.net, "labels_ohem", NULL);
    of_cls = ot_kit_blob(k.net, "per_roi_loss_cls", NULL);
    of_box = ot_kit_blob(k.net, "per_roi_loss_bbox", NULL);
    for (int r = 0; r < 300; r++)
        if (label[r] >= 0.0f) {
            kept++;
            cls += (double)of_cls[r];
            box += (double)of_box[r];
        }
    assert_int_equal(kept, 128);
    assert_near(total, (cls + box) / 128, 1e-5);
    ot_kit_backward(&k);
    ot_free(label);
    ot_free(of_cls);
    ot_free(of_box);
    ot_free(text);
    ot_kit_close(&k);
}

static void labels_are_not_annotated_in_place(void **state)
{
    struct ot_kit k;

    (void)state;
    err = (struct ot_err)OT_ERR_INIT;
    k = ot_kit_try("layer { name: 'rois' type: 'Input' top: 'rois' input_param { shape { dim: 6 "
                   "dim: 5 } } } layer { name: 'in' type: 'Input' top: 'loss' top: 'label' "
                   "input_param { shape { dim: 6 } } } layer { name: 'w' type: 'Input' top: 'w' "
                   "input_param { shape { dim: 6 dim: 4 } } }\n"
                   "layer { name: 'a' type: 'BoxAnnotatorOHEM' bottom: 'rois' bottom: 'loss' "
                   "bottom: 'label' bottom: 'w' top: 'label' top: 'w' box_annotator_ohem_param { "
                   "roi_per_img: 2 } }",
                   (struct ot_net_conf){ 0 }, &err);
    assert_null(k.net);
    assert_error(&err, OT_ECONFIG, "top 'label' is produced by layer 'in' already");
    ot_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_instances_add_up_to_the_loss_by_each_normalisation),
        cmocka_unit_test(the_gradient_is_the_derivative_for_weights_of_0_and_1),
        cmocka_unit_test(the_gradient_leaves_the_weight_out_as_caffe_does),
        cmocka_unit_test(both_names_of_rfcns_loss_give_the_same_bits),
        cmocka_unit_test(the_hardest_of_each_image_are_kept),
        cmocka_unit_test(losses_that_are_no_numbers_come_first_and_infinities_next),
        cmocka_unit_test(unused_rows_take_no_place_and_rows_to_ignore_may),
        cmocka_unit_test(wrong_settings_are_refused_with_their_place),
        cmocka_unit_test(only_the_rois_that_are_kept_teach),
        cmocka_unit_test(the_end_of_rfcns_own_net_keeps_128_rois),
        cmocka_unit_test(labels_are_not_annotated_in_place),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
