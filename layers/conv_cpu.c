/*
 * conv_cpu.c - convolution through oneDNN.
 *
 * Layout: input, weights and output in the order oneDNN's direct kernels like (channels in blocks
 * of 16 on AVX-512); an input of at most four channels (pictures) stays plain, for which there are
 * first-layer kernels.  The backward primitives are first asked for in the forward layout; when
 * that only finds a reference or plain matrix-multiply implementation, they choose for themselves
 * and the plan converts.
 */
#include <string.h>

#include "layers/cpu_i.h"

struct conv {
    const struct ot_conv_geom *g;
    int wd; /* axes of the weights: 5 with groups */
    dnnl_dims_t x, y, w, b;
    dnnl_dims_t stride, dilate, pad_l, pad_r;
};

static void sizes(struct conv *c, const struct ot_conv_geom *g)
{
    dnnl_dim_t *w = c->w;
    dnnl_dim_t keff_h = (g->kh - 1) * g->dh + 1, keff_w = (g->kw - 1) * g->dw + 1;

    c->g = g;
    c->x[0] = c->y[0] = g->n;
    c->x[1] = g->c;
    c->x[2] = g->h;
    c->x[3] = g->w;
    c->y[1] = c->b[0] = g->oc;
    c->y[2] = g->oh;
    c->y[3] = g->ow;
    if (g->group > 1)
        *w++ = g->group;
    *w++ = g->oc / g->group;
    *w++ = g->c / g->group;
    *w++ = g->kh;
    *w++ = g->kw;
    c->wd = (int)(w - c->w);
    c->stride[0] = g->sh;
    c->stride[1] = g->sw;
    c->dilate[0] = g->dh - 1; /* oneDNN counts the holes */
    c->dilate[1] = g->dw - 1;
    c->pad_l[0] = g->ph;
    c->pad_l[1] = g->pw;
    /* what the windows reach beyond the input; negative when they leave a rest */
    c->pad_r[0] = (g->oh - 1) * g->sh + keff_h - g->h - g->ph;
    c->pad_r[1] = (g->ow - 1) * g->sw + keff_w - g->w - g->pw;
}

static dnnl_primitive_desc_t forward_desc(struct ot_dev *dev, const struct conv *c,
                                          const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                          const dnnl_memory_desc_t *y)
{
    dnnl_memory_desc_t b;
    dnnl_convolution_desc_t d;

    ot_md_plain(&b, 1, c->b);
    if (dnnl_dilated_convolution_forward_desc_init(
            &d, dnnl_forward_training, dnnl_convolution_direct, x, w, c->g->bias ? &b : NULL, y,
            c->stride, c->dilate, c->pad_l, c->pad_r) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, c->g->relu, NULL);
}

static dnnl_primitive_desc_t data_desc(struct ot_dev *dev, const struct conv *c,
                                       const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                       const dnnl_memory_desc_t *y, dnnl_primitive_desc_t fwd)
{
    dnnl_convolution_desc_t d;

    if (dnnl_dilated_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, x, w, y,
                                                         c->stride, c->dilate, c->pad_l,
                                                         c->pad_r) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, false, fwd);
}

static dnnl_primitive_desc_t filter_desc(struct ot_dev *dev, const struct conv *c,
                                         const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                         const dnnl_memory_desc_t *y, dnnl_primitive_desc_t fwd)
{
    dnnl_memory_desc_t b;
    dnnl_convolution_desc_t d;

    ot_md_plain(&b, 1, c->b);
    if (dnnl_dilated_convolution_backward_weights_desc_init(
            &d, dnnl_convolution_direct, x, w, c->g->bias ? &b : NULL, y, c->stride, c->dilate,
            c->pad_l, c->pad_r) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, false, fwd);
}

static bool slow(dnnl_primitive_desc_t pd)
{
    return ot_desc_is(pd, "ref") || ot_desc_is(pd, "gemm");
}

typedef dnnl_primitive_desc_t desc_fn(struct ot_dev *, const struct conv *,
                                      const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                                      const dnnl_memory_desc_t *, dnnl_primitive_desc_t);

