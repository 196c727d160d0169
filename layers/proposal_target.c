/*
 * proposal_target.c - samples regions for the detector and says what they should predict.
 *
 * Bottoms: rois (R,5), gt_boxes [, im_info (N,3)] [, booked (N,K,5)]; im_info is accepted so that
 * nets may name it, and only its shape is looked at.
 * Tops, R' = N batch_size rows: rois (R',5), labels (R'), bbox_targets, inside and outside
 * weights (R',4C; (R',8) when class_agnostic) [, matched_gt (R')] [, weight (R')].  Unfilled rows
 * have batch index -1 and label -1.
 */
#include <math.h>

#include "layers/regions.h"

struct state {
    struct ot_proposal_target_geom geom; /* first: kernels get a pointer to it */
    int booked;                          /* its bottom, 0: none */
};

static int check_param(const struct ot_layer *l, const Caffe__ProposalTargetParameter *p,
                       struct ot_err *err)
{
    if (p->batch_size < 1 || p->batch_size > 1u << 20)
        return ot_layer_fail(l, err, p, "batch_size", OT_ECONFIG,
                             "batch_size: must be in [1, 1048576], got %u", p->batch_size);
    if (!(p->fg_fraction >= 0.0f && p->fg_fraction <= 1.0f))
        return ot_layer_fail(l, err, p, "fg_fraction", OT_ECONFIG,
                             "fg_fraction: must be in [0, 1], got %g", (double)p->fg_fraction);
    if (!(p->fg_thresh > 0.0f && p->fg_thresh <= 1.0f))
        return ot_layer_fail(l, err, p, "fg_thresh", OT_ECONFIG,
                             "fg_thresh: must be in (0, 1], got %g", (double)p->fg_thresh);
    if (!(p->bg_thresh_lo >= 0.0f && p->bg_thresh_lo <= p->bg_thresh_hi))
        return ot_layer_fail(l, err, p, "bg_thresh_lo", OT_ECONFIG,
                             "bg_thresh_lo: must be in [0, bg_thresh_hi %g], got %g",
                             (double)p->bg_thresh_hi, (double)p->bg_thresh_lo);
    return 0;
}

static int setup(struct ot_layer *l, struct ot_err *err)
{
    static const float zeros[4] = { 0, 0, 0, 0 }, ones[4] = { 1, 1, 1, 1 };
    struct ot_proposal_target_geom *g = &((struct state *)l->state)->geom;
    const Caffe__ProposalTargetParameter *p = l->conf->proposal_target_param;
    Caffe__ProposalTargetParameter def;
    int rc;

    if (!p) {
        caffe__proposal_target_parameter__init(&def);
        p = &def;
    }
    if ((rc = ot_region_classes(l, l->conf->proposal_target_param, p->has_num_classes,
                                p->num_classes, &g->classes, err)) ||
        (rc = check_param(l, p, err)) ||
        (rc = ot_four(l, p, "bbox_mean", p->n_bbox_mean, p->bbox_mean, zeros, g->mean, err)) ||
        (rc = ot_four_std(l, p, p->n_bbox_std, p->bbox_std, g->std, err)) ||
        (rc = ot_four(l, p, "bbox_inside_weight", p->n_bbox_inside_weight, p->bbox_inside_weight,
                      ones, g->inside, err)))
        return rc;
    g->box_classes = ot_box_classes(p->class_agnostic, g->classes);
    g->batch = (int)p->batch_size;
    g->max_fg = (int)rint(ot_decimal(p->fg_fraction) * (double)g->batch);
    g->fg_thresh = ot_decimal(p->fg_thresh);
    g->bg_hi = ot_decimal(p->bg_thresh_hi);
    g->bg_lo = ot_decimal(p->bg_thresh_lo);
    g->append_gt = p->append_gt;
    g->seed = l->env->seed;
    return 0;
}

/* Bottoms 2 and 3: im_info (N,3), booked (N,K,5), told apart by their axes. */
static int optional_bottoms(struct ot_layer *l, struct ot_err *err)
{
    struct state *s = l->state;
    int rc = 0, n = s->geom.n;

    s->booked = s->geom.booked = 0;
    for (int i = 2; i < l->nin && !rc; i++) {
        const struct ot_shape *shape = &l->in[i]->data.shape;

        if (i == l->nin - 1 && shape->nd == 3) {
            rc = ot_want_shape(l, i, "booked regions", (int[]){ n, shape->dim[1], 5 }, 3, err);
            s->geom.booked = shape->dim[1];
            s->booked = i;
        } else
            rc = ot_want_shape(l, i, "im_info", (int[]){ n, 3 }, 2, err);
    }
    return rc;
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_proposal_target_geom *g = &((struct state *)l->state)->geom;
    int rows, rc;

    g->rois = ot_dim(&l->in[0]->data.shape, 0);
    if ((rc = ot_want_shape(l, 0, "RoIs", (int[]){ g->rois, 5 }, 2, err)) ||
        (rc = ot_gt_shape(l, 1, &g->n, &g->gts, &g->gt_cols, err)) ||
        (rc = optional_bottoms(l, err)))
        return rc;
    /* only booked regions need protection against them */
    g->min_fg = g->booked ? (int)ceil(ot_decimal(l->env->mining_min_fg) * (double)g->batch) : 0;
    rows = g->n * g->batch;
    l->out[0]->data.shape = ot_shape2(rows, 5);
    l->out[1]->data.shape = ot_shape1(rows);
    for (int i = 2; i < 5; i++)
        l->out[i]->data.shape = ot_shape2(rows, 4 * g->box_classes);
    for (int i = 5; i < l->nout; i++)
        l->out[i]->data.shape = ot_shape1(rows);
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    const struct state *s = l->state;

    (void)err;
    l->scratch_bytes = ot_proposal_target_scratch(&s->geom);
    return 0;
}

static void forward(struct ot_layer *l)
{
    const struct state *s = l->state;

    l->dev->k->proposal_target(
        l->dev, &s->geom, l->in[0]->data.data, l->in[1]->data.data,
        s->booked ? l->in[s->booked]->data.data : NULL, l->scratch, l->out[0]->data.data,
        l->out[1]->data.data, l->out[2]->data.data, l->out[3]->data.data, l->out[4]->data.data,
        l->nout > 5 ? l->out[5]->data.data : NULL, l->nout > 6 ? l->out[6]->data.data : NULL);
}

const struct ot_layer_ops ot_layer_proposal_target = {
    .type = "ProposalTarget",
    .doc = "samples regions for the detector, with labels and box targets",
    .state_size = sizeof(struct state),
    .min_in = 2,
    .max_in = 4,
    .min_out = 5,
    .max_out = 7,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 15,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
};
