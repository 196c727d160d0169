/* Verdicts: what persons write into the file of verdicts, the pool or an overlay is obeyed. */
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static char path[512], file[600], extra[600];
static struct ot_verdict *said;
static size_t n_said;

static struct ot_pool_conf conf(const char *name)
{
    (void)snprintf(path, sizeof path, "%s", pk_path(name));
    (void)snprintf(file, sizeof file, "%s.verdicts", path);
    (void)snprintf(extra, sizeof extra, "%s.extra", path);
    return pk_conf(path);
}

static bool has_set(struct ot_pool *p)
{
    ot_free(said);
    return ot_pool_verdicts(p, &said, &n_said);
}

/* Waits at most five seconds for the next set. */
static void next_set(struct ot_pool *p)
{
    for (int i = 0; i < 500; i++) {
        if (has_set(p))
            return;
        pk_nap_ms(10);
    }
    fail_msg("no verdicts came");
}

static void assert_verdict(size_t i, uint32_t sample, enum ot_verdict_kind what, int32_t label)
{
    assert_true(i < n_said);
    assert_int_equal(said[i].sample, sample);
    assert_int_equal(said[i].what, what);
    assert_int_equal(said[i].label, label);
}

static int end(void **st)
{
    (void)st;
    ot_free(said);
    said = NULL;
    return 0;
}

static void a_row_in_the_file_is_obeyed_and_deleting_it_takes_it_back(void **st)
{
    struct ot_pool_conf c = conf("file");
    struct ot_pool *p = pk_open(&c);

    (void)st;
    assert_false(has_set(p));
    pk_change(file,
              "INSERT INTO verdict(lmdb_key,verdict,new_label) VALUES('00000005','relabel',2)");
    next_set(p);
    assert_int_equal(n_said, 1);
    assert_verdict(0, 5, OT_VERDICT_RELABEL, 2);
    assert_false(has_set(p)); /* told once */
    pk_await(path, "SELECT outcome='obeyed' AND applied_run=1 AND source='file' FROM steering", 1);
    pk_change(file, "UPDATE verdict SET verdict='ignore'");
    next_set(p);
    assert_verdict(0, 5, OT_VERDICT_IGNORE, -1);
    pk_change(file, "DELETE FROM verdict");
    next_set(p);
    assert_int_equal(n_said, 0);
    pk_await(path, "SELECT count(*)=0 FROM verdict", 1);
    pk_close(p);
}

static void a_shell_steers_within_two_flushes(void **st)
{
    struct ot_pool_conf c = conf("shell");
    struct ot_pool *p;

    (void)st;
    c.flush_s = 0.5f;
    p = pk_open(&c);
    pk_put(p, 1, 7, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1);
    if (!pk_shell(file, "INSERT INTO verdict(inst_id,verdict,who) VALUES(1,'mislabelled','ann')")) {
        pk_close(p);
        skip_because("sqlite3 is not installed");
    }
    pk_nap_ms(1000);
    assert_true(has_set(p));
    assert_verdict(0, 7, OT_VERDICT_MISLABELLED, -1);
    pk_shell(path, "INSERT INTO verdict(lmdb_key,verdict) VALUES('00000007','hard')");
    pk_nap_ms(1000);
    assert_true(has_set(p));
    assert_int_equal(n_said, 1);
    assert_verdict(0, 7, OT_VERDICT_HARD, -1); /* the pool's own overrules the file's */
    pk_close(p);
    assert_near(pk_ask(path, "SELECT outcome='overruled by a later verdict' FROM steering WHERE "
                             "source='file'"),
                1, 0);
}

