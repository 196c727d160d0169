/*
 * db.c - environments are shared per file and process, because LMDB's locks break when one
 * process opens a file twice; the registry knows them by device and inode.
 *
 * Before LMDB maps a file its length is compared with what the meta page promises: LMDB itself
 * would answer a truncated file with SIGBUS.  The lock file is used where it can be made; on
 * read-only media there can be no writer either, so there the reader goes without.
 */
#include "data/db.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { READERS = 512 };

struct ot_db {
    struct ot_db *next; /* in the registry */
    dev_t dev;
    ino_t ino;
    int refs;
    MDB_env *env;
    MDB_dbi dbi;
    size_t count;
    char path[1024];
};

struct ot_db_cursor {
    struct ot_db *db;
    MDB_txn *txn;
    MDB_cursor *cur;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ot_db *registry;

static int fail_mdb(struct ot_err *err, const char *path, const char *what, int rc)
{
    if (rc == EACCES || rc == EPERM)
        return ot_fail(err, OT_EPERM, "LMDB '%s': cannot %s: %s", path, what, mdb_strerror(rc));
    if (rc == ENOMEM)
        return ot_fail(err, OT_ENOMEM, "LMDB '%s': cannot %s: %s", path, what, mdb_strerror(rc));
    if (rc > 0)
        return ot_fail(err, OT_EIO, "LMDB '%s': cannot %s: %s", path, what, mdb_strerror(rc));
    return ot_fail(err, OT_EDATA, "LMDB '%s': cannot %s: %s", path, what, mdb_strerror(rc));
}

/* Finds the data file below `path`; *flags tells LMDB whether the path is the file itself. */
static int data_file(const char *path, struct stat *st, unsigned *flags, struct ot_err *err)
{
    char file[1024];

    if (stat(path, st) < 0)
        return ot_fail_sys(err, OT_OK, errno, "LMDB '%s': cannot open", path);
    *flags = MDB_NOSUBDIR;
    if (S_ISDIR(st->st_mode)) {
        *flags = st->st_mode & 0222 ? 0 : MDB_NOLOCK; /* read-only, even where root could write */
        if ((size_t)snprintf(file, sizeof file, "%s/data.mdb", path) >= sizeof file)
            return ot_fail(err, OT_ENOINPUT, "LMDB '%s': path too long, got %zu bytes", path,
                           strlen(path));
        if (stat(file, st) < 0)
            return ot_fail_sys(err, OT_OK, errno, "LMDB '%s': no data.mdb in this folder", path);
    }
    if (!S_ISREG(st->st_mode))
        return ot_fail(err, OT_EDATA, "LMDB '%s': not a regular file, got mode 0%o", path,
                       (unsigned)st->st_mode);
    if (st->st_size == 0)
        return ot_fail(err, OT_EDATA, "LMDB '%s': not an LMDB, got an empty file", path);
    return 0;
}

static int new_env(MDB_env **env, const char *path, unsigned flags, struct ot_err *err)
{
    int rc = mdb_env_create(env);

    if (rc == 0)
        rc = mdb_env_set_maxreaders(*env, READERS);
    if (rc == 0)
        rc = mdb_env_open(*env, path, flags, 0664);
    if (rc == 0)
        return 0;
    mdb_env_close(*env);
    *env = NULL;
    if (rc == MDB_INVALID)
        (void)ot_fail(err, OT_EDATA, "LMDB '%s': not an LMDB: %s", path, mdb_strerror(rc));
    else
        (void)fail_mdb(err, path, "open", rc);
    return rc;
}

static int check_length(MDB_env *env, const char *path, off_t size, struct ot_err *err)
{
    MDB_envinfo info;
    MDB_stat st;
    unsigned long long want;
    int rc = mdb_env_info(env, &info);

    if (rc == 0)
        rc = mdb_env_stat(env, &st);
    if (rc != 0)
        return fail_mdb(err, path, "read the meta page", rc);
    want = ((unsigned long long)info.me_last_pgno + 1) * st.ms_psize;
    if ((unsigned long long)size < want)
        return ot_fail(err, OT_EDATA, "LMDB '%s': truncated: %llu bytes belong to it, got %lld",
                       path, want, (long long)size);
    return 0;
}

static int open_env(struct ot_db *db, unsigned flags, off_t size, struct ot_err *err)
{
    MDB_txn *txn = NULL;
    MDB_stat st;
    int rc;

    flags |= MDB_RDONLY | MDB_NOTLS;
    rc = new_env(&db->env, db->path, flags, err);
    if (rc == EACCES || rc == EROFS || rc == EPERM)
        rc = new_env(&db->env, db->path, flags | MDB_NOLOCK, err);
    if (rc != 0)
        return err->code;
    if (check_length(db->env, db->path, size, err) < 0)
        return err->code;
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &db->dbi);
    if (rc == 0)
        rc = mdb_stat(txn, db->dbi, &st);
    if (rc == 0)
        db->count = st.ms_entries;
    if (txn && rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn)
        mdb_txn_abort(txn);
    return rc == 0 ? 0 : fail_mdb(err, db->path, "read", rc);
}

static struct ot_db *find(const struct stat *st)
{
    struct ot_db *db = registry;

    while (db && (db->dev != st->st_dev || db->ino != st->st_ino))
        db = db->next;
    return db;
}

