/*
 * softmax_with_loss_ohem.c - SoftmaxWithLoss that also tells the loss of each instance.
 *
 * The third top is what the miner reads.  R-FCN's nets use it alone (loss weights 0, 0, 0); here
 * top 0 counts as the loss unless the net says otherwise, so one layer both trains and measures.
 */
#include "layers/softmax_loss_layer.h"

const struct ot_layer_ops ot_layer_softmax_with_loss_ohem = {
    .type = "SoftmaxWithLossOHEM",
    .doc = "SoftmaxWithLoss with the loss of each instance as third top, weights as third bottom",
    .state_size = sizeof(struct ot_softmax_loss_state),
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 3,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .no_grad_in = 1 << 1 | 1 << 2,
    .reshape = ot_softmax_loss_reshape,
    .forward = ot_softmax_loss_forward,
    .backward = ot_softmax_loss_backward,
    .check = ot_softmax_loss_check,
};
