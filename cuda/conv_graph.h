/*
 * conv_graph.h - a convolution told to cuDNN as an operation graph, and the plans cuDNN has for it.
 *
 * The graph is one convolution, or a forward one with its bias and ReLU.  Blobs and weights are
 * channels last, all of d's type, the bias too; sums are fp32 and are rounded once, at the end.
 * Arrays must begin where 16 bytes may be accessed at once.
 *
 * Ownership: ot_conv_graph_open() returns owned.  Errors: a status or NULL; nothing is latched, and
 * what cuDNN refuses is no plan.
 */
#ifndef OT_CUDA_CONV_GRAPH_H
#define OT_CUDA_CONV_GRAPH_H

#include "cuda/conv_i.h"

/* Plans looked at, and descriptors that a graph is made of. */
enum { OT_CONV_PLANS = 16, OT_CONV_PARTS = 16 };

struct ot_conv_plan {
    cudnnBackendDescriptor_t config, plan;
    size_t bytes; /* of workspace */
};

struct ot_conv_graph {
    enum ot_conv_way way;
    bool fused;           /* y = conv + bias, and max(0, y) where d has a ReLU */
    cudnnStatus_t status; /* the first failure */
    cudnnBackendDescriptor_t part[OT_CONV_PARTS];
    int parts;
    struct ot_conv_plan plan[OT_CONV_PLANS]; /* the best first, as cuDNN guesses */
    int plans;
};

/* Which GPU plans are for: the handle's, or one that is only described. */
struct ot_conv_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t device; /* NULL: the handle's */
};

struct ot_conv_arrays {
    const void *x, *w, *y, *bias; /* one of the first three is written */
    void *room;
};

/* With one plan at least that needs no more than `room_bytes`; NULL where there is none. */
struct ot_conv_graph *ot_conv_graph_open(const struct ot_conv_desc *d, enum ot_conv_way way,
                                         bool fused, const struct ot_conv_target *target,
                                         size_t room_bytes);
/* All plans but the k-th go; it becomes the first. */
void ot_conv_graph_keep(struct ot_conv_graph *g, int k);
void ot_conv_graph_close(struct ot_conv_graph *g); /* NULL is fine */

/* Queues the k-th plan. */
cudnnStatus_t ot_conv_graph_run(cudnnHandle_t handle, const struct ot_conv_graph *g, int k,
                                const struct ot_conv_arrays *arrays);

#endif
