/*
 * label_loss_cpu.c - hinge, multinomial and infogain losses, instance by instance; sums run over a
 * fixed number of strata in double, so they do not depend on how many threads there are.
 */
#include "layers/cpu_i.h"
#include "layers/label_loss_math.h"

enum { STRATA = 64 };

/* First value of instance i. */
static size_t place(const struct ot_softmax_loss_geom *g, size_t i)
{
    return i / g->inner * g->c * g->inner + i % g->inner;
}

static void sum_range(enum ot_label_loss kind, const struct ot_softmax_loss_geom *g, size_t from,
                      size_t to, const float *x, const float *label, const float *h,
                      struct ot_loss_stats *s)
{
    for (size_t i = from; i < to; i++) {
        int64_t k = ot_label_class(label[i], g->c);

        if (ot_label_ignored(g, label[i]))
            continue;
        s->valid += 1.0;
        if (k >= 0) {
            s->sum += ot_label_loss_of(kind, g->c, g->inner, (size_t)k, x + place(g, i),
                                       h ? h + (size_t)k * g->c : NULL);
        } else if (!s->bad) {
            s->bad = (int64_t)i + 1;
            s->bad_label = (double)label[i];
        }
    }
}

void ot_cpu_label_loss_fwd(struct ot_dev *dev, enum ot_label_loss kind,
                           const struct ot_softmax_loss_geom *g, const float *x, const float *label,
                           const float *h, struct ot_loss_stats *stats, float *loss)
{
    const size_t n = g->outer * g->inner;
    struct ot_loss_stats part[STRATA] = { { 0 } }, all = { 0 };

    (void)dev;
#pragma omp parallel for schedule(static) if (n * g->c > OT_CPU_GRAIN)
    for (size_t s = 0; s < STRATA; s++)
        sum_range(kind, g, n * s / STRATA, n * (s + 1) / STRATA, x, label, h, &part[s]);
    for (size_t s = 0; s < STRATA; s++) {
        all.sum += part[s].sum;
        all.valid += part[s].valid;
        if (part[s].bad && !all.bad) {
            all.bad = part[s].bad;
            all.bad_label = part[s].bad_label;
        }
    }
    all.norm = ot_loss_norm(g, all.valid);
    *stats = all;
    *loss = (float)(all.sum / all.norm);
}

static float row_sum(const float *h, size_t c)
{
    double sum = 0.0;

    for (size_t j = 0; j < c; j++)
        sum += (double)h[j];
    return (float)sum;
}

static void grad_instance(enum ot_label_loss kind, const struct ot_softmax_loss_geom *g,
                          float scale, float label, const float *x, const float *h, float *dx)
{
    const int64_t k = ot_label_ignored(g, label) ? -1 : ot_label_class(label, g->c);
    const float *row = h && k >= 0 ? h + (size_t)k * g->c : NULL;
    const float total = row ? row_sum(row, g->c) : 0.0f;

    for (size_t j = 0; j < g->c; j++)
        dx[j * g->inner] = k < 0
                               ? 0.0f
                               : scale * ot_label_loss_grad(kind, (int64_t)j == k, x[j * g->inner],
                                                            row ? row[j] : 0.0f, total);
}

void ot_cpu_label_loss_bwd(struct ot_dev *dev, enum ot_label_loss kind,
                           const struct ot_softmax_loss_geom *g, const float *x, const float *label,
                           const float *h, const struct ot_loss_stats *stats, const float *dloss,
                           float *dx)
{
    const size_t n = g->outer * g->inner;
    const float scale = (float)((double)dloss[0] / stats->norm);

    (void)dev;
#pragma omp parallel for schedule(static) if (n * g->c > OT_CPU_GRAIN)
    for (size_t i = 0; i < n; i++)
        grad_instance(kind, g, scale, label[i], x + place(g, i), h, dx + place(g, i));
}
