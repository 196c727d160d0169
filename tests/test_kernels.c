/* test_kernels.c - the CPU device's own kernels, the fillers, and opening a device. */
#include <math.h>

#include "base/rng.h"
#include "layers/layer.h"
#include "tests/check.h"
#include "tests/cpu.h"

static void an_unknown_device_is_refused_by_name(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_null(ot_dev_open("tpu", 0, &err));
    assert_error(&err, OT_EUSAGE, "got \"tpu\"");
}

static void axpby_with_b_zero_does_not_read_y(void **state)
{
    float x[3] = { 1, 2, 3 }, y[3] = { NAN, NAN, NAN };

    (void)state;
    ot_cpu->k->axpby(ot_cpu, OT_F32, 3, 2.0f, x, 0.0f, y);
    assert_near(y[2], 6, 0);
    ot_cpu->k->axpby(ot_cpu, OT_F32, 3, 1.0f, x, 0.5f, y);
    assert_near(y[2], 6, 0);
}

static void sum_of_squares_is_added_for_any_length(void **state)
{
    enum { N = 40001 };

    static float x[N];
    const struct ot_update_seg two[] = { { .g = x, .n = N - 1000 },
                                         { .g = x + N - 1000, .n = 1000 } };
    double want = 0, got = 5;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        x[i] = ot_rng_unit(1, OT_RNG_TEST, 0, i) - 0.5f;
        want += (double)x[i] * (double)x[i];
    }
    ot_cpu->k->grad_norm(ot_cpu, two, 2, &got);
    assert_near(got, want, 1e-9 * want);
    ot_cpu->k->grad_norm(ot_cpu, two, 0, &got);
    assert_near(got, 0, 0);
}

static const struct ot_step at_half = { .lr = 0.5f, .correction = 0.5f };

/* Two values, from histories 0.25 and 0.04, against the formulas of update_math.h in double. */
static void solver_update_follows_the_formula_of_each_solver(void **state)
{
    const double lr = 0.25, m = 0.5, m2 = 0.75, d = 0.125, r = 0.875, c = 0.5, g = 6, h = 0.25;
    const double h2 = 0.04, u = g * sqrt((h2 + d) / (m * h + (1 - m) * g * g + d));
    const double v = m * h + lr * g, am = m * h + (1 - m) * g, av = m2 * h2 + (1 - m2) * g * g;
    const double want[6][3] = {
        { v, v, h2 },
        { (1 + m) * v - m * h, v, h2 },
        { lr * g / (sqrt(h + g * g) + d), h + g * g, h2 },
        { lr * g / (sqrt(r * h + (1 - r) * g * g) + d), r * h + (1 - r) * g * g, h2 },
        { lr * u, m * h + (1 - m) * g * g, m * h2 + (1 - m) * u * u },
        { lr * c * am / (sqrt(av) + d), am, av },
    };

    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        float w[2] = { 4, 4 }, gg[2] = { 8, 8 }, a[2] = { 0.25f, 0.25f }, b[2] = { 0.04f, 0.04f };
        struct ot_update_seg seg = {
            .w = w, .g = gg, .h = a, .h2 = b, .n = 2, .lr_mult = 0.5f, .decay = 0.5f
        };
        struct ot_update_rule rule = { .kind = (enum ot_update_kind)kind,
                                       .iter_size = 2,
                                       .clip = -1.0,
                                       .momentum = 0.5f,
                                       .momentum2 = 0.75f,
                                       .delta = 0.125f,
                                       .rms_decay = 0.875f };

        ot_dev_step(ot_cpu, &at_half);
        ot_cpu->k->solver_update(ot_cpu, &rule, &seg, 1, NULL);
        for (int i = 0; i < 2; i++) {
            assert_near(gg[i], 0.5 * 8 + 0.5 * 4, 1e-6);
            assert_near(w[i], 4 - want[kind][0], 2e-6);
            assert_near(a[i], want[kind][1], 2e-6);
            assert_near(b[i], want[kind][2], 2e-6);
        }
    }
}

static void decay_is_by_value_or_by_sign(void **state)
{
    (void)state;
    for (int l1 = 0; l1 < 2; l1++) {
        float w[2] = { 2, -1 }, g[2] = { 8, 4 }, h[2] = { 0.5f, 0 };
        struct ot_update_seg seg = {
            .w = w, .g = g, .h = h, .n = 2, .lr_mult = 0.5f, .decay = 0.5f
        };
        struct ot_update_rule rule = {
            .l1 = l1 != 0, .iter_size = 2, .clip = -1.0, .momentum = 0.5f
        };
        double d0 = 4 + 0.5 * (l1 ? 1 : 2), d1 = 2 + 0.5 * -1;
        double v0 = 0.5 * 0.5 + 0.25 * d0, v1 = 0.25 * d1;

        ot_dev_step(ot_cpu, &at_half);
        ot_cpu->k->solver_update(ot_cpu, &rule, &seg, 1, NULL);
        assert_near(w[0], 2 - v0, 1e-6);
        assert_near(w[1], -1 - v1, 1e-6);
        assert_near(h[0], v0, 1e-6);
    }
}

