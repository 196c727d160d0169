/*
 * argmax.c - ArgMax: the places of the top_k largest values, of equal ones the last first.
 *
 * With `axis`: along it, and out_max_val gives the values instead.  Without: over all values of
 * one item (N x 1 x top_k), and out_max_val adds the values (N x 2 x top_k).
 */
#include "layers/layer.h"

struct argmax {
    size_t outer, c, inner;
    int top_k;
    bool by_axis, values;
};

static struct ot_shape shape_of(const struct argmax *s, const struct ot_shape *x, int axis)
{
    struct ot_shape y = *x;

    if (s->by_axis) {
        y.dim[axis] = s->top_k;
        return y;
    }
    y.nd = x->nd < 3 ? 3 : x->nd;
    for (int d = 1; d < y.nd; d++)
        y.dim[d] = 1;
    y.dim[1] = s->values ? 2 : 1;
    y.dim[2] = s->top_k;
    return y;
}

static int argmax_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ArgMaxParameter *p = l->conf->argmax_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct argmax *s = l->state;
    unsigned top_k = p ? p->top_k : 1;
    char text[OT_SHAPE_TEXT];
    int axis = 0;

    s->by_axis = p && p->has_axis;
    s->values = p && p->out_max_val;
    if (s->by_axis && ot_layer_axis(l, p->axis, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    if (x->nd < 1)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have an axis, got a scalar",
                       l->in[0]->name);
    s->outer = s->by_axis ? ot_count_range(x, 0, axis) : (size_t)x->dim[0];
    s->c = s->by_axis ? (size_t)x->dim[axis] : ot_count_range(x, 1, x->nd);
    s->inner = s->by_axis ? ot_count_range(x, axis + 1, x->nd) : 1;
    if (top_k < 1 || top_k > s->c)
        return ot_layer_fail(l, err, p, "top_k", OT_ECONFIG,
                             "top_k: must be in [1, %zu] for bottom '%s' of shape %s, got %u", s->c,
                             l->in[0]->name, ot_shape_str(x, text), top_k);
    s->top_k = (int)top_k;
    l->out[0]->data.shape = shape_of(s, x, axis);
    return 0;
}

static void argmax_forward(struct ot_layer *l)
{
    const struct argmax *s = l->state;
    bool both = s->values && !s->by_axis;
    size_t k = (size_t)s->top_k, ld = k * s->inner * (both ? 2 : 1);
    float *y = l->out[0]->data.data;

    l->dev->k->argmax(l->dev, s->outer, s->c, s->inner, s->top_k, l->in[0]->data.data, ld,
                      s->values && !both ? NULL : y,
                      both        ? y + k
                      : s->values ? y
                                  : NULL);
}

const struct ot_layer_ops ot_layer_argmax = {
    .type = "ArgMax",
    .doc = "places of the largest values",
    .state_size = sizeof(struct argmax),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 1,
    .reshape = argmax_reshape,
    .forward = argmax_forward,
};
