/* smooth_l1_layer.c - shapes, normalisation and gradient of the smooth L1 losses. */
#include "layers/smooth_l1_layer.h"

#include "layers/loss_layer.h"
#include "layers/softmax_loss_math.h"

static int check_shapes(const struct ot_layer *l, struct ot_err *err)
{
    const struct ot_smooth_l1_state *s = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    char have[OT_SHAPE_TEXT], want[OT_SHAPE_TEXT];

    if (s->rfcn && x->nd > 4)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted at most 4 axes, got shape %s",
                       l->in[0]->name, ot_shape_str(x, have));
    for (int i = 1; i < l->nin; i++) {
        const struct ot_shape *y = &l->in[i]->data.shape;

        if (ot_count(y) != ot_count(x) || ot_dim(y, 0) != ot_dim(x, 0) ||
            ot_dim(y, 1) != ot_dim(x, 1))
            return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s of bottom '%s', got %s",
                           l->in[i]->name, ot_shape_str(x, want), l->in[0]->name,
                           ot_shape_str(y, have));
    }
    return 0;
}

int ot_smooth_l1_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    const Caffe__LossParameter *loss = l->conf->loss_param;
    struct ot_smooth_l1_state *s = l->state;
    int rc = check_shapes(l, err);

    if (rc)
        return rc;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    if (l->nout > 1)
        l->out[1]->data.shape = ot_shape4(ot_dim(x, 0), 1, ot_dim(x, 2), ot_dim(x, 3));
    s->geom = (struct ot_softmax_loss_geom){
        .outer = (size_t)ot_dim(x, 0),
        .c = (size_t)ot_dim(x, 1),
        .inner = (size_t)ot_dim(x, 2) * (size_t)ot_dim(x, 3),
        .norm = s->rfcn ? ot_loss_norm_of(loss, OT_NORM_VALID) : OT_NORM_BATCH_SIZE,
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
    };
    return 0;
}

static const float *weights(const struct ot_layer *l, int i)
{
    return l->nin > i ? l->in[i]->data.data : NULL;
}

static float divisor(const struct ot_smooth_l1_state *s)
{
    return (float)ot_loss_norm(&s->geom, (double)s->geom.outer * (double)s->geom.inner);
}

void ot_smooth_l1_forward(struct ot_layer *l)
{
    const struct ot_smooth_l1_state *s = l->state;
    const struct ot_softmax_loss_geom *g = &s->geom;
    const float *x = l->in[0]->data.data, *t = l->in[1]->data.data;

    l->dev->k->smooth_l1_fwd(l->dev, ot_count(&l->in[0]->data.shape), s->sigma, divisor(s), x, t,
                             weights(l, 2), weights(l, 3), l->out[0]->data.data);
    if (l->nout > 1)
        l->dev->k->smooth_l1_inst(l->dev, g->outer, g->c, g->inner, s->sigma, x, t, weights(l, 2),
                                  l->out[1]->data.data);
}

void ot_smooth_l1_backward(struct ot_layer *l)
{
    const struct ot_smooth_l1_state *s = l->state;

    for (int i = 0; i < 2; i++)
        if (ot_want_in(l, i))
            l->dev->k->smooth_l1_bwd(l->dev, ot_count(&l->in[0]->data.shape), s->sigma, divisor(s),
                                     i ? -1.0f : 1.0f, !s->rfcn, l->in[0]->data.data,
                                     l->in[1]->data.data, weights(l, 2), weights(l, 3),
                                     l->out[0]->grad.data, l->in[i]->grad.data);
}
