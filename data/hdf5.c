/*
 * hdf5.c - data/hdf5.h by libhdf5.
 *
 * A file being written lives in libhdf5's "core" driver without a backing store, so that the disk
 * sees only ot_write_file_atomic().  Of a file being read, whatever decides how much libhdf5
 * allocates (rank, chunks, the width of a value, the length of a name or string) is looked at
 * first.  libhdf5 prints its errors itself unless told not to.
 */
#include "data/hdf5.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

enum { MAX_TEXT = 4096, MAX_WIDTH = 16, CHUNK_FLOOR = 1 << 20, GROW = 1 << 20 };

struct ot_h5 {
    hid_t id;
};

/* ---- errors ---------------------------------------------------------------------------------- */

/* Called from the innermost call outwards: the first one knows why. */
static herr_t first_reason(unsigned n, const H5E_error2_t *e, void *buf)
{
    if (n == 0)
        (void)snprintf(buf, 200, "%s", e->desc ? e->desc : "");
    return 0;
}

static const char *reason(char buf[200])
{
    (void)snprintf(buf, 200, "unknown reason");
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, buf);
    return buf;
}

static int cannot(const char *do_what, const char *at, struct ot_err *err)
{
    char why[200];

    return ot_fail(err, OT_EDATA, "cannot %s '%s': %s", do_what, at, reason(why));
}

int ot_h5_available(struct ot_err *err)
{
    (void)err;
    return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct ot_h5 *file(struct ot_err *err)
{
    struct ot_h5 *f = ot_alloc(1, sizeof *f, err);

    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (f)
        f->id = -1;
    return f;
}

struct ot_h5 *ot_h5_create(struct ot_err *err)
{
    struct ot_h5 *f = file(err);
    hid_t how;

    if (!f)
        return NULL;
    how = H5Pcreate(H5P_FILE_ACCESS);
    if (how >= 0 && H5Pset_fapl_core(how, GROW, 0) >= 0)
        f->id = H5Fcreate("in memory", H5F_ACC_TRUNC, H5P_DEFAULT, how);
    if (f->id < 0) {
        (void)cannot("create", "an HDF5 file in memory", err);
        ot_h5_close(f);
        f = NULL;
    }
    (void)H5Pclose(how);
    return f;
}

struct ot_h5 *ot_h5_open(const char *path, struct ot_err *err)
{
    FILE *there = fopen(path, "rb");
    struct ot_h5 *f;
    char why[200];

    if (!there) {
        (void)ot_fail_sys(err, OT_OK, errno, "cannot open '%s'", path);
        return NULL;
    }
    (void)fclose(there);
    if (ot_is_dir(path)) {
        (void)ot_fail(err, OT_ENOINPUT, "'%s' is a directory, not a file", path);
        return NULL;
    }
    f = file(err);
    if (!f)
        return NULL;
    f->id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f->id >= 0)
        return f;
    (void)ot_fail(err, OT_EDATA, "%s: cannot be read as HDF5: %s", path, reason(why));
    ot_h5_close(f);
    return NULL;
}

void ot_h5_close(struct ot_h5 *f)
{
    if (f && f->id >= 0)
        (void)H5Fclose(f->id);
    ot_free(f);
}

