/*
 * test_neuron_layers.c - functions of one value and layers with one value a channel: against
 * Caffe's own outputs, against their own differences, in every format, in place, and what they say
 * about bad parameters.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/netkit.h"

#define ONE(type, param) "layer { type: '" type "' bottom: 'a' top: 'b' " param " }"
#define TWO(type, param) "layer { type: '" type "' bottom: 'a' bottom: 's' top: 'b' " param " }"

static struct ot_mini *open_two(const char *text, struct ot_shape a, struct ot_shape b)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 2, .in = { a, b } };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    assert_ok(err.code, &err);
    return m;
}

static struct ot_mini *open_one(const char *text, struct ot_shape a)
{
    return open_two(text, a, ot_shape1(1));
}

static void run(struct ot_mini *m)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
}

static void assert_same(const struct ot_mini_array *a, const struct ot_mini_array *b, double tol)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        assert_near(a->v[i], b->v[i], tol);
}

/* ---- Caffe --------------------------------------------------------------------------------- */

static void sigmoid_tanh_and_bnll_are_exact_over_all_their_range(void **state)
{
    enum { N = 4001 };

    static float x[N], s[N], t[N], l[N];

    (void)state;
    for (size_t i = 0; i < N; i++)
        x[i] = ((float)i - 2000.0f) * 0.05f;
    ot_cpu->k->unary_fwd(ot_cpu, &(struct ot_unary){ .kind = OT_UNARY_SIGMOID }, OT_F32, N, x, s);
    ot_cpu->k->unary_fwd(ot_cpu, &(struct ot_unary){ .kind = OT_UNARY_TANH }, OT_F32, N, x, t);
    ot_cpu->k->unary_fwd(ot_cpu, &(struct ot_unary){ .kind = OT_UNARY_BNLL }, OT_F32, N, x, l);
    for (size_t i = 0; i < N; i++) {
        double d = (double)x[i], want = 1 / (1 + exp(-d));

        assert_near(s[i], want, 4e-7 * want + 2e-38);
        assert_near(t[i], tanh(d), 2e-7 * fabs(tanh(d)));
        assert_near(l[i], log1p(exp(d)), 4e-7 * log1p(exp(d)) + 2e-38);
    }
    x[0] = -INFINITY, x[1] = INFINITY, x[2] = NAN;
    ot_cpu->k->unary_fwd(ot_cpu, &(struct ot_unary){ .kind = OT_UNARY_SIGMOID }, OT_F32, 3, x, s);
    ot_cpu->k->unary_fwd(ot_cpu, &(struct ot_unary){ .kind = OT_UNARY_TANH }, OT_F32, 3, x, t);
    assert_true(s[0] == 0.0f && s[1] == 1.0f && isnan(s[2]));
    assert_true(t[0] == -1.0f && t[1] == 1.0f && isnan(t[2]));
}

/* ---- gradients ----------------------------------------------------------------------------- */

static void gradients_of_functions_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        float lo;
        double kink;
    } cases[] = {
        { ONE("AbsVal", ""), -2, 0 },
        { ONE("BNLL", ""), -2, 9 },
        { ONE("Clip", "clip_param { min: -0.5 max: 3 }"), -2, -0.5 },
        { ONE("ELU", "elu_param { alpha: 0.6 }"), -2, 0 },
        { ONE("Exp", "exp_param { base: 0.5 scale: -2 shift: 0.3 }"), -2, 9 },
        { ONE("Log", "log_param { base: 3 scale: 2 shift: 0.5 }"), 0.5, 9 },
        { ONE("Power", "power_param { power: 3 scale: 0.5 shift: 0.1 }"), -2, 9 },
        { ONE("Power", "power_param { power: 2 scale: -0.5 shift: 1 }"), -2, 9 },
        { ONE("Power", "power_param { power: -1.5 scale: 0.5 shift: 0.5 }"), 0.5, 9 },
        { ONE("Power", "power_param { scale: -0.5 shift: 1 }"), -2, 9 },
        { ONE("Power", "power_param { power: 0.5 scale: 0 shift: 4 }"), -2, 9 },
        { ONE("Sigmoid", ""), -2, 9 },
        { ONE("Swish", "swish_param { beta: 1.7 }"), -2, 9 },
        { ONE("TanH", ""), -2, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, ot_shape4(2, 3, 5, 7));
        struct ot_gradcheck how = {
            .tol = 5e-4, .has_kink = true, .kink = cases[i].kink, .margin = 0.02
        };

        ot_mini_random(m, i + 1, cases[i].lo, 2);
        assert_true(ot_gradcheck(m, &how) > 100);
        ot_mini_close(m);
    }
}

