/*
 * overlay.c - reading corrections: SQLite's JSON functions take a line apart, in a connection
 * without a file; what each member may be is decided here.
 */
#include "mining/overlay.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

enum { FILE_LIMIT = 1 << 30 };

/* Columns of the query: type and value of each member. */
enum { ROOT, KEY_TYPE, KEY, KIND_TYPE, KIND, SLOT_TYPE, SLOT, WHAT_TYPE, WHAT, LABEL_TYPE, LABEL };

static const char query[] =
    "SELECT json_type(?1), json_type(?1,'$.key'), json_extract(?1,'$.key'), "
    "json_type(?1,'$.kind'), json_extract(?1,'$.kind'), "
    "json_type(?1,'$.slot'), json_extract(?1,'$.slot'), "
    "json_type(?1,'$.verdict'), json_extract(?1,'$.verdict'), "
    "json_type(?1,'$.label'), json_extract(?1,'$.label')";

struct entry {
    struct ot_verdict v;
    size_t line;
};

struct reader {
    const char *path;
    int64_t (*find)(void *ctx, const char *key);
    void *ctx;
    int n_classes;
    const char *const *class_name;
    sqlite3 *db;
    sqlite3_stmt *st;
    struct entry *entry;
    size_t n, cap, line;
};

static int bad(const struct reader *r, struct ot_err *err)
{
    return ot_err_at(err, (struct ot_loc){ r->path, (int)r->line, 0 });
}

static const char *type_of(const struct reader *r, int column)
{
    const char *t = (const char *)sqlite3_column_text(r->st, column);

    return t ? t : "";
}

static const char *text_of(const struct reader *r, int column)
{
    const char *t = (const char *)sqlite3_column_text(r->st, column);

    return t ? t : "null";
}

static bool given(const struct reader *r, int type_column)
{
    const char *t = type_of(r, type_column);

    return *t && strcmp(t, "null") != 0;
}

/* A whole number in [lo, hi]. */
static bool whole(const struct reader *r, int column, int64_t lo, int64_t hi, int32_t *v)
{
    int64_t x = sqlite3_column_int64(r->st, column);

    if (strcmp(type_of(r, column - 1), "integer") != 0 ||
        sqlite3_column_type(r->st, column) != SQLITE_INTEGER || x < lo || x > hi)
        return false;
    *v = (int32_t)x;
    return true;
}

/* Index of a text member among names, -1: none of them. */
static int named(const struct reader *r, int column, const char *const *name, int n)
{
    for (int i = 0; i < n && !strcmp(type_of(r, column - 1), "text"); i++)
        if (name[i] && !strcmp(text_of(r, column), name[i]))
            return i;
    return -1;
}

static int read_key(const struct reader *r, struct ot_verdict *v, struct ot_err *err)
{
    int64_t at;

    if (strcmp(type_of(r, KEY_TYPE), "text") != 0)
        return ot_fail(err, OT_EDATA, "key: must be a text, got %.100s", text_of(r, KEY));
    at = r->find(r->ctx, text_of(r, KEY));
    if (at < 0)
        return ot_fail(err, OT_EDATA, "key: must be one of the data set's, got '%.200s'",
                       text_of(r, KEY));
    v->sample = (uint32_t)at;
    return 0;
}

static int read_instance(const struct reader *r, struct ot_verdict *v, struct ot_err *err)
{
    static const char *const kinds[] = { "image", "box" };
    int32_t kind = named(r, KIND, kinds, 2);

    if (!given(r, KIND_TYPE))
        kind = OT_KIND_IMAGE;
    else if (kind < 0 && !whole(r, KIND, OT_KIND_IMAGE, OT_KIND_GT_ROI, &kind))
        return ot_fail(err, OT_EDATA, "kind: must be \"image\" or \"box\", got %.100s",
                       text_of(r, KIND));
    v->kind = (uint8_t)kind;
    v->slot = 0;
    if (!given(r, SLOT_TYPE) && v->kind == OT_KIND_IMAGE)
        return 0;
    if (!whole(r, SLOT, 0, v->kind == OT_KIND_IMAGE ? 0 : INT32_MAX, &v->slot))
        return ot_fail(err, OT_EDATA, "slot: must be %s, got %.100s",
                       v->kind == OT_KIND_IMAGE ? "0 for an image" : "the index of the box",
                       text_of(r, SLOT));
    return 0;
}

static int read_label(const struct reader *r, struct ot_verdict *v, struct ot_err *err)
{
    int n = r->n_classes, i = r->class_name ? named(r, LABEL, r->class_name, n) : -1;

    if (!given(r, LABEL_TYPE))
        return ot_fail(err, OT_EDATA, "label: a relabel needs one");
    if (i >= 0)
        v->label = i;
    else if (!strcmp(type_of(r, LABEL_TYPE), "text"))
        return ot_fail(err, OT_EDATA, "label: must be a number or one of the class names, got '%s'",
                       text_of(r, LABEL));
    else if (!whole(r, LABEL, 0, n > 0 ? n - 1 : INT32_MAX, &v->label))
        return ot_fail(err, OT_EDATA, "label: must be in [0, %d], got %.100s",
                       n > 0 ? n - 1 : INT32_MAX, text_of(r, LABEL));
    return 0;
}

