/*
 * smooth_l1_loss.c - SmoothL1Loss in its two forms: two or four bottoms are Faster R-CNN's, three
 * are R-FCN's first Caffe, which may tell the loss of each instance in a second top.
 */
#include "layers/smooth_l1_layer.h"

enum { WEIGHED = 3 }; /* bottoms of R-FCN's form */

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SmoothL1LossParameter *p = l->conf->smooth_l1_loss_param;
    struct ot_smooth_l1_state *s = l->state;

    s->rfcn = l->nin == WEIGHED;
    s->sigma = p ? p->sigma : 1.0f;
    if (l->nout > 1 && !s->rfcn)
        return ot_fail(err, OT_ECONFIG,
                       "top '%s': losses of instances need %d bottoms (weights), got %d",
                       l->out[1]->name, WEIGHED, l->nin);
    if (!(s->sigma > 0.0f))
        return ot_layer_fail(l, err, p, "sigma", OT_ECONFIG, "sigma: must be > 0, got %g",
                             (double)s->sigma);
    return 0;
}

const struct ot_layer_ops ot_layer_smooth_l1_loss = {
    .type = "SmoothL1Loss",
    .doc = "smooth L1 distance with inside and outside weights",
    .state_size = sizeof(struct ot_smooth_l1_state),
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 2 | 1 << 3,
    .setup = setup,
    .reshape = ot_smooth_l1_reshape,
    .forward = ot_smooth_l1_forward,
    .backward = ot_smooth_l1_backward,
};
