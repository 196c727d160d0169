/*
 * sort.cu - bitonic sort of lists of distinct 64-bit keys, ascending.
 *
 * Lists are short (anchors of an image, regions of a class) and padded with ~0 to a power of two.
 * Steps that stay inside a tile run in shared memory, the others are one launch each; all lists
 * go together.
 * Source: K. Batcher, "Sorting networks and their applications", AFIPS 1968.
 */
#include "cuda/sort.h"

constexpr unsigned TILE = 2 * OT_BLOCK, MOST_LISTS = 65535; /* what gridDim.y can hold */

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
__global__ static void sort_tile(uint64_t *key, size_t stride, size_t tile, size_t first,
                                 size_t last)
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

    if (n < 2 || lists == 0)
        return;
    if (lists > MOST_LISTS) {
        ot_cuda_sort(dev, key + MOST_LISTS * stride, n, lists - MOST_LISTS, stride);
        lists = MOST_LISTS;
    }
    OT_LAUNCH(dev, sort_tile, dim3((unsigned)(n / tile), lists), OT_BLOCK, key, stride, tile,
              (size_t)2, tile);
    for (size_t k = 2 * tile; k <= n; k *= 2) {
        for (size_t j = k / 2; j >= tile; j /= 2)
            OT_LAUNCH(dev, sort_step, dim3(ot_grid(n / 2), lists), OT_THREADS, key, stride, n, k,
                      j);
        OT_LAUNCH(dev, sort_tile, dim3((unsigned)(n / tile), lists), OT_BLOCK, key, stride, tile, k,
                  k);
    }
}
