/*
 * pool_report_charts.c - the numbers of a run as charts.
 *
 * A run has as many points as iterations; they are thinned to means of at most BINS stretches of
 * equal length, in SQL, so that a night of a million iterations is read once and kept small.
 */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "tools/pool_report.h"

enum { BINS = 150, COLUMNS = 6 };

struct points {
    double *v[COLUMNS]; /* column by column; the first is x */
    size_t n, cap[COLUMNS];
};

static void release(struct points *p)
{
    for (int c = 0; c < COLUMNS; c++)
        ot_free(p->v[c]);
}

/* All rows of a query of numbers; what is not there is NaN. */
static int read_points(const struct ot_pdb *d, const char *sql, struct points *p,
                       struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err, "%s", sql);
    int rc = s ? 1 : (int)err->code, n = s ? sqlite3_column_count(s) : 0;

    *p = (struct points){ 0 };
    while (rc == 1) {
        rc = ot_pdb_step(d, s, err);
        for (int c = 0; rc == 1 && c < n && c < COLUMNS; c++) {
            if (ot_grow(&p->v[c], &p->cap[c], p->n + 1, sizeof(double), err) < 0)
                rc = err->code;
            else
                p->v[c][p->n] = ot_pdb_real(s, c);
        }
        p->n += rc == 1;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

/* The query over iter_stat, thinned to `bins` points. */
static int read_iters(const struct ot_pdb *d, const char *columns, int bins, struct points *p,
                      struct ot_err *err)
{
    char sql[640];

    (void)snprintf(sql, sizeof sql,
                   "WITH r AS (SELECT min(iter) AS a, max(iter)-min(iter)+1 AS n FROM iter_stat "
                   "WHERE run_id=?1) SELECT avg(iter), %s FROM iter_stat, r WHERE run_id=?1 "
                   "GROUP BY (iter-r.a)*%d/r.n ORDER BY 1",
                   columns, bins);
    return read_points(d, sql, p, err);
}

static void put_losses(struct ot_str *s, const struct points *p, const struct points *coarse)
{
    const struct ot_chart loss = { "Loss, uniform and mined batches",
                                   "iteration",
                                   p->v[0],
                                   p->n,
                                   { { "uniform", p->v[1] }, { "mined", p->v[2] } },
                                   2,
                                   true };
    const struct ot_chart rule = { "Loss that admits into the pool", "iteration", p->v[0], p->n,
                                   { { "threshold", p->v[3] } },     1,           true };
    const struct ot_chart share = {
        "Share of re-injected iterations", "iteration", coarse->v[0], coarse->n,
        { { "%", coarse->v[1] } },         1,           true
    };

    ot_prep_says(s, "The uniform loss is that of fresh batches and the one to judge a run by; the "
                    "mined loss is that of batches made of hard examples, and is higher because "
                    "of that.");
    ot_str_puts(s, "<div class=\"charts\">");
    ot_html_lines(s, &loss);
    ot_html_lines(s, &rule);
    ot_html_lines(s, &share);
    ot_str_puts(s, "</div>");
}

int ot_prep_losses(struct ot_prep *r, struct ot_err *err)
{
    struct points p, coarse = { 0 };
    int rc = read_iters(&r->d,
                        "avg(CASE kind WHEN 'fresh' THEN loss END), "
                        "avg(CASE kind WHEN 'pool' THEN loss END), avg(admit_thr)",
                        BINS, &p, err);

    if (rc == 0) /* iterations are all or nothing: a share wants more of them */
        rc = read_iters(&r->d, "100*avg(kind='pool')", BINS / 5, &coarse, err);
    if (rc == 0) {
        ot_prep_section(&r->page, "losses", "Uniform and mined loss");
        if (p.n < 2)
            ot_prep_says(&r->page, "No iterations of this run are on record.");
        else
            put_losses(&r->page, &p, &coarse);
        ot_prep_close(&r->page);
    }
    release(&p);
    release(&coarse);
    return rc;
}

/* ---- the pool ----------------------------------------------------------------------------------
 */

static void put_states(struct ot_str *s, const int64_t count[OT_CELL_STATES])
{
    ot_str_puts(s, "<div class=\"stack\" role=\"img\" aria-label=\"rows by state, as listed\">");
    for (int i = 0; i < OT_CELL_STATES; i++)
        if (count[i])
            ot_str_printf(s, "<span class=\"s%d\" style=\"flex:%lld\"></span>", i,
                          (long long)count[i]);
    ot_str_puts(s, "</div><ul class=\"states\">");
    for (int i = 0; i < OT_CELL_STATES; i++)
        if (count[i])
            ot_str_printf(s, "<li><i class=\"s%d\"></i>%s %lld</li>", i, ot_pdb_state_name(i),
                          (long long)count[i]);
    ot_str_puts(s, "</ul>\n");
}

int ot_prep_fill(struct ot_prep *r, struct ot_err *err)
{
    int64_t count[OT_CELL_STATES], all = 0;
    struct points p;
    int rc = read_iters(&r->d, "avg(pool_n)", BINS, &p, err);

    if (rc < 0) {
        release(&p);
        return rc;
    }
    for (int i = 0; i < OT_CELL_STATES; i++)
        all += count[i] = ot_pdb_int(&r->d, 0,
                                     "SELECT count(*) FROM inst WHERE planted=0 AND state=%d", i);
    ot_prep_section(&r->page, "pool", "The pool");
    if (all)
        put_states(&r->page, count);
    else
        ot_prep_says(&r->page, "The pool is empty.");
    if (p.n > 1) {
        const struct ot_chart fill = { "Rows in the pool",     "iteration", p.v[0], p.n,
                                       { { "rows", p.v[1] } }, 1,           true };

        ot_str_puts(&r->page, "<div class=\"charts\">");
        ot_html_lines(&r->page, &fill);
        ot_str_puts(&r->page, "</div>");
    }
    ot_prep_close(&r->page);
    release(&p);
    return 0;
}

/* ---- proofs ------------------------------------------------------------------------------------
 */

enum { MOST_CLASSES = 40 }; /* those where something is shown most clearly */

int ot_prep_effect(struct ot_prep *r, struct ot_err *err)
{
    struct ot_whisker w[MOST_CLASSES];
    struct ot_table t = { 0 };
    size_t n = 0;
    int rc = ot_pdb_table(&r->d, &t, err,
                          "SELECT * FROM (SELECT class, n_treated AS mined_rows, n_control AS "
                          "control_rows, treated AS loss_mined, control AS loss_control, "
                          "diff AS effect, lo, hi FROM mining_effect WHERE run_id=?1 "
                          "ORDER BY class<>'all', abs(diff)/(hi-lo) DESC LIMIT %d) "
                          "ORDER BY class<>'all', effect IS NULL, effect DESC",
                          MOST_CLASSES);

    if (rc < 0)
        return rc;
    ot_prep_section(&r->page, "effect", "Does mining help?");
    for (; n < ot_table_rows(&t) && n < MOST_CLASSES; n++) {
        const struct ot_cell *c = ot_table_at(&t, n, 0);

        w[n] = (struct ot_whisker){ c->text ? c->text : "", NAN, NAN, NAN };
        if (ot_table_at(&t, n, 5)->kind == OT_CELL_NUM) {
            w[n].at = ot_table_at(&t, n, 5)->num;
            w[n].lo = ot_table_at(&t, n, 6)->num;
            w[n].hi = ot_table_at(&t, n, 7)->num;
        }
    }
    if (n) {
        ot_prep_says(&r->page, "Loss of the control group, which is never re-injected, less the "
                               "loss of the rest, with its 95 % interval. To the right of zero "
                               "mining takes something off the loss; an interval over zero shows "
                               "nothing.");
        ot_html_whiskers(&r->page, "Effect of mining on the loss of hard examples", w, n);
        ot_html_table(&r->page, &t, "Effect of mining by class, at most the 40 clearest", NULL);
    } else {
        ot_prep_says(&r->page, "This run has not measured it: no control group is on record.");
    }
    ot_prep_close(&r->page);
    ot_table_release(&t);
    return 0;
}

int ot_prep_thermometer(struct ot_prep *r, struct ot_err *err)
{
    struct ot_table t = { 0 };
    struct points p = { 0 };
    int rc = ot_pdb_table(&r->d, &t, err,
                          "SELECT iter, planted, tested, quarantined, recall, recall_lo AS lo, "
                          "recall_hi AS hi, noise, precision FROM thermometer WHERE run_id=?1 AND "
                          "iter IN (SELECT iter FROM thermometer WHERE run_id=?1 "
                          "ORDER BY iter DESC LIMIT 5) ORDER BY iter");

    if (rc == 0)
        rc = read_points(&r->d,
                         "SELECT iter, recall, precision, noise FROM thermometer WHERE run_id=?1 "
                         "ORDER BY iter",
                         &p, err);
    if (rc == 0) {
        const struct ot_chart c = {
            "Quarantine, measured on planted wrong labels",
            "iteration",
            p.v[0],
            p.n,
            { { "recall", p.v[1] }, { "precision", p.v[2] }, { "wrong labels", p.v[3] } },
            3,
            true
        };

        ot_prep_section(&r->page, "thermometer", "How good is the quarantine?");
        if (ot_table_rows(&t)) {
            ot_prep_says(&r->page, "Some labels were made wrong on purpose, at no weight. Recall "
                                   "is the share of them that was quarantined, with its 95 % "
                                   "interval; noise, the estimated share of all labels that are "
                                   "wrong, is an upper bound.");
            ot_html_lines(&r->page, &c);
            ot_html_table(&r->page, &t, "The last readings", NULL);
        } else {
            ot_prep_says(&r->page, "No wrong labels were planted in this run.");
        }
        ot_prep_close(&r->page);
    }
    release(&p);
    ot_table_release(&t);
    return rc;
}

int ot_prep_sentinel(struct ot_prep *r, struct ot_err *err)
{
    struct ot_table t = { 0 };
    struct points p = { 0 };
    int rc = ot_pdb_table(&r->d, &t, err,
                          "SELECT iter, n AS samples, loss, sd, max_share FROM sentinel WHERE "
                          "run_id=?1 AND iter IN (SELECT iter FROM sentinel WHERE run_id=?1 "
                          "ORDER BY iter DESC LIMIT 8) ORDER BY iter");

    if (rc == 0)
        rc = read_points(&r->d, "SELECT iter, loss FROM sentinel WHERE run_id=?1 ORDER BY iter", &p,
                         err);
    if (rc == 0) {
        const struct ot_chart c = { "Loss of the sentinel set", "iteration", p.v[0], p.n,
                                    { { "loss", p.v[1] } },     1,           true };

        ot_prep_section(&r->page, "sentinel", "The sentinel set");
        if (ot_table_rows(&t)) {
            ot_prep_says(&r->page, "Always the same random samples, scored at every test: when "
                                   "their loss rises, re-injection is cut back.");
            ot_html_lines(&r->page, &c);
            ot_html_table(&r->page, &t, "The last scores", NULL);
        } else {
            ot_prep_says(&r->page, "It was not scored in this run.");
        }
        ot_prep_close(&r->page);
    }
    release(&p);
    ot_table_release(&t);
    return rc;
}
