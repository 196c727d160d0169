/*
 * test_nn_layers.c - the layers of an image net: against Caffe's own outputs, against their own
 * differences, over odd shapes, and what they say about bad parameters.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"

static struct ot_mini *open_one(const char *text, struct ot_shape in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    assert_ok(err.code, &err);
    return m;
}

/* ---- Caffe --------------------------------------------------------------------------------- */

static void layers_that_only_rearrange_pass_values_and_gradients_through(void **state)
{
    static const char *const texts[] = {
        "layer { type: 'Concat' bottom: 'a' top: 'b' }",
        "layer { type: 'Reshape' bottom: 'a' top: 'b' reshape_param { shape { dim: 0 dim: -1 } } }",
        "layer { type: 'Reshape' bottom: 'a' top: 'b' reshape_param { shape { dim: 3 dim: 2 } "
        "axis: 1 num_axes: 2 } }",
        "layer { type: 'Flatten' bottom: 'a' top: 'b' flatten_param { axis: 1 end_axis: 2 } }",
    };
    static const struct ot_shape want[] = {
        { 4, { 2, 3, 2, 5 } }, { 2, { 2, 30 } }, { 4, { 2, 3, 2, 5 } }, { 3, { 2, 6, 5 } }
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini *m = open_one(texts[i], ot_shape4(2, 3, 2, 5));

        assert_true(ot_shape_eq(&m->out[0].shape, &want[i]));
        ot_mini_random(m, 1, -1, 1);
        assert_ok(ot_mini_forward(m, &err), &err);
        assert_ok(ot_mini_backward(m, &err), &err);
        assert_memory_equal(m->out[0].v, m->in[0].v, m->in[0].n * sizeof(float));
        assert_memory_equal(m->in_grad[0].v, m->out_grad[0].v, m->in[0].n * sizeof(float));
        ot_mini_close(m);
    }
}

/* ---- gradients ----------------------------------------------------------------------------- */

static void gradients_of_linear_layers_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
    } cases[] = {
        { "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { num_output: 5 "
          "kernel_size: 3 pad: 1 } }",
          { 4, { 2, 7, 5, 6 } } },
        { "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { num_output: 6 "
          "kernel_size: 3 stride: 2 dilation: 2 group: 3 bias_term: false } }",
          { 4, { 1, 3, 11, 9 } } },
        { "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { num_output: 50 "
          "kernel_size: 5 } }",
          { 4, { 1, 20, 7, 6 } } },
        { "layer { type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { num_output: 7 } "
          "}",
          { 4, { 3, 5, 2, 2 } } },
        { "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { pool: AVE kernel_size: 3 "
          "stride: 2 pad: 1 } }",
          { 4, { 1, 3, 6, 7 } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, cases[i].in);
        struct ot_gradcheck how = { .step = 1, .tol = 2e-5, .limit = 60 };

        ot_mini_random(m, i + 1, -1, 1);
        assert_true(ot_gradcheck(m, &how) > 40);
        ot_mini_close(m);
    }
}

static void gradients_of_curved_layers_equal_their_differences(void **state)
{
    static const char *const texts[] = {
        "layer { type: 'Softmax' bottom: 'a' top: 'b' }",
        "layer { type: 'Softmax' bottom: 'a' top: 'b' softmax_param { axis: -1 } }",
        "layer { type: 'ReLU' bottom: 'a' top: 'b' relu_param { negative_slope: 0.1 } }",
        "layer { type: 'Dropout' bottom: 'a' top: 'b' dropout_param { dropout_ratio: 0.4 } }",
    };

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct ot_mini *m = open_one(texts[i], ot_shape4(2, 3, 5, 7));
        struct ot_gradcheck how = { .tol = 2e-4, .has_kink = true, .margin = 0.02 };

        ot_mini_random(m, i + 1, -1, 1);
        assert_true(ot_gradcheck(m, &how) > 50);
        ot_mini_close(m);
    }
}

