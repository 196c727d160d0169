/*
 * proof.c - what mining proves of itself while it runs: the control group, the thermometer.
 *
 * Effect: treated and control are those that were ever admitted, whether or not they were
 * re-injected since or evicted (by intention to treat: what mining chose would bias the rest), by
 * the loss of the last fresh look after admission; what is quarantined, excluded or planted is
 * left out of both, and so is what was confidently contradicted in most of its looks: wrong labels
 * mostly, which the probe finds among the treated only, so that leaving out the quarantined
 * alone would show an effect where there is none.  Interval: B. L. Welch, "The generalization of
 * Student's problem when several different population variances are involved", Biometrika 34, 1947.
 *
 * Share of wrong labels: the planted ones show how margins of wrong labels are distributed (F), and
 * all of a mixture with share q lie above q F; so q is at most the least ratio of the two
 * distribution functions.  G. Blanchard, G. Lee, C. Scott, "Semi-supervised novelty detection",
 * JMLR 11, 2010, proposition 5 and section 4.  It presumes that real wrong labels look like planted
 * ones; those trained on with weight are memorised in time, so late in a run it is too low.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

#define LEAST_PLANTED 10 /* planted ones below a threshold that says something, */
#define LEAST_PART    4  /* and one in so many: the least of many noisy ratios is far too low */

static bool is_held_now(const struct ot_miner *m, uint64_t key, enum ot_state *state)
{
    int32_t i = ot_rows_find(m, key);

    *state = i >= 0 ? (enum ot_state)m->e[i].r.state : OT_WAITING;
    return (i >= 0 && ot_is_held(&m->e[i].r)) || ot_is_excluded(ot_judged_find(m, key));
}

/* ---- the control group ----------------------------------------------------------------------- */

struct group { /* D. E. Knuth, TAOCP vol. 2, 4.2.2 (15), (16) */
    int64_t n;
    double mean, m2;
};

struct pair {
    struct group treated, control;
};

static void add(struct group *g, double v)
{
    double d = v - g->mean;

    g->n++;
    g->mean += d / (double)g->n;
    g->m2 += d * (v - g->mean);
}

/* 97.5 % quantile of Student's t: the expansion in 1/nu of M. Abramowitz, I. Stegun, 26.7.5;
 * below 3 degrees, where it is 1 % off and worse, between exact values. */
