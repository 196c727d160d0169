/*
 * detection_output.cu - from class scores and deltas to a list of boxes; the rules are those of
 * layers/detection_output_cpu.c.
 *
 * One image after the other, since they share the scratch: a thread per RoI and class decodes, all
 * classes are sorted together, a block per class suppresses, and what is left is sorted once more.
 */
#include "cuda/sort.h"

struct work {
    uint64_t *key; /* (classes, 2 rois): room to pad each class's list to a power of two */
    uint64_t *all; /* (classes, rois) survivors, index = class * rois + RoI */
    float *box;    /* (classes, rois, 4) */
};

__global__ static void decode(const __grid_constant__ struct ot_detection_geom g, int image,
                              size_t room, const float *rois, const float *prob, const float *pred,
                              const float *im_info, struct work w)
{
    const size_t r = (size_t)g.rois, classes = (size_t)g.classes;
    const float scale = im_info[2];

    OT_EACH (at, classes * room) {
        const size_t c = at / room, i = at % room;
        uint64_t key = OT_NO_KEY;

        if (c > 0 && i < r && rois[5 * i] == (float)image &&
            prob[i * classes + c] > g.score_thresh) {
            const size_t from = (size_t)ot_box_class((int)c, g.box_classes);
            float box[4], delta[4];

            for (size_t k = 0; k < 4; k++) {
                box[k] = rois[5 * i + k + 1] / scale;
                delta[k] = pred[4 * (i * (size_t)g.box_classes + from) + k] * g.std[k] + g.mean[k];
            }
            ot_box_decode(box, delta, w.box + 4 * (c * r + i));
            ot_box_clip(w.box + 4 * (c * r + i), roundf(im_info[0] / scale),
                        roundf(im_info[1] / scale));
            key = ot_rank_of(prob[i * classes + c], (uint32_t)i);
        }
        w.key[c * 2 * r + i] = key;
    }
}

/* Survivors of class blockIdx.x to its rows of w.all; the rest of the rows get no key. */
__global__ static void __launch_bounds__(OT_BLOCK)
    suppress(const __grid_constant__ struct ot_detection_geom g, const float *prob, struct work w)
{
    const size_t r = (size_t)g.rois, classes = (size_t)g.classes, c = blockIdx.x;
    uint64_t *own = w.all + c * r;
    uint32_t *kept = (uint32_t *)own; /* the second half of the rows is still free */
    const unsigned found = ot_block_nms(w.key + c * 2 * r, r, w.box + 4 * c * r, g.nms_thresh,
                                        (unsigned)r, kept);

    /* w.key's list is used up: survivors go there first, since ids and rows overlap */
    __syncthreads();
    for (size_t j = threadIdx.x; j < r; j += blockDim.x) {
        const size_t i = j < found ? kept[j] : 0;

        w.key[c * 2 * r + j] = j < found ? ot_rank_of(prob[i * classes + c], (uint32_t)(c * r + i))
                                         : OT_NO_KEY;
    }
    __syncthreads();
    for (size_t j = threadIdx.x; j < r; j += blockDim.x)
        own[j] = w.key[c * 2 * r + j];
}

/* The survivors of all classes as one list of `room` keys. */
__global__ static void join(size_t n, size_t room, struct work w)
{
    OT_EACH (i, room)
        w.key[i] = i < n ? w.all[i] : OT_NO_KEY;
}

__global__ static void write_out(const __grid_constant__ struct ot_detection_geom g, int image,
                                 const float *prob, struct work w, float *det)
{
    const size_t r = (size_t)g.rois, n = r * (size_t)g.classes;

    OT_EACH (j, (size_t)g.max_per_image) {
        const uint64_t key = j < n ? w.key[j] : OT_NO_KEY;
        const size_t at = key & 0xffffffffu;
        const bool used = key != OT_NO_KEY;
        float *d = det + 7 * j;

        d[0] = used ? (float)image : -1.0f;
        d[1] = used ? (float)(at / r) : 0.0f;
        d[2] = used ? prob[at % r * (size_t)g.classes + at / r] : 0.0f;
        for (size_t k = 0; k < 4; k++)
            d[3 + k] = used ? w.box[4 * at + k] : 0.0f;
    }
}

extern "C" void ot_cuda_detection_output(struct ot_dev *dev, const struct ot_detection_geom *g,
                                         const float *rois, const float *prob, const float *pred,
                                         const float *im_info, void *scratch, float *det)
{
    const size_t r = (size_t)g->rois, n = r * (size_t)g->classes;
    const size_t room = ot_sort_room(r), all = ot_sort_room(n);
    struct work w;

    w.key = (uint64_t *)scratch;
    w.all = w.key + 2 * n;
    w.box = (float *)(w.all + n);
    if (g->max_per_image <= 0)
        return;
    for (int i = 0; i < g->n; i++) {
        if (n) {
            OT_LAUNCH(dev, decode, ot_grid((size_t)g->classes * room), OT_THREADS, *g, i, room,
                      rois, prob, pred, im_info + 3 * i, w);
            ot_cuda_sort(dev, w.key, room, (unsigned)g->classes, 2 * r);
            OT_LAUNCH(dev, suppress, (unsigned)g->classes, OT_BLOCK, *g, prob, w);
            OT_LAUNCH(dev, join, ot_grid(all), OT_THREADS, n, all, w);
            ot_cuda_sort(dev, w.key, all, 1, all);
        }
        OT_LAUNCH(dev, write_out, ot_grid((size_t)g->max_per_image), OT_THREADS, *g, i, prob, w,
                  det + (size_t)i * (size_t)g->max_per_image * 7);
    }
}
