/*
 * image.c - pixels in memory: allocation, the choice of decoder, bilinear resizing.
 *
 * Resizing is fixed point with 11 fraction bits in each direction, as OpenCV does for bytes, so
 * that pictures prepared with either agree; a source row is expanded to the target's width once
 * and kept while both of its neighbours need it.
 */
#include "data/image.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/codec.h"

enum { FILE_LIMIT = 1 << 30, BITS = 11, ONE = 1 << BITS };

int ot_image_alloc(struct ot_image *im, int width, int height, int channels, struct ot_err *err)
{
    size_t need;

    if (width < 1 || height < 1 || width > OT_IMAGE_MAX_SIDE || height > OT_IMAGE_MAX_SIDE)
        return ot_fail(err, OT_EDATA, "image: sides must be 1 to %d, got %dx%d", OT_IMAGE_MAX_SIDE,
                       width, height);
    if ((size_t)width * (size_t)height > OT_IMAGE_MAX_PIXELS)
        return ot_fail(err, OT_EDATA, "image: must have at most %d pixels, got %dx%d",
                       OT_IMAGE_MAX_PIXELS, width, height);
    if (channels != 1 && channels != 3)
        return ot_fail(err, OT_EDATA, "image: channels must be 1 or 3, got %d", channels);
    need = (size_t)width * (size_t)height * (size_t)channels;
    if (need > im->cap) {
        unsigned char *p = ot_alloc(need, 1, err);

        if (!p)
            return err->code;
        ot_free(im->pixel);
        im->pixel = p;
        im->cap = need;
    }
    im->width = width;
    im->height = height;
    im->channels = channels;
    return 0;
}

int ot_image_alloc_for(struct ot_image *im, int width, int height, int channels, size_t bytes,
                       struct ot_err *err)
{
    if (width > 0 && height > 0 &&
        (uint64_t)width * (uint64_t)height / OT_IMAGE_DENSITY > (uint64_t)bytes)
        return ot_fail(err, OT_EDATA, "image: %dx%d pixels cannot be in a file of %zu bytes", width,
                       height, bytes);
    return ot_image_alloc(im, width, height, channels, err);
}

void ot_image_release(struct ot_image *im)
{
    ot_free(im->pixel);
    ot_jpeg_close(im->jpeg);
    *im = (struct ot_image){ 0 };
}

int ot_image_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err)
{
    static const unsigned char png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' };
    const unsigned char *p = file.data;

    if (channels != 0 && channels != 1 && channels != 3)
        return ot_fail(err, OT_EDATA, "image: channels must be 0, 1 or 3, got %d", channels);
    if (file.n >= 3 && p[0] == 0xFF && p[1] == 0xD8 && p[2] == 0xFF)
        return ot_jpeg_decode(im, file, channels, err);
    if (file.n >= sizeof png && memcmp(p, png, sizeof png) == 0)
        return ot_png_decode(im, file, channels, err);
    if (file.n < 4)
        return ot_fail(err, OT_EDATA, "image: neither JPEG nor PNG, got %zu bytes", file.n);
    return ot_fail(err, OT_EDATA,
                   "image: neither JPEG nor PNG, got %zu bytes that begin %02x %02x %02x %02x",
                   file.n, p[0], p[1], p[2], p[3]);
}

int ot_image_read(struct ot_image *im, const char *path, int channels, struct ot_err *err)
{
    size_t n;
    char *bytes = ot_read_file(path, FILE_LIMIT, &n, err);
    int rc;

    if (!bytes)
        return err->code;
    rc = ot_image_decode(im, (struct ot_bytes){ bytes, n }, channels, err);
    ot_free(bytes);
    return rc < 0 ? ot_err_wrap(err, "%s", path) : 0;
}

int ot_image_write_png(const struct ot_image *im, const char *path, struct ot_err *err)
{
    unsigned char *bytes;
    size_t n;
    int rc;

    if (ot_image_encode_png(im, &bytes, &n, err) < 0)
        return ot_err_wrap(err, "%s", path);
    rc = ot_write_file_atomic(path, bytes, n, err);
    ot_free(bytes);
    return rc;
}

/* ---- resize ------------------------------------------------------------------------------- */

struct tap { /* one target coordinate: lo * (ONE - w) + hi * w */
    int lo, hi, w;
};

static void make_taps(struct tap *tap, int n, int from)
{
    double scale = (double)from / n;

    for (int i = 0; i < n; i++) {
        float f = (float)((i + 0.5) * scale - 0.5);
        int at = (int)floorf(f);
        float w = f - (float)at;

        if (at < 0) {
            at = 0;
            w = 0;
        }
        if (at >= from - 1) {
            at = from - 1;
            w = 0;
        }
        tap[i] = (struct tap){ at, at + 1 < from ? at + 1 : at, (int)lrintf(w * ONE) };
    }
}

/* One source row at the target's width; 19 bits, of which the low 4 are dropped. */
static void expand(const unsigned char *src, const struct tap *tap, int width, int channels,
                   short *out)
{
    for (int x = 0; x < width; x++) {
        const unsigned char *a = src + (ptrdiff_t)tap[x].lo * channels;
        const unsigned char *b = src + (ptrdiff_t)tap[x].hi * channels;

        for (int c = 0; c < channels; c++)
            out[x * channels + c] = (short)((a[c] * (ONE - tap[x].w) + b[c] * tap[x].w) >> 4);
    }
}

static void blend(const short *restrict a, const short *restrict b, int w, size_t n,
                  unsigned char *restrict out)
{
    int wa = ONE - w;

    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)((((wa * a[i]) >> 16) + ((w * b[i]) >> 16) + 2) >> 2);
}

static void resize_rows(const struct ot_image *src, struct ot_image *dst, const struct tap *tap,
                        short *row[2])
{
    const struct tap *ty = tap + dst->width;
    size_t stride = (size_t)src->width * (size_t)src->channels;
    size_t n = (size_t)dst->width * (size_t)dst->channels;
    int have[2] = { -1, -1 };

    for (int y = 0; y < dst->height; y++) {
        const int want[2] = { ty[y].lo, ty[y].hi };

        if (have[1] == want[0]) {
            short *t = row[0];

            row[0] = row[1];
            row[1] = t;
            have[1] = have[0];
            have[0] = want[0];
        }
        for (int k = 0; k < 2; k++) {
            if (have[k] == want[k])
                continue;
            expand(src->pixel + (size_t)want[k] * stride, tap, dst->width, dst->channels, row[k]);
            have[k] = want[k];
        }
        blend(row[0], row[1], ty[y].w, n, dst->pixel + (size_t)y * n);
    }
}

int ot_image_resize(const struct ot_image *src, int width, int height, struct ot_image *dst,
                    struct ot_err *err)
{
    struct tap *tap;
    short *row[2] = { NULL, NULL };
    size_t n;

    if (ot_image_alloc(dst, width, height, src->channels, err) < 0)
        return ot_err_wrap(err, "resize");
    n = (size_t)width * (size_t)src->channels;
    tap = ot_alloc((size_t)width + (size_t)height, sizeof *tap, err);
    row[0] = tap ? ot_alloc(n, sizeof *row[0], err) : NULL;
    row[1] = row[0] ? ot_alloc(n, sizeof *row[1], err) : NULL;
    if (row[1]) {
        make_taps(tap, width, src->width);
        make_taps(tap + width, height, src->height);
        resize_rows(src, dst, tap, row);
    }
    n = row[1] != NULL;
    ot_free(tap);
    ot_free(row[0]);
    ot_free(row[1]);
    return n ? 0 : err->code;
}
