/*
 * migrate.c - what a pool file must be before it is written to.
 *
 * Whole (quick_check), ours (application_id), of a version we know (older ones are copied with
 * VACUUM INTO and taken up the ladder in one transaction, newer ones refused), about the same
 * data set, on a local file system (WAL needs shared memory of one host).  A file that fails is
 * left as it was.  Source: https://www.sqlite.org/wal.html, sections 1 and 5; statfs(2).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "mining/pool_impl.h"

/* C11 promises 4095 characters of a literal, compilers take far more. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const char schema[] =
#include "mining/schema_sql.h"
    ;
static const char views[] =
#include "mining/views_sql.h"
    ;
static const char v1_to_v2[] =
#include "mining/migrate_1_2_sql.h"
    ;

int ot_sql_fail(sqlite3 *db, struct ot_err *err, const char *doing)
{
    int rc = sqlite3_extended_errcode(db), low = rc & 0xff;
    const char *path = sqlite3_db_filename(db, "main");
    enum ot_code code = OT_EIO; /* SQLITE_FULL, SQLITE_IOERR and the rest */

    switch (low) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or a column is not there */
    case SQLITE_CONSTRAINT:
    case SQLITE_SCHEMA:
        code = OT_EDATA;
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = OT_EBUSY;
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        code = OT_EPERM;
        break;
    case SQLITE_CANTOPEN:
        code = OT_ECREATE;
        break;
    case SQLITE_NOMEM:
        code = OT_ENOMEM;
        break;
    }
    return ot_fail(err, code, "pool '%s': %s: %s (SQLite code %d)", path ? path : "?", doing,
                   sqlite3_errmsg(db), rc);
}

int ot_sql(sqlite3 *db, struct ot_err *err, const char *fmt, ...)
{
    va_list ap;
    char *sql;
    int rc;

    va_start(ap, fmt);
    sql = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    if (!sql)
        return ot_fail(err, OT_ENOMEM, "pool: no memory for a statement of %zu bytes", strlen(fmt));
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        char head[80];

        (void)snprintf(head, sizeof head, "%.60s", sql);
        (void)ot_sql_fail(db, err, head);
    }
    sqlite3_free(sql);
    return rc == SQLITE_OK ? 0 : err->code;
}

int64_t ot_sql_int(sqlite3 *db, const char *query, int64_t otherwise)
{
    sqlite3_stmt *s = NULL;
    int64_t v = otherwise;

    if (sqlite3_prepare_v2(db, query, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW &&
        sqlite3_column_type(s, 0) != SQLITE_NULL)
        v = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return v;
}

const char *ot_sql_text(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);

    return text ? text : "";
}

/* ---- where it lies --------------------------------------------------------------------------- */

int (*ot_pool_statfs)(const char *path, struct statfs *st) = statfs;

const char *ot_pool_network(const char *path)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {
        { 0x6969, "NFS" },        { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB" },
        { 0x517b, "SMB" },        { 0x65735546, "FUSE" }, { 0x01021997, "9p" },
        { 0x0bd00bd0, "Lustre" }, { 0x47504653, "GPFS" }, { 0x00c36400, "Ceph" },
        { 0x5346414f, "AFS" },    { 0x73757245, "Coda" }, { 0x19830326, "BeeGFS" },
    };

    char dir[1024];
    struct statfs st;

    if (ot_pool_statfs(ot_path_dir(dir, sizeof dir, path), &st) < 0)
        return NULL; /* the open that follows says why */
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        if (((unsigned long)st.f_type & 0xffffffffu) == remote[i].magic)
            return remote[i].name;
    return NULL;
}

/* ---- versions -------------------------------------------------------------------------------- */

int ot_pool_climb(sqlite3 *db, const char *path, const char *const *step, int from, int to,
                  const char *last, struct ot_err *err)
{
    char backup[1024];

    if (from >= to)
        return 0;
    if ((size_t)snprintf(backup, sizeof backup, "%s.v%d.bak", path, from) >= sizeof backup)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", path);
    if (ot_exists(backup) && remove(backup) != 0)
        return ot_fail(err, OT_ECREATE, "cannot replace the backup '%s'", backup);
    /* references and views stay as they are written, those of persons as well */
    if (ot_sql(db, err, "VACUUM INTO %Q", backup) < 0 ||
        ot_sql(db, err, "PRAGMA legacy_alter_table=ON") < 0 ||
        ot_sql(db, err, "BEGIN IMMEDIATE") < 0)
        return ot_err_wrap(err, "backup before migration");
    for (int v = from; v < to; v++)
        if (ot_sql(db, err, "%s", step[v - 1]) < 0)
            goto undo;
    if (ot_sql(db, err, "%s", last) < 0 || ot_sql(db, err, "PRAGMA user_version=%d", to) < 0 ||
        ot_sql(db, err, "COMMIT") < 0)
        goto undo;
    (void)ot_sql(db, err, "PRAGMA legacy_alter_table=OFF");
    ot_log(OT_LOG_INFO, "pool", "'%s' migrated from version %d to %d, backup in '%s'", path, from,
           to, backup);
    return 0;
undo:
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return ot_err_wrap(err, "migration from version %d to %d", from, to);
}

