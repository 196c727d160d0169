/*
 * box_annotator.cu - the hardest instances of each image; the order is that of
 * layers/box_annotator_math.h.
 *
 * An instance is kept when fewer of its image than there are places are harder: a warp counts them
 * for a few instances at once.  That compares all with all, which is less than a sort of the few
 * thousand that there are, needs no number of images, and has no order of its own to depend on.
 */
#include "cuda/elem.h"
#include "layers/box_annotator_math.h"

constexpr unsigned AT_ONCE = 4; /* instances of a warp: what it reads serves all of them */

struct annotation { /* of the launch */
    uint64_t *key;
    uint32_t *image;
    const float *label, *weight;
    float *label_out, *weight_out;
};

__global__ static void annotator_keys(const __grid_constant__ struct ot_box_annotator_geom g,
                                      const float *rois, const float *loss,
                                      const __grid_constant__ struct annotation a)
{
    OT_EACH (i, g.rois * g.inner) {
        a.key[i] = ot_hard_key(loss[i], (uint32_t)i);
        a.image[i] = ot_annotator_image(&g, rois, i);
    }
}

/* A warp writes instance i. */
__device__ static void write_instance(const struct ot_box_annotator_geom &g,
                                      const struct annotation &a, size_t i, bool kept)
{
    const size_t at = i / g.inner * g.channels * g.inner + i % g.inner;

    if (threadIdx.x % OT_WARP == 0)
        a.label_out[i] = kept ? a.label[i] : g.ignore;
    for (size_t c = threadIdx.x % OT_WARP; c < g.channels; c += OT_WARP)
        a.weight_out[at + c * g.inner] = kept ? a.weight[at + c * g.inner] : 0.0f;
}

__global__ static void __launch_bounds__(OT_THREADS)
    annotate(const __grid_constant__ struct ot_box_annotator_geom g,
             const __grid_constant__ struct annotation a)
{
    const size_t n = g.rois * g.inner, step = (size_t)gridDim.x * (OT_THREADS / OT_WARP) * AT_ONCE;
    size_t from = ((size_t)blockIdx.x * (OT_THREADS / OT_WARP) + threadIdx.x / OT_WARP) * AT_ONCE;

    for (; from < n; from += step) {
        uint64_t key[AT_ONCE];
        uint32_t image[AT_ONCE], harder[AT_ONCE];

        OT_UNROLL
        for (unsigned u = 0; u < AT_ONCE; u++) {
            key[u] = from + u < n ? a.key[from + u] : 0;
            image[u] = from + u < n ? a.image[from + u] : OT_NO_IMAGE;
            harder[u] = 0;
        }
        for (size_t j = threadIdx.x % OT_WARP; j < n; j += OT_WARP) {
            const uint64_t other = a.key[j];
            const uint32_t of = a.image[j];

            OT_UNROLL
            for (unsigned u = 0; u < AT_ONCE; u++)
                harder[u] += of == image[u] && other < key[u];
        }
        OT_UNROLL
        for (unsigned u = 0; u < AT_ONCE; u++) {
            harder[u] = ot_warp_sum(harder[u]);
            if (from + u < n)
                write_instance(g, a, from + u, image[u] != OT_NO_IMAGE && harder[u] < g.keep);
        }
    }
}

extern "C" void ot_cuda_box_annotate(struct ot_dev *dev, const struct ot_box_annotator_geom *g,
                                     const float *rois, const float *loss, const float *label,
                                     const float *weight, void *scratch, float *label_out,
                                     float *weight_out)
{
    const size_t n = g->rois * g->inner;
    uint64_t *key = (uint64_t *)scratch;
    const struct annotation a = {
        key, (uint32_t *)(key + n), label, weight, label_out, weight_out
    };

    if (n == 0)
        return;
    OT_LAUNCH(dev, annotator_keys, ot_grid(n), OT_THREADS, *g, rois, loss, a);
    OT_LAUNCH(dev, annotate, ot_grid((n + AT_ONCE - 1) / AT_ONCE * OT_WARP), OT_THREADS, *g, a);
}
