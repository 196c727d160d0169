/*
 * roi_pooling.c - max pooling of regions of interest to one size (Fast R-CNN).
 *
 * Bottoms: features (N,C,H,W), rois (R,5): batch index, x1, y1, x2, y2.  Top: (R,C,ph,pw).
 * A row with a negative batch index is unused: zeros, no gradient.
 */
#include "layers/layer.h"
#include "layers/roi_pool_math.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ROIPoolingParameter *p = l->conf->roi_pooling_param;

    if (!p || p->pooled_h == 0 || p->pooled_h > OT_ROI_BINS)
        return ot_layer_fail(l, err, p ? (const void *)p : (const void *)l->conf, "pooled_h",
                             OT_ECONFIG, "pooled_h: must be in [1, 1024], got %u",
                             p ? p->pooled_h : 0u);
    if (p->pooled_w == 0 || p->pooled_w > OT_ROI_BINS)
        return ot_layer_fail(l, err, p, "pooled_w", OT_ECONFIG,
                             "pooled_w: must be in [1, 1024], got %u", p->pooled_w);
    if (!(p->spatial_scale > 0.0f))
        return ot_layer_fail(l, err, p, "spatial_scale", OT_ECONFIG,
                             "spatial_scale: must be > 0, got %g", (double)p->spatial_scale);
    return 0;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ROIPoolingParameter *p = l->conf->roi_pooling_param;
    struct ot_roi_pool_geom *g = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape, *rois = &l->in[1]->data.shape;
    char have[OT_SHAPE_TEXT];

    if (x->nd != 4)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted features of shape NxCxHxW, got %s",
                       l->in[0]->name, ot_shape_str(x, have));
    if (rois->nd < 2 || ot_count_range(rois, 1, rois->nd) != 5)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted RoIs of shape Rx5, got %s",
                       l->in[1]->name, ot_shape_str(rois, have));
    *g = (struct ot_roi_pool_geom){ .n = x->dim[0],
                                    .c = x->dim[1],
                                    .h = x->dim[2],
                                    .w = x->dim[3],
                                    .rois = rois->dim[0],
                                    .ph = (int)p->pooled_h,
                                    .pw = (int)p->pooled_w,
                                    .scale = p->spatial_scale };
    l->out[0]->data.shape = ot_shape4(g->rois, g->c, g->ph, g->pw);
    l->ws_bytes[0] = ot_count(&l->out[0]->data.shape) * sizeof(int32_t);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->roi_pool_fwd(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data, l->ws[0],
                            l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        l->dev->k->roi_pool_bwd(l->dev, l->state, l->in[1]->data.data, l->ws[0],
                                l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_roi_pooling = {
    .type = "ROIPooling",
    .doc = "max pooling of regions of interest to one size",
    .state_size = sizeof(struct ot_roi_pool_geom),
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
