/*
 * data_record.c - an LMDB value as the record it is.
 *
 * Datum and AnnotatedDatum share no tag that could say which is which, but their field 1 has
 * another wire type (a number, a message), so the first byte decides.
 */
#include <ctype.h>
#include <stdio.h>

#include "tools/data_cmd.h"

enum { TAG_ANNOTATED = 0x0A }; /* field 1, length-delimited */

int ot_data_parse(struct ot_bytes value, struct ot_data_record *r, struct ot_err *err)
{
    const uint8_t *p = value.data;

    *r = (struct ot_data_record){ 0 };
    if (value.n && p[0] == TAG_ANNOTATED) {
        r->ann = caffe__annotated_datum__unpack(NULL, value.n, p);
        r->datum = r->ann ? r->ann->datum : NULL;
    } else {
        r->own = caffe__datum__unpack(NULL, value.n, p);
        r->datum = r->own;
    }
    if (!r->datum) {
        ot_data_record_release(r);
        return ot_fail(err, OT_EDATA, "not a Datum or AnnotatedDatum, got %zu bytes", value.n);
    }
    return 0;
}

void ot_data_record_release(struct ot_data_record *r)
{
    if (r->ann)
        caffe__annotated_datum__free_unpacked(r->ann, NULL);
    if (r->own)
        caffe__datum__free_unpacked(r->own, NULL);
    *r = (struct ot_data_record){ 0 };
}

static int raw_to_image(const Caffe__Datum *d, struct ot_image *im, struct ot_err *err)
{
    size_t hw;

    if (d->channels != 1 && d->channels != 3)
        return ot_fail(err, OT_ENOTSUP, "an image has 1 or 3 channels, got %d", d->channels);
    if (ot_image_alloc(im, d->width, d->height, d->channels, err) < 0)
        return err->code;
    hw = (size_t)d->width * (size_t)d->height;
    if (d->data.len != hw * (size_t)d->channels)
        return ot_fail(err, OT_EDATA, "shape %dx%dx%d wants %zu bytes, got %zu", d->channels,
                       d->height, d->width, hw * (size_t)d->channels, d->data.len);
    for (size_t k = 0; k < (size_t)d->channels; k++)
        for (size_t i = 0; i < hw; i++)
            im->pixel[i * (size_t)d->channels + k] = d->data.data[k * hw + i];
    return 0;
}

int ot_data_decode(const Caffe__Datum *d, struct ot_image *im, struct ot_err *err)
{
    if (d->encoded)
        return ot_image_decode(im, (struct ot_bytes){ d->data.data, d->data.len }, 0, err);
    if (d->n_float_data)
        return ot_fail(err, OT_ENOTSUP, "a float record is not an image, got %zu values",
                       d->n_float_data);
    return raw_to_image(d, im, err);
}

char *ot_data_key(struct ot_bytes key, char *buf, size_t n)
{
    const unsigned char *p = key.data;
    size_t at = 0;

    for (size_t i = 0; i < key.n && at + 5 < n; i++)
        at += (size_t)snprintf(buf + at, n - at, isprint(p[i]) ? "%c" : "\\x%02x", p[i]);
    buf[at] = '\0';
    return buf;
}
