/*
 * test_psroi_pool.c - position-sensitive RoI pooling: every bin against a scan of the whole map,
 * the gradient, odd shapes and numbers, what is refused, and that threads change nothing.
 */
#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "layers/psroi_pool_math.h"
#include "tests/check.h"
#include "tests/gradcheck.h"
#include "tests/regions.h"

#define LAYER(param)                                                            \
    "layer { name: 'l' type: 'PSROIPooling' bottom: 'x' bottom: 'r' top: 'y'\n" \
    "psroi_pooling_param { " param " } }"

/* A shape with the text that makes it. */
struct form {
    const char *text;
    struct ot_shape in[2];
    int out, group;
    float scale;
};

static const struct form forms[] = {
    { LAYER("spatial_scale: 0.5 output_dim: 3 group_size: 7"),
      { { 4, { 2, 147, 11, 13 } }, { 2, { 37, 5 } } },
      3,
      7,
      0.5f },
    { LAYER("spatial_scale: 0.0625 output_dim: 2 group_size: 3"),
      { { 4, { 1, 18, 5, 17 } }, { 4, { 23, 5, 1, 1 } } },
      2,
      3,
      0.0625f },
    { LAYER("spatial_scale: 1 output_dim: 5 group_size: 1"),
      { { 4, { 3, 5, 19, 7 } }, { 2, { 31, 5 } } },
      5,
      1,
      1.0f },
    { LAYER("spatial_scale: 0.25 output_dim: 2 group_size: 2"),
      { { 4, { 1, 8, 1, 1 } }, { 2, { 13, 5 } } },
      2,
      2,
      0.25f },
    { LAYER("spatial_scale: 2 output_dim: 1 group_size: 67"), /* more than one stretch of columns */
      { { 4, { 1, 4489, 2, 41 } }, { 2, { 7, 5 } } },
      1,
      67,
      2.0f },
    { LAYER("spatial_scale: 1 output_dim: 2 group_size: 2"),
      { { 4, { 1, 8, 3, 4 } }, { 2, { 0, 5 } } },
      2,
      2,
      1.0f },
    { LAYER("spatial_scale: 1 output_dim: 2 group_size: 2"),
      { { 4, { 2, 8, 0, 4 } }, { 2, { 3, 5 } } },
      2,
      2,
      1.0f },
};

/* Of every kind: ordinary, unused, beyond the map, reversed, of halves, and no numbers. */
static void give_rois(struct ot_mini *m, float scale)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 1e30f, -FLT_MAX, 2147483648.0f };
    const float h = (float)m->in[0].shape.dim[2] / scale, w = (float)m->in[0].shape.dim[3] / scale;

    for (uint32_t r = 0; r < m->in[1].n / 5; r++) {
        float *roi = m->in[1].v + 5 * (size_t)r, u[4];

        for (uint32_t k = 0; k < 4; k++)
            u[k] = ot_rng_unit(3, OT_RNG_TEST, r, k);
        roi[0] = r % 6 == 5 ? -1.0f : (float)(r % (uint32_t)m->in[0].shape.dim[0]);
        roi[1] = floorf((u[0] * 1.6f - 0.4f) * w * 2.0f) / 2.0f;
        roi[2] = floorf((u[1] * 1.6f - 0.4f) * h * 2.0f) / 2.0f;
        roi[3] = roi[1] + floorf((u[2] * 1.2f - 0.2f) * w * 2.0f) / 2.0f;
        roi[4] = roi[2] + floorf((u[3] * 1.2f - 0.2f) * h * 2.0f) / 2.0f;
        if (r % 6 == 4)
            roi[1 + r % 4] = odd[r / 6 % 6];
        if (r % 6 == 3) {
            roi[1] = roi[2] = 0.0f;
            roi[3] = w - 1.0f;
            roi[4] = h - 1.0f;
        }
    }
}

static struct ot_mini *open_form(const struct form *f)
{
    struct ot_mini *m = ot_test_mini(f->text, 2, f->in);

