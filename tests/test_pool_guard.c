/* Other processes at the pool file: a reader that pins the log, a writer that locks it. */
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static char path[512], log_path[600];

static struct ot_pool_conf conf(const char *name)
{
    struct ot_err err = OT_ERR_INIT;

    (void)snprintf(path, sizeof path, "%s", pk_path(name));
    (void)snprintf(log_path, sizeof log_path, "%s.log", path);
    ot_log_close();
    assert_ok(ot_log_open(log_path, &err), &err);
    return pk_conf(path);
}

/* Parameters are the writer's: changed under its lock. */
static void tune(struct ot_pool *p, int pages, double stuck_s, double lock_log_s, double lock_max_s)
{
    (void)pthread_mutex_lock(&p->db_lock);
    p->guard.pages = pages;
    p->guard.stuck_s = stuck_s;
    p->lock_log_s = lock_log_s;
    p->lock_max_s = lock_max_s;
    (void)pthread_mutex_unlock(&p->db_lock);
}

static struct ot_guard guard(struct ot_pool *p)
{
    struct ot_guard g;

    (void)pthread_mutex_lock(&p->db_lock);
    g = p->guard;
    (void)pthread_mutex_unlock(&p->db_lock);
    return g;
}

static bool is_thin(struct ot_pool *p)
{
    bool thin;

    (void)pthread_mutex_lock(&p->mutex);
    thin = p->thin;
    (void)pthread_mutex_unlock(&p->mutex);
    return thin;
}

static void put_many(struct ot_pool *p, int round)
{
    struct ot_pool_iter it = { round, false, 1, 0.1, 1, 1, 1, 1 };

    for (uint32_t i = 1; i <= 300; i++)
        pk_put(p, i, i, (float)(round % 7 + 1));
    ot_pool_iter(p, &it);
}

static void a_reader_that_pins_the_log_is_named_and_written_around(void **st)
{
    struct ot_pool_conf c = conf("pinned");
    int ready, round = 0;
    pid_t child = pk_holder(path, "BEGIN; SELECT count(*) FROM inst", &ready);
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);
    char who[64];
    double start;
    struct stat wal;

    (void)st;
    pk_put(p, 1, 1, 1);
    pk_await_ready(ready);
    tune(p, 20, 0.3, 5, 30);
    (void)snprintf(who, sizeof who, "pid %ld test_pool_guard (", (long)child);
    for (start = ot_now_s(); ot_now_s() - start < 8 && !pk_count_in(log_path, who);) {
        put_many(p, ++round);
        pk_nap_ms(20);
    }
    assert_int_equal(pk_count_in(log_path, who), 1);
    assert_int_equal(pk_count_in(log_path, "has held a read of"), 1);
    for (int i = 0; i < 20; i++) {
        put_many(p, ++round);
        pk_nap_ms(20);
    }
    assert_true(guard(p).pinned && guard(p).interval > (double)c.flush_s * 3);
    assert_int_equal(pk_count_in(log_path, who), 1); /* once a minute */
    assert_ok(ot_pool_ok(p, &err), &err);
    pk_kill(child);
    for (start = ot_now_s(); ot_now_s() - start < 5 && is_thin(p);)
        pk_nap_ms(20);
    assert_false(guard(p).pinned || is_thin(p));
    assert_near(guard(p).interval, (double)c.flush_s, 0);
    put_many(p, ++round);
    pk_close(p);
    assert_true(stat(path, &wal) == 0);
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    assert_true(stat(log_path, &wal) < 0 || wal.st_size == 0);
    assert_near(pk_ask(path, "SELECT count(*) FROM inst"), 300, 0);
    assert_true(pk_ask(path, "SELECT count(*) FROM iter_stat") < round); /* detail was left out */
    assert_near(pk_ask(path, "SELECT max(iter) FROM iter_stat"), round, 0);
}

static void a_log_that_is_too_long_names_its_reader_at_once(void **st)
{
    struct ot_pool_conf c = conf("long");
    int ready;
    pid_t child = pk_holder(path, "BEGIN; SELECT count(*) FROM inst", &ready);
    struct ot_pool *p = pk_open(&c);
    char who[64];

    (void)st;
    pk_put(p, 1, 1, 1);
    pk_await_ready(ready);
    tune(p, 20, 1000, 5, 30);
    (void)pthread_mutex_lock(&p->db_lock);
    p->guard.max_bytes = 400000;
    (void)pthread_mutex_unlock(&p->db_lock);
    (void)snprintf(who, sizeof who, "pid %ld test_pool_guard (", (long)child);
    for (int i = 1; i <= 200 && !pk_count_in(log_path, who); i++) {
        put_many(p, i);
        pk_nap_ms(20);
    }
    assert_int_equal(pk_count_in(log_path, who), 1);
    pk_kill(child);
    pk_close(p);
}

