/*
 * fuzz_datum.c - records: parsed as both kinds, decoded, cropped and mirrored as Caffe does, and
 * scaled as Faster R-CNN does.
 */
#include <string.h>

#include "base/mem.h"
#include "data/transform.h"
#include "tests/fuzz/fuzz.h"

enum { CROP = 5, SIDE = 16, BOXES = 8 };

static void as_caffe(const struct ot_record *r, const Caffe__TransformationParameter *p,
                     struct ot_scratch *s)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_transform t;
    struct ot_pixels px;
    int h, w;

    OT_BUG_IF(ot_transform_open(&t, p, NULL, false, true, 1, NULL, &err) < 0);
    if (ot_pixels_load(&t, r, false, s, &px, &err) == 0 &&
        ot_transform_shape(&t, &px, &h, &w, &err) == 0) {
        size_t n = (size_t)px.channels * (size_t)h * (size_t)w;
        float *out = n <= 1 << 20 ? ot_alloc(n, sizeof *out, &err) : NULL;

        if (out)
            (void)ot_transform_image(&t, &px, 7, out);
        ot_free(out);
    }
    ot_transform_close(&t);
}

static void as_detection(const struct ot_record *r, struct ot_scratch *s)
{
    Caffe__DetectionDataParameter det = CAFFE__DETECTION_DATA_PARAMETER__INIT;
    uint32_t side = SIDE;
    float gt[BOXES * 6], *out;
    unsigned char difficult[BOXES];
    struct ot_err err = OT_ERR_INIT;
    struct ot_transform t;
    struct ot_pixels px;
    struct ot_view view;

    det.n_short_side = 1;
    det.short_side = &side;
    det.has_max_side = det.has_max_boxes = 1;
    det.max_side = 2 * SIDE;
    det.max_boxes = BOXES;
    OT_BUG_IF(ot_transform_open(&t, NULL, &det, true, true, 1, NULL, &err) < 0);
    if (ot_pixels_load(&t, r, true, s, &px, &err) == 0) {
        ot_view_of(&t, px.width, px.height, 7, &view);
        out = ot_alloc(3 * (size_t)view.height * (size_t)view.width, sizeof *out, &err);
        OT_BUG_IF(!out);
        (void)ot_transform_scaled(&t, &px, &view, s, view.height, view.width, out, &err);
        (void)ot_transform_boxes(&t, r, px.width, px.height, &view, gt, difficult, &err);
        ot_free(out);
    }
    ot_transform_close(&t);
}

int ot_fuzz_datum(const uint8_t *bytes, size_t n)
{
    Caffe__TransformationParameter plain = CAFFE__TRANSFORMATION_PARAMETER__INIT, crop = plain;
    const struct ot_bytes b = { bytes, n };
    struct ot_scratch s = { 0 };
    struct ot_record r = { 0 };

    crop.has_crop_size = crop.has_mirror = crop.mirror = 1;
    crop.crop_size = CROP;
    for (int annotated = 0; annotated < 2; annotated++) {
        struct ot_err err = OT_ERR_INIT;

        if (ot_record_parse(b, annotated, &r, &err) < 0) {
            OT_BUG_IF(err.code == OT_OK);
            continue;
        }
        OT_BUG_IF(!r.encoded && r.data.n + r.n_floats == 0);
        as_caffe(&r, &plain, &s);
        as_caffe(&r, &crop, &s);
        as_detection(&r, &s);
    }
    ot_record_release(&r);
    ot_scratch_release(&s);
    return 0;
}
