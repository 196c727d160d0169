/*
 * draw.c - boxes and captions.  Everything is filled rectangles, and the rectangle clips.
 */
#include "data/font.h"
#include "data/image.h"

enum { CELL_W = OT_FONT_COLS + 1, CELL_H = OT_FONT_ROWS + 3, GLYPH_X = 1, GLYPH_Y = 2 };

static int clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Grey images get the luma of the colour (ITU-R BT.601). */
static unsigned char luma(const unsigned char c[3])
{
    return (unsigned char)((114 * c[0] + 587 * c[1] + 299 * c[2] + 500) / 1000);
}

/* Corners inclusive. */
static void fill(struct ot_image *im, int x1, int y1, int x2, int y2, const unsigned char c[3])
{
    int left = clamp(x1, 0, im->width), right = clamp(x2, -1, im->width - 1);
    int top = clamp(y1, 0, im->height), bottom = clamp(y2, -1, im->height - 1);

    for (int y = top; y <= bottom; y++) {
        unsigned char *p = im->pixel + ((ptrdiff_t)y * im->width + left) * im->channels;

        for (int x = left; x <= right; x++) {
            if (im->channels == 1) {
                *p++ = luma(c);
            } else {
                *p++ = c[0];
                *p++ = c[1];
                *p++ = c[2];
            }
        }
    }
}

void ot_image_box(struct ot_image *im, int x1, int y1, int x2, int y2, int thick,
                  const unsigned char colour[3])
{
    enum { FAR = 4 * OT_IMAGE_MAX_SIDE }; /* keeps the sums below free of overflow */

    x1 = clamp(x1, -FAR, FAR);
    y1 = clamp(y1, -FAR, FAR);
    x2 = clamp(x2, -FAR, FAR);
    y2 = clamp(y2, -FAR, FAR);
    thick = clamp(thick, 1, OT_IMAGE_MAX_SIDE);
    if (x2 < x1 || y2 < y1)
        return;
    fill(im, x1, y1, x2, clamp(y1 + thick - 1, y1, y2), colour);
    fill(im, x1, clamp(y2 - thick + 1, y1, y2), x2, y2, colour);
    fill(im, x1, y1, clamp(x1 + thick - 1, x1, x2), y2, colour);
    fill(im, clamp(x2 - thick + 1, x1, x2), y1, x2, y2, colour);
}

static void glyph(struct ot_image *im, int x, int y, char ch, const unsigned char ink[3])
{
    const unsigned char *row;

    if (ch < OT_FONT_FIRST || ch > OT_FONT_LAST)
        ch = '?';
    row = ot_font[ch - OT_FONT_FIRST];
    for (int r = 0; r < OT_FONT_ROWS; r++)
        for (int c = 0; c < OT_FONT_COLS; c++)
            if ((row[r] >> (OT_FONT_COLS - 1 - c)) & 1)
                fill(im, x + c, y + r, x + c, y + r, ink);
}

int ot_image_text(struct ot_image *im, int x, int y, const char *text, const unsigned char ink[3],
                  const unsigned char paper[3])
{
    int at = 0;

    for (const char *p = text; *p && at < OT_IMAGE_MAX_SIDE; p++, at += CELL_W) {
        fill(im, x + at, y, x + at + CELL_W - 1, y + CELL_H - 1, paper);
        glyph(im, x + at + GLYPH_X, y + GLYPH_Y, *p, ink);
    }
    return at;
}
