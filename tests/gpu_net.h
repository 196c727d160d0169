/*
 * gpu_net.h - a small Faster R-CNN on fixed input, trained for a few steps on any device: whole-net
 * comparison of two devices (test_cuda.c).
 */
#ifndef OT_TESTS_GPU_NET_H
#define OT_TESTS_GPU_NET_H

#include "layers/device.h"

enum { OT_GPU_STEPS = 6, OT_GPU_ROWS = 32 };

struct ot_gpu_run {
    double loss[OT_GPU_STEPS];
    float label[OT_GPU_STEPS][OT_GPU_ROWS]; /* of the sampled RoIs */
    float inst[OT_GPU_STEPS][OT_GPU_ROWS];  /* their OHEM losses */
};

/* Fails the test when the device does. */
void ot_gpu_train(struct ot_dev *dev, struct ot_gpu_run *run);

#endif
