/*
 * sort.h - ranking and non-maximum suppression on the device.
 *
 * A key is ot_rank_of(score, id): ascending keys are descending scores, and the low half says
 * whose score it is.  OT_NO_KEY pads lists and sorts last.
 */
#ifndef OT_CUDA_SORT_H
#define OT_CUDA_SORT_H

#include "cuda/launch.h"
#include "layers/region_math.h"

constexpr uint64_t OT_NO_KEY = ~(uint64_t)0;

/* The power of two that holds n keys; less than 2 n for n > 0. */
static inline size_t ot_sort_room(size_t n)
{
    size_t p = 1;

    while (p < n)
        p *= 2;
    return p;
}

/* Sorts lists of n = ot_sort_room() keys each, `stride` keys apart. */
void ot_cuda_sort(struct ot_dev *dev, uint64_t *key, size_t n, unsigned lists, size_t stride);

/*
 * Greedy NMS by one block over n sorted keys, box[id][4]: a candidate is kept unless one kept
 * before overlaps it by more than `thresh`.  Ends when `most` are kept or keys run out; ids go to
 * kept[].  Returns how many are kept, in every thread.
 *
 * A tile of candidates, one per thread, is first compared with all that is kept, then settled in
 * order: the work is (candidates x kept), the barriers are as many as boxes are kept.
 */
__device__ static inline unsigned ot_block_nms(const uint64_t *key, size_t n, const float *box,
                                               float thresh, unsigned most, uint32_t *kept)
{
    __shared__ bool alive[1024];
    unsigned found = 0;

    for (size_t from = 0; from < n && found < most && key[from] != OT_NO_KEY; from += blockDim.x) {
        const size_t j = from + threadIdx.x;
        const float *c = box;
        float area = 0.0f;
        bool ok = j < n && key[j] != OT_NO_KEY;

        if (ok) {
            c = box + 4 * (key[j] & 0xffffffffu);
            area = ot_nms_area(c);
        }
        for (unsigned i = 0; ok && i < found; i++) {
            const float *b = box + 4 * (size_t)kept[i];

            ok = !(ot_nms_iou(b[0], b[1], b[2], b[3], ot_nms_area(b), c, area) > thresh);
        }
        alive[threadIdx.x] = ok;
        __syncthreads();
        for (unsigned t = 0; found < most; t++) {
            const float *b;

            while (t < blockDim.x && !alive[t])
                t++;
            if (t == blockDim.x)
                break;
            b = box + 4 * (key[from + t] & 0xffffffffu);
            if (threadIdx.x == t)
                kept[found] = (uint32_t)(key[j] & 0xffffffffu);
            found++;
            if (threadIdx.x > t && alive[threadIdx.x] &&
                ot_nms_iou(b[0], b[1], b[2], b[3], ot_nms_area(b), c, area) > thresh)
                alive[threadIdx.x] = false;
            __syncthreads();
        }
        __syncthreads();
    }
    return found;
}

#endif
