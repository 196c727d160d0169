/*
 * verdict_file.c - the file of verdicts beside the pool: persons write it, the trainer reads it.
 *
 * A file of its own, so that the pool has one writing connection ever (SQLite's WAL-reset bug needs
 * two).  Rollback journal: one file, readable on any file system.  Made when it is missing, with a
 * view that explains it; opened read-only; read when its data_version has changed or another file
 * has taken its place.  While a shell writes it, it is read next time.
 * Source: https://www.sqlite.org/pragma.html#pragma_data_version.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mining/pool_impl.h"

/* C11 promises 4095 characters of a literal, compilers take far more. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
static const char schema[] =
#include "mining/verdict_schema_sql.h"
    ;

static int file_fail(sqlite3 *db, const char *path, struct ot_err *err, const char *doing)
{
    int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM, low = rc & 0xff;
    enum ot_code code = low == SQLITE_CORRUPT || low == SQLITE_NOTADB || low == SQLITE_ERROR
                            ? OT_EDATA
                        : low == SQLITE_BUSY || low == SQLITE_LOCKED ? OT_EBUSY
                        : low == SQLITE_CANTOPEN                     ? OT_ECREATE
                        : low == SQLITE_READONLY                     ? OT_EPERM
                                                                     : OT_EIO;

    return ot_fail(err, code, "verdicts '%s': %s: %s (SQLite code %d)", path, doing,
                   db ? sqlite3_errmsg(db) : "no memory", rc);
}

static int make(const char *path, struct ot_err *err)
{
    sqlite3 *db = NULL;
    int rc = 0;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA journal_mode=DELETE; BEGIN IMMEDIATE", NULL, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = file_fail(db, path, err, "cannot be made");
    (void)sqlite3_close(db);
    return rc;
}

/* Made under another name: who is killed meanwhile leaves no half of a file. */
int ot_verdict_file_create(const char *path, struct ot_err *err)
{
    char part[1100];
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size > 0)
        return 0;
    if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", path);
    (void)remove(part);
    if (make(part, err) < 0)
        return err->code;
    if (rename(part, path) < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "verdicts '%s': cannot be made", path);
    return 0;
}

void ot_verdict_file_close(struct ot_verdicts *d)
{
    (void)sqlite3_close(d->file);
    d->file = NULL;
    d->file_version = -1;
}

static int check_ours(struct ot_verdicts *d, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int64_t app = 0;
    int rc = sqlite3_prepare_v2(d->file, "PRAGMA application_id", -1, &s, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        app = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    if (rc != SQLITE_ROW)
        return file_fail(d->file, d->path, err, "cannot be read");
    if (app != OT_VERDICT_APP_ID)
        return ot_fail(err, OT_ECONFIG,
                       "verdicts '%s': is not a file of verdicts: application_id must be %d, got "
                       "%lld; name another file, or move it away and a new one is made",
                       d->path, OT_VERDICT_APP_ID, (long long)app);
    return 0;
}

/* Opens it, or opens it anew when another file has taken its place. */
static int reach(struct ot_verdicts *d, struct ot_err *err)
{
    struct stat st;

    if (stat(d->path, &st) < 0)
        return ot_fail_sys(err, OT_ENOINPUT, errno, "verdicts '%s': cannot be read", d->path);
    if (d->file && (d->dev != (uint64_t)st.st_dev || d->ino != (uint64_t)st.st_ino))
        ot_verdict_file_close(d);
    if (d->file)
        return 0;
    if (sqlite3_open_v2(d->path, &d->file, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        (void)file_fail(d->file, d->path, err, "cannot be opened");
    else
        (void)check_ours(d, err);
    if (err->code) {
        ot_verdict_file_close(d);
        return err->code;
    }
    d->dev = (uint64_t)st.st_dev;
    d->ino = (uint64_t)st.st_ino;
    return 0;
}

static int read_rows(struct ot_verdicts *d, struct ot_said_list *out, struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->file,
                                "SELECT verdict_id,inst_id,lmdb_key,kind,slot,verdict,new_label,"
                                "who,note,at FROM verdict ORDER BY verdict_id",
                                -1, &s, NULL);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        struct ot_said *said;

        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
            break;
        if (ot_said_add(out, &said, err) < 0 || ot_said_take(s, said, err) < 0)
            break;
        said->source = OT_FROM_FILE;
    }
    if (rc != SQLITE_DONE && !err->code)
        (void)file_fail(d->file, d->path, err, "cannot be read");
    (void)sqlite3_finalize(s);
    return err->code;
}

/* A shell that was killed while it wrote has left a journal, which only a writer may roll back. */
static bool roll_back(const char *path)
{
    sqlite3 *db = NULL;
    bool done = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
                    SQLITE_OK &&
                sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) ==
                    SQLITE_OK;

    (void)sqlite3_close(db);
    return done;
}

static int attempt(struct ot_verdicts *d, struct ot_said_list *out, struct ot_err *err)
{
    int64_t version;

    if (reach(d, err) < 0)
        return err->code;
    version = ot_sql_int(d->file, "PRAGMA data_version", -1);
    if (version == d->file_version && version != -1)
        return 0;
    if (read_rows(d, out, err) < 0)
        return err->code;
    d->file_version = version;
    return 1;
}

int ot_verdict_file_read(struct ot_pool *p, struct ot_said_list *out, struct ot_err *err)
{
    int rc = attempt(&p->verdicts, out, err);

    if (rc < 0 && err->code == OT_EPERM && roll_back(p->verdicts.path)) {
        *err = (struct ot_err)OT_ERR_INIT;
        ot_said_release(out);
        rc = attempt(&p->verdicts, out, err);
    }
    return rc;
}
