/*
 * dropout.c - Dropout.  In TRAIN each value is zeroed with probability dropout_ratio and the rest
 * scaled by 1 / (1 - ratio); TEST is the identity.  With scale_train false (the detection forks'
 * extension) TRAIN does not scale and TEST multiplies by (1 - ratio).
 *
 * Which values survive is a pure function of seed, layer, iteration and index, so backward draws
 * the same map again instead of keeping it, and every device drops the same ones; the index counts
 * elements of plain order, whatever order and type the blob is kept in.
 */
#include "layers/channels.h"

struct dropout {
    float ratio;
    bool scale_train;
    struct ot_channels g;
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

static int dropout_plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_tensor *x = &l->in[0]->data;
    struct dropout *s = l->state;

    (void)err;
    if (x->fmt && x->fmt->block > 1) {
        s->g = ot_channels_plan(l, 1, 2, true);
        return 0;
    }
    l->in_fmt[0] = l->out[0]->data.fmt = x->fmt && x->fmt->block == 1 ? x->fmt : NULL;
    l->out[0]->data.elems = ot_count(&x->shape);
    s->g = (struct ot_channels){ .outer = 1,
                                 .c = 1,
                                 .inner = l->out[0]->data.elems,
                                 .block = 1,
                                 .type = ot_type_of(l->in_fmt[0]) };
    return 0;
}

static void run(struct ot_layer *l, const float *x, float *y)
{
    const struct dropout *s = l->state;
    const struct ot_net_env *env = l->env;
    const size_t n = l->in[0]->data.elems;

    if (env->phase == CAFFE__PHASE__TRAIN && s->ratio > 0.0f)
        l->dev->k->dropout(l->dev, &s->g, s->ratio,
                           s->scale_train ? 1.0f / (1.0f - s->ratio) : 1.0f, env->seed, l->stream,
                           x, y);
    else if (env->phase != CAFFE__PHASE__TRAIN && !s->scale_train)
        l->dev->k->axpby(l->dev, s->g.type, n, 1.0f - s->ratio, x, 0.0f, y);
    else if (x != y)
        l->dev->k->copy(l->dev, s->g.type, n, x, y);
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
    .plan = dropout_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
