/*
 * states.c - what a look does to a row: numbers, then learned, forgotten, released; and how each
 * change of state is told, with its reason.
 *
 * A row rests in no other way than these: waiting or cooling (OT_CONTROL in the control group,
 * which never waits), learned after two low looks, quarantined, or excluded by a person.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mining/miner_impl.h"

/* ---- telling --------------------------------------------------------------------------------- */

void ot_tell_row(struct ot_miner *m, int64_t iter, int32_t i)
{
    if (m->sink.row)
        m->sink.row(m->sink.ctx, iter, &m->e[i].r);
}

void ot_tell(struct ot_miner *m, int64_t iter, int32_t i, enum ot_event_kind what, const char *fmt,
             ...)
{
    char why[192];
    va_list ap;

    if (!m->sink.event)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    m->sink.event(m->sink.ctx, iter, &m->e[i].r, what, m->e[i].r.loss, why);
}

/* The bound as a person reads it: "q90 2.02", "threshold 2", "rank 8, 1.70". */
const char *ot_bound_text(const struct ot_miner *m, const struct ot_bound *b, char buf[48])
{
    switch (m->conf.admit) {
    case OT_ADMIT_QUANTILE:
        (void)snprintf(buf, 48, "> q%.4g %.2f", 100 * (double)m->conf.quantile, (double)b->v);
        break;
    case OT_ADMIT_THRESHOLD:
        (void)snprintf(buf, 48, "> threshold %.4g", (double)b->v);
        break;
    case OT_ADMIT_TOPK:
        (void)snprintf(buf, 48, ">= %.2f, worst %d of the batch", (double)b->v, b->most);
        break;
    }
    return buf;
}

/* ---- one look at a row ----------------------------------------------------------------------- */

bool ot_contradicted(const struct ot_miner *m, const struct ot_row *r)
{
    return r->pred != r->label && r->p_pred > m->conf.probe_conf;
}

/* p(label) - p(best other).  A look carries p(label) and p(pred) only: where the prediction is
 * right the best other is at most 1 - p(label), and the margin at least max(0, 2 p(label) - 1). */
double ot_margin(const struct ot_look *k)
{
    if (k->pred != k->label)
        return (double)k->p_label - (double)k->p_pred;
    return fmax(0, 2 * (double)k->p_label - 1);
}

/* Losses stay until the next look, which then counts as the first. */
void ot_row_restart(struct ot_miner *m, int32_t i)
{
    struct ot_row *r = &m->e[i].r;

    r->margin_sum = 0;
    r->n_seen = r->n_reinj = r->n_contra = r->n_forget = 0;
    m->e[i].low = 0;
}

/* A look with another label than the row's: the data set says otherwise, or what came of a
 * verdict's change while batches were under way. */
static int change_label(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k,
                        struct ot_err *err)
{
    if (ot_reserve_class(m, k->label, err) < 0)
        return err->code;
    if (m->e[i].r.state == OT_QUARANTINED) {
        ot_rows_queue(m, i);
        m->released_total++;
        ot_tell(m, iter, i, OT_EV_RELEASE, "its label was class %d and is class %d now",
                m->e[i].r.label, k->label);
    }
    ot_rows_set_label(m, i, k->label);
    ot_row_restart(m, i);
    return 0;
}

int ot_row_look(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k,
                struct ot_err *err)
{
    struct ot_entry *e = &m->e[i];
    struct ot_row *r = &e->r;

    if (k->label != r->label && change_label(m, i, iter, k, err) < 0)
        return err->code;
    if (r->n_seen == 0)
        r->loss_ema = r->loss_max = r->loss_first = k->loss;
    e->stamp = m->stamp;
    r->label_given = k->given;
    r->pred = k->pred;
    r->p_label = k->p_label;
    r->p_pred = k->p_pred;
    r->flip = k->flip;
    r->loss = k->loss;
    r->loss_ema = m->conf.ema * r->loss_ema + (1 - m->conf.ema) * k->loss;
    r->loss_max = fmaxf(r->loss_max, k->loss);
    r->margin_sum += ot_margin(k);
    r->n_seen++;
    r->n_contra += ot_contradicted(m, r);
    r->last_iter = iter;
    e->low = k->loss < m->conf.retire ? e->low + 1 : 0;
    if (r->kind != OT_KIND_BG_ROI) /* a background box stays what later boxes are matched with */
        memcpy(r->box, k->box, sizeof r->box);
    ot_rows_resort(m, i);
    return 0;
}

