/*
 * judge.c - what persons say: verdicts; and the label that is trained on: a person's, a planted
 * one, or the given one.
 *
 * The set of verdicts is complete each time, so what changed is the difference of two sorted
 * lists.  A verdict stands above all rules: what is mislabelled or to be ignored leaves the
 * pool's work and weighs nothing, what is hard is never quarantined, a relabelled instance
 * begins anew, and none of them is planted.  A look that was trained on before a relabelling
 * but comes after it (its batch was under way) is not counted.
 *
 * Planted labels and the control group are pure functions of the seed and the identity.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner_impl.h"

static const char *const said[] = { "mislabelled", "hard", "ignore", "relabel" };

/* ---- groups and labels ----------------------------------------------------------------------- */

bool ot_in_control(const struct ot_miner *m, uint32_t sample)
{
    return m->conf.control > 0 &&
           ot_rng_unit(m->conf.seed, OT_RNG_CONTROL, 0, sample) < m->conf.control;
}

static bool would_be_planted(const struct ot_miner *m, uint64_t key)
{
    enum ot_kind kind = ot_key_kind(key);

    return m->conf.thermometer > 0 && m->conf.n_classes - m->conf.first_class >= 2 &&
           (kind == OT_KIND_IMAGE || kind == OT_KIND_GT_ROI) &&
           ot_rng_unit(m->conf.seed, OT_RNG_THERMOMETER, 0, key) < m->conf.thermometer;
}

bool ot_is_planted(const struct ot_miner *m, uint64_t key)
{
    return would_be_planted(m, key) && !ot_judged_find(m, key);
}

/* Any class of [first_class, n_classes) but the given one, with equal chance. */
static int32_t planted_label(const struct ot_miner *m, uint64_t key, int32_t given)
{
    int32_t first = m->conf.first_class, n = m->conf.n_classes - first;
    uint32_t u = ot_rng_below(m->conf.seed, OT_RNG_THERMOMETER, 1, key, (uint32_t)(n - 1));

    return given < first ? given : first + (given - first + 1 + (int32_t)u) % n;
}

int32_t ot_train_label(const struct ot_miner *m, uint64_t key, int32_t given)
{
    const struct ot_judged *j = ot_judged_find(m, key);

    if (ot_key_kind(key) == OT_KIND_BG_ROI)
        return given;
    if (j)
        return j->what == OT_VERDICT_RELABEL ? j->label : given;
    return would_be_planted(m, key) ? planted_label(m, key, given) : given;
}

int32_t ot_miner_label(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot,
                       int32_t given)
{
    return slot < 0 ? given : ot_train_label(m, ot_row_key(sample, kind, slot), given);
}

float ot_miner_weight(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot)
{
    uint64_t key = ot_row_key(sample, kind, slot);
    int32_t i;

    if (slot < 0)
        return 1;
    if (ot_is_planted(m, key) || ot_is_excluded(ot_judged_find(m, key)))
        return 0;
    i = ot_rows_find(m, key);
    return i >= 0 ? m->e[i].r.weight : 1;
}

/* ---- the set --------------------------------------------------------------------------------- */

int ot_verdict_order(const struct ot_verdict *a, const struct ot_verdict *b)
{
    if (a->sample != b->sample)
        return a->sample < b->sample ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return (a->slot > b->slot) - (a->slot < b->slot);
}

static int by_key(const void *pa, const void *pb)
{
    const struct ot_judged *a = pa, *b = pb;

    return (a->key > b->key) - (a->key < b->key);
}

const struct ot_judged *ot_judged_find(const struct ot_miner *m, uint64_t key)
{
    struct ot_judged k = { .key = key };

    return m->n_judged ? bsearch(&k, m->judged, m->n_judged, sizeof k, by_key) : NULL;
}

bool ot_is_excluded(const struct ot_judged *j)
{
    return j && (j->what == OT_VERDICT_MISLABELLED || j->what == OT_VERDICT_IGNORE);
}

bool ot_is_hard(const struct ot_judged *j)
{
    return j && j->what == OT_VERDICT_HARD;
}

static bool relabels(const struct ot_judged *j)
{
    return j && j->what == OT_VERDICT_RELABEL;
}

