/*
 * convolution.c - Convolution, 2-D and (as one row) 1-D, with groups and dilation.
 *
 * Output size: floor((size + 2 pad - ((kernel - 1) dilation + 1)) / stride) + 1.  Weights are
 * (num_output, channels / group, kernel...), bias (num_output).  Several bottoms share them, one
 * top each.  Extension: per_anchor times the number of anchors of the net's anchor_param instead of
 * num_output, so that the head of a region proposal net follows the anchors.
 */
#include <string.h>

#include "layers/layer.h"

struct convolution {
    struct ot_conv_geom g, planned;
    const struct ot_format *planned_x;
    struct ot_plan *plan;
    struct ot_plan_info info;
    int spatial; /* axes after the channels: 1 or 2 */
    int axis;    /* of the channels */
};

static int count_outputs(struct ot_layer *l, int *oc, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    const Caffe__AnchorParameter *a = l->env->net ? l->env->net->anchor_param : NULL;
    uint64_t n = p->num_output;

    if (p->has_num_output && p->has_per_anchor)
        return ot_layer_fail(l, err, p, "per_anchor", OT_ECONFIG,
                             "per_anchor: give num_output or per_anchor, not both, got %u and %u",
                             p->num_output, p->per_anchor);
    if (p->has_per_anchor) {
        if (!a)
            return ot_layer_fail(l, err, p, "per_anchor", OT_ECONFIG,
                                 "per_anchor: the net has no anchor_param, got per_anchor %u",
                                 p->per_anchor);
        n = (uint64_t)p->per_anchor * (a->n_ratio ? a->n_ratio : 3) * (a->n_scale ? a->n_scale : 3);
    }
    if (n < 1 || n > 1 << 24)
        return ot_layer_fail(l, err, p, "num_output", OT_ECONFIG,
                             "num_output: must be in [1, 16777216], got %llu",
                             (unsigned long long)n);
    *oc = (int)n;
    return 0;
}

/* One of kernel_size, stride, pad, dilation in its repeated form: axis i of `spatial`. */
static int repeated(struct ot_layer *l, const char *field, const uint32_t *v, size_t n, int i,
                    int spatial, int least, int unset, int *to, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    uint32_t value;

    if (n > 1 && n != (size_t)spatial)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG,
                             "%s: must be given once or once per axis (%d), got %zu", field,
                             spatial, n);
    if (n == 0) {
        *to = unset;
        return 0;
    }
    value = v[n == 1 ? 0 : i];
    if (value < (uint32_t)least || value > 32768)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG, "%s: must be in [%d, 32768], got %u",
                             field, least, value);
    *to = (int)value;
    return 0;
}

/* The _h and _w forms replace the repeated one and must come together. */
static int pair(struct ot_layer *l, const char *field, bool has_h, bool has_w, uint32_t h,
                uint32_t w, size_t n_repeated, int least, int *to_h, int *to_w, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;

    if (!has_h && !has_w)
        return 0;
    if (n_repeated || (least > 0 && (!has_h || !has_w)))
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG,
                             "%s: give it alone, or both its _h and _w form, got h %u and w %u",
                             field, h, w);
    if (h < (uint32_t)least || w < (uint32_t)least || h > 32768 || w > 32768)
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG,
                             "%s: must be in [%d, 32768], got h %u and w %u", field, least, h, w);
    *to_h = (int)h;
    *to_w = (int)w;
    return 0;
}

static int read_window(struct ot_layer *l, struct convolution *s, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    struct ot_conv_geom *g = &s->g;
    /* 1-D: one row high */
    int *const k[] = { &g->kh, &g->kw }, *const st[] = { &g->sh, &g->sw };
    int *const pa[] = { &g->ph, &g->pw }, *const di[] = { &g->dh, &g->dw };

    g->kh = g->sh = g->dh = 1;
    g->ph = 0;
    for (int i = 0; i < s->spatial; i++) {
        int a = 2 - s->spatial + i;

        if (repeated(l, "kernel_size", p->kernel_size, p->n_kernel_size, i, s->spatial, 1, 0, k[a],
                     err) ||
            repeated(l, "stride", p->stride, p->n_stride, i, s->spatial, 1, 1, st[a], err) ||
            repeated(l, "pad", p->pad, p->n_pad, i, s->spatial, 0, 0, pa[a], err) ||
            repeated(l, "dilation", p->dilation, p->n_dilation, i, s->spatial, 1, 1, di[a], err))
            return err->code;
    }
    if (pair(l, "kernel_size", p->has_kernel_h, p->has_kernel_w, p->kernel_h, p->kernel_w,
             p->n_kernel_size, 1, &g->kh, &g->kw, err) ||
        pair(l, "stride", p->has_stride_h, p->has_stride_w, p->stride_h, p->stride_w, p->n_stride,
             1, &g->sh, &g->sw, err) ||
        pair(l, "pad", p->has_pad_h, p->has_pad_w, p->pad_h, p->pad_w, p->n_pad, 0, &g->ph, &g->pw,
             err))
        return err->code;
    if (g->kw == 0)
        return ot_layer_fail(l, err, p, "kernel_size", OT_ECONFIG,
                             "kernel_size: must be given, got none");
    return 0;
}

