/*
 * pool_summary.c - ohempool summary: a night in tables, and in the sentences that follow from them.
 *
 * Each section is one query about the run ?1.  What is no number of this pool (an effect where
 * nothing was measured) is left out, not shown as zero.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/pool_cmd.h"

static const struct section {
    const char *name, *title, *sql;
} sections[] = {
    { "runs", "Runs",
      "SELECT run_id AS run, started, hours, status, iter_start, iter_end, loss_end, metric_name "
      "AS "
      "metric, metric_end AS value, reinj_batches, mean_gain FROM runs WHERE run_id<=?1 LIMIT 5" },
    { "dataset", "Data set",
      "SELECT path, entries AS records, (SELECT count(*) FROM sample) AS ever_in_pool, "
      "fingerprint FROM dataset" },
    { "states", "Rows by state",
      "SELECT state_name(state) AS state, count(*) AS rows, avg(loss_ema) AS mean_loss, "
      "max(loss_ema) AS worst, sum(n_reinj) AS reinjected, sum(last_run=?1) AS seen_this_run "
      "FROM inst WHERE planted=0 GROUP BY inst.state" },
    { "classes", "Rows by class",
      "SELECT coalesce(c.name,i.label) AS class, count(*) AS rows, sum(state IN(0,1)) AS pending, "
      "sum(state=2) AS learned, sum(state=3) AS quarantined, sum(state=6) AS control, "
      "avg(loss_ema) AS mean_loss, max(loss_ema) AS worst, avg(n_reinj) AS mean_reinj "
      "FROM inst i LEFT JOIN class c USING(label) WHERE planted=0 AND state<>5 GROUP BY i.label "
      "ORDER BY mean_loss DESC" },
    { "losses", "Loss of fresh and of re-injected iterations",
      "WITH r AS (SELECT min(iter) AS a, max(iter)-min(iter)+1 AS n FROM iter_stat WHERE "
      "run_id=?1) "
      "SELECT min(iter) AS from_iter, max(iter) AS to_iter, avg(CASE s.kind WHEN 'fresh' THEN loss "
      "END) AS uniform, avg(CASE s.kind WHEN 'pool' THEN loss END) AS mined, "
      "round(avg(s.kind='pool'),3) AS share FROM iter_stat s, r WHERE run_id=?1 "
      "GROUP BY (iter-r.a)*8/r.n" },
    { "effect", "Effect of mining: loss of the control group less that of the rest",
      "SELECT class, n_treated AS treated_n, n_control AS control_n, treated, control, diff, lo, "
      "hi "
      "FROM mining_effect WHERE run_id=?1 ORDER BY class='all', diff DESC" },
    { "thermometer", "Planted wrong labels found by the quarantine",
      "SELECT planted, tested, quarantined AS found, recall, lo, hi, noise, precision "
      "FROM quarantine_quality WHERE run_id=?1" },
    { "sentinel", "Sentinel set",
      "SELECT iter, n, loss, sd, max_share FROM sentinel WHERE run_id=?1 ORDER BY iter DESC "
      "LIMIT 5" },
    { "changes", "What happened in the run",
      "SELECT what, count(*) AS events, count(DISTINCT sample_id) AS records, avg(loss) AS "
      "mean_loss "
      "FROM event WHERE run_id=?1 AND superseded=0 GROUP BY what ORDER BY events DESC" },
    { "quarantine", "Quarantined, by label and what the model says",
      "SELECT coalesce(c.name,i.label) AS label, coalesce(p.name,i.pred) AS model_says, "
      "count(*) AS rows, avg(p_pred) AS conf, avg(loss_ema) AS mean_loss FROM inst i "
      "LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred "
      "WHERE state=3 AND planted=0 GROUP BY i.label, i.pred ORDER BY rows DESC LIMIT 10" },
    { "verdicts", "Verdicts",
      "SELECT verdict, source, coalesce(outcome,CASE WHEN applied_run IS NULL THEN 'not obeyed "
      "yet' "
      "ELSE 'obeyed' END) AS outcome, count(*) AS n FROM verdict GROUP BY 1,2,3 ORDER BY n DESC" },
};

enum { N_SECTIONS = sizeof sections / sizeof *sections };

/* ---- sentences ------------------------------------------------------------------------------- */

