/*
 * softmax.cu - softmax, and its loss in the same launch: scores in; probabilities, instance
 * losses, their sum, count and norm out.
 *
 * Scores are (outer, c, inner).  Memory is what it costs, so scores are read once and
 * probabilities written once, 16 bytes at a time where sizes and addresses allow it:
 *
 *   rows (inner 1)     a warp, or a part of one, takes a row and keeps it in registers; a row of
 *                      more than ROW classes takes a block and a second read
 *   columns (inner >1) a thread takes 1, 2 or 4 neighbouring columns and keeps them in registers;
 *                      of more than COLUMN classes a warp takes 32 columns and an eighth of the
 *                      classes, and reads twice
 *
 * NaN in a row or column makes it NaN, infinity too.  The maximum begins at -infinity, which
 * also fills places without a class: e^-infinity is 0.
 */
#include "cuda/loss_share.h"

constexpr unsigned ROW = 1024, COLUMN = 64, SLICES = 8, AHEAD = 4, COLUMN_THREADS = 128;

/* The loss's side of the launch; label NULL: softmax alone. */
struct loss_side {
    const float *label, *weight;
    float *inst;
    struct ot_loss_out out;
};

/* The losses of instances [i, i + V): class k (or -1) has probability p. */
template <unsigned V>
__device__ __forceinline__ static void
add_instances(const struct ot_softmax_loss_geom &g, const struct loss_side &side, size_t i,
              const int *k, const float *p, struct ot_sums *s)
{
    float loss[V], weight[V];

    OT_UNROLL
    for (unsigned v = 0; v < V; v++)
        weight[v] = 1.0f;
    if (side.weight)
        ot_load<V>(side.weight + i, weight);
    OT_UNROLL
    for (unsigned v = 0; v < V; v++) {
        const float focal = k[v] < 0 ? 1.0f : ot_focal_weight(g.focal, p[v]);

        loss[v] = k[v] < 0 ? 0.0f : ot_instance_loss(p[v]);
        s->a += (double)weight[v] * (double)focal * (double)loss[v];
    }
    if (side.inst)
        ot_store<V>(side.inst + i, loss);
}

/* ---- sums of exponentials whose maximum is not known yet ------------------------------------ */

struct online {
    float top, sum; /* sum of e^(x - top) */
};

__device__ __forceinline__ static void online_add(struct online *o, float x)
{
    if (x > o->top) {
        o->sum = o->sum * ot_expf(o->top - x) + (1.0f + (x - x)); /* NaN for infinity */
        o->top = x;
    } else {
        o->sum += ot_expf(x - o->top);
    }
}

/* The same bits whichever is called a. */
__device__ __forceinline__ static struct online online_join(struct online a, struct online b)
{
    const float top = a.top > b.top ? a.top : b.top;

    a.sum *= a.top == top ? 1.0f : ot_expf(a.top - top); /* of nothing both are -infinity */
    b.sum *= b.top == top ? 1.0f : ot_expf(b.top - top);
    return { top, a.sum + b.sum };
}

/* ---- rows ----------------------------------------------------------------------------------- */

__device__ __forceinline__ static float lanes_max(float v, unsigned width)
{
    for (unsigned d = width / 2; d > 0; d /= 2) {
        const float o = __shfl_xor_sync(0xffffffffu, v, (int)d);

        v = o > v ? o : v;
    }
    return v;
}

/* W lanes take a row of at most W V L classes, each L times V neighbours. */
template <unsigned W, unsigned V, unsigned L>
__global__ static void __launch_bounds__(OT_THREADS)
    softmax_rows(const __grid_constant__ struct ot_softmax_loss_geom g,
                 const __grid_constant__ struct loss_side side, const float *x, float *prob)
{
    const unsigned lane = threadIdx.x % W, rows = OT_THREADS / W;
    struct ot_sums s = { 0.0, 0.0 };

    for (size_t from = (size_t)blockIdx.x * rows; from < g.outer;
         from += (size_t)gridDim.x * rows) {
        const size_t r = from + threadIdx.x / W;
        const float *row = x + r * g.c;
        float e[L][V], top = -INFINITY, sum = 0.0f, own = 0.0f;
        int k = -1;

        OT_UNROLL
        for (unsigned l = 0; l < L; l++) {
            const unsigned at = (l * W + lane) * V;

            OT_UNROLL
            for (unsigned v = 0; v < V; v++)
                e[l][v] = -INFINITY;
            if (r < g.outer && at < g.c)
                ot_load<V>(row + at, e[l]);
        }
        if (side.label && r < g.outer && lane == 0) {
            k = ot_loss_class(g, side.out, r, side.label[r], &s);
            own = k < 0 ? 0.0f : row[k];
        }
        OT_UNROLL
        for (unsigned i = 0; i < L * V; i++)
            top = e[i / V][i % V] > top ? e[i / V][i % V] : top;
        top = lanes_max(top, W);
        OT_UNROLL
        for (unsigned i = 0; i < L * V; i++) {
            e[i / V][i % V] = ot_expf(e[i / V][i % V] - top);
            sum += e[i / V][i % V];
        }
        sum = 1.0f / ot_warp_sum(sum, W);
        OT_UNROLL
        for (unsigned l = 0; l < L; l++) {
            const unsigned at = (l * W + lane) * V;

            OT_UNROLL
            for (unsigned v = 0; v < V; v++)
                e[l][v] *= sum;
            if (r < g.outer && at < g.c)
                ot_store<V>(prob + r * g.c + at, e[l]);
        }
        if (side.label && r < g.outer && lane == 0) {
            own = ot_expf(own - top) * sum;
            add_instances<1>(g, side, r, &k, &own, &s);
        }
    }
    if (side.label)
        ot_loss_finish(g, side.out, s);
}

