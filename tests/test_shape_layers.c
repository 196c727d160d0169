/*
 * test_shape_layers.c - the layers that select, repeat, reorder and sum: against Caffe's own
 * outputs, against their own differences, and what they say about bad parameters and values.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"

static struct ot_mini *open_two(const char *text, struct ot_shape a, struct ot_shape b)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 2, .in = { a, b }, .no_grad = 2 };
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
    if (m->layer.ops->backward)
        assert_ok(ot_mini_backward(m, &err), &err);
}

static void give(struct ot_mini_array *a, const float *v)
{
    memcpy(a->v, v, a->n * sizeof *v);
}

#define assert_values(a, ...)                                    \
    do {                                                         \
        const float want_[] = { __VA_ARGS__ };                   \
        assert_int_equal((a).n, sizeof want_ / sizeof want_[0]); \
        for (size_t i_ = 0; i_ < (a).n; i_++)                    \
            assert_near((a).v[i_], want_[i_], 0);                \
    } while (0)

/* ---- gradients ----------------------------------------------------------------------------- */

static void gradients_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
        bool curved;
    } cases[] = {
        { "layer { type: 'Slice' bottom: 'a' top: 'b' top: 'c' slice_param { axis: -1 "
          "slice_point: 2 } }",
          { 3, { 2, 3, 7 } },
          false },
        { "layer { type: 'Slice' bottom: 'a' top: 'b' slice_param { slice_dim: 0 } }",
          { 2, { 4, 3 } },
          false },
        { "layer { type: 'Tile' bottom: 'a' top: 'b' tile_param { axis: 0 tiles: 4 } }",
          { 2, { 3, 70 } },
          false },
        { "layer { type: 'Reduction' bottom: 'a' top: 'b' reduction_param { operation: MEAN axis: "
          "1 coeff: -3 } }",
          { 3, { 4, 3, 5 } },
          false },
        { "layer { type: 'Reduction' bottom: 'a' top: 'b' reduction_param { operation: ASUM } }",
          { 3, { 4, 3, 5 } },
          true },
        { "layer { type: 'Reduction' bottom: 'a' top: 'b' reduction_param { operation: SUMSQ axis: "
          "-2 coeff: 2 } }",
          { 3, { 4, 3, 5 } },
          true },
        { "layer { type: 'Parameter' top: 'b' parameter_param { shape { dim: 3 dim: 7 } } }",
          { 0 },
          false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, cases[i].in);
        struct ot_gradcheck how = { .step = cases[i].curved ? 0 : 1,
                                    .tol = cases[i].curved ? 2e-4 : 2e-5,
                                    .has_kink = cases[i].curved,
                                    .margin = 0.02 };

        ot_mini_random(m, i + 1, -1, 1);
        assert_true(ot_gradcheck(m, &how) > 10);
        ot_mini_close(m);
    }
}

static void gradients_by_index_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in[2];
        int index; /* which input holds the indices */
    } cases[] = {
        { "layer { type: 'Crop' bottom: 'a' bottom: 'b' top: 'c' crop_param { axis: -2 offset: 1 } "
          "}",
          { { 3, { 2, 5, 6 } }, { 3, { 9, 3, 4 } } },
          1 },
        { "layer { type: 'Embed' bottom: 'a' top: 'b' embed_param { num_output: 3 input_dim: 4 } }",
          { { 2, { 3, 5 } } },
          0 },
        { "layer { type: 'BatchReindex' bottom: 'a' bottom: 'b' top: 'c' }",
          { { 3, { 4, 2, 3 } }, { 1, { 7 } } },
          1 },
        { "layer { type: 'Filter' bottom: 'a' bottom: 'b' top: 'c' }",
          { { 3, { 6, 2, 3 } }, { 1, { 6 } } },
          1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_two(cases[i].text, cases[i].in[0], cases[i].in[1]);
        struct ot_gradcheck how = { .step = 1, .tol = 2e-5, .skip_in = 1u << cases[i].index };
        struct ot_mini_array *index = &m->in[cases[i].index];
        struct ot_err err = OT_ERR_INIT;

        ot_mini_random(m, i + 1, -1, 1);
        for (size_t k = 0; k < index->n; k++)
            index->v[k] = (float)(k * k % 3);
        assert_ok(ot_mini_forward(m, &err), &err); /* Filter: now the outputs have their size */
        ot_mini_fill(&m->out_grad[0], 9, -1, 1);
        assert_true(ot_gradcheck(m, &how) > 10);
        ot_mini_close(m);
    }
}

