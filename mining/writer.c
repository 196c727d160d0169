/*
 * writer.c - the thread that owns the connection: takes the buffer, writes it in one
 * transaction, sleeps.
 *
 * It wakes once a flush_s to look at the verdicts, and writes when there is something to write.
 * While another process holds the write lock nothing is taken out of the buffer, which goes on
 * coalescing; while a reader pins the log the flushes become rarer (wal_guard.c).  The first
 * error is kept, and from then on everything is discarded: training goes on.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool_impl.h"

void ot_buffer_clear(struct ot_buffer *b)
{
    ot_map_clear(&b->by_id);
    b->n_rows = b->n_events = b->n_reinj = b->n_items = b->n_iters = b->n_snaps = 0;
    b->n_effects = b->n_therms = b->n_sentries = 0;
    b->n_dirty = 0;
    b->reset = false;
}

void ot_buffer_release(struct ot_buffer *b)
{
    ot_free(b->rows);
    ot_free(b->events);
    ot_free(b->reinj);
    ot_free(b->items);
    ot_free(b->iters);
    ot_free(b->snaps);
    ot_free(b->effects);
    ot_free(b->therms);
    ot_free(b->sentries);
    ot_map_release(&b->by_id);
    *b = (struct ot_buffer){ 0 };
}

/* ---- a transaction --------------------------------------------------------------------------- */

static bool is_empty(const struct ot_buffer *b)
{
    return !b->n_dirty && !b->n_events && !b->n_reinj && !b->n_iters && !b->n_snaps && !b->reset &&
           !b->n_effects && !b->n_therms && !b->n_sentries;
}

static int put_run_end(struct ot_pool *p, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    char now[32], *q;
    int rc;

    q = sqlite3_mprintf("UPDATE run SET ended=%Q,status=%Q,exit_code=%d,iter_end=%lld,"
                        "loss_end=%s,metric_name=%Q,metric_end=%s WHERE run_id=%lld",
                        ot_time_utc(now), p->status, p->exit_code, (long long)p->iter_end, "?1",
                        p->metric_name, "?2", (long long)p->run);
    if (!q)
        return ot_fail(err, OT_ENOMEM, "pool '%s': no memory", p->path);
    rc = sqlite3_prepare_v2(p->db, q, -1, &s, NULL);
    if (rc == SQLITE_OK) {
        ot_bind_num(s, 1, p->loss_end);
        ot_bind_num(s, 2, p->metric_name ? p->metric_end : (double)NAN);
        rc = sqlite3_step(s);
    }
    (void)sqlite3_finalize(s);
    sqlite3_free(q);
    return rc == SQLITE_DONE ? 0 : ot_sql_fail(p->db, err, "closing the run");
}

static bool is_locked(const struct ot_err *err)
{
    return err->code == OT_EBUSY;
}

/* Another process is in a write transaction.  Says so after a while; an error when it was too long
 * for those who wait (reset, close). */
static int note_locked(struct ot_pool *p, bool waited_for, struct ot_err *err)
{
    double now = ot_now_s();
    char who[256];

    if (p->blocked < 0) {
        p->blocked = now;
        p->blocked_warned = -1;
    }
    if (now - p->blocked >= p->lock_log_s &&
        (p->blocked_warned < 0 || now - p->blocked_warned >= p->guard.warn_s)) {
        p->blocked_warned = now;
        ot_log(OT_LOG_WARN, "pool",
               "'%s' cannot be written: %s is in a write transaction; changes are kept in memory",
               p->path, ot_lock_blame(p, OT_LOCK_WRITE, who, sizeof who));
    }
    if (!waited_for) {
        p->waited = -1;
        return 0;
    }
    if (p->waited < 0)
        p->waited = now;
    if (now - p->waited < p->lock_max_s)
        return 0;
    return ot_fail(err, OT_EBUSY, "pool '%s': locked for more than %g s by %s", p->path,
                   p->lock_max_s, ot_lock_blame(p, OT_LOCK_WRITE, who, sizeof who));
}

/* 1: begun, 0: locked, try again later. */
static int begin(struct ot_pool *p, bool waited_for, struct ot_err *err)
{
    struct ot_err busy = OT_ERR_INIT;

    if (ot_sql(p->db, &busy, "BEGIN IMMEDIATE") == 0) {
        p->blocked = p->waited = -1;
        return 1;
    }
    if (is_locked(&busy))
        return note_locked(p, waited_for, err);
    *err = busy;
    return err->code;
}

