/*
 * share.c - how much of the training may be re-injection: the user's limit, halved by the sentinel,
 * lowered by the measured noise.
 *
 * With a share q of wrong labels in the data, and A times as many among what is re-injected, a
 * share r of re-injections makes the effective noise (1 - r) q + r q A; kept below q_max this gives
 * r <= (q_max - q) / (q (A - 1)).  Here q_max = q + 0.005: where hardly a label is wrong
 * nothing is lost by training on the hard ones, and the user's limit holds.
 *
 * Both numbers come from the planted labels, which are wrong for certain and are mined like any
 * other: A is how much denser they are among what is re-injected, q the thermometer's estimate.
 * Without planted ones A is taken as 8 (measured: 9 at 5 % wrong labels, 6 at 10 %, docs/mining.md)
 * and q as the share of what is quarantined, which is too low.
 *
 * The sentinel's samples are always the same, so its rises are judged by the paired difference to
 * its best evaluation.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

#define USUAL_A      8.0    /* until planted rows have been re-injected often enough */
#define USUAL_WEIGHT 1000.0 /* re-injected rows that it counts for */

#define READ_PART    100 /* ... and for so many instances one more: a reading sorts them */
#define LEAST_FACTOR (1.0f / 16)

/* How many times denser wrong labels are among what is re-injected. */
static double enrichment(const struct ot_miner *m)
{
    double t = (double)m->conf.thermometer;

    if (t <= 0)
        return USUAL_A;
    return ((double)m->planted_again / t + USUAL_A * USUAL_WEIGHT) /
           ((double)m->seen_again + USUAL_WEIGHT);
}

void ot_share_read(struct ot_miner *m)
{
    if (!m->conf.auto_share || m->iters < m->next_reading || m->stats.used == 0)
        return;
    m->next_reading = m->iters + OT_READ_EVERY + (int64_t)m->stats.used / READ_PART;
    m->noise = m->conf.thermometer > 0 ? ot_noise(m) : (double)m->held / (double)m->stats.used;
}

double ot_share(const struct ot_miner *m)
{
    double share, a, q = m->noise;

    if (m->conf.naive)
        return 1;
    share = (double)m->conf.max_share * (double)m->sentinel.factor;
    a = enrichment(m);
    if (!m->conf.auto_share || !(q > 0) || a <= 1)
        return share;
    return fmin(share, 0.005 / (q * (a - 1)));
}

/* ---- the sentinel ---------------------------------------------------------------------------- */

/* Has the mean risen by more than two standard errors of the paired difference? */
static bool has_risen(const struct ot_sentinel *s, const float *loss)
{
    double mean = 0, m2 = 0;

    for (int32_t k = 0; k < s->n; k++) {
        double v = (double)loss[k] - (double)s->best[k], d = v - mean;

        mean += d / (k + 1);
        m2 += d * (v - mean);
    }
    return s->n >= 2 && mean > 2 * sqrt(m2 / (s->n - 1) / s->n);
}

static int keep_best(struct ot_sentinel *s, const float *loss, size_t n, double mean,
                     struct ot_err *err)
{
    if (ot_grow(&s->best, &s->cap, n, sizeof *s->best, err) < 0)
        return err->code;
    memcpy(s->best, loss, n * sizeof *loss);
    s->n = (int32_t)n;
    s->mean = mean;
    return 0;
}

int ot_miner_sentinel(struct ot_miner *m, int64_t iter, const float *loss, size_t n, float *share,
                      struct ot_err *err)
{
    struct ot_sentinel *s = &m->sentinel;
    double mean = 0;
    bool mined = m->batches > s->batches;

    for (size_t k = 0; k < n; k++) {
        if (!isfinite(loss[k]))
            return ot_fail(err, OT_ENAN,
                           "mining: sentinel %zu at iteration %lld: loss is not finite, got %g", k,
                           (long long)iter, (double)loss[k]);
        mean += (double)loss[k] / (double)n;
    }
    if (n > INT32_MAX)
        return ot_fail(err, OT_ECONFIG, "mining: too many sentinels, got %zu", n);
    if (n > 0 && ((size_t)s->n != n || mean < s->mean)) {
        if (keep_best(s, loss, n, mean, err) < 0)
            return err->code;
    } else if (n > 0 && mined && has_risen(s, loss)) {
        s->factor = fmaxf(LEAST_FACTOR, s->factor / 2);
    }
    s->batches = m->batches;
    *share = (float)ot_share(m);
    return 0;
}
