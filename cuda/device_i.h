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

enum { OT_STAGES = 2 };

struct ot_cuda {
    int index;
    cudaStream_t stream;
    cudnnHandle_t cudnn;
    cublasHandle_t cublas;
    void *room; /* ot_cuda_room() */
    size_t room_bytes;
    void *stage[OT_STAGES]; /* pinned: uploads go through here, alternating */
    cudaEvent_t staged[OT_STAGES];
    unsigned next_stage;
    struct ot_dev_conf conf;
    struct ot_step *step; /* on the device */
    struct ot_cuda_format *formats;
    unsigned long long *fault;      /* (OT_FAULTS) on the device, ~0: nothing wrong */
    unsigned long long *host_fault; /* pinned copy */
    double limit[OT_FAULTS];        /* what the last launch compared with */
};

static inline struct ot_cuda *ot_cuda_of(const struct ot_dev *dev)
{
    return dev->impl;
}

/* Latch a failure with the library's own text; return true when there is one. */
bool ot_cuda_bad(struct ot_dev *dev, cudaError_t e, const char *what);
bool ot_cudnn_bad(struct ot_dev *dev, cudnnStatus_t s, const char *what);
bool ot_cublas_bad(struct ot_dev *dev, cublasStatus_t s, const char *what);

#endif
