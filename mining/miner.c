/*
 * miner.c - a fresh batch: who is updated, who is admitted, who has to go.
 *
 * Known rows are updated first (EMA, counts, state), then what is above the bound is admitted
 * in the order loss descending, identity ascending, then the batch's losses enter the window:
 * a batch is judged by the losses before it.  Each change of state is told with its reason.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

/* ---- birth and death ------------------------------------------------------------------------- */

struct rule {
    const char *name;
    double v, min, max;
};

static int check_conf(const struct ot_miner_conf *c, struct ot_err *err)
{
    const struct rule rules[] = {
        { "quantile", (double)c->quantile, 0, 1 },
        { "window", c->window, 1, 1 << 24 },
        { "topk", c->topk, 1, 1 << 24 },
        { "class_share", (double)c->class_share, 0, 1 },
        { "capacity", c->capacity, 1, 1 << 26 },
        { "ema", (double)c->ema, 0, 1 },
        { "batch", c->batch, 1, 1 << 20 },
        { "min_fresh", c->min_fresh, 0, 1 << 30 },
        { "max_share", (double)c->max_share, 0, 1 },
        { "fresh_part", (double)c->fresh_part, 0, 1 },
        { "cooldown", c->cooldown, 0, 1 << 30 },
        { "rois_per_image", c->per_sample, 1, 1 << 16 },
        { "probe_after", c->probe_after, 1, 1 << 30 },
        { "probe_conf", (double)c->probe_conf, 0, 1 },
        { "quarantine_weight", (double)c->quarantine_weight, 0, 1 },
        { "importance_beta", (double)c->importance_beta, 0, 1 },
        { "scope_looks", c->scope_looks, c->scope_all, 1 << 30 },
        { "scope_margin", (double)c->scope_margin, 0, 1 },
        { "control", (double)c->control, 0, 1 },
        { "thermometer", (double)c->thermometer, 0, 1 },
        { "first class", c->first_class, 0, 1 << 24 },
        { "number of classes", c->n_classes, 1, 1 << 24 },
        { "number of samples", c->n_samples, 1, UINT32_MAX },
    };

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!(rules[i].v >= rules[i].min && rules[i].v <= rules[i].max))
            return ot_fail(err, OT_ECONFIG, "mining: %s: must be in [%g, %g], got %g",
                           rules[i].name, rules[i].min, rules[i].max, rules[i].v);
    if (isnan(c->threshold) || isnan(c->retire) || isnan(c->release))
        return ot_fail(err, OT_ECONFIG,
                       "mining: threshold, retire, release: must be numbers, got %g, %g, %g",
                       (double)c->threshold, (double)c->retire, (double)c->release);
    return 0;
}

static int allocate(struct ot_miner *m, struct ot_err *err)
{
    double most = fmin((double)m->conf.batch * m->conf.per_sample, m->conf.capacity);

    m->book_cap = (int)most;
    m->class = ot_alloc((size_t)m->conf.n_classes, sizeof *m->class, err);
    m->sample = m->class ? ot_alloc(m->conf.n_samples, sizeof *m->sample, err) : NULL;
    m->book = m->sample ? ot_alloc((size_t)m->book_cap, sizeof *m->book, err) : NULL;
    m->out_id = m->book ? ot_alloc((size_t)m->book_cap, sizeof *m->out_id, err) : NULL;
    m->out_before = m->out_id ? ot_alloc((size_t)m->book_cap, sizeof(float), err) : NULL;
    m->out_after = m->out_before ? ot_alloc((size_t)m->book_cap, sizeof(float), err) : NULL;
    m->drawn = m->out_after ? ot_alloc((size_t)m->conf.batch, sizeof *m->drawn, err) : NULL;
    if (!m->drawn || ot_sumtree_init(&m->waiting, m->conf.n_samples, err) < 0 ||
        ot_window_init(&m->window, m->conf.window, err) < 0)
        return err->code;
    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        m->sample[s] = (struct ot_sample){ .rows = { -1, -1 } };
    return 0;
}

