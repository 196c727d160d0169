/*
 * jpeg.c - libjpeg-turbo through its TurboJPEG API.
 *
 * Slow integer DCT and smooth chroma upsampling, the library's defaults, which OpenCV uses too.
 * Any warning is an error: what libjpeg invents for a truncated file is grey, and a net would
 * learn it.  The number of scans is limited, since a progressive file of a few kilobytes can
 * ask for hours of work.
 */
#include <turbojpeg.h>

#include "base/mem.h"
#include "data/codec.h"

enum { FLAGS = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS };

void ot_jpeg_close(void *jpeg)
{
    if (jpeg)
        (void)tjDestroy(jpeg);
}

int ot_jpeg_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err)
{
    int w, h, sub, space;

    if (!im->jpeg)
        im->jpeg = tjInitDecompress();
    if (!im->jpeg)
        return ot_fail(err, OT_ENOMEM, "JPEG: cannot start the decoder for %zu bytes", file.n);
    if (tjDecompressHeader3(im->jpeg, file.data, (unsigned long)file.n, &w, &h, &sub, &space) < 0)
        return ot_fail(err, OT_EDATA, "JPEG of %zu bytes: %s", file.n, tjGetErrorStr2(im->jpeg));
    if (space == TJCS_CMYK || space == TJCS_YCCK)
        return ot_fail(err, OT_EDATA, "JPEG: must be grey or colour, got four channels (CMYK)");
    if (channels == 0)
        channels = space == TJCS_GRAY ? 1 : 3;
    if (ot_image_alloc_for(im, w, h, channels, file.n, err) < 0)
        return ot_err_wrap(err, "JPEG");
    if (tjDecompress2(im->jpeg, file.data, (unsigned long)file.n, im->pixel, w, 0, h,
                      channels == 1 ? TJPF_GRAY : TJPF_BGR, FLAGS) < 0)
        return ot_fail(err, OT_EDATA, "JPEG of %zu bytes, %dx%d: %s", file.n, w, h,
                       tjGetErrorStr2(im->jpeg));
    return 0;
}

int ot_image_encode_jpeg(const struct ot_image *im, int quality, unsigned char **bytes, size_t *n,
                         struct ot_err *err)
{
    int grey = im->channels == 1, rc = 0;
    int sub = grey ? TJSAMP_GRAY : TJSAMP_420;
    unsigned long len = tjBufSize(im->width, im->height, sub);
    tjhandle tj;

    if (quality < 1 || quality > 100)
        return ot_fail(err, OT_EDATA, "JPEG: quality must be 1 to 100, got %d", quality);
    tj = tjInitCompress();
    if (!tj)
        return ot_fail(err, OT_ENOMEM, "JPEG: cannot start the encoder for %dx%d", im->width,
                       im->height);
    *bytes = ot_alloc(len, 1, err);
    if (!*bytes) {
        rc = err->code;
    } else if (tjCompress2(tj, im->pixel, im->width, 0, im->height, grey ? TJPF_GRAY : TJPF_BGR,
                           bytes, &len, sub, quality, TJFLAG_NOREALLOC) < 0) {
        rc = ot_fail(err, OT_EDATA, "JPEG: cannot encode %dx%d: %s", im->width, im->height,
                     tjGetErrorStr2(tj));
        ot_free(*bytes);
        *bytes = NULL;
    }
    *n = len;
    (void)tjDestroy(tj);
    return rc;
}
