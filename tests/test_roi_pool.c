/* test_roi_pool.c - RoI pooling of many channels at once against a scan of every bin. */
#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "layers/device.h"
#include "layers/roi_pool_math.h"
#include "tests/check.h"

/* 13 bins over 7 cells: the last one ends beyond the RoI, as float has it. */
enum { IMAGES = 2, CHANNELS = 21, H = 9, W = 14, ROIS = 40, PH = 3, PW = 13 };

enum { CELLS = H * W, BINS = PH * PW };

static const struct ot_roi_pool_geom geom = {
    .n = IMAGES, .c = CHANNELS, .h = H, .w = W, .rois = ROIS, .ph = PH, .pw = PW, .scale = 0.5f
};

static float x[IMAGES][CHANNELS][CELLS], rois[ROIS][5];
static float y[ROIS][CHANNELS][BINS], dy[ROIS][CHANNELS][BINS], dx[IMAGES][CHANNELS][CELLS];
static int32_t argmax[ROIS][CHANNELS][BINS];

static float draw(uint32_t what, uint32_t i)
{
    return ot_rng_unit(7, OT_RNG_TEST, what, i);
}

static void fill_in(void)
{
    for (uint32_t i = 0; i < IMAGES * CHANNELS * CELLS; i++) /* eighths: ties are common */
        (&x[0][0][0])[i] = floorf(draw(0, i) * 8.0f);
    x[1][20][5] = x[0][3][70] = NAN;
    for (uint32_t i = 0; i < ROIS * CHANNELS * BINS; i++)
        (&dy[0][0][0])[i] = floorf(draw(1, i) * 16.0f);
    for (uint32_t r = 0; r < ROIS; r++) {
        rois[r][0] = r % 7 == 3 ? -1.0f : (float)(r % IMAGES);
        rois[r][1] = draw(2, r) * 30.0f - 4.0f;
        rois[r][2] = draw(3, r) * 20.0f - 4.0f;
        rois[r][3] = rois[r][1] + (r % 4 ? draw(4, r) * 16.0f : 12.0f);
        rois[r][4] = rois[r][2] + draw(5, r) * 10.0f;
    }
}

/* The bin's first largest cell in the order of rows; -1 for none. */
static int scan(const struct ot_roi *roi, int bin, const float *plane, float *best)
{
    int y0, y1, x0, x1, at = -1;

    ot_roi_bin(bin / PW, roi->bin_h, roi->y1, H, &y0, &y1);
    ot_roi_bin(bin % PW, roi->bin_w, roi->x1, W, &x0, &x1);
    *best = y0 >= y1 || x0 >= x1 ? 0.0f : -FLT_MAX;
    for (int v = y0; v < y1; v++)
        for (int u = x0; u < x1; u++)
            if (plane[v * W + u] > *best) {
                *best = plane[v * W + u];
                at = v * W + u;
            }
    return at;
}

static void every_channel_has_the_first_maximum_of_each_bin(void **state)
{
    struct ot_dev *dev = *state;

    memset(y, 0xff, sizeof y);
    dev->k->roi_pool_fwd(dev, &geom, &x[0][0][0], &rois[0][0], &argmax[0][0][0], &y[0][0][0]);
    for (int r = 0; r < ROIS; r++) {
        struct ot_roi roi = ot_roi_cells(rois[r] + 1, geom.scale, PH, PW);

        for (int i = 0; i < CHANNELS * BINS; i++) {
            int c = i / BINS, bin = i % BINS, image = (int)rois[r][0], at = -1;
            float best = 0;

            if (image >= 0)
                at = scan(&roi, bin, x[image][c], &best);
            assert_near(y[r][c][bin], best, 0);
            assert_int_equal(argmax[r][c][bin], at);
        }
    }
}

static void a_gradient_goes_to_the_maximum_unless_it_lies_beyond_the_roi(void **state)
{
    static float want[IMAGES][CHANNELS][CELLS];
    struct ot_dev *dev = *state;
    int beyond = 0;

    dev->k->roi_pool_fwd(dev, &geom, &x[0][0][0], &rois[0][0], &argmax[0][0][0], &y[0][0][0]);
    memset(dx, 0xff, sizeof dx);
    dev->k->roi_pool_bwd(dev, &geom, &rois[0][0], &argmax[0][0][0], &dy[0][0][0], &dx[0][0][0]);
    for (int r = 0; r < ROIS; r++) {
        struct ot_roi roi = ot_roi_cells(rois[r] + 1, geom.scale, PH, PW);

        for (int i = 0; rois[r][0] >= 0.0f && i < CHANNELS * BINS; i++) {
            int at = argmax[r][i / BINS][i % BINS];

            if (at >= 0 && ot_roi_has(&roi, at / W, at % W))
                want[(int)rois[r][0]][i / BINS][at] += dy[r][i / BINS][i % BINS];
            else
                beyond += at >= 0;
        }
    }
    assert_true(beyond > 0);
    assert_memory_equal(dx, want, sizeof want);
}

static int open_device(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    fill_in();
    *state = ot_dev_open("cpu", 2, &err);
    return *state ? 0 : -1;
}

static int close_device(void **state)
{
    ot_dev_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_channel_has_the_first_maximum_of_each_bin),
        cmocka_unit_test(a_gradient_goes_to_the_maximum_unless_it_lies_beyond_the_roi),
    };

    return cmocka_run_group_tests(tests, open_device, close_device);
}
