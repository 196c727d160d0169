/*
 * test_loader_share.c - batches of images that several threads make together, and the memory that
 * they lie in.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/db.h"
#include "data/image.h"
#include "data/loader.h"
#include "tests/check.h"

enum { N = 96, SIDE = 96, CROP = 80, BATCH = 24 };

/* A JPEG; a damaged one is cut short. */
static void put_image(struct ot_db_writer *w, struct ot_image *im, int i, bool damaged)
{
    Caffe__Datum d = CAFFE__DATUM__INIT;
    struct ot_err err = OT_ERR_INIT;
    unsigned char *jpeg, packed[SIDE * SIDE * 4];
    char key[16];
    size_t n;

    assert_ok(ot_image_alloc(im, SIDE, SIDE, 3, &err), &err);
    for (int k = 0; k < SIDE * SIDE * 3; k++)
        im->pixel[k] = (unsigned char)(i * 5 + k / 70 + k % 11);
    assert_ok(ot_image_encode_jpeg(im, 90, &jpeg, &n, &err), &err);
    d.data = (ProtobufCBinaryData){ damaged ? 40 : n, jpeg };
    d.has_data = d.has_label = d.has_encoded = d.encoded = 1;
    d.label = i;
    assert_true(caffe__datum__get_packed_size(&d) <= sizeof packed);
    n = caffe__datum__pack(&d, packed);
    (void)snprintf(key, sizeof key, "%05d", i);
    assert_ok(
        ot_db_put(w, (struct ot_bytes){ key, strlen(key) }, (struct ot_bytes){ packed, n }, &err),
        &err);
    ot_free(jpeg);
}

/* Records `first_bad` and all after it, every third, are damaged. */
static const char *images(int first_bad)
{
    static char path[256];
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 };
    struct ot_db_writer *w;

    (void)snprintf(path, sizeof path, "%s/jpegs%d", ot_tmpdir(), first_bad);
    if (ot_exists(path))
        return path;
    w = ot_db_create(path, false, &err);
    assert_ok(w ? 0 : err.code, &err);
    for (int i = 0; i < N; i++)
        put_image(w, &im, i, i >= first_bad && (i - first_bad) % 3 == 0);
    ot_image_release(&im);
    assert_ok(ot_db_finish(w, true, &err), &err);
    return path;
}

static struct ot_loader *open_in(const char *source, int threads, const struct ot_loader_room *room)
{
    static Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    const struct ot_loader_conf conf = { .source = source,
                                         .train = true,
                                         .batch_size = BATCH,
                                         .threads = threads,
                                         .prefetch = 1,
                                         .seed = 5,
                                         .transform = &p,
                                         .room = room };
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l;

    p.crop_size = CROP;
    p.mirror = 1;
    l = ot_loader_open(&conf, &err);
    assert_ok(l ? 0 : err.code, &err);
    return l;
}

static struct ot_loader *open_with(const char *source, int threads)
{
    return open_in(source, threads, NULL);
}

/* The workers start with the stream. */
static void start(struct ot_loader *l)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *b;

    assert_ok(ot_loader_next(l, &b, &err), &err);
    ot_loader_done(l, b);
}

static void permuted(uint32_t index[N], int k)
{
    for (int i = 0; i < N; i++)
        index[i] = (uint32_t)((i * 35 + k) % N);
}

static void fetch(struct ot_loader *l, const uint32_t *index, int n, int k, struct ot_batch **b)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_loader_fetch(l, index, n, (uint64_t)k << 32, b, &err), &err);
}

