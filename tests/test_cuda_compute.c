/*
 * test_cuda_compute.c - convolution, deconvolution and inner product on a CUDA device in FP32, TF32
 * and BF16 against the CPU's fp32; which formats and algorithms they take.
 *
 * Inputs and weights are numbers of bf16, so that products are exact in any of the three: what
 * remains are sums, and the rounding of what is stored in bf16.
 */
#include <math.h>

#include "base/mem.h"
#include "layers/bf16_math.h"
#include "tests/check.h"
#include "tests/gpu_contract.h"
#include "tests/gpu_fake.h"
#include "tests/gpu_host.h"
#include "tests/gpu_net.h"
#include "tests/mininet.h"
#include "tests/some_tests.h"

#define CONV(type, param) \
    "layer { type: '" type "' bottom: 'a' top: 'b' convolution_param { " param " } }"
#define IP(param) \
    "layer { type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { " param " } }"

struct layer_case {
    const char *text;
    struct ot_shape in;
    bool relu;
};

static const struct layer_case cases[] = {
    { CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2"),
      { 4, { 2, 5, 9, 7 } },
      true },
    { CONV("Convolution", "num_output: 8 kernel_size: 3 pad: 1 group: 2 dilation: 2"),
      { 4, { 3, 4, 8, 11 } },
      false },
    { CONV("Convolution", "num_output: 8 kernel_size: 1 bias_term: false"),
      { 4, { 3, 16, 5, 5 } },
      true },
    { CONV("Convolution", "num_output: 3 kernel_size: 5"), { 4, { 2, 1, 9, 8 } }, false },
    { CONV("Convolution", "num_output: 7 kernel_size: 4"), { 4, { 2, 3, 4, 4 } }, true },
    { CONV("Convolution", "num_output: 4 kernel_size: 3"), { 3, { 3, 2, 11 } }, false },
    { CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 axis: 2"),
      { 5, { 2, 3, 4, 5, 7 } },
      false },
    { CONV("Convolution", "num_output: 4 kernel_size: 3"), { 4, { 0, 2, 5, 5 } }, false },
    { CONV("Deconvolution", "num_output: 6 kernel_size: 4 stride: 2 pad: 1"),
      { 4, { 2, 5, 4, 7 } },
      false },
    { CONV("Deconvolution", "num_output: 6 kernel_size: 3 group: 2 bias_term: false"),
      { 4, { 2, 4, 5, 3 } },
      false },
    { IP("num_output: 7"), { 4, { 5, 3, 4, 2 } }, true },
    { IP("num_output: 70 transpose: true"), { 2, { 97, 31 } }, false },
    { IP("num_output: 8 bias_term: false axis: 2"), { 3, { 3, 4, 8 } }, false },
    { IP("num_output: 9"), { 2, { 4, 700 } }, false },
    { IP("num_output: 8"), { 2, { 0, 8 } }, false },
    /* the first without ReLU, without bias, with neither */
    { CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2"),
      { 4, { 2, 5, 9, 7 } },
      false },
    { CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2 bias_term: false"),
      { 4, { 2, 5, 9, 7 } },
      true },
    { CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2 bias_term: false"),
      { 4, { 2, 5, 9, 7 } },
      false },
};

enum { CASES = sizeof cases / sizeof cases[0] };

static struct ot_dev *cpu;
static double shaken; /* what algorithms may be away beyond sums in fp32 */

static const char *const names[] = { "FP32", "TF32", "BF16" };

static void to_bf16(struct ot_mini_array *a)
{
    for (size_t k = 0; k < a->n; k++)
        a->v[k] = ot_bf16_to(ot_bf16_from(a->v[k]));
}

static struct ot_mini *open_case(struct ot_dev *dev, const struct layer_case *c, bool round)
{
    struct ot_err err = OT_ERR_INIT;
    const struct ot_mini_spec spec = {
        .text = c->text, .n_in = 1, .in = { c->in }, .seed = 5, .fused_relu = c->relu
    };
    struct ot_mini *m = ot_mini_open(dev, &spec, &err);

    assert_ok(m ? 0 : err.code, &err);
    ot_mini_random(m, 9, -1.0f, 1.0f);
    for (int i = 0; round && i < OT_MAX_PARAM; i++) {
        to_bf16(&m->in[i]);
        to_bf16(&m->out_grad[i]);
        to_bf16(&m->param[i]);
    }
    return m;
}

