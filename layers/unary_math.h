/*
 * unary_math.h - functions of one value and their derivatives, for every device.
 *
 * Sources: BVLC Caffe's neuron layers.  The derivative of Power is taken of the power itself, not
 * of y / x as Caffe does, so that it is right where the base is 0.  NaN passes through.
 */
#ifndef OT_LAYERS_UNARY_MATH_H
#define OT_LAYERS_UNARY_MATH_H

#include <stdbool.h>

#include "layers/exp_math.h"
#include "layers/geom.h"

/* Is the derivative a function of the result?  Otherwise it is one of the argument. */
OT_HD bool ot_unary_from_y(enum ot_unary_kind kind)
{
    return kind == OT_UNARY_ELU || kind == OT_UNARY_EXP || kind == OT_UNARY_SIGMOID ||
           kind == OT_UNARY_TANH;
}

/* `kind` by itself: a constant makes it one formula. */
OT_HD float ot_unary_at(enum ot_unary_kind kind, float a, float b, float c, float x)
{
    float t;

    switch (kind) {
    case OT_UNARY_ABS:
        return fabsf(x);
    case OT_UNARY_BNLL:
        return (x < 0.0f ? 0.0f : x) + ot_log1p_unit(ot_expf(-fabsf(x)));
    case OT_UNARY_CLIP:
        t = x < a ? a : x;
        return t > b ? b : t;
    case OT_UNARY_ELU:
        t = a * (ot_expf(x) - 1.0f);
        return x > 0.0f ? x : t;
    case OT_UNARY_EXP:
        return a * expf(b * x);
    case OT_UNARY_LINEAR:
        t = a * x + b;
        return a == 0.0f ? b : t;
    case OT_UNARY_LOG:
        return a * logf(b * x + c);
    case OT_UNARY_POWER:
        return powf(b * x + c, a);
    case OT_UNARY_SIGMOID:
        return ot_sigmoid(x);
    case OT_UNARY_SQUARE:
        t = a * x + b;
        return t * t;
    case OT_UNARY_SWISH:
        return x * ot_sigmoid(a * x);
    case OT_UNARY_TANH:
        return ot_tanhf(x);
    case OT_UNARY_THRESHOLD:
        return x > a ? 1.0f : 0.0f;
    }
    return 0.0f;
}

/* dy times the derivative; v: the result where ot_unary_from_y(), otherwise the argument. */
OT_HD float ot_unary_grad(enum ot_unary_kind kind, float a, float b, float c, float v, float dy)
{
    float t, d;

    switch (kind) {
    case OT_UNARY_ABS:
        t = v < 0.0f ? -dy : dy;
        return v == 0.0f ? 0.0f : t;
    case OT_UNARY_BNLL:
        return dy * ot_sigmoid(v);
    case OT_UNARY_CLIP:
        t = v <= b ? dy : 0.0f;
        return v >= a ? t : 0.0f;
    case OT_UNARY_ELU:
        t = dy * (v + a);
        return v > 0.0f ? dy : t;
    case OT_UNARY_EXP:
        return dy * v * b;
    case OT_UNARY_LINEAR:
        return dy * a;
    case OT_UNARY_LOG:
        return dy * (a * b) / (b * v + c);
    case OT_UNARY_POWER:
        return dy * (a * b) * powf(b * v + c, a - 1.0f);
    case OT_UNARY_SIGMOID:
        return dy * v * (1.0f - v);
    case OT_UNARY_SQUARE:
        return dy * (2.0f * a) * (a * v + b);
    case OT_UNARY_SWISH:
        t = ot_sigmoid(a * v);
        d = a * (v * t);
        return dy * (d + t * (1.0f - d));
    case OT_UNARY_TANH:
        return dy * (1.0f - v * v);
    case OT_UNARY_THRESHOLD:
        return 0.0f;
    }
    return 0.0f;
}

#endif
