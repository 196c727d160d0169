/*
 * roi_pool_cpu.c - max pooling of regions.
 *
 * Forward takes 16 channels of one image at a time, turned so that the channels of a cell lie side
 * by side, and lets every RoI of that image find its maxima in 16 lanes at once.  Maps of more
 * cells than the turned copy holds go channel by channel, maxima down the columns first.  As in
 * Caffe NaN never wins and a bin without anything above -FLT_MAX is that.
 *
 * Backward is parallel over channels, each taking the RoIs in order: no two threads touch one
 * gradient, so the sums are the same for any number of threads.
 */
#include <float.h>
#include <string.h>

#include "layers/cpu_i.h"
#include "layers/roi_pool_math.h"

enum { COLUMNS = 256, LANES = 16, CELLS = 4096 };

void ot_cpu_check_rois(struct ot_dev *dev, int images, int n, const float *rois)
{
    for (int r = 0; r < n; r++) {
        float at = rois[5 * (size_t)r];

        if (!(at < (float)images))
            ot_dev_fail(dev, OT_EDATA, "RoI %d: batch index must be below %d, got %g", r, images,
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

/* Channel c of every RoI of image n. */
static void pool_channel(const struct ot_roi_pool_geom *g, int n, int c, const float *x,
                         const float *rois, int32_t *argmax, float *y)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;
    struct edges e;

    for (int r = 0; r < g->rois; r++) {
        const float *box = rois + 5 * (size_t)r;
        size_t at = ((size_t)r * (size_t)g->c + (size_t)c) * bins;

        if (ot_roi_image(box, g->n) != n)
            continue;
        find_edges(g, box + 1, &e);
        pool_plane(g, &e, x + ((size_t)n * (size_t)g->c + (size_t)c) * plane, argmax + at, y + at);
    }
}

/* ---- 16 channels at once ------------------------------------------------------------------- */

typedef float vec_f __attribute__((vector_size(4 * LANES)));
typedef int32_t vec_i __attribute__((vector_size(4 * LANES)));

/* `lanes` planes of `cells` values to cells of LANES values; the lanes beyond are 0. */
static void turn(size_t cells, int lanes, const float *x, vec_f *map)
{
    for (size_t i = 0; i < cells; i++) {
        vec_f v = { 0 };

        for (int l = 0; l < lanes; l++)
            v[l] = x[(size_t)l * cells + i];
        map[i] = v;
    }
}

/* One bin of `lanes` channels; a channel's next one is `bins` further. */
static void pool_bin(const struct edges *e, int i, int j, int w, const vec_f *map, int lanes,
                     size_t bins, int32_t *argmax, float *y)
{
    bool empty = e->y0[i] >= e->y1[i] || e->x0[j] >= e->x1[j];
    vec_f best = (vec_f){ 0 } + (empty ? 0.0f : -FLT_MAX);
    vec_i at = (vec_i){ 0 } - 1;

    for (int v = e->y0[i]; v < e->y1[i]; v++)
        for (int u = e->x0[j]; u < e->x1[j]; u++) {
            vec_f p = map[v * w + u];
            vec_i more = p > best;

            at = (more & (v * w + u)) | (~more & at);
            best = (vec_f)((more & (vec_i)p) | (~more & (vec_i)best));
        }
    for (int l = 0; l < lanes; l++) {
        y[(size_t)l * bins] = best[l];
        argmax[(size_t)l * bins] = at[l];
    }
}

/* Channels [c, c + lanes) of every RoI of image n. */
static void pool_lanes(const struct ot_roi_pool_geom *g, int n, int c, int lanes, const float *x,
                       const float *rois, int32_t *argmax, float *y)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;
    vec_f map[CELLS];
    struct edges e;

    turn(plane, lanes, x + ((size_t)n * (size_t)g->c + (size_t)c) * plane, map);
    for (int r = 0; r < g->rois; r++) {
        const float *box = rois + 5 * (size_t)r;
        size_t at = ((size_t)r * (size_t)g->c + (size_t)c) * bins;

        if (ot_roi_image(box, g->n) != n)
            continue;
        find_edges(g, box + 1, &e);
        for (int i = 0; i < g->ph; i++)
            for (int j = 0; j < g->pw; j++, at++)
                pool_bin(&e, i, j, g->w, map, lanes, bins, argmax + at, y + at);
    }
}

static void clear_unused(const struct ot_roi_pool_geom *g, const float *rois, int32_t *argmax,
                         float *y)
{
    const size_t each = (size_t)g->c * (size_t)g->ph * (size_t)g->pw;

    for (int r = 0; r < g->rois; r++)
        if (ot_roi_image(rois + 5 * (size_t)r, g->n) < 0) {
            memset(y + (size_t)r * each, 0, each * sizeof *y);
            memset(argmax + (size_t)r * each, 0xff, each * sizeof *argmax);
        }
}

void ot_cpu_roi_pool_fwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *x,
                         const float *rois, int32_t *argmax, float *y)
{
    const bool turned = (size_t)g->h * (size_t)g->w <= CELLS;
    const int step = turned ? LANES : 1;

    ot_cpu_check_rois(dev, g->n, g->rois, rois);
    clear_unused(g, rois, argmax, y);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int n = 0; n < g->n; n++)
        for (int c = 0; c < g->c; c += step) {
            if (turned)
                pool_lanes(g, n, c, g->c - c < LANES ? g->c - c : LANES, x, rois, argmax, y);
            else
                pool_channel(g, n, c, x, rois, argmax, y);
        }
}