static int read_verdict(const struct reader *r, struct ot_verdict *v, struct ot_err *err)
{
    static const char *const what[] = { "mislabelled", "hard", "ignore", "relabel" };
    int i = named(r, WHAT, what, 4);

    if (!given(r, WHAT_TYPE) && given(r, LABEL_TYPE))
        i = OT_VERDICT_RELABEL;
    if (i < 0)
        return ot_fail(err, OT_EDATA,
                       "verdict: must be mislabelled, hard, ignore or relabel, got %.100s",
                       text_of(r, WHAT));
    v->what = (uint8_t)i;
    v->label = 0;
    return i == OT_VERDICT_RELABEL ? read_label(r, v, err) : 0;
}

static int read_object(struct reader *r, struct ot_err *err)
{
    struct ot_verdict *v;

    if (strcmp(type_of(r, ROOT), "object") != 0)
        return ot_fail(err, OT_EDATA, "wanted a JSON object, got %s", type_of(r, ROOT));
    if (ot_grow(&r->entry, &r->cap, r->n + 1, sizeof *r->entry, err) < 0)
        return err->code;
    v = &r->entry[r->n].v;
    r->entry[r->n].line = r->line;
    if (read_key(r, v, err) < 0 || read_instance(r, v, err) < 0 || read_verdict(r, v, err) < 0)
        return err->code;
    r->n++;
    return 0;
}

static int read_line(struct reader *r, const char *line, size_t n, struct ot_err *err)
{
    int rc;

    r->line++;
    if (strspn(line, " \t\r") >= n)
        return 0;
    if (memchr(line, 0, n) || sqlite3_bind_text(r->st, 1, line, (int)n, SQLITE_STATIC) != SQLITE_OK)
        return ot_fail(err, OT_EDATA, "wanted a JSON object, got '%.100s'", line);
    rc = sqlite3_step(r->st);
    if (rc == SQLITE_NOMEM)
        rc = ot_fail(err, OT_ENOMEM, "out of memory");
    else if (rc != SQLITE_ROW)
        rc = ot_fail(err, OT_EDATA, "wanted a JSON object, got '%.*s' (%s)", n > 100 ? 100 : (int)n,
                     line, sqlite3_errmsg(r->db));
    else
        rc = read_object(r, err);
    (void)sqlite3_reset(r->st);
    return rc;
}

static int read_lines(struct reader *r, const char *text, size_t n, struct ot_err *err)
{
    for (const char *p = text, *end = text + n; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));

        stop = stop ? stop : end;
        if (read_line(r, p, (size_t)(stop - p), err) < 0)
            return bad(r, err);
        p = stop + 1;
    }
    return 0;
}

/* By identity, then by line. */
static int by_identity(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = ot_verdict_order(&x->v, &y->v);

    if (order)
        return order;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int hand_over(struct reader *r, struct ot_verdict **v, size_t *n, struct ot_err *err)
{
    *v = ot_alloc(r->n, sizeof **v, err);
    if (!*v)
        return err->code;
    if (r->n)
        qsort(r->entry, r->n, sizeof *r->entry, by_identity);
    for (size_t i = 0; i < r->n; i++)
        if (i + 1 == r->n || ot_verdict_order(&r->entry[i].v, &r->entry[i + 1].v))
            (*v)[(*n)++] = r->entry[i].v;
    return 0;
}

int ot_overlay_read(const char *path, int64_t (*find)(void *ctx, const char *key), void *ctx,
                    int n_classes, const char *const *class_name, struct ot_verdict **v, size_t *n,
                    struct ot_err *err)
{
    struct reader r = {
        .path = path, .find = find, .ctx = ctx, .n_classes = n_classes, .class_name = class_name
    };
    size_t size;
    char *text = ot_read_file(path, FILE_LIMIT, &size, err);
    int rc = text ? 0 : err->code;

    *v = NULL;
    *n = 0;
    if (rc == 0 && (sqlite3_open(":memory:", &r.db) != SQLITE_OK ||
                    sqlite3_prepare_v2(r.db, query, -1, &r.st, NULL) != SQLITE_OK))
        rc = ot_fail(err, OT_ENOTSUP, "SQLite %s: %s", sqlite3_libversion(),
                     r.db ? sqlite3_errmsg(r.db) : "out of memory");
    if (rc == 0)
        rc = read_lines(&r, text, size, err);
    if (rc == 0)
        rc = hand_over(&r, v, n, err);
    (void)sqlite3_finalize(r.st);
    (void)sqlite3_close(r.db);
    ot_free(r.entry);
    ot_free(text);
    return rc;
}
