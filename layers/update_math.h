/*
 * update_math.h - one step of a solver for one value, for every device.
 *
 * Formulas as Caffe's solvers have them (src/caffe/solvers, BVLC Caffe 1.0): g becomes the gradient
 * that counts (scaled, with weight decay), then
 *   SGD       h = m h + lr g;                        w -= h
 *   Nesterov  h' = m h + lr g;                       w -= (1 + m) h' - m h
 *   AdaGrad   h += g g;                              w -= lr g / (sqrt(h) + delta)
 *   RMSProp   h = r h + (1 - r) g g;                 w -= lr g / (sqrt(h) + delta)
 *   AdaDelta  h = m h + (1 - m) g g;  u = g sqrt((h2 + delta) / (h + delta))
 *             h2 = m h2 + (1 - m) u u;               w -= lr u
 *   Adam      h = m h + (1 - m) g;  h2 = m2 h2 + (1 - m2) g g
 *                                                    w -= lr c h / (sqrt(h2) + delta)
 * with c = sqrt(1 - m2^t) / (1 - m^t), t = 1 in the first iteration.
 */
#ifndef OT_LAYERS_UPDATE_MATH_H
#define OT_LAYERS_UPDATE_MATH_H

#include <math.h>

#include "base/hd.h"
#include "layers/geom.h"

/* What gradients are multiplied by; norm: sum of squares of all of them, read when clipping. */
OT_HD float ot_update_scale(const struct ot_update_rule *r, const double *norm)
{
    double scale = 1.0;

    if (r->clip >= 0.0) {
        const double length = sqrt(*norm);

        scale = length > r->clip ? r->clip / length : 1.0;
    }
    return (float)(scale / r->iter_size);
}

/* The gradient that counts: decay pulls towards 0, by the value (L2) or by its sign (L1). */
OT_HD float ot_update_grad(const struct ot_update_rule *r, float scale, float decay, float w,
                           float g)
{
    float toward = r->l1 ? (float)((w > 0.0f) - (w < 0.0f)) : w;

    return g * scale + decay * toward;
}

/* What is taken off the value; h2 may be NULL where the kind has one history. */
OT_HD float ot_update_step(const struct ot_update_rule *r, float lr, float correction, float g,
                           float *h, float *h2)
{
    const float m = r->momentum, old = *h;

    switch (r->kind) {
    case OT_UPDATE_SGD:
        return *h = m * old + lr * g;
    case OT_UPDATE_NESTEROV:
        *h = m * old + lr * g;
        return (1.0f + m) * *h - m * old;
    case OT_UPDATE_ADAGRAD:
        *h = old + g * g;
        return lr * (g / (sqrtf(*h) + r->delta));
    case OT_UPDATE_RMSPROP:
        *h = r->rms_decay * old + (1.0f - r->rms_decay) * (g * g);
        return lr * (g / (sqrtf(*h) + r->delta));
    case OT_UPDATE_ADADELTA: {
        float u;

        *h = m * old + (1.0f - m) * (g * g);
        u = g * sqrtf((*h2 + r->delta) / (*h + r->delta));
        *h2 = m * *h2 + (1.0f - m) * (u * u);
        return lr * u;
    }
    default: /* OT_UPDATE_ADAM */
        *h = m * old + (1.0f - m) * g;
        *h2 = r->momentum2 * *h2 + (1.0f - r->momentum2) * (g * g);
        return lr * correction * (*h / (sqrtf(*h2) + r->delta));
    }
}

#endif