static double t_quantile(double nu)
{
    static const double exact[] = { 12.7062, 4.3027, 3.1824 };
    const double z = 1.959964, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, z9 = z7 * z * z;
    int k = (int)nu;

    if (nu < 3) {
        k = k < 1 ? 1 : k;
        return exact[k - 1] + (exact[k] - exact[k - 1]) * (fmax(1, nu) - k);
    }
    return z + (z3 + z) / 4 / nu + (5 * z5 + 16 * z3 + 3 * z) / 96 / (nu * nu) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384 / pow(nu, 3) +
           (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / 92160 / pow(nu, 4);
}

static struct ot_mining_effect effect_of(const struct pair *p, int32_t label)
{
    const struct group *t = &p->treated, *c = &p->control;
    struct ot_mining_effect e = { .label = label,
                                  .n_treated = t->n,
                                  .n_control = c->n,
                                  .loss_treated = t->n ? t->mean : (double)NAN,
                                  .loss_control = c->n ? c->mean : (double)NAN,
                                  .diff = NAN,
                                  .lo = NAN,
                                  .hi = NAN };
    double nt = (double)t->n, nc = (double)c->n, vt, vc, half = 0;

    if (t->n < 2 || c->n < 2)
        return e;
    vt = t->m2 / (nt - 1) / nt;
    vc = c->m2 / (nc - 1) / nc;
    if (vt + vc > 0)
        half = t_quantile((vt + vc) * (vt + vc) / (vt * vt / (nt - 1) + vc * vc / (nc - 1))) *
               sqrt(vt + vc);
    e.diff = c->mean - t->mean;
    e.lo = e.diff - half;
    e.hi = e.diff + half;
    return e;
}

static void compare(const struct ot_miner *m, uint64_t key, const struct ot_stat *s, void *ctx)
{
    struct pair *p = ctx, *of[2] = { &p[s->label], &p[m->conf.n_classes] };
    enum ot_state ignored;

    if (!(s->flags & OT_STAT_ADMITTED) || !(s->flags & OT_STAT_AFTER) || ot_is_planted(m, key) ||
        2 * (uint64_t)s->n_contra > s->n_seen || is_held_now(m, key, &ignored))
        return;
    for (int k = 0; k < 2; k++)
        add(ot_in_control(m, ot_key_sample(key)) ? &of[k]->control : &of[k]->treated,
            (double)s->fresh);
}

int ot_miner_effects(const struct ot_miner *m, struct ot_mining_effect *e, int max)
{
    struct ot_err no_memory = OT_ERR_INIT;
    struct pair *p = ot_alloc((size_t)m->conf.n_classes + 1, sizeof *p, &no_memory);
    int n = 0;

    if (!p || max < 1) {
        ot_free(p);
        return 0;
    }
    ot_stats_each(m, compare, p);
    for (int c = 0; c < m->conf.n_classes && n < max - 1; c++)
        if (p[c].treated.n + p[c].control.n > 0)
            e[n++] = effect_of(&p[c], c);
    e[n++] = effect_of(&p[m->conf.n_classes], -1);
    ot_free(p);
    return n;
}

/* ---- the thermometer ------------------------------------------------------------------------- */

struct reading {
    int64_t others, others_held;
    struct ot_thermometer t;
};

static void read_one(const struct ot_miner *m, uint64_t key, const struct ot_stat *s, void *ctx)
{
    struct reading *r = ctx;
    bool planted = ot_is_planted(m, key), enough, held;
    enum ot_state state;

    if (s->n_seen < 1)
        return;
    enough = s->n_seen >= (m->conf.scope_all ? (uint32_t)m->conf.scope_looks : 2);
    held = enough && is_held_now(m, key, &state) && state == OT_QUARANTINED;
    r->t.planted += planted;
    r->t.tested += planted && enough;
    r->t.quarantined += planted && held;
    r->others += !planted && enough;
    r->others_held += !planted && held;
}

struct mixture { /* of those with two looks or more */
    struct ot_margin *margin;
    size_t n;
    int64_t others;
};

static void take_planted(const struct ot_miner *m, uint64_t key, const struct ot_stat *s, void *ctx)
{
    struct mixture *x = ctx;

    if (s->n_seen >= 2 && ot_is_planted(m, key))
        x->margin[x->n++] = (struct ot_margin){ .v = s->margin };
}

static void count_other(const struct ot_miner *m, uint64_t key, const struct ot_stat *s, void *ctx)
{
    struct mixture *x = ctx;
    size_t from = 0, end = x->n;

    if (s->n_seen < 2 || ot_is_planted(m, key))
        return;
    while (from < end) {
        size_t mid = from + (end - from) / 2;

        if (x->margin[mid].v < s->margin)
            from = mid + 1;
        else
            end = mid;
    }
    x->others++;
    if (from < x->n)
        x->margin[from].others++;
}

static int by_margin(const void *pa, const void *pb)
{
    const struct ot_margin *a = pa, *b = pb;

    return (a->v > b->v) - (a->v < b->v);
}

/* Least ratio of the two distribution functions, which is at a planted one; NaN with too few.
 * A run asks this often: nothing is sorted but the planted ones. */
double ot_noise(struct ot_miner *m)
{
    struct mixture x = { 0 };
    struct ot_err no_memory = OT_ERR_INIT;
    int64_t other = 0;
    double least = 1;

    if (ot_grow(&m->margins, &m->margins_cap, (size_t)m->stats.used, sizeof *m->margins,
                &no_memory) < 0)
        return NAN;
    x.margin = m->margins;
    ot_stats_each(m, take_planted, &x);
    if (x.n < LEAST_PLANTED)
        return NAN;
    qsort(x.margin, x.n, sizeof *x.margin, by_margin);
    ot_stats_each(m, count_other, &x);
    if (x.others < 1)
        return NAN;
    for (size_t k = 0; k < x.n; k++) {
        other += x.margin[k].others;
        if (k + 1 >= LEAST_PLANTED && LEAST_PART * (k + 1) >= x.n &&
            (k + 1 == x.n || x.margin[k + 1].v > x.margin[k].v))
            least = fmin(least, (double)other / (double)x.others * (double)x.n / (double)(k + 1));
    }
    return least;
}

/* E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22,
 * 1927. */
static void wilson(struct ot_thermometer *t)
{
    const double z2 = 1.959964 * 1.959964;
    double n = (double)t->tested, p = (double)t->quarantined / n, mid = p + z2 / (2 * n);
    double half = sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)));

    t->recall = p;
    t->recall_lo = fmax(0, (mid - half) / (1 + z2 / n));
    t->recall_hi = fmin(1, (mid + half) / (1 + z2 / n));
}

struct ot_thermometer ot_miner_thermometer(struct ot_miner *m)
{
    struct reading r = {
        .t = { .recall = NAN, .recall_lo = NAN, .recall_hi = NAN, .noise = NAN, .precision = NAN }
    };

    if (m->conf.thermometer <= 0)
        return r.t;
    ot_stats_each(m, read_one, &r);
    if (r.t.tested > 0)
        wilson(&r.t);
    r.t.noise = ot_noise(m);
    if (r.t.tested > 0 && r.others_held > 0)
        r.t.precision = fmin(1, r.t.recall * r.t.noise * (double)r.others / (double)r.others_held);
    if (isnan(r.t.noise))
        r.t.precision = NAN;
    return r.t;
}
