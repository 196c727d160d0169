/* gpu_contract.h - tests on a GPU: opening and closing it, and checks of what device.h promises,
 * which need nothing but a device. */
#ifndef OT_TESTS_GPU_CONTRACT_H
#define OT_TESTS_GPU_CONTRACT_H

#include "layers/device.h"

/* Each of them on a GPU opened for it, deterministic; skips without one. */
void ot_gpu_contract(void (*const *what)(struct ot_dev *dev), int n);

/* A GPU with guard bands (gpu_guard.h) around what is allocated; skips the test without one. */
struct ot_dev *ot_gpu_open(const struct ot_dev_conf *conf);
/* Fails the test where a call failed or a band is broken; else tells and closes it. */
void ot_gpu_close(struct ot_dev *dev);

/* Before a device is closed: what it found out about itself and goes on without, in the words of
 * ohemtrain's log, which tools/gpu-check keeps.  Nothing where there is none. */
void ot_gpu_tell(const struct ot_dev *dev);

#endif
