/* parameter.c - Parameter: a learnable blob as a top; zero until weights are loaded. */
#include "layers/layer.h"

static int parameter_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ParameterParameter *p = l->conf->parameter_param;
    struct ot_shape shape;

    if (!p || !p->shape)
        return ot_layer_fail(l, err, p ? (const void *)p : l->conf, NULL, OT_ECONFIG,
                             "parameter_param: shape is missing");
    if (ot_layer_shape(l, p->shape, &shape, err))
        return err->code;
    return ot_layer_param(l, &shape, NULL, err);
}

static int parameter_reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->out[0]->data.shape = l->param[0]->data.shape;
    return 0;
}

static void parameter_forward(struct ot_layer *l)
{
    l->dev->k->copy(l->dev, OT_F32, l->out[0]->data.elems, l->param[0]->data.data,
                    l->out[0]->data.data);
}

static void parameter_backward(struct ot_layer *l)
{
    if (ot_want_param(l, 0))
        l->dev->k->axpby(l->dev, OT_F32, l->out[0]->grad.elems, 1.0f, l->out[0]->grad.data,
                         ot_param_beta(l->param[0]), l->param[0]->grad.data);
}

const struct ot_layer_ops ot_layer_parameter = {
    .type = "Parameter",
    .doc = "a learnable blob",
    .min_out = 1,
    .max_out = 1,
    .setup = parameter_setup,
    .reshape = parameter_reshape,
    .forward = parameter_forward,
    .backward = parameter_backward,
};
