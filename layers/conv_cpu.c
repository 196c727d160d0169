/*
 * conv_cpu.c - convolution through oneDNN.
 *
 * Layout: input, weights and output in the order oneDNN's direct kernels like (channels in blocks
 * of 16 on AVX-512); an input of at most four channels (pictures) stays plain, for which there are
 * first-layer kernels, and where filling the last blocks would more than double the work (20 and 50
 * channels), channels come last.  The backward primitives are first asked for in the forward
 * layout; when that only finds a reference or plain matrix-multiply implementation, they choose for
 * themselves and the plan converts.
 *
 * Dense 3x3 convolutions of enough channels and places are done by Winograd's minimal filtering,
 * F(4x4, 3x3): a quarter of the multiplications, two to three times the speed.  Its sums are
 * ordered otherwise: outputs differ from the direct ones by up to 2e-5 of their root mean square
 * (docs/benchmarks.md).  Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural
 * Networks", CVPR 2016.
 */
#include <string.h>

#include "layers/cpu_i.h"

/* Winograd's tiles: fewer do not pay for transforming the weights; scratch: of one primitive. */
enum { TILE = 4, MIN_TILES = 64, MIN_CHANNELS = 32, MAX_SCRATCH = 320 << 20 };

struct conv {
    const struct ot_conv_geom *g;
    dnnl_alg_kind_t alg;
    int wd; /* axes of the weights: 5 with groups */
    dnnl_dims_t x, y, w, b;
    dnnl_dims_t stride, dilate, pad_l, pad_r;
};

static void sizes(struct conv *c, const struct ot_conv_geom *g)
{
    dnnl_dim_t *w = c->w;
    dnnl_dim_t keff_h = (g->kh - 1) * g->dh + 1, keff_w = (g->kw - 1) * g->dw + 1;

    c->g = g;
    c->alg = dnnl_convolution_direct;
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
                                          const dnnl_memory_desc_t *y, dnnl_primitive_desc_t none)
{
    dnnl_memory_desc_t b;
    dnnl_convolution_desc_t d;

    ot_md_plain(&b, 1, c->b);
    if (dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, c->alg, x, w,
                                                   c->g->bias ? &b : NULL, y, c->stride, c->dilate,
                                                   c->pad_l, c->pad_r) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, c->g->relu, none);
}

static dnnl_primitive_desc_t data_desc(struct ot_dev *dev, const struct conv *c,
                                       const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                       const dnnl_memory_desc_t *y, dnnl_primitive_desc_t fwd)
{
    dnnl_convolution_desc_t d;

    if (dnnl_dilated_convolution_backward_data_desc_init(&d, c->alg, x, w, y, c->stride, c->dilate,
                                                         c->pad_l, c->pad_r) != dnnl_success)
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
            &d, c->alg, x, w, c->g->bias ? &b : NULL, y, c->stride, c->dilate, c->pad_l,
            c->pad_r) != dnnl_success)
        return NULL;
    return ot_try_desc(dev, &d, false, fwd);
}

static bool slow(dnnl_primitive_desc_t pd)
{
    return ot_desc_is(pd, "ref") || ot_desc_is(pd, "gemm") || ot_desc_is(pd, "x64:gemm");
}

typedef dnnl_primitive_desc_t desc_fn(struct ot_dev *, const struct conv *,
                                      const dnnl_memory_desc_t *, const dnnl_memory_desc_t *,
                                      const dnnl_memory_desc_t *, dnnl_primitive_desc_t);

static bool pays_for_winograd(const struct ot_conv_geom *g)
{
    int64_t tiles = (int64_t)g->n * ((g->oh + TILE - 1) / TILE) * ((g->ow + TILE - 1) / TILE);

    return g->kh == 3 && g->kw == 3 && g->sh == 1 && g->sw == 1 && g->dh == 1 && g->dw == 1 &&
           g->group == 1 && g->c >= MIN_CHANNELS && g->oc >= MIN_CHANNELS && tiles >= MIN_TILES;
}

/* NULL where it does not pay or does not exist. */
static dnnl_primitive_desc_t winograd_desc(struct ot_dev *dev, const struct conv *c, desc_fn *make,
                                           const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                                           const dnnl_memory_desc_t *y, dnnl_primitive_desc_t fwd)
{
    struct conv wino = *c;
    const dnnl_memory_desc_t *pad;
    dnnl_primitive_desc_t pd;

    wino.alg = dnnl_convolution_winograd;
    pd = pays_for_winograd(c->g) ? make(dev, &wino, x, w, y, fwd) : NULL;
    pad = pd ? dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0) : NULL;
    if (!pad || dnnl_memory_desc_get_size(pad) <= MAX_SCRATCH)
        return pd;
    (void)dnnl_primitive_desc_destroy(pd);
    return NULL;
}

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
    pd = winograd_desc(dev, c, make, x, &any_w, y, fwd);
    if (!pd)
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

/* Blocks of 16 hold more than half padding, counted in multiplications. */
static bool blocks_are_wasteful(const struct ot_conv_geom *g)
{
    int64_t c = (g->c + 15) / 16 * 16, oc = (g->oc + 15) / 16 * 16;

    return g->group == 1 && g->c > 4 && !g->plain && c * oc > 2 * (int64_t)g->c * g->oc;
}

/* With channels last; NULL unless oneDNN has kernels for it. */
static dnnl_primitive_desc_t channels_last(struct ot_dev *dev, const struct conv *c,
                                           const dnnl_memory_desc_t *w)
{
    dnnl_memory_desc_t x, y;
    dnnl_primitive_desc_t pd;

    OT_BUG_IF(dnnl_memory_desc_init_by_tag(&x, 4, c->x, dnnl_f32, dnnl_nhwc) != dnnl_success ||
              dnnl_memory_desc_init_by_tag(&y, 4, c->y, dnnl_f32, dnnl_nhwc) != dnnl_success);
    pd = forward_desc(dev, c, &x, w, &y, NULL);
    if (pd && !slow(pd))
        return pd;
    (void)dnnl_primitive_desc_destroy(pd);
    return NULL;
}

static dnnl_primitive_desc_t choose_forward(struct ot_dev *dev, const struct conv *c,
                                            const struct ot_format *x)
{
    dnnl_memory_desc_t any_x, any_y, any_w, plain;
    dnnl_primitive_desc_t pd, other;

    (c->g->plain ? ot_md_plain : ot_md_any)(&any_x, 4, c->x);
    (c->g->plain ? ot_md_plain : ot_md_any)(&any_y, 4, c->y);
    ot_md_any(&any_w, c->wd, c->w);
    ot_md_plain(&plain, 4, c->x);
    pd = winograd_desc(dev, c, forward_desc, &any_x, &any_w, &any_y, NULL);
    if (!pd && blocks_are_wasteful(c->g))
        pd = channels_last(dev, c, &any_w);
    if (!pd)
        pd = forward_desc(dev, c, !x && c->g->c <= 4 ? &plain : &any_x, &any_w, &any_y, NULL);
    if (pd && !slow(pd))
        return pd;
    other = forward_desc(dev, c, &any_x, &any_w, &any_y, NULL);
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
