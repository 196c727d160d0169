/* test_loader.c - batches: golden against Caffe, order, threads, seeking, faults. */
#include <stdlib.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/db.h"
#include "data/image.h"
#include "data/loader.h"
#include "tests/check.h"

static void *slurp(const char *dir, const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    char path[1200];
    void *p;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    p = ot_read_file(path, 1 << 28, n, &err);
    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static struct ot_loader *open_loader(const struct ot_loader_conf *conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l = ot_loader_open(conf, &err);

    assert_ok(l ? 0 : err.code, &err);
    return l;
}

static struct ot_batch *next(struct ot_loader *l)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *b = NULL;

    assert_ok(ot_loader_next(l, &b, &err), &err);
    return b;
}

/* ---- golden -----------------------------------------------------------------------------------
 */

static void golden_case(const char *name, const Caffe__TransformationParameter *p, int side,
                        double tolerance)
{
    char dir[1024], source[1100], rel[64];
    size_t n, m;
    struct ot_loader_conf conf = { .source = source,
                                   .batch_size = 7,
                                   .threads = 1,
                                   .prefetch = 1,
                                   .transform = p,
                                   .base_dir = dir };
    struct ot_batch *b;
    struct ot_loader *l;
    float *data, *label;

    (void)snprintf(rel, sizeof rel, "golden/data-transform/%s", name);
    (void)snprintf(dir, sizeof dir, "%s", ot_shared(rel));
    (void)snprintf(source, sizeof source, "%s/../../lmdb-tiny/fm1000_lmdb", dir);
    data = slurp(dir, "blob.data.bin", &n);
    label = slurp(dir, "blob.label.bin", &m);
    l = open_loader(&conf);
    b = next(l);
    assert_int_equal(b->height, side);
    assert_int_equal(n, 7 * side * side * 4);
    for (int i = 0; i < 7 * side * side; i++)
        assert_near(b->data[i], data[i], tolerance);
    assert_int_equal(m, 28);
    assert_memory_equal(b->label, label, 28);
    ot_loader_close(l);
    ot_free(data);
    ot_free(label);
}

static void first_batches_are_caffes(void **state)
{
    Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    static char mean_file[] = "../../lmdb-tiny/mean.binaryproto";
    float mean = 73;

    (void)state;
    if (!ot_shared("golden/data-transform"))
        skip_because("no ../shared/golden");
    golden_case("plain", NULL, 28, 0);
    p.crop_size = 21;
    golden_case("crop_test", &p, 21, 0);
    p.crop_size = 0;
    p.scale = 0.00390625f;
    golden_case("scale", &p, 28, 0);
    p.mean_value = &mean;
    p.n_mean_value = 1;
    golden_case("mean_value_scale", &p, 28, 0);
    p.n_mean_value = 0;
    p.scale = 1;
    p.mean_file = mean_file;
    golden_case("mean_file", &p, 28, 0); /* Caffe rounds the same way, so exactly */
    p.crop_size = 24;
    p.scale = 0.01f;
    golden_case("crop_mean_file_test", &p, 24, 0);
}

static void the_stream_wraps_at_the_last_record(void **state)
{
    const char *shared = ot_shared("golden/data-transform/wrap_1003");
    struct ot_loader_conf conf = { .batch_size = 1003, .threads = 2, .prefetch = 1 };
    char source[1100];
    struct ot_loader *l;
    struct ot_batch *b;
    float *label;
    size_t n;

    (void)state;
    if (!shared)
        skip_because("no ../shared/golden");
    label = slurp(shared, "blob.label.bin", &n);
    (void)snprintf(source, sizeof source, "%s/../../lmdb-tiny/fm1000_lmdb", shared);
    conf.source = source;
    l = open_loader(&conf);
    assert_int_equal(ot_loader_count(l), 1000);
    b = next(l);
    assert_int_equal(n, 4 * 1003);
    assert_memory_equal(b->label, label, n);
    assert_int_equal(b->sample[1002].index, 2);
    assert_int_equal(ot_loader_position(l), 1003);
    ot_loader_done(l, b);
    ot_free(label);
    ot_loader_close(l);
}

/* ---- a database of our own: 50 images 3 x 8 x 9, every third a PNG ------------------------------
 */

enum { N = 50, C = 3, H = 8, W = 9 };

