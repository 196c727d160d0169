/*
 * smooth_l1_loss.c - Faster R-CNN's SmoothL1Loss: predictions, targets and, both or neither,
 * inside and outside weights; divided by the first axis of the predictions.
 */
#include "layers/layer.h"

static float sigma_of(const struct ot_layer *l)
{
    const Caffe__SmoothL1LossParameter *p = l->conf->smooth_l1_loss_param;

    return p ? p->sigma : 1.0f;
}

static int setup(struct ot_layer *l, struct ot_err *err)
{
    if (l->nin == 3)
        return ot_fail(err, OT_ECONFIG,
                       "bottoms: must be 2 or 4 (inside and outside weights), "
                       "got 3");
    if (!(sigma_of(l) > 0.0f))
        return ot_layer_fail(l, err, l->conf->smooth_l1_loss_param, "sigma", OT_ECONFIG,
                             "sigma: must be > 0, got %g", (double)sigma_of(l));
    return 0;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;

    for (int i = 1; i < l->nin; i++) {
        const struct ot_shape *s = &l->in[i]->data.shape;
        char want[OT_SHAPE_TEXT], have[OT_SHAPE_TEXT];

        if (ot_count(s) != ot_count(x) || ot_dim(s, 0) != ot_dim(x, 0) ||
            ot_dim(s, 1) != ot_dim(x, 1))
            return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s of bottom '%s', got %s",
                           l->in[i]->name, ot_shape_str(x, want), l->in[0]->name,
                           ot_shape_str(s, have));
    }
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    return 0;
}

static const float *weights(const struct ot_layer *l, int i)
{
    return l->nin > 2 ? l->in[i]->data.data : NULL;
}

static float divisor(const struct ot_layer *l)
{
    int n = ot_dim(&l->in[0]->data.shape, 0);

    return n > 0 ? (float)n : 1.0f;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->smooth_l1_fwd(l->dev, ot_count(&l->in[0]->data.shape), sigma_of(l), divisor(l),
                             l->in[0]->data.data, l->in[1]->data.data, weights(l, 2), weights(l, 3),
                             l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    for (int i = 0; i < 2; i++)
        if (ot_want_in(l, i))
            l->dev->k->smooth_l1_bwd(l->dev, ot_count(&l->in[0]->data.shape), sigma_of(l),
                                     divisor(l), i ? -1.0f : 1.0f, l->in[0]->data.data,
                                     l->in[1]->data.data, weights(l, 2), weights(l, 3),
                                     l->out[0]->grad.data, l->in[i]->grad.data);
}

const struct ot_layer_ops ot_layer_smooth_l1_loss = {
    .type = "SmoothL1Loss",
    .doc = "smooth L1 distance with inside and outside weights",
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 2 | 1 << 3,
    .setup = setup,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
