/*
 * test_cuda_device.c - the contract of a device (layers/device.h) as cuda/ keeps it, on a fake of
 * CUDA's libraries (gpu_fake.h): in several legal orders of what is queued, and with every call of
 * the libraries failing once; and on a real device where there is one.
 */
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_contract.h"
#include "tests/gpu_fake.h"
#include "tests/gpu_host.h"
#include "tests/some_tests.h"

enum { WAYS = 10 }; /* late, at once, and seeds */

static size_t before_this; /* objects that a failed test left */

static struct ot_dev *open_fake(struct ot_err *err)
{
    const struct ot_dev_conf conf = { .deterministic = true };

    return ot_test_cuda_host(&conf, err);
}

static void nothing_is_wrong(void)
{
    char what[512];

    if (ot_fake_wrong(what, sizeof what))
        fail_msg("%s", what);
}

/* Runs `what` on a device of its own in each order; nothing is left behind. */
static void each_way(void (*what)(struct ot_dev *dev))
{
    struct ot_err err = OT_ERR_INIT;

    if (!ot_fake_schedule)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (uint64_t way = 0; way < WAYS; way++) {
        struct ot_dev *dev;

        ot_test_cuda_way(way);
        dev = open_fake(&err);
        assert_ok(dev ? 0 : err.code, &err);
        what(dev);
        assert_ok(ot_dev_ok(dev, &err), &err);
        ot_dev_close(dev);
        nothing_is_wrong();
        assert_int_equal(ot_fake_live(), before_this);
    }
}

