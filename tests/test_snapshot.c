/*
 * test_snapshot.c - a run that stops and goes on ends as one that never stopped; and what is done
 * to the files in between is noticed.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/tinydb.h"
#include "trainer/job_i.h"

static char source[400], scenes[400];
static bool detector; /* which of the two configs */

/* fashion.conf on 96 small images, or frcnn.conf on 12 small scenes: mined, shuffled, 40
 * iterations; `more` are further --set. */
static struct ot_config *config(const char *dir, const char *const *more, int nmore)
{
    static const char *const both[] = { "test_interval=0",   "max_iter=40",
                                        "snapshot=0",        "threads=1",
                                        "mining.warmup=0",   "mining.window=16",
                                        "mining.cooldown=3", "mining.quantile=0.6" };
    static const char *const images[] = { source, "net.layer[data].data_param.batch_size=8",
                                          "net.layer[ip1].inner_product_param.num_output=20",
                                          "test_iter=2" };
    static const char *const boxes[] = { scenes, "net.layer[data].data_param.batch_size=2",
                                         "net.layer[data].detection_data_param.short_side=96",
                                         "mining.min_fresh=1", "mining.max_share=0.5" };
    static char run_dir[400];
    struct ot_err err = OT_ERR_INIT;
    const char *set[40] = { run_dir };
    int n = 1;
    struct ot_config *c;

    (void)snprintf(run_dir, sizeof run_dir, "run_dir=\"%s/%s\"", ot_tmpdir(), dir);
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++)
        set[n++] = both[i];
    for (size_t i = 0; !detector && i < sizeof images / sizeof images[0]; i++)
        set[n++] = images[i];
    for (size_t i = 0; detector && i < sizeof boxes / sizeof boxes[0]; i++)
        set[n++] = boxes[i];
    for (int i = 0; i < nmore; i++)
        set[n++] = more[i];
    c = ot_config_load(detector ? "configs/frcnn.conf" : "configs/fashion.conf", set, n, false,
                       &err);
    assert_ok(c ? 0 : err.code, &err);
    return c;
}

static int run(const char *dir, const char *const *more, int nmore, const char *resume,
               struct ot_err *err)
{
    static const struct ot_err none = OT_ERR_INIT;
    struct ot_config *c = config(dir, more, nmore);
    struct ot_train_opts opts = { .resume = resume };
    int rc;

    *err = none;
    rc = ot_train(c, &opts, err);

    ot_config_free(c);
    return rc;
}

