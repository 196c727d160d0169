/*
 * hdf5.h - the one door to HDF5 files: groups, arrays of floats, single ints and strings.
 *
 * Objects are named by their whole path in the file ("/data/conv1/0").  A file that is written is
 * built in memory and put on the disk whole or not at all; one that is read is not trusted: what a
 * dataset says of itself is checked before it is read, and the caller allocates by what it wants,
 * not by what the file says.  Numbers of any width are read (as libhdf5 converts them).
 *
 * data/hdf5.c is libhdf5; where that was missing when ohemtrain was built, data/hdf5_none.c is
 * here instead and every function that can fail does, with OT_ENOTSUP.
 *
 * Ownership: ot_h5_create and ot_h5_open return owned; ot_h5_close frees.
 * Threads: one at a time in the whole program: libhdf5 may have been built without threads.
 * Errors: without the file's path, with the object's and libhdf5's reason: OT_EDATA for what is
 *   read; ot_h5_open and ot_h5_save: those of base/fs.h, with the path.
 * Source: HDF5 Reference Manual 1.10.
 */
#ifndef OT_DATA_HDF5_H
#define OT_DATA_HDF5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/wire.h"

struct ot_h5;

/* 0, or OT_ENOTSUP in a build without libhdf5. */
int ot_h5_available(struct ot_err *err);

struct ot_h5 *ot_h5_create(struct ot_err *err);                 /* empty, in memory */
struct ot_h5 *ot_h5_open(const char *path, struct ot_err *err); /* to be read */
void ot_h5_close(struct ot_h5 *f);                              /* NULL is fine */

/* Objects are added in any order, but a group before what is in it. */
int ot_h5_add_group(struct ot_h5 *f, const char *at, struct ot_err *err);
int ot_h5_add_floats(struct ot_h5 *f, const char *at, const struct ot_wire_shape *shape,
                     const float *v, struct ot_err *err);
int ot_h5_add_int(struct ot_h5 *f, const char *at, int32_t v, struct ot_err *err); /* shape 1 */
int ot_h5_add_string(struct ot_h5 *f, const char *at, const char *s, struct ot_err *err);
int ot_h5_save(struct ot_h5 *f, const char *path, struct ot_err *err);

bool ot_h5_has(const struct ot_h5 *f, const char *at); /* whose parent must be there */
/* How many objects a group has, at most OT_WIRE_LAYERS; and the name of one, in `a`. */
int ot_h5_links(const struct ot_h5 *f, const char *group, int *n, struct ot_err *err);
char *ot_h5_link(const struct ot_h5 *f, const char *group, int i, struct ot_arena *a,
                 struct ot_err *err);
/* The shape of a dataset of numbers. */
int ot_h5_shape(const struct ot_h5 *f, const char *at, struct ot_wire_shape *shape,
                struct ot_err *err);
/* All of a dataset, which must have n values. */
int ot_h5_read_floats(const struct ot_h5 *f, const char *at, size_t n, float *v,
                      struct ot_err *err);
int ot_h5_read_int(const struct ot_h5 *f, const char *at, int32_t *v, struct ot_err *err);
char *ot_h5_read_string(const struct ot_h5 *f, const char *at, struct ot_arena *a,
                        struct ot_err *err);

#endif
