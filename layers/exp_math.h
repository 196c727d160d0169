/*
 * exp_math.h - e^x, log(1 + x), sigmoid and tanh of one element, for every device.
 *
 * They are polynomials without branches and without calls, so that the CPU bodies vectorise them;
 * within 2 units in the last place (cephes' single-precision coefficients).
 */
#ifndef OT_LAYERS_EXP_MATH_H
#define OT_LAYERS_EXP_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/hd.h"

/* e^x for x <= 0 (a score minus the largest); 0 where the result would be below FLT_MIN; NaN
 * stays NaN. */
OT_HD float ot_expf(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float t = OT_FMA(x, 1.44269504088896341f, magic), n = t - magic;
    float r = OT_FMA(n, 2.12194440e-4f, OT_FMA(n, -0.693359375f, x)), p, y;
    uint32_t bits;

    memcpy(&bits, &t, sizeof bits);
    bits = (bits << 23) + (127u << 23); /* 2^n: the low bits of t are n */
    memcpy(&y, &bits, sizeof y);
    p = 1.9875691500e-4f;
    p = OT_FMA(p, r, 1.3981999507e-3f);
    p = OT_FMA(p, r, 8.3334519073e-3f);
    p = OT_FMA(p, r, 4.1665795894e-2f);
    p = OT_FMA(p, r, 1.6666665459e-1f);
    p = OT_FMA(p, r, 5.0000001201e-1f);
    p = OT_FMA(p * r, r, r) + 1.0f;
    return x < -87.3f ? 0.0f : p * y;
}

/* log(1 + x) for x in [0, 1]: 2 artanh(x / (2 + x)), whose series ends early there */
OT_HD float ot_log1p_unit(float x)
{
    float z = x / (2.0f + x), q = z * z, p = 1.0f / 15;

    p = OT_FMA(p, q, 1.0f / 13);
    p = OT_FMA(p, q, 1.0f / 11);
    p = OT_FMA(p, q, 1.0f / 9);
    p = OT_FMA(p, q, 1.0f / 7);
    p = OT_FMA(p, q, 1.0f / 5);
    p = OT_FMA(p, q, 1.0f / 3);
    return 2.0f * (p * q * z + z);
}

/* 1 / (1 + e^-x) */
OT_HD float ot_sigmoid(float x)
{
    float e = ot_expf(-fabsf(x)), d = 1.0f / (1.0f + e), below = e * d;

    return x < 0.0f ? below : d;
}

OT_HD float ot_tanhf(float x)
{
    float a = fabsf(x), z = x * x, e = ot_expf(-2.0f * a), far, near;

    far = 2.0f / (1.0f + e) - 1.0f;
    far = x < 0.0f ? -far : far;
    near = -5.70498872745e-3f;
    near = near * z + 2.06390887954e-2f;
    near = near * z - 5.37397155531e-2f;
    near = near * z + 1.33314422036e-1f;
    near = near * z - 3.33332819422e-1f;
    near = near * z * x + x;
    return a < 0.625f ? near : far;
}

#endif
