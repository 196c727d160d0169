/*
 * verdict_table.c - the table verdict of the pool file: read where persons wrote into it, written
 * to say what became of every verdict.
 *
 * Rows with source 'file' or 'overlay' are copies, made anew when they change.  A row that names an
 * instance by inst_id gets its key, kind and slot noted: the instance may leave the pool, the
 * verdict holds.  What breaks the table's own checks is left out: a person's row never stops the
 * writer.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "mining/pool_impl.h"

const char *const ot_source_name[3] = { "overlay", "file", "pool" };

int ot_verdict_table_read(struct ot_pool *p, struct ot_said_list *out, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(p->db,
                                "SELECT verdict_id,inst_id,lmdb_key,kind,slot,verdict,new_label,"
                                "who,note,at,applied_run,outcome FROM verdict "
                                "WHERE source NOT IN('file','overlay') ORDER BY verdict_id",
                                -1, &s, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct ot_said *said;

        rc = SQLITE_OK;
        if (ot_said_add(out, &said, err) < 0 || ot_said_take(s, said, err) < 0)
            break;
        said->source = OT_FROM_POOL;
        if (sqlite3_column_type(s, 10) == SQLITE_INTEGER)
            said->applied_run = sqlite3_column_int64(s, 10);
        (void)snprintf(said->outcome, sizeof said->outcome, "%s", ot_sql_text(s, 11));
    }
    if (rc != SQLITE_DONE && !err->code)
        (void)ot_sql_fail(p->db, err, "reading verdicts");
    (void)sqlite3_finalize(s);
    return err->code;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
    return ot_hash64_more(h, text ? text : "\1", text ? strlen(text) + 1 : 1);
}

static uint64_t hash_list(uint64_t h, const struct ot_said_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct ot_said *s = &list->v[i];
        const int64_t num[] = { s->source,
                                s->has_inst ? s->inst : -1,
                                s->has_kind ? s->kind : -1,
                                s->has_slot ? s->slot : -1,
                                s->has_label ? s->label : -1,
                                s->applied_run };

        h = ot_hash64_more(h, num, sizeof num);
        h = hash_text(hash_text(hash_text(h, s->key), s->verdict), s->who);
        h = hash_text(hash_text(hash_text(h, s->note), s->at), s->outcome);
    }
    return h;
}

void ot_verdicts_plan_mirror(struct ot_verdicts *d)
{
    uint64_t h = hash_list(hash_list(ot_hash64("", 0), &d->overlay), &d->from_file);

    if (h != d->mirrored)
        d->mirror = true;
    d->mirrored = h;
    for (size_t i = 0; i < d->from_pool.n; i++)
        d->mirror = d->mirror || d->from_pool.v[i].changed;
}

static void bind_opt(sqlite3_stmt *q, int at, bool has, int64_t v)
{
    if (has)
        (void)sqlite3_bind_int64(q, at, v);
    else
        (void)sqlite3_bind_null(q, at);
}

static void bind_said(sqlite3_stmt *q, const struct ot_said *s)
{
    const char *const text[] = { s->key, s->outcome, s->verdict, s->who, s->note, s->at };

    bind_opt(q, 1, true, s->id);
    bind_opt(q, 2, s->has_kind, s->kind);
    bind_opt(q, 3, s->has_slot, s->slot);
    bind_opt(q, 4, s->applied_run >= 0, s->applied_run);
    for (int i = 0; i < 6; i++) /* a NULL text is bound as NULL */
        (void)sqlite3_bind_text(q, 5 + i, text[i], -1, SQLITE_STATIC);
    bind_opt(q, 11, s->has_inst, s->inst);
    bind_opt(q, 12, s->has_label, s->label);
    (void)sqlite3_bind_text(q, 13, ot_source_name[s->source], -1, SQLITE_STATIC);
}

static int put_list(struct ot_pool *p, struct ot_said_list *list, const char *query,
                    struct ot_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(p->db, query, -1, &q, NULL);

    for (size_t i = 0; rc == SQLITE_OK && i < list->n; i++) {
        struct ot_said *s = &list->v[i];

        if (s->source == OT_FROM_POOL && !s->changed)
            continue;
        bind_said(q, s);
        (void)sqlite3_step(q);
        rc = sqlite3_reset(q);
        s->changed = s->changed && rc != SQLITE_OK;
    }
    if (rc != SQLITE_OK)
        (void)ot_sql_fail(p->db, err, "writing verdicts");
    (void)sqlite3_finalize(q);
    return err->code;
}

int ot_verdicts_mirror(struct ot_pool *p, struct ot_err *err)
{
    struct ot_verdicts *d = &p->verdicts;
    static const char insert[] =
        "INSERT OR IGNORE INTO verdict(inst_id,lmdb_key,kind,slot,verdict,new_label,who,note,at,"
        "source,applied_run,outcome) VALUES(?11,?5,?2,?3,?7,?12,?8,?9,"
        "coalesce(?10,strftime('%Y-%m-%dT%H:%M:%SZ','now')),?13,?4,?6)";
    static const char update[] =
        "UPDATE OR IGNORE verdict SET kind=?2,slot=?3,applied_run=?4,lmdb_key=?5,outcome=?6 "
        "WHERE verdict_id=?1";

    if (ot_sql(p->db, err, "DELETE FROM verdict WHERE source IN('file','overlay')") < 0 ||
        put_list(p, &d->overlay, insert, err) < 0 || put_list(p, &d->from_file, insert, err) < 0 ||
        put_list(p, &d->from_pool, update, err) < 0)
        return err->code;
    d->mirror = false;
    return 0;
}