/* The largest difference, in parts of the largest value. */
static double apart(const struct ot_mini_array *want, const struct ot_mini_array *got)
{
    double most = 0.0, worst = 0.0;

    for (size_t k = 0; k < want->n; k++) {
        if (!isfinite(got->v[k]))
            return INFINITY;
        most = fmax(most, fabs((double)want->v[k]));
        worst = fmax(worst, fabs((double)want->v[k] - (double)got->v[k]));
    }
    return most > 0.0 ? worst / most : worst;
}

static void close_to(const struct layer_case *c, enum ot_compute compute, const char *what,
                     const struct ot_mini_array *want, const struct ot_mini_array *got, double tol)
{
    const double d = apart(want, got);

    if (!(d <= tol))
        fail_msg("%s: %s: %s is %g of its largest value away, %g allowed", c->text, names[compute],
                 what, d, tol);
}

/* Runs a case on both; returns how far apart the outputs are. */
static double compare(struct ot_dev *dev, const struct layer_case *c, enum ot_compute compute,
                      bool round)
{
    struct ot_mini *a = open_case(cpu, c, round), *b = open_case(dev, c, round);
    const double sums = (round ? 2e-6 : 2e-3) + shaken;
    const double stored = sums + (compute == OT_COMPUTE_BF16 ? 1.0 / 256 : 0.0);
    struct ot_err err = OT_ERR_INIT;
    double d;

    assert_ok(ot_mini_forward(a, &err), &err);
    assert_ok(ot_mini_forward(b, &err), &err);
    d = apart(&a->out[0], &b->out[0]);
    close_to(c, compute, "output", &a->out[0], &b->out[0], stored);
    for (int pass = 0; pass < 2; pass++) { /* overwrites, then adds */
        a->accumulate = b->accumulate = pass > 0;
        assert_ok(ot_mini_backward(a, &err), &err);
        assert_ok(ot_mini_backward(b, &err), &err);
        close_to(c, compute, "input's gradient", &a->in_grad[0], &b->in_grad[0], stored);
        close_to(c, compute, "weights' gradient", &a->param_grad[0], &b->param_grad[0], stored);
        close_to(c, compute, "bias's gradient", &a->param_grad[1], &b->param_grad[1], sums);
    }
    ot_mini_close(a);
    ot_mini_close(b);
    return d;
}

static void compare_all(struct ot_dev *dev, enum ot_compute compute)
{
    for (int i = 0; i < CASES; i++) {
        (void)compare(dev, &cases[i], compute, true);
        print_message("case %d of %d\n", i + 1,
                      (int)CASES); /* gpu-check waits for a sign of life */
    }
}

static void compare_on_a_device(bool deterministic)
{
    for (int c = OT_COMPUTE_FP32; c <= OT_COMPUTE_BF16; c++) {
        const struct ot_dev_conf conf = { .compute = (enum ot_compute)c,
                                          .deterministic = deterministic };
        struct ot_dev *dev = ot_gpu_open(&conf);

        /* Winograd's and Fourier's, whose transformed values are rounded as inputs are */
        shaken = conf.compute == OT_COMPUTE_FP32 ? 1e-4 : 4e-3;
        compare_all(dev, conf.compute);
        shaken = 0.0;
        ot_gpu_close(dev);
    }
}

/* On the fake of the libraries, in several orders. */
static void compare_on_the_host(bool deterministic)
{
    static const uint64_t ways[] = { 0, 1, 7 };
    char wrong[512];

    if (!ot_test_cuda_host || !ot_test_cuda_libraries)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (int i = 0; i < 9; i++) {
        const struct ot_dev_conf conf = { .compute = (enum ot_compute)(i / 3),
                                          .deterministic = deterministic };
        struct ot_err err = OT_ERR_INIT;
        struct ot_dev *dev;

        ot_test_cuda_way(ways[i % 3]);
        dev = ot_test_cuda_host(&conf, &err);
        assert_ok(dev ? 0 : err.code, &err);
        compare_all(dev, conf.compute);
        ot_dev_close(dev);
        if (ot_test_cuda_wrong(wrong, sizeof wrong))
            fail_msg("%s", wrong);
    }
}

