/* test_golden_nets.c - whole nets, and a snapshot of Caffe, against what Caffe did. */
#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/caffe.pb-c.h"
#include "proto/upgrade.h"
#include "tests/check.h"
#include "tests/fashion.h"
#include "tests/golden.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/evaluate.h"
#include "trainer/snapshot.h"

/* ---- one forward and backward ------------------------------------------------------ */

/* "unknown layer type" of this net, or NULL when all are known */
static const char *unknown_type(const Caffe__NetParameter *p)
{
    for (size_t i = 0; i < p->n_layer; i++)
        if (!ot_layer_find(p->layer[i]->type))
            return p->layer[i]->type;
    return NULL;
}

static struct ot_param *param_of(struct ot_net *net, const char *spec)
{
    char layer[64];
    const char *dot = strrchr(spec, '.');
    struct ot_node *n;

    (void)snprintf(layer, sizeof layer, "%.*s", (int)(dot - spec), spec);
    n = ot_net_node(net, layer);
    assert_non_null(n);
    return n->l.param[atoi(dot + 1)];
}

static void give(struct ot_kit *k, const struct ot_golden *g)
{
    struct ot_err err = OT_ERR_INIT;

    for (int i = 0; i < g->n; i++) {
        const struct ot_golden_blob *b = &g->blob[i];

        if (!b->given)
            continue;
        if (!strncmp(b->name, "blob.", 5))
            ot_kit_set(k, b->name + 5, b->v);
        else
            assert_ok(
                ot_param_set(k->net, param_of(k->net, b->name + 6), OT_PARAM_DATA, b->v, &err),
                &err);
    }
}

/* The tolerance of golden.h is for one layer.  A gradient here is behind up to eight of them, and
 * a bias gradient is a sum of 240 nearly equal values whose roundings go one way: three times. */
static void compare(const char *net, const struct ot_golden_blob *b, float *got, size_t n)
{
    double worst = ot_golden_error(b, got, n);

    if (!(worst <= 3))
        fail_msg("%s: %s is %g tolerances off", net, b->name, worst);
    ot_free(got);
}

static void take(struct ot_kit *k, const struct ot_golden *g, const char *name)
{
    for (int i = 0; i < g->n; i++) {
        const struct ot_golden_blob *b = &g->blob[i];
        size_t len = strlen(b->name), n = 1;
        bool diff = len > 5 && !strcmp(b->name + len - 5, "_diff");
        char what[64];
        float *got;

        if (b->given || !strcmp(b->name, "loss"))
            continue;
        (void)snprintf(what, sizeof what, "%.*s", (int)(diff ? len - 5 : len), b->name);
        if (!strncmp(what, "param.", 6))
            got = ot_kit_param(k->net, param_of(k->net, what + 6),
                               diff ? OT_PARAM_GRAD : OT_PARAM_DATA, &n);
        else if (!diff)
            got = ot_kit_blob(k->net, what + 5, &n);
        else if (ot_net_blob(k->net, what + 5)->grad.data)
            got = ot_kit_blob_grad(k->net, what + 5, &n);
        else
            continue; /* nobody wants it here; Caffe was told to compute all */
        compare(name, b, got, n);
    }
}

static void whole_net(const char *name)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_golden g;
    char rel[100], dir[1024], path[1100], *text;
    const char *type;
    Caffe__NetParameter *param;
    struct ot_doc *doc;
    struct ot_kit k;
    size_t n;

    (void)snprintf(rel, sizeof rel, "golden/nets/%s", name);
    if (!ot_shared(rel))
        skip_because("no ../shared/golden");
    (void)snprintf(dir, sizeof dir, "%s", ot_shared(rel));
    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    text = ot_read_file(path, 1 << 20, &n, &err);
    assert_non_null(text);
    doc = ot_text_parse(&caffe__net_parameter__descriptor, path, text, n, &err);
    assert_ok(doc ? 0 : err.code, &err);
    param = (Caffe__NetParameter *)(void *)ot_doc_root(doc);
    assert_true(ot_upgrade_net(doc, param, &err) >= 0);
    type = unknown_type(param);
    if (type) {
        char why[64];

        (void)snprintf(why, sizeof why, "%s", type);
        ot_doc_free(doc);
        ot_free(text);
        skip_because("%s: %s is not supported yet", name, why);
    }
    ot_doc_free(doc);
    assert_ok(ot_golden_open(&g, dir, &err), &err);
    k = ot_kit_open(text, (struct ot_net_conf){ .keep_all = true });
    give(&k, &g);
    assert_near(ot_kit_forward(&k), ot_golden_find(&g, "loss")->v[0], 2e-6);
    ot_kit_backward(&k);
    take(&k, &g, name);
    ot_kit_close(&k);
    ot_golden_close(&g);
    ot_free(text);
}

static void inception_is_caffes(void **state)
{
    (void)state;
    whole_net("inception");
}

static void multiloss_is_caffes(void **state)
{
    (void)state;
    whole_net("multiloss");
}

static void a_residual_net_is_caffes(void **state)
{
    (void)state;
    whole_net("residual_train");
}

static void a_legacy_net_is_caffes(void **state)
{
    (void)state;
    whole_net("legacy_v1");
}

/* The old net with the weights of the old file, and of the same written anew. */
static void a_legacy_model_gives_a_legacy_net_caffes_loss(void **state)
{
    static const char *const file[] = { "v1.caffemodel", "new.caffemodel" };
    struct ot_err err = OT_ERR_INIT;
    struct ot_golden g;
    char dir[1024], path[1100], *text;
    size_t n;

    (void)state;
    if (!ot_shared("golden/nets/legacy_v1"))
        skip_because("no ../shared/golden");
    if (!ot_layer_find("LRN"))
        skip_because("legacy_v1: LRN is not supported yet");
    (void)snprintf(dir, sizeof dir, "%s", ot_shared("golden/nets/legacy_v1"));
    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    text = ot_read_file(path, 1 << 20, &n, &err);
    assert_non_null(text);
    assert_ok(ot_golden_open(&g, dir, &err), &err);
    for (int i = 0; i < 2; i++) {
        struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ .keep_all = true });

        ot_kit_set(&k, "data", ot_golden_find(&g, "blob.data")->v);
        ot_kit_set(&k, "label", ot_golden_find(&g, "blob.label")->v);
        (void)snprintf(path, sizeof path, "%s/%s", dir, file[i]);
        assert_ok(ot_weights_load_one(k.net, path, &err), &err);
        assert_near(ot_kit_forward(&k), ot_golden_find(&g, "loss")->v[0], 2e-6);
        ot_kit_close(&k);
    }
    ot_golden_close(&g);
    ot_free(text);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inception_is_caffes),
        cmocka_unit_test(multiloss_is_caffes),
        cmocka_unit_test(a_residual_net_is_caffes),
        cmocka_unit_test(a_legacy_net_is_caffes),
        cmocka_unit_test(a_legacy_model_gives_a_legacy_net_caffes_loss),
        cmocka_unit_test(caffes_snapshot_loads_and_goes_on),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
