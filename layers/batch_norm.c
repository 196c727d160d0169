/*
 * batch_norm.c - BatchNorm: (x - mean) / sqrt(variance + eps) of each channel, without scale and
 * shift (those are a Scale layer's).
 *
 * Parameters are Caffe's three blobs: sums of means, of unbiased variances, and what to divide
 * them by.  With batch statistics (use_global_stats false; its default is phase TEST) every
 * forward, of TEST too, adds to the sums: sum = now + moving_average_fraction sum; but not when
 * env->frozen_stats.  Nothing is learned here: the parameters' lr_mult must be 0, which is also
 * what they get without a param message, and what Caffe makes of three of them whatever they say.
 *
 * Runs in the order of its input where channels lie in blocks.  Backward reads the output only.
 *
 * With a Scale, and perhaps a sum of two and a ReLU, fused into it (l->fused_scale) one pass does
 * all of it with the Scale's parameters, whose gradients come with this layer's backward.  That
 * reads the input only, and where something was added the output for the ReLU.
 */
#include "layers/bn_math.h"
#include "layers/layer.h"

struct batch_norm {
    struct ot_bn_geom g;
    float fraction, eps;
    bool global;
};

static int fix_params(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__LayerParameter *c = l->conf;

    for (size_t i = 0; i < c->n_param && c->n_param != 3; i++)
        if (!c->param[i]->has_lr_mult || c->param[i]->lr_mult != 0.0f)
            return ot_layer_fail(l, err, c->param[i], "lr_mult", OT_ECONFIG,
                                 "lr_mult: must be 0, statistics are not learned, got %g",
                                 c->param[i]->has_lr_mult ? (double)c->param[i]->lr_mult : 1.0);
    for (int i = 0; i < l->nparam; i++) {
        l->param[i]->lr_mult = 0.0f;
        l->param[i]->need_grad = false;
    }
    return 0;
}

static int batch_norm_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__BatchNormParameter *p = l->conf->batch_norm_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    const struct ot_shape one = ot_shape1(1), c = ot_shape1(ot_dim(x, 1));
    struct batch_norm *s = l->state;

    s->eps = p ? p->eps : 1e-5f;
    s->fraction = p ? p->moving_average_fraction : 0.999f;
    s->global = p && p->has_use_global_stats ? p->use_global_stats
                                             : l->env->phase == CAFFE__PHASE__TEST;
    if (!(s->eps >= 0.0f))
        return ot_layer_fail(l, err, p, "eps", OT_ECONFIG, "eps: must be >= 0, got %g",
                             (double)s->eps);
    if (!(s->fraction >= 0.0f && s->fraction <= 1.0f))
        return ot_layer_fail(l, err, p, "moving_average_fraction", OT_ECONFIG,
                             "moving_average_fraction: must be in [0, 1], got %g",
                             (double)s->fraction);
    s->g.c = (size_t)c.dim[0];
    for (int i = 0; i < 3; i++) /* means, variances, their divisor */
        if (ot_layer_param(l, i < 2 ? &c : &one, NULL, err))
            return err->code;
    return fix_params(l, err);
}

static int batch_norm_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct batch_norm *s = l->state;
    char text[OT_SHAPE_TEXT];

    if (x->nd < 1 || (size_t)ot_dim(x, 1) != s->g.c)
        return ot_fail(err, OT_ESHAPE, "input must have %zu channels, got %s", s->g.c,
                       ot_shape_str(x, text));
    s->g.n = (size_t)x->dim[0];
    s->g.inner = x->nd > 2 ? ot_count_range(x, 2, x->nd) : 1;
    l->out[0]->data.shape = *x;
    l->flops = (s->global ? 2.0 : 5.0) * (double)ot_count(x);
    return 0;
}

static int batch_norm_plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_tensor *x = &l->in[0]->data;
    const bool keep = x->fmt && x->fmt->block;
    struct batch_norm *s = l->state;

    (void)err;
    if (l->fused_scale)
        l->reads = OT_LAYER_BWD_NEEDS_IN |
                   (l->fused_sum && l->fused_relu ? OT_LAYER_BWD_NEEDS_OUT : 0);
    s->g.block = keep ? x->fmt->block : 1;
    if (s->g.inner == 1 && s->g.c % s->g.block == 0) /* rows without padding */
        s->g.block = s->g.c;
    s->g.type = keep ? x->fmt->type : OT_F32;
    for (int i = 0; i < ot_layer_inputs(l); i++)
        l->in_fmt[i] = keep ? x->fmt : NULL;
    l->out[0]->data.fmt = keep ? x->fmt : NULL;
    l->out[0]->data.elems = keep ? x->elems : ot_count(&x->shape);
    l->ws_bytes[0] = 3 * ot_bn_channels(&s->g) * sizeof(float);
    l->scratch_bytes = ot_bn_scratch(&s->g);
    return 0;
}

