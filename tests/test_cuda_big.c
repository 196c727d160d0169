/*
 * test_cuda_big.c - arrays of more than 2^31 bytes, up to as many values as a blob may have.
 *
 * An array is one value but for some windows: at its ends, and where 2^31 and 2^32 bytes are
 * crossed.  What a kernel makes of the windows is compared with the formula on the host, so that an
 * index that lost its upper bits shows.  On a device as large as its memory allows; on the emulated
 * one small, which shows that the test can tell right from wrong.
 */
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "layers/neuron_math.h"
#include "tests/check.h"
#include "tests/gpu_host.h"
#include "tests/some_tests.h"

enum { W = 61, WINDOWS = 6 };

static struct ot_dev *gpu, *host;
static char why_no_gpu[1200];

struct big { /* n values on a device, all `rest` but in the windows */
    struct ot_dev *dev;
    size_t n, at[WINDOWS];
    float *x, *y, rest;
    float v[WINDOWS][W], got[WINDOWS][W];
};

static bool make(struct big *b, struct ot_dev *dev, size_t n)
{
    const size_t crossed[WINDOWS] = { 0, n / 3, n / 2, n / 4 * 3, 0, n - W };
    struct ot_err err = OT_ERR_INIT;

    *b = (struct big){ .dev = dev, .n = n, .rest = 0.25f };
    memcpy(b->at, crossed, sizeof crossed);
    b->at[4] = (n > (size_t)1 << 29 ? (size_t)1 << 29 : n / 5) - W / 2; /* 2^31 bytes */
    if (n > (size_t)1 << 30)
        b->at[2] = ((size_t)1 << 30) - W / 2; /* 2^32 */
    b->x = dev->ops->alloc(dev, n * sizeof(float), &err);
    b->y = b->x ? dev->ops->alloc(dev, n * sizeof(float), &err) : NULL;
    if (!b->y) {
        dev->ops->free(dev, b->x);
        return false;
    }
    dev->k->fill(dev, OT_F32, n, b->rest, b->x);
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t i = 0; i < W; i++)
            b->v[w][i] = 2.0f * ot_rng_unit(3, OT_RNG_TEST, w, i) - 1.0f;
    for (size_t w = 0; w < WINDOWS; w++)
        dev->ops->upload(dev, b->x + b->at[w], b->v[w], sizeof b->v[w]);
    return true;
}

static void look(struct big *b, const float *from)
{
    for (size_t w = 0; w < WINDOWS; w++)
        b->dev->ops->download(b->dev, b->got[w], from + b->at[w], sizeof b->got[w]);
}

static void drop(struct big *b)
{
    struct ot_err err = OT_ERR_INIT;

    b->dev->ops->free(b->dev, b->x);
    b->dev->ops->free(b->dev, b->y);
    assert_ok(ot_dev_ok(b->dev, &err), &err);
}

/* Each is called with more and more values until memory is out; false: it was. */
typedef bool test_of_size(struct ot_dev *dev, size_t n);

static bool element_wise(struct ot_dev *dev, size_t n)
{
    static struct big b;
    const struct ot_channels all = { .outer = 1, .c = 1, .inner = n, .block = 1 };
    struct ot_update_seg own = { .n = n };
    struct ot_err err = OT_ERR_INIT;
    double *norm, sum, want;

    if (!make(&b, dev, n))
        return false;
    dev->k->relu_fwd(dev, OT_F32, n, 0.5f, b.x, b.y);
    look(&b, b.y);
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t i = 0; i < W; i++)
            assert_near(b.got[w][i], ot_relu(b.v[w][i], 0.5f), 0);
    dev->k->axpby(dev, OT_F32, n, 2.0f, b.x, 1.0f, b.y);
    look(&b, b.y);
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t i = 0; i < W; i++)
            assert_near(b.got[w][i], 2.0f * b.v[w][i] + ot_relu(b.v[w][i], 0.5f), 1e-6);
    ot_dev_step(dev, &(struct ot_step){ .iter = 5 });
    dev->k->dropout(dev, &all, 0.5f, 2.0f, 7, 3, b.x, b.y);
    look(&b, b.y);
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t i = 0; i < W; i++)
            assert_near(b.got[w][i], ot_dropout(b.v[w][i], 0.5f, 2.0f, 7, 5, 3, b.at[w] + i), 0);
    own.g = b.x;
    norm = dev->ops->alloc(dev, sizeof *norm, &err);
    dev->k->grad_norm(dev, &own, 1, norm);
    dev->ops->download(dev, &sum, norm, sizeof sum);
    want = (double)(n - WINDOWS * W) * (double)b.rest * (double)b.rest;
    for (size_t w = 0; w < WINDOWS; w++)
        for (size_t i = 0; i < W; i++)
            want += (double)b.v[w][i] * (double)b.v[w][i];
    assert_near(sum, want, 1e-9 * want);
    dev->ops->free(dev, norm);
    drop(&b);
    return true;
}