static void take_buffer(struct ot_pool *p)
{
    struct ot_buffer swap;

    (void)pthread_mutex_lock(&p->mutex);
    swap = p->front;
    p->front = p->back;
    p->back = swap;
    p->handed_over = p->max_id;
    p->busy = true;
    (void)pthread_mutex_unlock(&p->mutex);
}

static int fill(struct ot_pool *p, bool last, struct ot_err *err)
{
    if (ot_write_all(p, err) < 0 || (p->verdicts.mirror && ot_verdicts_mirror(p, err) < 0) ||
        (last && put_run_end(p, err) < 0))
        return err->code;
    return ot_sql(p->db, err, "COMMIT");
}

/* 1: written, 0: nothing was to be done or the file is locked. */
static int flush(struct ot_pool *p, bool last, bool waited_for, bool full, struct ot_err *err)
{
    int rc;

    /* a snapshot must find its pool after a power cut */
    if (full && ot_sql(p->db, err, "PRAGMA synchronous=FULL") < 0)
        return err->code;
    rc = begin(p, last || waited_for, err);
    if (rc > 0) {
        take_buffer(p);
        rc = fill(p, last, err);
        if (rc < 0 && !sqlite3_get_autocommit(p->db))
            (void)sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
        rc = rc < 0 ? rc : 1;
        p->wrote = ot_now_s();
    }
    if (full && rc >= 0 && ot_sql(p->db, err, "PRAGMA synchronous=NORMAL") < 0)
        return err->code;
    return rc;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool is_urgent(const struct ot_pool *p)
{
    return p->stop || p->front.n_snaps || p->front.reset ||
           (!p->guard.pinned && p->front.n_dirty >= (size_t)p->flush_rows);
}

/* Sleeps until there is a reason to write, at most flush_s; the mutex is held. */
static void wait_for_work(struct ot_pool *p)
{
    struct timespec until;
    double s = (double)p->flush_s;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)s;
    until.tv_nsec += (long)((s - floor(s)) * 1e9);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    while (!is_urgent(p))
        if (pthread_cond_timedwait(&p->wake, &p->mutex, &until) != 0)
            break;
}

static void latch(struct ot_pool *p, const struct ot_err *err)
{
    if (p->err.code)
        return;
    p->err = *err;
    ot_log_err("pool", err);
    ot_log(OT_LOG_WARN, "pool", "'%s' is no longer written; training goes on", p->path);
}

/* One turn; true when it was the last. */
static bool turn(struct ot_pool *p, struct ot_err *err)
{
    bool last, due, failed, full, reset;
    int rc = 0;

    (void)pthread_mutex_lock(&p->mutex);
    wait_for_work(p);
    last = p->stop;
    reset = p->front.reset;
    full = p->front.n_snaps > 0;
    failed = p->err.code != 0;
    due = last || (!is_empty(&p->front) &&
                   (is_urgent(p) || ot_now_s() - p->wrote >= p->guard.interval * 0.9));
    (void)pthread_mutex_unlock(&p->mutex);

    if (failed) {
        take_buffer(p);
        ot_buffer_clear(&p->back);
        return last;
    }
    (void)pthread_mutex_lock(&p->db_lock);
    ot_verdicts_look(p);
    if (due || p->verdicts.mirror)
        rc = flush(p, last, reset, full, err);
    if (rc > 0)
        ot_buffer_clear(&p->back);
    if (rc >= 0)
        ot_guard_look(p, rc > 0, full && rc > 0);
    (void)pthread_mutex_unlock(&p->db_lock);
    return last && rc != 0;
}

void *ot_pool_writer(void *pool)
{
    struct ot_pool *p = pool;
    bool last = false;

    ot_guard_watch(p);
    while (!last) {
        struct ot_err err = OT_ERR_INIT;

        last = turn(p, &err);
        (void)pthread_mutex_lock(&p->mutex);
        if (err.code) {
            latch(p, &err);
            ot_buffer_clear(&p->back);
        }
        p->busy = false;
        p->thin = p->guard.pinned;
        (void)pthread_cond_broadcast(&p->done);
        (void)pthread_mutex_unlock(&p->mutex);
    }
    return NULL;
}