static void each_compute_on_a_device_agrees_with_the_cpu(void **state)
{
    (void)state;
    compare_on_a_device(true);
}

static void each_compute_on_a_device_with_measured_algorithms_agrees_with_the_cpu(void **state)
{
    (void)state;
    compare_on_a_device(false);
}

static void each_compute_on_the_host_agrees_with_the_cpu(void **state)
{
    (void)state;
    compare_on_the_host(true);
}

static void each_compute_on_the_host_with_measured_algorithms_agrees_with_the_cpu(void **state)
{
    (void)state;
    shaken = 0.01; /* the fake's that do not repeat */
    compare_on_the_host(false);
    shaken = 0.0;
}

/* ---- on the fake alone --------------------------------------------------------------------- */

static struct ot_dev *open_fake(const struct ot_dev_conf *conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;

    if (!ot_test_cuda_host || !ot_test_cuda_libraries)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    ot_test_cuda_way(1);
    ot_fake_forget();
    dev = ot_test_cuda_host(conf, &err);
    assert_ok(dev ? 0 : err.code, &err);
    return dev;
}

static void close_fake(struct ot_dev *dev)
{
    char wrong[512];

    ot_dev_close(dev);
    ot_fake_fail(NULL, 0, 0);
    ot_fake_capacity(0);
    if (ot_test_cuda_wrong(wrong, sizeof wrong))
        fail_msg("%s", wrong);
}

static void only_fp32_multiplies_all_bits(void **state)
{
    static const struct layer_case *const some[] = { &cases[0], &cases[8], &cases[10] };

    (void)state;
    for (int c = OT_COMPUTE_FP32; c <= OT_COMPUTE_TF32; c++) {
        struct ot_dev *dev = open_fake(
            &(struct ot_dev_conf){ .compute = (enum ot_compute)c, .deterministic = true });

        for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
            const double d = compare(dev, some[i], (enum ot_compute)c, false);

            assert_true(c == OT_COMPUTE_FP32 ? d < 1e-6 : d > 1e-5);
        }
        close_fake(dev);
    }
}

static struct ot_mini *planned(struct ot_dev *dev, int k)
{
    return open_case(dev, &cases[k], true);
}

static void formats_are(const struct ot_mini *m, size_t block, enum ot_type type, size_t w_block)
{
    const struct ot_format *x = m->layer.in[0]->data.fmt, *y = m->layer.out[0]->data.fmt,
                           *w = m->layer.param[0]->data.fmt;

    assert_int_equal(ot_type_of(y), type);
    assert_int_equal(ot_type_of(x), type);
    assert_int_equal(y ? y->block : 1, block);
    assert_int_equal(ot_type_of(w), OT_F32);
    assert_int_equal(w ? w->block : 1, w_block);
}

static void blobs_are_kept_channels_last_and_in_bf16_where_that_helps(void **state)
{
    static const struct {
        enum ot_compute compute;
        size_t block, w_block;
        enum ot_type type;
    } want[] = { { OT_COMPUTE_FP32, 1, 1, OT_F32 },
                 { OT_COMPUTE_TF32, 6, 5, OT_F32 },
                 { OT_COMPUTE_BF16, 6, 5, OT_BF16 } };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ot_dev *dev = open_fake(
            &(struct ot_dev_conf){ .compute = want[i].compute, .deterministic = true });
        struct ot_mini *m = planned(dev, 0);

        formats_are(m, want[i].block, want[i].type, want[i].w_block);
        ot_mini_close(m);
        m = planned(dev, 6); /* channels on another axis */
        formats_are(m, 1, OT_F32, 1);
        ot_mini_close(m);
        m = planned(dev, 10); /* an inner product */
        formats_are(m, 1, want[i].type, 1);
        ot_mini_close(m);
        close_fake(dev);
    }
}

enum { NOT_SUPPORTED = 3002 }; /* CUDNN_STATUS_NOT_SUPPORTED_SHAPE, one of many */

