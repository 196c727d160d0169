/* test_loader_fetch.c - fetched batches of images, which the workers help to make. */
#include <string.h>

#include "base/mem.h"
#include "data/db.h"
#include "data/image.h"
#include "data/loader.h"
#include "tests/check.h"

enum { N = 96, SIDE = 96, CROP = 80 };

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
    w = ot_db_create(path, false, &err);
    assert_ok(w ? 0 : err.code, &err);
    for (int i = 0; i < N; i++)
        put_image(w, &im, i, i >= first_bad && (i - first_bad) % 3 == 0);
    ot_image_release(&im);
    assert_ok(ot_db_finish(w, true, &err), &err);
    return path;
}

static struct ot_loader *open_with(const char *source, int threads)
{
    static Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    const struct ot_loader_conf conf = { .source = source,
                                         .train = true,
                                         .batch_size = 3,
                                         .threads = threads,
                                         .prefetch = 1,
                                         .seed = 5,
                                         .transform = &p };
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l;

    p.crop_size = CROP;
    p.mirror = 1;
    l = ot_loader_open(&conf, &err);
    assert_ok(l ? 0 : err.code, &err);
    return l;
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
    struct ot_loader *l = open_with(images(50), 3);

    (void)state;
    start(l);
    for (int k = 0; k < 20; k++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_batch *b;
        uint32_t index[N];

        for (int i = 0; i < N; i++)
            index[i] = (uint32_t)i;
        assert_int_equal(ot_loader_fetch(l, index, N, 0, &b, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "key '00050'");
        fetch(l, index, 50, k, &b); /* and the next one is made */
        assert_near(b->label[49], 49, 0);
        ot_loader_done(l, b);
    }
    ot_loader_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_that_workers_help_with_is_the_callers_own),
        cmocka_unit_test(of_several_bad_records_the_first_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
