/* data_sheet.c - boxes are drawn after enlarging, so that lines and letters stay thin. */
#include "tools/data_sheet.h"

#include <stdio.h>
#include <string.h>

static const unsigned char palette[][3] = {
    { 80, 220, 80 },  { 80, 80, 255 },   { 255, 160, 60 }, { 60, 220, 255 },  { 255, 90, 220 },
    { 230, 230, 60 }, { 120, 160, 255 }, { 200, 120, 40 }, { 120, 255, 180 }, { 200, 120, 255 },
};

enum { N_PALETTE = sizeof palette / sizeof *palette };

static void enlarge(const struct ot_image *im, int zoom, struct ot_image *out)
{
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            size_t from = (size_t)(y / zoom) * (size_t)im->width + (size_t)(x / zoom);
            unsigned char *to = out->pixel + 3 * ((size_t)y * (size_t)out->width + (size_t)x);

            for (size_t c = 0; c < 3; c++)
                to[c] = im->channels == 3 ? im->pixel[3 * from + c] : im->pixel[from];
        }
}

int ot_data_draw(const struct ot_image *im, int zoom, const struct ot_data_box *box, int n,
                 struct ot_image *out, struct ot_err *err)
{
    static const unsigned char grey[3] = { 170, 170, 170 }, black[3] = { 0, 0, 0 };

    if (ot_image_alloc(out, im->width * zoom, im->height * zoom, 3, err) < 0)
        return err->code;
    enlarge(im, zoom, out);
    for (int i = 0; i < n; i++) {
        const unsigned char *ink = box[i].difficult ? grey
                                                    : palette[(unsigned)box[i].label % N_PALETTE];
        int x1 = box[i].x1 * zoom, y1 = box[i].y1 * zoom;
        char text[32];

        (void)snprintf(text, sizeof text, "%d", box[i].label);
        ot_image_box(out, x1, y1, box[i].x2 * zoom + zoom - 1, box[i].y2 * zoom + zoom - 1, 1, ink);
        (void)ot_image_text(out, x1, y1 >= 10 ? y1 - 10 : y1, box[i].name ? box[i].name : text,
                            black, ink);
    }
    return 0;
}

int ot_sheet_open(struct ot_sheet *s, int width, int height, struct ot_err *err)
{
    memset(s, 0, sizeof *s);
    s->width = width;
    s->height = height;
    return ot_image_alloc(&s->image, width * OT_SHEET_ZOOM * OT_SHEET_COLUMNS,
                          height * OT_SHEET_ZOOM * OT_SHEET_ROWS, 3, err);
}

int ot_sheet_add(struct ot_sheet *s, const struct ot_image *im, const struct ot_data_box *box,
                 int n, struct ot_err *err)
{
    size_t row = (size_t)s->width * OT_SHEET_ZOOM * 3, stride = (size_t)s->image.width * 3;
    size_t rows = (size_t)s->height * OT_SHEET_ZOOM;
    size_t cx = (size_t)(s->n % OT_SHEET_COLUMNS), cy = (size_t)(s->n / OT_SHEET_COLUMNS);

    if (s->n >= OT_SHEET_COLUMNS * OT_SHEET_ROWS)
        return 0;
    if (ot_data_draw(im, OT_SHEET_ZOOM, box, n, &s->cell, err) < 0)
        return err->code;
    for (size_t y = 0; y < rows; y++)
        memcpy(s->image.pixel + (cy * rows + y) * stride + cx * row, s->cell.pixel + y * row, row);
    s->n++;
    return 0;
}

void ot_sheet_release(struct ot_sheet *s)
{
    ot_image_release(&s->image);
    ot_image_release(&s->cell);
}
