/*
 * eltwise.c - Eltwise: product, weighted sum or maximum of inputs of one shape.  MAX remembers
 * which input won; among equals Caffe's choice.  All inputs take the format of
 * the first one that is not plain.
 *
 * A sum takes the ReLU behind it along, forward and backward: without it backward reads the
 * gradient only, with it the output too.  Where two read it, it adds up their gradients itself.
 */
#include "layers/layer.h"

struct eltwise {
    Caffe__EltwiseParameter__EltwiseOp op;
    float coeff[OT_MAX_IO];
    bool stable;
};

static int eltwise_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__EltwiseParameter *p = l->conf->eltwise_param;
    struct eltwise *s = l->state;

    s->op = p ? p->operation : CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM;
    s->stable = p ? p->stable_prod_grad : true;
    if (p && p->n_coeff && p->n_coeff != (size_t)l->nin)
        return ot_layer_fail(l, err, p, "coeff", OT_ECONFIG,
                             "coeff: must be given once per bottom (%d) or not at all, got %zu",
                             l->nin, p->n_coeff);
    if (p && p->n_coeff && s->op != CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM)
        return ot_layer_fail(l, err, p, "coeff", OT_ECONFIG,
                             "coeff: only for operation SUM, got operation %d", (int)s->op);
    for (int i = 0; i < l->nin; i++)
        s->coeff[i] = p && p->n_coeff ? p->coeff[i] : 1.0f;
    l->refuses_relu = s->op != CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM;
    return 0;
}

static int eltwise_reshape(struct ot_layer *l, struct ot_err *err)
{
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    for (int i = 1; i < l->nin; i++)
        if (!ot_shape_eq(&l->in[i]->data.shape, &l->in[0]->data.shape))
            return ot_fail(err, OT_ESHAPE, "inputs must have one shape: \"%s\" is %s, \"%s\" is %s",
                           l->in[0]->name, ot_shape_str(&l->in[0]->data.shape, a), l->in[i]->name,
                           ot_shape_str(&l->in[i]->data.shape, b));
    l->out[0]->data.shape = l->in[0]->data.shape;
    return 0;
}

static int eltwise_plan(struct ot_layer *l, struct ot_err *err)
{
    const struct eltwise *s = l->state;
    const struct ot_tensor *x = &l->in[0]->data;
    /* y / x would make NaN of a format's padding */
    bool divides = s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD && !s->stable;
    const struct ot_format *fmt = NULL;

    (void)err;
    if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM)
        l->reads = l->fused_relu ? OT_LAYER_BWD_NEEDS_OUT : 0;
    for (int i = 0; i < l->nin && !fmt && !divides; i++)
        fmt = l->in[i]->data.fmt;
    for (int i = 0; i < l->nin; i++)
        l->in_fmt[i] = fmt;
    l->out[0]->data.fmt = fmt;
    l->out[0]->data.elems = fmt ? fmt->elems : ot_count(&x->shape);
    if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__MAX)
        l->ws_bytes[0] = l->out[0]->data.elems * sizeof(int32_t);
    return 0;
}

static void inputs(const struct ot_layer *l, const float *x[OT_MAX_IO])
{
    for (int i = 0; i < l->nin; i++)
        x[i] = l->in[i]->data.data;
}

static void eltwise_forward(struct ot_layer *l)
{
    const struct eltwise *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    const float *x[OT_MAX_IO];
    size_t n = l->out[0]->data.elems;
    float *y = l->out[0]->data.data;

    inputs(l, x);
    if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD)
        k->eltwise_prod_fwd(l->dev, ot_type_of(l->in[0]->data.fmt), n, l->nin, x, y);
    else if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__MAX)
        k->eltwise_max_fwd(l->dev, ot_type_of(l->in[0]->data.fmt), n, l->nin, x, l->ws[0], y);
    else
        k->eltwise_sum(l->dev, ot_type_of(l->in[0]->data.fmt), n, l->nin, x, s->coeff,
                       l->fused_relu, y);
}

static void sum_backward(struct ot_layer *l)
{
    const struct eltwise *s = l->state;
    float *dx[OT_MAX_IO];

    for (int i = 0; i < l->nin; i++)
        dx[i] = ot_want_in(l, i) ? l->in[i]->grad.data : NULL;
    l->dev->k->eltwise_sum_bwd(l->dev, ot_type_of(l->in[0]->data.fmt), l->out[0]->data.elems,
                               l->nin, s->coeff, l->fused_relu, l->out[0]->data.data,
                               ot_layer_dy(l, 0), ot_layer_dy(l, 1), dx);
}

static void eltwise_backward(struct ot_layer *l)
{
    const struct eltwise *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    const float *x[OT_MAX_IO], *y = l->out[0]->data.data, *dy = l->out[0]->grad.data;
    size_t n = l->out[0]->data.elems;

    if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM) {
        sum_backward(l);
        return;
    }
    inputs(l, x);
    for (int i = 0; i < l->nin; i++) {
        float *dx = l->in[i]->grad.data;

        if (!ot_want_in(l, i))
            continue;
        if (s->op == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD)
            k->eltwise_prod_bwd(l->dev, ot_type_of(l->in[0]->data.fmt), n, l->nin, x, i, s->stable,
                                y, dy, dx);
        else
            k->eltwise_max_bwd(l->dev, ot_type_of(l->in[0]->data.fmt), n, i, l->ws[0], dy, dx);
    }
}

const struct ot_layer_ops ot_layer_eltwise = {
    .type = "Eltwise",
    .doc = "product, weighted sum or maximum of inputs",
    .state_size = sizeof(struct eltwise),
    .min_in = 2,
    .max_in = OT_MAX_IO,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_ANY_FORMAT | OT_LAYER_ANY_TYPE | OT_LAYER_BWD_NEEDS_IN |
             OT_LAYER_BWD_NEEDS_OUT | OT_LAYER_FUSES_RELU | OT_LAYER_MASKS_RELU |
             OT_LAYER_FUSES_SPLIT,
    .setup = eltwise_setup,
    .reshape = eltwise_reshape,
    .plan = eltwise_plan,
    .forward = eltwise_forward,
    .backward = eltwise_backward,
};
