/*
 * pool_open.c - opening the pool file and letting go of it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "mining/pool_impl.h"

/* ---- opening --------------------------------------------------------------------------------- */

static int bind_texts(sqlite3 *db, const char *query, const char *const *text, int n,
                      struct ot_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, query, -1, &s, NULL);

    for (int i = 0; rc == SQLITE_OK && i < n; i++)
        rc = sqlite3_bind_text(s, i + 1, text[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    (void)sqlite3_finalize(s);
    return rc == SQLITE_DONE ? 0 : ot_sql_fail(db, err, "writing the run");
}

static bool has_run(struct ot_pool *p, int64_t run)
{
    char sql[80];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM run WHERE run_id=%lld", (long long)run);
    return ot_sql_int(p->db, sql, 0) == 1;
}

/* Tells a pid of before a restart of the machine from one of after; NULL where it has none. */
static const char *boot_id(char buf[40])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    const char *got = f ? fgets(buf, 37, f) : NULL; /* 36 characters */

    if (f)
        (void)fclose(f);
    return got;
}

static int put_run(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    char now[32], host[128] = "", hash[32], seed[32], start[32], parent[32], pid[32], boot[40];
    const char *text[] = { c->job,         now,
                           host,           pid,
                           c->device,      hash,
                           c->config_text, seed,
                           start,          c->parent_run ? parent : NULL,
                           boot_id(boot) };

    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(hash, sizeof hash, "%016llx", ot_hash64(c->config_text, strlen(c->config_text)));
    (void)snprintf(seed, sizeof seed, "%lld", (long long)c->seed);
    (void)snprintf(start, sizeof start, "%lld", (long long)c->iter_start);
    (void)snprintf(parent, sizeof parent, "%lld", (long long)c->parent_run);
    if (!has_run(p, c->parent_run))
        text[9] = NULL; /* another file than the one that run wrote */
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    (void)ot_time_utc(now);
    if (ot_sql(p->db, err, "UPDATE run SET status='crashed', ended=%Q WHERE status='running'",
               now) < 0 ||
        bind_texts(p->db,
                   "INSERT INTO run(job,started,host,pid,device,version,config_hash,config_text,"
                   "seed,iter_start,parent_run_id,boot_id) VALUES(?1,?2,?3,?4,?5,"
                   "'SQLite ' || sqlite_version(),?6,?7,?8,?9,?10,?11)",
                   text, 11, err) < 0)
        return err->code;
    p->run = sqlite3_last_insert_rowid(p->db);
    return 0;
}

static int put_dataset(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    if (ot_sql_int(p->db, "SELECT count(*) FROM dataset", 0) == 0 &&
        ot_sql(p->db, err,
               "INSERT INTO dataset(path,entries,fingerprint) VALUES(%Q,%lld,'%016llx')",
               c->dataset, (long long)c->dataset_entries,
               (unsigned long long)c->dataset_fingerprint) < 0)
        return err->code;
    if (ot_sql(p->db, err, "UPDATE dataset SET path=%Q", c->dataset) < 0) /* may have moved */
        return err->code;
    p->dataset = ot_sql_int(p->db, "SELECT dataset_id FROM dataset", 1);
    for (int i = 0; c->class_name && i < c->n_classes; i++)
        if (ot_sql(p->db, err, "INSERT OR REPLACE INTO class(label,name) VALUES(%d,%Q)", i,
                   c->class_name[i]) < 0)
            return err->code;
    return 0;
}

static int name_locker(const struct ot_pool *p, struct ot_err *err)
{
    char who[256];

    if (err->code != OT_EBUSY)
        return err->code;
    *err = (struct ot_err)OT_ERR_INIT;
    return ot_fail(err, OT_EBUSY, "pool '%s': is locked by %s, in a write transaction", p->path,
                   ot_lock_blame(p, OT_LOCK_WRITE, who, sizeof who));
}

#define MAX_ID(table) \
    "coalesce((SELECT max(inst_id) FROM " table " WHERE inst_id<4611686018427387904),0)"