bool ot_is_stale(const struct ot_miner *m, const struct ot_look *k)
{
    const struct ot_judged *j = m->n_judged && k->slot >= 0
                                    ? ot_judged_find(m, ot_row_key(k->sample, k->kind, k->slot))
                                    : NULL;

    return relabels(j) && k->label != j->label;
}

static int check_verdict(const struct ot_miner *m, const struct ot_verdict *v, struct ot_err *err)
{
    if (v->sample >= m->conf.n_samples)
        return ot_fail(err, OT_EDATA, "verdict on sample %u: the data set has %u", v->sample,
                       m->conf.n_samples);
    if (v->kind > OT_KIND_TILE || v->slot < 0 || v->slot > OT_SLOT_MAX ||
        v->what > OT_VERDICT_RELABEL)
        return ot_fail(err, OT_EDATA,
                       "verdict on sample %u: no such kind, slot or verdict, got %d, %d, %d",
                       v->sample, v->kind, v->slot, v->what);
    if (v->what != OT_VERDICT_RELABEL)
        return 0;
    if (v->kind == OT_KIND_BG_ROI)
        return ot_fail(err, OT_EDATA,
                       "verdict on sample %u: a background RoI keeps its label, got relabel to %d",
                       v->sample, v->label);
    if (v->label < 0 || v->label >= m->conf.n_classes)
        return ot_fail(err, OT_EDATA, "verdict on sample %u: new label must be in [0, %d), got %d",
                       v->sample, m->conf.n_classes, v->label);
    return 0;
}

/* The set to come, sorted, in m->next_judged. */
static int sort_verdicts(struct ot_miner *m, const struct ot_verdict *v, size_t n,
                         struct ot_err *err)
{
    struct ot_judged *next;

    if (ot_grow(&m->next_judged, &m->next_judged_cap, n, sizeof *next, err) < 0)
        return err->code;
    next = m->next_judged;
    for (size_t k = 0; k < n; k++) {
        if (check_verdict(m, &v[k], err) < 0)
            return err->code;
        next[k] = (struct ot_judged){ .key = ot_row_key(v[k].sample, v[k].kind, v[k].slot),
                                      .what = v[k].what };
        next[k].label = v[k].what == OT_VERDICT_RELABEL ? v[k].label : 0;
    }
    if (n)
        qsort(next, n, sizeof *next, by_key);
    for (size_t k = 1; k < n; k++)
        if (next[k].key == next[k - 1].key)
            return ot_fail(err, OT_EDATA, "two verdicts on sample %u, kind %d, slot %d",
                           ot_key_sample(next[k].key), ot_key_kind(next[k].key),
                           ot_key_slot(next[k].key));
    return 0;
}

static void exchange(struct ot_miner *m, size_t n)
{
    struct ot_judged *was = m->judged;
    size_t cap = m->judged_cap;

    m->judged = m->next_judged;
    m->judged_cap = m->next_judged_cap;
    m->n_judged = n;
    m->next_judged = was;
    m->next_judged_cap = cap;
}

/* ---- what changes ---------------------------------------------------------------------------- */

struct change { /* one instance; NULL: no verdict then, or now */
    uint64_t key;
    const struct ot_judged *was, *is;
};

struct walk { /* through the set that was (next_judged) and the one that is */
    size_t was, n_was, is;
};

static bool same(const struct ot_judged *a, const struct ot_judged *b)
{
    return a && b && a->what == b->what && a->label == b->label;
}

static bool next_change(const struct ot_miner *m, struct walk *w, struct change *c)
{
    while (w->was < w->n_was || w->is < m->n_judged) {
        const struct ot_judged *a = w->was < w->n_was ? &m->next_judged[w->was] : NULL;
        const struct ot_judged *b = w->is < m->n_judged ? &m->judged[w->is] : NULL;

        c->was = a && (!b || a->key <= b->key) ? a : NULL;
        c->is = b && (!a || b->key <= a->key) ? b : NULL;
        c->key = c->was ? c->was->key : b->key;
        w->was += c->was != NULL;
        w->is += c->is != NULL;
        if (!same(c->was, c->is))
            return true;
    }
    return false;
}

static bool begins_anew(const struct ot_miner *m, const struct change *c)
{
    if (relabels(c->was) || relabels(c->is))
        return !(relabels(c->was) && relabels(c->is) && c->was->label == c->is->label);
    return would_be_planted(m, c->key) && !c->was != !c->is;
}

