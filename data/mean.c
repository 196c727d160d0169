/* mean.c - both forms of a BlobProto's shape are read: the legacy four numbers, and BlobShape. */
#include "data/mean.h"

#include <stdint.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "proto/caffe.pb-c.h"

enum { LIMIT = 1 << 28, MOST = 1 << 20 };

/* dim = {n, c, h, w}, missing leading ones are 1 */
static void shape_of(const Caffe__BlobProto *b, int64_t dim[4])
{
    if (b->shape) {
        size_t n = b->shape->n_dim < 4 ? b->shape->n_dim : 4;

        for (size_t i = 0; i < 4; i++)
            dim[i] = i < 4 - n ? 1 : b->shape->dim[i - (4 - n)];
    } else {
        dim[0] = b->num;
        dim[1] = b->channels;
        dim[2] = b->height;
        dim[3] = b->width;
    }
}

static int fill(const Caffe__BlobProto *b, struct ot_mean *m, struct ot_err *err)
{
    size_t have = b->n_data ? b->n_data : b->n_double_data;
    int64_t dim[4];
    bool sane = !b->shape || b->shape->n_dim <= 4;

    shape_of(b, dim);
    for (int i = 0; i < 4; i++)
        sane = sane && dim[i] >= 1 && dim[i] <= MOST;
    if (!sane || dim[0] != 1 || (uint64_t)(dim[1] * dim[2] * dim[3]) != have)
        return ot_fail(err, OT_EDATA,
                       "mean: must be one image of C x H x W values, got shape %lldx%lldx%lldx%lld "
                       "with %zu values",
                       (long long)dim[0], (long long)dim[1], (long long)dim[2], (long long)dim[3],
                       have);
    m->v = ot_alloc(have, sizeof *m->v, err);
    if (!m->v)
        return err->code;
    for (size_t i = 0; i < have; i++)
        m->v[i] = b->n_data ? b->data[i] : (float)b->double_data[i];
    m->channels = (int)dim[1];
    m->height = (int)dim[2];
    m->width = (int)dim[3];
    return 0;
}

int ot_mean_read(const char *path, struct ot_mean *m, struct ot_err *err)
{
    size_t n;
    char *bytes = ot_read_file(path, LIMIT, &n, err);
    Caffe__BlobProto *b;
    int rc;

    *m = (struct ot_mean){ 0 };
    if (!bytes)
        return ot_err_wrap(err, "mean_file");
    b = caffe__blob_proto__unpack(NULL, n, (const uint8_t *)bytes);
    ot_free(bytes);
    if (!b)
        return ot_fail(err, OT_EDATA, "mean_file '%s': not a BlobProto, got %zu bytes", path, n);
    rc = fill(b, m, err);
    caffe__blob_proto__free_unpacked(b, NULL);
    return rc < 0 ? ot_err_wrap(err, "mean_file '%s'", path) : 0;
}

void ot_mean_release(struct ot_mean *m)
{
    ot_free(m->v);
    *m = (struct ot_mean){ 0 };
}
