/*
 * relu.c - ReLU: y = x for x > 0, negative_slope * x otherwise.  Backward looks at the output, so
 * it may run in place; that needs a slope that keeps the sign, hence >= 0.
 */
#include "layers/layer.h"

struct relu {
    float slope;
};

static int relu_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ReLUParameter *p = l->conf->relu_param;
    struct relu *s = l->state;

    s->slope = p ? p->negative_slope : 0.0f;
    if (!(s->slope >= 0.0f))
        return ot_layer_fail(l, err, p, "negative_slope", OT_ECONFIG,
                             "negative_slope: must be >= 0, got %g", (double)s->slope);
    return 0;
}

static int relu_reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->out[0]->data.shape = l->in[0]->data.shape;
    return 0;
}

static void relu_forward(struct ot_layer *l)
{
    const struct relu *s = l->state;

    l->dev->k->relu_fwd(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->data.elems, s->slope,
                        l->in[0]->data.data, l->out[0]->data.data);
}

static void relu_backward(struct ot_layer *l)
{
    const struct relu *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->relu_bwd(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->data.elems, s->slope,
                            l->out[0]->data.data, l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_relu = {
    .type = "ReLU",
    .doc = "max(x, 0), or negative_slope * x below 0",
    .state_size = sizeof(struct relu),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE | OT_LAYER_ANY_FORMAT | OT_LAYER_ANY_TYPE | OT_LAYER_BWD_NEEDS_OUT,
    .setup = relu_setup,
    .reshape = relu_reshape,
    .forward = relu_forward,
    .backward = relu_backward,
};