/* The n-th question for an algorithm gets no answer: channels last in bf16, then plain. */
static void what_cudnn_has_not_for_channels_last_is_done_in_plain_order(void **state)
{
    struct ot_dev *dev = open_fake(
        &(struct ot_dev_conf){ .compute = OT_COMPUTE_BF16, .deterministic = true });
    struct ot_mini *m;

    (void)state;
    ot_fake_fail("cudnnGetConvolutionForwardAlgorithm_v7", 1, NOT_SUPPORTED);
    m = planned(dev, 0);
    formats_are(m, 1, OT_BF16, 1);
    ot_mini_close(m);
    (void)compare(dev, &cases[0], OT_COMPUTE_BF16, true);
    close_fake(dev);
}

/* What the ranking names is tried where it may be wrong; all others, up to plain order, follow. */
static void an_algorithm_that_cudnn_refuses_to_run_is_passed_over(void **state)
{
    static const char *const runs[] = { "cudnnConvolutionForward", "cudnnConvolutionBackwardData",
                                        "cudnnConvolutionBackwardFilter" };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ot_dev *dev = open_fake(
            &(struct ot_dev_conf){ .compute = OT_COMPUTE_BF16, .deterministic = true });

        ot_fake_fail(runs[i], 1, NOT_SUPPORTED);
        ot_mini_close(planned(dev, 0));
        assert_int_equal(ot_fake_calls(runs[i]), 2);
        (void)compare(dev, &cases[0], OT_COMPUTE_BF16, true);
        close_fake(dev);
    }
}

static void what_cudnn_has_not_at_all_is_told(void **state)
{
    struct ot_dev *dev = open_fake(&(struct ot_dev_conf){ .deterministic = true });
    struct ot_mini_spec spec = { .text = cases[0].text, .n_in = 1, .in = { cases[0].in } };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_fake_fail("cudnnGetConvolutionForwardAlgorithm_v7", 1, NOT_SUPPORTED);
    assert_null(ot_mini_open(dev, &spec, &err));
    assert_error(&err, OT_ENOTSUP,
                 "cuDNN has no deterministic convolution of 2x5x9x7 by 3x3 to 6 channels within "
                 "1024 MiB of workspace");
    close_fake(dev);
}

static unsigned measured(void)
{
    return ot_fake_calls("cudnnFindConvolutionForwardAlgorithmEx") +
           ot_fake_calls("cudnnFindConvolutionBackwardDataAlgorithmEx") +
           ot_fake_calls("cudnnFindConvolutionBackwardFilterAlgorithmEx");
}

static void each_shape_is_measured_once(void **state)
{
    struct ot_dev *dev = open_fake(&(struct ot_dev_conf){ .compute = OT_COMPUTE_TF32 });

    (void)state;
    for (int i = 0; i < 3; i++)
        ot_mini_close(planned(dev, 0));
    assert_int_equal(measured(), 3);
    ot_mini_close(planned(dev, 1));
    assert_int_equal(measured(), 6);
    close_fake(dev);
}

static void nothing_is_measured_when_deterministic_or_short_of_memory(void **state)
{
    struct ot_dev *dev = open_fake(&(struct ot_dev_conf){ .deterministic = true });

    (void)state;
    ot_mini_close(planned(dev, 0));
    assert_int_equal(measured(), 0);
    close_fake(dev);
    dev = open_fake(&(struct ot_dev_conf){ .compute = OT_COMPUTE_BF16 });
    ot_fake_capacity((size_t)39 << 20); /* cuBLAS has 32 of them */
    ot_mini_close(planned(dev, 0));
    assert_int_equal(measured(), 0);
    shaken = 0.01;
    (void)compare(dev, &cases[0], OT_COMPUTE_BF16, true);
    shaken = 0.0;
    close_fake(dev);
}

/* What is sampled depends on scores, so that losses agree closely in the first step alone. */
static void a_small_faster_rcnn_trains_in_each_compute(void **state)
{
    static struct ot_gpu_run want, got;

    (void)state;
    ot_gpu_train(cpu, &want);
    for (int c = OT_COMPUTE_FP32; c <= OT_COMPUTE_BF16; c++)
        for (int deterministic = 0; deterministic < 2; deterministic++) {
            struct ot_dev *dev = open_fake(&(struct ot_dev_conf){ .compute = (enum ot_compute)c,
                                                                  .deterministic = deterministic });

            ot_gpu_train(dev, &got);
            assert_true(ot_fake_calls("cudaGraphLaunch") >= 3); /* done twice, recorded, replayed */
            assert_near(got.loss[0], want.loss[0], 1e-3 * want.loss[0]);
            for (int i = 1; i < OT_GPU_STEPS; i++)
                assert_near(got.loss[i], want.loss[i], 0.2 * want.loss[i]);
            close_fake(dev);
        }
}

