/* Where the pool lies: a disk that fails, a folder that may not be written, a network, backups. */
#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static char path[512];

static struct ot_pool_conf conf(const char *name)
{
    (void)snprintf(path, sizeof path, "%s", pk_path(name));
    return pk_conf(path);
}

/* ---- a disk that fails: the unix VFS, its log with another write
 * -------------------------------------- */

static sqlite3_vfs sick;
static sqlite3_vfs *healthy;
static sqlite3_io_methods sick_io;
static const sqlite3_io_methods *healthy_io;
static volatile int failing;

static int sick_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    return failing ? failing : healthy_io->xWrite(f, bytes, n, at);
}

static int sick_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    int rc = healthy->xOpen(healthy, name, f, flags, out);

    (void)vfs;
    if (rc == SQLITE_OK && f->pMethods && (flags & SQLITE_OPEN_WAL)) { /* what the writer writes */
        healthy_io = f->pMethods;
        sick_io = *healthy_io;
        sick_io.xWrite = sick_write;
        f->pMethods = &sick_io;
    }
    return rc;
}

static void fails_with(const char *name, int code, const char *part)
{
    struct ot_pool_conf c = conf(name);
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);
    int64_t rows;

    pk_put(p, 1, 5, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1);
    failing = code;
    for (uint32_t i = 2; i < 500 && ot_pool_ok(p, &err) == 0; i++) {
        pk_put(p, i, i, 3);
        pk_nap_ms(5);
    }
    pk_put(p, 600, 600, 3); /* training goes on */
    failing = 0;
    assert_error(&err, OT_EIO, part);
    assert_true(ot_pool_close(p, "failed", 74, 1, 1, NULL, 0, &err) < 0);
    assert_near(
        pk_ask(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1,
        0);
    rows = (int64_t)pk_ask(path, "SELECT count(*) FROM inst");
    assert_true(rows >= 1);
    p = pk_open(&c); /* and the next night goes on with it */
    pk_put(p, 1, 700, 3);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), (double)rows + 1, 0);
}

static void a_disk_that_fails_stops_the_file_not_the_training(void **st)
{
    (void)st;
    healthy = sqlite3_vfs_find(NULL);
    sick = *healthy;
    sick.zName = "sick";
    sick.xOpen = sick_open;
    assert_int_equal(sqlite3_vfs_register(&sick, 1), SQLITE_OK);
    fails_with("eio", SQLITE_IOERR_WRITE, "disk I/O error");
    fails_with("enospc", SQLITE_FULL, "database or disk is full");
    assert_int_equal(sqlite3_vfs_unregister(&sick), SQLITE_OK);
}

/* ---- where it may not be written ------------------------------------------------------------- */

static void refused(const struct ot_pool_conf *c, enum ot_code code, const char *part)
{
    struct ot_err err = OT_ERR_INIT;

    assert_null(ot_pool_open(c, &err));
    assert_error(&err, code, part);
}

/* As nobody where the test runs as root, whom no permission stops. */
static void as_nobody(const struct ot_pool_conf *c, const char *part)
{
    pid_t child = fork();
    int status = 1;

    assert_true(child >= 0);
    if (child == 0) {
        struct ot_err err = OT_ERR_INIT;
        bool opened;

        if (geteuid() == 0 && (setegid(65534) < 0 || seteuid(65534) < 0))
            _exit(3);
        opened = ot_pool_open(c, &err) != NULL;
        _exit(opened ? 1 : strstr(err.text, part) && ot_exit_code(err.code) == 73 ? 0 : 2);
    }
    (void)waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_folder_that_may_not_be_written_is_named(void **st)
{
    struct ot_pool_conf c = conf("gone");
    char dir[600], file[700];

    (void)st;
    c.path = "/no_such_folder/pool.db";
    refused(&c, OT_ECREATE, "/no_such_folder/pool.db");
    (void)snprintf(dir, sizeof dir, "%s/shut", ot_tmpdir());
    assert_int_equal(mkdir(dir, 0555), 0);
    assert_int_equal(chmod(ot_tmpdir(), 0755), 0);
    (void)snprintf(file, sizeof file, "%s/pool.db", dir);
    c.path = file;
    as_nobody(&c, file);
    assert_int_equal(rmdir(dir), 0);
}

static int on_nfs(const char *where, struct statfs *st)
{
    int rc = statfs(where, st);

    st->f_type = 0x6969;
    return rc;
}

static void a_network_is_refused_or_held_exclusively(void **st)
{
    struct ot_pool_conf c = conf("network");
    struct ot_err err = OT_ERR_INIT;
    struct ot_verdict *said = NULL;
    char shm[600], verdicts[600];
    struct ot_pool *p;
    sqlite3 *db = NULL;
    size_t n = 0;

    (void)st;
    (void)snprintf(shm, sizeof shm, "%s-shm", path);
    (void)snprintf(verdicts, sizeof verdicts, "%s.verdicts", path);
    ot_pool_statfs = on_nfs;
    refused(&c, OT_ECONFIG, "must be on a local disk, got a NFS file system");
    assert_false(ot_exists(path));
    c.unsafe_fs = true;
    for (int night = 1; night <= 2; night++) {
        p = pk_open(&c);
        assert_false(ot_exists(shm));
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "SELECT * FROM inst", NULL, NULL, NULL), SQLITE_BUSY);
        (void)sqlite3_close(db);
        pk_put(p, 1, 5, 3);
        pk_change(verdicts, "INSERT OR REPLACE INTO verdict(verdict_id,lmdb_key,verdict) "
                            "VALUES(1,'00000005','hard')");
        for (int i = 0; i < 500 && !ot_pool_verdicts(p, &said, &n); i++)
            pk_nap_ms(10);
        assert_int_equal(n, 1);
        ot_free(said);
        assert_ok(ot_pool_ok(p, &err), &err);
        pk_close(p);
    }
    ot_pool_statfs = statfs;
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM run WHERE status='ok'"), 2, 0);
    pk_close(pk_open(&c)); /* and back on a local disk */
}

