/*
 * bn_affine.cu - batch normalisation, scale, shift, sum and ReLU: forward one map, backward the
 * sums of each channel (channels.h; what they are of depends on the channel, hence kernels of our
 * own), what follows from them for each channel, and a map.
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
        return ot_bn_affine_top(relu, ot_bn_affine(x[0], p[0], p[2] * p[1], p[3]));
    }
};

struct normalise_and_add {
    bool relu;

    __device__ float operator()(const float *x, const float *p) const
    {
        return ot_bn_affine_top(relu, ot_bn_affine(x[0], p[0], p[2] * p[1], p[3]) + x[1]);
    }
};

template <class T>
static void forward(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                    const void *x, const void *other, void *y)
{
    const ot_params<4> p = { { a.mean, a.inv, a.gamma, a.shift }, {} };

    if (other)
        ot_map_channels<T, 2, 4>(dev, c, { { (const T *)x, (const T *)other } }, (T *)y, p,
                                 normalise_and_add{ a.relu });
    else
        ot_map_channels<T, 1, 4>(dev, c, { { (const T *)x } }, (T *)y, p, normalise{ a.relu });
}

extern "C" void ot_cuda_bn_affine_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu,
                                      const float *x, const float *stat, const float *gamma,
                                      const float *shift, const float *other, float *y)
{
    const struct ot_channels c = channels_of(g);

    OT_BY_TYPE(g->type, forward, dev, &c, affine_of(g, relu, stat, gamma, shift), x, other, y);
}

/* ---- sums ---------------------------------------------------------------------------------- */

struct channel {
    float mean, inv, slope, shift;
};

/* gamma NULL: slope and shift 0 */
__device__ static struct channel channel_at(const struct affine &a, size_t c)
{
    const float inv = a.inv[c];
    const struct channel p = { a.mean[c], inv, a.gamma ? a.gamma[c] * inv : 0.0f,
                               a.shift ? a.shift[c] : 0.0f };

    return p;
}

/* Where g, the gradient behind the ReLU, comes from: y computed again, */
template <class T> struct from_x {
    const T *dy;
    bool relu;

    template <unsigned V>
    __device__ __forceinline__ void take(size_t at, const float *x, const struct channel *p,
                                         float *g) const
    {
        ot_load<V>(dy + at, g);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            g[j] = ot_bn_affine_mask(relu, x[j], p[j].mean, p[j].slope, p[j].shift, g[j]);
    }

    __device__ void pad(size_t) const
    {
    }

    bool aligned() const
    {
        return ot_aligned(dy);
    }
};

/* or y read, because something was added to it, the sum of two (TWO) or one; and where it goes. */
template <class T, bool RELU, bool TWO> struct from_y {
    const T *y, *dy, *dy2;
    T *dother;

    template <unsigned V>
    __device__ __forceinline__ void take(size_t at, const float *, const struct channel *,
                                         float *g) const
    {
        float v[V] = {}, top[V] = {};

        ot_load<V>(dy + at, g);
        if constexpr (TWO)
            ot_load<V>(dy2 + at, v);
        if constexpr (RELU)
            ot_load<V>(y + at, top);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            g[j] = ot_relu_mask(RELU, top[j], TWO ? g[j] + v[j] : g[j]);
        ot_store<V>(dother + at, g);
    }

    __device__ void pad(size_t at) const
    {
        ot_put(dother + at, 0.0f);
    }

    bool aligned() const
    {
        return ot_aligned(y) && ot_aligned(dy) && ot_aligned(dy2) && ot_aligned(dother);
    }
};

/* Adds g and g h. */
template <class U>
__device__ __forceinline__ static void add_terms(const struct channel &p, float x, float g, U *u)
{
    u[0] += (U)g;
    u[1] += (U)g * (U)((x - p.mean) * p.inv);
}

