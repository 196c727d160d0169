/*
 * smooth_l1_cpu.c - smooth L1 over flat arrays; the sum runs over a fixed number of strata in
 * double, so it does not depend on how many threads there are.
 */
#include "layers/device.h"
#include "layers/smooth_l1_math.h"

enum { STRATA = 64, PARALLEL_FROM = 1 << 15 };

static double sum_range(size_t from, size_t to, float sigma2, const float *x, const float *t,
                        const float *w_in, const float *w_out)
{
    double sum = 0.0;

    for (size_t i = from; i < to; i++) {
        float d = w_in ? w_in[i] * (x[i] - t[i]) : x[i] - t[i];
        float f = ot_smooth_l1(d, sigma2);

        sum += (double)(w_out ? w_out[i] * f : f);
    }
    return sum;
}

void ot_cpu_smooth_l1_fwd(struct ot_dev *dev, size_t n, float sigma, float num, const float *x,
                          const float *t, const float *w_in, const float *w_out, float *loss)
{
    double part[STRATA], sum = 0.0;

    (void)dev;
#pragma omp parallel for schedule(static) if (n > PARALLEL_FROM)
    for (size_t s = 0; s < STRATA; s++)
        part[s] = sum_range(n * s / STRATA, n * (s + 1) / STRATA, sigma * sigma, x, t, w_in, w_out);
    for (size_t s = 0; s < STRATA; s++)
        sum += part[s];
    loss[0] = (float)(sum / (double)num);
}

void ot_cpu_smooth_l1_bwd(struct ot_dev *dev, size_t n, float sigma, float num, float sign,
                          bool chain, const float *x, const float *t, const float *w_in,
                          const float *w_out, const float *dloss, float *dx)
{
    const float scale = sign * dloss[0] / num, sigma2 = sigma * sigma;

    (void)dev;
#pragma omp parallel for simd schedule(static) if (n > PARALLEL_FROM)
    for (size_t i = 0; i < n; i++) {
        float wi = w_in ? w_in[i] : 1.0f, wo = w_out ? w_out[i] : 1.0f;

        dx[i] = scale * (chain ? wi : 1.0f) * wo * ot_smooth_l1_grad(wi * (x[i] - t[i]), sigma2);
    }
}

void ot_cpu_smooth_l1_inst(struct ot_dev *dev, size_t outer, size_t c, size_t inner, float sigma,
                           const float *x, const float *t, const float *w, float *inst)
{
    (void)dev;
#pragma omp parallel for schedule(static) if (outer * c * inner > PARALLEL_FROM)
    for (size_t i = 0; i < outer * inner; i++) {
        size_t at = i / inner * c * inner + i % inner;

        inst[i] = ot_smooth_l1_inst(c, inner, sigma * sigma, x + at, t + at, w ? w + at : NULL);
    }
}
