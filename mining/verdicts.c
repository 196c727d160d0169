/*
 * verdicts.c - what persons say, from three places to one set.
 *
 * An overlay (read once), the file of verdicts, and the pool's own table are read when they change;
 * every row is resolved to (sample, kind, slot) through the data set; of several about one instance
 * the last one of the last source holds (overlay < file < pool).  The set is handed to the trainer
 * when it changed, and the pool's table says of every row what became of it (verdict_table.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "mining/overlay.h"
#include "mining/pool_impl.h"

/* ---- lists ----------------------------------------------------------------------------------- */

int ot_said_add(struct ot_said_list *list, struct ot_said **s, struct ot_err *err)
{
    if (ot_grow(&list->v, &list->cap, list->n + 1, sizeof *list->v, err) < 0)
        return err->code;
    *s = &list->v[list->n++];
    **s = (struct ot_said){ .applied_run = -1 };
    return 0;
}

void ot_said_release(struct ot_said_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        ot_free(list->v[i].key);
        ot_free(list->v[i].verdict);
        ot_free(list->v[i].who);
        ot_free(list->v[i].note);
        ot_free(list->v[i].at);
    }
    ot_free(list->v);
    *list = (struct ot_said_list){ 0 };
}

static int take_text(sqlite3_stmt *row, int column, char **to, struct ot_err *err)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL)
        return 0;
    *to = ot_strdup(ot_sql_text(row, column), err);
    return *to ? 0 : err->code;
}

static bool take_int(sqlite3_stmt *row, int column, int64_t *to)
{
    *to = sqlite3_column_int64(row, column);
    return sqlite3_column_type(row, column) == SQLITE_INTEGER;
}

int ot_said_take(sqlite3_stmt *row, struct ot_said *s, struct ot_err *err)
{
    s->id = sqlite3_column_int64(row, 0);
    s->has_inst = take_int(row, 1, &s->inst);
    s->has_kind = take_int(row, 3, &s->kind);
    s->has_slot = take_int(row, 4, &s->slot);
    s->has_label = take_int(row, 6, &s->label);
    if (take_text(row, 2, &s->key, err) < 0 || take_text(row, 5, &s->verdict, err) < 0 ||
        take_text(row, 7, &s->who, err) < 0 || take_text(row, 8, &s->note, err) < 0 ||
        take_text(row, 9, &s->at, err) < 0)
        return err->code;
    return 0;
}

/* ---- resolving ------------------------------------------------------------------------------- */

/* Key, kind and slot of a row that is named by inst_id.  One that has left the pool since is known
 * by what was noted when it was obeyed. */
static int fill_from_inst(struct ot_pool *p, struct ot_said *s, bool *found, struct ot_err *err)
{
    static const char query[] =
        "SELECT lmdb_key,kind,slot FROM inst JOIN sample USING(sample_id) WHERE inst_id=?1 "
        "UNION ALL SELECT lmdb_key,kind,slot FROM verdict "
        "WHERE inst_id=?1 AND lmdb_key IS NOT NULL AND kind IS NOT NULL AND slot IS NOT NULL";
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(p->db, query, -1, &q, NULL);

    *found = false;
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_int64(q, 1, s->inst);
        rc = sqlite3_step(q);
    }
    if (rc == SQLITE_ROW) {
        ot_free(s->key);
        s->key = ot_strdup(ot_sql_text(q, 0), err);
        s->kind = sqlite3_column_int64(q, 1);
        s->slot = sqlite3_column_int64(q, 2);
        *found = s->has_kind = s->has_slot = true;
    } else if (rc != SQLITE_DONE) {
        (void)ot_sql_fail(p->db, err, "finding the instance of a verdict");
    }
    (void)sqlite3_finalize(q);
    return err->code;
}

static const char *const verdict_name[] = { [OT_VERDICT_MISLABELLED] = "mislabelled",
                                            [OT_VERDICT_HARD] = "hard",
                                            [OT_VERDICT_IGNORE] = "ignore",
                                            [OT_VERDICT_RELABEL] = "relabel" };

static int kind_of_verdict(const char *name)
{
    for (int i = 0; name && i < 4; i++)
        if (strcmp(name, verdict_name[i]) == 0)
            return i;
    return -1;
}

