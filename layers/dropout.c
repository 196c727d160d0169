/*
 * dropout.c - Dropout.  In TRAIN each value is zeroed with probability dropout_ratio and the rest
 * scaled by 1 / (1 - ratio); TEST is the identity.  With scale_train false (the detection forks'
 * extension) TRAIN does not scale and TEST multiplies by (1 - ratio).
 *
 * Which values survive is a pure function of seed, layer, iteration and index, so backward draws
 * the same map again instead of keeping it, and every device drops the same ones; the index counts
 * logical elements, hence plain order.
 */
#include "layers/layer.h"

struct dropout {
    float ratio;
    bool scale_train;
};

static int dropout_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__DropoutParameter *p = l->conf->dropout_param;
    struct dropout *s = l->state;

    s->ratio = p ? p->dropout_ratio : 0.5f;
    s->scale_train = p ? p->scale_train : true;
    if (!(s->ratio >= 0.0f && s->ratio < 1.0f))
        return ot_layer_fail(l, err, p, "dropout_ratio", OT_ECONFIG,
                             "dropout_ratio: must be in [0, 1), got %g", (double)s->ratio);
    return 0;
}

static int dropout_reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->out[0]->data.shape = l->in[0]->data.shape;
    return 0;
}

static void run(struct ot_layer *l, const float *x, float *y)
{
    const struct dropout *s = l->state;
    const struct ot_net_env *env = l->env;
    size_t n = ot_count(&l->in[0]->data.shape);

    if (env->phase == CAFFE__PHASE__TRAIN && s->ratio > 0.0f)
        l->dev->k->dropout(l->dev, ot_type_of(l->in[0]->data.fmt), n, s->ratio,
                           s->scale_train ? 1.0f / (1.0f - s->ratio) : 1.0f, env->seed, l->stream,
                           x, y);
    else if (env->phase != CAFFE__PHASE__TRAIN && !s->scale_train)
        l->dev->k->axpby(l->dev, ot_type_of(l->in[0]->data.fmt), n, 1.0f - s->ratio, x, 0.0f, y);
    else if (x != y)
        l->dev->k->copy(l->dev, ot_type_of(l->in[0]->data.fmt), n, x, y);
}

static void dropout_forward(struct ot_layer *l)
{
    run(l, l->in[0]->data.data, l->out[0]->data.data);
}

static void dropout_backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        run(l, l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_dropout = {
    .type = "Dropout",
    .doc = "zeroes a random share of the values while training",
    .state_size = sizeof(struct dropout),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE,
    .setup = dropout_setup,
    .reshape = dropout_reshape,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
