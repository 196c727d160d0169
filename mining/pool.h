/*
 * pool.h - the pool file: an SQLite mirror of the miner that anyone can open while training runs.
 *
 * One writer thread owns the only connection (WAL).  The sink's calls copy a change into a
 * buffer and return; the writer coalesces rows by id and commits one transaction per flush_s
 * seconds or flush_rows changed rows.  The trainer never waits for SQLite.  After kill -9 the
 * file opens and passes PRAGMA integrity_check; at most the last second is missing.
 *
 * What persons say comes from a file beside it, an overlay, or the pool's table verdict, which the
 * writer reads once a flush.  While another process holds the write lock, changes wait in memory;
 * while a reader pins the log they are written less often, and the log names it (wal_guard.c).
 *
 * Schema and views: mining/schema.sql, documented in docs/pool-schema.md.  PRAGMA user_version
 * numbers the schema; older files are migrated after a backup, newer ones are refused.
 *
 * Ownership: ot_pool_open returns owned; ot_pool_close flushes, checkpoints, joins, frees.
 * Threads: open, sink calls and close from the trainer's thread.
 * Errors: OT_EBUSY (locked by another run or a shell, says by whom), OT_ECONFIG (newer schema,
 *         another data set, network file system), OT_EDATA (corrupt, a table of ours is missing, an
 *         overlay or file of verdicts that is none), OT_ECREATE, OT_EPERM, OT_EIO.  A write error
 *         later (disk full) stops the writer, not the training: ot_pool_ok() tells.
 */
#ifndef OT_MINING_POOL_H
#define OT_MINING_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "mining/miner.h"

struct ot_pool;

struct ot_pool_conf {
    const char *path;
    const char *job;         /* config's name */
    const char *config_text; /* printed solver, stored with the run */
    uint64_t seed;
    int64_t iter_start;
    const char *device;
    const char *dataset; /* path of the LMDB */
    uint64_t dataset_entries, dataset_fingerprint;
    const char *const *class_name; /* n_classes names, or NULL: numbers */
    int n_classes;
    float flush_s;
    int flush_rows;
    int64_t parent_run; /* run that is resumed, 0: none */
    /* key of sample `index`, thread-safe, into buf; and the sample of a key, -1: none */
    char *(*key)(void *ctx, uint32_t index, char *buf, size_t n);
    int64_t (*find)(void *ctx, const char *key);
    void *key_ctx;
    float wal_max_mb;     /* 0: 1024 */
    bool unsafe_fs;       /* a network file system is allowed */
    int backups;          /* daily copies that are kept */
    const char *verdicts; /* the file of verdicts; NULL: path + ".verdicts" */
    const char *overlay;  /* JSON Lines of further verdicts, or NULL */
};

struct ot_pool *ot_pool_open(const struct ot_pool_conf *conf, struct ot_err *err);

/* The sink to hand to ot_miner_new(); valid until ot_pool_close(). */
const struct ot_mining_sink *ot_pool_sink(struct ot_pool *p);

/* Per-iteration numbers (table iter_stat) and snapshots (table snapshot). */
struct ot_pool_iter {
    int64_t iter;
    bool reinjected;
    double loss, lr, ms;
    int64_t pool_rows, admitted;
    double admit_threshold; /* NaN: none yet */
};

void ot_pool_iter(struct ot_pool *p, const struct ot_pool_iter *it);

/* What mining proves of itself (tables effect, thermometer, sentinel). */
void ot_pool_effects(struct ot_pool *p, int64_t iter, const struct ot_mining_effect *e, int n,
                     const struct ot_thermometer *t);
void ot_pool_sentinel(struct ot_pool *p, int64_t iter, int64_t n, double mean, double sd,
                      double share);

/* The verdicts that hold, when they have changed since the last call (the writer looks once a
 * flush): true, and *v (owned by the caller, ot_free) of n for ot_miner_judge().  Never waits. */
bool ot_pool_verdicts(struct ot_pool *p, struct ot_verdict **v, size_t *n);

/* Rows that earlier runs left, in id order, for ot_miner_adopt(): only right after open. */
int ot_pool_each(struct ot_pool *p,
                 int (*visit)(void *ctx, const struct ot_row *row, struct ot_err *err), void *ctx,
                 struct ot_err *err);
void ot_pool_snapshot(struct ot_pool *p, int64_t iter, const char *path, uint64_t model_hash);

/* For a resumed run: the file's rows are replaced by the miner's (through `each`), events and
 * re-injections after `iter` of the crashed run are marked superseded. */
int ot_pool_reset(struct ot_pool *p, const struct ot_miner *m, int64_t iter, struct ot_err *err);

const char *ot_pool_sqlite(void); /* the library's version, and what is known of it */
int64_t ot_pool_run_id(const struct ot_pool *p);
int ot_pool_ok(struct ot_pool *p, struct ot_err *err); /* 0, or the writer's first error */

/* status: "ok", "failed", "interrupted".  Waits for the last commit. */
int ot_pool_close(struct ot_pool *p, const char *status, int exit_code, int64_t iter_end,
                  double loss_end, const char *metric_name, double metric_end, struct ot_err *err);

#endif
