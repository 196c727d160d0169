/*
 * fs.h - files, as a nightly job needs them: whole, or not at all.
 *
 * Threads: any.  Errors: OT_ENOINPUT, OT_EPERM, OT_ECREATE, OT_EIO with path and reason.
 */
#ifndef OT_BASE_FS_H
#define OT_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Reads a whole file; returns owned memory, NUL-terminated one past *n.  Files over `limit`
 * bytes are refused. */
char *ot_read_file(const char *path, size_t limit, size_t *n, struct ot_err *err);

/* ot_hash64() of a whole file, read in pieces. */
int ot_hash_file(const char *path, uint64_t *hash, struct ot_err *err);

/* All n bytes, however often write(2) takes a part or is interrupted; 0 or -1 with errno. */
int ot_write_fully(int fd, const char *p, size_t n);

/* Writes path.tmp, fsyncs, renames over path, fsyncs the directory: after a crash the old or
 * the new content is there, never half of one. */
int ot_write_file_atomic(const char *path, const void *bytes, size_t n, struct ot_err *err);

int ot_mkdir_p(const char *path, struct ot_err *err);
/* Removes a folder of plain files, and folders down to `depth` levels below it; 0, or -1 with
 * errno. */
int ot_remove_dir(const char *path, int depth);
bool ot_exists(const char *path);
bool ot_is_dir(const char *path);
int64_t ot_free_bytes(const char *path); /* on the path's file system; -1 when unknown */

/* dir + "/" + name into buf; `name` alone when it is absolute or dir is "" */
char *ot_path_join(char *buf, size_t n, const char *dir, const char *name);
/* the directory part of path ("." when there is none) into buf */
char *ot_path_dir(char *buf, size_t n, const char *path);

/* An exclusive lock on `path` for the life of the process (flock; the kernel drops it when the
 * holder dies).  The file says who holds it.  OT_EBUSY names pid and host of the holder.
 * Returns the descriptor, or a negative code. */
int ot_lock_file(const char *path, struct ot_err *err);
void ot_unlock_file(int fd);

#endif
