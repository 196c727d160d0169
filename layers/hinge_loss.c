/* hinge_loss.c - HingeLoss, one against all, with norm L1 or L2. */
#include "layers/row_label_loss.h"

static enum ot_label_loss kind_of(const struct ot_layer *l)
{
    const Caffe__HingeLossParameter *p = l->conf->hinge_loss_param;

    return p && p->norm == CAFFE__HINGE_LOSS_PARAMETER__NORM__L2 ? OT_HINGE_L2 : OT_HINGE_L1;
}

static void forward(struct ot_layer *l)
{
    ot_row_label_loss_forward(l, kind_of(l));
}

static void backward(struct ot_layer *l)
{
    ot_row_label_loss_backward(l, kind_of(l));
}

const struct ot_layer_ops ot_layer_hinge_loss = {
    .type = "HingeLoss",
    .doc = "one-against-all hinge loss, norm L1 or L2",
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
