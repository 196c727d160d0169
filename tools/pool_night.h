/*
 * pool_night.h - a pool at the end of a night, and what changed from one to another.
 *
 * A night is read from the table of rows (the pool as it is) or, for an earlier run or iteration of
 * the same file, from the events: state and last loss on record of every row.  Rows are known by
 * (key, kind, slot), which is the same in every file about the data set.
 *
 * Ownership: ot_night_release() frees.  Threads: one.
 * Errors: those of pool_db.h.
 */
#ifndef OT_TOOLS_POOL_NIGHT_H
#define OT_TOOLS_POOL_NIGHT_H

#include "tools/pool_db.h"

enum { OT_NIGHT_GONE = 5, OT_NIGHT_CONTROL = 6 }; /* states beyond enum ot_state */

struct ot_night_row {
    char *key; /* owned */
    int kind, slot, label, state;
    double loss; /* NaN: none on record */
};

struct ot_night {
    struct ot_night_row *rows; /* by key, kind, slot */
    size_t n, cap;
    int64_t nameless; /* events whose row was gone before it was written */
};

int ot_night_load(const struct ot_pdb *d, struct ot_night *n, struct ot_err *err);
/* As it was after iteration `iter` of run `run`; rows that were dropped since have kind and slot -1
 * and stand before the others of their key. */
int ot_night_load_at(const struct ot_pdb *d, int64_t run, int64_t iter, struct ot_night *n,
                     struct ot_err *err);
int ot_night_add(struct ot_night *n, const char *key, int kind, int slot, int label, int state,
                 double loss, struct ot_err *err);
void ot_night_release(struct ot_night *n);

enum ot_change {
    OT_CHANGE_NONE,
    OT_CHANGE_REGRESSED,   /* was learned, is hard */
    OT_CHANGE_QUARANTINED, /* newly */
    OT_CHANGE_HARD,        /* newly: was not in the pool */
    OT_CHANGE_EXCLUDED,    /* by a person */
    OT_CHANGE_RELEASED,    /* was quarantined, is not */
    OT_CHANGE_LEARNED,     /* was not learned, is */
    OT_CHANGE_GONE,        /* left the pool */
    OT_N_CHANGES
};

/* a, b: states, OT_NIGHT_GONE where there is no row */
enum ot_change ot_night_change(int a, int b);
const char *ot_change_name(enum ot_change c);

/* Calls visit for every instance of either night, in order; a or b is NULL where it has none. */
int ot_night_diff(const struct ot_night *a, const struct ot_night *b,
                  int (*visit)(void *ctx, const struct ot_night_row *a,
                               const struct ot_night_row *b, struct ot_err *err),
                  void *ctx, struct ot_err *err);

/* The query of ot_night_load_at(): columns inst_id, sample_id, run_id, iter, what, why, state,
 * loss, loss_iter, n_reinj.  sqlite3_free() it. */
char *ot_night_sql(int64_t run, int64_t iter);

#endif