static void tell_change(struct ot_miner *m, int64_t iter, int32_t i, const struct change *c)
{
    const struct ot_row *r = &m->e[i].r;

    ot_tell_row(m, iter, i);
    if (ot_is_excluded(c->is))
        ot_tell(m, iter, i, OT_EV_EXCLUDE, "a person says %s", said[c->is->what]);
    else if (relabels(c->is))
        ot_tell(m, iter, i, OT_EV_RELABEL, "a person says class %d, the data set says class %d",
                r->label, r->label_given);
    else if (c->was)
        ot_tell(m, iter, i, OT_EV_RESTORE, "a person takes '%s' back%s", said[c->was->what],
                c->is ? " and says hard" : "");
}

static void change_row(struct ot_miner *m, int64_t iter, int32_t i, const struct change *c)
{
    struct ot_row *r = &m->e[i].r;
    bool anew = begins_anew(m, c);

    if (anew) {
        ot_rows_queue(m, i); /* not quarantined while the group and counts change */
        ot_rows_set_label(m, i, ot_train_label(m, c->key, r->label_given));
        r->planted = ot_is_planted(m, c->key);
    }
    if (ot_is_excluded(c->is))
        ot_rows_set_state(m, i, OT_EXCLUDED);
    else if (anew || r->state == OT_EXCLUDED)
        ot_rows_queue(m, i);
    else if (ot_is_hard(c->is) && r->state == OT_QUARANTINED)
        ot_row_released(m, i, iter, "a person says hard");
    if (anew)
        ot_row_restart(m, i);
    tell_change(m, iter, i, c);
}

/* Room in the classes that rows will change to: after this nothing can fail. */
static int reserve(struct ot_miner *m, struct walk w, struct ot_err *err)
{
    size_t most = w.n_was + m->n_judged;
    struct change c;

    while (next_change(m, &w, &c)) {
        int32_t i = ot_rows_find(m, c.key);
        struct ot_class *to;

        if (i < 0 || !begins_anew(m, &c))
            continue;
        to = &m->class[ot_train_label(m, c.key, m->e[i].r.label_given)];
        if (ot_grow(&to->heap, &to->cap, (size_t)to->rows + most, sizeof *to->heap, err) < 0)
            return err->code;
    }
    return 0;
}

int ot_miner_judge(struct ot_miner *m, int64_t iter, const struct ot_verdict *v, size_t n,
                   struct ot_err *err)
{
    struct walk w = { .n_was = m->n_judged };
    struct change c;

    if (sort_verdicts(m, v, n, err) < 0)
        return err->code;
    exchange(m, n);
    if (reserve(m, w, err) < 0) {
        exchange(m, w.n_was);
        return err->code;
    }
    while (next_change(m, &w, &c)) {
        int32_t i = ot_rows_find(m, c.key);
        struct ot_stat *s = ot_stat_find(m, c.key);

        if (s && begins_anew(m, &c))
            ot_stat_forget(m, s);
        if (i >= 0)
            change_row(m, iter, i, &c);
    }
    return 0;
}

void ot_row_conform(const struct ot_miner *m, struct ot_row *r)
{
    uint64_t key = ot_row_key(r->sample, r->kind, r->slot);
    const struct ot_judged *j = ot_judged_find(m, key);
    bool planted = ot_is_planted(m, key);

    if (planted != r->planted || (relabels(j) && r->label != j->label)) {
        r->label = ot_train_label(m, key, r->label_given);
        r->planted = planted;
        r->margin_sum = 0;
        r->n_seen = r->n_reinj = r->n_contra = r->n_forget = 0;
        r->state = OT_WAITING;
    }
    r->control = ot_in_control(m, r->sample);
    if (ot_is_excluded(j))
        r->state = OT_EXCLUDED;
    else if (r->state == OT_EXCLUDED || (ot_is_hard(j) && r->state == OT_QUARANTINED))
        r->state = OT_WAITING;
    if (r->control && (r->state == OT_WAITING || r->state == OT_COOLING))
        r->state = OT_CONTROL;
    else if (!r->control && r->state == OT_CONTROL)
        r->state = OT_WAITING;
}
