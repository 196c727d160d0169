/*
 * roi_pool.cu - max pooling of regions: one thread per bin and channel forward, one per cell of
 * the feature map backward.
 *
 * Backward gathers over the RoIs in order, and over the few bins that can reach the cell: no
 * atomics on floats, the sums are those of the CPU, bit for bit.
 */
#include <float.h>

#include "cuda/launch.h"
#include "layers/roi_pool_math.h"

/* The image of a RoI: -1 for an unused row or one that names no image. */
__device__ static int image_of(const struct ot_roi_pool_geom *g, const float *roi)
{
    return roi[0] >= 0.0f && roi[0] < (float)g->n ? (int)roi[0] : -1;
}

__global__ static void check_rois(int rois, int n, const float *roi, unsigned long long *bad)
{
    OT_EACH (r, (size_t)rois)
        if (!(roi[5 * r] < (float)n))
            ot_fault(bad, r, roi[5 * r]);
}

__global__ static void roi_pool_fwd(const __grid_constant__ struct ot_roi_pool_geom g, size_t n,
                                    const float *x, const float *rois, int32_t *argmax, float *y)
{
    const size_t bins = (size_t)g.ph * (size_t)g.pw;

    OT_EACH (o, n) {
        const int i = (int)(o % bins) / g.pw, j = (int)(o % bins) % g.pw;
        const float *box = rois + 5 * (o / bins / (size_t)g.c);
        const int image = image_of(&g, box);
        int y0 = 0, y1 = 0, x0 = 0, x1 = 0, at = -1;
        const float *plane = x;
        float best = 0.0f;

        if (image >= 0) {
            struct ot_roi roi = ot_roi_cells(box + 1, g.scale, g.ph, g.pw);

            ot_roi_bin(i, roi.bin_h, roi.y1, g.h, &y0, &y1);
            ot_roi_bin(j, roi.bin_w, roi.x1, g.w, &x0, &x1);
            plane += ((size_t)image * (size_t)g.c + o / bins % (size_t)g.c) * (size_t)g.h *
                     (size_t)g.w;
        }
        if (y0 < y1 && x0 < x1)
            best = -FLT_MAX;
        for (int v = y0; v < y1; v++)
            for (int u = x0; u < x1; u++) {
                float p = plane[(size_t)v * (size_t)g.w + (size_t)u];

                if (p > best) {
                    best = p;
                    at = v * g.w + u;
                }
            }
        y[o] = best;
        argmax[o] = at;
    }
}

extern "C" void ot_cuda_roi_pool_fwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g,
                                     const float *x, const float *rois, int32_t *argmax, float *y)
{
    const size_t n = (size_t)g->rois * (size_t)g->c * (size_t)g->ph * (size_t)g->pw;
    unsigned long long *bad = ot_cuda_fault(dev, OT_FAULT_ROI, (double)g->n);

    if (n == 0)
        return;
    OT_LAUNCH(dev, check_rois, ot_grid((size_t)g->rois), OT_THREADS, g->rois, g->n, rois, bad);
    OT_LAUNCH(dev, roi_pool_fwd, ot_grid(n), OT_THREADS, *g, n, x, rois, argmax, y);
}

/* Bins [*from, *to) along one side that can contain cell `at` cells into the RoI; one more on
 * either side than arithmetic says, since argmax decides. */
__device__ static void bins_near(int at, float bin, int count, int *from, int *to)
{
    int a = (int)floorf((float)at / bin) - 1, b = (int)ceilf((float)(at + 1) / bin) + 1;

    *from = a < 0 ? 0 : a;
    *to = b > count ? count : b;
}

/* What RoI r adds to the gradient of cell (h, w) in channel c. */
__device__ static float add_roi(const struct ot_roi_pool_geom *g, size_t r, const float *box, int c,
                                int h, int w, const int32_t *argmax, const float *dy, float sum)
{
    const struct ot_roi roi = ot_roi_cells(box + 1, g->scale, g->ph, g->pw);
    const size_t first = (r * (size_t)g->c + (size_t)c) * (size_t)g->ph * (size_t)g->pw;
    int i0, i1, j0, j1;

    if (!ot_roi_has(&roi, h, w))
        return sum;
    bins_near(h - roi.y1, roi.bin_h, g->ph, &i0, &i1);
    bins_near(w - roi.x1, roi.bin_w, g->pw, &j0, &j1);
    for (int i = i0; i < i1; i++)
        for (int j = j0; j < j1; j++) {
            size_t at = first + (size_t)(i * g->pw + j);

            if (argmax[at] == h * g->w + w)
                sum += dy[at];
        }
    return sum;
}

__global__ static void roi_pool_bwd(const __grid_constant__ struct ot_roi_pool_geom g, size_t n,
                                    const float *rois, const int32_t *argmax, const float *dy,
                                    float *dx)
{
    OT_EACH (at, n) {
        const int w = (int)(at % (size_t)g.w), h = (int)(at / (size_t)g.w % (size_t)g.h);
        const size_t plane = at / ((size_t)g.w * (size_t)g.h);
        const int c = (int)(plane % (size_t)g.c), image = (int)(plane / (size_t)g.c);
        float sum = 0.0f;

        for (size_t r = 0; r < (size_t)g.rois; r++)
            if (image_of(&g, rois + 5 * r) == image)
                sum = add_roi(&g, r, rois + 5 * r, c, h, w, argmax, dy, sum);
        dx[at] = sum;
    }
}

extern "C" void ot_cuda_roi_pool_bwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g,
                                     const float *rois, const int32_t *argmax, const float *dy,
                                     float *dx)
{
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->h * (size_t)g->w;

    if (n)
        OT_LAUNCH(dev, roi_pool_bwd, ot_grid(n), OT_THREADS, *g, n, rois, argmax, dy, dx);
}