static void later_sources_and_later_rows_win(void **st)
{
    static const char overlay[] =
        "{\"key\":\"00000001\",\"verdict\":\"hard\"}\n\n"
        "{\"key\":\"00000002\",\"kind\":1,\"slot\":3,\"verdict\":\"relabel\","
        "\"label\":\"dog\",\"who\":\"bob\"}\n"
        "{\"key\":\"00000003\",\"verdict\":\"hard\"}";
    struct ot_pool_conf c = conf("order");
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p;

    (void)st;
    c.overlay = extra;
    assert_ok(ot_write_file_atomic(c.overlay, overlay, sizeof overlay - 1, &err), &err);
    p = pk_open(&c);
    next_set(p);
    assert_int_equal(n_said, 3);
    assert_verdict(1, 2, OT_VERDICT_RELABEL, 2);
    assert_int_equal(said[1].kind, OT_KIND_GT_ROI);
    assert_int_equal(said[1].slot, 3);
    pk_change(file, "INSERT INTO verdict(lmdb_key,verdict) VALUES('00000003','ignore'),"
                    "('00000003','mislabelled')");
    next_set(p);
    assert_verdict(2, 3, OT_VERDICT_MISLABELLED, -1);
    pk_change(path, "INSERT INTO verdict(lmdb_key,verdict) VALUES('00000003','ignore')");
    next_set(p);
    assert_int_equal(n_said, 3);
    assert_verdict(2, 3, OT_VERDICT_IGNORE, -1);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM steering"), 6, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM steering WHERE outcome='obeyed'"), 3, 0);
    (void)remove(c.overlay);
}

static void what_cannot_be_obeyed_says_why(void **st)
{
    struct ot_pool_conf c = conf("why");
    struct ot_pool *p = pk_open(&c);

    (void)st;
    pk_change(file, "INSERT INTO verdict(lmdb_key,inst_id,kind,verdict,new_label) VALUES"
                    "('nobody',NULL,0,'hard',NULL),(NULL,99,NULL,'hard',NULL),"
                    "('00000001',NULL,0,'relabel',3),('00000002',NULL,0,'hard',77)");
    next_set(p);
    assert_int_equal(n_said, 1);
    assert_verdict(0, 2, OT_VERDICT_HARD, -1);
    pk_change(path,
              "INSERT INTO verdict(lmdb_key,kind,slot,verdict) VALUES('00000004',7,0,'hard'),"
              "('00000004',0,-1,'hard'),('00000004',0,1073741824,'hard'),"
              "('00000004',2,0,'relabel'),('00000005',0,0,'relabel'),('00000006',0,0,'ignore')");
    next_set(p);
    assert_int_equal(n_said, 2);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM steering WHERE outcome IN("
                             "'the data set has no key ''nobody''','there is no inst_id 99',"
                             "'new_label must be 0 to 2, got 3','kind must be 0 to 3, got 7',"
                             "'slot must be 0 to 1073741823, got -1',"
                             "'slot must be 0 to 1073741823, got 1073741824',"
                             "'a background RoI keeps its label; say ignore',"
                             "'relabel needs new_label')"),
                8, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM steering WHERE outcome='obeyed'"), 2, 0);
}

static void verdicts_hold_for_the_next_night_and_after_eviction(void **st)
{
    struct ot_pool_conf c = conf("nights");
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_row r = pk_row(1, 7, 3);

    (void)st;
    pk_put(p, 1, 7, 3);
    pk_put(p, 2, 8, 3);
    pk_await(path, "SELECT count(*) FROM inst", 2);
    pk_change(file, "INSERT INTO verdict(inst_id,verdict) VALUES(1,'ignore')");
    next_set(p);
    pk_change(path, "INSERT INTO verdict(inst_id,verdict) VALUES(2,'hard')");
    next_set(p);
    pk_await(path, "SELECT count(*) FROM verdict WHERE lmdb_key IN('00000007','00000008')", 2);
    s->gone(s->ctx, 2, &r);
    r = pk_row(2, 8, 3);
    s->gone(s->ctx, 2, &r);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 0, 0);
    p = pk_open(&c);
    assert_true(has_set(p)); /* before the first flush */
    assert_int_equal(n_said, 2);
    assert_verdict(0, 7, OT_VERDICT_IGNORE, -1);
    assert_verdict(1, 8, OT_VERDICT_HARD, -1);
    pk_put(p, 1, 9, 3);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM verdict WHERE applied_run=2"), 2, 0);
    assert_near(pk_ask(path, "SELECT inst_id>2 FROM inst"), 1, 0); /* a number is used once */
}

