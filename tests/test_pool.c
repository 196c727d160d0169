/* The pool file: what is in it, who may open it, and what a kill, a full disk or a reader does. */
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/pool.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static const char *path;

static const char *fresh_path(const char *name)
{
    path = pk_path(name);
    return path;
}

static void everything_told_is_in_the_file_after_closing(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("all"));
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_row r = pk_row(1, 5, 3);
    const uint64_t id[] = { 1, 2 };
    const float before[] = { 3, 4 }, after[] = { 1, NAN };
    struct ot_pool_iter it = { 1, true, 2.5, 0.1, 12, 2, 2, NAN };
    const struct ot_mining_effect effect[] = { { 1, 1, 0, 2, NAN, NAN, NAN, NAN },
                                               { -1, 30, 4, 1, 1.5, 0.5, 0.25, 0.75 } };
    const struct ot_thermometer therm = { 10, 8, 6, 0.75, 0.5, 0.9, 0.0625, NAN };

    (void)st;
    pk_put(p, 1, 5, 3);
    pk_put(p, 2, 6, 4);
    pk_put(p, 3, 7, 5);
    r.state = OT_COOLING;
    r.n_reinj = 1;
    s->row(s->ctx, 2, &r);
    r = pk_row(3, 7, 5);
    s->gone(s->ctx, 2, &r);
    s->reinjected(s->ctx, 2, id, before, after, 2);
    ot_pool_iter(p, &it);
    ot_pool_snapshot(p, 2, "no_such.caffemodel", 99);
    ot_pool_effects(p, 2, effect, 2, &therm);
    ot_pool_sentinel(p, 2, 100, 1.5, 0.5, 0.25);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst WHERE state<>5"), 2, 0);
    assert_near(pk_ask(path, "SELECT state FROM inst JOIN sample USING(sample_id) "
                             "WHERE lmdb_key='00000005'"),
                1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM event"), 3, 0);
    assert_near(pk_ask(path, "SELECT gain FROM reinjected WHERE pos=0"), 2, 0);
    assert_near(pk_ask(path, "SELECT loss_after IS NULL FROM reinj_item WHERE pos=1"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM iter_stat WHERE kind='pool'"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM snapshot"), 1, 0);
    assert_near(pk_ask(path, "SELECT status='ok' AND metric_end=0.7 FROM runs"), 1, 0);
    assert_near(pk_ask(path, "SELECT loss FROM hardest"), 4, 0);
    assert_near(pk_ask(path,
                       "SELECT diff=0.5 AND lo=0.25 AND hi=0.75 AND n_treated=30 AND n_control=4 "
                       "FROM mining_effect WHERE class='all'"),
                1, 0);
    assert_near(pk_ask(path, "SELECT control IS NULL FROM mining_effect WHERE class='cat'"), 1, 0);
    assert_near(pk_ask(path, "SELECT tested=8 AND recall=0.75 AND precision IS NULL "
                             "FROM quarantine_quality"),
                1, 0);
    assert_near(pk_ask(path, "SELECT loss=1.5 AND max_share=0.25 AND n=100 FROM sentinel"), 1, 0);
    assert_near(pk_ask(path, "SELECT length(boot_id) FROM run"), 36, 0);
    assert_near(pk_ask(path, "SELECT class='cat' AND predicted='dog' FROM hardest"), 1, 0);
}

static void a_reader_sees_the_hardest_while_training_writes(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("reader"));
    struct ot_pool *p = pk_open(&c);
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (uint64_t i = 1; i <= 2000; i++)
        pk_put(p, i, (uint32_t)i % 1000, (float)i);
    pk_await(path, "SELECT loss FROM hardest LIMIT 10", 2000);
    assert_ok(ot_pool_ok(p, &err), &err);
    pk_close(p);
}

static void a_new_run_updates_rows_by_their_identity(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("again"));
    struct ot_pool *p = pk_open(&c);

    (void)st;
    pk_put(p, 1, 5, 3);
    pk_put(p, 2, 6, 3);
    pk_close(p);
    p = pk_open(&c);
    pk_put(p, 1, 6, 9);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 2, 0);
    assert_near(pk_ask(path, "SELECT first_run=1 AND last_run=2 FROM inst WHERE loss=9"), 1, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM runs"), 2, 0);
}

