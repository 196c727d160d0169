/* channel.cu - kernels with one value a channel: affine maps, PReLU, sums. */
#include "cuda/launch.h"
#include "layers/channel_math.h"

/* The channel of physical element i, c or more for padding. */
__device__ static size_t channel_of(const struct ot_channels &g, size_t i)
{
    const size_t row = i / g.block;

    return row / g.inner % ot_channel_blocks(&g) * g.block + i % g.block;
}

static size_t elems_of(const struct ot_channels *g)
{
    return g->c ? g->outer * ot_channel_blocks(g) * g->block * g->inner : 0;
}

__global__ static void affine(struct ot_channels g, size_t n, const float *x, const float *scale,
                              const float *shift, float *y)
{
    OT_EACH (i, n) {
        const size_t c = channel_of(g, i);
        float v = x[i];

        if (c < g.c) {
            v = scale ? scale[c] * v : v;
            v = shift ? v + shift[c] : v;
        }
        y[i] = c < g.c ? v : 0.0f;
    }
}

extern "C" void ot_cuda_affine(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                               const float *scale, const float *shift, float *y)
{
    const size_t n = elems_of(g);

    if (n)
        OT_LAUNCH(dev, affine, ot_grid(n), OT_THREADS, *g, n, x, scale, shift, y);
}

__global__ static void prelu_fwd(struct ot_channels g, size_t n, const float *x,
                                 const float *slope, float *y)
{
    OT_EACH (i, n) {
        const size_t c = channel_of(g, i);

        y[i] = c < g.c ? ot_prelu(x[i], slope[c]) : 0.0f;
    }
}

extern "C" void ot_cuda_prelu_fwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                                  const float *slope, float *y)
{
    const size_t n = elems_of(g);

    if (n)
        OT_LAUNCH(dev, prelu_fwd, ot_grid(n), OT_THREADS, *g, n, x, slope, y);
}

__global__ static void prelu_bwd(struct ot_channels g, size_t n, const float *x,
                                 const float *slope, const float *dy, float *dx)
{
    OT_EACH (i, n) {
        const size_t c = channel_of(g, i);

        dx[i] = c < g.c ? ot_prelu_grad(x[i], slope[c], dy[i]) : 0.0f;
    }
}

extern "C" void ot_cuda_prelu_bwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                                  const float *slope, const float *dy, float *dx)
{
    const size_t n = elems_of(g);

    if (n)
        OT_LAUNCH(dev, prelu_bwd, ot_grid(n), OT_THREADS, *g, n, x, slope, dy, dx);
}

/* ---- sums: a block for each part of a channel, then the parts of each channel -------------- */

constexpr size_t PART = 4096, MOST_PARTS = 64;

__global__ static void sum_parts(struct ot_channels g, size_t parts, size_t step,
                                 enum ot_channel_term term, const float *a, const float *b,
                                 double *part)
{
    const size_t blocks = ot_channel_blocks(&g), rows = g.outer * g.inner;

    for (size_t k = blockIdx.x; k < g.c * parts; k += gridDim.x) {
        const size_t c = k / parts, from = k % parts * step;
        const size_t end = from + step < rows ? from + step : rows;
        double sum = 0.0;

        for (size_t r = from + threadIdx.x; r < end; r += blockDim.x) {
            const size_t row = (r / g.inner * blocks + c / g.block) * g.inner + r % g.inner;
            const size_t at = row * g.block + c % g.block;

            sum += ot_channel_term(term, a[at], term == OT_TERM_A ? 0.0f : b[at]);
        }
        sum = ot_block_sum(sum);
        if (threadIdx.x == 0)
            part[k] = sum;
    }
}

__global__ static void add_parts(size_t c, size_t parts, const double *part, float beta, float *y)
{
    OT_EACH (i, c) {
        double s = 0.0;

        for (size_t p = 0; p < parts; p++)
            s += part[i * parts + p];
        y[i] = (float)(beta == 0.0f ? s : s + (double)(beta * y[i]));
    }
}

extern "C" void ot_cuda_channel_sum(struct ot_dev *dev, const struct ot_channels *g,
                                    enum ot_channel_term term, const float *a, const float *b,
                                    float beta, float *y)
{
    const size_t rows = g->outer * g->inner, want = (rows + PART - 1) / PART;
    const size_t parts = want < 1 ? 1 : want > MOST_PARTS ? MOST_PARTS : want;
    double *part;

    if (!g->c)
        return;
    part = (double *)ot_cuda_room(dev, g->c * parts * sizeof(double));
    if (!part)
        return;
    OT_LAUNCH(dev, sum_parts, ot_grid(g->c * parts * OT_THREADS), OT_THREADS, *g, parts,
              (rows + parts - 1) / parts, term, a, b, part);
    OT_LAUNCH(dev, add_parts, ot_grid(g->c), OT_THREADS, g->c, parts, part, beta, y);
}