struct ot_miner *ot_miner_new(const struct ot_miner_conf *conf, const struct ot_mining_sink *sink,
                              struct ot_err *err)
{
    struct ot_miner *m;

    if (check_conf(conf, err) < 0)
        return NULL;
    m = ot_alloc(1, sizeof *m, err);
    if (!m)
        return NULL;
    m->conf = *conf;
    if (conf->naive) { /* the textbook's pool, and nothing more */
        m->conf.control = m->conf.thermometer = m->conf.fresh_part = 0;
        m->conf.scope_all = m->conf.auto_share = false;
    }
    if (sink)
        m->sink = *sink;
    m->free_slot = -1;
    m->cooling = m->by_id = (struct ot_list){ -1, -1 };
    m->next_id = 1;
    m->noise = NAN;
    m->next_reading = OT_READ_EVERY;
    m->sentinel.factor = 1;
    if (allocate(m, err) < 0) {
        ot_miner_free(m);
        return NULL;
    }
    return m;
}

void ot_miner_free(struct ot_miner *m)
{
    if (!m)
        return;
    for (int c = 0; m->class && c < m->conf.n_classes; c++)
        ot_free(m->class[c].heap);
    ot_free(m->class);
    ot_free(m->sample);
    ot_free(m->book);
    ot_free(m->out_id);
    ot_free(m->out_before);
    ot_free(m->out_after);
    ot_free(m->e);
    ot_free(m->drawn);
    ot_sumtree_release(&m->waiting);
    ot_free(m->order);
    ot_free(m->cand);
    ot_free(m->margins);
    ot_map_release(&m->by_key);
    ot_stats_release(&m->stats);
    ot_free(m->judged);
    ot_free(m->next_judged);
    ot_free(m->sentinel.best);
    ot_window_release(&m->window);
    ot_free(m);
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Rows one class may hold: its share of the pool, a small pool counting as eight batches. */
static int class_room(const struct ot_miner *m)
{
    double floor_rows = 8.0 * m->conf.batch * m->conf.per_sample;
    double rows = fmin(fmax(floor_rows, m->n_rows), m->conf.capacity);

    if (m->conf.naive || m->conf.class_share >= 1)
        return INT32_MAX;
    return (int)fmax(1, (double)m->conf.class_share * rows);
}

static void evict(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *for_whom,
                  const char *of_what)
{
    ot_tell(m, iter, i, OT_EV_EVICT, "loss %.2f is the least of %s; room for sample %u, loss %.2f",
            (double)m->e[i].r.loss_ema, of_what, for_whom->sample, (double)for_whom->loss);
    if (m->sink.gone)
        m->sink.gone(m->sink.ctx, iter, &m->e[i].r);
    ot_rows_remove(m, i);
    m->evicted++;
}

/* Room for one more row, or false.  What has to go must be easier than what comes. */
static bool make_room(struct ot_miner *m, int64_t iter, const struct ot_look *k)
{
    const struct ot_class *c = &m->class[k->label];
    /* quarantined and excluded rows are the product, not the queue: they take no class's share */
    bool class_full = c->rows - c->held >= class_room(m);
    int32_t i = class_full ? (c->n ? c->heap[0] : -1) : ot_rows_least(m);

    if (!class_full && m->n_rows < m->conf.capacity)
        return true;
    if (i < 0 || m->e[i].r.loss_ema >= k->loss)
        return false;
    evict(m, i, iter, k, class_full ? "its class, which is at its share" : "a full pool");
    return true;
}

/* The row of an instance that had none, after its first look; -1: out of memory. */
static int32_t new_row(struct ot_miner *m, int64_t iter, const struct ot_look *k,
                       struct ot_err *err)
{
    struct ot_sample *s = &m->sample[k->sample];
    struct ot_row r = { .id = m->next_id,
                        .sample = k->sample,
                        .kind = k->kind,
                        .slot = k->slot < 0 ? s->next_bg : k->slot,
                        .label = k->label,
                        .label_given = k->given,
                        .control = ot_in_control(m, k->sample),
                        .first_iter = iter };
    uint64_t key = ot_row_key(r.sample, r.kind, r.slot);
    struct ot_stat *stat = ot_stat_find(m, key);
    int32_t i;

    r.planted = ot_is_planted(m, key);
    r.state = r.control ? OT_CONTROL : OT_WAITING;
    memcpy(r.box, k->box, sizeof r.box);
    i = ot_rows_add(m, &r, err);
    if (i < 0)
        return i;
    if (r.kind == OT_KIND_BG_ROI && r.slot >= s->next_bg)
        s->next_bg = r.slot + 1;
    if (stat)
        stat->flags |= OT_STAT_ADMITTED;
    m->next_id++;
    m->admitted++;
    return ot_row_look(m, i, iter, k, err) < 0 ? -1 : i;
}

static int admit(struct ot_miner *m, int64_t iter, const struct ot_look *k,
                 const struct ot_bound *b, struct ot_err *err)
{
    const struct ot_stat *s;
    char text[48];
    int32_t i;

    if (k->kind == OT_KIND_BG_ROI && k->slot >= 0 &&
        ot_rows_find(m, ot_row_key(k->sample, k->kind, k->slot)) >= 0)
        return 0;
    i = new_row(m, iter, k, err);
    if (i < 0)
        return err->code;
    s = ot_stat_find(m, ot_row_key(m->e[i].r.sample, m->e[i].r.kind, m->e[i].r.slot));
    if (s && m->e[i].r.state == OT_WAITING && ot_stat_doubtful(m, s))
        ot_row_rest(m, i, iter);
    ot_tell_row(m, iter, i);
    ot_tell(m, iter, i, OT_EV_ADMIT, "loss %.2f %s; class share %.0f %%%s", (double)k->loss,
            ot_bound_text(m, b, text), 100.0 * m->class[k->label].rows / m->n_rows,
            m->e[i].r.control ? "; control group" : "");
    return 0;
}

/* ---- quarantine of whatever passes ----------------------------------------------------------- */

/* Its row, made when there is none: what has to go for it is the easiest row.  *i -1: there is
 * room for no more, quarantined rows hold half the pool at most in this way. */
static int row_to_hold(struct ot_miner *m, int64_t iter, const struct ot_look *k, int32_t *i,
                       struct ot_err *err)
{
    int32_t least;

    *i = ot_rows_find(m, ot_row_key(k->sample, k->kind, k->slot));
    if (*i >= 0 || 2 * m->n_state[OT_QUARANTINED] >= m->conf.capacity)
        return 0;
    if (m->n_rows >= m->conf.capacity) {
        least = ot_rows_least(m);
        if (least < 0)
            return 0;
        evict(m, least, iter, k, "a full pool");
    }
    *i = new_row(m, iter, k, err);
    return *i < 0 ? err->code : 0;
}

static int hold_suspect(struct ot_miner *m, const struct ot_pass *p, const struct ot_look *k,
                        const struct ot_stat *s, struct ot_err *err)
{
    uint32_t seen = s->n_seen, contra = s->n_contra;
    double margin = (double)s->margin;
    int32_t i;

    if (row_to_hold(m, p->iter, k, &i, err) < 0)
        return err->code;
    if (i < 0 || m->e[i].book >= 0 || m->e[i].r.state == OT_QUARANTINED ||
        m->e[i].r.state == OT_EXCLUDED)
        return 0;
    ot_rows_set_state(m, i, OT_QUARANTINED);
    m->quarantined_total++;
    ot_tell_row(m, p->iter, i);
    ot_tell(m, p->iter, i, OT_EV_QUARANTINE,
            "contradicted in %u of %u looks, mean margin %.2f < -%.2f; now class %d with p %.2f",
            contra, seen, margin, (double)(m->conf.scope_margin * m->stats.sure), k->pred,
            (double)k->p_pred);
    return 0;
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* Among the candidates of this sample (from `first` on): one per region. */
static bool repeats(const struct ot_miner *m, const struct ot_look *looks, size_t first,
                    const struct ot_look *k)
{
    for (size_t c = first; c < m->n_cand; c++)
        if (ot_box_iou(looks[m->cand[c].look].box, k->box) >= OT_SAME_BOX)
            return true;
    return false;
}

static int look_at_row(struct ot_miner *m, int32_t i, const struct ot_pass *p,
                       const struct ot_look *k, struct ot_err *err)
{
    if (m->e[i].stamp == m->stamp) /* the worst look of this batch has spoken */
        return 0;
    if (ot_row_look(m, i, p->iter, k, err) < 0)
        return err->code;
    if (m->e[i].book < 0)
        ot_row_after_look(m, i, p);
    else if (p->reinjected)
        m->book[m->e[i].book].after = k->loss;
    ot_tell_row(m, p->iter, i);
    return 0;
}

/* An image or an object: its statistics, its row, and whether it is suspected.  *known: nothing
 * is left to decide about it. */
static int look_at_instance(struct ot_miner *m, const struct ot_pass *p, const struct ot_look *k,
                            bool *known, struct ot_err *err)
{
    uint64_t key = ot_row_key(k->sample, k->kind, k->slot);
    const struct ot_judged *j = ot_judged_find(m, key);
    int32_t i = ot_rows_find(m, key);
    struct ot_stat *s = ot_stat_look(m, k, p, err);

    if (!s || (i >= 0 && look_at_row(m, i, p, k, err) < 0))
        return err->code;
    if (i >= 0 && m->e[i].book < 0 && m->e[i].r.state == OT_WAITING && ot_stat_doubtful(m, s))
        ot_row_rest(m, i, p->iter);
    if (i >= 0 && ot_bound_passes(&p->bound, k->loss))
        s->flags |= OT_STAT_ADMITTED; /* also a row of an earlier night that it wakes */
    *known = i >= 0 || ot_is_excluded(j);
    if (ot_is_excluded(j) || ot_is_hard(j) || !m->conf.scope_all || p->reinjected ||
        !p->after_warmup || k->pred == k->label || !ot_stat_suspect(m, s))
        return 0;
    *known = true;
    return hold_suspect(m, p, k, s, err);
}

static int look_at_background(struct ot_miner *m, const struct ot_pass *p, const struct ot_look *k,
                              int *n_bg, bool *known, struct ot_err *err)
{
    int32_t i = k->slot < 0 ? ot_match_background(m, k->sample, k->box, n_bg)
                            : ot_rows_find(m, ot_row_key(k->sample, k->kind, k->slot));

    *known = i >= 0;
    return i < 0 ? 0 : look_at_row(m, i, p, k, err);
}

/* Looks at each instance once; what has no row and is hard becomes a candidate. */
static int look_at_all(struct ot_miner *m, const struct ot_pass *p, const struct ot_look *looks,
                       size_t n, struct ot_err *err)
{
    size_t group = 0;
    int n_bg = 0;

    for (size_t o = 0; o < n; o++) {
        const struct ot_cand *c = &m->order[o], *prev = o ? c - 1 : NULL;
        const struct ot_look *k = &looks[c->look];
        bool box = k->slot < 0, same = prev && prev->sample == c->sample && prev->kind == c->kind;
        bool known = false;

        if (!same)
            group = m->n_cand;
        if ((!box && same && prev->slot == c->slot) || ot_is_stale(m, k))
            continue;
        if (k->kind == OT_KIND_BG_ROI ? look_at_background(m, p, k, &n_bg, &known, err) < 0
                                      : look_at_instance(m, p, k, &known, err) < 0)
            return err->code;
        if (known || !ot_bound_passes(&p->bound, k->loss))
            continue;
        if (box && (n_bg + (int)(m->n_cand - group) >= OT_BG_ROWS || repeats(m, looks, group, k)))
            continue;
        m->cand[m->n_cand++] = *c;
    }
    return 0;
}

int ot_miner_observe(struct ot_miner *m, int64_t iter, bool reinjected, const struct ot_look *looks,
                     size_t n, struct ot_err *err)
{
    struct ot_pass p = { .iter = iter,
                         .reinjected = reinjected,
                         .after_warmup = iter >= m->conf.start_iter,
                         /* re-injected, or in warm-up: nothing is admitted or forgotten */
                         .bound = { .v = NAN } };

    if (ot_looks_check(m, looks, n, err) < 0 || ot_looks_sort(m, looks, n, err) < 0)
        return err->code;
    m->stamp++;
    if (!reinjected && p.after_warmup)
        p.bound = ot_looks_bound(m, looks, n);
    if (look_at_all(m, &p, looks, n, err) < 0)
        return err->code;
    ot_cands_sort(m);
    for (size_t c = 0; c < m->n_cand && p.bound.most > 0; c++) {
        const struct ot_look *k = &looks[m->cand[c].look];

        if (!make_room(m, iter, k))
            continue;
        if (admit(m, iter, k, &p.bound, err) < 0)
            return err->code;
        p.bound.most--;
    }
    if (reinjected)
        ot_remeasure(m, iter);
    else
        ot_window_push(&m->window, looks, n);
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

int ot_miner_quarantined_boxes(const struct ot_miner *m, uint32_t sample, float (*box)[4], int max)
{
    int n = 0;

    if (sample >= m->conf.n_samples || m->n_state[OT_QUARANTINED] + m->n_state[OT_EXCLUDED] == 0)
        return 0;
    for (int32_t i = m->sample[sample].rows.head; i >= 0 && n < max;
         i = m->e[i].link[OT_BY_SAMPLE].next)
        if (m->e[i].r.kind == OT_KIND_BG_ROI && ot_is_held(&m->e[i].r))
            memcpy(box[n++], m->e[i].r.box, sizeof *box);
    return n;
}

static float threshold_now(const struct ot_miner *m)
{
    switch (m->conf.admit) {
    case OT_ADMIT_QUANTILE:
        return ot_window_quantile(&m->window, m->conf.quantile);
    case OT_ADMIT_THRESHOLD:
        return m->conf.threshold;
    default:
        return NAN;
    }
}

struct ot_miner_counts ot_miner_counts(const struct ot_miner *m)
{
    return (struct ot_miner_counts){ .rows = m->n_rows,
                                     .waiting = m->n_state[OT_WAITING],
                                     .cooling = m->n_state[OT_COOLING],
                                     .learned = m->n_state[OT_LEARNED],
                                     .quarantined = m->n_state[OT_QUARANTINED],
                                     .admitted = m->admitted,
                                     .evicted = m->evicted,
                                     .reinjected = m->reinjected,
                                     .reinj_batches = m->batches,
                                     .learned_total = m->learned_total,
                                     .quarantined_total = m->quarantined_total,
                                     .released_total = m->released_total,
                                     .waiting_samples = m->n_waiting,
                                     .admit_threshold = threshold_now(m),
                                     .share = (float)ot_share(m),
                                     .factor = m->sentinel.factor,
                                     .excluded = m->n_state[OT_EXCLUDED],
                                     .control = m->n_state[OT_CONTROL],
                                     .verdicts = (int64_t)m->n_judged };
}

void ot_miner_each(const struct ot_miner *m, void (*visit)(void *ctx, const struct ot_row *row),
                   void *ctx)
{
    for (int32_t i = m->by_id.head; i >= 0; i = m->e[i].link[OT_BY_ID].next)
        visit(ctx, &m->e[i].r);
}
