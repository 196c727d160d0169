/* neuron_cpu.c - element by element: ReLU, dropout, eltwise products and maxima. */
#include "layers/channel_math.h"
#include "layers/cpu_i.h"
#include "layers/neuron_math.h"

void ot_cpu_relu_fwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope, const float *x,
                     float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = ot_relu(x[i], slope);
}

void ot_cpu_relu_bwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope, const float *y,
                     const float *dy, float *dx)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        dx[i] = ot_relu_grad(y[i], dy[i], slope);
}

void ot_cpu_dropout(struct ot_dev *dev, const struct ot_channels *g, float ratio, float scale,
                    uint64_t seed, uint64_t stream, const float *x, float *y)
{
    const uint64_t iter = dev->step.iter;
    const size_t n = ot_channel_elems(g);

    ot_cpu_f32(dev, g->type);
    if (g->block == 1) {
#pragma omp parallel for simd if (n > OT_CPU_GRAIN / 16) schedule(static)
        for (size_t i = 0; i < n; i++)
            y[i] = ot_dropout(x[i], ratio, scale, seed, iter, stream, i);
        return;
    }
#pragma omp parallel for if (n > OT_CPU_GRAIN / 16) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = ot_dropout(x[i], ratio, scale, seed, iter, stream, ot_channel_logical(g, i));
}

/* Elements that are done with all inputs before the next ones: they stay in the cache. */
enum { SUM_RUN = 4096 };

static void relu_run(size_t n, float *y)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = ot_relu(y[i], 0.0f);
}

void ot_cpu_eltwise_sum(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                        const float *const *x, const float *host_coeff, bool relu, float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t from = 0; from < n; from += SUM_RUN) {
        const size_t end = from + SUM_RUN < n ? from + SUM_RUN : n;

        for (int j = 0; j < k; j++) {
            const float c = host_coeff ? host_coeff[j] : 1.0f;

#pragma omp simd
            for (size_t i = from; i < end; i++)
                y[i] = j ? c * x[j][i] + y[i] : c * x[j][i];
        }
        if (relu) /* while it is in the cache */
            relu_run(end - from, y + from);
    }
}

static inline __attribute__((always_inline)) void run_bwd(size_t n, float c, bool relu, bool two,
                                                          const float *y, const float *dy,
                                                          const float *dy2, float *dx)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const float d = two ? dy[i] + dy2[i] : dy[i];

        dx[i] = c * ot_relu_mask(relu, relu ? y[i] : 0.0f, d);
    }
}

/* y, dy2: NULL for none */
static void sum_run_bwd(size_t n, float c, const float *y, const float *dy, const float *dy2,
                        float *dx)
{
    if (y && dy2)
        run_bwd(n, c, true, true, y, dy, dy2, dx);
    else if (y)
        run_bwd(n, c, true, false, y, dy, dy2, dx);
    else if (dy2)
        run_bwd(n, c, false, true, y, dy, dy2, dx);
    else
        run_bwd(n, c, false, false, y, dy, dy2, dx);
}

void ot_cpu_eltwise_sum_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                            const float *host_coeff, bool relu, const float *y, const float *dy,
                            const float *dy2, float *const *dx)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t from = 0; from < n; from += SUM_RUN) {
        const size_t m = from + SUM_RUN < n ? SUM_RUN : n - from;

        for (int j = 0; j < k; j++) {
            if (dx[j])
                sum_run_bwd(m, host_coeff ? host_coeff[j] : 1.0f, relu ? y + from : NULL, dy + from,
                            dy2 ? dy2 + from : NULL, dx[j] + from);
        }
    }
}

void ot_cpu_eltwise_prod_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                             const float *const *x, float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++) {
        float v = x[0][i];

        for (int j = 1; j < k; j++)
            v *= x[j][i];
        y[i] = v;
    }
}

void ot_cpu_eltwise_prod_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                             const float *const *x, int i, bool stable, const float *y,
                             const float *dy, float *dx)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t e = 0; e < n; e++) {
        float v = 1.0f;

        if (stable) {
            for (int j = 0; j < k; j++)
                v *= j == i ? 1.0f : x[j][e];
        } else {
            v = y[e] / x[i][e];
        }
        dx[e] = v * dy[e];
    }
}

void ot_cpu_eltwise_max_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                            const float *const *x, int32_t *mask, float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++) {
        float best = x[0][i];
        int32_t at = 0;

        for (int j = 1; j < k; j++)
            if (x[j][i] > best || (j == 1 && !(best > x[1][i]))) {
                best = x[j][i];
                at = j;
            }
        y[i] = best;
        mask[i] = at;
    }
}

void ot_cpu_eltwise_max_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int i,
                            const int32_t *mask, const float *dy, float *dx)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t e = 0; e < n; e++) {
        float d = dy[e];

        dx[e] = mask[e] == i ? d : 0.0f;
    }
}
