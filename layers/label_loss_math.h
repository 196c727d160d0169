/*
 * label_loss_math.h - the losses of one class label an instance, for every device.
 *
 * k is the label's class, x_j the values of the instance:
 *   hinge L1, L2   sum over j of m_j or m_j^2,  m_j = max(0, 1 - x_k) for j == k, max(0, 1 + x_j)
 *   multinomial    -log x_k
 *   infogain       -sum over j of H_kj log p_j
 * Logarithms see at least 1e-20, as in Caffe.
 */
#ifndef OT_LAYERS_LABEL_LOSS_MATH_H
#define OT_LAYERS_LABEL_LOSS_MATH_H

#include "layers/softmax_loss_math.h"

/* max(p, 1e-20); NaN stays NaN. */
OT_HD float ot_floor_prob(float p)
{
    return p < 1e-20f ? 1e-20f : p;
}

/* max(0, 1 - x) of the own class, max(0, 1 + x) of another; NaN stays NaN. */
OT_HD float ot_hinge(float x, int own)
{
    float m = own ? 1.0f - x : 1.0f + x;

    return m < 0.0f ? 0.0f : m;
}

/* Of one instance: x_j is x[j * inner]; h is row k of H. */
OT_HD double ot_label_loss_of(enum ot_label_loss kind, size_t c, size_t inner, size_t k,
                              const float *x, const float *h)
{
    double sum = 0.0;

    if (kind == OT_MULTINOMIAL)
        return -(double)logf(ot_floor_prob(x[k * inner]));
    for (size_t j = 0; j < c; j++)
        if (kind == OT_INFOGAIN) {
            sum -= (double)h[j] * (double)logf(ot_floor_prob(x[j * inner]));
        } else {
            float m = ot_hinge(x[j * inner], j == k);

            sum += kind == OT_HINGE_L1 ? (double)m : (double)m * (double)m;
        }
    return sum;
}

/* Derivative by x_j (infogain: by score j, x = softmax(scores)); own: j == k; h: H_kj; h_row: sum
 * of row k. */
OT_HD float ot_label_loss_grad(enum ot_label_loss kind, int own, float x, float h, float h_row)
{
    const float sign = own ? -1.0f : 1.0f;
    float m;

    switch (kind) {
    case OT_MULTINOMIAL:
        return own ? -1.0f / ot_floor_prob(x) : 0.0f;
    case OT_INFOGAIN:
        return x * h_row - h;
    case OT_HINGE_L2:
        return 2.0f * sign * ot_hinge(x, own);
    case OT_HINGE_L1:
        break;
    }
    m = ot_hinge(x, own);
    return m > 0.0f ? sign : m;
}

#endif
