/* euclidean_loss.c - EuclideanLoss: sum of (x - t)^2 / (2 N); both bottoms may have gradients. */
#include "layers/loss_layer.h"

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape, *t = &l->in[1]->data.shape;
    struct ot_softmax_loss_geom *g = l->state;
    char want[OT_SHAPE_TEXT], have[OT_SHAPE_TEXT];

    if (ot_dim(t, 0) != ot_dim(x, 0) || ot_count(t) != ot_count(x))
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s of bottom '%s', got %s",
                       l->in[1]->name, ot_shape_str(x, want), l->in[0]->name,
                       ot_shape_str(t, have));
    *g = (struct ot_softmax_loss_geom){
        .outer = (size_t)ot_dim(x, 0),
        .c = 1,
        .inner = ot_count_range(x, 1, x->nd),
        .norm = OT_NORM_BATCH_SIZE,
    };
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    l->ws_bytes[0] = sizeof(struct ot_loss_stats);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->pair_loss_fwd(l->dev, OT_EUCLIDEAN, l->state, l->in[0]->data.data,
                             l->in[1]->data.data, l->ws[0], l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    for (int i = 0; i < 2; i++)
        if (ot_want_in(l, i))
            l->dev->k->pair_loss_bwd(l->dev, OT_EUCLIDEAN, l->state, i ? -1.0f : 1.0f,
                                     l->in[0]->data.data, l->in[1]->data.data, l->ws[0],
                                     l->out[0]->grad.data, l->in[i]->grad.data);
}

const struct ot_layer_ops ot_layer_euclidean_loss = {
    .type = "EuclideanLoss",
    .doc = "half the squared distance, by the batch size",
    .state_size = sizeof(struct ot_softmax_loss_geom),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