/* Scores (1, 3, n / 3): three planes, so that a column's values lie up to 2/3 of the array apart.
 */
static bool loss(struct ot_dev *dev, size_t n)
{
    static struct big b;
    const struct ot_softmax_loss_geom g = {
        .outer = 1, .c = 3, .inner = n / 3, .norm = OT_NORM_NONE
    };
    struct ot_err err = OT_ERR_INIT;
    float *label, *inst, total, loss, got[W];
    struct ot_loss_stats *stats;
    double want = 0;

    if (!make(&b, dev, n / 3 * 3))
        return false;
    label = dev->ops->alloc(dev, g.inner * sizeof *label, &err);
    inst = dev->ops->alloc(dev, g.inner * sizeof *inst + sizeof *stats + 64, &err);
    if (!label || !inst) {
        dev->ops->free(dev, label);
        dev->ops->free(dev, inst);
        drop(&b);
        return false;
    }
    stats = (struct ot_loss_stats *)(void *)(inst + (g.inner + 15) / 16 * 16);
    dev->k->fill(dev, OT_F32, n / 3 * 3, 0.0f, b.x);
    for (size_t k = 0; k < 3; k++)
        dev->ops->upload(dev, b.x + (k + 1) * g.inner - W, b.v[k], sizeof b.v[k]);
    dev->k->softmax_loss_fwd(dev, &g, b.x, label, NULL, b.y, inst, stats, label);
    dev->ops->download(dev, &loss, label, sizeof loss);
    dev->ops->download(dev, got, inst + g.inner - W, sizeof got);
    for (size_t i = 0; i < W; i++) {
        double e = exp((double)b.v[0][i]), all = e;

        all += exp((double)b.v[1][i]) + exp((double)b.v[2][i]);
        assert_near(got[i], -log(e / all), 1e-5);
        want += -log(e / all);
    }
    want += (double)(g.inner - W) * log(3.0);
    assert_near(loss, want, 1e-5 * want);
    total = 1.0f;
    dev->ops->upload(dev, label, &(float){ 0 }, sizeof(float)); /* the loss was written there */
    dev->ops->upload(dev, inst, &total, sizeof total);
    dev->k->softmax_loss_bwd(dev, &g, b.y, label, NULL, stats, inst, b.x);
    dev->ops->download(dev, got, b.x + 2 * g.inner - W, sizeof got);
    for (size_t i = 0; i < W; i++) {
        double all = 0;

        for (size_t k = 0; k < 3; k++)
            all += exp((double)b.v[k][i]);
        assert_near(got[i], exp((double)b.v[1][i]) / all, 1e-5);
    }
    dev->ops->free(dev, label);
    dev->ops->free(dev, inst);
    drop(&b);
    return true;
}

