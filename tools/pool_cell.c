/*
 * pool_cell.c - which instances are shown.
 *
 * The view is asked for ids only, so that every view with an inst_id can be drawn; what is said of
 * an instance is read by id.  SQLite keeps the order of a view in a plain SELECT from it.
 */
#include "tools/pool_cell.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static int no_view(const struct ot_pdb *d, const char *view, struct ot_err *err)
{
    struct ot_str names = { 0 };
    sqlite3_stmt *s = ot_pdb_query(
        d, err,
        "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c "
        "WHERE m.type='view' AND c.name='inst_id' ORDER BY m.name");

    if (!s)
        return err->code;
    while (ot_pdb_step(d, s, err) == 1)
        ot_str_printf(&names, "%s%s", names.len ? ", " : "", ot_pdb_str(s, 0));
    (void)sqlite3_finalize(s);
    (void)ot_fail(err, OT_EUSAGE, "--view: must be one of %s, got '%s'",
                  names.buf ? names.buf : "none", view);
    ot_str_release(&names);
    return err->code;
}

static bool is_number(const char *text, int *label)
{
    char *end;
    long v = strtol(text, &end, 10);

    *label = (int)v;
    return end != text && !*end && v >= 0 && v <= INT_MAX;
}

/* The label of a class by name (n bytes of it) or number. */
static bool find_class(const struct ot_pdb *d, const char *name, int n, int *label)
{
    char number[16];
    int64_t v = ot_pdb_int(d, -1, "SELECT label FROM class WHERE name=%.*Q COLLATE NOCASE", n,
                           name);

    *label = (int)v;
    if (v >= 0)
        return true;
    if (n <= 0 || n >= (int)sizeof number)
        return false;
    memcpy(number, name, (size_t)n);
    number[n] = '\0';
    return is_number(number, label);
}

/* Names may hold commas: the first one that leaves two classes. */
static int find_pair(const struct ot_pdb *d, const char *text, int *truth, int *predicted,
                     struct ot_err *err)
{
    for (const char *p = strchr(text, ','); p; p = strchr(p + 1, ','))
        if (find_class(d, text, (int)(p - text), truth) &&
            find_class(d, p + 1, (int)strlen(p + 1), predicted))
            return 0;
    return ot_fail(err, OT_EUSAGE, "--confusion: wants two classes TRUTH,PREDICTED, got '%s'",
                   text);
}

/* The condition on an inst_id that the filters make, "1" without any. */
static int condition(const struct ot_pdb *d, const struct ot_pool_pick *pick, struct ot_str *where,
                     struct ot_err *err)
{
    int label = 0, truth = 0, predicted = 0;

    ot_str_puts(where, pick->label || pick->confusion || pick->pair
                           ? "inst_id IN (SELECT inst_id FROM inst WHERE 1"
                           : "(1");
    if (pick->label) {
        if (!find_class(d, pick->label, (int)strlen(pick->label), &label)) {
            (void)ot_fail(err, OT_EUSAGE, "--class: no such class, got '%s'", pick->label);
            return err->code;
        }
        ot_str_printf(where, " AND label=%d", label);
    }
    if (pick->pair)
        ot_str_printf(where, " AND label=%d AND pred=%d", pick->pair[0], pick->pair[1]);
    if (pick->confusion) {
        if (find_pair(d, pick->confusion, &truth, &predicted, err) < 0)
            return err->code;
        ot_str_printf(where, " AND label=%d AND pred=%d", truth, predicted);
    }
    ot_str_puts(where, ")");
    return ot_str_ok(where, err);
}

/* A text of the file for people: UTF-8 beyond ASCII stays, control characters do not. */
static void copy_text(char *to, size_t n, const char *from)
{
    (void)snprintf(to, n, "%s", from);
    for (; *to; to++)
        if ((unsigned char)*to < ' ' || *to == 0x7f)
            *to = '?';
}

static void read_box(sqlite3_stmt *s, int column, struct ot_pool_cell *c)
{
    c->has_box = c->kind != 0;
    for (int i = 0; i < 4; i++) {
        double v = ot_pdb_real(s, column + i);

        c->has_box = c->has_box && v >= 0 && v <= 1;
        c->box[i] = (float)v;
    }
    c->has_box = c->has_box && c->box[0] < c->box[2] && c->box[1] < c->box[3];
}