/* ---- backward ------------------------------------------------------------------------------ */

/* Whether the last bin of either axis goes beyond the RoI, so that maxima must be looked at. */
static bool overhangs(const struct ot_roi_pool_geom *g, const struct ot_roi *roi)
{
    int from, y1, x1;

    ot_roi_bin(g->ph - 1, roi->bin_h, roi->y1, g->h, &from, &y1);
    ot_roi_bin(g->pw - 1, roi->bin_w, roi->x1, g->w, &from, &x1);
    return y1 > roi->y2 + 1 || x1 > roi->x2 + 1;
}

/* Channels [c, c + lanes) of RoI r. */
static void give_back(const struct ot_roi_pool_geom *g, int r, int c, int lanes, const float *box,
                      const int32_t *argmax, const float *dy, float *dx)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;
    const struct ot_roi roi = ot_roi_cells(box + 1, g->scale, g->ph, g->pw);
    const bool look = overhangs(g, &roi);
    size_t from = ((size_t)r * (size_t)g->c + (size_t)c) * bins;
    float *to = dx + ((size_t)ot_roi_image(box, g->n) * (size_t)g->c + (size_t)c) * plane;

    for (int l = 0; l < lanes; l++, from += bins, to += plane)
        for (size_t b = 0; b < bins; b++) {
            int at = argmax[from + b];

            if (at >= 0 && (!look || ot_roi_has(&roi, at / g->w, at % g->w)))
                to[at] += dy[from + b];
        }
}

void ot_cpu_roi_pool_bwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *rois,
                         const int32_t *argmax, const float *dy, float *dx)
{
    const size_t plane = (size_t)g->h * (size_t)g->w;

    (void)dev;
#pragma omp parallel for schedule(static)
    for (int c = 0; c < g->c; c += LANES) {
        int lanes = g->c - c < LANES ? g->c - c : LANES;

        for (int n = 0; n < g->n; n++)
            memset(dx + ((size_t)n * (size_t)g->c + (size_t)c) * plane, 0,
                   (size_t)lanes * plane * sizeof *dx);
        for (int r = 0; r < g->rois; r++)
            if (ot_roi_image(rois + 5 * (size_t)r, g->n) >= 0)
                give_back(g, r, c, lanes, rois + 5 * (size_t)r, argmax, dy, dx);
    }
}
