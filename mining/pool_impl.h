/*
 * pool_impl.h - the pool's private parts, shared by the files of mining/ that know SQLite.
 *
 * Two buffers: the trainer fills `front` under the mutex, the writer takes it by exchanging it
 * with `back`, which is then its own.  After open the connection belongs to the writer thread,
 * which holds db_lock while it works; ot_pool_each() borrows it under the same lock.
 * Order of locks: db_lock, then mutex.
 */
#ifndef OT_MINING_POOL_IMPL_H
#define OT_MINING_POOL_IMPL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <sys/vfs.h>

#include "base/map.h"
#include "mining/pool.h"

#define OT_POOL_VERSION   2          /* PRAGMA user_version of schema.sql */
#define OT_POOL_APP_ID    1330136397 /* 0x4F48454D "OHEM" */
#define OT_VERDICT_APP_ID 1330136406 /* 0x4F484556 "OHEV": the file of verdicts */
#define OT_EVENTS_MAX     65536   /* waiting to be written; beyond it they are dropped, counted */
#define OT_WAL_PAGES      4096    /* 16 MB of 4096-byte pages: then a checkpoint */
#define OT_WAL_FIXED      3051003 /* SQLite from which the WAL-reset bug is gone */
#define OT_STUCK_S        60      /* a checkpoint that cannot move for so long is pinned */
#define OT_FLUSH_MAX_S    60      /* the flush interval is lengthened up to this */
#define OT_BUSY_MS        250     /* one attempt to begin a transaction */
#define OT_LOCK_LOG_S     5       /* waiting for a writing shell: then it is named */
#define OT_LOCK_MAX_S     30      /* and so long do reset and close wait for it */

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

struct ot_pool_effect {
    int64_t iter;
    struct ot_mining_effect e;
};

struct ot_pool_therm {
    int64_t iter;
    struct ot_thermometer t;
};

struct ot_pool_sentry {
    int64_t iter, n;
    double mean, sd, share;
};

struct ot_buffer {
    struct ot_dirty *rows;
    struct ot_map by_id; /* row id -> index in rows */
    struct ot_pool_event *events;
    struct ot_pool_reinj *reinj;
    struct ot_pool_item *items;
    struct ot_pool_iter *iters;
    struct ot_pool_snap *snaps;
    struct ot_pool_effect *effects;
    struct ot_pool_therm *therms;
    struct ot_pool_sentry *sentries;
    size_t rows_cap, events_cap, reinj_cap, items_cap, iters_cap, snaps_cap;
    size_t effects_cap, therms_cap, sentries_cap;
    size_t n_rows, n_events, n_reinj, n_items, n_iters, n_snaps, n_dirty;
    size_t n_effects, n_therms, n_sentries;
    bool reset;
    int64_t reset_iter;
};

enum ot_stmt {
    OT_S_SAMPLE,
    OT_S_INST,
    OT_S_DROP,
    OT_S_RETIRE,
    OT_S_EVENT,
    OT_S_REINJ,
    OT_S_ITEM,
    OT_S_ITER,
    OT_S_SNAP,
    OT_S_EFFECT,
    OT_S_THERM,
    OT_S_SENTRY,
    OT_N_STMTS
};

/* Who keeps the write-ahead log from being emptied. */
struct ot_holder {
    long pid;
    double since, warned; /* ot_now_s(); warned < 0: not yet */
    char since_utc[32];
    bool here;
};

struct ot_guard {
    int frames, peak;      /* of the log after the last commit; when it was first seen stuck */
    double since, tried;   /* first stuck, last checkpoint; since < 0: it moves */
    double unknown_warned; /* nobody was found to blame; < 0: not yet */
    struct ot_holder holder[16];
    int n_holders;
    bool pinned;
    double interval; /* seconds between flushes, as of now */
    /* parameters, which tests make small */
    int pages;
    double stuck_s, warn_s, max_bytes;
};

enum ot_source { OT_FROM_OVERLAY, OT_FROM_FILE, OT_FROM_POOL }; /* later ones overrule */

/* A verdict as somebody wrote it, and what became of it. */
struct ot_said {
    enum ot_source source;
    int64_t id; /* verdict_id, or number within the overlay */
    bool has_inst, has_kind, has_slot, has_label;
    int64_t inst, kind, slot, label;
    char *key, *verdict, *who, *note, *at; /* owned; NULL where the row has none */
    bool changed;                          /* the row of pool.db says otherwise */
    bool resolved;
    struct ot_verdict v;
    char outcome[160];
    int64_t applied_run;
};

struct ot_said_list {
    struct ot_said *v;
    size_t n, cap;
};

struct ot_verdicts {
    char *path; /* of the verdict file */
    sqlite3 *file;
    uint64_t dev, ino;                  /* of the file that `file` has open */
    int64_t file_version, pool_version; /* PRAGMA data_version at the last look; -1: none */
    struct ot_said_list overlay, from_file, from_pool;
    uint64_t mirrored; /* hash of what the table verdict should say */
    bool mirror;       /* it does not say it yet */
    bool hinted;       /* the writer of a verdict in pool.db was told of the verdict file */
    char complained[768];
    struct ot_verdict *said; /* what was published last */
    size_t n_said;
    bool snapshot_holds; /* the miner may have verdicts of a snapshot: any set is news to it */
};

struct ot_pool {
    char *path;
    int lock_fd;
    sqlite3 *db;
    sqlite3_stmt *stmt[OT_N_STMTS];
    int64_t run, dataset, next_inst;
    int n_classes; /* 0: unknown */
    float flush_s;
    int flush_rows, backups;
    char *(*key)(void *ctx, uint32_t index, char *buf, size_t n);
    int64_t (*find)(void *ctx, const char *key);
    void *key_ctx;
    struct ot_mining_sink sink;
    pthread_mutex_t db_lock;