/* Into `why` what is wrong with it; false then. */
static bool is_possible(struct ot_pool *p, struct ot_said *s, char *why, size_t n)
{
    int what = kind_of_verdict(s->verdict);
    int64_t kind = s->has_kind ? s->kind : 0, slot = s->has_slot ? s->slot : 0;
    int64_t sample = s->key && p->find ? p->find(p->key_ctx, s->key) : -1;

    why[0] = '\0';
    if (!s->key)
        (void)snprintf(why, n, "there is no inst_id %lld", (long long)s->inst);
    else if (sample < 0 || sample > UINT32_MAX)
        (void)snprintf(why, n, "the data set has no key '%.100s'", s->key);
    else if (kind < 0 || kind > OT_KIND_TILE)
        (void)snprintf(why, n, "kind must be 0 to 3, got %lld", (long long)kind);
    else if (slot < 0 || slot > OT_SLOT_MAX)
        (void)snprintf(why, n, "slot must be 0 to %d, got %lld", OT_SLOT_MAX, (long long)slot);
    else if (what < 0)
        (void)snprintf(why, n, "verdict must be mislabelled, hard, ignore or relabel, got '%.60s'",
                       s->verdict ? s->verdict : "");
    else if (what == OT_VERDICT_RELABEL && kind == OT_KIND_BG_ROI)
        (void)snprintf(why, n, "a background RoI keeps its label; say ignore");
    else if (what == OT_VERDICT_RELABEL && !s->has_label)
        (void)snprintf(why, n, "relabel needs new_label");
    else if (what == OT_VERDICT_RELABEL &&
             (s->label < 0 || s->label > INT32_MAX || (p->n_classes && s->label >= p->n_classes)))
        (void)snprintf(why, n, "new_label must be 0 to %d, got %lld",
                       p->n_classes ? p->n_classes - 1 : INT32_MAX, (long long)s->label);
    else
        s->v = (struct ot_verdict){ .sample = (uint32_t)sample,
                                    .kind = (uint8_t)kind,
                                    .what = (uint8_t)what,
                                    .slot = (int32_t)slot,
                                    .label = what == OT_VERDICT_RELABEL ? (int32_t)s->label : -1 };
    return why[0] == '\0';
}

static void set_outcome(struct ot_pool *p, struct ot_said *s, const char *text)
{
    int64_t run = strcmp(text, "obeyed") == 0 ? p->run : -1;

    if (strcmp(s->outcome, text) == 0 && s->applied_run == run)
        return;
    s->changed = true;
    s->applied_run = run;
    (void)snprintf(s->outcome, sizeof s->outcome, "%s", text);
}

static int resolve(struct ot_pool *p, struct ot_said_list *list, struct ot_err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct ot_said *s = &list->v[i];
        bool had_key = s->key && s->has_kind && s->has_slot, found = false;
        char why[160];

        if (s->has_inst && fill_from_inst(p, s, &found, err) < 0)
            return err->code;
        s->changed = s->changed || (found && !had_key);
        s->resolved = is_possible(p, s, why, sizeof why);
        if (!s->resolved)
            set_outcome(p, s, why);
    }
    return 0;
}

/* ---- the set --------------------------------------------------------------------------------- */

static int by_instance(const void *a, const void *b)
{
    const struct ot_said *x = *(struct ot_said *const *)a, *y = *(struct ot_said *const *)b;
    int order = ot_verdict_order(&x->v, &y->v);

    if (order)
        return order;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The verdicts that hold, in the order of their instances; *v is owned by the caller. */
static int choose(struct ot_pool *p, struct ot_verdict **v, size_t *n, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    struct ot_said_list *const lists[] = { &d->overlay, &d->from_file, &d->from_pool };
    size_t all = d->overlay.n + d->from_file.n + d->from_pool.n, k = 0;
    struct ot_said **order = ot_alloc(all, sizeof *order, err);

    *n = 0;
    *v = ot_alloc(all, sizeof **v, err);
    if (!order || !*v) {
        ot_free(order);
        ot_free(*v);
        *v = NULL;
        return err->code;
    }
    for (int i = 0; i < 3; i++)
        for (size_t j = 0; j < lists[i]->n; j++)
            if (lists[i]->v[j].resolved)
                order[k++] = &lists[i]->v[j];
    qsort(order, k, sizeof *order, by_instance);
    for (size_t i = 0; i < k; i++)
        if (i + 1 < k && ot_verdict_order(&order[i]->v, &order[i + 1]->v) == 0) {
            set_outcome(p, order[i], "overruled by a later verdict");
        } else {
            set_outcome(p, order[i], "obeyed");
            (*v)[(*n)++] = order[i]->v;
        }
    ot_free(order);
    return 0;
}

static bool is_same(const struct ot_verdict *a, const struct ot_verdict *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ot_verdict_order(&a[i], &b[i]) || a[i].what != b[i].what || a[i].label != b[i].label)
            return false;
    return true;
}

