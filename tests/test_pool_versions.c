/* Files that earlier versions of the program wrote: tests/pools/v<n>.sql, one for each. */
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static char path[512], backup[600];

static void load(int version, const char *more)
{
    struct ot_err err = OT_ERR_INIT;
    char source[64], name[32];
    sqlite3 *db = NULL;
    size_t n;
    char *sql;

    (void)snprintf(source, sizeof source, "tests/pools/v%d.sql", version);
    (void)snprintf(name, sizeof name, "version%d", version);
    (void)snprintf(path, sizeof path, "%s", pk_path(name));
    (void)snprintf(backup, sizeof backup, "%s.v%d.bak", path, version);
    (void)remove(path);
    (void)remove(backup);
    sql = ot_read_file(source, 1 << 20, &n, &err);
    assert_ok(sql ? 0 : -1, &err);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, more, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    ot_free(sql);
}

/* Runs every view. */
static void run_views(void)
{
    for (int i = 0; i < (int)pk_ask(path, "SELECT count(*) FROM sqlite_schema WHERE type='view'");
         i++) {
        char query[200];
        sqlite3 *db = NULL;
        char *sql;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        (void)snprintf(query, sizeof query,
                       "SELECT name FROM sqlite_schema WHERE type='view' LIMIT 1 OFFSET %d", i);
        {
            sqlite3_stmt *s = NULL;

            assert_int_equal(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
            assert_int_equal(sqlite3_step(s), SQLITE_ROW);
            sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", sqlite3_column_text(s, 0));
            (void)sqlite3_finalize(s);
        }
        (void)pk_ask(path, sql);
        sqlite3_free(sql);
        (void)sqlite3_close(db);
    }
}

static void every_earlier_version_is_taken_up_with_all_its_rows(void **st)
{
    (void)st;
    for (int v = 1; v < OT_POOL_VERSION; v++) {
        struct ot_pool_conf c;
        struct ot_verdict *said = NULL;
        struct ot_pool *p;
        size_t n;

        /* a view and a table of a person's own do no harm and are kept */
        load(v, "CREATE VIEW mine AS SELECT inst_id FROM inst; CREATE TABLE notes(x)");
        c = pk_conf(path);
        p = pk_open(&c);
        assert_true(ot_pool_verdicts(p, &said, &n));
        assert_int_equal(n, 2);
        assert_int_equal(said[0].sample, 5);
        assert_int_equal(said[0].label, 2);
        assert_int_equal(said[1].slot, 4);
        ot_free(said);
        pk_put(p, 1, 5, 9);
        pk_close(p);
        assert_near(pk_ask(path, "PRAGMA user_version"), OT_POOL_VERSION, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                 "integrity_check='ok'"),
                    1, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM pragma_foreign_key_check"), 0, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 3, 0);
        assert_near(pk_ask(path,
                           "SELECT loss=9 AND first_run=1 AND last_run=2 AND inst_id=1 FROM inst "
                           "JOIN sample USING(sample_id) WHERE lmdb_key='00000005'"),
                    1, 0);
        assert_near(pk_ask(path, "SELECT label_given=2 AND slot=4 FROM inst WHERE inst_id=2"), 1,
                    0);
        assert_near(pk_ask(path, "SELECT count(*) FROM event"), 3, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM reinj_item"), 2, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM iter_stat"), 2, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM snapshot"), 1, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM steering WHERE outcome='obeyed' AND "
                                 "who IN('ann','bob')"),
                    2, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM mine"), 3, 0);
        run_views();
        assert_near(pk_ask(backup, "PRAGMA user_version"), v, 0);
        assert_near(pk_ask(backup, "SELECT count(*) FROM inst"), 3, 0);
    }
}

static void a_migration_that_fails_leaves_the_file_as_it_was(void **st)
{
    static const char broken[] = "ALTER TABLE inst RENAME COLUMN margin_sum TO margin";
    struct ot_pool_conf c;
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    load(1, broken);
    c = pk_conf(path);
    assert_null(ot_pool_open(&c, &err));
    assert_error(&err, OT_EDATA, "migration from version 1 to 2");
    assert_near(pk_ask(path, "PRAGMA user_version"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 3, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM hardest"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM sqlite_schema WHERE name IN('effect','inst_2')"),
                0, 0);
    pk_change(path, "ALTER TABLE inst RENAME COLUMN margin TO margin_sum");
    pk_close(pk_open(&c));
    assert_near(pk_ask(path, "PRAGMA user_version"), 2, 0);
}

static void a_disk_that_fills_during_a_migration_leaves_the_file_as_it_was(void **st)
{
    struct ot_pool_conf c;
    struct rlimit was, small;
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p;

    (void)st;
    /* some hundred kilobytes of rows, so that backup and log do not fit below the limit */
    load(1, "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<4000) "
            "INSERT INTO event(run_id,iter,what,why) SELECT 1,i,'admit',hex(zeroblob(40)) FROM n");
    c = pk_conf(path);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (rlim_t limit = 50000; limit <= 800000; limit += 250000) {
        small = (struct rlimit){ limit, was.rlim_max };
        err = (struct ot_err)OT_ERR_INIT;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        p = ot_pool_open(&c, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        if (p) { /* it fitted */
            assert_true(limit > 50000);
            pk_close(p);
            break;
        }
        assert_error(&err, OT_EIO, "version1.db");
        assert_near(pk_ask(path, "PRAGMA user_version"), 1, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 3, 0);
        assert_near(pk_ask(path, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                 "integrity_check='ok'"),
                    1, 0);
    }
    pk_close(pk_open(&c));
    assert_near(pk_ask(path, "PRAGMA user_version"), 2, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM event"), 3903, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_earlier_version_is_taken_up_with_all_its_rows),
        cmocka_unit_test(a_migration_that_fails_leaves_the_file_as_it_was),
        cmocka_unit_test(a_disk_that_fills_during_a_migration_leaves_the_file_as_it_was),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
