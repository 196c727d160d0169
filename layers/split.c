/* split.c - Split: one blob for several readers.  Outputs are the input; gradients add up. */
#include "layers/layer.h"

static int split_reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    for (int i = 0; i < l->nout; i++)
        l->out[i]->data.shape = l->in[0]->data.shape;
    return 0;
}

static void split_forward(struct ot_layer *l)
{
    for (int i = 0; i < l->nout; i++)
        if (l->out[i]->data.data != l->in[0]->data.data)
            l->dev->k->copy(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->data.elems,
                            l->in[0]->data.data, l->out[i]->data.data);
}

static void split_backward(struct ot_layer *l)
{
    const float *dy[OT_MAX_IO];

    for (int i = 0; i < l->nout; i++)
        dy[i] = l->out[i]->grad.data;
    if (ot_want_in(l, 0) && (l->nout > 1 || dy[0] != l->in[0]->grad.data))
        l->dev->k->eltwise_sum(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->grad.elems,
                               l->nout, dy, NULL, false, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_split = {
    .type = "Split",
    .doc = "one blob for several readers (inserted by itself)",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .flags = OT_LAYER_ALIAS | OT_LAYER_ANY_FORMAT | OT_LAYER_ANY_TYPE,
    .reshape = split_reshape,
    .forward = split_forward,
    .backward = split_backward,
};
