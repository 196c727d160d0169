/*
 * reinject.c - when a batch is trained on again, which samples are in it, and what became of them.
 *
 * When: enough samples wait, enough fresh iterations lie between, the share of re-injected
 * iterations stays within its limit.  Which: a draw without replacement among the waiting samples,
 * uniform (at the top is where the wrong labels are) or by loss, by the counter-based generator,
 * and any others beside them.
 * Afterwards each booked row that was seen is learned, quarantined (the probe) or cools down; a
 * row that was not seen again stays as it is.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "mining/miner_impl.h"

/* Re-injections that were allowed but found too few waiting are made up for up to this many. */
#define MOST_CREDIT 16.0

void ot_row_rest(struct ot_miner *m, int32_t i, int64_t iter)
{
    if (m->conf.cooldown < 1)
        return;
    m->e[i].r.cool_until = iter + m->conf.cooldown;
    ot_rows_set_state(m, i, OT_COOLING);
}

/* It stays in its state, and in its place among those that may go: many rest for long, and each
 * comes by here every `cooldown` iterations. */
static void rest_on(struct ot_miner *m, int32_t i, int64_t iter)
{
    m->e[i].r.cool_until = iter + m->conf.cooldown;
    m->e[i].low = 0;
    m->e[i].probation = 0;
    ot_rows_requeue(m, i);
}

/* What is half way to quarantine rests on: the wrong labels among it would be memorised. */
static void wake(struct ot_miner *m, int64_t iter)
{
    while (m->cooling.head >= 0 && m->e[m->cooling.head].r.cool_until <= iter) {
        int32_t i = m->cooling.head;
        const struct ot_row *r = &m->e[i].r;
        const struct ot_stat *s = ot_stat_find(m, ot_row_key(r->sample, r->kind, r->slot));

        if (m->conf.cooldown > 0 && s && ot_stat_doubtful(m, s)) {
            rest_on(m, i, iter);
            continue;
        }
        ot_rows_set_state(m, i, OT_WAITING);
        ot_tell_row(m, iter, i);
    }
}

/* NAIVE re-injects as soon as a batch is full, without limits. */
static bool is_time(const struct ot_miner *m, int64_t iter)
{
    const struct ot_miner_conf *c = &m->conf;

    if (m->in_flight || iter >= c->end_iter || m->n_waiting < c->batch)
        return false;
    if (c->naive)
        return true;
    return m->fresh >= c->min_fresh && m->credit >= 1 - 1e-9;
}

/* Waiting rows of a sample into the book, worst first: a short insertion sort. */
static void book_sample(struct ot_miner *m, uint32_t sample)
{
    int first = m->n_book, end;

    for (int32_t i = m->sample[sample].rows.head; i >= 0; i = m->e[i].link[OT_BY_SAMPLE].next) {
        const struct ot_row *r = &m->e[i].r, *o;
        int at;

        if (r->state != OT_WAITING)
            continue;
        at = m->n_book;
        while (at > first && (o = &m->e[m->book[at - 1].row].r, 1) &&
               (o->loss_ema < r->loss_ema ||
                (o->loss_ema == r->loss_ema && ot_row_key(o->sample, o->kind, o->slot) >
                                                   ot_row_key(r->sample, r->kind, r->slot))))
            at--;
        end = first + m->conf.per_sample;
        end = end < m->book_cap ? end : m->book_cap;
        if (at >= end)
            continue;
        m->n_book += m->n_book < end;
        for (int k = m->n_book - 1; k > at; k--)
            m->book[k] = m->book[k - 1];
        m->book[at] =
            (struct ot_booked){ .row = i, .sample = sample, .before = r->loss, .after = NAN };
    }
    for (int k = first; k < m->n_book; k++) {
        m->e[m->book[k].row].book = k;
        ot_rows_resort(m, m->book[k].row);
    }
}

/* ---- importance ------------------------------------------------------------------------------ */

static int by_weight(const void *pa, const void *pb)
{
    const struct ot_drawn *a = pa, *b = pb;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->sample > b->sample) - (a->sample < b->sample);
}

/* Sorts the drawn samples, heaviest first, and counts how many waiting ones are heavier than
 * each: its rank, less one.  One pass over the weights. */
