/*
 * test_norm_layers.c - BatchNorm and LRN: against Caffe's own outputs, against their own
 * differences, in every order of channels, in nets, and what they say about bad parameters.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/golden.h"
#include "tests/gradcheck.h"
#include "tests/netkit.h"

#define BN(param) "layer { type: 'BatchNorm' bottom: 'a' top: 'b' batch_norm_param { " param " } }"

static struct ot_mini *open_one(const char *text, struct ot_shape in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    assert_ok(err.code, &err);
    return m;
}

static void batch_norm_computes_what_caffe_computes(void **state)
{
    static const char *const types[] = { "BatchNorm", NULL };
    struct ot_golden_tally t;

    (void)state;
    ot_golden_run(ot_cpu, "layers", types, NULL, &t);
    assert_int_equal(t.failed, 0);
    assert_int_equal(t.passed, 6);
}

static void gradients_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
    } cases[] = {
        { BN("eps: 0.01"), { 4, { 3, 5, 4, 3 } } },
        { BN(""), { 2, { 9, 6 } } },
        { BN("use_global_stats: true"), { 4, { 3, 5, 4, 3 } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, cases[i].in);
        struct ot_gradcheck how = { .step = 0x1p-6, .tol = 2e-3, .limit = 60 };

        ot_mini_random(m, i + 1, -1, 1);
        ot_mini_fill(&m->param[1], 9, 0.5f, 1);
        assert_true(ot_gradcheck(m, &how) > 40);
        ot_mini_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norm_computes_what_caffe_computes),
        cmocka_unit_test(gradients_equal_their_differences),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
