/*
 * loss.cu - softmax, the losses, accuracy.
 *
 * Scores are (outer, c, inner).  With inner == 1 (classifiers, RoIs) a warp takes a row, lanes
 * striding along the classes; with inner > 1 (anchors, pixels) a thread takes a column, neighbours
 * in neighbouring threads.  Losses are summed in double over a grid that depends on the sizes
 * alone, each block leaving one partial sum, and one block adds those: the same bits on every run.
 */
#include "cuda/launch.h"
#include "cuda/loss_share.h"
#include "layers/smooth_l1_math.h"
#include "layers/softmax_loss_math.h"

/* ---- softmax ------------------------------------------------------------------------------- */

__device__ static inline float warp_max(float v)
{
    for (int d = OT_WARP / 2; d > 0; d /= 2) {
        float o = __shfl_xor_sync(0xffffffffu, v, d);

        v = o > v ? o : v;
    }
    return v;
}

__device__ static inline float warp_sum(float v)
{
    for (int d = OT_WARP / 2; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

/* One row by a whole warp; NaN in a row makes the row NaN. */
__device__ static void softmax_row(size_t c, unsigned lane, const float *x, float *y)
{
    float top = x[0], sum = 0.0f;

    for (size_t k = lane; k < c; k += OT_WARP)
        top = x[k] > top ? x[k] : top;
    top = warp_max(top);
    for (size_t k = lane; k < c; k += OT_WARP) {
        float e = ot_expf(x[k] - top);

        y[k] = e;
        sum += e;
    }
    sum = warp_sum(sum);
    for (size_t k = lane; k < c; k += OT_WARP)
        y[k] /= sum;
}

__device__ static void softmax_column(size_t c, size_t inner, const float *x, float *y)
{
    float top = x[0], sum = 0.0f;

    for (size_t k = 1; k < c; k++)
        top = x[k * inner] > top ? x[k * inner] : top;
    for (size_t k = 0; k < c; k++) {
        float e = ot_expf(x[k * inner] - top);

        y[k * inner] = e;
        sum += e;
    }
    for (size_t k = 0; k < c; k++)
        y[k * inner] /= sum;
}

__global__ static void softmax_rows(size_t rows, size_t c, const float *x, float *y)
{
    const size_t warps = (size_t)gridDim.x * (blockDim.x / OT_WARP);
    size_t r = (size_t)blockIdx.x * (blockDim.x / OT_WARP) + threadIdx.x / OT_WARP;

    for (; r < rows; r += warps)
        softmax_row(c, threadIdx.x % OT_WARP, x + r * c, y + r * c);
}

__global__ static void softmax_columns(size_t n, size_t c, size_t inner, const float *x, float *y)
{
    OT_EACH (i, n) {
        size_t at = i / inner * c * inner + i % inner;

        softmax_column(c, inner, x + at, y + at);
    }
}

extern "C" void ot_cuda_softmax_fwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                    const float *x, float *y)
{
    if (outer * c * inner == 0)
        return;
    if (inner == 1)
        OT_LAUNCH(dev, softmax_rows, ot_grid(outer * OT_WARP), OT_THREADS, outer, c, x, y);
    else
        OT_LAUNCH(dev, softmax_columns, ot_grid(outer * inner), OT_THREADS, outer * inner, c, inner,
                  x, y);
}

__global__ static void softmax_rows_bwd(size_t rows, size_t c, const float *y, const float *dy,
                                        float *dx)
{
    const size_t warps = (size_t)gridDim.x * (blockDim.x / OT_WARP);
    const unsigned lane = threadIdx.x % OT_WARP;
    size_t r = (size_t)blockIdx.x * (blockDim.x / OT_WARP) + threadIdx.x / OT_WARP;

    for (; r < rows; r += warps) {
        float dot = 0.0f;

        for (size_t k = lane; k < c; k += OT_WARP)
            dot += y[r * c + k] * dy[r * c + k];
        dot = warp_sum(dot);
        for (size_t k = lane; k < c; k += OT_WARP)
            dx[r * c + k] = (dy[r * c + k] - dot) * y[r * c + k];
    }
}

__global__ static void softmax_columns_bwd(size_t n, size_t c, size_t inner, const float *y,
                                           const float *dy, float *dx)
{
    OT_EACH (i, n) {
        const size_t at = i / inner * c * inner + i % inner;
        float dot = 0.0f;

        for (size_t k = 0; k < c; k++)
            dot += y[at + k * inner] * dy[at + k * inner];
        for (size_t k = 0; k < c; k++)
            dx[at + k * inner] = (dy[at + k * inner] - dot) * y[at + k * inner];
    }
}

extern "C" void ot_cuda_softmax_bwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                    const float *y, const float *dy, float *dx)
{
    if (outer * c * inner == 0)
        return;
    if (inner == 1)
        OT_LAUNCH(dev, softmax_rows_bwd, ot_grid(outer * OT_WARP), OT_THREADS, outer, c, y, dy, dx);
    else
        OT_LAUNCH(dev, softmax_columns_bwd, ot_grid(outer * inner), OT_THREADS, outer * inner, c,
                  inner, y, dy, dx);
}

