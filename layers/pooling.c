/*
 * pooling.c - Pooling: MAX, AVE and STOCHASTIC.
 *
 * Output size: ceil or floor (ceil_mode) of (size + 2 pad - kernel) / stride, plus 1; then, as long
 * as the last window would start beyond the image and its left padding, one less.  A second top of
 * MAX is Caffe's mask: where in its h x w plane each maximum was.
 *
 * STOCHASTIC draws in TRAIN and is a weighted average in TEST, without a gradient; in plain order,
 * with the plan of MAX for its backward.
 */
#include <string.h>

#include "layers/layer.h"
#include "layers/pool_math.h"

struct pooling {
    struct ot_pool_geom g, planned;
    const struct ot_format *planned_x;
    struct ot_plan *plan;
    struct ot_plan_info info;
    bool ceil_mode, stochastic;
};

/* kernel, stride or pad: `one` for both axes, or its _h and _w forms. */
static int read_pair(struct ot_layer *l, const char *field, const bool has[3], const uint32_t v[3],
                     int least, int *h, int *w, struct ot_err *err)
{
    const Caffe__PoolingParameter *p = l->conf->pooling_param;
    uint32_t a = has[1] || has[2] ? v[1] : v[0], b = has[1] || has[2] ? v[2] : v[0];

    if (has[0] && (has[1] || has[2]))
        return ot_layer_fail(l, err, p, field, OT_ECONFIG,
                             "%s: give it alone or as _h and _w, got %u with h %u and w %u", field,
                             v[0], v[1], v[2]);
    if (least > 0 && has[1] != has[2])
        return ot_layer_fail(l, err, p, field, OT_ECONFIG,
                             "%s: _h and _w must come together, got h %u and w %u", field, v[1],
                             v[2]);
    if (a < (uint32_t)least || b < (uint32_t)least || a > 32768 || b > 32768)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG,
                             "%s: must be in [%d, 32768], got %u and %u", field, least, a, b);
    *h = (int)a;
    *w = (int)b;
    return 0;
}

static int read_window(struct ot_layer *l, struct ot_pool_geom *g, struct ot_err *err)
{
    const Caffe__PoolingParameter *p = l->conf->pooling_param;
    bool has_size = p->has_kernel_size || p->has_kernel_h || p->has_kernel_w;

    if (read_pair(l, "stride", (bool[]){ p->has_stride, p->has_stride_h, p->has_stride_w },
                  (uint32_t[]){ p->stride, p->stride_h, p->stride_w }, 1, &g->sh, &g->sw, err) ||
        read_pair(l, "pad", (bool[]){ p->has_pad, p->has_pad_h, p->has_pad_w },
                  (uint32_t[]){ p->pad, p->pad_h, p->pad_w }, 0, &g->ph, &g->pw, err))
        return err->code;
    if (p->global_pooling) {
        if (has_size || g->ph || g->pw || g->sh != 1 || g->sw != 1)
            return ot_layer_fail(l, err, p, "global_pooling", OT_ECONFIG,
                                 "global_pooling: takes no kernel_size, pad 0 and stride 1, got "
                                 "pad %dx%d and stride %dx%d",
                                 g->ph, g->pw, g->sh, g->sw);
        return 0;
    }
    if (read_pair(l, "kernel_size",
                  (bool[]){ p->has_kernel_size, p->has_kernel_h, p->has_kernel_w },
                  (uint32_t[]){ p->kernel_size, p->kernel_h, p->kernel_w }, 1, &g->kh, &g->kw, err))
        return err->code;
    if (g->ph >= g->kh || g->pw >= g->kw)
        return ot_layer_fail(l, err, p, "pad", OT_ECONFIG,
                             "pad: must be smaller than the kernel %dx%d, got %dx%d", g->kh, g->kw,
                             g->ph, g->pw);
    return 0;
}

static int pooling_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__PoolingParameter *p = l->conf->pooling_param;
    struct pooling *s = l->state;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "pooling_param is missing");
    s->stochastic = p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__STOCHASTIC;
    s->g.kind = p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__AVE ? OT_POOL_AVE : OT_POOL_MAX;
    s->ceil_mode = p->ceil_mode;
    if (l->nout > 1 && (s->g.kind != OT_POOL_MAX || s->stochastic))
        return ot_layer_fail(l, err, p, "pool", OT_ECONFIG,
                             "pool: only MAX has a second top, got %s with %d tops",
                             s->stochastic ? "STOCHASTIC" : "AVE", l->nout);
    if (read_window(l, &s->g, err))
        return err->code;
    if (s->stochastic && (s->g.ph || s->g.pw))
        return ot_layer_fail(l, err, p, "pad", OT_ECONFIG,
                             "pad: STOCHASTIC takes no padding, got %dx%d", s->g.ph, s->g.pw);
    return 0;
}

