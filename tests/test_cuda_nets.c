/*
 * test_cuda_nets.c - nets of BatchNorm, Scale, sums and ReLU, whose layers do each other's work
 * (trainer/net_fuse.c), on a CUDA device as on the CPU: losses, gradients, running statistics, in
 * each compute, with recordings replayed.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/gpu_contract.h"
#include "tests/gpu_fake.h"
#include "tests/gpu_host.h"
#include "tests/netkit.h"
#include "tests/some_tests.h"

enum { PASSES = 4 }; /* the third is recorded, the fourth replayed */

static const char *const names[] = { "FP32", "TF32", "BF16" };

/* How far results may be away: FP32's in parts of each one's largest value.  Inputs rounded to less
 * than that turn a ReLU here and there, so of the others it is the length of all gradients'
 * difference in parts of their length.  On the fake of the libraries at most 4.2e-6, 0.024 and
 * 0.058. */
static double far(enum ot_compute compute, bool measured)
{
    static const double of[][2] = { { 5e-5, 1e-3 }, { 0.06, 0.06 }, { 0.15, 0.15 } };

    return of[compute][measured];
}

struct apart {
    double worst;           /* of one result */
    double squares, length; /* of the difference, of what is wanted */
};

static void compare(struct apart *d, const float *want, const float *got, size_t n)
{
    double big = 0.01; /* the gradient of a bias before a BatchNorm is 0 */

    for (size_t i = 0; i < n; i++) {
        const double e = fabs((double)want[i] - (double)got[i]);

        big = fmax(big, fabs((double)want[i]));
        d->squares += e * e;
        d->length += (double)want[i] * (double)want[i];
    }
    d->worst = fmax(d->worst, ot_farthest(want, got, n) / big);
}

static void pass(struct ot_kit *k, uint64_t number)
{
    struct ot_err err = OT_ERR_INIT;

    k->net->env.iter = number;
    ot_kit_fill(k, number, 5);
    ot_net_zero_grads(k->net);
    assert_ok(ot_net_pass(k->net, &err), &err);
    assert_ok(ot_net_ok(k->net, &err), &err);
}

/* k[0] is the CPU's. */
static struct apart compare_pass(struct ot_kit k[2])
{
    static const enum ot_param_part parts[] = { OT_PARAM_GRAD, OT_PARAM_DATA };

    float *v[2] = { ot_kit_blob(k[0].net, "loss", NULL), ot_kit_blob(k[1].net, "loss", NULL) };
    struct apart d = { 0 }, values = { 0 };

    compare(&d, v[0], v[1], 1);
    ot_free(v[0]);
    ot_free(v[1]);
    for (size_t p = 0; p < k[0].net->nparam; p++)
        for (int part = 0; part < 2; part++) {
            size_t n;

            for (int i = 0; i < 2; i++)
                v[i] = ot_kit_param(k[i].net, k[i].net->param[p], (int)parts[part], &n);
            compare(part ? &values : &d, v[0], v[1], n);
            ot_free(v[0]);
            ot_free(v[1]);
        }
    d.worst = fmax(d.worst, values.worst);
    return d;
}

static void train(struct ot_dev *dev, const char *net, enum ot_compute compute, double tolerance)
{
    struct ot_kit k[2] = { ot_kit_file(net, (struct ot_net_conf){ 0 }),
                           ot_kit_file(net, (struct ot_net_conf){ .dev = dev }) };

    for (uint64_t number = 0; number < PASSES; number++) {
        struct apart d;
        double away;

        for (int i = 0; i < 2; i++)
            pass(&k[i], number);
        d = compare_pass(k);
        away = compute == OT_COMPUTE_FP32 ? d.worst : sqrt(d.squares / d.length);
        print_message("%s, %s: %.2g\n", net, names[compute], away);
        if (!(away <= tolerance))
            fail_msg("%s, %s, pass %d: %g away, %g allowed", net, names[compute], (int)number, away,
                     tolerance);
    }
    for (int i = 0; i < 2; i++)
        ot_kit_close(&k[i]);
}

/* The first normalises five values by their own variance: what is rounded grows a lot. */
static void train_both(struct ot_dev *dev, enum ot_compute compute, double tolerance)
{
    if (compute == OT_COMPUTE_FP32)
        train(dev, "norms", compute, tolerance);
    train(dev, "blocks", compute, tolerance);
}

static void on_the_host_as_on_the_cpu(void **state)
{
    static const uint64_t ways[] = { 0, 1, 7 };
    char wrong[512];

    (void)state;
    if (!ot_test_cuda_host || !ot_test_cuda_libraries)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (int c = OT_COMPUTE_FP32; c <= OT_COMPUTE_BF16; c++) {
        const struct ot_dev_conf conf = { .compute = (enum ot_compute)c, .deterministic = true };
        struct ot_err err = OT_ERR_INIT;
        struct ot_dev *dev;

        ot_test_cuda_way(ways[c]);
        dev = ot_test_cuda_host(&conf, &err);
        assert_ok(dev ? 0 : err.code, &err);
        ot_fake_forget();
        train_both(dev, conf.compute, far(conf.compute, false));
        /* the third pass of each net, recorded, and the fourth */
        assert_int_equal(ot_fake_calls("cudaGraphLaunch"), c == OT_COMPUTE_FP32 ? 4 : 2);
        ot_dev_close(dev);
        if (ot_test_cuda_wrong(wrong, sizeof wrong))
            fail_msg("%s", wrong);
    }
}

static void on_a_device_as_on_the_cpu(void **state)
{
    (void)state;
    for (int c = OT_COMPUTE_FP32; c <= OT_COMPUTE_BF16; c++) {
        const struct ot_dev_conf conf = { .compute = (enum ot_compute)c };
        struct ot_dev *dev = ot_gpu_open(&conf);

        train_both(dev, conf.compute, far(conf.compute, true));
        ot_gpu_close(dev);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_the_host_as_on_the_cpu),
        cmocka_unit_test(on_a_device_as_on_the_cpu),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
