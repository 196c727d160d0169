/*
 * pool.c - the trainer's side of the pool file: opening it, and copying changes into the buffer.
 *
 * The trainer holds the mutex only to copy; SQLite is never called under it.  Changes of one row
 * are coalesced, so the buffer is bounded by the pool's capacity; of the other records at most
 * OT_EVENTS_MAX of a kind wait, what comes beyond is dropped, counted and logged at the end.
 */
#include "mining/pool.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
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

void ot_pool_iter(struct ot_pool *p, const struct ot_pool_iter *it)
{
    struct ot_buffer *b = &p->front;

    (void)pthread_mutex_lock(&p->mutex);
    p->lr = it->lr;
    if (!full(p, b->n_iters) &&
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

/* ---- opening --------------------------------------------------------------------------------- */

static int bind_texts(sqlite3 *db, const char *query, const char *const *text, int n,
                      struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, query, -1, &s, NULL);

    for (int i = 0; rc == SQLITE_OK && i < n; i++)
        rc = sqlite3_bind_text(s, i + 1, text[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    (void)sqlite3_finalize(s);
    return rc == SQLITE_DONE ? 0 : ot_sql_fail(db, err, "writing the run");
}

static bool has_run(struct ot_pool *p, int64_t run)
{
    char sql[80];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM run WHERE run_id=%lld", (long long)run);
    return ot_sql_int(p->db, sql, 0) == 1;
}

static int put_run(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    char now[32], host[128] = "", hash[32], seed[32], start[32], parent[32], pid[32];
    const char *text[] = { c->job,         now,
                           host,           pid,
                           c->device,      hash,
                           c->config_text, seed,
                           start,          c->parent_run ? parent : NULL };

    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(hash, sizeof hash, "%016llx", ot_hash64(c->config_text, strlen(c->config_text)));
    (void)snprintf(seed, sizeof seed, "%lld", (long long)c->seed);
    (void)snprintf(start, sizeof start, "%lld", (long long)c->iter_start);
    (void)snprintf(parent, sizeof parent, "%lld", (long long)c->parent_run);
    if (!has_run(p, c->parent_run))
        text[9] = NULL; /* another file than the one that run wrote */
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    (void)ot_time_utc(now);
    if (ot_sql(p->db, err, "UPDATE run SET status='crashed', ended=%Q WHERE status='running'",
               now) < 0 ||
        bind_texts(p->db,
                   "INSERT INTO run(job,started,host,pid,device,version,config_hash,config_text,"
                   "seed,iter_start,parent_run_id) VALUES(?1,?2,?3,?4,?5,"
                   "'SQLite ' || sqlite_version(),?6,?7,?8,?9,?10)",
                   text, 10, err) < 0)
        return err->code;
    p->run = sqlite3_last_insert_rowid(p->db);
    return 0;
}

static int put_dataset(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    if (ot_sql_int(p->db, "SELECT count(*) FROM dataset", 0) == 0 &&
        ot_sql(p->db, err,
               "INSERT INTO dataset(path,entries,fingerprint) VALUES(%Q,%lld,'%016llx')",
               c->dataset, (long long)c->dataset_entries,
               (unsigned long long)c->dataset_fingerprint) < 0)
        return err->code;
    if (ot_sql(p->db, err, "UPDATE dataset SET path=%Q", c->dataset) < 0) /* may have moved */
        return err->code;
    p->dataset = ot_sql_int(p->db, "SELECT dataset_id FROM dataset", 1);
    for (int i = 0; c->class_name && i < c->n_classes; i++)
        if (ot_sql(p->db, err, "INSERT OR REPLACE INTO class(label,name) VALUES(%d,%Q)", i,
                   c->class_name[i]) < 0)
            return err->code;
    return 0;
}

static int open_run(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    if (ot_sql(p->db, err, "BEGIN IMMEDIATE") < 0 || put_run(p, c, err) < 0 ||
        put_dataset(p, c, err) < 0 || ot_sql(p->db, err, "COMMIT") < 0)
        return err->code;
    p->next_inst = 1 + ot_sql_int(p->db,
                                  "SELECT max(coalesce((SELECT max(inst_id) FROM inst),0),"
                                  "coalesce((SELECT max(inst_id) FROM event),0),"
                                  "coalesce((SELECT max(inst_id) FROM reinj_item),0))",
                                  0);
    return ot_writer_prepare(p, err);
}

/* An SQLite file begins with 16 known bytes; anything else is not touched. */
static int check_header(const char *path, struct ot_err *err)
{
    char head[16];
    struct stat st;
    size_t got;
    FILE *f;

    if (stat(path, &st) < 0 || st.st_size == 0)
        return 0;
    f = fopen(path, "rb");
    if (!f)
        return ot_fail(err, OT_EPERM, "pool '%s': cannot be read", path);
    got = fread(head, 1, sizeof head, f);
    (void)fclose(f);
    if (got < sizeof head || memcmp(head, "SQLite format 3", sizeof head) != 0)
        return ot_fail(err, OT_EDATA, "pool '%s': not an SQLite file, got %lld bytes", path,
                       (long long)st.st_size);
    return 0;
}

static int open_file(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    char lock[1024];

    if ((size_t)snprintf(lock, sizeof lock, "%s.lock", c->path) >= sizeof lock)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", c->path);
    if (ot_pool_refuse_network(c->path, err) < 0)
        return err->code;
    p->lock_fd = ot_lock_file(lock, err);
    if (p->lock_fd < 0)
        return err->code;
    if (check_header(c->path, err) < 0)
        return err->code;
    if (sqlite3_open_v2(c->path, &p->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return ot_fail(err, OT_ECREATE, "pool '%s': cannot be opened: %s", c->path,
                       p->db ? sqlite3_errmsg(p->db) : "no memory");
    (void)sqlite3_busy_timeout(p->db, 5000);
    /* a file that is refused stays as it is: its log is not copied into it when we let go */
    (void)sqlite3_db_config(p->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (ot_pool_prepare(p->db, c, err) < 0)
        return err->code;
    (void)sqlite3_db_config(p->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return open_run(p, c, err);
}

static char *number_key(void *ctx, uint32_t index, char *buf, size_t n)
{
    (void)ctx;
    (void)snprintf(buf, n, "%08u", index);
    return buf;
}

static int start(struct ot_pool *p, struct ot_err *err)
{
    pthread_condattr_t attr;
    int rc;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&p->mutex, NULL);
    (void)pthread_cond_init(&p->wake, &attr);
    (void)pthread_cond_init(&p->done, NULL);
    (void)pthread_condattr_destroy(&attr);
    p->has_mutex = true;
    rc = pthread_create(&p->thread, NULL, ot_pool_writer, p);
    if (rc != 0)
        return ot_fail_sys(err, OT_EIO, rc, "cannot start the pool's writer thread");
    p->started = true;
    return 0;
}

static void let_go(struct ot_pool *p)
{
    if (p->started)
        (void)pthread_join(p->thread, NULL);
    ot_writer_release(p);
    if (p->db)
        (void)sqlite3_close(p->db);
    ot_unlock_file(p->lock_fd);
    if (p->has_mutex) {
        (void)pthread_mutex_destroy(&p->mutex);
        (void)pthread_cond_destroy(&p->wake);
        (void)pthread_cond_destroy(&p->done);
    }
    ot_buffer_release(&p->front);
    ot_buffer_release(&p->back);
    ot_map_release(&p->inst_of);
    ot_map_release(&p->sample_of);
    ot_free(p->path);
    ot_free(p);
}

struct ot_pool *ot_pool_open(const struct ot_pool_conf *conf, struct ot_err *err)
{
    struct ot_pool *p = ot_alloc(1, sizeof *p, err);

    if (!p)
        return NULL;
    p->lock_fd = -1;
    p->lr = NAN;
    p->flush_s = conf->flush_s > 0 ? fminf(conf->flush_s, 3600) : 1;
    p->flush_rows = conf->flush_rows > 0 ? conf->flush_rows : 4096;
    p->key = conf->key ? conf->key : number_key;
    p->key_ctx = conf->key_ctx;
    p->sink = (struct ot_mining_sink){ p, on_row, on_gone, on_event, on_reinjected };
    p->path = ot_strdup(conf->path, err);
    if (!p->path || open_file(p, conf, err) < 0 || start(p, err) < 0) {
        let_go(p);
        return NULL;
    }
    return p;
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

static int first_error(const struct ot_pool *p, struct ot_err *err)
{
    if (p->err.code)
        *err = p->err;
    return p->err.code;
}

int ot_pool_ok(struct ot_pool *p, struct ot_err *err)
{
    int rc;

    (void)pthread_mutex_lock(&p->mutex);
    rc = first_error(p, err);
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
    rc = first_error(p, err);
    (void)pthread_mutex_unlock(&p->mutex);
    return rc;
}

void ot_pool_effects(struct ot_pool *p, int64_t iter, const struct ot_mining_effect *e, int n,
                     const struct ot_thermometer *t)
{
    (void)p;
    (void)iter;
    (void)e;
    (void)n;
    (void)t;
}

void ot_pool_sentinel(struct ot_pool *p, int64_t iter, int64_t n, double mean, double sd,
                      double share)
{
    (void)p;
    (void)iter;
    (void)n;
    (void)mean;
    (void)sd;
    (void)share;
}

bool ot_pool_verdicts(struct ot_pool *p, struct ot_verdict **v, size_t *n)
{
    (void)p;
    *v = NULL;
    *n = 0;
    return false;
}

int ot_pool_each(struct ot_pool *p,
                 int (*visit)(void *ctx, const struct ot_row *row, struct ot_err *err), void *ctx,
                 struct ot_err *err)
{
    (void)p;
    (void)visit;
    (void)ctx;
    (void)err;
    return 0;
}

int ot_pool_close(struct ot_pool *p, const char *status, int exit_code, int64_t iter_end,
                  double loss_end, const char *metric_name, double metric_end, struct ot_err *err)
{
    int rc;

    if (!p)
        return 0;
    (void)pthread_mutex_lock(&p->mutex);
    p->status = status;
    p->exit_code = exit_code;
    p->iter_end = iter_end;
    p->loss_end = loss_end;
    p->metric_name = metric_name;
    p->metric_end = metric_end;
    p->stop = true;
    (void)pthread_cond_signal(&p->wake);
    (void)pthread_mutex_unlock(&p->mutex);
    (void)pthread_join(p->thread, NULL);
    p->started = false;
    if (p->dropped)
        ot_log(OT_LOG_WARN, "pool", "%llu events were dropped: the writer could not keep up",
               (unsigned long long)p->dropped);
    rc = first_error(p, err);
    ot_writer_release(p);
    if (rc == 0)
        (void)sqlite3_wal_checkpoint_v2(p->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    let_go(p);
    return rc;
}
