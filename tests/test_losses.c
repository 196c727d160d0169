/* test_losses.c - softmax and smooth L1 losses and accuracy: Caffe's values, gradients, rules. */
#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "layers/softmax_loss_math.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/golden.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"

static struct ot_err err;

static struct ot_mini *open_mini(const char *text, int n_in, const struct ot_shape *in)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in, .no_grad = ~3u };
    struct ot_mini *m;

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    err = (struct ot_err)OT_ERR_INIT;
    m = ot_mini_open(ot_cpu, &spec, &err);
    if (!m)
        assert_ok(err.code, &err);
    return m;
}

static void refuse_mini(const char *text, int n_in, const struct ot_shape *in, enum ot_code code,
                        const char *part)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in };

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, code, part);
}

static void fill_labels(struct ot_mini_array *a, uint32_t classes, uint64_t seed)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(seed, OT_RNG_TEST, 1, i, classes);
}

static void forward(struct ot_mini *m)
{
    assert_ok(ot_mini_forward(m, &err), &err);
}

static void backward(struct ot_mini *m)
{
    assert_ok(ot_mini_backward(m, &err), &err);
}

/* ---- Caffe's values ------------------------------------------------------------------------ */

/* frcnn/ has no precision.txt: the tolerance is OT_GOLDEN_EPS of the largest value. */
static void assert_blob(const struct ot_golden *g, const char *name, const struct ot_mini_array *a)
{
    const struct ot_golden_blob *found = ot_golden_find(g, name);
    struct ot_golden_blob b;
    double worst;

    assert_non_null(found);
    b = *found;
    for (size_t i = 0; i < b.n; i++)
        b.max = fmax(b.max, fabs((double)b.v[i]));
    worst = ot_golden_error(&b, a->v, a->n);
    if (!(worst <= 1.0))
        fail_msg("%s %s: %g times its tolerance", g->dir, name, worst);
}

static void give_blob(const struct ot_golden *g, const char *name, struct ot_mini_array *a)
{
    const struct ot_golden_blob *b = ot_golden_find(g, name);

    assert_non_null(b);
    assert_int_equal(b->n, a->n);
    memcpy(a->v, b->v, a->n * sizeof *a->v);
}

