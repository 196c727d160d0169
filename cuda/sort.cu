/*
 * sort.cu - bitonic sort of lists of distinct 64-bit keys, ascending; who of a sorted list of boxes
 * suppresses whom.
 *
 * Lists are short (anchors of an image, regions of a class) and padded with ~0 to a power of two.
 * Steps that stay inside a tile run in shared memory, the others are one launch each; all lists
 * go together.
 * Source: K. Batcher, "Sorting networks and their applications", AFIPS 1968.
 */
#include "cuda/sort.h"

/* A tile is 32 KiB; MOST_LISTS: what gridDim.y and .z can hold. */
constexpr unsigned TILE = 4096, TILE_THREADS = 1024, MOST_LISTS = 65535;

/* Puts the pair (i, i + j) of the step (k, j) in order. */
__device__ static inline void order(uint64_t *a, uint64_t *b, bool ascending)
{
    const uint64_t x = *a, y = *b;

    if ((x > y) == ascending) {
        *a = y;
        *b = x;
    }
}

/* Lower index of pair p in a step of distance j. */
__device__ static inline size_t lower(size_t p, size_t j)
{
    return 2 * p - (p & (j - 1));
}

/* Steps (k, j) for k in [first, last] and j below the tile's size. */
__global__ static void __launch_bounds__(TILE_THREADS)
    sort_tile(uint64_t *key, size_t stride, size_t tile, size_t first, size_t last)
{
    __shared__ uint64_t part[TILE];
    const size_t base = blockIdx.x * tile;

    key += blockIdx.y * stride + base;
    for (size_t i = threadIdx.x; i < tile; i += blockDim.x)
        part[i] = key[i];
    __syncthreads();
    for (size_t k = first; k <= last; k *= 2)
        for (size_t j = k / 2 < tile / 2 ? k / 2 : tile / 2; j > 0; j /= 2) {
            for (size_t p = threadIdx.x; p < tile / 2; p += blockDim.x) {
                size_t i = lower(p, j);

                order(&part[i], &part[i + j], ((base + i) & k) == 0);
            }
            __syncthreads();
        }
    for (size_t i = threadIdx.x; i < tile; i += blockDim.x)
        key[i] = part[i];
}

__global__ static void sort_step(uint64_t *key, size_t stride, size_t n, size_t k, size_t j)
{
    key += blockIdx.y * stride;
    OT_EACH (p, n / 2) {
        size_t i = lower(p, j);

        order(&key[i], &key[i + j], (i & k) == 0);
    }
}

void ot_cuda_sort(struct ot_dev *dev, uint64_t *key, size_t n, unsigned lists, size_t stride)
{
    const size_t tile = n < TILE ? n : TILE;
    const unsigned threads = tile < 2 * TILE_THREADS ? 256 : TILE_THREADS;

    if (n < 2 || lists == 0)
        return;
    if (lists > MOST_LISTS) {
        ot_cuda_sort(dev, key + MOST_LISTS * stride, n, lists - MOST_LISTS, stride);
        lists = MOST_LISTS;
    }
    OT_LAUNCH(dev, sort_tile, dim3((unsigned)(n / tile), lists), threads, key, stride, tile,
              (size_t)2, tile);
    for (size_t k = 2 * tile; k <= n; k *= 2) {
        for (size_t j = k / 2; j >= tile; j /= 2)
            OT_LAUNCH(dev, sort_step, dim3(ot_grid(n / 2), lists), OT_THREADS, key, stride, n, k,
                      j);
        OT_LAUNCH(dev, sort_tile, dim3((unsigned)(n / tile), lists), threads, key, stride, tile, k,
                  k);
    }
}

/* A block compares 64 candidates with 64 later ones, a thread one with all of these. */
__global__ static void __launch_bounds__(OT_NMS_WORD)
    nms_mask(const uint64_t *key, size_t stride, size_t n, const float *box, size_t box_stride,
             float thresh, unsigned long long *mask)
{
    __shared__ float other[OT_NMS_WORD][5]; /* and the area */
    const size_t words = ot_nms_words(n), from = blockIdx.x * OT_NMS_WORD;
    const size_t i = blockIdx.y * OT_NMS_WORD + threadIdx.x, j = from + threadIdx.x;
    unsigned long long bits = 0;

    if (blockIdx.x < blockIdx.y)
        return; /* earlier ones: nobody reads that */
    key += blockIdx.z * stride;
    box += blockIdx.z * box_stride;
    if (j < n && key[j] != OT_NO_KEY) {
        const float *c = box + 4 * (key[j] & 0xffffffffu);

        for (int k = 0; k < 4; k++)
            other[threadIdx.x][k] = c[k];
        other[threadIdx.x][4] = ot_nms_area(c);
    }
    __syncthreads();
    if (i >= n || key[i] == OT_NO_KEY)
        return;
    const float *b = box + 4 * (key[i] & 0xffffffffu);
    const float x1 = b[0], y1 = b[1], x2 = b[2], y2 = b[3], area = ot_nms_area(b);

    for (unsigned k = 0; k < OT_NMS_WORD && from + k < n && key[from + k] != OT_NO_KEY; k++)
        if (from + k > i && ot_nms_iou(x1, y1, x2, y2, area, other[k], other[k][4]) > thresh)
            bits |= 1ull << k;
    mask[(blockIdx.z * n + i) * words + blockIdx.x] = bits;
}

void ot_cuda_nms_mask(struct ot_dev *dev, unsigned lists, const uint64_t *key, size_t stride,
                      size_t n, const float *box, size_t box_stride, float thresh,
                      unsigned long long *mask)
{
    const unsigned words = (unsigned)ot_nms_words(n);

    OT_LAUNCH(dev, nms_mask, dim3(words, words, lists), (unsigned)OT_NMS_WORD, key, stride, n, box,
              box_stride, thresh, mask);
}