static int check_group(struct ot_layer *l, const struct ot_conv_geom *g, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;

    if (p->group < 1 || p->group > 1 << 24 || g->c % (int)p->group || g->oc % (int)p->group)
        return ot_layer_fail(l, err, p, "group", OT_ECONFIG,
                             "group: must divide %d input and %d output channels, got %u", g->c,
                             g->oc, p->group);
    return 0;
}

static int declare(struct ot_layer *l, const struct convolution *s, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    const struct ot_conv_geom *g = &s->g;
    struct ot_shape w = ot_shape4(g->oc, g->c / g->group, g->kh, g->kw), b = ot_shape1(g->oc);

    if (s->spatial == 1)
        w = (struct ot_shape){ 3, { g->oc, g->c / g->group, g->kw } };
    if (ot_layer_param(l, &w, p->weight_filler, err))
        return err->code;
    return g->bias ? ot_layer_param(l, &b, p->bias_filler, err) : 0;
}

static int convolution_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct convolution *s = l->state;
    char text[OT_SHAPE_TEXT];

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "convolution_param is missing");
    if (l->nin != l->nout)
        return ot_fail(err, OT_ECONFIG, "must have as many tops as bottoms, got %d and %d", l->nout,
                       l->nin);
    if (ot_layer_axis(l, p->axis, x->nd, &s->axis, err))
        return ot_layer_blame(l, err, p, "axis");
    s->spatial = x->nd - s->axis - 1;
    if (s->axis != 1 || s->spatial < 1 || s->spatial > 2)
        return ot_layer_fail(l, err, p, "axis", OT_ENOTSUP,
                             "convolution runs over 1 or 2 axes after (N, C), got input %s and "
                             "channel axis %d",
                             ot_shape_str(x, text), s->axis);
    s->g.c = x->dim[1];
    s->g.bias = p->bias_term;
    if (count_outputs(l, &s->g.oc, err) || read_window(l, s, err) || check_group(l, &s->g, err))
        return err->code;
    s->g.group = (int)p->group;
    return declare(l, s, err);
}

static int same_inputs(struct ot_layer *l, const struct convolution *s, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (x->nd != s->spatial + 2 || x->dim[1] != s->g.c)
        return ot_fail(err, OT_ESHAPE, "input must have %d axes and %d channels, got %s",
                       s->spatial + 2, s->g.c, ot_shape_str(x, a));
    for (int i = 1; i < l->nin; i++)
        if (!ot_shape_eq(&l->in[i]->data.shape, x))
            return ot_fail(err, OT_ESHAPE, "inputs must have one shape: \"%s\" is %s, \"%s\" is %s",
                           l->in[0]->name, ot_shape_str(x, a), l->in[i]->name,
                           ot_shape_str(&l->in[i]->data.shape, b));
    return 0;
}

