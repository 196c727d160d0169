/*
 * rows.c - where rows live: by identity, by sample, by class and by state.
 *
 * It decides which row goes when room is needed: the least EMA of the losses, then the one not
 * seen for longest, then the older id; never one that is quarantined, excluded or booked.
 * Each class has its own heap so that a class at its share makes room within itself.
 */
#include <math.h>

#include "base/mem.h"
#include "mining/miner_impl.h"

uint64_t ot_row_key(uint32_t sample, uint8_t kind, int32_t slot)
{
    return (uint64_t)sample << 32 | (uint64_t)kind << 30 | ((uint32_t)slot & OT_SLOT_MAX);
}

uint32_t ot_key_sample(uint64_t key)
{
    return (uint32_t)(key >> 32);
}

enum ot_kind ot_key_kind(uint64_t key)
{
    return (enum ot_kind)(key >> 30 & 3);
}

int32_t ot_key_slot(uint64_t key)
{
    return (int32_t)(key & OT_SLOT_MAX);
}

int32_t ot_rows_find(const struct ot_miner *m, uint64_t key)
{
    uint64_t i;

    return ot_map_get(&m->by_key, key, &i) ? (int32_t)i : -1;
}

static void list_push(struct ot_miner *m, enum ot_list_id which, struct ot_list *l, int32_t i)
{
    m->e[i].link[which] = (struct ot_link){ .next = -1, .prev = l->tail };
    if (l->tail >= 0)
        m->e[l->tail].link[which].next = i;
    else
        l->head = i;
    l->tail = i;
}

static void list_remove(struct ot_miner *m, enum ot_list_id which, struct ot_list *l, int32_t i)
{
    struct ot_link k = m->e[i].link[which];

    if (k.prev >= 0)
        m->e[k.prev].link[which].next = k.next;
    else
        l->head = k.next;
    if (k.next >= 0)
        m->e[k.next].link[which].prev = k.prev;
    else
        l->tail = k.prev;
}

/* ---- heaps ----------------------------------------------------------------------------------- */

static bool goes_before(const struct ot_row *a, const struct ot_row *b)
{
    if (a->loss_ema != b->loss_ema)
        return a->loss_ema < b->loss_ema;
    if (a->last_iter != b->last_iter)
        return a->last_iter < b->last_iter;
    return a->id < b->id;
}

static void place(struct ot_miner *m, struct ot_class *c, int at, int32_t i)
{
    c->heap[at] = i;
    m->e[i].heap = at;
}

static void sift_up(struct ot_miner *m, struct ot_class *c, int at)
{
    int32_t i = c->heap[at];

    while (at > 0) {
        int up = (at - 1) / 2;

        if (!goes_before(&m->e[i].r, &m->e[c->heap[up]].r))
            break;
        place(m, c, at, c->heap[up]);
        at = up;
    }
    place(m, c, at, i);
}

static void sift_down(struct ot_miner *m, struct ot_class *c, int at)
{
    int32_t i = c->heap[at];

    for (;;) {
        int down = 2 * at + 1;

        if (down >= c->n)
            break;
        if (down + 1 < c->n && goes_before(&m->e[c->heap[down + 1]].r, &m->e[c->heap[down]].r))
            down++;
        if (!goes_before(&m->e[c->heap[down]].r, &m->e[i].r))
            break;
        place(m, c, at, c->heap[down]);
        at = down;
    }
    place(m, c, at, i);
}

static void heap_remove(struct ot_miner *m, int32_t i)
{
    struct ot_class *c = &m->class[m->e[i].r.label];
    int at = m->e[i].heap;
    int32_t last;

    if (at < 0)
        return;
    m->e[i].heap = -1;
    last = c->heap[--c->n];
    if (last == i)
        return;
    place(m, c, at, last);
    sift_up(m, c, at);
    sift_down(m, c, m->e[last].heap);
}

/* Weight of a sample in the draw: 1, or its largest smoothed loss in units of 2^-20 (at least one
 * unit, at most 4095 in all); 0 when nothing of it waits. */
static void weigh(struct ot_miner *m, uint32_t sample)
{
    uint32_t weight = m->sample[sample].n_wait > 0;
    double loss = 0;

    if (weight && m->conf.priority == OT_PRIORITY_LOSS) {
        for (int32_t i = m->sample[sample].rows.head; i >= 0; i = m->e[i].link[OT_BY_SAMPLE].next)
            if (m->e[i].r.state == OT_WAITING)
                loss = fmax(loss, (double)m->e[i].r.loss_ema);
        weight = (uint32_t)fmax(1, fmin(4095, loss) * 1048576);
    }
    if (m->waiting.leaf[sample] != weight)
        ot_sumtree_set(&m->waiting, sample, weight);
}

void ot_rows_resort(struct ot_miner *m, int32_t i)
{
    struct ot_entry *e = &m->e[i];
    struct ot_class *c = &m->class[e->r.label];
    bool may_go = e->r.state != OT_QUARANTINED && e->r.state != OT_EXCLUDED && e->book < 0;

    weigh(m, e->r.sample);
    if (!may_go) {
        heap_remove(m, i);
        return;
    }
    if (e->heap < 0)
        place(m, c, c->n++, i);
    sift_up(m, c, e->heap);
    sift_down(m, c, e->heap);
}

int32_t ot_rows_least(const struct ot_miner *m)
{
    int32_t best = -1;

    for (int c = 0; c < m->conf.n_classes; c++) {
        int32_t i = m->class[c].n ? m->class[c].heap[0] : -1;

        if (i >= 0 && (best < 0 || goes_before(&m->e[i].r, &m->e[best].r)))
            best = i;
    }
    return best;
}

