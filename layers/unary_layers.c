/*
 * unary_layers.c - the layers that are a function of one value: AbsVal, BNLL, Clip, ELU, Exp, Log,
 * Power, Sigmoid, Swish, TanH, Threshold.  Each only says which function (struct ot_unary).
 *
 * They run in whatever format comes.  Where padding would not stay 0 (sigmoid(0) is 1/2) that
 * holds for formats without padding only; otherwise they ask for plain order.
 */
#include "layers/layer.h"
#include "layers/unary_math.h"

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    l->out[0]->data.shape = l->in[0]->data.shape;
    return 0;
}

static bool keeps_zero(const struct ot_unary *op)
{
    float y = ot_unary_at(op->kind, op->a, op->b, op->c, 0.0f);
    float dx = ot_unary_grad(op->kind, op->a, op->b, op->c, 0.0f, 0.0f);

    return y == 0.0f && dx == 0.0f;
}

static int plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_tensor *x = &l->in[0]->data;
    bool padded = x->fmt && x->fmt->elems != ot_count(&x->shape);

    (void)err;
    l->in_fmt[0] = padded && !keeps_zero(l->state) ? NULL : x->fmt;
    l->out[0]->data.fmt = l->in_fmt[0];
    l->out[0]->data.elems = l->in_fmt[0] ? x->fmt->elems : ot_count(&x->shape);
    return 0;
}

static void forward(struct ot_layer *l)
{
    const struct ot_tensor *x = &l->in[0]->data;

    l->dev->k->unary_fwd(l->dev, l->state, ot_type_of(x->fmt), x->elems, x->data,
                         l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    const struct ot_tensor *x = &l->in[0]->data;

    if (ot_want_in(l, 0))
        l->dev->k->unary_bwd(l->dev, l->state, ot_type_of(x->fmt), x->elems, x->data,
                             l->out[0]->data.data, l->out[0]->grad.data, l->in[0]->grad.data);
}

/* ---- which function -------------------------------------------------------------------------- */

static int be(struct ot_layer *l, struct ot_unary op)
{
    *(struct ot_unary *)l->state = op;
    return 0;
}

static int absval_setup(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_ABS });
}

static int bnll_setup(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_BNLL });
}

static int sigmoid_setup(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_SIGMOID });
}

static int tanh_setup(struct ot_layer *l, struct ot_err *err)
{
    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_TANH });
}

static int clip_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ClipParameter *p = l->conf->clip_param;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "clip_param is missing");
    if (!p->has_min || !p->has_max)
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG, "clip_param: %s is missing",
                             p->has_min ? "max" : "min");
    if (!(p->min <= p->max))
        return ot_layer_fail(l, err, p, "min", OT_ECONFIG, "min: must be <= max (%g), got %g",
                             (double)p->max, (double)p->min);
    return be(l, (struct ot_unary){ .kind = OT_UNARY_CLIP, .a = p->min, .b = p->max });
}

/* A negative alpha would hide the sign of x from y, which backward reads. */
static int elu_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ELUParameter *p = l->conf->elu_param;
    float alpha = p ? p->alpha : 1.0f;

    if (!(alpha >= 0.0f))
        return ot_layer_fail(l, err, p, "alpha", OT_ECONFIG, "alpha: must be >= 0, got %g",
                             (double)alpha);
    return be(l, (struct ot_unary){ .kind = OT_UNARY_ELU, .a = alpha });
}

/* The natural logarithm of a base; -1 stands for e. */
static int log_base(const struct ot_layer *l, const void *msg, float base, double *log_b,
                    struct ot_err *err)
{
    *log_b = base == -1.0f ? 1.0 : log((double)base);
    if (base != -1.0f && !(base > 0.0f && isfinite(base)))
        return ot_layer_fail(l, err, msg, "base_", OT_ECONFIG,
                             "base: must be > 0, or -1 for e, got %g", (double)base);
    return 0;
}

