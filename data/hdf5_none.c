/* hdf5_none.c - data/hdf5.h in a build without libhdf5: every function says so. */
#include "data/hdf5.h"

int ot_h5_available(struct ot_err *err)
{
    return ot_fail(err, OT_ENOTSUP, "built without HDF5; install libhdf5-dev and rebuild");
}

struct ot_h5 *ot_h5_create(struct ot_err *err)
{
    (void)ot_h5_available(err);
    return NULL;
}

struct ot_h5 *ot_h5_open(const char *path, struct ot_err *err)
{
    (void)ot_h5_available(err);
    (void)ot_err_wrap(err, "%s", path);
    return NULL;
}

void ot_h5_close(struct ot_h5 *f)
{
    (void)f;
}

int ot_h5_add_group(struct ot_h5 *f, const char *at, struct ot_err *err)
{
    (void)f;
    (void)at;
    return ot_h5_available(err);
}

int ot_h5_add_floats(struct ot_h5 *f, const char *at, const struct ot_wire_shape *shape,
                     const float *v, struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)shape;
    (void)v;
    return ot_h5_available(err);
}

int ot_h5_add_int(struct ot_h5 *f, const char *at, int32_t v, struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)v;
    return ot_h5_available(err);
}

int ot_h5_add_string(struct ot_h5 *f, const char *at, const char *s, struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)s;
    return ot_h5_available(err);
}

int ot_h5_save(struct ot_h5 *f, const char *path, struct ot_err *err)
{
    (void)f;
    (void)path;
    return ot_h5_available(err);
}

bool ot_h5_has(const struct ot_h5 *f, const char *at)
{
    (void)f;
    (void)at;
    return false;
}

int ot_h5_links(const struct ot_h5 *f, const char *group, int *n, struct ot_err *err)
{
    (void)f;
    (void)group;
    *n = 0;
    return ot_h5_available(err);
}

char *ot_h5_link(const struct ot_h5 *f, const char *group, int i, struct ot_arena *a,
                 struct ot_err *err)
{
    (void)f;
    (void)group;
    (void)i;
    (void)a;
    (void)ot_h5_available(err);
    return NULL;
}

int ot_h5_shape(const struct ot_h5 *f, const char *at, struct ot_wire_shape *shape,
                struct ot_err *err)
{
    (void)f;
    (void)at;
    *shape = (struct ot_wire_shape){ 0 };
    return ot_h5_available(err);
}

int ot_h5_read_floats(const struct ot_h5 *f, const char *at, size_t n, float *v, struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)n;
    (void)v;
    return ot_h5_available(err);
}

int ot_h5_read_int(const struct ot_h5 *f, const char *at, int32_t *v, struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)v;
    return ot_h5_available(err);
}

char *ot_h5_read_string(const struct ot_h5 *f, const char *at, struct ot_arena *a,
                        struct ot_err *err)
{
    (void)f;
    (void)at;
    (void)a;
    (void)ot_h5_available(err);
    return NULL;
}
