/* softmax_loss_layer.c - axis, normalisation and shapes of the softmax losses. */
#include "layers/softmax_loss_layer.h"

static enum ot_norm normalisation(const Caffe__LossParameter *p)
{
    if (!p)
        return OT_NORM_VALID;
    if (!p->has_normalization && p->has_normalize)
        return p->normalize ? OT_NORM_VALID : OT_NORM_BATCH_SIZE;
    switch (p->normalization) {
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__FULL:
        return OT_NORM_FULL;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE:
        return OT_NORM_BATCH_SIZE;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__NONE:
        return OT_NORM_NONE;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__PRE_FIXED:
        return OT_NORM_PRE_FIXED;
    default:
        return OT_NORM_VALID;
    }
}

static int check_like_labels(const struct ot_layer *l, int i, const char *what, struct ot_err *err)
{
    const struct ot_softmax_loss_state *s = l->state;
    const struct ot_shape *shape = &l->in[i]->data.shape;
    char have[OT_SHAPE_TEXT], scores[OT_SHAPE_TEXT];

    if (ot_count(shape) == s->geom.outer * s->geom.inner)
        return 0;
    return ot_fail(err, OT_ESHAPE,
                   "bottom '%s': wanted %zu %s for scores '%s' of shape %s, got shape %s",
                   l->in[i]->name, s->geom.outer * s->geom.inner, what, l->in[0]->name,
                   ot_shape_str(&l->in[0]->data.shape, scores), ot_shape_str(shape, have));
}

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
        .norm = normalisation(loss),
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
    };
    if (s->geom.c == 0)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': axis %d has no classes, got 0", l->in[0]->name,
                       axis);
    if ((rc = check_like_labels(l, 1, "labels", err)) ||
        (l->nin > 2 && (rc = check_like_labels(l, 2, "weights", err))))
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
    struct ot_loss_stats stats;

    l->dev->ops->download(l->dev, &stats, l->ws[1], sizeof stats);
    if (!stats.bad)
        return 0;
    return ot_fail(err, OT_EDATA, "instance %lld: label %g is outside [0, %zu)",
                   (long long)stats.bad - 1, stats.bad_label, s->geom.c);
}
