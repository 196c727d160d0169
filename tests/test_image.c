/* test_image.c - pictures: decoders, resizing, drawing. */
#include "base/fs.h"
#include "base/mem.h"
#include "data/image.h"
#include "tests/check.h"

static void noise(struct ot_image *im, int w, int h, int c)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_image_alloc(im, w, h, c, &err), &err);
    for (int i = 0; i < w * h * c; i++)
        im->pixel[i] = (unsigned char)((i * 37 + i / 7 * 11) & 255);
}

static void png_gives_back_the_pixels(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 }, back = { 0 };

    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        unsigned char *bytes;
        size_t n;

        noise(&im, 13, 7, c);
        assert_ok(ot_image_encode_png(&im, &bytes, &n, &err), &err);
        assert_ok(ot_image_decode(&back, (struct ot_bytes){ bytes, n }, 0, &err), &err);
        assert_int_equal(back.width, 13);
        assert_int_equal(back.height, 7);
        assert_int_equal(back.channels, c);
        assert_memory_equal(back.pixel, im.pixel, (size_t)(13 * 7 * c));
        for (size_t cut = 0; cut < n - 12; cut += 5) { /* the last 12 bytes are IEND */
            err = (struct ot_err)OT_ERR_INIT;
            assert_int_equal(ot_image_decode(&back, (struct ot_bytes){ bytes, cut }, 0, &err),
                             OT_EDATA);
        }
        ot_free(bytes);
    }
    ot_image_release(&im);
    ot_image_release(&back);
}

static void channels_can_be_forced(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 }, back = { 0 };
    unsigned char *bytes;
    size_t n;

    (void)state;
    assert_ok(ot_image_alloc(&im, 4, 4, 3, &err), &err);
    for (int i = 0; i < 16; i++) {
        im.pixel[3 * i] = 0;
        im.pixel[3 * i + 1] = 0;
        im.pixel[3 * i + 2] = 255; /* red, in BGR */
    }
    assert_ok(ot_image_encode_png(&im, &bytes, &n, &err), &err);
    assert_ok(ot_image_decode(&back, (struct ot_bytes){ bytes, n }, 1, &err), &err);
    assert_int_equal(back.channels, 1);
    assert_near(back.pixel[5], 76, 1);
    ot_free(bytes);
    assert_ok(ot_image_encode_jpeg(&im, 95, &bytes, &n, &err), &err);
    assert_ok(ot_image_decode(&back, (struct ot_bytes){ bytes, n }, 3, &err), &err);
    assert_near(back.pixel[0], 0, 4);
    assert_near(back.pixel[2], 255, 4);
    assert_ok(ot_image_decode(&back, (struct ot_bytes){ bytes, n }, 1, &err), &err);
    assert_near(back.pixel[5], 76, 3);
    ot_free(bytes);
    ot_image_release(&im);
    ot_image_release(&back);
}

static void a_truncated_jpeg_is_an_error(void **state)
{
    const char *path = ot_shared("data/bccd/JPEGImages/BloodImage_00000.jpg");
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 };
    size_t n;
    char *bytes;

    (void)state;
    if (!path)
        skip_because("no ../shared/data/bccd");
    bytes = ot_read_file(path, 1 << 24, &n, &err);
    assert_non_null(bytes);
    assert_ok(ot_image_decode(&im, (struct ot_bytes){ bytes, n }, 0, &err), &err);
    assert_int_equal(im.width, 640);
    assert_int_equal(im.height, 480);
    assert_int_equal(im.channels, 3);
    assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ bytes, n / 2 }, 0, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "remature end");
    assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ bytes, n - 2 }, 0, &err), OT_EDATA);
    assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ bytes, 20 }, 0, &err), OT_EDATA);
    assert_ok(ot_image_decode(&im, (struct ot_bytes){ bytes, n }, 0, &err), &err);
    ot_free(bytes);
    ot_image_release(&im);
}

static void what_is_no_picture_is_named(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 };

    (void)state;
    assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ "GIF89a", 6 }, 0, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "begin 47 49 46 38");
    assert_int_equal(ot_image_decode(&im, (struct ot_bytes){ "", 0 }, 0, &err), OT_EDATA);
    assert_int_equal(ot_image_alloc(&im, 0, 5, 3, &err), OT_EDATA);
    assert_int_equal(ot_image_alloc(&im, 32768, 32768, 3, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "got 32768x32768");
    assert_int_equal(ot_image_alloc(&im, 5, 5, 4, &err), OT_EDATA);
    assert_int_equal(ot_image_read(&im, "no/such/file.png", 0, &err), OT_ENOINPUT);
    ot_image_release(&im);
}

