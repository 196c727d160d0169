/*
 * proposal.c - regions of interest from the region proposal network.
 *
 * Bottoms: probabilities (N,2A,H,W; foreground last) or as the softmax leaves them (N,2,A*H,W: the
 * same memory), box deltas (N,4A,H,W), im_info (N,3).
 * Tops: rois (N post_nms_top_n, 5) [, scores (N post_nms_top_n, 1)], best first within an image;
 * always that many rows, unused ones with batch index -1.
 */
#include "layers/anchors.h"
#include "layers/regions.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    struct ot_proposal_geom *g = l->state;
    const Caffe__ProposalParameter *p = l->conf->proposal_param;
    Caffe__ProposalParameter def;

    if (!p) {
        caffe__proposal_parameter__init(&def);
        p = &def;
    }
    if (p->post_nms_top_n < 1 || p->post_nms_top_n > 1u << 20)
        return ot_layer_fail(l, err, p, "post_nms_top_n", OT_ECONFIG,
                             "post_nms_top_n: must be in [1, 1048576], got %u", p->post_nms_top_n);
    if (p->pre_nms_top_n > 1u << 30)
        return ot_layer_fail(l, err, p, "pre_nms_top_n", OT_ECONFIG,
                             "pre_nms_top_n: must be at most 1073741824 (0: all), got %u",
                             p->pre_nms_top_n);
    if (!(p->nms_thresh >= 0.0f && p->nms_thresh <= 1.0f))
        return ot_layer_fail(l, err, p, "nms_thresh", OT_ECONFIG,
                             "nms_thresh: must be in [0, 1], got %g", (double)p->nms_thresh);
    if (!(p->min_size >= 0.0f))
        return ot_layer_fail(l, err, p, "min_size", OT_ECONFIG, "min_size: must be >= 0, got %g",
                             (double)p->min_size);
    g->pre = (int)p->pre_nms_top_n;
    g->post = (int)p->post_nms_top_n;
    g->nms_thresh = p->nms_thresh;
    g->min_size = p->min_size;
    return ot_layer_anchors(l, &g->anchors, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_proposal_geom *g = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    const struct ot_shape *d = &l->in[1]->data.shape;
    const int n = ot_dim(x, 0), h = ot_dim(d, 2), w = ot_dim(d, 3), a = g->anchors.a;
    const bool split = ot_dim(x, 1) == 2 && ot_dim(x, 2) == a * h;
    int rc;

    if ((!split &&
         (rc = ot_want_shape(l, 0, "probabilities", (int[]){ n, 2 * a, h, w }, 4, err))) ||
        (rc = ot_want_shape(l, 1, "box deltas", (int[]){ n, 4 * a, h, w }, 4, err)) ||
        (rc = ot_want_shape(l, 2, "im_info", (int[]){ n, 3 }, 2, err)))
        return rc;
    g->n = n;
    g->h = h;
    g->w = w;
    l->out[0]->data.shape = ot_shape2(n * g->post, 5);
    if (l->nout > 1)
        l->out[1]->data.shape = ot_shape2(n * g->post, 1);
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_proposal_scratch(l->state);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->proposal(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data,
                        l->in[2]->data.data, l->scratch, l->out[0]->data.data,
                        l->nout > 1 ? l->out[1]->data.data : NULL);
}

const struct ot_layer_ops ot_layer_proposal = {
    .type = "Proposal",
    .doc = "regions of interest from the region proposal network",
    .state_size = sizeof(struct ot_proposal_geom),
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 7,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
};
