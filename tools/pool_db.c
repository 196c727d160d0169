/*
 * pool_db.c - opening a pool to read it, and the few questions that all commands ask.
 *
 * A pool in WAL mode needs its -shm file; where that cannot be made (a folder that is read-only)
 * and nobody writes, the file is read as immutable.
 * Source: https://www.sqlite.org/wal.html, section 5; https://www.sqlite.org/uri.html.
 */
#include "tools/pool_db.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "mining/pool_impl.h"

/* C11 promises 4095 characters of a literal, compilers take far more. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const char schema[] =
#include "mining/schema_sql.h"
#include "mining/views_sql.h"
    ;

int ot_pdb_schema(sqlite3 *db, struct ot_err *err)
{
    return ot_sql(db, err, "%s", schema);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* SQLite would make a file that is missing, and take an empty one for a database. */
static int check_file(const char *path, struct ot_err *err)
{
    char head[16] = "";
    struct stat st;
    size_t got;
    FILE *f;

    if (stat(path, &st) < 0)
        return ot_fail_sys(err, OT_OK, errno, "pool '%s'", path);
    if (!S_ISREG(st.st_mode))
        return ot_fail(err, OT_EDATA, "pool '%s': must be a file, got something else", path);
    f = fopen(path, "rb");
    if (!f)
        return ot_fail_sys(err, OT_OK, errno, "pool '%s'", path);
    got = fread(head, 1, sizeof head, f);
    (void)fclose(f);
    if (got < sizeof head || memcmp(head, "SQLite format 3", sizeof head) != 0)
        return ot_fail(err, OT_EDATA, "pool '%s': is not an SQLite file, got %lld bytes", path,
                       (long long)st.st_size);
    return 0;
}

/* file:<path with what URIs give a meaning escaped>?<query> */
static void uri_of(const char *path, const char *query, struct ot_str *uri)
{
    ot_str_puts(uri, "file:");
    for (; *path; path++)
        if (strchr("%?#", *path))
            ot_str_printf(uri, "%%%02X", (unsigned char)*path);
        else
            ot_str_add(uri, path, 1);
    ot_str_printf(uri, "?%s", query);
}

/* Opens and reads the first page; the code of SQLite. */
static int try_open(const char *path, const char *query, sqlite3 **db, struct ot_err *err)
{
    struct ot_str uri = { 0 };
    int rc;

    uri_of(path, query, &uri);
    if (ot_str_ok(&uri, err) < 0) {
        ot_str_release(&uri);
        return SQLITE_NOMEM;
    }
    rc = sqlite3_open_v2(uri.buf, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                         NULL);
    ot_str_release(&uri);
    if (rc == SQLITE_OK) {
        (void)sqlite3_busy_timeout(*db, 5000);
        rc = sqlite3_exec(*db,
                          "PRAGMA query_only=ON; PRAGMA mmap_size=0; PRAGMA trusted_schema=OFF;"
                          "SELECT count(*) FROM sqlite_schema",
                          NULL, NULL, NULL);
    }
    return rc;
}

static bool has_wal(const char *path)
{
    char wal[1100];
    struct stat st;

    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    return stat(wal, &st) == 0 && st.st_size > 0;
}

static int open_any(struct ot_pdb *d, struct ot_err *err)
{
    int rc = try_open(d->path, "mode=ro", &d->db, err);

    if ((rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY) && !has_wal(d->path)) {
        (void)sqlite3_close(d->db);
        d->db = NULL;
        rc = try_open(d->path, "mode=ro&immutable=1", &d->db, err);
    }
    if (rc == SQLITE_OK)
        return 0;
    if (err->code)
        return err->code;
    if (rc == SQLITE_CANTOPEN)
        return ot_fail(err, OT_EPERM, "pool '%s': cannot be opened: %s", d->path,
                       d->db ? sqlite3_errmsg(d->db) : "no memory");
    return ot_sql_fail(d->db, err, "opening");
}

/* Reads an older file through a copy in memory, taken up to the current version. */
static int copy_up(struct ot_pdb *d, struct ot_err *err)
{
    sqlite3 *copy = NULL;
    sqlite3_backup *b;
    int rc = sqlite3_open_v2(":memory:", &copy,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);

    b = rc == SQLITE_OK ? sqlite3_backup_init(copy, "main", d->db, "main") : NULL;
    if (b) {
        (void)sqlite3_backup_step(b, -1);
        rc = sqlite3_backup_finish(b);
    }
    if (!b || rc != SQLITE_OK)
        (void)ot_fail(err, OT_EIO, "pool '%s': copying version %d into memory: %s", d->path,
                      d->version, copy ? sqlite3_errmsg(copy) : "no memory");
    else
        (void)ot_pool_upgrade(copy, d->version, err);
    if (err->code) {
        (void)sqlite3_close(copy);
        return err->code;
    }
    (void)sqlite3_close(d->db);
    d->db = copy;
    return 0;
}

