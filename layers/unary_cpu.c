/* unary_cpu.c - functions of one value: a loop for each, so that each is vectorised by itself. */
#include "layers/cpu_i.h"
#include "layers/unary_math.h"

#define EVERY(DO)        \
    DO(OT_UNARY_ABS)     \
    DO(OT_UNARY_BNLL)    \
    DO(OT_UNARY_CLIP)    \
    DO(OT_UNARY_ELU)     \
    DO(OT_UNARY_EXP)     \
    DO(OT_UNARY_LINEAR)  \
    DO(OT_UNARY_LOG)     \
    DO(OT_UNARY_POWER)   \
    DO(OT_UNARY_SIGMOID) \
    DO(OT_UNARY_SQUARE)  \
    DO(OT_UNARY_SWISH)   \
    DO(OT_UNARY_TANH)    \
    DO(OT_UNARY_THRESHOLD)

#define EACH(i, n)                                                                             \
    _Pragma("omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)") for (size_t i = 0; \
                                                                                 i < (n); i++)

#define LOOPS(kind)                                                                              \
    static void fwd_##kind(const struct ot_unary *op, size_t n, const float *x, float *y)        \
    {                                                                                            \
        const float a = op->a, b = op->b, c = op->c;                                             \
                                                                                                 \
        EACH(i, n)                                                                               \
        y[i] = ot_unary_at(kind, a, b, c, x[i]);                                                 \
    }                                                                                            \
                                                                                                 \
    static void bwd_##kind(const struct ot_unary *op, size_t n, const float *v, const float *dy, \
                           float *dx)                                                            \
    {                                                                                            \
        const float a = op->a, b = op->b, c = op->c;                                             \
                                                                                                 \
        EACH(i, n)                                                                               \
        dx[i] = ot_unary_grad(kind, a, b, c, v[i], dy[i]);                                       \
    }
EVERY(LOOPS)

void ot_cpu_unary_fwd(struct ot_dev *dev, const struct ot_unary *op, enum ot_type type, size_t n,
                      const float *x, float *y)
{
#define FWD(kind) [kind] = fwd_##kind,
    static void (*const fwd[])(const struct ot_unary *, size_t, const float *,
                               float *) = { EVERY(FWD) };

    ot_cpu_f32(dev, type);
    fwd[op->kind](op, n, x, y);
}

void ot_cpu_unary_bwd(struct ot_dev *dev, const struct ot_unary *op, enum ot_type type, size_t n,
                      const float *x, const float *y, const float *dy, float *dx)
{
#define BWD(kind) [kind] = bwd_##kind,
    static void (*const bwd[])(const struct ot_unary *, size_t, const float *, const float *,
                               float *) = { EVERY(BWD) };

    ot_cpu_f32(dev, type);
    bwd[op->kind](op, n, ot_unary_from_y(op->kind) ? y : x, dy, dx);
}
