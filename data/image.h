/*
 * image.h - pictures: decode, encode, resize, draw.
 *
 * An image begins as { 0 }; it is height x width x channels bytes, interleaved, BGR (Caffe's
 * order) or grey.  Decoding is libjpeg-turbo and libpng; the format is told by the first bytes.
 *
 * Ownership: pixels are owned by the image; ot_image_release() frees; functions that fill an
 *            image reuse its memory when it is large enough.
 * Threads: an image belongs to one thread at a time.
 * Errors: OT_EDATA for anything wrong with the bytes (truncated JPEGs are errors, not warnings).
 */
#ifndef OT_DATA_IMAGE_H
#define OT_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "data/db.h"

struct ot_image {
    int width, height, channels; /* channels 1 or 3 */
    unsigned char *pixel;
    size_t cap;
    void *jpeg; /* the decoder, kept from picture to picture */
};

enum { OT_IMAGE_MAX_SIDE = 32768, OT_IMAGE_MAX_PIXELS = 1 << 28 };

int ot_image_alloc(struct ot_image *im, int width, int height, int channels, struct ot_err *err);
void ot_image_release(struct ot_image *im);

/* channels: 1, 3, or 0 = as stored */
int ot_image_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err);
int ot_image_read(struct ot_image *im, const char *path, int channels, struct ot_err *err);
int ot_image_write_png(const struct ot_image *im, const char *path, struct ot_err *err);
int ot_image_encode_jpeg(const struct ot_image *im, int quality, unsigned char **bytes, size_t *n,
                         struct ot_err *err); /* *bytes: ot_free() */
int ot_image_encode_png(const struct ot_image *im, unsigned char **bytes, size_t *n,
                        struct ot_err *err);

/* Bilinear, pixel centres at +0.5 as OpenCV's INTER_LINEAR. */
int ot_image_resize(const struct ot_image *src, int width, int height, struct ot_image *dst,
                    struct ot_err *err);

/* Drawing for people: clipped to the image; colour is {b, g, r}. */
void ot_image_box(struct ot_image *im, int x1, int y1, int x2, int y2, int thick,
                  const unsigned char colour[3]);
/* 6x10 built-in font, on a filled background; returns the width drawn */
int ot_image_text(struct ot_image *im, int x, int y, const char *text, const unsigned char ink[3],
                  const unsigned char paper[3]);

#endif