static void put(struct ot_db_writer *w, int i, const ProtobufCMessage *m)
{
    struct ot_err err = OT_ERR_INIT;
    uint8_t buf[8192];
    char key[16];

    assert_true(protobuf_c_message_get_packed_size(m) <= sizeof buf);
    (void)snprintf(key, sizeof key, "%05d", i);
    assert_ok(ot_db_put(w, (struct ot_bytes){ key, 5 },
                        (struct ot_bytes){ buf, protobuf_c_message_pack(m, buf) }, &err),
              &err);
}

static void make_datum(Caffe__Datum *d, struct ot_image *im, unsigned char **png, int i)
{
    struct ot_err err = OT_ERR_INIT;
    static unsigned char raw[C * H * W];

    *d = (Caffe__Datum)CAFFE__DATUM__INIT;
    *png = NULL;
    assert_ok(ot_image_alloc(im, W, H, C, &err), &err);
    for (int k = 0; k < C * H * W; k++) {
        raw[k] = (unsigned char)(7 * i + k);
        im->pixel[k % (H * W) * C + k / (H * W)] = raw[k];
    }
    d->data = (ProtobufCBinaryData){ sizeof raw, raw };
    if (i % 3 == 0) {
        assert_ok(ot_image_encode_png(im, png, &d->data.len, &err), &err);
        d->data.data = *png;
        d->has_encoded = d->encoded = 1;
    }
    d->has_channels = d->has_height = d->has_width = d->has_data = d->has_label = 1;
    d->channels = C;
    d->height = H;
    d->width = W;
    d->label = i;
}

/* bad: the record that is damaged, -1 for none */
static void write_images(const char *path, int bad)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_db_writer *w = ot_db_create(path, false, &err);
    struct ot_image im = { 0 };

    assert_ok(w ? 0 : err.code, &err);
    for (int i = 0; i < N; i++) {
        unsigned char *png;
        Caffe__Datum d;

        make_datum(&d, &im, &png, i);
        if (i == bad)
            d.data.len -= 20;
        put(w, i, &d.base);
        ot_free(png);
    }
    ot_image_release(&im);
    assert_ok(ot_db_finish(w, true, &err), &err);
}

static const char *images(void)
{
    static char path[256];

    if (!path[0]) {
        (void)snprintf(path, sizeof path, "%s/images", ot_tmpdir());
        write_images(path, -1);
    }
    return path;
}

static struct ot_loader_conf image_conf(Caffe__TransformationParameter *p)
{
    static const Caffe__TransformationParameter init = CAFFE__TRANSFORMATION_PARAMETER__INIT;

    *p = init;
    p->crop_size = 5;
    p->mirror = 1;
    p->scale = 0.1f;
    return (struct ot_loader_conf){ .source = images(),
                                    .train = true,
                                    .batch_size = 7,
                                    .threads = 1,
                                    .prefetch = 2,
                                    .shuffle = true,
                                    .seed = 99,
                                    .transform = p };
}

static void assert_same_batch(const struct ot_batch *a, const struct ot_batch *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    assert_memory_equal(a->data, b->data,
                        (size_t)a->n * (size_t)a->channels * (size_t)a->height * (size_t)a->width *
                            sizeof *a->data);
    for (int i = 0; i < a->n; i++) {
        assert_int_equal(a->sample[i].index, b->sample[i].index);
        assert_int_equal(a->sample[i].flip, b->sample[i].flip);
        if (a->label)
            assert_near(a->label[i], b->label[i], 0);
        if (a->im_info)
            assert_memory_equal(a->im_info + 3 * i, b->im_info + 3 * i, 12);
    }
}

static void compare_threads(struct ot_loader_conf conf)
{
    struct ot_loader *one = open_loader(&conf), *four;

    conf.threads = 4;
    conf.prefetch = 5;
    four = open_loader(&conf);
    for (int i = 0; i < 40; i++) {
        struct ot_batch *a = next(one), *b = next(four);

        assert_same_batch(a, b);
        ot_loader_done(one, a);
        ot_loader_done(four, b);
    }
    ot_loader_close(one);
    ot_loader_close(four);
}

static void four_threads_make_the_batches_of_one(void **state)
{
    Caffe__TransformationParameter p;

    (void)state;
    compare_threads(image_conf(&p));
}

