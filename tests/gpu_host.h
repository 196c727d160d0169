/*
 * gpu_host.h - a device of cuda/'s kernels on the host: on the fake of CUDA's libraries
 * (gpu_fake.h) where CUDA's headers are, else a small one of its own (cuda_host.cc).
 *
 * Weak: absent where there is no C++ compiler.  Threads: one.
 */
#ifndef OT_TESTS_GPU_HOST_H
#define OT_TESTS_GPU_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layers/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Owned.  The small device knows no configuration. */
struct ot_dev *ot_test_cuda_host(const struct ot_dev_conf *conf, struct ot_err *err);

/* In which order threads, blocks and what is queued run from now on: 0 ascending and as late as
 * can be, 1 descending and at once, any other number seeds a random order. */
void ot_test_cuda_way(uint64_t way);

/* Wrong use noted since the last call: a barrier not all threads reach, memory written out of
 * bounds, and so on; the first one in words.  Clears. */
bool ot_test_cuda_wrong(char *what, size_t n);

extern const bool ot_test_cuda_libraries; /* cuDNN's and cuBLAS's calls run too */

#pragma weak ot_test_cuda_host
#pragma weak ot_test_cuda_way
#pragma weak ot_test_cuda_wrong
#pragma weak ot_test_cuda_libraries

#ifdef __cplusplus
}
#endif

#endif
