/*
 * data_mean.c - `ohemdata mean`: the mean image and the mean of each channel.
 *
 * Sums are double, in CHW order as the BlobProto that Caffe's mean_file wants.  Images of
 * different sizes have no mean image, but channel means all the same.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/data_walk.h"

struct mean {
    bool want_image; /* sizes must agree */
    int channels, height, width;
    bool same_size;
    size_t records;
    double *sum; /* CHW; only while sizes agree */
    size_t n;
    double channel_sum[3], pixels;
    struct ot_image image;
    struct ot_str value; /* doubles of the record at work */
};

/* The record's values as CHW doubles. */
static int read_values(struct mean *m, const Caffe__Datum *d, int shape[3], const double **out,
                       struct ot_err *err)
{
    const struct ot_image *im = &m->image;
    size_t n, hw;
    double *v;

    shape[0] = d->channels;
    shape[1] = d->height;
    shape[2] = d->width;
    if (d->encoded || !d->n_float_data) {
        if (ot_data_decode(d, &m->image, err) < 0)
            return err->code;
        shape[0] = im->channels;
        shape[1] = im->height;
        shape[2] = im->width;
    }
    if (shape[0] < 1 || shape[0] > 3 || shape[1] < 1 || shape[2] < 1)
        return ot_fail(err, OT_EDATA,
                       "shape must be 1 to 3 channels of positive size, got %dx%dx%d", shape[0],
                       shape[1], shape[2]);
    hw = (size_t)shape[1] * (size_t)shape[2];
    n = hw * (size_t)shape[0];
    if (ot_grow(&m->value.buf, &m->value.cap, n * sizeof *v, 1, err) < 0)
        return err->code;
    v = (double *)(void *)m->value.buf;
    if (!d->encoded && d->n_float_data) {
        if (d->n_float_data != n)
            return ot_fail(err, OT_EDATA, "shape %dx%dx%d wants %zu values, got %zu", shape[0],
                           shape[1], shape[2], n, d->n_float_data);
        for (size_t i = 0; i < n; i++)
            v[i] = (double)d->float_data[i];
    } else {
        for (size_t c = 0; c < (size_t)shape[0]; c++)
            for (size_t i = 0; i < hw; i++)
                v[c * hw + i] = im->pixel[i * (size_t)shape[0] + c];
    }
    *out = v;
    return 0;
}

static int take_shape(struct mean *m, const int shape[3], struct ot_err *err)
{
    if (!m->records) {
        m->channels = shape[0];
        m->height = shape[1];
        m->width = shape[2];
        m->same_size = true;
        m->n = (size_t)shape[0] * (size_t)shape[1] * (size_t)shape[2];
        m->sum = ot_alloc(m->n, sizeof *m->sum, err);
        return m->sum ? 0 : (int)err->code;
    }
    if (shape[0] != m->channels)
        return ot_fail(err, OT_EDATA, "the first record has %d channels, got %d", m->channels,
                       shape[0]);
    if (shape[1] != m->height || shape[2] != m->width) {
        if (m->want_image)
            return ot_fail(err, OT_EDATA,
                           "a mean image wants one size: the first is %dx%d (HxW), got %dx%d",
                           m->height, m->width, shape[1], shape[2]);
        m->same_size = false;
    }
    return 0;
}

static int add(struct mean *m, const Caffe__Datum *d, struct ot_err *err)
{
    const double *v = NULL;
    int shape[3] = { 0 };
    size_t hw;

    if (read_values(m, d, shape, &v, err) < 0 || take_shape(m, shape, err) < 0)
        return err->code;
    hw = (size_t)shape[1] * (size_t)shape[2];
    for (int c = 0; c < m->channels; c++)
        for (size_t i = 0; i < hw; i++)
            m->channel_sum[c] += v[(size_t)c * hw + i];
    for (size_t i = 0; m->same_size && i < m->n; i++)
        m->sum[i] += v[i];
    m->pixels += (double)hw;
    m->records++;
    return 0;
}

static int visit(void *user, struct ot_bytes key, struct ot_bytes value, struct ot_err *err)
{
    struct ot_data_record r;
    char name[600];
    int rc = ot_data_parse(value, &r, err);

    if (rc == 0) {
        rc = add(user, r.datum, err);
        ot_data_record_release(&r);
    }
    return rc == 0 ? 0 : ot_err_wrap(err, "key '%s'", ot_data_key(key, name, sizeof name));
}

static int write_blob(const struct mean *m, const char *path, struct ot_err *err)
{
    Caffe__BlobProto b;
    struct ot_str buf = { 0 };
    float *data = ot_alloc(m->n, sizeof *data, err);
    int rc = data ? 0 : (int)err->code;

    caffe__blob_proto__init(&b);
    b.has_num = b.has_channels = b.has_height = b.has_width = 1;
    b.num = 1;
    b.channels = m->channels;
    b.height = m->height;
    b.width = m->width;
    b.n_data = m->n;
    b.data = data;
    for (size_t i = 0; rc == 0 && i < m->n; i++)
        data[i] = (float)(m->sum[i] / (double)m->records);
    if (rc == 0)
        rc = ot_grow(&buf.buf, &buf.cap, caffe__blob_proto__get_packed_size(&b) + 1, 1, err);
    if (rc == 0) {
        buf.len = caffe__blob_proto__pack(&b, (uint8_t *)buf.buf);
        rc = ot_write_file_atomic(path, buf.buf, buf.len, err);
    }
    ot_str_release(&buf);
    ot_free(data);
    return rc;
}

int ot_data_mean(int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt none[] = { { NULL, OT_OPT_FLAG, NULL } };
    struct mean m = { 0 };
    const char *pos[2];
    int n = ot_data_options(none, argc, argv, pos, 1, 2, err), rc;

    if (n < 0)
        return err->code;
    m.want_image = n == 2;
    rc = ot_data_walk(pos[0], visit, &m, err);
    if (rc < 0)
        (void)ot_err_wrap(err, "'%s'", pos[0]);
    else if (!m.records)
        rc = ot_fail(err, OT_EDATA, "'%s': no record to take a mean of, got 0", pos[0]);
    if (rc == 0 && n == 2)
        rc = write_blob(&m, pos[1], err);
    if (rc == 0) {
        ot_out("# %zu records, channels in stored order (BGR)\n", m.records);
        for (int c = 0; c < m.channels; c++)
            ot_out("mean_value: %.6g\n", m.channel_sum[c] / m.pixels);
    }
    ot_free(m.sum);
    ot_image_release(&m.image);
    ot_str_release(&m.value);
    return rc;
}