static void a_resumed_run_replaces_rows_and_supersedes_what_came_after(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("resume"));
    struct ot_miner_conf mc = { .admit = OT_ADMIT_THRESHOLD,
                                .window = 10,
                                .topk = 1,
                                .class_share = 1,
                                .capacity = 10,
                                .batch = 2,
                                .per_sample = 1,
                                .probe_after = 2,
                                .n_classes = 3,
                                .n_samples = 1000 };
    struct ot_look k = { .sample = 5, .label = 1, .given = 1, .loss = 3 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_miner *m = ot_miner_new(&mc, NULL, &err);
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_row late = pk_row(2, 6, 8);

    (void)st;
    pk_put(p, 1, 5, 3);
    s->row(s->ctx, 9, &late);
    s->event(s->ctx, 9, &late, OT_EV_ADMIT, 8, "after the snapshot");
    pk_close(p);
    assert_ok(ot_miner_observe(m, 1, false, &k, 1, &err), &err);
    c.parent_run = 1;
    p = pk_open(&c);
    assert_ok(ot_pool_reset(p, m, 5, &err), &err);
    pk_close(p);
    ot_miner_free(m);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 1, 0);
    assert_near(pk_ask(path, "SELECT sum(superseded) FROM event"), 1, 0);
    assert_near(pk_ask(path, "SELECT resumed_from FROM runs"), 1, 0);
}

static void refused(const struct ot_pool_conf *c, enum ot_code code, const char *part)
{
    struct ot_err err = OT_ERR_INIT;

    assert_null(ot_pool_open(c, &err));
    assert_error(&err, code, part);
}

static void a_file_that_is_not_ours_is_refused_untouched(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("refused"));
    struct ot_pool *p = pk_open(&c);
    struct ot_err err = OT_ERR_INIT;
    char *was, *now;
    size_t n, k;

    (void)st;
    refused(&c, OT_EBUSY, "locked by another run (pid ");
    pk_close(p);
    c.dataset_fingerprint = 43;
    refused(&c, OT_ECONFIG, "another data set");
    c.dataset_fingerprint = 42;
    pk_change(path, "PRAGMA user_version=3");
    refused(&c, OT_ECONFIG, "schema version must be 1 to 2 for this program, got 3");
    pk_change(path, "PRAGMA user_version=2; PRAGMA application_id=5");
    refused(&c, OT_ECONFIG, "not a pool: application_id must be 1330136397, got 5");
    pk_change(path, "PRAGMA application_id=1330136397");
    was = ot_read_file(path, 1 << 26, &n, &err);
    assert_non_null(was);
    for (size_t i = 4096; i < 8192 && i < n; i++)
        was[i] = (char)0xa5;
    assert_ok(ot_write_file_atomic(path, was, n, &err), &err);
    refused(&c, OT_EDATA, "");
    now = ot_read_file(path, 1 << 26, &k, &err);
    assert_true(now && k == n && memcmp(was, now, n) == 0);
    ot_free(now);
    ot_free(was);
    assert_ok(ot_write_file_atomic(path, "hello, this is no database", 26, &err), &err);
    refused(&c, OT_EDATA, "not an SQLite file, got 26 bytes");
}

static void the_ladder_backs_up_and_climbs_or_stays(void **st)
{
    static const char *const good[] = { "", "ALTER TABLE run ADD COLUMN a TEXT",
                                        "CREATE TABLE b(x)" };
    static const char *const bad[] = { "", "CREATE TABLE c(x)", "nonsense" };
    struct ot_pool_conf c = pk_conf(fresh_path("ladder"));
    struct ot_err err = OT_ERR_INIT;
    char backup[600];
    sqlite3 *db = NULL;

    (void)st;
    pk_close(pk_open(&c));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_true(ot_pool_climb(db, path, bad, 2, 4, "", &err) < 0);
    assert_error(&err, OT_EDATA, "migration from version 2 to 4");
    assert_near(pk_ask(path, "PRAGMA user_version"), 2, 0);
    err = (struct ot_err)OT_ERR_INIT;
    assert_ok(ot_pool_climb(db, path, good, 2, 4, "", &err), &err);
    (void)sqlite3_close(db);
    assert_near(pk_ask(path, "PRAGMA user_version"), 4, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM b"), 0, 0);
    (void)snprintf(backup, sizeof backup, "%s.v2.bak", path);
    assert_near(pk_ask(backup, "PRAGMA user_version"), 2, 0);
    assert_near(pk_ask(backup, "SELECT count(*) FROM run"), 1, 0);
}

static void write_for_ever(const struct ot_pool_conf *c)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = ot_pool_open(c, &err);

    for (uint64_t i = 1; p; i++)
        pk_put(p, 1 + i % 3000, (uint32_t)(i % 1000), (float)i);
    _exit(1);
}

static void a_killed_writer_leaves_a_sound_file(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("killed"));

    (void)st;
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        sqlite3 *db = NULL;
        sqlite3_stmt *s = NULL;

        assert_true(child >= 0);
        if (child == 0)
            write_for_ever(&c);
        pk_nap_ms(10 + 7 * round);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        if (!ot_exists(path))
            continue;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
        (void)sqlite3_finalize(s);
        (void)sqlite3_close(db);
    }
    pk_close(pk_open(&c));
    (void)pk_ask(path, "SELECT * FROM hardest LIMIT 10");
    assert_true(pk_ask(path, "SELECT count(*) FROM run WHERE status='crashed'") >= 1);
}

