/* unary.cu - functions of one value. */
#include "cuda/map.h"
#include "layers/unary_math.h"

struct unary {
    struct ot_unary op;

    __device__ float operator()(const float *x, size_t) const
    {
        return ot_unary_at(op.kind, op.a, op.b, op.c, x[0]);
    }
};

template <class T>
static void unary_fwd(struct ot_dev *dev, const struct ot_unary *op, size_t n, const void *x,
                      void *y)
{
    ot_map<T, T, 1>(dev, n, { { (const T *)x } }, (T *)y, unary{ *op });
}

extern "C" void ot_cuda_unary_fwd(struct ot_dev *dev, const struct ot_unary *op, enum ot_type type,
                                  size_t n, const float *x, float *y)
{
    OT_BY_TYPE(type, unary_fwd, dev, op, n, x, y);
}

struct unary_grad {
    struct ot_unary op;

    __device__ float operator()(const float *x, size_t) const
    {
        return ot_unary_grad(op.kind, op.a, op.b, op.c, x[0], x[1]);
    }
};

template <class T>
static void unary_bwd(struct ot_dev *dev, const struct ot_unary *op, size_t n, const void *v,
                      const void *dy, void *dx)
{
    ot_map<T, T, 2>(dev, n, { { (const T *)v, (const T *)dy } }, (T *)dx, unary_grad{ *op });
}

extern "C" void ot_cuda_unary_bwd(struct ot_dev *dev, const struct ot_unary *op, enum ot_type type,
                                  size_t n, const float *x, const float *y, const float *dy,
                                  float *dx)
{
    OT_BY_TYPE(type, unary_bwd, dev, op, n, ot_unary_from_y(op->kind) ? y : x, dy, dx);
}