static int open_run(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    if (ot_sql(p->db, err, "BEGIN IMMEDIATE") < 0)
        return name_locker(p, err);
    if (put_run(p, c, err) < 0 || put_dataset(p, c, err) < 0 || ot_sql(p->db, err, "COMMIT") < 0)
        return err->code;
    /* never one that was used before; a number near the end of the range is a person's joke */
    p->next_inst = 1 + ot_sql_int(p->db,
                                  "SELECT max(0," MAX_ID("inst") "," MAX_ID("event") "," MAX_ID(
                                      "reinj_item") "," MAX_ID("verdict") ")",
                                  0);
    return ot_writer_prepare(p, err) < 0 ? err->code : ot_verdicts_open(p, c, err);
}

/* An SQLite file begins with 16 known bytes; anything else is not touched. */
static int check_header(const char *path, struct ot_err *err)
{
    char head[16];
    struct stat st;
    size_t got;
    FILE *f;

    if (stat(path, &st) < 0 || st.st_size == 0)
        return 0;
    f = fopen(path, "rb");
    if (!f)
        return ot_fail(err, OT_EPERM, "pool '%s': cannot be read", path);
    got = fread(head, 1, sizeof head, f);
    (void)fclose(f);
    if (got < sizeof head || memcmp(head, "SQLite format 3", sizeof head) != 0)
        return ot_fail(err, OT_EDATA, "pool '%s': not an SQLite file, got %lld bytes", path,
                       (long long)st.st_size);
    return 0;
}

static int check_place(const struct ot_pool_conf *c, struct ot_err *err)
{
    const char *network = ot_pool_network(c->path);

    if (!network)
        return 0;
    if (!c->unsafe_fs)
        return ot_fail(err, OT_ECONFIG,
                       "mining: pool '%s': must be on a local disk, got a %s file system", c->path,
                       network);
    ot_log(OT_LOG_WARN, "pool",
           "'%s' is on a %s file system: it is held exclusively, nobody can read it while training "
           "runs, and its locks are only as good as the server's",
           c->path, network);
    return 0;
}

/* Two writers at once can damage a file with all but the newest SQLite. */
static void tell_version(const struct ot_pool *p)
{
    if (sqlite3_libversion_number() < OT_WAL_FIXED)
        ot_log(
            OT_LOG_INFO, "pool",
            "SQLite %s has the WAL-reset bug (3.7.0 to 3.51.2): '%s' has one writing connection, "
            "verdicts go into '%s'",
            sqlite3_libversion(), p->path, p->verdicts.path);
    else
        ot_log(OT_LOG_INFO, "pool", "SQLite %s; verdicts go into '%s'", sqlite3_libversion(),
               p->verdicts.path);
}

const char *ot_pool_sqlite(void)
{
    static char text[100];

    (void)snprintf(text, sizeof text, "%s%s", sqlite3_libversion(),
                   sqlite3_libversion_number() < OT_WAL_FIXED
                       ? " (WAL-reset bug, 3.7.0 to 3.51.2: so one connection writes)"
                       : "");
    return text;
}