/* The exponentials of a row by a block: the same in every thread. */
template <unsigned V> __device__ static struct online sum_row(size_t c, const float *row)
{
    __shared__ struct online part[OT_WARP];
    const unsigned lane = threadIdx.x % OT_WARP;
    struct online o = { -INFINITY, 0.0f };

    for (size_t at = (size_t)threadIdx.x * V; at < c; at += (size_t)blockDim.x * V) {
        float v[V];

        ot_load<V>(row + at, v);
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            online_add(&o, v[i]);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned d = OT_WARP / 2; d > 0; d /= 2) {
            struct online other;

            other.top = __shfl_xor_sync(0xffffffffu, o.top, (int)d);
            other.sum = __shfl_xor_sync(0xffffffffu, o.sum, (int)d);
            o = online_join(o, other);
        }
        if (round == 0) {
            if (lane == 0)
                part[threadIdx.x / OT_WARP] = o;
            __syncthreads();
            o = { -INFINITY, 0.0f };
            if (lane < blockDim.x / OT_WARP)
                o = part[lane];
            __syncthreads();
        }
    }
    return o;
}

/* A block takes a row of any length. */
template <unsigned V>
__global__ static void __launch_bounds__(OT_BLOCK)
    softmax_long_rows(const __grid_constant__ struct ot_softmax_loss_geom g,
                      const __grid_constant__ struct loss_side side, const float *x, float *prob)
{
    struct ot_sums s = { 0.0, 0.0 };

    for (size_t r = blockIdx.x; r < g.outer; r += gridDim.x) {
        const float *row = x + r * g.c;
        const struct online o = sum_row<V>(g.c, row);
        const float scale = 1.0f / o.sum;

        if (side.label && threadIdx.x == 0) {
            const int k = ot_loss_class(g, side.out, r, side.label[r], &s);

            const float p = k < 0 ? 0.0f : ot_expf(row[k] - o.top) * scale;

            add_instances<1>(g, side, r, &k, &p, &s);
        }
        for (size_t at = (size_t)threadIdx.x * V; at < g.c; at += (size_t)blockDim.x * V) {
            float v[V];

            ot_load<V>(row + at, v);
            OT_UNROLL
            for (unsigned i = 0; i < V; i++)
                v[i] = ot_expf(v[i] - o.top) * scale;
            ot_store<V>(prob + r * g.c + at, v);
        }
    }
    if (side.label)
        ot_loss_finish(g, side.out, s);
}

/* ---- columns -------------------------------------------------------------------------------- */

