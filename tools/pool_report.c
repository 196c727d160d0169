/*
 * pool_report.c - ohempool report: one night as one HTML file.
 *
 * What happened is told first, then shown; everything is computed from the pool and the data base
 * alone, so that the same pool gives the same bytes.  Where there are no pictures to be had the
 * page says so and lists the rows instead.
 */
#include "tools/pool_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "tools/pool_cmd.h"

/* ---- tables ------------------------------------------------------------------------------------
 */

struct section {
    const char *id, *title, *caption, *bar, *none, *sql;
};

static const struct section runs = {
    "runs",
    "Runs",
    "The last ten starts of the trainer",
    NULL,
    "No run is on record.",
    "SELECT run_id AS run, job, replace(substr(started,1,16),'T',' ') AS started, hours, status, "
    "iter_start||' to '||coalesce(iter_end,'..') AS iterations, loss_end, "
    "metric_name AS metric, metric_end AS value, reinj_batches, mean_gain FROM runs "
    "WHERE run_id<=?1 LIMIT 10",
};

static const struct section classes = {
    "classes",
    "Classes",
    "Rows of the pool by class, the hundred hardest classes at most",
    "mean_loss",
    "The pool has no rows.",
    "SELECT coalesce(c.name,i.label) AS class, avg(loss_ema) AS mean_loss, max(loss_ema) AS worst, "
    "count(*) AS rows, sum(state IN(0,1)) AS pending, sum(state=2) AS learned, "
    "sum(state=3) AS quarantined, sum(state=4) AS excluded, sum(state=6) AS control, "
    "avg(n_reinj) AS reinjections FROM inst i LEFT JOIN class c USING(label) "
    "WHERE planted=0 AND state<>5 GROUP BY i.label ORDER BY 2 DESC, i.label LIMIT 100",
};

static const struct section confusion = {
    "confusion",
    "Confused classes",
    "Pairs of classes, most often confused first",
    "rows",
    "No class is taken for another.",
    "SELECT truth, predicted, n AS rows, mean_loss, conf AS confidence FROM confusion LIMIT 12",
};

static const struct section quarantined = {
    "quarantine",
    "In quarantine, and why",
    "The hundred worst of them",
    NULL,
    "Nothing is quarantined.",
    "SELECT s.lmdb_key AS record, kind_name(i.kind) AS kind, coalesce(c.name,i.label) AS labelled, "
    "coalesce(p.name,i.pred) AS model_says, i.p_pred AS confidence, i.loss_ema AS loss, "
    "i.n_contra||' of '||i.n_seen AS contradicted, e.iter AS since_iteration, e.why FROM inst i "
    "JOIN sample s USING(sample_id) LEFT JOIN class c ON c.label=i.label "
    "LEFT JOIN class p ON p.label=i.pred LEFT JOIN event e ON e.event_id=(SELECT max(event_id) "
    "FROM event f WHERE f.sample_id=i.sample_id AND f.inst_id=i.inst_id AND f.what='quarantine' "
    "AND f.superseded=0) WHERE i.state=3 AND i.planted=0 ORDER BY i.loss_ema DESC, i.inst_id "
    "LIMIT 100",
};

static const struct section verdicts = {
    "verdicts",
    "What persons said",
    "The last fifty verdicts",
    NULL,
    "Nobody has said anything yet: ohempool mark does.",
    "SELECT lmdb_key AS record, kind_name(kind) AS kind, slot, verdict, new_label, who, at, "
    "source, "
    "coalesce(outcome,CASE WHEN applied_run IS NULL THEN 'not obeyed yet' ELSE 'obeyed in run '"
    "||applied_run END) AS outcome FROM steering LIMIT 50",
};

static int put_table(struct ot_prep *r, const struct section *x, struct ot_err *err)
{
    struct ot_table t = { 0 };
    int rc = ot_pdb_table(&r->d, &t, err, "%s", x->sql);

    if (rc < 0)
        return rc;
    if (ot_table_rows(&t))
        ot_html_table(&r->page, &t, x->caption, x->bar);
    else
        ot_prep_says(&r->page, x->none);
    ot_table_release(&t);
    return 0;
}

