/*
 * miner.c - a fresh batch: who is updated, who is admitted, who has to go.
 *
 * Known rows are updated first (EMA, counts, state), then what is above the bound is admitted
 * in the order loss descending, identity ascending, then the batch's losses enter the window:
 * a batch is judged by the losses before it.  Each change of state is told with its reason.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
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
        { "cooldown", c->cooldown, 0, 1 << 30 },
        { "rois_per_image", c->per_sample, 1, 1 << 16 },
        { "probe_after", c->probe_after, 1, 1 << 30 },
        { "probe_conf", (double)c->probe_conf, 0, 1 },
        { "quarantine_weight", (double)c->quarantine_weight, 0, 1 },
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
    if (!m->out_after || ot_window_init(&m->window, m->conf.window, err) < 0)
        return err->code;
    for (uint32_t s = 0; s < m->conf.n_samples; s++)
        m->sample[s] = (struct ot_sample){ .rows = { -1, -1 }, .wait_pos = -1 };
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
    if (sink)
        m->sink = *sink;
    m->free_slot = -1;
    m->cooling = m->by_id = (struct ot_list){ -1, -1 };
    m->next_id = 1;
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
    ot_free(m->waiting);
    ot_free(m->order);
    ot_free(m->cand);
    ot_map_release(&m->by_key);
    ot_window_release(&m->window);
    ot_free(m);
}

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
static const char *bound_text(const struct ot_miner *m, const struct ot_bound *b, char buf[48])
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
static double margin(const struct ot_look *k)
{
    if (k->pred != k->label)
        return (double)k->p_label - (double)k->p_pred;
    return fmax(0, 2 * (double)k->p_label - 1);
}

void ot_row_look(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k)
{
    struct ot_entry *e = &m->e[i];
    struct ot_row *r = &e->r;

    e->stamp = m->stamp;
    r->pred = k->pred;
    r->p_label = k->p_label;
    r->p_pred = k->p_pred;
    r->flip = k->flip;
    r->loss = k->loss;
    r->loss_ema = m->conf.ema * r->loss_ema + (1 - m->conf.ema) * k->loss;
    r->loss_max = fmaxf(r->loss_max, k->loss);
    r->margin_sum += margin(k);
    r->n_seen++;
    r->n_contra += ot_contradicted(m, r);
    r->last_iter = iter;
    e->low = k->loss < m->conf.retire ? e->low + 1 : 0;
    if (r->kind != OT_KIND_BG_ROI) /* a background box stays what later boxes are matched with */
        memcpy(r->box, k->box, sizeof r->box);
    if (k->label != r->label)
        ot_rows_set_label(m, i, k->label);
    ot_rows_resort(m, i);
}

void ot_row_learned(struct ot_miner *m, int32_t i, int64_t iter, const char *when)
{
    ot_rows_set_state(m, i, OT_LEARNED);
    m->learned_total++;
    ot_tell(m, iter, i, OT_EV_LEARNED, "loss %.2f < retire %.4g %s", (double)m->e[i].r.loss,
            (double)m->conf.retire, when);
}

static void forgot(struct ot_miner *m, int32_t i, int64_t iter, const char *bound)
{
    ot_rows_set_state(m, i, OT_WAITING);
    m->e[i].r.n_forget++;
    ot_tell(m, iter, i, OT_EV_FORGOT, "was learned, now loss %.2f %s", (double)m->e[i].r.loss,
            bound);
}

static void released(struct ot_miner *m, int32_t i, int64_t iter)
{
    bool low = m->e[i].r.loss < m->conf.retire;

    ot_rows_set_state(m, i, low ? OT_LEARNED : OT_WAITING);
    m->released_total++;
    m->learned_total += low;
    ot_tell(m, iter, i, OT_EV_RELEASE, "loss %.2f < release %.4g; now %s", (double)m->e[i].r.loss,
            (double)m->conf.release, low ? "learned" : "waiting");
}

/* What a look does to the state; a booked row's state is decided by ot_remeasure(). */
static void after_look(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_bound *b)
{
    struct ot_entry *e = &m->e[i];
    bool hard = ot_bound_passes(b, e->r.loss);
    char text[48];

    switch ((enum ot_state)e->r.state) {
    case OT_COOLING:
        if (hard && e->r.cool_until == OT_NEVER) {
            ot_rows_set_state(m, i, OT_WAITING);
            break;
        } /* fall through */
    case OT_WAITING:
        if (e->low >= OT_LOW_LOOKS)
            ot_row_learned(m, i, iter, "on two looks in a row");
        break;
    case OT_LEARNED:
        if (hard)
            forgot(m, i, iter, bound_text(m, b, text));
        break;
    case OT_QUARANTINED:
        if (e->r.loss < m->conf.release)
            released(m, i, iter);
        break;
    case OT_EXCLUDED:
    case OT_CONTROL:
        break;
    }
}

static int look_at_row(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k,
                       const struct ot_bound *b, struct ot_err *err)
{
    if (m->e[i].stamp == m->stamp) /* the worst look of this batch has spoken */
        return 0;
    if (k->label != m->e[i].r.label && ot_reserve_class(m, k->label, err) < 0)
        return err->code;
    ot_row_look(m, i, iter, k);
    if (m->e[i].book < 0)
        after_look(m, i, iter, b);
    else if (b->most == 0) /* re-injected */
        m->book[m->e[i].book].after = k->loss;
    ot_tell_row(m, iter, i);
    return 0;
}