/* V columns of at most C classes, `inner` apart. */
template <unsigned C, unsigned V>
__device__ __forceinline__ static void
softmax_columns_at(const struct ot_softmax_loss_geom &g, const struct loss_side &side, size_t i,
                   const float *x, float *prob, struct ot_sums *s)
{
    float e[C][V], top[V], sum[V], own[V], label[V];
    int k[V];
    const float *from = x;
    const unsigned classes = (unsigned)g.c;

    OT_UNROLL
    for (unsigned c = 0; c < C; c++, from += g.inner)
        if (c < classes)
            ot_load<V>(from, e[c]);
    if (side.label)
        ot_load<V>(side.label + i, label);
    OT_UNROLL
    for (unsigned v = 0; v < V; v++) {
        top[v] = -INFINITY;
        sum[v] = own[v] = 0.0f;
        k[v] = side.label ? ot_loss_class(g, side.out, i + v, label[v], s) : -1;
        if (k[v] >= 0)
            own[v] = x[(size_t)k[v] * g.inner + v];
    }
    OT_UNROLL
    for (unsigned c = 0; c < C; c++)
        if (c < classes) {
            OT_UNROLL
            for (unsigned v = 0; v < V; v++)
                top[v] = e[c][v] > top[v] ? e[c][v] : top[v];
        }
    OT_UNROLL
    for (unsigned c = 0; c < C; c++)
        if (c < classes) {
            OT_UNROLL
            for (unsigned v = 0; v < V; v++) {
                e[c][v] = ot_expf(e[c][v] - top[v]);
                sum[v] += e[c][v];
            }
        }
    OT_UNROLL
    for (unsigned v = 0; v < V; v++)
        sum[v] = 1.0f / sum[v];
    OT_UNROLL
    for (unsigned c = 0; c < C; c++, prob += g.inner)
        if (c < classes) {
            OT_UNROLL
            for (unsigned v = 0; v < V; v++)
                e[c][v] *= sum[v];
            ot_store<V>(prob, e[c]);
        }
    if (!side.label)
        return;
    OT_UNROLL
    for (unsigned v = 0; v < V; v++)
        own[v] = ot_expf(own[v] - top[v]) * sum[v];
    add_instances<V>(g, side, i, k, own, s);
}

template <unsigned C, unsigned V>
__global__ static void __launch_bounds__(COLUMN_THREADS, C *V <= 84 ? 4 : 2)
    softmax_columns(const __grid_constant__ struct ot_softmax_loss_geom g,
                    const __grid_constant__ struct loss_side side, const float *x, float *prob)
{
    const size_t each = g.inner / V;
    struct ot_sums s = { 0.0, 0.0 };

    OT_EACH (i, g.outer * each) {
        const size_t o = i / each, j = (i - o * each) * V, at = o * g.c * g.inner + j;

        softmax_columns_at<C, V>(g, side, o * g.inner + j, x + at, prob + at, &s);
    }
    if (side.label)
        ot_loss_finish(g, side.out, s);
}

/* Every SLICES-th class from c on, several loads under way at once. */
__device__ __forceinline__ static void load_slice(const struct ot_softmax_loss_geom &g, size_t c,
                                                  const float *x, float v[AHEAD])
{
    OT_UNROLL
    for (unsigned u = 0; u < AHEAD; u++)
        v[u] = c + u * SLICES < g.c ? x[(c + u * SLICES) * g.inner] : 0.0f;
}

/* The exponentials of a column by SLICES threads, each with every SLICES-th class. */
__device__ static struct online sum_column(const struct ot_softmax_loss_geom &g, bool here,
                                           const float *x)
{
    __shared__ struct online part[SLICES][OT_WARP];
    const unsigned lane = threadIdx.x % OT_WARP, slice = threadIdx.x / OT_WARP;
    struct online o = { -INFINITY, 0.0f };

    for (size_t c = slice; here && c < g.c; c += SLICES * AHEAD) {
        float v[AHEAD];

        load_slice(g, c, x, v);
        OT_UNROLL
        for (unsigned u = 0; u < AHEAD; u++)
            if (c + u * SLICES < g.c)
                online_add(&o, v[u]);
    }
    part[slice][lane] = o;
    __syncthreads();
    o = part[0][lane];
    OT_UNROLL
    for (unsigned u = 1; u < SLICES; u++)
        o = online_join(o, part[u][lane]);
    __syncthreads();
    return o;
}

/* A block takes 32 columns of any number of classes. */
__global__ static void __launch_bounds__(SLICES *OT_WARP)
    softmax_tall_columns(const __grid_constant__ struct ot_softmax_loss_geom g,
                         const __grid_constant__ struct loss_side side, const float *x, float *prob)
{
    const unsigned lane = threadIdx.x % OT_WARP, slice = threadIdx.x / OT_WARP;
    const size_t tiles = (g.inner + OT_WARP - 1) / OT_WARP;
    struct ot_sums s = { 0.0, 0.0 };

    for (size_t t = blockIdx.x; t < g.outer * tiles; t += gridDim.x) {
        const size_t o = t / tiles, j = t % tiles * OT_WARP + lane, i = o * g.inner + j;
        const size_t at = o * g.c * g.inner + j;
        const bool here = j < g.inner;
        const struct online sum = sum_column(g, here, x + at);
        const float scale = 1.0f / sum.sum;

        if (side.label && here && slice == 0) {
            const int k = ot_loss_class(g, side.out, i, side.label[i], &s);
            const float own = k < 0 ? 0.0f : x[at + (size_t)k * g.inner];
            const float p = ot_expf(own - sum.top) * scale;

            add_instances<1>(g, side, i, &k, &p, &s);
        }
        for (size_t c = slice; here && c < g.c; c += SLICES * AHEAD) {
            float v[AHEAD];

            load_slice(g, c, x + at, v);
            OT_UNROLL
            for (unsigned u = 0; u < AHEAD; u++)
                if (c + u * SLICES < g.c)
                    prob[at + (c + u * SLICES) * g.inner] = ot_expf(v[u] - sum.top) * scale;
        }
    }
    if (side.label)
        ot_loss_finish(g, side.out, s);
}

