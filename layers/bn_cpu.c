/*
 * bn_cpu.c - batch normalisation in every layout: (n, channel blocks, inner, block), with block 1
 * for plain order, 16 or 8 for channel blocks, C for channels last.
 *
 * The loops are our own: one pass makes mean and variance in double, where oneDNN reads the input
 * once for each and sums in float (docs/decisions/0007-normalisation-loops.md).
 */
#include <string.h>

#include "layers/bn_math.h"
#include "layers/cpu_i.h"

#define LANES static inline __attribute__((always_inline))

enum { WIDE = 16 };

/* s0 += a, s1 += a b over a contiguous row. */
static void row_sums(size_t n, const float *a, const float *b, double *s0, double *s1)
{
    double u = 0, v = 0;

#pragma omp simd reduction(+ : u, v)
    for (size_t i = 0; i < n; i++) {
        u += (double)a[i];
        v += (double)a[i] * (double)b[i];
    }
    *s0 += u;
    *s1 += v;
}

/* The same for each of `lanes` channels that lie side by side, `pitch` apart from row to row. */
LANES void lane_sums(size_t rows, size_t pitch, size_t lanes, const float *a, const float *b,
                     double *s0, double *s1)
{
    double u[WIDE], v[WIDE];

    memcpy(u, s0, lanes * sizeof *u);
    memcpy(v, s1, lanes * sizeof *v);
    for (size_t r = 0; r < rows; r++)
#pragma omp simd
        for (size_t i = 0; i < lanes; i++) {
            double x = (double)a[r * pitch + i];

            u[i] += x;
            v[i] += x * (double)b[r * pitch + i];
        }
    memcpy(s0, u, lanes * sizeof *u);
    memcpy(s1, v, lanes * sizeof *v);
}

static void block_sums(size_t rows, size_t block, const float *a, const float *b, double *s0,
                       double *s1)
{
    size_t i = 0;

    for (; i + WIDE <= block; i += WIDE)
        lane_sums(rows, block, WIDE, a + i, b + i, s0 + i, s1 + i);
    if (i < block)
        lane_sums(rows, block, block - i, a + i, b + i, s0 + i, s1 + i);
}

/* scratch (2, parts, channels): the sums of a and of a b; the first part ends as the total. */
static void sums(const struct ot_bn_geom *g, const float *a, const float *b, double *scratch)
{
    const size_t pc = ot_bn_channels(g), blocks = pc / g->block, parts = ot_bn_parts(g);
    const size_t plane = g->inner * g->block;
    double *const other = scratch + ot_bn_sums(g) / 2;

    memset(scratch, 0, ot_bn_sums(g) * sizeof *scratch);
#pragma omp parallel for collapse(2) if (g->n * pc * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t p = 0; p < parts; p++)
        for (size_t k = 0; k < blocks; k++)
            for (size_t n = p; n < g->n; n += parts) {
                const size_t at = (n * blocks + k) * plane, c = p * pc + k * g->block;

                if (g->block == 1)
                    row_sums(g->inner, a + at, b + at, scratch + c, other + c);
                else
                    block_sums(g->inner, g->block, a + at, b + at, scratch + c, other + c);
            }
    for (size_t p = 1; p < parts; p++)
        for (size_t c = 0; c < pc; c++) {
            scratch[c] += scratch[p * pc + c];
            other[c] += other[p * pc + c];
        }
}

void ot_cpu_bn_stats(struct ot_dev *dev, const struct ot_bn_geom *g, float eps, const float *x,
                     double *scratch, float *stat)
{
    const size_t pc = ot_bn_channels(g);
    const double m = (double)(g->n * g->inner), *squares = scratch + ot_bn_sums(g) / 2;

    (void)dev;
    sums(g, x, x, scratch);
    for (size_t c = 0; c < pc; c++) {
        float var = ot_bn_var(scratch[c], squares[c], m);

        stat[c] = ot_bn_mean(scratch[c], m);
        stat[pc + c] = c < g->c ? ot_bn_inv(var, eps) : 0.0f;
        stat[2 * pc + c] = var;
    }
}

void ot_cpu_bn_global(struct ot_dev *dev, const struct ot_bn_geom *g, float eps,
                      const float *mean_sum, const float *var_sum, const float *factor, float *stat)
{
    const size_t pc = ot_bn_channels(g);
    const float scale = factor[0] == 0.0f ? 0.0f : 1.0f / factor[0];

    (void)dev;
    for (size_t c = 0; c < pc; c++) {
        stat[c] = c < g->c ? mean_sum[c] * scale : 0.0f;
        stat[pc + c] = c < g->c ? ot_bn_inv(var_sum[c] * scale, eps) : 0.0f;
    }
}