int ot_h5_save(struct ot_h5 *f, const char *path, struct ot_err *err)
{
    ssize_t n = H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(f->id, NULL, 0);
    char *image;
    int rc;

    if (n < 0)
        return cannot("write", path, err);
    image = ot_alloc((size_t)n, 1, err);
    if (!image)
        return err->code;
    if (H5Fget_file_image(f->id, image, (size_t)n) != n)
        rc = cannot("write", path, err);
    else
        rc = ot_write_file_atomic(path, image, (size_t)n, err);
    ot_free(image);
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

int ot_h5_add_group(struct ot_h5 *f, const char *at, struct ot_err *err)
{
    hid_t g = H5Gcreate2(f->id, at, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

    if (g < 0)
        return cannot("add group", at, err);
    (void)H5Gclose(g);
    return 0;
}

/* Takes `space`. */
static int add(struct ot_h5 *f, const char *at, hid_t type, hid_t space, const void *v,
               struct ot_err *err)
{
    hid_t set = space < 0
                    ? -1
                    : H5Dcreate2(f->id, at, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;

    if (set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) < 0)
        rc = cannot("add dataset", at, err);
    (void)H5Dclose(set);
    (void)H5Sclose(space);
    return rc;
}

int ot_h5_add_floats(struct ot_h5 *f, const char *at, const struct ot_wire_shape *shape,
                     const float *v, struct ot_err *err)
{
    hsize_t dim[OT_WIRE_DIMS];

    for (int i = 0; i < shape->nd; i++)
        dim[i] = (hsize_t)shape->dim[i];
    return add(f, at, H5T_NATIVE_FLOAT, H5Screate_simple(shape->nd, dim, NULL), v, err);
}

int ot_h5_add_int(struct ot_h5 *f, const char *at, int32_t v, struct ot_err *err)
{
    const hsize_t one = 1;

    return add(f, at, H5T_NATIVE_INT32, H5Screate_simple(1, &one, NULL), &v, err);
}

int ot_h5_add_string(struct ot_h5 *f, const char *at, const char *s, struct ot_err *err)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    int rc;

    if (type < 0 || H5Tset_size(type, strlen(s) + 1) < 0)
        rc = cannot("add string", at, err);
    else
        rc = add(f, at, type, H5Screate(H5S_SCALAR), s, err);
    (void)H5Tclose(type);
    return rc;
}

/* ---- groups ---------------------------------------------------------------------------------- */

bool ot_h5_has(const struct ot_h5 *f, const char *at)
{
    return H5Lexists(f->id, at, H5P_DEFAULT) > 0;
}

int ot_h5_links(const struct ot_h5 *f, const char *group, int *n, struct ot_err *err)
{
    H5G_info_t info;

    if (H5Gget_info_by_name(f->id, group, &info, H5P_DEFAULT) < 0)
        return cannot("read group", group, err);
    if (info.nlinks > OT_WIRE_LAYERS)
        return ot_fail(err, OT_EDATA, "group '%s': at most %d objects are read, got %llu", group,
                       OT_WIRE_LAYERS, (unsigned long long)info.nlinks);
    *n = (int)info.nlinks;
    return 0;
}

char *ot_h5_link(const struct ot_h5 *f, const char *group, int i, struct ot_arena *a,
                 struct ot_err *err)
{
    char name[MAX_TEXT];
    ssize_t n = H5Lget_name_by_idx(f->id, group, H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, name,
                                   sizeof name, H5P_DEFAULT);

    if (n < 0 || (size_t)n >= sizeof name) {
        (void)ot_fail(err, OT_EDATA, "group '%s': object %d has no name that can be read", group,
                      i);
        return NULL;
    }
    return ot_arena_strdup(a, name, err);
}

/* ---- datasets -------------------------------------------------------------------------------- */

struct set { /* an open dataset; ids that are not open are negative */
    hid_t id, type, space;
    H5T_class_t class;
};

static void close_set(struct set *s)
{
    (void)H5Sclose(s->space);
    (void)H5Tclose(s->type);
    (void)H5Dclose(s->id);
}

static int open_set(const struct ot_h5 *f, const char *at, struct set *s, struct ot_err *err)
{
    *s = (struct set){ -1, -1, -1, H5T_NO_CLASS };
    s->id = H5Dopen2(f->id, at, H5P_DEFAULT);
    if (s->id >= 0) {
        s->type = H5Dget_type(s->id);
        s->space = H5Dget_space(s->id);
    }
    if (s->type >= 0 && s->space >= 0) {
        s->class = H5Tget_class(s->type);
        return 0;
    }
    (void)cannot("read dataset", at, err);
    close_set(s);
    return err->code;
}

/* A chunk is read whole, whatever its dataset's size. */
static int check_chunk(const struct set *s, hssize_t count, const char *at, struct ot_err *err)
{
    hid_t how = H5Dget_create_plist(s->id);
    double most = count > CHUNK_FLOOR ? (double)count : CHUNK_FLOOR, n = 1;
    hsize_t dim[H5S_MAX_RANK];
    int nd = how >= 0 && H5Pget_layout(how) == H5D_CHUNKED ? H5Pget_chunk(how, H5S_MAX_RANK, dim)
                                                           : 0;

    for (int i = 0; i < nd; i++)
        n *= (double)dim[i];
    (void)H5Pclose(how);
    if (how < 0 || n > most)
        return ot_fail(err, OT_EDATA, "dataset '%s': chunks of %g values for %lld", at, n,
                       (long long)count);
    return 0;
}

/* That these are numbers, `n` of them. */
static int check_numbers(const struct set *s, size_t n, const char *at, struct ot_err *err)
{
    hssize_t count = H5Sget_simple_extent_npoints(s->space);

    if ((s->class != H5T_FLOAT && s->class != H5T_INTEGER) || H5Tget_size(s->type) > MAX_WIDTH)
        return ot_fail(err, OT_EDATA, "dataset '%s': must be of numbers, got type class %d", at,
                       (int)s->class);
    if (count < 0 || (uint64_t)count != n)
        return ot_fail(err, OT_EDATA, "dataset '%s': must have %zu values, got %lld", at, n,
                       (long long)count);
    return check_chunk(s, count, at, err);
}

int ot_h5_shape(const struct ot_h5 *f, const char *at, struct ot_wire_shape *shape,
                struct ot_err *err)
{
    hsize_t dim[H5S_MAX_RANK] = { 0 };
    struct set s;
    int nd;

    if (open_set(f, at, &s, err) < 0)
        return err->code;
    nd = H5Sget_simple_extent_dims(s.space, dim, NULL);
    close_set(&s);
    if (nd < 0 || (s.class != H5T_FLOAT && s.class != H5T_INTEGER))
        return ot_fail(err, OT_EDATA, "dataset '%s': must be of numbers, got type class %d", at,
                       (int)s.class);
    shape->nd = nd; /* H5S_MAX_RANK is OT_WIRE_DIMS */
    for (int i = 0; i < nd; i++) {
        if (dim[i] > INT64_MAX)
            return ot_fail(err, OT_EDATA, "dataset '%s': axis %d has %llu values", at, i,
                           (unsigned long long)dim[i]);
        shape->dim[i] = (int64_t)dim[i];
    }
    return 0;
}

static int read_numbers(const struct ot_h5 *f, const char *at, hid_t type, size_t n, void *v,
                        struct ot_err *err)
{
    struct set s;
    int rc;

    if (open_set(f, at, &s, err) < 0)
        return err->code;
    rc = check_numbers(&s, n, at, err);
    if (rc == 0 && H5Dread(s.id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) < 0)
        rc = cannot("read dataset", at, err);
    close_set(&s);
    return rc;
}

_Static_assert(H5S_MAX_RANK <= OT_WIRE_DIMS, "a shape has room for every rank");

int ot_h5_read_floats(const struct ot_h5 *f, const char *at, size_t n, float *v, struct ot_err *err)
{
    return read_numbers(f, at, H5T_NATIVE_FLOAT, n, v, err);
}

int ot_h5_read_int(const struct ot_h5 *f, const char *at, int32_t *v, struct ot_err *err)
{
    return read_numbers(f, at, H5T_NATIVE_INT32, 1, v, err);
}

char *ot_h5_read_string(const struct ot_h5 *f, const char *at, struct ot_arena *a,
                        struct ot_err *err)
{
    char text[MAX_TEXT] = "";
    struct set s;
    int rc = 0;

    if (open_set(f, at, &s, err) < 0)
        return NULL;
    if (s.class != H5T_STRING || H5Tis_variable_str(s.type) != 0 ||
        H5Tget_size(s.type) >= sizeof text || H5Sget_simple_extent_npoints(s.space) != 1)
        rc = ot_fail(err, OT_EDATA,
                     "dataset '%s': must be one string of a fixed length below %d, got type class "
                     "%d of %zu bytes",
                     at, MAX_TEXT, (int)s.class, H5Tget_size(s.type));
    else if (check_chunk(&s, 1, at, err) < 0)
        rc = err->code;
    else if (H5Dread(s.id, s.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0)
        rc = cannot("read dataset", at, err);
    close_set(&s);
    return rc < 0 ? NULL : ot_arena_strdup(a, text, err);
}
