/* softmax_loss_layer.c - axis, normalisation and shapes of the softmax losses. */
#include "layers/softmax_loss_layer.h"

#include <float.h>

#include "layers/loss_layer.h"

int ot_softmax_loss_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_softmax_loss_state *s = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    const Caffe__SoftmaxParameter *softmax = l->conf->softmax_param;
    const Caffe__LossParameter *loss = l->conf->loss_param;
    int axis, rc = ot_layer_axis(l, softmax ? softmax->axis : 1, x->nd, &axis, err);

    if (rc)
        return ot_layer_blame(l, err, softmax, "axis");
    s->geom = (struct ot_softmax_loss_geom){
        .outer = ot_count_range(x, 0, axis),
        .c = (size_t)x->dim[axis],
        .inner = ot_count_range(x, axis + 1, x->nd),
        .has_ignore = loss && loss->has_ignore_label,
        .ignore_label = loss ? loss->ignore_label : 0,
        .norm = ot_loss_norm_of(loss, OT_NORM_VALID),
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
        .focal = loss ? loss->focal_gamma : 0.0f,
    };
    if (!(s->geom.focal >= 0.0f && s->geom.focal <= FLT_MAX))
        return ot_layer_fail(l, err, loss, "focal_gamma", OT_ECONFIG,
                             "focal_gamma: must be >= 0, got %g", (double)s->geom.focal);
    if (s->geom.c == 0)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': axis %d has no classes, got 0", l->in[0]->name,
                       axis);
    if ((rc = ot_loss_want(l, 1, s->geom.outer * s->geom.inner, "labels", err)) ||
        (l->nin > 2 && (rc = ot_loss_want(l, 2, s->geom.outer * s->geom.inner, "weights", err))))
        return rc;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    if (l->nout > 1)
        l->out[1]->data.shape = *x;
    if (l->nout > 2)
        l->out[2]->data.shape = l->in[1]->data.shape;
    l->ws_bytes[0] = l->nout > 1 ? 0 : ot_count(x) * sizeof(float);
    l->ws_bytes[1] = sizeof(struct ot_loss_stats);
    return 0;
}

void ot_softmax_loss_forward(struct ot_layer *l)
{
    const struct ot_softmax_loss_state *s = l->state;

    l->dev->k->softmax_loss_fwd(l->dev, &s->geom, l->in[0]->data.data, l->in[1]->data.data,
                                l->nin > 2 ? l->in[2]->data.data : NULL, ot_softmax_loss_prob(l),
                                l->nout > 2 ? l->out[2]->data.data : NULL, l->ws[1],
                                l->out[0]->data.data);
}

void ot_softmax_loss_backward(struct ot_layer *l)
{
    const struct ot_softmax_loss_state *s = l->state;

    if (!ot_want_in(l, 0))
        return;
    l->dev->k->softmax_loss_bwd(l->dev, &s->geom, ot_softmax_loss_prob(l), l->in[1]->data.data,
                                l->nin > 2 ? l->in[2]->data.data : NULL, l->ws[1],
                                l->out[0]->grad.data, l->in[0]->grad.data);
}

int ot_softmax_loss_check(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_softmax_loss_state *s = l->state;

    return ot_loss_report(l, l->ws[1], s->geom.c, err);
}
