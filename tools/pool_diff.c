/*
 * pool_diff.c - ohempool diff: what a night changed, and whether it made things worse.
 *
 * A regression is a row that was learned and is hard again, or, with --margin, a class whose mean
 * loss over the rows of both nights rose by more than the margin.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "tools/pool_cmd.h"
#include "tools/pool_night.h"

struct class_sum {
    int label;
    int64_t n[OT_N_CHANGES], rows_a, rows_b, both;
    double loss_a, loss_b; /* sums over the rows of both */
};

struct changed {
    enum ot_change what;
    const struct ot_night_row *a, *b;
    double rise; /* of the loss */
};

struct diff {
    struct ot_night a, b;
    struct ot_pdb da, db;
    struct class_sum *class;
    struct changed *changed;
    size_t n_classes, classes_cap, n_changed, changed_cap;
    struct class_sum all;
};

/* ---- comparing ------------------------------------------------------------------------------- */

static struct class_sum *class_of(struct diff *d, int label, struct ot_err *err)
{
    for (size_t i = 0; i < d->n_classes; i++)
        if (d->class[i].label == label)
            return &d->class[i];
    if (ot_grow(&d->class, &d->classes_cap, d->n_classes + 1, sizeof *d->class, err) < 0)
        return NULL;
    d->class[d->n_classes].label = label;
    return &d->class[d->n_classes++];
}

static void add_to(struct class_sum *c, const struct ot_night_row *a, const struct ot_night_row *b,
                   enum ot_change what)
{
    bool in_a = a && a->state != OT_NIGHT_GONE, in_b = b && b->state != OT_NIGHT_GONE;

    c->n[what]++;
    c->rows_a += in_a;
    c->rows_b += in_b;
    if (in_a && in_b && !isnan(a->loss) && !isnan(b->loss)) {
        c->both++;
        c->loss_a += a->loss;
        c->loss_b += b->loss;
    }
}

static int visit(void *ctx, const struct ot_night_row *a, const struct ot_night_row *b,
                 struct ot_err *err)
{
    struct diff *d = ctx;
    enum ot_change what = ot_night_change(a ? a->state : OT_NIGHT_GONE,
                                          b ? b->state : OT_NIGHT_GONE);
    struct class_sum *c = class_of(d, b ? b->label : a->label, err);

    if (!c)
        return err->code;
    add_to(c, a, b, what);
    add_to(&d->all, a, b, what);
    if (what == OT_CHANGE_NONE)
        return 0;
    if (ot_grow(&d->changed, &d->changed_cap, d->n_changed + 1, sizeof *d->changed, err) < 0)
        return err->code;
    d->changed[d->n_changed++] = (struct changed){ what, a, b,
                                                   (b ? b->loss : 0) - (a ? a->loss : 0) };
    return 0;
}

