/*
 * pool_impl.h - the pool's private parts, shared by pool.c, writer.c and migrate.c.
 *
 * Two buffers: the trainer fills `front` under the mutex, the writer takes it by exchanging it
 * with `back`, which is then its own.  After open the connection belongs to the writer thread.
 */
#ifndef OT_MINING_POOL_IMPL_H
#define OT_MINING_POOL_IMPL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "base/map.h"
#include "mining/pool.h"

#define OT_POOL_VERSION 2          /* PRAGMA user_version of schema.sql */
#define OT_POOL_APP_ID  1330136397 /* 0x4F48454D "OHEM" */
#define OT_EVENTS_MAX   65536      /* waiting to be written; beyond it they are dropped, counted */
#define OT_WAL_PAGES    4096       /* 16 MB of 4096-byte pages: then a checkpoint */

enum ot_dirty_op { OT_DIRTY_DEAD, OT_DIRTY_PUT, OT_DIRTY_GONE };

struct ot_dirty {
    enum ot_dirty_op op;
    struct ot_row row;
};

struct ot_pool_event {
    int64_t iter;
    uint64_t row;
    uint32_t sample;
    enum ot_event_kind what;
    float loss;
    char why[160];
};

struct ot_pool_reinj {
    int64_t iter;
    double lr; /* NaN: not told yet */
    size_t first;
    int n;
};

struct ot_pool_item {
    uint64_t row;
    float before, after;
};

struct ot_pool_snap {
    int64_t iter;
    uint64_t model_hash;
    char path[512];
};

struct ot_buffer {
    struct ot_dirty *rows;
    struct ot_map by_id; /* row id -> index in rows */
    struct ot_pool_event *events;
    struct ot_pool_reinj *reinj;
    struct ot_pool_item *items;
    struct ot_pool_iter *iters;
    struct ot_pool_snap *snaps;
    size_t rows_cap, events_cap, reinj_cap, items_cap, iters_cap, snaps_cap;
    size_t n_rows, n_events, n_reinj, n_items, n_iters, n_snaps, n_dirty;
    bool reset;
    int64_t reset_iter;
};

enum ot_stmt {
    OT_S_BEGIN,
    OT_S_COMMIT,
    OT_S_ROLLBACK,
    OT_S_SAMPLE,
    OT_S_INST,
    OT_S_DROP,
    OT_S_RETIRE,
    OT_S_EVENT,
    OT_S_REINJ,
    OT_S_ITEM,
    OT_S_ITER,
    OT_S_SNAP,
    OT_N_STMTS
};

struct ot_pool {
    char *path;
    int lock_fd;
    sqlite3 *db;
    sqlite3_stmt *stmt[OT_N_STMTS];
    int64_t run, dataset, next_inst;
    float flush_s;
    int flush_rows;
    char *(*key)(void *ctx, uint32_t index, char *buf, size_t n);
    void *key_ctx;
    struct ot_mining_sink sink;

    /* the writer's own */
    struct ot_buffer back;
    struct ot_map inst_of, sample_of; /* row id -> inst_id, ordinal -> sample_id */
    int wal_pages;

    /* under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    struct ot_buffer front;
    uint64_t max_id, handed_over; /* greatest row id told; told before the last exchange */
    uint64_t dropped;
    double lr;
    bool stop, busy;
    struct ot_err err; /* the first one; the writer then discards */

    /* the last words, set before stop */
    const char *status, *metric_name;
    int exit_code;
    int64_t iter_end;
    double loss_end, metric_end;

    pthread_t thread;
    bool started, has_mutex;
};

/* migrate.c: is this file ours, whole, of our version and data set?  Creates or migrates it. */
int ot_pool_prepare(sqlite3 *db, const struct ot_pool_conf *conf, struct ot_err *err);
/* One rung per version: step[v - 1] takes version v to v + 1.  Backs the file up first. */
int ot_pool_climb(sqlite3 *db, const char *path, const char *const *step, int from, int to,
                  struct ot_err *err);
/* The same ladder without a backup, for a copy in memory that a tool reads. */
int ot_pool_upgrade(sqlite3 *copy, int from, struct ot_err *err);
int ot_pool_refuse_network(const char *path, struct ot_err *err);
/* Runs SQL; fmt is SQLite's own format (%Q quotes a text, NULL included). */
int ot_sql(sqlite3 *db, struct ot_err *err, const char *fmt, ...);
int ot_sql_fail(sqlite3 *db, struct ot_err *err, const char *doing);
int64_t ot_sql_int(sqlite3 *db, const char *query, int64_t otherwise);

/* writer.c */
void *ot_pool_writer(void *pool);
int ot_writer_prepare(struct ot_pool *p, struct ot_err *err);
void ot_writer_release(struct ot_pool *p);
void ot_buffer_clear(struct ot_buffer *b);
void ot_buffer_release(struct ot_buffer *b);

#endif
