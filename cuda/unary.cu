/* unary.cu - functions of one value. */
#include "cuda/launch.h"
#include "layers/unary_math.h"

__global__ static void unary_fwd(struct ot_unary op, size_t n, const float *x, float *y)
{
    OT_EACH (i, n)
        y[i] = ot_unary_at(op.kind, op.a, op.b, op.c, x[i]);
}

extern "C" void ot_cuda_unary_fwd(struct ot_dev *dev, const struct ot_unary *op, size_t n,
                                  const float *x, float *y)
{
    if (n)
        OT_LAUNCH(dev, unary_fwd, ot_grid(n), OT_THREADS, *op, n, x, y);
}

__global__ static void unary_bwd(struct ot_unary op, size_t n, const float *v, const float *dy,
                                 float *dx)
{
    OT_EACH (i, n)
        dx[i] = ot_unary_grad(op.kind, op.a, op.b, op.c, v[i], dy[i]);
}

extern "C" void ot_cuda_unary_bwd(struct ot_dev *dev, const struct ot_unary *op, size_t n,
                                  const float *x, const float *y, const float *dy, float *dx)
{
    if (n)
        OT_LAUNCH(dev, unary_bwd, ot_grid(n), OT_THREADS, *op, n,
                  ot_unary_from_y(op->kind) ? y : x, dy, dx);
}
