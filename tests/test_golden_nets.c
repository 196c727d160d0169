/* test_golden_nets.c - whole nets, and a snapshot of Caffe, against what Caffe did. */
#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/caffe.pb-c.h"
#include "proto/upgrade.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/fashion.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/evaluate.h"
#include "trainer/snapshot.h"

/* ---- a snapshot of Caffe ------------------------------------------------------------ */

/* Opens lenet with the golden solver file; returns false when data is absent. */
static bool open_lenet(struct ot_run *r, const char *solver)
{
    char net[1100], train[400], test[400], conf[1100];
    const char *set[] = { net, train, test, "threads=2" }, *dir;
    struct ot_err err = OT_ERR_INIT;
    char rel[100], a[300], b[300];

    (void)snprintf(rel, sizeof rel, "golden/%s", solver);
    dir = ot_shared(rel);
    if (!dir || ot_fashion_lmdb(ot_tmpdir(), "train", a, sizeof a, &err) < 0 ||
        ot_fashion_lmdb(ot_tmpdir(), "t10k", b, sizeof b, &err) < 0)
        return false;
    (void)snprintf(conf, sizeof conf, "%s", dir);
    (void)snprintf(net, sizeof net, "net=\"%s\"",
                   ot_shared("golden/lenet-trajectory/lenet_train_test.prototxt"));
    (void)snprintf(train, sizeof train, "net.layer[0].data_param.source=\"%s\"", a);
    (void)snprintf(test, sizeof test, "net.layer[1].data_param.source=\"%s\"", b);
    ot_run_open(r, conf, set, 4, false, (struct ot_net_conf){ 0 });
    return true;
}

static void caffes_snapshot_loads_and_goes_on(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_run r;
    struct ot_test *t;
    struct ot_test_result result;
    char path[1100];
    float *h;
    double sum = 0;
    size_t n;

    (void)state;
    if (!open_lenet(&r, "lenet-trajectory/lenet_solver.prototxt"))
        skip_because("no ../shared/golden or no dataset-fashion-mnist");
    (void)snprintf(path, sizeof path, "%s",
                   ot_shared("golden/lenet-trajectory/lenet_iter_200.solverstate"));
    assert_ok(ot_snapshot_restore(r.solver, r.feeds, NULL, path, &err), &err);
    assert_int_equal(r.solver->iter, 200);
    h = ot_kit_param(r.net, r.net->learn[0], OT_PARAM_HIST0, &n);
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)h[i]);
    assert_true(sum > 0);
    ot_free(h);
    t = ot_test_open(r.config, 0, r.net, ot_kit_dev(), &err); /* loss.test.txt, iteration 200 */
    assert_ok(t ? 0 : err.code, &err);
    assert_ok(ot_test_run(t, NULL, NULL, &result, &err), &err);
    assert_int_equal(result.n_values, 2);
    assert_string_equal(result.name[0], "accuracy");
    assert_near(result.value[0], 0.80400008, 1.01e-4); /* one image in ten thousand */
    assert_near(result.value[1], 0.548412502, 2e-6);
    ot_test_free(t);
    for (int i = 200; i < 203; i++) {
        double loss = ot_run_pass(&r, i, NULL);

        assert_true(loss > 0.2 && loss < 1.2);
        ot_run_update(&r, ot_solver_lr(r.solver));
    }
    ot_run_close(&r);
}

static Caffe__SolverState *state_of(const char *path)
{
    struct ot_err err = OT_ERR_INIT;
    ProtobufCMessage *m = ot_wire_read_message(&caffe__solver_state__descriptor, path,
                                               OT_WIRE_BYTES, &err);

    assert_ok(m ? 0 : err.code, &err);
    return (Caffe__SolverState *)(void *)m;
}

/* Blobs of the same shapes in the same order, and values within 1e-5 of the largest of the blob. */
static void same_history(const Caffe__BlobProto *got, const Caffe__BlobProto *want)
{
    double largest = 0;

    assert_int_equal(got->shape->n_dim, want->shape->n_dim);
    for (size_t i = 0; i < want->shape->n_dim; i++)
        assert_int_equal(got->shape->dim[i], want->shape->dim[i]);
    assert_int_equal(got->n_data, want->n_data);
    for (size_t i = 0; i < want->n_data; i++)
        largest = fmax(largest, fabs((double)want->data[i]));
    assert_true(ot_farthest(got->data, want->data, want->n_data) <= 1e-5 * largest);
}

/* BatchNorm's three blobs, which no solver moves, have histories too. */
static void the_state_after_30_iterations_is_caffes(void **state)
{
    static const char dir[] = "golden/tiny-solvers/bn_SGD";
    struct ot_err err = OT_ERR_INIT;
    Caffe__SolverState *got, *want;
    char base[900], path[1100], prefix[400], written[1200];
    struct ot_run r;

    (void)state;
    if (!ot_shared(dir))
        skip_because("no ../shared/golden");
    (void)snprintf(base, sizeof base, "%s", ot_shared(dir));
    (void)snprintf(path, sizeof path, "%s/solver.prototxt", base);
    ot_run_open(&r, path, NULL, 0, false, (struct ot_net_conf){ 0 });
    (void)snprintf(path, sizeof path, "%s/init.caffemodel", base);
    assert_ok(ot_weights_load(r.net, path, &err), &err);
    for (int i = 0; i < 30; i++) {
        ot_net_zero_grads(r.net);
        (void)ot_run_pass(&r, i, NULL);
        ot_run_update(&r, ot_solver_lr(r.solver));
    }
    (void)snprintf(prefix, sizeof prefix, "%s/s", ot_tmpdir());
    assert_ok(ot_snapshot_write(r.solver, r.feeds, NULL, prefix, written, sizeof written, &err),
              &err);
    (void)snprintf(path, sizeof path, "%s/s_iter_30.solverstate", base);
    got = state_of(written);
    want = state_of(path);
    assert_int_equal(got->iter, want->iter);
    assert_int_equal(got->current_step, want->current_step);
    assert_int_equal(got->n_history, want->n_history);
    for (size_t k = 0; k < want->n_history; k++)
        same_history(got->history[k], want->history[k]);
    ot_wire_free_message(&got->base);
    ot_wire_free_message(&want->base);
    ot_run_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caffes_snapshot_loads_and_goes_on),
        cmocka_unit_test(the_state_after_30_iterations_is_caffes),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