    ot_mini_random(m, 6, -1, 1);
    give_rois(m, f->scale);
    return m;
}

/* Written from the paper and Caffe's rounding, cell by cell, and not with the header's functions:
 * is cell (v, u) in bin (i, j)?  One that begins nowhere (0 times infinity) begins at 0. */
static bool within(const float *roi, float scale, int group, int i, int j, int v, int u)
{
    const float x1 = roundf(roi[1]) * scale, y1 = roundf(roi[2]) * scale;
    const float w = fmaxf((roundf(roi[3]) + 1.0f) * scale - x1, 0.1f) / (float)group;
    const float h = fmaxf((roundf(roi[4]) + 1.0f) * scale - y1, 0.1f) / (float)group;

    return !((float)v < floorf((float)i * h + y1)) && (float)v < ceilf((float)(i + 1) * h + y1) &&
           !((float)u < floorf((float)j * w + x1)) && (float)u < ceilf((float)(j + 1) * w + x1);
}

/* The average of one bin of a plane, and with dx its gradient dy given to its cells. */
static double scan(const struct form *f, const float *roi, int i, int j, const float *x, double dy,
                   double *dx)
{
    const int h = f->in[0].dim[2], w = f->in[0].dim[3];
    double sum = 0;
    int cells = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int v = 0; v < h; v++)
            for (int u = 0; u < w; u++) {
                if (!within(roi, f->scale, f->group, i, j, v, u))
                    continue;
                if (pass)
                    dx[v * w + u] += dy / cells;
                else {
                    sum += (double)x[v * w + u];
                    cells++;
                }
            }
    return cells ? sum / cells : 0.0;
}

static void compare(const struct form *f, struct ot_mini *m, double *dx)
{
    const size_t plane = (size_t)f->in[0].dim[2] * (size_t)f->in[0].dim[3];
    const int channels = f->in[0].dim[1];

    memset(dx, 0, m->in[0].n * sizeof *dx);
    for (size_t o = 0; o < m->out[0].n; o++) {
        const float *roi = m->in[1].v + o / (size_t)channels * 5;
        const int bin = (int)(o % (size_t)channels), i = bin / f->group % f->group;
        const size_t at = ((size_t)(roi[0] < 0 ? 0 : roi[0]) * (size_t)channels + (size_t)bin);
        double want = 0.0;

        if (roi[0] >= 0.0f)
            want = scan(f, roi, i, bin % f->group, m->in[0].v + at * plane,
                        (double)m->out_grad[0].v[o], dx + at * plane);
        assert_near(m->out[0].v[o], want, 1e-6);
    }
    for (size_t k = 0; k < m->in[0].n; k++)
        assert_near(m->in_grad[0].v[k], dx[k], 4e-6);
}

static void every_bin_is_the_average_of_its_cells_and_shares_its_gradient(void **state)
{
    static double dx[1 << 20];
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct ot_mini *m = open_form(&forms[i]);

        assert_true(m->in[0].n <= sizeof dx / sizeof dx[0]);
        assert_int_equal(m->out[0].shape.dim[1], forms[i].out);
        assert_int_equal(m->out[0].shape.dim[2], forms[i].group);
        assert_int_equal(m->out[0].shape.dim[3], forms[i].group);
        ot_test_forward(m);
        assert_ok(ot_mini_backward(m, &err), &err);
        compare(&forms[i], m, dx);
        ot_mini_close(m);
    }
}

static void the_gradient_equals_the_differences(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 18, 5, 7), ot_shape2(4, 5) };
    struct ot_mini *m = ot_test_mini(LAYER("spatial_scale: 0.5 output_dim: 2 group_size: 3"), 2,
                                     in);

    (void)state;
    ot_mini_random(m, 9, -1, 1);
    memcpy(m->in[1].v, (float[]){ 0, 0, 0, 13, 9, 1, 3, 2, 9, 9, 1, 8, 8, 20, 20, 0, 5, 5, 5, 5 },
           20 * sizeof(float));
    assert_int_equal(
        ot_gradcheck(m, &(struct ot_gradcheck){ .tol = 5e-5, .limit = 2000, .skip_in = 2 }), 1260);
    ot_mini_close(m);
}

