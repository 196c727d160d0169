/*
 * pool_export.c - ohempool export: what is said of labels, or the rows, into files.
 *
 * JSON Lines are the overlay that training reads (mining/overlay.h), with members that it passes
 * over.  Suspects are exported as `mislabelled`: whoever hands that file to training takes the
 * quarantine's word for all of them.
 */
#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "tools/pool_cmd.h"
#include "tools/pool_labels.h"

struct export
{
    const char *labels, *rows, *what, *db, *out;
    bool force;
};

static void member(struct ot_str *s, const char *name, const char *text)
{
    if (!text)
        return;
    ot_str_printf(s, ",\"%s\":\"", name);
    ot_str_json(s, text);
    ot_str_puts(s, "\"");
}

static void line(const struct ot_pdb *d, const struct ot_claim *c, struct ot_str *s)
{
    char name[128];

    ot_str_puts(s, "{\"key\":\"");
    ot_str_json(s, c->key);
    ot_str_printf(s, "\",\"kind\":\"%s\",\"slot\":%d,\"verdict\":\"%s\"",
                  c->kind == 0 ? "image" : "box", c->slot, c->verdict);
    if (c->label >= 0) {
        ot_str_printf(s, ",\"label\":%d", c->label);
        member(s, "class", ot_pdb_class(d, c->label, name, sizeof name));
    }
    if (c->given >= 0)
        member(s, "labelled", ot_pdb_class(d, c->given, name, sizeof name));
    if (c->pred >= 0) {
        member(s, "model_says", ot_pdb_class(d, c->pred, name, sizeof name));
        ot_str_printf(s, ",\"conf\":%.4f", isnan(c->conf) ? 0 : c->conf);
    }
    member(s, "who", c->who);
    member(s, "note", c->note);
    ot_str_puts(s, "}\n");
}

static int put_file(const struct export *e, const struct ot_str *s, struct ot_err *err)
{
    if (ot_str_ok(s, err) < 0)
        return err->code;
    if (strcmp(e->out, "-") == 0) {
        ot_out("%s", s->len ? s->buf : "");
        return 0;
    }
    return ot_write_file_atomic(e->out, s->buf ? s->buf : "", s->len, err);
}

static int jsonl(const struct ot_pdb *d, const struct export *e, const struct ot_claims *c,
                 int *count, struct ot_err *err)
{
    struct ot_str s = { 0 };
    int rc;

    *count = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].kind <= 1) {
            line(d, &c->v[i], &s);
            ++*count;
        }
    rc = put_file(e, &s, err);
    ot_str_release(&s);
    return rc;
}

static int pictures(const struct ot_pdb *d, const struct export *e, const struct ot_claims *c,
                    int *count, struct ot_err *err)
{
    struct ot_str s = { 0 };
    struct ot_crops crops;
    int rc = ot_crops_open(d, e->db, &crops, err);

    if (rc < 0)
        return rc;
    if (strcmp(e->labels, "voc") == 0) {
        rc = ot_export_voc(d, &crops, c, e->out, count, err);
    } else {
        rc = ot_export_coco(d, &crops, c, &s, count, err);
        if (rc == 0)
            rc = put_file(e, &s, err);
    }
    ot_crops_close(&crops);
    ot_str_release(&s);
    return rc;
}