/* ---- formats and shapes -------------------------------------------------------------------- */

/* Runs `text` on a plain input and on one in channel blocks: the results must be the same. */
static void same_in_blocks(const char *text, struct ot_shape in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *conv = open_one(
        "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { num_output: 20 "
        "kernel_size: 1 } }",
        ot_shape4(in.dim[0], 16, in.dim[2], in.dim[3]));
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };
    struct ot_mini *plain, *blocks;

    spec.in_fmt[0] = conv->layer.out[0]->data.fmt;
    blocks = ot_mini_open(ot_cpu, &spec, &err);
    spec.in_fmt[0] = NULL;
    plain = ot_mini_open(ot_cpu, &spec, &err);
    assert_non_null(plain);
    assert_non_null(blocks);
    ot_mini_random(plain, 3, -1, 1);
    ot_mini_random(blocks, 3, -1, 1);
    assert_ok(ot_mini_forward(plain, &err), &err);
    assert_ok(ot_mini_forward(blocks, &err), &err);
    assert_ok(ot_mini_backward(plain, &err), &err);
    assert_ok(ot_mini_backward(blocks, &err), &err);
    for (size_t i = 0; i < plain->out[0].n; i++)
        assert_near(plain->out[0].v[i], blocks->out[0].v[i], 2e-5);
    for (size_t i = 0; i < plain->in[0].n; i++)
        assert_near(plain->in_grad[0].v[i], blocks->in_grad[0].v[i], 2e-5);
    ot_mini_close(plain);
    ot_mini_close(blocks);
    ot_mini_close(conv);
}

