/*
 * pool_top.c - ohempool top: the hardest rows, of a class, a state or a view.
 */
#include <string.h>

#include "tools/pool_cmd.h"

struct want {
    const char *class_name, *state, *kind, *view;
    int state_id, kind_id; /* -1: any */
};

static int check_want(const struct ot_pdb *d, struct want *w, const struct ot_pout *out,
                      struct ot_err *err)
{
    w->state_id = w->state ? ot_pdb_state_of(w->state) : -1;
    if (w->state && w->state_id < 0)
        return ot_fail(err, OT_EUSAGE,
                       "--state: must be waiting, cooling, learned, quarantined, excluded, evicted "
                       "or control, got '%s'",
                       w->state);
    if (ot_pcmd_kind(w->kind, &w->kind_id, err) < 0 || (w->view && ot_pcmd_no_run(out, err) < 0))
        return err->code;
    if (w->view && (w->class_name || w->state || w->kind))
        return ot_fail(err, OT_EUSAGE,
                       "--view: goes without --class, --state and --kind, got one of them");
    if (w->view &&
        !ot_pdb_int(d, 0, "SELECT count(*) FROM sqlite_schema WHERE type='view' AND name=%Q",
                    w->view))
        return ot_fail(err, OT_EUSAGE, "--view: must be one of docs/pool-schema.md, got '%s'",
                       w->view);
    if (w->class_name &&
        !ot_pdb_int(d, 0,
                    "SELECT (SELECT count(*) FROM class WHERE name=%Q OR label=%Q)+"
                    "(SELECT count(*) FROM inst WHERE label=%Q)",
                    w->class_name, w->class_name, w->class_name))
        return ot_fail(err, OT_ENOINPUT, "--class: must be a label or its name, got '%s'",
                       w->class_name);
    return 0;
}

static int hardest(const struct ot_pdb *d, const struct want *w, const struct ot_pout *out,
                   struct ot_table *t, struct ot_err *err)
{
    const char *c = w->class_name;

    return ot_pdb_table(
        d, t, err,
        "SELECT i.inst_id, s.lmdb_key AS key, kind_name(i.kind) AS kind, i.slot, "
        "coalesce(c.name,i.label) AS class, coalesce(p.name,i.pred) AS predicted, "
        "i.p_pred AS conf, i.loss_ema AS loss, i.n_seen AS seen, i.n_reinj AS reinjected, "
        "state_name(i.state) AS state FROM inst i JOIN sample s USING(sample_id) "
        "LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred "
        "WHERE i.planted=0 AND (%d=i.state OR %d<0 AND i.state IN(0,1,6)) "
        "AND (%d<0 OR i.kind=%d) AND (%Q IS NULL OR c.name=%Q OR CAST(i.label AS TEXT)=%Q) AND "
        "(%lld=0 OR i.last_run=%lld) "
        "ORDER BY i.loss_ema DESC, i.inst_id LIMIT %d",
        w->state_id, w->state_id, w->kind_id, w->kind_id, c, c, c, (long long)out->run,
        (long long)out->run, out->limit ? out->limit : -1);
}

int ot_pcmd_top(int argc, char **argv, struct ot_err *err)
{
    struct want w = { 0 };
    struct ot_pout out = { .limit = 20 };
    const struct ot_data_opt own[] = { { "--class", OT_OPT_TEXT, &w.class_name },
                                       { "--state", OT_OPT_TEXT, &w.state },
                                       { "--kind", OT_OPT_TEXT, &w.kind },
                                       { "--view", OT_OPT_TEXT, &w.view },
                                       { 0 } };
    const char *pos[1];
    struct ot_table t = { 0 };
    struct ot_pdb d;
    int rc;

    if (ot_pcmd_options(own, &out, argc, argv, pos, 1, 1, err) < 0 ||
        ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    rc = check_want(&d, &w, &out, err);
    if (rc == 0 && w.view)
        rc = ot_pdb_table(&d, &t, err, "SELECT * FROM \"%w\" LIMIT %d", w.view,
                          out.limit ? out.limit : -1);
    else if (rc == 0)
        rc = hardest(&d, &w, &out, &t, err);
    if (rc == 0)
        rc = ot_pcmd_print(&t, &out, "no such rows", err);
    ot_table_release(&t);
    ot_pdb_close(&d);
    return rc;
}
