/*
 * smooth_l1_loss.c - SmoothL1Loss of predictions and targets in its two forms.
 *
 * Faster R-CNN's has two bottoms, or four with inside and outside weights, and divides by the first
 * axis.  R-FCN's has a third bottom, weights before the loss, divides as loss_param says, and may
 * tell the loss of each instance (N, 1, H, W) in a second top; its gradient leaves the weight out,
 * which is the same for weights of 0 and 1.
 */
#include "layers/loss_layer.h"
#include "layers/softmax_loss_math.h"

enum { WEIGHED = 3 }; /* bottoms of R-FCN's form */

static float sigma_of(const struct ot_layer *l)
{
    const Caffe__SmoothL1LossParameter *p = l->conf->smooth_l1_loss_param;

    return p ? p->sigma : 1.0f;
}

static int setup(struct ot_layer *l, struct ot_err *err)
{
    if (l->nout > 1 && l->nin != WEIGHED)
        return ot_fail(err, OT_ECONFIG,
                       "top '%s': losses of instances need %d bottoms (weights), got %d",
                       l->out[1]->name, WEIGHED, l->nin);
    if (!(sigma_of(l) > 0.0f))
        return ot_layer_fail(l, err, l->conf->smooth_l1_loss_param, "sigma", OT_ECONFIG,
                             "sigma: must be > 0, got %g", (double)sigma_of(l));
    return 0;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    const Caffe__LossParameter *loss = l->conf->loss_param;
    struct ot_softmax_loss_geom *g = l->state;
    char have[OT_SHAPE_TEXT];

    if (l->nin == WEIGHED && x->nd > 4)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted at most 4 axes, got shape %s",
                       l->in[0]->name, ot_shape_str(x, have));
    for (int i = 1; i < l->nin; i++) {
        const struct ot_shape *s = &l->in[i]->data.shape;
        char want[OT_SHAPE_TEXT];

        if (ot_count(s) != ot_count(x) || ot_dim(s, 0) != ot_dim(x, 0) ||
            ot_dim(s, 1) != ot_dim(x, 1))
            return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s of bottom '%s', got %s",
                           l->in[i]->name, ot_shape_str(x, want), l->in[0]->name,
                           ot_shape_str(s, have));
    }
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    if (l->nout > 1)
        l->out[1]->data.shape = ot_shape4(ot_dim(x, 0), 1, ot_dim(x, 2), ot_dim(x, 3));
    *g = (struct ot_softmax_loss_geom){
        .outer = (size_t)ot_dim(x, 0),
        .c = (size_t)ot_dim(x, 1),
        .inner = (size_t)ot_dim(x, 2) * (size_t)ot_dim(x, 3),
        .norm = l->nin == WEIGHED ? ot_loss_norm_of(loss, OT_NORM_VALID) : OT_NORM_BATCH_SIZE,
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
    };
    return 0;
}

static const float *weights(const struct ot_layer *l, int i)
{
    return l->nin > i ? l->in[i]->data.data : NULL;
}

/* Every instance counts as valid, whatever its weights. */
static float divisor(const struct ot_layer *l)
{
    const struct ot_softmax_loss_geom *g = l->state;

    return (float)ot_loss_norm(g, (double)g->outer * (double)g->inner);
}

static void forward(struct ot_layer *l)
{
    const struct ot_softmax_loss_geom *g = l->state;
    const float *x = l->in[0]->data.data, *t = l->in[1]->data.data;

    l->dev->k->smooth_l1_fwd(l->dev, ot_count(&l->in[0]->data.shape), sigma_of(l), divisor(l), x, t,
                             weights(l, 2), weights(l, 3), l->out[0]->data.data);
    if (l->nout > 1)
        l->dev->k->smooth_l1_inst(l->dev, g->outer, g->c, g->inner, sigma_of(l), x, t,
                                  weights(l, 2), l->out[1]->data.data);
}

static void backward(struct ot_layer *l)
{
    for (int i = 0; i < 2; i++)
        if (ot_want_in(l, i))
            l->dev->k->smooth_l1_bwd(l->dev, ot_count(&l->in[0]->data.shape), sigma_of(l),
                                     divisor(l), i ? -1.0f : 1.0f, l->nin != WEIGHED,
                                     l->in[0]->data.data, l->in[1]->data.data, weights(l, 2),
                                     weights(l, 3), l->out[0]->grad.data, l->in[i]->grad.data);
}

const struct ot_layer_ops ot_layer_smooth_l1_loss = {
    .type = "SmoothL1Loss",
    .doc = "smooth L1 distance with inside and outside weights",
    .state_size = sizeof(struct ot_softmax_loss_geom),
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 2 | 1 << 3,
    .setup = setup,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
