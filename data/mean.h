/*
 * mean.h - a mean image: a BlobProto file as compute_image_mean writes it (.binaryproto).
 *
 * Ownership: ot_mean_read() fills *m with owned memory; ot_mean_release() frees it.
 * Threads: read-only after reading.  Errors: OT_ENOINPUT, OT_EDATA with the path.
 */
#ifndef OT_DATA_MEAN_H
#define OT_DATA_MEAN_H

#include "base/err.h"

struct ot_mean {
    int channels, height, width;
    float *v; /* NULL: no mean image */
};

int ot_mean_read(const char *path, struct ot_mean *m, struct ot_err *err);
void ot_mean_release(struct ot_mean *m);

#endif