static int worse_first(const void *pa, const void *pb)
{
    const struct changed *a = pa, *b = pb;

    if (a->what != b->what)
        return a->what < b->what ? -1 : 1;
    if (a->rise != b->rise && !isnan(a->rise) && !isnan(b->rise))
        return a->rise > b->rise ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int by_label(const void *pa, const void *pb)
{
    const struct class_sum *a = pa, *b = pb;

    return (a->label > b->label) - (a->label < b->label);
}

/* ---- printing -------------------------------------------------------------------------------- */

static void class_row(const struct diff *d, const struct class_sum *c, const char *name,
                      struct ot_table *t)
{
    static const enum ot_change order[] = { OT_CHANGE_LEARNED,   OT_CHANGE_HARD,
                                            OT_CHANGE_REGRESSED, OT_CHANGE_QUARANTINED,
                                            OT_CHANGE_RELEASED,  OT_CHANGE_EXCLUDED,
                                            OT_CHANGE_GONE };

    double n = (double)c->both;

    (void)d;
    ot_table_text(t, name);
    ot_table_int(t, c->rows_a);
    ot_table_int(t, c->rows_b);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        ot_table_int(t, c->n[order[i]]);
    ot_table_num(t, c->both ? c->loss_a / n : (double)NAN);
    ot_table_num(t, c->both ? c->loss_b / n : (double)NAN);
    ot_table_num(t, c->both ? (c->loss_b - c->loss_a) / n : (double)NAN);
}

static void classes(const struct diff *d, struct ot_table *t)
{
    char name[128];

    ot_table_columns(t, "class rows_a rows_b learned newly_hard regressed quarantined released "
                        "excluded gone loss_a loss_b change");
    for (size_t i = 0; i < d->n_classes; i++)
        class_row(d, &d->class[i],
                  d -> class[i].label < 0
                           ? "(dropped)"
                           : ot_pdb_class(&d->db, d->class[i].label, name, sizeof name),
                  t);
    class_row(d, &d->all, "all", t);
}

static void state_cell(const struct ot_night_row *r, struct ot_table *t)
{
    ot_table_text(t, r ? ot_pdb_state_name(r->state) : NULL);
}

static void changes(const struct diff *d, int limit, struct ot_table *t)
{
    ot_table_columns(t, "change key kind slot class loss_a loss_b state_a state_b");
    for (size_t i = 0; i < d->n_changed && (!limit || i < (size_t)limit); i++) {
        const struct changed *c = &d->changed[i];
        const struct ot_night_row *r = c->b ? c->b : c->a;
        char name[128];

        ot_table_text(t, ot_change_name(c->what));
        ot_table_text(t, r->key);
        ot_table_text(t, r->kind < 0 ? NULL : ot_pdb_kind_name(r->kind));
        ot_table_int(t, r->slot);
        ot_table_text(t, ot_pdb_class(&d->db, r->label, name, sizeof name));
        ot_table_num(t, c->a ? c->a->loss : (double)NAN);
        ot_table_num(t, c->b ? c->b->loss : (double)NAN);
        state_cell(c->a, t);
        state_cell(c->b, t);
    }
}

static int print_json(const struct ot_table *c, const struct ot_table *r, struct ot_err *err)
{
    struct ot_str s = { 0 };
    int rc;

    ot_str_puts(&s, "{\"classes\":[");
    ot_table_json_rows(c, &s);
    ot_str_puts(&s, "],\n\"changes\":[");
    ot_table_json_rows(r, &s);
    ot_str_puts(&s, "]}\n");
    rc = ot_str_ok(&s, err);
    if (rc == 0)
        ot_out("%s", s.buf);
    ot_str_release(&s);
    return rc;
}

static int print(const struct diff *d, const struct ot_pout *out, struct ot_err *err)
{
    struct ot_table c = { 0 }, r = { 0 };
    int rc;

    classes(d, &c);
    changes(d, out->limit, &r);
    if (ot_table_ok(&c, err) < 0 || ot_table_ok(&r, err) < 0)
        rc = err->code;
    else if (out->json)
        rc = print_json(&c, &r, err);
    else if (out->csv)
        rc = ot_pcmd_print(&r, out, "", err);
    else if ((rc = ot_pcmd_print(&c, out, "", err)) == 0) {
        ot_out("\n");
        rc = ot_pcmd_print(&r, out, "nothing changed", err);
        if (d->n_changed > ot_table_rows(&r))
            ot_out("(%zu more: --limit)\n", d->n_changed - ot_table_rows(&r));
        ot_out("\n%lld learned, %lld newly hard, %lld regressed, %lld newly quarantined, %lld "
               "released",
               (long long)d->all.n[OT_CHANGE_LEARNED], (long long)d->all.n[OT_CHANGE_HARD],
               (long long)d->all.n[OT_CHANGE_REGRESSED], (long long)d->all.n[OT_CHANGE_QUARANTINED],
               (long long)d->all.n[OT_CHANGE_RELEASED]);
        if (d->all.both)
            ot_out("; the loss of the %lld rows of both changed by %+.3f on average",
                   (long long)d->all.both, (d->all.loss_b - d->all.loss_a) / (double)d->all.both);
        ot_out(".\n");
    }
    ot_table_release(&c);
    ot_table_release(&r);
    return rc;
}

/* ---- the verdict on the night ---------------------------------------------------------------- */

static int judge(const struct diff *d, int most, double margin, struct ot_err *err)
{
    char name[128];

    if (most >= 0 && d->all.n[OT_CHANGE_REGRESSED] > most)
        return ot_fail(err, OT_EDATA, "regression: at most %d rows may regress, got %lld", most,
                       (long long)d->all.n[OT_CHANGE_REGRESSED]);
    for (size_t i = 0; !isnan(margin) && i < d->n_classes; i++) {
        const struct class_sum *c = &d->class[i];
        double rise = c->both ? (c->loss_b - c->loss_a) / (double)c->both : 0;

        if (c->label >= 0 && rise > margin)
            return ot_fail(err, OT_EDATA,
                           "regression: the mean loss of class '%s' may rise by %g, got %.4g",
                           ot_pdb_class(&d->db, c->label, name, sizeof name), margin, rise);
    }
    return 0;
}

/* ---- the command line ------------------------------------------------------------------------ */

struct args {
    struct ot_pout out;
    const char *margin_text, *runs[2], *pos[2];
    bool has_runs;
    int most; /* -1: regressions are no failure */
    double margin;
    int n_pos;
};

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == 0;
}

/* Two options do not fit a table: "--runs A B" has two values, that of --fail-on-regression may be
 * missing.  They are taken out of argv. */
