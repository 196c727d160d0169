/*
 * anchors.h - the reference boxes around one cell, from their one specification.
 *
 * NetParameter.anchor_param says stride, base size, ratios and scales once; every count that
 * depends on them (a per_anchor convolution, the region layers) is taken from here.
 *
 * Source: S. Ren et al., "Faster R-CNN", NIPS 2015, section 3.1; the rounding is that of
 * py-faster-rcnn: sides of each ratio rounded half to even before scaling.
 *
 * Ownership: results are values.  Threads: any.
 * Errors: feat_stride, base_size, ratio, scale with the value; at most OT_MAX_ANCHORS anchors.
 */
#ifndef OT_LAYERS_ANCHORS_H
#define OT_LAYERS_ANCHORS_H

#include "layers/layer.h"

/* p NULL: the defaults (3 ratios x 3 scales). */
int ot_anchors_count(const Caffe__AnchorParameter *p);
int ot_anchors_make(const Caffe__AnchorParameter *p, struct ot_anchors *a, struct ot_err *err);

/* The layer's own anchor_param, else the net's, else the defaults. */
const Caffe__AnchorParameter *ot_layer_anchor_param(const struct ot_layer *l);
int ot_layer_anchors(const struct ot_layer *l, struct ot_anchors *a, struct ot_err *err);

#endif