static void corners_are_rounded_before_they_are_scaled(void **state)
{
    struct ot_psroi r = ot_psroi_place((float[]){ 2.5f, -2.5f, 18.4f, 4 }, 0.0625f, 2);
    int from, to;

    (void)state;
    assert_near(r.x, 3 / 16.0, 0);
    assert_near(r.y, -3 / 16.0, 0);
    assert_near(r.bin_w, 16 / 32.0, 0);
    assert_near(r.bin_h, 8 / 32.0, 0);
    ot_psroi_bin(1, r.bin_w, r.x, 100, &from, &to); /* [11/16, 19/16) */
    assert_int_equal(from, 0);
    assert_int_equal(to, 2);
    r = ot_psroi_place((float[]){ 30, 9, 10, 9 }, 0.0625f, 1); /* reversed: 0.1 wide */
    assert_near(r.bin_w, 0.1f, 0);
    assert_near(r.bin_h, 0.1f, 0);
}

static void unused_rois_pool_to_zero_and_get_no_gradient(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 4, 3, 3), ot_shape2(2, 5) };
    struct ot_mini *m = ot_test_mini(LAYER("spatial_scale: 1 output_dim: 1 group_size: 2"), 2, in);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_mini_random(m, 4, 1, 2);
    memcpy(m->in[1].v, (float[]){ -1, 0, 0, 2, 2, 1, 0, 0, 2, 2 }, 10 * sizeof(float));
    ot_test_forward(m);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (size_t i = 0; i < 4; i++) {
        assert_near(m->out[0].v[i], 0.0, 0.0);
        assert_true(m->out[0].v[4 + i] >= 1.0f);
    }
    for (size_t i = 0; i < 36; i++)
        assert_near(m->in_grad[0].v[i], 0.0, 0.0);
    assert_true(m->in_grad[0].v[36] > 0.0f);
    ot_mini_close(m);
}

static void a_roi_of_no_image_is_an_error(void **state)
{
    const struct ot_shape in[] = { ot_shape4(2, 4, 3, 3), ot_shape2(2, 5) };
    struct ot_mini *m = ot_test_mini(LAYER("spatial_scale: 1 output_dim: 1 group_size: 2"), 2, in);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    memcpy(m->in[1].v, (float[]){ 0, 0, 0, 9, 9, 2, 0, 0, 9, 9 }, 10 * sizeof(float));
    assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "RoI 1: batch index must be below 2, got 2");
    ot_mini_close(m);
}

static void bad_fields_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "layer { name: 'l' type: 'PSROIPooling' bottom: 'x' bottom: 'r' top: 'y' }",
          "mini.prototxt:1:1: layer 'l': psroi_pooling_param is missing" },
        { LAYER("output_dim: 2 group_size: 3"), "spatial_scale: must be given, got none" },
        { LAYER("spatial_scale: 1 group_size: 3"), "output_dim: must be given, got none" },
        { LAYER("spatial_scale: 1 output_dim: 2"),
          "mini.prototxt:2:1: layer 'l': group_size: must be given, got none" },
        { LAYER("spatial_scale: 0 output_dim: 2 group_size: 3"),
          "mini.prototxt:2:23: layer 'l': spatial_scale: must be > 0, got 0" },
        { LAYER("spatial_scale: nan output_dim: 2 group_size: 3"),
          "spatial_scale: must be > 0, got nan" },
        { LAYER("spatial_scale: 1 output_dim: -2 group_size: 3"),
          "mini.prototxt:2:40: layer 'l': output_dim: must be > 0, got -2" },
        { LAYER("spatial_scale: 1 output_dim: 2 group_size: 0"),
          "mini.prototxt:2:54: layer 'l': group_size: must be > 0, got 0" },
        { LAYER("spatial_scale: 1 output_dim: 21 group_size: 65536"),
          "mini.prototxt:2:55: layer 'l': output_dim * group_size^2: must be at most 2147483647, "
          "got 21 * 65536^2" },
        { LAYER("spatial_scale: 1 output_dim: 2147483647 group_size: 2147483647"),
          "must be at most 2147483647, got 2147483647 * 2147483647^2" },
    };
    const struct ot_shape in[] = { ot_shape4(1, 18, 3, 3), ot_shape2(2, 5) };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ot_test_refused(bad[i].text, 2, in, OT_ECONFIG, bad[i].message);
}

