/*
 * bench_gpu.c - the kernels whose limit is memory, beside a plain copy of the same device: the
 * fused SoftmaxWithLossOHEM, forward and backward, at 64 x 21 x 512 x 512, and a single-precision
 * product.
 *
 * One JSON line each: milliseconds (median of rounds), bytes that must move (every input read once,
 * every output written once) over that time, and the share of what the copy reaches.  A round is
 * many launches between two waits, so that what a launch costs the host does not count.
 *
 *     build/release/bench/bench_gpu [device=cuda] [outer c inner]
 */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "layers/device.h"

enum { ROUNDS = 15, GEMM_SIDE = 8192, IGNORED = 255 };

struct bench {
    struct ot_dev *dev;
    struct ot_softmax_loss_geom g;
    size_t gemm; /* side of the product */
    size_t n;    /* elements of x */
    size_t rows; /* instances */
    float *x, *prob, *label, *inst, *loss, *dloss;
    struct ot_loss_stats *stats;
    double copy_rate; /* bytes/s */
};

typedef void run_fn(struct bench *b);

static void run_copy(struct bench *b)
{
    b->dev->k->copy(b->dev, OT_F32, b->n, b->x, b->prob);
}

static void run_fwd(struct bench *b)
{
    b->dev->k->softmax_loss_fwd(b->dev, &b->g, b->x, b->label, NULL, b->prob, b->inst, b->stats,
                                b->loss);
}

static void run_bwd(struct bench *b)
{
    b->dev->k->softmax_loss_bwd(b->dev, &b->g, b->prob, b->label, NULL, b->stats, b->dloss, b->x);
}

static void run_gemm(struct bench *b)
{
    size_t m = b->gemm;

    b->dev->k->gemm(b->dev, false, false, m, m, m, 1.0f, b->x, m, b->x + m, m, 0.0f, b->prob, m);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Seconds of one launch. */
static double median_s(struct bench *b, run_fn *run)
{
    double s[ROUNDS], at;
    int launches;

    for (int i = 0; i < 3; i++)
        run(b);
    b->dev->ops->sync(b->dev);
    at = ot_now_s();
    run(b);
    b->dev->ops->sync(b->dev);
    launches = (int)fmax(1.0, fmin(200.0, 0.05 / (ot_now_s() - at)));
    for (int r = 0; r < ROUNDS; r++) {
        at = ot_now_s();
        for (int i = 0; i < launches; i++)
            run(b);
        b->dev->ops->sync(b->dev);
        s[r] = (ot_now_s() - at) / launches;
    }
    qsort(s, ROUNDS, sizeof *s, by_value);
    return s[ROUNDS / 2];
}

static void put(struct bench *b, const char *what, double s, size_t bytes)
{
    double rate = (double)bytes / s;

    ot_out("{\"kernel\": \"%s\", \"device\": \"%s\", \"shape\": [%zu, %zu, %zu], \"ms\": %.5f, "
           "\"bytes\": %zu, \"bytes_per_s\": %.5g, \"of_copy\": %.4f}\n",
           what, b->dev->what, b->g.outer, b->g.c, b->g.inner, 1e3 * s, bytes, rate,
           b->copy_rate > 0.0 ? rate / b->copy_rate : 1.0);
}

/* Uniform values: a chunk made once and uploaded again and again. */
static int fill(struct bench *b, float *dst, size_t n, int classes, struct ot_err *err)
{
    enum { CHUNK = 1 << 20 };

    float *v = ot_alloc(CHUNK, sizeof *v, err);

    if (!v)
        return err->code;
    for (size_t i = 0; i < CHUNK; i++) {
        float u = ot_rng_unit(1, OT_RNG_TEST, (uint64_t)classes, i);

        v[i] = classes ? floorf(u * (float)classes) : 4.0f * u - 2.0f;
    }
    for (size_t i = 0; classes && i < CHUNK; i += 50)
        v[i] = IGNORED;
    for (size_t at = 0; at < n; at += CHUNK)
        b->dev->ops->upload(b->dev, dst + at, v, (n - at < CHUNK ? n - at : CHUNK) * sizeof *v);
    b->dev->ops->sync(b->dev);
    ot_free(v);
    return ot_dev_ok(b->dev, err);
}

static int open_arrays(struct bench *b, struct ot_err *err)
{
    const struct ot_dev_ops *ops = b->dev->ops;
    const float one = 1.0f;

    b->x = ops->alloc(b->dev, b->n * sizeof(float), err);
    b->prob = ops->alloc(b->dev, b->n * sizeof(float), err);
    b->label = ops->alloc(b->dev, b->rows * sizeof(float), err);
    b->inst = ops->alloc(b->dev, b->rows * sizeof(float), err);
    b->loss = ops->alloc(b->dev, sizeof(float), err);
    b->dloss = ops->alloc(b->dev, sizeof(float), err);
    b->stats = ops->alloc(b->dev, sizeof *b->stats, err);
    if (err->code != OT_OK)
        return err->code;
    ops->upload(b->dev, b->dloss, &one, sizeof one);
    if (fill(b, b->label, b->rows, (int)b->g.c, err))
        return err->code;
    return fill(b, b->x, b->n, 0, err);
}

static int run_all(struct bench *b, struct ot_err *err)
{
    const size_t big = b->n * sizeof(float), small = b->rows * sizeof(float);
    double s;

    if (open_arrays(b, err))
        return err->code;
    s = median_s(b, run_copy);
    b->copy_rate = 2.0 * (double)big / s;
    put(b, "copy", s, 2 * big);
    put(b, "softmax_loss_fwd", median_s(b, run_fwd), 2 * big + 2 * small);
    put(b, "softmax_loss_bwd", median_s(b, run_bwd), 2 * big + small);
    while (b->gemm * (b->gemm + 1) > b->n)
        b->gemm /= 2;
    if (fill(b, b->x, b->n, 0, err))
        return err->code;
    s = median_s(b, run_gemm);
    ot_out("{\"kernel\": \"gemm\", \"device\": \"%s\", \"shape\": [%zu, %zu, %zu], \"ms\": %.5f, "
           "\"flop_per_s\": %.5g}\n",
           b->dev->what, b->gemm, b->gemm, b->gemm, 1e3 * s, 2.0 * pow((double)b->gemm, 3.0) / s);
    return ot_dev_ok(b->dev, err);
}

int main(int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    struct bench b = { .g = { .outer = 64,
                              .c = 21,
                              .inner = 512 * 512,
                              .has_ignore = true,
                              .ignore_label = IGNORED },
                       .gemm = GEMM_SIDE };

    if (argc == 5) {
        b.g.outer = strtoul(argv[2], NULL, 10);
        b.g.c = strtoul(argv[3], NULL, 10);
        b.g.inner = strtoul(argv[4], NULL, 10);
    }
    b.rows = b.g.outer * b.g.inner;
    b.n = b.rows * b.g.c;
    if ((argc > 2 && argc != 5) || b.n == 0) {
        ot_log(OT_LOG_ERROR, "bench_gpu", "usage: bench_gpu [device] [outer c inner]");
        return 64;
    }
    b.dev = ot_dev_open(argc > 1 ? argv[1] : "cuda", 0, &err);
    if (b.dev)
        (void)run_all(&b, &err);
    if (err.code != OT_OK)
        ot_log_err("bench_gpu", &err);
    if (b.dev) {
        void *all[] = { b.x, b.prob, b.label, b.inst, b.loss, b.dloss, b.stats };

        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            b.dev->ops->free(b.dev, all[i]);
    }
    ot_dev_close(b.dev);
    return ot_exit_code(err.code);
}