/* ---- which of them -------------------------------------------------------------------------- */

template <unsigned W, unsigned V, unsigned L>
static void run_rows(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                     const struct loss_side *side, const float *x, float *prob)
{
    OT_LAUNCH(dev, (softmax_rows<W, V, L>), ot_grid(g->outer * W, OT_LOSS_PARTS), OT_THREADS, *g,
              *side, x, prob);
}

template <unsigned V>
static void run_long_rows(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                          const struct loss_side *side, const float *x, float *prob)
{
    const size_t blocks = g->outer < OT_LOSS_PARTS ? g->outer : OT_LOSS_PARTS;

    OT_LAUNCH(dev, softmax_long_rows<V>, (unsigned)(blocks ? blocks : 1), OT_BLOCK, *g, *side, x,
              prob);
}

template <unsigned C, unsigned V>
static void run_columns(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                        const struct loss_side *side, const float *x, float *prob)
{
    const size_t n = g->outer * (g->inner / V) * (OT_THREADS / COLUMN_THREADS);

    OT_LAUNCH(dev, (softmax_columns<C, V>), ot_grid(n, OT_LOSS_PARTS), COLUMN_THREADS, *g, *side, x,
              prob);
}

static void rows(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                 const struct loss_side *side, const float *x, float *prob)
{
    const bool wide = g->c % 4 == 0 && ot_aligned(x) && ot_aligned(prob);
    auto run = wide ? run_long_rows<4> : run_long_rows<1>;

    if (g->c <= 8)
        run = run_rows<8, 1, 1>;
    else if (g->c <= 16)
        run = run_rows<16, 1, 1>;
    else if (g->c <= 32)
        run = run_rows<32, 1, 1>;
    else if (g->c <= 128)
        run = wide ? run_rows<32, 4, 1> : run_rows<32, 1, 4>;
    else if (g->c <= 512)
        run = wide ? run_rows<32, 4, 4> : run_rows<32, 1, 16>;
    else if (g->c <= ROW)
        run = wide ? run_rows<32, 4, 8> : run_rows<32, 1, 32>;
    run(dev, g, side, x, prob);
}

static void columns(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                    const struct loss_side *side, const float *x, float *prob)
{
    const bool wide = g->inner % 4 == 0 && ot_aligned(x) && ot_aligned(prob) &&
                      ot_aligned(side->label) && ot_aligned(side->weight) && ot_aligned(side->inst);
    auto run = run_columns<COLUMN, 1>;

    if (g->c > COLUMN) {
        const size_t tiles = g->outer * ((g->inner + OT_WARP - 1) / OT_WARP);

        OT_LAUNCH(dev, softmax_tall_columns, ot_grid(tiles * OT_THREADS, OT_LOSS_PARTS),
                  SLICES * OT_WARP, *g, *side, x, prob);
        return;
    }
    if (g->c <= 4)
        run = wide ? run_columns<4, 4> : run_columns<4, 1>;
    else if (g->c <= 10)
        run = wide ? run_columns<10, 4> : run_columns<10, 1>;
    else if (g->c <= 21)
        run = wide ? run_columns<21, 4> : run_columns<21, 1>;
    else if (g->c <= 32)
        run = wide ? run_columns<32, 4> : run_columns<32, 1>;
    run(dev, g, side, x, prob);
}

extern "C" void ot_cuda_softmax_fwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                    const float *x, float *y)
{
    const struct loss_side none = {};
    struct ot_softmax_loss_geom g = {};

    g.outer = outer;
    g.c = c;
    g.inner = inner;
    if (outer * c * inner == 0)
        return;
    if (inner == 1)
        rows(dev, &g, &none, x, y);
    else
        columns(dev, &g, &none, x, y);
}

extern "C" void ot_cuda_softmax_loss_fwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                                         const float *x, const float *label, const float *weight,
                                         float *prob, float *inst, struct ot_loss_stats *stats,
                                         float *loss)
{
    struct loss_side side = { label, weight, inst, {} };

    if (!ot_loss_out_of(dev, g->c, stats, loss, &side.out))
        return;
    if (g->inner == 1)
        rows(dev, g, &side, x, prob);
    else
        columns(dev, g, &side, x, prob);
}

/* ---- softmax, backward ---------------------------------------------------------------------- */

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
        dot = ot_warp_sum(dot);
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
