/*
 * test_golden_nets.c - whole nets and whole trainings against what Caffe did.
 *
 * Trainings are compared as divergence.txt of the golden data says other correct runs compare: to
 * float noise while no maximum and no kink has changed sides, loosely after.
 */
#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/db.h"
#include "proto/caffe.pb-c.h"
#include "proto/upgrade.h"
#include "tests/check.h"
#include "tests/golden.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/evaluate.h"
#include "trainer/snapshot.h"

#define FASHION "/usr/share/datasets/fashion-mnist/"

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

/* ---- Fashion-MNIST in the order of its files ---------------------------------------- */

static gzFile open_idx(const char *name, int header)
{
    char path[200], skip[16];
    gzFile f;

    (void)snprintf(path, sizeof path, FASHION "%s.gz", name);
    f = gzopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(gzread(f, skip, (unsigned)header), header);
    return f;
}

static void copy_records(struct ot_db_writer *w, gzFile images, gzFile labels, int count)
{
    struct ot_err err = OT_ERR_INIT;

    for (int i = 0; i < count; i++) {
        unsigned char pixel[784], label, buf[900];
        Caffe__Datum d = CAFFE__DATUM__INIT;
        char key[16];

        assert_int_equal(gzread(images, pixel, 784), 784);
        assert_int_equal(gzread(labels, &label, 1), 1);
        d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = 1;
        d.channels = 1;
        d.height = d.width = 28;
        d.label = label;
        d.data = (ProtobufCBinaryData){ 784, pixel };
        (void)snprintf(key, sizeof key, "%08d", i);
        assert_ok(ot_db_put(w, (struct ot_bytes){ key, 8 },
                            (struct ot_bytes){ buf, protobuf_c_message_pack(&d.base, buf) }, &err),
                  &err);
    }
}

/* The first `count` records; NULL where the package is not installed. */
static const char *fashion(const char *prefix, int count)
{
    struct ot_err err = OT_ERR_INIT;
    char name[64];
    const char *path = ot_tiny_path(prefix);
    struct ot_db_writer *w;
    gzFile images, labels;

    if (ot_exists(path))
        return path;
    if (!ot_exists(FASHION "train-images-idx3-ubyte.gz"))
        return NULL;
    (void)snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    images = open_idx(name, 16);
    (void)snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    labels = open_idx(name, 8);
    w = ot_db_create(path, false, &err);
    assert_ok(w ? 0 : err.code, &err);
    copy_records(w, images, labels, count);
    assert_ok(ot_db_finish(w, true, &err), &err);
    (void)gzclose(images);
    (void)gzclose(labels);
    return path;
}

enum { TRAIN_RECORDS = 12800, TEST_RECORDS = 10000 };

/* Opens lenet with the golden solver file; returns false when data is absent. */
static bool open_lenet(struct ot_run *r, const char *solver)
{
    char net[1100], train[400], test[400], conf[1100];
    const char *set[] = { net, train, test, "threads=2" }, *a, *b, *dir;
    char rel[100];

    (void)snprintf(rel, sizeof rel, "golden/%s", solver);
    dir = ot_shared(rel);
    a = fashion("train", TRAIN_RECORDS);
    b = fashion("t10k", TEST_RECORDS);
    if (!dir || !a || !b)
        return false;
    (void)snprintf(conf, sizeof conf, "%s", dir);
    (void)snprintf(net, sizeof net, "net=\"%s\"",
                   ot_shared("golden/lenet-trajectory/lenet_train_test.prototxt"));
    (void)snprintf(train, sizeof train, "net.layer[0].data_param.source=\"%s\"", a);
    (void)snprintf(test, sizeof test, "net.layer[1].data_param.source=\"%s\"", b);
    ot_run_open(r, conf, set, 4, false, (struct ot_net_conf){ 0 });
    return true;
}

static void load_init(struct ot_run *r)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(
        ot_weights_load(r->net, ot_shared("golden/lenet-trajectory/lenet_init.caffemodel"), &err),
        &err);
}

struct tier { /* iterations below `until` may differ by `tolerance` */
    int until;
    double tolerance;
};

/* Follows the "iter lr loss" lines of a golden loss.txt. */
static void follow(struct ot_run *r, const char *file, int from, int count,
                   const struct tier *tiers)
{
    struct ot_err err = OT_ERR_INIT;
    char rel[200], *text, *line;
    double worst = 0;
    size_t n;

    (void)snprintf(rel, sizeof rel, "golden/%s", file);
    text = ot_read_file(ot_shared(rel), 1 << 20, &n, &err);
    assert_non_null(text);
    line = strchr(text, '\n') + 1;
    for (int i = 0; i < from; i++)
        line = strchr(line, '\n') + 1;
    for (int i = from; i < from + count; i++, line = strchr(line, '\n') + 1) {
        int iter, k = r->config->solver->iter_size;
        double lr, loss, got = 0, our_lr = ot_solver_lr(r->solver);
        const struct tier *t = tiers;

        assert_int_equal(sscanf(line, "%d %lf %lf", &iter, &lr, &loss), 3);
        assert_int_equal(iter, i);
        while (t->until <= i)
            t++;
        assert_near(our_lr, lr, 3e-7 * lr); /* Caffe computes in float */
        for (int s = 0; s < k; s++)
            got += ot_run_pass(r, (int64_t)i * k + s, NULL) / k;
        if (!(fabs(got - loss) <= t->tolerance))
            fail_msg("%s: iteration %d: loss %.9g, Caffe %.9g, tolerance %g", file, i, got, loss,
                     t->tolerance);
        worst = fabs(got - loss) > worst ? fabs(got - loss) : worst;
        ot_run_update(r, our_lr);
    }
    print_message("%s: worst difference of a loss %.2g\n", file, worst);
    ot_free(text);
}

