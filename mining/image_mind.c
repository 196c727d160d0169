/*
 * image_mind.c - the parts of the saved state that came with version 2: statistics of all
 * instances, verdicts, the sentinel, the samples drawn.  A state of version 1 has none of them.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

/* ---- verdicts: before the rows, whose labels and states they decide ---------------------------
 */

void ot_put_judged(struct ot_io *io, const struct ot_miner *m)
{
    int32_t n = (int32_t)m->n_judged;

    OT_PASS(io, n);
    for (size_t k = 0; k < m->n_judged; k++) {
        struct ot_judged j = m->judged[k];

        OT_PASS(io, j.key);
        OT_PASS(io, j.label);
        OT_PASS(io, j.what);
    }
}

int ot_take_judged(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = io->version > 1 ? ot_io_take_n(io, 16) : 0;

    if (ot_grow(&m->judged, &m->judged_cap, (size_t)n, sizeof *m->judged, err) < 0)
        return err->code;
    for (int32_t k = 0; k < n; k++) {
        struct ot_judged *j = &m->judged[k];

        OT_PASS(io, j->key);
        OT_PASS(io, j->label);
        OT_PASS(io, j->what);
        if (ot_key_sample(j->key) >= m->conf.n_samples)
            return ot_io_bad(err, "sample beyond the data set", ot_key_sample(j->key));
        if ((k > 0 && j->key <= j[-1].key) || j->what > OT_VERDICT_RELABEL || j->label < 0 ||
            j->label >= m->conf.n_classes)
            return ot_io_bad(err, "no such verdict, number", k);
    }
    m->n_judged = (size_t)n;
    return 0;
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void put_stats(struct ot_io *io, const struct ot_miner *m)
{
    struct ot_stats s = m->stats;
    int32_t n = 0;

    for (uint32_t i = 0; s.image && i < m->conf.n_samples; i++)
        n += s.image[i].flags & OT_STAT_USED;
    OT_PASS(io, n);
    for (uint32_t i = 0; s.image && i < m->conf.n_samples; i++)
        if (s.image[i].flags & OT_STAT_USED) {
            uint64_t key = ot_row_key(i, OT_KIND_IMAGE, 0);

            OT_PASS(io, key);
            OT_PASS(io, s.image[i]);
        }
    n = (int32_t)s.n_object;
    OT_PASS(io, n);
    for (size_t i = 0; i < s.n_object; i++) {
        OT_PASS(io, s.key[i]);
        OT_PASS(io, s.object[i]);
    }
    n = m->conf.n_classes;
    OT_PASS(io, n);
    for (int c = 0; c < n; c++) {
        OT_PASS(io, m->class[c].looks);
        OT_PASS(io, m->class[c].margin);
    }
    OT_PASS(io, s.looks);
    OT_PASS(io, s.sure);
}

static int take_stat(struct ot_io *io, struct ot_miner *m, bool image, struct ot_err *err)
{
    struct ot_stat s = { 0 }, *to;
    uint64_t key = 0;

    OT_PASS(io, key);
    OT_PASS(io, s);
    if (ot_key_sample(key) >= m->conf.n_samples)
        return ot_io_bad(err, "statistics of a sample beyond the data set", ot_key_sample(key));
    if (image != (ot_key_kind(key) == OT_KIND_IMAGE) || ot_key_kind(key) == OT_KIND_BG_ROI ||
        (int32_t)s.label >= m->conf.n_classes || !isfinite(s.ema) || !isfinite(s.margin) ||
        !isfinite(s.fresh))
        return ot_io_bad(err, "statistics out of range, sample", ot_key_sample(key));
    to = ot_stat_get(m, key, err);
    if (!to)
        return err->code;
    if (to->flags)
        return ot_io_bad(err, "statistics twice, sample", ot_key_sample(key));
    if (s.flags & OT_STAT_USED)
        ot_stat_label(m, to, (int32_t)s.label);
    *to = s;
    return 0;
}

static int take_stats(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    int32_t n = 0;

    for (int image = 1; image >= 0; image--) {
        n = ot_io_take_n(io, sizeof(uint64_t) + sizeof(struct ot_stat));
        for (int32_t k = 0; k < n && !io->bad; k++)
            if (take_stat(io, m, image, err) < 0)
                return err->code;
    }
    n = ot_io_take_n(io, sizeof(uint32_t) + sizeof(float));
    for (int32_t c = 0; c < n; c++) {
        uint32_t looks = 0;
        float margin = 0;

        OT_PASS(io, looks);
        OT_PASS(io, margin);
        if (!isfinite(margin))
            return ot_io_bad(err, "mean margin is not finite, class", c);
        if (c >= m->conf.n_classes)
            continue;
        m->class[c].looks = looks;
        m->class[c].margin = margin;
    }
    OT_PASS(io, m->stats.looks);
    OT_PASS(io, m->stats.sure);
    return isfinite(m->stats.sure) ? 0 : ot_io_bad(err, "mean certainty is not finite, looks", n);
}

/* ---- the sentinel and the draw --------------------------------------------------------------- */

static void put_sentinel(struct ot_io *io, const struct ot_sentinel *was)
{
    struct ot_sentinel s = *was;

    OT_PASS(io, s.n);
    for (int32_t k = 0; k < s.n; k++)
        OT_PASS(io, s.best[k]);
    OT_PASS(io, s.mean);
    OT_PASS(io, s.batches);
    OT_PASS(io, s.factor);
}

static int take_sentinel(struct ot_io *io, struct ot_sentinel *s, struct ot_err *err)
{
    s->n = ot_io_take_n(io, sizeof(float));
    if (ot_grow(&s->best, &s->cap, (size_t)s->n, sizeof *s->best, err) < 0)
        return err->code;
    for (int32_t k = 0; k < s->n; k++)
        OT_PASS(io, s->best[k]);
    OT_PASS(io, s->mean);
    OT_PASS(io, s->batches);
    OT_PASS(io, s->factor);
    if (!(s->factor > 0 && s->factor <= 1))
        return ot_io_bad(err, "the sentinel's factor is not in (0, 1], it has losses", s->n);
    return 0;
}

static void put_drawn(struct ot_io *io, const struct ot_miner *m)
{
    int32_t n = m->in_flight ? m->n_drawn : 0;

    OT_PASS(io, n);
    for (int32_t k = 0; k < n; k++)
        OT_PASS(io, m->drawn[k]);
}

static void take_drawn(struct ot_io *io, struct ot_miner *m)
{
    int32_t n = ot_io_take_n(io, sizeof *m->drawn);

    for (int32_t k = 0; k < n; k++) {
        struct ot_drawn d = { 0 };

        OT_PASS(io, d);
        if (k < m->conf.batch)
            m->drawn[m->n_drawn++] = d;
    }
}

void ot_put_mind(struct ot_io *io, const struct ot_miner *m)
{
    put_stats(io, m);
    put_sentinel(io, &m->sentinel);
    put_drawn(io, m);
}

int ot_take_mind(struct ot_io *io, struct ot_miner *m, struct ot_err *err)
{
    if (io->version == 1)
        return 0;
    if (take_stats(io, m, err) < 0 || take_sentinel(io, &m->sentinel, err) < 0)
        return err->code;
    take_drawn(io, m);
    return 0;
}