static void parameter_gradients_are_added_where_another_writer_was_first(void **state)
{
    static const char *const texts[] = {
        "layer { type: 'Embed' bottom: 'a' top: 'b' embed_param { num_output: 2 input_dim: 3 } }",
        "layer { type: 'Parameter' top: 'b' parameter_param { shape { dim: 3 dim: 2 } } }",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ot_mini *m = open_one(texts[i], ot_shape1(4));
        float first[6];

        ot_mini_random(m, 1, -1, 1);
        for (size_t k = 0; i == 0 && k < 4; k++)
            m->in[0].v[k] = (float)(k % 2);
        run(m);
        give(&(struct ot_mini_array){ .n = 6, .v = first }, m->param_grad[0].v);
        m->accumulate = true;
        run(m);
        for (size_t k = 0; k < 6; k++)
            assert_near(m->param_grad[0].v[k], 2 * first[k], 1e-6);
        ot_mini_close(m);
    }
}

/* ---- what they do -------------------------------------------------------------------------- */

static void argmax_puts_the_last_of_equal_values_first_and_nan_last(void **state)
{
    struct ot_mini *m = open_one("layer { type: 'ArgMax' bottom: 'a' top: 'b' argmax_param { "
                                 "top_k: 6 out_max_val: true } }",
                                 ot_shape2(1, 6));
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    give(&m->in[0], (const float[]){ 2, NAN, 5, 2, NAN, -INFINITY });
    assert_ok(ot_mini_forward(m, &err), &err);
    for (size_t i = 0; i < 6; i++)
        assert_near(m->out[0].v[i], ((const float[]){ 2, 3, 0, 5, 4, 1 })[i], 0);
    assert_near(m->out[0].v[6], 5, 0);
    assert_true(isnan(m->out[0].v[11]));
    ot_mini_close(m);
}

static void a_filter_keeps_marked_items_in_their_order(void **state)
{
    struct ot_mini *m = open_two("layer { type: 'Filter' bottom: 'a' bottom: 's' top: 'b' }",
                                 ot_shape2(4, 2), ot_shape1(4));

    (void)state;
    assert_int_equal(m->out[0].shape.dim[0], 4); /* before the first forward */
    give(&m->in[0], (const float[]){ 1, 2, 3, 4, 5, 6, 7, 8 });
    give(&m->in[1], (const float[]){ 0, -3, 0, 0.5f });
    run(m);
    assert_values(m->out[0], 3, 4, 7, 8);
    give(&m->out_grad[0], (const float[]){ 10, 20, 30, 40 });
    run(m);
    assert_values(m->in_grad[0], 0, 0, 10, 20, 0, 0, 30, 40);
    give(&m->in[1], (const float[]){ 0, 0, 0, 0 });
    run(m);
    assert_int_equal(m->out[0].n, 0);
    assert_values(m->in_grad[0], 0, 0, 0, 0, 0, 0, 0, 0);
    give(&m->in[1], (const float[]){ 1, 1, 1, 1 });
    run(m);
    assert_values(m->out[0], 1, 2, 3, 4, 5, 6, 7, 8);
    ot_mini_close(m);
}

static void dummy_data_is_a_function_of_seed_layer_and_iteration(void **state)
{
    static const char text[] =
        "layer { name: 'd' type: 'DummyData' top: 'a' top: 'b' top: 'c' dummy_data_param {"
        "  shape { dim: 2 dim: 3 } data_filler { type: 'constant' value: 4 }"
        "  data_filler { type: 'gaussian' } data_filler { type: 'gaussian' } } }";
    struct ot_mini *m = open_one(text, ot_shape1(1));
    float first[6];

    (void)state;
    run(m);
    assert_values(m->out[0], 4, 4, 4, 4, 4, 4);
    memcpy(first, m->out[1].v, sizeof first);
    assert_memory_not_equal(first, m->out[2].v, sizeof first);
    m->env.iter = 1;
    run(m);
    assert_values(m->out[0], 4, 4, 4, 4, 4, 4);
    assert_memory_not_equal(first, m->out[1].v, sizeof first);
    m->env.seed = 5;
    m->env.iter = 0;
    run(m);
    assert_memory_not_equal(first, m->out[1].v, sizeof first);
    m->env.seed = 0;
    run(m);
    assert_memory_equal(first, m->out[1].v, sizeof first);
    ot_mini_close(m);
}

