/*
 * loss.cu - the softmax loss's way back, smooth L1, accuracy.
 *
 * Scores are (outer, c, inner), walked as softmax.cu walks them: a warp or a part of one to a row,
 * a thread to 1 or 4 neighbouring columns.
 */
#include "cuda/loss_share.h"
#include "layers/smooth_l1_math.h"

/* ---- softmax loss, backward ---------------------------------------------------------------- */

/* What an instance's probabilities become gradients with. */
struct pull {
    int own; /* the class; -1: no gradient */
    float w;
};

__device__ __forceinline__ static struct pull pull_of(const struct ot_softmax_loss_geom &g,
                                                      const float *prob, float label, float w)
{
    struct pull p = { ot_label_ignored(&g, label) ? -1 : (int)ot_label_class(label, g.c), w };

    if (p.own >= 0 && g.focal > 0.0f)
        p.w *= ot_focal_slope(g.focal, prob[(size_t)p.own * g.inner]);
    return p;
}

__device__ __forceinline__ static float pull_by(const struct pull &p, size_t k, float prob)
{
    return p.own < 0 ? 0.0f : ((size_t)p.own == k ? prob - 1.0f : prob) * p.w;
}

/* W lanes take a row, V neighbours at a time. */
template <unsigned W, unsigned V>
__global__ static void __launch_bounds__(OT_THREADS)
    loss_rows_bwd(const __grid_constant__ struct ot_softmax_loss_geom g,
                  const float *__restrict__ prob, const float *__restrict__ label,
                  const float *__restrict__ weight, const struct ot_loss_stats *stats,
                  const float *dloss, float *__restrict__ dx)
{
    const float scale = (float)((double)dloss[0] / stats->norm);
    const size_t step = (size_t)gridDim.x * (OT_THREADS / W);
    size_t r = (size_t)blockIdx.x * (OT_THREADS / W) + threadIdx.x / W;

    for (; r < g.outer; r += step) {
        const float *row = prob + r * g.c;
        const struct pull p = pull_of(g, row, label[r], scale * (weight ? weight[r] : 1.0f));

        for (size_t at = (size_t)(threadIdx.x % W) * V; at < g.c; at += W * V) {
            float v[V];

            ot_load<V>(row + at, v);
            OT_UNROLL
            for (unsigned i = 0; i < V; i++)
                v[i] = pull_by(p, at + i, v[i]);
            ot_store<V>(dx + r * g.c + at, v);
        }
    }
}

constexpr unsigned AHEAD = 8; /* classes under way at once */

/* V columns of instances [i, i + V), every `slices`-th class from `from` on. */
template <unsigned V>
__device__ __forceinline__ static void columns_bwd(const struct ot_softmax_loss_geom &g,
                                                   size_t from, size_t slices, const float *prob,
                                                   const struct pull *p, float *dx)
{
    for (size_t c = from; c < g.c; c += AHEAD * slices) {
        float v[AHEAD][V];

        OT_UNROLL
        for (unsigned u = 0; u < AHEAD; u++)
            if (c + u * slices < g.c)
                ot_load<V>(prob + (c + u * slices) * g.inner, v[u]);
        OT_UNROLL
        for (unsigned u = 0; u < AHEAD; u++)
            if (c + u * slices < g.c) {
                OT_UNROLL
                for (unsigned i = 0; i < V; i++)
                    v[u][i] = pull_by(p[i], c + u * slices, v[u][i]);
                ot_store<V>(dx + (c + u * slices) * g.inner, v[u]);
            }
    }
}

/* A thread takes V columns and one of `slices` shares of the classes, which are blockIdx.y. */
template <unsigned V>
__global__ static void __launch_bounds__(OT_THREADS)
    loss_columns_bwd(const __grid_constant__ struct ot_softmax_loss_geom g, const float *prob,
                     const float *label, const float *weight, const struct ot_loss_stats *stats,
                     const float *dloss, float *dx)
{
    const float scale = (float)((double)dloss[0] / stats->norm);
    const size_t each = g.inner / V;

    OT_EACH (n, g.outer * each) {
        const size_t o = n / each, j = (n - o * each) * V, at = o * g.c * g.inner + j;
        float l[V], w[V];
        struct pull p[V];

        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            w[i] = 1.0f;
        ot_load<V>(label + o * g.inner + j, l);
        if (weight)
            ot_load<V>(weight + o * g.inner + j, w);
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            p[i] = pull_of(g, prob + at + i, l[i], scale * w[i]);
        columns_bwd<V>(g, blockIdx.y, gridDim.y, prob + at, p, dx + at);
    }
}