/* ---- softmax loss -------------------------------------------------------------------------- */

__device__ static void add_instance(const struct ot_softmax_loss_geom *g, size_t i,
                                    const float *prob, const float *label, const float *weight,
                                    float *inst, struct share *s)
{
    const float l = label[i];
    float loss = 0.0f, focal = 1.0f;
    int64_t k = -1;

    if (!ot_label_ignored(g, l)) {
        k = ot_label_class(l, g->c);
        s->valid += 1.0;
        if (k < 0)
            note_bad(i, l, s);
    }
    if (k >= 0) {
        float p = prob[(i / g->inner * g->c + (size_t)k) * g->inner + i % g->inner];

        loss = ot_instance_loss(p);
        focal = ot_focal_weight(g->focal, p);
    }
    if (inst)
        inst[i] = loss;
    s->sum += (double)(weight ? weight[i] : 1.0f) * (double)focal * (double)loss;
}

/* Softmax, instance losses and partial sums in one pass over the scores. */
__global__ static void loss_rows(const __grid_constant__ struct ot_softmax_loss_geom g,
                                 const float *x, const float *label, const float *weight,
                                 float *prob, float *inst, struct share *part)
{
    const size_t warps = (size_t)gridDim.x * (blockDim.x / OT_WARP);
    const unsigned lane = threadIdx.x % OT_WARP;
    struct share s = { 0.0, 0.0, ~0ull };
    size_t r = (size_t)blockIdx.x * (blockDim.x / OT_WARP) + threadIdx.x / OT_WARP;

    for (; r < g.outer; r += warps) {
        softmax_row(g.c, lane, x + r * g.c, prob + r * g.c);
        __syncwarp(); /* lane 0 reads what another lane wrote */
        if (lane == 0)
            add_instance(&g, r, prob, label, weight, inst, &s);
    }
    leave_share(s, part);
}

__global__ static void loss_columns(const __grid_constant__ struct ot_softmax_loss_geom g,
                                    const float *x, const float *label, const float *weight,
                                    float *prob, float *inst, struct share *part)
{
    struct share s = { 0.0, 0.0, ~0ull };

    OT_EACH (i, g.outer * g.inner) {
        size_t at = i / g.inner * g.c * g.inner + i % g.inner;

        softmax_column(g.c, g.inner, x + at, prob + at);
        add_instance(&g, i, prob, label, weight, inst, &s);
    }
    leave_share(s, part);
}

extern "C" void ot_cuda_softmax_loss_fwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                                         const float *x, const float *label, const float *weight,
                                         float *prob, float *inst, struct ot_loss_stats *stats,
                                         float *loss)
{
    const size_t threads = g->outer * g->inner * (g->inner == 1 ? OT_WARP : 1);
    const unsigned blocks = ot_grid(threads, PARTS);
    struct share *part = (struct share *)ot_cuda_room(dev, PARTS * sizeof *part);

    if (!part)
        return;
    if (g->inner == 1)
        OT_LAUNCH(dev, loss_rows, blocks, OT_THREADS, *g, x, label, weight, prob, inst, part);
    else
        OT_LAUNCH(dev, loss_columns, blocks, OT_THREADS, *g, x, label, weight, prob, inst, part);
    OT_LAUNCH(dev, loss_total, 1, OT_THREADS, *g, blocks, part, stats, loss);
}