/* The same sum in doubles; fixed point may differ by one step. */
static double exact(const struct ot_image *im, int w, int h, int x, int y, int c)
{
    double fx = (x + 0.5) * im->width / w - 0.5, fy = (y + 0.5) * im->height / h - 0.5, v = 0;
    int at[2][2];
    double k[2][2];

    fx = fx < 0 ? 0 : fx > im->width - 1 ? im->width - 1 : fx;
    fy = fy < 0 ? 0 : fy > im->height - 1 ? im->height - 1 : fy;
    at[0][0] = (int)fx;
    at[0][1] = at[0][0] + 1 < im->width ? at[0][0] + 1 : at[0][0];
    at[1][0] = (int)fy;
    at[1][1] = at[1][0] + 1 < im->height ? at[1][0] + 1 : at[1][0];
    k[0][1] = fx - (int)fx;
    k[0][0] = 1 - k[0][1];
    k[1][1] = fy - (int)fy;
    k[1][0] = 1 - k[1][1];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            v += k[1][i] * k[0][j] *
                 im->pixel[(at[1][i] * im->width + at[0][j]) * im->channels + c];
    return v;
}

static void resizing_is_bilinear_with_centred_pixels(void **state)
{
    static const int size[][2] = { { 13, 7 }, { 26, 14 }, { 5, 3 }, { 1, 1 }, { 20, 4 } };
    struct ot_err err = OT_ERR_INIT;
    struct ot_image im = { 0 }, out = { 0 };

    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        noise(&im, 13, 7, c);
        for (size_t s = 0; s < sizeof size / sizeof *size; s++) {
            int w = size[s][0], h = size[s][1];

            assert_ok(ot_image_resize(&im, w, h, &out, &err), &err);
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++)
                    for (int k = 0; k < c; k++)
                        assert_near(out.pixel[(y * w + x) * c + k], exact(&im, w, h, x, y, k), 1.0);
        }
        assert_ok(ot_image_resize(&im, 13, 7, &out, &err), &err);
        assert_memory_equal(out.pixel, im.pixel, (size_t)(13 * 7 * c));
    }
    ot_image_release(&im);
    ot_image_release(&out);
}

static int count(const struct ot_image *im, int x1, int y1, int x2, int y2, unsigned char v)
{
    int n = 0;

    for (int y = y1; y <= y2; y++)
        for (int x = x1; x <= x2; x++)
            n += im->pixel[(y * im->width + x) * im->channels] == v;
    return n;
}

static void drawing_is_clipped_to_the_image(void **state)
{
    static const unsigned char ink[3] = { 200, 200, 200 }, paper[3] = { 100, 100, 100 };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        struct ot_image im = { 0 };

        assert_ok(ot_image_alloc(&im, 40, 30, c, &err), &err);
        ot_image_box(&im, 5, 6, 14, 13, 1, ink);
        assert_int_equal(count(&im, 0, 0, 39, 29, 200), 2 * 10 + 2 * 6);
        ot_image_box(&im, -100, -100, 2000000000, 2000000000, 3, ink); /* outside: no pixel */
        assert_int_equal(count(&im, 0, 0, 39, 29, 200), 2 * 10 + 2 * 6);
        ot_image_box(&im, 9, 9, 8, 8, 1, ink);
        assert_int_equal(count(&im, 0, 0, 39, 29, 200), 2 * 10 + 2 * 6);
        memset(im.pixel, 0, (size_t)(40 * 30 * c));
        assert_int_equal(ot_image_text(&im, 2, 2, "L1", ink, paper), 12);
        assert_int_equal(count(&im, 0, 0, 39, 29, 100) + count(&im, 0, 0, 39, 29, 200), 120);
        assert_int_equal(count(&im, 2, 2, 7, 11, 200), 11); /* an L: 7 down, 4 more right */
        (void)ot_image_text(&im, -5, -5, "corner \xff", ink, paper);
        (void)ot_image_text(&im, 37, 28, "corner", ink, paper);
        ot_image_release(&im);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_gives_back_the_pixels),
        cmocka_unit_test(channels_can_be_forced),
        cmocka_unit_test(a_truncated_jpeg_is_an_error),
        cmocka_unit_test(what_is_no_picture_is_named),
        cmocka_unit_test(resizing_is_bilinear_with_centred_pixels),
        cmocka_unit_test(drawing_is_clipped_to_the_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