/* First with the forward's layouts of input and output, then with none fixed. */
static dnnl_primitive_desc_t backward_desc(struct ot_dev *dev, const struct conv *c, desc_fn *make,
                                           dnnl_primitive_desc_t fwd)
{
    const dnnl_memory_desc_t *x = dnnl_primitive_desc_query_md(fwd, dnnl_query_exec_arg_md,
                                                               DNNL_ARG_SRC);
    const dnnl_memory_desc_t *y = dnnl_primitive_desc_query_md(fwd, dnnl_query_exec_arg_md,
                                                               DNNL_ARG_DST);
    dnnl_memory_desc_t any_x, any_y, any_w;
    dnnl_primitive_desc_t pd, other;

    ot_md_any(&any_x, 4, c->x);
    ot_md_any(&any_y, 4, c->y);
    ot_md_any(&any_w, c->wd, c->w);
    pd = make(dev, c, x, &any_w, y, fwd);
    if (pd && !slow(pd))
        return pd;
    other = make(dev, c, &any_x, &any_w, &any_y, fwd);
    if (!other || (pd && slow(other))) {
        (void)dnnl_primitive_desc_destroy(other);
        return pd;
    }
    (void)dnnl_primitive_desc_destroy(pd);
    return other;
}

static dnnl_primitive_desc_t choose_forward(struct ot_dev *dev, const struct conv *c,
                                            const struct ot_format *x)
{
    dnnl_memory_desc_t any_x, any_y, any_w, plain;
    dnnl_primitive_desc_t pd, other;

    ot_md_any(&any_x, 4, c->x);
    ot_md_any(&any_y, 4, c->y);
    ot_md_any(&any_w, c->wd, c->w);
    ot_md_plain(&plain, 4, c->x);
    pd = forward_desc(dev, c, !x && c->g->c <= 4 ? &plain : &any_x, &any_w, &any_y);
    if (pd && !slow(pd))
        return pd;
    other = forward_desc(dev, c, &any_x, &any_w, &any_y);
    if (other && pd && slow(other)) {
        (void)dnnl_primitive_desc_destroy(other);
        return pd;
    }
    (void)dnnl_primitive_desc_destroy(pd);
    return other;
}

static int plan_convolution(struct ot_dev *dev, struct ot_linear *lin, const struct conv *c,
                            const struct ot_format *x, struct ot_plan_info *info)
{
    const struct ot_conv_geom *g = c->g;
    dnnl_primitive_desc_t fwd = choose_forward(dev, c, x), data = NULL, filter = NULL;

    if (fwd && g->training) {
        filter = backward_desc(dev, c, filter_desc, fwd);
        data = g->need_dx && filter ? backward_desc(dev, c, data_desc, fwd) : NULL;
    }
    if (!fwd || (g->training && (!filter || (g->need_dx && !data)))) {
        (void)dnnl_primitive_desc_destroy(fwd);
        (void)dnnl_primitive_desc_destroy(filter);
        ot_dev_fail(dev, OT_ENOTSUP,
                    "oneDNN has no convolution of %dx%dx%dx%d by %dx%d to %d channels", g->n, g->c,
                    g->h, g->w, g->kh, g->kw, g->oc);
        return dev->latch.code;
    }
    return ot_linear_make(dev, lin, fwd, data, filter, g->bias ? (size_t)g->oc : 0, info);
}

/* Nothing to compute: plain, and gradients of zero. */
static void plan_nothing(struct ot_linear *lin, const struct conv *c, struct ot_plan_info *info)
{
    const struct ot_conv_geom *g = c->g;

    lin->empty = true;
    lin->b_elems = g->bias ? (size_t)g->oc : 0;
    lin->w_elems = info->w_elems = (size_t)g->oc * (size_t)(g->c / g->group) * (size_t)g->kh *
                                   (size_t)g->kw;
}

void ot_cpu_conv_plan(struct ot_dev *dev, const struct ot_conv_geom *g, const struct ot_format *x,
                      struct ot_plan **plan, struct ot_plan_info *info)
{
    struct ot_linear *lin = ot_plan_alloc(dev, sizeof *lin);
    struct conv c;

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!lin)
        return;
    lin->base.free = ot_linear_free;
    sizes(&c, g);
    if (g->n == 0)
        plan_nothing(lin, &c, info);
    else if (plan_convolution(dev, lin, &c, x, info)) {
        ot_linear_free(&lin->base);
        return;
    }
    *plan = &lin->base;
}

void ot_cpu_conv_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                     const float *b, void *scratch, float *y)
{
    ot_linear_fwd(dev, plan, x, w, b, scratch, y);
}

void ot_cpu_conv_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                          void *scratch, float *dx)
{
    ot_linear_bwd_data(dev, plan, w, dy, scratch, dx);
}

void ot_cpu_conv_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                            const float *dy, void *scratch, float beta, float *dw, float *db)
{
    ot_linear_bwd_filter(dev, plan, x, dy, scratch, beta, dw, db);
}
