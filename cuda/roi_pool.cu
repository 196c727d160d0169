/*
 * roi_pool.cu - max pooling of regions: one thread per bin and channel forward, one warp per plane
 * of the feature map backward.
 *
 * Backward reads every maximum once and adds in the order of RoIs and bins: the plane is the
 * warp's own, so there are no atomics and the sums are those of the CPU, bit for bit.
 */
#include <float.h>

#include "cuda/launch.h"
#include "layers/roi_pool_math.h"

__global__ static void roi_pool_fwd(const __grid_constant__ struct ot_roi_pool_geom g, size_t n,
                                    const float *x, const float *rois, unsigned long long *bad,
                                    int32_t *argmax, float *y)
{
    const size_t bins = (size_t)g.ph * (size_t)g.pw;

    OT_EACH (o, n) {
        const int i = (int)(o % bins) / g.pw, j = (int)(o % bins) % g.pw;
        const float *box = rois + 5 * (o / bins / (size_t)g.c);
        const int image = ot_roi_image(box, g.n);
        int y0 = 0, y1 = 0, x0 = 0, x1 = 0, at = -1;
        const float *plane = x;
        float best = 0.0f;

        if (!(box[0] < (float)g.n) && o % (bins * (size_t)g.c) == 0)
            ot_fault(bad, o / (bins * (size_t)g.c), box[0]);
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
    OT_LAUNCH(dev, roi_pool_fwd, ot_grid(n), OT_THREADS, *g, n, x, rois, bad, argmax, y);
}

/* ---- backward ------------------------------------------------------------------------------- */

constexpr unsigned ROI_WARPS = 4, PAIR = 2 * OT_WARP;

/* Two bins of a lane: the cells their maxima are in, -1 for none, and what goes there. */
struct bins {
    int at[2];
    float v[2];
};

/* Where a plane's gradient stands: the RoI, and the first of its bins that come next. */
struct place {
    size_t roi, bin;
};

/* The next bins of `image` at or after p, which moves there. */
__device__ static void find_bins(const struct ot_roi_pool_geom &g, const float *rois, int image,
                                 struct place *p)
{
    if (p->bin >= (size_t)g.ph * (size_t)g.pw) {
        p->bin = 0;
        p->roi++;
    }
    while (p->roi < (size_t)g.rois && ot_roi_image(rois + 5 * p->roi, g.n) != image)
        p->roi++;
}

__device__ static struct bins read_bins(const struct ot_roi_pool_geom &g, const float *rois,
                                        size_t channel, struct place p, const int32_t *argmax,
                                        const float *dy)
{
    const size_t count = (size_t)g.ph * (size_t)g.pw;
    const size_t first = (p.roi * (size_t)g.c + channel) * count;
    struct bins b = { { -1, -1 }, { 0.0f, 0.0f } };
    struct ot_roi roi;

    if (p.roi >= (size_t)g.rois)
        return b;
    for (unsigned k = 0; k < 2; k++) {
        const size_t bin = p.bin + k * OT_WARP + threadIdx.x % OT_WARP;

        if (bin < count) {
            b.at[k] = argmax[first + bin];
            b.v[k] = dy[first + bin];
        }
    }
    roi = ot_roi_cells(rois + 5 * p.roi + 1, g.scale, g.ph, g.pw);
    for (unsigned k = 0; k < 2; k++)
        if (b.at[k] >= 0 && !ot_roi_has(&roi, b.at[k] / g.w, b.at[k] % g.w))
            b.at[k] = -1;
    return b;
}

/* dx[at] += v in the order of lanes: those with one cell take turns. */
__device__ static void add_bins(int at, float v, float *dx)
{
    const unsigned lane = threadIdx.x % OT_WARP;
    const unsigned before = __match_any_sync(0xffffffffu, at) & ((1u << lane) - 1);
    const int turn = __popc(before);

    for (int t = 0; __any_sync(0xffffffffu, at >= 0 && turn >= t); t++) {
        if (at >= 0 && turn == t)
            dx[at] += v;
        __syncwarp();
    }
}

/* A warp takes a plane of an image and goes through the image's RoIs in order, the next bins on
 * their way while these are added. */
__global__ static void __launch_bounds__(ROI_WARPS *OT_WARP)
    roi_pool_bwd(const __grid_constant__ struct ot_roi_pool_geom g, const float *rois,
                 const int32_t *argmax, const float *dy, float *dx)
{
    const size_t plane = (size_t)g.h * (size_t)g.w, planes = (size_t)g.n * (size_t)g.c;
    size_t at = (size_t)blockIdx.x * ROI_WARPS + threadIdx.x / OT_WARP;

    for (; at < planes; at += (size_t)gridDim.x * ROI_WARPS) {
        const size_t channel = at % (size_t)g.c;
        const int image = (int)(at / (size_t)g.c);
        float *to = dx + at * plane;
        struct place p = { 0, 0 };
        struct bins b;

        for (size_t i = threadIdx.x % OT_WARP; i < plane; i += OT_WARP)
            to[i] = 0.0f;
        __syncwarp();
        find_bins(g, rois, image, &p);
        b = read_bins(g, rois, channel, p, argmax, dy);
        while (p.roi < (size_t)g.rois) {
            const struct bins now = b;

            p.bin += PAIR;
            find_bins(g, rois, image, &p);
            b = read_bins(g, rois, channel, p, argmax, dy);
            add_bins(now.at[0], now.v[0], to);
            add_bins(now.at[1], now.v[1], to);
        }
    }
}

extern "C" void ot_cuda_roi_pool_bwd(struct ot_dev *dev, const struct ot_roi_pool_geom *g,
                                     const float *rois, const int32_t *argmax, const float *dy,
                                     float *dx)
{
    const size_t planes = (size_t)g->n * (size_t)g->c;

    if (planes * (size_t)g->h * (size_t)g->w > 0)
        OT_LAUNCH(dev, roi_pool_bwd, ot_grid(planes * OT_THREADS / ROI_WARPS), ROI_WARPS * OT_WARP,
                  *g, rois, argmax, dy, dx);
}
