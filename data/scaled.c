/*
 * scaled.c - Faster R-CNN's view of an image: resize and subtract in one pass, boxes beside it.
 *
 * Each source row is expanded to the target's width once, channel by channel, into one of two
 * float rows; an output row is a blend of the two.  Flipping is in the horizontal table.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/transform.h"

enum { DRAW_FLIP = 0, DRAW_SIDE = 3, DEFAULT_SIDE = 600 };

void ot_view_of(const struct ot_transform *t, int width, int height, uint64_t position,
                struct ot_view *view)
{
    const Caffe__DetectionDataParameter *d = t->det;
    int lo = width < height ? width : height, hi = width < height ? height : width;
    size_t k = 0;
    double scale;

    if (t->train && d->n_short_side > 1)
        k = ot_rng_below(t->seed, OT_RNG_AUGMENT, position, DRAW_SIDE, (uint32_t)d->n_short_side);
    scale = (double)(d->n_short_side ? d->short_side[k] : DEFAULT_SIDE) / lo;
    if (nearbyint(scale * hi) > d->max_side)
        scale = (double)d->max_side / hi;
    view->flip = t->train && d->flip &&
                 ot_rng_below(t->seed, OT_RNG_AUGMENT, position, DRAW_FLIP, 2) == 1;
    view->exact_scale = scale;
    view->scale = (float)scale;
    view->width = (int)fmax(1, nearbyint(width * scale));
    view->height = (int)fmax(1, nearbyint(height * scale));
}

/* tap: n pairs (low, high source coordinate); w: n weights of the high one. */
static void make_taps(int *tap, float *w, int n, int from, double scale, bool flip)
{
    for (int i = 0; i < n; i++) {
        int k = flip ? n - 1 - i : i;
        float f = (float)((i + 0.5) / scale - 0.5);
        int at = (int)floorf(f);

        w[k] = f - (float)at;
        if (at < 0 || at >= from - 1) {
            at = at < 0 ? 0 : from - 1;
            w[k] = 0;
        }
        tap[2 * k] = at;
        tap[2 * k + 1] = at + 1 < from ? at + 1 : at;
    }
}

static void expand(const unsigned char *src, ptrdiff_t xs, const int *restrict tap,
                   const float *restrict w, int n, float *restrict out)
{
    for (int x = 0; x < n; x++) {
        float a = src[tap[2 * x] * xs], b = src[tap[2 * x + 1] * xs];

        out[x] = a + (b - a) * w[x];
    }
}

static void blend(const float *restrict a, const float *restrict b, float w, float mean,
                  float scale, int n, float *restrict out)
{
    for (int x = 0; x < n; x++)
        out[x] = (a[x] + (b[x] - a[x]) * w - mean) * scale;
}

static float mean_of(const struct ot_transform *t, int channel)
{
    if (!t->p->n_mean_value)
        return 0.0f;
    return t->p->mean_value[t->p->n_mean_value == 1 ? 0 : channel];
}

struct tables {
    const int *tx, *ty;
    const float *wx, *wy;
    float *row[2];
};

static void channel(const struct ot_transform *t, const struct ot_pixels *px,
                    const struct ot_view *v, struct tables k, int c, int width, float *out)
{
    int have[2] = { -1, -1 };

    for (int y = 0; y < v->height; y++, out += width) {
        const int *need = k.ty + (ptrdiff_t)2 * y;

        if (have[1] == need[0]) {
            float *swap = k.row[0];

            k.row[0] = k.row[1];
            k.row[1] = swap;
            have[1] = have[0];
            have[0] = need[0];
        }
        for (int i = 0; i < 2; i++) {
            if (have[i] == need[i])
                continue;
            expand(px->u8 + c * px->cs + need[i] * px->ys, px->xs, k.tx, k.wx, v->width, k.row[i]);
            have[i] = need[i];
        }
        blend(k.row[0], k.row[1], k.wy[y], mean_of(t, c), t->p->scale, v->width, out);
        memset(out + v->width, 0, (size_t)(width - v->width) * sizeof *out);
    }
}

