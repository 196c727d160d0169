/* softmax_with_loss.c - Caffe's SoftmaxWithLoss: loss and, on request, probabilities. */
#include "layers/softmax_loss_layer.h"

const struct ot_layer_ops ot_layer_softmax_with_loss = {
    .type = "SoftmaxWithLoss",
    .doc = "cross entropy of a softmax over the class axis",
    .state_size = sizeof(struct ot_softmax_loss_state),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 3, /* the third as SoftmaxWithLossOHEM: R-FCN's first Caffe had it here */
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .no_grad_in = 1 << 1,
    .reshape = ot_softmax_loss_reshape,
    .forward = ot_softmax_loss_forward,
    .backward = ot_softmax_loss_backward,
    .check = ot_softmax_loss_check,
};
