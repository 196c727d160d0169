/* kernels_cpu.c - the CPU's table of kernels: a line of kernels.def without a body does not link.
 */
#include "layers/device.h"

const struct ot_kernels ot_cpu_kernels = {
#define K(name, params, args) .name = ot_cpu_##name,
#include "layers/kernels.def"
#undef K
};
