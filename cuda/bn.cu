/*
 * bn.cu - batch normalisation: a block for each channel and part of the images adds up, a thread
 * for each channel puts the parts together in order, a thread for each element normalises.
 */
#include "cuda/launch.h"
#include "layers/bn_math.h"

/* Place of element i of channel c of image n. */
__device__ static size_t place(const struct ot_bn_geom *g, size_t c, size_t n, size_t i)
{
    const size_t blocks = ot_bn_channels(g) / g->block;

    return ((n * blocks + c / g->block) * g->inner + i) * g->block + c % g->block;
}

/* 32 bits hold every place (struct ot_shape), and divide several times faster. */
__device__ static size_t channel(const struct ot_bn_geom *g, size_t at)
{
    const unsigned block = (unsigned)g->block, plane = (unsigned)g->inner * block;
    const unsigned blocks = (unsigned)ot_bn_channels(g) / block, i = (unsigned)at;

    return i / plane % blocks * block + i % block;
}

/* Block (c, part): sums of a and of a b over that part's images. */
__global__ static void bn_sums(const __grid_constant__ struct ot_bn_geom g, const float *a,
                               const float *b, double *scratch)
{
    const size_t c = blockIdx.x, part = blockIdx.y, parts = ot_bn_parts(&g);
    const unsigned images = (unsigned)((g.n - part + parts - 1) / parts);
    const unsigned inner = (unsigned)g.inner;
    double u = 0.0, v = 0.0;

    for (unsigned j = threadIdx.x; j < images * inner; j += blockDim.x) {
        const size_t at = place(&g, c, part + j / inner * parts, j % inner);

        u += (double)a[at];
        v += (double)a[at] * (double)b[at];
    }
    u = ot_block_sum(u);
    v = ot_block_sum(v);
    if (threadIdx.x == 0) {
        scratch[part * ot_bn_channels(&g) + c] = u;
        scratch[ot_bn_sums(&g) / 2 + part * ot_bn_channels(&g) + c] = v;
    }
}

__device__ static double total(const struct ot_bn_geom *g, const double *scratch, size_t c)
{
    double sum = 0.0;

    for (size_t p = 0; p < ot_bn_parts(g); p++)
        sum += scratch[p * ot_bn_channels(g) + c];
    return sum;
}

static void add_up(struct ot_dev *dev, const struct ot_bn_geom *g, const float *a, const float *b,
                   double *scratch)
{
    const dim3 grid((unsigned)ot_bn_channels(g), (unsigned)ot_bn_parts(g));

    OT_LAUNCH(dev, bn_sums, grid, OT_THREADS, *g, a, b, scratch);
}

__global__ static void bn_stats(const __grid_constant__ struct ot_bn_geom g, float eps,
                                const double *scratch, float *stat)
{
    const size_t pc = ot_bn_channels(&g);
    const double m = (double)(g.n * g.inner);

    OT_EACH (c, pc) {
        const double sum = total(&g, scratch, c);
        const float var = ot_bn_var(sum, total(&g, scratch + ot_bn_sums(&g) / 2, c), m);

        stat[c] = ot_bn_mean(sum, m);
        stat[pc + c] = c < g.c ? ot_bn_inv(var, eps) : 0.0f;
        stat[2 * pc + c] = var;
    }
}

extern "C" void ot_cuda_bn_stats(struct ot_dev *dev, const struct ot_bn_geom *g, float eps,
                                 const float *x, double *scratch, float *stat)
{
    add_up(dev, g, x, x, scratch);
    OT_LAUNCH(dev, bn_stats, ot_grid(ot_bn_channels(g)), OT_THREADS, *g, eps, scratch, stat);
}

__global__ static void bn_global(const __grid_constant__ struct ot_bn_geom g, float eps,
                                 const float *mean_sum, const float *var_sum, const float *factor,
                                 float *stat)
{
    const size_t pc = ot_bn_channels(&g);
    const float scale = factor[0] == 0.0f ? 0.0f : 1.0f / factor[0];

    OT_EACH (c, pc) {
        stat[c] = c < g.c ? mean_sum[c] * scale : 0.0f;
        stat[pc + c] = c < g.c ? ot_bn_inv(var_sum[c] * scale, eps) : 0.0f;
    }
}