static void a_shuffled_epoch_has_every_record_once(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *l;
    int seen[2][N] = { { 0 } }, moved = 0, changed = 0;
    uint32_t order[2 * N];

    (void)state;
    conf.batch_size = 10;
    l = open_loader(&conf);
    for (int k = 0; k < 10; k++) {
        struct ot_batch *b = next(l);

        for (int i = 0; i < 10; i++) {
            int at = 10 * k + i;

            seen[at / N][b->sample[i].index]++;
            order[at] = b->sample[i].index;
            moved += order[at] != (uint32_t)(at % N);
            changed += at >= N && order[at] != order[at - N];
            assert_near(b->label[i], b->sample[i].index, 0);
        }
        ot_loader_done(l, b);
    }
    for (int i = 0; i < 2 * N; i++)
        assert_int_equal((&seen[0][0])[i], 1);
    assert_true(moved > N && changed > N / 2);
    ot_loader_close(l);
}

static void seeking_resumes_the_same_stream(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *a, *b;

    (void)state;
    a = open_loader(&conf);
    conf.threads = 3;
    b = open_loader(&conf);
    for (int round = 0; round < 30; round++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_batch *x, *y;

        if (round % 3 == 2)
            ot_loader_done(b, next(b)); /* wander off, with batches in flight */
        assert_ok(ot_loader_seek(b, ot_loader_position(a), &err), &err);
        x = next(a);
        y = next(b);
        assert_same_batch(x, y);
        assert_int_equal(y->sample[0].position, x->sample[0].position);
        ot_loader_done(a, x);
        ot_loader_done(b, y);
    }
    ot_loader_close(a);
    ot_loader_close(b);
}

/* Batches in flight at a seek must not keep their slots: after a few there would be none. */
static void seeking_often_loses_no_slot(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *l;

    (void)state;
    conf.threads = 3;
    conf.prefetch = 1;     /* three slots, all of them being filled when the second seek comes */
    conf.batch_size = 300; /* slow enough to be caught at it */
    l = open_loader(&conf);
    ot_loader_done(l, next(l));
    for (uint64_t round = 0; round < 30; round++) {
        const struct timespec pause = { .tv_nsec = 200000 };
        struct ot_err err = OT_ERR_INIT;
        struct ot_batch *b;

        assert_ok(ot_loader_seek(l, 5, &err), &err);
        (void)nanosleep(&pause, NULL);
        assert_ok(ot_loader_seek(l, 1000 * round, &err), &err);
        b = next(l);
        assert_int_equal(b->sample[0].position, 1000 * round);
        ot_loader_done(l, b);
    }
    ot_loader_close(l);
}

