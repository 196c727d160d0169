/*
 * test_async.c - training on a device that is late on purpose (queue_dev.h) is training on the CPU,
 * bit for bit: weights, histories, the miner's state, metrics; and nothing waits but where it must.
 */
#include <stdlib.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/check.h"
#include "tests/minekit.h"
#include "tests/queue_dev.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/fetch.h"
#include "trainer/train.h"

/* ---- a run ----------------------------------------------------------------------------------- */

/* Convolution, batch normalisation, dropout, two losses of which one is mined; a data layer that
 * is not the first. */
/* clang-format off */
#define NET(classes) \
    "layer { name: 'c1' type: 'Convolution' bottom: 'data' top: 'c1' convolution_param { " \
    "num_output: 6 kernel_size: 3 stride: 2 weight_filler { type: 'xavier' } } } " \
    "layer { name: 'bn' type: 'BatchNorm' bottom: 'c1' top: 'c1' } " \
    "layer { name: 'sc' type: 'Scale' bottom: 'c1' top: 'c1' scale_param { bias_term: true } } " \
    "layer { name: 'r1' type: 'ReLU' bottom: 'c1' top: 'c1' } " \
    "layer { name: 'noise' type: 'DummyData' top: 'noise' dummy_data_param { " \
    "shape { dim: [8, " classes "] } " \
    "data_filler { type: 'gaussian' std: 0.1 } } include { phase: TRAIN } } " \
    "layer { name: 'drop' type: 'Dropout' bottom: 'c1' top: 'd1' } " \
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'd1' top: 'ip' param { lr_mult: 1 } " \
    "param { lr_mult: 2 } inner_product_param { " \
    "num_output: " classes " weight_filler { type: 'xavier' } } } " \
    "layer { name: 'sum' type: 'Eltwise' bottom: 'ip' bottom: 'noise' top: 'sum' " \
    "include { phase: TRAIN } } " \
    "layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'sum' bottom: 'label' bottom: " \
    "'weight' top: 'loss' top: 'prob' top: 'each' include { phase: TRAIN } } " \
    "layer { name: 'small' type: 'Power' bottom: 'ip' top: 'small' power_param { power: 2 } " \
    "include { phase: TRAIN } } " \
    "layer { name: 'l2' type: 'Reduction' bottom: 'small' top: 'l2' loss_weight: 0.01 " \
    "include { phase: TRAIN } } " \
    "layer { name: 'acc' type: 'Accuracy' bottom: 'ip' bottom: 'label' top: 'acc' " \
    "include { phase: TEST } } "

/* clang-format on */

static const char *write_net(const char *name, const char *lmdb, const char *shuffle,
                             const char *net)
{
    char text[8000];

    (void)snprintf(text, sizeof text,
                   "layer { name: 'data' type: 'Data' top: 'data' top: 'label' top: 'weight' "
                   "include { phase: TRAIN } transform_param { scale: 0.004 } "
                   "data_param { source: '%s' batch_size: 8 backend: LMDB %s } } "
                   "layer { name: 'data' type: 'Data' top: 'data' top: 'label' include { phase: "
                   "TEST } transform_param { scale: 0.004 } data_param { source: '%s' batch_size: "
                   "8 backend: LMDB } } %s",
                   lmdb, shuffle, lmdb, net);
    return ot_tiny_file(name, text);
}

static char the_net[400], unlabelled[400], scenes[400];

enum { AHEAD = 20 };

static const char solver[] =
    "max_iter: 60 test_iter: 3 test_interval: 20 display: 15 snapshot: 30 snapshot_keep: 9 "
    "random_seed: 3 threads: 1 momentum: 0.9 weight_decay: 0.001 ";
static const char mined[] =
    "mining { warmup: 0 window: 16 quantile: 0.5 cooldown: 2 scope: POOL max_share: 0.5 "
    "sentinel: 16 } ";

struct job {
    const char *net, *more; /* net: NULL: the usual one */
    bool detector;          /* frcnn.conf instead */
    const char *resume;     /* a snapshot that the last run left, or NULL */
    const char *const *set;
    int nset;
};

static struct ot_config *config_of(const struct job *w, struct ot_err *err)
{
    char text[4000];

    if (w->detector)
        return ot_config_load("configs/frcnn.conf", w->set, w->nset, false, err);
    (void)snprintf(text, sizeof text, "net: '%s' run_dir: '%s' %s %s", w->net ? w->net : the_net,
                   ot_tiny_path("run"), solver, w->more);
    return ot_config_load(ot_tiny_file("run.conf", text), w->set, w->nset, false, err);
}

