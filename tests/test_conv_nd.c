/*
 * test_conv_nd.c - convolution's relatives: Deconvolution, other axes than Caffe's usual two, and
 * the windows of Im2col, SPP and stochastic pooling.
 */
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"

#define CONV(type, param) \
    "layer { name: 'c' type: '" type "' bottom: 'a' top: 'b'\n  convolution_param { " param " } }"

static struct ot_mini *open_one(const char *text, struct ot_shape in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    assert_ok(err.code, &err);
    return m;
}

/* ---- gradients ----------------------------------------------------------------------------- */

static void gradients_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
    } cases[] = {
        { CONV("Deconvolution", "num_output: 5 kernel_size: 4 stride: 2 pad: 1"),
          { 4, { 2, 7, 3, 4 } } },
        { CONV("Deconvolution", "num_output: 40 kernel_size: 3 stride: 2"),
          { 4, { 1, 34, 3, 3 } } },
        { CONV("Deconvolution", "num_output: 32 kernel_size: 4 stride: 2 pad: 1 group: 32"),
          { 4, { 1, 32, 3, 3 } } },
        { CONV("Deconvolution", "num_output: 6 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 "
                                "dilation: 2 group: 2 bias_term: false"),
          { 4, { 2, 4, 3, 4 } } },
        { CONV("Deconvolution", "num_output: 4 kernel_size: 5 stride: 3 pad: 2"),
          { 3, { 2, 3, 7 } } },
        { CONV("Deconvolution", "num_output: 20 kernel_size: 3 axis: 2"),
          { 5, { 2, 3, 4, 3, 2 } } },
        { CONV("Convolution", "num_output: 20 kernel_size: 3 pad: 1 axis: 2"),
          { 5, { 2, 3, 6, 4, 5 } } },
        { CONV("Convolution", "num_output: 3 kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 "
                              "pad: 0 pad: 1 dilation: 1 dilation: 3 axis: -3"),
          { 4, { 2, 3, 7, 8 } } },
        { CONV("Convolution", "num_output: 2 kernel_size: 3 axis: 0"), { 3, { 3, 5, 6 } } },
        { CONV("Im2col", "kernel_size: 3 stride: 2 pad: 1 dilation: 2"), { 4, { 2, 3, 7, 6 } } },
        { CONV("Im2col", "kernel_size: 4 stride: 1 axis: 2"), { 4, { 2, 3, 2, 7 } } },
        { "layer { type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 3 pool: AVE } }",
          { 4, { 2, 3, 9, 7 } } },
        { "layer { type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 1 pool: AVE } }",
          { 4, { 2, 3, 5, 7 } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, cases[i].in);
        struct ot_gradcheck how = { .step = 1, .tol = 2e-5, .limit = 25 };

        ot_mini_random(m, i + 1, -1, 1);
        assert_true(ot_gradcheck(m, &how) >= 20);
        ot_mini_close(m);
    }
}

/* ---- axes ---------------------------------------------------------------------------------- */

/* (2, 3, C, H, W) with axis 2 is (6, C, H, W). */
static void axes_before_the_channels_count_as_items(const char *deep, const char *usual)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *a = open_one(deep, (struct ot_shape){ 5, { 2, 3, 40, 6, 5 } });
    struct ot_mini *b = open_one(usual, ot_shape4(6, 40, 6, 5));

    ot_mini_random(a, 3, -1, 1);
    ot_mini_random(b, 3, -1, 1);
    assert_null(a->layer.out[0]->data.fmt);
    assert_int_equal(a->out[0].shape.nd, 5);
    assert_int_equal(a->out[0].shape.dim[2], 36);
    assert_int_equal(a->out[0].n, b->out[0].n);
    assert_ok(ot_mini_forward(a, &err), &err);
    assert_ok(ot_mini_forward(b, &err), &err);
    assert_ok(ot_mini_backward(a, &err), &err);
    assert_ok(ot_mini_backward(b, &err), &err);
    for (size_t i = 0; i < a->out[0].n; i++)
        assert_near(a->out[0].v[i], b->out[0].v[i], 2e-5);
    for (size_t i = 0; i < a->in[0].n; i++)
        assert_near(a->in_grad[0].v[i], b->in_grad[0].v[i], 2e-5);
    ot_mini_close(a);
    ot_mini_close(b);
}

