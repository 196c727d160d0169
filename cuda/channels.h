/*
 * channels.h - maps and sums of arrays (outer, c, inner) with values of each channel.
 *
 * Channels last (block == c) the array is a matrix of rows; a thread has V channels of every k-th
 * row of its block, so that what belongs to the channels stays in registers and nothing is divided
 * in the loop.  A block is GROUPS x its rows: it reads runs of GROUPS * V channels.  Any other
 * order is done element by element.
 */
#ifndef OT_CUDA_CHANNELS_H
#define OT_CUDA_CHANNELS_H

#include "cuda/map.h"
#include "layers/channel_math.h"

constexpr unsigned OT_GROUPS = 32; /* vectors of channels side by side in a block, at most */

/* How threads lie over a matrix: block b has the vectors [b % across * OT_GROUPS ..) of the rows
 * [b / across * per_block ..); threads beyond groups * step have nothing to do. */
struct ot_rows {
    unsigned n, c;          /* rows and channels */
    unsigned across, parts; /* blocks beside and below each other */
    unsigned groups;        /* vectors across of a block */
    unsigned step;          /* rows that its threads have at once */
    unsigned per_block;     /* rows of a block */
};

/* For a loop over OT_ROWS: this thread's first channel, its rows and whether it has any. */
struct ot_place {
    unsigned group, first, c, from, end;
    bool works;
};

/* `each` rows or more for a thread, and no more than about `most` blocks. */
static inline struct ot_rows ot_rows_of(const struct ot_channels *g, unsigned v, size_t each,
                                        size_t most)
{
    const size_t n = g->outer * g->inner, vectors = g->c / v;
    const size_t across = (vectors + OT_GROUPS - 1) / OT_GROUPS;
    const size_t want = (n * across + most - 1) / most;
    struct ot_rows r;

    r.n = (unsigned)n;
    r.c = (unsigned)g->c;
    r.across = (unsigned)across;
    r.groups = (unsigned)(vectors < OT_GROUPS ? vectors : OT_GROUPS);
    r.step = OT_THREADS / r.groups;
    r.per_block = (unsigned)(want > each * r.step ? want : each * r.step);
    r.parts = (unsigned)((n + r.per_block - 1) / r.per_block);
    return r;
}

template <unsigned V> __device__ __forceinline__ static struct ot_place ot_place(const ot_rows &r)
{
    const unsigned column = blockIdx.x % r.across;
    struct ot_place p;

    p.group = threadIdx.x % r.groups;
    p.first = threadIdx.x / r.groups;
    p.c = (column * OT_GROUPS + p.group) * V;
    p.from = blockIdx.x / r.across * r.per_block;
    p.end = r.n - p.from < r.per_block ? r.n : p.from + r.per_block;
    p.works = p.c < r.c && p.first < r.step;
    return p;
}

/* The channel of physical element i, c or more for padding. */
__device__ __forceinline__ static uint32_t ot_channel_of(const struct ot_channels &g, size_t i)
{
    const uint32_t block = (uint32_t)g.block, row = (uint32_t)i / block;

    return row / (uint32_t)g.inner % (uint32_t)ot_channel_blocks(&g) * block + (uint32_t)i -
           row * block;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* Values of each channel; NULL: the one in `other`. */
template <int P> struct ot_params {
    const float *p[P];
    float other[P];
};

template <unsigned V, class T, int K, int P, class F>
__global__ static void ot_rows_map(const struct ot_rows r, const ot_inputs<T, K> in, T *y,
                                   const ot_params<P> params, const F f)
{
    const struct ot_place t = ot_place<V>(r);
    float p[P][V];

    if (!t.works)
        return;
    OT_UNROLL
    for (int k = 0; k < P; k++)
        OT_UNROLL
    for (unsigned j = 0; j < V; j++)
        p[k][j] = params.p[k] ? params.p[k][t.c + j] : params.other[k];
    for (unsigned row = t.from + t.first; row < t.end; row += r.step) {
        const size_t at = (size_t)row * r.c + t.c;
        float v[K][V], out[V];

        OT_UNROLL
        for (int k = 0; k < K; k++)
            ot_load<V>(in.x[k] + at, v[k]);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++) {
            float x[K], q[P];

            OT_UNROLL
            for (int k = 0; k < K; k++)
                x[k] = v[k][j];
            OT_UNROLL
            for (int k = 0; k < P; k++)
                q[k] = p[k][j];
            out[j] = f(x, q);
        }
        ot_store<V>(y + at, out);
    }
}

template <class T, int K, int P, class F>
__global__ static void ot_channel_map(const __grid_constant__ struct ot_channels g, size_t n,
                                      const ot_inputs<T, K> in, T *y, const ot_params<P> params,
                                      const F f)
{
    OT_EACH (i, n) {
        const uint32_t c = ot_channel_of(g, i);
        float x[K], p[P], v = 0.0f;

        if (c < g.c) {
            OT_UNROLL
            for (int k = 0; k < K; k++)
                x[k] = ot_get(in.x[k] + i);
            OT_UNROLL
            for (int k = 0; k < P; k++)
                p[k] = params.p[k] ? params.p[k][c] : params.other[k];
            v = f(x, p);
        }
        ot_put(y + i, v);
    }
}