static void gradients_of_channel_layers_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in[2];
    } cases[] = {
        { ONE("Scale", "scale_param { bias_term: true }"), { { 4, { 2, 3, 5, 4 } } } },
        { ONE("Scale", "scale_param { axis: -1 }"), { { 3, { 2, 3, 5 } } } },
        { ONE("Scale", "scale_param { num_axes: 0 bias_term: true }"), { { 2, { 3, 5 } } } },
        { ONE("Scale", "scale_param { axis: 1 num_axes: -1 }"), { { 3, { 4, 3, 5 } } } },
        { TWO("Scale", "scale_param { axis: 1 bias_term: true }"),
          { { 4, { 2, 3, 5, 4 } }, { 2, { 3, 5 } } } },
        { TWO("Scale", "scale_param { axis: 0 }"), { { 3, { 3, 4, 5 } }, { 1, { 3 } } } },
        { TWO("Scale", ""), { { 3, { 3, 4, 5 } }, { 0 } } },
        { ONE("Bias", "bias_param { axis: 2 }"), { { 4, { 2, 3, 5, 4 } } } },
        { TWO("Bias", "bias_param { axis: 0 }"), { { 3, { 3, 4, 5 } }, { 3, { 3, 4, 5 } } } },
        { ONE("PReLU", ""), { { 4, { 2, 3, 5, 4 } } } },
        { ONE("PReLU", ""), { { 2, { 7, 5 } } } },
        { ONE("PReLU", "prelu_param { channel_shared: true }"), { { 3, { 2, 3, 7 } } } },
        { ONE("MVN", ""), { { 4, { 2, 3, 4, 5 } } } },
        { ONE("MVN", "mvn_param { across_channels: true }"), { { 3, { 2, 3, 7 } } } },
        { ONE("MVN", "mvn_param { normalize_variance: false }"), { { 3, { 2, 3, 7 } } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_two(cases[i].text, cases[i].in[0], cases[i].in[1]);
        struct ot_gradcheck how = { .tol = 5e-5, .has_kink = true, .margin = 0.02 };

        ot_mini_random(m, i + 1, -1, 1);
        assert_true(ot_gradcheck(m, &how) > 10);
        ot_mini_close(m);
    }
}

static void parameter_gradients_are_added_where_another_writer_was_first(void **state)
{
    static const char *const texts[] = { ONE("Scale", "scale_param { bias_term: true }"),
                                         ONE("Bias", ""), ONE("PReLU", "") };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct ot_mini *m = open_one(texts[i], ot_shape4(2, 3, 4, 5));
        float first[2][3];

        ot_mini_random(m, 1, -1, 1);
        run(m);
        for (int p = 0; p < m->nparam; p++)
            memcpy(first[p], m->param_grad[p].v, sizeof first[p]);
        m->accumulate = true;
        run(m);
        for (int p = 0; p < m->nparam; p++)
            for (size_t k = 0; k < 3; k++)
                assert_near(m->param_grad[p].v[k], 2 * first[p][k], 1e-5);
        ot_mini_close(m);
    }
}

/* ---- what they do -------------------------------------------------------------------------- */

static void a_power_has_a_derivative_where_its_base_is_zero(void **state)
{
    struct ot_mini *m = open_one(ONE("Power", "power_param { power: 3 }"), ot_shape1(3));

    (void)state;
    memcpy(m->in[0].v, (const float[]){ 0, -2, 3 }, 3 * sizeof(float));
    memcpy(m->out_grad[0].v, (const float[]){ 1, 1, 1 }, 3 * sizeof(float));
    run(m);
    for (size_t i = 0; i < 3; i++) {
        assert_near(m->out[0].v[i], ((const float[]){ 0, -8, 27 })[i], 1e-5);
        assert_near(m->in_grad[0].v[i], ((const float[]){ 0, 12, 27 })[i], 1e-5);
    }
    ot_mini_close(m);
}

static void eps_of_mvn_is_added_to_the_deviation(void **state)
{
    struct ot_mini *m = open_one(ONE("MVN", "mvn_param { across_channels: true eps: 0.5 }"),
                                 ot_shape2(1, 4));

    (void)state;
    memcpy(m->in[0].v, (const float[]){ 1, 3, 3, 1 }, 4 * sizeof(float));
    run(m);
    assert_int_equal(m->out[0].shape.nd, 4);
    for (size_t i = 0; i < 4; i++)
        assert_near(m->out[0].v[i], (m->in[0].v[i] - 2) / 1.5f, 1e-7);
    ot_mini_close(m);
}