template <unsigned V, class T, class From>
__device__ __forceinline__ static void add_run(const struct ot_rows &r, const struct ot_place &t,
                                               unsigned row, const struct channel *p, const T *x,
                                               const From &from, double sum[2][V])
{
    typedef typename ot_summing<T>::unit U;
    U u[V][2] = {};

    OT_UNROLL
    for (unsigned k = 0; k < ot_summing<T>::run; k++) {
        const unsigned here = row + k * r.step;
        const size_t at = (size_t)here * r.c + t.c;
        float a[V], g[V];

        if (here >= t.end)
            break;
        ot_load<V>(x + at, a);
        from.template take<V>(at, a, p, g);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            add_terms(p[j], a[j], g[j], u[j]);
    }
    OT_UNROLL
    for (unsigned j = 0; j < V; j++)
        for (int s = 0; s < 2; s++)
            sum[s][j] += (double)u[j][s];
}

/* Channels last: as ot_sum_rows(). */
template <unsigned V, class T, class From>
__global__ static void sum_rows(const struct ot_rows r, const __grid_constant__ struct affine a,
                                const T *x, const From from, double *part)
{
    const struct ot_place t = ot_place<V>(r);
    struct channel p[V] = {};
    double sum[2][V] = {};

    OT_UNROLL
    for (unsigned j = 0; t.works && j < V; j++)
        p[j] = channel_at(a, t.c + j);
    for (unsigned row = t.from + t.first; t.works && row < t.end;
         row += ot_summing<T>::run * r.step)
        add_run<V>(r, t, row, p, x, from, sum);
    ot_put_rows<V, 2>(r, t, sum, part);
}

