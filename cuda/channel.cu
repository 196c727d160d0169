/* channel.cu - kernels with one value a channel: affine maps, PReLU, sums. */
#include "cuda/channels.h"

struct scale_and_shift {
    __device__ float operator()(const float *x, const float *p) const
    {
        return p[0] * x[0] + p[1];
    }
};

template <class T>
static void affine(struct ot_dev *dev, const struct ot_channels *g, const void *x,
                   const float *scale, const float *shift, void *y)
{
    ot_map_channels<T, 1, 2>(dev, g, { { (const T *)x } }, (T *)y,
                             { { scale, shift }, { 1.0f, 0.0f } }, scale_and_shift());
}

extern "C" void ot_cuda_affine(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                               const float *scale, const float *shift, float *y)
{
    const struct ot_channels m = ot_channels_merged(g);

    OT_BY_TYPE(g->type, affine, dev, &m, x, scale, shift, y);
}

struct prelu {
    __device__ float operator()(const float *x, const float *p) const
    {
        return ot_prelu(x[0], p[0]);
    }
};

template <class T>
static void prelu_fwd(struct ot_dev *dev, const struct ot_channels *g, const void *x,
                      const float *slope, void *y)
{
    ot_map_channels<T, 1, 1>(dev, g, { { (const T *)x } }, (T *)y, { { slope }, { 0.0f } },
                             prelu());
}

extern "C" void ot_cuda_prelu_fwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                                  const float *slope, float *y)
{
    const struct ot_channels m = ot_channels_merged(g);

    OT_BY_TYPE(g->type, prelu_fwd, dev, &m, x, slope, y);
}

struct prelu_grad {
    __device__ float operator()(const float *x, const float *p) const
    {
        return ot_prelu_grad(x[0], p[0], x[1]);
    }
};

template <class T>
static void prelu_bwd(struct ot_dev *dev, const struct ot_channels *g, const void *x,
                      const float *slope, const void *dy, void *dx)
{
    ot_map_channels<T, 2, 1>(dev, g, { { (const T *)x, (const T *)dy } }, (T *)dx,
                             { { slope }, { 0.0f } }, prelu_grad());
}

extern "C" void ot_cuda_prelu_bwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                                  const float *slope, const float *dy, float *dx)
{
    const struct ot_channels m = ot_channels_merged(g);

    OT_BY_TYPE(g->type, prelu_bwd, dev, &m, x, slope, dy, dx);
}

/* ---- sums -------------------------------------------------------------------------------------
 */

struct term_a {
    static constexpr int sums = 1;
    static constexpr bool two = false;

    template <class U> __device__ static void of(U a, U, U *t)
    {
        t[0] = a;
    }
};

struct term_ab {
    static constexpr int sums = 1;
    static constexpr bool two = true;

    template <class U> __device__ static void of(U a, U b, U *t)
    {
        t[0] = a * b;
    }
};

struct term_ab_neg {
    static constexpr int sums = 1;
    static constexpr bool two = true;

    template <class U> __device__ static void of(U a, U b, U *t)
    {
        t[0] = a * (b > (U)0 ? (U)0 : b);
    }
};

struct put_sum {
    size_t c;
    float beta, *y;

    __device__ void operator()(size_t i, const double *s) const
    {
        if (i < c)
            y[i] = (float)(beta == 0.0f ? s[0] : s[0] + (double)(beta * y[i]));
    }
};

template <class T>
static void channel_sum(struct ot_dev *dev, const struct ot_channels *g, enum ot_channel_term term,
                        const void *x, const void *z, const struct put_sum &f)
{
    const T *a = (const T *)x, *b = (const T *)z;

    if (term == OT_TERM_A)
        ot_sum_each<struct term_a>(dev, g, a, a, f);
    else if (term == OT_TERM_AB)
        ot_sum_each<struct term_ab>(dev, g, a, b, f);
    else
        ot_sum_each<struct term_ab_neg>(dev, g, a, b, f);
}

__global__ static void no_terms(size_t c, float beta, float *y)
{
    OT_EACH (i, c)
        y[i] = beta == 0.0f ? 0.0f : beta * y[i];
}

extern "C" void ot_cuda_channel_sum(struct ot_dev *dev, const struct ot_channels *g,
                                    enum ot_channel_term term, const float *a, const float *b,
                                    float beta, float *y)
{
    const struct ot_channels m = ot_channels_merged(g);

    if (g->c && (!g->outer || !g->inner))
        OT_LAUNCH(dev, no_terms, ot_grid(g->c), OT_THREADS, g->c, beta, y);
    OT_BY_TYPE(g->type, channel_sum, dev, &m, term, a, b, put_sum{ g->c, beta, y });
}
