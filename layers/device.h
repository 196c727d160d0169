/*
 * device.h - where tensors live and kernels run.
 *
 * A device is two tables: `ops` (memory and transfers) and `k` (one function per line of
 * kernels.def).  Both are complete or the program does not link; nothing falls back to another
 * device.  Kernels return void: a device latches its first failure, later kernels may do
 * nothing, and the net asks ot_dev_ok() once per iteration.
 *
 * A device is a queue: what is asked of it is done in order, later (the CPU does it at once).
 * Nothing waits but sync, download, wait, and alloc and free of memory in use.  So a loop reads
 * with fetch, mark and wait: the values of one iteration while the next one runs.
 *
 *     dev->ops->fetch(dev, host, t->data, bytes);   host: of host_alloc
 *     m = dev->ops->mark(dev);
 *     ... the next iteration is asked for ...
 *     dev->ops->wait(dev, m);                       now host[] is there, and what kernels before
 *                                                   the mark found wrong is latched
 *
 * Work that is the same in every iteration can be recorded once and replayed (CUDA graphs):
 *
 *     if (!dev->ops->replay(dev, key)) {
 *         bool on = dev->ops->record(dev, key);     false: what follows is done as always
 *         ... kernels ...
 *         if (on && !dev->ops->launch(dev)) ...     nothing was done: it cannot be recorded
 *     }
 *
 * While recording only kernels may be called, with memory that stays where it is; what changes
 * from one iteration to the next they read from the device's copy of `step`.
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
    /* host is free when it returns; if it is of host_alloc, when a later mark has been waited for
     */
    void (*upload)(struct ot_dev *dev, void *dst, const void *host, size_t bytes);
    void (*download)(struct ot_dev *dev, void *host, const void *src, size_t bytes); /* waits */
    void (*sync)(struct ot_dev *dev);
    void (*close)(struct ot_dev *dev);
    void (*step)(struct ot_dev *dev, const struct ot_step *step); /* ot_dev_step() */
    /* host memory that the device reaches by itself (pinned); zeroed */
    void *(*host_alloc)(struct ot_dev *dev, size_t bytes, struct ot_err *err);
    void (*host_free)(struct ot_dev *dev, void *p); /* NULL is fine; waits for what uses it */
    void (*fetch)(struct ot_dev *dev, void *host, const void *src, size_t bytes);
    uint64_t (*mark)(struct ot_dev *dev); /* a place in the queue; later marks are greater, > 0 */
    void (*wait)(struct ot_dev *dev, uint64_t mark); /* all before that place; 0: nothing */
    bool (*replay)(struct ot_dev *dev, uint64_t key);
    bool (*record)(struct ot_dev *dev, uint64_t key);
    bool (*launch)(struct ot_dev *dev); /* ends recording and does it; false: nothing was done,
                                           nothing stays latched (always so with the latch set) */
    void (*forget)(struct ot_dev *dev); /* all recordings: before memory moves or is freed */
};

struct ot_dev {
    const struct ot_kernels *k; /* never NULL, never partly filled */
    const struct ot_dev_ops *ops;
    char name[64];         /* "cpu", "cuda:0" */
    char what[128];        /* for people: "oneDNN 2.6.3, 2 threads, avx512_core" */
    struct ot_err latch;   /* first failure; code OT_OK while all is well */
    struct ot_step step;   /* the host's copy: read-only, see ot_dev_step() */
    char distrusted[96];   /* a library's kernel that is not used, as it computed something else */
    char passed_over[160]; /* why "auto" did not take a GPU; "": it did, or was not asked to */
    char unrecorded[96];   /* why nothing is recorded any more; "": it is, or was not asked for */
    char chosen[128];  /* for people: what convolutions run as, so far; "": nothing was chosen */
    const char *where; /* the layer that runs, for failures that are found later; may be NULL */
    bool late_faults;  /* bad data is found by kernels and latched by wait, sync and download */
    void *impl;        /* the backend's own state */
};

enum ot_compute { /* of convolution and inner product, on a GPU */
                  OT_COMPUTE_FP32,
                  OT_COMPUTE_TF32, /* fp32 values, products of 10 bits of mantissa */
                  OT_COMPUTE_BF16  /* blobs are stored in bf16, sums are fp32 */
};

struct ot_dev_conf {
    int threads; /* 0: all cores (CPU only) */
    enum ot_compute compute;
    bool deterministic;     /* the same bits on every run: nothing is chosen by measuring */
    bool no_record;         /* nothing is recorded and replayed */
    size_t workspace_bytes; /* of a convolution, at most; 0: 1 GiB */
};

/* "cpu", "cuda", "cuda:N" or "auto": cuda:0 if there is one, and the log says what and why not. */
struct ot_dev *ot_dev_open_conf(const char *name, const struct ot_dev_conf *conf,
                                struct ot_err *err);
/* With no configuration but the threads, and deterministic. */
struct ot_dev *ot_dev_open(const char *name, int threads, struct ot_err *err);
void ot_dev_close(struct ot_dev *dev); /* NULL is fine */

/* Says what kernels find in `step` from now on. */
static inline void ot_dev_step(struct ot_dev *dev, const struct ot_step *step)
{
    dev->step = *step;
    dev->ops->step(dev, step);
}

/* 0, or the first failure of any kernel since the last call (which clears it). */
int ot_dev_ok(struct ot_dev *dev, struct ot_err *err);

/* The one way for a kernel to fail. */
#define ot_dev_fail(dev, code_, ...) \
    ((dev)->latch.code == OT_OK ? (void)ot_fail(&(dev)->latch, (code_), __VA_ARGS__) : (void)0)

/* The doors of the two devices; ot_dev_open() calls them. */
struct ot_dev *ot_cpu_open(const struct ot_dev_conf *conf, struct ot_err *err);
struct ot_dev *ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err);

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
