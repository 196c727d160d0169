/*
 * png.c - libpng.  Palettes are expanded, 16 bits cut to 8, transparency and gamma ignored, as
 * OpenCV's imread does.
 *
 * libpng reports errors by longjmp: everything that changes after setjmp lives in struct reader,
 * which the jump cannot make stale.
 */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/codec.h"

struct reader {
    struct ot_bytes file;
    size_t at;
    struct ot_image *im;
    int channels;
    int rc; /* of our own functions */
    struct ot_err *err;
    char text[160];
};

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);

    (void)snprintf(r->text, sizeof r->text, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);

    if (n > r->file.n - r->at)
        png_error(png, "premature end of file");
    memcpy(out, (const char *)r->file.data + r->at, n);
    r->at += n;
}

static void transform(png_structp png, png_infop info, struct reader *r)
{
    int colour = png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR;

    if (r->channels == 0)
        r->channels = colour ? 3 : 1;
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (colour && r->channels == 1)
        png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
    if (!colour && r->channels == 3)
        png_set_gray_to_rgb(png);
    if (r->channels == 3)
        png_set_bgr(png);
}

static void read_all(png_structp png, png_infop info, struct reader *r)
{
    size_t stride;
    int passes;

    /* All but transparency of what is not pixels: colour spaces would make grey of colour by
     * another formula than everyone else's, and compressed texts can be 8 MB each. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(png, OT_IMAGE_MAX_SIDE, OT_IMAGE_MAX_SIDE);
    png_set_read_fn(png, r, on_read);
    png_read_info(png, info);
    transform(png, info, r);
    passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    r->rc = ot_image_alloc_for(r->im, (int)png_get_image_width(png, info),
                               (int)png_get_image_height(png, info), r->channels, r->file.n,
                               r->err);
    if (r->rc < 0)
        return;
    stride = (size_t)r->im->width * (size_t)r->channels;
    if (png_get_rowbytes(png, info) != stride)
        png_error(png, "rows have an unexpected length");
    while (passes--)
        for (int y = 0; y < r->im->height; y++)
            png_read_row(png, r->im->pixel + (size_t)y * stride, NULL);
    png_read_end(png, NULL);
}

int ot_png_decode(struct ot_image *im, struct ot_bytes file, int channels, struct ot_err *err)
{
    struct reader r = { .file = file, .im = im, .channels = channels, .err = err };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return ot_fail(err, OT_ENOMEM, "PNG: cannot start the decoder for %zu bytes", file.n);
    }
    if (setjmp(png_jmpbuf(png))) { /* NOLINT(cert-err52-cpp): libpng's way of failing */
        png_destroy_read_struct(&png, &info, NULL);
        return ot_fail(err, OT_EDATA, "PNG of %zu bytes: %s", file.n, r.text);
    }
    read_all(png, info, &r);
    png_destroy_read_struct(&png, &info, NULL);
    return r.rc < 0 ? ot_err_wrap(err, "PNG") : 0;
}

int ot_image_encode_png(const struct ot_image *im, unsigned char **bytes, size_t *n,
                        struct ot_err *err)
{
    png_image p = { .version = PNG_IMAGE_VERSION };
    png_alloc_size_t len;

    p.width = (png_uint_32)im->width;
    p.height = (png_uint_32)im->height;
    p.format = im->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_BGR;
    len = PNG_IMAGE_PNG_SIZE_MAX(p);
    *bytes = ot_alloc(len, 1, err);
    if (!*bytes)
        return err->code;
    if (!png_image_write_to_memory(&p, *bytes, &len, 0, im->pixel, 0, NULL)) {
        ot_free(*bytes);
        *bytes = NULL;
        return ot_fail(err, OT_EDATA, "PNG: cannot encode %dx%d: %s", im->width, im->height,
                       p.message);
    }
    *n = len;
    return 0;
}