int ot_transform_scaled(const struct ot_transform *t, const struct ot_pixels *px,
                        const struct ot_view *v, struct ot_scratch *s, int height, int width,
                        float *out, struct ot_err *err)
{
    size_t w = (size_t)v->width, h = (size_t)v->height;
    struct tables k;

    if (ot_grow(&s->row, &s->cap_row, 3 * w + h, sizeof *s->row, err) < 0 ||
        ot_grow(&s->tap, &s->cap_tap, 2 * (w + h), sizeof *s->tap, err) < 0)
        return err->code;
    k = (struct tables){ .tx = s->tap,
                         .ty = s->tap + 2 * w,
                         .wx = s->row,
                         .wy = s->row + w,
                         .row = { s->row + w + h, s->row + 2 * w + h } };
    make_taps(s->tap, s->row, v->width, px->width, v->exact_scale, v->flip);
    make_taps(s->tap + 2 * w, s->row + w, v->height, px->height, v->exact_scale, false);
    for (int c = 0; c < 3; c++) {
        channel(t, px, v, k, c, width, out);
        memset(out + h * (size_t)width, 0, ((size_t)height - h) * (size_t)width * sizeof *out);
        out += (size_t)height * (size_t)width;
    }
    return 0;
}

/* A fraction of `size` in pixels; whole pixels are found again behind the rounding to float. */
static double pixel(float fraction, int size)
{
    double v = (double)fraction * size, whole = nearbyint(v);

    return fabs(v - whole) < 1e-3 ? whole : v;
}

/* Inclusive corners of the original image, clipped to it. */
static void corners(float lo, float hi, int size, double c[2])
{
    double last = size - 1;

    c[0] = fmin(fmax(pixel(lo, size), 0), last);
    c[1] = fmin(fmax(pixel(hi, size) - 1, c[0]), last);
}

static int check_box(const struct ot_record_box *b, size_t i, struct ot_err *err)
{
    bool finite = isfinite(b->xmin) && isfinite(b->ymin) && isfinite(b->xmax) && isfinite(b->ymax);

    if (!finite || b->xmax < b->xmin || b->ymax < b->ymin || b->xmax <= 0 || b->ymax <= 0 ||
        b->xmin >= 1 || b->ymin >= 1)
        return ot_fail(err, OT_EDATA,
                       "box %zu: must be a rectangle inside the image (0 to 1), got %g %g %g %g", i,
                       (double)b->xmin, (double)b->ymin, (double)b->xmax, (double)b->ymax);
    if (b->label < 1)
        return ot_fail(err, OT_EDATA, "box %zu: class must be >= 1 (0 is background), got %d", i,
                       b->label);
    return 0;
}

int ot_transform_boxes(const struct ot_transform *t, const struct ot_record *r, int width,
                       int height, const struct ot_view *view, float *gt, unsigned char *difficult,
                       struct ot_err *err)
{
    size_t most = t->det->max_boxes, n = 0;

    for (size_t i = 0; i < r->n_boxes; i++) {
        const struct ot_record_box *b = &r->box[i];
        double x[2], y[2];

        if (check_box(b, i, err) < 0)
            return err->code;
        if (t->train && b->difficult && !t->det->use_difficult)
            continue;
        if (n == most)
            return ot_fail(err, OT_EDATA, "max_boxes is %zu, got %zu boxes", most, r->n_boxes);
        corners(b->xmin, b->xmax, width, x);
        corners(b->ymin, b->ymax, height, y);
        if (view->flip) {
            double left = width - 1 - x[1];

            x[1] = width - 1 - x[0];
            x[0] = left;
        }
        gt[6 * n] = (float)(x[0] * view->exact_scale);
        gt[6 * n + 1] = (float)(y[0] * view->exact_scale);
        gt[6 * n + 2] = (float)(x[1] * view->exact_scale);
        gt[6 * n + 3] = (float)(y[1] * view->exact_scale);
        gt[6 * n + 4] = (float)b->label;
        gt[6 * n + 5] = 1.0f;
        difficult[n++] = b->difficult;
    }
    for (size_t i = n; i < most; i++) {
        const float unused[6] = { 0, 0, 0, 0, -1, 0 };

        memcpy(gt + 6 * i, unused, sizeof unused);
        difficult[i] = 0;
    }
    return (int)n;
}
