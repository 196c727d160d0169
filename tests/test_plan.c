/*
 * test_plan.c - the memory planner against a net where every tensor has memory of its own: all
 * outputs, losses and gradients must be the same bits; fused ReLU within rounding; and nothing
 * may be allocated once a net runs.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"

/* ---- comparing ----------------------------------------------------------------------- */

static void same(const char *what, const float *a, const float *b, size_t n, double tolerance)
{
    double worst = ot_farthest(a, b, n), big = 1e-3;

    for (size_t i = 0; i < n; i++)
        big = fmax(big, fabs((double)b[i]));
    if (!(worst <= tolerance * big) || (tolerance == 0 && memcmp(a, b, n * sizeof *a) != 0))
        fail_msg("%s: differs by %g (largest value %g, tolerance %g)", what, worst, big, tolerance);
}

static void same_params(struct ot_net *a, struct ot_net *b, double tolerance)
{
    for (size_t k = 0; k < a->nparam; k++) {
        size_t n;
        float *x = ot_kit_param(a, a->param[k], OT_PARAM_GRAD, &n);
        float *y = ot_kit_param(b, b->param[k], OT_PARAM_GRAD, NULL);

        same(a->param[k]->layer, x, y, n, tolerance);
        ot_free(x);
        ot_free(y);
    }
}

static void same_outputs(struct ot_net *a, struct ot_net *b, double tolerance)
{
    struct ot_blob *out[32];
    int n_out = ot_net_outputs(a, out, 32);

    for (int i = 0; i < n_out; i++) {
        size_t n;
        float *x = ot_kit_blob(a, out[i]->name, &n), *y = ot_kit_blob(b, out[i]->name, NULL);

        same(out[i]->name, x, y, n, tolerance);
        ot_free(x);
        ot_free(y);
    }
}

static void plan_agrees(const char *name, Caffe__Phase phase)
{
    const struct ot_net_conf conf[3] = { { .phase = phase, .no_fusion = true, .keep_all = true },
                                         { .phase = phase, .no_fusion = true },
                                         { .phase = phase } };
    struct ot_kit k[3];

    for (int i = 0; i < 3; i++)
        k[i] = ot_kit_file(name, conf[i]);
    assert_true(k[1].net->memory_bytes < k[0].net->memory_bytes);
    for (uint64_t pass = 0; pass < 3; pass++) {
        double loss[3];

        for (int i = 0; i < 3; i++) {
            k[i].net->env.iter = pass;
            ot_kit_fill(&k[i], pass, 4);
            loss[i] = ot_kit_forward(&k[i]);
        }
        assert_near(loss[1], loss[0], 0);
        assert_near(loss[2], loss[0], 1e-5);
        same_outputs(k[1].net, k[0].net, 0);
        same_outputs(k[2].net, k[0].net, 1e-5);
        for (int i = 0; i < 3; i++)
            ot_kit_backward(&k[i]);
        same_params(k[1].net, k[0].net, 0);
        same_params(k[2].net, k[0].net, 2e-5);
    }
    for (int i = 0; i < 3; i++)
        ot_kit_close(&k[i]);
}

static void a_planned_lenet_computes_what_an_unplanned_one_does(void **state)
{
    (void)state;
    plan_agrees("lenet", CAFFE__PHASE__TRAIN);
    plan_agrees("lenet", CAFFE__PHASE__TEST);
}

static void so_does_one_with_concat_and_many_readers(void **state)
{
    (void)state;
    plan_agrees("inception", CAFFE__PHASE__TRAIN);
    plan_agrees("inception", CAFFE__PHASE__TEST);
}

static void so_does_a_residual_one(void **state)
{
    (void)state;
    plan_agrees("residual", CAFFE__PHASE__TRAIN);
    plan_agrees("blocks", CAFFE__PHASE__TRAIN);
    plan_agrees("blocks", CAFFE__PHASE__TEST);
}