/* ---- backups --------------------------------------------------------------------------------- */

static int backups_of(const char *name)
{
    char prefix[300];
    DIR *d = opendir(ot_tmpdir());
    struct dirent *e;
    int n = 0;

    (void)snprintf(prefix, sizeof prefix, "%s.db.bak-", name);
    while (d && (e = readdir(d)) != NULL)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(d);
    return n;
}

static void touch(const char *suffix)
{
    struct ot_err err = OT_ERR_INIT;
    char file[700];

    (void)snprintf(file, sizeof file, "%s%s", path, suffix);
    assert_ok(ot_write_file_atomic(file, "old", 3, &err), &err);
}

static void an_ok_run_leaves_one_backup_a_day_and_the_newest_few_stay(void **st)
{
    struct ot_pool_conf c = conf("backup");
    char now[32], today[700];
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p;

    (void)st;
    c.backups = 3;
    touch(".bak-20200101");
    touch(".bak-20200102");
    touch(".bak-20200103");
    touch(".bak-2020"); /* a person's */
    p = pk_open(&c);
    pk_put(p, 1, 5, 3);
    assert_ok(ot_pool_close(p, "interrupted", 75, 10, 0.5, NULL, 0, &err), &err);
    assert_int_equal(backups_of("backup"), 4);
    p = pk_open(&c);
    pk_put(p, 1, 6, 3);
    pk_close(p);
    (void)ot_time_utc(now);
    (void)snprintf(today, sizeof today, "%s.bak-%.4s%.2s%.2s", path, now, now + 5, now + 8);
    assert_near(pk_ask(today, "SELECT count(*) FROM inst"), 2, 0);
    assert_near(pk_ask(today, "SELECT count(*) FROM run WHERE status='ok'"), 1, 0);
    assert_int_equal(backups_of("backup"), 4); /* today's, 3 and 2 of January, and the person's */
    p = pk_open(&c);
    pk_put(p, 1, 7, 3);
    pk_close(p);
    assert_near(pk_ask(today, "SELECT count(*) FROM inst"), 2, 0); /* once a day */
}

static void a_backup_that_fails_is_a_warning(void **st)
{
    struct ot_pool_conf c = conf("nobackup");
    char now[32], part[700];
    struct ot_pool *p;

    (void)st;
    c.backups = 1;
    (void)ot_time_utc(now);
    (void)snprintf(part, sizeof part, "%s.bak-%.4s%.2s%.2s.part", path, now, now + 5, now + 8);
    assert_int_equal(mkdir(part, 0755), 0);
    (void)strcat(part, "/x");
    assert_int_equal(mkdir(part, 0755), 0);
    p = pk_open(&c);
    pk_close(p);
    assert_int_equal(backups_of("nobackup"), 1); /* the folder in the way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_fails_stops_the_file_not_the_training),
        cmocka_unit_test(a_folder_that_may_not_be_written_is_named),
        cmocka_unit_test(a_network_is_refused_or_held_exclusively),
        cmocka_unit_test(an_ok_run_leaves_one_backup_a_day_and_the_newest_few_stay),
        cmocka_unit_test(a_backup_that_fails_is_a_warning),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