static int take_odd(struct args *a, int *argc, char **argv, struct ot_err *err)
{
    int n = 1;

    a->most = -1;
    for (int i = 1; i < *argc; i++) {
        const char *fail = "--fail-on-regression";

        if (strcmp(argv[i], "--runs") == 0) {
            if (i + 2 >= *argc || !is_number(argv[i + 1]) || !is_number(argv[i + 2]))
                return ot_fail(err, OT_EUSAGE, "--runs: wants two runs, got '%s'",
                               i + 1 < *argc ? argv[i + 1] : "the end of the line");
            a->has_runs = true;
            a->runs[0] = argv[++i];
            a->runs[1] = argv[++i];
        } else if (strncmp(argv[i], fail, strlen(fail)) == 0) {
            const char *rest = argv[i] + strlen(fail);

            a->most = 0;
            if (*rest == '=' && is_number(rest + 1))
                a->most = (int)strtol(rest + 1, NULL, 10);
            else if (*rest)
                return ot_fail(err, OT_EUSAGE, "%s: wants a number of rows, got '%s'", fail, rest);
            else if (i + 1 < *argc && is_number(argv[i + 1]))
                a->most = (int)strtol(argv[++i], NULL, 10);
        } else {
            argv[n++] = argv[i];
        }
    }
    *argc = n;
    return 0;
}

static int parse(struct args *a, int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt own[] = { { "--margin", OT_OPT_TEXT, &a->margin_text }, { 0 } };
    char *end;

    if (take_odd(a, &argc, argv, err) < 0)
        return err->code;
    a->n_pos = ot_pcmd_options(own, &a->out, argc, argv, a->pos, a->has_runs ? 1 : 2,
                               a->has_runs ? 1 : 2, err);
    if (a->n_pos < 0)
        return err->code;
    if (ot_pcmd_no_run(&a->out, err) < 0)
        return err->code;
    a->margin = a->margin_text ? strtod(a->margin_text, &end) : (double)NAN;
    if (a->margin_text && (end == a->margin_text || *end || !(a->margin >= 0)))
        return ot_fail(err, OT_EUSAGE, "--margin: wants a number that is not negative, got '%s'",
                       a->margin_text);
    return 0;
}

static int at_end_of(const struct ot_pdb *d, const char *run, struct ot_night *n,
                     struct ot_err *err)
{
    int64_t id;

    if (ot_pdb_run(d, strtoull(run, NULL, 10), &id, err) < 0)
        return err->code;
    return ot_night_load_at(d, id, INT64_MAX, n, err);
}

static int same_data(const struct ot_pdb *a, const struct ot_pdb *b, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(a, err, "SELECT fingerprint, path FROM dataset");
    int rc = 0;

    if (s && sqlite3_step(s) == SQLITE_ROW &&
        !ot_pdb_int(b, 0, "SELECT count(*) FROM dataset WHERE fingerprint=%Q", ot_pdb_str(s, 0)))
        rc = ot_fail(err, OT_ECONFIG,
                     "pool '%s': must be about the data set of '%s' ('%s'), got "
                     "another",
                     b->path, a->path, ot_pdb_str(s, 1));
    (void)sqlite3_finalize(s);
    return s ? rc : err->code;
}

static int load_both(struct diff *d, const struct args *a, struct ot_err *err)
{
    if (ot_pdb_open(a->pos[0], &d->da, err) < 0 ||
        ot_pdb_open(a->pos[a->has_runs ? 0 : 1], &d->db, err) < 0)
        return err->code;
    if (a->has_runs)
        return at_end_of(&d->da, a->runs[0], &d->a, err) < 0
                   ? err->code
                   : at_end_of(&d->db, a->runs[1], &d->b, err);
    if (same_data(&d->da, &d->db, err) < 0 || ot_night_load(&d->da, &d->a, err) < 0)
        return err->code;
    return ot_night_load(&d->db, &d->b, err);
}

int ot_pcmd_diff(int argc, char **argv, struct ot_err *err)
{
    struct args a = { .out = { .limit = 20 } };
    struct diff d = { 0 };
    int rc = parse(&a, argc, argv, err);

    if (rc == 0)
        rc = load_both(&d, &a, err);
    if (rc == 0)
        rc = ot_night_diff(&d.a, &d.b, visit, &d, err);
    if (rc == 0 && d.n_changed)
        qsort(d.changed, d.n_changed, sizeof *d.changed, worse_first);
    if (rc == 0 && d.n_classes)
        qsort(d.class, d.n_classes, sizeof *d.class, by_label);
    if (rc == 0)
        rc = print(&d, &a.out, err);
    if (rc == 0)
        rc = judge(&d, a.most, a.margin, err);
    ot_night_release(&d.a);
    ot_night_release(&d.b);
    ot_free(d.class);
    ot_free(d.changed);
    ot_pdb_close(&d.da);
    ot_pdb_close(&d.db);
    return rc;
}