static void rank_drawn(struct ot_miner *m)
{
    struct ot_drawn *d = m->drawn;
    int n = m->n_drawn;

    qsort(d, (size_t)n, sizeof *d, by_weight);
    for (uint32_t s = 0; s < m->conf.n_samples; s++) {
        int lo = 0, hi = n; /* the first that is lighter */

        while (lo < hi) {
            int mid = (lo + hi) / 2;

            if (d[mid].weight < m->waiting.leaf[s])
                hi = mid;
            else
                lo = mid + 1;
        }
        if (lo < n)
            d[lo].heavier++;
    }
    for (int k = 1; k < n; k++)
        d[k].heavier += d[k - 1].heavier;
}

/* Chance of a drawn sample in one draw, times the number that waits. */
static double relative_chance(const struct ot_miner *m, const struct ot_drawn *d)
{
    double n = m->n_waiting, h;

    if (m->conf.importance == OT_IMPORTANCE_PER)
        return n * (double)d->weight / (double)ot_sumtree_total(&m->waiting);
    h = log(n) + 0.5772156649 + 1 / (2 * n); /* 1 + 1/2 + ... + 1/n */
    return n / ((d->heavier + 1.0) * h);
}

/* (N p)^-beta over the largest of the batch: T. Schaul et al., "Prioritized experience replay",
 * ICLR 2016, section 3.4.  A uniform draw has no bias to correct. */
static void weigh_batch(struct ot_miner *m, int64_t iter)
{
    double span = (double)(m->conf.end_iter - m->conf.start_iter);
    double done = span > 0 ? (double)(iter - m->conf.start_iter) / span : 1;
    double b0 = (double)m->conf.importance_beta, beta = b0 + (1 - b0) * fmax(0, fmin(1, done));
    double most = 0;

    if (m->conf.importance == OT_IMPORTANCE_NONE || m->conf.priority == OT_PRIORITY_UNIFORM)
        return;
    if (m->conf.importance == OT_IMPORTANCE_RANK)
        rank_drawn(m);
    for (int k = 0; k < m->n_drawn; k++) {
        double w = pow(relative_chance(m, &m->drawn[k]), -beta);

        m->drawn[k].importance = (float)w;
        most = fmax(most, w);
    }
    for (int k = 0; k < m->n_drawn; k++)
        m->drawn[k].importance = (float)((double)m->drawn[k].importance / most);
}

/* ---- the draw -------------------------------------------------------------------------------- */

/* The rest of the batch is any samples: batch norm sees no batch of hard ones only, and one step
 * does not pull towards those alone.  There are more samples than places, so this ends. */
static void fill_up(const struct ot_miner *m, int64_t iter, uint32_t *sample, int from)
{
    uint64_t n = (uint64_t)from;

    for (int k = from; k < m->conf.batch; n++) {
        struct ot_rng4 r = ot_philox(m->conf.seed, OT_RNG_MINING, (uint64_t)iter,
                                     (uint64_t)1 << 32 | n);
        uint32_t s = (uint32_t)((uint64_t)r.v[0] * m->conf.n_samples >> 32);
        int j = 0;

        while (j < k && sample[j] != s)
            j++;
        sample[k] = s;
        k += j == k;
    }
}

/* Without replacement: who is drawn weighs nothing until the batch is complete.  The remainder
 * favours low units by less than total / 2^64. */
static void draw(struct ot_miner *m, int64_t iter, uint32_t *sample)
{
    int hard = m->conf.batch - (int)((double)m->conf.fresh_part * m->conf.batch);

    hard = hard < 1 ? 1 : hard;
    for (int k = 0; k < hard; k++) {
        struct ot_rng4 r = ot_philox(m->conf.seed, OT_RNG_MINING, (uint64_t)iter, (uint64_t)k);
        uint64_t x = (uint64_t)r.v[0] << 32 | r.v[1];
        uint32_t s = ot_sumtree_find(&m->waiting, x % ot_sumtree_total(&m->waiting));

        m->drawn[k] = (struct ot_drawn){ s, m->waiting.leaf[s], 0, 1 };
        ot_sumtree_set(&m->waiting, s, 0);
        sample[k] = s;
    }
    for (int k = 0; k < hard; k++)
        ot_sumtree_set(&m->waiting, m->drawn[k].sample, m->drawn[k].weight);
    m->n_drawn = hard;
    fill_up(m, iter, sample, hard);
    weigh_batch(m, iter);
}