static struct ot_db *open_new(const char *path, const struct stat *st, unsigned flags,
                              struct ot_err *err)
{
    struct ot_db *db = ot_alloc(1, sizeof *db, err);

    if (!db)
        return NULL;
    (void)snprintf(db->path, sizeof db->path, "%s", path);
    db->dev = st->st_dev;
    db->ino = st->st_ino;
    if (open_env(db, flags, st->st_size, err) < 0) {
        if (db->env)
            mdb_env_close(db->env);
        ot_free(db);
        return NULL;
    }
    db->next = registry;
    registry = db;
    return db;
}

struct ot_db *ot_db_open(const char *path, struct ot_err *err)
{
    struct stat st;
    unsigned flags;
    struct ot_db *db;

    if (strlen(path) >= sizeof db->path) {
        (void)ot_fail(err, OT_ENOINPUT, "LMDB: path too long, got '%s'", path);
        return NULL;
    }
    if (data_file(path, &st, &flags, err) < 0)
        return NULL;
    (void)pthread_mutex_lock(&registry_lock);
    db = find(&st);
    if (!db)
        db = open_new(path, &st, flags, err);
    if (db)
        db->refs++;
    (void)pthread_mutex_unlock(&registry_lock);
    return db;
}

void ot_db_close(struct ot_db *db)
{
    if (!db)
        return;
    (void)pthread_mutex_lock(&registry_lock);
    if (--db->refs == 0) {
        struct ot_db **at = &registry;

        while (*at != db)
            at = &(*at)->next;
        *at = db->next;
        mdb_env_close(db->env);
        ot_free(db);
    }
    (void)pthread_mutex_unlock(&registry_lock);
}

bool ot_db_is_open(const char *path)
{
    struct stat st;
    unsigned flags;
    struct ot_err ignored = OT_ERR_INIT;
    bool open;

    if (data_file(path, &st, &flags, &ignored) < 0)
        return false;
    (void)pthread_mutex_lock(&registry_lock);
    open = find(&st) != NULL;
    (void)pthread_mutex_unlock(&registry_lock);
    return open;
}

size_t ot_db_count(const struct ot_db *db)
{
    return db->count;
}

const char *ot_db_path(const struct ot_db *db)
{
    return db->path;
}

struct ot_db_cursor *ot_db_cursor_new(struct ot_db *db, struct ot_err *err)
{
    struct ot_db_cursor *c = ot_alloc(1, sizeof *c, err);
    int rc;

    if (!c)
        return NULL;
    c->db = db;
    rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &c->txn);
    if (rc == 0)
        rc = mdb_cursor_open(c->txn, db->dbi, &c->cur);
    if (rc != 0) {
        (void)fail_mdb(err, db->path, "begin reading", rc);
        ot_db_cursor_free(c);
        return NULL;
    }
    return c;
}

void ot_db_cursor_free(struct ot_db_cursor *c)
{
    if (!c)
        return;
    if (c->cur)
        mdb_cursor_close(c->cur);
    if (c->txn)
        mdb_txn_abort(c->txn);
    ot_free(c);
}

static int cursor_get(struct ot_db_cursor *c, MDB_cursor_op op, MDB_val *k, MDB_val *v,
                      struct ot_err *err)
{
    int rc = mdb_cursor_get(c->cur, k, v, op);

    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return fail_mdb(err, c->db->path, "read a record", rc);
    return 1;
}

static int step(struct ot_db_cursor *c, MDB_cursor_op op, struct ot_bytes *key,
                struct ot_bytes *value, struct ot_err *err)
{
    MDB_val k = { 0 }, v = { 0 };
    int rc = cursor_get(c, op, &k, &v, err);

    if (rc == 1) {
        *key = (struct ot_bytes){ k.mv_data, k.mv_size };
        *value = (struct ot_bytes){ v.mv_data, v.mv_size };
    }
    return rc;
}

int ot_db_first(struct ot_db_cursor *c, struct ot_bytes *key, struct ot_bytes *value,
                struct ot_err *err)
{
    return step(c, MDB_FIRST, key, value, err);
}

int ot_db_next(struct ot_db_cursor *c, struct ot_bytes *key, struct ot_bytes *value,
               struct ot_err *err)
{
    return step(c, MDB_NEXT, key, value, err);
}

int ot_db_get(struct ot_db_cursor *c, struct ot_bytes key, struct ot_bytes *value,
              struct ot_err *err)
{
    MDB_val k = { .mv_size = key.n }, v = { 0 };
    int rc;

    if (key.n == 0 || key.n > (size_t)mdb_env_get_maxkeysize(c->db->env))
        return 0;                                    /* LMDB can hold no such key */
    memcpy(&k.mv_data, &key.data, sizeof k.mv_data); /* mdb.h has no const */
    rc = cursor_get(c, MDB_SET_KEY, &k, &v, err);
    if (rc == 1)
        *value = (struct ot_bytes){ v.mv_data, v.mv_size };
    return rc;
}

int ot_db_renew(struct ot_db_cursor *c, struct ot_err *err)
{
    int rc;

    mdb_txn_reset(c->txn);
    rc = mdb_txn_renew(c->txn);
    if (rc == 0)
        rc = mdb_cursor_renew(c->txn, c->cur);
    return rc == 0 ? 0 : fail_mdb(err, c->db->path, "renew the read transaction", rc);
}
