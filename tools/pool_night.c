/*
 * pool_night.c - the states of all rows at a moment, and their differences.
 *
 * The last event of a row tells its state, but for two things: whether a pending row waited or
 * rested, and its loss between events.  Earlier runs count as far as they were not superseded; of
 * the run asked for everything up to the iteration counts, for it happened.  The control group is
 * another one each night (it depends on the seed): of a row's last night it is on record.
 */
#include "tools/pool_night.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* ---- rows ------------------------------------------------------------------------------------ */

int ot_night_add(struct ot_night *n, const char *key, int kind, int slot, int label, int state,
                 double loss, struct ot_err *err)
{
    char *copy;

    if (ot_grow(&n->rows, &n->cap, n->n + 1, sizeof *n->rows, err) < 0)
        return err->code;
    copy = ot_strdup(key, err);
    if (!copy)
        return err->code;
    n->rows[n->n++] = (struct ot_night_row){ copy, kind, slot, label, state, loss };
    return 0;
}

void ot_night_release(struct ot_night *n)
{
    for (size_t i = 0; i < n->n; i++)
        ot_free(n->rows[i].key);
    ot_free(n->rows);
    *n = (struct ot_night){ 0 };
}

/* Columns key, kind, slot, label, state, loss. */
static int load(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_night *n, struct ot_err *err)
{
    int rc;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0) {
        rc = ot_night_add(n, ot_pdb_str(s, 0), sqlite3_column_int(s, 1), sqlite3_column_int(s, 2),
                          sqlite3_column_int(s, 3), sqlite3_column_int(s, 4), ot_pdb_real(s, 5),
                          err);
        if (rc < 0)
            break;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int ot_night_load(const struct ot_pdb *d, struct ot_night *n, struct ot_err *err)
{
    return load(d,
                ot_pdb_query(d, err,
                             "SELECT s.lmdb_key, i.kind, i.slot, i.label, i.state, i.loss_ema FROM "
                             "inst i JOIN sample s USING(sample_id) WHERE i.planted=0 "
                             "ORDER BY 1, 2, 3"),
                n, err);
}

/* ---- as it was ------------------------------------------------------------------------------- */

char *ot_night_sql(int64_t run, int64_t iter)
{
    long long r = run, i = iter;

    return sqlite3_mprintf(
        "SELECT f.inst_id, f.sample_id, f.run_id, f.iter, f.what, f.why, CASE WHEN what='learned' "
        "THEN 2 WHEN what='quarantine' THEN 3 WHEN what='release' AND why LIKE '%%now learned' "
        "THEN 2 "
        "WHEN what='exclude' THEN 4 WHEN what='evict' THEN 5 "
        "WHEN c.last_run=%lld THEN c.control*6 WHEN why LIKE '%%control group' THEN 6 "
        "WHEN what='forgot' THEN coalesce(c.control,0)*6 ELSE 0 END AS state, "
        "CASE WHEN t.at>=f.iter AND t.run=f.run_id THEN t.loss ELSE f.loss END AS loss, "
        "CASE WHEN t.at>=f.iter AND t.run=f.run_id THEN t.at ELSE f.iter END AS loss_iter, "
        "coalesce(t.n,0) AS n_reinj FROM (SELECT *, row_number() OVER (PARTITION BY inst_id "
        "ORDER BY "
        "run_id DESC, event_id DESC) AS rn FROM event WHERE inst_id IS NOT NULL AND "
        "((run_id<%lld AND superseded=0) OR (run_id=%lld AND iter<=%lld))) f LEFT JOIN "
        "(SELECT inst_id, r.run_id AS run, r.iter AS at, reinj_item.loss_after AS loss, count(*) "
        "OVER "
        "(PARTITION "
        "BY inst_id) AS n, row_number() OVER (PARTITION BY inst_id ORDER BY r.run_id DESC, r.iter "
        "DESC) AS rn FROM reinj_item JOIN reinj r USING(reinj_id) WHERE reinj_item.loss_after IS "
        "NOT NULL AND "
        "((r.run_id<%lld AND r.superseded=0) OR (r.run_id=%lld AND r.iter<=%lld))) t "
        "ON t.inst_id=f.inst_id AND t.rn=1 LEFT JOIN inst c ON c.inst_id=f.inst_id WHERE f.rn=1",
        r, r, r, i, r, r, i);
}

int ot_night_load_at(const struct ot_pdb *d, int64_t run, int64_t iter, struct ot_night *n,
                     struct ot_err *err)
{
    char *then = ot_night_sql(run, iter);
    sqlite3_stmt *s;

    if (!then)
        return ot_fail(err, OT_ENOMEM, "pool: no memory for a query");
    s = ot_pdb_query(d, err,
                     "SELECT s.lmdb_key, coalesce(i.kind,-1), coalesce(i.slot,-1), "
                     "coalesce(i.label,-1), x.state, x.loss FROM (%s) x JOIN sample s "
                     "ON s.sample_id=x.sample_id LEFT JOIN inst i ON i.inst_id=x.inst_id "
                     "WHERE coalesce(i.planted,0)=0 AND (i.inst_id IS NOT NULL OR x.state<>5) "
                     "ORDER BY 1, 2, 3, x.inst_id",
                     then);
    sqlite3_free(then);
    n->nameless = ot_pdb_int(d, 0,
                             "SELECT count(*) FROM event WHERE inst_id IS NULL AND run_id=%lld AND "
                             "iter<=%lld AND what='admit'",
                             (long long)run, (long long)iter);
    return load(d, s, n, err);
}

/* ---- differences ----------------------------------------------------------------------------- */

static bool is_hard(int state)
{
    return state == 0 || state == 1 || state == OT_NIGHT_CONTROL;
}

enum ot_change ot_night_change(int a, int b)
{
    if (b == 4 && a != 4)
        return OT_CHANGE_EXCLUDED;
    if (b == 3 && a != 3)
        return OT_CHANGE_QUARANTINED;
    if (a == 3 && b != 3)
        return b == OT_NIGHT_GONE ? OT_CHANGE_GONE : OT_CHANGE_RELEASED;
    if (b == OT_NIGHT_GONE)
        return a == OT_NIGHT_GONE ? OT_CHANGE_NONE : OT_CHANGE_GONE;
    if (is_hard(b) && a == 2)
        return OT_CHANGE_REGRESSED;
    if (is_hard(b) && a == OT_NIGHT_GONE)
        return OT_CHANGE_HARD;
    return b == 2 && a != 2 ? OT_CHANGE_LEARNED : OT_CHANGE_NONE;
}

const char *ot_change_name(enum ot_change c)
{
    static const char *const name[OT_N_CHANGES] = {
        "none", "regressed", "quarantined", "newly hard", "excluded", "released", "learned", "gone",
    };

    return name[c];
}

static int compare(const struct ot_night_row *a, const struct ot_night_row *b)
{
    int c = strcmp(a->key, b->key);

    if (c == 0)
        c = (a->kind > b->kind) - (a->kind < b->kind);
    return c ? c : (a->slot > b->slot) - (a->slot < b->slot);
}

int ot_night_diff(const struct ot_night *a, const struct ot_night *b,
                  int (*visit)(void *ctx, const struct ot_night_row *a,
                               const struct ot_night_row *b, struct ot_err *err),
                  void *ctx, struct ot_err *err)
{
    size_t i = 0, j = 0;

    while (i < a->n || j < b->n) {
        int c = i == a->n ? 1 : j == b->n ? -1 : compare(&a->rows[i], &b->rows[j]);
        int rc = visit(ctx, c <= 0 ? &a->rows[i] : NULL, c >= 0 ? &b->rows[j] : NULL, err);

        if (rc < 0)
            return rc;
        i += c <= 0;
        j += c >= 0;
    }
    return 0;
}
