/* multinomial_logistic_loss.c - MultinomialLogisticLoss: -log of the label's probability. */
#include "layers/row_label_loss.h"

static void forward(struct ot_layer *l)
{
    ot_row_label_loss_forward(l, OT_MULTINOMIAL);
}

static void backward(struct ot_layer *l)
{
    ot_row_label_loss_backward(l, OT_MULTINOMIAL);
}

const struct ot_layer_ops ot_layer_multinomial_logistic_loss = {
    .type = "MultinomialLogisticLoss",
    .doc = "-log of the label's probability; takes probabilities",
    .state_size = sizeof(struct ot_softmax_loss_geom),
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 1,
    .reshape = ot_row_label_loss_reshape,
    .forward = forward,
    .backward = backward,
    .check = ot_row_label_loss_check,
};
