/*
 * test_cuda_transfer.c - what cuda/ does in several streams and with memory that is used again, on
 * the fake of CUDA's libraries (gpu_fake.h), in several legal orders of what is queued.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/gpu_contract.h"
#include "tests/gpu_fake.h"
#include "tests/gpu_host.h"
#include "tests/some_tests.h"

enum { WAYS = 6, LARGE = 50000, MANY = 12, MARKS = 40 };

static void each_way(void (*what)(struct ot_dev *dev))
{
    const struct ot_dev_conf conf = { .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    char wrong[512];

    if (!ot_test_cuda_host || !ot_test_cuda_libraries)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (uint64_t way = 0; way < WAYS; way++) {
        struct ot_dev *dev;

        ot_test_cuda_way(way);
        dev = ot_test_cuda_host(&conf, &err);
        assert_ok(dev ? 0 : err.code, &err);
        what(dev);
        assert_ok(ot_dev_ok(dev, &err), &err);
        ot_dev_close(dev);
        if (ot_test_cuda_wrong(wrong, sizeof wrong))
            fail_msg("%s", wrong);
    }
}

static float *floats(struct ot_dev *dev, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    float *p = dev->ops->alloc(dev, n * sizeof *p, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

/* More than there is staging memory for, and the same array each time. */
static void upload_many(struct ot_dev *dev)
{
    static float host[LARGE];
    float *to[MANY];

    for (int k = 0; k < MANY; k++) {
        to[k] = floats(dev, LARGE);
        for (size_t i = 0; i < LARGE; i++)
            host[i] = (float)k + (float)i / LARGE;
        dev->ops->upload(dev, to[k], host, sizeof host);
    }
    for (int k = 0; k < MANY; k++) {
        dev->ops->download(dev, host, to[k], sizeof host);
        for (size_t i = 0; i < LARGE; i++)
            assert_true(host[i] == (float)k + (float)i / LARGE);
        dev->ops->free(dev, to[k]);
    }
}

static void large_uploads_that_follow_each_other_do_not_mix(void **state)
{
    (void)state;
    each_way(upload_many);
}

