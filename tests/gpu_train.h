/*
 * gpu_train.h - fifty mined iterations of a small LeNet, Faster R-CNN and R-FCN on any device, as
 * the trainer runs them (passes asked for, recordings, losses one pass late): whole-net
 * comparison of two devices, with what the miner made of them (test_cuda.c).
 */
#ifndef OT_TESTS_GPU_TRAIN_H
#define OT_TESTS_GPU_TRAIN_H

#include "layers/device.h"
#include "mining/miner.h"

enum { OT_GPU_ITERS = 50, OT_GPU_BATCH = 8, OT_GPU_POOL = 2048 };

/* R-FCN with the hardest RoIs chosen inside the net */
enum ot_gpu_job { OT_GPU_LENET, OT_GPU_FRCNN, OT_GPU_RFCN, OT_GPU_JOBS };

struct ot_gpu_mined {
    double loss[OT_GPU_ITERS];
    int again[OT_GPU_ITERS]; /* samples of a re-injected batch; 0: a fresh one */
    uint32_t sample[OT_GPU_ITERS][OT_GPU_BATCH];
    struct ot_row row[OT_GPU_POOL]; /* of the pool, in the end */
    int rows, reinjected;           /* reinjected: batches */
};

/* Fails the test when the device does. */
void ot_gpu_mine(struct ot_dev *dev, enum ot_gpu_job job, struct ot_gpu_mined *run);

#endif
