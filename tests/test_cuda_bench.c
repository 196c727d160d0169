/*
 * test_cuda_bench.c - bench_gpu's kernels on a CUDA device that the host plays: it asks for nothing
 * that the device refuses, and measures what the CPU has not (bf16, channels last).  No time of it
 * means anything.
 */
int bench_gpu_main(int argc, char **argv);
#define main bench_gpu_main
#include "bench/bench_gpu.c"
#undef main

#include "tests/check.h"
#include "tests/gpu_host.h"
#include "tests/some_tests.h"

static void each_row_runs_on_a_cuda_device(void **state)
{
    const struct ot_dev_conf conf = { .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    struct bench b = { .s = small, .quiet = true };
    char what[200];

    (void)state;
    if (!ot_test_cuda_host)
        skip_because("no C++ compiler");
    b.dev = ot_test_cuda_host(&conf, &err);
    if (!b.dev)
        fail_msg("%s", ot_err_str(&err, what, sizeof what));
    if (!ot_test_cuda_libraries)
        b.s.gemm = 4;
    if (run_all(&b, &err))
        fail_msg("%s", ot_err_str(&err, what, sizeof what));
    ot_dev_close(b.dev);
    if (ot_test_cuda_wrong(what, sizeof what))
        fail_msg("%s", what);
}

static void bf16_is_measured_where_the_device_has_it(void **state)
{
    const struct ot_dev_conf conf = { .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    struct bench b = { .s = small, .quiet = true };

    (void)state;
    if (!ot_test_cuda_host)
        skip_because("no C++ compiler");
    b.dev = ot_test_cuda_host(&conf, &err);
    assert_non_null(b.dev);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!table[i].both)
            continue;
        assert_int_equal(table[i].make(&b, true, &err), 0);
        assert_string_equal(b.stored, "nhwc bf16");
        assert_int_equal(b.x, 2 * ot_count(&b.shape));
        forget(&b);
    }
    ot_dev_close(b.dev);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_runs_on_a_cuda_device),
        cmocka_unit_test(bf16_is_measured_where_the_device_has_it),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
