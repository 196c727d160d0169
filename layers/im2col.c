/*
 * im2col.c - Im2col: what each place of a convolution's window sees, as channels: (N.., C, H, W)
 * becomes (N.., C kh kw, oh, ow), with 0 for the padding.
 */
#include "layers/conv_window.h"

struct im2col {
    struct ot_conv_geom g;
    int axis, spatial;
};

static int im2col_setup(struct ot_layer *l, struct ot_err *err)
{
    struct im2col *s = l->state;

    if (!l->conf->convolution_param)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "convolution_param is missing");
    if (ot_conv_axes(l, &s->axis, &s->spatial, err))
        return err->code;
    return ot_conv_window(l, s->spatial, &s->g, err);
}

static int im2col_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct im2col *s = l->state;
    struct ot_conv_geom *g = &s->g;
    struct ot_shape y = l->in[0]->data.shape;
    char text[OT_SHAPE_TEXT];
    int64_t channels;

    if (y.nd != s->axis + 1 + s->spatial)
        return ot_fail(err, OT_ESHAPE, "input must have %d axes, got %s", s->axis + 1 + s->spatial,
                       ot_shape_str(&y, text));
    ot_conv_input(&y, s->axis, g);
    if (ot_conv_slide(l, g, err))
        return err->code;
    channels = (int64_t)g->kh * g->kw; /* at most 2^30 */
    if (channels * g->c > OT_MAX_AXIS)
        return ot_layer_fail(l, err, l->conf->convolution_param, "kernel_size", OT_ESHAPE,
                             "kernel_size: %d channels of %dx%d places are too many, got %lld",
                             g->c, g->kh, g->kw, (long long)(channels * g->c));
    ot_conv_output(g, s->axis, (int)(channels * g->c), &y);
    l->out[0]->data.shape = y;
    return 0;
}

static void im2col_forward(struct ot_layer *l)
{
    const struct im2col *s = l->state;

    l->dev->k->im2col(l->dev, &s->g, l->in[0]->data.data, l->out[0]->data.data);
}

static void im2col_backward(struct ot_layer *l)
{
    const struct im2col *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->col2im(l->dev, &s->g, l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_im2col = {
    .type = "Im2col",
    .doc = "the values under a sliding window, as channels",
    .state_size = sizeof(struct im2col),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .setup = im2col_setup,
    .reshape = im2col_reshape,
    .forward = im2col_forward,
    .backward = im2col_backward,
};
