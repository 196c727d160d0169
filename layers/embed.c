/*
 * embed.c - Embed: each index is replaced by that row of the weights (input_dim, num_output), plus
 * a bias.  The weights' gradient sums the rows of an index in their order.
 */
#include "layers/rows_i.h"

static size_t limit_of(const struct ot_layer *l)
{
    return (size_t)l->param[0]->data.shape.dim[0];
}

static size_t cols_of(const struct ot_layer *l)
{
    return (size_t)l->param[0]->data.shape.dim[1];
}

static int embed_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__EmbedParameter *p = l->conf->embed_param;
    struct ot_shape w, b;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "embed_param is missing");
    if (p->num_output < 1 || p->num_output > 1 << 24)
        return ot_layer_fail(l, err, p, "num_output", OT_ECONFIG,
                             "num_output: must be in [1, 16777216], got %u", p->num_output);
    if (p->input_dim < 1 || (uint64_t)p->input_dim * p->num_output > INT32_MAX)
        return ot_layer_fail(l, err, p, "input_dim", OT_ECONFIG,
                             "input_dim: must be >= 1 and the weights at most %d values, got %u",
                             INT32_MAX, p->input_dim);
    w = ot_shape2((int)p->input_dim, (int)p->num_output);
    b = ot_shape1((int)p->num_output);
    if (ot_layer_param(l, &w, p->weight_filler, err))
        return err->code;
    return p->bias_term ? ot_layer_param(l, &b, p->bias_filler, err) : 0;
}

static int embed_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_shape y = *x;

    if (x->nd == OT_MAX_DIMS)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have fewer than %d axes, got %d",
                       l->in[0]->name, OT_MAX_DIMS, x->nd);
    y.dim[y.nd++] = (int)cols_of(l);
    l->out[0]->data.shape = y;
    l->ws_bytes[0] = sizeof(struct ot_bad_row);
    return 0;
}

static int embed_plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_rows_scratch(ot_count(&l->in[0]->data.shape), limit_of(l));
    return 0;
}

static void embed_forward(struct ot_layer *l)
{
    const struct ot_tensor *x = &l->in[0]->data;

    ot_rows_check(l, 0, limit_of(l), 0);
    l->dev->k->gather_rows(l->dev, ot_count(&x->shape), cols_of(l), limit_of(l), x->data,
                           l->param[0]->data.data, l->nparam > 1 ? l->param[1]->data.data : NULL,
                           l->out[0]->data.data);
}

static void embed_backward(struct ot_layer *l)
{
    const struct ot_tensor *x = &l->in[0]->data;
    const float *dy = l->out[0]->grad.data;
    size_t n = ot_count(&x->shape);

    if (ot_want_param(l, 0))
        l->dev->k->scatter_rows(l->dev, n, cols_of(l), limit_of(l), x->data, dy, l->scratch,
                                ot_param_beta(l->param[0]), l->param[0]->grad.data);
    if (ot_want_param(l, 1))
        l->dev->k->reduce_fwd(l->dev, 1, n, cols_of(l), OT_REDUCE_SUM, 1.0f, dy,
                              ot_param_beta(l->param[1]), l->param[1]->grad.data);
}

static int embed_check(struct ot_layer *l, struct ot_err *err)
{
    return ot_rows_report(l, 0, limit_of(l), 0, err);
}

const struct ot_layer_ops ot_layer_embed = {
    .type = "Embed",
    .doc = "a row of weights for each index",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1,
    .setup = embed_setup,
    .reshape = embed_reshape,
    .plan = embed_plan,
    .forward = embed_forward,
    .backward = embed_backward,
    .check = embed_check,
};
