/*
 * reshape.c - Reshape: axes [axis, axis + num_axes) get the dimensions of shape, where 0 copies
 * the input's dimension and one -1 takes what is left.
 */
#include "layers/alias_i.h"

struct range {
    int from, to; /* input axes that are replaced */
};

static int replaced_axes(const struct ot_layer *l, const struct ot_shape *x, struct range *r,
                         struct ot_err *err)
{
    const Caffe__ReshapeParameter *p = l->conf->reshape_param;
    int axis = p->axis, num = p->num_axes;

    /* Counted among the nd + 1 places before, between and after the axes. */
    if (ot_layer_axis(l, axis, x->nd + 1, &r->from, err))
        return ot_layer_blame(l, err, p, "axis");
    if (num < -1)
        return ot_layer_fail(l, err, p, "num_axes", OT_ECONFIG,
                             "num_axes: must be >= 0, or -1 for all, got %d", num);
    if (num > x->nd - r->from)
        return ot_layer_fail(l, err, p, "num_axes", OT_ECONFIG,
                             "num_axes: axis %d and %d more are beyond the %d axes of the input",
                             r->from, num, x->nd);
    r->to = num == -1 ? x->nd : r->from + num;
    return 0;
}

/* Puts p->shape into y; *infer: the axis of y to be worked out, or -1. */
static int new_axes(const struct ot_layer *l, const struct ot_shape *x, const struct range *r,
                    struct ot_shape *y, int *infer, struct ot_err *err)
{
    const Caffe__ReshapeParameter *p = l->conf->reshape_param;
    const Caffe__BlobShape *shape = p->shape;

    *infer = -1;
    for (size_t i = 0; shape && i < shape->n_dim; i++) {
        int64_t d = shape->dim[i];

        if (d < -1 || d > INT32_MAX)
            return ot_layer_fail(l, err, shape, "dim", OT_ECONFIG,
                                 "dim: must be a size, 0 to copy or -1 to infer, got %lld",
                                 (long long)d);
        if (d == 0 && r->from + (int)i >= x->nd)
            return ot_layer_fail(l, err, shape, "dim", OT_ESHAPE,
                                 "dim: 0 copies axis %d, but the input has %d axes",
                                 r->from + (int)i, x->nd);
        if (d == -1 && *infer >= 0)
            return ot_layer_fail(l, err, shape, "dim", OT_ECONFIG,
                                 "dim: -1 may appear once, got it again at position %d", (int)i);
        if (d == -1)
            *infer = y->nd;
        y->dim[y->nd++] = d == 0 ? x->dim[r->from + (int)i] : d == -1 ? 1 : (int)d;
    }
    return 0;
}

static int reshape_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ReshapeParameter *p = l->conf->reshape_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_shape y = { 0 };
    struct range r;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];
    int infer;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "reshape_param is missing");
    if (replaced_axes(l, x, &r, err))
        return err->code;
    if ((size_t)(x->nd - (r.to - r.from)) + (p->shape ? p->shape->n_dim : 0) > OT_MAX_DIMS)
        return ot_layer_fail(l, err, p, "shape", OT_ESHAPE, "shape: more than %d axes, got %zu",
                             OT_MAX_DIMS, p->shape ? p->shape->n_dim : 0);
    for (int i = 0; i < r.from; i++)
        y.dim[y.nd++] = x->dim[i];
    if (new_axes(l, x, &r, &y, &infer, err))
        return err->code;
    for (int i = r.to; i < x->nd; i++)
        y.dim[y.nd++] = x->dim[i];
    if (infer >= 0 && ot_count(&y) && ot_count(x) % ot_count(&y) == 0)
        y.dim[infer] = (int)(ot_count(x) / ot_count(&y));
    if (ot_count(&y) != ot_count(x))
        return ot_layer_fail(l, err, p, "shape", OT_ESHAPE,
                             "shape: %s (%zu values) cannot become %s (%zu values)",
                             ot_shape_str(x, a), ot_count(x), ot_shape_str(&y, b), ot_count(&y));
    l->out[0]->data.shape = y;
    return 0;
}

const struct ot_layer_ops ot_layer_reshape = {
    .type = "Reshape",
    .doc = "other axes for the same values",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_ALIAS,
    .reshape = reshape_reshape,
    .forward = ot_alias_forward,
    .backward = ot_alias_backward,
};