/* Any other order: as ot_sum_channels(). */
template <class T, class From>
__global__ static void sum_channels(const __grid_constant__ struct ot_channels g,
                                    const __grid_constant__ struct affine a, unsigned parts,
                                    const T *x, const From from, double *part)
{
    const unsigned blocks = (unsigned)ot_channel_blocks(&g), block = (unsigned)g.block;
    const unsigned rows = (unsigned)(g.outer * g.inner), inner = (unsigned)g.inner;
    const unsigned step = (rows + parts - 1) / parts, channels = blocks * block;

    for (unsigned k = blockIdx.x; k < channels * parts; k += gridDim.x) {
        const unsigned c = k / parts, first = k % parts * step;
        const unsigned end = rows < first || rows - first < step ? rows : first + step;
        struct channel p = {};
        double sum[2] = {};

        if (c < g.c)
            p = channel_at(a, c);
        for (unsigned r = first + threadIdx.x; r < end; r += blockDim.x) {
            const unsigned n = r / inner;
            const size_t row = ((size_t)n * blocks + c / block) * inner + (r - n * inner);
            const size_t at = row * block + c % block;
            float v, d;

            if (c >= g.c) {
                from.pad(at);
                continue;
            }
            v = ot_get(x + at);
            from.template take<1>(at, &v, &p, &d);
            add_terms(p, v, d, sum);
        }
        for (int s = 0; s < 2; s++) {
            const double total = ot_block_sum(sum[s]);

            if (threadIdx.x == 0)
                part[((size_t)s * parts + k % parts) * channels + c] = total;
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

static struct results results_of(const struct ot_bn_geom *g, double *scratch, float beta,
                                 float *dgamma, float *dshift)
{
    const struct results f = { g->c,   ot_bn_channels(g), (double)(g->n * g->inner), beta, dgamma,
                               dshift, (float *)scratch };

    return f;
}

template <unsigned V, class T, class From>
static double *row_parts(struct ot_dev *dev, const struct ot_channels *g, const struct affine &a,
                         const T *x, const From &from, unsigned *parts)
{
    const struct ot_rows r = ot_rows_of(g, V, 16, 1024);
    double *part = (double *)ot_cuda_room(dev, sizeof(double) * 2 * r.parts * r.c);

    *parts = r.parts;
    if (part)
        OT_LAUNCH(dev, (sum_rows<V, T, From>), r.across * r.parts, OT_THREADS, r, a, x, from, part);
    return part;
}

template <class T, class From>
static void sum_up(struct ot_dev *dev, const struct ot_channels *g, const struct affine &a,
                   const T *x, const From &from, const struct results &f)
{
    constexpr unsigned V = OT_LANES<T>;
    const size_t channels = f.padded, rows = g->outer * g->inner;
    unsigned parts = (unsigned)(rows / 4096 < 1 ? 1 : rows / 4096 < 64 ? rows / 4096 : 64);
    double *part;

    if (g->block != g->c) {
        part = (double *)ot_cuda_room(dev, sizeof(double) * 2 * parts * channels);
        if (part)
            OT_LAUNCH(dev, (sum_channels<T, From>), ot_grid(channels * parts * OT_THREADS),
                      OT_THREADS, *g, a, parts, x, from, part);
    } else if (g->c % V == 0 && ot_aligned(x) && from.aligned()) {
        part = row_parts<V>(dev, g, a, x, from, &parts);
    } else {
        part = row_parts<1>(dev, g, a, x, from, &parts);
    }
    if (part)
        OT_LAUNCH(dev, (ot_add_parts<2, struct results>),
                  (unsigned)((channels + OT_ACROSS - 1) / OT_ACROSS), OT_THREADS, parts,
                  (unsigned)channels, (const double *)part, f);
}

template <class T>
static void affine_sums(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                        const void *x, const void *dy, const struct results &f)
{
    const struct from_x<T> from = {
        (const T *)dy, a.relu
    };

    sum_up<T>(dev, c, a, (const T *)x, from, f);
}

extern "C" void ot_cuda_bn_affine_sums(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu,
                                       const float *x, const float *stat, const float *gamma,
                                       const float *shift, const float *dy, double *scratch,
                                       float beta, float *dgamma, float *dshift)
{
    const struct ot_channels c = channels_of(g);

    OT_BY_TYPE(g->type, affine_sums, dev, &c, affine_of(g, relu, stat, gamma, shift), x, dy,
               results_of(g, scratch, beta, dgamma, dshift));
}

struct tops {
    const void *y, *dy, *dy2;
    void *dother;
};

template <class T, bool RELU, bool TWO>
static void sum_added(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                      const void *x, const struct tops &t, const struct results &f)
{
    const struct from_y<T, RELU, TWO> from = {
        (const T *)t.y, (const T *)t.dy, (const T *)t.dy2, (T *)t.dother
    };

    sum_up<T>(dev, c, a, (const T *)x, from, f);
}

template <class T>
static void add_sums(struct ot_dev *dev, const struct ot_channels *c, const struct affine &a,
                     const void *x, const struct tops &t, const struct results &f)
{
    if (a.relu && t.dy2)
        sum_added<T, true, true>(dev, c, a, x, t, f);
    else if (a.relu)
        sum_added<T, true, false>(dev, c, a, x, t, f);
    else if (t.dy2)
        sum_added<T, false, true>(dev, c, a, x, t, f);
    else
        sum_added<T, false, false>(dev, c, a, x, t, f);
}

extern "C" void ot_cuda_bn_add_sums(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu,
                                    const float *x, const float *stat, const float *y,
                                    const float *dy, const float *dy2, double *scratch, float beta,
                                    float *dgamma, float *dshift, float *dother)
{
    const struct ot_channels c = channels_of(g);
    const struct tops t = { y, dy, dy2, dother };

    OT_BY_TYPE(g->type, add_sums, dev, &c, affine_of(g, relu, stat, NULL, NULL), x, t,
               results_of(g, scratch, beta, dgamma, dshift));
}

/* ---- dx ------------------------------------------------------------------------------------ */

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
                     bool fixed, const void *x, const void *dy, const float *mean_g,
                     const float *mean_g_h, void *dx)
{
    const ot_inputs<T, 2> in = { { (const T *)x, (const T *)dy } };

    if (fixed)
        ot_map_channels<T, 2, 4>(dev, c, in, (T *)dx, { { a.mean, a.inv, a.gamma, a.shift }, {} },
                                 fixed_grad{ a.relu });
    else
        ot_map_channels<T, 2, 6>(dev, c, in, (T *)dx,
                                 { { a.mean, a.inv, a.gamma, a.shift, mean_g, mean_g_h }, {} },
                                 grad{ a.relu });
}

extern "C" void ot_cuda_bn_affine_grad(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed,
                                       bool relu, const float *x, const float *stat,
                                       const float *gamma, const float *shift, const float *dy,
                                       const double *scratch, float *dx)
{
    const struct ot_channels c = channels_of(g);
    const float *const mean = (const float *)scratch;

    OT_BY_TYPE(g->type, backward, dev, &c, affine_of(g, relu, stat, gamma, shift), fixed, x, dy,
               mean, mean + ot_bn_channels(g), dx);
}
