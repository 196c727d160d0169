/*
 * looks.c - one batch of looks, brought into an order that names each instance once.
 *
 * It decides which look speaks for an instance (the worst of the batch), which background box
 * is an instance already known (IoU >= 0.7 with a stored box of that sample, the best match),
 * and what loss is high enough to be admitted.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

static int bad_look(const struct ot_look *k, const char *what, double v, struct ot_err *err)
{
    return ot_fail(err, OT_ENAN, "mining: sample %u, kind %d, slot %d: %s is not finite, got %g",
                   k->sample, k->kind, k->slot, what, v);
}

static int check_one(const struct ot_miner *m, const struct ot_look *k, struct ot_err *err)
{
    if (!isfinite(k->loss))
        return bad_look(k, "loss", (double)k->loss, err);
    if (!isfinite(k->p_label))
        return bad_look(k, "probability of the label", (double)k->p_label, err);
    if (!isfinite(k->p_pred))
        return bad_look(k, "probability of the prediction", (double)k->p_pred, err);
    for (int i = 0; i < 4; i++)
        if (!isfinite(k->box[i]))
            return bad_look(k, "box", (double)k->box[i], err);
    if (k->sample >= m->conf.n_samples)
        return ot_fail(err, OT_EDATA, "mining: sample %u, kind %d, slot %d: the data set has %u",
                       k->sample, k->kind, k->slot, m->conf.n_samples);
    if (k->kind > OT_KIND_TILE)
        return ot_fail(err, OT_EDATA, "mining: sample %u, slot %d: no such kind, got %d", k->sample,
                       k->slot, k->kind);
    if (k->slot > OT_SLOT_MAX || k->slot < (k->kind == OT_KIND_BG_ROI ? -1 : 0))
        return ot_fail(err, OT_EDATA, "mining: sample %u, kind %d: slot out of range, got %d",
                       k->sample, k->kind, k->slot);
    if (k->label < 0 || k->label >= m->conf.n_classes)
        return ot_fail(err, OT_EDATA,
                       "mining: sample %u, kind %d, slot %d: label must be in [0, %d), got %d",
                       k->sample, k->kind, k->slot, m->conf.n_classes, k->label);
    if (k->given < 0 || k->given >= m->conf.n_classes)
        return ot_fail(
            err, OT_EDATA,
            "mining: sample %u, kind %d, slot %d: given label must be in [0, %d), got %d",
            k->sample, k->kind, k->slot, m->conf.n_classes, k->given);
    return 0;
}

int ot_looks_check(const struct ot_miner *m, const struct ot_look *looks, size_t n,
                   struct ot_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (check_one(m, &looks[i], err) < 0)
            return err->code;
    return 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* sample, kind, slot ascending; loss descending within */
static int by_identity(const void *pa, const void *pb)
{
    const struct ot_cand *a = pa, *b = pb;

    if (a->sample != b->sample)
        return a->sample < b->sample ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    if (a->loss != b->loss)
        return a->loss > b->loss ? -1 : 1;
    return by_number(a->look, b->look);
}

static int by_loss(const void *pa, const void *pb)
{
    const struct ot_cand *a = pa, *b = pb;

    if (a->loss != b->loss)
        return a->loss > b->loss ? -1 : 1;
    return by_identity(pa, pb);
}

void ot_cands_sort(struct ot_miner *m)
{
    if (m->n_cand > 1)
        qsort(m->cand, m->n_cand, sizeof *m->cand, by_loss);
}

int ot_looks_sort(struct ot_miner *m, const struct ot_look *looks, size_t n, struct ot_err *err)
{
    if (ot_grow(&m->order, &m->order_cap, n, sizeof *m->order, err) < 0 ||
        ot_grow(&m->cand, &m->cand_cap, n, sizeof *m->cand, err) < 0)
        return err->code;
    for (size_t i = 0; i < n; i++)
        m->order[i] = (struct ot_cand){ .sample = looks[i].sample,
                                        .kind = looks[i].kind,
                                        .slot = looks[i].slot,
                                        .loss = looks[i].loss,
                                        .look = i };
    if (n)
        qsort(m->order, n, sizeof *m->order, by_identity);
    m->n_cand = 0;
    return 0;
}

/* ---- what is hard ---------------------------------------------------------------------------- */

static int descending(const void *pa, const void *pb)
{
    const struct ot_cand *a = pa, *b = pb;

    return (a->loss < b->loss) - (a->loss > b->loss);
}

/* Loss of the k-th worst look; `cand` is free as scratch at this point. */
static float kth_worst(struct ot_miner *m, const struct ot_look *looks, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++)
        m->cand[i] = (struct ot_cand){ .loss = looks[i].loss };
    qsort(m->cand, n, sizeof *m->cand, descending);
    return m->cand[k < n ? k - 1 : n - 1].loss;
}

struct ot_bound ot_looks_bound(struct ot_miner *m, const struct ot_look *looks, size_t n)
{
    struct ot_bound b = { .v = NAN, .most = INT32_MAX };

    switch (m->conf.admit) {
    case OT_ADMIT_QUANTILE:
        b.v = ot_window_quantile(&m->window, m->conf.quantile);
        break;
    case OT_ADMIT_THRESHOLD:
        b.v = m->conf.threshold;
        break;
    case OT_ADMIT_TOPK:
        b.inclusive = true;
        b.most = m->conf.topk;
        if (n)
            b.v = kth_worst(m, looks, n, (size_t)m->conf.topk);
        break;
    }
    return b;
}

bool ot_bound_passes(const struct ot_bound *b, float loss)
{
    return b->inclusive ? loss >= b->v : loss > b->v;
}

/* ---- background boxes ------------------------------------------------------------------------ */

float ot_box_iou(const float a[4], const float b[4])
{
    float w = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), h = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    float both = w > 0 && h > 0 ? w * h : 0;
    float either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;

    return either > 0 ? both / either : 0;
}

int32_t ot_match_background(const struct ot_miner *m, uint32_t sample, const float box[4],
                            int *n_bg)
{
    int32_t best = -1;
    float best_iou = OT_SAME_BOX;

    *n_bg = 0;
    for (int32_t i = m->sample[sample].rows.head; i >= 0; i = m->e[i].link[OT_BY_SAMPLE].next) {
        const struct ot_row *r = &m->e[i].r;
        float iou;

        if (r->kind != OT_KIND_BG_ROI)
            continue;
        ++*n_bg;
        iou = ot_box_iou(r->box, box);
        if (iou > best_iou || (iou == best_iou && (best < 0 || r->slot < m->e[best].r.slot))) {
            best = i;
            best_iou = iou;
        }
    }
    return best;
}