/* ---- plans of cuDNN's graph interface, on the fake ------------------------------------------- */

enum { FAILS = 5000, COMPILED = 0, DOWN_CONVERTS = 1, REDUCED = 2, REORDERS = 1 };

/* Opens a device that measures, with these plans alone. */
static struct ot_dev *open_with(enum ot_compute compute, const struct ot_fake_plan *list,
                                unsigned n)
{
    struct ot_dev *dev = open_fake(
        &(struct ot_dev_conf){ .compute = compute, .workspace_bytes = (size_t)16 << 20 });

    ot_fake_plans(list, n);
    return dev;
}

static void close_with_plans(struct ot_dev *dev)
{
    close_fake(dev);
    ot_fake_plans(NULL, 0);
    assert_int_equal(ot_fake_live(), 0);
}

/* How often the k-th plan runs in a pass forward and one backward of a layer already planned. */
static unsigned runs_in_a_pass(struct ot_dev *dev, int layer, unsigned k)
{
    struct ot_mini *m = planned(dev, layer);
    const unsigned before = ot_fake_plan_runs(k);
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    ot_mini_close(m);
    return ot_fake_plan_runs(k) - before;
}

static void compare_shaken(struct ot_dev *dev, int layer, enum ot_compute compute)
{
    shaken = 0.01;
    (void)compare(dev, &cases[layer], compute, true);
    shaken = 0.0;
}

static void a_plan_that_is_faster_is_taken_every_way(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 150 },
                                                 { .cost = 50, .bytes = 1000 },
                                                 { .cost = 90 } };
    static const int layers[] = { 0, 1, 2, 3, 8, 9 }; /* groups, dilation, odd sizes, transposed */

    (void)state;
    for (int c = OT_COMPUTE_TF32; c <= OT_COMPUTE_BF16; c++) {
        struct ot_dev *dev = open_with((enum ot_compute)c, plans, 3);

        for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
            compare_shaken(dev, layers[i], (enum ot_compute)c);
            assert_int_equal(runs_in_a_pass(dev, layers[i], 1), 3);
        }
        assert_string_equal(dev->distrusted, "");
        assert_int_equal(runs_in_a_pass(dev, 0, 0) + runs_in_a_pass(dev, 0, 2), 0);
        close_with_plans(dev);
    }
}

static void a_plan_that_is_not_faster_is_not_taken(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 150 }, { .cost = 110 } };

    (void)state;
    for (int c = OT_COMPUTE_TF32; c <= OT_COMPUTE_BF16; c++) {
        struct ot_dev *dev = open_with((enum ot_compute)c, plans, 2);

        compare_shaken(dev, 0, (enum ot_compute)c);
        assert_true(ot_fake_plan_runs(0) > 0); /* tried */
        assert_int_equal(runs_in_a_pass(dev, 0, 0) + runs_in_a_pass(dev, 0, 1), 0);
        close_with_plans(dev);
    }
}

static void bias_and_relu_are_fused_where_that_is_faster(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 60 },
                                                 { .cost = 58, .fused_only = true } };

    (void)state;
    for (int c = OT_COMPUTE_TF32; c <= OT_COMPUTE_BF16; c++) {
        struct ot_dev *dev = open_with((enum ot_compute)c, plans, 2);

        for (int i = 0; i < 4; i++) {
            compare_shaken(dev, i, (enum ot_compute)c);
            /* the third has no bias */
            assert_int_equal(runs_in_a_pass(dev, i, 1), i == 2 ? 0 : 1);
            assert_int_equal(runs_in_a_pass(dev, i, 0), i == 2 ? 3 : 2);
        }
        assert_int_equal(runs_in_a_pass(dev, 8, 1), 0); /* a deconvolution's is not */
        close_with_plans(dev);
    }
}

static void what_is_fused_is_not_for_the_same_shape_with_something_else_behind_it(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 60, .fused_only = true } };
    static const int layers[] = { 0, CASES - 3, CASES - 2, CASES - 1 };
    struct ot_dev *dev = open_with(OT_COMPUTE_BF16, plans, 1);

    (void)state;
    for (int i = 0; i < 4; i++) {
        compare_shaken(dev, layers[i], OT_COMPUTE_BF16);
        assert_int_equal(runs_in_a_pass(dev, layers[i], 0), i < 2 ? 1 : 0);
    }
    close_with_plans(dev);
}

