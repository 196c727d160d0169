/*
 * transform.h - from a record to floats: Caffe's DataTransformer, and Faster R-CNN's scaling.
 *
 * Pure functions of (parameters, record, position): the random draws of a sample are
 * (seed, OT_RNG_AUGMENT, position, k) with k = 0 mirror, 1 and 2 the crop's row and column,
 * 3 the choice among short sides.
 *
 * Caffe:  out = (pixel - mean) * scale; a mean file is indexed at the uncropped source pixel; the
 *         crop is random in TRAIN and central in TEST; mirror is a coin flip in both phases.
 *         (BVLC/caffe src/caffe/data_transformer.cpp; reference/caffe_family.md section 2.)
 * Faster R-CNN: scale = short_side / short, unless round(scale * long) > max_side, then
 *         max_side / long; sampling as cv2.resize(fx = fy = scale, INTER_LINEAR) on floats; boxes
 *         are multiplied by the scale (py-faster-rcnn lib/utils/blob.py, lib/roi_data_layer).
 *
 * Boxes in records are fractions of half-open extents: x1 = xmin * W, x2 = xmax * W - 1 in
 * inclusive pixel corners, so that 0 and 1 are the whole image.
 *
 * Ownership: a pixels value borrows from the record or from the scratch it was loaded into.
 *            ot_scratch_release() frees scratch, which begins as { 0 } and is reused.
 * Threads: a transform is read-only; scratch belongs to one thread at a time.
 * Errors: OT_EDATA about the record, OT_ECONFIG about the parameters.
 */
#ifndef OT_DATA_TRANSFORM_H
#define OT_DATA_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "data/datum.h"
#include "data/image.h"
#include "data/mean.h"
#include "proto/caffe.pb-c.h"

struct ot_transform {
    const Caffe__TransformationParameter *p;  /* borrowed, never NULL */
    const Caffe__DetectionDataParameter *det; /* borrowed, never NULL */
    struct ot_mean mean;
    bool train;
    uint64_t seed;
};

/* Stored pixels, wherever and however they lie: u8 or f, value (c, y, x) at c*cs + y*ys + x*xs. */
struct ot_pixels {
    const unsigned char *u8;
    const float *f;
    int channels, height, width;
    ptrdiff_t cs, ys, xs;
};

struct ot_scratch {
    struct ot_image image, resized; /* what was decoded; a list's image at its new size */
    float *row;                     /* floats of a record; rows and taps of a resize */
    size_t cap_row;
    int *tap;
    size_t cap_tap;
};

/* How a detection image enters the blob. */
struct ot_view {
    bool flip;
    float scale;
    double exact_scale;
    int height, width; /* after resizing */
};

/* p, det: NULL for defaults.  Reads the mean file, relative to base_dir. */
int ot_transform_open(struct ot_transform *t, const Caffe__TransformationParameter *p,
                      const Caffe__DetectionDataParameter *det, bool detection, bool train,
                      uint64_t seed, const char *base_dir, struct ot_err *err);
void ot_transform_close(struct ot_transform *t);
void ot_scratch_release(struct ot_scratch *s);

/* Decodes; channels as stored unless forced.  `detection`: always three. */
int ot_pixels_load(const struct ot_transform *t, const struct ot_record *r, bool detection,
                   struct ot_scratch *s, struct ot_pixels *px, struct ot_err *err);

/* Of an image, which must stay as long. */
void ot_pixels_of_image(const struct ot_image *im, struct ot_pixels *px);

/* Caffe: checks the source against crop and mean and gives the output's height and width. */
int ot_transform_shape(const struct ot_transform *t, const struct ot_pixels *px, int *height,
                       int *width, struct ot_err *err);
/* out: channels x height x width of ot_transform_shape(); returns whether it was mirrored. */
bool ot_transform_image(const struct ot_transform *t, const struct ot_pixels *px, uint64_t position,
                        float *out);

/* Faster R-CNN. */
void ot_view_of(const struct ot_transform *t, int width, int height, uint64_t position,
                struct ot_view *view);
/* Writes the resized image into the top left corner of a (3, height, width) blob and zeroes the
 * rest. */
int ot_transform_scaled(const struct ot_transform *t, const struct ot_pixels *px,
                        const struct ot_view *view, struct ot_scratch *s, int height, int width,
                        float *out, struct ot_err *err);
/* gt: max_boxes x 6, difficult: max_boxes; returns the number of used rows or an error. */
int ot_transform_boxes(const struct ot_transform *t, const struct ot_record *r, int width,
                       int height, const struct ot_view *view, float *gt, unsigned char *difficult,
                       struct ot_err *err);

#endif
