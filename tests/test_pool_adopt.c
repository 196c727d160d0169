/* Rows of earlier runs, and what persons make of the file by hand. */
#include <sqlite3.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static const char *path;
static struct ot_row got[64];
static int n_got;

static int keep(void *ctx, const struct ot_row *row, struct ot_err *err)
{
    (void)ctx;
    (void)err;
    assert_true(n_got < 64);
    got[n_got++] = *row;
    return 0;
}

static int keep_none(void *ctx, const struct ot_row *row, struct ot_err *err)
{
    (void)ctx;
    (void)row;
    (void)err;
    return 0;
}

static void rows_left_by_an_earlier_run_are_visited_in_order(void **st)
{
    struct ot_pool_conf c = pk_conf(path = pk_path("each"));
    struct ot_pool *p = pk_open(&c);
    const struct ot_mining_sink *s = ot_pool_sink(p);
    struct ot_err err = OT_ERR_INIT;
    struct ot_row r = pk_row(1, 5, 3), gone = pk_row(4, 9, 3);

    (void)st;
    n_got = 0;
    r.state = OT_QUARANTINED;
    r.kind = OT_KIND_GT_ROI;
    r.slot = 2;
    r.box[2] = 0.5f;
    r.n_reinj = 2;
    r.label_given = 2;
    r.margin_sum = -1.5;
    s->row(s->ctx, 1, &r);
    pk_put(p, 2, 7, 4);
    pk_put(p, 3, 6, 5);
    gone.n_reinj = 1;
    s->row(s->ctx, 1, &gone);
    pk_close(p);
    pk_change(path,
              "UPDATE inst SET state=5 WHERE inst_id=4;"
              "INSERT INTO sample(dataset_id,lmdb_key) VALUES(1,'nobody');"
              "UPDATE inst SET sample_id=(SELECT sample_id FROM sample WHERE lmdb_key='nobody') "
              "WHERE inst_id=3");
    p = pk_open(&c);
    assert_ok(ot_pool_each(p, keep, NULL, &err), &err);
    pk_close(p);
    assert_int_equal(n_got, 2);
    assert_int_equal(got[0].sample, 5);
    assert_int_equal(got[0].state, OT_QUARANTINED);
    assert_int_equal(got[0].kind, OT_KIND_GT_ROI);
    assert_int_equal(got[0].slot, 2);
    assert_int_equal(got[0].n_reinj, 2);
    assert_int_equal(got[0].label_given, 2);
    assert_near(got[0].margin_sum, -1.5, 0);
    assert_near(got[0].box[2], 0.5, 0);
    assert_int_equal(got[1].sample, 7);
    assert_near(got[1].loss_ema, 4, 0);
}

/* A file with 30 rows (made once, then copied), changed by hand. */
static struct ot_pool_conf edited(const char *name, const char *sql)
{
    static char base[600];
    struct ot_err err = OT_ERR_INIT;
    size_t n = 0;
    char *bytes;

    if (!base[0]) {
        struct ot_pool_conf c = pk_conf(pk_path("base"));
        struct ot_pool *p = pk_open(&c);

        for (uint32_t i = 1; i <= 30; i++)
            pk_put(p, i, i, (float)i);
        pk_close(p);
        (void)snprintf(base, sizeof base, "%s", pk_path("base"));
    }
    bytes = ot_read_file(base, 1 << 26, &n, &err);
    path = pk_path(name);
    assert_ok(bytes ? ot_write_file_atomic(path, bytes, n, &err) : -1, &err);
    ot_free(bytes);
    pk_change(path, sql);
    return pk_conf(path);
}

static void logged_to(const char *file)
{
    struct ot_err err = OT_ERR_INIT;

    ot_log_close();
    (void)remove(file);
    assert_ok(ot_log_open(file, &err), &err);
    ot_log_set_level(OT_LOG_WARN);
}