extern "C" void ot_cuda_bn_global(struct ot_dev *dev, const struct ot_bn_geom *g, float eps,
                                  const float *mean_sum, const float *var_sum, const float *factor,
                                  float *stat)
{
    OT_LAUNCH(dev, bn_global, ot_grid(ot_bn_channels(g)), OT_THREADS, *g, eps, mean_sum, var_sum,
              factor, stat);
}

/* One more than there are channels: the last is the factor. */
__global__ static void bn_running(const __grid_constant__ struct ot_bn_geom g, float fraction,
                                  const float *stat, float *mean_sum, float *var_sum, float *factor)
{
    const size_t pc = ot_bn_channels(&g);
    const float unbias = ot_bn_unbias(&g);

    OT_EACH (c, g.c + 1) {
        if (c == g.c) {
            factor[0] = ot_bn_running(1.0f, factor[0], fraction);
        } else {
            mean_sum[c] = ot_bn_running(stat[c], mean_sum[c], fraction);
            var_sum[c] = ot_bn_running(unbias * stat[2 * pc + c], var_sum[c], fraction);
        }
    }
}

extern "C" void ot_cuda_bn_running(struct ot_dev *dev, const struct ot_bn_geom *g, float fraction,
                                   const float *stat, float *mean_sum, float *var_sum,
                                   float *factor)
{
    OT_LAUNCH(dev, bn_running, ot_grid(g->c + 1), OT_THREADS, *g, fraction, stat, mean_sum, var_sum,
              factor);
}

__global__ static void bn_fwd(const __grid_constant__ struct ot_bn_geom g, size_t n, const float *x,
                              const float *stat, float *y)
{
    const size_t pc = ot_bn_channels(&g);

    OT_EACH (i, n) {
        const size_t c = channel(&g, i);

        y[i] = (x[i] - stat[c]) * stat[pc + c];
    }
}

static size_t elements(const struct ot_bn_geom *g)
{
    return g->n * ot_bn_channels(g) * g->inner;
}

extern "C" void ot_cuda_bn_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, const float *x,
                               const float *stat, float *y)
{
    OT_LAUNCH(dev, bn_fwd, ot_grid(elements(g)), OT_THREADS, *g, elements(g), x, stat, y);
}

__global__ static void bn_means(const __grid_constant__ struct ot_bn_geom g, const double *scratch,
                                float *mean)
{
    const size_t pc = ot_bn_channels(&g);
    const double m = (double)(g.n * g.inner);

    OT_EACH (c, pc) {
        mean[c] = ot_bn_mean(total(&g, scratch, c), m);
        mean[pc + c] = ot_bn_mean(total(&g, scratch + ot_bn_sums(&g) / 2, c), m);
    }
}

__global__ static void bn_bwd(const __grid_constant__ struct ot_bn_geom g, size_t n, const float *y,
                              const float *stat, const float *dy, const float *mean, float *dx)
{
    const size_t pc = ot_bn_channels(&g);

    OT_EACH (i, n) {
        const size_t c = channel(&g, i);

        dx[i] = ot_bn_grad(y[i], dy[i], mean[c], mean[pc + c], stat[pc + c]);
    }
}

__global__ static void bn_rescale(const __grid_constant__ struct ot_bn_geom g, size_t n,
                                  const float *inv, const float *dy, float *dx)
{
    OT_EACH (i, n)
        dx[i] = dy[i] * inv[channel(&g, i)];
}

extern "C" void ot_cuda_bn_bwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed,
                               const float *y, const float *stat, const float *dy, double *scratch,
                               float *dx)
{
    const size_t n = elements(g), pc = ot_bn_channels(g);
    float *const mean = (float *)(scratch + ot_bn_sums(g));

    if (fixed) {
        OT_LAUNCH(dev, bn_rescale, ot_grid(n), OT_THREADS, *g, n, stat + pc, dy, dx);
        return;
    }
    add_up(dev, g, dy, y, scratch);
    OT_LAUNCH(dev, bn_means, ot_grid(pc), OT_THREADS, *g, scratch, mean);
    OT_LAUNCH(dev, bn_bwd, ot_grid(n), OT_THREADS, *g, n, y, stat, dy, mean, dx);
}
