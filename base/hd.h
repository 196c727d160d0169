/*
 * hd.h - marks an inline function that is valid in C11 and in CUDA C++, on host and device.
 *
 * Floating point is not contracted on either (decisions must be the same), so where a few
 * units in the last place do not matter and the time does, OT_FMA(a, b, c) says a * b + c: one
 * instruction of a GPU, rounded once there.
 */
#ifndef OT_BASE_HD_H
#define OT_BASE_HD_H

#ifdef __CUDACC__
#    define OT_HD           __host__ __device__ __forceinline__ static
#    define OT_FMA(a, b, c) fmaf((a), (b), (c))
#else
#    define OT_HD           static inline
#    define OT_FMA(a, b, c) ((a) * (b) + (c))
#endif

#endif
