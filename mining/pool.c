/*
 * pool.c - the trainer's side of the pool file: copying changes into the buffer.
 *
 * The trainer holds the mutex only to copy; SQLite is never called under it.  Changes of one row
 * are coalesced, so the buffer is bounded by the pool's capacity; of the other records at most
 * OT_EVENTS_MAX of a kind wait, what comes beyond is dropped, counted and logged at the end.
 */
#include "mining/pool.h"

#include <stdio.h>

#include "base/mem.h"
#include "mining/pool_impl.h"

/* ---- the sink -------------------------------------------------------------------------------- */

/* No memory for the buffer is the writer's failure like any other: kept, told by ot_pool_ok(). */
static bool no_room(struct ot_pool *p, void *array, size_t *cap, size_t need, size_t size)
{
    struct ot_err err = OT_ERR_INIT;

    if (p->err.code)
        return true;
    if (ot_grow(array, cap, need, size, &err) == 0)
        return false;
    p->err = err;
    return true;
}

static void put_dirty(struct ot_pool *p, const struct ot_row *row, enum ot_dirty_op op)
{
    struct ot_buffer *b = &p->front;
    uint64_t at;

    if (row->id > p->max_id)
        p->max_id = row->id;
    if (ot_map_get(&b->by_id, row->id, &at)) {
        b->rows[at].row = *row;
        b->rows[at].op = op;
        if (op == OT_DIRTY_GONE && row->id > p->handed_over) { /* the file never saw it */
            (void)ot_map_remove(&b->by_id, row->id);
            b->rows[at] = b->rows[--b->n_rows];
            if (at < b->n_rows)
                (void)ot_map_set(&b->by_id, b->rows[at].row.id, at, &p->err);
        }
    } else if (!no_room(p, &b->rows, &b->rows_cap, b->n_rows + 1, sizeof *b->rows) &&
               ot_map_set(&b->by_id, row->id, b->n_rows, &p->err) == 0) {
        b->rows[b->n_rows++] = (struct ot_dirty){ .op = op, .row = *row };
    }
    b->n_dirty = b->n_rows;
    if (b->n_dirty == (size_t)p->flush_rows)
        (void)pthread_cond_signal(&p->wake);
}

static void on_row(void *ctx, int64_t iter, const struct ot_row *row)
{
    struct ot_pool *p = ctx;

    (void)iter;
    (void)pthread_mutex_lock(&p->mutex);
    put_dirty(p, row, OT_DIRTY_PUT);
    (void)pthread_mutex_unlock(&p->mutex);
}

static void on_gone(void *ctx, int64_t iter, const struct ot_row *row)
{
    struct ot_pool *p = ctx;

    (void)iter;
    (void)pthread_mutex_lock(&p->mutex);
    put_dirty(p, row, OT_DIRTY_GONE);
    (void)pthread_mutex_unlock(&p->mutex);
}

static bool full(struct ot_pool *p, size_t n)
{
    p->dropped += n >= OT_EVENTS_MAX;
    return n >= OT_EVENTS_MAX;
}

static void on_event(void *ctx, int64_t iter, const struct ot_row *row, enum ot_event_kind what,
                     float loss, const char *why)
{
    struct ot_pool *p = ctx;
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    if (!full(p, b->n_events) &&
        !no_room(p, &b->events, &b->events_cap, b->n_events + 1, sizeof *b->events)) {
        struct ot_pool_event *e = &b->events[b->n_events++];

        *e = (struct ot_pool_event){
            .iter = iter, .row = row->id, .sample = row->sample, .what = what, .loss = loss
        };
        (void)snprintf(e->why, sizeof e->why, "%s", why);
    }
    (void)pthread_mutex_unlock(&p->mutex);
}

static void on_reinjected(void *ctx, int64_t iter, const uint64_t *row_id, const float *before,
                          const float *after, int n)
{
    struct ot_pool *p = ctx;
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    if (!full(p, b->n_items) &&
        !no_room(p, &b->items, &b->items_cap, b->n_items + (size_t)n, sizeof *b->items) &&
        !no_room(p, &b->reinj, &b->reinj_cap, b->n_reinj + 1, sizeof *b->reinj)) {
        b->reinj[b->n_reinj++] =
            (struct ot_pool_reinj){ .iter = iter, .lr = p->lr, .first = b->n_items, .n = n };
        for (int i = 0; i < n; i++)
            b->items[b->n_items++] = (struct ot_pool_item){ row_id[i], before[i], after[i] };
    }
    (void)pthread_mutex_unlock(&p->mutex);
}