static void so_does_one_of_in_place_chains_and_shared_memory(void **state)
{
    (void)state;
    plan_agrees("chains", CAFFE__PHASE__TRAIN);
    plan_agrees("chains", CAFFE__PHASE__TEST);
}

/* The state of a loss is looked at after the whole forward pass: later layers of a test net must
 * not have overwritten it. */
static void a_bad_label_is_found_when_the_loss_is_not_the_last_layer(void **state)
{
    struct ot_kit train = ot_kit_file("late_loss", (struct ot_net_conf){ 0 });
    struct ot_kit k = ot_kit_file(
        "late_loss", (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        ot_kit_fill(&k, i, 4);
        (void)ot_kit_forward(&k);
    }
    ot_kit_set(&k, "label", (const float[]){ 1, 4 });
    assert_int_not_equal(ot_net_forward(k.net, NULL, &err), 0);
    assert_error(&err, OT_EDATA, "layer 'loss': instance 1: label 4 is outside [0, 4)");
    ot_kit_close(&k);
    ot_kit_close(&train);
}

static void an_input_keeps_its_values_from_pass_to_pass(void **state)
{
    struct ot_kit train = ot_kit_file("inception", (struct ot_net_conf){ 0 });
    struct ot_kit test = ot_kit_file(
        "inception", (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
    double first;

    (void)state;
    ot_kit_fill(&train, 1, 4);
    ot_kit_fill(&test, 1, 4);
    first = ot_kit_forward(&train);
    ot_kit_backward(&train);
    assert_near(ot_kit_forward(&train), first, 0);
    assert_near(ot_kit_forward(&test), first, 0);
    assert_near(ot_kit_forward(&test), first, 0);
    ot_kit_close(&test);
    ot_kit_close(&train);
}

/* ---- nets with data ------------------------------------------------------------------ */

static const char *scene_source(char buf[400])
{
    static const char *path;

    if (!path)
        path = strdup(ot_tiny_scenes("scenes.lmdb", 12, 96, 11));
    (void)snprintf(buf, 400, "net.layer[data].data_param.source=\"%s\"", path);
    return buf;
}

static void so_does_the_detector_on_real_batches(void **state)
{
    char source[400];
    const char *set[] = { scene_source(source), "net.layer[data].data_param.batch_size=2",
                          "net.layer[data].detection_data_param.short_side=96" };
    struct ot_run r[3];

    (void)state;
    ot_run_open(&r[0], "configs/frcnn.conf", set, 3, false,
                (struct ot_net_conf){ .keep_all = true, .no_fusion = true });
    ot_run_open(&r[1], "configs/frcnn.conf", set, 3, false,
                (struct ot_net_conf){ .no_fusion = true });
    ot_run_open(&r[2], "configs/frcnn.conf", set, 3, false, (struct ot_net_conf){ 0 });
    for (int64_t i = 0; i < 3; i++) {
        bool again;
        double loss[3];

        for (int k = 0; k < 3; k++)
            loss[k] = ot_run_pass(&r[k], i, &again);
        assert_near(loss[1], loss[0], 0);
        same_outputs(r[1].net, r[0].net, 0);
        same_params(r[1].net, r[0].net, 0);
        if (i == 0)
            assert_near(loss[2], loss[0], 1e-4 * loss[0]);
        for (int k = 0; k < 3; k++)
            ot_run_update(&r[k], 0.001);
    }
    for (int k = 0; k < 3; k++)
        ot_run_close(&r[k]);
}

/* ---- other shapes, no allocations ---------------------------------------------------- */

static void a_net_follows_the_shape_of_its_data(void **state)
{
    char source[400];
    const char *set[] = { source }, *path;
    struct ot_run r, whole;
    uint64_t count;
    bool again;

    (void)state;
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_mixed("mixed.lmdb", 8, 12, 20, 4));
    path = ot_tiny_file("mixed.conf", "net: 'tests/nets/any_size.prototxt' base_lr: 0.01 "
                                      "lr_policy: 'fixed' max_iter: 9");
    ot_run_open(&r, path, set, 1, false, (struct ot_net_conf){ 0 });
    ot_run_open(&whole, path, set, 1, false, (struct ot_net_conf){ .keep_all = true });
    for (int64_t i = 0; i < 6; i++) {
        assert_near(ot_run_pass(&r, i, &again), ot_run_pass(&whole, i, &again), 0);
        assert_int_equal(ot_net_blob(r.net, "c")->data.shape.dim[2], i % 2 ? 20 : 12);
        same_params(r.net, whole.net, 0);
        ot_run_update(&r, 0.001);
        ot_run_update(&whole, 0.001);
    }
    count = ot_mem_bytes();
    for (int64_t i = 6; i < 26; i++) {
        (void)ot_run_pass(&r, i, &again);
        ot_run_update(&r, 0.001);
    }
    assert_true(ot_mem_bytes() <= count + 4096); /* planning again leaves nothing behind */
    ot_run_close(&r);
    ot_run_close(&whole);
}

static void nothing_is_allocated(struct ot_run *r, int from, int to)
{
    uint64_t count = 0;
    bool again, any = false;

    for (int64_t i = 0; i < to; i++) {
        if (i == from)
            count = ot_mem_count();
        (void)ot_run_pass(r, i, &again);
        ot_run_update(r, 0.001);
        any = any || (again && i > from);
    }
    assert_int_equal(ot_mem_count() - count, 0);
    assert_int_equal(any, r->mine != NULL);
}

static void the_steady_state_of_a_classifier_allocates_nothing(void **state)
{
    char source[400];
    const char *set[] = { source,
                          "net.layer[data].data_param.batch_size=8",
                          "mining.warmup=0",
                          "max_iter=200",
                          "mining.window=16",
                          "mining.quantile=0.5",
                          "mining.cooldown=2" };
    struct ot_run r;

    (void)state;
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_digits("digits.lmdb", 64, 28, 10));
    ot_run_open(&r, "configs/fashion.conf", set, 7, false, (struct ot_net_conf){ 0 });
    nothing_is_allocated(&r, 2, 10);
    ot_run_close(&r);
    ot_run_open(&r, "configs/fashion.conf", set, 7, true, (struct ot_net_conf){ 0 });
    nothing_is_allocated(&r, 40, 60);
    ot_run_close(&r);
}

static void the_steady_state_of_the_detector_allocates_nothing(void **state)
{
    char source[400];
    const char *set[] = { scene_source(source),
                          "net.layer[data].data_param.batch_size=2",
                          "net.layer[data].detection_data_param.short_side=96",
                          "mining.warmup=0",
                          "max_iter=200",
                          "mining.window=64",
                          "mining.quantile=0.5",
                          "mining.cooldown=2",
                          "mining.min_fresh=1" };
    struct ot_run r;

    (void)state;
    ot_run_open(&r, "configs/frcnn.conf", set, 9, true, (struct ot_net_conf){ 0 });
    nothing_is_allocated(&r, 24, 32);
    ot_run_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_planned_lenet_computes_what_an_unplanned_one_does),
        cmocka_unit_test(so_does_one_with_concat_and_many_readers),
        cmocka_unit_test(so_does_a_residual_one),
        cmocka_unit_test(so_does_one_of_in_place_chains_and_shared_memory),
        cmocka_unit_test(a_bad_label_is_found_when_the_loss_is_not_the_last_layer),
        cmocka_unit_test(an_input_keeps_its_values_from_pass_to_pass),
        cmocka_unit_test(so_does_the_detector_on_real_batches),
        cmocka_unit_test(a_net_follows_the_shape_of_its_data),
        cmocka_unit_test(the_steady_state_of_a_classifier_allocates_nothing),
        cmocka_unit_test(the_steady_state_of_the_detector_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
