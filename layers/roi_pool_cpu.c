/*
 * roi_pool_cpu.c - max pooling of regions.
 *
 * Forward is parallel over (RoI, channel).  Backward is parallel over channels, each taking the
 * RoIs in order: no two threads touch one gradient, so the sums are the same for any number of
 * threads.
 */
#include <string.h>

#include "layers/device.h"
#include "layers/roi_pool_math.h"

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

static void pool_plane(const struct ot_roi_pool_geom *g, const struct ot_roi *roi, const float *x,
                       int32_t *argmax, float *y)
{
    for (int i = 0; i < g->ph; i++) {
        int y0, y1;

        ot_roi_bin(i, roi->bin_h, roi->y1, g->h, &y0, &y1);
        for (int j = 0; j < g->pw; j++) {
            int x0, x1, at = -1;
            float best = 0.0f;

            ot_roi_bin(j, roi->bin_w, roi->x1, g->w, &x0, &x1);
            for (int v = y0; v < y1; v++)
                for (int u = x0; u < x1; u++)
                    if (at < 0 || x[v * g->w + u] > best) {
                        at = v * g->w + u;
                        best = x[at];
                    }
            y[i * g->pw + j] = best;
            argmax[i * g->pw + j] = at;
        }
    }
}

void ot_cpu_roi_pool_fwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g, const float *x,
                         const float *rois, int32_t *argmax, float *y)
{
    const size_t plane = (size_t)g->h * (size_t)g->w, bins = (size_t)g->ph * (size_t)g->pw;

    check_rois(dev, g, rois);
#pragma omp parallel for collapse(2) schedule(static)
    for (int r = 0; r < g->rois; r++)
        for (int c = 0; c < g->c; c++) {
            const float *box = rois + 5 * (size_t)r;
            struct ot_roi roi = ot_roi_cells(box + 1, g->scale, g->ph, g->pw);
            size_t to = ((size_t)r * (size_t)g->c + (size_t)c) * bins;
            int image = image_of(g, box);

            if (image < 0) {
                memset(y + to, 0, bins * sizeof *y);
                memset(argmax + to, 0xff, bins * sizeof *argmax);
                continue;
            }
            pool_plane(g, &roi, x + ((size_t)image * (size_t)g->c + (size_t)c) * plane, argmax + to,
                       y + to);
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