static void the_ohem_loss_gives_rfcns_instance_losses(void **state)
{
    const struct ot_shape in[] = { ot_shape4(8, 5, 1, 1), ot_shape4(8, 1, 1, 1) };
    const char *dir = ot_shared("golden/det-layers/smloss_per_instance");
    struct ot_golden g;
    struct ot_mini *m;

    (void)state;
    if (!dir)
        skip_because("no golden/det-layers");
    err = (struct ot_err)OT_ERR_INIT;
    assert_ok(ot_golden_open(&g, dir, &err), &err);
    m = open_mini("layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'b0' bottom: 'b1' "
                  "top: 't0' top: 't1' top: 't2' loss_param { ignore_label: -1 "
                  "normalization: NONE } }",
                  2, in);
    give_blob(&g, "bottom0", &m->in[0]);
    give_blob(&g, "bottom1", &m->in[1]);
    forward(m);
    assert_blob(&g, "top0", &m->out[0]);
    assert_blob(&g, "top1", &m->out[1]);
    assert_blob(&g, "top2", &m->out[2]);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static void smooth_l1_case(const char *name, const char *text)
{
    struct ot_shape in[4];
    char path[128], blob[24];
    struct ot_golden g;
    struct ot_mini *m;
    int n = 0;

    (void)snprintf(path, sizeof path, "golden/frcnn/%s", name);
    if (!ot_shared(path))
        skip_because("no golden/frcnn");
    err = (struct ot_err)OT_ERR_INIT;
    assert_ok(ot_golden_open(&g, ot_shared(path), &err), &err);
    for (; n < 4; n++) {
        (void)snprintf(blob, sizeof blob, "bottom%d", n);
        if (!ot_golden_find(&g, blob))
            break;
        in[n] = ot_golden_find(&g, blob)->shape;
    }
    m = open_mini(text, n, in);
    for (int i = 0; i < n; i++) {
        (void)snprintf(blob, sizeof blob, "bottom%d", i);
        give_blob(&g, blob, &m->in[i]);
    }
    forward(m);
    assert_blob(&g, "top0", &m->out[0]);
    backward(m);
    assert_blob(&g, "bottom0_diff", &m->in_grad[0]);
    assert_blob(&g, "bottom1_diff", &m->in_grad[1]);
    ot_mini_close(m);
    ot_golden_close(&g);
}

static void smooth_l1_agrees_with_its_definition(void **state)
{
    (void)state;
    smooth_l1_case("smooth_l1_noweights",
                   "layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' top: 't' "
                   "loss_weight: 0.5 smooth_l1_loss_param { sigma: 2 } }");
    smooth_l1_case("smooth_l1_sigma1_rcnn",
                   "layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' bottom: 'c' "
                   "bottom: 'd' top: 't' loss_weight: 1 }");
    smooth_l1_case("smooth_l1_sigma3_rpn",
                   "layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' bottom: 'c' "
                   "bottom: 'd' top: 't' smooth_l1_loss_param { sigma: 3 } }");
}

/* ---- against a plain reference in double ------------------------------------------------- */

static double reference_prob(const float *x, size_t c, size_t inner, size_t k)
{
    double top = -INFINITY, sum = 0.0;

    for (size_t j = 0; j < c; j++)
        top = (double)x[j * inner] > top ? (double)x[j * inner] : top;
    for (size_t j = 0; j < c; j++)
        sum += exp((double)x[j * inner] - top);
    return exp((double)x[k * inner] - top) / sum;
}

static void compare_with_reference(int outer, int c, int inner)
{
    const struct ot_shape in[] = { { 3, { outer, c, inner } }, { 2, { outer, inner } } };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' "
                                  "bottom: 'y' top: 'l' top: 'p' top: 'i' }",
                                  2, in);
    const size_t n = (size_t)outer * (size_t)inner, uc = (size_t)c, ui = (size_t)inner;
    double sum = 0.0;

    ot_mini_random(m, (uint64_t)(outer + c + inner), -20.0f, 20.0f);
    fill_labels(&m->in[1], (uint32_t)c, 7);
    forward(m);
    backward(m);
    for (size_t i = 0; i < n; i++) {
        const float *x = m->in[0].v + i / ui * uc * ui + i % ui;
        size_t label = (size_t)m->in[1].v[i], at = (size_t)(x - m->in[0].v);
        double loss = -log(fmax(reference_prob(x, uc, ui, label), (double)FLT_MIN));

        sum += loss;
        assert_near(m->out[2].v[i], loss, 4e-6 + 2e-7 * loss);
        for (size_t k = 0; k < uc; k++) {
            double p = reference_prob(x, uc, ui, k), want = (p - (k == label)) / (double)n;

            assert_near(m->out[1].v[at + k * ui], p, 3e-7);
            assert_near(m->in_grad[0].v[at + k * ui], want, 5e-7 / (double)n);
        }
    }
    assert_near(m->out[0].v[0], sum / (double)n, 1e-6 * sum / (double)n + 1e-6);
    ot_mini_close(m);
}

static void odd_shapes_agree_with_a_plain_reference(void **state)
{
    static const int shape[][3] = { { 1, 1, 1 },    { 1, 2, 1 },    { 7, 21, 1 },
                                    { 3, 1000, 1 }, { 2, 2, 63 },   { 1, 21, 64 },
                                    { 3, 5, 65 },   { 2, 19, 301 }, { 1, 3, 20000 } };

    (void)state;
    for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
        compare_with_reference(shape[i][0], shape[i][1], shape[i][2]);
}

static void the_exponential_is_within_two_units(void **state)
{
    (void)state;
    for (float x = 0.0f; x > -87.3f; x -= 0.00137f) {
        double want = exp((double)x);

        assert_near(ot_expf(x), want, want * 2.4e-7);
    }
    assert_near(ot_expf(0.0f), 1.0, 0.0);
    assert_near(ot_expf(-1000.0f), 0.0, 0.0);
    assert_near(ot_expf(-INFINITY), 0.0, 0.0);
    assert_true(isnan(ot_expf(NAN)));
}