/* The norm of all gradients counts, before they are divided by iter_size. */
static void clipping_scales_the_gradient_down_to_its_norm(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        float w = 0, g = 8, h = 0;
        const double norm = 16 * 16, clip = i ? 4 : 16;
        struct ot_update_seg seg = { .w = &w, .g = &g, .h = &h, .n = 1, .lr_mult = 1 };
        struct ot_update_rule rule = { .iter_size = 2, .clip = clip };

        ot_dev_step(ot_cpu, &at_half);
        ot_cpu->k->solver_update(ot_cpu, &rule, &seg, 1, &norm);
        assert_near(g, i ? 1 : 4, 1e-6);
        assert_near(w, i ? -0.5 : -2, 1e-6);
    }
}

static void a_format_comes_back_as_it_went_and_pads_with_zeros(void **state)
{
    enum { N = 2 * 20 * 3 * 5 };

    static float x[N], back[N];
    struct ot_conv_geom g = { .n = 2,
                              .c = 20,
                              .h = 3,
                              .w = 5,
                              .oc = 20,
                              .oh = 3,
                              .ow = 5,
                              .group = 1,
                              .kh = 1,
                              .kw = 1,
                              .sh = 1,
                              .sw = 1,
                              .dh = 1,
                              .dw = 1 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_plan *plan = NULL;
    struct ot_plan_info info;
    struct ot_tensor plain = { .shape = ot_shape4(2, 20, 3, 5), .elems = N, .data = x }, fmt;
    double sum = 0, physical = 0;

    (void)state;
    ot_cpu->k->conv_plan(ot_cpu, &g, NULL, &plan, &info);
    assert_ok(ot_dev_ok(ot_cpu, &err), &err);
    ot_cpu->k->plan_free(ot_cpu, plan);
    if (!info.x)
        skip_because("this processor's convolutions are plain");
    fmt = plain;
    fmt.fmt = info.x;
    fmt.elems = info.x->elems;
    fmt.data = ot_cpu->ops->alloc(ot_cpu, fmt.elems * sizeof(float), &err);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)i + 1;
    ot_cpu->k->reorder(ot_cpu, &plain, &fmt);
    ot_cpu->k->grad_norm(ot_cpu, &(struct ot_update_seg){ .g = x, .n = N }, 1, &sum);
    ot_cpu->k->grad_norm(ot_cpu, &(struct ot_update_seg){ .g = fmt.data, .n = fmt.elems }, 1,
                         &physical);
    plain.data = back;
    ot_cpu->k->reorder(ot_cpu, &fmt, &plain);
    assert_ok(ot_dev_ok(ot_cpu, &err), &err);
    assert_memory_equal(x, back, sizeof x);
    assert_near(physical, sum, 1e-9 * sum);
    ot_cpu->ops->free(ot_cpu, fmt.data);
}

static void softmax_is_exact_at_the_ends_of_its_range(void **state)
{
    float x[4] = { 1000, 1000, -1000, 0 }, y[4];

    (void)state;
    ot_cpu->k->softmax_fwd(ot_cpu, 1, 4, 1, x, y);
    assert_near(y[0], 0.5, 1e-7);
    assert_near(y[2], 0, 0);
    for (int i = -80; i <= 0; i++) {
        float two[2] = { (float)i, 0 }, p[2];

        ot_cpu->k->softmax_fwd(ot_cpu, 1, 2, 1, two, p);
        assert_near(p[0], exp(i) / (1 + exp(i)), 4e-7 * exp(i));
    }
}

static void fillers_have_the_range_and_variance_they_promise(void **state)
{
    enum { N = 50 * 20 * 5 * 5 };

    static float w[N];
    struct ot_shape shape = ot_shape4(50, 20, 5, 5);
    Caffe__FillerParameter f = CAFFE__FILLER_PARAMETER__INIT;
    struct ot_err err = OT_ERR_INIT;
    double most = 0, sum2 = 0, bound = sqrt(3.0 / 500);

    (void)state;
    f.type = (char[]){ "xavier" };
    assert_ok(ot_fill(&f, &shape, 1, 2, w, &err), &err);
    for (size_t i = 0; i < N; i++)
        most = fmax(most, fabs((double)w[i]));
    assert_true(most <= bound && most > 0.99 * bound);
    f.type = (char[]){ "msra" };
    assert_ok(ot_fill(&f, &shape, 1, 2, w, &err), &err);
    for (size_t i = 0; i < N; i++)
        sum2 += (double)w[i] * (double)w[i];
    assert_near(sum2 / N, 2.0 / 500, 0.05 * 2.0 / 500);
    f.type = (char[]){ "xaver" };
    assert_int_not_equal(ot_fill(&f, &shape, 1, 2, w, &err), 0);
    assert_error(&err, OT_ECONFIG, "got \"xaver\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_device_is_refused_by_name),
        cmocka_unit_test(axpby_with_b_zero_does_not_read_y),
        cmocka_unit_test(sum_of_squares_is_added_for_any_length),
        cmocka_unit_test(solver_update_follows_the_formula_of_each_solver),
        cmocka_unit_test(decay_is_by_value_or_by_sign),
        cmocka_unit_test(clipping_scales_the_gradient_down_to_its_norm),
        cmocka_unit_test(a_format_comes_back_as_it_went_and_pads_with_zeros),
        cmocka_unit_test(softmax_is_exact_at_the_ends_of_its_range),
        cmocka_unit_test(fillers_have_the_range_and_variance_they_promise),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
