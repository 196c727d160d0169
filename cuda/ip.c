/*
 * ip.c - inner product through cuBLAS.
 *
 * Input and output are in plain order: fp32, or bf16 where the device computes in BF16.  Then a
 * bf16 copy of the weights, which are fp32 always, is made for each call; gradients of weights come
 * out of cuBLAS in fp32.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

struct ip {
    struct ot_plan base;
    struct ot_ip_geom g;
    size_t n, k, oc; /* rows, inputs, outputs */
    enum ot_type type;
    struct ot_channels out;
};

static void free_ip(struct ot_plan *plan)
{
    ot_free(plan);
}

static void tell(struct ot_dev *dev, const struct ip *p, struct ot_plan_info *info)
{
    const struct ot_ip_geom *g = &p->g;
    const struct ot_shape y = ot_shape2(g->n, g->oc);
    struct ot_shape x = { .nd = 1, .dim = { g->n } };

    for (int i = 0; i < g->nd; i++)
        x.dim[x.nd++] = g->dim[i];
    info->x = ot_cuda_format(dev, &x, false, p->type);
    info->y = ot_cuda_format(dev, &y, false, p->type);
    info->y_elems = p->n * p->oc;
    info->w_elems = p->oc * p->k;
    if (p->type == OT_BF16)
        info->scratch_bytes = info->w_elems * ot_type_bytes(OT_BF16);
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
    p->type = ot_cuda_of(dev)->conf.compute == OT_COMPUTE_BF16 ? OT_BF16 : OT_F32;
    p->n = (size_t)g->n;
    p->oc = (size_t)g->oc;
    p->k = 1;
    for (int i = 0; i < g->nd; i++)
        p->k *= (size_t)g->dim[i];
    p->out =
        (struct ot_channels){ .outer = p->n, .c = p->oc, .inner = 1, .block = 1, .type = p->type };
    tell(dev, p, info);
    *plan = &p->base;
}

static const struct ip *ip_of(const struct ot_plan *plan)
{
    return (const struct ip *)(const void *)plan;
}

/* (n, k) and (n, oc) */
static struct ot_cuda_matrix input(const struct ip *p, const float *x)
{
    return (struct ot_cuda_matrix){ x, p->type, p->k };
}

static struct ot_cuda_matrix output(const struct ip *p, const float *y)
{
    return (struct ot_cuda_matrix){ y, p->type, p->oc };
}

/* (oc, k), or (k, oc) with transpose, of the others' type */
static struct ot_cuda_matrix weights(struct ot_dev *dev, const struct ip *p, const float *w,
                                     void *scratch)
{
    const size_t ld = p->g.transpose ? p->oc : p->k;

    if (p->type == OT_F32)
        return (struct ot_cuda_matrix){ w, OT_F32, ld };
    ot_cuda_to_bf16(dev, p->oc * p->k, w, scratch);
    return (struct ot_cuda_matrix){ scratch, p->type, ld };
}

void ot_cuda_ip_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                    const float *b, void *scratch, float *y)
{
    const struct ip *p = ip_of(plan);

    if (dev->latch.code != OT_OK || p->n == 0)
        return;
    ot_cuda_product(dev, false, !p->g.transpose, p->n, p->oc, p->k, 1.0f, input(p, x),
                    weights(dev, p, w, scratch), 0.0f, y, p->type, p->oc, "ip_fwd");
    ot_cuda_bias(dev, &p->out, p->g.bias ? b : NULL, p->g.relu, y);
}

void ot_cuda_ip_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                         void *scratch, float *dx)
{
    const struct ip *p = ip_of(plan);

    if (dev->latch.code == OT_OK && p->n)
        ot_cuda_product(dev, false, p->g.transpose, p->n, p->k, p->oc, 1.0f, output(p, dy),
                        weights(dev, p, w, scratch), 0.0f, dx, p->type, p->k, "ip_bwd_data");
}

void ot_cuda_ip_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                           const float *dy, void *scratch, float beta, float *dw, float *db)
{
    const struct ip *p = ip_of(plan);

    (void)scratch;
    if (dev->latch.code != OT_OK)
        return;
    if (p->n == 0 && dw && beta == 0.0f)
        ot_cuda_zero(dev, dw, p->oc * p->k * sizeof *dw);
    if (p->n && dw && p->g.transpose)
        ot_cuda_product(dev, true, false, p->k, p->oc, p->n, 1.0f, input(p, x), output(p, dy), beta,
                        dw, OT_F32, p->oc, "ip_bwd_filter");
    else if (p->n && dw)
        ot_cuda_product(dev, true, false, p->oc, p->k, p->n, 1.0f, output(p, dy), input(p, x), beta,
                        dw, OT_F32, p->k, "ip_bwd_filter");
    if (db)
        ot_cuda_bias_grad(dev, &p->out, dy, beta, db);
}