/* The miner of a snapshot has verdicts that the pool does not know of. */
static void a_resumed_run_is_told_that_no_verdict_holds(void **st)
{
    struct ot_pool_conf c = conf("resumed");
    struct ot_pool *p = pk_open(&c);

    (void)st;
    pk_close(p);
    c.parent_run = 1;
    p = pk_open(&c);
    n_said = 99;
    assert_true(has_set(p));
    assert_int_equal(n_said, 0);
    pk_put(p, 1, 7, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1);
    assert_false(has_set(p)); /* once */
    pk_close(p);
}

static void a_snapshot_s_verdicts_hold_until_the_file_can_be_read(void **st)
{
    struct ot_pool_conf c = conf("resumed_busy");
    struct ot_pool *p = pk_open(&c);
    sqlite3 *db = NULL;

    (void)st;
    pk_close(p);
    c.parent_run = 1;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    p = pk_open(&c);
    pk_put(p, 1, 7, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1);
    assert_false(has_set(p));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    n_said = 99;
    next_set(p);
    assert_int_equal(n_said, 0);
    (void)sqlite3_close(db);
    pk_close(p);
}

static void a_file_that_is_being_written_is_read_next_time(void **st)
{
    struct ot_pool_conf c = conf("busy");
    struct ot_pool *p = pk_open(&c);
    sqlite3 *db = NULL;

    (void)st;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "BEGIN EXCLUSIVE; INSERT INTO verdict(lmdb_key,verdict) "
                                  "VALUES('00000005','hard')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    pk_put(p, 1, 7, 3);
    pk_await(path, "SELECT count(*) FROM inst", 1); /* nobody waits for it */
    assert_false(has_set(p));
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    next_set(p);
    assert_verdict(0, 5, OT_VERDICT_HARD, -1);
    (void)sqlite3_close(db);
    pk_close(p);
}

static void the_journal_of_a_killed_shell_is_rolled_back(void **st)
{
    struct ot_pool_conf c = conf("hot");
    char journal[700];
    struct ot_pool *p;
    pid_t child;

    (void)st;
    pk_close(pk_open(&c));
    pk_change(file, "INSERT INTO verdict(lmdb_key,verdict) VALUES('00000005','hard')");
    child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a cache of one page: half of it is in the file already */
        sqlite3 *db = NULL;

        (void)sqlite3_open(file, &db);
        (void)sqlite3_exec(
            db,
            "PRAGMA cache_size=1; BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
            "SELECT i+1 FROM n WHERE i<900) INSERT INTO verdict(lmdb_key,verdict,note) "
            "SELECT printf('%08d',i),'ignore',hex(zeroblob(100)) FROM n;"
            "UPDATE verdict SET verdict='ignore'",
            NULL, NULL, NULL);
        (void)kill(getpid(), SIGKILL);
    }
    (void)waitpid(child, NULL, 0);
    (void)snprintf(journal, sizeof journal, "%s-journal", file);
    assert_true(ot_exists(journal));
    p = pk_open(&c);
    assert_true(has_set(p));
    assert_int_equal(n_said, 1);
    assert_verdict(0, 5, OT_VERDICT_HARD, -1);
    assert_false(ot_exists(journal));
    pk_close(p);
}