/* ---- admission ------------------------------------------------------------------------------- */

/* Rows one class may hold: its share of the pool, a small pool counting as eight batches. */
static int class_room(const struct ot_miner *m)
{
    double floor_rows = 8.0 * m->conf.batch * m->conf.per_sample;
    double rows = fmin(fmax(floor_rows, m->n_rows), m->conf.capacity);

    return m->conf.naive ? INT32_MAX : (int)fmax(1, (double)m->conf.class_share * rows);
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

static int admit(struct ot_miner *m, int64_t iter, const struct ot_look *k,
                 const struct ot_bound *b, struct ot_err *err)
{
    struct ot_row r = { .id = m->next_id,
                        .sample = k->sample,
                        .kind = k->kind,
                        .slot = k->slot,
                        .label = k->label,
                        .label_given = k->given,
                        .weight = 1,
                        .loss_ema = k->loss,
                        .loss_max = k->loss,
                        .loss_first = k->loss,
                        .first_iter = iter };
    char text[48];
    int32_t i;

    memcpy(r.box, k->box, sizeof r.box);
    if (r.slot < 0)
        r.slot = m->sample[k->sample].next_bg;
    else if (r.kind == OT_KIND_BG_ROI && ot_rows_find(m, ot_row_key(r.sample, r.kind, r.slot)) >= 0)
        return 0;
    i = ot_rows_add(m, &r, err);
    if (i < 0)
        return err->code;
    if (r.kind == OT_KIND_BG_ROI && r.slot >= m->sample[k->sample].next_bg)
        m->sample[k->sample].next_bg = r.slot + 1;
    m->next_id++;
    m->admitted++;
    ot_row_look(m, i, iter, k);
    ot_tell_row(m, iter, i);
    ot_tell(m, iter, i, OT_EV_ADMIT, "loss %.2f %s; class share %.0f %%", (double)k->loss,
            bound_text(m, b, text), 100.0 * m->class[r.label].rows / m->n_rows);
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

/* Looks at the rows that are known; what is not known and hard becomes a candidate. */
static int look_at_known(struct ot_miner *m, int64_t iter, const struct ot_look *looks, size_t n,
                         const struct ot_bound *b, bool admitting, struct ot_err *err)
{
    size_t group = 0;
    int n_bg = 0;

    for (size_t o = 0; o < n; o++) {
        const struct ot_cand *c = &m->order[o], *prev = o ? c - 1 : NULL;
        const struct ot_look *k = &looks[c->look];
        bool box = k->slot < 0, same = prev && prev->sample == c->sample && prev->kind == c->kind;
        int32_t i;

        if (!same)
            group = m->n_cand;
        if (!box && same && prev->slot == c->slot)
            continue;
        i = box ? ot_match_background(m, k->sample, k->box, &n_bg)
                : ot_rows_find(m, ot_row_key(k->sample, k->kind, k->slot));
        if (i >= 0) {
            if (look_at_row(m, i, iter, k, b, err) < 0)
                return err->code;
            continue;
        }
        if (!admitting || !ot_bound_passes(b, k->loss))
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
    struct ot_bound b = { .v = NAN, .most = 0 }; /* re-injected: nothing is admitted or forgotten */
    bool admitting = !reinjected && iter >= m->conf.start_iter;

    if (ot_looks_check(m, looks, n, err) < 0 || ot_looks_sort(m, looks, n, err) < 0)
        return err->code;
    m->stamp++;
    if (!reinjected)
        b = ot_looks_bound(m, looks, n);
    if (look_at_known(m, iter, looks, n, &b, admitting, err) < 0)
        return err->code;
    ot_cands_sort(m);
    for (size_t c = 0; c < m->n_cand && b.most > 0; c++) {
        const struct ot_look *k = &looks[m->cand[c].look];

        if (!make_room(m, iter, k))
            continue;
        if (admit(m, iter, k, &b, err) < 0)
            return err->code;
        b.most--;
    }
    if (reinjected)
        ot_remeasure(m, iter);
    else
        ot_window_push(&m->window, looks, n);
    return 0;
}

int ot_miner_adopt(struct ot_miner *m, const struct ot_row *row, struct ot_err *err)
{
    (void)m;
    (void)row;
    (void)err;
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

float ot_miner_weight(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot)
{
    int32_t i = slot < 0 ? -1 : ot_rows_find(m, ot_row_key(sample, kind, slot));

    return i >= 0 ? m->e[i].r.weight : 1;
}

int ot_miner_quarantined_boxes(const struct ot_miner *m, uint32_t sample, float (*box)[4], int max)
{
    int n = 0;

    if (sample >= m->conf.n_samples || m->n_state[OT_QUARANTINED] == 0)
        return 0;
    for (int32_t i = m->sample[sample].rows.head; i >= 0 && n < max;
         i = m->e[i].link[OT_BY_SAMPLE].next)
        if (m->e[i].r.kind == OT_KIND_BG_ROI && m->e[i].r.state == OT_QUARANTINED)
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
                                     .share = m->conf.max_share,
                                     .excluded = m->n_state[OT_EXCLUDED],
                                     .control = m->n_state[OT_CONTROL] };
}

void ot_miner_each(const struct ot_miner *m, void (*visit)(void *ctx, const struct ot_row *row),
                   void *ctx)
{
    for (int32_t i = m->by_id.head; i >= 0; i = m->e[i].link[OT_BY_ID].next)
        visit(ctx, &m->e[i].r);
}