static void read_cell(sqlite3_stmt *s, struct ot_pool_cell *c)
{
    c->inst = sqlite3_column_int64(s, 0);
    copy_text(c->key, sizeof c->key, ot_pdb_str(s, 1));
    c->kind = sqlite3_column_int(s, 2);
    c->slot = sqlite3_column_int(s, 3);
    c->label = sqlite3_column_int(s, 4);
    c->has_pred = sqlite3_column_type(s, 5) != SQLITE_NULL;
    c->pred = sqlite3_column_int(s, 5);
    c->state = sqlite3_column_int(s, 6);
    c->loss = ot_pdb_real(s, 7);
    c->p_label = ot_pdb_real(s, 8);
    c->p_pred = ot_pdb_real(s, 9);
    c->n_seen = sqlite3_column_int(s, 10);
    c->n_reinj = sqlite3_column_int(s, 11);
    c->n_contra = sqlite3_column_int(s, 12);
    copy_text(c->name, sizeof c->name, ot_pdb_str(s, 13));
    copy_text(c->other, sizeof c->other, ot_pdb_str(s, 14));
    read_box(s, 15, c);
}

static int read_one(const struct ot_pdb *d, sqlite3_stmt *s, int64_t id, struct ot_cells *out,
                    struct ot_err *err)
{
    int rc;

    if (ot_grow(&out->cell, &out->cap, out->n + 1, sizeof *out->cell, err) < 0)
        return err->code;
    (void)sqlite3_reset(s);
    (void)sqlite3_bind_int64(s, 1, id);
    rc = ot_pdb_step(d, s, err);
    if (rc == 1)
        read_cell(s, &out->cell[out->n++]);
    return rc < 0 ? rc : 0;
}

static int read_all(const struct ot_pdb *d, sqlite3_stmt *ids, struct ot_cells *out,
                    struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(
        d, err,
        "SELECT i.inst_id,s.lmdb_key,i.kind,i.slot,i.label,i.pred,i.state,i.loss_ema,i.p_label,"
        "i.p_pred,i.n_seen,i.n_reinj,i.n_contra,coalesce(c.name,i.label),coalesce(p.name,i.pred),"
        "i.x0,i.y0,i.x1,i.y1 FROM inst i JOIN sample s USING(sample_id) "
        "LEFT JOIN class c ON c.label=i.label LEFT JOIN class p ON p.label=i.pred "
        "WHERE i.inst_id=?1");
    int rc = s ? 1 : (int)err->code;

    while (rc == 1) {
        rc = ot_pdb_step(d, ids, err);
        if (rc == 1 && read_one(d, s, sqlite3_column_int64(ids, 0), out, err) < 0)
            rc = err->code;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

/* A pair of classes without a view: as the view confusion counts them. */
static const char pair_view[] = "(SELECT inst_id FROM inst WHERE state NOT IN(2,5) AND planted=0 "
                                "ORDER BY loss_ema DESC, inst_id)";

int ot_cells_pick(const struct ot_pdb *d, const struct ot_pool_pick *pick, struct ot_cells *out,
                  struct ot_err *err)
{
    const char *view = pick->view ? pick->view : "hardest";
    struct ot_str where = { 0 };
    sqlite3_stmt *ids;
    char *from;
    int rc = condition(d, pick, &where, err);

    *out = (struct ot_cells){ 0 };
    if (rc == 0 &&
        ot_pdb_int(d, 0, "SELECT count(*) FROM pragma_table_info(%Q) WHERE name='inst_id'", view) ==
            0)
        rc = no_view(d, view, err);
    if (rc < 0) {
        ot_str_release(&where);
        return rc;
    }
    from = !pick->view && (pick->confusion || pick->pair) ? sqlite3_mprintf("%s", pair_view)
                                                          : sqlite3_mprintf("\"%w\"", view);
    ids = ot_pdb_query(d, err, "SELECT inst_id FROM %s WHERE %s LIMIT %d", from ? from : "inst",
                       where.buf, pick->limit ? pick->limit : -1);
    rc = ids ? read_all(d, ids, out, err) : (int)err->code;
    (void)sqlite3_finalize(ids);
    if (rc == 0)
        out->total = ot_pdb_int(d, 0, "SELECT count(*) FROM %s WHERE %s", from ? from : "inst",
                                where.buf);
    sqlite3_free(from);
    ot_str_release(&where);
    if (rc < 0)
        ot_cells_release(out);
    return rc;
}

void ot_cells_release(struct ot_cells *c)
{
    for (size_t i = 0; i < c->n; i++)
        ot_image_release(&c->cell[i].picture);
    ot_free(c->cell);
    *c = (struct ot_cells){ 0 };
}
