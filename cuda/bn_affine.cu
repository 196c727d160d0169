/*
 * bn_affine.cu - batch normalisation, scale, shift and ReLU: forward one map, backward the sums of
 * each channel (channels.h; what they are of depends on the channel, hence kernels of our own),
 * what follows from them for each channel, and a map.
 */
#include "cuda/channels.h"
#include "layers/bn_affine_math.h"

struct affine { /* of each channel; shift NULL: zeros */
    const float *mean, *inv, *gamma, *shift;
    bool relu;
};

static struct ot_channels channels_of(const struct ot_bn_geom *g)
{
    const struct ot_channels c = { g->n, g->c, g->inner, g->block, g->type };

    return ot_channels_merged(&c);
}

static struct affine affine_of(const struct ot_bn_geom *g, bool relu, const float *stat,
                               const float *gamma, const float *shift)
{
    const struct affine a = { stat, stat + ot_bn_channels(g), gamma, shift, relu };

    return a;
}

/* ---- forward ------------------------------------------------------------------------------- */

struct normalise {
    bool relu;

    __device__ float operator()(const float *x, const float *p) const
    {
        const float y = ot_bn_affine(x[0], p[0], p[2] * p[1], p[3]);

        return relu ? ot_relu(y, 0.0f) : y;
    }
};

template <class T>
static void forward(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                    const void *x, void *y)
{
    ot_map_channels<T, 1, 4>(dev, c, { { (const T *)x } }, (T *)y,
                             { { a.mean, a.inv, a.gamma, a.shift }, {} }, normalise{ a.relu });
}

extern "C" void ot_cuda_bn_affine_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu,
                                      const float *x, const float *stat, const float *gamma,
                                      const float *shift, float *y)
{
    const struct ot_channels c = channels_of(g);

    OT_BY_TYPE(g->type, forward, dev, &c, affine_of(g, relu, stat, gamma, shift), x, y);
}

/* ---- sums ---------------------------------------------------------------------------------- */

struct channel {
    float mean, inv, slope, shift;
};

__device__ static struct channel channel_at(const struct affine &a, size_t c)
{
    const float inv = a.inv[c];
    const struct channel p = { a.mean[c], inv, a.gamma[c] * inv, a.shift ? a.shift[c] : 0.0f };

    return p;
}

/* Adds g, the gradient behind the ReLU, and g h. */
template <class U>
__device__ __forceinline__ static void add_terms(const struct channel &p, bool relu, float x,
                                                 float dy, U *u)
{
    const float g = ot_bn_affine_mask(relu, x, p.mean, p.slope, p.shift, dy);

    u[0] += (U)g;
    u[1] += (U)g * (U)((x - p.mean) * p.inv);
}

template <unsigned V, class T>
__device__ __forceinline__ static void add_run(const struct ot_rows &r, const struct ot_place &t,
                                               unsigned row, const struct channel *p, bool relu,
                                               const T *x, const T *dy, double sum[2][V])
{
    typedef typename ot_summing<T>::unit U;
    U u[V][2] = {};

    OT_UNROLL
    for (unsigned k = 0; k < ot_summing<T>::run; k++) {
        const unsigned here = row + k * r.step;
        const size_t at = (size_t)here * r.c + t.c;
        float a[V], b[V];

        if (here >= t.end)
            break;
        ot_load<V>(x + at, a);
        ot_load<V>(dy + at, b);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            add_terms(p[j], relu, a[j], b[j], u[j]);
    }
    OT_UNROLL
    for (unsigned j = 0; j < V; j++)
        for (int s = 0; s < 2; s++)
            sum[s][j] += (double)u[j][s];
}

/* Channels last: as ot_sum_rows(). */
template <unsigned V, class T>
__global__ static void sum_rows(const struct ot_rows r, const __grid_constant__ struct affine a,
                                const T *x, const T *dy, double *part)
{
    const struct ot_place t = ot_place<V>(r);
    struct channel p[V] = {};
    double sum[2][V] = {};

    OT_UNROLL
    for (unsigned j = 0; t.works && j < V; j++)
        p[j] = channel_at(a, t.c + j);
    for (unsigned row = t.from + t.first; t.works && row < t.end;
         row += ot_summing<T>::run * r.step)
        add_run<V>(r, t, row, p, a.relu, x, dy, sum);
    ot_put_rows<V, 2>(r, t, sum, part);
}

/* Any other order: as ot_sum_channels(). */
template <class T>
__global__ static void sum_channels(const __grid_constant__ struct ot_channels g,
                                    const __grid_constant__ struct affine a, unsigned parts,
                                    const T *x, const T *dy, double *part)
{
    const unsigned blocks = (unsigned)ot_channel_blocks(&g), block = (unsigned)g.block;
    const unsigned rows = (unsigned)(g.outer * g.inner), inner = (unsigned)g.inner;
    const unsigned step = (rows + parts - 1) / parts, channels = blocks * block;

    for (unsigned k = blockIdx.x; k < channels * parts; k += gridDim.x) {
        const unsigned c = k / parts, q = k % parts, from = q * step;
        const unsigned end = c >= g.c ? 0 : rows < from || rows - from < step ? rows : from + step;
        struct channel p = {};
        double sum[2] = {};

        if (c < g.c)
            p = channel_at(a, c);
        for (unsigned r = from + threadIdx.x; r < end; r += blockDim.x) {
            const unsigned n = r / inner;
            const size_t row = ((size_t)n * blocks + c / block) * inner + (r - n * inner);
            const size_t at = row * block + c % block;

            add_terms(p, a.relu, ot_get(x + at), ot_get(dy + at), sum);
        }
        for (int s = 0; s < 2; s++) {
            const double total = ot_block_sum(sum[s]);

            if (threadIdx.x == 0)
                part[((size_t)s * parts + q) * channels + c] = total;
        }
    }
}

