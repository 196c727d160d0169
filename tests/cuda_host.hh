// cuda_host.hh - lets the sources of cuda/ compile as plain C++ and run on the host (test only).
//
// A kernel runs block after block; a block's threads are fibres that switch at barriers and warp
// shuffles, so shared memory, barriers, shuffles and atomics mean what they mean on a GPU.  Used
// by `g++ -x c++ -include tests/cuda_host.hh cuda/x.cu`.
#ifndef OT_TESTS_CUDA_HOST_HH
#define OT_TESTS_CUDA_HOST_HH

#define OT_CUDA_ON_HOST 1

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __shared__ static

struct dim3 {
    unsigned x, y, z;

    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

void __syncthreads();
void __syncwarp(unsigned mask = ~0u);
float __shfl_xor_sync(unsigned mask, float v, int lane);

template <class T> static inline T atomicAdd(T *at, T v)
{
    T old = *at;

    *at += v;
    return old;
}

template <class T> static inline T atomicMin(T *at, T v)
{
    T old = *at;

    *at = v < old ? v : old;
    return old;
}

template <class T> static inline T atomicMax(T *at, T v)
{
    T old = *at;

    *at = v > old ? v : old;
    return old;
}

struct ot_dev;
void ot_host_launch(struct ot_dev *dev, dim3 grid, dim3 block, void (*call)(void *), void *what);

template <class F> static void ot_host_call(void *f)
{
    (*static_cast<F *>(f))();
}

template <class F> static void ot_host_run(struct ot_dev *dev, dim3 grid, dim3 block, F f)
{
    ot_host_launch(dev, grid, block, ot_host_call<F>, &f);
}

#define OT_LAUNCH(dev, kernel, grid, block, ...)                                     \
    do {                                                                             \
        if ((dev)->latch.code == OT_OK)                                              \
            ot_host_run((dev), (grid), (block), [&] { kernel(__VA_ARGS__); });       \
    } while (0)

#endif
