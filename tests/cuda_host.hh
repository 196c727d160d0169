// cuda_host.hh - lets the sources of cuda/ compile as plain C++ and run on the host (test only).
//
// A launch keeps its arguments by value and goes to the device (ot_host_launch), which runs it
// on fibres when its turn comes (cuda_fibres.hh).  Used by
// `g++ -x c++ -include tests/cuda_host.hh cuda/x.cu`.
#ifndef OT_TESTS_CUDA_HOST_HH
#define OT_TESTS_CUDA_HOST_HH

#define OT_CUDA_ON_HOST 1

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#ifndef __CUDA_RUNTIME_API_H__ // CUDA's own headers, included before, have these names

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__ __restrict
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __constant__ static
#define __shared__ static

struct dim3 {
    unsigned x, y, z;

    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
struct alignas(16) double2 { double x, y; };

static inline float2 make_float2(float x, float y) { return { x, y }; }
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
static inline int2 make_int2(int x, int y) { return { x, y }; }
static inline int4 make_int4(int x, int y, int z, int w) { return { x, y, z, w }; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return { x, y, z, w };
}
static inline double2 make_double2(double x, double y) { return { x, y }; }

#endif

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---- what a block and a warp do together ------------------------------------------------------

void *ot_host_dynamic_shared(); // garbage when a block begins
void __syncthreads();
void __syncwarp(unsigned mask = ~0u);
unsigned __ballot_sync(unsigned mask, int predicate);
void ot_host_shuffle(unsigned mask, void *v, size_t bytes, unsigned lane);
unsigned ot_host_lane();

static inline int __any_sync(unsigned mask, int p)
{
    return __ballot_sync(mask, p) != 0;
}

static inline int __all_sync(unsigned mask, int p)
{
    return __ballot_sync(mask, !p) == 0;
}

// Lanes are counted within groups of `width`, a power of two; one that would be fetched from
// outside its group is one's own.
template <class T> static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32)
{
    static_assert(sizeof v == 4 || sizeof v == 8, "what a GPU shuffles");
    const unsigned w = static_cast<unsigned>(width), own = ot_host_lane();

    ot_host_shuffle(mask, &v, sizeof v, own / w * w + static_cast<unsigned>(lane) % w);
    return v;
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32)
{
    static_assert(sizeof v == 4 || sizeof v == 8, "what a GPU shuffles");
    const unsigned w = static_cast<unsigned>(width), own = ot_host_lane();
    const unsigned from = own ^ static_cast<unsigned>(lanes);

    ot_host_shuffle(mask, &v, sizeof v, from < (own / w + 1) * w ? from : own);
    return v;
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    static_assert(sizeof v == 4 || sizeof v == 8, "what a GPU shuffles");
    const unsigned w = static_cast<unsigned>(width), own = ot_host_lane();

    ot_host_shuffle(mask, &v, sizeof v, own % w + by < w ? own + by : own);
    return v;
}

template <class T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    static_assert(sizeof v == 4 || sizeof v == 8, "what a GPU shuffles");
    const unsigned w = static_cast<unsigned>(width), own = ot_host_lane();

    ot_host_shuffle(mask, &v, sizeof v, own % w >= by ? own - by : own);
    return v;
}

// The lanes that came here with the same value.
template <class T> static inline unsigned __match_any_sync(unsigned mask, T v)
{
    unsigned same = 0;

    for (int l = 0; l < 32; l++)
        if (mask >> l & 1)
            same |= static_cast<unsigned>(__shfl_sync(mask, v, l) == v) << l;
    return same;
}

// ---- atomics, memory, bits --------------------------------------------------------------------

void ot_race_atomic(const void *at, size_t bytes);

#define OT_ATOMIC template <class T> __attribute__((no_sanitize("thread"))) static inline

OT_ATOMIC T atomicExch(T *at, T v)
{
    T old = *at;

    ot_race_atomic(at, sizeof *at);
    *at = v;
    return old;
}

OT_ATOMIC T atomicAdd(T *at, T v)
{
    return atomicExch(at, static_cast<T>(*at + v));
}

OT_ATOMIC T atomicMin(T *at, T v)
{
    return atomicExch(at, v < *at ? v : *at);
}

OT_ATOMIC T atomicMax(T *at, T v)
{
    return atomicExch(at, v > *at ? v : *at);
}

OT_ATOMIC T atomicOr(T *at, T v)
{
    return atomicExch(at, static_cast<T>(*at | v));
}

OT_ATOMIC T atomicAnd(T *at, T v)
{
    return atomicExch(at, static_cast<T>(*at & v));
}

OT_ATOMIC T atomicCAS(T *at, T expected, T v)
{
    return atomicExch(at, *at == expected ? v : *at);
}

__attribute__((no_sanitize("thread"))) static inline unsigned atomicInc(unsigned *at,
                                                                      unsigned last)
{
    return atomicExch(at, *at >= last ? 0u : *at + 1);
}

static inline void __threadfence()
{
}

static inline void __threadfence_block()
{
}

template <class T> static inline T __ldg(const T *p)
{
    return *p;
}

template <class T> static inline T __ldcs(const T *p)
{
    return *p;
}

template <class T> static inline void __stcs(T *p, T v)
{
    *p = v;
}

static inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}

static inline int __popcll(unsigned long long v)
{
    return __builtin_popcountll(v);
}

static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

static inline int __ffsll(long long v)
{
    return __builtin_ffsll(v);
}

static inline int __clz(int v)
{
    return v ? __builtin_clz(static_cast<unsigned>(v)) : 32;
}

template <class To, class From> static inline To ot_host_bits(From v)
{
    To to;

    static_assert(sizeof to == sizeof v, "as many bits");
    memcpy(&to, &v, sizeof to);
    return to;
}

static inline unsigned __float_as_uint(float v)
{
    return ot_host_bits<unsigned>(v);
}

static inline float __uint_as_float(unsigned v)
{
    return ot_host_bits<float>(v);
}

static inline int __float_as_int(float v)
{
    return ot_host_bits<int>(v);
}

static inline float __int_as_float(int v)
{
    return ot_host_bits<float>(v);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}

static inline float rsqrtf(float v)
{
    return 1.0f / sqrtf(v);
}

// ---- launching --------------------------------------------------------------------------------

struct ot_dev;
void ot_host_launch(struct ot_dev *dev, const char *kernel, dim3 grid, dim3 block, size_t shared,
                    std::function<void()> call);

// The arguments are copied when the kernel is launched, as on a device.
template <class F, class... A>
static void ot_host_queue(struct ot_dev *dev, const char *kernel, dim3 grid, dim3 block,
                          size_t shared, F f, A... args)
{
    ot_host_launch(dev, kernel, grid, block, shared, [f, args...] { f(args...); });
}

#define OT_LAUNCH(dev, kernel, grid, block, ...) \
    OT_LAUNCH_SHARED(dev, kernel, grid, block, 0, __VA_ARGS__)

#define OT_LAUNCH_SHARED(dev, kernel, grid, block, shared, ...)                            \
    do {                                                                                   \
        if ((dev)->latch.code == OT_OK)                                                    \
            ot_host_queue((dev), #kernel, (grid), (block), (shared),                       \
                          [](const auto &...a) { kernel(a...); }, __VA_ARGS__);                   \
    } while (0)

// Kept once per launch, not copied for every thread.
#define OT_ARGUMENT(type) const type &

#endif
