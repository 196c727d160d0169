/*
 * convolution.c - Convolution and Deconvolution, 2-D and (as one row) 1-D, with groups and
 * dilation.
 *
 * Output size: floor((size + 2 pad - ((kernel - 1) dilation + 1)) / stride) + 1.  Weights are
 * (num_output, channels / group, kernel...), bias (num_output).  Several bottoms share them, one
 * top each.
 *
 * Deconvolution is the gradient of a convolution for its input: output size (size - 1) stride +
 * (kernel - 1) dilation + 1 - 2 pad, weights (channels, num_output / group, kernel...).  It differs
 * in its plan and shapes; the same kernels run it.
 *
 * Channels on another axis than 1 are computed in plain order, since a format's blocks are those of
 * axis 1 to the layers that follow.  Extension: per_anchor times the number of anchors of the net's
 * anchor_param instead of num_output, so that the head of a region proposal net follows the
 * anchors.
 */
#include <string.h>

#include "layers/conv_window.h"

struct convolution {
    struct ot_conv_geom g, planned;
    const struct ot_format *planned_x;
    struct ot_plan *plan;
    struct ot_plan_info info;
    int spatial;     /* axes after the channels: 1 or 2 */
    int axis;        /* of the channels */
    bool transposed; /* Deconvolution */
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
    int from = s->transposed ? g->oc : g->c, to = s->transposed ? g->c : g->oc;
    struct ot_shape w = ot_shape4(to, from / g->group, g->kh, g->kw), b = ot_shape1(g->oc);

    if (s->spatial == 1)
        w = (struct ot_shape){ 3, { to, from / g->group, g->kw } };
    if (ot_layer_param(l, &w, p->weight_filler, err))
        return err->code;
    return g->bias ? ot_layer_param(l, &b, p->bias_filler, err) : 0;
}

static int convolution_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    struct convolution *s = l->state;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "convolution_param is missing");
    if (l->nin != l->nout)
        return ot_fail(err, OT_ECONFIG, "must have as many tops as bottoms, got %d and %d", l->nout,
                       l->nin);
    if (ot_conv_axes(l, &s->axis, &s->spatial, err))
        return err->code;
    s->g.c = l->in[0]->data.shape.dim[s->axis];
    s->g.bias = p->bias_term;
    s->g.plain = s->axis != 1;
    if (count_outputs(l, &s->g.oc, err) || ot_conv_window(l, s->spatial, &s->g, err) ||
        check_group(l, &s->g, err))
        return err->code;
    s->g.group = (int)p->group;
    return declare(l, s, err);
}

static int deconvolution_setup(struct ot_layer *l, struct ot_err *err)
{
    struct convolution *s = l->state;

    s->transposed = true;
    return convolution_setup(l, err);
}

static int same_inputs(struct ot_layer *l, const struct convolution *s, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (x->nd != s->axis + 1 + s->spatial || x->dim[s->axis] != s->g.c)
        return ot_fail(err, OT_ESHAPE, "input must have %d axes and %d channels, got %s",
                       s->axis + 1 + s->spatial, s->g.c, ot_shape_str(x, a));
    for (int i = 1; i < l->nin; i++)
        if (!ot_shape_eq(&l->in[i]->data.shape, x))
            return ot_fail(err, OT_ESHAPE, "inputs must have one shape: \"%s\" is %s, \"%s\" is %s",
                           l->in[0]->name, ot_shape_str(x, a), l->in[i]->name,
                           ot_shape_str(&l->in[i]->data.shape, b));
    return 0;
}

/* oh, ow of Deconvolution */
static int spread(struct ot_layer *l, struct ot_conv_geom *g, struct ot_err *err)
{
    int64_t oh = (g->h - 1) * (int64_t)g->sh + (g->kh - 1) * g->dh + 1 - 2 * g->ph;
    int64_t ow = (g->w - 1) * (int64_t)g->sw + (g->kw - 1) * g->dw + 1 - 2 * g->pw;

    if (g->h < 1 || g->w < 1 || oh < 1 || ow < 1 || oh > OT_MAX_AXIS || ow > OT_MAX_AXIS)
        return ot_layer_fail(l, err, l->conf->convolution_param, "kernel_size", OT_ESHAPE,
                             "kernel_size: an input of %dx%d with kernel %dx%d, stride %dx%d, "
                             "dilation %dx%d and padding %dx%d cut off gives no output, got size "
                             "%lldx%lld",
                             g->h, g->w, g->kh, g->kw, g->sh, g->sw, g->dh, g->dw, g->ph, g->pw,
                             (long long)oh, (long long)ow);
    g->oh = (int)oh;
    g->ow = (int)ow;
    return 0;
}

static int convolution_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct convolution *s = l->state;
    struct ot_conv_geom *g = &s->g;
    struct ot_shape y = l->in[0]->data.shape;
    double places;

    if (same_inputs(l, s, err))
        return err->code;
    ot_conv_input(&y, s->axis, g);
    if (s->transposed ? spread(l, g, err) : ot_conv_slide(l, g, err))
        return err->code;
    ot_conv_output(g, s->axis, g->oc, &y);
    for (int i = 0; i < l->nout; i++)
        l->out[i]->data.shape = y;
    places = s->transposed ? (double)g->h * g->w : (double)g->oh * g->ow;
    l->flops = 2.0 * l->nin * g->n * g->oc * places * (g->c / g->group) * g->kh * g->kw;
    return 0;
}

static int make_plan(struct ot_layer *l, struct convolution *s, struct ot_err *err)
{
    const struct ot_format *x = l->in[0]->data.fmt;

    if (s->plan && !memcmp(&s->g, &s->planned, sizeof s->g) && s->planned_x == x)
        return 0;
    l->dev->k->plan_free(l->dev, s->plan);
    s->plan = NULL;
    if (s->transposed)
        l->dev->k->deconv_plan(l->dev, &s->g, x, &s->plan, &s->info);
    else
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

const struct ot_layer_ops ot_layer_deconvolution = {
    .type = "Deconvolution",
    .doc = "1-D and 2-D transposed convolution with groups, dilation and bias",
    .state_size = sizeof(struct convolution),
    .min_in = 1,
    .max_in = OT_MAX_IO,
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .flags = OT_LAYER_BWD_NEEDS_IN,
    .setup = deconvolution_setup,
    .reshape = convolution_reshape,
    .plan = convolution_plan,
    .forward = convolution_forward,
    .backward = convolution_backward,
    .release = convolution_release,
};