static void values_that_cannot_be_are_skipped_and_counted(void **st)
{
    static const char *const edit[] = {
        "label=99",    "label=-1",       "state=9",          "kind=7",          "loss=9e999",
        "loss_ema=-1", "pred=50",        "p_pred=7",         "n_seen=-4",       "n_reinj=1<<40",
        "slot=-9",     "weight=-9e999",  "label_given=1000", "last_iter=-7",    "margin_sum=-9e999",
        "control=3",   "loss_max=9e999", "first_iter=-1",    "loss_first=-0.5", "flip=12",
        "p_label=-1",  "n_contra=1<<50", "n_forget=-1",      "planted=-1",
    };
    const int n = (int)(sizeof edit / sizeof *edit);
    struct ot_pool_conf c = edited("nonsense", "");
    struct ot_err err = OT_ERR_INIT;
    char log_path[600], sql[200];
    struct ot_pool *p;

    (void)st;
    for (int i = 0; i < n; i++) {
        (void)snprintf(sql, sizeof sql,
                       "PRAGMA ignore_check_constraints=1; UPDATE inst SET %s WHERE inst_id=%d",
                       edit[i], i + 1);
        pk_change(path, sql);
    }
    (void)snprintf(log_path, sizeof log_path, "%s/adopt.log", ot_tmpdir());
    logged_to(log_path);
    p = pk_open(&c);
    n_got = 0;
    assert_ok(ot_pool_each(p, keep, NULL, &err), &err);
    for (int i = 0; i < n_got; i++)
        if (got[i].id <= (uint64_t)n)
            fail_msg("%s was taken over", edit[got[i].id - 1]);
    assert_int_equal(n_got, 30 - n);
    (void)snprintf(sql, sizeof sql, "%d rows hold values that cannot be", n);
    assert_int_equal(pk_count_in(log_path, sql), 1);
    assert_int_equal(pk_count_in(log_path, "the first is inst_id 1"), 1);
    for (uint32_t i = 1; i <= 30; i++) /* the run sees the instances: the rows are whole again */
        pk_put(p, i, i, 2);
    pk_close(p);
    ot_log_set_level(OT_LOG_ERROR);
    p = pk_open(&c);
    n_got = 0;
    assert_ok(ot_pool_each(p, keep, NULL, &err), &err);
    assert_int_equal(n_got, 29); /* but for first_iter, which an update keeps */
    pk_close(p);
}

/* STRICT and NOT NULL keep most of it out; who edits the schema gets round them, and may put them
 * back. */
static void text_where_numbers_belong_is_skipped(void **st)
{
    static const char loose[] =
        "PRAGMA writable_schema=1; UPDATE sqlite_schema SET "
        "sql=replace(replace(sql,'STRICT',''),'NOT NULL','') WHERE name='inst'";
    struct ot_pool_conf c = edited("text",
                                   "CREATE TABLE was AS SELECT sql FROM sqlite_schema WHERE "
                                   "name='inst'");
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p;

    (void)st;
    pk_change(path, loose);
    pk_change(path,
              "UPDATE inst SET loss='high' WHERE inst_id=3; UPDATE inst SET label='cat' WHERE "
              "inst_id=4; UPDATE inst SET loss_ema=NULL WHERE inst_id=5;"
              "UPDATE inst SET n_seen=x'00' WHERE inst_id=6; UPDATE inst SET x0='left' WHERE "
              "inst_id=7; UPDATE inst SET slot=0.5 WHERE inst_id=8");
    for (int strict = 0; strict < 2; strict++) {
        p = pk_open(&c);
        n_got = 0;
        assert_ok(ot_pool_each(p, keep, NULL, &err), &err);
        assert_int_equal(n_got, 24);
        pk_close(p);
        pk_change(path,
                  "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql=(SELECT sql FROM was) "
                  "WHERE name='inst'");
    }
    p = pk_open(&c);
    pk_put(p, 1, 3, 2);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT loss=2 FROM inst JOIN sample USING(sample_id) WHERE "
                             "lmdb_key='00000003'"),
                1, 0);
}

