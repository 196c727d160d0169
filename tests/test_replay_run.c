/*
 * test_replay_run.c - the loss log of real training, stopped, resumed and of the next night,
 * replayed.
 */
#include "base/fs.h"
#include "base/log.h"
#include "mining/replay.h"
#include "tests/check.h"
#include "tests/tinydb.h"
#include "trainer/train.h"

static struct ot_replay replayed(const char *name)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_looks_file *f = ot_looks_open(ot_tiny_path(name), &err);
    struct ot_replay r;

    assert_ok(f ? 0 : err.code, &err);
    assert_ok(ot_replay_run(f, NULL, NULL, &r, &err), &err);
    ot_looks_free(f);
    if (!r.same)
        fail_msg("%s", r.difference);
    return r;
}

static char source[400];

static int train(const char *dir, const char *more, const char *resume, struct ot_err *err)
{
    static const struct ot_err none = OT_ERR_INIT;
    static char run_dir[400];
    const char *set[] = { run_dir,
                          source,
                          "test_interval=0",
                          "max_iter=40",
                          "snapshot=17",
                          "threads=1",
                          "test_iter=2",
                          "net.layer[data].data_param.batch_size=8",
                          "net.layer[ip1].inner_product_param.num_output=20",
                          "mining.warmup=0",
                          "mining.window=16",
                          "mining.cooldown=3",
                          "mining.quantile=0.6",
                          "mining.loss_log=\"looks.log\"",
                          more };
    struct ot_train_opts opts = { .resume = resume };
    struct ot_config *c;
    int rc;

    *err = none;
    (void)snprintf(run_dir, sizeof run_dir, "run_dir=\"%s/%s\"", ot_tmpdir(), dir);
    c = ot_config_load("configs/fashion.conf", set, sizeof set / sizeof set[0] - !more, false, err);
    assert_ok(c ? 0 : err->code, err);
    rc = ot_train(c, &opts, err);
    ot_config_free(c);
    return rc;
}

static void a_real_run_stopped_and_resumed_is_made_again(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_replay whole, parts;

    (void)state;
    assert_ok(train("run", NULL, NULL, &err), &err);
    whole = replayed("run/looks.log");
    assert_true(whole.same && whole.ended);
    assert_int_equal(whole.iterations, 40);
    assert_true(whole.batches > 2);
    assert_int_equal(train("parts", "max_time_s=0.0000001", NULL, &err), OT_ESTOPPED);
    assert_int_equal(train("parts", "max_time_s=0.0000001", "auto", &err), OT_ESTOPPED);
    assert_ok(train("parts", NULL, "auto", &err), &err);
    parts = replayed("parts/looks.log");
    assert_true(parts.same && parts.ended);
    assert_int_equal(parts.resumes, 2);
    assert_int_equal(parts.gaps, 0);
    assert_int_equal(parts.verdicts, 0); /* none was given, none taken back */
    assert_memory_equal(&whole.tally, &parts.tally, sizeof whole.tally);
    ot_replay_release(&parts);
    ot_replay_release(&whole);
    /* another night on the same pool */
    assert_ok(train("run", NULL, NULL, &err), &err);
    whole = replayed("run/looks.log");
    assert_true(whole.same);
    assert_true(ot_exists(ot_tiny_path("run/looks.log.old")));
    ot_replay_release(&whole);
}

static void what_is_no_longer_said_at_a_resume_is_taken_back(void **state)
{
    static char overlay[400];
    struct ot_err err = OT_ERR_INIT;
    struct ot_replay r;

    (void)state;
    (void)snprintf(overlay, sizeof overlay, "label_overlay=\"%s\"",
                   ot_tiny_file("said.jsonl", "{\"key\":\"00000005\",\"label\":7}\n"));
    assert_ok(train("said", overlay, NULL, &err), &err);
    r = replayed("said/looks.log");
    assert_int_equal(r.verdicts, 0); /* that of the beginning is in the miner the log starts with */
    ot_replay_release(&r);
    assert_ok(train("said", NULL, ot_tiny_path("said/fashion_iter_34.solverstate"), &err), &err);
    r = replayed("said/looks.log");
    assert_int_equal(r.resumes, 1);
    assert_int_equal(r.verdicts, 1);
    ot_replay_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_run_stopped_and_resumed_is_made_again),
        cmocka_unit_test(what_is_no_longer_said_at_a_resume_is_taken_back),
    };

    ot_log_set_level(OT_LOG_ERROR);
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_digits("digits.lmdb", 96, 28, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
