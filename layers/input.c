/* input.c - Input: blobs whose values the caller sets; shapes from input_param. */
#include "layers/layer.h"

static int input_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__InputParameter *p = l->conf->input_param;
    size_t n = p ? p->n_shape : 0;

    if (n != 1 && n != (size_t)l->nout)
        return ot_layer_fail(l, err, p, "shape", OT_ECONFIG,
                             "shape: must be given once or once per top (%d), got %zu", l->nout, n);
    for (int i = 0; i < l->nout; i++)
        if (ot_layer_shape(l, p->shape[n == 1 ? 0 : i], &l->out[i]->data.shape, err))
            return err->code;
    return 0;
}

static void input_forward(struct ot_layer *l)
{
    (void)l;
}

const struct ot_layer_ops ot_layer_input = {
    .type = "Input",
    .doc = "blobs that the caller fills",
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .flags = OT_LAYER_DATA | OT_LAYER_NO_BACKWARD,
    .reshape = input_reshape,
    .forward = input_forward,
};
