/*
 * pool_verify.c - ohempool verify: is the file whole, and does it hold together?
 *
 * SQLite's own checks, the schema against the one of this program, and the promises that the
 * trainer's writer keeps.  Each promise is one query that gives how many rows break it and which
 * is the first.  Runs whose events were pruned are not asked for them.  What a person says is
 * obeyed at the start of an iteration, when the losses of the one before are still on their way:
 * the two kinds of events are in order each, and one iteration apart at most.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/pool_cmd.h"

#define RUN_MISSING(t) \
    "SELECT count(*), min(run_id) FROM " t " WHERE run_id NOT IN (SELECT run_id FROM run)"

static const struct check {
    const char *name, *sql; /* count, the first one's name */
} checks[] = {
    { "a count is negative, or more contradictions than looks",
      "SELECT count(*), min(inst_id) FROM inst WHERE n_seen<0 OR n_reinj<0 OR n_contra<0 OR "
      "n_forget<0 OR n_contra>n_seen" },
    { "a weight that does not fit the state",
      "SELECT count(*), min(inst_id) FROM inst WHERE weight<0 OR weight>1 OR (state IN(0,1,2,6) "
      "AND "
      "planted=0 AND weight<>1) OR ((state=4 OR (planted=1 AND state<>5)) AND weight<>0)" },
    { "a loss above the worst one on record",
      "SELECT count(*), min(inst_id) FROM inst WHERE loss>loss_max*(1+1e-5)+1e-6 OR "
      "loss_ema>loss_max*(1+1e-5)+1e-6" },
    { "a probability outside 0 to 1",
      "SELECT count(*), min(inst_id) FROM inst WHERE p_label NOT BETWEEN -1e-6 AND 1.000001 OR "
      "p_pred "
      "NOT BETWEEN -1e-6 AND 1.000001" },
    { "a negative label", "SELECT count(*), min(inst_id) FROM inst WHERE label<0 OR pred<0" },
    { "seen last before it was seen first",
      "SELECT count(*), min(inst_id) FROM inst WHERE first_run>last_run OR (first_run=last_run AND "
      "last_iter<first_iter)" },
    { "of the control state but not of the control group",
      "SELECT count(*), min(inst_id) FROM inst WHERE state=6 AND control=0" },
    { "a row of a run that is not on record",
      "SELECT count(*), min(inst_id) FROM inst WHERE first_run NOT IN (SELECT run_id FROM run) OR "
      "last_run NOT IN (SELECT run_id FROM run)" },
    { "a row that never entered the pool by an event",
      "SELECT count(*), min(inst_id) FROM inst i WHERE planted=0 AND EXISTS (SELECT 1 FROM event e "
      "WHERE e.run_id=i.first_run) AND NOT EXISTS (SELECT 1 FROM event e WHERE "
      "e.sample_id=i.sample_id AND e.what "
      "IN('admit','quarantine','exclude','restore','relabel'))" },
    { "a quarantined row without the event",
      "SELECT count(*), min(inst_id) FROM inst i WHERE state=3 AND planted=0 AND EXISTS (SELECT "
      "1 FROM "
      "event e WHERE e.run_id=i.first_run) AND NOT EXISTS (SELECT 1 FROM event e WHERE "
      "e.sample_id=i.sample_id AND e.what='quarantine')" },
    { "an event out of order",
      "SELECT count(*), min(event_id) FROM (SELECT event_id, iter, lag(iter) OVER (PARTITION BY "
      "run_id ORDER BY event_id) AS before, lag(iter) OVER (PARTITION BY run_id, coalesce(why,'') "
      "LIKE 'a person %' ORDER BY event_id) AS alike FROM event) WHERE alike>iter OR "
      "before>iter+1" },
    { "an event of a run that is not on record", RUN_MISSING("event") },
    { "an iteration of a run that is not on record", RUN_MISSING("iter_stat") },
    { "a snapshot of a run that is not on record", RUN_MISSING("snapshot") },
    { "an effect of a run that is not on record", RUN_MISSING("effect") },
    { "a batch with more rows than it says",
      "SELECT count(*), min(reinj_id) FROM reinj r WHERE n<(SELECT count(*) FROM reinj_item t "
      "WHERE "
      "t.reinj_id=r.reinj_id)" },
    { "a batch whose mean loss is not that of its rows",
      "SELECT count(*), min(reinj_id) FROM (SELECT r.reinj_id, r.n, r.loss_before AS b, "
      "r.loss_after "
      "AS a, count(*) AS k, avg(t.loss_before) FILTER (WHERE t.loss_after IS NOT NULL) AS tb, "
      "avg(t.loss_after) AS ta FROM reinj r JOIN reinj_item t USING(reinj_id) GROUP BY r.reinj_id) "
      "WHERE k=n AND (abs(b-tb)>1e-4*(1+abs(tb)) OR abs(a-ta)>1e-4*(1+abs(ta)))" },
    { "superseded in a run that was not resumed",
      "SELECT count(*), min(run_id) FROM (SELECT run_id FROM event WHERE superseded UNION ALL "
      "SELECT "
      "run_id FROM reinj WHERE superseded) WHERE run_id NOT IN (SELECT parent_run_id FROM run "
      "WHERE "
      "parent_run_id IS NOT NULL)" },
    { "superseded before what is not",
      "SELECT count(*), min(run_id) FROM (SELECT run_id, min(iter) FILTER (WHERE superseded) AS a, "
      "max(iter) FILTER (WHERE NOT superseded) AS b FROM event GROUP BY run_id) WHERE a<=b" },
    { "more than one run is running",
      "SELECT max(0,count(*)-1), min(run_id) FROM run WHERE status='running'" },
    { "a run that descends from itself or from a later one",
      "SELECT count(*), min(run_id) FROM run WHERE parent_run_id>=run_id" },
    { "an iteration that is neither fresh nor of the pool",
      "SELECT count(*), min(iter) FROM iter_stat WHERE kind NOT IN('fresh','pool') OR pool_n<0" },
    { "a verdict that cannot be meant",
      "SELECT count(*), min(verdict_id) FROM verdict WHERE (verdict='relabel' AND (new_label IS "
      "NULL "
      "OR new_label<0)) OR (applied_run IS NOT NULL AND applied_run NOT IN (SELECT run_id FROM "
      "run))" },
    { "an interval that does not hold its value",
      "SELECT count(*), min(iter) FROM (SELECT iter, diff AS v, lo, hi FROM effect UNION ALL "
      "SELECT "
      "iter, recall, recall_lo, recall_hi FROM thermometer) WHERE v<lo-1e-9 OR v>hi+1e-9" },
    { "a share outside 0 to 1",
      "SELECT count(*), min(iter) FROM (SELECT iter, recall AS v FROM thermometer UNION ALL SELECT "
      "iter, precision FROM thermometer UNION ALL SELECT iter, noise FROM thermometer UNION ALL "
      "SELECT "
      "iter, max_share FROM sentinel) WHERE v NOT BETWEEN 0 AND 1" },
};

