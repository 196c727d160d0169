// cuda_linear.cc - plain loops in the place of cuDNN's convolution and cuBLAS's product, so that
// whole nets run on the host's CUDA device.  They prove nothing about the libraries' calls.
#include <string.h>

#include "base/mem.h"
#include "cuda/cuda_i.h"

namespace
{

struct conv {
    struct ot_plan base;
    struct ot_conv_geom g; // of the convolution
    bool transposed;       // a deconvolution, from y to x
};

struct ip {
    struct ot_plan base;
    struct ot_ip_geom g;
    size_t k;
};

void free_plan(struct ot_plan *p)
{
    ot_free(p);
}

// Calls f(x index, w index, y index) for every product of a convolution, outputs in order.
template <class F> void each_product(const struct ot_conv_geom &g, F f)
{
    const int cg = g.c / g.group, og = g.oc / g.group;

    for (int n = 0; n < g.n; n++)
        for (int o = 0; o < g.oc; o++)
            for (int i = 0; i < g.oh * g.ow; i++)
                for (int j = 0; j < cg * g.kh * g.kw; j++) {
                    const int h = i / g.ow * g.sh - g.ph + j / g.kw % g.kh * g.dh;
                    const int w = i % g.ow * g.sw - g.pw + j % g.kw * g.dw;
                    const int c = o / og * cg + j / (g.kh * g.kw);

                    if (h >= 0 && h < g.h && w >= 0 && w < g.w)
                        f(((size_t)(n * g.c + c) * (size_t)g.h + (size_t)h) * (size_t)g.w +
                              (size_t)w,
                          (size_t)o * (size_t)(cg * g.kh * g.kw) + (size_t)j,
                          (size_t)(n * g.oc + o) * (size_t)(g.oh * g.ow) + (size_t)i);
                }
}

size_t w_count(const struct ot_conv_geom &g)
{
    return (size_t)g.oc * (size_t)(g.c / g.group * g.kh * g.kw);
}

} // namespace

extern "C" {

static void make_plan(struct ot_dev *dev, const struct ot_conv_geom &g, bool transposed,
                      struct ot_plan **plan, struct ot_plan_info *info)
{
    conv *p = (conv *)ot_cuda_plan(dev, sizeof *p, free_plan);

    memset(info, 0, sizeof *info);
    p->g = g;
    p->transposed = transposed;
    info->y_elems = transposed ? (size_t)g.n * (size_t)g.c * (size_t)(g.h * g.w)
                               : (size_t)g.n * (size_t)g.oc * (size_t)(g.oh * g.ow);
    info->w_elems = w_count(g);
    *plan = &p->base;
}

void ot_cuda_conv_plan(struct ot_dev *dev, const struct ot_conv_geom *g, const struct ot_format *,
                       struct ot_plan **plan, struct ot_plan_info *info)
{
    make_plan(dev, *g, false, plan, info);
}

void ot_cuda_deconv_plan(struct ot_dev *dev, const struct ot_conv_geom *g, const struct ot_format *,
                         struct ot_plan **plan, struct ot_plan_info *info)
{
    struct ot_conv_geom c = *g;

    c.c = g->oc;
    c.h = g->oh;
    c.w = g->ow;
    c.oc = g->c;
    c.oh = g->h;
    c.ow = g->w;
    make_plan(dev, c, true, plan, info);
}

void ot_cuda_conv_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                      const float *b, void *, float *y)
{
    const struct conv *p = (conv *)plan;
    const struct ot_conv_geom &g = p->g;
    const size_t plane = (size_t)(p->transposed ? g.h * g.w : g.oh * g.ow);
    const size_t channels = (size_t)(p->transposed ? g.c : g.oc),
                 n = (size_t)g.n * channels * plane;

    for (size_t i = 0; i < n; i++)
        y[i] = g.bias ? b[i / plane % channels] : 0.0f;
    if (p->transposed)
        each_product(g, [&](size_t yi, size_t wi, size_t xi) { y[yi] += x[xi] * w[wi]; });
    else
        each_product(g, [&](size_t xi, size_t wi, size_t yi) { y[yi] += x[xi] * w[wi]; });
    if (g.relu)
        ot_cuda_relu_fwd(dev, OT_F32, n, 0.0f, y, y);
}

