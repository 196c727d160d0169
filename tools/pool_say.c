/*
 * pool_say.c - verdicts into their file.
 */
#include "tools/pool_say.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "mining/pool_impl.h"

static int say_fail(struct ot_say *s, struct ot_err *err)
{
    (void)ot_sql_fail(s->db, err, "writing a verdict");
    if (err->code == OT_EIO && (sqlite3_errcode(s->db) & 0xff) == SQLITE_READONLY)
        err->code = OT_EPERM;
    return err->code;
}

static int check_ours(struct ot_say *s, struct ot_err *err)
{
    int64_t app = ot_sql_int(s->db, "PRAGMA application_id", -1);

    if (app != OT_VERDICT_APP_ID)
        return ot_fail(err, OT_ECONFIG,
                       "verdicts '%s': is not a file of verdicts: application_id must be %d, got "
                       "%lld",
                       s->path, OT_VERDICT_APP_ID, (long long)app);
    return 0;
}

int ot_say_open(struct ot_say *s, const char *pool, const char *path, struct ot_err *err)
{
    *s = (struct ot_say){ 0 };
    (void)snprintf(s->path, sizeof s->path, "%s%s", path ? path : pool, path ? "" : ".verdicts");
    if (ot_verdict_file_create(s->path, err) < 0)
        return err->code;
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        (void)ot_fail(err, OT_EPERM, "verdicts '%s': cannot be opened: %s", s->path,
                      s->db ? sqlite3_errmsg(s->db) : "no memory");
    else if (sqlite3_busy_timeout(s->db, 5000) != SQLITE_OK || check_ours(s, err) < 0 ||
             sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        err->code = err->code ? err->code : say_fail(s, err);
    if (err->code) {
        (void)sqlite3_close(s->db);
        s->db = NULL;
    }
    return err->code;
}

int ot_say_drop(struct ot_say *s, const char *key, int kind, int slot, int64_t inst,
                struct ot_err *err)
{
    if (ot_sql(s->db, err,
               "DELETE FROM verdict WHERE (lmdb_key=%Q AND coalesce(kind,0)=%d AND "
               "coalesce(slot,0)=%d) OR (lmdb_key IS NULL AND %lld>0 AND inst_id=%lld)",
               key, kind, slot, (long long)inst, (long long)inst) < 0)
        return err->code;
    return sqlite3_changes(s->db);
}

int ot_say_put(struct ot_say *s, const struct ot_say_row *row, struct ot_err *err)
{
    char label[16] = "NULL";

    if (ot_say_drop(s, row->key, row->kind, row->slot, 0, err) < 0)
        return err->code;
    if (row->label >= 0)
        (void)snprintf(label, sizeof label, "%d", row->label);
    return ot_sql(s->db, err,
                  "INSERT INTO verdict(lmdb_key,kind,slot,verdict,new_label,who,note) "
                  "VALUES(%Q,%d,%d,%Q,%s,%Q,%Q)",
                  row->key, row->kind, row->slot, row->verdict, label, row->who, row->note);
}

int ot_say_close(struct ot_say *s, int rc, struct ot_err *err)
{
    if (!s->db)
        return rc;
    if (rc >= 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = say_fail(s, err);
    (void)sqlite3_close(s->db); /* takes back what is not committed */
    s->db = NULL;
    return rc;
}

const char *ot_say_user(void)
{
    const char *user = getenv("USER");
    const struct passwd *p = user && *user ? NULL : getpwuid(geteuid());

    return user && *user ? user : p ? p->pw_name : "";
}

int ot_say_label(const struct ot_pdb *d, const char *text)
{
    int64_t known = ot_pdb_int(d, -1, "SELECT label FROM class WHERE name=%Q", text);

    if (known < 0 && *text && !text[strspn(text, "0123456789")] && strlen(text) < 10)
        known = strtol(text, NULL, 10);
    return (int)known;
}