static void a_layer_gives_the_same_in_channel_blocks(void **state)
{
    static const char *const texts[] = {
        "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { kernel_size: 3 stride: 2 } }",
        "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { pool: AVE kernel_size: 3 "
        "stride: 2 pad: 1 ceil_mode: false } }",
        "layer { type: 'ReLU' bottom: 'a' top: 'a' }",
        "layer { type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { num_output: 10 } "
        "}",
        "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { num_output: 8 "
        "kernel_size: 3 } }",
        "layer { type: 'Split' bottom: 'a' top: 'b' top: 'c' }",
        "layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'b' }",
        "layer { type: 'Concat' bottom: 'a' top: 'b' }",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        same_in_blocks(texts[i], ot_shape4(3, 20, 7, 6));
}

/* At stride 1 plain order takes 16 or 8 neighbours at a time where their windows are whole. */
static void pooling_of_neighbours_is_that_of_each(void **state)
{
    static const char *const param[] = {
        "kernel_size: 3 stride: 1 pad: 1", "kernel_size: 3 stride: 1",
        "kernel_h: 2 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2",
        "pool: AVE kernel_size: 3 stride: 1 pad: 1",
        "pool: AVE kernel_h: 5 kernel_w: 2 pad_h: 1 pad_w: 1"
    };

    (void)state;
    for (size_t i = 0; i < sizeof param / sizeof param[0]; i++)
        for (int w = 5; w < 40; w += 3) {
            char text[200];

            (void)snprintf(text, sizeof text,
                           "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { %s } }",
                           param[i]);
            same_in_blocks(text, ot_shape4(2, 20, 6, w));
        }
}

static void ceil_mode_false_rounds_the_output_size_down(void **state)
{
    struct ot_mini *up = open_one("layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { "
                                  "kernel_size: 3 stride: 2 } }",
                                  ot_shape4(1, 1, 6, 8));
    struct ot_mini *down = open_one("layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { "
                                    "kernel_size: 3 stride: 2 ceil_mode: false } }",
                                    ot_shape4(1, 1, 6, 8));
    struct ot_shape three = ot_shape4(1, 1, 3, 4), two = ot_shape4(1, 1, 2, 3);

    (void)state;
    assert_true(ot_shape_eq(&up->out[0].shape, &three));
    assert_true(ot_shape_eq(&down->out[0].shape, &two));
    ot_mini_close(up);
    ot_mini_close(down);
}

static void nan_in_max_pooling_stays_inside_the_image(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = open_one("layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { "
                                 "kernel_size: 2 stride: 2 } }",
                                 ot_shape4(1, 1, 4, 4));

    (void)state;
    ot_mini_random(m, 1, -1, 1);
    m->in[0].v[0] = m->in[0].v[1] = m->in[0].v[4] = m->in[0].v[5] = NAN;
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    assert_true(isnan(m->out[0].v[0]));
    assert_near(m->in_grad[0].v[0], m->out_grad[0].v[0], 0);
    ot_mini_close(m);
}

static void an_empty_batch_gives_parameter_gradients_of_zero(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini *m = open_one("layer { type: 'Convolution' bottom: 'a' top: 'b' "
                                 "convolution_param { num_output: 2 kernel_size: 3 } }",
                                 ot_shape4(1, 3, 5, 5));
    struct ot_shape none = ot_shape4(0, 3, 5, 5);

    (void)state;
    assert_ok(ot_mini_reshape(m, &none, &err), &err);
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (size_t i = 0; i < m->param_grad[0].n; i++)
        assert_near(m->param_grad[0].v[i], 0, 0);
    ot_mini_close(m);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void bad_parameters_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *text;
        enum ot_code code;
        const char *part;
    } cases[] = {
        { "layer { name: 'p' type: 'Pooling' bottom: 'a' top: 'b'\n  pooling_param { pool: "
          "STOCHASTIC kernel_size: 2 pad: 1 } }",
          OT_ECONFIG, "mini.prototxt:2:51: layer 'p': pad: STOCHASTIC takes no padding, got 1x1" },
        { "layer { name: 'c' type: 'Convolution' bottom: 'a' top: 'b'\n  convolution_param { "
          "num_output: 4 kernel_size: 9 } }",
          OT_ESHAPE, "kernel_size: a kernel of 9x9" },
        { "layer { name: 'c' type: 'Convolution' bottom: 'a' top: 'b'\n  convolution_param { "
          "num_output: 4 kernel_size: 3 group: 2 } }",
          OT_ECONFIG, "group: must divide 3 input and 4 output channels, got 2" },
        { "layer { name: 'r' type: 'Reshape' bottom: 'a' top: 'b' reshape_param { shape { dim: 7 } "
          "} }",
          OT_ESHAPE, "cannot become 7" },
        { "layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'b' dropout_param { dropout_ratio: 1 "
          "} }",
          OT_ECONFIG, "dropout_ratio: must be in [0, 1), got 1" },
        { "layer { name: 's' type: 'Softmax' bottom: 'a' top: 'b' softmax_param { axis: 4 } }",
          OT_ECONFIG, "axis: must be in [-4, 4) for a blob of 4 axes, got 4" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini_spec spec = { .text = cases[i].text,
                                     .n_in = 1,
                                     .in = { ot_shape4(2, 3, 5, 5) } };

        assert_null(ot_mini_open(ot_cpu, &spec, &err));
        assert_error(&err, cases[i].code, cases[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_only_rearrange_pass_values_and_gradients_through),
        cmocka_unit_test(gradients_of_linear_layers_equal_their_differences),
        cmocka_unit_test(gradients_of_curved_layers_equal_their_differences),
        cmocka_unit_test(a_layer_gives_the_same_in_channel_blocks),
        cmocka_unit_test(pooling_of_neighbours_is_that_of_each),
        cmocka_unit_test(ceil_mode_false_rounds_the_output_size_down),
        cmocka_unit_test(nan_in_max_pooling_stays_inside_the_image),
        cmocka_unit_test(an_empty_batch_gives_parameter_gradients_of_zero),
        cmocka_unit_test(bad_parameters_are_refused_with_place_and_value),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
