/* test_transform.c - records, Caffe's transform, Faster R-CNN's scaling; pure functions. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "data/transform.h"
#include "tests/check.h"

static void varint(struct ot_str *s, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        ot_str_add(s, &(char){ (char)(v | 0x80) }, 1);
    ot_str_add(s, &(char){ (char)v }, 1);
}

static void number(struct ot_str *s, unsigned field, int v)
{
    varint(s, field << 3);
    varint(s, (uint64_t)(int64_t)v);
}

static void text(struct ot_str *s, unsigned field, const void *p, size_t n)
{
    varint(s, field << 3 | 2);
    varint(s, n);
    ot_str_add(s, p, n);
}

static void real(struct ot_str *s, unsigned field, float v)
{
    varint(s, field << 3 | 5);
    ot_str_add(s, (const char *)&v, sizeof v);
}

static void shape(struct ot_str *s, int c, int h, int w)
{
    ot_str_clear(s);
    number(s, 1, c);
    number(s, 2, h);
    number(s, 3, w);
}

static int parse(const struct ot_str *s, bool annotated, struct ot_record *r, struct ot_err *err)
{
    *err = (struct ot_err)OT_ERR_INIT;
    return ot_record_parse((struct ot_bytes){ s->buf, s->len }, annotated, r, err);
}

static void add_box(struct ot_str *group, const float v[4], bool difficult)
{
    struct ot_str box = { 0 }, ann = { 0 };

    for (unsigned i = 0; i < 4; i++)
        real(&box, i + 1, v[i]);
    number(&box, 6, difficult);
    number(&ann, 1, 7);
    text(&ann, 2, box.buf, box.len);
    text(group, 2, ann.buf, ann.len);
    ot_str_release(&box);
    ot_str_release(&ann);
}

/* A 2-box AnnotatedDatum; the label follows its boxes. */
static void annotated(struct ot_str *s, int label)
{
    struct ot_str datum = { 0 }, group = { 0 };

    shape(&datum, 1, 2, 4);
    text(&datum, 4, "abcdefgh", 8);
    add_box(&group, (const float[]){ 0.25f, 0.0f, 0.75f, 1.0f }, false);
    add_box(&group, (const float[]){ 0.0f, 0.5f, 0.5f, 1.0f }, true);
    number(&group, 1, label);
    ot_str_clear(s);
    text(s, 1, datum.buf, datum.len);
    number(s, 2, 0);
    text(s, 3, group.buf, group.len);
    ot_str_release(&datum);
    ot_str_release(&group);
}

static void a_datum_is_read_in_place(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_record r = { 0 };
    struct ot_str s = { 0 };
    float v[2] = { 0 };

    (void)state;
    shape(&s, 1, 2, 2);
    text(&s, 4, "wxyz", 4);
    number(&s, 5, -3);
    text(&s, 99, "unknown", 7);
    assert_ok(parse(&s, false, &r, &err), &err);
    assert_int_equal(r.label, -3);
    assert_memory_equal(r.data.data, "wxyz", 4);
    assert_true((const char *)r.data.data > s.buf && (const char *)r.data.data < s.buf + s.len);
    shape(&s, 1, 1, 2);
    real(&s, 6, 1.5f);
    real(&s, 6, -2.0f);
    assert_ok(parse(&s, false, &r, &err), &err);
    ot_record_floats(&r, v);
    assert_near(v[1], -2.0, 0);
    annotated(&s, 5);
    assert_ok(parse(&s, true, &r, &err), &err);
    assert_int_equal(r.n_boxes, 2);
    assert_int_equal(r.box[1].label, 5);
    assert_int_equal(r.box[0].instance, 7);
    assert_near(r.box[0].xmax, 0.75, 0);
    assert_true(r.box[1].difficult && !r.box[0].difficult);
    ot_str_release(&s);
    ot_record_release(&r);
}