static void numbers_that_persons_chose_do_no_harm(void **st)
{
    struct ot_pool_conf c = edited(
        "numbers", "UPDATE inst SET inst_id=-5 WHERE inst_id=1;"
                   "UPDATE inst SET inst_id=9223372036854775807 WHERE inst_id=2;"
                   "UPDATE event SET inst_id=-7; INSERT INTO event(run_id,iter,what) "
                   "VALUES(-1,-1,'admit'); DELETE FROM class; DELETE FROM dataset");
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);

    (void)st;
    n_got = 0;
    assert_ok(ot_pool_each(p, keep, NULL, &err), &err);
    assert_int_equal(n_got, 29); /* all but the one below zero */
    for (uint32_t i = 1; i <= 12; i++)
        pk_put(p, i, 40 - i, 3);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 39, 0);
    assert_near(
        pk_ask(path, "SELECT count(*) FROM inst WHERE last_run=2 AND inst_id BETWEEN 31 AND 39"), 9,
        0);
    assert_near(pk_ask(path, "SELECT count(*) FROM class"), 3, 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM dataset"), 1, 0);
}

static void views_and_indexes_are_made_anew(void **st)
{
    struct ot_pool_conf c = edited("views",
                                   "DROP VIEW hardest; DROP VIEW runs; DROP INDEX inst_hard;"
                                   "CREATE VIEW runs AS SELECT 1 AS nonsense;"
                                   "CREATE TABLE notes(x); CREATE INDEX mine ON inst(pred);"
                                   "ALTER TABLE inst ADD COLUMN remark TEXT");

    (void)st;
    pk_close(pk_open(&c));
    assert_near(pk_ask(path, "SELECT loss FROM hardest LIMIT 1"), 30, 0);
    assert_near(pk_ask(path, "SELECT max(run_id) FROM runs"), 2, 0);
    assert_near(
        pk_ask(path,
               "SELECT count(*) FROM sqlite_schema WHERE name IN('inst_hard','mine','notes')"),
        3, 0);
}

static void a_trigger_does_not_fire_in_the_trainer(void **st)
{
    struct ot_pool_conf c = edited(
        "trigger", "CREATE TRIGGER stop BEFORE INSERT ON inst BEGIN "
                   "SELECT raise(ABORT,'no'); END; CREATE TRIGGER up BEFORE UPDATE ON "
                   "inst BEGIN SELECT raise(ROLLBACK,'no'); END");
    char log_path[600];
    struct ot_pool *p;

    (void)st;
    (void)snprintf(log_path, sizeof log_path, "%s/trigger.log", ot_tmpdir());
    logged_to(log_path);
    p = pk_open(&c);
    pk_put(p, 1, 4, 2);
    pk_put(p, 2, 44, 2);
    pk_close(p);
    ot_log_set_level(OT_LOG_ERROR);
    assert_int_equal(pk_count_in(log_path, "trigger 'stop' on 'inst' does not fire in the trainer"),
                     1);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 31, 0);
}

static void what_is_missing_is_named_and_nothing_is_written(void **st)
{
    static const struct {
        const char *edit, *part;
        enum ot_code code;
    } bad[] = {
        { "DROP TABLE reinj", "table 'reinj' is missing", OT_EDATA },
        { "DROP TABLE verdict", "table 'verdict' is missing", OT_EDATA },
        { "DROP TABLE dataset", "no such table: dataset", OT_EDATA },
        { "ALTER TABLE inst RENAME COLUMN loss_ema TO ema", "table 'inst' has no column 'loss_ema'",
          OT_EDATA },
        { "ALTER TABLE iter_stat DROP COLUMN admitted",
          "table 'iter_stat' has no column 'admitted'", OT_EDATA },
        { "DROP VIEW hardest; CREATE TABLE hardest(x)", "making view 'hardest' anew", OT_EDATA },
        { "UPDATE dataset SET fingerprint='x'", "is about another data set", OT_ECONFIG },
    };

    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_pool_conf c = edited("missing",
                                       "DROP VIEW losses; DROP VIEW steering; DROP VIEW runs;"
                                       "DROP VIEW reinjected; DROP VIEW mining_gain;"
                                       "DROP VIEW amplification");
        struct ot_err err = OT_ERR_INIT;
        uint64_t was, now;

        pk_change(path, "PRAGMA writable_schema=1; DELETE FROM sqlite_schema WHERE type='view' AND "
                        "name<>'hardest'");
        if (strncmp(bad[i].edit, "ALTER", 5) == 0)
            pk_change(path, "DROP VIEW hardest; DROP INDEX inst_hard");
        pk_change(path, bad[i].edit);
        pk_change(path, "PRAGMA wal_checkpoint(TRUNCATE)");
        assert_ok(ot_hash_file(path, &was, &err), &err);
        assert_null(ot_pool_open(&c, &err));
        assert_error(&err, bad[i].code, bad[i].part);
        err = (struct ot_err)OT_ERR_INIT;
        assert_ok(ot_hash_file(path, &now, &err), &err);
        if (was != now)
            fail_msg("%s: the file was changed", bad[i].edit);
    }
}