int ot_miner_next(struct ot_miner *m, int64_t iter, uint32_t *sample)
{
    wake(m, iter);
    if (iter >= m->conf.start_iter) {
        m->iters++;
        ot_share_read(m);
        m->credit = fmin(m->credit + ot_share(m), MOST_CREDIT);
    }
    if (!is_time(m, iter)) {
        m->fresh++;
        return 0;
    }
    draw(m, iter, sample);
    m->n_book = 0;
    for (int k = 0; k < m->conf.batch; k++)
        book_sample(m, sample[k]);
    m->in_flight = true;
    m->fresh = 0;
    m->batches++;
    m->credit -= 1;
    return m->conf.batch;
}

int ot_miner_booked(const struct ot_miner *m, uint32_t sample, struct ot_row *rows, int max)
{
    int n = 0;

    for (int k = 0; k < m->n_book && m->in_flight && n < max; k++)
        if (m->book[k].sample == sample)
            rows[n++] = m->e[m->book[k].row].r;
    return n;
}

float ot_miner_importance(const struct ot_miner *m, uint32_t sample)
{
    for (int k = 0; k < m->n_drawn && m->in_flight; k++)
        if (m->drawn[k].sample == sample)
            return m->drawn[k].importance;
    return 1;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static void cool(struct ot_miner *m, int32_t i, int64_t iter)
{
    if (m->conf.naive)
        m->e[i].r.cool_until = OT_NEVER;
    else
        m->e[i].r.cool_until = iter + m->conf.cooldown;
    if (m->conf.naive || m->conf.cooldown > 0)
        ot_rows_set_state(m, i, OT_COOLING);
}

/* With scope ALL, what has a history needs one that agrees: one look is wrong too often. */
static bool is_wrong(const struct ot_miner *m, const struct ot_row *r)
{
    uint64_t key = ot_row_key(r->sample, r->kind, r->slot);
    const struct ot_stat *s = m->conf.scope_all ? ot_stat_find(m, key) : NULL;

    return !m->conf.naive && r->n_reinj >= m->conf.probe_after && ot_contradicted(m, r) &&
           !ot_is_hard(ot_judged_find(m, key)) && (!s || ot_stat_below(m, s, 1));
}

static void decide(struct ot_miner *m, int32_t i, int64_t iter)
{
    struct ot_row *r = &m->e[i].r;

    r->n_reinj++;
    m->reinjected++;
    m->seen_again += r->kind != OT_KIND_BG_ROI;
    m->planted_again += r->planted;
    if (r->state != OT_WAITING) { /* a person has spoken meanwhile */
        ot_tell_row(m, iter, i);
        return;
    }
    if (r->loss < m->conf.retire) {
        ot_row_learned(m, i, iter, "when re-injected");
    } else if (is_wrong(m, r)) {
        ot_rows_set_state(m, i, OT_QUARANTINED);
        m->quarantined_total++;
        ot_tell(m, iter, i, OT_EV_QUARANTINE,
                "%safter %d re-injections still class %d with p %.2f > %.2f, loss %.2f",
                r->kind == OT_KIND_BG_ROI ? "possibly an unlabelled object: " : "", r->n_reinj,
                r->pred, (double)r->p_pred, (double)m->conf.probe_conf, (double)r->loss);
    } else {
        cool(m, i, iter);
    }
    ot_tell_row(m, iter, i);
}

void ot_unbook(struct ot_miner *m)
{
    for (int k = 0; k < m->n_book; k++) {
        m->e[m->book[k].row].book = -1;
        ot_rows_resort(m, m->book[k].row);
    }
    m->in_flight = false;
}

void ot_remeasure(struct ot_miner *m, int64_t iter)
{
    int n = m->in_flight ? m->n_book : 0;

    if (!m->in_flight)
        return;
    for (int k = 0; k < n; k++) {
        m->out_id[k] = m->e[m->book[k].row].r.id;
        m->out_before[k] = m->book[k].before;
        m->out_after[k] = m->book[k].after;
    }
    ot_unbook(m);
    for (int k = 0; k < n; k++)
        if (!isnan(m->book[k].after))
            decide(m, m->book[k].row, iter);
    m->n_book = 0;
    if (m->sink.reinjected)
        m->sink.reinjected(m->sink.ctx, iter, m->out_id, m->out_before, m->out_after, n);
}