static char *slurp(const char *path, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    char *p = ot_read_file(path, 1 << 28, n, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static void same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(ot_tiny_path(a), &n), *y = slurp(ot_tiny_path(b), &m);

    if (n != m || memcmp(x, y, n) != 0)
        fail_msg("%s and %s differ", a, b);
    ot_free(x);
    ot_free(y);
}

/* "iter":N ... "loss":X of every train or pool line, in order */
static int losses(const char *file, double *loss, int max)
{
    size_t n;
    char *text = slurp(ot_tiny_path(file), &n), *line = text;
    int k = 0;

    for (char *end; (end = strchr(line, '\n')) && k < max; line = end + 1) {
        char *it = strstr(line, "\"iter\":"), *l = strstr(line, "\"loss\":");

        *end = '\0';
        if ((strstr(line, "\"kind\":\"train\"") || strstr(line, "\"kind\":\"pool\"")) && it && l) {
            assert_int_equal(atoi(it + 7), k);
            loss[k++] = atof(l + 7);
        }
    }
    ot_free(text);
    return k;
}

static void snapshots_equal(const char *a, const char *b)
{
    char x[100], y[100];

    (void)snprintf(x, sizeof x, "%s/%s_iter_40.caffemodel", a, detector ? "frcnn" : "fashion");
    (void)snprintf(y, sizeof y, "%s/%s_iter_40.caffemodel", b, detector ? "frcnn" : "fashion");
    same_file(x, y);
}

/* weights, history, data position and mining state, by the state a job holds after resuming */
static void states_equal(const char *a, const char *b)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_train_opts opts = { 0 };
    const char *dir[2] = { a, b };
    struct ot_config *c[2];
    struct ot_job j[2];
    struct ot_str mined[2] = { { 0 }, { 0 } };

    for (int i = 0; i < 2; i++) {
        char path[300];

        (void)snprintf(path, sizeof path, "%s/%s/%s_iter_40.solverstate", ot_tmpdir(), dir[i],
                       detector ? "frcnn" : "fashion");
        c[i] = config(dir[i], NULL, 0);
        assert_ok(ot_job_open(&j[i], c[i], &opts, &err), &err);
        assert_ok(ot_net_history(j[i].net, 1, &err), &err);
        assert_ok(ot_snapshot_restore(j[i].solver, j[i].feeds, j[i].mine, path, &err), &err);
        assert_int_equal(j[i].solver->iter, 40);
        assert_ok(ot_mine_save(j[i].mine, &mined[i], &err), &err);
    }
    for (size_t k = 0; k < j[0].net->nlearn; k++)
        for (int part = OT_PARAM_DATA; part <= OT_PARAM_HIST0; part += OT_PARAM_HIST0) {
            size_t n;
            float *x = ot_kit_param(j[0].net, j[0].net->learn[k], part, &n);
            float *y = ot_kit_param(j[1].net, j[1].net->learn[k], part, NULL);

            assert_memory_equal(x, y, n * sizeof *x);
            ot_free(x);
            ot_free(y);
        }
    assert_int_equal(ot_feeds_position(j[0].feeds), ot_feeds_position(j[1].feeds));
    assert_int_equal(mined[0].len, mined[1].len);
    assert_memory_equal(mined[0].buf, mined[1].buf, mined[0].len);
    for (int i = 0; i < 2; i++) {
        ot_str_release(&mined[i]);
        ot_job_close(&j[i]);
        ot_config_free(c[i]);
    }
}

static void the_same_run(const char *const *more, int nmore, const char *a, const char *b)
{
    struct ot_err err = OT_ERR_INIT;
    const char *first[32];
    double whole[64], parts[64];
    char name[2][64];
    int n;

    for (int i = 0; i < nmore; i++)
        first[i] = more[i];
    assert_ok(run(a, more, nmore, NULL, &err), &err);
    first[nmore] = "snapshot=17"; /* max_iter decides the mining schedule: it stays */
    first[nmore + 1] = "max_time_s=0.0000001";
    /* one iteration, then 16 to the snapshot that is due, then the rest */
    assert_int_equal(run(b, first, nmore + 2, NULL, &err), OT_ESTOPPED);
    assert_int_equal(run(b, first, nmore + 2, "auto", &err), OT_ESTOPPED);
    for (int i = 0; i < 7; i++)
        assert_int_equal(run(b, first, nmore + 2, "auto", &err), OT_ESTOPPED);
    assert_ok(run(b, first, nmore + 1, "auto", &err), &err);
    (void)snprintf(name[0], sizeof name[0], "%s/metrics.jsonl", a);
    (void)snprintf(name[1], sizeof name[1], "%s/metrics.jsonl", b);
    n = losses(name[0], whole, 64);
    assert_int_equal(n, 40);
    assert_int_equal(losses(name[1], parts, 64), 40);
    for (int i = 0; i < 40; i++)
        if (whole[i] != parts[i])
            fail_msg("iteration %d: loss %.9g straight, %.9g resumed", i, whole[i], parts[i]);
    snapshots_equal(a, b);
    states_equal(a, b);
}

static void a_mined_and_shuffled_run_resumes_to_the_bit(void **state)
{
    size_t n;
    char *text;

    (void)state;
    the_same_run(NULL, 0, "straight", "resumed");
    text = slurp(ot_tiny_path("straight/metrics.jsonl"), &n);
    assert_non_null(strstr(text, "\"kind\":\"pool\"")); /* there were re-injections */
    ot_free(text);
}