static void fetching_leaves_the_stream_alone(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *plain = open_loader(&conf), *l = open_loader(&conf);
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *f;

    (void)state;
    for (int i = 0; i < 12; i++) {
        struct ot_batch *a = next(plain), *b = next(l);
        uint32_t index[7];

        for (int k = 0; k < 7; k++)
            index[k] = a->sample[k].index;
        /* the same records under the same ordinal are the same views */
        assert_ok(ot_loader_fetch(l, index, 7, a->sample[0].position, &f, &err), &err);
        assert_true(f->fetched && !b->fetched);
        assert_same_batch(f, a);
        ot_loader_done(l, f);
        assert_same_batch(b, a);
        ot_loader_done(plain, a);
        ot_loader_done(l, b);
    }
    assert_int_equal(ot_loader_fetch(l, &(uint32_t){ N }, 1, 0, &f, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "got index 50");
    ot_loader_close(plain);
    ot_loader_close(l);
}

static void holding_every_batch_is_an_error_and_not_a_wait(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *l = open_loader(&conf);
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *held[8], *b;
    int n = 0, rc;

    (void)state;
    while ((rc = ot_loader_next(l, &b, &err)) == 0 && n < 8)
        held[n++] = b;
    assert_error(&err, OT_EBUSY, "got 4 held");
    assert_int_equal(rc, OT_EBUSY);
    assert_int_equal(n, 4);
    assert_ok(ot_loader_fetch(l, &(uint32_t){ 1 }, 1, 0, &b, &err), &err);
    ot_loader_done(l, b);
    while (n)
        ot_loader_done(l, held[--n]);
    b = next(l);
    assert_int_equal(b->sample[0].position, 4 * 7);
    ot_loader_close(l);
}

/* Worker by worker and slot by slot it settles; on a busy machine a worker may begin late. */
static void a_steady_loop_allocates_nothing(void **state)
{
    enum { STEADY = 40, MOST = 4000 };

    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_loader *l;
    uint64_t before = 0;

    (void)state;
    conf.threads = 2;
    l = open_loader(&conf);
    for (int i = 0, since = 0; since < STEADY; i++, since++) {
        assert_true(i < MOST);
        ot_loader_done(l, next(l));
        if (ot_mem_count() != before)
            since = 0;
        before = ot_mem_count();
    }
    ot_loader_close(l);
}

static void a_damaged_record_is_named_in_its_turn(void **state)
{
    for (int bad = 29; bad < 31; bad++) { /* 29 is raw, 30 a PNG */
        struct ot_loader_conf conf = { .batch_size = 10, .threads = 4, .prefetch = 4 };
        struct ot_err err = OT_ERR_INIT;
        struct ot_loader *l;
        struct ot_batch *b;
        char path[256];

        (void)state;
        (void)snprintf(path, sizeof path, "%s/bad%d", ot_tmpdir(), bad);
        write_images(path, bad);
        conf.source = path;
        l = open_loader(&conf);
        for (int i = 0; i < bad / 10; i++)
            ot_loader_done(l, next(l));
        assert_int_equal(ot_loader_next(l, &b, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, path);
        assert_error(&err, OT_EDATA, bad == 29 ? "key '00029'" : "key '00030'");
        assert_null(b);
        b = next(l); /* the stream goes on behind it */
        assert_int_equal(b->sample[0].index, (bad / 10 + 1) * 10);
        ot_loader_close(l);
    }
}

static void wrong_configurations_are_refused(void **state)
{
    Caffe__TransformationParameter p;
    struct ot_loader_conf conf = image_conf(&p);
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l;
    struct ot_batch *b;
    char key[32];
    int c, h, w;

    (void)state;
    l = open_loader(&conf);
    assert_ok(ot_loader_peek(l, &c, &h, &w, &err), &err);
    assert_int_equal(c * 100 + h * 10 + w, 355);
    assert_string_equal(ot_loader_key(l, 7, key, sizeof key), "00007");
    ot_loader_close(l);
    p.crop_size = 9;
    l = open_loader(&conf);
    assert_int_equal(ot_loader_peek(l, &c, &h, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "crop_size 9");
    ot_loader_close(l);
    p.crop_size = 0;
    conf.detection = true;
    p.mirror = 0;
    l = open_loader(&conf);
    assert_int_equal(ot_loader_next(l, &b, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "no AnnotatedDatum");
    ot_loader_close(l);
    conf.source = "/no/such/lmdb";
    assert_null(ot_loader_open(&conf, &err));
    assert_error(&err, OT_ENOINPUT, "/no/such/lmdb");
    conf.batch_size = 0;
    assert_null(ot_loader_open(&conf, &err));
    assert_error(&err, OT_ECONFIG, "batch_size: must be >= 1, got 0");
}

/* ---- detection: JPEGs of several sizes with i % 4 boxes
 * ------------------------------------------ */

static void put_scene(struct ot_db_writer *w, struct ot_image *im, int i)
{
    Caffe__AnnotatedDatum a = CAFFE__ANNOTATED_DATUM__INIT;
    Caffe__Datum d = CAFFE__DATUM__INIT;
    Caffe__AnnotationGroup group = CAFFE__ANNOTATION_GROUP__INIT, *groups[1] = { &group };
    Caffe__Annotation ann[4], *anns[4];
    Caffe__NormalizedBBox box = CAFFE__NORMALIZED_BBOX__INIT;
    struct ot_err err = OT_ERR_INIT;
    unsigned char *jpeg;

    assert_ok(ot_image_alloc(im, 30 + 5 * (i % 3), 40 - 5 * (i % 2), 3, &err), &err);
    for (int k = 0; k < im->width * im->height * 3; k++)
        im->pixel[k] = (unsigned char)(i * 10 + k / 90);
    assert_ok(ot_image_encode_jpeg(im, 90, &jpeg, &d.data.len, &err), &err);
    d.data.data = jpeg;
    d.has_data = d.has_encoded = d.encoded = 1;
    box.has_xmin = box.has_ymin = box.has_xmax = box.has_ymax = 1;
    box.xmin = 0.2f;
    box.xmax = 0.6f;
    box.ymax = 1;
    for (int k = 0; k < 4; k++) {
        caffe__annotation__init(&ann[k]);
        ann[k].bbox = &box;
        anns[k] = &ann[k];
    }
    group.has_group_label = 1;
    group.group_label = 1 + i % 2;
    group.n_annotation = (size_t)(i % 4);
    group.annotation = anns;
    a.datum = &d;
    a.n_annotation_group = 1;
    a.annotation_group = groups;
    put(w, i, &a.base);
    ot_free(jpeg);
}

static const char *scenes(void)
{
    static char path[256];
    struct ot_err err = OT_ERR_INIT;
    struct ot_db_writer *w;
    struct ot_image im = { 0 };

    if (path[0])
        return path;
    (void)snprintf(path, sizeof path, "%s/scenes", ot_tmpdir());
    w = ot_db_create(path, false, &err);
    assert_ok(w ? 0 : err.code, &err);
    for (int i = 0; i < 20; i++)
        put_scene(w, &im, i);
    ot_image_release(&im);
    assert_ok(ot_db_finish(w, true, &err), &err);
    return path;
}

static void detection_batches_are_padded_to_the_largest_image(void **state)
{
    Caffe__DetectionDataParameter det = CAFFE__DETECTION_DATA_PARAMETER__INIT;
    uint32_t side = 60;
    struct ot_loader_conf conf = { .source = scenes(),
                                   .detection = true,
                                   .batch_size = 3,
                                   .threads = 2,
                                   .prefetch = 1,
                                   .det = &det };
    struct ot_loader *l;
    struct ot_batch *b;
    size_t area;

    (void)state;
    det.short_side = &side;
    det.n_short_side = 1;
    det.size_multiple = 16;
    det.max_boxes = 5;
    l = open_loader(&conf);
    b = next(l); /* 30x40, 35x35, 40x40 become 60x80, 60x60, 60x60 */
    assert_int_equal(b->channels, 3);
    assert_int_equal(b->height, 80);
    assert_int_equal(b->width, 64);
    area = (size_t)(b->height * b->width);
    for (int i = 0; i < 3; i++) {
        const float *info = b->im_info + 3 * i, *last = b->data + ((size_t)(3 * i) + 2) * area;

        assert_int_equal((int)info[0], i == 0 ? 80 : 60);
        assert_int_equal((int)info[1], 60);
        assert_near(info[2], 60.0 / (30 + 5 * i), 1e-6);
        assert_int_equal(b->sample[i].n_boxes, i);
        assert_near(last[60], 0, 0); /* right of the image */
        assert_true(i == 0 || last[60 * 64] == 0.0f);
        assert_near(b->gt[(size_t)(i * 5 + i) * 6 + 4], -1, 0);
    }
    assert_near(b->gt[5 * 6], 7 * 60.0 / 35, 1e-4); /* 0.2 of 35 */
    assert_near(b->gt[5 * 6 + 2], 20 * 60.0 / 35, 1e-4);
    assert_near(b->gt[5 * 6 + 4], 2, 0);
    ot_loader_close(l);
}

static void detection_batches_do_not_depend_on_threads(void **state)
{
    Caffe__DetectionDataParameter det = CAFFE__DETECTION_DATA_PARAMETER__INIT;
    uint32_t side[2] = { 32, 48 };
    struct ot_loader_conf conf = { .source = scenes(),
                                   .detection = true,
                                   .train = true,
                                   .shuffle = true,
                                   .seed = 5,
                                   .batch_size = 2,
                                   .threads = 1,
                                   .prefetch = 1,
                                   .det = &det };

    (void)state;
    det.short_side = side;
    det.n_short_side = 2;
    compare_threads(conf);
    det.max_boxes = 2;
    {
        struct ot_loader *l = open_loader(&conf);
        struct ot_err err = OT_ERR_INIT;
        struct ot_batch *b;
        uint32_t three = 3;

        assert_int_equal(ot_loader_fetch(l, &three, 1, 0, &b, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "key '00003': max_boxes is 2, got 3");
        ot_loader_close(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_batches_are_caffes),
        cmocka_unit_test(the_stream_wraps_at_the_last_record),
        cmocka_unit_test(four_threads_make_the_batches_of_one),
        cmocka_unit_test(a_shuffled_epoch_has_every_record_once),
        cmocka_unit_test(seeking_resumes_the_same_stream),
        cmocka_unit_test(seeking_often_loses_no_slot),
        cmocka_unit_test(fetching_leaves_the_stream_alone),
        cmocka_unit_test(holding_every_batch_is_an_error_and_not_a_wait),
        cmocka_unit_test(a_steady_loop_allocates_nothing),
        cmocka_unit_test(a_damaged_record_is_named_in_its_turn),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(detection_batches_are_padded_to_the_largest_image),
        cmocka_unit_test(detection_batches_do_not_depend_on_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