static void a_batch_that_workers_help_with_is_the_callers_own(void **state)
{
    enum { MOST = 2000 };

    struct ot_loader *alone = open_with(images(N), 1), *l = open_with(ot_loader_source(alone), 3);

    (void)state;
    start(l);
    for (int k = 0; k < 4 || !ot_loader_helped(l); k++) {
        const int n = k % 2 ? N : N - 1 - k % 7;
        struct ot_batch *a, *b;
        uint32_t index[N];

        assert_true(k < MOST); /* they never help */
        permuted(index, k);
        fetch(alone, index, n, k, &a);
        fetch(l, index, n, k, &b);
        assert_int_equal(b->n, n);
        assert_memory_equal(a->data, b->data, sizeof(float) * 3 * CROP * CROP * (size_t)n);
        for (int i = 0; i < n; i++) {
            assert_int_equal(b->sample[i].index, index[i]);
            assert_int_equal(a->sample[i].flip, b->sample[i].flip);
            assert_near(b->label[i], (float)index[i], 0);
        }
        ot_loader_done(alone, a);
        ot_loader_done(l, b);
    }
    assert_int_equal(ot_loader_helped(alone), 0);
    ot_loader_close(alone);
    ot_loader_close(l);
}

static void of_several_bad_records_the_first_is_named(void **state)
{
    struct ot_loader *l = open_with(images(55), 3);

    (void)state;
    start(l);
    for (int k = 0; k < 20; k++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_batch *b;
        uint32_t index[N];

        for (int i = 0; i < N; i++)
            index[i] = (uint32_t)i;
        assert_int_equal(ot_loader_fetch(l, index, N, 0, &b, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "key '00055'");
        fetch(l, index, 55, k, &b); /* and the next one is made */
        assert_near(b->label[54], 54, 0);
        ot_loader_done(l, b);
    }
    ot_loader_close(l);
}

static void a_stream_that_workers_share_is_that_of_one(void **state)
{
    struct ot_loader *one = open_with(images(N), 1), *four = open_with(images(N), 4);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (int k = 0; k < 60; k++) {
        struct ot_batch *a, *b;

        if (k % 7 == 6) { /* in the middle of some */
            assert_ok(ot_loader_seek(one, (uint64_t)k * 1000, &err), &err);
            assert_ok(ot_loader_seek(four, (uint64_t)k * 1000, &err), &err);
        }
        assert_ok(ot_loader_next(one, &a, &err), &err);
        assert_ok(ot_loader_next(four, &b, &err), &err);
        assert_memory_equal(a->data, b->data, sizeof(float) * 3 * CROP * CROP * (size_t)a->n);
        assert_memory_equal(a->label, b->label, sizeof(float) * (size_t)a->n);
        ot_loader_done(one, a);
        ot_loader_done(four, b);
    }
    assert_true(ot_loader_helped(four) > 0);
    ot_loader_close(one);
    ot_loader_close(four);
}

static void seeking_in_the_middle_loses_no_slot(void **state)
{
    struct ot_loader *l = open_with(images(N), 3);
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *b;

    (void)state;
    start(l);
    for (int k = 0; k < 300; k++) {
        const struct timespec some = { .tv_nsec = 20000 * (k % 50) };

        assert_ok(ot_loader_seek(l, (uint64_t)(k % N), &err), &err);
        (void)nanosleep(&some, NULL);
        if (k % 10 == 9) {
            assert_ok(ot_loader_next(l, &b, &err), &err);
            assert_near(b->label[BATCH - 1], (float)((k + BATCH - 1) % N), 0);
            ot_loader_done(l, b);
        }
    }
    for (int i = 0; i < 3; i++) /* all there are; a lost one would be waited for */
        assert_ok(ot_loader_next(l, &b, &err), &err);
    ot_loader_close(l);
}

static void closing_in_the_middle_stops_all(void **state)
{
    (void)state;
    for (int k = 0; k < 20; k++) {
        struct ot_loader *l = open_with(images(N), 1 + k % 4);
        uint32_t index[N];
        struct ot_batch *b;

        start(l);
        permuted(index, k);
        fetch(l, index, 1 + k, k, &b);
        assert_near(b->label[k], (float)index[k], 0);
        ot_loader_close(l);
    }
}

/* ---- memory of somebody else ---------------------------------------------------------------- */

enum { MOST_LENT = 16 };

struct lender {
    pthread_t thread;
    int left; /* how much there is to lend */
    int out;

    struct {
        char *p;
        size_t bytes;
    } lent[MOST_LENT];
};

static void *lend(void *ctx, size_t bytes)
{
    struct lender *l = ctx;
    struct ot_err err = OT_ERR_INIT;
    char *p;

    assert_true(pthread_equal(l->thread, pthread_self()));
    if (!l->left || l->out == MOST_LENT)
        return NULL;
    l->left--;
    p = ot_alloc(bytes, 1, &err);
    assert_ok(p ? 0 : err.code, &err);
    l->lent[l->out].p = p;
    l->lent[l->out++].bytes = bytes;
    return p;
}

static void take_back(void *ctx, void *p)
{
    struct lender *l = ctx;
    int k = 0;

    assert_true(pthread_equal(l->thread, pthread_self()));
    while (k < l->out && l->lent[k].p != p)
        k++;
    assert_true(k < l->out);
    ot_free(p);
    l->lent[k] = l->lent[--l->out];
}

static bool is_lent(const struct lender *l, const struct ot_batch *b)
{
    const size_t bytes = (size_t)(b->n * b->channels * b->height * b->width) * sizeof *b->data;

    for (int k = 0; k < l->out; k++)
        if ((const char *)b->data == l->lent[k].p)
            return bytes <= l->lent[k].bytes;
    return false;
}

static void batches_lie_in_what_was_lent(void **state)
{
    struct lender lender = { .thread = pthread_self(), .left = MOST_LENT };
    const struct ot_loader_room room = { &lender, lend, take_back };
    struct ot_loader *l = open_in(images(N), 2, &room);
    struct ot_err err = OT_ERR_INIT;
    uint32_t index[N];
    struct ot_batch *b;

    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_ok(ot_loader_next(l, &b, &err), &err);
        assert_true(is_lent(&lender, b));
        ot_loader_done(l, b);
    }
    assert_int_equal(lender.out, 3); /* the one that is read ahead, and two */
    permuted(index, 1);
    fetch(l, index, BATCH, 1, &b);
    assert_true(is_lent(&lender, b));
    ot_loader_done(l, b);
    fetch(l, index, BATCH + 1, 1, &b); /* is larger than the first */
    assert_false(is_lent(&lender, b));
    assert_near(b->label[BATCH], (float)index[BATCH], 0);
    ot_loader_done(l, b);
    fetch(l, index, BATCH - 1, 1, &b);
    assert_true(is_lent(&lender, b));
    ot_loader_done(l, b);
    assert_int_equal(lender.out, 4);
    ot_loader_close(l);
    assert_int_equal(lender.out, 0);
}