static void say_run(const struct ot_pdb *d, struct ot_str *s, struct ot_err *err)
{
    sqlite3_stmt *q = ot_pdb_query(d, err,
                                   "SELECT status, iter_start, coalesce(iter_end,(SELECT max(iter) "
                                   "FROM iter_stat WHERE run_id=?1)), loss_end, metric_name, "
                                   "metric_end, exit_code FROM run WHERE run_id=?1");

    if (q && sqlite3_step(q) == SQLITE_ROW) {
        const char *status = ot_pdb_str(q, 0);
        bool running = strcmp(status, "running") == 0;

        ot_str_printf(s, "Run %lld %s%s, iterations %lld to %lld", (long long)d->run,
                      running ? "is running" : "ended: ", running ? "" : status,
                      (long long)sqlite3_column_int64(q, 1), (long long)sqlite3_column_int64(q, 2));
        if (sqlite3_column_type(q, 3) != SQLITE_NULL)
            ot_str_printf(s, ", loss %.4f", sqlite3_column_double(q, 3));
        if (sqlite3_column_type(q, 4) != SQLITE_NULL)
            ot_str_printf(s, ", %s %.4f", ot_pdb_str(q, 4), ot_pdb_real(q, 5));
        ot_str_puts(s, ".\n");
    }
    (void)sqlite3_finalize(q);
}

static void say_metric(const struct ot_pdb *d, struct ot_str *s)
{
    const char *last =
        "FROM run a JOIN run b ON b.metric_name=a.metric_name WHERE a.run_id=?1 AND "
        "b.run_id=(SELECT max(run_id) FROM run WHERE run_id<?1 AND metric_end IS NOT "
        "NULL)";
    double now = ot_pdb_num(d, "SELECT a.metric_end %s", last);
    double before = ot_pdb_num(d, "SELECT b.metric_end %s", last);

    if (!isnan(now) && !isnan(before))
        ot_str_printf(s, "The run before had %.4f: %+.4f.\n", before, now - before);
}

static void say_pool(const struct ot_pdb *d, struct ot_str *s)
{
    long long n = ot_pdb_int(d, 0, "SELECT count(*) FROM inst WHERE state<>5 AND planted=0");
    long long q = ot_pdb_int(d, 0, "SELECT count(*) FROM inst WHERE state=3 AND planted=0");

    ot_str_printf(
        s,
        "The pool holds %lld rows of %lld records: %lld wait or rest, %lld are learned, %lld "
        "quarantined (%.1f %%).\n",
        n,
        (long long)ot_pdb_int(
            d, 0, "SELECT count(DISTINCT sample_id) FROM inst WHERE state<>5 AND planted=0"),
        (long long)ot_pdb_int(d, 0,
                              "SELECT count(*) FROM inst WHERE state IN(0,1,6) AND planted=0"),
        (long long)ot_pdb_int(d, 0, "SELECT count(*) FROM inst WHERE state=2 AND planted=0"), q,
        n ? 100.0 * (double)q / (double)n : 0);
    n = ot_pdb_int(d, 0, "SELECT count(*) FROM reinj WHERE run_id=?1 AND superseded=0");
    if (n)
        ot_str_printf(
            s,
            "%lld batches were trained on again, %.1f %% of the iterations; one took %.3f off "
            "the loss of its rows.\n",
            n, 100 * ot_pdb_num(d, "SELECT avg(kind='pool') FROM iter_stat WHERE run_id=?1"),
            ot_pdb_num(
                d, "SELECT coalesce(avg(loss_before-loss_after),0) FROM reinj WHERE run_id=?1 AND "
                   "superseded=0"));
}

static void say_effect(const struct ot_pdb *d, struct ot_str *s, struct ot_err *err)
{
    sqlite3_stmt *q = ot_pdb_query(d, err,
                                   "SELECT diff, lo, hi, n_treated, n_control FROM effect WHERE "
                                   "run_id=?1 AND label=-1 ORDER BY iter DESC LIMIT 1");

    if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL) {
        double lo = ot_pdb_real(q, 1), hi = ot_pdb_real(q, 2);

        ot_str_printf(s,
                      "Against the control group (%lld rows) mining took %.3f off the loss of hard "
                      "samples, 95 %% interval %.3f to %.3f: %s.\n",
                      (long long)sqlite3_column_int64(q, 4), sqlite3_column_double(q, 0), lo, hi,
                      lo > 0   ? "it helps"
                      : hi < 0 ? "it harms"
                               : "no effect is shown");
    } else {
        ot_str_puts(s, "The control group is too small to tell the effect of mining.\n");
    }
    (void)sqlite3_finalize(q);
}

