/* Rows of earlier runs, and what persons make of the file by hand. */
#include <sqlite3.h>

#include "base/log.h"
#include "mining/pool_impl.h"
#include "tests/check.h"
#include "tests/poolkit.h"

static const char *path;
static struct ot_row got[16];
static int n_got;

static int keep(void *ctx, const struct ot_row *row, struct ot_err *err)
{
    (void)ctx;
    (void)err;
    assert_true(n_got < 16);
    got[n_got++] = *row;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_left_by_an_earlier_run_are_visited_in_order),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
