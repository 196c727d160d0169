/*
 * ip_cpu.c - inner product through oneDNN.
 *
 * The input is read in the layout its producer left (a pooled (N, C, H, W) in channel blocks needs
 * no conversion: the weights take the matching order, once, when they are loaded); rows of the
 * output are plain.
 */
#include <string.h>

#include "layers/cpu_i.h"

struct ip {
    const struct ot_ip_geom *g;
    int nd; /* of input and weights */
    dnnl_dims_t x, w, y, b;
    dnnl_memory_desc_t mx, my, mb;
};

static void sizes(struct ip *p, const struct ot_ip_geom *g, const struct ot_format *x)
{
    p->g = g;
    p->x[0] = p->y[0] = g->n;
    p->w[0] = p->y[1] = p->b[0] = g->oc;
    p->nd = g->nd + 1;
    for (int i = 0; i < g->nd; i++)
        p->x[i + 1] = p->w[i + 1] = g->dim[i];
    if (!x) { /* plain order: the axes do not matter, so let it be a matrix */
        for (int i = 1; i < g->nd; i++)
            p->x[1] *= g->dim[i];
        p->w[1] = p->x[1];
        p->nd = 2;
    }
    ot_md_of(&p->mx, x, p->nd, p->x);
    ot_md_plain(&p->my, 2, p->y);
    ot_md_plain(&p->mb, 1, p->b);
}

/* Transposed weights are (k, oc): the same logical matrix with exchanged strides. */
static void weights_md(const struct ip *p, dnnl_memory_desc_t *w)
{
    dnnl_dims_t strides = { 1, p->w[0] };

    if (!p->g->transpose)
        ot_md_any(w, p->nd, p->w);
    else
        OT_BUG_IF(dnnl_memory_desc_init_by_strides(w, 2, p->w, dnnl_f32, strides) != dnnl_success);
}

static dnnl_primitive_desc_t forward_desc(struct ot_dev *dev, const struct ip *p)
{
    dnnl_inner_product_desc_t d;
    dnnl_memory_desc_t w;

    weights_md(p, &w);
    if (dnnl_inner_product_forward_desc_init(&d, dnnl_forward_training, &p->mx, &w,
                                             p->g->bias ? &p->mb : NULL, &p->my) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, p->g->relu, NULL);
}

static dnnl_primitive_desc_t data_desc(struct ot_dev *dev, const struct ip *p,
                                       dnnl_primitive_desc_t fwd)
{
    dnnl_inner_product_desc_t d;
    dnnl_memory_desc_t w;

    weights_md(p, &w);
    if (dnnl_inner_product_backward_data_desc_init(&d, &p->mx, &w, &p->my) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, false, fwd);
}

static dnnl_primitive_desc_t filter_desc(struct ot_dev *dev, const struct ip *p,
                                         dnnl_primitive_desc_t fwd)
{
    dnnl_inner_product_desc_t d;
    dnnl_memory_desc_t w;

    weights_md(p, &w);
    if (dnnl_inner_product_backward_weights_desc_init(&d, &p->mx, &w, p->g->bias ? &p->mb : NULL,
                                                      &p->my) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, false, fwd);
}

static int plan_product(struct ot_dev *dev, struct ot_linear *lin, const struct ip *p,
                        struct ot_plan_info *info)
{
    const struct ot_ip_geom *g = p->g;
    dnnl_primitive_desc_t fwd = forward_desc(dev, p), data = NULL, filter = NULL;

    if (fwd && g->training) {
        filter = filter_desc(dev, p, fwd);
        data = g->need_dx && filter ? data_desc(dev, p, fwd) : NULL;
    }
    if (!fwd || (g->training && (!filter || (g->need_dx && !data)))) {
        (void)dnnl_primitive_desc_destroy(fwd);
        (void)dnnl_primitive_desc_destroy(filter);
        ot_dev_fail(dev, OT_ENOTSUP, "oneDNN has no inner product of %d rows to %d outputs", g->n,
                    g->oc);
        return dev->latch.code;
    }
    if (ot_linear_make(dev, lin, fwd, data, filter, g->bias ? (size_t)g->oc : 0, info))
        return dev->latch.code;
    if (g->transpose) /* plain memory of shape (k, oc) */
        info->w = NULL;
    return 0;
}

void ot_cpu_ip_plan(struct ot_dev *dev, const struct ot_ip_geom *g, const struct ot_format *x,
                    struct ot_plan **plan, struct ot_plan_info *info)
{
    struct ot_linear *lin = ot_plan_alloc(dev, sizeof *lin);
    struct ip p;

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!lin)
        return;
    lin->base.free = ot_linear_free;
    sizes(&p, g, g->transpose ? NULL : x);
    if (g->n == 0) {
        lin->empty = true;
        lin->b_elems = g->bias ? (size_t)g->oc : 0;
        lin->w_elems = info->w_elems = (size_t)g->oc;
        for (int i = 0; i < g->nd; i++)
            lin->w_elems = info->w_elems *= (size_t)g->dim[i];
    } else if (plan_product(dev, lin, &p, info)) {
        ot_linear_free(&lin->base);
        return;
    }
    *plan = &lin->base;
}

void ot_cpu_ip_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                   const float *b, void *scratch, float *y)
{
    ot_linear_fwd(dev, plan, x, w, b, scratch, y);
}

void ot_cpu_ip_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                        void *scratch, float *dx)
{
    ot_linear_bwd_data(dev, plan, w, dy, scratch, dx);
}

void ot_cpu_ip_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *dy,
                          void *scratch, float beta, float *dw, float *db)
{
    ot_linear_bwd_filter(dev, plan, x, dy, scratch, beta, dw, db);
}
