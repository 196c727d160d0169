/*
 * pool_prune.c - ohempool prune: what is old leaves the pool.
 *
 * The only command that writes a pool, and so it holds the trainer's lock meanwhile.  What goes: of
 * runs older than the last N (and than those they were resumed from) the numbers of iterations,
 * events and re-injections; rows that no run has seen for so many days, unless quarantined,
 * excluded or spoken of in a verdict.  The runs themselves, snapshots, effects and verdicts stay.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "mining/pool_impl.h"
#include "tools/pool_cmd.h"

struct prune {
    struct ot_pdb d;
    char *old_runs, *old_rows; /* subqueries; of sqlite3_mprintf */
    bool dry;
};

/* Each counted and deleted by the same condition, in this order. */
static const struct target {
    const char *what, *table, *where; /* %s: old runs; where `rows`: old rows, then old runs */
    bool rows;
} targets[] = {
    { "numbers of iterations", "iter_stat", "run_id IN (%s)", false },
    { "events", "event", "run_id IN (%s)", false },
    { "rows of re-injected batches", "reinj_item",
      "reinj_id IN (SELECT reinj_id FROM reinj WHERE run_id IN (%s))", false },
    { "re-injected batches", "reinj", "run_id IN (%s)", false },
    { "places of old rows in other batches", "reinj_item",
      "inst_id IN (%s) AND reinj_id NOT IN (SELECT reinj_id FROM reinj WHERE run_id IN (%s))",
      true },
    { "rows of the pool", "inst", "inst_id IN (%s)", true },
};

enum { N_TARGETS = sizeof targets / sizeof *targets };

/* ---- what is old ----------------------------------------------------------------------------- */

static char *find_old_runs(int keep)
{
    return keep < 0 ? sqlite3_mprintf("SELECT 0 WHERE 0")
                    : sqlite3_mprintf(
                          "SELECT run_id FROM run WHERE run_id NOT IN (WITH RECURSIVE kept(id) AS "
                          "(SELECT run_id FROM (SELECT run_id FROM run ORDER BY run_id DESC LIMIT "
                          "%d) UNION SELECT parent_run_id FROM run JOIN kept ON run_id=id WHERE "
                          "parent_run_id IS NOT NULL) SELECT id FROM kept)",
                          keep);
}

#define BY_KEY                                                                                   \
    "SELECT i.inst_id FROM %s v JOIN sample s ON s.lmdb_key=v.lmdb_key JOIN inst i ON "          \
    "i.sample_id=s.sample_id AND i.kind=coalesce(v.kind,0) AND i.slot=coalesce(v.slot,0) UNION " \
    "SELECT inst_id FROM %s WHERE inst_id IS NOT NULL"

static char *find_old_rows(int days, bool has_file)
{
    char *marked, *rows;

    if (days < 0)
        return sqlite3_mprintf("SELECT 0 WHERE 0");
    marked = has_file ? sqlite3_mprintf(BY_KEY " UNION " BY_KEY, "main.verdict", "main.verdict",
                                        "said.verdict", "said.verdict")
                      : sqlite3_mprintf(BY_KEY, "main.verdict", "main.verdict");
    if (!marked)
        return NULL;
    rows = sqlite3_mprintf("SELECT inst_id FROM inst WHERE state NOT IN(3,4) AND last_run IN "
                           "(SELECT run_id FROM run WHERE "
                           "julianday('now')-julianday(coalesce(ended,"
                           "started))>%d AND status<>'running') AND inst_id NOT IN (%s)",
                           days, marked);
    sqlite3_free(marked);
    return rows;
}

/* ---- doing it -------------------------------------------------------------------------------- */

static int one(struct prune *p, const struct target *g, struct ot_table *t, struct ot_err *err)
{
    char *where = g->rows ? sqlite3_mprintf(g->where, p->old_rows, p->old_runs)
                          : sqlite3_mprintf(g->where, p->old_runs);
    int64_t n;

    if (!where)
        return ot_fail(err, OT_ENOMEM, "prune: no memory for a query");
    n = ot_pdb_int(&p->d, 0, "SELECT count(*) FROM %s WHERE %s", g->table, where);
    if (!p->dry)
        (void)ot_sql(p->d.db, err, "DELETE FROM %s WHERE %s", g->table, where);
    sqlite3_free(where);
    ot_table_text(t, g->what);
    ot_table_int(t, n);
    return err->code;
}