void ot_cpu_bn_running(struct ot_dev *dev, const struct ot_bn_geom *g, float fraction,
                       const float *stat, float *mean_sum, float *var_sum, float *factor)
{
    const size_t pc = ot_bn_channels(g);
    const float unbias = ot_bn_unbias(g);

    (void)dev;
    for (size_t c = 0; c < g->c; c++) {
        mean_sum[c] = ot_bn_running(stat[c], mean_sum[c], fraction);
        var_sum[c] = ot_bn_running(unbias * stat[2 * pc + c], var_sum[c], fraction);
    }
    factor[0] = ot_bn_running(1.0f, factor[0], fraction);
}

LANES void normalise(size_t rows, size_t lanes, const float *x, const float *mean, const float *inv,
                     float *y)
{
    for (size_t r = 0; r < rows; r++)
#pragma omp simd
        for (size_t i = 0; i < lanes; i++)
            y[r * lanes + i] = (x[r * lanes + i] - mean[i]) * inv[i];
}

static void normalise_row(size_t n, const float *x, float mean, float inv, float *y)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * inv;
}

void ot_cpu_bn_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, const float *x,
                   const float *stat, float *y)
{
    const size_t pc = ot_bn_channels(g), blocks = pc / g->block, plane = g->inner * g->block;

    (void)dev;
#pragma omp parallel for collapse(2) if (g->n * pc * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t n = 0; n < g->n; n++)
        for (size_t k = 0; k < blocks; k++) {
            const size_t at = (n * blocks + k) * plane;
            const float *mean = stat + k * g->block, *inv = mean + pc;

            if (g->block == 1)
                normalise_row(plane, x + at, *mean, *inv, y + at);
            else if (g->block == WIDE)
                normalise(g->inner, WIDE, x + at, mean, inv, y + at);
            else
                normalise(g->inner, g->block, x + at, mean, inv, y + at);
        }
}

LANES void gradient(size_t rows, size_t lanes, const float *y, const float *dy, const float *m0,
                    const float *m1, const float *inv, float *dx)
{
    for (size_t r = 0; r < rows; r++)
#pragma omp simd
        for (size_t i = 0; i < lanes; i++) {
            const size_t at = r * lanes + i;

            dx[at] = ot_bn_grad(y[at], dy[at], m0[i], m1[i], inv[i]);
        }
}

static void gradient_row(size_t n, const float *y, const float *dy, float m0, float m1, float inv,
                         float *dx)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dx[i] = ot_bn_grad(y[i], dy[i], m0, m1, inv);
}

static void rescale_row(size_t n, const float *dy, float inv, float *dx)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * inv;
}

/* dx = dy / sqrt(variance + eps): y is not read. */
static void rescale(const struct ot_bn_geom *g, const float *inv, const float *dy, float *dx)
{
    const size_t blocks = ot_bn_channels(g) / g->block, plane = g->inner * g->block;

#pragma omp parallel for collapse(2) if (g->n * blocks * plane > OT_CPU_GRAIN) schedule(static)
    for (size_t n = 0; n < g->n; n++)
        for (size_t k = 0; k < blocks; k++) {
            const size_t at = (n * blocks + k) * plane;

            if (g->block == 1)
                rescale_row(plane, dy + at, inv[k], dx + at);
            else
                for (size_t r = 0; r < plane; r += g->block)
#pragma omp simd
                    for (size_t i = 0; i < g->block; i++)
                        dx[at + r + i] = dy[at + r + i] * inv[k * g->block + i];
        }
}

/* mean (2, channels): of dy and of dy y, from their sums. */
static void gradient_means(const struct ot_bn_geom *g, const double *scratch, float *mean)
{
    const size_t pc = ot_bn_channels(g), other = ot_bn_sums(g) / 2;
    const double m = (double)(g->n * g->inner);

    for (size_t c = 0; c < pc; c++) {
        mean[c] = ot_bn_mean(scratch[c], m);
        mean[pc + c] = ot_bn_mean(scratch[other + c], m);
    }
}

void ot_cpu_bn_bwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed, const float *y,
                   const float *stat, const float *dy, double *scratch, float *dx)
{
    const size_t pc = ot_bn_channels(g), blocks = pc / g->block, plane = g->inner * g->block;
    float *const mean = (float *)(void *)(scratch + ot_bn_sums(g));

    (void)dev;
    if (fixed) {
        rescale(g, stat + pc, dy, dx);
        return;
    }
    sums(g, dy, y, scratch);
    gradient_means(g, scratch, mean);
#pragma omp parallel for collapse(2) if (g->n * pc * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t n = 0; n < g->n; n++)
        for (size_t k = 0; k < blocks; k++) {
            const size_t at = (n * blocks + k) * plane;
            const float *m0 = mean + k * g->block, *m1 = m0 + pc;
            const float *inv = stat + pc + k * g->block;

            if (g->block == 1)
                gradient_row(plane, y + at, dy + at, *m0, *m1, *inv, dx + at);
            else if (g->block == WIDE)
                gradient(g->inner, WIDE, y + at, dy + at, m0, m1, inv, dx + at);
            else
                gradient(g->inner, g->block, y + at, dy + at, m0, m1, inv, dx + at);
        }
}
