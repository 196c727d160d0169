/*
 * mvn.c - MVN: each channel of each item (across_channels: each item) is freed of its mean and,
 * with normalize_variance, divided by its standard deviation + eps.
 *
 * The output has 4 axes as in Caffe.  The gradient is Caffe's, which takes eps for 0 in the
 * derivative of the deviation; it is exact for eps 0.
 */
#include "layers/layer.h"

struct mvn {
    bool variance, across;
    float eps;
    size_t rows, cols;
};

static int mvn_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__MVNParameter *p = l->conf->mvn_param;
    struct mvn *s = l->state;

    s->variance = p ? p->normalize_variance : true;
    s->across = p && p->across_channels;
    s->eps = p ? p->eps : 1e-9f;
    if (!(s->eps >= 0.0f))
        return ot_layer_fail(l, err, p, "eps", OT_ECONFIG, "eps: must be >= 0, got %g",
                             (double)s->eps);
    return 0;
}

static int mvn_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct mvn *s = l->state;
    char text[OT_SHAPE_TEXT];

    if (x->nd > 4)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': must have at most 4 axes, got shape %s",
                       l->in[0]->name, ot_shape_str(x, text));
    s->rows = (size_t)ot_dim(x, 0) * (s->across ? 1 : (size_t)ot_dim(x, 1));
    s->cols = (size_t)ot_dim(x, 2) * (size_t)ot_dim(x, 3) * (s->across ? (size_t)ot_dim(x, 1) : 1);
    l->out[0]->data.shape = ot_shape4(ot_dim(x, 0), ot_dim(x, 1), ot_dim(x, 2), ot_dim(x, 3));
    l->ws_bytes[0] = s->rows * sizeof(float); /* deviation + eps of each row */
    return 0;
}

static void mvn_forward(struct ot_layer *l)
{
    const struct mvn *s = l->state;

    l->dev->k->mvn_fwd(l->dev, s->rows, s->cols, s->variance, s->eps, l->in[0]->data.data, l->ws[0],
                       l->out[0]->data.data);
}

static void mvn_backward(struct ot_layer *l)
{
    const struct mvn *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->mvn_bwd(l->dev, s->rows, s->cols, s->variance, l->out[0]->data.data, l->ws[0],
                           l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_mvn = {
    .type = "MVN",
    .doc = "mean 0 and deviation 1 of each channel of each item",
    .state_size = sizeof(struct mvn),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_OUT,
    .setup = mvn_setup,
    .reshape = mvn_reshape,
    .forward = mvn_forward,
    .backward = mvn_backward,
};