static int orphans(struct prune *p, struct ot_table *t, struct ot_err *err)
{
    if (p->dry)
        return 0;
    if (ot_sql(p->d.db, err,
               "DELETE FROM sample WHERE sample_id NOT IN (SELECT sample_id FROM inst) AND "
               "sample_id "
               "NOT IN (SELECT sample_id FROM event WHERE sample_id IS NOT NULL)") < 0)
        return err->code;
    ot_table_text(t, "records without a row");
    ot_table_int(t, sqlite3_changes(p->d.db));
    return 0;
}

static int delete_all(struct prune *p, struct ot_table *t, struct ot_err *err)
{
    int rc = p->dry ? 0 : ot_sql(p->d.db, err, "BEGIN IMMEDIATE");

    ot_table_columns(t, p->dry ? "would_go rows" : "gone rows");
    for (int i = 0; rc == 0 && i < N_TARGETS; i++)
        rc = one(p, &targets[i], t, err);
    if (rc == 0)
        rc = orphans(p, t, err);
    if (rc == 0 && !p->dry)
        rc = ot_sql(p->d.db, err, "COMMIT");
    return rc;
}

/* An older file is the trainer's to migrate, with its backup. */
static int open_to_write(struct prune *p, const char *path, struct ot_err *err)
{
    if (ot_pdb_open_file(path, &p->d, err) < 0)
        return err->code;
    ot_pdb_close(&p->d);
    if (p->d.version < OT_POOL_VERSION)
        return ot_fail(err, OT_ECONFIG,
                       "pool '%s': must be of version %d to be written to, got %d: open it once "
                       "with "
                       "ohemtrain, which migrates it after a backup",
                       path, OT_POOL_VERSION, p->d.version);
    if (sqlite3_open_v2(path, &p->d.db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                        NULL) != SQLITE_OK)
        return ot_sql_fail(p->d.db, err, "opening to write");
    (void)sqlite3_busy_timeout(p->d.db, 5000);
    return ot_sql(p->d.db, err, "PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0");
}

static int prune(struct prune *p, int keep, int days, bool vacuum, const struct ot_pout *out,
                 struct ot_err *err)
{
    struct ot_table t = { 0 };
    bool has_file;
    int rc = ot_pdb_attach_verdicts(&p->d, &has_file, err); /* its rows stay too */

    if (rc == 0) {
        p->old_runs = find_old_runs(keep);
        p->old_rows = find_old_rows(days, has_file);
        if (!p->old_runs || !p->old_rows)
            rc = ot_fail(err, OT_ENOMEM, "prune: no memory for a query");
    }
    if (rc == 0)
        rc = delete_all(p, &t, err);
    if (rc == 0 && has_file)
        rc = ot_sql(p->d.db, err, "DETACH said");
    if (rc == 0 && !p->dry && vacuum)
        rc = ot_sql(p->d.db, err, "VACUUM");
    if (rc == 0 && !p->dry)
        rc = ot_sql(p->d.db, err, "PRAGMA wal_checkpoint(TRUNCATE)");
    if (rc == 0)
        rc = ot_pcmd_print(&t, out, "", err);
    ot_table_release(&t);
    sqlite3_free(p->old_runs);
    sqlite3_free(p->old_rows);
    return rc;
}

int ot_pcmd_prune(int argc, char **argv, struct ot_err *err)
{
    struct prune p = { 0 };
    struct ot_pout out = { 0 };
    int keep = -1, days = -1, lock = -1, rc;
    bool vacuum = false;
    const struct ot_data_opt own[] = { { "--keep-runs", OT_OPT_INT, &keep },
                                       { "--older-than", OT_OPT_INT, &days },
                                       { "--vacuum", OT_OPT_FLAG, &vacuum },
                                       { "--dry-run", OT_OPT_FLAG, &p.dry },
                                       { 0 } };
    char path[1100];
    const char *pos[1];

    if (ot_pcmd_options(own, &out, argc, argv, pos, 1, 1, err) < 0 || ot_pcmd_no_run(&out, err) < 0)
        return err->code;
    if (keep < 0 && days < 0 && !vacuum)
        return ot_fail(err, OT_EUSAGE,
                       "--keep-runs, --older-than or --vacuum: one at least is wanted, got none");
    (void)snprintf(path, sizeof path, "%s.lock", pos[0]);
    rc = p.dry ? ot_pdb_open(pos[0], &p.d, err) : ot_pdb_open_file(pos[0], &p.d, err);
    if (rc == 0 && !p.dry) { /* only what is a pool gets a lock file beside it */
        ot_pdb_close(&p.d);
        lock = ot_lock_file(path, err);
        rc = lock < 0 ? err->code : open_to_write(&p, pos[0], err);
    }
    if (rc == 0)
        rc = prune(&p, keep, days, vacuum, &out, err);
    ot_pdb_close(&p.d);
    ot_unlock_file(lock);
    return rc;
}
