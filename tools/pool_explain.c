/*
 * pool_explain.c - ohempool explain: the life of one sample in sentences.
 *
 * A life is what events and re-injections tell, in the order in which it happened.  A row that was
 * dropped and came back has a new inst_id; the events of its earlier life are still known by the
 * sample, and for an image (one row a sample) they are told too.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/pool_cmd.h"

enum { SPARK = 60 };

struct life {
    const struct ot_pdb *d;
    const struct ot_pout *out;
    struct ot_pdb_inst who;
    float before[SPARK], after[SPARK]; /* the last re-injections */
    int n_reinj;
};

/* ---- what happened --------------------------------------------------------------------------- */

static int timeline(struct life *l, struct ot_table *t, struct ot_err *err)
{
    /* an earlier life's inst_id is in no row any more */
    const char *whose = l->who.inst == 0 || l->who.kind == 0
                            ? "e.inst_id IS NULL OR e.inst_id NOT IN (SELECT inst_id FROM inst)"
                            : "0";
    long long inst = l->who.inst, sample = l->who.sample;

    ot_table_columns(t, "key inst_id run iter what loss loss_after why superseded");
    return ot_pdb_table(
        l->d, t, err,
        "SELECT %Q, %lld, run_id, iter, what, loss, after, why, superseded FROM ("
        "SELECT e.run_id, e.iter, e.what, e.loss, NULL AS after, e.why, e.superseded, 1 AS o, "
        "e.event_id AS id FROM event e WHERE e.sample_id=%lld AND (e.inst_id=%lld OR %s) UNION ALL "
        "SELECT r.run_id, r.iter, 'reinject', t.loss_before, t.loss_after, r.reason || '; one of ' "
        "|| r.n || ' rows', r.superseded, 0, r.reinj_id FROM reinj_item t JOIN reinj r "
        "USING(reinj_id) WHERE t.inst_id=%lld) WHERE %lld=0 OR run_id=%lld ORDER BY run_id, "
        "iter, o, id",
        l->who.key, inst, sample, inst, whose, inst, (long long)l->out->run,
        (long long)l->out->run);
}

static double num_of(const struct ot_cell *c)
{
    return c->kind == OT_CELL_NUM ? c->num : c->kind == OT_CELL_INT ? (double)c->i : (double)NAN;
}

static void remember(struct life *l, double before, double after)
{
    if (isnan(after))
        return;
    if (l->n_reinj == SPARK) {
        memmove(l->before, l->before + 1, (SPARK - 1) * sizeof *l->before);
        memmove(l->after, l->after + 1, (SPARK - 1) * sizeof *l->after);
        l->n_reinj--;
    }
    l->before[l->n_reinj] = (float)before;
    l->after[l->n_reinj++] = (float)after;
}

static void say_run(const struct life *l, int64_t run)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s = ot_pdb_query(
        l->d, &err, "SELECT job, started, status, iter_start FROM run WHERE run_id=%lld",
        (long long)run);

    ot_out("\nRun %lld", (long long)run);
    if (s && sqlite3_step(s) == SQLITE_ROW)
        ot_out(" (%s, %s, %s)", ot_pdb_str(s, 0), ot_pdb_str(s, 1), ot_pdb_str(s, 2));
    ot_out("\n");
    (void)sqlite3_finalize(s);
}

static const char *verb(const char *what)
{
    static const struct {
        const char *what, *verb;
    } verbs[] = {
        { "admit", "entered the pool" },
        { "evict", "left the pool" },
        { "learned", "learned" },
        { "forgot", "forgotten" },
        { "quarantine", "quarantined" },
        { "release", "released from quarantine" },
        { "exclude", "excluded by a person" },
        { "restore", "restored" },
        { "relabel", "given another label" },
    };

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(what, verbs[i].what) == 0)
            return verbs[i].verb;
    return what;
}

