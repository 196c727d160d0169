/*
 * golden.h - what Caffe really computes, read from ../shared/golden.
 *
 * Format: NAME.bin raw little-endian float32; shapes.txt `NAME ROLE NDIM D0 ..`; precision.txt
 * `NAME max|value| max|float32 Caffe - float64 Caffe|` (golden/README.md).
 *
 * Tolerance of one blob: max(OT_GOLDEN_TIMES x Caffe's own recorded error,
 * OT_GOLDEN_EPS x max|value|).  Caffe's error is that of another order of the same float32 sums, so
 * a small multiple of it is what a correct implementation needs; the floor, 1e-6 of the largest
 * value, is 8 units in the last place, for blobs where Caffe happened to round luckily.
 *
 * Errors: OT_ENOINPUT, OT_EDATA with the path.
 */
#ifndef OT_TESTS_GOLDEN_H
#define OT_TESTS_GOLDEN_H

#include "layers/device.h"
#include "layers/tensor.h"

#define OT_GOLDEN_TIMES 4.0
#define OT_GOLDEN_EPS   1e-6

enum { OT_GOLDEN_BLOBS = 96 };

struct ot_golden_blob {
    char name[64];
    bool given; /* ROLE in; otherwise expected */
    struct ot_shape shape;
    size_t n;
    float *v;                /* float32, or the bytes of int32 for :i32 */
    double max, caffe_error; /* from precision.txt; 0 when it has no line */
};

struct ot_golden {
    char dir[512];
    int n;
    struct ot_golden_blob blob[OT_GOLDEN_BLOBS];
};

/* Reads shapes.txt, precision.txt (when there) and all blobs of one folder. */
int ot_golden_open(struct ot_golden *g, const char *dir, struct ot_err *err);
void ot_golden_close(struct ot_golden *g);
const struct ot_golden_blob *ot_golden_find(const struct ot_golden *g, const char *name);

/* Largest |got - want| over the tolerance of the header comment: <= 1 is agreement; infinite for
 * NaN or another count. */
double ot_golden_error(const struct ot_golden_blob *want, const float *got, size_t n);

struct ot_golden_result {
    double share;     /* largest error over its tolerance: <= 1 is agreement */
    char at[64];      /* the blob of it */
    char cleared[64]; /* a bottom's gradient that the recorder had zeroed: not compared; or "" */
};

/* One layer case: a folder with net.prototxt and case.txt.  Prints each blob that is off. */
int ot_golden_case(struct ot_dev *dev, const char *dir, struct ot_golden_result *r,
                   struct ot_err *err);

#endif
