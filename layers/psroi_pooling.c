/*
 * psroi_pooling.c - position-sensitive average pooling of regions of interest (R-FCN).
 *
 * Bottoms: features (N, output_dim g g, H, W), rois (R,5): batch index, x1, y1, x2, y2.
 * Top: (R, output_dim, g, g), bin (i, j) of output o read from channel (o g + i) g + j alone.
 * A row with a negative batch index is unused: zeros, no gradient.
 */
#include "layers/layer.h"

static int refuse(const struct ot_layer *l, bool given, const char *field, double value,
                  struct ot_err *err)
{
    const Caffe__PSROIPoolingParameter *p = l->conf->psroi_pooling_param;

    if (!given)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG, "%s: must be given, got none", field);
    return ot_layer_fail(l, err, p, field, OT_ECONFIG, "%s: must be > 0, got %.9g", field, value);
}

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__PSROIPoolingParameter *p = l->conf->psroi_pooling_param;
    int64_t bins;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "psroi_pooling_param is missing");
    if (!(p->spatial_scale > 0.0f))
        return refuse(l, p->has_spatial_scale, "spatial_scale", (double)p->spatial_scale, err);
    if (p->output_dim <= 0)
        return refuse(l, p->has_output_dim, "output_dim", p->output_dim, err);
    if (p->group_size <= 0)
        return refuse(l, p->has_group_size, "group_size", p->group_size, err);
    bins = (int64_t)p->group_size * p->group_size;
    if (p->output_dim > INT32_MAX / bins)
        return ot_layer_fail(l, err, p, "group_size", OT_ECONFIG,
                             "output_dim * group_size^2: must be at most %d, got %d * %d^2",
                             INT32_MAX, p->output_dim, p->group_size);
    return 0;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__PSROIPoolingParameter *p = l->conf->psroi_pooling_param;
    const int channels = p->output_dim * p->group_size * p->group_size;
    const struct ot_shape *x = &l->in[0]->data.shape, *rois = &l->in[1]->data.shape;
    struct ot_psroi_pool_geom *g = l->state;
    char have[OT_SHAPE_TEXT];

    if (x->nd != 4 || x->dim[1] != channels)
        return ot_fail(err, OT_ESHAPE,
                       "bottom '%s': wanted features of shape Nx%dxHxW (output_dim %d * "
                       "group_size %d^2 channels), got %s",
                       l->in[0]->name, channels, p->output_dim, p->group_size,
                       ot_shape_str(x, have));
    if (rois->nd < 2 || ot_count_range(rois, 1, rois->nd) != 5)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted RoIs of shape Rx5, got %s",
                       l->in[1]->name, ot_shape_str(rois, have));
    *g = (struct ot_psroi_pool_geom){ .n = x->dim[0],
                                      .out = p->output_dim,
                                      .group = p->group_size,
                                      .h = x->dim[2],
                                      .w = x->dim[3],
                                      .rois = rois->dim[0],
                                      .scale = p->spatial_scale };
    l->out[0]->data.shape = ot_shape4(g->rois, g->out, g->group, g->group);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->psroi_pool_fwd(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data,
                              l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        l->dev->k->psroi_pool_bwd(l->dev, l->state, l->in[1]->data.data, l->out[0]->grad.data,
                                  l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_psroi_pooling = {
    .type = "PSROIPooling",
    .doc = "position-sensitive average pooling of regions of interest",
    .state_size = sizeof(struct ot_psroi_pool_geom),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_IN, /* the RoIs */
    .no_grad_in = 1 << 1,
    .setup = setup,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
};