struct backward { /* of the launch */
    const float *prob, *label, *weight;
    const struct ot_loss_stats *stats;
    const float *dloss;
    float *dx;
};

template <unsigned W, unsigned V>
static void run_rows(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                     const struct backward *b)
{
    OT_LAUNCH(dev, (loss_rows_bwd<W, V>), ot_grid(g->outer * W), OT_THREADS, *g, b->prob, b->label,
              b->weight, b->stats, b->dloss, b->dx);
}

template <unsigned V>
static void run_columns(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                        const struct backward *b)
{
    OT_LAUNCH(dev, loss_columns_bwd<V>, dim3(ot_grid(g->outer * (g->inner / V)), g->c > 64 ? 8 : 1),
              OT_THREADS, *g, b->prob, b->label, b->weight, b->stats, b->dloss, b->dx);
}

extern "C" void ot_cuda_softmax_loss_bwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                                         const float *prob, const float *label, const float *weight,
                                         const struct ot_loss_stats *stats, const float *dloss,
                                         float *dx)
{
    const struct backward b = { prob, label, weight, stats, dloss, dx };
    const bool rows = g->inner == 1;
    const bool wide = (rows ? g->c : g->inner) % 4 == 0 && ot_aligned(prob) && ot_aligned(dx) &&
                      (rows || (ot_aligned(label) && ot_aligned(weight)));

    if (g->outer * g->c * g->inner == 0)
        return;
    if (rows && g->c <= 8)
        run_rows<8, 1>(dev, g, &b);
    else if (rows)
        (wide ? run_rows<32, 4> : run_rows<32, 1>)(dev, g, &b);
    else
        (wide ? run_columns<4> : run_columns<1>)(dev, g, &b);
}

/* ---- smooth L1 ----------------------------------------------------------------------------- */

struct smooth { /* w_in, w_out may be NULL */
    const float *x, *t, *w_in, *w_out;
    float sigma2;
};

/* V values from i on, the weights 1 where there are none. */
template <unsigned V> struct four_of {
    float x[V], t[V], in[V], out[V];
};

template <unsigned V>
__device__ __forceinline__ static void smooth_load(const struct smooth &a, size_t i,
                                                   struct four_of<V> *v)
{
    ot_load<V>(a.x + i, v->x);
    ot_load<V>(a.t + i, v->t);
    OT_UNROLL
    for (unsigned k = 0; k < V; k++)
        v->in[k] = v->out[k] = 1.0f;
    if (a.w_in)
        ot_load<V>(a.w_in + i, v->in);
    if (a.w_out)
        ot_load<V>(a.w_out + i, v->out);
}

template <unsigned V>
__device__ __forceinline__ static double smooth_sum(const struct smooth &a, size_t i)
{
    struct four_of<V> v;
    double sum = 0.0;

    smooth_load<V>(a, i, &v);
    OT_UNROLL
    for (unsigned k = 0; k < V; k++)
        sum += (double)(v.out[k] * ot_smooth_l1(v.in[k] * (v.x[k] - v.t[k]), a.sigma2));
    return sum;
}

/* `wide`: how many fours come first. */
__global__ static void __launch_bounds__(OT_THREADS)
    smooth_l1_fwd(size_t n, size_t wide, const __grid_constant__ struct smooth a, float num,
                  struct ot_sums *part, unsigned *arrived, float *loss)
{
    struct ot_sums s = { 0.0, 0.0 };

    OT_EACH (i, wide)
        s.a += smooth_sum<4>(a, 4 * i);
    OT_EACH (i, n - 4 * wide)
        s.a += smooth_sum<1>(a, 4 * wide + i);
    if (ot_grid_sum(&s, part, arrived) && threadIdx.x == 0)
        loss[0] = (float)(s.a / (double)num);
}

