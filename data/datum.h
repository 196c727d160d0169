/*
 * datum.h - one LMDB value, Datum or AnnotatedDatum, understood in place.
 *
 * ot_record_parse() walks the protobuf wire format itself (proto/caffe.proto has the numbers):
 * pixels stay where they are, in the database's map, and nothing is allocated but the boxes,
 * whose array is kept from record to record.  After it succeeded: a record that is not encoded
 * has channels x height x width values, in `data` or, when that is empty, as n_floats floats.
 *
 * Ownership: the record borrows the bytes it was parsed from and owns its boxes;
 *            ot_record_release() frees those.  A record begins as { 0 }.
 * Threads: a record belongs to one thread at a time.
 * Errors: OT_EDATA for anything that a correct writer would not have written.
 *
 * Example:
 *     if (ot_record_parse(value, false, &r, err) < 0)
 *         return ot_err_wrap(err, "key '%s'", key);
 */
#ifndef OT_DATA_DATUM_H
#define OT_DATA_DATUM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "data/db.h"

struct ot_record_box {
    int label, instance;
    float xmin, ymin, xmax, ymax; /* fractions of the image */
    bool difficult;
};

struct ot_record {
    int channels, height, width, label;
    bool encoded;
    struct ot_bytes data;
    size_t n_floats;
    struct ot_bytes datum; /* the Datum message, for ot_record_floats() */
    struct ot_record_box *box;
    size_t n_boxes, cap_boxes;
};

int ot_record_parse(struct ot_bytes bytes, bool annotated, struct ot_record *r, struct ot_err *err);
/* Copies float_data, n_floats values. */
void ot_record_floats(const struct ot_record *r, float *out);
void ot_record_release(struct ot_record *r);

#endif