/* Maxima of 2 x 2 places of one tall image; the windows lie in even rows. */
static bool pooling(struct ot_dev *dev, size_t n)
{
    static struct big b;
    const int w = 2 * W, h = (int)(n / (size_t)w / 2 * 2);
    const struct ot_pool_geom g = { .kind = OT_POOL_MAX,
                                    .n = 1,
                                    .c = 1,
                                    .h = h,
                                    .w = w,
                                    .oh = h / 2,
                                    .ow = W,
                                    .kh = 2,
                                    .kw = 2,
                                    .sh = 2,
                                    .sw = 2 };
    const size_t rows[] = { 0, (size_t)h / 4, (size_t)h / 2 - 1 };
    struct ot_plan_info info;
    struct ot_plan *plan;
    float row[2 * W], got[W];
    void *scratch;
    struct ot_err err = OT_ERR_INIT;

    if (!make(&b, dev, (size_t)w * (size_t)h))
        return false;
    dev->k->pool_plan(dev, &g, NULL, &plan, &info);
    scratch = dev->ops->alloc(dev, info.scratch_bytes, &err);
    dev->k->fill(dev, OT_F32, b.n, -2.0f, b.x);
    for (size_t i = 0; i < 2 * W; i++)
        row[i] = i % 2 ? -1.5f : b.v[1][i / 2];
    for (size_t r = 0; r < 3; r++)
        dev->ops->upload(dev, b.x + 2 * rows[r] * (size_t)w, row, sizeof row);
    dev->k->pool_fwd(dev, plan, b.x, scratch, NULL, b.y);
    for (size_t r = 0; r < 3; r++) {
        dev->ops->download(dev, got, b.y + rows[r] * W, sizeof got);
        for (size_t i = 0; i < W; i++)
            assert_near(got[i], b.v[1][i], 0);
    }
    dev->k->plan_free(dev, plan);
    dev->ops->free(dev, scratch);
    drop(&b);
    return true;
}

static void on_a_device(test_of_size *test)
{
    static const size_t sizes[] = { 600000007u, 1100000009u, 2147483647u };
    size_t k = 0;

    if (!gpu)
        skip_because("%s", why_no_gpu);
    while (k < sizeof sizes / sizeof sizes[0] && test(gpu, sizes[k]))
        print_message("%zu values\n", sizes[k++]);
    if (!k)
        skip_because("%s has not the memory for %zu MiB", gpu->name, sizes[0] >> 17);
}

static void on_the_host(test_of_size *test)
{
    if (!host)
        skip_because("no C++ compiler when the tests were built");
    assert_true(test(host, 20011));
}

#define BOTH(name, test)                         \
    static void name##_on_the_host(void **state) \
    {                                            \
        (void)state;                             \
        on_the_host(test);                       \
    }                                            \
    static void name##_of_a_device(void **state) \
    {                                            \
        (void)state;                             \
        on_a_device(test);                       \
    }
BOTH(element_wise_kernels_reach_all_of_an_array, element_wise)
BOTH(the_softmax_loss_reaches_all_of_an_array, loss)
BOTH(pooling_reaches_all_of_an_array, pooling)

static int open_all(void **state)
{
    const struct ot_dev_conf conf = { .deterministic = true };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    gpu = ot_dev_open("cuda", 0, &err);
    if (!gpu)
        (void)ot_err_str(&err, why_no_gpu, sizeof why_no_gpu);
    host = ot_test_cuda_host ? ot_test_cuda_host(&conf, &err) : NULL;
    return host || !ot_test_cuda_host ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    ot_dev_close(gpu);
    ot_dev_close(host);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_wise_kernels_reach_all_of_an_array_on_the_host),
        cmocka_unit_test(element_wise_kernels_reach_all_of_an_array_of_a_device),
        cmocka_unit_test(the_softmax_loss_reaches_all_of_an_array_on_the_host),
        cmocka_unit_test(the_softmax_loss_reaches_all_of_an_array_of_a_device),
        cmocka_unit_test(pooling_reaches_all_of_an_array_on_the_host),
        cmocka_unit_test(pooling_reaches_all_of_an_array_of_a_device),
    };

    return OT_SOME_TESTS(argc, argv, tests, open_all, close_all);
}