__global__ static void loss_bwd(const __grid_constant__ struct ot_softmax_loss_geom g, size_t n,
                                const float *prob, const float *label, const float *weight,
                                const struct ot_loss_stats *stats, const float *dloss, float *dx)
{
    const float scale = (float)((double)dloss[0] / stats->norm);

    OT_EACH (at, n) {
        const size_t k = at / g.inner % g.c, i = at / (g.inner * g.c) * g.inner + at % g.inner;
        const float l = label[i];
        const int64_t own = ot_label_ignored(&g, l) ? -1 : ot_label_class(l, g.c);
        const float p = prob[at];
        float w = scale * (weight ? weight[i] : 1.0f);

        if (own >= 0 && g.focal > 0.0f)
            w *= ot_focal_slope(g.focal, prob[at + ((size_t)own - k) * g.inner]);
        dx[at] = own < 0 ? 0.0f : (own == (int64_t)k ? p - 1.0f : p) * w;
    }
}

extern "C" void ot_cuda_softmax_loss_bwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                                         const float *prob, const float *label, const float *weight,
                                         const struct ot_loss_stats *stats, const float *dloss,
                                         float *dx)
{
    const size_t n = g->outer * g->c * g->inner;

    if (n)
        OT_LAUNCH(dev, loss_bwd, ot_grid(n), OT_THREADS, *g, n, prob, label, weight, stats, dloss,
                  dx);
}

/* ---- smooth L1 ----------------------------------------------------------------------------- */