static void say_noise(const struct ot_pdb *d, struct ot_str *s, struct ot_err *err)
{
    sqlite3_stmt *q = ot_pdb_query(
        d, err,
        "SELECT recall, recall_lo, recall_hi, noise, precision, planted, "
        "tested FROM thermometer WHERE run_id=?1 ORDER BY iter DESC "
        "LIMIT 1");

    if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL) {
        ot_str_printf(s,
                      "Of the planted wrong labels the quarantine found %.0f %% (%.0f to %.0f %%)",
                      100 * ot_pdb_real(q, 0), 100 * ot_pdb_real(q, 1), 100 * ot_pdb_real(q, 2));
        if (sqlite3_column_type(q, 3) != SQLITE_NULL)
            ot_str_printf(s, "; at most %.1f %% of all labels are wrong", 100 * ot_pdb_real(q, 3));
        if (sqlite3_column_type(q, 4) != SQLITE_NULL)
            ot_str_printf(s,
                          ", and about %.0f %% of the quarantined "
                          "ones",
                          100 * ot_pdb_real(q, 4));
        ot_str_puts(s, ".\n");
    }
    (void)sqlite3_finalize(q);
}

static void say_sentinel(const struct ot_pdb *d, struct ot_str *s)
{
    double first = ot_pdb_num(d, "SELECT max_share FROM sentinel WHERE run_id=?1 ORDER BY iter");
    double last = ot_pdb_num(d,
                             "SELECT max_share FROM sentinel WHERE run_id=?1 ORDER BY iter DESC");
    double least = ot_pdb_num(d, "SELECT min(loss) FROM sentinel WHERE run_id=?1");
    double now = ot_pdb_num(d, "SELECT loss FROM sentinel WHERE run_id=?1 ORDER BY iter DESC");

    if (isnan(now))
        return;
    ot_str_printf(s, "The sentinel set's loss is %.3f, its least was %.3f", now, least);
    if (last < first) /* by the sentinel or by the noise budget: the file does not tell which */
        ot_str_printf(s, "; the limit of re-injected iterations went from %.0f to %.1f %%",
                      100 * first, 100 * last);
    ot_str_puts(s, ".\n");
}

static void say_work(const struct ot_pdb *d, struct ot_str *s)
{
    long long fresh = ot_pdb_int(d, 0,
                                 "SELECT count(DISTINCT e.inst_id) FROM event e JOIN inst i "
                                 "USING(inst_id) WHERE e.run_id=?1 AND e.superseded=0 AND "
                                 "e.what='quarantine' AND i.state=3 AND i.planted=0");
    long long open = ot_pdb_int(
        d, 0, "SELECT count(*) FROM verdict WHERE applied_run IS NULL AND outcome IS NULL");
    long long refused = ot_pdb_int(
        d, 0, "SELECT count(*) FROM verdict WHERE applied_run IS NULL AND outcome IS NOT NULL");

    if (fresh)
        ot_str_printf(
            s,
            "%lld rows came under suspicion in this run. Look: ohempool top %s --view "
            "suspected_noise; say: ohempool mark %s KEY mislabelled|hard|ignore|relabel.\n",
            fresh, d->path, d->path);
    if (open)
        ot_str_printf(
            s,
            "%lld verdicts are not obeyed yet: the next run, or the next flush of a running one, "
            "does.\n",
            open);
    if (refused)
        ot_str_printf(s, "%lld verdicts cannot be obeyed: SELECT * FROM steering says why.\n",
                      refused);
}

int ot_psum_sentences(const struct ot_pdb *d, struct ot_str *s, struct ot_err *err)
{
    if (!d->run) {
        ot_str_puts(s, "No run is on record.\n");
        return ot_str_ok(s, err);
    }
    say_run(d, s, err);
    say_metric(d, s);
    say_pool(d, s);
    say_effect(d, s, err);
    say_noise(d, s, err);
    say_sentinel(d, s);
    say_work(d, s);
    return err->code ? err->code : ot_str_ok(s, err);
}