static void another_file_in_its_place_is_read(void **st)
{
    struct ot_pool_conf c = conf("place");
    struct ot_pool *p = pk_open(&c);
    struct ot_err err = OT_ERR_INIT;
    size_t n;
    char *bytes;

    (void)st;
    pk_change(file, "INSERT INTO verdict(lmdb_key,verdict) VALUES('00000005','hard')");
    next_set(p);
    bytes = ot_read_file(file, 1 << 20, &n, &err); /* a copy, edited, renamed over it */
    assert_ok(bytes ? ot_write_file_atomic(extra, bytes, n, &err) : -1, &err);
    ot_free(bytes);
    pk_change(extra, "UPDATE verdict SET lmdb_key='00000006'");
    assert_int_equal(rename(extra, file), 0);
    next_set(p);
    assert_verdict(0, 6, OT_VERDICT_HARD, -1);
    /* then none is there, then nonsense is: what held goes on to hold */
    assert_int_equal(rename(file, extra), 0);
    pk_nap_ms(50);
    assert_false(has_set(p));
    assert_ok(ot_write_file_atomic(file, "this is not SQLite, not at all", 30, &err), &err);
    pk_nap_ms(50);
    assert_false(has_set(p));
    assert_ok(ot_pool_ok(p, &err), &err);
    pk_change(extra, "DELETE FROM verdict");
    assert_int_equal(rename(extra, file), 0);
    next_set(p);
    assert_int_equal(n_said, 0);
    pk_close(p);
}

static void refused(const struct ot_pool_conf *c, enum ot_code code, const char *part)
{
    struct ot_err err = OT_ERR_INIT;

    assert_null(ot_pool_open(c, &err));
    assert_error(&err, code, part);
}

static void a_bad_overlay_is_refused_with_file_and_line(void **st)
{
    static const char text[] = "{\"key\":\"00000001\",\"verdict\":\"hard\"}\n{\"key\":";
    struct ot_pool_conf c = conf("overlay");
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    c.overlay = extra;
    assert_ok(ot_write_file_atomic(extra, text, sizeof text - 1, &err), &err);
    refused(&c, OT_EDATA, ".extra:2: wanted a JSON object");
    (void)remove(extra);
    refused(&c, OT_ENOINPUT, ".extra");
}

static void a_file_of_verdicts_that_is_none_is_refused(void **st)
{
    struct ot_pool_conf c = conf("none");
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    assert_ok(ot_write_file_atomic(file, "this is not SQLite, not at all", 30, &err), &err);
    refused(&c, OT_EDATA, "none.db.verdicts': cannot be read: file is not a database");
    (void)remove(file);
    c.verdicts = path;
    refused(&c, OT_ECONFIG, "application_id must be 1330136406, got 1330136397");
    c.verdicts = "/no_such_folder/v";
    refused(&c, OT_ECREATE, "verdicts '/no_such_folder/v.part': cannot be made");
    c.verdicts = NULL;
    pk_close(pk_open(&c));
    pk_change(file, "DROP TABLE verdict");
    refused(&c, OT_EDATA, "none.db.verdicts': cannot be read: no such table: verdict");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_in_the_file_is_obeyed_and_deleting_it_takes_it_back),
        cmocka_unit_test(a_shell_steers_within_two_flushes),
        cmocka_unit_test(later_sources_and_later_rows_win),
        cmocka_unit_test(what_cannot_be_obeyed_says_why),
        cmocka_unit_test(verdicts_hold_for_the_next_night_and_after_eviction),
        cmocka_unit_test(a_resumed_run_is_told_that_no_verdict_holds),
        cmocka_unit_test(a_snapshot_s_verdicts_hold_until_the_file_can_be_read),
        cmocka_unit_test(a_file_that_is_being_written_is_read_next_time),
        cmocka_unit_test(the_journal_of_a_killed_shell_is_rolled_back),
        cmocka_unit_test(another_file_in_its_place_is_read),
        cmocka_unit_test(a_bad_overlay_is_refused_with_file_and_line),
        cmocka_unit_test(a_file_of_verdicts_that_is_none_is_refused),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, end);
}