__global__ static void smooth_l1_parts(size_t n, float sigma2, const float *x, const float *t,
                                       const float *w_in, const float *w_out, double *part)
{
    double sum = 0.0;

    OT_EACH (i, n) {
        float d = w_in ? w_in[i] * (x[i] - t[i]) : x[i] - t[i];
        float f = ot_smooth_l1(d, sigma2);

        sum += (double)(w_out ? w_out[i] * f : f);
    }
    sum = ot_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

__global__ static void smooth_l1_total(unsigned parts, const double *part, float num, float *loss)
{
    double sum = 0.0;

    for (unsigned i = threadIdx.x; i < parts; i += blockDim.x)
        sum += part[i];
    sum = ot_block_sum(sum);
    if (threadIdx.x == 0)
        loss[0] = (float)(sum / (double)num);
}

extern "C" void ot_cuda_smooth_l1_fwd(struct ot_dev *dev, size_t n, float sigma, float num,
                                      const float *x, const float *t, const float *w_in,
                                      const float *w_out, float *loss)
{
    const unsigned blocks = ot_grid(n, PARTS);
    double *part = (double *)ot_cuda_room(dev, PARTS * sizeof *part);

    if (!part)
        return;
    OT_LAUNCH(dev, smooth_l1_parts, blocks, OT_THREADS, n, sigma * sigma, x, t, w_in, w_out, part);
    OT_LAUNCH(dev, smooth_l1_total, 1, OT_THREADS, blocks, part, num, loss);
}

__global__ static void smooth_l1_bwd(size_t n, float sigma2, float num, float sign, bool chain,
                                     const float *x, const float *t, const float *w_in,
                                     const float *w_out, const float *dloss, float *dx)
{
    const float scale = sign * dloss[0] / num;

    OT_EACH (i, n) {
        float wi = w_in ? w_in[i] : 1.0f, wo = w_out ? w_out[i] : 1.0f;

        dx[i] = scale * (chain ? wi : 1.0f) * wo * ot_smooth_l1_grad(wi * (x[i] - t[i]), sigma2);
    }
}

extern "C" void ot_cuda_smooth_l1_bwd(struct ot_dev *dev, size_t n, float sigma, float num,
                                      float sign, bool chain, const float *x, const float *t,
                                      const float *w_in, const float *w_out, const float *dloss,
                                      float *dx)
{
    if (n)
        OT_LAUNCH(dev, smooth_l1_bwd, ot_grid(n), OT_THREADS, n, sigma * sigma, num, sign, chain, x,
                  t, w_in, w_out, dloss, dx);
}

__global__ static void smooth_l1_inst(size_t n, size_t c, size_t inner, float sigma2,
                                      const float *x, const float *t, const float *w, float *inst)
{
    OT_EACH (i, n) {
        const size_t at = i / inner * c * inner + i % inner;

        inst[i] = ot_smooth_l1_inst(c, inner, sigma2, x + at, t + at, w ? w + at : NULL);
    }
}

extern "C" void ot_cuda_smooth_l1_inst(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                       float sigma, const float *x, const float *t, const float *w,
                                       float *inst)
{
    const size_t n = outer * inner;

    if (n)
        OT_LAUNCH(dev, smooth_l1_inst, ot_grid(n), OT_THREADS, n, c, inner, sigma * sigma, x, t, w,
                  inst);
}

/* ---- accuracy ------------------------------------------------------------------------------ */

/* Whether fewer than top_k other classes score at least as high as class k. */
__device__ static bool is_right(size_t c, size_t inner, int top_k, const float *x, size_t k)
{
    const float own = x[k * inner];
    int better = -1; /* class k itself is found too */

    for (size_t j = 0; j < c; j++)
        better += x[j * inner] >= own;
    return better < top_k;
}

/* count[k]: instances of class k; count[c + k]: those that are right. */
__global__ static void count_right(const __grid_constant__ struct ot_softmax_loss_geom g, int top_k,
                                   const float *x, const float *label, unsigned long long *bad,
                                   unsigned long long *count)
{
    OT_EACH (i, g.outer * g.inner) {
        const float l = label[i];
        const int64_t k = ot_label_class(l, g.c);

        if (ot_label_ignored(&g, l))
            continue;
        if (k < 0) {
            ot_fault(bad, i, l);
            continue;
        }
        atomicAdd(&count[k], 1ull);
        if (is_right(g.c, g.inner, top_k, x + i / g.inner * g.c * g.inner + i % g.inner, (size_t)k))
            atomicAdd(&count[g.c + (size_t)k], 1ull);
    }
}

__global__ static void rate_right(size_t c, const unsigned long long *count, float *acc,
                                  float *per_class)
{
    unsigned long long all = 0, right = 0;

    for (size_t k = threadIdx.x; k < c; k += blockDim.x) {
        unsigned long long n = count[k], r = count[c + k];

        all += n;
        right += r;
        if (per_class)
            per_class[k] = n ? (float)((double)r / (double)n) : 0.0f;
    }
    all = ot_block_sum(all);
    right = ot_block_sum(right);
    if (threadIdx.x == 0)
        acc[0] = all ? (float)((double)right / (double)all) : 0.0f;
}

extern "C" void ot_cuda_accuracy(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                 int top_k, bool has_ignore, int ignore, const float *x,
                                 const float *label, float *acc, float *per_class)
{
    const size_t bytes = 2 * c * sizeof(unsigned long long);
    unsigned long long *count = (unsigned long long *)ot_cuda_room(dev, bytes);
    unsigned long long *bad = ot_cuda_fault(dev, OT_FAULT_LABEL, (double)c);
    struct ot_softmax_loss_geom g = {};

    if (!count)
        return;
    g.outer = outer;
    g.c = c;
    g.inner = inner;
    g.has_ignore = has_ignore;
    g.ignore_label = ignore;
    ot_cuda_zero(dev, count, bytes);
    OT_LAUNCH(dev, count_right, ot_grid(outer * inner), OT_THREADS, g, top_k, x, label, bad, count);
    OT_LAUNCH(dev, rate_right, 1, OT_THREADS, c, count, acc, per_class);
}