    /* the writer's own */
    struct ot_buffer back;
    struct ot_map inst_of, sample_of; /* row id -> inst_id, ordinal -> sample_id */
    struct ot_guard guard;
    struct ot_verdicts verdicts;
    double wrote;                   /* when the last flush was */
    double blocked, blocked_warned; /* another process holds the write lock since; < 0: no */
    double waited;                  /* and reset() or close() waits for it since */
    double lock_log_s, lock_max_s;  /* tests make them small */

    /* under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    struct ot_buffer front;
    uint64_t max_id, handed_over; /* greatest row id told; told before the last exchange */
    uint64_t dropped, thinned;
    double lr;
    bool stop, busy, thin;    /* thin: no iter_stat while the log is pinned */
    struct ot_verdict *fresh; /* to be handed over, owned */
    size_t n_fresh;
    bool is_fresh;
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
/* One rung per version: step[v - 1] takes version v to v + 1; `last` makes the views.  Backs the
 * file up first. */
int ot_pool_climb(sqlite3 *db, const char *path, const char *const *step, int from, int to,
                  const char *last, struct ot_err *err);
/* The same ladder without a backup, for a copy in memory that a tool reads. */
int ot_pool_upgrade(sqlite3 *copy, int from, struct ot_err *err);
/* Name of the network file system that the path lies on; NULL: a local one. */
const char *ot_pool_network(const char *path);
extern int (*ot_pool_statfs)(const char *path, struct statfs *st); /* tests replace it */
/* Runs SQL; fmt is SQLite's own format (%Q quotes a text, NULL included). */
int ot_sql(sqlite3 *db, struct ot_err *err, const char *fmt, ...);
int ot_sql_fail(sqlite3 *db, struct ot_err *err, const char *doing);
int64_t ot_sql_int(sqlite3 *db, const char *query, int64_t otherwise);

/* Text of a column, "" for NULL; valid as sqlite3_column_text() is. */
const char *ot_sql_text(sqlite3_stmt *s, int column);

/* heal.c: what persons did to the schema: views and indexes are remade, a table or a column that
 * is missing is refused by name, triggers are told of (they do not fire here) */
int ot_pool_heal(sqlite3 *db, const char *path, const char *schema, const char *views,
                 struct ot_err *err);

/* backup.c: path.bak-YYYYMMDD, at most one a day, the newest `keep`; failure is a warning */
void ot_pool_backup(sqlite3 *db, const char *path, int keep);

/* pool.c */
void ot_pool_sink_init(struct ot_pool *p);
int ot_pool_first_error(const struct ot_pool *p, struct ot_err *err); /* under the mutex */

/* writer.c */
void *ot_pool_writer(void *pool);
void ot_buffer_clear(struct ot_buffer *b);
void ot_buffer_release(struct ot_buffer *b);

/* write_rows.c: statements, and the buffer's records through them */
int ot_writer_prepare(struct ot_pool *p, struct ot_err *err);
void ot_writer_release(struct ot_pool *p);
int ot_write_all(struct ot_pool *p, struct ot_err *err);
void ot_bind_num(sqlite3_stmt *s, int at, double v); /* NaN is NULL */

/* wal_guard.c: the log's length, and who keeps it long */
enum ot_lock_bytes { OT_LOCK_WRITE, OT_LOCK_READ }; /* of the -shm file */

void ot_guard_init(struct ot_guard *g, double flush_s, double max_mb);
void ot_guard_watch(struct ot_pool *p); /* the log's length is told from now on */
/* After every turn: checkpoints, finds who pins the log, sets guard.pinned and .interval. */
void ot_guard_look(struct ot_pool *p, bool committed, bool truncate);
/* "pid 1234 sqlite3 (alice), pid 1235 ..." or "another process" */
const char *ot_lock_blame(const struct ot_pool *p, enum ot_lock_bytes which, char *buf, size_t n);

/* verdict_file.c: the file that persons write */
int ot_verdict_file_create(const char *path, struct ot_err *err);
/* 1: *out is what it says now, 0: as at the last look; OT_EBUSY: somebody writes it */
int ot_verdict_file_read(struct ot_pool *p, struct ot_said_list *out, struct ot_err *err);
void ot_verdict_file_close(struct ot_verdicts *d);

/* verdicts.c */
int ot_said_add(struct ot_said_list *list, struct ot_said **s, struct ot_err *err);
void ot_said_release(struct ot_said_list *list);
/* verdict_id, inst_id, lmdb_key, kind, slot, verdict, new_label, who, note, at of a statement */
int ot_said_take(sqlite3_stmt *row, struct ot_said *s, struct ot_err *err);
int ot_verdicts_open(struct ot_pool *p, const struct ot_pool_conf *conf, struct ot_err *err);
void ot_verdicts_look(struct ot_pool *p); /* reads what changed, resolves, publishes */
void ot_verdicts_release(struct ot_pool *p);

/* verdict_table.c: the pool's own table, which persons may write as well */
int ot_verdict_table_read(struct ot_pool *p, struct ot_said_list *out, struct ot_err *err);
void ot_verdicts_plan_mirror(struct ot_verdicts *d);           /* sets d->mirror */
int ot_verdicts_mirror(struct ot_pool *p, struct ot_err *err); /* inside a transaction */
extern const char *const ot_source_name[3];

#endif
