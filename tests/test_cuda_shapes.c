/*
 * test_cuda_shapes.c - a small Faster R-CNN whose batches change in size from pass to pass, trained
 * with mining on the fake of CUDA's libraries: once every size has been seen the loop neither
 * waits nor allocates nor measures, though the net is planned anew at each change.
 */
#include "tests/check.h"
#include "tests/gpu_fake.h"
#include "tests/gpu_host.h"
#include "tests/gpu_train.h"
#include "tests/some_tests.h"
#include "trainer/net.h"

enum { WARM = 20, SIZES = 3, MIB8 = 8 << 20 };

struct watched {
    int size[SIZES], sizes, last; /* heights of batches */
    int changes;                  /* since WARM */
    bool eager;                   /* nothing is recorded */
    size_t queued;
    unsigned launches, syncs, a_pass; /* calls of cudaEventSynchronize: so far, in one */
};

static void nothing_forbidden(int iter)
{
    static const char *const forbidden[] = {
        "cudaStreamSynchronize",
        "cudaDeviceSynchronize",
        "cudaMalloc",
        "cudaFree",
        "cudaMallocHost",
        "cudaFreeHost",
        "cudaMemcpy",
        "cudaMemset",
        "cudaEventCreate",
        "cudaEventCreateWithFlags",
        "cudaMemGetInfo",
        "cudnnFindConvolutionForwardAlgorithmEx",
        "cudnnFindConvolutionBackwardDataAlgorithmEx",
        "cudnnFindConvolutionBackwardFilterAlgorithmEx",
        "cudnnGetConvolutionForwardAlgorithm_v7",
        "cudnnGetConvolutionBackwardDataAlgorithm_v7",
        "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
        "cudnnBackendGetAttribute", /* of a plan that is made */
    };

    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (ot_fake_calls(forbidden[i]))
            fail_msg("iteration %d: %u calls of %s", iter, ot_fake_calls(forbidden[i]),
                     forbidden[i]);
}

static bool is_new(struct watched *w, int size)
{
    for (int i = 0; i < w->sizes; i++)
        if (w->size[i] == size)
            return false;
    assert_true(w->sizes < SIZES);
    w->size[w->sizes++] = size;
    return true;
}

static void watch(void *ctx, struct ot_net *net, int iter, enum ot_gpu_moment when)
{
    struct watched *w = ctx;
    const int size = ot_net_blob(net, "data")->data.shape.dim[2];

    if (when == OT_GPU_BEFORE) {
        if (iter == WARM)
            ot_fake_forget();
        w->queued = ot_fake_queued();
        w->launches = ot_fake_calls("cudaLaunchKernel");
    } else if (when == OT_GPU_ASKED) {
        const bool fresh = is_new(w, size);

        assert_false(fresh && iter >= WARM);
        w->changes += iter > WARM && size != w->last;
        w->last = size;
        /* what was queued before it still is: nothing waited */
        if (iter >= WARM && w->eager)
            assert_true(ot_fake_queued() - w->queued >=
                        ot_fake_calls("cudaLaunchKernel") - w->launches);
    } else if (iter >= WARM) {
        const unsigned syncs = ot_fake_calls("cudaEventSynchronize");

        nothing_forbidden(iter);
        if (iter > WARM + 1) /* as many as without a change */
            assert_int_equal(syncs - w->syncs, w->a_pass);
        w->a_pass = syncs - w->syncs;
        w->syncs = syncs;
    }
}

static struct watched run(const struct ot_dev_conf *conf)
{
    static struct ot_gpu_mined mined;
    struct watched w = { .eager = conf->no_record };
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;
    char wrong[512];

    ot_test_cuda_way(0);
    dev = ot_test_cuda_host(conf, &err);
    assert_ok(dev ? 0 : err.code, &err);
    ot_gpu_mine_watched(dev, OT_GPU_SIZES, &mined, watch, &w);
    assert_true(mined.reinjected > 0);
    assert_string_equal(dev->unrecorded, "");
    ot_dev_close(dev);
    if (ot_fake_wrong(wrong, sizeof wrong))
        fail_msg("%s", wrong);
    assert_int_equal(ot_fake_live(), 0);
    return w;
}

static void a_change_of_size_neither_waits_nor_allocates_nor_measures(void **state)
{
    static const struct ot_dev_conf confs[] = {
        { .compute = OT_COMPUTE_FP32, .no_record = true, .workspace_bytes = MIB8 },
        { .compute = OT_COMPUTE_BF16, .workspace_bytes = MIB8 },
    };

    (void)state;
    if (!ot_fake_schedule)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (size_t i = 0; i < sizeof confs / sizeof confs[0]; i++) {
        const struct watched w = run(&confs[i]);

        assert_int_equal(w.sizes, SIZES);
        assert_true(w.changes >= 10 && w.changes < OT_GPU_ITERS - WARM - 5);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_of_size_neither_waits_nor_allocates_nor_measures),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