static void say_step(struct life *l, const struct ot_table *t, size_t row)
{
    const char *what = ot_table_at(t, row, 4)->text, *why = ot_table_at(t, row, 7)->text;
    double loss = num_of(ot_table_at(t, row, 5)), after = num_of(ot_table_at(t, row, 6));

    ot_out("  iteration %7lld  ", (long long)ot_table_at(t, row, 3)->i);
    if (strcmp(what, "reinject") != 0) {
        ot_out("%s: %s", verb(what), why && *why ? why : "no reason is on record");
    } else if (isnan(after)) {
        ot_out("trained on again at loss %.3f, not seen in that batch (%s)", loss, why);
    } else {
        ot_out("trained on again: loss %.3f -> %.3f (%s)", loss, after, why);
        remember(l, loss, after);
    }
    ot_out("%s\n",
           ot_table_at(t, row, 8)->i ? "  [the run crashed and was resumed from before]" : "");
}

static void say_timeline(struct life *l, const struct ot_table *t)
{
    size_t n = ot_table_rows(t), limit = (size_t)l->out->limit;
    int64_t run = -1;

    if (limit && n > limit)
        ot_out("\n(%zu earlier entries are left out)\n", n - limit);
    for (size_t r = limit && n > limit ? n - limit : 0; r < n; r++) {
        if (ot_table_at(t, r, 2)->i != run)
            say_run(l, run = ot_table_at(t, r, 2)->i);
        say_step(l, t, r);
    }
    if (n == 0)
        ot_out("\nNothing is on record of what happened to it.\n");
}

/* ---- sparkline ------------------------------------------------------------------------------- */

static void spark(const char *name, const float *v, int n, float max)
{
    static const char *const level[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };

    ot_out("  %-7s", name);
    for (int i = 0; i < n; i++)
        ot_out("%s", level[max > 0 ? (int)fminf(7, v[i] / max * 8) : 0]);
    ot_out("  %.3f .. %.3f\n", (double)v[0], (double)v[n - 1]);
}

static void say_gain(const struct life *l)
{
    double gain = 0;
    float max = 0;

    if (!l->n_reinj)
        return;
    for (int i = 0; i < l->n_reinj; i++) {
        max = fmaxf(max, fmaxf(l->before[i], l->after[i]));
        gain += (double)l->before[i] - (double)l->after[i];
    }
    ot_out("\nLoss before and after %s re-injection%s (mean gain %.3f):\n",
           l->n_reinj == 1 ? "its" : "each", l->n_reinj == SPARK ? ", the last 60" : "",
           gain / l->n_reinj);
    spark("before", l->before, l->n_reinj, max);
    spark("after", l->after, l->n_reinj, max);
}

/* ---- what it is ------------------------------------------------------------------------------ */

static void say_verdicts(const struct life *l)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s = ot_pdb_query(
        l->d, &err,
        "SELECT at, coalesce(who,'somebody'), verdict, new_label, note, applied_run, outcome, "
        "source FROM verdict WHERE inst_id=%lld OR (lmdb_key=%Q AND coalesce(kind,0)=%d AND "
        "coalesce(slot,0)=%d) ORDER BY at",
        (long long)l->who.inst, l->who.key, l->who.kind, l->who.slot);

    while (s && sqlite3_step(s) == SQLITE_ROW) {
        char name[128];
        bool relabel = sqlite3_column_type(s, 3) != SQLITE_NULL;

        ot_out("%s: %s says %s%s%s%s%s%s (%s); ", ot_pdb_str(s, 0), ot_pdb_str(s, 1),
               ot_pdb_str(s, 2), relabel ? " to " : "",
               relabel ? ot_pdb_class(l->d, sqlite3_column_int(s, 3), name, sizeof name) : "",
               *ot_pdb_str(s, 4) ? ", \"" : "", ot_pdb_str(s, 4), *ot_pdb_str(s, 4) ? "\"" : "",
               ot_pdb_str(s, 7));
        if (sqlite3_column_type(s, 5) != SQLITE_NULL)
            ot_out("obeyed in run %lld%s%s.\n", (long long)sqlite3_column_int64(s, 5),
                   *ot_pdb_str(s, 6) ? ": " : "", ot_pdb_str(s, 6));
        else
            ot_out("%s.\n", *ot_pdb_str(s, 6) ? ot_pdb_str(s, 6) : "not obeyed yet");
    }
    (void)sqlite3_finalize(s);
}