static void a_full_disk_stops_the_file_not_the_training(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("full"));
    struct rlimit was, small = { 300000, 300000 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);
    int rc = 0;

    (void)st;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (uint64_t i = 1; i < 400 * 100 && rc == 0; i++) {
        pk_put(p, i, (uint32_t)i % 1000, 3);
        if (i % 100 == 0) {
            pk_nap_ms(5);
            rc = ot_pool_ok(p, &err);
        }
    }
    pk_put(p, 1, 1, 3); /* still harmless */
    (void)setrlimit(RLIMIT_FSIZE, &was);
    assert_true(rc < 0);
    assert_error(&err, OT_EIO, "full.db");
    assert_true(ot_pool_close(p, "failed", 74, 1, 1, NULL, 0, &err) < 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM pragma_integrity_check WHERE "
                             "integrity_check='ok'"),
                1, 0);
    pk_close(pk_open(&c));
}

static char *read_doc(void)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n;
    char *doc = ot_read_file("docs/pool-schema.md", 1 << 20, &n, &err);

    assert_ok(doc ? 0 : -1, &err);
    return doc;
}

/* Does the word stand between from and to, and not as a part of another? */
static bool says(const char *from, const char *to, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = from; (at = strstr(at, word)) != NULL && at < to; at++) {
        char before = at[-1], after = at[n];

        if (!isalnum((unsigned char)before) && before != '_' && !isalnum((unsigned char)after) &&
            after != '_')
            return true;
    }
    return false;
}

static void every_query_of_the_documentation_runs(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("docs"));
    struct ot_pool *p = pk_open(&c);
    char *doc = read_doc(), *at = doc;
    int queries = 0;

    (void)st;
    pk_put(p, 1, 5, 3);
    pk_close(p);
    while ((at = strstr(at, "```sql\n")) != NULL) {
        char *end = strstr(at += 7, "```");

        assert_non_null(end);
        *end = '\0';
        (void)pk_ask(path, at);
        queries++;
        at = end + 1;
    }
    print_message("%d queries of docs/pool-schema.md ran\n", queries);
    assert_true(queries >= 32);
    ot_free(doc);
}

static void every_command_of_steering_runs(void **st)
{
    static const char command[] = "    sqlite3 pool.db.verdicts \"";
    struct ot_pool_conf c = pk_conf(fresh_path("steer"));
    char *doc = read_doc(), *at = doc, file[600];
    int commands = 0;

    (void)st;
    pk_close(pk_open(&c));
    (void)snprintf(file, sizeof file, "%s.verdicts", path);
    for (; (at = strstr(at, command)) != NULL; commands++) {
        char *end = strstr(at += strlen(command), "\"\n");

        assert_non_null(end);
        *end = '\0';
        pk_change(file, at);
        at = end + 1;
    }
    assert_true(commands >= 6);
    assert_near(pk_ask(file, "SELECT count(*) FROM verdict"), 2, 0);
    ot_free(doc);
}

static void every_table_column_and_view_is_documented(void **st)
{
    struct ot_pool_conf c = pk_conf(fresh_path("words"));
    char *doc = read_doc();
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int columns = 0;

    (void)st;
    pk_close(pk_open(&c));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT m.name,c.name FROM sqlite_schema m JOIN "
                           "pragma_table_info(m.name) c WHERE m.type IN('table','view')",
                           -1, &s, NULL),
        SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; columns++) {
        const char *table = (const char *)sqlite3_column_text(s, 0);
        const char *column = (const char *)sqlite3_column_text(s, 1);
        char head[100];
        const char *from, *to;

        (void)snprintf(head, sizeof head, "\n**%s**:", table);
        from = strstr(doc, head);
        if (!from)
            fail_msg("docs/pool-schema.md: %s is not explained", table);
        to = strstr(from, "```sql");
        assert_non_null(to);
        if (!says(from, to, column) &&
            !(strlen(column) == 2 && strchr("xy", column[0]) && says(from, to, "box")))
            fail_msg("docs/pool-schema.md: %s.%s is not explained", table, column);
    }
    assert_true(columns > 150);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    ot_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_told_is_in_the_file_after_closing),
        cmocka_unit_test(a_reader_sees_the_hardest_while_training_writes),
        cmocka_unit_test(a_new_run_updates_rows_by_their_identity),
        cmocka_unit_test(a_resumed_run_replaces_rows_and_supersedes_what_came_after),
        cmocka_unit_test(a_file_that_is_not_ours_is_refused_untouched),
        cmocka_unit_test(the_ladder_backs_up_and_climbs_or_stays),
        cmocka_unit_test(a_killed_writer_leaves_a_sound_file),
        cmocka_unit_test(a_full_disk_stops_the_file_not_the_training),
        cmocka_unit_test(every_query_of_the_documentation_runs),
        cmocka_unit_test(every_command_of_steering_runs),
        cmocka_unit_test(every_table_column_and_view_is_documented),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
