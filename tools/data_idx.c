/*
 * data_idx.c - `ohemdata idx`: IDX files to an LMDB of Datum.
 *
 * zlib's gz functions read plain files too, so both come in by one way.  The records are those
 * of Caffe's convert_mnist_data: 1 x H x W bytes, the label, and the ordinal in 8 digits as key.
 */
#include "tools/data_idx.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "tools/data_cmd.h"

enum { IDX_MAX_BYTES = 1 << 30 };

/* Exactly n bytes: a shorter file is an error. */
static int read_bytes(gzFile f, const char *path, void *out, size_t n, struct ot_err *err)
{
    size_t got = 0;

    while (got < n) {
        unsigned want = n - got > (1u << 20) ? 1u << 20 : (unsigned)(n - got);
        int r = gzread(f, (char *)out + got, want);

        if (r < 0) {
            int why = 0;
            const char *text = gzerror(f, &why);

            return ot_fail(err, OT_EDATA, "'%s': cannot be unpacked after %zu bytes: %s", path, got,
                           text);
        }
        if (r == 0)
            return ot_fail(err, OT_EDATA, "'%s': truncated: %zu more bytes wanted, got %zu", path,
                           n, got);
        got += (size_t)r;
    }
    return 0;
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_header(gzFile f, const char *path, int dims, struct ot_idx *idx, struct ot_err *err)
{
    unsigned char h[16];
    uint64_t total = 1;
    uint32_t d[3] = { 1, 1, 1 };

    if (read_bytes(f, path, h, 4, err) < 0)
        return err->code;
    if (h[0] || h[1] || h[2] != 8 || h[3] != dims)
        return ot_fail(err, OT_EDATA,
                       "'%s': not an IDX file of %s: first bytes must be 00 00 08 %02x, "
                       "got %02x %02x %02x %02x",
                       path, dims == 3 ? "images" : "labels", (unsigned)dims, h[0], h[1], h[2],
                       h[3]);
    if (read_bytes(f, path, h, 4 * (size_t)dims, err) < 0)
        return err->code;
    for (int i = 0; i < dims; i++) {
        d[i] = big_endian(h + 4 * i);
        if (d[i] == 0 || d[i] > IDX_MAX_BYTES || (total *= d[i]) > IDX_MAX_BYTES)
            return ot_fail(err, OT_EDATA, "'%s': dimension %d: 1 to %d bytes in all, got %u", path,
                           i, IDX_MAX_BYTES, d[i]);
    }
    idx->count = (int)d[0];
    idx->height = (int)d[1];
    idx->width = (int)d[2];
    return 0;
}

static int read_body(gzFile f, const char *path, struct ot_idx *idx, struct ot_err *err)
{
    size_t n = (size_t)idx->count * (size_t)idx->height * (size_t)idx->width;
    unsigned char more;
    int r, why = Z_OK;

    idx->byte = ot_alloc(n, 1, err);
    if (!idx->byte || read_bytes(f, path, idx->byte, n, err) < 0)
        return err->code;
    r = gzread(f, &more, 1); /* also makes zlib compare the checksum */
    if (r > 0)
        return ot_fail(err, OT_EDATA, "'%s': %d items end after %zu bytes, got more", path,
                       idx->count, n);
    (void)gzerror(f, &why);
    if (r < 0 || why != Z_OK)
        return ot_fail(err, OT_EDATA, "'%s': gzip stream has a bad or no end, got zlib error %d",
                       path, why);
    return 0;
}

int ot_idx_read(const char *path, int dims, struct ot_idx *idx, struct ot_err *err)
{
    gzFile f = gzopen(path, "rb");
    int rc;

    *idx = (struct ot_idx){ 0 };
    if (!f)
        return ot_fail_sys(err, OT_OK, errno, "cannot open '%s'", path);
    rc = read_header(f, path, dims, idx, err);
    if (rc == 0)
        rc = read_body(f, path, idx, err);
    (void)gzclose(f);
    if (rc < 0)
        ot_idx_release(idx);
    return rc;
}

void ot_idx_release(struct ot_idx *idx)
{
    ot_free(idx->byte);
    *idx = (struct ot_idx){ 0 };
}

int ot_idx_read_pair(const char *images, const char *labels, struct ot_idx *im, struct ot_idx *lab,
                     struct ot_err *err)
{
    *lab = (struct ot_idx){ 0 };
    if (ot_idx_read(images, 3, im, err) < 0)
        return err->code;
    if (ot_idx_read(labels, 1, lab, err) < 0) {
        ot_idx_release(im);
        return err->code;
    }
    if (im->count != lab->count) {
        (void)ot_fail(err, OT_EDATA, "'%s' has %d images but '%s' has %d labels", images, im->count,
                      labels, lab->count);
        ot_idx_release(im);
        ot_idx_release(lab);
        return err->code;
    }
    return 0;
}

static int put_all(struct ot_db_writer *w, const struct ot_idx *im, const struct ot_idx *lab,
                   struct ot_err *err)
{
    size_t hw = (size_t)im->height * (size_t)im->width;
    struct ot_str buf = { 0 };
    Caffe__Datum d;
    char key[16];
    int rc = 0;

    caffe__datum__init(&d);
    d.has_channels = d.has_height = d.has_width = d.has_data = d.has_label = 1;
    d.channels = 1;
    d.height = im->height;
    d.width = im->width;
    for (int i = 0; i < im->count && rc == 0; i++) {
        d.data = (ProtobufCBinaryData){ hw, im->byte + (size_t)i * hw };
        d.label = lab->byte[i];
        (void)snprintf(key, sizeof key, "%08d", i);
        rc = ot_data_put(w, key, &d.base, &buf, err);
    }
    ot_str_release(&buf);
    return rc;
}

int ot_data_idx(int argc, char **argv, struct ot_err *err)
{
    const char *pos[3];
    bool force = false;
    const struct ot_data_opt table[] = { { "--force", OT_OPT_FLAG, &force },
                                         { NULL, OT_OPT_FLAG, NULL } };
    struct ot_idx im = { 0 }, lab = { 0 };
    struct ot_db_writer *w;
    int rc;

    if (ot_data_options(table, argc, argv, pos, 3, 3, err) < 0 ||
        ot_idx_read_pair(pos[0], pos[1], &im, &lab, err) < 0)
        return err->code;
    w = ot_data_create(pos[2], force, err);
    rc = w ? ot_data_finish(w, put_all(w, &im, &lab, err), err) : err->code;
    if (rc == 0)
        ot_out("%s: %d records of 1x%dx%d\n", pos[2], im.count, im.height, im.width);
    ot_idx_release(&im);
    ot_idx_release(&lab);
    return rc;
}
