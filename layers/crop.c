/*
 * crop.c - Crop: the axes from `axis` on are cut to the size of the second bottom, beginning at
 * offset: none (0), one for all of these axes, or one for each.
 */
#include "layers/layer.h"

struct crop {
    struct ot_copy_geom g; /* from input to output */
    size_t first;          /* element of the input that becomes the output's first */
};

static int crop_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__CropParameter *p = l->conf->crop_param;
    const struct ot_shape *x = &l->in[0]->data.shape, *like = &l->in[1]->data.shape;
    struct crop *s = l->state;
    struct ot_shape y = *x;
    size_t n = p ? p->n_offset : 0;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];
    int axis;

    if (ot_layer_axis(l, p ? p->axis : 2, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    if (n > 1 && n != (size_t)(x->nd - axis))
        return ot_layer_fail(l, err, p, "offset", OT_ECONFIG,
                             "offset: must be given once, or for each of the %d axes from axis %d "
                             "on, got %zu",
                             x->nd - axis, axis, n);
    if (like->nd < x->nd)
        return ot_fail(err, OT_ESHAPE, "bottom '%s' has %d axes; the size is taken of %d, got %s",
                       l->in[1]->name, like->nd, x->nd, ot_shape_str(like, b));
    s->g.nd = x->nd;
    s->first = 0;
    for (int d = 0; d < x->nd; d++) {
        size_t offset = d >= axis && n ? p->offset[n == 1 ? 0 : d - axis] : 0;

        y.dim[d] = d >= axis ? like->dim[d] : x->dim[d];
        if (offset + (size_t)y.dim[d] > (size_t)x->dim[d])
            return ot_layer_fail(l, err, p, "offset", OT_ESHAPE,
                                 "offset: %zu on axis %d leaves too little of %s ('%s') for the "
                                 "size of %s ('%s')",
                                 offset, d, ot_shape_str(x, a), l->in[0]->name,
                                 ot_shape_str(like, b), l->in[1]->name);
        s->g.xs[d] = ot_count_range(x, d + 1, x->nd);
        s->first += offset * s->g.xs[d];
    }
    for (int d = 0; d < y.nd; d++) {
        s->g.dim[d] = (size_t)y.dim[d];
        s->g.ys[d] = ot_count_range(&y, d + 1, y.nd);
    }
    l->out[0]->data.shape = y;
    return 0;
}

static void crop_forward(struct ot_layer *l)
{
    const struct crop *s = l->state;

    l->dev->k->copy_nd(l->dev, &s->g, l->in[0]->data.data + s->first, l->out[0]->data.data);
}

static void crop_backward(struct ot_layer *l)
{
    const struct crop *s = l->state;
    struct ot_copy_geom g = s->g;
    struct ot_tensor *dx = &l->in[0]->grad;

    if (!ot_want_in(l, 0))
        return;
    for (int d = 0; d < g.nd; d++) {
        g.xs[d] = s->g.ys[d];
        g.ys[d] = s->g.xs[d];
    }
    l->dev->k->fill(l->dev, OT_F32, dx->elems, 0.0f, dx->data);
    l->dev->k->copy_nd(l->dev, &g, l->out[0]->grad.data, dx->data + s->first);
}

const struct ot_layer_ops ot_layer_crop = {
    .type = "Crop",
    .doc = "cuts a blob to the size of another",
    .state_size = sizeof(struct crop),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .no_grad_in = 1 << 1,
    .reshape = crop_reshape,
    .forward = crop_forward,
    .backward = crop_backward,
};