static void lenet_trains_as_caffes(void **state)
{
    /* four times what divergence.txt says of another correct program on oneDNN */
    static const struct tier tiers[] = {
        { 20, 3e-6 }, { 40, 3.2e-5 }, { 60, 2e-3 }, { 100, 2.5e-2 }, { 200, 6.4e-2 }
    };
    struct ot_run r;

    (void)state;
    if (!open_lenet(&r, "lenet-trajectory/lenet_solver.prototxt"))
        skip_because("no ../shared/golden or no dataset-fashion-mnist");
    load_init(&r);
    follow(&r, "lenet-trajectory/loss.txt", 0, 200, tiers);
    ot_run_close(&r);
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

/* "layer.blob count sum sum|x| ..." of the parameters after 60 iterations */
static void weights_end_as(struct ot_run *r, const char *file, double tolerance)
{
    struct ot_err err = OT_ERR_INIT;
    char rel[200], *text, *line;
    size_t n, lines = 0;

    (void)snprintf(rel, sizeof rel, "golden/%s", file);
    text = ot_read_file(ot_shared(rel), 1 << 20, &n, &err);
    assert_non_null(text);
    for (line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1, lines++) {
        char spec[64];
        double sum, sum_abs, got = 0, got_abs = 0;
        unsigned long count;
        float *w;

        assert_int_equal(sscanf(line, "%63s %lu %lf %lf", spec, &count, &sum, &sum_abs), 4);
        w = ot_kit_param(r->net, param_of(r->net, spec), OT_PARAM_DATA, &n);
        assert_int_equal(n, count);
        for (size_t i = 0; i < n; i++) {
            got += (double)w[i];
            got_abs += fabs((double)w[i]);
        }
        assert_near(got_abs, sum_abs, tolerance * sum_abs);
        assert_near(got, sum, tolerance * sum_abs);
        ot_free(w);
    }
    assert_int_equal(lines, 8);
    ot_free(text);
}

static void solver_case(const char *name, const struct tier *tiers, double tolerance)
{
    char file[100];
    struct ot_run r;

    (void)snprintf(file, sizeof file, "lenet-solvers/%s/solver.prototxt", name);
    if (!open_lenet(&r, file))
        skip_because("no ../shared/golden or no dataset-fashion-mnist");
    load_init(&r);
    (void)snprintf(file, sizeof file, "lenet-solvers/%s/loss.txt", name);
    follow(&r, file, 0, 60, tiers);
    (void)snprintf(file, sizeof file, "lenet-solvers/%s/loss.weights.txt", name);
    weights_end_as(&r, file, tolerance);
    ot_run_close(&r);
}

static void sgd_ends_with_caffes_weights(void **state)
{
    static const struct tier tiers[] = { { 20, 3e-6 }, { 40, 3.2e-5 }, { 60, 2e-3 } };

    (void)state;
    solver_case("SGD", tiers, 1e-3);
}

/* L1 decay, and the mean over three passes: divergence.txt has what float32 itself drifts */
static void l1_regularisation_is_caffes(void **state)
{
    static const struct tier tiers[] = { { 10, 3e-6 }, { 20, 5.2e-4 }, { 60, 2.4e-2 } };

    (void)state;
    solver_case("SGD_L1", tiers, 5e-2);
}

static void iter_size_is_caffes(void **state)
{
    static const struct tier tiers[] = { { 10, 3e-6 }, { 20, 4.8e-4 }, { 60, 1.2e-2 } };

    (void)state;
    solver_case("SGD_itersize3", tiers, 1e-2);
}

/* The lr column of every policy, exactly; one net, without training it. */
static void learning_rates_are_caffes(void **state)
{
    static const char *const policy[] = { "fixed", "step", "multistep", "poly", "inv", "exp" };

    (void)state;
    for (size_t p = 0; p < 6; p++) {
        struct ot_err err = OT_ERR_INIT;
        char file[100], *text, *line;
        struct ot_run r;
        size_t n;

        (void)snprintf(file, sizeof file, "lenet-solvers/policy_%s/solver.prototxt", policy[p]);
        if (!open_lenet(&r, file))
            skip_because("no ../shared/golden or no dataset-fashion-mnist");
        (void)snprintf(file, sizeof file, "golden/lenet-solvers/policy_%s/loss.txt", policy[p]);
        text = ot_read_file(ot_shared(file), 1 << 20, &n, &err);
        assert_non_null(text);
        line = strchr(text, '\n') + 1;
        for (r.solver->iter = 0; r.solver->iter < 60; r.solver->iter++) {
            double lr;

            assert_int_equal(sscanf(line, "%*d %lf", &lr), 1);
            /* Caffe computes in float: half a unit of the base, a unit of the factor */
            assert_near(ot_solver_lr(r.solver), lr, fmax(3e-7 * lr, 6e-8 * 0.01));
            line = strchr(line, '\n') + 1;
        }
        ot_free(text);
        ot_run_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inception_is_caffes),
        cmocka_unit_test(multiloss_is_caffes),
        cmocka_unit_test(a_residual_net_is_caffes),
        cmocka_unit_test(a_legacy_net_is_caffes),
        cmocka_unit_test(a_legacy_model_gives_a_legacy_net_caffes_loss),
        cmocka_unit_test(lenet_trains_as_caffes),
        cmocka_unit_test(caffes_snapshot_loads_and_goes_on),
        cmocka_unit_test(sgd_ends_with_caffes_weights),
        cmocka_unit_test(l1_regularisation_is_caffes),
        cmocka_unit_test(iter_size_is_caffes),
        cmocka_unit_test(learning_rates_are_caffes),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