static void so_does_a_mined_detector(void **state)
{
    size_t n;
    char *text;

    (void)state;
    detector = true;
    the_same_run(NULL, 0, "straight3", "resumed3");
    detector = false;
    text = slurp(ot_tiny_path("straight3/metrics.jsonl"), &n);
    assert_non_null(strstr(text, "\"kind\":\"pool\""));
    ot_free(text);
}

static void so_does_one_with_data_threads_iter_size_and_multistep(void **state)
{
    static const char *const more[] = {
        "data_threads=3",      "iter_size=2",          "gamma=0.5",
        "lr_policy=multistep", "stepvalue=[3, 4, 25]", "clip_gradients=0.5"
    };

    (void)state;
    the_same_run(more, 6, "straight2", "resumed2");
}

static void old_snapshots_are_pruned_and_an_earlier_run_is_moved_away(void **state)
{
    static const char *const more[] = { "snapshot=5", "snapshot_keep=2", "max_iter=23" };
    struct ot_err err = OT_ERR_INIT;
    char path[1200];

    (void)state;
    assert_ok(run("prune", more, 3, NULL, &err), &err);
    assert_false(ot_exists(ot_tiny_path("prune/fashion_iter_15.solverstate")));
    assert_false(ot_exists(ot_tiny_path("prune/fashion_iter_15.caffemodel")));
    assert_false(ot_exists(ot_tiny_path("prune/fashion_iter_15.otstate")));
    assert_true(ot_exists(ot_tiny_path("prune/fashion_iter_20.solverstate")));
    assert_true(ot_exists(ot_tiny_path("prune/fashion_iter_23.caffemodel")));
    assert_int_equal(ot_snapshot_newest(ot_tiny_path("prune/fashion"), path, sizeof path), 1);
    assert_string_equal(path, ot_tiny_path("prune/fashion_iter_23.solverstate"));
    assert_ok(run("prune", more, 3, NULL, &err), &err); /* anew */
    assert_true(ot_exists(ot_tiny_path("prune/previous/fashion_iter_23.solverstate")));
    assert_true(ot_exists(ot_tiny_path("prune/previous/metrics.jsonl")));
    assert_true(ot_exists(ot_tiny_path("prune/fashion_iter_23.solverstate")));
}

/* The weights that belong to a state are those beside it, also when another run's are where they
 * once were. */
static void a_snapshot_that_was_moved_finds_its_own_weights(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_train_opts opts = { 0 };
    struct ot_config *c = config("prune", NULL, 0);
    struct ot_job j;
    float *w, *v;
    size_t n;

    (void)state;
    assert_ok(ot_job_open(&j, c, &opts, &err), &err);
    assert_ok(
        ot_weights_load(j.net, ot_tiny_path("prune/previous/fashion_iter_20.caffemodel"), &err),
        &err);
    w = ot_kit_param(j.net, j.net->learn[0], OT_PARAM_DATA, &n);
    for (size_t i = 0; i < n; i++)
        w[i] += 1;
    assert_ok(ot_param_set(j.net, j.net->learn[0], OT_PARAM_DATA, w, &err), &err);
    /* learned_net says prune/fashion_iter_20.caffemodel: another run's by now */
    assert_ok(ot_weights_save(j.net, ot_tiny_path("prune/fashion_iter_20.caffemodel"), false, &err),
              &err);
    assert_ok(ot_net_history(j.net, 1, &err), &err);
    assert_ok(ot_snapshot_restore(j.solver, j.feeds, j.mine,
                                  ot_tiny_path("prune/previous/fashion_iter_20.solverstate"), &err),
              &err);
    v = ot_kit_param(j.net, j.net->learn[0], OT_PARAM_DATA, NULL);
    assert_near(v[3], w[3] - 1, 1e-6);
    ot_free(w);
    ot_free(v);
    ot_job_close(&j);
    ot_config_free(c);
}

static void damage(const char *name, size_t at)
{
    struct ot_err err = OT_ERR_INIT;
    size_t n;
    char *bytes = slurp(ot_tiny_path(name), &n);

    assert_true(at < n);
    bytes[at] = (char)(bytes[at] ^ 0x40);
    assert_ok(ot_write_file_atomic(ot_tiny_path(name), bytes, n, &err), &err);
    ot_free(bytes);
}