static void what_cannot_be_a_plan_is_none(void **state)
{
    static const struct ot_fake_plan plans[] = {
        { .cost = 50, .wrong = true },
        { .cost = 50, .refused = NOT_SUPPORTED },
        { .cost = 50, .failed = FAILS },
        { .cost = 50, .bytes = (size_t)17 << 20 },
        { .cost = 50, .number_note = 1 + DOWN_CONVERTS },
        { .cost = 50, .number_note = 1 + REDUCED },
        { .cost = 50, .behaviour_note = 1 + REORDERS },
        { .cost = 50, .refused = FAILS, .fallback = true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        struct ot_dev *dev = open_with(OT_COMPUTE_BF16, &plans[i], 1);

        compare_shaken(dev, 0, OT_COMPUTE_BF16);
        assert_int_equal(runs_in_a_pass(dev, 0, 0), 0);
        close_with_plans(dev);
    }
}

static void behind_a_plan_that_is_wrong_comes_the_next_fastest(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 40, .wrong = true },
                                                 { .cost = 70 },
                                                 { .cost = 60, .number_note = 1 } };
    struct ot_dev *dev = open_with(OT_COMPUTE_BF16, plans, 3);

    (void)state;
    compare_shaken(dev, 0, OT_COMPUTE_BF16);
    assert_int_equal(runs_in_a_pass(dev, 0, 2), 3);
    assert_string_equal(dev->distrusted, "plan 0 of cuDNN, forward, 2x5x9x7 by 3x3 to 6");
    close_with_plans(dev);
}

static void plans_of_the_fallback_mode_are_for_where_there_are_no_others(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 50, .fallback = true }, { .cost = 70 } };

    (void)state;
    for (unsigned n = 1; n <= 2; n++) {
        struct ot_dev *dev = open_with(OT_COMPUTE_BF16, plans, n);

        compare_shaken(dev, 0, OT_COMPUTE_BF16);
        assert_int_equal(runs_in_a_pass(dev, 0, n - 1), 3);
        close_with_plans(dev);
    }
}

static void few_plans_are_compiled_and_not_very_many_tried(void **state)
{
    struct ot_fake_plan plans[24];
    struct ot_dev *dev;

    (void)state;
    for (int i = 0; i < 24; i++)
        plans[i] = (struct ot_fake_plan){ .cost = 150, .behaviour_note = i < 4 ? 1 + COMPILED : 0 };
    dev = open_with(OT_COMPUTE_BF16, plans, 24);
    ot_mini_close(planned(dev, 0));
    for (unsigned i = 0; i < 24; i++)
        assert_int_equal(ot_fake_plan_runs(i) > 0, i < 2 || (i >= 4 && i < 18));
    close_with_plans(dev);
}

/* Whatever fails while plans are made and tried, the layer is planned and right. */
static void no_failure_of_the_graph_interface_is_one_of_the_layer(void **state)
{
    static const char *const calls[] = { "cudnnBackendCreateDescriptor",
                                         "cudnnBackendSetAttribute",
                                         "cudnnBackendFinalize",
                                         "cudnnBackendGetAttribute",
                                         "cudnnBackendExecute",
                                         "cudaEventCreate",
                                         "cudaEventRecord",
                                         "cudaEventElapsedTime" };
    static const struct ot_fake_plan plans[] = { { .cost = 60 },
                                                 { .cost = 58, .fused_only = true } };

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (unsigned nth = 1; nth < 150; nth += 1 + nth / 3) {
            struct ot_dev *dev = open_with(OT_COMPUTE_BF16, plans, 2);

            ot_fake_fail(calls[i], nth, i < 5 ? FAILS : 1);
            ot_mini_close(planned(dev, 0));
            ot_fake_fail(NULL, 0, 0);
            ot_fake_clear_error();
            if (nth < 3)
                compare_shaken(dev, 0, OT_COMPUTE_BF16);
            close_with_plans(dev);
        }
}

