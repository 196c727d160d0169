/*
 * device_i.h - the state of the CUDA device, for the sources that call CUDA's libraries.
 *
 * Ownership: everything here belongs to the device and goes with it.
 */
#ifndef OT_CUDA_DEVICE_I_H
#define OT_CUDA_DEVICE_I_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "cuda/cuda_i.h"

/* Pinned memory and what was last read from it. */
struct ot_cuda_stage {
    void *mem;
    cudaEvent_t passed;
};

/* Device memory between the copy stream, which fills it, and the stream of all else. */
struct ot_cuda_staging {
    void *mem;
    size_t bytes;
    cudaEvent_t filled, taken;
};

/* Memory of host_alloc. */
struct ot_cuda_pinned {
    struct ot_cuda_pinned *next;
    void *mem;
    size_t bytes;
};

/* A place in the queue, with what kernels before it found wrong. */
struct ot_cuda_mark {
    cudaEvent_t passed;
    unsigned long long *fault; /* (OT_CUDA_FAULTS), pinned */
    bool open;                 /* not looked at */
};

enum { OT_SMALL_STAGES = 32, OT_STAGES = 4, OT_STAGINGS = 2, OT_MARKS = 16 };

struct ot_cuda_transfer {
    struct ot_cuda_stage small[OT_SMALL_STAGES], large[OT_STAGES];
    struct ot_cuda_staging staging[OT_STAGINGS];
    unsigned next_small, next_large, next_staging;
    struct ot_cuda_mark mark[OT_MARKS];
    uint64_t marked, seen;     /* the last mark made, looked at */
    unsigned long long *fault; /* (OT_CUDA_FAULTS) on the device */
};

struct ot_cuda_recording {
    uint64_t key;
    cudaGraphExec_t exec; /* NULL: none */
};

enum { OT_RECORDINGS = 32 };

struct ot_cuda_recorder {
    struct ot_cuda_recording list[OT_RECORDINGS];
    unsigned next;
    uint64_t key; /* of what is being recorded */
    bool on;
    bool spoilt; /* something was asked for that cannot be recorded, but will not be again */
    int failed;  /* so often */
    bool off;    /* too often: never again */
};

struct ot_cuda_choice; /* conv_choice.c */

/* Of the choices kept: algorithms, plans of graphs and those that fuse, algorithms only ranked. */
struct ot_cuda_chosen {
    int algos, plans, fused, ranked;
};

struct ot_cuda {
    int index;
    bool hopper; /* or newer */
    struct ot_dev_conf conf;
    cudaStream_t stream; /* of everything but what copy does */
    cudaStream_t copy;   /* large uploads, up to the staging memory */
    cudnnHandle_t cudnn;
    cublasHandle_t cublas;
    void *blas_room; /* cuBLAS's workspace */
    void *room;      /* ot_cuda_room() */
    size_t room_bytes;
    struct ot_step *step; /* on the device */
    unsigned *arrived;    /* on the device: ot_cuda_arrived() */
    struct ot_cuda_format *formats[OT_CUDA_LISTS];
    struct ot_cuda_pinned *pinned;
    struct ot_cuda_faults faults;
    struct ot_cuda_transfer transfer;
    struct ot_cuda_recorder recorder;
    struct ot_cuda_choice *choices[OT_CUDA_LISTS];
    struct ot_cuda_chosen chosen;
    int measured; /* shapes, so far */
};

static inline struct ot_cuda *ot_cuda_of(const struct ot_dev *dev)
{
    return dev->impl;
}

static inline bool ot_cuda_recording(const struct ot_dev *dev)
{
    return ot_cuda_of(dev)->recorder.on;
}

/* Latch a failure with the library's own text; return true when there is one. */
bool ot_cuda_bad(struct ot_dev *dev, cudaError_t e, const char *what);
bool ot_cudnn_bad(struct ot_dev *dev, cudnnStatus_t s, const char *what);
bool ot_cublas_bad(struct ot_dev *dev, cublasStatus_t s, const char *what);

/* ---- memory.c ------------------------------------------------------------------------------ */

void *ot_cuda_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err);
void ot_cuda_free(struct ot_dev *dev, void *p);
void *ot_cuda_host_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err);
void ot_cuda_host_free(struct ot_dev *dev, void *p);
bool ot_cuda_is_pinned(const struct ot_dev *dev, const void *host, size_t bytes);

/* ---- transfer.c ---------------------------------------------------------------------------- */

bool ot_cuda_transfer_start(struct ot_dev *dev); /* false: latched */
void ot_cuda_transfer_stop(struct ot_dev *dev);
void ot_cuda_upload(struct ot_dev *dev, void *dst, const void *host, size_t bytes);
void ot_cuda_download(struct ot_dev *dev, void *host, const void *src, size_t bytes);
void ot_cuda_fetch(struct ot_dev *dev, void *host, const void *src, size_t bytes);
uint64_t ot_cuda_mark(struct ot_dev *dev);
void ot_cuda_wait(struct ot_dev *dev, uint64_t mark);
void ot_cuda_sync(struct ot_dev *dev);

/* ---- record.c ------------------------------------------------------------------------------ */

bool ot_cuda_replay(struct ot_dev *dev, uint64_t key);
bool ot_cuda_record(struct ot_dev *dev, uint64_t key);
bool ot_cuda_launch(struct ot_dev *dev);
void ot_cuda_forget(struct ot_dev *dev);

/* ---- conv_choice.c ------------------------------------------------------------------------- */

void ot_cuda_choices_free(struct ot_dev *dev);

/* ---- gemm.c -------------------------------------------------------------------------------- */

/* A row-major matrix and the distance of its rows. */
struct ot_cuda_matrix {
    const void *v;
    enum ot_type type;
    size_t ld;
};

/* c(m, n) = alpha op(a) op(b) + beta c, sums in fp32; a and b of one type, c F32 or theirs. */
void ot_cuda_product(struct ot_dev *dev, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                     float alpha, struct ot_cuda_matrix a, struct ot_cuda_matrix b, float beta,
                     void *c, enum ot_type c_type, size_t ldc, const char *what);

#endif
