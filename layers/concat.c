/*
 * concat.c - Concat: inputs side by side along one axis.  concat_dim is the old name of axis (and
 * may not be negative).  One input is copied, as in Caffe.
 */
#include "layers/cut.h"

struct concat {
    int axis;
    struct ot_cut cut;
};

static int choose_axis(struct ot_layer *l, const struct ot_shape *first, int *axis,
                       struct ot_err *err)
{
    const Caffe__ConcatParameter *p = l->conf->concat_param;

    if (p && p->has_axis && p->has_concat_dim)
        return ot_layer_fail(l, err, p, "concat_dim", OT_ECONFIG,
                             "concat_dim: give axis or concat_dim, not both, got %d and %u",
                             p->axis, p->concat_dim);
    if (p && p->has_concat_dim) {
        if (p->concat_dim >= (unsigned)first->nd)
            return ot_layer_fail(l, err, p, "concat_dim", OT_ECONFIG,
                                 "concat_dim: must be below %d, got %u", first->nd, p->concat_dim);
        *axis = (int)p->concat_dim;
        return 0;
    }
    if (ot_layer_axis(l, p ? p->axis : 1, first->nd, axis, err))
        return ot_layer_blame(l, err, p, "axis");
    return 0;
}

static int concat_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct concat *s = l->state;
    struct ot_shape y = l->in[0]->data.shape;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (choose_axis(l, &y, &s->axis, err))
        return err->code;
    for (int i = 1; i < l->nin; i++) {
        struct ot_shape x = l->in[i]->data.shape;
        int along = x.nd == y.nd ? x.dim[s->axis] : 0;

        if (x.nd == y.nd)
            x.dim[s->axis] = y.dim[s->axis];
        if (!ot_shape_eq(&x, &y))
            return ot_fail(err, OT_ESHAPE,
                           "inputs must agree on every axis but %d: \"%s\" is %s, \"%s\" is %s",
                           s->axis, l->in[0]->name, ot_shape_str(&l->in[0]->data.shape, a),
                           l->in[i]->name, ot_shape_str(&l->in[i]->data.shape, b));
        if (along > OT_MAX_AXIS - y.dim[s->axis])
            return ot_fail(err, OT_ESHAPE, "the inputs must sum to at most %d along axis %d",
                           OT_MAX_AXIS, s->axis);
        y.dim[s->axis] += along;
    }
    l->out[0]->data.shape = y;
    return 0;
}

static int concat_plan(struct ot_layer *l, struct ot_err *err)
{
    struct concat *s = l->state;

    (void)err;
    s->cut = ot_cut_plan(l, s->axis, &l->out[0]->data.shape);
    return 0;
}

/* Calls copy2d for every input; forward: input -> output. */
static void each_input(struct ot_layer *l, bool forward)
{
    const struct concat *s = l->state;
    const struct ot_cut *c = &s->cut;
    const size_t yld = (size_t)l->out[0]->data.shape.dim[s->axis] * c->unit;
    size_t at = 0;

    for (int i = 0; i < l->nin; i++) {
        const size_t cols = (size_t)l->in[i]->data.shape.dim[s->axis] * c->unit;

        if (forward)
            l->dev->k->copy2d(l->dev, c->type, c->rows, cols, l->in[i]->data.data, cols, 0.0f,
                              ot_cut_at(c, l->out[0]->data.data, at), yld);
        else if (ot_want_in(l, i))
            l->dev->k->copy2d(l->dev, c->type, c->rows, cols,
                              ot_cut_at(c, l->out[0]->grad.data, at), yld, 0.0f,
                              l->in[i]->grad.data, cols);
        at += cols;
    }
}

static void concat_forward(struct ot_layer *l)
{
    each_input(l, true);
}

static void concat_backward(struct ot_layer *l)
{
    each_input(l, false);
}

const struct ot_layer_ops ot_layer_concat = {
    .type = "Concat",
    .doc = "inputs side by side along one axis",
    .state_size = sizeof(struct concat),
    .min_in = 1,
    .max_in = OT_MAX_IO,
    .min_out = 1,
    .max_out = 1,
    .reshape = concat_reshape,
    .plan = concat_plan,
    .forward = concat_forward,
    .backward = concat_backward,
};
