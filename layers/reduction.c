/*
 * reduction.c - Reduction: coeff times the sum of x, |x| or x^2, or the mean, over the axes from
 * `axis` on.  With loss_weight it is a loss.
 */
#include "layers/layer.h"

struct reduction {
    size_t num, dim;
    enum ot_reduce_op op;
    float coeff;
};

static int reduction_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ReductionParameter *p = l->conf->reduction_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct reduction *s = l->state;
    int axis = 0;

    if ((x->nd || (p && p->axis)) && ot_layer_axis(l, p ? p->axis : 0, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    s->num = ot_count_range(x, 0, axis);
    s->dim = ot_count_range(x, axis, x->nd);
    s->coeff = p ? p->coeff : 1.0f;
    s->op = OT_REDUCE_SUM;
    if (p && p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__ASUM)
        s->op = OT_REDUCE_ASUM;
    else if (p && p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__SUMSQ)
        s->op = OT_REDUCE_SUMSQ;
    else if (p && p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__MEAN && s->dim)
        s->coeff /= (float)s->dim;
    l->out[0]->data.shape = *x;
    l->out[0]->data.shape.nd = axis;
    return 0;
}

static void reduction_forward(struct ot_layer *l)
{
    const struct reduction *s = l->state;

    l->dev->k->reduce_fwd(l->dev, s->num, s->dim, 1, s->op, s->coeff, l->in[0]->data.data, 0.0f,
                          l->out[0]->data.data);
}

static void reduction_backward(struct ot_layer *l)
{
    const struct reduction *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->reduce_bwd(l->dev, s->num, s->dim, 1, s->op, s->coeff, l->in[0]->data.data,
                              l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_reduction = {
    .type = "Reduction",
    .doc = "sum, sum of absolute values or squares, or mean over the last axes",
    .state_size = sizeof(struct reduction),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_IN,
    .reshape = reduction_reshape,
    .forward = reduction_forward,
    .backward = reduction_backward,
};
