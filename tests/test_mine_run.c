/*
 * test_mine_run.c - mining inside a run: the sentinel set, importance weights, snapshots, running
 * statistics, the two losses.
 */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/minekit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/mine_i.h"
#include "trainer/train.h"

enum { IMAGES = 96, CLASSES = 10 };

static char digits[300];

/* ---- the sentinel set ------------------------------------------------------------------------ */

static void the_sentinel_set_leaves_the_training_alone(void **state)
{
    const char *with[] = { "test_interval=7", "mining.sentinel=-1" };
    const char *without[] = { "test_interval=7", "mining.sentinel=0" };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_ok(ot_mined_train("with", digits, false, with, 2, NULL, &err), &err);
    assert_ok(ot_mined_train("without", digits, false, without, 2, NULL, &err), &err);
    assert_true(ot_mined_same("with", "without"));
}

static void the_sentinel_set_is_distinct_sorted_and_in_whole_batches(void **state)
{
    const char *set[] = { "mining.sentinel=50" };
    struct ot_config *c = ot_mined_config("s", digits, false, set, 1);
    struct ot_run r;

    (void)state;
    ot_config_free(c);
    for (int size = 0; size < 3; size++) {
        static const char *const sizes[] = { "mining.sentinel=50", "mining.sentinel=-1",
                                             "mining.sentinel=0" };
        static const int want[] = { 48, 96, 0 };
        char data[400];
        const char *sets[] = { data, "net.layer[data].data_param.batch_size=8", sizes[size] };

        (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", digits);
        ot_run_open(&r, "configs/fashion.conf", sets, 3, true, (struct ot_net_conf){ 0 });
        assert_int_equal(r.mine->sentinel.n, want[size]);
        for (int i = 1; i < r.mine->sentinel.n; i++)
            assert_true(r.mine->sentinel.sample[i - 1] < r.mine->sentinel.sample[i]);
        ot_run_close(&r);
    }
}

static void the_same_weights_score_the_same_whatever_is_drawn(void **state)
{
    char data[400];
    const char *sets[] = { data, "net.layer[data].data_param.batch_size=8", "mining.warmup=0",
                           "mining.window=16", "mining.quantile=0.5" };
    struct ot_err err = OT_ERR_INIT;
    float first[48];
    struct ot_run r;

    (void)state;
    (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", digits);
    ot_run_open(&r, "configs/fashion.conf", sets, 5, true, (struct ot_net_conf){ 0 });
    for (int pass = 0; pass < 10; pass++) {
        uint64_t at = ot_feeds_position(r.feeds), iter = r.net->env.iter;
        bool frozen = r.net->env.frozen_stats;

        assert_ok(ot_mine_sentinel(r.mine, pass, &err), &err);
        if (pass == 0)
            memcpy(first, r.mine->sentinel.loss, sizeof first);
        assert_memory_equal(first, r.mine->sentinel.loss, sizeof first);
        assert_true(first[0] > 0.0f && first[0] != first[1]);
        assert_int_equal(ot_feeds_position(r.feeds), at);
        assert_int_equal(r.net->env.iter, iter);
        assert_int_equal(r.net->env.frozen_stats, frozen);
        (void)ot_run_pass(&r, pass, NULL); /* no update: the weights stay */
    }
    ot_run_close(&r);
}

/* ---- importance ------------------------------------------------------------------------------ */

static void importance_weighs_the_images_of_a_reinjected_batch(void **state)
{
    char data[400];
    const char *sets[] = { data,
                           "net.layer[data].data_param.batch_size=8",
                           "mining.warmup=0",
                           "mining.window=16",
                           "mining.quantile=0.3",
                           "mining.scope=POOL",
                           "mining.max_share=0.5",
                           "mining.thermometer=0",
                           "mining.quarantine_weight=1",
                           "mining.priority=LOSS",
                           "mining.importance=PER" };
    int reinjected = 0;
    struct ot_run r;

    (void)state;
    (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", digits);
    ot_run_open(&r, "configs/fashion.conf", sets, 11, true,
                (struct ot_net_conf){ .keep_all = true });
    for (int pass = 0; pass < 30; pass++) {
        float weight[8], most = 0, least = 2;
        bool again;

        (void)ot_run_pass(&r, pass, &again);
        ot_run_update(&r, 0.01);
        ot_mined_blob(r.net, "weight", weight, 8);
        for (int i = 0; i < 8; i++) {
            most = fmaxf(most, weight[i]);
            least = fminf(least, weight[i]);
        }
        assert_near(most, 1, 0); /* the fresh pass after a re-injection, too */
        assert_true(again ? least > 0 && least < 1 : least == 1);
        reinjected += again;
    }
    assert_true(reinjected > 3);
    ot_run_close(&r);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* The same state as version 1 wrote it: looks without the given label, 4 bytes after `pred`. */
static void as_version_1(const struct ot_str *now, struct ot_str *then)
{
    const size_t head = 40, old = sizeof(struct ot_look) - 4, cut = 20;
    uint32_t size = (uint32_t)old;
    uint64_t n;

    memcpy(&n, now->buf + 16, sizeof n);
    assert_true(n > 0);
    ot_str_add(then, now->buf, head);
    then->buf[6] = '1';
    memcpy(then->buf + 24, &size, sizeof size);
    for (size_t i = 0; i < n; i++) {
        const char *look = now->buf + head + i * sizeof(struct ot_look);

        ot_str_add(then, look, cut);
        ot_str_add(then, look + cut + 4, sizeof(struct ot_look) - cut - 4);
    }
    ot_str_add(then, now->buf + head + n * sizeof(struct ot_look),
               now->len - head - n * sizeof(struct ot_look));
}

static void a_state_of_version_1_is_restored(void **state)
{
    char data[400];
    const char *sets[] = { data,
                           "net.layer[data].data_param.batch_size=8",
                           "mining.warmup=0",
                           "mining.window=16",
                           "mining.quantile=0.5",
                           "mining.thermometer=0" };
    struct ot_str now = { 0 }, then = { 0 }, again = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_run r, s;

    (void)state;
    (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", digits);
    ot_run_open(&r, "configs/fashion.conf", sets, 6, true, (struct ot_net_conf){ 0 });
    ot_run_open(&s, "configs/fashion.conf", sets, 6, true, (struct ot_net_conf){ 0 });
    for (int pass = 0; pass < 9; pass++)
        (void)ot_run_pass(&r, pass, NULL);
    assert_ok(ot_mine_save(r.mine, &now, &err), &err);
    as_version_1(&now, &then);
    assert_ok(ot_mine_restore(s.mine, then.buf, then.len, 8, &err), &err);
    assert_ok(ot_mine_save(s.mine, &again, &err), &err);
    assert_int_equal(again.len, now.len);
    assert_memory_equal(again.buf, now.buf, now.len);
    then.buf[6] = '3';
    assert_int_equal(ot_mine_restore(s.mine, then.buf, then.len, 8, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "mining state: written by another version");
    ot_str_release(&now);
    ot_str_release(&then);
    ot_str_release(&again);
    ot_run_close(&r);
    ot_run_close(&s);
}

/* ---- running statistics ---------------------------------------------------------------------- */

static void norm_blobs(const char *name, float *v, size_t n)
{
    size_t bytes, at = 0;
    char *file = ot_mined_slurp(name, &bytes);
    Caffe__NetParameter *net = caffe__net_parameter__unpack(NULL, bytes, (uint8_t *)file);

    assert_non_null(net);
    memset(v, 0, n * sizeof *v);
    for (size_t i = 0; i < net->n_layer; i++)
        for (size_t b = 0; !strcmp(net->layer[i]->type, "BatchNorm") && b < 3; b++)
            for (size_t k = 0; k < net->layer[i]->blobs[b]->n_data && at < n; k++)
                v[at++] = net->layer[i]->blobs[b]->data[k];
    assert_true(at > 4);
    caffe__net_parameter__free_unpacked(net, NULL);
    ot_free(file);
}

static void reinjected_iterations_leave_running_statistics_alone(void **state)
{
    static const char text[] =
        "layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight'"
        "  transform_param { scale: 0.004 }"
        "  data_param { source: '%s' batch_size: 8 backend: LMDB } }"
        "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c'"
        "  convolution_param { num_output: 3 kernel_size: 9 stride: 9"
        "    weight_filler { type: 'xavier' } } }"
        "layer { name: 'bn' type: 'BatchNorm' bottom: 'c' top: 'c' }"
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'c' top: 'ip'"
        "  inner_product_param { num_output: 10 weight_filler { type: 'xavier' } } }"
        "layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'ip' bottom: 'label'"
        "  bottom: 'weight' top: 'loss' top: 'prob' top: 'each' }";
    struct ot_err err = OT_ERR_INIT;
    struct ot_train_opts opts = { 0 };
    char net[1200], conf[900], name[64], *metrics, *line;
    struct ot_config *c;
    float was[16] = { 0 }, now[16];
    int pools = 0, iter = 0;
    size_t n;

    (void)state;
    (void)snprintf(net, sizeof net, text, digits);
    (void)snprintf(
        conf, sizeof conf,
        "net: '%s' run_dir: '%s/bn' base_lr: 0.01 lr_policy: 'fixed' max_iter: 30 "
        "snapshot: 1 snapshot_keep: 0 threads: 1 "
        "mining { warmup: 0 window: 16 quantile: 0.5 cooldown: 2 scope: POOL max_share: 0.5 }",
        ot_tiny_file("bn.prototxt", net), ot_tmpdir());
    c = ot_config_load(ot_tiny_file("bn.conf", conf), NULL, 0, false, &err);
    assert_ok(c ? 0 : err.code, &err);
    assert_ok(ot_train(c, &opts, &err), &err);
    ot_config_free(c);
    metrics = line = ot_mined_slurp("bn/metrics.jsonl", &n);
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        bool pool = false;

        *end = '\0';
        pool = strstr(line, "\"kind\":\"pool\"") != NULL;
        if (!pool && !strstr(line, "\"kind\":\"train\""))
            continue;
        (void)snprintf(name, sizeof name, "bn/bn_iter_%d.caffemodel", ++iter);
        norm_blobs(name, now, 16);
        assert_int_equal(memcmp(was, now, sizeof now) == 0, pool);
        memcpy(was, now, sizeof was);
        pools += pool;
    }
    assert_int_equal(iter, 30);
    assert_true(pools > 3);
    ot_free(metrics);
}

/* ---- two losses ------------------------------------------------------------------------------ */

static double number(const char *line, const char *name)
{
    const char *p = strstr(line, name);

    assert_non_null(p);
    return strncmp(p + strlen(name), "null", 4) ? atof(p + strlen(name)) : (double)NAN;
}

static void fresh_and_mined_losses_are_never_added_up(void **state)
{
    const char *more[] = { "iter_size=3", "display=1", "average_loss=5" };
    struct ot_err err = OT_ERR_INIT;
    int mixed = 0, seen = 0;
    double last = (double)NAN, fresh = (double)NAN;
    char *metrics, *line;
    size_t n;

    (void)state;
    assert_ok(ot_mined_train("two", digits, false, more, 3, NULL, &err), &err);
    metrics = line = ot_mined_slurp("two/metrics.jsonl", &n);
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        double mined;

        *end = '\0';
        if (!strstr(line, "\"kind\":\"train\"") && !strstr(line, "\"kind\":\"pool\""))
            continue;
        mined = number(line, "\"mined_loss\":");
        /* some of the three passes were re-injected, and yet it is an iteration of fresh ones */
        mixed += strstr(line, "\"kind\":\"train\"") && !isnan(mined) && mined != last;
        last = mined;
        seen++;
        if (strstr(line, "\"kind\":\"train\"")) {
            double loss = number(line, "\"loss\":");

            fresh = isnan(fresh) ? loss : 0.95 * fresh + 0.05 * loss;
        }
        assert_near(number(line, "\"uniform_loss\":"), fresh, 1e-6);
    }
    assert_int_equal(seen, 40);
    assert_true(mixed > 3);
    ot_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sentinel_set_leaves_the_training_alone),
        cmocka_unit_test(the_sentinel_set_is_distinct_sorted_and_in_whole_batches),
        cmocka_unit_test(the_same_weights_score_the_same_whatever_is_drawn),
        cmocka_unit_test(importance_weighs_the_images_of_a_reinjected_batch),
        cmocka_unit_test(a_state_of_version_1_is_restored),
        cmocka_unit_test(reinjected_iterations_leave_running_statistics_alone),
        cmocka_unit_test(fresh_and_mined_losses_are_never_added_up),
    };

    ot_log_set_level(OT_LOG_ERROR);
    (void)snprintf(digits, sizeof digits, "%s", ot_tiny_digits("digits.lmdb", IMAGES, 28, CLASSES));
    return cmocka_run_group_tests_name("mine_run", tests, NULL, NULL);
}
