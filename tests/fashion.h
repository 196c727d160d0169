/*
 * fashion.h - Fashion-MNIST of the Debian package dataset-fashion-mnist as an LMDB, in the order of
 * its files, as the golden trajectories were trained.
 *
 * Errors: OT_ENOINPUT where the package is not installed; those of data/db.h.
 */
#ifndef OT_TESTS_FASHION_H
#define OT_TESTS_FASHION_H

#include "base/err.h"

/* prefix: "train" (60000 images) or "t10k" (10000).  Made in `dir` when it is not there yet; its
 * path goes into path. */
int ot_fashion_lmdb(const char *dir, const char *prefix, char *path, size_t n, struct ot_err *err);

#endif