static size_t fours(size_t n, const struct smooth *a, const float *dx)
{
    return ot_aligned(a->x) && ot_aligned(a->t) && ot_aligned(a->w_in) && ot_aligned(a->w_out) &&
                   ot_aligned(dx)
               ? n / 4
               : 0;
}

extern "C" void ot_cuda_smooth_l1_fwd(struct ot_dev *dev, size_t n, float sigma, float num,
                                      const float *x, const float *t, const float *w_in,
                                      const float *w_out, float *loss)
{
    const struct smooth a = { x, t, w_in, w_out, sigma * sigma };
    const size_t wide = fours(n, &a, NULL);
    struct ot_sums *part = (struct ot_sums *)ot_cuda_room(dev, OT_LOSS_PARTS * sizeof *part);

    if (part)
        OT_LAUNCH(dev, smooth_l1_fwd, ot_grid(wide ? wide : n, OT_LOSS_PARTS), OT_THREADS, n, wide,
                  a, num, part, ot_cuda_arrived(dev), loss);
}

template <unsigned V>
__device__ __forceinline__ static void smooth_grad(const struct smooth &a, float scale, bool chain,
                                                   size_t i, float *dx)
{
    struct four_of<V> v;

    smooth_load<V>(a, i, &v);
    OT_UNROLL
    for (unsigned k = 0; k < V; k++)
        v.x[k] = scale * (chain ? v.in[k] : 1.0f) * v.out[k] *
                 ot_smooth_l1_grad(v.in[k] * (v.x[k] - v.t[k]), a.sigma2);
    ot_store<V>(dx + i, v.x);
}

__global__ static void __launch_bounds__(OT_THREADS)
    smooth_l1_bwd(size_t n, size_t wide, const __grid_constant__ struct smooth a, float num,
                  float sign, bool chain, const float *dloss, float *dx)
{
    const float scale = sign * dloss[0] / num;

    OT_EACH (i, wide)
        smooth_grad<4>(a, scale, chain, 4 * i, dx);
    OT_EACH (i, n - 4 * wide)
        smooth_grad<1>(a, scale, chain, 4 * wide + i, dx);
}