static int open_file(struct ot_pool *p, const struct ot_pool_conf *c, struct ot_err *err)
{
    char lock[1024];

    if ((size_t)snprintf(lock, sizeof lock, "%s.lock", c->path) >= sizeof lock)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", c->path);
    if (check_place(c, err) < 0)
        return err->code;
    p->lock_fd = ot_lock_file(lock, err);
    if (p->lock_fd < 0)
        return err->code;
    if (check_header(c->path, err) < 0)
        return err->code;
    if (sqlite3_open_v2(c->path, &p->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return ot_fail(err, OT_ECREATE, "pool '%s': cannot be opened: %s", c->path,
                       p->db ? sqlite3_errmsg(p->db) : "no memory");
    (void)sqlite3_busy_timeout(p->db, 2000);
    /* a file that is refused stays as it is: its log is not copied into it when we let go */
    (void)sqlite3_db_config(p->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* a person's trigger fires in that person's shell, and cannot stop the writer */
    (void)sqlite3_db_config(p->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    /* before the log is touched: then there is no shared memory, which a network does not share */
    if (ot_pool_network(c->path) && ot_sql(p->db, err, "PRAGMA locking_mode=EXCLUSIVE") < 0)
        return err->code;
    if (ot_pool_prepare(p->db, c, err) < 0)
        return err->code;
    (void)sqlite3_db_config(p->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return open_run(p, c, err);
}

static char *number_key(void *ctx, uint32_t index, char *buf, size_t n)
{
    (void)ctx;
    (void)snprintf(buf, n, "%08u", index);
    return buf;
}

static int64_t number_find(void *ctx, const char *key)
{
    char *end;
    unsigned long long n = strtoull(key, &end, 10);

    (void)ctx;
    return *key < '0' || *key > '9' || *end || n > UINT32_MAX ? -1 : (int64_t)n;
}

static int start(struct ot_pool *p, struct ot_err *err)
{
    pthread_condattr_t attr;
    int rc;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)sqlite3_busy_timeout(p->db, OT_BUSY_MS);
    (void)pthread_mutex_init(&p->mutex, NULL);
    (void)pthread_mutex_init(&p->db_lock, NULL);
    (void)pthread_cond_init(&p->wake, &attr);
    (void)pthread_cond_init(&p->done, NULL);
    (void)pthread_condattr_destroy(&attr);
    p->has_mutex = true;
    rc = pthread_create(&p->thread, NULL, ot_pool_writer, p);
    if (rc != 0)
        return ot_fail_sys(err, OT_EIO, rc, "cannot start the pool's writer thread");
    p->started = true;
    return 0;
}

static void let_go(struct ot_pool *p)
{
    if (p->started)
        (void)pthread_join(p->thread, NULL);
    ot_writer_release(p);
    ot_verdicts_release(p);
    if (p->db)
        (void)sqlite3_close(p->db);
    ot_unlock_file(p->lock_fd);
    if (p->has_mutex) {
        (void)pthread_mutex_destroy(&p->mutex);
        (void)pthread_mutex_destroy(&p->db_lock);
        (void)pthread_cond_destroy(&p->wake);
        (void)pthread_cond_destroy(&p->done);
    }
    ot_buffer_release(&p->front);
    ot_buffer_release(&p->back);
    ot_map_release(&p->inst_of);
    ot_map_release(&p->sample_of);
    ot_free(p->path);
    ot_free(p);
}

struct ot_pool *ot_pool_open(const struct ot_pool_conf *conf, struct ot_err *err)
{
    struct ot_pool *p = ot_alloc(1, sizeof *p, err);

    if (!p)
        return NULL;
    p->lock_fd = -1;
    p->lr = NAN;
    p->flush_s = conf->flush_s > 0 ? fminf(conf->flush_s, 3600) : 1;
    p->flush_rows = conf->flush_rows > 0 ? conf->flush_rows : 4096;
    p->n_classes = conf->n_classes;
    p->backups = conf->backups;
    p->key = conf->key ? conf->key : number_key;
    p->find = conf->find ? conf->find : conf->key ? NULL : number_find;
    p->key_ctx = conf->key_ctx;
    p->wrote = p->blocked = p->blocked_warned = p->waited = -1;
    p->lock_log_s = OT_LOCK_LOG_S;
    p->lock_max_s = OT_LOCK_MAX_S;
    ot_guard_init(&p->guard, (double)p->flush_s, (double)conf->wal_max_mb);
    ot_pool_sink_init(p);
    p->path = ot_strdup(conf->path, err);
    if (!p->path || open_file(p, conf, err) < 0 || start(p, err) < 0) {
        let_go(p);
        return NULL;
    }
    tell_version(p);
    return p;
}

int ot_pool_close(struct ot_pool *p, const char *status, int exit_code, int64_t iter_end,
                  double loss_end, const char *metric_name, double metric_end, struct ot_err *err)
{
    int rc;

    if (!p)
        return 0;
    (void)pthread_mutex_lock(&p->mutex);
    p->status = status;
    p->exit_code = exit_code;
    p->iter_end = iter_end;
    p->loss_end = loss_end;
    p->metric_name = metric_name;
    p->metric_end = metric_end;
    p->stop = true;
    (void)pthread_cond_signal(&p->wake);
    (void)pthread_mutex_unlock(&p->mutex);
    (void)pthread_join(p->thread, NULL);
    p->started = false;
    if (p->dropped)
        ot_log(OT_LOG_WARN, "pool", "%llu events were dropped: the writer could not keep up",
               (unsigned long long)p->dropped);
    if (p->thinned)
        ot_log(OT_LOG_WARN, "pool", "iter_stat lacks %llu iterations: a reader pinned the log",
               (unsigned long long)p->thinned);
    rc = ot_pool_first_error(p, err);
    ot_writer_release(p);
    if (rc == 0)
        (void)sqlite3_wal_checkpoint_v2(p->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == 0 && strcmp(status, "ok") == 0)
        ot_pool_backup(p->db, p->path, p->backups);
    let_go(p);
    return rc;
}
