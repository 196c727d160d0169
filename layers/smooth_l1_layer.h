/*
 * smooth_l1_layer.h - what SmoothL1Loss and SmoothL1LossOHEM have in common.
 *
 * Bottoms: predictions, targets, [weights inside], [weights outside], all of one shape.
 * Tops: loss, [loss of each instance (N, 1, H, W)].
 *
 * Faster R-CNN's form divides by the first axis.  R-FCN's form has no weights outside, divides as
 * loss_param says (every position counts, whatever its weights), and its gradient leaves the
 * weights inside out, which is the same for weights of 0 and 1.
 *
 * setup fills `sigma` and `rfcn`; the rest is here.
 *
 * Ownership: the net's.  Threads: the net's.
 * Errors: shapes that differ; more axes than an instance has.
 */
#ifndef OT_LAYERS_SMOOTH_L1_LAYER_H
#define OT_LAYERS_SMOOTH_L1_LAYER_H

#include "layers/layer.h"

struct ot_smooth_l1_state {
    struct ot_softmax_loss_geom geom;
    float sigma;
    bool rfcn; /* the form of R-FCN */
};

int ot_smooth_l1_reshape(struct ot_layer *l, struct ot_err *err);
void ot_smooth_l1_forward(struct ot_layer *l);
void ot_smooth_l1_backward(struct ot_layer *l);

#endif