static int labels(const struct ot_pdb *d, const struct export *e, struct ot_err *err)
{
    struct ot_claims c = { 0 };
    size_t left = 0;
    int count = 0, rc = strcmp(e->what, "suspects") == 0 ? ot_claims_suspected(d, &c, err)
                                                         : ot_claims_said(d, &c, err);

    if (rc == 0)
        rc = strcmp(e->labels, "jsonl") == 0 ? jsonl(d, e, &c, &count, err)
                                             : pictures(d, e, &c, &count, err);
    for (size_t i = 0; i < c.n; i++)
        left += c.v[i].kind > 1;
    if (rc == 0 && left)
        ot_pcmd_note("%zu %s about background or tiles are left out: the data set has no label "
                     "there",
                     left, e->what);
    if (rc == 0 && strcmp(e->out, "-") != 0)
        ot_out("%s: %d %s of %zu %s\n", e->out, count,
               strcmp(e->labels, "jsonl") == 0 ? "lines" : "images", c.n - left, e->what);
    ot_claims_release(&c);
    return rc;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void json_lines(const struct ot_table *t, struct ot_str *s)
{
    struct ot_str all = { 0 };

    ot_table_json_rows(t, &all);
    for (const char *at = all.buf, *end; at && *at; at = end) {
        end = strstr(at, ",\n"); /* between rows; within them a line end is escaped */
        ot_str_add(s, at, end ? (size_t)(end - at) : strlen(at));
        end = end ? end + 1 : at + strlen(at);
    }
    ot_str_puts(s, all.len ? "\n" : "");
    s->failed |= all.failed;
    ot_str_release(&all);
}

/* A million rows are more than a table of cells should hold: so many at a time. */
enum { PORTION = 1024 };

static void portion(const struct export *e, const struct ot_table *t, bool first, struct ot_str *s)
{
    struct ot_str text = { 0 };
    const char *body;

    if (strcmp(e->rows, "csv") != 0) {
        json_lines(t, s);
        return;
    }
    ot_table_render(t, OT_TABLE_CSV, &text);
    body = text.buf ? text.buf : "";
    if (!first) /* without the header again, whose names have no line end */
        body += strcspn(body, "\n") + 1;
    ot_str_puts(s, body);
    s->failed |= text.failed;
    ot_str_release(&text);
}

static int rows(const struct ot_pdb *d, const struct export *e, struct ot_err *err)
{
    sqlite3_stmt *q = ot_pdb_query(
        d, err,
        "SELECT s.lmdb_key AS key, kind_name(i.kind) AS kind_name, "
        "state_name(i.state) AS state_name, c.name AS class, p.name AS predicted, "
        "i.* FROM inst i JOIN sample s USING(sample_id) LEFT JOIN class c ON "
        "c.label=i.label LEFT JOIN class p ON p.label=i.pred ORDER BY i.inst_id");
    struct ot_str s = { 0 };
    size_t n = 0;
    int more = q ? 1 : err->code;

    while (more > 0) {
        struct ot_table t = { 0 };

        more = ot_pdb_fill(d, q, &t, PORTION, err);
        if (more >= 0)
            portion(e, &t, n == 0, &s);
        n += ot_table_rows(&t);
        ot_table_release(&t);
    }
    (void)sqlite3_finalize(q);
    if (more == 0)
        more = put_file(e, &s, err);
    if (more == 0 && strcmp(e->out, "-") != 0)
        ot_out("%s: %zu rows\n", e->out, n);
    ot_str_release(&s);
    return more;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static int check(const struct export *e, struct ot_err *err)
{
    if (!e->labels == !e->rows)
        return ot_fail(err, OT_EUSAGE, "--labels or --rows: one of them is wanted, got %s",
                       e->labels ? "both" : "none");
    if (e->labels && !is_one_of(e->labels, "jsonl", "voc", "coco"))
        return ot_fail(err, OT_EUSAGE, "--labels: must be jsonl, voc or coco, got '%s'", e->labels);
    if (e->rows && !is_one_of(e->rows, "jsonl", "csv", "csv"))
        return ot_fail(err, OT_EUSAGE, "--rows: must be csv or jsonl, got '%s'", e->rows);
    if (!is_one_of(e->what, "verdicts", "suspects", "suspects"))
        return ot_fail(err, OT_EUSAGE, "--what: must be verdicts or suspects, got '%s'", e->what);
    if (strcmp(e->out, "-") != 0 && !e->force && ot_exists(e->out))
        return ot_fail(err, OT_ECREATE, "'%s' exists; --force replaces it", e->out);
    return 0;
}

int ot_pcmd_export(int argc, char **argv, struct ot_err *err)
{
    struct export e = { .what = "verdicts" };
    const struct ot_data_opt own[] = {
        { "--labels", OT_OPT_TEXT, &e.labels }, { "--rows", OT_OPT_TEXT, &e.rows },
        { "--what", OT_OPT_TEXT, &e.what },     { "--db", OT_OPT_TEXT, &e.db },
        { "--force", OT_OPT_FLAG, &e.force },   { 0 }
    };
    const char *pos[2];
    struct ot_pdb d;
    int rc;

    if (ot_data_options(own, argc, argv, pos, 2, 2, err) < 0)
        return err->code;
    e.out = pos[1];
    if (check(&e, err) < 0 || ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    rc = e.labels ? labels(&d, &e, err) : rows(&d, &e, err);
    ot_pdb_close(&d);
    return rc;
}
