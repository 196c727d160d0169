/*
 * shape_math.h - the formulas of the layers that select, repeat and sum: strided copies,
 * reductions along an axis, the largest values of a line; one for every device.
 */
#ifndef OT_LAYERS_SHAPE_MATH_H
#define OT_LAYERS_SHAPE_MATH_H

#include <math.h>

#include "base/hd.h"
#include "layers/geom.h"

/* Where element i of the first `nd` axes lies in both arrays. */
OT_HD void ot_copy_place(const struct ot_copy_geom *g, int nd, size_t i, size_t *x, size_t *y)
{
    *x = *y = 0;
    for (int d = nd - 1; d >= 0; d--) {
        size_t at = i % g->dim[d];

        i /= g->dim[d];
        *x += at * g->xs[d];
        *y += at * g->ys[d];
    }
}

OT_HD double ot_reduce_term(enum ot_reduce_op op, float x)
{
    switch (op) {
    case OT_REDUCE_ASUM:
        return fabs((double)x);
    case OT_REDUCE_SUMSQ:
        return (double)x * (double)x;
    default:
        return (double)x;
    }
}

/* dy: the sum's gradient times the coefficient */
OT_HD float ot_reduce_grad(enum ot_reduce_op op, float x, float dy)
{
    switch (op) {
    case OT_REDUCE_ASUM:
        return x > 0.0f ? dy : x < 0.0f ? -dy : 0.0f;
    case OT_REDUCE_SUMSQ:
        return 2.0f * dy * x;
    default:
        return dy;
    }
}

OT_HD void ot_put_sum(double sum, float coeff, float beta, float *y)
{
    float v = (float)(sum * (double)coeff);

    *y = beta == 0.0f ? v : v + beta * *y;
}

/* Whether a at place i comes before b at place j: greater first, of equals the later place (Caffe
 * sorts pairs of value and place), NaN last. */
OT_HD int ot_argmax_before(float a, size_t i, float b, size_t j)
{
    int a_nan = a != a, b_nan = b != b;

    if (a_nan != b_nan)
        return b_nan;
    return a > b || (!(a < b) && i > j);
}

/* The first top_k of a line of c values, each `stride` after the other; index, value: NULL or one
 * entry of the same stride each. */
OT_HD void ot_argmax_line(size_t c, size_t stride, int top_k, const float *x, float *index,
                          float *value)
{
    size_t last = 0;

    for (int k = 0; k < top_k; k++) {
        size_t best = c;

        for (size_t j = 0; j < c; j++) {
            float v = x[j * stride];

            if (k > 0 && !ot_argmax_before(x[last * stride], last, v, j))
                continue;
            if (best == c || ot_argmax_before(v, j, x[best * stride], best))
                best = j;
        }
        last = best;
        if (index)
            index[(size_t)k * stride] = (float)best;
        if (value)
            value[(size_t)k * stride] = x[best * stride];
    }
}

#endif