static int put_section(struct ot_prep *r, const struct section *x, struct ot_err *err)
{
    int rc;

    ot_prep_section(&r->page, x->id, x->title);
    rc = put_table(r, x, err);
    if (rc == 0 && x == &confusion)
        rc = ot_prep_worst_pair(r, err);
    ot_prep_close(&r->page);
    return rc;
}

/* ---- what changed ------------------------------------------------------------------------------
 */

static void put_change(struct ot_table *t, const char *what, double before, double now)
{
    ot_table_text(t, what);
    ot_table_num(t, before);
    ot_table_num(t, now);
    ot_table_num(t, now - before);
}

static double of_run(const struct ot_pdb *d, int64_t run, const char *what)
{
    return ot_pdb_num(d, "SELECT %s FROM run WHERE run_id=%lld", what, (long long)run);
}

static void put_events(struct ot_table *t, const struct ot_pdb *d, int64_t before,
                       const char *const what[2])
{
    int64_t n[2];
    const int64_t run[2] = { before, d->run };

    for (int i = 0; i < 2; i++)
        n[i] = ot_pdb_int(d, 0,
                          "SELECT count(*) FROM event WHERE run_id=%lld AND superseded=0 AND "
                          "what=%Q",
                          (long long)run[i], what[0]);
    ot_table_text(t, what[1]);
    ot_table_int(t, n[0]);
    ot_table_int(t, n[1]);
    ot_table_int(t, n[1] - n[0]);
}

static int put_changes(struct ot_prep *r, struct ot_err *err)
{
    static const char *const what[][2] = {
        { "admit", "rows admitted" },   { "learned", "rows learned" },
        { "forgot", "rows forgotten" }, { "quarantine", "rows quarantined" },
        { "release", "rows released" }, { "evict", "rows evicted" }
    };
    int64_t before = ot_pdb_int(&r->d, 0, "SELECT max(run_id) FROM run WHERE run_id<?1");
    struct ot_table t = { 0 };
    char name[128];
    int rc;

    ot_prep_section(&r->page, "changes", "Changes since the run before");
    if (!before) {
        ot_prep_says(&r->page, "There is no run before this one.");
        ot_prep_close(&r->page);
        return 0;
    }
    ot_table_columns(&t, "what before now change");
    put_change(&t, "loss at the end", of_run(&r->d, before, "loss_end"),
               of_run(&r->d, r->d.run, "loss_end"));
    if (ot_pdb_int(&r->d, 0, "SELECT count(DISTINCT metric_name) FROM run WHERE run_id IN(?1,%lld)",
                   (long long)before) == 1)
        put_change(&t, "metric at the end", of_run(&r->d, before, "metric_end"),
                   of_run(&r->d, r->d.run, "metric_end"));
    for (size_t i = 0; i < sizeof what / sizeof *what; i++)
        put_events(&t, &r->d, before, what[i]);
    rc = ot_table_ok(&t, err);
    if (rc == 0) {
        (void)snprintf(name, sizeof name, "Run %lld beside run %lld", (long long)r->d.run,
                       (long long)before);
        ot_html_table(&r->page, &t, name, NULL);
    }
    ot_prep_close(&r->page);
    ot_table_release(&t);
    return rc;
}

/* ---- the head ----------------------------------------------------------------------------------
 */

static void put_card(struct ot_str *s, double v, int decimals, const char *unit, const char *what)
{
    if (!isfinite(v))
        return;
    ot_str_printf(s, "<li><b>%.*f%s</b><span>", decimals, v, unit);
    ot_html_text(s, what);
    ot_str_puts(s, "</span></li>\n");
}

