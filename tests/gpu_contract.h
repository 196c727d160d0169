/* gpu_contract.h - checks of what device.h promises, which need nothing but a device. */
#ifndef OT_TESTS_GPU_CONTRACT_H
#define OT_TESTS_GPU_CONTRACT_H

#include "layers/device.h"

/* Each of them on a GPU opened for it, deterministic; skips without one. */
void ot_gpu_contract(void (*const *what)(struct ot_dev *dev), int n);

#endif