/* ---- the three forms ------------------------------------------------------------------------- */

static void add_json(const struct section *s, const struct ot_table *t, struct ot_str *out)
{
    ot_str_printf(out, "\"%s\":[", s->name);
    ot_table_json_rows(t, out);
    ot_str_puts(out, "],\n");
}

static void add_csv(const struct section *s, const struct ot_table *t, struct ot_table *flat)
{
    for (size_t r = 0; r < ot_table_rows(t); r++)
        for (int c = 0; c < t->n_columns; c++) {
            const struct ot_cell *cell = ot_table_at(t, r, c);

            ot_table_text(flat, s->name);
            ot_table_int(flat, (int64_t)r);
            ot_table_text(flat, t->column[c]);
            if (cell->kind == OT_CELL_TEXT)
                ot_table_text(flat, cell->text);
            else if (cell->kind == OT_CELL_INT)
                ot_table_int(flat, cell->i);
            else
                ot_table_num(flat, cell->kind == OT_CELL_NUM ? cell->num : (double)NAN);
        }
}

static void add_people(const struct section *s, const struct ot_table *t, struct ot_str *out)
{
    if (ot_table_rows(t) == 0)
        return;
    ot_str_printf(out, "%s\n", s->title);
    ot_table_render(t, isatty(STDOUT_FILENO) ? OT_TABLE_BOX : OT_TABLE_PLAIN, out);
    ot_str_puts(out, "\n");
}

static void end_json(const struct ot_pdb *d, char *said, struct ot_str *out)
{
    char *end = said;

    ot_str_printf(out, "\"run\":%lld,\n\"sentences\":[", (long long)d->run);
    for (char *at = said; *at; at = end) {
        end = at + strcspn(at, "\n");
        ot_str_puts(out, at == said ? "\"" : ",\n\"");
        if (*end)
            *end++ = 0;
        ot_str_json(out, at);
        ot_str_puts(out, "\"");
    }
    ot_str_puts(out, "]}\n");
}

static int show(const struct ot_pdb *d, const struct ot_pout *o, struct ot_str *out,
                struct ot_err *err)
{
    struct ot_table flat = { 0 }, t = { 0 };
    struct ot_str said = { 0 };
    int rc = 0;

    ot_table_columns(&flat, "section row column value");
    ot_str_puts(out, o->json ? "{" : "");
    for (int i = 0; rc == 0 && i < N_SECTIONS; i++) {
        rc = ot_pdb_table(d, &t, err, "%s", sections[i].sql);
        if (o->json)
            add_json(&sections[i], &t, out);
        else if (o->csv)
            add_csv(&sections[i], &t, &flat);
        else
            add_people(&sections[i], &t, out);
        ot_table_release(&t);
    }
    if (rc == 0)
        rc = ot_psum_sentences(d, &said, err);
    if (rc == 0 && o->json)
        end_json(d, said.buf, out);
    else if (rc == 0 && o->csv)
        ot_table_render(&flat, OT_TABLE_CSV, out);
    else if (rc == 0)
        ot_str_puts(out, said.buf);
    if (rc == 0)
        rc = ot_table_ok(&flat, err) < 0 ? err->code : ot_str_ok(out, err);
    ot_table_release(&flat);
    ot_str_release(&said);
    return rc;
}

int ot_pcmd_summary(int argc, char **argv, struct ot_err *err)
{
    struct ot_pout out = { 0 };
    struct ot_str s = { 0 };
    const char *pos[1];
    struct ot_pdb d;
    int rc;

    if (ot_pcmd_options(NULL, &out, argc, argv, pos, 1, 1, err) < 0 ||
        ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    /* one state of a file that may be written meanwhile */
    (void)sqlite3_exec(d.db, "BEGIN", NULL, NULL, NULL);
    rc = ot_pdb_run(&d, out.run, &d.run, err);
    if (rc == 0)
        rc = show(&d, &out, &s, err);
    if (rc == 0)
        ot_out("%s", s.buf);
    ot_str_release(&s);
    ot_pdb_close(&d);
    return rc;
}