static void readers_that_come_and_go_are_nobodys_fault(void **st)
{
    struct ot_pool_conf c = conf("visitors");
    struct ot_pool *p = pk_open(&c);
    struct stat wal;

    (void)st;
    tune(p, 20, 0.2, 5, 30);
    for (int i = 1; i <= 60; i++) {
        put_many(p, i);
        (void)pk_ask(path, "SELECT count(*) FROM hardest");
        pk_nap_ms(15);
    }
    assert_false(guard(p).pinned);
    assert_int_equal(pk_count_in(log_path, "has held a read of"), 0);
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    assert_true(stat(log_path, &wal) == 0 && wal.st_size < 4 << 20);
    pk_close(p);
}

static void a_snapshot_empties_the_log(void **st)
{
    struct ot_pool_conf c = conf("truncate");
    struct ot_pool *p = pk_open(&c);
    struct stat wal = { 0 };

    (void)st;
    put_many(p, 1);
    (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
    pk_await(path, "SELECT count(*) FROM inst", 300);
    assert_true(stat(log_path, &wal) == 0 && wal.st_size > 0);
    ot_pool_snapshot(p, 1, "no_such.caffemodel", 99);
    for (int i = 0; i < 250 && wal.st_size; i++) {
        pk_nap_ms(20);
        assert_int_equal(stat(log_path, &wal), 0);
    }
    assert_int_equal(wal.st_size, 0);
    pk_close(p);
}

static void a_shell_in_a_write_transaction_is_waited_for(void **st)
{
    struct ot_pool_conf c = conf("locked");
    int ready;
    pid_t child = pk_holder(path, "BEGIN IMMEDIATE", &ready);
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);
    char who[100];
    double start;

    (void)st;
    pk_put(p, 1, 1, 1);
    pk_await_ready(ready);
    tune(p, 4096, 60, 0.3, 30);
    (void)snprintf(who, sizeof who, "cannot be written: pid %ld test_pool_guard (", (long)child);
    for (int i = 1; i <= 60; i++) {
        start = ot_now_s();
        put_many(p, i);
        assert_true(ot_now_s() - start < 0.2); /* the trainer does not wait */
        pk_nap_ms(20);
    }
    assert_int_equal(pk_count_in(log_path, who), 1);
    assert_ok(ot_pool_ok(p, &err), &err);
    pk_kill(child);
    pk_await(path, "SELECT count(*) FROM inst", 300);
    pk_close(p);
    assert_near(pk_ask(path, "SELECT count(*) FROM iter_stat"), 60, 0); /* nothing was lost */
}

static void closing_a_locked_file_gives_up_in_the_end(void **st)
{
    struct ot_pool_conf c = conf("stuck");
    int ready;
    pid_t child = pk_holder(path, "BEGIN IMMEDIATE", &ready);
    struct ot_err err = OT_ERR_INIT;
    struct ot_pool *p = pk_open(&c);
    char who[100];

    (void)st;
    pk_put(p, 1, 1, 1);
    pk_await_ready(ready);
    tune(p, 4096, 60, 0.1, 0.5);
    pk_put(p, 2, 2, 1);
    (void)snprintf(who, sizeof who, "locked for more than 0.5 s by pid %ld ", (long)child);
    assert_true(ot_pool_close(p, "ok", 0, 10, 0.5, NULL, 0, &err) < 0);
    assert_error(&err, OT_EBUSY, who);
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_pool_open(&c, &err));
    (void)snprintf(who, sizeof who, "is locked by pid %ld test_pool_guard (", (long)child);
    assert_error(&err, OT_EBUSY, who);
    pk_kill(child);
    pk_close(pk_open(&c));
    assert_near(pk_ask(path, "SELECT count(*) FROM run WHERE status='crashed'"), 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_pins_the_log_is_named_and_written_around),
        cmocka_unit_test(a_log_that_is_too_long_names_its_reader_at_once),
        cmocka_unit_test(readers_that_come_and_go_are_nobodys_fault),
        cmocka_unit_test(a_snapshot_empties_the_log),
        cmocka_unit_test(a_shell_in_a_write_transaction_is_waited_for),
        cmocka_unit_test(closing_a_locked_file_gives_up_in_the_end),
    };

    ot_log_set_level(OT_LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