static void other_shapes_are_refused_with_both_numbers(void **state)
{
    static const char *const text = LAYER("spatial_scale: 1 output_dim: 2 group_size: 3");

    static const struct {
        struct ot_shape in[2];
        const char *message;
    } bad[] = {
        { { { 4, { 1, 17, 3, 3 } }, { 2, { 2, 5 } } },
          "layer 'l': bottom 'x': wanted features of shape Nx18xHxW (output_dim 2 * group_size "
          "3^2 channels), got 1x17x3x3" },
        { { { 3, { 1, 18, 3 } }, { 2, { 2, 5 } } }, "shape Nx18xHxW" },
        { { { 4, { 1, 18, 3, 3 } }, { 2, { 2, 4 } } },
          "bottom 'r': wanted RoIs of shape Rx5, got 2x4" },
        { { { 4, { 1, 18, 3, 3 } }, { 1, { 5 } } }, "bottom 'r': wanted RoIs of shape Rx5, got 5" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ot_test_refused(text, 2, bad[i].in, OT_ESHAPE, bad[i].message);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    enum { CHANNELS = 2 * 9, CELLS = 7 * 9, ROIS = 211 };

    static float x[CHANNELS * CELLS], rois[ROIS * 5], dy[ROIS * CHANNELS];
    static float y[5][ROIS * CHANNELS], dx[5][CHANNELS * CELLS];
    const struct ot_psroi_pool_geom g = { 1, 2, 3, 7, 9, ROIS, 1.0f };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
        x[i] = ot_rng_unit(5, OT_RNG_TEST, 0, i) - 0.5f;
    for (size_t i = 0; i < sizeof dy / sizeof dy[0]; i++)
        dy[i] = ot_rng_unit(5, OT_RNG_TEST, 1, i) - 0.5f;
    for (size_t i = 0; i < ROIS; i++)
        for (size_t k = 1; k < 5; k++)
            rois[5 * i + k] = 5.0f * (ot_rng_unit(5, OT_RNG_TEST, 1 + k, i) + (k > 2));
    for (int t = 1; t <= 4; t++) {
        struct ot_dev *dev = ot_dev_open("cpu", t, &err);

        assert_non_null(dev);
        memset(y[t], 0xff, sizeof y[t]);
        memset(dx[t], 0xff, sizeof dx[t]);
        dev->k->psroi_pool_fwd(dev, &g, x, rois, y[t]);
        dev->k->psroi_pool_bwd(dev, &g, rois, dy, dx[t]);
        ot_dev_close(dev);
        assert_memory_equal(y[t], y[1], sizeof y[t]);
        assert_memory_equal(dx[t], dx[1], sizeof dx[t]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bin_is_the_average_of_its_cells_and_shares_its_gradient),
        cmocka_unit_test(the_gradient_equals_the_differences),
        cmocka_unit_test(corners_are_rounded_before_they_are_scaled),
        cmocka_unit_test(unused_rois_pool_to_zero_and_get_no_gradient),
        cmocka_unit_test(a_roi_of_no_image_is_an_error),
        cmocka_unit_test(bad_fields_are_refused_with_place_and_value),
        cmocka_unit_test(other_shapes_are_refused_with_both_numbers),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
    };

    return cmocka_run_group_tests(tests, ot_test_open_device, ot_test_close_device);
}