static int convolution_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct convolution *s = l->state;
    struct ot_conv_geom *g = &s->g;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_shape y = *x;
    int room_h, room_w;

    if (same_inputs(l, s, err))
        return err->code;
    g->n = x->dim[0];
    g->h = s->spatial == 2 ? x->dim[2] : 1;
    g->w = x->dim[x->nd - 1];
    room_h = g->h + 2 * g->ph - ((g->kh - 1) * g->dh + 1);
    room_w = g->w + 2 * g->pw - ((g->kw - 1) * g->dw + 1);
    if (room_h < 0 || room_w < 0)
        return ot_layer_fail(l, err, l->conf->convolution_param, "kernel_size", OT_ESHAPE,
                             "kernel_size: a kernel of %dx%d with dilation %dx%d does not fit an "
                             "input of %dx%d with padding %dx%d",
                             g->kh, g->kw, g->dh, g->dw, g->h, g->w, g->ph, g->pw);
    g->oh = room_h / g->sh + 1;
    g->ow = room_w / g->sw + 1;
    y.dim[1] = g->oc;
    y.dim[y.nd - 1] = g->ow;
    if (s->spatial == 2)
        y.dim[2] = g->oh;
    for (int i = 0; i < l->nout; i++)
        l->out[i]->data.shape = y;
    l->flops = 2.0 * l->nin * g->n * g->oc * g->oh * g->ow * (g->c / g->group) * g->kh * g->kw;
    return 0;
}

static int make_plan(struct ot_layer *l, struct convolution *s, struct ot_err *err)
{
    const struct ot_format *x = l->in[0]->data.fmt;

    if (s->plan && !memcmp(&s->g, &s->planned, sizeof s->g) && s->planned_x == x)
        return 0;
    l->dev->k->plan_free(l->dev, s->plan);
    s->plan = NULL;
    l->dev->k->conv_plan(l->dev, &s->g, x, &s->plan, &s->info);
    if (ot_dev_ok(l->dev, err))
        return err->code;
    s->planned = s->g;
    s->planned_x = x;
    return 0;
}

static int convolution_plan(struct ot_layer *l, struct ot_err *err)
{
    struct convolution *s = l->state;

    s->g.need_dx = false;
    for (int i = 0; i < l->nin; i++)
        s->g.need_dx = s->g.need_dx || ot_want_in(l, i);
    s->g.training = s->g.need_dx || ot_want_param(l, 0) || ot_want_param(l, 1);
    s->g.relu = l->fused_relu;
    if (make_plan(l, s, err))
        return err->code;
    for (int i = 0; i < l->nin; i++) {
        l->in_fmt[i] = s->info.x;
        l->out[i]->data.fmt = s->info.y;
        l->out[i]->data.elems = s->info.y_elems;
    }
    l->param[0]->data.fmt = s->info.w;
    l->param[0]->data.elems = s->info.w_elems;
    l->scratch_bytes = s->info.scratch_bytes;
    l->ws_bytes[0] = s->info.ws_bytes;
    return 0;
}

static void convolution_forward(struct ot_layer *l)
{
    const struct convolution *s = l->state;

    for (int i = 0; i < l->nin; i++)
        l->dev->k->conv_fwd(l->dev, s->plan, l->in[i]->data.data, l->param[0]->data.data,
                            s->g.bias ? l->param[1]->data.data : NULL, l->scratch,
                            l->out[i]->data.data);
}

/* With a fused ReLU the ReLU layer's own backward has already masked the output's gradient. */
static void convolution_backward(struct ot_layer *l)
{
    const struct convolution *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    bool want_w = ot_want_param(l, 0), want_b = ot_want_param(l, 1);
    float beta = want_w || want_b ? ot_layer_common_beta(l) : 0.0f;

    for (int i = 0; i < l->nin; i++) {
        float *dy = l->out[i]->grad.data;

        if (want_w || want_b)
            k->conv_bwd_filter(l->dev, s->plan, l->in[i]->data.data, dy, l->scratch,
                               i == 0 ? beta : 1.0f, want_w ? l->param[0]->grad.data : NULL,
                               want_b ? l->param[1]->grad.data : NULL);
        if (ot_want_in(l, i))
            k->conv_bwd_data(l->dev, s->plan, l->param[0]->data.data, dy, l->scratch,
                             l->in[i]->grad.data);
    }
}

static void convolution_release(struct ot_layer *l)
{
    struct convolution *s = l->state;

    l->dev->k->plan_free(l->dev, s->plan);
}

const struct ot_layer_ops ot_layer_convolution = {
    .type = "Convolution",
    .doc = "1-D and 2-D convolution with groups, dilation and bias",
    .state_size = sizeof(struct convolution),
    .min_in = 1,
    .max_in = OT_MAX_IO,
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .flags = OT_LAYER_FUSES_RELU | OT_LAYER_BWD_NEEDS_IN,
    .setup = convolution_setup,
    .reshape = convolution_reshape,
    .plan = convolution_plan,
    .forward = convolution_forward,
    .backward = convolution_backward,
    .release = convolution_release,
};
