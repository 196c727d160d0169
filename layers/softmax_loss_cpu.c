/*
 * softmax_loss_cpu.c - softmax and its loss in one pass over the scores.
 *
 * Two shapes matter: rows of classes (inner 1: a classifier, RoIs) vectorise along the classes,
 * planes of classes (inner > 1: anchors, pixels) along a block of positions.  Sums run over a
 * fixed number of strata in double, so the loss does not depend on how many threads there are.
 */
#include "layers/device.h"
#include "layers/softmax_loss_math.h"

enum { BLOCK = 64, STRATA = 64, PARALLEL_FROM = 1 << 16 };

static void softmax_row(size_t c, const float *x, float *y)
{
    float top = x[0], sum = 0.0f;

#pragma omp simd reduction(max : top)
    for (size_t k = 0; k < c; k++)
        top = x[k] > top ? x[k] : top;
#pragma omp simd reduction(+ : sum)
    for (size_t k = 0; k < c; k++) {
        y[k] = ot_expf(x[k] - top);
        sum += y[k];
    }
#pragma omp simd
    for (size_t k = 0; k < c; k++)
        y[k] /= sum;
}

/* `len` <= BLOCK neighbouring positions; classes are `inner` apart. */
static void softmax_block(size_t c, size_t inner, size_t len, const float *x, float *y)
{
    float top[BLOCK], sum[BLOCK];

    for (size_t j = 0; j < len; j++) {
        top[j] = x[j];
        sum[j] = 0.0f;
    }
    for (size_t k = 1; k < c; k++) {
        const float *xk = x + k * inner;

        for (size_t j = 0; j < len; j++)
            top[j] = xk[j] > top[j] ? xk[j] : top[j];
    }
    for (size_t k = 0; k < c; k++) {
        const float *xk = x + k * inner;
        float *yk = y + k * inner;

#pragma omp simd
        for (size_t j = 0; j < len; j++) {
            yk[j] = ot_expf(xk[j] - top[j]);
            sum[j] += yk[j];
        }
    }
    for (size_t k = 0; k < c; k++) {
        float *yk = y + k * inner;

#pragma omp simd
        for (size_t j = 0; j < len; j++)
            yk[j] /= sum[j];
    }
}

static void softmax_all(const struct ot_softmax_loss_geom *g, const float *x, float *prob)
{
    const size_t c = g->c, inner = g->inner, blocks = (inner + BLOCK - 1) / BLOCK;
    const size_t jobs = g->outer * blocks;

#pragma omp parallel for schedule(static) if (g->outer * c * inner > PARALLEL_FROM)
    for (size_t job = 0; job < jobs; job++) {
        size_t at = job / blocks * c * inner + job % blocks * BLOCK;
        size_t left = inner - job % blocks * BLOCK;

        if (inner == 1)
            softmax_row(c, x + at, prob + at);
        else
            softmax_block(c, inner, left < BLOCK ? left : BLOCK, x + at, prob + at);
    }
}

/* Instances [from, to) into one stratum's sums. */
static void sum_losses(const struct ot_softmax_loss_geom *g, size_t from, size_t to,
                       const float *prob, const float *label, const float *weight, float *inst,
                       struct ot_loss_stats *s)
{
    for (size_t i = from; i < to; i++) {
        int64_t k = -1;
        float loss = 0.0f, focal = 1.0f;

        if (!ot_label_ignored(g, label[i])) {
            k = ot_label_class(label[i], g->c);
            s->valid += 1.0;
            if (k < 0 && s->bad == 0) {
                s->bad = (int64_t)i + 1;
                s->bad_label = (double)label[i];
            }
        }
        if (k >= 0) {
            float p = prob[(i / g->inner * g->c + (size_t)k) * g->inner + i % g->inner];

            loss = ot_instance_loss(p);
            focal = ot_focal_weight(g->focal, p);
        }
        if (inst)
            inst[i] = loss;
        s->sum += (double)(weight ? weight[i] : 1.0f) * (double)focal * (double)loss;
    }
}

void ot_cpu_softmax_loss_fwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                             const float *x, const float *label, const float *weight, float *prob,
                             float *inst, struct ot_loss_stats *stats, float *loss)
{
    const size_t n = g->outer * g->inner;
    struct ot_loss_stats part[STRATA] = { { 0 } }, all = { 0 };

    (void)dev;
    softmax_all(g, x, prob);
#pragma omp parallel for schedule(static) if (n > PARALLEL_FROM)
    for (size_t s = 0; s < STRATA; s++)
        sum_losses(g, n * s / STRATA, n * (s + 1) / STRATA, prob, label, weight, inst, &part[s]);
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

/* (prob - onehot) * weight * scale * focal slope for `len` neighbouring positions. */
static void grad_block(const struct ot_softmax_loss_geom *g, float scale, size_t len,
                       const float *prob, const float *label, const float *weight, float *dx)
{
    float w[BLOCK];
    int64_t cls[BLOCK];

    for (size_t j = 0; j < len; j++) {
        cls[j] = ot_label_ignored(g, label[j]) ? -1 : ot_label_class(label[j], g->c);
        w[j] = cls[j] < 0 ? 0.0f
                          : scale * (weight ? weight[j] : 1.0f) *
                                ot_focal_slope(g->focal, prob[(size_t)cls[j] * g->inner + j]);
    }
    for (size_t k = 0; k < g->c; k++) {
        const float *p = prob + k * g->inner;
        float *d = dx + k * g->inner;

        for (size_t j = 0; j < len; j++)
            d[j] = cls[j] < 0 ? 0.0f : p[j] * w[j];
    }
    for (size_t j = 0; j < len; j++)
        if (cls[j] >= 0) {
            size_t at = (size_t)cls[j] * g->inner + j;

            dx[at] = (prob[at] - 1.0f) * w[j];
        }
}

static void grad_row(const struct ot_softmax_loss_geom *g, float scale, const float *prob,
                     float label, float weight, float *dx)
{
    int64_t cls = ot_label_ignored(g, label) ? -1 : ot_label_class(label, g->c);
    float w = scale * weight;

    if (cls < 0) {
        memset(dx, 0, g->c * sizeof *dx);
        return;
    }
    w *= ot_focal_slope(g->focal, prob[cls]);
    for (size_t k = 0; k < g->c; k++)
        dx[k] = prob[k] * w;
    dx[cls] = (prob[cls] - 1.0f) * w;
}

void ot_cpu_softmax_loss_bwd(struct ot_dev *dev, const struct ot_softmax_loss_geom *g,
                             const float *prob, const float *label, const float *weight,
                             const struct ot_loss_stats *stats, const float *dloss, float *dx)
{
    const size_t c = g->c, inner = g->inner, blocks = (inner + BLOCK - 1) / BLOCK;
    const size_t jobs = g->outer * blocks;
    const float scale = (float)((double)dloss[0] / stats->norm);

    (void)dev;
#pragma omp parallel for schedule(static) if (g->outer * c * inner > PARALLEL_FROM)
    for (size_t job = 0; job < jobs; job++) {
        size_t o = job / blocks, j = job % blocks * BLOCK, left = inner - j;
        size_t at = o * c * inner + j, i = o * inner + j;

        if (inner == 1)
            grad_row(g, scale, prob + at, label[i], weight ? weight[i] : 1.0f, dx + at);
        else
            grad_block(g, scale, left < BLOCK ? left : BLOCK, prob + at, label + i,
                       weight ? weight + i : NULL, dx + at);
    }
}