enum { N_CHECKS = sizeof checks / sizeof *checks };

static void finding(struct ot_table *t, const char *what, int64_t n, const char *first)
{
    ot_table_text(t, what);
    ot_table_int(t, n);
    ot_table_text(t, first);
}

/* ---- SQLite's own ---------------------------------------------------------------------------- */

static int whole(const struct ot_pdb *d, struct ot_table *t, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err, "PRAGMA integrity_check(100)");
    char first[300] = "";
    int rc = 0, n = 0;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0)
        if (strcmp(ot_pdb_str(s, 0), "ok") != 0 && n++ == 0)
            (void)snprintf(first, sizeof first, "%s", ot_pdb_str(s, 0));
    (void)sqlite3_finalize(s);
    if (n)
        finding(t, "SQLite finds the file damaged", n, first);
    return rc;
}

static int references(const struct ot_pdb *d, struct ot_table *t, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err, "PRAGMA foreign_key_check");
    char first[300] = "";
    int rc = 0, n = 0;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0)
        if (n++ == 0)
            (void)snprintf(first, sizeof first,
                           "%s row %s, of "
                           "%s",
                           ot_pdb_str(s, 0), ot_pdb_str(s, 1), ot_pdb_str(s, 2));
    (void)sqlite3_finalize(s);
    if (n)
        finding(t, "a reference to a row that is not there", n, first);
    return rc;
}

/* ---- the schema ------------------------------------------------------------------------------ */

