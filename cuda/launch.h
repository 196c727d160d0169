/*
 * launch.h - what the .cu files share: launching, loops over elements, and the building blocks of
 * one thread block: sums, ordered placing, selection, sorting.
 *
 * Everything is deterministic: sums have a fixed shape, atomics are on integers only.  A source
 * includes no other CUDA header, so that a header which defines OT_CUDA_ON_HOST and the same few
 * names can compile it as plain C++ where there is no GPU.
 */
#ifndef OT_CUDA_LAUNCH_H
#define OT_CUDA_LAUNCH_H

#include "cuda/cuda_i.h"

#ifndef OT_CUDA_ON_HOST
#    include <cuda_runtime.h>

extern "C" cudaStream_t ot_cuda_stream(struct ot_dev *dev);

/* After a failure kernels do nothing more. */
#    define OT_LAUNCH(dev, kernel, grid, block, ...)                              \
        do {                                                                      \
            if ((dev)->latch.code == OT_OK) {                                     \
                kernel<<<(grid), (block), 0, ot_cuda_stream(dev)>>>(__VA_ARGS__); \
                ot_cuda_launched((dev), #kernel);                                 \
            }                                                                     \
        } while (0)
#endif

/* Threads of a block for loops over elements; of one that works on a whole image; of a warp. */
constexpr unsigned OT_THREADS = 256, OT_BLOCK = 512, OT_WARP = 32;

/* Blocks for a loop over n elements (OT_EACH): at least one, at most `most`. */
static inline unsigned ot_grid(size_t n, size_t most = 8192)
{
    size_t blocks = (n + OT_THREADS - 1) / OT_THREADS;

    return (unsigned)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

#define OT_EACH(i, n)                                                       \
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (n); \
         i += (size_t)gridDim.x * blockDim.x)

/* Records what is wrong: see ot_cuda_fault(). */
__device__ __forceinline__ static void ot_fault(unsigned long long *at, size_t index, float value)
{
    unsigned bits;

    memcpy(&bits, &value, sizeof bits);
    atomicMin(at, (unsigned long long)index << 32 | bits);
}

/* Sum over the block, the same in every thread; blockDim.x is OT_THREADS or a multiple of 32 up
 * to 1024.  A tree of fixed shape: the same bits on every run. */
template <class T> __device__ static T ot_block_sum(T v)
{
    __shared__ T part[1024];
    T sum;

    part[threadIdx.x] = v;
    __syncthreads();
    for (unsigned half = 512; half > 0; half /= 2) {
        if (threadIdx.x < half && threadIdx.x + half < blockDim.x)
            part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    sum = part[0];
    __syncthreads();
    return sum;
}

/* How many threads before this one have `flag`, and *total of the block. */
__device__ static inline unsigned ot_block_rank(bool flag, unsigned *total)
{
    __shared__ unsigned count[1024];
    unsigned before;

    count[threadIdx.x] = flag;
    __syncthreads();
    for (unsigned step = 1; step < blockDim.x; step *= 2) {
        unsigned add = threadIdx.x >= step ? count[threadIdx.x - step] : 0;

        __syncthreads();
        count[threadIdx.x] += add;
        __syncthreads();
    }
    before = count[threadIdx.x] - flag;
    *total = count[blockDim.x - 1];
    __syncthreads();
    return before;
}

/*
 * The m-th smallest (1 <= m <= how many there are) of the distinct keys that key(i, &k) yields for
 * i in [0, n): 8 bits at a time from the top, counting.  The same in every thread.
 */
template <class Key> __device__ static uint64_t ot_block_select(size_t n, size_t m, Key key)
{
    __shared__ unsigned count[256];
    __shared__ uint64_t prefix;
    __shared__ size_t rest;

    if (threadIdx.x == 0) {
        prefix = 0;
        rest = m;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (unsigned b = threadIdx.x; b < 256; b += blockDim.x)
            count[b] = 0;
        __syncthreads();
        for (size_t i = threadIdx.x; i < n; i += blockDim.x) {
            uint64_t k;

            if (key(i, &k) && (shift == 56 || k >> (shift + 8) == prefix))
                atomicAdd(&count[k >> shift & 0xff], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned b = 0;

            while (b < 255 && rest > count[b])
                rest -= count[b++];
            prefix = prefix << 8 | b;
        }
        __syncthreads();
    }
    return prefix;
}

#endif