static int check_version(struct ot_pdb *d, struct ot_err *err)
{
    int64_t app = ot_sql_int(d->db, "PRAGMA application_id", -1);

    if (app != OT_POOL_APP_ID)
        return ot_fail(err, OT_EDATA,
                       "pool '%s': is an SQLite file but not a pool: application_id must be %d, "
                       "got %lld",
                       d->path, OT_POOL_APP_ID, (long long)app);
    d->version = (int)ot_sql_int(d->db, "PRAGMA user_version", -1);
    if (d->version < 1 || d->version > OT_POOL_VERSION)
        return ot_fail(err, OT_ECONFIG,
                       "pool '%s': schema version must be 1 to %d for this program, got %d",
                       d->path, OT_POOL_VERSION, d->version);
    return 0;
}

static void state_name(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    (void)n;
    sqlite3_result_text(ctx, ot_pdb_state_name(sqlite3_value_int(v[0])), -1, SQLITE_STATIC);
}

static void kind_name(sqlite3_context *ctx, int n, sqlite3_value **v)
{
    (void)n;
    sqlite3_result_text(ctx, ot_pdb_kind_name(sqlite3_value_int(v[0])), -1, SQLITE_STATIC);
}

static int add_functions(struct ot_pdb *d, struct ot_err *err)
{
    const int how = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;

    if (sqlite3_create_function(d->db, "state_name", 1, how, NULL, state_name, NULL, NULL) ||
        sqlite3_create_function(d->db, "kind_name", 1, how, NULL, kind_name, NULL, NULL))
        return ot_sql_fail(d->db, err, "adding functions");
    return 0;
}

int ot_pdb_open_file(const char *path, struct ot_pdb *d, struct ot_err *err)
{
    *d = (struct ot_pdb){ .path = path };
    if (check_file(path, err) == 0 && open_any(d, err) == 0 && check_version(d, err) == 0)
        return 0;
    ot_pdb_close(d);
    return err->code;
}

int ot_pdb_open(const char *path, struct ot_pdb *d, struct ot_err *err)
{
    if (ot_pdb_open_file(path, d, err) < 0)
        return err->code;
    if ((d->version == OT_POOL_VERSION || copy_up(d, err) == 0) && add_functions(d, err) == 0)
        return 0;
    ot_pdb_close(d);
    return err->code;
}

void ot_pdb_close(struct ot_pdb *d)
{
    (void)sqlite3_close(d->db);
    d->db = NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int fail(const struct ot_pdb *d, struct ot_err *err, const char *doing)
{
    (void)ot_sql_fail(d->db, err, doing);
    return d->version < OT_POOL_VERSION ? ot_err_wrap(err, "copy of '%s' in memory", d->path)
                                        : err->code;
}

static sqlite3_stmt *prepare(const struct ot_pdb *d, struct ot_err *err, const char *fmt,
                             va_list ap)
{
    char *sql = sqlite3_vmprintf(fmt, ap);
    sqlite3_stmt *s = NULL;

    if (!sql) {
        (void)ot_fail(err, OT_ENOMEM, "pool: no memory for a query of %zu bytes", strlen(fmt));
        return NULL;
    }
    if (sqlite3_prepare_v2(d->db, sql, -1, &s, NULL) != SQLITE_OK)
        (void)fail(d, err, "asking");
    else if (sqlite3_bind_parameter_count(s) == 1)
        (void)sqlite3_bind_int64(s, 1, d->run);
    sqlite3_free(sql);
    return s;
}

sqlite3_stmt *ot_pdb_query(const struct ot_pdb *d, struct ot_err *err, const char *fmt, ...)
{
    sqlite3_stmt *s;
    va_list ap;

    va_start(ap, fmt);
    s = prepare(d, err, fmt, ap);
    va_end(ap);
    return s;
}

int ot_pdb_step(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_err *err)
{
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : fail(d, err, "reading");
}

int64_t ot_pdb_int(const struct ot_pdb *d, int64_t otherwise, const char *fmt, ...)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s;
    va_list ap;

    va_start(ap, fmt);
    s = prepare(d, &err, fmt, ap);
    va_end(ap);
    if (s && sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        otherwise = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return otherwise;
}

double ot_pdb_num(const struct ot_pdb *d, const char *fmt, ...)
{
    struct ot_err err = OT_ERR_INIT;
    double v = NAN;
    sqlite3_stmt *s;
    va_list ap;

    va_start(ap, fmt);
    s = prepare(d, &err, fmt, ap);
    va_end(ap);
    if (s && sqlite3_step(s) == SQLITE_ROW)
        v = ot_pdb_real(s, 0);
    (void)sqlite3_finalize(s);
    return v;
}

static void add_cell(struct ot_table *t, sqlite3_stmt *s, int c)
{
    switch (sqlite3_column_type(s, c)) {
    case SQLITE_INTEGER:
        ot_table_int(t, sqlite3_column_int64(s, c));
        break;
    case SQLITE_FLOAT:
        ot_table_num(t, sqlite3_column_double(s, c));
        break;
    case SQLITE_NULL:
        ot_table_text(t, NULL);
        break;
    default:
        ot_table_text(t, ot_pdb_str(s, c));
    }
}

int ot_pdb_fill(const struct ot_pdb *d, sqlite3_stmt *s, struct ot_table *t, size_t most,
                struct ot_err *err)
{
    int rc = 1, n = sqlite3_column_count(s);

    for (int c = 0; c < n && !t->n_cells && t->n_columns < n; c++)
        ot_table_columns(t, sqlite3_column_name(s, c));
    for (size_t i = 0; i < most && (rc = ot_pdb_step(d, s, err)) > 0; i++)
        for (int c = 0; c < n; c++)
            add_cell(t, s, c);
    return rc < 0 || ot_table_ok(t, err) < 0 ? err->code : rc;
}

int ot_pdb_table(const struct ot_pdb *d, struct ot_table *t, struct ot_err *err, const char *fmt,
                 ...)
{
    sqlite3_stmt *s;
    va_list ap;
    int rc;

    va_start(ap, fmt);
    s = prepare(d, err, fmt, ap);
    va_end(ap);
    if (!s)
        return err->code;
    rc = ot_pdb_fill(d, s, t, SIZE_MAX, err);
    (void)sqlite3_finalize(s);
    return rc;
}

const char *ot_pdb_str(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);

    return text ? text : "";
}

