/*
 * pool_say.h - the file of verdicts, as those who write it see it.
 *
 * What a person says is never written into the pool but into the file beside it, which a running
 * training reads within two flushes (mining/verdict_file.c).  One verdict an instance: a new one
 * takes the place of the older.
 *
 * Ownership: ot_say_close() commits or takes back, and releases.  Threads: one.
 * Errors: OT_ECREATE, OT_EPERM, OT_EBUSY (somebody writes it), OT_ECONFIG (not such a file).
 */
#ifndef OT_TOOLS_POOL_SAY_H
#define OT_TOOLS_POOL_SAY_H

#include "tools/pool_db.h"

struct ot_say {
    sqlite3 *db;
    char path[1100];
};

struct ot_say_row {
    const char *key, *verdict, *who, *note; /* who, note: may be NULL */
    int kind, slot, label;                  /* label -1: none */
};

/* `path` NULL: the pool's name + ".verdicts".  Made when it is missing. */
int ot_say_open(struct ot_say *s, const char *pool, const char *path, struct ot_err *err);
int ot_say_put(struct ot_say *s, const struct ot_say_row *row, struct ot_err *err);
/* How many verdicts were taken back. */
int ot_say_drop(struct ot_say *s, const char *key, int kind, int slot, int64_t inst,
                struct ot_err *err);
int ot_say_close(struct ot_say *s, int rc, struct ot_err *err); /* rc < 0: nothing is written */

/* The user's name, for `who`; "" when it is not known. */
const char *ot_say_user(void);
/* A label by number or by name of the pool's classes; -1: neither. */
int ot_say_label(const struct ot_pdb *d, const char *text);

#endif
