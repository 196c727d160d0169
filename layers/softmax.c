/* softmax.c - Softmax over one axis. */
#include "layers/layer.h"

struct softmax {
    size_t outer, c, inner;
};

static int softmax_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SoftmaxParameter *p = l->conf->softmax_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct softmax *s = l->state;
    int axis;

    if (ot_layer_axis(l, p ? p->axis : 1, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    s->outer = ot_count_range(x, 0, axis);
    s->c = (size_t)x->dim[axis];
    s->inner = ot_count_range(x, axis + 1, x->nd);
    l->out[0]->data.shape = *x;
    return 0;
}

static void softmax_forward(struct ot_layer *l)
{
    const struct softmax *s = l->state;

    l->dev->k->softmax_fwd(l->dev, s->outer, s->c, s->inner, l->in[0]->data.data,
                           l->out[0]->data.data);
}

static void softmax_backward(struct ot_layer *l)
{
    const struct softmax *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->softmax_bwd(l->dev, s->outer, s->c, s->inner, l->out[0]->data.data,
                               l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_softmax = {
    .type = "Softmax",
    .doc = "probabilities over one axis",
    .state_size = sizeof(struct softmax),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE | OT_LAYER_BWD_NEEDS_OUT,
    .reshape = softmax_reshape,
    .forward = softmax_forward,
    .backward = softmax_backward,
};
