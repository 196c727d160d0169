/*
 * data_idx.h - the IDX files of MNIST and Fashion-MNIST, plain or gzip.
 *
 * Format: four bytes 0, 0, 8 (unsigned byte), number of dimensions; each dimension as a
 * big-endian 32-bit number; then the bytes, last dimension fastest (Y. LeCun, C. Cortes,
 * C. Burges, "The MNIST database of handwritten digits").
 *
 * Ownership: the caller releases.  Errors: OT_ENOINPUT, OT_EDATA naming the file.
 */
#ifndef OT_TOOLS_DATA_IDX_H
#define OT_TOOLS_DATA_IDX_H

#include "base/err.h"

struct ot_idx {
    int count, height, width; /* height = width = 1 for labels */
    unsigned char *byte;      /* owned: count x height x width */
};

/* dims: 3 for images, 1 for labels; anything else in the file is an error. */
int ot_idx_read(const char *path, int dims, struct ot_idx *idx, struct ot_err *err);
void ot_idx_release(struct ot_idx *idx);

/* Both files, with counts that agree and at least one image. */
int ot_idx_read_pair(const char *images, const char *labels, struct ot_idx *im, struct ot_idx *lab,
                     struct ot_err *err);

#endif