static void damaged_or_foreign_state_is_refused(void **state)
{
    static const char *const other[] = { "net.layer[ip1].inner_product_param.num_output=21" };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_not_equal(run("straight", other, 1, "auto", &err), 0);
    assert_error(&err, OT_ESHAPE, "layer 'ip1': blob 0: the weights have shape 20x");
    assert_error(&err, OT_ESHAPE, "the net wants 21x");
    damage("straight/fashion_iter_40.otstate", 100);
    assert_int_not_equal(run("straight", NULL, 0, "auto", &err), 0);
    assert_error(&err, OT_EDATA, "straight/fashion_iter_40.otstate: damaged or of another version");
    assert_int_not_equal(
        run("straight", NULL, 0, ot_tiny_path("straight/fashion_iter_40.caffemodel"), &err), 0);
    assert_error(&err, OT_EUSAGE, "must be a .solverstate");
    assert_int_not_equal(run("straight", NULL, 0, ot_tiny_path("straight/no.solverstate"), &err),
                         0);
    assert_error(&err, OT_ENOINPUT, "straight/no.solverstate");
}

/* Caffe's resume: no .otstate */
static void a_state_before_the_beginning_is_refused(void **state)
{
    Caffe__SolverState st = CAFFE__SOLVER_STATE__INIT;
    const char *path = ot_tiny_path("minus.solverstate");
    struct ot_snapshot_info info;
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    st.has_iter = 1;
    st.iter = -7;
    assert_ok(ot_wire_write_message(path, &st.base, &err), &err);
    assert_int_equal(ot_snapshot_peek(path, &info, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "iter and current_step must be >= 0, got -7 and 0");
}

static void without_our_state_the_data_begins_anew(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_equal(unlink(ot_tiny_path("resumed/fashion_iter_40.otstate")), 0);
    assert_ok(run("resumed", NULL, 0, "auto", &err), &err);
}

static void saved_weights_load_into_another_net_by_layer_name(void **state)
{
    static const char text[] = "layer { name: 'data' type: 'Input' top: 'data' "
                               "  input_param { shape { dim: 2 dim: 1 dim: 28 dim: 28 } } }"
                               "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'c' "
                               "  convolution_param { num_output: 20 kernel_size: 5 } }"
                               "layer { name: 'new' type: 'InnerProduct' bottom: 'c' top: 'new' "
                               "  inner_product_param { num_output: 3 } }";
    struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ 0 });
    struct ot_err err = OT_ERR_INIT;
    float *w;

    (void)state;
    assert_ok(ot_weights_load(k.net, ot_tiny_path("resumed/fashion_iter_40.caffemodel"), &err),
              &err);
    w = ot_kit_param(k.net, ot_net_node(k.net, "conv1")->l.param[0], OT_PARAM_DATA, NULL);
    assert_true(w[0] != 0.0f);
    ot_free(w);
    w = ot_kit_param(k.net, ot_net_node(k.net, "new")->l.param[0], OT_PARAM_DATA, NULL);
    assert_near(w[0], 0, 0);
    ot_free(w);
    ot_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mined_and_shuffled_run_resumes_to_the_bit),
        cmocka_unit_test(so_does_a_mined_detector),
        cmocka_unit_test(so_does_one_with_data_threads_iter_size_and_multistep),
        cmocka_unit_test(old_snapshots_are_pruned_and_an_earlier_run_is_moved_away),
        cmocka_unit_test(a_snapshot_that_was_moved_finds_its_own_weights),
        cmocka_unit_test(damaged_or_foreign_state_is_refused),
        cmocka_unit_test(a_state_before_the_beginning_is_refused),
        cmocka_unit_test(without_our_state_the_data_begins_anew),
        cmocka_unit_test(saved_weights_load_into_another_net_by_layer_name),
    };

    ot_log_set_level(OT_LOG_ERROR);
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_digits("digits.lmdb", 96, 28, 10));
    (void)snprintf(scenes, sizeof scenes, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_scenes("scenes.lmdb", 12, 96, 11));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
