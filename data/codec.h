/*
 * codec.h - one function per picture format; for image.c only.
 *
 * Ownership: ot_jpeg_decode() keeps libjpeg-turbo's decompressor in im->jpeg.
 * Threads: as image.h.  Errors: OT_EDATA with the library's own words.
 */
#ifndef OT_DATA_CODEC_H
#define OT_DATA_CODEC_H

#include "data/image.h"

/* ot_image_alloc() for what a file of `bytes` bytes claims to hold: no format packs more than
 * OT_IMAGE_DENSITY pixels in a byte (1 bit a pixel, deflated 1032 times: 8256). */
enum { OT_IMAGE_DENSITY = 16384 };

int ot_image_alloc_for(struct ot_image *im, int width, int height, int channels, size_t bytes,
                       struct ot_err *err);

int ot_jpeg_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err);
void ot_jpeg_close(void *jpeg); /* NULL is fine */
int ot_png_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err);

#endif
