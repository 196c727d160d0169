/*
 * detection_output.c - what a detection net says, as a list of boxes.
 *
 * Bottoms: rois (R,5), class probabilities (R,C), box deltas (R,4C; (R,8) when
 * class_agnostic), im_info (N,3).
 * Top: detections (N max_per_image, 7): image index in the batch, class, score, x1, y1, x2, y2
 * in pixels of the original image; best first within an image, unused rows have image -1.
 */
#include "layers/regions.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    static const float zeros[4] = { 0, 0, 0, 0 };
    struct ot_detection_geom *g = l->state;
    const Caffe__DetectionOutputParameter *p = l->conf->detection_output_param;
    Caffe__DetectionOutputParameter def;
    int rc;

    if (!p) {
        caffe__detection_output_parameter__init(&def);
        p = &def;
    }
    rc = ot_region_classes(l, l->conf->detection_output_param, p->has_num_classes, p->num_classes,
                           &g->classes, err);
    if (rc)
        return rc;
    if (!(p->nms_thresh >= 0.0f && p->nms_thresh <= 1.0f))
        return ot_layer_fail(l, err, p, "nms_thresh", OT_ECONFIG,
                             "nms_thresh: must be in [0, 1], got %g", (double)p->nms_thresh);
    if (p->max_per_image < 1 || p->max_per_image > 1u << 20)
        return ot_layer_fail(l, err, p, "max_per_image", OT_ECONFIG,
                             "max_per_image: must be in [1, 1048576], got %u", p->max_per_image);
    if (!(p->score_thresh <= 1.0f))
        return ot_layer_fail(l, err, p, "score_thresh", OT_ECONFIG,
                             "score_thresh: must be at most 1, got %g", (double)p->score_thresh);
    g->box_classes = ot_box_classes(p->class_agnostic, g->classes);
    g->score_thresh = p->score_thresh;
    g->nms_thresh = p->nms_thresh;
    g->max_per_image = (int)p->max_per_image;
    if ((rc = ot_four(l, p, "bbox_mean", p->n_bbox_mean, p->bbox_mean, zeros, g->mean, err)))
        return rc;
    return ot_four_std(l, p, p->n_bbox_std, p->bbox_std, g->std, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_detection_geom *g = l->state;
    int rc;

    g->rois = ot_dim(&l->in[0]->data.shape, 0);
    g->n = ot_dim(&l->in[3]->data.shape, 0);
    if ((rc = ot_want_shape(l, 0, "RoIs", (int[]){ g->rois, 5 }, 2, err)) ||
        (rc = ot_want_shape(l, 1, "probabilities", (int[]){ g->rois, g->classes }, 2, err)) ||
        (rc = ot_want_shape(l, 2, "box deltas", (int[]){ g->rois, 4 * g->box_classes }, 2, err)) ||
        (rc = ot_want_shape(l, 3, "im_info", (int[]){ g->n, 3 }, 2, err)))
        return rc;
    l->out[0]->data.shape = ot_shape2(g->n * g->max_per_image, 7);
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_detection_scratch(l->state);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->detection_output(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data,
                                l->in[2]->data.data, l->in[3]->data.data, l->scratch,
                                l->out[0]->data.data);
}

const struct ot_layer_ops ot_layer_detection_output = {
    .type = "DetectionOutput",
    .doc = "boxes of the original image from regions, class scores and deltas",
    .state_size = sizeof(struct ot_detection_geom),
    .min_in = 4,
    .max_in = 4,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 15,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
};
