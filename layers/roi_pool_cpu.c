/*
 * roi_pool_cpu.c - max pooling of regions.
 *
 * Forward is parallel over (RoI, channels); a bin's maximum is taken down its columns first, which
 * vectorises along the row.  As in Caffe NaN never wins and a bin without anything above -FLT_MAX
 * is that.  Backward is parallel over channels, each taking the
 * RoIs in order: no two threads touch one gradient, so the sums are the same for any number of
 * threads.
 */
#include <float.h>
#include <string.h>

#include "layers/device.h"
#include "layers/roi_pool_math.h"

enum { COLUMNS = 256, CHANNELS = 32 };

/* The image of RoI r: -1 for an unused row or one that names no image. */
static int image_of(const struct ot_roi_pool_geom *g, const float *roi)
{
    return roi[0] >= 0.0f && roi[0] < (float)g->n ? (int)roi[0] : -1;
}

static void check_rois(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *rois)
{
    for (int r = 0; r < g->rois; r++) {
        float at = rois[5 * (size_t)r];

        if (!(at < (float)g->n))
            ot_dev_fail(dev, OT_EDATA, "RoI %d: batch index must be below %d, got %g", r, g->n,
                        (double)at);
    }
}

/* Bin edges of one RoI, the same for all its channels. */
struct edges {
    int y0[OT_ROI_BINS], y1[OT_ROI_BINS], x0[OT_ROI_BINS], x1[OT_ROI_BINS];
};

static void find_edges(const struct ot_roi_pool_geom *g, const float *box, struct edges *e)
{
    struct ot_roi roi = ot_roi_cells(box, g->scale, g->ph, g->pw);

    for (int i = 0; i < g->ph; i++)
        ot_roi_bin(i, roi.bin_h, roi.y1, g->h, &e->y0[i], &e->y1[i]);
    for (int j = 0; j < g->pw; j++)
        ot_roi_bin(j, roi.bin_w, roi.x1, g->w, &e->x0[j], &e->x1[j]);
}

/* Largest of rows [y0, y1) in each of `n` columns, and where it is first; -1: nothing exceeds
 * -FLT_MAX. */
static void column_maxima(const float *x, int w, int y0, int y1, int n, float *best, int32_t *at)
{
    for (int u = 0; u < n; u++) {
        best[u] = -FLT_MAX;
        at[u] = -1;
    }
    for (int v = y0; v < y1; v++) {
        const float *row = x + (ptrdiff_t)v * w;

#pragma omp simd
        for (int u = 0; u < n; u++) {
            at[u] = row[u] > best[u] ? v : at[u];
            best[u] = row[u] > best[u] ? row[u] : best[u];
        }
    }
}

/* One row of bins from the maxima of `n` columns beginning at column `from`: the largest value
 * wins, then the first cell in the order of rows. */
static void pool_columns(const struct edges *e, int pw, int w, int from, int n, const float *best,
                         const int32_t *at, int32_t *argmax, float *y)
{
    for (int j = 0; j < pw; j++) {
        int first = e->x0[j] > from ? e->x0[j] : from;
        int end = e->x1[j] < from + n ? e->x1[j] : from + n;

        for (int u = first; u < end; u++) {
            float v = best[u - from];
            int cell = at[u - from] < 0 ? -1 : at[u - from] * w + u;

            if (cell >= 0 && (v > y[j] || (v == y[j] && cell < argmax[j]))) {
                y[j] = v;
                argmax[j] = cell;
            }
        }
    }
}

static void pool_plane(const struct ot_roi_pool_geom *g, const struct edges *e, const float *x,
                       int32_t *argmax, float *y)
{
    const int left = e->x0[0], right = e->x1[g->pw - 1];
    float best[COLUMNS];
    int32_t at[COLUMNS];

    for (int i = 0; i < g->ph; i++, y += g->pw, argmax += g->pw) {
        for (int j = 0; j < g->pw; j++) {
            bool empty = e->y0[i] >= e->y1[i] || e->x0[j] >= e->x1[j];

            y[j] = empty ? 0.0f : -FLT_MAX;
            argmax[j] = -1;
        }
        for (int from = left; from < right && e->y0[i] < e->y1[i]; from += COLUMNS) {
            int n = right - from < COLUMNS ? right - from : COLUMNS;

            column_maxima(x + from, g->w, e->y0[i], e->y1[i], n, best, at);
            pool_columns(e, g->pw, g->w, from, n, best, at, argmax, y);
        }
    }
}

/* Channels [from, to) of RoI r. */
static void pool_roi(const struct ot_roi_pool_geom *g, int r, int from, int to, const float *x,
                     const float *rois, int32_t *argmax, float *y)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;
    const float *box = rois + 5 * (size_t)r;
    const int image = image_of(g, box);
    struct edges e;

    if (image >= 0)
        find_edges(g, box + 1, &e);
    for (int c = from; c < to; c++) {
        size_t at = ((size_t)r * (size_t)g->c + (size_t)c) * bins;

        if (image < 0) {
            memset(y + at, 0, bins * sizeof *y);
            memset(argmax + at, 0xff, bins * sizeof *argmax);
        } else
            pool_plane(g, &e, x + ((size_t)image * (size_t)g->c + (size_t)c) * plane, argmax + at,
                       y + at);
    }
}

void ot_cpu_roi_pool_fwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *x,
                         const float *rois, int32_t *argmax, float *y)
{
    const int groups = (g->c + CHANNELS - 1) / CHANNELS;

    check_rois(dev, g, rois);
#pragma omp parallel for collapse(2) schedule(static)
    for (int r = 0; r < g->rois; r++)
        for (int k = 0; k < groups; k++) {
            int to = (k + 1) * CHANNELS;

            pool_roi(g, r, k * CHANNELS, to < g->c ? to : g->c, x, rois, argmax, y);
        }
}

void ot_cpu_roi_pool_bwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *rois,
                         const int32_t *argmax, const float *dy, float *dx)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;

    (void)dev;
#pragma omp parallel for schedule(static)
    for (int c = 0; c < g->c; c++) {
        for (int n = 0; n < g->n; n++)
            memset(dx + ((size_t)n * (size_t)g->c + (size_t)c) * plane, 0, plane * sizeof *dx);
        for (int r = 0; r < g->rois; r++) {
            const float *box = rois + 5 * (size_t)r;
            struct ot_roi roi = ot_roi_cells(box + 1, g->scale, g->ph, g->pw);
            size_t from = ((size_t)r * (size_t)g->c + (size_t)c) * bins;
            int image = image_of(g, box);
            float *to;

            if (image < 0)
                continue;
            to = dx + ((size_t)image * (size_t)g->c + (size_t)c) * plane;
            for (size_t b = 0; b < bins; b++) {
                int at = argmax[from + b];

                if (at >= 0 && ot_roi_has(&roi, at / g->w, at % g->w))
                    to[at] += dy[from + b];
            }
        }
    }
}
