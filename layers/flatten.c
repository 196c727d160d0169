/* flatten.c - Flatten: axes [axis, end_axis] become one. */
#include "layers/alias_i.h"

static int flatten_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__FlattenParameter *p = l->conf->flatten_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_shape *y = &l->out[0]->data.shape;
    int from, to;

    if (ot_layer_axis(l, p ? p->axis : 1, x->nd, &from, err))
        return ot_layer_blame(l, err, p, "axis");
    if (ot_layer_axis(l, p ? p->end_axis : -1, x->nd, &to, err))
        return ot_layer_blame(l, err, p, "end_axis");
    if (to < from)
        return ot_layer_fail(l, err, p, "end_axis", OT_ECONFIG,
                             "end_axis: must not be before axis %d, got %d", from, to);
    y->nd = 0;
    for (int i = 0; i < from; i++)
        y->dim[y->nd++] = x->dim[i];
    y->dim[y->nd++] = (int)ot_count_range(x, from, to + 1);
    for (int i = to + 1; i < x->nd; i++)
        y->dim[y->nd++] = x->dim[i];
    return 0;
}

const struct ot_layer_ops ot_layer_flatten = {
    .type = "Flatten",
    .doc = "several axes become one",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_ALIAS,
    .reshape = flatten_reshape,
    .forward = ot_alias_forward,
    .backward = ot_alias_backward,
};
