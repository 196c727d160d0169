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

/*
 * The same with the overlaps found beforehand by the whole GPU: bit j % 64 of
 * mask[i][j / 64] says that candidate i suppresses a later candidate j.  One block then goes
 * through 64 candidates at a time; blockDim.x is 64 at least, n at most OT_NMS_MOST.
 * The work before is (candidates x candidates), so that is for lists of which much is kept.
 */
constexpr size_t OT_NMS_MOST = 32768, OT_NMS_WORD = 64;

OT_HD size_t ot_nms_words(size_t n)
{
    return (n + OT_NMS_WORD - 1) / OT_NMS_WORD;
}

/* Lists of n keys each, `stride` keys and `box_stride` floats apart; mask: lists x n x words. */
void ot_cuda_nms_mask(struct ot_dev *dev, unsigned lists, const uint64_t *key, size_t stride,
                      size_t n, const float *box, size_t box_stride, float thresh,
                      unsigned long long *mask);

/* Which of the 64 candidates are kept, by one thread; alive: those not suppressed so far. */
__device__ static inline unsigned
ot_nms_settle(unsigned long long alive, const unsigned long long *own, unsigned most, uint8_t *list)
{
    unsigned n = 0;

    while (alive && n < most) {
        const int b = __ffsll((long long)alive) - 1;

        list[n++] = (uint8_t)b;
        alive &= ~(own[b] | 1ull << b);
    }
    return n;
}

__device__ static inline unsigned ot_block_nms_mask(const uint64_t *key, size_t n,
                                                    const unsigned long long *mask, unsigned most,
                                                    uint32_t *kept)
{
    __shared__ unsigned long long gone[OT_NMS_MOST / OT_NMS_WORD], own[2][OT_NMS_WORD];
    __shared__ uint8_t list[OT_NMS_WORD];
    __shared__ unsigned here;
    const size_t words = ot_nms_words(n);
    unsigned found = 0, real = 0;

    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        real += key[i] != OT_NO_KEY;
    real = ot_block_sum(real);
    for (size_t w = threadIdx.x; w < words; w += blockDim.x)
        gone[w] = real >= (w + 1) * OT_NMS_WORD ? 0
                  : real <= w * OT_NMS_WORD     ? ~0ull
                                                : ~0ull << real % OT_NMS_WORD;
    if (threadIdx.x < OT_NMS_WORD && threadIdx.x < real) /* the others' rows nobody wrote */
        own[0][threadIdx.x] = mask[threadIdx.x * words];
    __syncthreads();
    for (size_t w = 0; w * OT_NMS_WORD < real && found < most; w++) {
        const size_t first = w * OT_NMS_WORD, next = first + OT_NMS_WORD + threadIdx.x;

        if (threadIdx.x == 0)
            here = ot_nms_settle(~gone[w], own[w % 2], most - found, list);
        __syncthreads();
        if (threadIdx.x < here)
            kept[found + threadIdx.x] = (uint32_t)(key[first + list[threadIdx.x]] & 0xffffffffu);
        if (threadIdx.x < OT_NMS_WORD && next < real)
            own[(w + 1) % 2][threadIdx.x] = mask[next * words + w + 1];
        for (size_t v = w + 1 + threadIdx.x; v < words; v += blockDim.x) {
            unsigned long long more = gone[v];

            for (unsigned k = 0; k < here; k++)
                more |= mask[(first + list[k]) * words + v];
            gone[v] = more;
        }
        found += here;
        __syncthreads();
    }
    return found;
}

#endif