/* ---- gradients ------------------------------------------------------------------------------ */

static void the_gradient_is_that_of_the_weighted_loss(void **state)
{
    static const char *const norm[] = { "FULL", "VALID", "BATCH_SIZE", "NONE",
                                        "PRE_FIXED pre_fixed_normalizer: 3.5" };
    const struct ot_shape in[] = { ot_shape4(2, 3, 4, 3), { 3, { 2, 3, 3 } }, { 3, { 2, 3, 3 } } };

    (void)state;
    for (size_t i = 0; i < sizeof norm / sizeof norm[0]; i++) {
        char text[400];
        struct ot_mini *m;

        (void)snprintf(text, sizeof text,
                       "layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 'y' "
                       "bottom: 'w' top: 'l' loss_weight: 1.75 softmax_param { axis: 2 } "
                       "loss_param { ignore_label: 2 normalization: %s } }",
                       norm[i]);
        m = open_mini(text, 3, in);
        ot_mini_random(m, 5, -2, 2);
        fill_labels(&m->in[1], 4, 3);
        ot_mini_fill(&m->in[2], 8, 0, 2);
        assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 6 }), 72);
        ot_mini_close(m);
    }
}

static void the_gradient_of_focal_loss_is_its_derivative(void **state)
{
    static const char *const gamma[] = { "0.5", "1", "2", "5" };
    const struct ot_shape in[2][3] = {
        { ot_shape4(2, 4, 3, 3), { 3, { 2, 3, 3 } }, { 3, { 2, 3, 3 } } },
        { ot_shape2(18, 4), ot_shape1(18), ot_shape1(18) },
    };

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        char text[400];
        struct ot_mini *m;

        (void)snprintf(text, sizeof text,
                       "layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 'y' "
                       "bottom: 'w' top: 'l' loss_weight: 1.75 "
                       "loss_param { ignore_label: 2 focal_gamma: %s } }",
                       gamma[i / 2]);
        m = open_mini(text, 3, in[i % 2]);
        ot_mini_random(m, 5, -2, 2);
        fill_labels(&m->in[1], 4, 3);
        ot_mini_fill(&m->in[2], 8, 0, 2);
        assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 6 }), 72);
        ot_mini_close(m);
    }
}

static void the_gradient_of_smooth_l1_is_its_derivative(void **state)
{
    const struct ot_shape in[] = { ot_shape2(3, 8), ot_shape2(3, 8), ot_shape2(3, 8),
                                   ot_shape2(3, 8) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' "
                                  "bottom: 'c' bottom: 'd' top: 't' loss_weight: 2.5 "
                                  "smooth_l1_loss_param { sigma: 1.3 } }",
                                  4, in);

    (void)state;
    ot_mini_random(m, 11, -2, 2);
    ot_mini_fill(&m->in[2], 12, 0.3f, 1.5f);
    ot_mini_fill(&m->in[3], 13, 0, 1);
    assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 12 }), 48);
    ot_mini_close(m);
}

static void the_gradient_of_weighed_smooth_l1_is_its_derivative_for_weights_of_0_and_1(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 4, 3, 2), ot_shape4(2, 4, 3, 2),
                                   ot_shape4(2, 4, 3, 2) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' "
                                  "bottom: 'w' top: 't' top: 'i' loss_weight: 2.5 loss_weight: 0 "
                                  "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 7 "
                                  "} }",
                                  3, in);
    double sum = 0.0;

    (void)state;
    ot_mini_random(m, 11, -2, 2);
    fill_labels(&m->in[2], 2, 3);
    memset(m->out_grad[1].v, 0, m->out_grad[1].n * sizeof(float));
    assert_int_equal(ot_gradcheck(m, &(struct ot_gradcheck){ .skip_in = 4 }), 96);
    forward(m);
    for (size_t i = 0; i < m->out[1].n; i++)
        sum += (double)m->out[1].v[i];
    assert_int_equal(m->out[1].n, 12);
    assert_near(m->out[0].v[0], sum / 7.0, 1e-5);
    ot_mini_close(m);
}