/* y = f(x0, x1, .., values of the channel), 0 in padding; y may be one of the inputs. */
template <unsigned V, class T, int K, int P, class F>
static void ot_map_rows(struct ot_dev *dev, const struct ot_channels *g, const ot_inputs<T, K> &in,
                        T *y, const ot_params<P> &params, const F &f)
{
    const struct ot_rows r = ot_rows_of(g, V, 8, 1u << 16);

    OT_LAUNCH(dev, (ot_rows_map<V, T, K, P, F>), r.across * r.parts, OT_THREADS, r, in, y, params,
              f);
}

/* y = f(x0, x1, .., values of the channel), 0 in padding; y may be one of the inputs. */
template <class T, int K, int P, class F>
static void ot_map_channels(struct ot_dev *dev, const struct ot_channels *g,
                            const ot_inputs<T, K> &in, T *y, const ot_params<P> &params, const F &f)
{
    constexpr unsigned V = OT_LANES<T>;
    bool wide = g->c % V == 0 && ot_aligned(y);
    const size_t n = ot_channel_elems(g);

    for (int k = 0; k < K; k++)
        wide = wide && ot_aligned(in.x[k]);
    if (!n)
        return;
    if (g->block != g->c)
        OT_LAUNCH(dev, (ot_channel_map<T, K, P, F>), ot_grid(n), OT_THREADS, *g, n, in, y, params,
                  f);
    else if (wide)
        ot_map_rows<V>(dev, g, in, y, params, f);
    else
        ot_map_rows<1>(dev, g, in, y, params, f);
}

/* ---- sums -------------------------------------------------------------------------------------
 */

/*
 * Parts, then the parts in order: the same bits on every run.  Term::of(a, b, t) gives the terms of
 * one element to Term::sums sums, b only where Term::two; part p of sum s of channel c (padding
 * included) goes to part[(s * parts + p) * channels + c].
 *
 * fp32 is added in double.  bf16, whose products are exact in fp32, in fp32 four by four and these
 * in double: a GPU converts to double much slower than it reads.
 */
template <class T> struct ot_summing {
    typedef double unit;
    static constexpr unsigned run = 1;
};

template <> struct ot_summing<struct ot_bf16> {
    typedef float unit;
    static constexpr unsigned run = 4;
};

template <unsigned V, class Term, class T>
__device__ __forceinline__ static void ot_add_run(const struct ot_rows &r, const struct ot_place &t,
                                                  unsigned row, const T *a, const T *b,
                                                  double sum[Term::sums][V])
{
    typedef typename ot_summing<T>::unit U;
    U u[Term::sums][V] = {};

    OT_UNROLL
    for (unsigned k = 0; k < ot_summing<T>::run; k++) {
        const unsigned here = row + k * r.step;
        const size_t at = (size_t)here * r.c + t.c;
        float x[V] = {}, z[V] = {};

        if (here < t.end) {
            ot_load<V>(a + at, x);
            if (Term::two)
                ot_load<V>(b + at, z);
        }
        OT_UNROLL
        for (unsigned j = 0; j < V; j++) {
            U term[Term::sums];

            Term::of((U)x[j], (U)z[j], term);
            OT_UNROLL
            for (int s = 0; s < Term::sums; s++)
                u[s][j] += term[s];
        }
    }
    OT_UNROLL
    for (int s = 0; s < Term::sums; s++)
        OT_UNROLL
    for (unsigned j = 0; j < V; j++)
        sum[s][j] += (double)u[s][j];
}

/* The sums of a block's threads, to its part. */
template <unsigned V, int S>
__device__ static void ot_put_rows(const struct ot_rows &r, const struct ot_place &t,
                                   const double sum[S][V], double *part)
{
    __shared__ double shared[OT_THREADS * V];
    const unsigned width = r.groups * V, column = blockIdx.x % r.across;

    for (int s = 0; s < S; s++) {
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            if (t.works)
                shared[t.first * width + t.group * V + j] = sum[s][j];
        __syncthreads();
        for (unsigned k = threadIdx.x; k < width; k += blockDim.x) {
            const unsigned c = column * OT_GROUPS * V + k;
            double total = 0.0;

            for (unsigned q = 0; c < r.c && q < r.step; q++)
                total += shared[q * width + k];
            if (c < r.c)
                part[((size_t)s * r.parts + blockIdx.x / r.across) * r.c + c] = total;
        }
        __syncthreads();
    }
}

template <unsigned V, class Term, class T>
__global__ static void ot_sum_rows(const struct ot_rows r, const T *a, const T *b, double *part)
{
    const struct ot_place t = ot_place<V>(r);
    double sum[Term::sums][V] = {};

    for (unsigned row = t.from + t.first; t.works && row < t.end;
         row += ot_summing<T>::run * r.step)
        ot_add_run<V, Term>(r, t, row, a, b, sum);
    ot_put_rows<V, Term::sums>(r, t, sum, part);
}