/* Is every table, view and column of `ours` in the file?  What is there beyond is nobody's harm. */
static int compare_schema(const struct ot_pdb *d, const struct ot_pdb *ours, struct ot_table *t,
                          struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(ours, err,
                                   "SELECT m.type, m.name, p.name FROM sqlite_schema m, "
                                   "pragma_table_info(m.name) p WHERE m.type IN('table','view') "
                                   "ORDER BY 1,2");
    char first[300] = "";
    int rc, n = 0;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(ours, s, err)) > 0)
        if (ot_pdb_int(d, 0,
                       "SELECT count(*) FROM sqlite_schema m, pragma_table_info(m.name) p WHERE "
                       "m.type=%Q AND m.name=%Q AND p.name=%Q",
                       ot_pdb_str(s, 0), ot_pdb_str(s, 1), ot_pdb_str(s, 2)) != 1 &&
            n++ == 0)
            (void)snprintf(first, sizeof first, "%s %s, column %s", ot_pdb_str(s, 0),
                           ot_pdb_str(s, 1), ot_pdb_str(s, 2));
    (void)sqlite3_finalize(s);
    if (n)
        finding(t, "a table, view or column is missing", n, first);
    return rc;
}

static int complete(const struct ot_pdb *d, struct ot_table *t, struct ot_err *err)
{
    struct ot_pdb ours = { .path = "schema" };
    int rc = 0;

    if (sqlite3_open(":memory:", &ours.db) != SQLITE_OK)
        rc = ot_fail(err, OT_ENOMEM, "no memory for the schema");
    if (rc == 0)
        rc = ot_pdb_schema(ours.db, err);
    if (rc == 0)
        rc = compare_schema(d, &ours, t, err);
    (void)sqlite3_close(ours.db);
    return rc;
}

/* ---- the promises ---------------------------------------------------------------------------- */

/* A check that cannot be asked (a column is missing) is a finding too. */
static void promise(const struct ot_pdb *d, const struct check *c, struct ot_table *t)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s = ot_pdb_query(d, &err, "%s", c->sql);
    int rc = s ? ot_pdb_step(d, s, &err) : err.code;
    char text[900];

    if (rc < 0)
        finding(t, c->name, 1, ot_err_str(&err, text, sizeof text));
    else if (rc > 0 && sqlite3_column_int64(s, 0) > 0)
        finding(t, c->name, sqlite3_column_int64(s, 0), ot_pdb_str(s, 1));
    (void)sqlite3_finalize(s);
}

static int verify(const char *path, struct ot_table *t, struct ot_err *err)
{
    struct ot_pdb d;
    int rc;

    ot_table_columns(t, "finding count first");
    if (ot_pdb_open_file(path, &d, err) < 0)
        return err->code;
    rc = whole(&d, t, err);
    ot_pdb_close(&d);
    if (rc < 0 || ot_table_rows(t)) /* of a damaged file nothing else can be believed */
        return rc;
    if (ot_pdb_open(path, &d, err) < 0)
        return err->code;
    (void)sqlite3_exec(d.db, "BEGIN", NULL, NULL, NULL);
    rc = references(&d, t, err);
    if (rc >= 0)
        rc = complete(&d, t, err);
    for (int i = 0; rc >= 0 && i < N_CHECKS; i++)
        promise(&d, &checks[i], t);
    ot_pdb_close(&d);
    return rc;
}

static int say_well(const char *path, struct ot_err *err)
{
    struct ot_pdb d;

    if (ot_pdb_open(path, &d, err) < 0)
        return err->code;
    ot_out("pool '%s': version %d, %lld rows, %lld events, %lld batches, %lld runs: no finding "
           "in %d "
           "checks\n",
           path, d.version, (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM inst"),
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM event"),
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM reinj"),
           (long long)ot_pdb_int(&d, 0, "SELECT count(*) FROM run"), N_CHECKS + 3);
    ot_pdb_close(&d);
    return 0;
}

int ot_pcmd_verify(int argc, char **argv, struct ot_err *err)
{
    struct ot_pout out = { 0 };
    struct ot_table t = { 0 };
    const char *pos[1];
    size_t n;
    int rc;

    if (ot_pcmd_options(NULL, &out, argc, argv, pos, 1, 1, err) < 0 ||
        ot_pcmd_no_run(&out, err) < 0)
        return err->code;
    rc = verify(pos[0], &t, err);
    n = ot_table_rows(&t);
    if (rc == 0 && n == 0 && ot_pcmd_people(&out))
        rc = say_well(pos[0], err);
    else if (rc == 0)
        rc = ot_pcmd_print(&t, &out, "", err);
    ot_table_release(&t);
    if (rc == 0 && n)
        rc = ot_fail(err, OT_EDATA, "pool '%s': must hold together, got %zu finding%s", pos[0], n,
                     n == 1 ? "" : "s");
    return rc;
}
