/*
 * db.h - the one door to LMDB: a reader (read-only, zero-copy) and a writer.
 *
 * Reader: by cursor in key order, and by key.  Values point into the map.  One environment per
 * file and process (opened twice, it is shared and counted); read transactions are short: a
 * cursor's values are valid until ot_db_renew() or the cursor's end, one cursor per thread.
 * Writer: batched transactions; the map doubles when it is full; the database must not exist
 * (Caffe's convert_imageset) unless `append`.
 *
 * Ownership: *_open returns owned, *_close frees.  Keys and values are borrowed.
 * Threads: a reader may be shared by threads that each have a cursor of their own.
 * Errors: OT_ENOINPUT (missing), OT_EDATA (not an LMDB, corrupt), OT_ECREATE, OT_EIO.
 */
#ifndef OT_DATA_DB_H
#define OT_DATA_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ot_bytes {
    const void *data;
    size_t n;
};

struct ot_db;
struct ot_db_cursor;
struct ot_db_writer;

struct ot_db *ot_db_open(const char *path, struct ot_err *err);
void ot_db_close(struct ot_db *db);
size_t ot_db_count(const struct ot_db *db);
const char *ot_db_path(const struct ot_db *db);
bool ot_db_is_open(const char *path); /* by this process, for reading */

struct ot_db_cursor *ot_db_cursor_new(struct ot_db *db, struct ot_err *err);
void ot_db_cursor_free(struct ot_db_cursor *c);
/* 1: a record; 0: an empty database; < 0: error */
int ot_db_first(struct ot_db_cursor *c, struct ot_bytes *key, struct ot_bytes *value,
                struct ot_err *err);
/* 1: a record; 0: past the end; < 0: error */
int ot_db_next(struct ot_db_cursor *c, struct ot_bytes *key, struct ot_bytes *value,
               struct ot_err *err);
/* 1: found; 0: no such key; < 0: error */
int ot_db_get(struct ot_db_cursor *c, struct ot_bytes key, struct ot_bytes *value,
              struct ot_err *err);
/* Ends the read transaction and begins another; the cursor has no place until first or get. */
int ot_db_renew(struct ot_db_cursor *c, struct ot_err *err);

struct ot_db_writer *ot_db_create(const char *path, bool append, struct ot_err *err);
int ot_db_put(struct ot_db_writer *w, struct ot_bytes key, struct ot_bytes value,
              struct ot_err *err);
/* Commits and closes; on error (or `commit` false) a database it created is removed.  One that
 * was appended to keeps the batches (1000 puts or 32 MiB) committed so far. */
int ot_db_finish(struct ot_db_writer *w, bool commit, struct ot_err *err);

#endif
