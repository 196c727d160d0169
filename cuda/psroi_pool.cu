/*
 * psroi_pool.cu - position-sensitive average pooling of regions: one thread per bin forward, one
 * warp per plane of the feature map backward.
 *
 * A plane has one bin of each RoI.  Backward a warp finds the bins of 32 RoIs at once, a lane
 * each, and then adds them one after the other in the order of RoIs, its lanes on the cells of
 * one bin: no two lanes have the same cell, there are no atomics, and the sums are those of the
 * CPU, bit for bit.
 */
#include "cuda/launch.h"
#include "layers/psroi_pool_math.h"
#include "layers/roi_pool_math.h"

/* Cells of one bin; none when the RoI is unused or beyond the map. */
struct bin {
    int y0, y1, x0, x1;
};

/* The bin that channel c has of a RoI, in whichever image. */
__device__ static struct bin find_bin(const struct ot_psroi_pool_geom &g, const float *box,
                                      size_t c)
{
    const size_t group = (size_t)g.group;
    const int i = (int)(c / group % group), j = (int)(c % group);
    const struct ot_psroi roi = ot_psroi_place(box + 1, g.scale, g.group);
    struct bin b;

    ot_psroi_bin(i, roi.bin_h, roi.y, g.h, &b.y0, &b.y1);
    ot_psroi_bin(j, roi.bin_w, roi.x, g.w, &b.x0, &b.x1);
    return b;
}

__global__ static void psroi_pool_fwd(const __grid_constant__ struct ot_psroi_pool_geom g, size_t n,
                                      const float *x, const float *rois, unsigned long long *bad,
                                      float *y)
{
    const size_t channels = ot_psroi_channels(&g);

    OT_EACH (o, n) {
        const size_t r = o / channels, c = o % channels;
        const float *box = rois + 5 * r;
        const int image = ot_roi_image(box, g.n);
        struct bin b = { 0, 0, 0, 0 };
        const float *plane = x;
        double sum = 0.0;

        if (!(box[0] < (float)g.n) && c == 0)
            ot_fault(bad, r, box[0]);
        if (image >= 0) {
            b = find_bin(g, box, c);
            plane += ((size_t)image * channels + c) * (size_t)g.h * (size_t)g.w;
        }
        for (int v = b.y0; v < b.y1; v++)
            for (int u = b.x0; u < b.x1; u++)
                sum += (double)plane[(size_t)v * (size_t)g.w + (size_t)u];
        y[o] = b.y0 < b.y1 && b.x0 < b.x1 ? (float)(sum / ((b.y1 - b.y0) * (b.x1 - b.x0))) : 0.0f;
    }
}

extern "C" void ot_cuda_psroi_pool_fwd(struct ot_dev *dev, const struct ot_psroi_pool_geom *g,
                                       const float *x, const float *rois, float *y)
{
    const size_t n = (size_t)g->rois * ot_psroi_channels(g);
    unsigned long long *bad = ot_cuda_fault(dev, OT_FAULT_ROI, (double)g->n);

    if (n == 0)
        return;
    OT_LAUNCH(dev, psroi_pool_fwd, ot_grid(n), OT_THREADS, *g, n, x, rois, bad, y);
}

/* ---- backward ------------------------------------------------------------------------------- */

constexpr unsigned PSROI_WARPS = 4;

/* What a lane's RoI gives to the plane: `each` to `cells` cells from the first on, `width` of them
 * a row; no cells for none. */
struct gift {
    unsigned first, width, cells;
    float each;
};

__device__ static struct gift read_gift(const struct ot_psroi_pool_geom &g, const float *rois,
                                        size_t r, int image, size_t c, const float *dy)
{
    struct gift t = { 0, 1, 0, 0.0f };
    struct bin b;

    if (r >= (size_t)g.rois || ot_roi_image(rois + 5 * r, g.n) != image)
        return t;
    b = find_bin(g, rois + 5 * r, c);
    if (b.y0 >= b.y1 || b.x0 >= b.x1)
        return t;
    t.first = (unsigned)b.y0 * (unsigned)g.w + (unsigned)b.x0;
    t.width = (unsigned)(b.x1 - b.x0);
    t.cells = (unsigned)(b.y1 - b.y0) * t.width;
    t.each = dy[r * ot_psroi_channels(&g) + c] / (float)t.cells;
    return t;
}

/* The gifts of all lanes, in their order; `to` has rows of w cells. */
__device__ static void add_gifts(const struct gift &mine, unsigned w, float *to)
{
    unsigned left = __ballot_sync(0xffffffffu, mine.cells > 0);

    while (left) {
        const int from = __ffs((int)left) - 1;
        const unsigned first = __shfl_sync(0xffffffffu, mine.first, from);
        const unsigned width = __shfl_sync(0xffffffffu, mine.width, from);
        const unsigned cells = __shfl_sync(0xffffffffu, mine.cells, from);
        const float each = __shfl_sync(0xffffffffu, mine.each, from);

        for (unsigned i = threadIdx.x % OT_WARP; i < cells; i += OT_WARP)
            to[first + i / width * w + i % width] += each;
        __syncwarp();
        left &= left - 1;
    }
}

/* A warp takes a plane of an image; the next 32 RoIs are on their way while these are added. */
__global__ static void __launch_bounds__(PSROI_WARPS *OT_WARP)
    psroi_pool_bwd(const __grid_constant__ struct ot_psroi_pool_geom g, const float *rois,
                   const float *dy, float *dx)
{
    const size_t cells = (size_t)g.h * (size_t)g.w, channels = ot_psroi_channels(&g);
    const size_t lane = threadIdx.x % OT_WARP;
    size_t at = (size_t)blockIdx.x * PSROI_WARPS + threadIdx.x / OT_WARP;

    for (; at < (size_t)g.n * channels; at += (size_t)gridDim.x * PSROI_WARPS) {
        const size_t c = at % channels;
        const int image = (int)(at / channels);
        float *to = dx + at * cells;
        struct gift next = read_gift(g, rois, lane, image, c, dy);

        for (size_t i = lane; i < cells; i += OT_WARP)
            to[i] = 0.0f;
        __syncwarp();
        for (size_t r = 0; r < (size_t)g.rois; r += OT_WARP) {
            const struct gift now = next;

            next = read_gift(g, rois, r + OT_WARP + lane, image, c, dy);
            add_gifts(now, (unsigned)g.w, to);
        }
    }
}

extern "C" void ot_cuda_psroi_pool_bwd(struct ot_dev *dev, const struct ot_psroi_pool_geom *g,
                                       const float *rois, const float *dy, float *dx)
{
    const size_t planes = (size_t)g->n * ot_psroi_channels(g);

    if (planes * (size_t)g->h * (size_t)g->w > 0)
        OT_LAUNCH(dev, psroi_pool_bwd, ot_grid(planes * OT_THREADS / PSROI_WARPS),
                  PSROI_WARPS * OT_WARP, *g, rois, dy, dx);
}