int ot_reserve_class(struct ot_miner *m, int32_t label, struct ot_err *err)
{
    struct ot_class *c = &m->class[label];

    return ot_grow(&c->heap, &c->cap, (size_t)c->rows + 1, sizeof *c->heap, err);
}

/* ---- states ---------------------------------------------------------------------------------- */

bool ot_is_held(const struct ot_row *r)
{
    return r->state == OT_QUARANTINED || r->state == OT_EXCLUDED;
}

/* What the share limit measures by; never of a planted row or a background RoI. */
static void count_held(struct ot_miner *m, const struct ot_row *r, int sign)
{
    if (r->state != OT_QUARANTINED || r->planted || r->kind == OT_KIND_BG_ROI)
        return;
    m->held += sign;
}

static void enter_state(struct ot_miner *m, int32_t i)
{
    struct ot_entry *e = &m->e[i];
    struct ot_sample *s = &m->sample[e->r.sample];

    m->n_state[e->r.state]++;
    count_held(m, &e->r, 1);
    m->class[e->r.label].held += ot_is_held(&e->r);
    if (e->r.state == OT_WAITING)
        m->n_waiting += s->n_wait++ == 0;
    if (e->r.state == OT_COOLING && e->r.cool_until != OT_NEVER) {
        list_push(m, OT_BY_COOLING, &m->cooling, i);
        e->cool_listed = true;
    }
}

static void leave_state(struct ot_miner *m, int32_t i)
{
    struct ot_entry *e = &m->e[i];
    struct ot_sample *s = &m->sample[e->r.sample];

    m->n_state[e->r.state]--;
    count_held(m, &e->r, -1);
    m->class[e->r.label].held -= ot_is_held(&e->r);
    if (e->r.state == OT_WAITING)
        m->n_waiting -= --s->n_wait == 0;
    if (e->cool_listed) {
        list_remove(m, OT_BY_COOLING, &m->cooling, i);
        e->cool_listed = false;
    }
}

static float weight_of(const struct ot_miner *m, const struct ot_row *r)
{
    if (r->planted || r->state == OT_EXCLUDED)
        return 0;
    return r->state == OT_QUARANTINED ? m->conf.quarantine_weight : 1;
}

void ot_rows_set_state(struct ot_miner *m, int32_t i, enum ot_state state)
{
    struct ot_entry *e = &m->e[i];

    leave_state(m, i);
    e->r.state = (uint8_t)state;
    e->low = 0;
    e->probation = 0;
    e->r.weight = weight_of(m, &e->r);
    enter_state(m, i);
    ot_rows_resort(m, i);
}

void ot_rows_queue(struct ot_miner *m, int32_t i)
{
    ot_rows_set_state(m, i, m->e[i].r.control ? OT_CONTROL : OT_WAITING);
}

/* The caller has reserved room with ot_reserve_class(). */
void ot_rows_set_label(struct ot_miner *m, int32_t i, int32_t label)
{
    heap_remove(m, i);
    leave_state(m, i);
    m->class[m->e[i].r.label].rows--;
    m->e[i].r.label = label;
    m->class[label].rows++;
    enter_state(m, i);
    ot_rows_resort(m, i);
}

void ot_rows_requeue(struct ot_miner *m, int32_t i)
{
    list_remove(m, OT_BY_COOLING, &m->cooling, i);
    list_push(m, OT_BY_COOLING, &m->cooling, i);
}

/* ---- in and out ------------------------------------------------------------------------------ */

int32_t ot_rows_add(struct ot_miner *m, const struct ot_row *r, struct ot_err *err)
{
    int32_t i = m->free_slot >= 0 ? m->free_slot : m->n_slots;
    struct ot_entry *e;

    if (ot_grow(&m->e, &m->e_cap, (size_t)i + 1, sizeof *m->e, err) < 0 ||
        ot_reserve_class(m, r->label, err) < 0 ||
        ot_map_set(&m->by_key, ot_row_key(r->sample, r->kind, r->slot), (uint64_t)i, err) < 0)
        return err->code;
    e = &m->e[i];
    if (m->free_slot >= 0)
        m->free_slot = e->link[OT_BY_ID].next;
    else
        m->n_slots++;
    *e = (struct ot_entry){ .r = *r, .heap = -1, .book = -1, .used = true };
    e->r.weight = weight_of(m, r);
    list_push(m, OT_BY_SAMPLE, &m->sample[r->sample].rows, i);
    list_push(m, OT_BY_ID, &m->by_id, i);
    m->class[r->label].rows++;
    m->n_rows++;
    enter_state(m, i);
    ot_rows_resort(m, i);
    return i;
}

void ot_rows_remove(struct ot_miner *m, int32_t i)
{
    struct ot_row *r = &m->e[i].r;

    OT_BUG_IF(m->e[i].book >= 0);
    leave_state(m, i);
    heap_remove(m, i);
    m->class[r->label].rows--;
    list_remove(m, OT_BY_SAMPLE, &m->sample[r->sample].rows, i);
    weigh(m, r->sample);
    list_remove(m, OT_BY_ID, &m->by_id, i);
    (void)ot_map_remove(&m->by_key, ot_row_key(r->sample, r->kind, r->slot));
    m->e[i].used = false;
    m->e[i].link[OT_BY_ID].next = m->free_slot;
    m->free_slot = i;
    m->n_rows--;
}