/* base^(scale x + shift) */
static int exp_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ExpParameter *p = l->conf->exp_param;
    float scale = p ? p->scale : 1.0f, shift = p ? p->shift : 0.0f;
    double log_b;

    if (log_base(l, p, p ? p->base_ : -1.0f, &log_b, err))
        return err->code;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_EXP,
                                    .a = (float)exp(log_b * (double)shift),
                                    .b = (float)(log_b * (double)scale) });
}

/* log_base(scale x + shift) */
static int log_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__LogParameter *p = l->conf->log_param;
    double log_b;

    if (log_base(l, p, p ? p->base_ : -1.0f, &log_b, err))
        return err->code;
    if (log_b == 0)
        return ot_layer_fail(l, err, p, "base_", OT_ECONFIG,
                             "base: there is no logarithm to base 1, got %g", (double)p->base_);
    return be(l, (struct ot_unary){ .kind = OT_UNARY_LOG,
                                    .a = (float)(1.0 / log_b),
                                    .b = p ? p->scale : 1.0f,
                                    .c = p ? p->shift : 0.0f });
}

/* (scale x + shift)^power, which is a constant for a power or a scale of 0 */
static int power_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__PowerParameter *p = l->conf->power_param;
    float power = p ? p->power : 1.0f, scale = p ? p->scale : 1.0f, shift = p ? p->shift : 0.0f;

    (void)err;
    if (power == 0.0f || scale == 0.0f)
        return be(l, (struct ot_unary){ .kind = OT_UNARY_LINEAR, .b = powf(shift, power) });
    if (power == 1.0f)
        return be(l, (struct ot_unary){ .kind = OT_UNARY_LINEAR, .a = scale, .b = shift });
    if (power == 2.0f)
        return be(l, (struct ot_unary){ .kind = OT_UNARY_SQUARE, .a = scale, .b = shift });
    return be(l, (struct ot_unary){ .kind = OT_UNARY_POWER, .a = power, .b = scale, .c = shift });
}

static int swish_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SwishParameter *p = l->conf->swish_param;

    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_SWISH, .a = p ? p->beta : 1.0f });
}

static int threshold_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__ThresholdParameter *p = l->conf->threshold_param;

    (void)err;
    return be(l, (struct ot_unary){ .kind = OT_UNARY_THRESHOLD, .a = p ? p->threshold : 0.0f });
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define UNARY(stem, type_, doc_, flags_, ...)                                           \
    const struct ot_layer_ops ot_layer_##stem = {                                       \
        .type = (type_),                                                                \
        .doc = (doc_),                                                                  \
        .state_size = sizeof(struct ot_unary),                                          \
        .min_in = 1,                                                                    \
        .max_in = 1,                                                                    \
        .min_out = 1,                                                                   \
        .max_out = 1,                                                                   \
        .flags = OT_LAYER_INPLACE | OT_LAYER_ANY_FORMAT | OT_LAYER_ANY_TYPE | (flags_), \
        .setup = stem##_setup,                                                          \
        .reshape = reshape,                                                             \
        .plan = plan,                                                                   \
        .forward = forward,                                                             \
        __VA_ARGS__,                                                                    \
    }

UNARY(absval, "AbsVal", "|x|", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(bnll, "BNLL", "log(1 + e^x)", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(clip, "Clip", "x, at least min and at most max", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(elu, "ELU", "x, or alpha * (e^x - 1) below 0", OT_LAYER_BWD_NEEDS_OUT, .backward = backward);
UNARY(exp, "Exp", "base^(scale * x + shift)", OT_LAYER_BWD_NEEDS_OUT, .backward = backward);
UNARY(log, "Log", "logarithm of scale * x + shift", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(power, "Power", "(scale * x + shift)^power", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(sigmoid, "Sigmoid", "1 / (1 + e^-x)", OT_LAYER_BWD_NEEDS_OUT, .backward = backward);
UNARY(swish, "Swish", "x * sigmoid(beta * x)", OT_LAYER_BWD_NEEDS_IN, .backward = backward);
UNARY(tanh, "TanH", "hyperbolic tangent", OT_LAYER_BWD_NEEDS_OUT, .backward = backward);
UNARY(threshold, "Threshold", "1 above the threshold, otherwise 0", OT_LAYER_NO_BACKWARD,
      .no_grad_in = 1);
