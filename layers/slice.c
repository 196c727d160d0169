/*
 * slice.c - Slice: one blob cut into several along an axis, at slice_point or in equal parts.
 * slice_dim is the old name of axis (and may not be negative).
 */
#include "layers/cut.h"

struct slice {
    int axis;
    struct ot_cut cut;
};

static int choose_axis(const struct ot_layer *l, const struct ot_shape *x, int *axis,
                       struct ot_err *err)
{
    const Caffe__SliceParameter *p = l->conf->slice_param;

    if (p && p->has_axis && p->has_slice_dim)
        return ot_layer_fail(l, err, p, "slice_dim", OT_ECONFIG,
                             "slice_dim: give axis or slice_dim, not both, got %d and %u", p->axis,
                             p->slice_dim);
    if (p && p->has_slice_dim) {
        if (p->slice_dim >= (unsigned)x->nd)
            return ot_layer_fail(l, err, p, "slice_dim", OT_ECONFIG,
                                 "slice_dim: must be below %d, got %u", x->nd, p->slice_dim);
        *axis = (int)p->slice_dim;
        return 0;
    }
    if (ot_layer_axis(l, p ? p->axis : 1, x->nd, axis, err))
        return ot_layer_blame(l, err, p, "axis");
    return 0;
}

/* Where output i of `n` ends on an axis of `dim`. */
static int end_of(const struct ot_layer *l, int i, int dim, int *end, struct ot_err *err)
{
    const Caffe__SliceParameter *p = l->conf->slice_param;
    unsigned from = i ? p && p->n_slice_point ? p->slice_point[i - 1] : 0 : 0;

    if (!p || !p->n_slice_point) {
        *end = dim / l->nout * (i + 1);
        return 0;
    }
    if (i == l->nout - 1) {
        *end = dim;
        return 0;
    }
    if (p->slice_point[i] <= from || p->slice_point[i] >= (unsigned)dim)
        return ot_layer_fail(l, err, p, "slice_point", OT_ECONFIG,
                             "slice_point: must rise and lie between 0 and %d, got %u after %u",
                             dim, p->slice_point[i], from);
    *end = (int)p->slice_point[i];
    return 0;
}

static int slice_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SliceParameter *p = l->conf->slice_param;
    struct slice *s = l->state;
    struct ot_shape y = l->in[0]->data.shape;
    int dim, at = 0, end = 0;

    if (choose_axis(l, &y, &s->axis, err))
        return err->code;
    dim = y.dim[s->axis];
    if (p && p->n_slice_point && p->n_slice_point != (size_t)l->nout - 1)
        return ot_layer_fail(l, err, p, "slice_point", OT_ECONFIG,
                             "slice_point: %d tops need %d points, got %zu", l->nout, l->nout - 1,
                             p->n_slice_point);
    if ((!p || !p->n_slice_point) && dim % l->nout)
        return ot_fail(err, OT_ESHAPE,
                       "bottom '%s': axis %d must be a multiple of the number of tops, %d, got %d",
                       l->in[0]->name, s->axis, l->nout, dim);
    for (int i = 0; i < l->nout; i++, at = end) {
        if (end_of(l, i, dim, &end, err))
            return err->code;
        y.dim[s->axis] = end - at;
        l->out[i]->data.shape = y;
    }
    return 0;
}

static int slice_plan(struct ot_layer *l, struct ot_err *err)
{
    struct slice *s = l->state;

    (void)err;
    s->cut = ot_cut_plan(l, s->axis, &l->in[0]->data.shape);
    return 0;
}

/* Calls copy2d for every output; forward: input -> output. */
static void each_output(struct ot_layer *l, bool forward)
{
    const struct slice *s = l->state;
    const struct ot_cut *c = &s->cut;
    const size_t xld = (size_t)l->in[0]->data.shape.dim[s->axis] * c->unit;
    size_t at = 0;

    for (int i = 0; i < l->nout; i++) {
        const size_t cols = (size_t)l->out[i]->data.shape.dim[s->axis] * c->unit;

        if (forward)
            l->dev->k->copy2d(l->dev, c->type, c->rows, cols, ot_cut_at(c, l->in[0]->data.data, at),
                              xld, 0.0f, l->out[i]->data.data, cols);
        else
            l->dev->k->copy2d(l->dev, c->type, c->rows, cols, l->out[i]->grad.data, cols, 0.0f,
                              ot_cut_at(c, l->in[0]->grad.data, at), xld);
        at += cols;
    }
}

static void slice_forward(struct ot_layer *l)
{
    each_output(l, true);
}

static void slice_backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        each_output(l, false);
}

const struct ot_layer_ops ot_layer_slice = {
    .type = "Slice",
    .doc = "one blob cut into several along an axis",
    .state_size = sizeof(struct slice),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .reshape = slice_reshape,
    .plan = slice_plan,
    .forward = slice_forward,
    .backward = slice_backward,
};
