/*
 * anchor_target.c - labels and box targets for the region proposal network.
 *
 * Bottoms: scores (N,2A,H,W; for their shape), gt_boxes, im_info (N,3) [, data].
 * Tops: labels (N,1,A H,W), bbox_targets, inside and outside weights (N,4A,H,W).
 */
#include "layers/anchors.h"
#include "layers/regions.h"

static int read_param(const struct ot_layer *l, struct ot_anchor_target_geom *g, struct ot_err *err)
{
    static const float ones[4] = { 1, 1, 1, 1 };
    const Caffe__AnchorTargetParameter *p = l->conf->anchor_target_param;
    Caffe__AnchorTargetParameter def;

    if (!p) {
        caffe__anchor_target_parameter__init(&def);
        p = &def;
    }
    if (!(p->negative_overlap >= 0.0f && p->negative_overlap <= p->positive_overlap &&
          p->positive_overlap <= 1.0f))
        return ot_layer_fail(l, err, p, "negative_overlap", OT_ECONFIG,
                             "negative_overlap: must be in [0, positive_overlap %g], got %g",
                             (double)p->positive_overlap, (double)p->negative_overlap);
    if (!(p->fg_fraction >= 0.0f && p->fg_fraction <= 1.0f))
        return ot_layer_fail(l, err, p, "fg_fraction", OT_ECONFIG,
                             "fg_fraction: must be in [0, 1], got %g", (double)p->fg_fraction);
    if (p->batch_size < 1 || p->batch_size > 1u << 24)
        return ot_layer_fail(l, err, p, "batch_size", OT_ECONFIG,
                             "batch_size: must be in [1, 16777216], got %u", p->batch_size);
    if (!(p->positive_weight <= 1.0f))
        return ot_layer_fail(l, err, p, "positive_weight", OT_ECONFIG,
                             "positive_weight: must be below 1, or negative for uniform, got %g",
                             (double)p->positive_weight);
    g->border = ot_decimal(p->allowed_border);
    g->pos_overlap = ot_decimal(p->positive_overlap);
    g->neg_overlap = ot_decimal(p->negative_overlap);
    g->clobber = p->clobber_positives;
    g->batch = (int)p->batch_size;
    g->max_fg = (int)(ot_decimal(p->fg_fraction) * (double)p->batch_size);
    g->pos_weight = ot_decimal(p->positive_weight);
    g->seed = l->env->seed;
    return ot_four(l, p, "bbox_inside_weight", p->n_bbox_inside_weight, p->bbox_inside_weight, ones,
                   g->inside, err);
}

static int setup(struct ot_layer *l, struct ot_err *err)
{
    struct ot_anchor_target_geom *g = l->state;
    int rc = ot_layer_anchors(l, &g->anchors, err);

    return rc ? rc : read_param(l, g, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_anchor_target_geom *g = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    int images, a = g->anchors.a, rc;

    rc = ot_want_shape(l, 0, "scores", (int[]){ ot_dim(x, 0), 2 * a, ot_dim(x, 2), ot_dim(x, 3) },
                       4, err);
    if (rc || (rc = ot_gt_shape(l, 1, &images, &g->gts, &g->gt_cols, err)))
        return rc;
    g->n = x->dim[0];
    g->h = x->dim[2];
    g->w = x->dim[3];
    if (images != g->n)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted boxes of %d images, got %d",
                       l->in[1]->name, g->n, images);
    if ((rc = ot_want_shape(l, 2, "im_info", (int[]){ g->n, 3 }, 2, err)))
        return rc;
    l->out[0]->data.shape = ot_shape4(g->n, 1, a * g->h, g->w);
    for (int i = 1; i < 4; i++)
        l->out[i]->data.shape = ot_shape4(g->n, 4 * a, g->h, g->w);
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_anchor_target_scratch(l->state);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->anchor_target(l->dev, l->state, l->in[1]->data.data, l->in[2]->data.data, l->scratch,
                             l->out[0]->data.data, l->out[1]->data.data, l->out[2]->data.data,
                             l->out[3]->data.data);
}

const struct ot_layer_ops ot_layer_anchor_target = {
    .type = "AnchorTarget",
    .doc = "labels and box targets of anchors for the region proposal network",
    .state_size = sizeof(struct ot_anchor_target_geom),
    .min_in = 3,
    .max_in = 4,
    .min_out = 4,
    .max_out = 4,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 15,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
};