/* ---- states ---------------------------------------------------------------------------------- */

void ot_row_learned(struct ot_miner *m, int32_t i, int64_t iter, const char *when)
{
    ot_rows_set_state(m, i, OT_LEARNED);
    m->learned_total++;
    ot_tell(m, iter, i, OT_EV_LEARNED, "loss %.2f < retire %.4g %s", (double)m->e[i].r.loss,
            (double)m->conf.retire, when);
}

static void forgot(struct ot_miner *m, int32_t i, int64_t iter, const char *bound)
{
    ot_rows_queue(m, i);
    m->e[i].r.n_forget++;
    ot_tell(m, iter, i, OT_EV_FORGOT, "was learned, now loss %.2f %s", (double)m->e[i].r.loss,
            bound);
}

void ot_row_released(struct ot_miner *m, int32_t i, int64_t iter, const char *why)
{
    const struct ot_row *r = &m->e[i].r;
    struct ot_stat *s = ot_stat_find(m, ot_row_key(r->sample, r->kind, r->slot));
    bool low = r->loss < m->conf.retire;

    if (s) { /* the past counts half, or it would take the instance back at the next look */
        uint32_t looks = (uint32_t)m->conf.scope_looks;

        s->n_seen = s->n_seen < looks ? s->n_seen : looks;
        s->n_contra = s->n_contra < s->n_seen ? s->n_contra : s->n_seen;
        s->margin *= 0.5f;
    }
    if (low)
        ot_rows_set_state(m, i, OT_LEARNED);
    else
        ot_rows_queue(m, i);
    m->released_total++;
    m->learned_total += low;
    ot_tell(m, iter, i, OT_EV_RELEASE, "%s; now %s", why,
            low                             ? "learned"
            : m->e[i].r.state == OT_CONTROL ? "of the control group"
                                            : "waiting");
}

static void quarantined_look(struct ot_miner *m, int32_t i, const struct ot_pass *p)
{
    struct ot_entry *e = &m->e[i];
    char why[64];

    if (e->r.loss < m->conf.release) {
        (void)snprintf(why, sizeof why, "loss %.2f < release %.4g", (double)e->r.loss,
                       (double)m->conf.release);
        ot_row_released(m, i, p->iter, why);
    } else if (e->probation && p->after_warmup && !p->reinjected) {
        if (ot_contradicted(m, &e->r))
            e->probation = 0;
        else if (--e->probation == 0)
            ot_row_released(m, i, p->iter, "not contradicted in the first looks of this run");
    }
}

void ot_row_after_look(struct ot_miner *m, int32_t i, const struct ot_pass *p)
{
    struct ot_entry *e = &m->e[i];
    bool hard = ot_bound_passes(&p->bound, e->r.loss);
    char text[48];

    switch ((enum ot_state)e->r.state) {
    case OT_COOLING:
        if (hard && e->r.cool_until == OT_NEVER) {
            ot_rows_queue(m, i);
            break;
        } /* fall through */
    case OT_WAITING:
    case OT_CONTROL:
        if (e->low >= OT_LOW_LOOKS)
            ot_row_learned(m, i, p->iter, "on two looks in a row");
        break;
    case OT_LEARNED:
        if (hard)
            forgot(m, i, p->iter, ot_bound_text(m, &p->bound, text));
        break;
    case OT_QUARANTINED:
        quarantined_look(m, i, p);
        break;
    case OT_EXCLUDED:
        break;
    }
}