/* Those that are not obeyed are a person's mistake: the first is told, the view `steering` has all.
 */
static void tell(const struct ot_verdicts *d, size_t n)
{
    const struct ot_said_list *const lists[] = { &d->overlay, &d->from_file, &d->from_pool };
    const struct ot_said *first = NULL;
    size_t bad = 0;

    for (int i = 0; i < 3; i++)
        for (size_t j = 0; j < lists[i]->n; j++)
            if (!lists[i]->v[j].resolved) {
                first = first ? first : &lists[i]->v[j];
                bad++;
            }
    ot_log(OT_LOG_INFO, "pool", "%zu verdict%s in force", n, n == 1 ? " is" : "s are");
    if (first)
        ot_log(OT_LOG_WARN, "pool",
               "%zu verdict%s not obeyed, the first is number %lld of the %s: %s", bad,
               bad == 1 ? " is" : "s are", (long long)first->id, ot_source_name[first->source],
               first->outcome);
}

static int publish(struct ot_pool *p, struct ot_verdict *v, size_t n, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    struct ot_verdict *copy;

    if (n == d->n_said && is_same(v, d->said, n) && !d->snapshot_holds) {
        ot_free(v);
        return 0;
    }
    copy = ot_alloc(n, sizeof *copy, err);
    if (!copy) {
        ot_free(v);
        return err->code;
    }
    if (n)
        memcpy(copy, v, n * sizeof *v);
    ot_free(d->said);
    d->said = v;
    d->n_said = n;
    d->snapshot_holds = false;
    tell(d, n);
    if (p->has_mutex)
        (void)pthread_mutex_lock(&p->mutex);
    ot_free(p->fresh);
    p->fresh = copy;
    p->n_fresh = n;
    p->is_fresh = true;
    if (p->has_mutex)
        (void)pthread_mutex_unlock(&p->mutex);
    return 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Once per complaint, not once per look. */
static void complain(struct ot_verdicts *d, const struct ot_err *err)
{
    if (strncmp(d->complained, err->text, sizeof d->complained - 1) == 0)
        return;
    (void)snprintf(d->complained, sizeof d->complained, "%s", err->text);
    ot_log(OT_LOG_WARN, "pool", "%s; the verdicts that held go on to hold", err->text);
}

static void hint(struct ot_pool *p)
{
    struct ot_verdicts *d = &p->verdicts;

    for (size_t i = 0; i < d->from_pool.n && !d->hinted; i++)
        if (d->from_pool.v[i].outcome[0] == '\0' && sqlite3_libversion_number() < OT_WAL_FIXED) {
            d->hinted = true;
            ot_log(
                OT_LOG_WARN, "pool",
                "verdicts were written into '%s' itself; they are obeyed, but with SQLite %s two "
                "writers can damage a file: better write them into '%s'",
                p->path, sqlite3_libversion(), d->path);
        }
}

/* 1: something has changed. */
static int look(struct ot_pool *p, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    struct ot_said_list list = { 0 };
    int64_t version = ot_sql_int(p->db, "PRAGMA data_version", -1);
    bool in_pool = version != d->pool_version || version == -1;
    int rc = ot_verdict_file_read(p, &list, err);

    if (rc > 0) {
        ot_said_release(&d->from_file);
        d->from_file = list;
        d->complained[0] = '\0';
    } else {
        ot_said_release(&list);
    }
    if (rc < 0)
        return rc;
    if (in_pool) {
        list = (struct ot_said_list){ 0 };
        if (ot_verdict_table_read(p, &list, err) < 0) {
            ot_said_release(&list);
            return err->code;
        }
        ot_said_release(&d->from_pool);
        d->from_pool = list;
        d->pool_version = version;
        hint(p);
    }
    return rc > 0 || in_pool;
}

static int settle(struct ot_pool *p, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    struct ot_verdict *v = NULL;
    size_t n = 0;

    if (resolve(p, &d->overlay, err) < 0 || resolve(p, &d->from_file, err) < 0 ||
        resolve(p, &d->from_pool, err) < 0 || choose(p, &v, &n, err) < 0)
        return err->code;
    ot_verdicts_plan_mirror(d);
    return publish(p, v, n, err);
}

void ot_verdicts_look(struct ot_pool *p)
{
    struct ot_err err = OT_ERR_INIT;
    int rc = look(p, &err);

    if (rc > 0)
        rc = settle(p, &err);
    if (rc < 0 && err.code != OT_EBUSY)
        complain(&p->verdicts, &err);
}

static int64_t find_nothing(void *ctx, const char *key)
{
    (void)ctx;
    (void)key;
    return -1;
}

/* The overlay as rows of the same shape as those of the other two. */
static int read_overlay(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    struct ot_said_list *list = &p->verdicts.overlay;
    struct ot_verdict *v = NULL;
    size_t n = 0;

    if (!c->overlay)
        return 0;
    if (ot_overlay_read(c->overlay, p->find ? p->find : find_nothing, p->key_ctx, c->n_classes,
                        c->class_name, &v, &n, err) < 0)
        return err->code;
    for (size_t i = 0; i < n && !err->code; i++) {
        char key[512];
        struct ot_said *s = NULL;

        if (ot_said_add(list, &s, err) < 0)
            break;
        s->source = OT_FROM_OVERLAY;
        s->id = (int64_t)i + 1;
        s->kind = v[i].kind;
        s->slot = v[i].slot;
        s->label = v[i].label;
        s->has_kind = s->has_slot = true;
        s->has_label = v[i].what == OT_VERDICT_RELABEL;
        s->verdict = ot_strdup(verdict_name[v[i].what], err);
        s->key = ot_strdup(p->key(p->key_ctx, v[i].sample, key, sizeof key), err);
    }
    ot_free(v);
    return err->code;
}

int ot_verdicts_open(struct ot_pool *p, const struct ot_pool_conf *conf, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    struct ot_str path = { 0 };

    d->file_version = d->pool_version = -1;
    d->snapshot_holds = conf->parent_run != 0;
    ot_str_printf(&path, conf->verdicts ? "%s" : "%s.verdicts",
                  conf->verdicts ? conf->verdicts : conf->path);
    if (ot_str_ok(&path, err) < 0)
        return err->code;
    d->path = ot_str_take(&path);
    if (read_overlay(p, conf, err) < 0)
        return err->code;
    if (ot_verdict_file_create(d->path, err) < 0)
        return err->code;
    if (look(p, err) < 0 && err->code != OT_EBUSY)
        return err->code;
    if (err->code && d->snapshot_holds) { /* its verdicts hold until the file can be read */
        *err = (struct ot_err)OT_ERR_INIT;
        return 0;
    }
    *err = (struct ot_err)OT_ERR_INIT;
    if (settle(p, err) < 0)
        return err->code;
    if (!d->mirror)
        return 0;
    if (ot_sql(p->db, err, "BEGIN IMMEDIATE") < 0 || ot_verdicts_mirror(p, err) < 0)
        return err->code;
    return ot_sql(p->db, err, "COMMIT");
}

void ot_verdicts_release(struct ot_pool *p)
{
    struct ot_verdicts *d = &p->verdicts;

    ot_verdict_file_close(d);
    ot_said_release(&d->overlay);
    ot_said_release(&d->from_file);
    ot_said_release(&d->from_pool);
    ot_free(d->said);
    ot_free(d->path);
    ot_free(p->fresh);
}
