/*
 * psroi_pool_cpu.c - position-sensitive average pooling of regions.
 *
 * The work is cut into rows of bins (output o, row i): these read `group` channels that nobody
 * else reads, so backward is parallel too.  Each takes the RoIs in order: no two threads touch
 * one gradient, and the sums are the same for any number of threads.
 */
#include <string.h>

#include "layers/cpu_i.h"
#include "layers/psroi_pool_math.h"
#include "layers/roi_pool_math.h"

enum { COLUMNS = 64 };

/* Bins [from, from + n) of row i of one RoI, n <= COLUMNS. */
struct bins {
    int y0, y1, x0[COLUMNS], x1[COLUMNS];
};

static void find_bins(const struct ot_psroi_pool_geom *g, const float *box, int i, int from, int n,
                      struct bins *b)
{
    struct ot_psroi roi = ot_psroi_place(box, g->scale, g->group);

    ot_psroi_bin(i, roi.bin_h, roi.y, g->h, &b->y0, &b->y1);
    for (int j = 0; j < n; j++)
        ot_psroi_bin(from + j, roi.bin_w, roi.x, g->w, &b->x0[j], &b->x1[j]);
}

/* Bin j of the row, of the plane x. */
static float average(const struct bins *b, int j, int w, const float *x)
{
    const int area = (b->y1 - b->y0) * (b->x1[j] - b->x0[j]);
    double sum = 0.0;

    if (b->y0 >= b->y1 || b->x0[j] >= b->x1[j])
        return 0.0f;
    for (int v = b->y0; v < b->y1; v++)
        for (int u = b->x0[j]; u < b->x1[j]; u++)
            sum += (double)x[(ptrdiff_t)v * w + u];
    return (float)(sum / area);
}

/* Channels [c, c + n) of every RoI: bins [from, from + n) of row i. */
static void pool_row(const struct ot_psroi_pool_geom *g, size_t c, int i, int from, int n,
                     const float *x, const float *rois, float *y)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, channels = ot_psroi_channels(g);
    struct bins b;

    for (int r = 0; r < g->rois; r++) {
        const float *box = rois + 5 * (size_t)r;
        const int image = ot_roi_image(box, g->n);
        float *to = y + (size_t)r * channels + c;

        if (image < 0) {
            memset(to, 0, (size_t)n * sizeof *to);
            continue;
        }
        find_bins(g, box + 1, i, from, n, &b);
        for (int j = 0; j < n; j++)
            to[j] = average(&b, j, g->w, x + ((size_t)image * channels + c + (size_t)j) * plane);
    }
}

void ot_cpu_psroi_pool_fwd(struct ot_dev *dev, const struct ot_psroi_pool_geom *g, const float *x,
                           const float *rois, float *y)
{
    const int rows = g->out * g->group;

    ot_cpu_check_rois(dev, g->n, g->rois, rois);
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows; k++)
        for (int from = 0; from < g->group; from += COLUMNS) {
            int n = g->group - from < COLUMNS ? g->group - from : COLUMNS;

            pool_row(g, (size_t)k * (size_t)g->group + (size_t)from, k % g->group, from, n, x, rois,
                     y);
        }
}

/* ---- backward ------------------------------------------------------------------------------ */

static void give_back(const struct bins *b, int j, int w, float dy, float *dx)
{
    const float each = dy / (float)((b->y1 - b->y0) * (b->x1[j] - b->x0[j]));

    for (int v = b->y0; v < b->y1; v++)
        for (int u = b->x0[j]; u < b->x1[j]; u++)
            dx[(ptrdiff_t)v * w + u] += each;
}

static void give_row_back(const struct ot_psroi_pool_geom *g, size_t c, int i, int from, int n,
                          const float *rois, const float *dy, float *dx)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, channels = ot_psroi_channels(g);
    struct bins b;

    for (int k = 0; k < g->n; k++)
        memset(dx + ((size_t)k * channels + c) * plane, 0, (size_t)n * plane * sizeof *dx);
    for (int r = 0; r < g->rois; r++) {
        const float *box = rois + 5 * (size_t)r, *of = dy + (size_t)r * channels + c;
        const int image = ot_roi_image(box, g->n);

        if (image < 0)
            continue;
        find_bins(g, box + 1, i, from, n, &b);
        for (int j = 0; b.y0 < b.y1 && j < n; j++)
            if (b.x0[j] < b.x1[j])
                give_back(&b, j, g->w, of[j],
                          dx + ((size_t)image * channels + c + (size_t)j) * plane);
    }
}

void ot_cpu_psroi_pool_bwd(struct ot_dev *dev, const struct ot_psroi_pool_geom *g,
                           const float *rois, const float *dy, float *dx)
{
    const int rows = g->out * g->group;

    (void)dev;
#pragma omp parallel for schedule(static)
    for (int k = 0; k < rows; k++)
        for (int from = 0; from < g->group; from += COLUMNS) {
            int n = g->group - from < COLUMNS ? g->group - from : COLUMNS;

            give_row_back(g, (size_t)k * (size_t)g->group + (size_t)from, k % g->group, from, n,
                          rois, dy, dx);
        }
}