static void new_parameters_are_those_of_caffe(void **state)
{
    static const struct {
        const char *text;
        int nparam;
        float value[2];
    } cases[] = {
        { "layer { name: 'l' type: 'Scale' bottom: 'a' top: 'b' scale_param { bias_term: true } }",
          2,
          { 1, 0 } },
        { "layer { name: 'l' type: 'Scale' bottom: 'a' top: 'b' scale_param { filler { value: 3 } "
          "bias_term: true bias_filler { value: 2 } } }",
          2,
          { 3, 2 } },
        { "layer { name: 'l' type: 'Bias' bottom: 'a' top: 'b' }", 1, { 0 } },
        { "layer { name: 'l' type: 'PReLU' bottom: 'a' top: 'b' }", 1, { 0.25f } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        struct ot_kit kit;

        (void)snprintf(text, sizeof text,
                       "layer { name: 'i' type: 'Input' top: 'a' input_param { shape { dim: 2 dim: "
                       "3 } } } %s",
                       cases[i].text);
        kit = ot_kit_open(text, (struct ot_net_conf){ 0 });
        assert_int_equal(kit.net->nparam, cases[i].nparam);
        for (int p = 0; p < cases[i].nparam; p++) {
            size_t n;
            float *v = ot_kit_param(kit.net, kit.net->param[p], 0, &n);

            assert_int_equal(n, 3);
            for (size_t k = 0; k < n; k++)
                assert_near(v[k], cases[i].value[p], 0);
            ot_free(v);
        }
        ot_kit_close(&kit);
    }
}

/* ---- in place ------------------------------------------------------------------------------ */

static void in_place_gives_the_same(void **state)
{
    static const char *const layers[] = {
        "type: 'AbsVal'",
        "type: 'BNLL'",
        "type: 'Clip' clip_param { min: -0.2 max: 0.3 }",
        "type: 'ELU'",
        "type: 'Exp'",
        "type: 'Log' log_param { shift: 3 }",
        "type: 'Power' power_param { power: 3 }",
        "type: 'Sigmoid'",
        "type: 'Swish'",
        "type: 'TanH'",
        "type: 'PReLU'",
        "type: 'Scale' scale_param { bias_term: true }",
        "type: 'Bias'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        float *grad[2], *param[2] = { NULL, NULL };
        size_t n = 0, values = 0;

        for (int same = 0; same < 2; same++) {
            char text[900];
            struct ot_kit kit;

            (void)snprintf(text, sizeof text,
                           "force_backward: true layer { name: 'i' type: 'Input' top: 'x' "
                           "input_param { shape { dim: 2 dim: 3 dim: 9 } } }"
                           "layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: 2 "
                           "dim: 3 dim: 9 } } }"
                           "layer { name: 'b' type: 'Scale' bottom: 'x' top: 'a' }"
                           "layer { name: 'l' bottom: 'a' top: '%s' %s }"
                           "layer { name: 'e' type: 'EuclideanLoss' bottom: '%s' bottom: 't' top: "
                           "'loss' }",
                           same ? "a" : "c", layers[i], same ? "a" : "c");
            kit = ot_kit_open(text, (struct ot_net_conf){ 0 });
            ot_kit_fill(&kit, 5, 2);
            (void)ot_kit_forward(&kit);
            ot_kit_backward(&kit);
            grad[same] = ot_kit_blob_grad(kit.net, "x", &n);
            if (kit.net->nparam > 1) /* the first is b's */
                param[same] = ot_kit_param(kit.net, kit.net->param[1], OT_PARAM_GRAD, &values);
            ot_kit_close(&kit);
        }
        assert_int_equal(n, 54);
        assert_memory_equal(grad[0], grad[1], n * sizeof(float));
        if (param[0])
            assert_memory_equal(param[0], param[1], values * sizeof(float));
        for (int k = 0; k < 2; k++) {
            ot_free(grad[k]);
            ot_free(param[k]);
        }
    }
}

/* ---- formats ------------------------------------------------------------------------------- */

/* Plain (outer, c, inner) to the order of g and back. */
static void lay(const struct ot_channels *g, bool back, float *plain, float *laid)
{
    const size_t blocks = (g->c + g->block - 1) / g->block;

    for (size_t o = 0; o < g->outer; o++)
        for (size_t c = 0; c < blocks * g->block; c++)
            for (size_t i = 0; i < g->inner; i++) {
                size_t at = ((o * blocks + c / g->block) * g->inner + i) * g->block + c % g->block;
                float *p = plain + (o * g->c + c) * g->inner + i;

                if (back && c >= g->c)
                    assert_near(laid[at], 0, 0); /* padding */
                else if (back)
                    *p = laid[at];
                else
                    laid[at] = c < g->c ? *p : 0.0f;
            }
}

enum { MOST = 3 * 150 * 400 };

/* The kernels along channels, in plain order: y, sums. */
struct channel_run {
    float y[3][MOST], sum[3][200];
};

static void run_channels(const struct ot_channels *g, float *x, float *dy, float *s, float *t,
                         struct channel_run *r)
{
    static float lx[2 * MOST], ldy[2 * MOST], ly[2 * MOST];
    const struct ot_kernels *k = ot_cpu->k;

    lay(g, false, x, lx);
    lay(g, false, dy, ldy);
    k->affine(ot_cpu, g, lx, s, t, ly);
    lay(g, true, r->y[0], ly);
    k->prelu_fwd(ot_cpu, g, lx, s, ly);
    lay(g, true, r->y[1], ly);
    k->prelu_bwd(ot_cpu, g, lx, s, ldy, ly);
    lay(g, true, r->y[2], ly);
    for (int i = 0; i < 3; i++) {
        memcpy(r->sum[i], t, g->c * sizeof *t);
        k->channel_sum(ot_cpu, g, (enum ot_channel_term)i, ldy, lx, (float)(i % 2), r->sum[i]);
    }
}

static void channels_give_the_same_in_any_order(void **state)
{
    static const struct ot_channels shapes[] = {
        { 3, 20, 7, 1, OT_F32 },   { 3, 16, 7, 1, OT_F32 },  { 2, 150, 300, 1, OT_F32 },
        { 1, 1, 5000, 1, OT_F32 }, { 3, 150, 1, 1, OT_F32 },
    };
    static const size_t blocks[] = { 4, 8, 16, 0 /* c */ };
    static float x[MOST], dy[MOST], s[200], t[200];
    static struct channel_run want, got;

    (void)state;
    ot_mini_fill(&(struct ot_mini_array){ .n = MOST, .v = x }, 1, -1, 1);
    ot_mini_fill(&(struct ot_mini_array){ .n = MOST, .v = dy }, 2, -1, 1);
    ot_mini_fill(&(struct ot_mini_array){ .n = 200, .v = s }, 3, -1, 1);
    ot_mini_fill(&(struct ot_mini_array){ .n = 200, .v = t }, 4, -1, 1);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct ot_channels g = shapes[i];
        size_t n = g.outer * g.c * g.inner;

        run_channels(&g, x, dy, s, t, &want);
        for (size_t e = 0; e < n; e++) {
            size_t c = e / g.inner % g.c;

            assert_near(want.y[0][e], x[e] * s[c] + t[c], 1e-6);
            assert_near(want.y[1][e], x[e] > 0 ? x[e] : s[c] * x[e], 0);
            assert_near(want.y[2][e], x[e] > 0 ? dy[e] : s[c] * dy[e], 0);
        }
        for (size_t c = 0; c < g.c; c++) {
            double sum[3] = { 0, (double)t[c], 0 };

            for (size_t e = 0; e < n; e++) {
                double p = e / g.inner % g.c == c ? (double)dy[e] : 0, v = (double)x[e];

                sum[0] += p;
                sum[1] += p * v;
                sum[2] += v <= 0 ? p * v : 0;
            }
            for (int k = 0; k < 3; k++)
                assert_near(want.sum[k][c], sum[k], 1e-6 * fmax(1, fabs(sum[k])));
        }
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
            g.block = blocks[b] ? blocks[b] : g.c;
            run_channels(&g, x, dy, s, t, &got);
            for (int k = 0; k < 3; k++) {
                assert_memory_equal(want.y[k], got.y[k], n * sizeof(float));
                for (size_t c = 0; c < g.c; c++)
                    assert_near(want.sum[k][c], got.sum[k][c],
                                2e-6 * fmax(1, fabs((double)want.sum[k][c])));
            }
        }
    }
}

