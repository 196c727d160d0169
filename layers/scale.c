/*
 * scale.c - Scale (y = x s, or x s + t) and Bias (y = x + t): s and t have the shape of some
 * consecutive axes of x and are repeated along the others.  The second bottom, where there is one,
 * is s of Scale and t of Bias; otherwise they are parameters.
 */
#include "layers/channels.h"

struct scale {
    bool bias; /* the layer is Bias */
    int axis, num_axes;
    int from, to;    /* axes of x that s and t have */
    int s, t;        /* their parameters; -1: none */
    bool s_in, t_in; /* the second bottom is s, t */
    struct ot_channels g;
    Caffe__FillerParameter ones;
};

static const void *message(const struct ot_layer *l)
{
    const struct scale *st = l->state;

    return st->bias ? (const void *)l->conf->bias_param : (const void *)l->conf->scale_param;
}

/* The axes [from, to) of x that `num` axes (-1: all) from st->axis on are. */
static int find_axes(struct ot_layer *l, int num, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct scale *st = l->state;
    char text[OT_SHAPE_TEXT], second[OT_SHAPE_TEXT];

    if (num == 0) { /* a scalar: any axis will do */
        st->from = st->to = 0;
        return 0;
    }
    if (ot_layer_axis(l, st->axis, x->nd, &st->from, err))
        return ot_layer_blame(l, err, message(l), "axis");
    if (l->nin > 1 && num > x->nd - st->from)
        return ot_fail(err, OT_ESHAPE,
                       "bottom '%s' of shape %s does not fit from axis %d on into bottom '%s' of "
                       "shape %s",
                       l->in[1]->name, ot_shape_str(&l->in[1]->data.shape, second), st->from,
                       l->in[0]->name, ot_shape_str(x, text));
    if (num < -1 || num > x->nd - st->from)
        return ot_layer_fail(l, err, message(l), "num_axes", OT_ECONFIG,
                             "num_axes: must be in [-1, %d] from axis %d on of bottom '%s' of "
                             "shape %s, got %d",
                             x->nd - st->from, st->from, l->in[0]->name, ot_shape_str(x, text),
                             num);
    st->to = num == -1 ? x->nd : st->from + num;
    return 0;
}

static struct ot_shape axes_of(const struct ot_layer *l)
{
    const struct scale *st = l->state;
    struct ot_shape s = { .nd = st->to - st->from };

    for (int i = 0; i < s.nd; i++)
        s.dim[i] = l->in[0]->data.shape.dim[st->from + i];
    return s;
}

static int setup(struct ot_layer *l, bool has_s, const Caffe__FillerParameter *s_filler, bool has_t,
                 const Caffe__FillerParameter *t_filler, struct ot_err *err)
{
    struct scale *st = l->state;
    const bool second = l->nin > 1;
    struct ot_shape shape;

    if (find_axes(l, second ? l->in[1]->data.shape.nd : st->num_axes, err))
        return err->code;
    shape = axes_of(l);
    st->s_in = second && has_s;
    st->t_in = second && !has_s;
    st->s = st->t = -1;
    if (has_s && !st->s_in) {
        st->s = l->nparam;
        if (ot_layer_param(l, &shape, s_filler, err))
            return err->code;
    }
    if (has_t && !st->t_in) {
        st->t = l->nparam;
        if (ot_layer_param(l, &shape, t_filler, err))
            return err->code;
    }
    return 0;
}

static int scale_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ScaleParameter *p = l->conf->scale_param;
    struct scale *st = l->state;

    st->axis = p ? p->axis : 1;
    st->num_axes = p ? p->num_axes : 1;
    st->ones = (Caffe__FillerParameter)CAFFE__FILLER_PARAMETER__INIT;
    st->ones.value = 1.0f;
    return setup(l, true, p && p->filler ? p->filler : &st->ones, p && p->bias_term,
                 p ? p->bias_filler : NULL, err);
}

static int bias_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__BiasParameter *p = l->conf->bias_param;
    struct scale *st = l->state;

    st->bias = true;
    st->axis = p ? p->axis : 1;
    st->num_axes = p ? p->num_axes : 1;
    return setup(l, false, NULL, true, p ? p->filler : NULL, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct scale *st = l->state;
    const bool second = l->nin > 1;
    const struct ot_shape *have = second ? &l->in[1]->data.shape : &l->param[0]->data.shape;
    struct ot_shape want;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT], c[OT_SHAPE_TEXT];

    if (find_axes(l, have->nd, err))
        return err->code;
    want = axes_of(l);
    if (!ot_shape_eq(have, &want))
        return ot_fail(err, OT_ESHAPE,
                       "%s '%s' must have shape %s, as axes [%d, %d) of bottom '%s' of shape %s, "
                       "got %s",
                       second ? "bottom" : "parameter of", second ? l->in[1]->name : l->name,
                       ot_shape_str(&want, a), st->from, st->to, l->in[0]->name,
                       ot_shape_str(&l->in[0]->data.shape, b), ot_shape_str(have, c));
    if (second && l->nparam && !ot_shape_eq(&l->param[0]->data.shape, &want))
        return ot_fail(err, OT_ESHAPE, "bias of shape %s, made for another bottom '%s', got %s",
                       ot_shape_str(&l->param[0]->data.shape, b), l->in[1]->name,
                       ot_shape_str(have, c));
    l->out[0]->data.shape = l->in[0]->data.shape;
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    struct scale *st = l->state;

    (void)err;
    st->g = ot_channels_plan(l, st->from, st->to, st->t < 0 && !st->t_in);
    return 0;
}

static const float *values(const struct ot_layer *l, bool in, int param)
{
    return in ? l->in[1]->data.data : param >= 0 ? l->param[param]->data.data : NULL;
}

static void forward(struct ot_layer *l)
{
    const struct scale *st = l->state;

    l->dev->k->affine(l->dev, &st->g, l->in[0]->data.data, values(l, st->s_in, st->s),
                      values(l, st->t_in, st->t), l->out[0]->data.data);
}

/* Of s or t: the sum of what one of their values was used for. */
static void sum_up(struct ot_layer *l, bool in, int param, enum ot_channel_term term)
{
    const struct scale *st = l->state;
    const float *dy = l->out[0]->grad.data, *x = l->in[0]->data.data;

    if (in && ot_want_in(l, 1))
        l->dev->k->channel_sum(l->dev, &st->g, term, dy, x, 0.0f, l->in[1]->grad.data);
    if (param >= 0 && ot_want_param(l, param))
        l->dev->k->channel_sum(l->dev, &st->g, term, dy, x, ot_param_beta(l->param[param]),
                               l->param[param]->grad.data);
}

static void backward(struct ot_layer *l)
{
    const struct scale *st = l->state;

    sum_up(l, st->s_in, st->s, OT_TERM_AB);
    sum_up(l, st->t_in, st->t, OT_TERM_A);
    if (ot_want_in(l, 0)) /* last: it may be the memory of the output's gradient */
        l->dev->k->affine(l->dev, &st->g, l->out[0]->grad.data, values(l, st->s_in, st->s), NULL,
                          l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_scale = {
    .type = "Scale",
    .doc = "x times a scale, optionally plus a bias, along some axes",
    .state_size = sizeof(struct scale),
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE | OT_LAYER_BWD_NEEDS_IN,
    .setup = scale_setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

const struct ot_layer_ops ot_layer_bias = {
    .type = "Bias",
    .doc = "x plus a bias along some axes",
    .state_size = sizeof(struct scale),
    .min_in = 1,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE,
    .setup = bias_setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