/* What waits in the file beside the pool, and is not in its table yet. */
static void say_waiting(const struct life *l)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s = NULL;
    bool has;

    if (ot_pdb_attach_verdicts(l->d, &has, &err) == 0 && has)
        s = ot_pdb_query(l->d, &err,
                         "SELECT at, coalesce(who,'somebody'), verdict, new_label, note FROM "
                         "said.verdict f WHERE (f.inst_id=%lld OR (f.lmdb_key=%Q AND "
                         "coalesce(f.kind,0)=%d AND coalesce(f.slot,0)=%d)) AND NOT EXISTS "
                         "(SELECT 1 "
                         "FROM main.verdict v WHERE v.source='file' AND v.verdict=f.verdict AND "
                         "v.at=f.at AND v.lmdb_key=f.lmdb_key)",
                         (long long)l->who.inst, l->who.key, l->who.kind, l->who.slot);
    while (s && sqlite3_step(s) == SQLITE_ROW)
        ot_out("%s: %s says %s%s%s%s; no training has read it yet.\n", ot_pdb_str(s, 0),
               ot_pdb_str(s, 1), ot_pdb_str(s, 2), *ot_pdb_str(s, 4) ? ", \"" : "",
               ot_pdb_str(s, 4), *ot_pdb_str(s, 4) ? "\"" : "");
    (void)sqlite3_finalize(s);
    if (has)
        (void)sqlite3_exec(l->d->db, "DETACH said", NULL, NULL, NULL);
}

static void say_end(const struct life *l, int state, const char *label, const char *pred,
                    sqlite3_stmt *s)
{
    double weight = sqlite3_column_double(s, 14);

    switch (state) {
    case 0:
        ot_out("It waits to be trained on again.\n");
        break;
    case 1:
        ot_out("It rests after its last re-injection and will be trained on again.\n");
        break;
    case 2:
        ot_out("It is learned: it comes back when a fresh pass finds it hard again.\n");
        break;
    case 3:
        ot_out(
            "It is quarantined, probably a wrong label: the model says '%s', the data set '%s'; it "
            "weighs %.2g in every pass.\nIf the label is right: ohempool mark %s %lld hard; if it "
            "is wrong: mislabelled, or relabel --label L.\n",
            pred, label, weight, l->d->path, (long long)l->who.inst);
        break;
    case 4:
        ot_out("It is excluded: a person said so.\n");
        break;
    case 5:
        ot_out("It left the pool after it had been re-injected.\n");
        break;
    default:
        ot_out("It is hard, but its sample is of the control group: never re-injected, so that "
               "the effect of mining can be measured.\n");
    }
}

static int say_row(const struct life *l, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(
        l->d, err,
        "SELECT state, label, pred, p_label, p_pred, loss, loss_ema, loss_max, loss_first, n_seen, "
        "n_reinj, n_contra, n_forget, margin_sum, weight, last_run, last_iter, label_given, "
        "planted, control FROM inst WHERE inst_id=%lld",
        (long long)l->who.inst);
    char label[128], pred[128], given[128];
    int rc, seen, state;

    if (!s)
        return err->code;
    rc = ot_pdb_step(l->d, s, err);
    if (rc <= 0) {
        (void)sqlite3_finalize(s);
        return rc;
    }
    (void)ot_pdb_class(l->d, sqlite3_column_int(s, 1), label, sizeof label);
    (void)ot_pdb_class(l->d, sqlite3_column_int(s, 2), pred, sizeof pred);
    (void)ot_pdb_class(l->d, sqlite3_column_int(s, 17), given, sizeof given);
    state = sqlite3_column_int(s, 0);
    seen = sqlite3_column_int(s, 9);
    ot_out(
        "\nNow, last seen at iteration %lld of run %lld: %s, loss %.3f (smoothed %.3f, worst %.3f, "
        "first %.3f).\n",
        (long long)sqlite3_column_int64(s, 16), (long long)sqlite3_column_int64(s, 15),
        ot_pdb_state_name(state), sqlite3_column_double(s, 5), sqlite3_column_double(s, 6),
        sqlite3_column_double(s, 7), sqlite3_column_double(s, 8));
    ot_out("Its label is '%s' (p %.3f); the model says '%s' (p %.3f).\n", label,
           sqlite3_column_double(s, 3), pred, sqlite3_column_double(s, 4));
    ot_out(
        "Seen %d times, confidently contradicted %d times, mean margin %.3f; re-injected %d times, "
        "forgotten %d times.\n",
        seen, sqlite3_column_int(s, 11), seen ? sqlite3_column_double(s, 13) / seen : 0,
        sqlite3_column_int(s, 10), sqlite3_column_int(s, 12));
    if (sqlite3_column_int(s, 18))
        ot_out(
            "Its label was planted to measure the quarantine (the data set says '%s'); it weighs "
            "nothing in training.\n",
            given);
    else if (sqlite3_column_type(s, 17) != SQLITE_NULL && strcmp(given, label) != 0)
        ot_out("The data set says '%s'; a person corrected it.\n", given);
    if (sqlite3_column_int(s, 19) && state != 6)
        ot_out("Its sample is of the control group.\n");
    say_end(l, state, label, pred, s);
    (void)sqlite3_finalize(s);
    return 0;
}

