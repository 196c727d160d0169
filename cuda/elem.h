/*
 * elem.h - the values of blobs as kernels see them: fp32 in arithmetic, float or bf16 in memory.
 *
 * T is float or struct ot_bf16.  A thread moves V values at once: OT_LANES<T> of them are 16
 * bytes, the widest access there is; their address must be a multiple of that (ot_aligned()).
 */
#ifndef OT_CUDA_ELEM_H
#define OT_CUDA_ELEM_H

#include "cuda/launch.h"
#include "layers/bf16_math.h"

#ifdef OT_CUDA_ON_HOST
#    define OT_UNROLL
#else
#    define OT_UNROLL _Pragma("unroll")
#endif

struct ot_bf16 {
    uint16_t bits;
};

template <class T> constexpr unsigned OT_LANES = 16 / sizeof(T);

/* Calls function<T>(...) for the type's T. */
#define OT_BY_TYPE(type, function, ...) \
    ((type) == OT_BF16 ? function<struct ot_bf16>(__VA_ARGS__) : function<float>(__VA_ARGS__))

/* What moves as one, whatever type it is of. */
template <unsigned BYTES> struct __attribute__((may_alias, aligned(BYTES))) ot_chunk {
    uint32_t w[BYTES / 4];
};

/* Of a struct, CUDA's own vectors included, the compiler may make several accesses, and does where
 * it stores under a condition: so that is said in PTX.  p: global memory. */
template <unsigned BYTES> __device__ __forceinline__ static ot_chunk<BYTES> ot_take(const void *p)
{
#ifndef OT_CUDA_ON_HOST
    if constexpr (BYTES == 16) {
        const uint4 v = *(const uint4 *)p;

        return { { v.x, v.y, v.z, v.w } };
    } else if constexpr (BYTES == 8) {
        const uint2 v = *(const uint2 *)p;

        return { { v.x, v.y } };
    }
#endif
    return *(const ot_chunk<BYTES> *)p;
}

template <unsigned BYTES>
__device__ __forceinline__ static void ot_leave(void *p, const ot_chunk<BYTES> &c)
{
#ifndef OT_CUDA_ON_HOST
    if constexpr (BYTES == 16) {
        asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)),
                     "r"(c.w[0]), "r"(c.w[1]), "r"(c.w[2]), "r"(c.w[3])
                     : "memory");
        return;
    } else if constexpr (BYTES == 8) {
        asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(p)),
                     "r"(c.w[0]), "r"(c.w[1])
                     : "memory");
        return;
    }
#endif
    *(ot_chunk<BYTES> *)p = c;
}

__device__ __forceinline__ static float ot_get(const float *x)
{
    return *x;
}

__device__ __forceinline__ static float ot_get(const struct ot_bf16 *x)
{
    return ot_bf16_to(x->bits);
}

__device__ __forceinline__ static void ot_put(float *y, float v)
{
    *y = v;
}

__device__ __forceinline__ static void ot_put(struct ot_bf16 *y, float v)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y->bits) : "f"(v));
#else
    y->bits = ot_bf16_from(v);
#endif
}

/* Two values as the halves of a word, the first one lower. */
__device__ __forceinline__ static uint32_t ot_bf16_pair(float a, float b)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t both;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(b), "f"(a));
    return both;
#else
    return (uint32_t)ot_bf16_from(b) << 16 | ot_bf16_from(a);
#endif
}

__device__ __forceinline__ static float ot_word(uint32_t w)
{
    float v;

    memcpy(&v, &w, sizeof v);
    return v;
}

/* v[0..V) = x[0..V) */
template <unsigned V> __device__ __forceinline__ static void ot_load(const float *x, float *v)
{
    if constexpr (V % 4 == 0) {
        OT_UNROLL
        for (unsigned i = 0; i < V; i += 4) {
            const ot_chunk<16> c = ot_take<16>(x + i);

            OT_UNROLL
            for (unsigned k = 0; k < 4; k++)
                v[i + k] = ot_word(c.w[k]);
        }
    } else {
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            v[i] = x[i];
    }
}

template <unsigned V>
__device__ __forceinline__ static void ot_load(const struct ot_bf16 *x, float *v)
{
    if constexpr (V == 4 || V == 8) {
        const ot_chunk<2 *V> c = ot_take<2 * V>(x);

        OT_UNROLL
        for (unsigned i = 0; i < V / 2; i++) {
            v[2 * i] = ot_word(c.w[i] << 16);
            v[2 * i + 1] = ot_word(c.w[i] & 0xffff0000u);
        }
    } else {
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            v[i] = ot_get(x + i);
    }
}

/* y[0..V) = v[0..V) */
template <unsigned V> __device__ __forceinline__ static void ot_store(float *y, const float *v)
{
    if constexpr (V % 4 == 0) {
        OT_UNROLL
        for (unsigned i = 0; i < V; i += 4) {
            ot_chunk<16> c;

            memcpy(c.w, v + i, sizeof c);
            ot_leave(y + i, c);
        }
    } else {
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            y[i] = v[i];
    }
}

template <unsigned V>
__device__ __forceinline__ static void ot_store(struct ot_bf16 *y, const float *v)
{
    if constexpr (V == 4 || V == 8) {
        ot_chunk<2 * V> c;

        OT_UNROLL
        for (unsigned i = 0; i < V / 2; i++)
            c.w[i] = ot_bf16_pair(v[2 * i], v[2 * i + 1]);
        ot_leave(y, c);
    } else {
        OT_UNROLL
        for (unsigned i = 0; i < V; i++)
            ot_put(y + i, v[i]);
    }
}

/* Whether accesses of 16 bytes may begin there; NULL is fine. */
static inline bool ot_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

#endif
