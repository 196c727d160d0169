/* accuracy.c - share of instances whose class is among the top_k scores; optionally per class. */
#include "layers/layer.h"

struct state {
    size_t outer, c, inner;
};

static int top_k(const struct ot_layer *l)
{
    return l->conf->accuracy_param ? (int)l->conf->accuracy_param->top_k : 1;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct state *s = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape, *label = &l->in[1]->data.shape;
    const Caffe__AccuracyParameter *p = l->conf->accuracy_param;
    char have[OT_SHAPE_TEXT], scores[OT_SHAPE_TEXT];
    int axis, rc = ot_layer_axis(l, p ? p->axis : 1, x->nd, &axis, err);

    if (rc)
        return ot_layer_blame(l, err, p, "axis");
    s->outer = ot_count_range(x, 0, axis);
    s->c = (size_t)x->dim[axis];
    s->inner = ot_count_range(x, axis + 1, x->nd);
    if (top_k(l) < 1 || (size_t)top_k(l) > s->c)
        return ot_layer_fail(l, err, p, "top_k", OT_ECONFIG,
                             "top_k: must be in [1, %zu] for scores of shape %s, got %d", s->c,
                             ot_shape_str(x, scores), top_k(l));
    if (ot_count(label) != s->outer * s->inner)
        return ot_fail(err, OT_ESHAPE,
                       "bottom '%s': wanted %zu labels for scores '%s' of shape %s, got shape %s",
                       l->in[1]->name, s->outer * s->inner, l->in[0]->name, ot_shape_str(x, scores),
                       ot_shape_str(label, have));
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    if (l->nout > 1)
        l->out[1]->data.shape = ot_shape1((int)s->c);
    return 0;
}

static void forward(struct ot_layer *l)
{
    const struct state *s = l->state;
    const Caffe__AccuracyParameter *p = l->conf->accuracy_param;

    l->dev->k->accuracy(l->dev, s->outer, s->c, s->inner, top_k(l), p && p->has_ignore_label,
                        p ? p->ignore_label : 0, l->in[0]->data.data, l->in[1]->data.data,
                        l->out[0]->data.data, l->nout > 1 ? l->out[1]->data.data : NULL);
}

const struct ot_layer_ops ot_layer_accuracy = {
    .type = "Accuracy",
    .doc = "share of instances whose class is among the top_k scores",
    .state_size = sizeof(struct state),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 3,
    .reshape = reshape,
    .forward = forward,
};
