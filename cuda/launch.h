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

/* A large argument of a kernel, which threads read and none changes. */
#    define OT_ARGUMENT(type) const __grid_constant__ type
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
    const unsigned long long place = index < 0xffffffffu ? index : 0xffffffffu;
    unsigned bits;

    memcpy(&bits, &value, sizeof bits);
    atomicMin(at, place << 32 | bits);
}

/* Sum over groups of `width` lanes, the same bits in each: both sides of a pair add the same two
 * numbers.  All lanes of the warp must come here. */
template <class T> __device__ __forceinline__ static T ot_warp_sum(T v, unsigned width = OT_WARP)
{
    for (unsigned d = width / 2; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, (int)d);
    return v;
}

/* Sum over the block, the same in every thread; blockDim.x is a multiple of 32.  A tree of fixed
 * shape: the same bits on every run. */
template <class T> __device__ static T ot_block_sum(T v)
{
    __shared__ T part[OT_WARP];
    const unsigned lane = threadIdx.x % OT_WARP;

    v = ot_warp_sum(v);
    if (lane == 0)
        part[threadIdx.x / OT_WARP] = v;
    __syncthreads();
    v = lane < blockDim.x / OT_WARP ? part[lane] : T(0);
    __syncthreads();
    return ot_warp_sum(v);
}

/* Two sums over a grid. */
struct ot_sums {
    double a, b;
};

/*
 * Sums over the grid, in the launch itself: each block leaves its own in part[blockIdx.x], and the
 * one that arrives last adds them in the order of blocks, the same bits whichever it is.  There,
 * in every thread, the result is true and *s the sums.  arrived: ot_cuda_arrived(), 0 again after
 * the last block.  Source: CUDA C++ Programming Guide, on memory fence functions.
 */
__device__ static inline bool ot_grid_sum(struct ot_sums *s, struct ot_sums *part,
                                          unsigned *arrived)
{
    const volatile struct ot_sums *all = part;
    __shared__ bool last;

    s->a = ot_block_sum(s->a);
    s->b = ot_block_sum(s->b);
    if (gridDim.x == 1)
        return true;
    if (threadIdx.x == 0) {
        part[blockIdx.x] = *s;
        __threadfence();
        last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (!last)
        return false;
    s->a = s->b = 0.0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) {
        s->a += all[i].a;
        s->b += all[i].b;
    }
    s->a = ot_block_sum(s->a);
    s->b = ot_block_sum(s->b);
    return true;
}

/* How many threads before this one have `flag`, and *total of the block; blockDim.x is a multiple
 * of 32. */
__device__ static inline unsigned ot_block_rank(bool flag, unsigned *total)
{
    __shared__ unsigned count[OT_WARP];
    const unsigned lane = threadIdx.x % OT_WARP, warp = threadIdx.x / OT_WARP;
    const unsigned with = __ballot_sync(0xffffffffu, flag);
    unsigned before = (unsigned)__popc(with & ((1u << lane) - 1)), all = 0;

    if (lane == 0)
        count[warp] = (unsigned)__popc(with);
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / OT_WARP; w++) {
        before += w < warp ? count[w] : 0;
        all += count[w];
    }
    __syncthreads();
    *total = all;
    return before;
}

/*
 * A number that exactly m (1 <= m <= how many there are) of the distinct keys which key(i, &k)
 * yields for i in [0, n) do not exceed: 8 bits at a time from the top, counting, until the keys
 * with these bits are all among the m.  The same in every thread.
 */
template <class Key> __device__ static uint64_t ot_block_select(size_t n, size_t m, Key key)
{
    __shared__ unsigned count[256];
    __shared__ uint64_t prefix;
    __shared__ size_t rest;
    __shared__ bool settled;

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
            settled = rest == count[b];
        }
        __syncthreads();
        if (settled)
            return shift ? ((prefix + 1) << shift) - 1 : prefix;
    }
    return prefix;
}

#endif
