/*
 * smooth_l1_loss_ohem.c - SmoothL1LossOHEM: R-FCN's smooth L1 loss, which tells the loss of each
 * instance in its second top.
 *
 * Its sigma is 1.  Caffe does not look at a sigma written here; one that would make a difference
 * is refused instead.
 */
#include "layers/smooth_l1_layer.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SmoothL1LossParameter *p = l->conf->smooth_l1_loss_param;
    struct ot_smooth_l1_state *s = l->state;

    s->rfcn = true;
    s->sigma = 1.0f;
    if (p && p->sigma != s->sigma)
        return ot_layer_fail(l, err, p, "sigma", OT_ECONFIG,
                             "sigma: must be 1 for SmoothL1LossOHEM, got %g", (double)p->sigma);
    return 0;
}

const struct ot_layer_ops ot_layer_smooth_l1_loss_ohem = {
    .type = "SmoothL1LossOHEM",
    .doc = "smooth L1 distance, weighed, with the loss of each instance as second top",
    .state_size = sizeof(struct ot_smooth_l1_state),
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 2,
    .setup = setup,
    .reshape = ot_smooth_l1_reshape,
    .forward = ot_smooth_l1_forward,
    .backward = ot_smooth_l1_backward,
};
