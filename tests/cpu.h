/* cpu.h - the CPU device with two threads, as set-up and tear-down of a cmocka group. */
#ifndef OT_TESTS_CPU_H
#define OT_TESTS_CPU_H

#include "layers/device.h"

extern struct ot_dev *ot_cpu; /* open between the two */

int ot_cpu_set_up(void **state);
int ot_cpu_tear_down(void **state);

#endif
