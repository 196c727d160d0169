/*
 * pool_scale.c - what of an image is shown, and how large.
 *
 * Nothing is interpolated upwards: a pixel of the record is a square of pixels in the cell, so that
 * what the net saw is what is seen.  The surroundings of a box give way to a whole factor.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tools/pool_crop.h"

static int at_most(int v, int most)
{
    return v < most ? v : most;
}

static int at_least(int v, int least)
{
    return v > least ? v : least;
}

/* Side of the square that shows a box of `box` pixels: 0.35 of it around it on each side, or what
 * makes the cell's side a whole multiple, down to 0.1. */
static int window_side(int box, int side)
{
    int want = at_least((int)ceil(1.7 * box), 8), k;

    if (want >= side)
        return want;
    k = (2 * side + want) / (2 * want); /* rounded */
    while (k > 1 && side / k < box + at_least(box / 5, 4))
        k--;
    return side / k;
}

static int centred(double middle, int n, int whole)
{
    int at = (int)floor(middle - n / 2.0 + 0.5);

    return at_most(at_least(at, 0), whole - n);
}

struct ot_crop_plan ot_crop_plan(int width, int height, const float *box, int side)
{
    struct ot_crop_plan p = { 0, 0, width, height, 0, 0 };
    int most;

    if (box) {
        double x = (double)box[0] * width, y = (double)box[1] * height;
        double w = (double)box[2] * width - x, h = (double)box[3] * height - y;
        int n = window_side((int)ceil(w > h ? w : h), side);

        p.w = at_most(n, width);
        p.h = at_most(n, height);
        p.x = centred(x + w / 2, p.w, width);
        p.y = centred(y + h / 2, p.h, height);
    }
    most = at_least(p.w, p.h);
    if (most <= side) {
        p.out_w = p.w * (side / most);
        p.out_h = p.h * (side / most);
    } else {
        p.out_w = at_least((int)((int64_t)p.w * side / most), 1);
        p.out_h = at_least((int)((int64_t)p.h * side / most), 1);
    }
    return p;
}

static void enlarge(const struct ot_image *im, const struct ot_crop_plan *p, struct ot_image *out)
{
    int k = p->out_w / p->w;
    size_t c = (size_t)im->channels, stride = (size_t)out->width * 3;

    for (int y = 0; y < p->h; y++) {
        const unsigned char *from = im->pixel +
                                    ((size_t)(p->y + y) * (size_t)im->width + (size_t)p->x) * c;
        unsigned char *first = out->pixel + (size_t)y * (size_t)k * stride, *to = first;

        for (int x = 0; x < p->w; x++, from += c)
            for (int i = 0; i < k; i++, to += 3) {
                to[0] = from[0];
                to[1] = from[c / 2]; /* channels 1: 0; 3: 1 */
                to[2] = from[c - 1];
            }
        for (int i = 1; i < k; i++)
            memcpy(first + (size_t)i * stride, first, stride);
    }
}

/* One source row, each target pixel the mean of what it covers, times `weight`, added to acc. */
static void add_row(const unsigned char *row, int c, int w, int out_w, float weight, float *acc)
{
    float per = (float)w / (float)out_w;

    for (int x = 0; x < out_w; x++) {
        float from = (float)x * per, to = (float)(x + 1) * per;
        int last = at_most((int)ceilf(to), w);

        for (int i = (int)from; i < last; i++) {
            float a = from > (float)i ? from : (float)i;
            float b = to < (float)(i + 1) ? to : (float)(i + 1);
            float part = (b - a) * weight / per;
            const unsigned char *v = row + (size_t)i * (size_t)c;

            acc[3 * x] += part * (float)v[0];
            acc[3 * x + 1] += part * (float)v[c / 2];
            acc[3 * x + 2] += part * (float)v[c - 1];
        }
    }
}

static int average(const struct ot_image *im, const struct ot_crop_plan *p, struct ot_image *out,
                   struct ot_err *err)
{
    size_t n = (size_t)p->out_w * 3;
    float *acc = ot_alloc(n, sizeof *acc, err), per = (float)p->h / (float)p->out_h;

    if (!acc)
        return err->code;
    for (int y = 0; y < p->out_h; y++) {
        float from = (float)y * per, to = (float)(y + 1) * per;
        int last = at_most((int)ceilf(to), p->h);

        memset(acc, 0, n * sizeof *acc);
        for (int i = (int)from; i < last; i++) {
            float a = from > (float)i ? from : (float)i;
            float b = to < (float)(i + 1) ? to : (float)(i + 1);
            size_t at = ((size_t)(p->y + i) * (size_t)im->width + (size_t)p->x);

            add_row(im->pixel + at * (size_t)im->channels, im->channels, p->w, p->out_w,
                    (b - a) / per, acc);
        }
        for (size_t i = 0; i < n; i++)
            out->pixel[(size_t)y * n + i] = (unsigned char)at_most((int)(acc[i] + 0.5f), 255);
    }
    ot_free(acc);
    return 0;
}

int ot_crop_scale(const struct ot_image *im, const struct ot_crop_plan *p, struct ot_image *out,
                  struct ot_err *err)
{
    if (ot_image_alloc(out, p->out_w, p->out_h, 3, err) < 0)
        return err->code;
    if (p->out_w < p->w || p->out_h < p->h)
        return average(im, p, out, err);
    enlarge(im, p, out);
    return 0;
}