/* ---- rules ------------------------------------------------------------------------------------
 */

static void weights_scale_loss_and_gradient_but_not_the_instance_losses(void **state)
{
    const struct ot_shape in[] = { ot_shape2(6, 4), ot_shape1(6), ot_shape1(6) };
    static const char *const text =
        "layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 'y' bottom: 'w' "
        "top: 'l' top: 'p' top: 'i' loss_param { ignore_label: -1 } }";
    struct ot_mini *plain = open_mini(text, 3, in), *weighed = open_mini(text, 3, in);
    double sum = 0.0;

    (void)state;
    ot_mini_random(plain, 21, -2, 2);
    fill_labels(&plain->in[1], 4, 9);
    plain->in[1].v[2] = -1.0f;
    for (size_t i = 0; i < 6; i++)
        plain->in[2].v[i] = 1.0f;
    memcpy(weighed->in[0].v, plain->in[0].v, 24 * sizeof(float));
    memcpy(weighed->in[1].v, plain->in[1].v, 6 * sizeof(float));
    for (size_t i = 0; i < 6; i++)
        weighed->in[2].v[i] = 0.25f * (float)i;
    forward(plain);
    backward(plain);
    forward(weighed);
    backward(weighed);
    assert_memory_equal(plain->out[2].v, weighed->out[2].v, 6 * sizeof(float));
    assert_near(plain->out[2].v[2], 0.0, 0.0);
    for (size_t i = 0; i < 6; i++) {
        sum += 0.25 * (double)i * (double)plain->out[2].v[i];
        for (size_t k = 0; k < 4; k++)
            assert_near(weighed->in_grad[0].v[4 * i + k],
                        0.25 * (double)i * (double)plain->in_grad[0].v[4 * i + k], 1e-7);
    }
    assert_near(weighed->out[0].v[0], sum / 5.0, 1e-6);
    ot_mini_close(plain);
    ot_mini_close(weighed);
}

static void focal_loss_scales_the_sum_and_not_the_instance_losses(void **state)
{
    const struct ot_shape in[] = { ot_shape2(6, 4), ot_shape1(6) };
    static const char *const text[] = {
        "layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 'y' "
        "top: 'l' top: 'p' top: 'i' }",
        "layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' bottom: 'y' "
        "top: 'l' top: 'p' top: 'i' loss_param { focal_gamma: 2 } }",
    };
    struct ot_mini *plain = open_mini(text[0], 2, in), *focal = open_mini(text[1], 2, in);
    double sum = 0.0;

    (void)state;
    ot_mini_random(plain, 21, -2, 2);
    fill_labels(&plain->in[1], 4, 9);
    memcpy(focal->in[0].v, plain->in[0].v, 24 * sizeof(float));
    memcpy(focal->in[1].v, plain->in[1].v, 6 * sizeof(float));
    forward(plain);
    forward(focal);
    assert_memory_equal(plain->out[2].v, focal->out[2].v, 6 * sizeof(float));
    for (size_t i = 0; i < 6; i++) {
        double p = exp(-(double)plain->out[2].v[i]);

        sum += (1.0 - p) * (1.0 - p) * (double)plain->out[2].v[i];
    }
    assert_near(focal->out[0].v[0], sum / 6.0, 1e-6);
    ot_mini_close(plain);
    ot_mini_close(focal);
}

static void focal_loss_of_a_sure_instance_has_no_gradient(void **state)
{
    const struct ot_shape in[] = { ot_shape2(1, 2), ot_shape1(1) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' "
                                  "bottom: 'y' top: 'l' loss_param { focal_gamma: 0.25 } }",
                                  2, in);

    (void)state;
    m->in[0].v[0] = 90.0f;
    forward(m);
    backward(m);
    assert_near(m->out[0].v[0], 0.0, 0.0);
    assert_near(m->in_grad[0].v[0], 0.0, 0.0);
    assert_near(m->in_grad[0].v[1], 0.0, 1e-30);
    ot_mini_close(m);
}