/* Any other order: block by block a part of a channel's rows. */
template <class Term, class T>
__global__ static void ot_sum_channels(const __grid_constant__ struct ot_channels g, unsigned parts,
                                       const T *a, const T *b, double *part)
{
    const unsigned blocks = (unsigned)ot_channel_blocks(&g), block = (unsigned)g.block;
    const unsigned rows = (unsigned)(g.outer * g.inner), inner = (unsigned)g.inner;
    const unsigned step = (rows + parts - 1) / parts, channels = blocks * block;

    for (unsigned k = blockIdx.x; k < channels * parts; k += gridDim.x) {
        const unsigned c = k / parts, p = k % parts, from = p * step;
        const unsigned end = rows - from < step || rows < from ? rows : from + step;
        double sum[Term::sums] = {}, term[Term::sums];

        for (unsigned r = from + threadIdx.x; r < end; r += blockDim.x) {
            const unsigned n = r / inner;
            const size_t row = ((size_t)n * blocks + c / block) * inner + (r - n * inner);
            const size_t at = row * block + c % block;

            Term::of((double)ot_get(a + at), Term::two ? (double)ot_get(b + at) : 0.0, term);
            for (int s = 0; s < Term::sums; s++)
                sum[s] += term[s];
        }
        for (int s = 0; s < Term::sums; s++) {
            const double total = ot_block_sum(sum[s]);

            if (threadIdx.x == 0)
                part[((size_t)s * parts + p) * channels + c] = total;
        }
    }
}

/* A block for OT_ACROSS channels: f(c, sums of all parts). */
constexpr unsigned OT_ACROSS = 8;

template <int S, class F>
__global__ static void ot_add_parts(unsigned parts, unsigned channels, const double *part,
                                    const F f)
{
    __shared__ double shared[S][OT_THREADS];
    const unsigned t = threadIdx.x, c = blockIdx.x * OT_ACROSS + t % OT_ACROSS;
    double sum[S] = {};

    for (unsigned p = t / OT_ACROSS; c < channels && p < parts; p += OT_THREADS / OT_ACROSS)
        for (int s = 0; s < S; s++)
            sum[s] += part[((size_t)s * parts + p) * channels + c];
    for (int s = 0; s < S; s++)
        shared[s][t] = sum[s];
    __syncthreads();
    for (unsigned half = OT_THREADS / 2; half >= OT_ACROSS; half /= 2) {
        for (int s = 0; s < S && t < half; s++)
            shared[s][t] += shared[s][t + half];
        __syncthreads();
    }
    for (int s = 0; s < S; s++)
        sum[s] = shared[s][t % OT_ACROSS];
    if (t < OT_ACROSS && c < channels)
        f(c, sum);
}

template <unsigned V, class Term, class T>
static double *ot_row_parts(struct ot_dev *dev, const struct ot_channels *g, const T *a, const T *b,
                            unsigned *parts)
{
    const struct ot_rows r = ot_rows_of(g, V, 16, 1024);
    double *part = (double *)ot_cuda_room(dev, sizeof(double) * Term::sums * r.parts * r.c);

    *parts = r.parts;
    if (part)
        OT_LAUNCH(dev, (ot_sum_rows<V, Term, T>), r.across * r.parts, OT_THREADS, r, a, b, part);
    return part;
}

/* f(c, sums) for every channel, padding included; nothing for an empty array. */
template <class Term, class T, class F>
static void ot_sum_each(struct ot_dev *dev, const struct ot_channels *g, const T *a, const T *b,
                        const F &f)
{
    constexpr unsigned V = OT_LANES<T>;
    const size_t channels = ot_channel_blocks(g) * g->block, rows = g->outer * g->inner;
    unsigned parts = (unsigned)(rows / 4096 < 1 ? 1 : rows / 4096 < 64 ? rows / 4096 : 64);
    double *part;

    if (!g->c || !rows)
        return;
    if (g->block != g->c) {
        part = (double *)ot_cuda_room(dev, sizeof(double) * Term::sums * parts * channels);
        if (part)
            OT_LAUNCH(dev, (ot_sum_channels<Term, T>), ot_grid(channels * parts * OT_THREADS),
                      OT_THREADS, *g, parts, a, b, part);
    } else if (g->c % V == 0 && ot_aligned(a) && ot_aligned(b)) {
        part = ot_row_parts<V, Term>(dev, g, a, b, &parts);
    } else {
        part = ot_row_parts<1, Term>(dev, g, a, b, &parts);
    }
    if (part)
        OT_LAUNCH(dev, (ot_add_parts<Term::sums, F>),
                  (unsigned)((channels + OT_ACROSS - 1) / OT_ACROSS), OT_THREADS, parts,
                  (unsigned)channels, (const double *)part, f);
}

#endif
