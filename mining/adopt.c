/*
 * adopt.c - what a new run takes over from the pool of an earlier night.
 *
 * The weights are others, so losses, margins and counts say nothing: they begin anew, the
 * smoothed loss serving as a prior until the first look.  What holds is the suspicion: who was
 * waiting rests until it is hard again, who was quarantined stays so for two looks after warm-up
 * and longer only if one of them contradicts its label.
 */
#include <math.h>

#include "mining/miner_impl.h"

#define PROBATION 2

static int check(const struct ot_miner *m, const struct ot_row *r, struct ot_err *err)
{
    bool whole = isfinite(r->loss) && isfinite(r->loss_ema);

    for (int k = 0; k < 4; k++)
        whole = whole && isfinite(r->box[k]);
    if (r->sample >= m->conf.n_samples)
        return ot_fail(err, OT_EDATA, "row of an earlier run: sample %u, the data set has %u",
                       r->sample, m->conf.n_samples);
    if (r->kind > OT_KIND_TILE || r->slot < 0 || r->slot > OT_SLOT_MAX || r->state > OT_CONTROL)
        return ot_fail(err, OT_EDATA,
                       "row of an earlier run: sample %u: no such kind, slot or state, got %d, "
                       "%d, %d",
                       r->sample, r->kind, r->slot, r->state);
    if (r->label < 0 || r->label >= m->conf.n_classes)
        return ot_fail(err, OT_EDATA,
                       "row of an earlier run: sample %u: label must be in [0, %d), got %d",
                       r->sample, m->conf.n_classes, r->label);
    if (!whole)
        return ot_fail(err, OT_EDATA,
                       "row of an earlier run: sample %u: loss or box is not finite, got loss %g",
                       r->sample, (double)r->loss);
    return 0;
}

/* Nothing to take: it left the pool, its label was planted under another seed perhaps, it is here
 * already, or there is no room. */
static bool is_gone(const struct ot_miner *m, const struct ot_row *r)
{
    return r->state == 5 || r->planted || m->n_rows >= m->conf.capacity ||
           ot_rows_find(m, ot_row_key(r->sample, r->kind, r->slot)) >= 0;
}

/* What persons said between the nights changes a row as it would have during one. */
static void tell_change(struct ot_miner *m, const struct ot_row *was, int32_t i)
{
    const struct ot_row *is = &m->e[i].r;
    bool out = is->state == OT_EXCLUDED, was_out = was->state == OT_EXCLUDED;
    bool freed = was->state == OT_QUARANTINED && is->state != OT_QUARANTINED;

    if (out == was_out && !freed)
        return;
    ot_tell_row(m, 0, i);
    if (out)
        ot_tell(m, 0, i, OT_EV_EXCLUDE, "a person says so since an earlier night");
    else if (was_out)
        ot_tell(m, 0, i, OT_EV_RESTORE, "no person excludes it any more");
    else
        ot_tell(m, 0, i, OT_EV_RELEASE, "a person says so since an earlier night; now waiting");
}

int ot_miner_adopt(struct ot_miner *m, const struct ot_row *row, struct ot_err *err)
{
    struct ot_sample *s;
    struct ot_row r = *row;
    int32_t i;

    if (check(m, row, err) < 0)
        return err->code;
    if (is_gone(m, row))
        return 0;
    s = &m->sample[r.sample];
    r.id = m->next_id;
    if (r.label_given < 0 || r.label_given >= m->conf.n_classes)
        r.label_given = r.label;
    r.label = ot_train_label(m, ot_row_key(r.sample, r.kind, r.slot), r.label_given);
    r.margin_sum = 0;
    r.n_seen = r.n_reinj = r.n_contra = r.n_forget = 0;
    r.first_iter = r.last_iter = 0;
    ot_row_conform(m, &r);
    if (r.state == OT_WAITING)
        r.state = OT_COOLING;
    r.cool_until = r.state == OT_COOLING ? OT_NEVER : 0;
    i = ot_rows_add(m, &r, err);
    if (i < 0)
        return err->code;
    m->e[i].probation = r.state == OT_QUARANTINED ? PROBATION : 0;
    if (r.kind == OT_KIND_BG_ROI && r.slot >= s->next_bg)
        s->next_bg = r.slot + 1;
    m->next_id++;
    tell_change(m, row, i);
    return 0;
}
