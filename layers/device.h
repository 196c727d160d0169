/*
 * device.h - where tensors live and kernels run.
 *
 * A device is two tables: `ops` (memory and transfers) and `k` (one function per line of
 * kernels.def).  Both are complete or the program does not link; nothing falls back to another
 * device.  Kernels return void: a device latches its first failure, later kernels may do
 * nothing, and the net asks ot_dev_ok() once per iteration.
 *
 * The CPU device is layers/cpu_device.c (kernels in *_cpu.c, oneDNN behind them); the CUDA
 * device is cuda/ (or cuda/none.c in a build without it).
 *
 * Ownership: ot_dev_open() returns owned, ot_dev_close() frees with all formats of the device.
 * Threads: a device belongs to the thread that runs the net.
 */
#ifndef OT_LAYERS_DEVICE_H
#define OT_LAYERS_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "layers/geom.h"
#include "layers/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ot_dev;
struct ot_plan; /* a kernel's prepared state for one geometry (oneDNN primitives, cuDNN plans) */

struct ot_kernels {
#define K(name, params, args) void(*name) params;
#include "layers/kernels.def"
#undef K
};

struct ot_dev_ops {
    void *(*alloc)(struct ot_dev *dev, size_t bytes, struct ot_err *err); /* zeroed, 64-aligned */
    void (*free)(struct ot_dev *dev, void *p);
    void (*upload)(struct ot_dev *dev, void *dst, const void *host, size_t bytes);
    void (*download)(struct ot_dev *dev, void *host, const void *src, size_t bytes); /* waits */
    void (*sync)(struct ot_dev *dev);
    void (*close)(struct ot_dev *dev);
};

struct ot_dev {
    const struct ot_kernels *k; /* never NULL, never partly filled */
    const struct ot_dev_ops *ops;
    char name[64];       /* "cpu", "cuda:0" */
    char what[128];      /* for people: "oneDNN 2.6.3, 2 threads, avx512_core" */
    struct ot_err latch; /* first failure; code OT_OK while all is well */
    void *impl;          /* the backend's own state */
};

/* "cpu", "cuda", "cuda:N" or "auto"; threads: 0 = all cores (CPU only). */
struct ot_dev *ot_dev_open(const char *name, int threads, struct ot_err *err);
void ot_dev_close(struct ot_dev *dev); /* NULL is fine */

/* 0, or the first failure of any kernel since the last call (which clears it). */
int ot_dev_ok(struct ot_dev *dev, struct ot_err *err);

/* The one way for a kernel to fail. */
#define ot_dev_fail(dev, code_, ...) \
    ((dev)->latch.code == OT_OK ? (void)ot_fail(&(dev)->latch, (code_), __VA_ARGS__) : (void)0)

/* The doors of the two devices; ot_dev_open() calls them. */
struct ot_dev *ot_cpu_open(int threads, struct ot_err *err);
struct ot_dev *ot_cuda_open(int index, struct ot_err *err);

#define K(name, params, args)  \
    void ot_cpu_##name params; \
    void ot_cuda_##name params;
#include "layers/kernels.def"
#undef K

extern const struct ot_kernels ot_cpu_kernels;
extern const struct ot_kernels ot_cuda_kernels;

#ifdef __cplusplus
}
#endif

#endif