static void channels_may_lie_on_another_axis(void **state)
{
    (void)state;
    axes_before_the_channels_count_as_items(
        CONV("Convolution", "num_output: 36 kernel_size: 3 axis: 2"),
        CONV("Convolution", "num_output: 36 kernel_size: 3"));
    axes_before_the_channels_count_as_items(
        CONV("Deconvolution", "num_output: 36 kernel_size: 3 stride: 2 axis: -3"),
        CONV("Deconvolution", "num_output: 36 kernel_size: 3 stride: 2"));
}

static void an_empty_batch_gives_parameter_gradients_of_zero(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = open_one(CONV("Deconvolution", "num_output: 2 kernel_size: 3"),
                                 ot_shape4(1, 3, 5, 5));
    struct ot_shape none = ot_shape4(0, 3, 5, 5);

    (void)state;
    assert_ok(ot_mini_reshape(m, &none, &err), &err);
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; i < m->param_grad[p].n; i++)
            assert_near(m->param_grad[p].v[i], 0, 0);
    ot_mini_close(m);
}

/* ---- stochastic pooling -------------------------------------------------------------------- */

static const char drawn[] =
    "layer { name: 'p' type: 'Pooling' bottom: 'a' top: 'b' pooling_param { "
    "pool: STOCHASTIC kernel_size: 2 stride: 2 } }";

/* 5000 windows of 0, 1, 2, 5: each value is drawn in proportion to itself. */
static void training_draws_values_in_proportion_to_themselves(void **state)
{
    static const float window[4] = { 0, 1, 2, 5 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = open_one(drawn, ot_shape4(5, 10, 20, 20));
    int count[6] = { 0 };

    (void)state;
    ot_mini_random(m, 1, 0.5f, 1);
    for (size_t i = 0; i < m->in[0].n; i++)
        m->in[0].v[i] = window[i / 20 % 2 * 2 + i % 2];
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (size_t i = 0; i < m->out[0].n; i++)
        count[(int)m->out[0].v[i]]++;
    assert_int_equal(count[0], 0);
    assert_near(count[1], 625, 4 * 23.4);
    assert_near(count[2], 1250, 4 * 30.6);
    assert_near(count[5], 3125, 4 * 34.2);
    for (size_t i = 0; i < m->in[0].n; i++) {
        size_t o = i / 40 * 10 + i % 20 / 2;
        float want = m->in[0].v[i] == m->out[0].v[o] ? m->out_grad[0].v[o] : 0;

        assert_near(m->in_grad[0].v[i], want, 0);
    }
    ot_mini_close(m);
}

static void draws_change_with_iteration_and_seed_only(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = open_one(drawn, ot_shape4(1, 2, 20, 20));
    float first[200];

    (void)state;
    ot_mini_random(m, 1, 0, 1);
    assert_ok(ot_mini_forward(m, &err), &err);
    memcpy(first, m->out[0].v, sizeof first);
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_memory_equal(first, m->out[0].v, sizeof first);
    m->env.iter++;
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_memory_not_equal(first, m->out[0].v, sizeof first);
    m->env.iter--;
    m->env.seed++;
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_memory_not_equal(first, m->out[0].v, sizeof first);
    ot_mini_close(m);
}

static void testing_takes_the_average_weighted_by_the_values(void **state)
{
    static const float in[8] = { 0, 1, 0, 0, 2, 5, 0, 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = drawn,
                                 .phase = CAFFE__PHASE__TEST,
                                 .n_in = 1,
                                 .in = { ot_shape4(1, 1, 2, 4) },
                                 .no_grad = 1 };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    (void)state;
    assert_ok(err.code, &err);
    memcpy(m->in[0].v, in, sizeof in);
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_near(m->out[0].v[0], 30.0 / 8.0, 1e-6);
    assert_near(m->out[0].v[1], 0, 0);
    ot_mini_close(m);
    spec.no_grad = 0;
    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, OT_ENOTSUP, "pool: STOCHASTIC has a gradient in phase TRAIN only, got TEST");
}