static void where_nothing_is_lent_ordinary_memory_will_do(void **state)
{
    (void)state;
    for (int left = 0; left < 3; left++) {
        struct lender lender = { .thread = pthread_self(), .left = left };
        const struct ot_loader_room room = { &lender, lend, take_back };
        struct ot_loader *l = open_in(images(N), 2, &room), *plain = open_with(images(N), 2);

        for (int i = 0; i < 10; i++) {
            struct ot_err err = OT_ERR_INIT;
            struct ot_batch *a, *b;

            assert_ok(ot_loader_next(l, &a, &err), &err);
            assert_ok(ot_loader_next(plain, &b, &err), &err);
            assert_memory_equal(a->data, b->data, sizeof(float) * BATCH * 3 * CROP * CROP);
            ot_loader_done(l, a);
            ot_loader_done(plain, b);
        }
        assert_int_equal(lender.out, left);
        ot_loader_close(l);
        ot_loader_close(plain);
        assert_int_equal(lender.out, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_workers_help_with_is_the_callers_own),
        cmocka_unit_test(of_several_bad_records_the_first_is_named),
        cmocka_unit_test(a_stream_that_workers_share_is_that_of_one),
        cmocka_unit_test(seeking_in_the_middle_loses_no_slot),
        cmocka_unit_test(closing_in_the_middle_stops_all),
        cmocka_unit_test(batches_lie_in_what_was_lent),
        cmocka_unit_test(where_nothing_is_lent_ordinary_memory_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
