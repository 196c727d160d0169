/*
 * codec.h - one function per picture format; for image.c only.
 *
 * Ownership: ot_jpeg_decode() keeps libjpeg-turbo's decompressor in im->jpeg.
 * Threads: as image.h.  Errors: OT_EDATA with the library's own words.
 */
#ifndef OT_DATA_CODEC_H
#define OT_DATA_CODEC_H

#include "data/image.h"

int ot_jpeg_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err);
void ot_jpeg_close(void *jpeg); /* NULL is fine */
int ot_png_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err);

#endif
