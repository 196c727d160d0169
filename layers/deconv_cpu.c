/*
 * deconv_cpu.c - transposed convolution through oneDNN, run by convolution's kernels.
 *
 * oneDNN chooses the layouts of all three tensors forward, the backward primitives take those of
 * input and output where they can.  Its weights are (g, oc/g, c/g, kh, kw), the net's are (g, c/g,
 * oc/g, kh, kw): the format that the net gets to see has these two axes exchanged.
 */
#include <string.h>

#include "layers/cpu_i.h"

struct deconv {
    const struct ot_conv_geom *g;
    int wd; /* axes of the weights: 5 with groups */
    dnnl_dims_t x, y, w, b;
    dnnl_dims_t stride, dilate, pad;
    dnnl_memory_desc_t x_md, y_md, w_md, b_md; /* free to choose; b: plain */
};

static void sizes(struct deconv *d, const struct ot_conv_geom *g)
{
    dnnl_dim_t *w = d->w;

    d->g = g;
    d->x[0] = d->y[0] = g->n;
    d->x[1] = g->c;
    d->x[2] = g->h;
    d->x[3] = g->w;
    d->y[1] = d->b[0] = g->oc;
    d->y[2] = g->oh;
    d->y[3] = g->ow;
    if (g->group > 1)
        *w++ = g->group;
    *w++ = g->oc / g->group;
    *w++ = g->c / g->group;
    *w++ = g->kh;
    *w++ = g->kw;
    d->wd = (int)(w - d->w);
    d->stride[0] = g->sh;
    d->stride[1] = g->sw;
    d->dilate[0] = g->dh - 1; /* oneDNN counts the holes */
    d->dilate[1] = g->dw - 1;
    d->pad[0] = g->ph;
    d->pad[1] = g->pw;
    (g->plain ? ot_md_plain : ot_md_any)(&d->x_md, 4, d->x);
    (g->plain ? ot_md_plain : ot_md_any)(&d->y_md, 4, d->y);
    ot_md_any(&d->w_md, d->wd, d->w);
    ot_md_plain(&d->b_md, 1, d->b);
}

static dnnl_primitive_desc_t forward_desc(struct ot_dev *dev, const struct deconv *d)
{
    dnnl_deconvolution_desc_t op;

    if (dnnl_dilated_deconvolution_forward_desc_init(
            &op, dnnl_forward_training, dnnl_deconvolution_direct, &d->x_md, &d->w_md,
            d->g->bias ? &d->b_md : NULL, &d->y_md, d->stride, d->dilate, d->pad,
            d->pad) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &op, false, NULL);
}

static dnnl_primitive_desc_t data_desc(struct ot_dev *dev, const struct deconv *d,
                                       const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *y,
                                       dnnl_primitive_desc_t fwd)
{
    dnnl_deconvolution_desc_t op;

    if (dnnl_dilated_deconvolution_backward_data_desc_init(&op, dnnl_deconvolution_direct, x,
                                                           &d->w_md, y, d->stride, d->dilate,
                                                           d->pad, d->pad) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &op, false, fwd);
}

static dnnl_primitive_desc_t filter_desc(struct ot_dev *dev, const struct deconv *d,
                                         const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *y,
                                         dnnl_primitive_desc_t fwd)
{
    dnnl_deconvolution_desc_t op;

    if (dnnl_dilated_deconvolution_backward_weights_desc_init(
            &op, dnnl_deconvolution_direct, x, &d->w_md, d->g->bias ? &d->b_md : NULL, y, d->stride,
            d->dilate, d->pad, d->pad) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &op, false, fwd);
}

typedef dnnl_primitive_desc_t desc_fn(struct ot_dev *, const struct deconv *,
                                      const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                                      dnnl_primitive_desc_t);

/* First with the forward's layouts of input and output, then with none fixed. */
static dnnl_primitive_desc_t backward_desc(struct ot_dev *dev, const struct deconv *d,
                                           desc_fn *make, dnnl_primitive_desc_t fwd)
{
    dnnl_primitive_desc_t pd = make(
        dev, d, dnnl_primitive_desc_query_md(fwd, dnnl_query_exec_arg_md, DNNL_ARG_SRC),
        dnnl_primitive_desc_query_md(fwd, dnnl_query_exec_arg_md, DNNL_ARG_DST), fwd);

    return pd ? pd : make(dev, d, &d->x_md, &d->y_md, fwd);
}

static int plan_deconvolution(struct ot_dev *dev, struct ot_linear *lin, const struct deconv *d,
                              struct ot_plan_info *info)
{
    static const int exchange[2][5] = { { 1, 0, 2, 3 }, { 0, 2, 1, 3, 4 } };
    const struct ot_conv_geom *g = d->g;
    dnnl_primitive_desc_t fwd = forward_desc(dev, d), data = NULL, filter = NULL;
    dnnl_memory_desc_t w;

    if (fwd && g->training) {
        filter = backward_desc(dev, d, filter_desc, fwd);
        data = g->need_dx && filter ? backward_desc(dev, d, data_desc, fwd) : NULL;
    }
    if (!fwd || (g->training && (!filter || (g->need_dx && !data)))) {
        (void)dnnl_primitive_desc_destroy(fwd);
        (void)dnnl_primitive_desc_destroy(filter);
        ot_dev_fail(dev, OT_ENOTSUP,
                    "oneDNN has no deconvolution of %dx%dx%dx%d by %dx%d to %d channels", g->n,
                    g->c, g->h, g->w, g->kh, g->kw, g->oc);
        return dev->latch.code;
    }
    if (ot_linear_make(dev, lin, fwd, data, filter, g->bias ? (size_t)g->oc : 0, info) ||
        ot_dnn_bad(dev, dnnl_memory_desc_permute_axes(&w, &lin->w, exchange[g->group > 1]),
                   "deconvolution's weights"))
        return dev->latch.code;
    info->w = ot_cpu_format(dev, &w, &info->w_elems);
    return dev->latch.code;
}

void ot_cpu_deconv_plan(struct ot_dev *dev, const struct ot_conv_geom *g, const struct ot_format *x,
                        struct ot_plan **plan, struct ot_plan_info *info)
{
    struct ot_linear *lin = ot_plan_alloc(dev, sizeof *lin);
    struct deconv d;

    (void)x;
    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!lin)
        return;
    lin->base.free = ot_linear_free;
    sizes(&d, g);
    if (g->n == 0) {
        lin->empty = true;
        lin->b_elems = g->bias ? (size_t)g->oc : 0;
        lin->w_elems = info->w_elems = (size_t)g->c * (size_t)(g->oc / g->group) * (size_t)g->kh *
                                       (size_t)g->kw;
    } else if (plan_deconvolution(dev, lin, &d, info)) {
        ot_linear_free(&lin->base);
        return;
    }
    *plan = &lin->base;
}