/* Mean loss of the last tenth of the iterations. */
static double last_loss(const struct ot_pdb *d, const char *kind)
{
    return ot_pdb_num(d,
                      "WITH r AS (SELECT min(iter) AS a, max(iter) AS b FROM iter_stat WHERE "
                      "run_id=?1) SELECT avg(loss) FROM iter_stat, r WHERE run_id=?1 AND kind=%Q "
                      "AND iter>=r.b-(r.b-r.a)/10",
                      kind);
}

static void put_cards(struct ot_prep *r, struct ot_err *err)
{
    const struct ot_pdb *d = &r->d;
    struct ot_str *s = &r->page;
    sqlite3_stmt *q = ot_pdb_query(d, err, "SELECT metric_name FROM run WHERE run_id=?1");

    ot_str_puts(s, "<ul class=\"cards\">\n");
    put_card(s, last_loss(d, "fresh"), 3, "", "uniform loss, last tenth");
    put_card(s, last_loss(d, "pool"), 3, "", "mined loss, last tenth");
    if (q && ot_pdb_step(d, q, err) == 1)
        put_card(s, of_run(d, d->run, "metric_end"), 4, "", ot_pdb_str(q, 0));
    (void)sqlite3_finalize(q);
    put_card(s, ot_pdb_num(d, "SELECT 1.0*count(*) FROM inst WHERE planted=0 AND state<>5"), 0, "",
             "rows in the pool");
    put_card(s, ot_pdb_num(d, "SELECT 1.0*count(*) FROM inst WHERE planted=0 AND state=3"), 0, "",
             "of them in quarantine");
    put_card(s,
             ot_pdb_num(d, "SELECT diff FROM effect WHERE run_id=?1 AND label=-1 "
                           "ORDER BY iter DESC LIMIT 1"),
             3, "", "taken off the loss by mining");
    put_card(s,
             100 * ot_pdb_num(d, "SELECT recall FROM thermometer WHERE run_id=?1 "
                                 "ORDER BY iter DESC LIMIT 1"),
             0, " %", "of planted wrong labels found");
    put_card(s,
             100 * ot_pdb_num(d, "SELECT precision FROM thermometer WHERE run_id=?1 "
                                 "ORDER BY iter DESC LIMIT 1"),
             0, " %", "of the quarantine is wrong");
    ot_str_puts(s, "</ul>\n");
}

static const char nav[] =
    "<nav aria-label=\"sections\"><a href=\"#runs\">Runs</a><a href=\"#changes\">Changes</a>"
    "<a href=\"#losses\">Losses</a><a href=\"#pool\">Pool</a><a href=\"#classes\">Classes</a>"
    "<a href=\"#effect\">Effect</a><a href=\"#thermometer\">Quarantine measured</a>"
    "<a href=\"#sentinel\">Sentinel</a><a href=\"#hardest\">Hardest</a>"
    "<a href=\"#suspects\">Suspects</a><a href=\"#unlabelled\">Unlabelled</a>"
    "<a href=\"#confusion\">Confusion</a><a href=\"#quarantine\">In quarantine</a>"
    "<a href=\"#verdicts\">Verdicts</a></nav>\n";

static int put_head(struct ot_prep *r, struct ot_err *err)
{
    struct ot_str said = { 0 };
    int64_t last = ot_pdb_int(&r->d, 0, "SELECT max(run_id) FROM run");
    char *end;
    int rc;

    ot_str_puts(&r->page, "<p class=\"soft\">");
    ot_html_text(&r->page, r->d.path);
    ot_str_puts(&r->page, "</p>\n");
    ot_str_puts(&r->page, nav);
    if (r->d.run)
        put_cards(r, err);
    rc = ot_psum_sentences(&r->d, &said, err);
    for (char *at = said.buf; rc == 0 && at && *at; at = end) {
        end = at + strcspn(at, "\n");
        if (*end)
            *end++ = '\0';
        ot_prep_says(&r->page, at);
    }
    ot_str_release(&said);
    if (r->d.run != last)
        ot_str_printf(&r->page,
                      "<p class=\"note\">Rows, classes and pictures are those of the pool as it is "
                      "now, after run %lld.</p>\n",
                      (long long)last);
    if (!r->pictures) {
        ot_str_puts(&r->page, "<p class=\"note\">This report has no pictures: ");
        ot_html_text(&r->page, r->why);
        ot_str_puts(&r->page, "</p>\n");
    }
    return rc;
}

