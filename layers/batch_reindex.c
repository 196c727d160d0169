/* batch_reindex.c - BatchReindex: items of the first bottom in the order the second one gives. */
#include "layers/rows_i.h"

static size_t limit_of(const struct ot_layer *l)
{
    return (size_t)l->in[0]->data.shape.dim[0];
}

static size_t cols_of(const struct ot_layer *l)
{
    return ot_count_range(&l->in[0]->data.shape, 1, l->in[0]->data.shape.nd);
}

static int batch_reindex_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape, *index = &l->in[1]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (x->nd < 1)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have an axis, got a scalar",
                       l->in[0]->name);
    if (index->nd != 1)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': indices must have one axis, got %s",
                       l->in[1]->name, ot_shape_str(index, text));
    l->out[0]->data.shape = *x;
    l->out[0]->data.shape.dim[0] = index->dim[0];
    l->ws_bytes[0] = sizeof(struct ot_bad_row);
    return 0;
}

static int batch_reindex_plan(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->scratch_bytes = ot_rows_scratch(ot_count(&l->in[1]->data.shape), limit_of(l));
    return 0;
}

static void batch_reindex_forward(struct ot_layer *l)
{
    const struct ot_tensor *index = &l->in[1]->data;

    ot_rows_check(l, 1, limit_of(l), 0);
    l->dev->k->gather_rows(l->dev, ot_count(&index->shape), cols_of(l), limit_of(l), index->data,
                           l->in[0]->data.data, NULL, l->out[0]->data.data);
}

static void batch_reindex_backward(struct ot_layer *l)
{
    const struct ot_tensor *index = &l->in[1]->data;

    if (ot_want_in(l, 0))
        l->dev->k->scatter_rows(l->dev, ot_count(&index->shape), cols_of(l), limit_of(l),
                                index->data, l->out[0]->grad.data, l->scratch, 0.0f,
                                l->in[0]->grad.data);
}

static int batch_reindex_check(struct ot_layer *l, struct ot_err *err)
{
    return ot_rows_report(l, 1, limit_of(l), 0, err);
}

const struct ot_layer_ops ot_layer_batch_reindex = {
    .type = "BatchReindex",
    .doc = "items of a blob in the order that indices give",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 1,
    .reshape = batch_reindex_reshape,
    .plan = batch_reindex_plan,
    .forward = batch_reindex_forward,
    .backward = batch_reindex_backward,
    .check = batch_reindex_check,
};