static const float *scale_param(const struct ot_layer *l, int i)
{
    return i < l->fused_scale->nparam ? l->fused_scale->param[i]->data.data : NULL;
}

static void batch_norm_forward(struct ot_layer *l)
{
    const struct batch_norm *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    float *sum[3], *stat = l->ws[0];

    for (int i = 0; i < 3; i++)
        sum[i] = l->param[i]->data.data;
    if (s->g.n * s->g.inner == 0)
        return;
    if (s->global) {
        k->bn_global(l->dev, &s->g, s->eps, sum[0], sum[1], sum[2], stat);
    } else {
        k->bn_stats(l->dev, &s->g, s->eps, l->in[0]->data.data, l->scratch, stat);
        if (!l->env->frozen_stats)
            k->bn_running(l->dev, &s->g, s->fraction, stat, sum[0], sum[1], sum[2]);
    }
    if (l->fused_scale)
        k->bn_affine_fwd(l->dev, &s->g, l->fused_relu, l->in[0]->data.data, stat, scale_param(l, 0),
                         scale_param(l, 1), l->fused_sum ? l->in[l->nin]->data.data : NULL,
                         l->out[0]->data.data);
    else
        k->bn_fwd(l->dev, &s->g, l->in[0]->data.data, stat, l->out[0]->data.data);
}

/* Backward of all, first the sums of each channel where any are wanted; the Scale's gradients or
 * NULL. */
static void two_passes(struct ot_layer *l, float beta, float *dgamma, float *dshift)
{
    const struct batch_norm *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    const bool sums = dgamma || dshift || (!s->global && ot_want_in(l, 0));
    const float *x = l->in[0]->data.data, *y = l->out[0]->data.data, *dy = ot_layer_dy(l, 0);

    if (l->fused_sum) {
        float *dother = l->in[l->nin]->grad.data;

        if (sums)
            k->bn_add_sums(l->dev, &s->g, l->fused_relu, x, l->ws[0], y, dy, ot_layer_dy(l, 1),
                           l->scratch, beta, dgamma, dshift, dother);
        else
            k->eltwise_sum_bwd(l->dev, s->g.type, l->out[0]->data.elems, 1, NULL, l->fused_relu, y,
                               dy, ot_layer_dy(l, 1), &dother);
        dy = dother;
    } else if (sums) {
        k->bn_affine_sums(l->dev, &s->g, l->fused_relu, x, l->ws[0], scale_param(l, 0),
                          scale_param(l, 1), dy, l->scratch, beta, dgamma, dshift);
    }
    if (ot_want_in(l, 0))
        k->bn_affine_grad(l->dev, &s->g, s->global, l->fused_relu && !l->fused_sum, x, l->ws[0],
                          scale_param(l, 0), scale_param(l, 1), dy, l->scratch,
                          l->in[0]->grad.data);
}

static void fused_backward(struct ot_layer *l)
{
    const struct batch_norm *s = l->state;
    struct ot_layer *const scale = l->fused_scale;
    const bool want[2] = { ot_want_param(scale, 0), ot_want_param(scale, 1) };
    const float beta = want[0] || want[1] ? ot_layer_common_beta(scale) : 0.0f;
    float *d[2];

    for (int i = 0; i < 2; i++) {
        d[i] = want[i] ? scale->param[i]->grad.data : NULL;
        if (d[i] && beta == 0.0f && s->g.n * s->g.inner == 0)
            l->dev->k->fill(l->dev, OT_F32, s->g.c, 0.0f, d[i]);
    }
    if (s->g.n * s->g.inner > 0 && (d[0] || d[1] || ot_want_in(l, 0) || l->fused_sum))
        two_passes(l, beta, d[0], d[1]);
}

static void batch_norm_backward(struct ot_layer *l)
{
    const struct batch_norm *s = l->state;

    if (l->fused_scale)
        fused_backward(l);
    else if (ot_want_in(l, 0) && s->g.n * s->g.inner > 0)
        l->dev->k->bn_bwd(l->dev, &s->g, s->global, l->out[0]->data.data, l->ws[0],
                          l->out[0]->grad.data, l->scratch, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_batch_norm = {
    .type = "BatchNorm",
    .doc = "each channel to mean 0 and variance 1, of the batch or of running statistics",
    .state_size = sizeof(struct batch_norm),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_INPLACE | OT_LAYER_BWD_NEEDS_OUT | OT_LAYER_FUSES_SCALE | OT_LAYER_FUSES_SUM |
             OT_LAYER_FUSES_SPLIT | OT_LAYER_FUSES_RELU | OT_LAYER_MASKS_RELU,
    .setup = batch_norm_setup,
    .reshape = batch_norm_reshape,
    .plan = batch_norm_plan,
    .forward = batch_norm_forward,
    .backward = batch_norm_backward,
};
