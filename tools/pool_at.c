/*
 * pool_at.c - ohempool at: the pool as it was, from the events.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/pool_cmd.h"
#include "tools/pool_night.h"

struct moment {
    const struct ot_pdb *d;
    const struct ot_pout *out;
    int64_t run, iter;
    int state; /* -1: all but those that were gone */
};

static int which(struct moment *m, uint64_t iter, bool given, struct ot_err *err)
{
    long long first, last;

    if (ot_pdb_run(m->d, m->out->run, &m->run, err) < 0)
        return err->code;
    if (!m->run)
        return ot_fail(err, OT_EDATA, "pool '%s': no run is on record", m->d->path);
    first = ot_pdb_int(m->d, 0, "SELECT iter_start FROM run WHERE run_id=%lld", (long long)m->run);
    last = ot_pdb_int(m->d, first,
                      "SELECT max(coalesce((SELECT iter_end FROM run WHERE run_id=%lld),0),"
                      "coalesce((SELECT max(iter) FROM iter_stat WHERE run_id=%lld),0))",
                      (long long)m->run, (long long)m->run);
    m->iter = given ? (int64_t)iter : last;
    if (m->iter < first || m->iter > last)
        return ot_fail(err, OT_EUSAGE, "--iter: run %lld has the iterations %lld to %lld, got %lld",
                       (long long)m->run, first, last, (long long)m->iter);
    return 0;
}

static int rows(const struct moment *m, const char *then, struct ot_table *t, struct ot_err *err)
{
    return ot_pdb_table(
        m->d, t, err,
        "SELECT x.inst_id, s.lmdb_key AS key, CASE WHEN i.inst_id THEN kind_name(i.kind) END AS "
        "kind, i.slot, coalesce(c.name,i.label) AS class, CASE x.state WHEN 0 THEN 'pending' ELSE "
        "state_name(x.state) END AS state, x.loss, x.loss_iter, x.n_reinj AS reinjected, "
        "x.run_id AS run, x.iter AS since, x.why FROM (%s) x JOIN sample s ON "
        "s.sample_id=x.sample_id LEFT JOIN inst i ON i.inst_id=x.inst_id LEFT JOIN class c ON "
        "c.label=i.label WHERE coalesce(i.planted,0)=0 AND (x.state=%d OR (%d<0 AND x.state<>5)) "
        "ORDER BY x.loss DESC, "
        "x.inst_id "
        "LIMIT %d",
        then, m->state, m->state, m->out->limit ? m->out->limit : -1);
}

static int counts(const struct moment *m, const char *then, struct ot_table *t, struct ot_err *err)
{
    return ot_pdb_table(
        m->d, t, err,
        "SELECT CASE x.state WHEN 0 THEN 'pending' ELSE state_name(x.state) END AS state, "
        "count(*) AS "
        "rows, avg(x.loss) AS mean_loss_on_record, sum(i.inst_id IS NULL) AS dropped_since "
        "FROM (%s) x LEFT JOIN inst i ON i.inst_id=x.inst_id WHERE coalesce(i.planted,0)=0 GROUP "
        "BY x.state ORDER BY x.state",
        then);
}

static void say_limits(const struct moment *m)
{
    long long nameless = ot_pdb_int(
        m->d, 0,
        "SELECT count(*) FROM event WHERE inst_id IS NULL AND what='admit' AND "
        "run_id=%lld AND iter<=%lld",
        (long long)m->run, (long long)m->iter);

    ot_out("\nWhat the events do not tell: whether a pending row waited or rested, and losses "
           "between "
           "events (loss_iter is when the loss shown was measured).\n");
    if (nameless)
        ot_out("%lld rows came and went between two writes of the file; they are not shown.\n",
               nameless);
}

static int show(const struct moment *m, struct ot_err *err)
{
    char *then = ot_night_sql(m->run, m->iter);
    struct ot_table t = { 0 };
    int rc = then ? 0 : ot_fail(err, OT_ENOMEM, "pool: no memory for a query");

    if (rc == 0 && ot_pcmd_people(m->out)) {
        ot_out("The pool after iteration %lld of run %lld:\n", (long long)m->iter,
               (long long)m->run);
        rc = counts(m, then, &t, err);
        if (rc == 0)
            rc = ot_pcmd_print(&t, m->out, "nothing had happened yet", err);
        ot_table_release(&t);
        ot_out("\n");
    }
    if (rc == 0)
        rc = rows(m, then, &t, err);
    if (rc == 0)
        rc = ot_pcmd_print(&t, m->out, "no such rows", err);
    if (rc == 0 && ot_pcmd_people(m->out))
        say_limits(m);
    ot_table_release(&t);
    sqlite3_free(then);
    return rc;
}

int ot_pcmd_at(int argc, char **argv, struct ot_err *err)
{
    struct ot_pout out = { .limit = 20 };
    uint64_t iter = UINT64_MAX;
    const char *state = NULL, *pos[1];
    const struct ot_data_opt own[] = { { "--iter", OT_OPT_U64, &iter },
                                       { "--state", OT_OPT_TEXT, &state },
                                       { 0 } };
    struct moment m = { .out = &out, .state = -1 };
    struct ot_pdb d;
    int rc;

    if (ot_pcmd_options(own, &out, argc, argv, pos, 1, 1, err) < 0)
        return err->code;
    m.state = state ? strcmp(state, "pending") == 0 ? 0 : ot_pdb_state_of(state) : -1;
    if (state && (m.state < 0 || m.state == 1))
        return ot_fail(err, OT_EUSAGE,
                       "--state: must be pending, learned, quarantined, excluded, evicted or "
                       "control, got '%s'",
                       state);
    if (ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    m.d = &d;
    (void)sqlite3_exec(d.db, "BEGIN", NULL, NULL, NULL);
    rc = which(&m, iter, iter != UINT64_MAX, err);
    if (rc == 0)
        rc = show(&m, err);
    ot_pdb_close(&d);
    return rc;
}