/* ---- the page ----------------------------------------------------------------------------------
 */

static int put_pictures(struct ot_prep *r, struct ot_err *err)
{
    static const struct {
        const char *id, *title, *view, *none;
    } part[] = {
        { "hardest", "The hardest", "hardest", "No row waits to be trained on again." },
        { "suspects", "Suspected wrong labels", "suspected_noise", "Nothing is suspected." },
        { "unlabelled", "Possibly unlabelled", "possibly_unlabelled",
          "No background looks like an object again and again." },
    };

    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof part / sizeof *part; i++) {
        ot_prep_section(&r->page, part[i].id, part[i].title);
        rc = ot_prep_view(r, part[i].view, part[i].none, err);
        ot_prep_close(&r->page);
    }
    return rc;
}

static int put_page(struct ot_prep *r, struct ot_err *err)
{
    sqlite3_stmt *q = ot_pdb_query(&r->d, err,
                                   "SELECT job, substr(started,1,10) FROM run WHERE run_id=?1");
    char title[512] = "Mining report";
    int rc = q ? ot_pdb_step(&r->d, q, err) : (int)err->code;

    if (rc == 1)
        (void)snprintf(title, sizeof title, "Mining report: %s, run %lld of %s", ot_pdb_str(q, 0),
                       (long long)r->d.run, ot_pdb_str(q, 1));
    (void)sqlite3_finalize(q);
    if (rc < 0)
        return rc;
    ot_prep_begin(&r->page, title);
    if (put_head(r, err) < 0 || put_section(r, &runs, err) < 0 || put_changes(r, err) < 0 ||
        ot_prep_losses(r, err) < 0 || ot_prep_fill(r, err) < 0 ||
        put_section(r, &classes, err) < 0 || ot_prep_effect(r, err) < 0 ||
        ot_prep_thermometer(r, err) < 0 || ot_prep_sentinel(r, err) < 0 ||
        put_pictures(r, err) < 0 || put_section(r, &confusion, err) < 0 ||
        put_section(r, &quarantined, err) < 0 || put_section(r, &verdicts, err) < 0)
        return err->code;
    ot_prep_end(&r->page);
    return ot_str_ok(&r->page, err);
}

int ot_pcmd_report(int argc, char **argv, struct ot_err *err)
{
    struct ot_prep r = { 0 };
    struct ot_err why = OT_ERR_INIT;
    const char *pos[2], *db = NULL;
    uint64_t run = 0;
    const struct ot_data_opt table[] = { { "--run", OT_OPT_U64, &run },
                                         { "--db", OT_OPT_TEXT, &db },
                                         { NULL, OT_OPT_FLAG, NULL } };
    int rc = ot_data_options(table, argc, argv, pos, 2, 2, err);

    if (rc < 0 || ot_pdb_open(pos[0], &r.d, err) < 0)
        return err->code;
    /* one state of a file that may be written meanwhile */
    (void)sqlite3_exec(r.d.db, "BEGIN", NULL, NULL, NULL);
    rc = ot_pdb_run(&r.d, run, &r.d.run, err);
    if (rc == 0) {
        r.pictures = ot_crops_open(&r.d, db, &r.crops, &why) == 0;
        (void)snprintf(r.why, sizeof r.why, "%s", why.text);
        rc = put_page(&r, err);
    }
    if (rc == 0)
        rc = ot_write_file_atomic(pos[1], r.page.buf, r.page.len, err);
    if (rc == 0)
        ot_out("%s: run %lld, %zu kB%s\n", pos[1], (long long)r.d.run, r.page.len / 1024,
               r.pictures ? "" : ", without pictures");
    ot_str_release(&r.page);
    ot_crops_close(&r.crops);
    ot_pdb_close(&r.d);
    return rc;
}