/* ---- errors -------------------------------------------------------------------------------- */

static void bad_parameters_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
        enum ot_code code;
        const char *part;
    } cases[] = {
        { CONV("Convolution", "num_output: 4 kernel_size: 3"),
          { 5, { 1, 2, 5, 5, 5 } },
          OT_ENOTSUP,
          "layer 'c': axis: 3-D is not supported, there must be 1 or 2 axes after the channels, "
          "got input 1x2x5x5x5 and channel axis 1" },
        { CONV("Deconvolution", "num_output: 4 kernel_size: 3 axis: 3"),
          { 4, { 2, 3, 5, 5 } },
          OT_ESHAPE,
          "mini.prototxt:2:52: layer 'c': axis: there must be 1 or 2 axes after the channels" },
        { CONV("Deconvolution", "num_output: 4 kernel_size: 3 pad: 4"),
          { 4, { 2, 3, 5, 5 } },
          OT_ESHAPE,
          "kernel_size: an input of 5x5 with kernel 3x3, stride 1x1, dilation 1x1 and padding 4x4 "
          "cut off gives no output, got size -1x-1" },
        { CONV("Deconvolution", "num_output: 4 kernel_size: 3 group: 2"),
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "group: must divide 3 input and 4 output channels, got 2" },
        { CONV("Convolution", "num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3"),
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "kernel_size: must be given once or once per axis (2), got 3" },
        { CONV("Im2col", "kernel_size: 7"),
          { 4, { 2, 3, 5, 5 } },
          OT_ESHAPE,
          "kernel_size: a kernel of 7x7 with dilation 1x1 does not fit an input of 5x5" },
        { CONV("Im2col", "pad: 1"),
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "kernel_size: must be given, got none" },
        { "layer { name: 's' type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 0 } }",
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "layer 's': pyramid_height: must be in [1, 12], got 0" },
        { "layer { name: 's' type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 3 } }",
          { 4, { 2, 3, 5, 5 } },
          OT_ESHAPE,
          "pyramid_height: an input of 5x5 has no level of 4x4 bins, got 3" },
        { "layer { name: 's' type: 'SPP' bottom: 'a' top: 'b'\n  spp_param { pyramid_height: 2 "
          "pool: STOCHASTIC } }",
          { 4, { 2, 3, 5, 5 } },
          OT_ENOTSUP,
          "mini.prototxt:2:33: layer 's': pool: must be MAX or AVE, got STOCHASTIC" },
        { "layer { name: 'p' type: 'Pooling' bottom: 'a' top: 'b' top: 'm' pooling_param { pool: "
          "STOCHASTIC kernel_size: 2 } }",
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "pool: only MAX has a second top, got STOCHASTIC with 2 tops" },
        { "layer { name: 'c' type: 'Deconvolution' bottom: 'a' top: 'b' }",
          { 4, { 2, 3, 5, 5 } },
          OT_ECONFIG,
          "convolution_param is missing" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini_spec spec = { .text = cases[i].text, .n_in = 1, .in = { cases[i].in } };

        assert_null(ot_mini_open(ot_cpu, &spec, &err));
        assert_error(&err, cases[i].code, cases[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_their_differences),
        cmocka_unit_test(channels_may_lie_on_another_axis),
        cmocka_unit_test(an_empty_batch_gives_parameter_gradients_of_zero),
        cmocka_unit_test(training_draws_values_in_proportion_to_themselves),
        cmocka_unit_test(draws_change_with_iteration_and_seed_only),
        cmocka_unit_test(testing_takes_the_average_weighted_by_the_values),
        cmocka_unit_test(bad_parameters_are_refused_with_place_and_value),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