static void hostile_records_are_errors(void **state)
{
    static const int bad[][3] = { { -1, 2, 2 }, { 1, 0, 4 }, { 1, 2, 3 }, { 65536, 65536, 65536 } };
    struct ot_err err = OT_ERR_INIT;
    struct ot_record r = { 0 };
    struct ot_str s = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        shape(&s, bad[i][0], bad[i][1], bad[i][2]);
        text(&s, 4, "wxyz", 4);
        assert_int_equal(parse(&s, false, &r, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "got ");
    }
    annotated(&s, 1);
    assert_int_equal(parse(&s, false, &r, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "no Datum: field 1 has wire type 2");
    for (size_t n = 0; n < s.len; n++) { /* every prefix, at the end of its own block */
        char *cut = malloc(n + 1);

        memcpy(cut, s.buf, n);
        (void)ot_record_parse((struct ot_bytes){ cut, n }, true, &r, &err);
        free(cut);
    }
    for (size_t i = 0; i < 8 * s.len; i++) { /* every bit turned */
        s.buf[i / 8] = (char)(s.buf[i / 8] ^ (1 << i % 8));
        (void)parse(&s, true, &r, &err);
        s.buf[i / 8] = (char)(s.buf[i / 8] ^ (1 << i % 8));
    }
    shape(&s, 1, 2, 2);
    number(&s, 7, 1);
    assert_int_equal(parse(&s, false, &r, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "encoded, but data has 0 bytes");
    ot_str_release(&s);
    ot_record_release(&r);
}

/* 2 x 5 x 6 ramp: value = 100 c + 10 y + x */
static void ramp(struct ot_record *r, unsigned char v[60])
{
    for (int i = 0; i < 60; i++)
        v[i] = (unsigned char)(i / 30 * 100 + i % 30 / 6 * 10 + i % 6);
    *r = (struct ot_record){ .channels = 2, .height = 5, .width = 6, .data = { v, 60 } };
}

static void crops_and_mirrors_take_the_right_pixels(void **state)
{
    Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    struct ot_err err = OT_ERR_INIT;
    struct ot_scratch s = { 0 };
    struct ot_transform t;
    struct ot_pixels px;
    struct ot_record r;
    unsigned char v[60];
    float out[60], mean[2] = { 1, 2 };
    int seen[2][3][4] = { { { 0 } } }, h, w;

    (void)state;
    ramp(&r, v);
    p.crop_size = 3;
    p.mirror = 1;
    p.scale = 0.5f;
    p.mean_value = mean;
    p.n_mean_value = 2;
    for (int train = 0; train < 2; train++) {
        assert_ok(ot_transform_open(&t, &p, NULL, false, train, 11, "", &err), &err);
        assert_ok(ot_pixels_load(&t, &r, false, &s, &px, &err), &err);
        assert_ok(ot_transform_shape(&t, &px, &h, &w, &err), &err);
        assert_int_equal(h * 10 + w, 33);
        for (uint64_t pos = 0; pos < 400; pos++) {
            bool flip = ot_transform_image(&t, &px, pos, out);
            int first = (int)(2 * out[0] + 1), y0 = first / 10, x0 = first % 10 - (flip ? 2 : 0);

            assert_in_range(x0, 0, 3);
            assert_in_range(y0, 0, 2);
            seen[flip][y0][x0]++;
            for (int i = 0; i < 18; i++) {
                int x = i % 3, y = i / 3 % 3, c = i / 9;
                int pixel = 100 * c + 10 * (y0 + y) + x0 + (flip ? 2 - x : x);

                assert_near(out[i], ((float)pixel - mean[c]) * 0.5f, 0);
            }
        }
        ot_transform_close(&t);
        if (!train) /* the centre, mirrored or not, in TEST too */
            assert_true(seen[0][1][1] > 150 && seen[1][1][1] > 150 &&
                        seen[0][1][1] + seen[1][1][1] == 400);
    }
    for (int i = 0; i < 24; i++) /* TRAIN: every offset occurs */
        assert_true((&seen[0][0][0])[i] > 0);
    ot_scratch_release(&s);
}

static void wrong_parameters_are_named(void **state)
{
    Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    struct ot_err err = OT_ERR_INIT;
    struct ot_scratch s = { 0 };
    struct ot_transform t;
    struct ot_pixels px;
    struct ot_record r;
    unsigned char v[60];
    float mean[3] = { 0 };
    int h, w;

    (void)state;
    ramp(&r, v);
    p.crop_size = 6;
    assert_ok(ot_transform_open(&t, &p, NULL, false, true, 1, "", &err), &err);
    assert_ok(ot_pixels_load(&t, &r, false, &s, &px, &err), &err);
    assert_int_equal(ot_transform_shape(&t, &px, &h, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "crop_size 6 is larger than the image, got 6x5");
    p.crop_size = 0;
    p.mean_value = mean;
    p.n_mean_value = 3;
    assert_int_equal(ot_transform_shape(&t, &px, &h, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "once a channel (2), got 3");
    p.force_color = p.force_gray = 1;
    assert_int_equal(ot_transform_open(&t, &p, NULL, false, true, 1, "", &err), OT_ECONFIG);
    p.force_gray = 0;
    p.mirror = 1;
    assert_int_equal(ot_transform_open(&t, &p, NULL, true, true, 1, "", &err), OT_ECONFIG);
    assert_error(&err, OT_ECONFIG, "mirror 1");
    ot_scratch_release(&s);
}

static void boxes_follow_the_image(void **state)
{
    Caffe__DetectionDataParameter det = CAFFE__DETECTION_DATA_PARAMETER__INIT;
    struct ot_err err = OT_ERR_INIT;
    struct ot_transform t;
    struct ot_record r = { 0 };
    struct ot_str s = { 0 };
    struct ot_view view;
    float gt[4 * 6];
    unsigned char difficult[4];
    uint32_t side = 6;
    int flips = 0;

    (void)state;
    det.short_side = &side;
    det.n_short_side = 1;
    det.max_boxes = 4;
    annotated(&s, 5); /* 4 x 2 pixels: first box columns 1..2, second 0..1 of row 1, difficult */
    assert_ok(parse(&s, true, &r, &err), &err);
    assert_ok(ot_transform_open(&t, NULL, &det, true, true, 3, "", &err), &err);
    for (uint64_t pos = 0; pos < 64; pos++) {
        ot_view_of(&t, 4, 2, pos, &view);
        assert_int_equal(view.width * 100 + view.height, 1206);
        flips += view.flip;
        assert_int_equal(ot_transform_boxes(&t, &r, 4, 2, &view, gt, difficult, &err), 1);
        assert_near(gt[0], 3, 0); /* columns 1..2 of 4 mirror onto themselves */
        assert_near(gt[1], 0, 0);
        assert_near(gt[2], 6, 0);
        assert_near(gt[3], 3, 0);
        assert_near(gt[4], 5, 0);
        assert_near(gt[10], -1, 0);
    }
    assert_in_range(flips, 16, 48);
    t.det = &det;
    det.use_difficult = 1;
    view.flip = true;
    assert_int_equal(ot_transform_boxes(&t, &r, 4, 2, &view, gt, difficult, &err), 2);
    assert_near(gt[6], 2 * 3, 0); /* columns 0..1 become 2..3 */
    assert_near(gt[8], 3 * 3, 0);
    assert_int_equal(difficult[1], 1);
    det.max_boxes = 1;
    assert_int_equal(ot_transform_boxes(&t, &r, 4, 2, &view, gt, difficult, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "max_boxes is 1, got 2");
    det.max_boxes = 4;
    r.box[0].xmax = r.box[0].xmin - 0.1f;
    assert_int_equal(ot_transform_boxes(&t, &r, 4, 2, &view, gt, difficult, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "box 0");
    ot_view_of(&t, 500, 375, 0, &view);
    det.max_side = 10;
    side = 600;
    ot_view_of(&t, 40, 20, 0, &view); /* the long side decides: 0.25 */
    assert_near(view.scale, 0.25, 0);
    assert_int_equal(view.width * 100 + view.height, 1005);
    ot_record_release(&r);
    ot_str_release(&s);
}

static void scaling_is_bilinear_flipped_and_padded(void **state)
{
    static const unsigned char v[8] = { 0, 40, 80, 120, 100, 140, 180, 220 };
    Caffe__TransformationParameter p = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    struct ot_record r = { .channels = 1, .height = 2, .width = 4, .data = { v, 8 } };
    struct ot_view view = { .scale = 2, .exact_scale = 2, .height = 4, .width = 8 };
    static const double row[8] = { 0, 10, 30, 50, 70, 90, 110, 120 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_scratch s = { 0 };
    struct ot_transform t;
    struct ot_pixels px;
    float out[3 * 5 * 9], mean[3] = { 1, 2, 3 };

    (void)state;
    p.mean_value = mean;
    p.n_mean_value = 3;
    assert_ok(ot_transform_open(&t, &p, NULL, true, true, 3, "", &err), &err);
    assert_ok(ot_pixels_load(&t, &r, true, &s, &px, &err), &err);
    for (int flip = 0; flip < 2; flip++) {
        view.flip = flip;
        memset(out, 0x7f, sizeof out);
        assert_ok(ot_transform_scaled(&t, &px, &view, &s, 5, 9, out, &err), &err);
        for (int i = 0; i < 3 * 5 * 9; i++) {
            int x = i % 9, y = i / 9 % 5, c = i / 45;
            static const double down[4] = { 0, 25, 75, 100 };
            double want = x == 8 || y == 4 ? 0 : row[flip ? 7 - x : x] + down[y] - (double)mean[c];

            assert_near(out[i], want, 1e-4);
        }
    }
    ot_scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datum_is_read_in_place),
        cmocka_unit_test(hostile_records_are_errors),
        cmocka_unit_test(crops_and_mirrors_take_the_right_pixels),
        cmocka_unit_test(wrong_parameters_are_named),
        cmocka_unit_test(boxes_follow_the_image),
        cmocka_unit_test(scaling_is_bilinear_flipped_and_padded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