static void dummy_data_takes_the_old_four_sizes(void **state)
{
    struct ot_mini *m = open_one("layer { type: 'DummyData' top: 'a' top: 'b' dummy_data_param { "
                                 "num: 2 num: 5 channels: 3 height: 1 width: 7 } }",
                                 ot_shape1(1));
    struct ot_shape a = ot_shape4(2, 3, 1, 7), b = ot_shape4(5, 3, 1, 7);

    (void)state;
    assert_true(ot_shape_eq(&m->out[0].shape, &a));
    assert_true(ot_shape_eq(&m->out[1].shape, &b));
    run(m);
    assert_near(m->out[1].v[104], 0, 0);
    ot_mini_close(m);
}

static void sums_are_the_same_for_long_rows_and_columns(void **state)
{
    struct ot_mini *rows = open_one("layer { type: 'Reduction' bottom: 'a' top: 'b' }",
                                    ot_shape1(50000));
    double sum = 0;

    (void)state;
    ot_mini_random(rows, 1, 0, 1);
    for (size_t i = 0; i < rows->in[0].n; i++)
        sum += (double)rows->in[0].v[i];
    run(rows);
    assert_near(rows->out[0].v[0], sum, 2e-3); /* half a unit in the last place of 25000 */
    ot_mini_close(rows);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void bad_parameters_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *text;
        enum ot_code code;
        const char *part;
    } cases[] = {
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' top: 'c'\n slice_param { "
          "slice_point: 3 } }",
          OT_ECONFIG,
          "mini.prototxt:2:16: layer 's': slice_point: must rise and lie between 0 and 3, got 3 "
          "after 0" },
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' top: 'c' top: 'd' slice_param { "
          "axis: 2 slice_point: 3 slice_point: 3 } }",
          OT_ECONFIG, "slice_point: must rise and lie between 0 and 5, got 3 after 3" },
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' top: 'c' slice_param { "
          "slice_point: 1 slice_point: 2 } }",
          OT_ECONFIG, "slice_point: 2 tops need 1 points, got 2" },
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' top: 'c' }", OT_ESHAPE,
          "bottom 'a': axis 1 must be a multiple of the number of tops, 2, got 3" },
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' slice_param { axis: 1 slice_dim: 1 "
          "} }",
          OT_ECONFIG, "slice_dim: give axis or slice_dim, not both, got 1 and 1" },
        { "layer { name: 's' type: 'Slice' bottom: 'a' top: 'b' slice_param { slice_dim: 9 } }",
          OT_ECONFIG, "slice_dim: must be below 4, got 9" },
        { "layer { name: 't' type: 'Tile' bottom: 'a' top: 'b' tile_param { tiles: 0 } }",
          OT_ECONFIG, "tiles: must be >= 1 and the result of 2x3x5x5 at most" },
        { "layer { name: 't' type: 'Tile' bottom: 'a' top: 'b' }", OT_ECONFIG,
          "tile_param: tiles is missing" },
        { "layer { name: 'm' type: 'ArgMax' bottom: 'a' top: 'b' argmax_param { axis: 1 top_k: 4 } "
          "}",
          OT_ECONFIG, "top_k: must be in [1, 3] for bottom 'a' of shape 2x3x5x5, got 4" },
        { "layer { name: 'm' type: 'ArgMax' bottom: 'a' top: 'b' argmax_param { top_k: 0 } }",
          OT_ECONFIG, "top_k: must be in [1, 75] for bottom 'a' of shape 2x3x5x5, got 0" },
        { "layer { name: 'r' type: 'Reduction' bottom: 'a' top: 'b' reduction_param { axis: 4 } }",
          OT_ECONFIG, "axis: must be in [-4, 4) for a blob of 4 axes, got 4" },
        { "layer { name: 'e' type: 'Embed' bottom: 'a' top: 'b' embed_param { num_output: 3 } }",
          OT_ECONFIG, "input_dim: must be >= 1 and the weights at most 2147483647 values, got 0" },
        { "layer { name: 'e' type: 'Embed' bottom: 'a' top: 'b' embed_param { input_dim: 3 } }",
          OT_ECONFIG, "num_output: must be in [1, 16777216], got 0" },
        { "layer { name: 'c' type: 'Crop' bottom: 'a' bottom: 'b' top: 'c' crop_param {\n offset: "
          "1 offset: 2 offset: 1 } }",
          OT_ECONFIG,
          "offset: must be given once, or for each of the 2 axes from axis 2 on, got 3" },
        { "layer { name: 'c' type: 'Crop' bottom: 'a' bottom: 'b' top: 'c'\n crop_param { offset: "
          "2 } }",
          OT_ESHAPE,
          "mini.prototxt:2:15: layer 'c': offset: 2 on axis 2 leaves too little of 2x3x5x5 ('a') "
          "for the size of 2x3x4x4 ('b')" },
        { "layer { name: 'f' type: 'Filter' bottom: 'a' bottom: 'b' top: 'c' }", OT_ESHAPE,
          "selector 'b': every axis but the first must be 1, got 2x3x4x4" },
        { "layer { name: 'f' type: 'Filter' bottom: 'a' bottom: 'b' top: 'c' top: 'd' }",
          OT_ECONFIG, "top: 2 bottoms, the last being the selector, give 1 tops, got 2" },
        { "layer { name: 'b' type: 'BatchReindex' bottom: 'a' bottom: 'b' top: 'c' }", OT_ESHAPE,
          "bottom 'b': indices must have one axis, got 2x3x4x4" },
        { "layer { name: 'p' type: 'Parameter' top: 'a' }", OT_ECONFIG,
          "parameter_param: shape is missing" },
        { "layer { name: 'p' type: 'Parameter' top: 'a' parameter_param { shape { dim: -2 } } }",
          OT_ECONFIG, "dim: must be >= 0 and the blob at most 2147483647 values, got -2" },
        { "layer { name: 'd' type: 'DummyData' top: 'a' dummy_data_param { num: 2 channels: 3 } }",
          OT_ECONFIG, "height: must be given once or once per top (1), got 0" },
        { "layer { name: 'd' type: 'DummyData' top: 'a' dummy_data_param { num: 2 shape { dim: 3 } "
          "} }",
          OT_ECONFIG, "shape: give shape, or num, channels, height and width; got both" },
        { "layer { name: 'd' type: 'DummyData' top: 'a' dummy_data_param { shape { dim: 3 }\n "
          "data_filler { type: 'odd' } } }",
          OT_ECONFIG, "type: must be constant, uniform, gaussian" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini_spec spec = { .text = cases[i].text,
                                     .n_in = 2,
                                     .in = { ot_shape4(2, 3, 5, 5), ot_shape4(2, 3, 4, 4) } };

        assert_null(ot_mini_open(ot_cpu, &spec, &err));
        assert_error(&err, cases[i].code, cases[i].part);
    }
}