static void plans_are_neither_for_determinism_nor_for_fp32(void **state)
{
    static const struct ot_dev_conf confs[] = {
        { .compute = OT_COMPUTE_BF16, .deterministic = true }, { .compute = OT_COMPUTE_FP32 }
    };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ot_dev *dev = open_fake(&confs[i]);

        ot_mini_close(planned(dev, 0));
        assert_int_equal(ot_fake_calls("cudnnBackendCreateDescriptor"), 0);
        close_fake(dev);
    }
}

/* The first layer's plan, and another's behind it. */
static void what_was_chosen_is_told(void **state)
{
    static const struct ot_fake_plan plans[] = { { .cost = 60 },
                                                 { .cost = 58, .fused_only = true } };

    static const struct told {
        struct ot_dev_conf conf;
        const char *first, *both;
    } told[] = {
        { { .compute = OT_COMPUTE_BF16 },
          "3 directions of convolutions: 0 algorithms, 3 plans (1 fused)",
          "6 directions of convolutions: 0 algorithms, 6 plans (2 fused)" },
        { { .compute = OT_COMPUTE_FP32 },
          "3 directions of convolutions: 3 algorithms, 0 plans (0 fused)",
          "6 directions of convolutions: 6 algorithms, 0 plans (0 fused)" },
        { { .compute = OT_COMPUTE_BF16, .deterministic = true },
          "3 directions of convolutions: 3 algorithms, 0 plans (0 fused); 3 not measured",
          "6 directions of convolutions: 6 algorithms, 0 plans (0 fused); 6 not measured" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        struct ot_dev *dev = open_fake(&told[i].conf);

        ot_fake_plans(plans, 2);
        assert_string_equal(dev->chosen, "");
        for (int again = 0; again < 2; again++) { /* a shape counts once */
            ot_mini_close(planned(dev, 0));
            assert_string_equal(dev->chosen, told[i].first);
        }
        ot_mini_close(planned(dev, 3));
        assert_string_equal(dev->chosen, told[i].both);
        close_with_plans(dev);
    }
}

static int open_cpu(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    cpu = ot_dev_open("cpu", 1, &err);
    return cpu ? 0 : -1;
}

static int close_cpu(void **state)
{
    (void)state;
    ot_dev_close(cpu);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_compute_on_a_device_agrees_with_the_cpu),
        cmocka_unit_test(each_compute_on_a_device_with_measured_algorithms_agrees_with_the_cpu),
        cmocka_unit_test(each_compute_on_the_host_agrees_with_the_cpu),
        cmocka_unit_test(each_compute_on_the_host_with_measured_algorithms_agrees_with_the_cpu),
        cmocka_unit_test(only_fp32_multiplies_all_bits),
        cmocka_unit_test(blobs_are_kept_channels_last_and_in_bf16_where_that_helps),
        cmocka_unit_test(what_cudnn_has_not_for_channels_last_is_done_in_plain_order),
        cmocka_unit_test(an_algorithm_that_cudnn_refuses_to_run_is_passed_over),
        cmocka_unit_test(what_cudnn_has_not_at_all_is_told),
        cmocka_unit_test(each_shape_is_measured_once),
        cmocka_unit_test(a_small_faster_rcnn_trains_in_each_compute),
        cmocka_unit_test(nothing_is_measured_when_deterministic_or_short_of_memory),
        cmocka_unit_test(a_plan_that_is_faster_is_taken_every_way),
        cmocka_unit_test(a_plan_that_is_not_faster_is_not_taken),
        cmocka_unit_test(bias_and_relu_are_fused_where_that_is_faster),
        cmocka_unit_test(what_is_fused_is_not_for_the_same_shape_with_something_else_behind_it),
        cmocka_unit_test(what_cannot_be_a_plan_is_none),
        cmocka_unit_test(behind_a_plan_that_is_wrong_comes_the_next_fastest),
        cmocka_unit_test(plans_of_the_fallback_mode_are_for_where_there_are_no_others),
        cmocka_unit_test(few_plans_are_compiled_and_not_very_many_tried),
        cmocka_unit_test(no_failure_of_the_graph_interface_is_one_of_the_layer),
        cmocka_unit_test(plans_are_neither_for_determinism_nor_for_fp32),
        cmocka_unit_test(what_was_chosen_is_told),
    };

    return OT_SOME_TESTS(argc, argv, tests, open_cpu, close_cpu);
}
