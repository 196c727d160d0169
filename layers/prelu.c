/*
 * prelu.c - PReLU: y = x for x > 0, otherwise slope * x; a slope for each channel, or one for all.
 */
#include "layers/channels.h"

struct prelu {
    struct ot_channels g;
    Caffe__FillerParameter quarter;
};

static int prelu_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__PReLUParameter *p = l->conf->prelu_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct prelu *st = l->state;
    struct ot_shape shape = { 0 };
    char text[OT_SHAPE_TEXT];

    if (x->nd < 2)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have 2 axes or more, got shape %s",
                       l->in[0]->name, ot_shape_str(x, text));
    if (!(p && p->channel_shared))
        shape = ot_shape1(x->dim[1]);
    st->quarter = (Caffe__FillerParameter)CAFFE__FILLER_PARAMETER__INIT;
    st->quarter.value = 0.25f;
    return ot_layer_param(l, &shape, p && p->filler ? p->filler : &st->quarter, err);
}

static int prelu_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape, *slope = &l->param[0]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (x->nd < 2 || (slope->nd && slope->dim[0] != x->dim[1]))
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have %d channels, got shape %s",
                       l->in[0]->name, slope->dim[0], ot_shape_str(x, text));
    l->out[0]->data.shape = *x;
    return 0;
}

static int prelu_plan(struct ot_layer *l, struct ot_err *err)
{
    struct prelu *st = l->state;

    (void)err;
    st->g = ot_channels_plan(l, 1, 1 + l->param[0]->data.shape.nd, true);
    return 0;
}

static void prelu_forward(struct ot_layer *l)
{
    const struct prelu *st = l->state;

    l->dev->k->prelu_fwd(l->dev, &st->g, l->in[0]->data.data, l->param[0]->data.data,
                         l->out[0]->data.data);
}

static void prelu_backward(struct ot_layer *l)
{
    const struct prelu *st = l->state;
    const float *x = l->in[0]->data.data, *dy = l->out[0]->grad.data;

    if (ot_want_param(l, 0))
        l->dev->k->channel_sum(l->dev, &st->g, OT_TERM_AB_NEG, dy, x, ot_param_beta(l->param[0]),
                               l->param[0]->grad.data);
    if (ot_want_in(l, 0))
        l->dev->k->prelu_bwd(l->dev, &st->g, x, l->param[0]->data.data, dy, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_prelu = {
    .type = "PReLU",
    .doc = "max(x, 0), or a learned slope * x below 0",
    .state_size = sizeof(struct prelu),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE | OT_LAYER_BWD_NEEDS_IN,
    .setup = prelu_setup,
    .reshape = prelu_reshape,
    .plan = prelu_plan,
    .forward = prelu_forward,
    .backward = prelu_backward,
};