static void probability_zero_costs_no_more_than_the_smallest_float(void **state)
{
    const struct ot_shape in[] = { ot_shape2(2, 2), ot_shape1(2) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SoftmaxWithLossOHEM' bottom: 'x' "
                                  "bottom: 'y' top: 'l' top: 'p' top: 'i' }",
                                  2, in);

    (void)state;
    memcpy(m->in[0].v, (float[]){ 500, -500, 3, NAN }, 4 * sizeof(float));
    m->in[1].v[0] = 1.0f;
    forward(m);
    assert_near(m->out[2].v[0], -log((double)FLT_MIN), 1e-5);
    assert_true(isnan(m->out[2].v[1]));
    assert_true(isnan(m->out[0].v[0]));
    ot_mini_close(m);
}

static void a_label_outside_the_classes_names_instance_and_value(void **state)
{
    static const float bad[] = { 4, -1, 1e30f, -1e30f, NAN, INFINITY };
    const struct ot_shape in[] = { { 3, { 2, 4, 5 } }, { 2, { 2, 5 } } };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' "
                                  "bottom: 'y' top: 'l' loss_param { ignore_label: 9 } }",
                                  2, in);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char want[64];

        ot_mini_random(m, 3, -1, 1);
        fill_labels(&m->in[1], 4, 1);
        m->in[1].v[6] = bad[i];
        m->in[1].v[8] = 77.0f;
        m->in[1].v[7] = 9.0f;
        err = (struct ot_err)OT_ERR_INIT;
        assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
        (void)snprintf(want, sizeof want, "instance 6: label %g is outside [0, 4)", (double)bad[i]);
        assert_error(&err, OT_EDATA, want);
        backward(m);
        for (size_t k = 0; k < 4; k++)
            assert_near(m->in_grad[0].v[20 + 5 * k + 1], 0.0, 0.0);
    }
    ot_mini_close(m);
}

static void one_thread_and_two_give_the_same_bits(void **state)
{
    const struct ot_shape in[] = { { 3, { 3, 7, 9001 } }, { 2, { 3, 9001 } } };
    static float loss[2], grad[3 * 7 * 9001];
    struct ot_dev *two = ot_cpu;

    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct ot_mini *m;

        err = (struct ot_err)OT_ERR_INIT;
        ot_cpu = ot_dev_open("cpu", threads, &err);
        assert_non_null(ot_cpu);
        m = open_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' bottom: 'y' "
                      "top: 'l' }",
                      2, in);
        ot_mini_random(m, 77, -3, 3);
        fill_labels(&m->in[1], 7, 2);
        forward(m);
        backward(m);
        loss[threads - 1] = m->out[0].v[0];
        if (threads == 1)
            memcpy(grad, m->in_grad[0].v, sizeof grad);
        else
            assert_memory_equal(grad, m->in_grad[0].v, sizeof grad);
        ot_mini_close(m);
        ot_dev_close(ot_cpu);
    }
    ot_cpu = two;
    assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
}

static void scores_that_are_not_numbers_count_as_right(void **state)
{
    const struct ot_shape in[] = { ot_shape2(4, 3), ot_shape1(4) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'Accuracy' bottom: 'x' bottom: 'y' "
                                  "top: 'a' top: 'c' }",
                                  2, in);

    (void)state;
    /* right; tie: wrong; NaN: right; wrong */
    memcpy(m->in[0].v, (float[]){ 3, 1, 2, 5, 5, 1, NAN, 9, 9, 0, 1, 2 }, 12 * sizeof(float));
    memcpy(m->in[1].v, (float[]){ 0, 1, 0, 1 }, 4 * sizeof(float));
    forward(m);
    assert_near(m->out[0].v[0], 0.5, 0.0);
    assert_near(m->out[1].v[0], 1.0, 0.0);
    assert_near(m->out[1].v[1], 0.0, 0.0);
    assert_near(m->out[1].v[2], 0.0, 0.0);
    m->in[1].v[3] = 3.0f;
    err = (struct ot_err)OT_ERR_INIT;
    assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "instance 3: label 3 is outside [0, 3)");
    ot_mini_close(m);
}