static void a_constraint_of_a_persons_own_stops_the_file_with_a_sentence(void **st)
{
    struct ot_pool_conf c = edited("unique", "CREATE UNIQUE INDEX once ON inst(loss)");
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);

    (void)st;
    pk_put(p, 1, 50, 3);
    pk_put(p, 2, 51, 3);
    assert_true(ot_pool_close(p, "ok", 0, 1, 1, NULL, 0, &err) < 0);
    assert_error(&err, OT_EDATA, "UNIQUE constraint failed: inst.loss");
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 30, 0);
}

/* Any 64 bytes of the file overwritten, 40 times over. */
static void a_damaged_file_is_refused_untouched_or_read(void **st)
{
    struct ot_pool_conf c = edited("damaged", "");
    struct ot_err err = OT_ERR_INIT;
    char file[600];
    size_t n;
    char *good = ot_read_file(path, 1 << 26, &n, &err), *bad = good ? ot_alloc(n, 1, &err) : NULL;
    int refusals = 0;

    (void)st;
    assert_non_null(bad);
    (void)snprintf(file, sizeof file, "%s", path);
    for (uint64_t round = 0; round < 40; round++) {
        /* by turns the head of a page and anywhere */
        size_t at = round % 2 ? ot_rng_below(1, OT_RNG_TEST, round, 0, (uint32_t)n - 64)
                              : round / 2 * 4096;
        uint64_t was, now;
        struct ot_pool *p;

        err = (struct ot_err)OT_ERR_INIT;
        assert_true(at + 64 <= n);
        memcpy(bad, good, n);
        for (size_t i = 0; i < 64; i++)
            bad[at + i] = (char)ot_rng_u32(1, OT_RNG_TEST, round, 1 + i);
        assert_ok(ot_write_file_atomic(file, bad, n, &err), &err);
        assert_ok(ot_hash_file(file, &was, &err), &err);
        p = ot_pool_open(&c, &err);
        if (p) {
            (void)ot_pool_each(p, keep_none, NULL, &err);
            (void)ot_pool_close(p, "ok", 0, 1, 1, NULL, 0, &err);
            continue;
        }
        refusals++;
        if (err.code != OT_EDATA && err.code != OT_ECONFIG)
            fail_msg("round %d: %s", (int)round, err.text);
        err = (struct ot_err)OT_ERR_INIT;
        assert_ok(ot_hash_file(file, &now, &err), &err);
        if (was != now)
            fail_msg("round %d: the file was changed", (int)round);
    }

    assert_true(refusals >= 15);
    ot_free(good);
    ot_free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_left_by_an_earlier_run_are_visited_in_order),
        cmocka_unit_test(values_that_cannot_be_are_skipped_and_counted),
        cmocka_unit_test(text_where_numbers_belong_is_skipped),
        cmocka_unit_test(numbers_that_persons_chose_do_no_harm),
        cmocka_unit_test(views_and_indexes_are_made_anew),
        cmocka_unit_test(a_trigger_does_not_fire_in_the_trainer),
        cmocka_unit_test(what_is_missing_is_named_and_nothing_is_written),
        cmocka_unit_test(a_damaged_file_is_refused_untouched_or_read),
        cmocka_unit_test(a_constraint_of_a_persons_own_stops_the_file_with_a_sentence),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