/* Runs `text` on a plain input and on one in channel blocks with padding: the results must be the
 * same, and the output in blocks where `kept`. */
static void same_in_blocks(const char *text, bool kept)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *conv = open_one(ONE("Convolution", "convolution_param { num_output: 20 "
                                                       "kernel_size: 1 }"),
                                    ot_shape4(2, 16, 5, 6));
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { ot_shape4(2, 20, 5, 6) } };
    struct ot_mini *plain = ot_mini_open(ot_cpu, &spec, &err), *blocks;

    spec.in_fmt[0] = conv->layer.out[0]->data.fmt;
    blocks = ot_mini_open(ot_cpu, &spec, &err);
    assert_non_null(plain);
    assert_non_null(blocks);
    ot_mini_random(plain, 3, 0.1f, 1);
    ot_mini_random(blocks, 3, 0.1f, 1);
    run(plain);
    run(blocks);
    assert_same(&plain->out[0], &blocks->out[0], 0);
    assert_same(&plain->in_grad[0], &blocks->in_grad[0], 0);
    for (int p = 0; p < plain->nparam; p++)
        assert_same(&plain->param_grad[p], &blocks->param_grad[p], 2e-5);
    if (spec.in_fmt[0]) /* not on a processor whose convolutions are plain */
        assert_int_equal(blocks->layer.out[0]->data.fmt == spec.in_fmt[0], kept);
    if (spec.in_fmt[0] && kept) {
        size_t zeros = 0;

        for (size_t k = 0; k < spec.in_fmt[0]->elems; k++)
            zeros += blocks->layer.out[0]->data.data[k] == 0.0f;
        assert_true(zeros >= spec.in_fmt[0]->elems - plain->out[0].n); /* padding */
    }
    ot_mini_close(plain);
    ot_mini_close(blocks);
    ot_mini_close(conv);
}

