/*
 * pool_report_pics.c - pictures of a report, each with what is known of it in words.
 */
#include <math.h>
#include <stdio.h>

#include "tools/pool_report.h"

enum { PICTURES = 24, PAIR = 12, SIDE = 112 /* as the page's style has it */ };

static void describe(const struct ot_pool_cell *c, char *text, size_t n)
{
    (void)snprintf(text, n, "%s %s: labelled %s, predicted %s", ot_pdb_kind_name(c->kind), c->key,
                   c->name, c->has_pred ? c->other : "nothing yet");
}

static void put_words(struct ot_str *s, const struct ot_pool_cell *c)
{
    ot_str_puts(s, "<figcaption><b>");
    ot_html_text(s, c->name);
    ot_str_puts(s, "</b>");
    if (c->has_pred) {
        ot_str_puts(s, " &rarr; ");
        ot_html_text(s, c->other);
    }
    if (isfinite(c->p_pred))
        ot_str_printf(s, " %.2f", c->p_pred);
    ot_str_printf(s, "<br>loss %.2f, %s", c->loss, ot_pdb_state_name(c->state));
    if (c->n_reinj)
        ot_str_printf(s, ", back %d&times;", c->n_reinj);
    ot_str_puts(s, "<br>");
    ot_html_text(s, c->key);
    ot_str_puts(s, "</figcaption>");
}

static int put_figure(struct ot_str *s, const struct ot_pool_cell *c, struct ot_err *err)
{
    char alt[900];

    ot_str_printf(s, "<figure class=\"pic b%d\">", c->state);
    if (c->picture.pixel) {
        describe(c, alt, sizeof alt);
        if (ot_html_picture(s, &c->picture, alt, err) < 0)
            return err->code;
    } else {
        ot_str_puts(s, "<div class=\"hole\">");
        ot_html_text(s, c->missing[0] ? c->missing : "no picture");
        ot_str_puts(s, "</div>");
    }
    put_words(s, c);
    ot_str_puts(s, "</figure>\n");
    return 0;
}

static int put_cells(struct ot_prep *r, struct ot_cells *cells, struct ot_err *err)
{
    int rc = ot_crops_draw(&r->crops, cells, SIDE, err);

    ot_str_puts(&r->page, "<div class=\"pics\">\n");
    for (size_t i = 0; rc == 0 && i < cells->n; i++)
        rc = put_figure(&r->page, &cells->cell[i], err);
    ot_str_puts(&r->page, "</div>\n");
    return rc;
}

/* What the pictures would have had below them. */
static int put_list(struct ot_prep *r, const struct ot_cells *cells, struct ot_err *err)
{
    struct ot_table t = { 0 };
    int rc;

    ot_table_columns(&t, "record kind labelled predicted p loss reinjected state");
    for (size_t i = 0; i < cells->n; i++) {
        const struct ot_pool_cell *c = &cells->cell[i];

        ot_table_text(&t, c->key);
        ot_table_text(&t, ot_pdb_kind_name(c->kind));
        ot_table_text(&t, c->name);
        ot_table_text(&t, c->has_pred ? c->other : NULL);
        ot_table_num(&t, c->p_pred);
        ot_table_num(&t, c->loss);
        ot_table_int(&t, c->n_reinj);
        ot_table_text(&t, ot_pdb_state_name(c->state));
    }
    rc = ot_table_ok(&t, err);
    if (rc == 0)
        ot_html_table(&r->page, &t, "Without pictures", NULL);
    ot_table_release(&t);
    return rc;
}

int ot_prep_view(struct ot_prep *r, const char *view, const char *none, struct ot_err *err)
{
    const struct ot_pool_pick pick = { .view = view, .limit = PICTURES };
    struct ot_cells cells;
    int rc = ot_cells_pick(&r->d, &pick, &cells, err);

    if (rc < 0)
        return rc;
    if (cells.n == 0)
        ot_prep_says(&r->page, none);
    else
        ot_str_printf(&r->page, "<p class=\"soft\">%zu of %lld, view %s.</p>\n", cells.n,
                      (long long)cells.total, view);
    if (cells.n)
        rc = r->pictures ? put_cells(r, &cells, err) : put_list(r, &cells, err);
    ot_cells_release(&cells);
    return rc;
}

int ot_prep_worst_pair(struct ot_prep *r, struct ot_err *err)
{
    int pair[2];
    const struct ot_pool_pick pick = { .pair = pair, .limit = PAIR };
    sqlite3_stmt *s = ot_pdb_query(&r->d, err,
                                   "SELECT i.label, i.pred, coalesce(c.name,i.label), "
                                   "coalesce(p.name,i.pred) FROM inst i "
                                   "LEFT JOIN class c ON c.label=i.label "
                                   "LEFT JOIN class p ON p.label=i.pred WHERE i.pred<>i.label AND "
                                   "i.state NOT IN(2,5) AND i.planted=0 GROUP BY i.label, i.pred "
                                   "ORDER BY count(*) DESC, i.label, i.pred LIMIT 1");
    struct ot_cells cells = { 0 };
    int rc = s ? ot_pdb_step(&r->d, s, err) : (int)err->code;

    if (rc == 1 && r->pictures) {
        pair[0] = sqlite3_column_int(s, 0);
        pair[1] = sqlite3_column_int(s, 1);
        rc = ot_cells_pick(&r->d, &pick, &cells, err);
        if (rc == 0) {
            ot_str_puts(&r->page, "<h3>");
            ot_html_text(&r->page, ot_pdb_str(s, 2));
            ot_str_puts(&r->page, " taken for ");
            ot_html_text(&r->page, ot_pdb_str(s, 3));
            ot_str_puts(&r->page, "</h3>\n");
            rc = put_cells(r, &cells, err);
        }
    }
    (void)sqlite3_finalize(s);
    ot_cells_release(&cells);
    return rc < 0 ? rc : 0;
}