static void an_index_out_of_range_is_reported_with_position_and_value(void **state)
{
    struct ot_mini *embed = open_one("layer { name: 'e' type: 'Embed' bottom: 'word' top: 'b' "
                                     "embed_param { num_output: 2 input_dim: 5 } }",
                                     ot_shape1(4));
    struct ot_mini *batch = open_two("layer { name: 'r' type: 'BatchReindex' bottom: 'a' bottom: "
                                     "'i' top: 'b' }",
                                     ot_shape2(3, 2), ot_shape1(4));
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    give(&embed->in[0], (const float[]){ 0, 4, 5, -1 });
    assert_int_not_equal(ot_mini_forward(embed, &err), 0);
    assert_error(&err, OT_EDATA,
                 "layer 'e': bottom 'word': index 5 at position 2 is outside [0, 5)");
    err = (struct ot_err)OT_ERR_INIT;
    give(&batch->in[1], (const float[]){ 2, 1, 0, -1 });
    assert_int_not_equal(ot_mini_forward(batch, &err), 0);
    assert_error(&err, OT_EDATA, "layer 'r': bottom 'i': index -1 at position 3 is outside [0, 3)");
    ot_mini_close(embed);
    ot_mini_close(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_their_differences),
        cmocka_unit_test(gradients_by_index_equal_their_differences),
        cmocka_unit_test(parameter_gradients_are_added_where_another_writer_was_first),
        cmocka_unit_test(argmax_puts_the_last_of_equal_values_first_and_nan_last),
        cmocka_unit_test(a_filter_keeps_marked_items_in_their_order),
        cmocka_unit_test(dummy_data_is_a_function_of_seed_layer_and_iteration),
        cmocka_unit_test(dummy_data_takes_the_old_four_sizes),
        cmocka_unit_test(sums_are_the_same_for_long_rows_and_columns),
        cmocka_unit_test(bad_parameters_are_refused_with_place_and_value),
        cmocka_unit_test(an_index_out_of_range_is_reported_with_position_and_value),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