static float *floats(struct ot_dev *dev, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    float *p = dev->ops->alloc(dev, n * sizeof *p, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static float *host_floats(struct ot_dev *dev, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    float *p = dev->ops->host_alloc(dev, n * sizeof *p, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static void all_are(const float *v, size_t n, float want)
{
    for (size_t i = 0; i < n; i++)
        if (!(v[i] == want))
            fail_msg("[%zu] is %g, wanted %g", i, (double)v[i], (double)want);
}

/* ---- memory and transfers ------------------------------------------------------------------ */

static void upload_many(struct ot_dev *dev)
{
    enum {
        BIG = (9 << 20) / 4 + 5,
        SMALL = 1000,
        TIMES = 12
    }; /* several stages, the last part full */
    struct ot_err err = OT_ERR_INIT;
    float *host = ot_alloc(BIG, sizeof *host, &err), *big = floats(dev, BIG), *small[TIMES];

    assert_non_null(host);
    for (size_t i = 0; i < BIG; i++)
        host[i] = (float)(i % 8191);
    dev->ops->upload(dev, big, host, BIG * sizeof *host);
    for (int t = 0; t < TIMES; t++) { /* the caller's array is free again */
        small[t] = floats(dev, SMALL);
        for (size_t i = 0; i < SMALL; i++)
            host[i] = (float)t;
        dev->ops->upload(dev, small[t], host, SMALL * sizeof *host);
    }
    for (int t = TIMES - 1; t >= 0; t--) {
        dev->ops->download(dev, host, small[t], SMALL * sizeof *host);
        all_are(host, SMALL, (float)t);
        dev->ops->free(dev, small[t]);
    }
    dev->ops->download(dev, host, big, BIG * sizeof *host);
    for (size_t i = 0; i < BIG; i++)
        assert_true(host[i] == (float)(i % 8191));
    dev->ops->upload(dev, big, host, 0);
    dev->ops->download(dev, host, big, 0);
    dev->ops->free(dev, big);
    ot_free(host);
}

static void an_uploaded_array_is_free_at_once(void **state)
{
    (void)state;
    each_way(upload_many);
}

/* More than there are places to keep them, before anything runs. */
static void upload_burst(struct ot_dev *dev)
{
    enum { SMALL = 50, LARGE = 10, N = 17000 };

    static float host[N];
    float *to[SMALL + LARGE];

    for (int i = 0; i < SMALL + LARGE; i++)
        to[i] = floats(dev, N);
    for (int i = 0; i < SMALL + LARGE; i++) {
        const size_t n = i < SMALL ? 10 : N;

        for (size_t k = 0; k < n; k++)
            host[k] = (float)i;
        dev->ops->upload(dev, to[i], host, n * sizeof *host);
        dev->k->axpby(dev, OT_F32, n, 1.0f, to[i], 1.0f, to[i]);
    }
    for (int i = 0; i < SMALL + LARGE; i++) {
        const size_t n = i < SMALL ? 10 : N;

        dev->ops->download(dev, host, to[i], n * sizeof *host);
        all_are(host, n, 2.0f * (float)i);
        dev->ops->free(dev, to[i]);
    }
}

static void uploads_wait_for_a_free_place(void **state)
{
    (void)state;
    each_way(upload_burst);
}

static void allocate_again(struct ot_dev *dev)
{
    enum { N = 5000 };

    static float host[N];

    for (int i = 0; i < 3; i++) {
        float *p = floats(dev, N);

        dev->ops->download(dev, host, p, sizeof host);
        all_are(host, N, 0.0f);
        dev->k->fill(dev, OT_F32, N, 3.0f, p);
        dev->ops->free(dev, p); /* while that is queued */
    }
    dev->ops->free(dev, floats(dev, 0));
    dev->ops->free(dev, NULL);
}

static void memory_is_zero_when_allocated(void **state)
{
    (void)state;
    each_way(allocate_again);
}

static void pin(struct ot_dev *dev)
{
    enum { N = 3000 };

    float *host = host_floats(dev, N), *x = floats(dev, N);

    all_are(host, N, 0.0f);
    dev->k->fill(dev, OT_F32, N, 2.0f, x);
    dev->ops->fetch(dev, host, x, N * sizeof *host);
    dev->ops->host_free(dev, host); /* waits for what uses it */
    dev->ops->host_free(dev, NULL);
    dev->ops->free(dev, x);
}

static void pinned_memory_is_zero_and_freed_when_nothing_uses_it(void **state)
{
    (void)state;
    each_way(pin);
}

static void run_out(struct ot_dev *dev)
{
    struct ot_err err = OT_ERR_INIT;
    float *x, one = 0.0f;

    ot_fake_capacity((size_t)100 << 20);
    assert_null(dev->ops->alloc(dev, (size_t)300 << 20, &err));
    assert_error(&err, OT_ENOMEM, "cuda:0: out of memory: wanted 300 MiB, ");
    assert_error(&err, OT_ENOMEM, " of 100 MiB are free");
    assert_ok(ot_dev_ok(dev, &err), &err); /* the device works on */
    ot_fake_capacity(0);
    x = floats(dev, 1);
    dev->k->fill(dev, OT_F32, 1, 5.0f, x);
    dev->ops->download(dev, &one, x, sizeof one);
    assert_true(one == 5.0f);
    dev->ops->free(dev, x);
}

static void too_little_memory_is_told_in_mib(void **state)
{
    (void)state;
    each_way(run_out);
}

/* ---- the queue ----------------------------------------------------------------------------- */

/* Iteration i leaves i in x; read while i + 1 runs. */
static void overlap(struct ot_dev *dev)
{
    enum { N = 700, ITERS = 20 };

    static float in[N];
    float *x = floats(dev, N), *y = floats(dev, N), *host[2];
    uint64_t mark[2] = { 0, 0 }, last = 0;

    for (int i = 0; i < 2; i++)
        host[i] = host_floats(dev, N);
    for (int i = 0; i <= ITERS; i++) {
        const int now = i % 2, before = !now;

        if (i < ITERS) {
            for (size_t k = 0; k < N; k++)
                in[k] = (float)i;
            dev->ops->upload(dev, x, in, sizeof in);
            dev->k->axpby(dev, OT_F32, N, 2.0f, x, 0.0f, y);
            dev->ops->fetch(dev, host[now], y, sizeof in);
            mark[now] = dev->ops->mark(dev);
            assert_true(mark[now] > 0 && mark[now] >= last);
            last = mark[now];
            dev->k->fill(dev, OT_F32, N, -1.0f, y); /* after the fetch */
        }
        dev->ops->wait(dev, mark[before]);
        if (mark[before])
            all_are(host[before], N, 2.0f * (float)(i - 1));
    }
    dev->ops->wait(dev, 0);
    for (int i = 0; i < 2; i++)
        dev->ops->host_free(dev, host[i]);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void an_iteration_is_read_while_the_next_one_runs(void **state)
{
    (void)state;
    each_way(overlap);
}

static void find_late(struct ot_dev *dev)
{
    static const float good[4] = { 0, 2, 1, 1 }, bad[4] = { 0, 2, 7, 9 };
    struct ot_err err = OT_ERR_INIT;
    float *x = floats(dev, 12), *label = floats(dev, 4), *acc = floats(dev, 1);
    uint64_t mark;

    dev->ops->upload(dev, label, bad, sizeof bad);
    dev->k->accuracy(dev, 4, 3, 1, 1, false, 0, x, label, acc, NULL);
    mark = dev->ops->mark(dev);
    dev->ops->upload(dev, label, good, sizeof good);
    dev->k->accuracy(dev, 4, 3, 1, 1, false, 0, x, label, acc, NULL);
    dev->ops->wait(dev, mark);
    assert_int_equal(ot_dev_ok(dev, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "instance 2: label 7 is outside [0, 3)");
    dev->k->accuracy(dev, 4, 3, 1, 1, false, 0, x, label, acc, NULL);
    dev->ops->sync(dev); /* said once */
    assert_ok(ot_dev_ok(dev, &err), &err);
    dev->ops->free(dev, x);
    dev->ops->free(dev, label);
    dev->ops->free(dev, acc);
}

static void bad_data_is_told_once_by_who_waits(void **state)
{
    (void)state;
    each_way(find_late);
}

/* One iteration: random numbers and a rate that the step says. */
static void iterate(struct ot_dev *dev, float *x, float *y, size_t n)
{
    const struct ot_channels all = { .outer = 1, .c = 1, .inner = n, .block = 1 };

    dev->k->dropout(dev, &all, 0.5f, 2.0f, 7, 1, x, y);
    dev->k->axpby(dev, OT_F32, n, 0.5f, y, 0.5f, x);
    dev->k->fill(dev, OT_F32, n / 2, 1.0f, y);
}

static void train(struct ot_dev *dev, bool recorded, float *out, size_t n, int *replays)
{
    float *x = floats(dev, n), *y = floats(dev, n), *got = host_floats(dev, n);

    dev->k->fill(dev, OT_F32, n, 1.0f, x);
    for (uint64_t i = 0; i < 12; i++) {
        const struct ot_step step = { .iter = i, .lr = 0.1f };
        bool on = false;

        ot_dev_step(dev, &step);
        if (recorded && i && dev->ops->replay(dev, 42)) {
            ++*replays;
        } else {
            on = recorded && i && dev->ops->record(dev, 42);
            iterate(dev, x, y, n);
            if (on && !dev->ops->launch(dev))
                fail_msg("the recording of iteration %d was not launched", (int)i);
        }
        dev->ops->fetch(dev, got, x, n * sizeof *got);
        dev->ops->wait(dev, dev->ops->mark(dev));
        memcpy(out + i * n, got, n * sizeof *got);
    }
    dev->ops->forget(dev);
    assert_false(dev->ops->replay(dev, 42));
    dev->ops->host_free(dev, got);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void replay_and_compare(struct ot_dev *dev)
{
    enum { N = 300 };

    static float eager[12 * N], replayed[12 * N];
    int replays = 0;

    train(dev, false, eager, N, &replays);
    train(dev, true, replayed, N, &replays);
    assert_int_equal(replays, 10);
    assert_memory_equal(eager, replayed, sizeof eager);
    assert_true(eager[N] != eager[0]);
}

static void a_replayed_iteration_does_what_the_recorded_one_did(void **state)
{
    (void)state;
    each_way(replay_and_compare);
}

/* A loop as the trainer's: the batch, the iteration, what it found is read one iteration later. */
static void run_ahead(struct ot_dev *dev)
{
    enum { N = 17000 };

    static const char *const waits[] = {
        "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMalloc", "cudaFree",
        "cudaMallocHost",        "cudaFreeHost",          "cudaMemcpy", "cudaMemset",
        "cudaGraphInstantiate"
    };
    static float in[N];
    float *x = floats(dev, N), *y = floats(dev, N), *host = host_floats(dev, 2);
    uint64_t mark = 0;

    iterate(dev, x, y, 300);
    for (uint64_t i = 0; i < 25; i++) {
        const struct ot_step step = { .iter = i, .lr = 0.1f };
        uint64_t before = mark;
        bool on;

        if (i == 5)
            ot_fake_forget();
        ot_dev_step(dev, &step);
        dev->ops->upload(dev, x, in, sizeof in);
        if (!dev->ops->replay(dev, 1)) {
            on = dev->ops->record(dev, 1);
            iterate(dev, x, y, 300);
            assert_true(on && dev->ops->launch(dev));
        }
        dev->ops->fetch(dev, host + i % 2, y, sizeof *host);
        mark = dev->ops->mark(dev);
        dev->ops->wait(dev, before);
    }
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        if (ot_fake_calls(waits[i]))
            fail_msg("%u calls of %s", ot_fake_calls(waits[i]), waits[i]);
    assert_int_equal(ot_fake_calls("cudaGraphLaunch"), 20);
    dev->ops->sync(dev);
    dev->ops->forget(dev);
    dev->ops->host_free(dev, host);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void the_loop_neither_waits_for_the_device_nor_allocates(void **state)
{
    (void)state;
    each_way(run_ahead);
}

/* Sums that are made in many parts. */
static void ask_for_room(struct ot_dev *dev)
{
    const struct ot_channels g = { .outer = 2, .c = 3000, .inner = 1, .block = 1 };
    float *x = floats(dev, 2 * 3000), *y = floats(dev, 3000);

    dev->k->channel_sum(dev, &g, OT_TERM_A, x, NULL, 0.0f, y);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

/* While recording, a kernel wants more room than there is: done without recording, then recorded.
 */
static void record_growing(struct ot_dev *dev)
{
    enum { ROWS = 50, COLS = 300 };

    static float in[ROWS * COLS];
    struct ot_update_seg seg = { .n = ROWS * COLS };
    struct ot_err err = OT_ERR_INIT;
    double sum[3], *norm = dev->ops->alloc(dev, sizeof *norm, &err);

    for (size_t i = 0; i < ROWS * COLS; i++)
        in[i] = (float)(i % 3);
    seg.g = floats(dev, ROWS * COLS);
    dev->ops->upload(dev, seg.g, in, sizeof in);
    for (int i = 0; i < 3; i++) {
        bool on = !dev->ops->replay(dev, 9) && dev->ops->record(dev, 9);

        if (on) {
            dev->k->grad_norm(dev, &seg, 1, norm);
            if (!dev->ops->launch(dev))
                dev->k->grad_norm(dev, &seg, 1, norm);
        }
        assert_ok(ot_dev_ok(dev, &err), &err);
        dev->ops->download(dev, &sum[i], norm, sizeof sum[i]);
    }
    assert_string_equal(dev->unrecorded, "");
    assert_true(sum[0] == 5.0 * ROWS * COLS / 3.0 && sum[1] == sum[0] && sum[2] == sum[0]);
    assert_true(dev->ops->replay(dev, 9));
    ask_for_room(dev); /* where the recording's was is no more */
    assert_false(dev->ops->replay(dev, 9));
    dev->ops->free(dev, seg.g);
    dev->ops->free(dev, norm);
}

static void a_recording_that_lacks_room_is_made_later(void **state)
{
    (void)state;
    each_way(record_growing);
}

/* A launch fails while recording: nothing was done, nothing is latched; after the third time there
 * is no recording any more, and why is kept. */
static void record_failing(struct ot_dev *dev)
{
    enum { N = 100, INVALID_VALUE = 1 };

    float *x = floats(dev, N), got = 0.0f;
    struct ot_err err = OT_ERR_INIT;

    dev->k->fill(dev, OT_F32, N, 0.0f, x);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(dev->unrecorded, "");
        assert_true(dev->ops->record(dev, 3));
        dev->k->fill(dev, OT_F32, N, 1.0f, x);
        ot_fake_fail("cudaLaunchKernel", 1, INVALID_VALUE);
        dev->k->fill(dev, OT_F32, N, 2.0f, x);
        assert_false(dev->ops->launch(dev));
        assert_ok(ot_dev_ok(dev, &err), &err);
        dev->ops->download(dev, &got, x, sizeof got);
        assert_true(got == 0.0f);
    }
    assert_non_null(strstr(dev->unrecorded, "invalid argument"));
    assert_false(dev->ops->record(dev, 3));
    dev->k->fill(dev, OT_F32, N, 3.0f, x);
    dev->ops->download(dev, &got, x, sizeof got);
    assert_true(got == 3.0f);
    dev->ops->free(dev, x);
}

static void a_recording_that_fails_leaves_nothing(void **state)
{
    (void)state;
    each_way(record_failing);
}

static void step_before(struct ot_dev *dev)
{
    enum { N = 100 };
    const struct ot_channels all = { .outer = 1, .c = 1, .inner = N, .block = 1 };
    const struct ot_step zero = { .iter = 0 };
    float *x = floats(dev, N), *y = floats(dev, N), got[2][N];

    dev->k->fill(dev, OT_F32, N, 1.0f, x);
    for (int i = 0; i < 2; i++) {
        dev->k->dropout(dev, &all, 0.5f, 2.0f, 7, 1, x, y);
        dev->ops->download(dev, got[i], y, sizeof got[i]);
        ot_dev_step(dev, &zero);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
}

static void the_step_is_zero_before_it_is_told(void **state)
{
    (void)state;
    each_way(step_before);
}

/* ---- failures ------------------------------------------------------------------------------ */

static void a_call_that_fails_while_opening_leaves_nothing(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    unsigned calls;

    (void)state;
    if (!ot_fake_schedule)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    ot_test_cuda_way(0);
    ot_fake_forget();
    ot_dev_close(open_fake(&err));
    calls = ot_fake_calls("*");
    for (unsigned n = 1; n <= calls; n++) {
        struct ot_dev *dev;
        char line[1200];

        ot_fake_forget();
        ot_fake_fail("*", n, 2);
        err = (struct ot_err)OT_ERR_INIT;
        dev = open_fake(&err);
        if (!dev) {
            (void)ot_err_str(&err, line, sizeof line);
            if (!strstr(line, "cuda:0") || strchr(line, '\n'))
                fail_msg("%s fails: %s", ot_fake_call(n), line);
            if (ot_fake_live() != before_this)
                fail_msg("%s fails: %zu objects are left", ot_fake_call(n),
                         ot_fake_live() - before_this);
        }
        ot_fake_fail(NULL, 0, 0);
        ot_dev_close(dev);
        nothing_is_wrong();
        assert_int_equal(ot_fake_live(), before_this);
    }
    assert_true(calls > 10);
}

static int work(struct ot_dev *dev, float *out, size_t n, struct ot_err *err)
{
    struct ot_ip_geom ip = { .n = 4, .nd = 1, .dim = { 8 }, .oc = 5 };
    struct ot_conv_geom conv = { .n = 2,
                                 .c = 3,
                                 .h = 6,
                                 .w = 5,
                                 .oc = 4,
                                 .kh = 3,
                                 .kw = 3,
                                 .sh = 1,
                                 .sw = 1,
                                 .ph = 1,
                                 .pw = 1,
                                 .dh = 1,
                                 .dw = 1,
                                 .oh = 6,
                                 .ow = 5,
                                 .group = 1,
                                 .training = true,
                                 .need_dx = true };
    struct ot_plan *a = NULL, *b = NULL;
    struct ot_plan_info ia, ib;
    static const float large[20000] = { 1.0f, -2.0f, 3.0f, 0.5f };
    float *x = dev->ops->alloc(dev, n * sizeof *x, err), *y = NULL, *w = NULL;
    void *scratch = NULL;

    if (x)
        y = dev->ops->alloc(dev, n * sizeof *y, err);
    if (y)
        w = dev->ops->alloc(dev, sizeof large, err);
    if (w) {
        for (size_t i = 0; i < n; i++)
            out[i] = (float)(i % 5);
        dev->ops->upload(dev, x, out, n * sizeof *x);
        dev->ops->upload(dev, w, out, n * sizeof *x);
        dev->ops->upload(dev, w, large, sizeof large); /* by the copy stream */
        dev->k->ip_plan(dev, &ip, NULL, &a, &ia);
        dev->k->conv_plan(dev, &conv, NULL, &b, &ib);
        if (a && b)
            scratch = dev->ops->alloc(dev, ia.scratch_bytes + ib.scratch_bytes, err);
        if (scratch) {
            dev->k->ip_fwd(dev, a, x, w, NULL, scratch, y);
            dev->k->conv_fwd(dev, b, x, w, NULL, scratch, y + 20);
            dev->k->conv_bwd_data(dev, b, w, y + 20, scratch, x);
            dev->k->gemm(dev, false, true, 6, 7, 8, 1.0f, x, 8, w, 8, 0.0f, y + 300, 7);
            dev->k->axpby(dev, OT_F32, 180, 1.0f, x, 1.0f, y + 20);
        }
        dev->ops->download(dev, out, y, n * sizeof *y);
        dev->ops->sync(dev);
    }
    dev->k->plan_free(dev, a);
    dev->k->plan_free(dev, b);
    dev->ops->free(dev, scratch);
    dev->ops->free(dev, w);
    dev->ops->free(dev, y);
    dev->ops->free(dev, x);
    return ot_dev_ok(dev, err) || !scratch ? -1 : 0;
}

/* A new device whose work is to fail at the nth call; returns how many there were. */
static unsigned work_failing_at(unsigned n, const float *want, size_t values)
{
    static float got[400];
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = open_fake(&err);
    char name[64] = "nothing";
    unsigned calls;

    assert_ok(dev ? 0 : err.code, &err);
    assert_true(values <= 400);
    ot_fake_forget();
    ot_fake_fail("*", n, 2);
    if (work(dev, got, values, &err) == 0)
        (void)ot_dev_ok(dev, &err);
    ot_fake_fail(NULL, 0, 0);
    calls = ot_fake_calls("*");
    if (n)
        (void)snprintf(name, sizeof name, "%s", ot_fake_call(n));
    if (strstr(name, "Free") || strstr(name, "Destroy")) /* fail on a broken device only */
        ot_fake_clear_error();
    else if (err.code == OT_OK && memcmp(want, got, values * sizeof *got) != 0)
        fail_msg("%s failed, and nothing said so", name);
    err = (struct ot_err)OT_ERR_INIT;
    (void)ot_dev_ok(dev, &err);
    err = (struct ot_err)OT_ERR_INIT;
    if (work(dev, got, values, &err))
        fail_msg("after %s failed: %s", name, err.text);
    assert_memory_equal(want, got, values * sizeof *got);
    ot_dev_close(dev);
    assert_int_equal(ot_fake_live(), before_this);
    return calls;
}

/* The nth call fails: someone says so (or does without), and the device works on. */
static void each_call_that_fails_while_working_is_told(void **state)
{
    enum { N = 400 };

    static float want[N];
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev;
    unsigned calls;

    (void)state;
    if (!ot_fake_schedule)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    ot_test_cuda_way(0);
    dev = open_fake(&err);
    assert_ok(work(dev, want, N, &err), &err);
    ot_dev_close(dev);
    calls = work_failing_at(0, want, N);
    assert_true(calls > 40);
    for (unsigned n = 1; n <= calls; n++)
        (void)work_failing_at(n, want, N);
    nothing_is_wrong();
}

static void what_the_device_breaks_on_is_told_by_who_waits(void **state)
{
    enum { N = 100, ILLEGAL_ADDRESS = 700 };

    float host[N];
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    if (!ot_fake_schedule)
        skip_because("no C++ compiler or no headers of CUDA when the tests were built");
    for (uint64_t way = 0; way < WAYS; way++) {
        struct ot_dev *dev;
        float *x;

        ot_test_cuda_way(way);
        dev = open_fake(&err);
        assert_ok(dev ? 0 : err.code, &err);
        x = floats(dev, N);
        dev->ops->sync(dev);
        ot_fake_break(1, ILLEGAL_ADDRESS);
        for (int i = 0; i < 5; i++)
            dev->k->fill(dev, OT_F32, N, 1.0f, x);
        memset(host, 0xff, sizeof host);
        dev->ops->download(dev, host, x, sizeof host);
        all_are(host, N, 0.0f);
        assert_int_equal(ot_dev_ok(dev, &err), OT_EDEV);
        assert_error(&err, OT_EDEV, "an illegal memory access was encountered");
        dev->ops->free(dev, x);
        ot_dev_close(dev);
        ot_fake_break(0, 0);
        nothing_is_wrong();
        assert_int_equal(ot_fake_live(), before_this);
        err = (struct ot_err)OT_ERR_INIT;
    }
}

/* ---- a real one ---------------------------------------------------------------------------- */

static void the_contract_holds_on_a_device(void **state)
{
    static void (*const what[])(struct ot_dev * dev) = {
        upload_many, upload_burst,       allocate_again, pin,        overlap,
        find_late,   replay_and_compare, record_growing, step_before
    };

    (void)state;
    ot_gpu_contract(what, sizeof what / sizeof what[0]);
}

/* ---- the fake itself ----------------------------------------------------------------------- */

#define SELF(name)                                     \
    static void the_fake_##name(void **state)          \
    {                                                  \
        const char *bad;                               \
                                                       \
        (void)state;                                   \
        if (!ot_fake_schedule)                         \
            skip_because("no fake");                   \
        bad = ot_fake_self_##name();                   \
        if (bad)                                       \
            fail_msg("%s", bad);                       \
        nothing_is_wrong();                            \
        assert_int_equal(ot_fake_live(), before_this); \
    }
OT_FAKE_SELF(SELF)

static int whole_again(void **state)
{
    (void)state;
    if (!ot_fake_schedule)
        return 0;
    ot_fake_fail(NULL, 0, 0);
    ot_fake_break(0, 0);
    ot_fake_capacity(0);
    before_this = ot_fake_live();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define ADD(name) cmocka_unit_test_setup(the_fake_##name, whole_again),
        OT_FAKE_SELF(ADD)
#undef ADD
            cmocka_unit_test_setup(an_uploaded_array_is_free_at_once, whole_again),
        cmocka_unit_test_setup(uploads_wait_for_a_free_place, whole_again),
        cmocka_unit_test_setup(memory_is_zero_when_allocated, whole_again),
        cmocka_unit_test_setup(pinned_memory_is_zero_and_freed_when_nothing_uses_it, whole_again),
        cmocka_unit_test_setup(too_little_memory_is_told_in_mib, whole_again),
        cmocka_unit_test_setup(an_iteration_is_read_while_the_next_one_runs, whole_again),
        cmocka_unit_test_setup(bad_data_is_told_once_by_who_waits, whole_again),
        cmocka_unit_test_setup(a_replayed_iteration_does_what_the_recorded_one_did, whole_again),
        cmocka_unit_test_setup(the_loop_neither_waits_for_the_device_nor_allocates, whole_again),
        cmocka_unit_test_setup(a_recording_that_lacks_room_is_made_later, whole_again),
        cmocka_unit_test_setup(a_recording_that_fails_leaves_nothing, whole_again),
        cmocka_unit_test_setup(the_step_is_zero_before_it_is_told, whole_again),
        cmocka_unit_test_setup(a_call_that_fails_while_opening_leaves_nothing, whole_again),
        cmocka_unit_test_setup(each_call_that_fails_while_working_is_told, whole_again),
        cmocka_unit_test_setup(what_the_device_breaks_on_is_told_by_who_waits, whole_again),
        cmocka_unit_test(the_contract_holds_on_a_device),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
