/*
 * test_image_list.c - ImageData: what a list's lines mean, in which order its files come, at what
 * size and in which colours, and a net that is fed by them.
 */
#include "base/mem.h"
#include "data/image.h"
#include "data/list.h"
#include "data/loader.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"

enum { N = 7, H = 4, W = 6 };

/* File i of the list: grey value (i + 1) * 10 + x + 7 y in blue, more in green and red. */
static void draw(struct ot_image *im, int i)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_image_alloc(im, W, H, 3, &err), &err);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                im->pixel[(y * W + x) * 3 + c] = (unsigned char)((i + 1) * 10 + x + 7 * y + 40 * c);
}

/* N images "im age<i>.png" of label i - 2, and their list; paths are relative to the folder. */
static const char *list_of_images(void)
{
    struct ot_image im = { 0 };
    struct ot_err err = OT_ERR_INIT;
    char text[1000] = "", name[40];

    for (int i = 0; i < N; i++) {
        (void)snprintf(name, sizeof name, "im age%d.png", i);
        draw(&im, i);
        assert_ok(ot_image_write_png(&im, ot_tiny_path(name), &err), &err);
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s %d\n", name, i - 2);
    }
    ot_image_release(&im);
    return ot_tiny_file("list.txt", text);
}

static struct ot_loader *open_list(const char *list, Caffe__ImageDataParameter *p,
                                   struct ot_loader_conf conf)
{
    static char root[1200];
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l;

    (void)snprintf(root, sizeof root, "%s", ot_tiny_path(""));
    p->root_folder = root;
    conf.source = list;
    conf.images = p;
    conf.prefetch = 2;
    conf.threads = conf.threads ? conf.threads : 1;
    l = ot_loader_open(&conf, &err);
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

/* ---- the list ------------------------------------------------------------------------------ */

static void a_line_is_split_at_its_last_blank(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_keys keys;
    int32_t *label;
    char buf[64];

    (void)state;
    assert_ok(ot_list_read(ot_tiny_file("l.txt", "a.jpg 3\n\n b c/d e.png \t-1 \r\n/x 0"), &keys,
                           &label, &err),
              &err);
    assert_int_equal(keys.n, 3);
    assert_string_equal(ot_keys_print(&keys, 0, buf, sizeof buf), "a.jpg");
    assert_string_equal(ot_keys_print(&keys, 1, buf, sizeof buf), " b c/d e.png");
    assert_string_equal(ot_keys_print(&keys, 2, buf, sizeof buf), "/x");
    assert_int_equal(label[0], 3);
    assert_int_equal(label[1], -1);
    assert_int_equal(label[2], 0);
    ot_keys_release(&keys);
    ot_free(label);
}

static void a_bad_line_is_named_with_its_number(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "a.jpg 3\nb.jpg\n",
          "bad.txt:2: wanted \"path label\", the label an integer, got \"b.jpg\"" },
        { "a.jpg cat\n",
          "bad.txt:1: wanted \"path label\", the label an integer, got \"a.jpg cat\"" },
        { "a.jpg 99999999999\n", "the label an integer, got \"a.jpg 99999999999\"" },
        { "\n 5\n", "bad.txt:2: wanted \"path label\", got no path before \"5\"" },
        { "\n\n", "bad.txt': must have 1 to 2^32 - 1 records, got 0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_keys keys;
        int32_t *label;

        assert_int_not_equal(
            ot_list_read(ot_tiny_file("bad.txt", cases[i].text), &keys, &label, &err), 0);
        assert_error(&err, OT_EDATA, cases[i].part);
    }
}

/* ---- the stream ---------------------------------------------------------------------------- */

static void files_come_in_the_lists_order_in_blue_green_red(void **state)
{
    Caffe__ImageDataParameter p = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    struct ot_loader *l = open_list(list_of_images(), &p,
                                    (struct ot_loader_conf){ .batch_size = 9 });
    struct ot_batch *b = next(l);
    char key[64];

    (void)state;
    assert_int_equal(ot_loader_count(l), N);
    assert_string_equal(ot_loader_key(l, 2, key, sizeof key), "im age2.png");
    assert_int_equal(b->channels, 3);
    assert_int_equal(b->height, H);
    assert_int_equal(b->width, W);
    for (int i = 0; i < 9; i++) {
        assert_near(b->label[i], i % N - 2, 0);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    assert_near(b->data[((i * 3 + c) * H + y) * W + x],
                                (i % N + 1) * 10 + x + 7 * y + 40 * c, 0);
    }
    ot_loader_done(l, b);
    ot_loader_close(l);
}

static void grey_and_new_size_are_the_images_own(void **state)
{
    Caffe__ImageDataParameter p = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    Caffe__TransformationParameter t = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    struct ot_image file = { 0 }, want = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_loader *l;
    struct ot_batch *b;

    (void)state;
    p.is_color = false;
    p.new_height = 9;
    p.new_width = 5;
    t.scale = 0.5f;
    l = open_list(list_of_images(), &p,
                  (struct ot_loader_conf){ .batch_size = 2, .transform = &t });
    b = next(l);
    assert_ok(ot_image_read(&file, ot_tiny_path("im age1.png"), 1, &err), &err);
    assert_ok(ot_image_resize(&file, 5, 9, &want, &err), &err);
    assert_int_equal(b->channels, 1);
    assert_int_equal(b->height, 9);
    assert_int_equal(b->width, 5);
    for (int i = 0; i < 45; i++)
        assert_near(b->data[45 + i], want.pixel[i] * 0.5f, 0);
    ot_image_release(&file);
    ot_image_release(&want);
    ot_loader_done(l, b);
    ot_loader_close(l);
}