static void say_head(const struct life *l)
{
    ot_out("Record %s", l->who.key);
    if (l->who.inst)
        ot_out(", %s %d: row %lld of the pool\n", ot_pdb_kind_name(l->who.kind), l->who.slot,
               (long long)l->who.inst);
    else
        ot_out(": no row any more; what its rows of earlier times went through:\n");
}

static int explain(struct life *l, struct ot_table *all, struct ot_err *err)
{
    struct ot_table t = { 0 };
    int rc;

    if (!ot_pcmd_people(l->out))
        return timeline(l, all, err);
    rc = timeline(l, &t, err);
    if (rc == 0) {
        say_head(l);
        say_timeline(l, &t);
        say_gain(l);
        if (l->who.inst)
            rc = say_row(l, err);
        say_verdicts(l);
        say_waiting(l);
    }
    ot_table_release(&t);
    return rc;
}

/* Every row of the record, hardest first. */
static int each_row(const struct ot_pdb *d, const char *key, int kind, int slot,
                    const struct ot_pout *out, struct ot_table *all, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err,
                                   "SELECT i.inst_id, s.sample_id, i.kind, i.slot FROM inst i JOIN "
                                   "sample s USING(sample_id) WHERE s.lmdb_key=%Q AND "
                                   "(%d<0 OR i.kind=%d) AND (%d<0 OR i.slot=%d) "
                                   "ORDER BY i.loss_ema DESC",
                                   key, kind, kind, slot, slot);
    int rc;

    if (!s)
        return err->code;
    for (int n = 0; (rc = ot_pdb_step(d, s, err)) > 0; n++) {
        struct life l = { .d = d, .out = out };

        l.who.inst = sqlite3_column_int64(s, 0);
        l.who.sample = sqlite3_column_int64(s, 1);
        l.who.kind = sqlite3_column_int(s, 2);
        l.who.slot = sqlite3_column_int(s, 3);
        (void)snprintf(l.who.key, sizeof l.who.key, "%s", key);
        if (n && ot_pcmd_people(out))
            ot_out("\n----\n\n");
        rc = explain(&l, all, err);
        if (rc < 0)
            break;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int ot_pcmd_explain(int argc, char **argv, struct ot_err *err)
{
    const char *kind = NULL, *pos[2];
    int slot = -1, rc, k;
    struct ot_pout out = { 0 };
    const struct ot_data_opt own[] = { { "--kind", OT_OPT_TEXT, &kind },
                                       { "--slot", OT_OPT_INT, &slot },
                                       { 0 } };
    struct ot_table all = { 0 };
    struct life l = { .out = &out };
    struct ot_pdb d;

    if (ot_pcmd_options(own, &out, argc, argv, pos, 2, 2, err) < 0 ||
        ot_pcmd_kind(kind, &k, err) < 0)
        return err->code;
    if (ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    l.d = &d;
    rc = ot_pdb_count(&d, pos[1], k, slot) > 1 ? each_row(&d, pos[1], k, slot, &out, &all, err)
         : ot_pdb_find(&d, pos[1], k, slot, &l.who, err) < 0 ? err->code
                                                             : explain(&l, &all, err);
    if (rc == 0 && !ot_pcmd_people(&out))
        rc = ot_pcmd_print(&all, &out, "", err);
    ot_table_release(&all);
    ot_pdb_close(&d);
    return rc;
}