/* Into tmpdir/device. */
static int train(const char *device, const struct job *w, struct ot_err *err)
{
    struct ot_train_opts opts = { .device = device };
    struct ot_config *c;
    char state[500];
    int rc;

    *err = (struct ot_err)OT_ERR_INIT;
    if (w->resume) {
        (void)snprintf(state, sizeof state, "%s/%s", ot_tiny_path("run"), w->resume);
        assert_int_equal(rename(ot_tiny_path(device), ot_tiny_path("run")), 0);
        opts.resume = state;
    }
    c = config_of(w, err);
    assert_ok(c ? 0 : err->code, err);
    rc = ot_train(c, &opts, err);
    ot_config_free(c);
    (void)ot_remove_dir(ot_tiny_path(device), 2);
    assert_int_equal(rename(ot_tiny_path("run"), ot_tiny_path(device)), 0);
    return rc;
}

static void need_queue(void)
{
    if (!&ot_queue_stats)
        skip_because("no C++ compiler when the tests were built");
}

/* ---- what it leaves -------------------------------------------------------------------------- */

static char *slurp(const char *device, const char *name, size_t *n)
{
    char path[400];

    (void)snprintf(path, sizeof path, "%s/%s", device, name);
    return ot_mined_slurp(path, n);
}

/* Without what a clock says. */
static void strip(char *line, const char *field)
{
    char *at = strstr(line, field), *end;

    if (!at)
        return;
    end = at + strcspn(at, ",}");
    memmove(at, end, strlen(end) + 1);
}

static char *timeless(char *line)
{
    static const char *const clock[] = { "\"t\":", "\"time\":", "\"ms\":", "\"wait_s\":",
                                         "\"seconds\":" };

    for (size_t i = 0; i < sizeof clock / sizeof clock[0]; i++)
        strip(line, clock[i]);
    return line;
}

static void same_metrics(int least)
{
    size_t na, nb;
    char *a = slurp("cpu", "metrics.jsonl", &na), *b = slurp("cuda", "metrics.jsonl", &nb);
    char *sa, *sb, *la = strtok_r(a, "\n", &sa), *lb = strtok_r(b, "\n", &sb);
    int lines = 0;

    for (; la && lb; la = strtok_r(NULL, "\n", &sa), lb = strtok_r(NULL, "\n", &sb)) {
        assert_string_equal(timeless(la), timeless(lb));
        lines++;
    }
    assert_true(!la && !lb && lines >= least);
    ot_free(a);
    ot_free(b);
}

/* The next line of train.log that says what an iteration left, without its time; NULL: none. */
static char *said(char **at)
{
    while (*at && **at) {
        char *line = *at, *end = strchr(line, '\n');

        *at = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        if (strstr(line, " output #") || strstr(line, ", lr = "))
            return strstr(line, "] ");
    }
    return NULL;
}

static void same_log(void)
{
    size_t n;
    char *a = slurp("cpu", "train.log", &n), *b = slurp("cuda", "train.log", &n);
    char *ia = a, *ib = b, *la, *lb;
    int lines = 0;

    for (; (la = said(&ia)) != NULL; lines++) {
        lb = said(&ib);
        assert_non_null(lb);
        assert_string_equal(la, lb);
    }
    assert_null(said(&ib));
    assert_true(lines >= 20);
    ot_free(a);
    ot_free(b);
}

static void same_file(const char *name)
{
    size_t na, nb;
    char *a = slurp("cpu", name, &na), *b = slurp("cuda", name, &nb);

    assert_int_equal(na, nb);
    if (memcmp(a, b, na) != 0)
        fail_msg("%s: %zu bytes, not the same", name, na);
    ot_free(a);
    ot_free(b);
}

/* The snapshots of iterations 30 and 60 and all metrics. */
static void same_runs(const struct job *w)
{
    static const char *const file[] = { "30.caffemodel", "30.otstate", "60.caffemodel",
                                        "60.solverstate", "60.otstate" };
    struct ot_err err;

    need_queue();
    assert_ok(train("cpu", w, &err), &err);
    assert_ok(train("cuda", w, &err), &err);
    assert_string_equal(ot_queue_stats.what, "");
    same_metrics(60);
    same_log();
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        char name[64];

        (void)snprintf(name, sizeof name, "%s_iter_%s", w->detector ? "frcnn" : "run", file[i]);
        same_file(name);
    }
}

