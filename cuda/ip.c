/*
 * ip.c - inner product through cuBLAS, in fp32.
 *
 * cuBLAS counts columns first: our row-major (n, k) is its (k, n).  So y(n, oc) = x(n, k) w(oc, k)'
 * is asked for as Y(oc, n) = W'(oc, k) X(k, n), and so on.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

struct ip {
    struct ot_plan base;
    struct ot_ip_geom g;
    int k; /* inputs */
};

static void free_ip(struct ot_plan *plan)
{
    ot_free(plan);
}

void ot_cuda_ip_plan(struct ot_dev *dev, const struct ot_ip_geom *g, const struct ot_format *x,
                     struct ot_plan **plan, struct ot_plan_info *info)
{
    struct ip *p = (struct ip *)(void *)ot_cuda_plan(dev, sizeof *p, free_ip);

    (void)x;
    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->g = *g;
    p->k = 1;
    for (int i = 0; i < g->nd; i++)
        p->k *= g->dim[i];
    info->y_elems = (size_t)g->n * (size_t)g->oc;
    info->w_elems = (size_t)g->oc * (size_t)p->k;
    *plan = &p->base;
}

static const struct ip *ip_of(const struct ot_plan *plan)
{
    return (const struct ip *)(const void *)plan;
}

void ot_cuda_ip_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                    const float *b, void *scratch, float *y)
{
    const struct ip *p = ip_of(plan);
    const struct ot_ip_geom *g = &p->g;
    const float one = 1.0f, zero = 0.0f;
    const size_t rows = (size_t)g->n, cols = (size_t)g->oc;

    (void)scratch;
    if (dev->latch.code != OT_OK || g->n == 0)
        return;
    if (ot_cublas_bad(dev,
                      cublasSgemm(ot_cuda_of(dev)->cublas, g->transpose ? CUBLAS_OP_N : CUBLAS_OP_T,
                                  CUBLAS_OP_N, g->oc, g->n, p->k, &one, w,
                                  g->transpose ? g->oc : p->k, x, p->k, &zero, y, g->oc),
                      "ip_fwd"))
        return;
    if (g->bias)
        ot_cuda_bias_rows(dev, rows, cols, b, y);
    if (g->relu)
        ot_cuda_relu_fwd(dev, OT_F32, rows * cols, 0.0f, y, y);
}

void ot_cuda_ip_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                         void *scratch, float *dx)
{
    const struct ip *p = ip_of(plan);
    const struct ot_ip_geom *g = &p->g;
    const float one = 1.0f, zero = 0.0f;

    (void)scratch;
    if (dev->latch.code != OT_OK || g->n == 0)
        return;
    (void)ot_cublas_bad(dev,
                        cublasSgemm(ot_cuda_of(dev)->cublas,
                                    g->transpose ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, p->k,
                                    g->n, g->oc, &one, w, g->transpose ? g->oc : p->k, dy, g->oc,
                                    &zero, dx, p->k),
                        "ip_bwd_data");
}

static cublasStatus_t filter(const struct ip *p, cublasHandle_t blas, const float *x,
                             const float *dy, const float *beta, float *dw)
{
    const struct ot_ip_geom *g = &p->g;
    const float one = 1.0f;

    if (g->transpose)
        return cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_T, g->oc, p->k, g->n, &one, dy, g->oc, x,
                           p->k, beta, dw, g->oc);
    return cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_T, p->k, g->oc, g->n, &one, x, p->k, dy, g->oc,
                       beta, dw, p->k);
}

void ot_cuda_ip_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                           const float *dy, void *scratch, float beta, float *dw, float *db)
{
    const struct ip *p = ip_of(plan);
    const struct ot_ip_geom *g = &p->g;

    (void)scratch;
    if (dev->latch.code != OT_OK)
        return;
    if (g->n == 0 && dw && beta == 0.0f)
        ot_cuda_zero(dev, dw, (size_t)g->oc * (size_t)p->k * sizeof *dw);
    if (g->n && dw &&
        ot_cublas_bad(dev, filter(p, ot_cuda_of(dev)->cublas, x, dy, &beta, dw), "ip_bwd_filter"))
        return;
    if (db)
        ot_cuda_bias_sums(dev, (size_t)g->n, (size_t)g->oc, dy, beta, db);
}
