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

#define INPUT(n, c, h, w)                             \
    "layer { name: 'data' type: 'Input' top: 'data' " \
    "  input_param { shape { dim: " #n " dim: " #c " dim: " #h " dim: " #w " } } }"
#define LABEL(n) \
    "layer { name: 'label' type: 'Input' top: 'label' input_param { shape { dim: " #n " } } }"
#define CONV(name, bottom, out, rest)                                                    \
    "layer { name: '" name "' type: 'Convolution' bottom: '" bottom "' top: '" name "' " \
    "  convolution_param { num_output: " #out " " rest                                   \
    "    weight_filler { type: 'msra' } bias_filler { value: 0.1 } } }"
#define RELU(blob) "layer { name: 'relu_" blob "' type: 'ReLU' bottom: '" blob "' top: '" blob "' }"
#define IP(name, bottom, out)                                                             \
    "layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" name "' " \
    "  inner_product_param { num_output: " #out " weight_filler { type: 'xavier' } } }"
#define LOSS(bottom)                                                \
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: '" bottom \
    "' bottom: 'label' top: 'loss' }"

static const char lenet[] = INPUT(8, 1, 28, 28) LABEL(8) CONV(
    "conv1", "data", 20,
    "kernel_size: 5") "layer { name: 'pool1' type: 'Pooling' bottom: 'conv1' top: 'pool1' "
                      "  pooling_param { kernel_size: 2 stride: 2 } }" CONV(
                          "conv2", "pool1", 50,
                          "kernel_size: 5") "layer { name: 'pool2' type: 'Pooling' bottom: 'conv2' top: 'pool2' "
                                            "  pooling_param { kernel_size: 2 stride: 2 } }" IP(
                                                "ip1", "pool2", 64) RELU("ip1") IP("ip2", "ip1", 10)
                                                LOSS(
                                                    "ip2") "layer { name: 'accuracy' type: 'Accuracy' bottom: 'ip2' bottom: 'label' top: 'accuracy' }";

static const char inception[] = INPUT(3, 3, 13, 11) LABEL(3) CONV(
    "c0", "data", 16,
    "kernel_size: 3 pad: 1") RELU("c0") CONV("b1", "c0", 16,
                                             "kernel_size: 1") RELU("b1") CONV("b2r", "c0", 5,
                                                                               "kernel_size: 1")
    RELU("b2r") CONV("b2", "b2r", 16, "kernel_size: 3 pad: 1") RELU(
        "b2") "layer { name: 'b3p' type: 'Pooling' bottom: 'c0' top: 'b3p' "
              "  pooling_param { kernel_size: 3 stride: 1 pad: 1 } }" CONV("b3", "b3p", 7,
                                                                           "kernel_size: 1")
                  RELU(
                      "b3") "layer { name: 'cat' type: 'Concat' bottom: 'b1' bottom: 'b2' bottom: 'b3' top: 'cat' }"
                            "layer { name: 'gp' type: 'Pooling' bottom: 'cat' top: 'gp' "
                            "  pooling_param { pool: AVE global_pooling: true } }" IP("fc", "gp", 4)
                                LOSS("fc");

static const char residual[] = INPUT(4, 8, 9, 9) LABEL(4) CONV(
    "c0", "data", 16,
    "kernel_size: 3 pad: 1 stride: 2") RELU("c0") CONV("c1", "c0", 16,
                                                       "kernel_size: 3 pad: 1") RELU("c1")
    CONV("c2", "c1", 16, "kernel_size: 3 pad: 1 group: 2") "layer { name: 'sum' type: 'Eltwise' bottom: 'c0' bottom: 'c2' top: 'sum' }" RELU(
        "sum") CONV("d1", "sum", 16, "kernel_size: 3 pad: 2 dilation: 2")
        RELU(
            "d1") "layer { name: 'sum2' type: 'Eltwise' bottom: 'sum' bottom: 'd1' bottom: 'c0' top: 'sum2' "
                  "  eltwise_param { operation: SUM coeff: 1 coeff: -0.5 coeff: 2 } }" RELU(
                      "sum2") "layer { name: 'max' type: 'Eltwise' bottom: 'sum2' bottom: 'd1' top: 'max' "
                              "  eltwise_param { operation: MAX } }" IP("fc", "max", 5) LOSS("fc");

/* ReLU and Dropout in place one after the other, a blob read twice after that, Reshape and Flatten
 * sharing memory, a loss that is read again, a way that nobody differentiates. */
