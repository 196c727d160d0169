/* contrastive_loss.c - ContrastiveLoss of two vectors a row and whether they belong together. */
#include "layers/loss_layer.h"

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ContrastiveLossParameter *p = l->conf->contrastive_loss_param;
    const struct ot_shape *a = &l->in[0]->data.shape, *b = &l->in[1]->data.shape;
    struct ot_contrastive_geom *g = l->state;
    char want[OT_SHAPE_TEXT], have[OT_SHAPE_TEXT];

    if (ot_dim(a, 0) != ot_dim(b, 0) || ot_count(a) != ot_count(b))
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s of bottom '%s', got %s",
                       l->in[1]->name, ot_shape_str(a, want), l->in[0]->name,
                       ot_shape_str(b, have));
    *g = (struct ot_contrastive_geom){
        .rows = (size_t)ot_dim(a, 0),
        .cols = ot_count_range(a, 1, a->nd),
        .margin = p ? p->margin : 1.0f,
        .legacy = p && p->legacy_version,
    };
    if (ot_loss_want(l, 2, g->rows, "labels", err))
        return err->code;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->contrastive_fwd(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data,
                               l->in[2]->data.data, l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    for (int i = 0; i < 2; i++)
        if (ot_want_in(l, i))
            l->dev->k->contrastive_bwd(l->dev, l->state, i ? -1.0f : 1.0f, l->in[0]->data.data,
                                       l->in[1]->data.data, l->in[2]->data.data,
                                       l->out[0]->grad.data, l->in[i]->grad.data);
}

const struct ot_layer_ops ot_layer_contrastive_loss = {
    .type = "ContrastiveLoss",
    .doc = "draws vectors of one kind together, others apart up to a margin",
    .state_size = sizeof(struct ot_contrastive_geom),
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 2,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
