/*
 * sigmoid_cross_entropy_loss.c - SigmoidCrossEntropyLoss of scores and targets in [0, 1].
 *
 * A target whose integer part is ignore_label counts for nothing.  Unlike the softmax losses it
 * divides by the batch size unless told otherwise.
 */
#include "layers/loss_layer.h"

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    const Caffe__LossParameter *loss = l->conf->loss_param;
    struct ot_softmax_loss_geom *g = l->state;

    *g = (struct ot_softmax_loss_geom){
        .outer = (size_t)ot_dim(x, 0),
        .c = 1,
        .inner = ot_count_range(x, 1, x->nd),
        .has_ignore = loss && loss->has_ignore_label,
        .ignore_label = loss ? loss->ignore_label : 0,
        .norm = ot_loss_norm_of(loss, OT_NORM_BATCH_SIZE),
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
    };
    if (ot_loss_want(l, 1, ot_count(x), "targets", err))
        return err->code;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    l->ws_bytes[0] = sizeof(struct ot_loss_stats);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->pair_loss_fwd(l->dev, OT_SIGMOID_CE, l->state, l->in[0]->data.data,
                             l->in[1]->data.data, l->ws[0], l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        l->dev->k->pair_loss_bwd(l->dev, OT_SIGMOID_CE, l->state, 1.0f, l->in[0]->data.data,
                                 l->in[1]->data.data, l->ws[0], l->out[0]->grad.data,
                                 l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_sigmoid_cross_entropy_loss = {
    .type = "SigmoidCrossEntropyLoss",
    .doc = "cross entropy of sigmoids with targets in [0, 1]",
    .state_size = sizeof(struct ot_softmax_loss_geom),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 1,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
