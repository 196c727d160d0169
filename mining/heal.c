/*
 * heal.c - a file whose schema a person has changed.
 *
 * The schema of this version is run in memory and compared.  Views and indexes of ours that are
 * missing or different are made anew: they hold nothing.  A table or a column that is missing is
 * refused with its name: what was in it cannot be made.  More tables, columns, views and indexes
 * than ours do no harm.  Triggers do not fire in the trainer; that there is one on a table of ours
 * is said.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "mining/pool_impl.h"

struct patient {
    sqlite3 *db, *should; /* the file, and how it should be */
    const char *path;
    int remade;
};

static int each(sqlite3 *db, const char *query,
                int (*visit)(struct patient *t, sqlite3_stmt *row, struct ot_err *err),
                struct patient *t, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, query, -1, &s, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW && visit(t, s, err) == 0)
        rc = SQLITE_OK;
    if (rc != SQLITE_DONE && !err->code)
        (void)ot_sql_fail(t->db, err, "comparing the schema");
    (void)sqlite3_finalize(s);
    return err->code;
}

/* Number that `query` gives for one or two texts; -1 on an error. */
static int64_t count(sqlite3 *db, const char *query, const char *a, const char *b)
{
    sqlite3_stmt *s = NULL;
    int64_t n = -1;

    if (sqlite3_prepare_v2(db, query, -1, &s, NULL) == SQLITE_OK &&
        sqlite3_bind_text(s, 1, a, -1, SQLITE_STATIC) == SQLITE_OK &&
        (!b || sqlite3_bind_text(s, 2, b, -1, SQLITE_STATIC) == SQLITE_OK) &&
        sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return n;
}

static int check_column(struct patient *t, sqlite3_stmt *row, struct ot_err *err)
{
    const char *table = ot_sql_text(row, 0), *column = ot_sql_text(row, 1);

    if (count(t->db, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name=?1", table,
              NULL) != 1)
        return ot_fail(
            err, OT_EDATA,
            "pool '%s': table '%s' is missing; take a backup, or move the file away and a "
            "new one is made",
            t->path, table);
    if (count(t->db, "SELECT count(*) FROM pragma_table_info(?1) WHERE name=?2", table, column) !=
        1)
        return ot_fail(
            err, OT_EDATA,
            "pool '%s': table '%s' has no column '%s'; take a backup, or move the file away "
            "and a new one is made",
            t->path, table, column);
    return 0;
}

/* type, name and text of a view or an index of ours */
static int remake(struct patient *t, sqlite3_stmt *row, struct ot_err *err)
{
    const char *type = ot_sql_text(row, 0), *name = ot_sql_text(row, 1), *sql = ot_sql_text(row, 2);

    if (count(t->db, "SELECT count(*) FROM sqlite_schema WHERE name=?1 AND sql=?2", name, sql) == 1)
        return 0;
    if (t->remade++ == 0 && ot_sql(t->db, err, "BEGIN IMMEDIATE") < 0)
        return err->code;
    if (ot_sql(t->db, err, "DROP %s IF EXISTS \"%w\"", type, name) < 0 ||
        ot_sql(t->db, err, "%s", sql) < 0)
        return ot_err_wrap(err, "making %s '%s' anew", type, name);
    ot_log(OT_LOG_WARN, "pool", "'%s': %s '%s' was missing or changed, it is made anew", t->path,
           type, name);
    return 0;
}

static int tell_trigger(struct patient *t, sqlite3_stmt *row, struct ot_err *err)
{
    (void)err;
    ot_log(OT_LOG_WARN, "pool", "'%s': trigger '%s' on '%s' does not fire in the trainer", t->path,
           ot_sql_text(row, 0), ot_sql_text(row, 1));
    return 0;
}

int ot_pool_heal(sqlite3 *db, const char *path, const char *schema, const char *views,
                 struct ot_err *err)
{
    struct patient t = { .db = db, .path = path };

    if (sqlite3_open(":memory:", &t.should) != SQLITE_OK ||
        sqlite3_exec(t.should, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(t.should, views, NULL, NULL, NULL) != SQLITE_OK)
        (void)ot_fail(err, OT_ENOMEM, "pool '%s': its schema cannot be compared: %s", path,
                      t.should ? sqlite3_errmsg(t.should) : "no memory");
    else if (
        each(t.should,
             "SELECT m.name,c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c "
             "WHERE m.type='table'",
             check_column, &t, err) == 0 &&
        each(t.should,
             "SELECT type,name,sql FROM sqlite_schema WHERE type IN('view','index') AND sql<>''",
             remake, &t, err) == 0)
        (void)each(db, "SELECT name,tbl_name FROM sqlite_schema WHERE type='trigger'", tell_trigger,
                   &t, err);
    if (t.remade && !err->code)
        (void)ot_sql(db, err, "COMMIT");
    if (!sqlite3_get_autocommit(db))
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_close(t.should);
    return err->code;
}