extern "C" void ot_cuda_smooth_l1_bwd(struct ot_dev *dev, size_t n, float sigma, float num,
                                      float sign, bool chain, const float *x, const float *t,
                                      const float *w_in, const float *w_out, const float *dloss,
                                      float *dx)
{
    const struct smooth a = { x, t, w_in, w_out, sigma * sigma };
    const size_t wide = fours(n, &a, dx);

    if (n)
        OT_LAUNCH(dev, smooth_l1_bwd, ot_grid(wide ? wide : n), OT_THREADS, n, wide, a, num, sign,
                  chain, dloss, dx);
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

/* Classes whose counts a block keeps in shared memory. */
constexpr unsigned HERE = 1024;

struct counts { /* of the whole grid: of class k, and those of them that are right */
    unsigned long long *all, *right;
    unsigned long long *bad;
    unsigned *arrived;
    float *acc, *per_class;
};

/* How many of every `step`-th class from `from` on score at least `own`. */
__device__ static int as_good(size_t c, size_t inner, const float *x, size_t from, size_t step,
                              float own)
{
    int better = 0;

    for (size_t j = from; j < c; j += step)
        better += x[j * inner] >= own;
    return better;
}

/* Counts instance i; right: fewer than top_k other classes score at least as high as its own. */
__device__ static void count_column(const struct ot_softmax_loss_geom &g, int top_k, size_t i,
                                    const float *x, const float *label, const struct counts &n,
                                    unsigned *here)
{
    const size_t at = i / g.inner * g.c * g.inner + i % g.inner;
    const float l = label[i];
    const int64_t k = ot_label_class(l, g.c);
    bool right;

    if (ot_label_ignored(&g, l))
        return;
    if (k < 0) {
        ot_fault(n.bad, i, l);
        return;
    }
    right = as_good(g.c, g.inner, x + at, 0, 1, x[at + (size_t)k * g.inner]) - 1 < top_k;
    if (g.c <= HERE) {
        atomicAdd(&here[k], 1u);
        atomicAdd(&here[HERE + k], (unsigned)right);
    } else {
        atomicAdd(&n.all[k], 1ull);
        atomicAdd(&n.right[k], (unsigned long long)right);
    }
}

/* A warp takes row r of a classifier. */
__device__ static void count_row(const struct ot_softmax_loss_geom &g, int top_k, size_t r,
                                 const float *x, const float *label, const struct counts &n)
{
    const float l = label[r];
    const int64_t k = ot_label_class(l, g.c);
    int better = 0;

    if (ot_label_ignored(&g, l))
        return;
    if (k >= 0)
        better = as_good(g.c, 1, x + r * g.c, threadIdx.x % OT_WARP, OT_WARP,
                         x[r * g.c + (size_t)k]);
    better = ot_warp_sum(better);
    if (threadIdx.x % OT_WARP != 0)
        return;
    if (k < 0) {
        ot_fault(n.bad, r, l);
        return;
    }
    atomicAdd(&n.all[k], 1ull);
    atomicAdd(&n.right[k], (unsigned long long)(better - 1 < top_k));
}

/* The shares of right ones, by the last block. */
__device__ static void rate(size_t c, const struct counts &n)
{
    const volatile unsigned long long *of = n.all, *good = n.right;
    unsigned long long all = 0, right = 0;

    for (size_t k = threadIdx.x; k < c; k += blockDim.x) {
        const unsigned long long m = of[k], r = good[k];

        all += m;
        right += r;
        if (n.per_class)
            n.per_class[k] = m ? (float)((double)r / (double)m) : 0.0f;
    }
    all = ot_block_sum(all);
    right = ot_block_sum(right);
    if (threadIdx.x == 0)
        n.acc[0] = all ? (float)((double)right / (double)all) : 0.0f;
}

__global__ static void __launch_bounds__(OT_THREADS)
    accuracy(const __grid_constant__ struct ot_softmax_loss_geom g, int top_k, const float *x,
             const float *label, const __grid_constant__ struct counts n)
{
    __shared__ unsigned here[2 * HERE];
    __shared__ bool last;
    const unsigned warps = OT_THREADS / OT_WARP;

    for (unsigned k = threadIdx.x; k < 2 * HERE; k += blockDim.x)
        here[k] = 0;
    __syncthreads();
    if (g.inner == 1)
        for (size_t r = (size_t)blockIdx.x * warps + threadIdx.x / OT_WARP; r < g.outer;
             r += (size_t)gridDim.x * warps)
            count_row(g, top_k, r, x, label, n);
    else
        OT_EACH (i, g.outer * g.inner)
            count_column(g, top_k, i, x, label, n, here);
    __syncthreads();
    for (unsigned k = threadIdx.x; g.inner > 1 && k < g.c && k < HERE; k += blockDim.x) {
        if (here[k])
            atomicAdd(&n.all[k], (unsigned long long)here[k]);
        if (here[HERE + k])
            atomicAdd(&n.right[k], (unsigned long long)here[HERE + k]);
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicInc(n.arrived, gridDim.x - 1) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (last)
        rate(g.c, n);
}

extern "C" void ot_cuda_accuracy(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                 int top_k, bool has_ignore, int ignore, const float *x,
                                 const float *label, float *acc, float *per_class)
{
    const size_t bytes = 2 * c * sizeof(unsigned long long);
    unsigned long long *all = (unsigned long long *)ot_cuda_room(dev, bytes);
    const struct counts n = { all,
                              all ? all + c : NULL,
                              ot_cuda_fault(dev, OT_FAULT_LABEL, (double)c),
                              ot_cuda_arrived(dev),
                              acc,
                              per_class };
    struct ot_softmax_loss_geom g = {};

    if (!all)
        return;
    g.outer = outer;
    g.c = c;
    g.inner = inner;
    g.has_ignore = has_ignore;
    g.ignore_label = ignore;
    ot_cuda_zero(dev, all, bytes);
    OT_LAUNCH(dev, accuracy, ot_grid(outer * inner * (inner == 1 ? OT_WARP : 1), 1024), OT_THREADS,
              g, top_k, x, label, n);
}
