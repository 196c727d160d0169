/*
 * stat.c - the memory of every image and object that ever passed, in the pool or not, and who of
 * them is suspected of a wrong label (scope ALL).
 *
 * Suspected is what passed often enough with a mean margin below the bound and far below the mean
 * of its class: where the whole class has low margins, the net does not know it and is no judge.
 * Both are measured by how sure the net is: with many wrong labels it never is, and no margin
 * reaches a fixed bound (at 20 % flips recall was 0.2, so it is 0.6).  Margins alone mistake rare
 * for wrong (docs/mining.md), so rare classes, with less than a quarter of an even share of the
 * instances, are left to the probe.  What is half way there, or hardly seen, is doubtful: not
 * re-injected (of what was re-injected at 20 % flips, 78 % were flips, most of it early).
 */
#include <math.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

#define LATELY    2048 /* looks that a mean of the latest ones counts */
#define FEW_LOOKS 2    /* below that nothing is known: most of the hard may be wrong */
#define CLASS_GAP 1.1f /* how far below its class's mean margin, times how sure the net is */

/* ---- where it is ----------------------------------------------------------------------------- */

static size_t home(const struct ot_stats *s, uint64_t key)
{
    return (size_t)ot_mix64(key) & (s->n_index - 1);
}

static size_t find(const struct ot_stats *s, uint64_t key)
{
    size_t i = home(s, key);

    while (s->index[i] && s->key[s->index[i] - 1] != key)
        i = (i + 1) & (s->n_index - 1);
    return i;
}

struct ot_stat *ot_stat_find(const struct ot_miner *m, uint64_t key)
{
    const struct ot_stats *s = &m->stats;

    if (ot_key_kind(key) == OT_KIND_IMAGE)
        return s->image ? &s->image[ot_key_sample(key)] : NULL;
    if (ot_key_kind(key) == OT_KIND_BG_ROI || !s->n_index)
        return NULL;
    return s->index[find(s, key)] ? &s->object[s->index[find(s, key)] - 1] : NULL;
}

static int reindex(struct ot_stats *s, size_t n, struct ot_err *err)
{
    uint32_t *index = ot_alloc(n, sizeof *index, err);

    if (!index)
        return err->code;
    ot_free(s->index);
    s->index = index;
    s->n_index = n;
    for (size_t k = 0; k < s->n_object; k++)
        s->index[find(s, s->key[k])] = (uint32_t)k + 1;
    return 0;
}

static struct ot_stat *add_object(struct ot_stats *s, uint64_t key, struct ot_err *err)
{
    if (ot_grow(&s->object, &s->object_cap, s->n_object + 1, sizeof *s->object, err) < 0 ||
        ot_grow(&s->key, &s->key_cap, s->n_object + 1, sizeof *s->key, err) < 0 ||
        (2 * (s->n_object + 1) > s->n_index &&
         reindex(s, s->n_index ? 2 * s->n_index : 64, err) < 0))
        return NULL;
    s->key[s->n_object] = key;
    s->object[s->n_object] = (struct ot_stat){ 0 };
    s->index[find(s, key)] = (uint32_t)++s->n_object;
    return &s->object[s->n_object - 1];
}

/* Found or made; background RoIs have none and must not ask. */
struct ot_stat *ot_stat_get(struct ot_miner *m, uint64_t key, struct ot_err *err)
{
    struct ot_stats *s = &m->stats;
    struct ot_stat *found;

    OT_BUG_IF(ot_key_kind(key) == OT_KIND_BG_ROI);
    if (ot_key_kind(key) == OT_KIND_IMAGE && !s->image) {
        s->image = ot_alloc(m->conf.n_samples, sizeof *s->image, err);
        if (!s->image)
            return NULL;
    }
    found = ot_stat_find(m, key);
    if (found)
        return found;
    if (ot_grow(&m->margins, &m->margins_cap, m->conf.n_samples + s->n_object + 1,
                sizeof *m->margins, err) < 0)
        return NULL;
    return add_object(s, key, err);
}

