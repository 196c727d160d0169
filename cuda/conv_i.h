/*
 * conv_i.h - a convolution as cuDNN is told of it, and the algorithms it takes.
 *
 * Ownership: a description belongs to its plan; memory for measuring is freed by who has it.
 */
#ifndef OT_CUDA_CONV_I_H
#define OT_CUDA_CONV_I_H

#include "cuda/device_i.h"

enum ot_conv_way { OT_CONV_FORWARD, OT_CONV_DATA, OT_CONV_FILTER, OT_CONV_WAYS };

struct ot_conv_desc {
    struct ot_conv_geom g;
    bool last;         /* channels are, of x, y and w */
    enum ot_type type; /* of x, y and w */
    bool bias, relu;   /* what follows forward; it may be fused */
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t op[OT_CONV_WAYS];
    size_t x_bytes, y_bytes, w_bytes;
};

struct ot_conv_graph; /* conv_graph.h */

struct ot_conv_algo {
    int algo; /* of the way's own enumeration, or of the graph's plans */
    size_t bytes;
    cudnnMathType_t math;
    struct ot_conv_graph *graph; /* NULL: none; else it goes with the device */
    bool fused;                  /* the graph's: bias and ReLU are done */
    bool measured;               /* the fastest, not the first of a ranking */
};

/* Forward takes x and w to y, data w and y to x, filter x and y to w. */
struct ot_conv_args {
    const void *a, *b, *bias; /* bias: as many as outputs, of x's type; for what is fused */
    void *room;
    float beta; /* 0 for a graph */
    void *to;
};

/* Arrays to try algorithms on. */
struct ot_conv_bench {
    void *mem; /* NULL: not yet */
    bool none; /* there is no memory for it */
    void *x, *y, *w, *room;
    void *bias, *bias_f32;
    size_t room_bytes;
};

/* The algorithm for one way, told to d->op[way]; CUDNN_STATUS_NOT_SUPPORTED when none is allowed
 * and small enough, or cuDNN's own failure.  Latches nothing. */
cudnnStatus_t ot_cuda_conv_choose(struct ot_dev *dev, const struct ot_conv_desc *d,
                                  enum ot_conv_way way, struct ot_conv_bench *bench,
                                  struct ot_conv_algo *algo);
cudnnStatus_t ot_cuda_conv_run(struct ot_dev *dev, const struct ot_conv_desc *d,
                               enum ot_conv_way way, const struct ot_conv_algo *algo,
                               const struct ot_conv_args *args);

/* cuDNN has nothing for it; there are many ways to say so since version 9. */
static inline bool ot_cuda_conv_lacks(cudnnStatus_t s)
{
    return CUDNN_STATUS_CATEGORY((int)s) == CUDNN_STATUS_NOT_SUPPORTED;
}

void ot_cuda_conv_bench_free(struct ot_conv_bench *bench);

/* What a way reads and writes, of the bench. */
struct ot_conv_args ot_cuda_conv_on(const struct ot_conv_bench *bench, enum ot_conv_way way);

/* conv_contest.c: takes a plan of cuDNN's graph interface for *algo where that is faster. */
void ot_cuda_conv_contest(struct ot_dev *dev, const struct ot_conv_desc *d, enum ot_conv_way way,
                          const struct ot_conv_bench *bench, struct ot_conv_algo *algo);

/* What products of fp32 may be rounded to, and whether tensor cores may be used. */
cudnnMathType_t ot_cuda_conv_math(const struct ot_dev *dev, enum ot_type type);

#endif