/* Labels of the first `n` samples. */
static void labels(struct ot_loader_conf conf, int batches, float *out)
{
    Caffe__ImageDataParameter p = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    struct ot_loader *l = open_list(list_of_images(), &p, conf);

    for (int k = 0; k < batches; k++) {
        struct ot_batch *b = next(l);

        memcpy(out + k * b->n, b->label, (size_t)b->n * sizeof *out);
        ot_loader_done(l, b);
    }
    ot_loader_close(l);
}

static void every_epoch_is_shuffled_anew_by_seed_alone(void **state)
{
    float a[4 * N], b[4 * N], c[4 * N];
    unsigned seen = 0;

    (void)state;
    labels((struct ot_loader_conf){ .batch_size = N, .shuffle = true, .seed = 3 }, 4, a);
    labels((struct ot_loader_conf){ .batch_size = 4, .shuffle = true, .seed = 3, .threads = 3 }, N,
           b);
    labels((struct ot_loader_conf){ .batch_size = N, .shuffle = true, .seed = 4 }, 4, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    assert_memory_not_equal(a, a + N, N * sizeof *a);
    for (int i = 0; i < N; i++)
        seen |= 1u << (int)(a[i] + 2);
    assert_int_equal(seen, (1u << N) - 1);
}

static void rand_skip_begins_somewhere_in_the_list(void **state)
{
    float a[N], first[20];
    bool moved = false;

    (void)state;
    for (int seed = 0; seed < 20; seed++) {
        labels((struct ot_loader_conf){ .batch_size = N, .rand_skip = 4, .seed = (uint64_t)seed },
               1, a);
        first[seed] = a[0];
        assert_true(a[0] >= -2 && a[0] < 2);
        assert_near(a[1], (int)(a[0] + 3) % N - 2, 0);
        moved = moved || a[0] != first[0];
    }
    assert_true(moved);
}

static void a_file_that_is_missing_is_named_with_its_list(void **state)
{
    Caffe__ImageDataParameter p = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    struct ot_loader *l = open_list(ot_tiny_file("gone.txt", "no such.png 1\n"), &p,
                                    (struct ot_loader_conf){ .batch_size = 1 });
    struct ot_err err = OT_ERR_INIT;
    struct ot_batch *b;

    (void)state;
    assert_int_not_equal(ot_loader_next(l, &b, &err), 0);
    assert_error(&err, OT_ENOINPUT, "gone.txt: key 'no such.png': ");
    assert_error(&err, OT_ENOINPUT, ot_tiny_path("no such.png"));
    ot_loader_close(l);
}

/* ---- a net --------------------------------------------------------------------------------- */

static const char *conf_with(const char *fields)
{
    char text[4000];

    (void)snprintf(
        text, sizeof text,
        "base_lr: 0.1 lr_policy: 'fixed' max_iter: 1 net_param {\n"
        "layer { name: 'data' type: 'ImageData' top: 'data' top: 'label'\n"
        "image_data_param { source: '%s' root_folder: '%s' batch_size: 3\n%s } }\n"
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' "
        "inner_product_param { num_output: 2 } }"
        "layer { name: 'loss' type: 'Reduction' bottom: 'ip' top: 'loss' loss_weight: 1 } }",
        list_of_images(), ot_tiny_path(""), fields);
    return ot_tiny_file("images.conf", text);
}

static void a_net_is_fed_by_a_list(void **state)
{
    struct ot_run r;
    struct ot_shape want = ot_shape4(3, 3, 8, 10);

    (void)state;
    ot_run_open(&r, conf_with("new_height: 8 new_width: 10"), NULL, 0, false,
                (struct ot_net_conf){ 0 });
    (void)ot_run_pass(&r, 0, NULL);
    (void)ot_run_pass(&r, 1, NULL);
    assert_true(ot_shape_eq(&ot_net_blob(r.net, "data")->data.shape, &want));
    assert_near(ot_feeds_batch(r.feeds)->label[0], 1, 0); /* sample 3 */
    ot_run_close(&r);
}

static void bad_fields_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *fields, *part;
    } cases[] = {
        { "new_height: 8",
          "images.conf:4:1: layer 'data': new_height and new_width: give both or neither, got 8 "
          "and 0" },
        { "crop_size: 4",
          "image_data_param.crop_size is not supported; write it in transform_param" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_config *c = ot_config_load(conf_with(cases[i].fields), NULL, 0, true, &err);
        struct ot_feeds *f;
        struct ot_net_conf conf = { .dev = ot_kit_dev() };

        assert_ok(c ? 0 : err.code, &err);
        f = ot_feeds_new(c, &c->train, &err);
        conf.param = c->train.param;
        conf.doc = c->train.doc;
        conf.door = ot_feeds_door(f);
        assert_null(ot_net_new(&conf, &err));
        assert_error(&err, OT_ECONFIG, cases[i].part);
        ot_feeds_free(f);
        ot_config_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_split_at_its_last_blank),
        cmocka_unit_test(a_bad_line_is_named_with_its_number),
        cmocka_unit_test(files_come_in_the_lists_order_in_blue_green_red),
        cmocka_unit_test(grey_and_new_size_are_the_images_own),
        cmocka_unit_test(every_epoch_is_shuffled_anew_by_seed_alone),
        cmocka_unit_test(rand_skip_begins_somewhere_in_the_list),
        cmocka_unit_test(a_file_that_is_missing_is_named_with_its_list),
        cmocka_unit_test(a_net_is_fed_by_a_list),
        cmocka_unit_test(bad_fields_are_refused_with_place_and_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