void ot_cuda_conv_bwd_data(struct ot_dev *, struct ot_plan *plan, const float *w, const float *dy,
                           void *, float *dx)
{
    const struct conv *p = (conv *)plan;
    const struct ot_conv_geom &g = p->g;
    const size_t in = p->transposed ? (size_t)g.oc * (size_t)(g.oh * g.ow)
                                    : (size_t)g.c * (size_t)(g.h * g.w);

    memset(dx, 0, (size_t)g.n * in * sizeof *dx);
    if (p->transposed)
        each_product(g, [&](size_t yi, size_t wi, size_t xi) { dx[xi] += dy[yi] * w[wi]; });
    else
        each_product(g, [&](size_t xi, size_t wi, size_t yi) { dx[xi] += dy[yi] * w[wi]; });
}

void ot_cuda_conv_bwd_filter(struct ot_dev *, struct ot_plan *plan, const float *x, const float *dy,
                             void *, float beta, float *dw, float *db)
{
    const struct conv *p = (conv *)plan;
    const struct ot_conv_geom &g = p->g;
    const float *large = p->transposed ? dy : x, *small = p->transposed ? x : dy;
    const size_t plane = (size_t)(p->transposed ? g.h * g.w : g.oh * g.ow);
    const size_t channels = (size_t)(p->transposed ? g.c : g.oc),
                 n = (size_t)g.n * channels * plane;

    if (dw && beta == 0.0f)
        memset(dw, 0, w_count(g) * sizeof *dw);
    if (dw)
        each_product(g, [&](size_t li, size_t wi, size_t si) { dw[wi] += small[si] * large[li]; });
    if (db && beta == 0.0f)
        memset(db, 0, channels * sizeof *db);
    for (size_t i = 0; db && i < n; i++)
        db[i / plane % channels] += dy[i];
}

void ot_cuda_ip_plan(struct ot_dev *dev, const struct ot_ip_geom *g, const struct ot_format *,
                     struct ot_plan **plan, struct ot_plan_info *info)
{
    ip *p = (ip *)ot_cuda_plan(dev, sizeof *p, free_plan);

    memset(info, 0, sizeof *info);
    p->g = *g;
    p->k = 1;
    for (int i = 0; i < g->nd; i++)
        p->k *= (size_t)g->dim[i];
    info->y_elems = (size_t)g->n * (size_t)g->oc;
    info->w_elems = (size_t)g->oc * p->k;
    *plan = &p->base;
}

static size_t w_at(const ip *p, size_t o, size_t k)
{
    return p->g.transpose ? k * (size_t)p->g.oc + o : o * p->k + k;
}

void ot_cuda_ip_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                    const float *b, void *, float *y)
{
    const ip *p = (ip *)plan;
    const size_t rows = (size_t)p->g.n, cols = (size_t)p->g.oc;
    const struct ot_channels out = { rows, cols, 1, 1, OT_F32 };

    for (size_t i = 0; i < rows * cols; i++) {
        y[i] = 0.0f;
        for (size_t k = 0; k < p->k; k++)
            y[i] += x[i / cols * p->k + k] * w[w_at(p, i % cols, k)];
    }
    ot_cuda_bias(dev, &out, p->g.bias ? b : nullptr, p->g.relu, y);
}

void ot_cuda_ip_bwd_data(struct ot_dev *, struct ot_plan *plan, const float *w, const float *dy,
                         void *, float *dx)
{
    const ip *p = (ip *)plan;
    const size_t cols = (size_t)p->g.oc;

    for (size_t i = 0; i < (size_t)p->g.n * p->k; i++) {
        dx[i] = 0.0f;
        for (size_t o = 0; o < cols; o++)
            dx[i] += dy[i / p->k * cols + o] * w[w_at(p, o, i % p->k)];
    }
}

void ot_cuda_ip_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                           const float *dy, void *, float beta, float *dw, float *db)
{
    const ip *p = (ip *)plan;
    const size_t rows = (size_t)p->g.n, cols = (size_t)p->g.oc;
    const struct ot_channels out = { rows, cols, 1, 1, OT_F32 };

    for (size_t i = 0; dw && i < cols * p->k; i++) {
        const size_t o = i / p->k, k = i % p->k;
        float sum = 0.0f;

        for (size_t r = 0; r < rows; r++)
            sum += dy[r * cols + o] * x[r * p->k + k];
        dw[w_at(p, o, k)] = beta == 0.0f ? sum : sum + dw[w_at(p, o, k)];
    }
    if (db)
        ot_cuda_bias_grad(dev, &out, dy, beta, db);
}

void ot_cuda_gemm(struct ot_dev *, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                  float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = 0.0f, *to = c + i * ldc + j;

            for (size_t p = 0; p < k; p++)
                sum += (trans_a ? a[p * lda + i] : a[i * lda + p]) *
                       (trans_b ? b[j * ldb + p] : b[p * ldb + j]);
            *to = beta == 0.0f ? alpha * sum : alpha * sum + beta * *to;
        }
}

} // extern "C"
