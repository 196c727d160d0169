/*
 * bn.cu - batch normalisation: sums of each channel (channels.h), what follows from them for each
 * channel, and a map of all elements with it.
 */
#include "cuda/channels.h"
#include "layers/bn_math.h"

static struct ot_channels channels_of(const struct ot_bn_geom *g)
{
    const struct ot_channels c = { g->n, g->c, g->inner, g->block, g->type };

    return ot_channels_merged(&c);
}

/* Sums of a and of a b. */
struct sum_and_product {
    static constexpr int sums = 2;
    static constexpr bool two = true;

    template <class U> __device__ static void of(U a, U b, U *t)
    {
        t[0] = a;
        t[1] = a * b;
    }
};

struct sum_and_square {
    static constexpr int sums = 2;
    static constexpr bool two = false;

    template <class U> __device__ static void of(U a, U, U *t)
    {
        t[0] = a;
        t[1] = a * a;
    }
};

struct statistics {
    size_t c, padded;
    double m;
    float eps, *stat;

    __device__ void operator()(size_t i, const double *sum) const
    {
        const float var = ot_bn_var(sum[0], sum[1], m);

        stat[i] = ot_bn_mean(sum[0], m);
        stat[padded + i] = i < c ? ot_bn_inv(var, eps) : 0.0f;
        stat[2 * padded + i] = var;
    }
};

template <class T>
static void sums_of_x(struct ot_dev *dev, const struct ot_channels *c, const void *x,
                      const struct statistics &f)
{
    ot_sum_each<struct sum_and_square>(dev, c, (const T *)x, (const T *)x, f);
}

extern "C" void ot_cuda_bn_stats(struct ot_dev *dev, const struct ot_bn_geom *g, float eps,
                                 const float *x, double *scratch, float *stat)
{
    const struct ot_channels c = channels_of(g);
    const struct statistics f = { g->c, ot_bn_channels(g), (double)(g->n * g->inner), eps, stat };

    (void)scratch;
    OT_BY_TYPE(g->type, sums_of_x, dev, &c, x, f);
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

struct normalise {
    __device__ float operator()(const float *x, const float *p) const
    {
        return (x[0] - p[0]) * p[1];
    }
};

template <class T>
static void bn_fwd(struct ot_dev *dev, const struct ot_channels *c, const void *x,
                   const float *mean, const float *inv, void *y)
{
    ot_map_channels<T, 1, 2>(dev, c, { { (const T *)x } }, (T *)y, { { mean, inv }, {} },
                             normalise());
}

extern "C" void ot_cuda_bn_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, const float *x,
                               const float *stat, float *y)
{
    const struct ot_channels c = channels_of(g);

    OT_BY_TYPE(g->type, bn_fwd, dev, &c, x, stat, stat + ot_bn_channels(g), y);
}

struct means { /* of dy and of dy y */
    size_t padded;
    double m;
    float *mean;

    __device__ void operator()(size_t i, const double *sum) const
    {
        mean[i] = ot_bn_mean(sum[0], m);
        mean[padded + i] = ot_bn_mean(sum[1], m);
    }
};

struct grad {
    __device__ float operator()(const float *x, const float *p) const
    {
        return ot_bn_grad(x[0], x[1], p[0], p[1], p[2]);
    }
};

struct rescale {
    __device__ float operator()(const float *x, const float *p) const
    {
        return x[0] * p[0];
    }
};

template <class T>
static void bn_bwd(struct ot_dev *dev, const struct ot_channels *c, const void *y, const float *inv,
                   const void *dy, const struct means &f, void *dx)
{
    const T *a = (const T *)dy, *b = (const T *)y;

    if (!f.mean) {
        ot_map_channels<T, 1, 1>(dev, c, { { a } }, (T *)dx, { { inv }, {} }, rescale());
        return;
    }
    ot_sum_each<struct sum_and_product>(dev, c, a, b, f);
    ot_map_channels<T, 2, 3>(dev, c, { { b, a } }, (T *)dx,
                             { { f.mean, f.mean + f.padded, inv }, {} }, grad());
}

extern "C" void ot_cuda_bn_bwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed,
                               const float *y, const float *stat, const float *dy, double *scratch,
                               float *dx)
{
    const struct ot_channels c = channels_of(g);
    const size_t padded = ot_bn_channels(g);
    const struct means f = { padded, (double)(g->n * g->inner),
                             fixed ? nullptr : (float *)scratch };

    OT_BY_TYPE(g->type, bn_bwd, dev, &c, y, stat + padded, dy, f, dx);
}