/* ---- the same bits --------------------------------------------------------------------------- */

static const char plain[] = "base_lr: 0.05 lr_policy: 'fixed'";
static const char adam[] = "base_lr: 0.002 type: 'Adam' momentum2: 0.99 lr_policy: 'step' gamma: "
                           "0.5 stepsize: 7 clip_gradients: 1 iter_size: 2";

static void a_plain_run_is_that_of_the_cpu(void **state)
{
    (void)state;
    same_runs(&(struct job){ .more = plain });
    /* three recordings: passes, updates, tests */
    assert_int_equal(ot_queue_stats.recorded, 3);
    assert_true(ot_queue_stats.replayed > 110);
    assert_true(ot_queue_stats.called < ot_queue_stats.kernels / 8);
}

static int times(const char *log, const char *what)
{
    int n = 0;

    for (const char *at = log; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/* When training begins, and in the end where it is another by then. */
static void what_convolutions_run_as_is_logged(void **state)
{
    static const char *const unrecorded[] = { "cuda_graphs=false" };
    const struct job of[] = { { .more = plain }, { .more = plain, .set = unrecorded, .nset = 1 } };
    struct ot_err err;
    char *log, *end;
    size_t n;

    (void)state;
    need_queue();
    ot_log_set_level(OT_LOG_INFO);
    for (int i = 0; i < 2; i++) {
        assert_ok(train("cuda", &of[i], &err), &err);
        log = slurp("cuda", "train.log", &n);
        end = strstr(log, "Optimization Done.");
        assert_non_null(end);
        assert_int_equal(times(log, "device cuda:0: 3 directions of convolutions"), 1);
        assert_int_equal(times(log, "device cuda:0: 5 directions of convolutions"), i == 0);
        assert_int_equal(times(end, "directions"), i == 0);
        ot_free(log);
    }
    assert_ok(train("cpu", &of[0], &err), &err);
    ot_log_set_level(OT_LOG_ERROR);
    log = slurp("cpu", "train.log", &n);
    assert_int_equal(times(log, "device cpu: "), 1);
    ot_free(log);
}

/* As the log says. */
static int decode_threads(const char *device, const struct job *w)
{
    struct ot_err err;
    size_t n;
    char *log, *at;
    int threads;

    assert_ok(train(device, w, &err), &err);
    log = slurp(device, "train.log", &n);
    at = strstr(log, " records, ");
    threads = at ? atoi(at + 10) : 0;
    ot_free(log);
    return threads;
}

/* On the CPU computing wants them. */
static void a_gpu_has_the_cores_decode(void **state)
{
    const int cores = ot_env_cores();
    const struct job usual = { .more = plain },
                     asked = { .more = "base_lr: 0.05 lr_policy: 'fixed' data_threads: 3" };

    (void)state;
    need_queue();
    assert_int_equal(decode_threads("cuda", &usual), cores < 3 ? 1 : cores > 16 ? 16 : cores - 1);
    assert_int_equal(decode_threads("cpu", &usual), 1);
    assert_int_equal(decode_threads("cpu", &asked), 3);
}

/* The losses of passes between which nobody waits. */
static void run_ahead(const char *device, float *loss, int n)
{
    const struct ot_dev_conf conf = { .threads = 1, .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open_conf(device, &conf, &err);
    struct ot_fetch slot[AHEAD] = { { 0 } };
    struct ot_run r;
    char text[4000];

    assert_ok(dev ? 0 : err.code, &err);
    (void)snprintf(text, sizeof text, "net: '%s' run_dir: '%s' %s %s", the_net, ot_tiny_path("run"),
                   solver, plain);
    ot_run_open(&r, ot_tiny_file("ahead.conf", text), NULL, 0, false,
                (struct ot_net_conf){ .dev = dev });
    for (int k = 0; k < n; k++) {
        assert_ok(ot_feeds_next(r.feeds, NULL, 0, 0, &err), &err);
        r.net->env.iter = (uint64_t)k;
        assert_ok(ot_net_pass(r.net, &err), &err);
        assert_ok(ot_fetch_ask(&slot[k], r.net, ot_net_blob(r.net, "loss"), &err), &err);
    }
    dev->ops->sync(dev);
    for (int k = 0; k < n; k++) {
        loss[k] = slot[k].v[0];
        ot_fetch_release(&slot[k]);
    }
    ot_run_close(&r);
    ot_dev_close(dev);
}

static void a_batch_is_not_filled_anew_while_the_device_reads_it(void **state)
{
    float cpu[AHEAD], late[AHEAD];

    (void)state;
    need_queue();
    run_ahead("cpu", cpu, AHEAD);
    run_ahead("cuda:0", late, AHEAD);
    assert_memory_equal(cpu, late, sizeof cpu);
}

static void passes(struct ot_run *r, int n)
{
    struct ot_err err = OT_ERR_INIT;

    for (int k = 0; k < n; k++) {
        assert_ok(ot_feeds_next(r->feeds, NULL, 0, 0, &err), &err);
        assert_ok(ot_net_pass(r->net, &err), &err);
    }
}

/* As with images of many sizes: a plan lasts three passes, a recording would be used once. */
static void where_plans_do_not_last_recordings_are_rare(void **state)
{
    const struct ot_dev_conf conf = { .threads = 1, .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;
    struct ot_run r;
    char text[4000];

    (void)state;
    need_queue();
    dev = ot_dev_open_conf("cuda:0", &conf, &err);
    assert_ok(dev ? 0 : err.code, &err);
    (void)snprintf(text, sizeof text, "net: '%s' run_dir: '%s' %s %s", the_net, ot_tiny_path("run"),
                   solver, plain);
    ot_run_open(&r, ot_tiny_file("short.conf", text), NULL, 0, false,
                (struct ot_net_conf){ .dev = dev });
    for (int plan = 0; plan < 10; plan++) {
        passes(&r, 3);
        assert_ok(ot_net_plan(r.net, &err), &err);
    }
    assert_int_equal(ot_queue_stats.recorded, 1);
    passes(&r, 30); /* now one lasts */
    assert_int_equal(ot_queue_stats.recorded, 2);
    assert_int_equal(ot_queue_stats.replayed, 25);
    assert_ok(ot_net_plan(r.net, &err), &err);
    passes(&r, 3); /* and the next is made at once again */
    assert_int_equal(ot_queue_stats.recorded, 3);
    ot_run_close(&r);
    ot_dev_close(dev);
}

/* The loss of the displayed iteration and the outputs of its last pass, which add up to it. */
static void what_is_displayed_is_of_one_iteration(void **state)
{
    size_t n;
    struct ot_err err;
    char *log, *at;
    int found = 0;

    (void)state;
    assert_ok(train("cpu", &(struct job){ .more = plain }, &err), &err);
    log = slurp("cpu", "train.log", &n);
    for (at = log; (at = strstr(at, " iters), loss = ")) != NULL; found++) {
        double loss = atof(at + 16), sum = 0;
        char *end = strstr(at, ", lr = ");

        for (; (at = strstr(at, " (* ")) != NULL && at < end; at++)
            sum += atof(strstr(at, " = ") + 3);
        assert_near(sum, loss, 1e-5 * loss);
        at = end;
    }
    assert_int_equal(found, 4);
    ot_free(log);
}

static void adam_with_two_passes_an_iteration_and_rates_that_change(void **state)
{
    (void)state;
    same_runs(&(struct job){ .more = adam });
    /* four: the second pass of an iteration adds to the gradients */
    assert_int_equal(ot_queue_stats.recorded, 4);
}

static void a_mined_run_makes_the_same_decisions(void **state)
{
    char more[1000];

    (void)state;
    (void)snprintf(more, sizeof more, "%s %s", plain, mined);
    same_runs(&(struct job){ .more = more });
    (void)snprintf(more, sizeof more, "%s %s", adam, mined);
    same_runs(&(struct job){ .more = more });
    assert_true(ot_queue_stats.recorded >= 6); /* of re-injected passes, of the sentinel set */
}

static void a_mined_detector_does(void **state)
{
    char run[400];
    const char *set[] = { run,
                          scenes,
                          "net.layer[data].data_param.batch_size=2",
                          "net.layer[data].detection_data_param.short_side=64",
                          "net.layer[conv1].convolution_param.num_output=4",
                          "test_interval=0",
                          "eval.draw=0",
                          "max_iter=60",
                          "snapshot=30",
                          "display=15",
                          "threads=1",
                          "mining.warmup=0",
                          "mining.window=16",
                          "mining.cooldown=3",
                          "mining.quantile=0.6",
                          "mining.min_fresh=1",
                          "mining.max_share=0.5" };

    (void)state;
    (void)snprintf(run, sizeof run, "run_dir=\"%s\"", ot_tiny_path("run"));
    same_runs(&(struct job){ .detector = true, .set = set, .nset = sizeof set / sizeof set[0] });
    assert_true(ot_queue_stats.replayed > 50);
}

static void where_nothing_can_be_recorded_all_is_done_as_always(void **state)
{
    (void)state;
    need_queue();
    for (int i = 0; i < 3; i++) { /* of a test, a pass, an update */
        ot_queue_refuse = i + 1;
        same_runs(&(struct job){ .more = adam });
        ot_queue_refuse = 0;
        assert_int_equal(ot_queue_stats.refused, 1);
        assert_int_equal(ot_queue_stats.recorded, i);
    }
    same_runs(&(struct job){ .more = "base_lr: 0.05 lr_policy: 'fixed' cuda_graphs: false" });
    assert_int_equal(ot_queue_stats.recorded, 0);
    same_runs(&(struct job){ .more = "base_lr: 0.05 lr_policy: 'fixed' debug_info: true" });
}

static void what_fails_only_while_recording_is_no_failure(void **state)
{
    (void)state;
    need_queue();
    for (int i = 1; i <= 2; i++) { /* of a test, a pass */
        ot_queue_spoil = i;
        same_runs(&(struct job){ .more = adam });
        ot_queue_spoil = 0;
        assert_int_equal(ot_queue_stats.refused, 1);
        assert_int_equal(ot_queue_stats.recorded, 4);
    }
}

static void a_resumed_run_is_the_run_that_was_not_stopped(void **state)
{
    char more[1000];
    struct ot_err err;
    size_t na, nb;
    char *a, *b;

    (void)state;
    need_queue();
    (void)snprintf(more, sizeof more, "%s %s", adam, mined);
    assert_ok(train("cuda", &(struct job){ .more = more }, &err), &err);
    a = slurp("cuda", "run_iter_60.otstate", &na);
    assert_ok(
        train("cuda", &(struct job){ .more = more, .resume = "run_iter_30.solverstate" }, &err),
        &err);
    b = slurp("cuda", "run_iter_60.otstate", &nb);
    assert_int_equal(na, nb);
    assert_true(na > 1000);
    /* all but the run's number in the pool, and the hash that covers it not */
    assert_memory_equal(a + 48, b + 48, na - 48);
    ot_free(a);
    ot_free(b);
}

/* ---- nothing waits --------------------------------------------------------------------------- */

static struct ot_queue_stats waits_of(const char *more, int iterations, int test_interval,
                                      int test_iter)
{
    char max[40], every[40], batches[40];
    const char *set[] = { max,         every,        batches,
                          "display=0", "snapshot=0", "snapshot_after_train=false" };
    const struct job w = { .more = more, .set = set, .nset = 6 };
    struct ot_err err;

    (void)snprintf(max, sizeof max, "max_iter=%d", iterations);
    (void)snprintf(every, sizeof every, "test_interval=%d", test_interval);
    (void)snprintf(batches, sizeof batches, "test_iter=%d", test_iter);
    assert_ok(train("cuda", &w, &err), &err);
    return ot_queue_stats;
}

static void between_the_batches_of_a_test_nothing_waits_either(void **state)
{
    struct ot_queue_stats few, many;

    (void)state;
    need_queue();
    few = waits_of(plain, 40, 10, 4);
    many = waits_of(plain, 40, 10, 9);
    assert_int_equal(few.blocking, many.blocking);
    assert_int_equal(few.full_waits, many.full_waits);
    assert_int_equal(few.called, many.called);
    assert_true(few.waits + 5 * 5 <= many.waits);
}

static void between_displays_nothing_waits_for_the_device(void **state)
{
    const char *const run[] = { plain, adam };

    (void)state;
    need_queue();
    for (int mining = 0; mining < 2; mining++)
        for (int i = 0; i < 2; i++) {
            char more[1000];
            struct ot_queue_stats few, many;

            (void)snprintf(more, sizeof more, "%s %s", run[i], mining ? mined : "");
            few = waits_of(more, 40, 0, 3);
            many = waits_of(more, 90, 0, 3);
            assert_int_equal(few.blocking, many.blocking);
            assert_int_equal(few.full_waits, many.full_waits);
            assert_true(few.waits + 50 <= many.waits); /* for the pass before: it is done */
            assert_int_equal(few.called, many.called);
        }
}

/* ---- what is found late ---------------------------------------------------------------------- */

/* Not what came of a loss that was not to be believed. */
static void no_other_error(const char *device)
{
    size_t n;
    char *log = slurp(device, "train.log", &n);

    assert_true(n > 0);
    assert_null(strstr(log, "\nE"));
    ot_free(log);
}

static bool is_there(const char *device, const char *name)
{
    char path[500];

    (void)snprintf(path, sizeof path, "%s/%s", ot_tiny_path(device), name);
    return ot_exists(path);
}

/* Both devices end with the same words, up to `part`, and leave no file `absent`. */
static void same_end(const struct job *w, enum ot_code code, const char *part, const char *absent)
{
    char cpu[1200], cuda[1200];
    struct ot_err err;

    need_queue();
    assert_int_equal(train("cpu", w, &err), code);
    (void)ot_err_str(&err, cpu, sizeof cpu);
    assert_int_equal(train("cuda", w, &err), code);
    assert_error(&err, code, part);
    (void)ot_err_str(&err, cuda, sizeof cuda);
    assert_true(strlen(part) > 10 && strstr(cpu, part) - cpu == strstr(cuda, part) - cuda);
    assert_memory_equal(cpu, cuda, (size_t)(strstr(cpu, part) - cpu) + strlen(part));
    same_metrics(1);
    no_other_error("cpu");
    no_other_error("cuda");
    assert_false(is_there("cpu", absent));
    assert_false(is_there("cuda", absent));
}

static const char *const every[] = { "snapshot=1", "display=0", "test_interval=0", "base_lr=1e38",
                                     "type=\"SGD\"" };

static void a_loss_that_is_no_number_is_that_of_its_iteration(void **state)
{
    (void)state;
    for (int mining = 0; mining < 2; mining++) {
        char more[1000];
        const struct job w = { .more = more, .set = every, .nset = 4 };

        (void)snprintf(more, sizeof more, "%s %s", plain, mining ? mined : "");
        same_end(&w, OT_ENAN, "iteration 1: loss '", "run_iter_2.otstate");
    }
}

/* Labels are the ordinal of the record: that of iteration 5 is the first too high one. */
static void bad_data_is_said_with_its_layer_before_anything_is_made_of_it(void **state)
{
    (void)state;
    for (int mining = 0; mining < 2; mining++) {
        char more[1000];
        const struct job w = { .net = unlabelled, .more = more, .set = every, .nset = 3 };

        (void)snprintf(more, sizeof more, "%s %s", plain, mining ? mined : "");
        same_end(&w, OT_EDATA, ": layer 'loss': instance 0: label 40", "run_iter_6.otstate");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_run_is_that_of_the_cpu),
        cmocka_unit_test(a_gpu_has_the_cores_decode),
        cmocka_unit_test(where_plans_do_not_last_recordings_are_rare),
        cmocka_unit_test(a_batch_is_not_filled_anew_while_the_device_reads_it),
        cmocka_unit_test(what_is_displayed_is_of_one_iteration),
        cmocka_unit_test(what_convolutions_run_as_is_logged),
        cmocka_unit_test(adam_with_two_passes_an_iteration_and_rates_that_change),
        cmocka_unit_test(a_mined_run_makes_the_same_decisions),
        cmocka_unit_test(a_mined_detector_does),
        cmocka_unit_test(where_nothing_can_be_recorded_all_is_done_as_always),
        cmocka_unit_test(what_fails_only_while_recording_is_no_failure),
        cmocka_unit_test(a_resumed_run_is_the_run_that_was_not_stopped),
        cmocka_unit_test(between_displays_nothing_waits_for_the_device),
        cmocka_unit_test(between_the_batches_of_a_test_nothing_waits_either),
        cmocka_unit_test(a_loss_that_is_no_number_is_that_of_its_iteration),
        cmocka_unit_test(bad_data_is_said_with_its_layer_before_anything_is_made_of_it),
    };
    const char *digits;

    ot_log_set_level(OT_LOG_ERROR);
    digits = ot_tiny_digits("digits", 96, 12, 4);
    (void)snprintf(the_net, sizeof the_net, "%s",
                   write_net("net", digits, "shuffle: true", NET("4")));
    digits = ot_tiny_digits("more", 96, 12, 48);
    (void)snprintf(unlabelled, sizeof unlabelled, "%s",
                   write_net("unlabelled", digits, "", NET("40")));
    (void)snprintf(scenes, sizeof scenes, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_scenes("scenes", 12, 64, 11));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
