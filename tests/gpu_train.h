/*
 * gpu_train.h - fifty mined iterations of a small LeNet, Faster R-CNN and R-FCN on any device, as
 * the trainer runs them (passes asked for, recordings, losses one pass late): whole-net
 * comparison of two devices, with what the miner made of them (test_cuda.c), and what of it waits
 * (test_cuda_shapes.c).
 */
#ifndef OT_TESTS_GPU_TRAIN_H
#define OT_TESTS_GPU_TRAIN_H

#include "layers/device.h"
#include "mining/miner.h"

struct ot_net;

enum { OT_GPU_ITERS = 50, OT_GPU_BATCH = 8, OT_GPU_POOL = 2048 };

/* R-FCN with the hardest RoIs chosen inside the net; Faster R-CNN with images of three sizes */
enum ot_gpu_job { OT_GPU_LENET, OT_GPU_FRCNN, OT_GPU_RFCN, OT_GPU_SIZES, OT_GPU_JOBS };

struct ot_gpu_mined {
    double loss[OT_GPU_ITERS];
    int again[OT_GPU_ITERS]; /* samples of a re-injected batch; 0: a fresh one */
    uint32_t sample[OT_GPU_ITERS][OT_GPU_BATCH];
    struct ot_row row[OT_GPU_POOL]; /* of the pool, in the end */
    int rows, reinjected;           /* reinjected: batches */
};

/* What is told to who watches: the batch is there and nothing was asked for yet, all but reading
 * was asked for, the iteration is over. */
enum ot_gpu_moment { OT_GPU_BEFORE, OT_GPU_ASKED, OT_GPU_AFTER };

typedef void ot_gpu_watch(void *ctx, struct ot_net *net, int iter, enum ot_gpu_moment when);

/* Fails the test when the device does. */
void ot_gpu_mine(struct ot_dev *dev, enum ot_gpu_job job, struct ot_gpu_mined *run);
void ot_gpu_mine_watched(struct ot_dev *dev, enum ot_gpu_job job, struct ot_gpu_mined *run,
                         ot_gpu_watch *watch, void *ctx);

#endif