static void many_classes_are_counted_each_once(void **state)
{
    const struct ot_shape in[] = { ot_shape2(600, 600), ot_shape1(600) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'Accuracy' bottom: 'x' bottom: 'y' "
                                  "top: 'a' top: 'c' }",
                                  2, in);

    (void)state;
    for (size_t i = 0; i < 600; i++) {
        m->in[1].v[i] = (float)i;
        m->in[0].v[600 * i + i] = i % 3 ? 1.0f : -1.0f;
    }
    forward(m);
    assert_near(m->out[0].v[0], 400.0 / 600.0, 1e-7);
    for (size_t k = 0; k < 600; k++)
        assert_near(m->out[1].v[k], k % 3 ? 1.0 : 0.0, 0.0);
    ot_mini_close(m);
}

static void wrong_settings_are_refused_by_name(void **state)
{
    const struct ot_shape in[] = { ot_shape2(6, 4), ot_shape1(5), ot_shape1(6), ot_shape1(6) };
    const struct ot_shape like[] = { ot_shape2(6, 4), ot_shape2(6, 4), ot_shape2(6, 4) };

    (void)state;
    refuse_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' bottom: 'y' top: 'l' }", 2,
                in, OT_ESHAPE,
                "bottom 'y': wanted 6 labels for scores 'x' of shape 6x4, got shape 5");
    refuse_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' bottom: 'y' top: 'l'\n"
                "softmax_param { axis: 2 } }",
                2, in, OT_ECONFIG, "mini.prototxt:2:17: layer 'l': axis: must be in [-2, 2)");
    refuse_mini("layer { name: 'l' type: 'SoftmaxWithLoss' bottom: 'x' bottom: 'y' top: 'l'\n"
                "loss_param { focal_gamma: -1 } }",
                2, (struct ot_shape[]){ ot_shape2(6, 4), ot_shape1(6) }, OT_ECONFIG,
                "mini.prototxt:2:14: layer 'l': focal_gamma: must be >= 0, got -1");
    refuse_mini("layer { name: 'l' type: 'Accuracy' bottom: 'x' bottom: 'y' top: 'l'\n"
                "accuracy_param { top_k: 5 } }",
                2, in, OT_ECONFIG, "top_k: must be in [1, 4] for scores of shape 6x4, got 5");
    refuse_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'x' bottom: 'y' top: 'l' "
                "top: 'i' }",
                2, like, OT_ECONFIG,
                "top 'i': losses of instances need 3 bottoms (weights), got 2");
    refuse_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'x' bottom: 'y' top: 'l' }", 2, in,
                OT_ESHAPE, "bottom 'y': wanted shape 6x4 of bottom 'x', got 5");
    refuse_mini("layer { name: 'l' type: 'SmoothL1Loss' bottom: 'x' bottom: 'y' top: 'l'\n"
                "smooth_l1_loss_param { sigma: -1 } }",
                2, like, OT_ECONFIG, "sigma: must be > 0, got -1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ohem_loss_gives_rfcns_instance_losses),
        cmocka_unit_test(smooth_l1_agrees_with_its_definition),
        cmocka_unit_test(odd_shapes_agree_with_a_plain_reference),
        cmocka_unit_test(the_exponential_is_within_two_units),
        cmocka_unit_test(the_gradient_is_that_of_the_weighted_loss),
        cmocka_unit_test(the_gradient_of_focal_loss_is_its_derivative),
        cmocka_unit_test(the_gradient_of_smooth_l1_is_its_derivative),
        cmocka_unit_test(
            the_gradient_of_weighed_smooth_l1_is_its_derivative_for_weights_of_0_and_1),
        cmocka_unit_test(weights_scale_loss_and_gradient_but_not_the_instance_losses),
        cmocka_unit_test(focal_loss_scales_the_sum_and_not_the_instance_losses),
        cmocka_unit_test(focal_loss_of_a_sure_instance_has_no_gradient),
        cmocka_unit_test(probability_zero_costs_no_more_than_the_smallest_float),
        cmocka_unit_test(a_label_outside_the_classes_names_instance_and_value),
        cmocka_unit_test(one_thread_and_two_give_the_same_bits),
        cmocka_unit_test(scores_that_are_not_numbers_count_as_right),
        cmocka_unit_test(many_classes_are_counted_each_once),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