double ot_pdb_real(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(s, column);
}

int ot_pdb_run(const struct ot_pdb *d, uint64_t run, int64_t *id, struct ot_err *err)
{
    *id = run ? ot_pdb_int(d, 0, "SELECT run_id FROM run WHERE run_id=%lld", (long long)run)
              : ot_pdb_int(d, 0, "SELECT max(run_id) FROM run");
    if (run && !*id)
        return ot_fail(err, OT_ENOINPUT, "pool '%s': --run: must be 1 to %lld, got %llu", d->path,
                       (long long)ot_pdb_int(d, 0, "SELECT max(run_id) FROM run"),
                       (unsigned long long)run);
    return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const states[] = { "waiting",  "cooling", "learned", "quarantined",
                                      "excluded", "evicted", "control" };
static const char *const kinds[] = { "image", "gt", "background", "tile" };

static int number_of(const char *name, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0 || (name[0] == '0' + i && !name[1]))
            return i;
    return -1;
}

const char *ot_pdb_state_name(int state)
{
    return state >= 0 && state < 7 ? states[state] : "?";
}

int ot_pdb_state_of(const char *name)
{
    return number_of(name, states, 7);
}

const char *ot_pdb_kind_name(int kind)
{
    return kind >= 0 && kind < 4 ? kinds[kind] : "?";
}

int ot_pdb_kind_of(const char *name)
{
    /* a label overlay's word for a labelled box */
    return strcmp(name, "box") == 0 ? OT_KIND_GT_ROI : number_of(name, kinds, 4);
}

char *ot_pdb_class(const struct ot_pdb *d, int label, char *buf, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    sqlite3_stmt *s = ot_pdb_query(d, &err, "SELECT name FROM class WHERE label=%d", label);

    (void)snprintf(buf, n, "%d", label);
    if (s && sqlite3_step(s) == SQLITE_ROW)
        (void)snprintf(buf, n, "%s", ot_pdb_str(s, 0));
    (void)sqlite3_finalize(s);
    return buf;
}

/* ---- verdicts ------------------------------------------------------------------------------- */

int ot_pdb_attach_verdicts(const struct ot_pdb *d, bool *has, struct ot_err *err)
{
    char path[1100];
    struct ot_str uri = { 0 };
    int rc;

    (void)snprintf(path, sizeof path, "%s.verdicts", d->path);
    *has = ot_exists(path);
    if (!*has)
        return 0;
    uri_of(path, "mode=ro", &uri);
    rc = ot_str_ok(&uri, err);
    if (rc == 0)
        rc = ot_sql(d->db, err, "ATTACH %Q AS said", uri.buf);
    ot_str_release(&uri);
    if (rc == 0 && ot_sql_int(d->db, "PRAGMA said.application_id", -1) != OT_VERDICT_APP_ID)
        rc = ot_fail(err, OT_ECONFIG, "'%s': must be a file of verdicts, got another one", path);
    return rc;
}
