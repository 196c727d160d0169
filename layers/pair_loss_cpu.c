/*
 * pair_loss_cpu.c - Euclidean, sigmoid cross entropy and contrastive losses; sums run over a fixed
 * number of strata in double, so they do not depend on how many threads there are.
 */
#include "layers/cpu_i.h"
#include "layers/pair_loss_math.h"

enum { STRATA = 64 };

static void sum_range(enum ot_pair_loss kind, const struct ot_softmax_loss_geom *g, size_t from,
                      size_t to, const float *x, const float *t, struct ot_loss_stats *s)
{
    for (size_t i = from; i < to; i++)
        if (!ot_label_ignored(g, t[i])) {
            s->valid += 1.0;
            s->sum += ot_pair_loss_of(kind, x[i], t[i]);
        }
}

void ot_cpu_pair_loss_fwd(struct ot_dev *dev, enum ot_pair_loss kind,
                          const struct ot_softmax_loss_geom *g, const float *x, const float *t,
                          struct ot_loss_stats *stats, float *loss)
{
    const size_t n = g->outer * g->inner;
    struct ot_loss_stats part[STRATA] = { { 0 } }, all = { 0 };

    (void)dev;
#pragma omp parallel for schedule(static) if (n > OT_CPU_GRAIN)
    for (size_t s = 0; s < STRATA; s++)
        sum_range(kind, g, n * s / STRATA, n * (s + 1) / STRATA, x, t, &part[s]);
    for (size_t s = 0; s < STRATA; s++) {
        all.sum += part[s].sum;
        all.valid += part[s].valid;
    }
    all.norm = ot_loss_norm(g, all.valid);
    *stats = all;
    *loss = (float)(all.sum / all.norm);
}

void ot_cpu_pair_loss_bwd(struct ot_dev *dev, enum ot_pair_loss kind,
                          const struct ot_softmax_loss_geom *g, float sign, const float *x,
                          const float *t, const struct ot_loss_stats *stats, const float *dloss,
                          float *dx)
{
    const size_t n = g->outer * g->inner;
    const float scale = (float)((double)(sign * dloss[0]) / stats->norm);

    (void)dev;
#pragma omp parallel for schedule(static) if (n > OT_CPU_GRAIN)
    for (size_t i = 0; i < n; i++)
        dx[i] = ot_label_ignored(g, t[i]) ? 0.0f : scale * ot_pair_loss_grad(kind, x[i], t[i]);
}

static float distance2(size_t cols, const float *a, const float *b)
{
    double sum = 0.0;

    for (size_t j = 0; j < cols; j++) {
        float d = a[j] - b[j];

        sum += (double)d * (double)d;
    }
    return (float)sum;
}

static double sum_rows(const struct ot_contrastive_geom *g, size_t from, size_t to, const float *a,
                       const float *b, const float *same)
{
    double sum = 0.0;

    for (size_t r = from; r < to; r++)
        sum += ot_contrastive_of(g, ot_pair_same(same[r]),
                                 distance2(g->cols, a + r * g->cols, b + r * g->cols));
    return sum;
}

void ot_cpu_contrastive_fwd(struct ot_dev *dev, const struct ot_contrastive_geom *g, const float *a,
                            const float *b, const float *same, float *loss)
{
    double part[STRATA], sum = 0.0;

    (void)dev;
#pragma omp parallel for schedule(static) if (g->rows * g->cols > OT_CPU_GRAIN)
    for (size_t s = 0; s < STRATA; s++)
        part[s] = sum_rows(g, g->rows * s / STRATA, g->rows * (s + 1) / STRATA, a, b, same);
    for (size_t s = 0; s < STRATA; s++)
        sum += part[s];
    loss[0] = g->rows ? (float)(sum / (2.0 * (double)g->rows)) : 0.0f;
}

void ot_cpu_contrastive_bwd(struct ot_dev *dev, const struct ot_contrastive_geom *g, float sign,
                            const float *a, const float *b, const float *same, const float *dloss,
                            float *dx)
{
    const size_t cols = g->cols;
    const float scale = sign * dloss[0] / (float)g->rows;

    (void)dev;
#pragma omp parallel for schedule(static) if (g->rows * cols > OT_CPU_GRAIN)
    for (size_t r = 0; r < g->rows; r++) {
        const float *ar = a + r * cols, *br = b + r * cols;
        float f = scale * ot_contrastive_factor(g, ot_pair_same(same[r]), distance2(cols, ar, br));

        for (size_t j = 0; j < cols; j++)
            dx[r * cols + j] = f * (ar[j] - br[j]);
    }
}