void ot_pool_sink_init(struct ot_pool *p)
{
    p->sink = (struct ot_mining_sink){ p, on_row, on_gone, on_event, on_reinjected };
}

void ot_pool_iter(struct ot_pool *p, const struct ot_pool_iter *it)
{
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    p->lr = it->lr;
    if (p->thin)
        p->thinned++;
    else if (!full(p, b->n_iters) &&
             !no_room(p, &b->iters, &b->iters_cap, b->n_iters + 1, sizeof *b->iters))
        b->iters[b->n_iters++] = *it;
    (void)pthread_mutex_unlock(&p->mutex);
}

void ot_pool_snapshot(struct ot_pool *p, int64_t iter, const char *path, uint64_t model_hash)
{
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    if (!no_room(p, &b->snaps, &b->snaps_cap, b->n_snaps + 1, sizeof *b->snaps)) {
        struct ot_pool_snap *s = &b->snaps[b->n_snaps++];

        *s = (struct ot_pool_snap){ .iter = iter, .model_hash = model_hash };
        (void)snprintf(s->path, sizeof s->path, "%s", path);
        (void)pthread_cond_signal(&p->wake);
    }
    (void)pthread_mutex_unlock(&p->mutex);
}

void ot_pool_effects(struct ot_pool *p, int64_t iter, const struct ot_mining_effect *e, int n,
                     const struct ot_thermometer *t)
{
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    for (int i = 0; i < n; i++)
        if (!full(p, b->n_effects) &&
            !no_room(p, &b->effects, &b->effects_cap, b->n_effects + 1, sizeof *b->effects))
            b->effects[b->n_effects++] = (struct ot_pool_effect){ iter, e[i] };
    if (t && !full(p, b->n_therms) &&
        !no_room(p, &b->therms, &b->therms_cap, b->n_therms + 1, sizeof *b->therms))
        b->therms[b->n_therms++] = (struct ot_pool_therm){ iter, *t };
    (void)pthread_mutex_unlock(&p->mutex);
}

void ot_pool_sentinel(struct ot_pool *p, int64_t iter, int64_t n, double mean, double sd,
                      double share)
{
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    if (!full(p, b->n_sentries) &&
        !no_room(p, &b->sentries, &b->sentries_cap, b->n_sentries + 1, sizeof *b->sentries))
        b->sentries[b->n_sentries++] = (struct ot_pool_sentry){ iter, n, mean, sd, share };
    (void)pthread_mutex_unlock(&p->mutex);
}

bool ot_pool_verdicts(struct ot_pool *p, struct ot_verdict **v, size_t *n)
{
    bool is_fresh;

    (void)pthread_mutex_lock(&p->mutex);
    is_fresh = p->is_fresh;
    *v = is_fresh ? p->fresh : NULL;
    *n = is_fresh ? p->n_fresh : 0;
    if (is_fresh)
        p->fresh = NULL;
    p->is_fresh = false;
    (void)pthread_mutex_unlock(&p->mutex);
    return is_fresh;
}

/* ---- the rest -------------------------------------------------------------------------------- */

const struct ot_mining_sink *ot_pool_sink(struct ot_pool *p)
{
    return &p->sink;
}

int64_t ot_pool_run_id(const struct ot_pool *p)
{
    return p->run;
}

int ot_pool_first_error(const struct ot_pool *p, struct ot_err *err)
{
    if (p->err.code)
        *err = p->err;
    return p->err.code;
}

int ot_pool_ok(struct ot_pool *p, struct ot_err *err)
{
    int rc;

    (void)pthread_mutex_lock(&p->mutex);
    rc = ot_pool_first_error(p, err);
    (void)pthread_mutex_unlock(&p->mutex);
    return rc;
}

static void put_restored(void *ctx, const struct ot_row *row)
{
    put_dirty(ctx, row, OT_DIRTY_PUT);
}

int ot_pool_reset(struct ot_pool *p, const struct ot_miner *m, int64_t iter, struct ot_err *err)
{
    int rc;

    (void)pthread_mutex_lock(&p->mutex);
    ot_miner_each(m, put_restored, p);
    p->front.reset = true;
    p->front.reset_iter = iter;
    (void)pthread_cond_signal(&p->wake);
    while (!p->err.code && (p->front.reset || p->busy))
        (void)pthread_cond_wait(&p->done, &p->mutex);
    rc = ot_pool_first_error(p, err);
    (void)pthread_mutex_unlock(&p->mutex);
    return rc;
}
