/*
 * db_write.c - puts are kept until a batch is full and then written as one transaction.
 *
 * Nothing else ever touches LMDB, so a full map has one answer wherever LMDB notices it: the
 * transaction is dropped, the map doubled, and the batch, which is still in memory, is written
 * again.  A database made here is only useful whole, so it is synced once, at the end; one that
 * is appended to is synced at every commit.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/db.h"

enum { BATCH_PUTS = 1000, BATCH_BYTES = 32 << 20, FIRST_MAP = 16 << 20 };

struct ot_db_writer {
    MDB_env *env;
    MDB_dbi dbi;
    bool created;
    size_t map;
    int failed;  /* code of the first failure; nothing is written after it */
    int n;       /* puts in the batch */
    char *batch; /* of each put: key length, value length, key, value */
    size_t len, cap;
    char path[1000];
};

static int fail_mdb(struct ot_err *err, const char *path, const char *what, int rc)
{
    enum ot_code code = rc > 0 ? OT_EIO : OT_EDATA;

    if (rc == EACCES || rc == EPERM || rc == EROFS)
        code = OT_EPERM;
    return ot_fail(err, code, "LMDB '%s': cannot %s: %s", path, what, mdb_strerror(rc));
}

static void remove_db(const char *path)
{
    char file[1024];

    (void)snprintf(file, sizeof file, "%s/data.mdb", path);
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/lock.mdb", path);
    (void)unlink(file);
    (void)rmdir(path);
}

static void free_writer(struct ot_db_writer *w)
{
    if (w->env)
        mdb_env_close(w->env);
    ot_free(w->batch);
    ot_free(w);
}

/* Makes the folder, or for `append` finds the database; *flags are those of mdb_env_open(). */
static int prepare(struct ot_db_writer *w, bool append, unsigned *flags, struct ot_err *err)
{
    struct stat st;
    bool there = stat(w->path, &st) == 0;

    *flags = MDB_NOSYNC;
    if (there && !append)
        return ot_fail(err, OT_ECREATE, "LMDB '%s': exists already", w->path);
    if (there) {
        if (ot_db_is_open(w->path))
            return ot_fail(err, OT_EBUSY, "LMDB '%s': this process is reading it", w->path);
        *flags = S_ISDIR(st.st_mode) ? 0 : MDB_NOSUBDIR;
        return 0;
    }
    if (mkdir(w->path, 0777) < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "LMDB '%s': cannot create", w->path);
    w->created = true;
    return 0;
}

static int open_writer(struct ot_db_writer *w, unsigned flags, struct ot_err *err)
{
    MDB_envinfo info;
    MDB_txn *txn = NULL;
    int rc = mdb_env_create(&w->env);

    if (rc == 0 && w->created)
        rc = mdb_env_set_mapsize(w->env, FIRST_MAP);
    if (rc == 0)
        rc = mdb_env_open(w->env, w->path, flags, 0664);
    if (rc == 0)
        rc = mdb_env_info(w->env, &info);
    if (rc != 0)
        return fail_mdb(err, w->path, "open for writing", rc);
    w->map = info.me_mapsize;
    rc = mdb_txn_begin(w->env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &w->dbi);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn)
        mdb_txn_abort(txn);
    return rc == 0 ? 0 : fail_mdb(err, w->path, "begin writing", rc);
}

struct ot_db_writer *ot_db_create(const char *path, bool append, struct ot_err *err)
{
    struct ot_db_writer *w = ot_alloc(1, sizeof *w, err);
    unsigned flags;

    if (!w)
        return NULL;
    if ((size_t)snprintf(w->path, sizeof w->path, "%s", path) >= sizeof w->path) {
        (void)ot_fail(err, OT_ECREATE, "LMDB: path too long, got '%s'", path);
        free_writer(w);
        return NULL;
    }
    if (prepare(w, append, &flags, err) < 0 || open_writer(w, flags, err) < 0) {
        bool created = w->created;

        free_writer(w);
        if (created)
            remove_db(path);
        return NULL;
    }
    return w;
}

static int put_all(struct ot_db_writer *w, MDB_txn *txn)
{
    int rc = 0;
    size_t at = 0;

    for (int i = 0; i < w->n && rc == 0; i++) {
        size_t len[2];
        MDB_val k, v;

        memcpy(len, w->batch + at, sizeof len);
        at += sizeof len;
        k = (MDB_val){ len[0], w->batch + at };
        v = (MDB_val){ len[1], w->batch + at + len[0] };
        at += len[0] + len[1];
        rc = mdb_put(txn, w->dbi, &k, &v, 0);
    }
    return rc;
}

static int write_once(struct ot_db_writer *w)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(w->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = put_all(w, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int flush(struct ot_db_writer *w, struct ot_err *err)
{
    int rc;

    while ((rc = write_once(w)) == MDB_MAP_FULL) {
        if (w->map > SIZE_MAX / 4)
            break;
        rc = mdb_env_set_mapsize(w->env, 2 * w->map);
        if (rc != 0)
            break;
        w->map *= 2;
    }
    if (rc != 0)
        return w->failed = fail_mdb(err, w->path, "write", rc);
    w->n = 0;
    w->len = 0;
    return 0;
}

int ot_db_put(struct ot_db_writer *w, struct ot_bytes key, struct ot_bytes value,
              struct ot_err *err)
{
    size_t len[2] = { key.n, value.n }, most = (size_t)mdb_env_get_maxkeysize(w->env);
    char *p;

    if (w->failed)
        return ot_fail(err, (enum ot_code)w->failed, "LMDB '%s': an earlier write failed", w->path);
    if (key.n == 0 || key.n > most)
        return ot_fail(err, OT_EDATA, "LMDB '%s': a key has 1 to %zu bytes, got %zu", w->path, most,
                       key.n);
    if (value.n > UINT32_MAX)
        return ot_fail(err, OT_EDATA, "LMDB '%s': a value has less than 4 GiB, got %zu bytes",
                       w->path, value.n);
    if (ot_grow(&w->batch, &w->cap, w->len + sizeof len + key.n + value.n, 1, err) < 0)
        return err->code;
    p = w->batch + w->len;
    memcpy(p, len, sizeof len);
    memcpy(p + sizeof len, key.data, key.n);
    if (value.n)
        memcpy(p + sizeof len + key.n, value.data, value.n);
    w->len += sizeof len + key.n + value.n;
    if (++w->n == BATCH_PUTS || w->len >= BATCH_BYTES)
        return flush(w, err);
    return 0;
}

int ot_db_finish(struct ot_db_writer *w, bool commit, struct ot_err *err)
{
    char path[sizeof w->path];
    bool created = w->created;
    int rc = w->failed;

    if (rc && commit)
        (void)ot_fail(err, (enum ot_code)rc, "LMDB '%s': an earlier write failed", w->path);
    if (commit && rc == 0)
        rc = flush(w, err);
    if (commit && rc == 0) {
        int e = mdb_env_sync(w->env, 1);

        if (e != 0)
            rc = fail_mdb(err, w->path, "sync", e);
    }
    memcpy(path, w->path, sizeof path);
    free_writer(w);
    if (created && (!commit || rc != 0))
        remove_db(path);
    return commit ? rc : 0;
}