static void layers_give_the_same_in_channel_blocks(void **state)
{
    static const struct {
        const char *text;
        bool blocks;
    } cases[] = {
        { ONE("Scale", "scale_param { bias_term: true }"), true },
        { ONE("Scale", "scale_param { num_axes: 0 }"), true },
        { ONE("Scale", "scale_param { num_axes: 0 bias_term: true }"), false },
        { ONE("Scale", "scale_param { axis: 2 }"), false },
        { ONE("Bias", ""), true },
        { ONE("PReLU", ""), true },
        { ONE("PReLU", "prelu_param { channel_shared: true }"), true },
        { ONE("TanH", ""), true },
        { ONE("ELU", ""), true },
        { ONE("Sigmoid", ""), false },
        { ONE("BNLL", ""), false },
        { ONE("Exp", ""), false },
        { ONE("Log", ""), false },
        { ONE("Clip", "clip_param { min: -1 max: 1 }"), true },
        { ONE("Clip", "clip_param { min: 0.5 max: 1 }"), false },
        { ONE("Power", "power_param { power: 3 }"), true },
        { ONE("Power", "power_param { power: 0.5 }"), false },
        { ONE("Power", "power_param { shift: 1 }"), false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        same_in_blocks(cases[i].text, cases[i].blocks);
}

static void layers_between_convolutions_need_no_conversion(void **state)
{
    struct ot_kit kit = ot_kit_open(
        "layer { name: 'i' type: 'Input' top: 'a' input_param { shape { dim: 2 dim: 32 dim: 9 dim: "
        "9 } } }"
        "layer { name: 'c' type: 'Convolution' bottom: 'a' top: 'b' convolution_param { "
        "num_output: 32 kernel_size: 3 } }"
        "layer { name: 's' type: 'Scale' bottom: 'b' top: 'b' scale_param { bias_term: true } }"
        "layer { name: 'p' type: 'PReLU' bottom: 'b' top: 'b' }"
        "layer { name: 'u' type: 'Bias' bottom: 'b' top: 'b' }"
        "layer { name: 'e' type: 'ELU' bottom: 'b' top: 'b' }"
        "layer { name: 'g' type: 'Sigmoid' bottom: 'b' top: 'b' }"
        "layer { name: 'd' type: 'Convolution' bottom: 'b' top: 'z' convolution_param { "
        "num_output: 32 kernel_size: 3 } }",
        (struct ot_net_conf){ 0 });

    (void)state;
    for (size_t i = 0; i < kit.net->nconv; i++) /* only of the first input */
        assert_int_equal(kit.net->conv[i].node, 1);
    ot_kit_close(&kit);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void bad_parameters_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *text;
        enum ot_code code;
        const char *part;
    } cases[] = {
        { "layer { name: 'c' type: 'Clip' bottom: 'a' top: 'b' }", OT_ECONFIG,
          "layer 'c': clip_param is missing" },
        { "layer { name: 'c' type: 'Clip' bottom: 'a' top: 'b'\n clip_param { min: 1 } }",
          OT_ECONFIG, "mini.prototxt:2:2: layer 'c': clip_param: max is missing" },
        { ONE("Clip", "clip_param { max: 1 }"), OT_ECONFIG, "clip_param: min is missing" },
        { ONE("Clip", "\nclip_param { max: 1 min: 2 }"), OT_ECONFIG,
          "mini.prototxt:2:21: layer 'layer': min: must be <= max (1), got 2" },
        { ONE("ELU", "elu_param { alpha: -1 }"), OT_ECONFIG, "alpha: must be >= 0, got -1" },
        { ONE("Exp", "\nexp_param { base: 0 }"), OT_ECONFIG,
          "mini.prototxt:2:13: layer 'layer': base: must be > 0, or -1 for e, got 0" },
        { ONE("Log", "log_param { base: -2 }"), OT_ECONFIG,
          "base: must be > 0, or -1 for e, got -2" },
        { ONE("Log", "log_param { base: 1 }"), OT_ECONFIG,
          "base: there is no logarithm to base 1, got 1" },
        { ONE("Scale", "\nscale_param { axis: 4 }"), OT_ECONFIG,
          "mini.prototxt:2:15: layer 'layer': axis: must be in [-4, 4) for a blob of 4 axes, got "
          "4" },
        { ONE("Scale", "scale_param { num_axes: 4 }"), OT_ECONFIG,
          "num_axes: must be in [-1, 3] from axis 1 on of bottom 'a' of shape 2x3x5x4, got 4" },
        { ONE("Bias", "\nbias_param { num_axes: -2 }"), OT_ECONFIG,
          "mini.prototxt:2:14: layer 'layer': num_axes: must be in [-1, 3] from axis 1 on" },
        { ONE("MVN", "mvn_param { eps: -1 }"), OT_ECONFIG, "eps: must be >= 0, got -1" },
        { TWO("Scale", ""), OT_ESHAPE,
          "bottom 's' must have shape 3x5, as axes [1, 3) of bottom 'a' of shape 2x3x5x4, got "
          "3x4" },
        { TWO("Bias", "bias_param { axis: 3 }"), OT_ESHAPE,
          "bottom 's' of shape 3x4 does not fit from axis 3 on into bottom 'a' of shape 2x3x5x4" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini_spec spec = { .text = cases[i].text,
                                     .n_in = 2,
                                     .in = { ot_shape4(2, 3, 5, 4), ot_shape2(3, 4) } };

        assert_null(ot_mini_open(ot_cpu, &spec, &err));
        assert_error(&err, cases[i].code, cases[i].part);
    }
}

static void new_shapes_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        { ONE("Scale", ""), "must have shape 5, as axes [1, 2) of bottom 'a' of shape 2x5, got 3" },
        { ONE("PReLU", ""), "bottom 'a': must have 3 channels, got shape 2x5" },
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ot_mini *m = open_one(cases[i].text, ot_shape2(2, 3));
        struct ot_shape in = ot_shape2(2, 5);
        struct ot_err err = OT_ERR_INIT;

        assert_int_not_equal(ot_mini_reshape(m, &in, &err), 0);
        assert_error(&err, OT_ESHAPE, cases[i].part);
        ot_mini_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmoid_tanh_and_bnll_are_exact_over_all_their_range),
        cmocka_unit_test(gradients_of_functions_equal_their_differences),
        cmocka_unit_test(gradients_of_channel_layers_equal_their_differences),
        cmocka_unit_test(parameter_gradients_are_added_where_another_writer_was_first),
        cmocka_unit_test(a_power_has_a_derivative_where_its_base_is_zero),
        cmocka_unit_test(eps_of_mvn_is_added_to_the_deviation),
        cmocka_unit_test(new_parameters_are_those_of_caffe),
        cmocka_unit_test(in_place_gives_the_same),
        cmocka_unit_test(channels_give_the_same_in_any_order),
        cmocka_unit_test(layers_give_the_same_in_channel_blocks),
        cmocka_unit_test(layers_between_convolutions_need_no_conversion),
        cmocka_unit_test(bad_parameters_are_refused_with_place_and_value),
        cmocka_unit_test(new_shapes_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