static const char chains[] = INPUT(4, 3, 8, 8) LABEL(4) CONV("c0", "data", 12, "kernel_size: 3") RELU(
    "c0") "layer { name: 'drop' type: 'Dropout' bottom: 'c0' top: 'c0' }"
          "layer { name: 'flat' type: 'Flatten' bottom: 'c0' top: 'flat' }"
          "layer { name: 'back' type: 'Reshape' bottom: 'flat' top: 'back' "
          "  reshape_param { shape { dim: 0 dim: 24 dim: -1 dim: 6 } } }" CONV(
              "c1", "back", 6,
              "kernel_size: 3 pad: 1") "layer { name: 'c1_relu' type: 'ReLU' bottom: 'c1' top: 'c1' relu_param { negative_slope: 0.1 } }"
                                       "layer { name: 'again' type: 'Reshape' bottom: 'c1' top: 'again' reshape_param { "
                                       "  shape { dim: 0 dim: -1 } } }"
                                       "layer { name: 'again_relu' type: 'ReLU' bottom: 'again' top: 'again' }" IP(
                                           "fc1", "flat", 9) RELU("fc1")
                                           IP("fc2", "again",
                                              9) "layer { name: 'prod' type: 'Eltwise' bottom: 'fc1' bottom: 'fc2' top: 'prod' "
                                                 "  eltwise_param { operation: PROD } }"
                                                 "layer { name: 'soft' type: 'Softmax' bottom: 'prod' top: 'soft' }"
                                                 "layer { name: 'loss' type: 'SoftmaxWithLossOHEM' bottom: 'prod' bottom: 'label' top: 'loss' "
                                                 "  top: 'prob' top: 'each' loss_weight: 0.7 }"
                                                 "layer { name: 'quiet' type: 'Silence' bottom: 'prob' }" IP(
                                                     "side", "soft",
                                                     9) "layer { name: 'aux' type: 'SoftmaxWithLoss' bottom: 'side' bottom: 'label' top: 'aux' "
                                                        "  loss_weight: 0.3 }"
                                                        "layer { name: 'acc' type: 'Accuracy' bottom: 'side' bottom: 'label' top: 'acc' }"
                                                        /* in place behind a Reshape: the other
                                                           readers of 'flat' must not see it */
                                                        "layer { name: 'z' type: 'Reshape' bottom: 'flat' top: 'z' reshape_param { "
                                                        "  shape { dim: 0 dim: -1 } } }"
                                                        "layer { name: 'z_drop' type: 'Dropout' bottom: 'z' top: 'z' }" IP(
                                                            "zfc", "z",
                                                            9) "layer { name: 'zloss' type: 'SoftmaxWithLoss' bottom: 'zfc' bottom: 'label' top: 'zloss' }";

/* ---- comparing ----------------------------------------------------------------------- */

static void same(const char *what, const float *a, const float *b, size_t n, double tolerance)
{
    double worst = 0, big = 1e-3;

    for (size_t i = 0; i < n; i++)
        big = fmax(big, fabs((double)b[i]));
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);

        worst = d <= worst ? worst : d; /* NaN goes through */
    }
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

static void plan_agrees(const char *text, Caffe__Phase phase)
{
    const struct ot_net_conf conf[3] = { { .phase = phase, .no_fusion = true, .keep_all = true },
                                         { .phase = phase, .no_fusion = true },
                                         { .phase = phase } };
    struct ot_kit k[3];

    for (int i = 0; i < 3; i++)
        k[i] = ot_kit_open(text, conf[i]);
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
    plan_agrees(lenet, CAFFE__PHASE__TRAIN);
    plan_agrees(lenet, CAFFE__PHASE__TEST);
}

static void so_does_one_with_concat_and_many_readers(void **state)
{
    (void)state;
    plan_agrees(inception, CAFFE__PHASE__TRAIN);
    plan_agrees(inception, CAFFE__PHASE__TEST);
}

static void so_does_a_residual_one(void **state)
{
    (void)state;
    plan_agrees(residual, CAFFE__PHASE__TRAIN);
}

static void so_does_one_of_in_place_chains_and_shared_memory(void **state)
{
    (void)state;
    plan_agrees(chains, CAFFE__PHASE__TRAIN);
    plan_agrees(chains, CAFFE__PHASE__TEST);
}

/* The state of a loss is looked at after the whole forward pass: later layers of a test net must
 * not have overwritten it. */
static void a_bad_label_is_found_when_the_loss_is_not_the_last_layer(void **state)
{
    static const char text[] = INPUT(2, 3, 4, 4) LABEL(2) IP("s", "data", 4) LOSS("s")
        IP("t", "s", 64) IP("u", "t", 64) IP("v", "u", 64);
    struct ot_kit train = ot_kit_open(text, (struct ot_net_conf){ 0 });
    struct ot_kit k = ot_kit_open(
        text, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
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
    struct ot_kit train = ot_kit_open(inception, (struct ot_net_conf){ 0 });
    struct ot_kit test = ot_kit_open(
        inception, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
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

static const char any_size[] =
    "layer { name: 'data' type: 'Data' top: 'data' top: 'label' "
    "  data_param { source: '%s' batch_size: 1 backend: LMDB } "
    "  transform_param { scale: 0.01 } }" CONV("c", "data", 8, "kernel_size: 3 pad: 1")
        RELU("c") "layer { name: 'p' type: 'Pooling' bottom: 'c' top: 'p' "
                  "  pooling_param { pool: AVE global_pooling: true } }" IP("fc", "p", 4)
                      LOSS("fc");

static const char solver_text[] = "net: \"%s\" base_lr: 0.01 lr_policy: \"fixed\" max_iter: 100\n";

static const char *config_of(const char *name, const char *net)
{
    char text[400], file[64];

    (void)snprintf(file, sizeof file, "%s.prototxt", name);
    (void)snprintf(text, sizeof text, solver_text, ot_tiny_file(file, net));
    (void)snprintf(file, sizeof file, "%s.conf", name);
    return ot_tiny_file(file, text);
}

static void a_net_follows_the_shape_of_its_data(void **state)
{
    char text[4096];
    struct ot_run r, whole;
    uint64_t count;
    bool again;

    (void)state;
    (void)snprintf(text, sizeof text, any_size, ot_tiny_mixed("mixed.lmdb", 8, 12, 20, 4));
    ot_run_open(&r, config_of("mixed", text), NULL, 0, false, (struct ot_net_conf){ 0 });
    ot_run_open(&whole, ot_tiny_path("mixed.conf"), NULL, 0, false,
                (struct ot_net_conf){ .keep_all = true });
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
