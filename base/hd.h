/* hd.h - marks an inline function that is valid in C11 and in CUDA C++, on host and device. */
#ifndef OT_BASE_HD_H
#define OT_BASE_HD_H

#ifdef __CUDACC__
#    define OT_HD __host__ __device__ __forceinline__ static
#else
#    define OT_HD static inline
#endif

#endif