static int pooling_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct pooling *s = l->state;
    struct ot_pool_geom *g = &s->g;
    const struct ot_shape *x = &l->in[0]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (x->nd != 4)
        return ot_fail(err, OT_ESHAPE, "input must have 4 axes (N, C, H, W), got %s",
                       ot_shape_str(x, text));
    g->n = x->dim[0];
    g->c = x->dim[1];
    g->h = x->dim[2];
    g->w = x->dim[3];
    if (l->conf->pooling_param->global_pooling) {
        g->kh = g->h;
        g->kw = g->w;
    }
    if (g->h + 2 * g->ph < g->kh || g->w + 2 * g->pw < g->kw || g->h < 1 || g->w < 1)
        return ot_layer_fail(l, err, l->conf->pooling_param, "kernel_size", OT_ESHAPE,
                             "kernel_size: a window of %dx%d does not fit an input of %dx%d with "
                             "padding %dx%d",
                             g->kh, g->kw, g->h, g->w, g->ph, g->pw);
    g->oh = ot_pool_out(g->h, g->kh, g->sh, g->ph, s->ceil_mode);
    g->ow = ot_pool_out(g->w, g->kw, g->sw, g->pw, s->ceil_mode);
    for (int i = 0; i < l->nout; i++)
        l->out[i]->data.shape = ot_shape4(g->n, g->c, g->oh, g->ow);
    l->flops = (double)g->n * g->c * g->oh * g->ow * g->kh * g->kw;
    return 0;
}

static int pooling_plan(struct ot_layer *l, struct ot_err *err)
{
    struct pooling *s = l->state;
    /* a mask is plain */
    const struct ot_format *x = l->nout > 1 || s->stochastic ? NULL : l->in[0]->data.fmt;

    if (s->stochastic && l->env->phase != CAFFE__PHASE__TRAIN && ot_want_in(l, 0))
        return ot_layer_fail(l, err, l->conf->pooling_param, "pool", OT_ENOTSUP,
                             "pool: STOCHASTIC has a gradient in phase TRAIN only, got TEST");
    s->g.training = ot_want_in(l, 0) || l->nout > 1;
    if (!s->plan || memcmp(&s->g, &s->planned, sizeof s->g) || s->planned_x != x) {
        l->dev->k->plan_free(l->dev, s->plan);
        s->plan = NULL;
        l->dev->k->pool_plan(l->dev, &s->g, x, &s->plan, &s->info);
        if (ot_dev_ok(l->dev, err))
            return err->code;
        s->planned = s->g;
        s->planned_x = x;
    }
    l->in_fmt[0] = s->info.x;
    l->out[0]->data.fmt = s->info.y;
    l->out[0]->data.elems = s->info.y_elems;
    if (l->nout > 1) {
        l->out[1]->data.fmt = NULL;
        l->out[1]->data.elems = ot_count(&l->out[1]->data.shape);
    }
    l->scratch_bytes = s->info.scratch_bytes;
    l->ws_bytes[0] = s->info.ws_bytes;
    return 0;
}

static void pooling_forward(struct ot_layer *l)
{
    const struct pooling *s = l->state;

    if (s->stochastic && l->env->phase == CAFFE__PHASE__TRAIN)
        l->dev->k->pool_draw(l->dev, &s->g, l->env->seed, l->stream, l->in[0]->data.data, l->ws[0],
                             l->out[0]->data.data);
    else if (s->stochastic)
        l->dev->k->pool_weighted(l->dev, &s->g, l->in[0]->data.data, l->out[0]->data.data);
    else
        l->dev->k->pool_fwd(l->dev, s->plan, l->in[0]->data.data, l->scratch, l->ws[0],
                            l->out[0]->data.data);
    if (l->nout > 1)
        l->dev->k->pool_mask(l->dev, s->plan, l->ws[0], l->out[1]->data.data);
}

static void pooling_backward(struct ot_layer *l)
{
    const struct pooling *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->pool_bwd(l->dev, s->plan, l->in[0]->data.data, l->out[0]->data.data,
                            l->out[0]->grad.data, l->ws[0], l->scratch, l->in[0]->grad.data);
}

static void pooling_release(struct ot_layer *l)
{
    struct pooling *s = l->state;

    l->dev->k->plan_free(l->dev, s->plan);
}

const struct ot_layer_ops ot_layer_pooling = {
    .type = "Pooling",
    .doc = "maximum, average or a random value of windows",
    .state_size = sizeof(struct pooling),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .setup = pooling_setup,
    .reshape = pooling_reshape,
    .plan = pooling_plan,
    .forward = pooling_forward,
    .backward = pooling_backward,
    .release = pooling_release,
};