/* What a person did with ignore_check_constraints or writable_schema, and no damage: such values
 * are not taken over (each.c). */
static bool is_odd_value(const char *what)
{
    return strncmp(what, "NULL value in ", 14) == 0 || strncmp(what, "non-", 4) == 0 ||
           strncmp(what, "NUMERIC value in ", 17) == 0 ||
           strncmp(what, "TEXT value in ", 14) == 0 ||
           strncmp(what, "CHECK constraint failed", 23) == 0;
}

static int check_whole(sqlite3 *db, const char *path, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1000)", -1, &s, NULL);
    bool any = false;

    while (rc == SQLITE_OK && !err->code && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *what = ot_sql_text(s, 0);

        any = true;
        rc = SQLITE_OK;
        if (strcmp(what, "ok") != 0 && !is_odd_value(what))
            (void)ot_fail(err, OT_EDATA, "pool '%s': corrupt: %.300s", path, what);
    }
    if (!err->code && (rc != SQLITE_DONE || !any))
        (void)ot_sql_fail(db, err, "quick_check");
    (void)sqlite3_finalize(s);
    return err->code;
}

static int check_dataset(sqlite3 *db, const struct ot_pool_conf *conf, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    char want[32];
    int rc = 0;

    (void)snprintf(want, sizeof want, "%016llx", (unsigned long long)conf->dataset_fingerprint);
    if (sqlite3_prepare_v2(db, "SELECT fingerprint, path, entries FROM dataset", -1, &s, NULL) !=
        SQLITE_OK)
        rc = ot_sql_fail(db, err, "reading its data set");
    else if (sqlite3_step(s) == SQLITE_ROW &&
             (strcmp(ot_sql_text(s, 0), want) != 0 ||
              (uint64_t)sqlite3_column_int64(s, 2) != conf->dataset_entries))
        rc = ot_fail(err, OT_ECONFIG,
                     "pool '%s': is about another data set: '%s' (%lld records, fingerprint %s), "
                     "got '%s' (%llu records, fingerprint %s)",
                     conf->path, ot_sql_text(s, 1), (long long)sqlite3_column_int64(s, 2),
                     ot_sql_text(s, 0), conf->dataset, (unsigned long long)conf->dataset_entries,
                     want);
    (void)sqlite3_finalize(s);
    return rc;
}

static int pragmas(sqlite3 *db, struct ot_err *err)
{
    return ot_sql(db, err,
                  "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                  "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;"
                  "PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF");
}

/* ladder[v - 1]: from version v to v + 1 */
static const char *const ladder[] = { v1_to_v2 };

int ot_pool_upgrade(sqlite3 *copy, int from, struct ot_err *err)
{
    for (int v = from; v < OT_POOL_VERSION; v++)
        if (ot_sql(copy, err, "%s", ladder[v - 1]) < 0)
            return ot_err_wrap(err, "from version %d to %d", v, v + 1);
    return from < OT_POOL_VERSION ? ot_sql(copy, err, "%s", views) : 0;
}

int ot_pool_prepare(sqlite3 *db, const struct ot_pool_conf *conf, struct ot_err *err)
{
    int64_t version, app;

    if (ot_sql(db, err, "PRAGMA mmap_size=0") < 0)
        return err->code;
    if (ot_sql(db, err, "SELECT count(*) FROM sqlite_schema") < 0 ||
        check_whole(db, conf->path, err) < 0)
        return err->code;
    version = ot_sql_int(db, "PRAGMA user_version", -1);
    app = ot_sql_int(db, "PRAGMA application_id", -1);
    if (version == 0 && app == 0 && ot_sql_int(db, "SELECT count(*) FROM sqlite_schema", -1) == 0)
        return pragmas(db, err) < 0 || ot_sql(db, err, "BEGIN IMMEDIATE") < 0 ||
                       ot_sql(db, err, "%s", schema) < 0 || ot_sql(db, err, "%s", views) < 0 ||
                       ot_sql(db, err, "COMMIT") < 0
                   ? err->code
                   : 0;
    if (app != OT_POOL_APP_ID)
        return ot_fail(err, OT_ECONFIG,
                       "pool '%s': is an SQLite file but not a pool: application_id must be %d, "
                       "got %lld",
                       conf->path, OT_POOL_APP_ID, (long long)app);
    if (version > OT_POOL_VERSION || version < 1)
        return ot_fail(err, OT_ECONFIG,
                       "pool '%s': schema version must be 1 to %d for this program, got %lld",
                       conf->path, OT_POOL_VERSION, (long long)version);
    if (check_dataset(db, conf, err) < 0)
        return err->code;
    if (pragmas(db, err) < 0)
        return err->code;
    if (ot_pool_climb(db, conf->path, ladder, (int)version, OT_POOL_VERSION, views, err) < 0)
        return err->code;
    return ot_pool_heal(db, conf->path, schema, views, err);
}
