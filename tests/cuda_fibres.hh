// cuda_fibres.hh - runs a kernel on the host: block after block, a block's threads as fibres that
// switch at barriers and at what a warp does together.
//
// Barriers, shuffles, ballots and shared memory mean what they mean on a GPU.  A block in which
// some threads wait for others that have ended, or wait elsewhere, is wrong: it is noted
// (ot_kernel_wrong) and left.
#ifndef OT_TESTS_CUDA_FIBRES_HH
#define OT_TESTS_CUDA_FIBRES_HH

#include <stdint.h>

#include <functional>

#include "tests/cuda_host.hh"

// In which order threads and blocks run: 0 ascending, 1 descending, any other number seeds a
// random order.
void ot_fibres_order(uint64_t way);

// Runs the kernel now; `shared`: bytes of dynamic shared memory.
void ot_fibres_run(const char *kernel, dim3 grid, dim3 block, size_t shared,
                   const std::function<void()> &call);

// Notes wrong use; defined by the device.
void ot_kernel_wrong(const char *kernel, const char *what);

#endif