/* The array is overwritten by a kernel before, read by one after, and filled anew. */
static void upload_between(struct ot_dev *dev)
{
    static float host[LARGE];
    float *x = floats(dev, LARGE), *y = floats(dev, LARGE);

    for (int k = 0; k < MANY; k++) {
        for (size_t i = 0; i < LARGE; i++)
            host[i] = (float)k;
        dev->k->fill(dev, OT_F32, LARGE, 100.0f, x);
        dev->ops->upload(dev, x, host, sizeof host);
        dev->k->axpby(dev, OT_F32, LARGE, 1.0f, x, 1.0f, y);
    }
    dev->ops->download(dev, host, y, sizeof host);
    for (size_t i = 0; i < LARGE; i++)
        assert_true(host[i] == MANY * (MANY - 1) / 2);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void a_large_upload_is_done_between_the_kernels_around_it(void **state)
{
    (void)state;
    each_way(upload_between);
}

/* Pinned arrays are read where they are: they are filled anew when a mark behind that has passed.
 */
static void upload_pinned(struct ot_dev *dev)
{
    enum { ARRAYS = 3 };

    static float sum[LARGE];
    struct ot_err err = OT_ERR_INIT;
    float *host[ARRAYS], *x = floats(dev, LARGE), *y = floats(dev, LARGE);
    uint64_t mark[ARRAYS] = { 0 };

    for (int k = 0; k < ARRAYS; k++) {
        host[k] = dev->ops->host_alloc(dev, LARGE * sizeof(float), &err);
        assert_ok(host[k] ? 0 : err.code, &err);
    }
    for (int k = 0; k < MANY; k++) {
        float *from = host[k % ARRAYS];
        const size_t n = k % 4 == 3 ? 100 : LARGE, skip = k % 4 == 2 ? 1000 : 0;

        dev->ops->wait(dev, mark[k % ARRAYS]);
        for (size_t i = 0; i < LARGE; i++)
            from[i] = (float)k;
        dev->k->fill(dev, OT_F32, LARGE, (float)k, x);
        dev->ops->upload(dev, x + skip, from + skip, (n - skip) * sizeof *from);
        dev->k->axpby(dev, OT_F32, LARGE, 1.0f, x, 1.0f, y);
        mark[k % ARRAYS] = dev->ops->mark(dev);
    }
    dev->ops->download(dev, sum, y, sizeof sum);
    for (size_t i = 0; i < LARGE; i++)
        assert_true(sum[i] == MANY * (MANY - 1) / 2);
    for (int k = 0; k < ARRAYS; k++)
        dev->ops->host_free(dev, host[k]);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void a_pinned_array_is_read_before_the_mark_behind_it(void **state)
{
    (void)state;
    each_way(upload_pinned);
}

/* The fake, on which all is as late as can be. */
static struct ot_dev *open_late(void)
{
    const struct ot_dev_conf conf = { .deterministic = true };
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;

    if (!ot_test_cuda_host || !ot_test_cuda_libraries)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    ot_test_cuda_way(0);
    dev = ot_test_cuda_host(&conf, &err);
    assert_ok(dev ? 0 : err.code, &err);
    return dev;
}

/* As late as can be: nothing is copied, and nothing waited for, when a pinned array is uploaded. */
static void uploading_a_pinned_array_costs_the_host_nothing(void **state)
{
    static float back[LARGE];
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;
    float *host, *x;

    (void)state;
    dev = open_late();
    x = floats(dev, LARGE);
    host = dev->ops->host_alloc(dev, sizeof back, &err);
    assert_ok(host ? 0 : err.code, &err);
    for (int k = 0; k < 2; k++) /* makes room */
        dev->ops->upload(dev, x, host, sizeof back);
    dev->ops->sync(dev);
    ot_fake_forget();
    for (int k = 0; k < MANY; k++)
        dev->ops->upload(dev, x, host, sizeof back);
    assert_int_equal(ot_fake_calls("cudaEventSynchronize"), 0);
    for (size_t i = 0; i < LARGE; i++)
        host[i] = (float)i; /* in time, as nothing has run */
    dev->ops->download(dev, back, x, sizeof back);
    assert_memory_equal(host, back, sizeof back);
    dev->ops->host_free(dev, host);
    dev->ops->free(dev, x);
    assert_ok(ot_dev_ok(dev, &err), &err);
    ot_dev_close(dev);
}

/* There is none for staging: uploads go the way of small ones. */
static void uploads_do_without_staging_memory(void **state)
{
    static float host[LARGE], back[LARGE];
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;
    float *x;

    (void)state;
    dev = open_late();
    x = floats(dev, LARGE);
    ot_fake_capacity(1);
    for (size_t i = 0; i < LARGE; i++)
        host[i] = (float)i;
    for (int k = 0; k < 3; k++)
        dev->ops->upload(dev, x, host, sizeof host);
    assert_ok(ot_dev_ok(dev, &err), &err);
    dev->ops->download(dev, back, x, sizeof back);
    assert_memory_equal(host, back, sizeof host);
    dev->ops->free(dev, x);
    ot_dev_close(dev);
    ot_fake_capacity(0);
}

/* A note is kept until somebody waits, however many marks were made. */
static void mark_many(struct ot_dev *dev)
{
    static const float label[4] = { 0, 2, 7, 9 };
    struct ot_err err = OT_ERR_INIT;
    float *x = floats(dev, 12), *y = floats(dev, 4), *acc = floats(dev, 1);
    uint64_t m = 0;

    dev->ops->upload(dev, y, label, sizeof label);
    dev->k->accuracy(dev, 4, 3, 1, 1, false, 0, x, y, acc, NULL);
    for (int i = 0; i < MARKS; i++) {
        uint64_t next = dev->ops->mark(dev);

        assert_true(next > m);
        m = next;
    }
    dev->ops->wait(dev, m);
    assert_int_equal(ot_dev_ok(dev, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "instance 2: label 7");
    dev->ops->wait(dev, 1); /* long ago */
    dev->ops->wait(dev, m);
    assert_ok(ot_dev_ok(dev, &err), &err);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
    dev->ops->free(dev, acc);
}

static void what_is_found_is_kept_until_somebody_waits(void **state)
{
    (void)state;
    each_way(mark_many);
}

/* A recording that uses memory which has moved since is not replayed. */
static void record_and_grow(struct ot_dev *dev)
{
    const struct ot_channels small = { 4, 3, 5, 1, OT_F32 }, large = { 2, 9000, 3, 1, OT_F32 };
    float *x = floats(dev, 54000), *y = floats(dev, 9000), got[3];

    dev->k->fill(dev, OT_F32, 54000, 1.0f, x);
    dev->k->channel_sum(dev, &small, OT_TERM_A, x, NULL, 0.0f, y); /* makes room */
    assert_true(dev->ops->record(dev, 7));
    dev->k->channel_sum(dev, &small, OT_TERM_A, x, NULL, 1.0f, y);
    assert_true(dev->ops->launch(dev));
    assert_true(dev->ops->replay(dev, 7));
    dev->ops->download(dev, got, y, sizeof got);
    for (int i = 0; i < 3; i++)
        assert_true(got[i] == 60.0f);
    dev->k->channel_sum(dev, &large, OT_TERM_A, x, NULL, 0.0f, y); /* makes more */
    assert_false(dev->ops->replay(dev, 7));
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void a_recording_is_forgotten_when_its_memory_moves(void **state)
{
    (void)state;
    each_way(record_and_grow);
}

/* What failed once is recorded the next time. */
static void record_again(struct ot_dev *dev)
{
    enum { N = 100, INVALID_VALUE = 1 };

    float *x = floats(dev, N), got = 0.0f;

    dev->k->fill(dev, OT_F32, N, 0.0f, x);
    for (int i = 0; i < 2; i++) {
        assert_true(dev->ops->record(dev, 3));
        if (i == 0)
            ot_fake_fail("cudaGraphInstantiate", 1, INVALID_VALUE);
        dev->k->fill(dev, OT_F32, N, 1.0f, x);
        assert_int_equal(dev->ops->launch(dev), i);
    }
    dev->ops->download(dev, &got, x, sizeof got);
    assert_true(got == 1.0f && dev->ops->replay(dev, 3));
    assert_string_equal(dev->unrecorded, "");
    dev->ops->free(dev, x);
}

static void a_recording_that_failed_once_is_made_the_next_time(void **state)
{
    (void)state;
    each_way(record_again);
}

static void transfers_on_a_device_do_not_mix(void **state)
{
    static void (*const what[])(struct ot_dev * dev) = { upload_many, upload_between, upload_pinned,
                                                         mark_many, record_and_grow };

    (void)state;
    ot_gpu_contract(what, sizeof what / sizeof what[0]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_uploads_that_follow_each_other_do_not_mix),
        cmocka_unit_test(a_large_upload_is_done_between_the_kernels_around_it),
        cmocka_unit_test(a_pinned_array_is_read_before_the_mark_behind_it),
        cmocka_unit_test(uploading_a_pinned_array_costs_the_host_nothing),
        cmocka_unit_test(uploads_do_without_staging_memory),
        cmocka_unit_test(what_is_found_is_kept_until_somebody_waits),
        cmocka_unit_test(a_recording_is_forgotten_when_its_memory_moves),
        cmocka_unit_test(a_recording_that_failed_once_is_made_the_next_time),
        cmocka_unit_test(transfers_on_a_device_do_not_mix),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
