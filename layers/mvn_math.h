/* mvn_math.h - one value of a row without its mean and deviation, for every device. */
#ifndef OT_LAYERS_MVN_MATH_H
#define OT_LAYERS_MVN_MATH_H

#include <math.h>
#include <stddef.h>

#include "base/hd.h"

OT_HD double ot_mvn_norm(double sum_of_squares, size_t cols, float eps)
{
    return sqrt(sum_of_squares / (double)cols) + (double)eps;
}

OT_HD float ot_mvn(float x, double mean, double norm)
{
    return (float)(((double)x - mean) / norm);
}

/* mean_y: of dy y, 0 where the deviation stays */
OT_HD float ot_mvn_grad(float y, float dy, double mean, double mean_y, double norm)
{
    return (float)(((double)dy - mean - (double)y * mean_y) / norm);
}

#endif
