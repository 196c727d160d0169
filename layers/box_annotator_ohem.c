/*
 * box_annotator_ohem.c - BoxAnnotatorOHEM: which RoIs an image is learned from, R-FCN's way.
 *
 * Bottoms: rois (R,5,..), the loss of each RoI, its label, its box weights (R,C,..), where .. may
 * be positions.  Tops, shaped like labels and weights: those of the roi_per_img hardest instances
 * of each image (box_annotator_math.h has the order); elsewhere ignore_label and 0.  A row with a
 * negative batch index is unused: it takes no place.  One whose label says ignore already may take
 * one, as in Caffe, where its loss of 0 puts it last.
 * Source: A. Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example
 * Mining", CVPR 2016; J. Dai et al., "R-FCN", NIPS 2016, section 2.
 */
#include "layers/layer.h"
#include "layers/regions.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__BoxAnnotatorOHEMParameter *p = l->conf->box_annotator_ohem_param;
    struct ot_box_annotator_geom *g = l->state;

    if (!p || p->roi_per_img == 0)
        return ot_layer_fail(l, err, p ? (const void *)p : (const void *)l->conf, "roi_per_img",
                             OT_ECONFIG, "roi_per_img: must be >= 1, got %s",
                             p && p->has_roi_per_img ? "0" : "none");
    g->keep = p->roi_per_img;
    g->ignore = (float)p->ignore_label;
    return 0;
}

static int want(const struct ot_layer *l, int i, bool fits, const char *what, struct ot_err *err)
{
    char have[OT_SHAPE_TEXT], rois[OT_SHAPE_TEXT];

    if (fits)
        return 0;
    return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted %s of RoIs '%s' of shape %s, got shape %s",
                   l->in[i]->name, what, l->in[0]->name, ot_shape_str(&l->in[0]->data.shape, rois),
                   ot_shape_str(&l->in[i]->data.shape, have));
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_box_annotator_geom *g = l->state;
    const struct ot_shape *rois = &l->in[0]->data.shape, *loss = &l->in[1]->data.shape,
                          *label = &l->in[2]->data.shape, *weight = &l->in[3]->data.shape;
    char have[OT_SHAPE_TEXT];
    int rc;

    if (rois->nd < 2 || rois->dim[1] != 5)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted RoIs of shape Rx5 or Rx5xHxW, got %s",
                       l->in[0]->name, ot_shape_str(rois, have));
    g->rois = (size_t)rois->dim[0];
    g->inner = ot_count_range(rois, 2, rois->nd);
    g->channels = (size_t)ot_dim(weight, 1);
    if ((rc = want(l, 1, ot_count(loss) == g->rois * g->inner, "a loss for each", err)) ||
        (rc = want(l, 2, ot_count(label) == g->rois * g->inner, "a label for each", err)) ||
        (rc = want(l, 3,
                   weight->nd > 1 && (size_t)weight->dim[0] == g->rois &&
                       ot_count_range(weight, 2, weight->nd) == g->inner,
                   "weights (RxC or RxCxHxW)", err)))
        return rc;
    l->out[0]->data.shape = *label;
    l->out[1]->data.shape = *weight;
    return 0;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_box_annotator_scratch(l->state);
    return 0;
}

static void forward(struct ot_layer *l)
{
    l->dev->k->box_annotate(l->dev, l->state, l->in[0]->data.data, l->in[1]->data.data,
                            l->in[2]->data.data, l->in[3]->data.data, l->scratch,
                            l->out[0]->data.data, l->out[1]->data.data);
}

const struct ot_layer_ops ot_layer_box_annotator_ohem = {
    .type = "BoxAnnotatorOHEM",
    .doc = "keeps labels and box weights of the hardest regions of each image",
    .state_size = sizeof(struct ot_box_annotator_geom),
    .min_in = 4,
    .max_in = 4,
    .min_out = 2,
    .max_out = 2,
    .flags = OT_LAYER_NO_BACKWARD,
    .no_grad_in = 15,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
};