void ot_stats_release(struct ot_stats *s)
{
    ot_free(s->image);
    ot_free(s->object);
    ot_free(s->key);
    ot_free(s->index);
    *s = (struct ot_stats){ 0 };
}

/* ---- what it says ---------------------------------------------------------------------------- */

void ot_stat_forget(struct ot_miner *m, struct ot_stat *s)
{
    if (s->flags & OT_STAT_USED) {
        m->stats.used--;
        m->stats.classes -= --m->class[s->label].instances == 0;
    }
    *s = (struct ot_stat){ 0 };
}

void ot_stat_label(struct ot_miner *m, struct ot_stat *s, int32_t label)
{
    ot_stat_forget(m, s);
    s->label = (uint32_t)label & 0xffffff;
    s->flags = OT_STAT_USED;
    m->stats.used++;
    m->stats.classes += m->class[label].instances++ == 0;
}

static bool contradicts(const struct ot_miner *m, const struct ot_look *k)
{
    return k->pred != k->label && k->p_pred > m->conf.probe_conf;
}

static void count(struct ot_miner *m, struct ot_stat *s, const struct ot_look *k)
{
    struct ot_class *c = &m->class[k->label];
    float margin = (float)ot_margin(k);

    s->n_seen++;
    s->n_contra += contradicts(m, k);
    s->margin += (margin - s->margin) / (float)s->n_seen;
    c->looks += c->looks < LATELY;
    c->margin += (margin - c->margin) / (float)c->looks;
    m->stats.looks += m->stats.looks < LATELY;
    m->stats.sure += (k->p_pred - m->stats.sure) / (float)m->stats.looks;
}

struct ot_stat *ot_stat_look(struct ot_miner *m, const struct ot_look *k, const struct ot_pass *p,
                             struct ot_err *err)
{
    struct ot_stat *s = ot_stat_get(m, ot_row_key(k->sample, k->kind, k->slot), err);

    if (!s)
        return NULL;
    if (!(s->flags & OT_STAT_USED) || (int32_t)s->label != k->label) {
        ot_stat_label(m, s, k->label);
        s->ema = k->loss;
    }
    s->ema = m->conf.ema * s->ema + (1 - m->conf.ema) * k->loss;
    if (p->reinjected)
        return s;
    s->fresh = k->loss;
    if (s->flags & OT_STAT_ADMITTED)
        s->flags |= OT_STAT_AFTER;
    if (p->after_warmup)
        count(m, s, k);
    return s;
}

void ot_stats_each(const struct ot_miner *m,
                   void (*visit)(const struct ot_miner *m, uint64_t key, const struct ot_stat *s,
                                 void *ctx),
                   void *ctx)
{
    const struct ot_stats *s = &m->stats;

    for (uint32_t i = 0; s->image && i < m->conf.n_samples; i++)
        if (s->image[i].flags & OT_STAT_USED)
            visit(m, ot_row_key(i, OT_KIND_IMAGE, 0), &s->image[i], ctx);
    for (size_t i = 0; i < s->n_object; i++)
        if (s->object[i].flags & OT_STAT_USED)
            visit(m, s->key[i], &s->object[i], ctx);
}

bool ot_stat_below(const struct ot_miner *m, const struct ot_stat *s, float part)
{
    part *= m->stats.sure;
    return s->margin < -part * m->conf.scope_margin &&
           s->margin < m->class[s->label].margin - part * CLASS_GAP;
}

static bool is_rare(const struct ot_miner *m, const struct ot_stat *s)
{
    return 4 * m->class[s->label].instances * m->stats.classes < m->stats.used;
}

bool ot_stat_suspect(const struct ot_miner *m, const struct ot_stat *s)
{
    return s->n_seen >= (uint32_t)m->conf.scope_looks && ot_stat_below(m, s, 1) && !is_rare(m, s);
}

bool ot_stat_doubtful(const struct ot_miner *m, const struct ot_stat *s)
{
    return m->conf.scope_all && (s->n_seen < FEW_LOOKS || ot_stat_below(m, s, 0.5f)) &&
           !is_rare(m, s);
}
