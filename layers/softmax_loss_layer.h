/*
 * softmax_loss_layer.h - what SoftmaxWithLoss and SoftmaxWithLossOHEM have in common.
 *
 * Bottoms: scores, labels (scores without the class axis), [instance weights like the labels].
 * Tops: loss, [probabilities like the scores], [loss of each instance like the labels: not
 * weighted, 0 where ignored].  Weights scale an instance's part of the loss and its gradient and
 * leave the normaliser alone.
 *
 * Ownership: the net's.  Threads: the net's.
 * Errors: axis, shapes; a label outside [0, C), found after forward, names instance and value.
 */
#ifndef OT_LAYERS_SOFTMAX_LOSS_LAYER_H
#define OT_LAYERS_SOFTMAX_LOSS_LAYER_H

#include "layers/layer.h"

struct ot_softmax_loss_state {
    struct ot_softmax_loss_geom geom;
};

int ot_softmax_loss_reshape(struct ot_layer *l, struct ot_err *err);
void ot_softmax_loss_forward(struct ot_layer *l);
void ot_softmax_loss_backward(struct ot_layer *l);
int ot_softmax_loss_check(struct ot_layer *l, struct ot_err *err);

/* ws[0]: probabilities, when no top keeps them; ws[1]: struct ot_loss_stats */
static inline float *ot_softmax_loss_prob(const struct ot_layer *l)
{
    return l->nout > 1 ? l->out[1]->data.data : l->ws[0];
}

#endif
