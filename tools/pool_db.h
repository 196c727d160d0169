/*
 * pool_db.h - a pool file as a reader sees it.
 *
 * The file is opened read-only and every statement is a short read of its own, so that a training
 * run is never in its reader's way.  A pool of an older version is read through a copy in memory
 * that is taken up to the current one; the file itself stays as it is.
 *
 * Ownership: ot_pdb_close() releases; a statement of ot_pdb_query() is finalized by the caller.
 * Threads: one.
 * Errors: OT_ENOINPUT (missing), OT_EDATA (no pool, corrupt), OT_ECONFIG (a newer version),
 *         OT_EBUSY (locked), OT_EPERM, OT_EIO.
 */
#ifndef OT_TOOLS_POOL_DB_H
#define OT_TOOLS_POOL_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tools/pool_table.h"

struct ot_pdb {
    sqlite3 *db;
    const char *path; /* borrowed */
    int version;      /* of the file; what is read is always the current one */
    int64_t run;      /* what ?1 stands for in all queries */
};

int ot_pdb_open(const char *path, struct ot_pdb *d, struct ot_err *err);
/* The file itself, whatever its version; without the functions below. */
int ot_pdb_open_file(const char *path, struct ot_pdb *d, struct ot_err *err);
/* The tables and views of this program's version, into an empty database. */
int ot_pdb_schema(sqlite3 *db, struct ot_err *err);
void ot_pdb_close(struct ot_pdb *d);

/* Prepares SQL; fmt is SQLite's own format (%Q quotes a text, %lld, %d).  NULL on failure. */
sqlite3_stmt *ot_pdb_query(const struct ot_pdb *d, struct ot_err *err, const char *fmt, ...);
/* 1: a row, 0: the end, negative: failed. */
int ot_pdb_step(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_err *err);
/* The first column of the first row; `otherwise` when there is none or it is NULL. */
int64_t ot_pdb_int(const struct ot_pdb *d, int64_t otherwise, const char *fmt, ...);
double ot_pdb_num(const struct ot_pdb *d, const char *fmt, ...); /* NaN when there is none */
/* All rows of a query, with its columns, appended to an empty table. */
int ot_pdb_table(const struct ot_pdb *d, struct ot_table *t, struct ot_err *err, const char *fmt,
                 ...);

/* At most `most` rows of a statement into an empty table; 1: there are more, 0: that was the end.
 */
int ot_pdb_fill(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_table *t, size_t most,
                struct ot_err *err);

/* Text of a column, "" where it is NULL. */
const char *ot_pdb_str(sqlite3_stmt *s, int column);
double ot_pdb_real(sqlite3_stmt *s, int column); /* NaN where it is NULL */

/* The run asked for, or the last one where `run` is 0; 0 when the pool has none. */
int ot_pdb_run(const struct ot_pdb *d, uint64_t run, int64_t *id, struct ot_err *err);

/* Which instance a person means: an inst_id (a number), or a record's key with kind and slot
 * (-1: any, as long as there is only one).  A key that is a number and is there goes first. */
struct ot_pdb_inst {
    int64_t inst, sample; /* inst 0: the sample is known, the instance is not */
    char key[512];
    int kind, slot;
};

int ot_pdb_find(const struct ot_pdb *d, const char *what, int kind, int slot,
                struct ot_pdb_inst *found, struct ot_err *err);

/* The file of verdicts beside the pool as database `said`; *has: it is there. */
int ot_pdb_attach_verdicts(const struct ot_pdb *d, bool *has, struct ot_err *err);

/* Rows of a key (kind, slot -1: any). */
int64_t ot_pdb_count(const struct ot_pdb *d, const char *key, int kind, int slot);

const char *ot_pdb_state_name(int state); /* "waiting" .. "control" */
int ot_pdb_state_of(const char *name);    /* by name or number; -1: no state */
const char *ot_pdb_kind_name(int kind);   /* "image" .. "tile" */
int ot_pdb_kind_of(const char *name);     /* by name, "box" for "gt", or number; -1: no kind */

/* In SQL: state_name(state), kind_name(kind). */

/* "name" of a class, its number where it has none; returns buf. */
char *ot_pdb_class(const struct ot_pdb *d, int label, char *buf, size_t n);

#endif
