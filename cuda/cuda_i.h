/*
 * cuda_i.h - what the sources of the CUDA device share, without a CUDA header: the .cu files and
 * the host sources see the device through these functions.
 *
 * Everything is queued on the device's one stream of kernels; nothing here waits unless it says so.
 * Ownership: memory of ot_cuda_room() belongs to the device.  Threads: the device's one thread.
 * Errors: latched in the device, with the kernel's name and CUDA's own text.
 */
#ifndef OT_CUDA_CUDA_I_H
#define OT_CUDA_CUDA_I_H

#include "layers/device.h"

/* What a kernel finds wrong in its data; reported when the host next waits for the device. */
enum ot_cuda_fault {
    OT_FAULT_LABEL, /* losses, accuracy: a label outside [0, limit) */
    OT_FAULT_ROW,   /* Embed, BatchReindex: an index outside [0, limit) */
    OT_FAULT_ROI,   /* RoI pooling: a batch index of limit or more */
    OT_FAULT_CLASS, /* proposal target: a class of limit or more */
    OT_FAULTS
};

/* Places for notes of faults: one a kind and layer, as long as there are places (faults.c). */
enum { OT_CUDA_FAULTS = 64 };

struct ot_cuda_fault_slot {
    enum ot_cuda_fault what;
    double limit;   /* what the kernel compares with */
    char where[96]; /* the layer; "": none or several */
};

struct ot_cuda_faults {
    struct ot_cuda_fault_slot slot[OT_CUDA_FAULTS];
    int n; /* used beyond the first OT_FAULTS */
};

/* What is kept by shape is in so many lists: photographs of many sizes make thousands of shapes, of
 * which a net asks for dozens at each change. */
enum { OT_CUDA_LISTS = 256 };

struct ot_cuda_format { /* interned: equal formats are equal pointers */
    struct ot_format pub;
    struct ot_shape shape;
    struct ot_cuda_format *next;
};

struct ot_plan {
    void (*free)(struct ot_plan *plan);
};

#ifdef __cplusplus
extern "C" {
#endif

/* Latches the failure of the launch just made, if any. */
void ot_cuda_launched(struct ot_dev *dev, const char *kernel);

/* Zeroed memory for a plan; NULL with the latch set. */
struct ot_plan *ot_cuda_plan(struct ot_dev *dev, size_t size, void (*free)(struct ot_plan *));

/* Device memory that is valid until the next call of this function; NULL with the latch set, or
 * while recording, which is spoilt then.  Grows rarely (and waits then). */
void *ot_cuda_room(struct ot_dev *dev, size_t bytes);

/* How the device keeps a blob or weights (N, C, inner..): channels last or in plain order; NULL,
 * which is plain F32, where that is the same, and where memory is out (latched). */
const struct ot_format *ot_cuda_format(struct ot_dev *dev, const struct ot_shape *shape,
                                       bool channels_last, enum ot_type type);
/* The device's lists of formats, and their end. */
struct ot_cuda_format **ot_cuda_formats(struct ot_dev *dev);
void ot_cuda_formats_free(struct ot_dev *dev);

/* The device's copy of dev->step; a kernel reads it when it runs. */
const struct ot_step *ot_cuda_step(struct ot_dev *dev);

/* 0 on the device: how many blocks of a kernel have arrived.  The last one leaves 0 (atomicInc). */
unsigned *ot_cuda_arrived(struct ot_dev *dev);

void ot_cuda_zero(struct ot_dev *dev, void *p, size_t bytes);
void ot_cuda_move(struct ot_dev *dev, void *dst, const void *src, size_t bytes);

/* Where a kernel puts (index << 32 | bits of the value) of what is wrong; the least one stays. */
unsigned long long *ot_cuda_fault(struct ot_dev *dev, enum ot_cuda_fault what, double limit);

/* The place among OT_CUDA_FAULTS for notes of this kind by a layer; `where` may be NULL. */
int ot_cuda_fault_slot(struct ot_cuda_faults *t, enum ot_cuda_fault what, double limit,
                       const char *where);
/* Latches the first of the notes fault[OT_CUDA_FAULTS]; ~0: nothing noted. */
void ot_cuda_faults_report(struct ot_dev *dev, const struct ot_cuda_faults *t,
                           const unsigned long long *fault);

/* cast.cu; arrays of to and from begin where 16 bytes may be accessed at once.
 * y = x in bf16; y = x + beta y of x in bf16 */
void ot_cuda_to_bf16(struct ot_dev *dev, size_t n, const float *x, void *y);
void ot_cuda_from_bf16(struct ot_dev *dev, size_t n, const void *x, float beta, float *y);
/* y += b[c], then with `relu` max(0, y); b may be NULL; channels in plain order or last */
void ot_cuda_bias(struct ot_dev *dev, const struct ot_channels *g, const float *b, bool relu,
                  float *y);
/* db[c] = beta db[c] + sum of the channel's dy */
void ot_cuda_bias_grad(struct ot_dev *dev, const struct ot_channels *g, const float *dy, float beta,
                       float *db);

#ifdef __cplusplus
}
#endif

#endif