/* What follows from a channel's sums. */
struct results {
    size_t c, padded;
    double m;
    float beta, *dgamma, *dshift;
    float *mean; /* (2, padded): of g and of g h */

    __device__ void put(float *d, size_t i, double sum) const
    {
        if (d && i < c)
            d[i] = (float)(beta == 0.0f ? sum : sum + (double)(beta * d[i]));
    }

    __device__ void operator()(size_t i, const double *sum) const
    {
        put(dshift, i, sum[0]);
        put(dgamma, i, sum[1]);
        mean[i] = ot_bn_mean(sum[0], m);
        mean[padded + i] = ot_bn_mean(sum[1], m);
    }
};

template <unsigned V, class T>
static double *row_parts(struct ot_dev *dev, const struct ot_channels *g, const struct affine &a,
                         const T *x, const T *dy, unsigned *parts)
{
    const struct ot_rows r = ot_rows_of(g, V, 16, 1024);
    double *part = (double *)ot_cuda_room(dev, sizeof(double) * 2 * r.parts * r.c);

    *parts = r.parts;
    if (part)
        OT_LAUNCH(dev, (sum_rows<V, T>), r.across * r.parts, OT_THREADS, r, a, x, dy, part);
    return part;
}

template <class T>
static void sum_up(struct ot_dev *dev, const struct ot_channels *g, const struct affine &a,
                   const T *x, const T *dy, const struct results &f)
{
    constexpr unsigned V = OT_LANES<T>;
    const size_t channels = f.padded, rows = g->outer * g->inner;
    unsigned parts = (unsigned)(rows / 4096 < 1 ? 1 : rows / 4096 < 64 ? rows / 4096 : 64);
    double *part;

    if (g->block != g->c) {
        part = (double *)ot_cuda_room(dev, sizeof(double) * 2 * parts * channels);
        if (part)
            OT_LAUNCH(dev, sum_channels<T>, ot_grid(channels * parts * OT_THREADS), OT_THREADS, *g,
                      a, parts, x, dy, part);
    } else if (g->c % V == 0 && ot_aligned(x) && ot_aligned(dy)) {
        part = row_parts<V>(dev, g, a, x, dy, &parts);
    } else {
        part = row_parts<1>(dev, g, a, x, dy, &parts);
    }
    if (part)
        OT_LAUNCH(dev, (ot_add_parts<2, struct results>),
                  (unsigned)((channels + OT_ACROSS - 1) / OT_ACROSS), OT_THREADS, parts,
                  (unsigned)channels, (const double *)part, f);
}

/* ---- backward ------------------------------------------------------------------------------ */

struct grad {
    bool relu;

    __device__ float operator()(const float *x, const float *p) const
    {
        const float slope = p[2] * p[1];
        const float g = ot_bn_affine_mask(relu, x[0], p[0], slope, p[3], x[1]);

        return ot_bn_affine_grad(x[0], g, p[0], p[1], slope, p[4], p[5]);
    }
};

struct fixed_grad {
    bool relu;

    __device__ float operator()(const float *x, const float *p) const
    {
        const float slope = p[2] * p[1];

        return ot_bn_affine_mask(relu, x[0], p[0], slope, p[3], x[1]) * slope;
    }
};

template <class T>
static void backward(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                     bool fixed, const void *x, const void *dy, const struct results &f, void *dx)
{
    const T *const px = (const T *)x, *const pdy = (const T *)dy;

    if (f.dgamma || f.dshift || !fixed)
        sum_up<T>(dev, c, a, px, pdy, f);
    if (dx && fixed)
        ot_map_channels<T, 2, 4>(dev, c, { { px, pdy } }, (T *)dx,
                                 { { a.mean, a.inv, a.gamma, a.shift }, {} }, fixed_grad{ a.relu });
    else if (dx)
        ot_map_channels<T, 2, 6>(
            dev, c, { { px, pdy } }, (T *)dx,
            { { a.mean, a.inv, a.gamma, a.shift, f.mean, f.mean + f.padded }, {} }, grad{ a.relu });
}

extern "C" void ot_cuda_bn_affine_bwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed,
                                      bool relu, const float *x, const float *stat,
                                      const float *gamma, const float *shift, const float *dy,
                                      double *scratch, float beta, float *dgamma, float *dshift,
                                      float *dx)
{
    const struct ot_channels c = channels_of(g);
    const struct results f = { g->c,   ot_bn_channels(g), (double)(g->n * g->inner), beta, dgamma,
                               dshift, (float *)scratch };

    OT_BY_TYPE(g->type, backward, dev, &c, affine_of(g, relu, stat, gamma, shift), fixed, x, dy, f,
               dx);
}
