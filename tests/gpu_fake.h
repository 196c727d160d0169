/*
 * gpu_fake.h - a fake of the CUDA runtime, cuBLAS and cuDNN (test only): what the tests ask of it.
 *
 * cuda/'s own sources run on it unchanged, without a GPU.  What is queued runs when something
 * waits for it, in an order that a seed chooses among the legal ones; memory of the device is out
 * of the host's reach (a touch is a segmentation fault) and garbage until written; libraries check
 * their arguments as documented and are plain loops.
 *
 * What it does not show: speed, the numbers of real algorithms, races within a kernel.
 * Threads: any one at a time.
 */
#ifndef OT_TESTS_GPU_FAKE_H
#define OT_TESTS_GPU_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0: all as late as can be; 1: at once; any other number seeds a random schedule. */
void ot_fake_schedule(uint64_t way);

/* How much memory the device has; 0: as much as it has room for. */
void ot_fake_capacity(size_t bytes);

/* The nth (from 1) call of `function` from now on returns `status`; NULL: none fails.  The name
 * "*" counts every call. */
void ot_fake_fail(const char *function, unsigned nth, int status);

/* From the nth operation that runs from now on, the device is broken: all that follows is not
 * done, and waiting returns `status`.  0: whole again. */
void ot_fake_break(unsigned nth, int status);

/* Calls of `function` ("*": of all) since ot_fake_forget(); kernels count as "cudaLaunchKernel" and
 * by their own name. */
unsigned ot_fake_calls(const char *function);
void ot_fake_forget(void);

/* The name of the nth call (from 1) since ot_fake_forget(); NULL when there were fewer. */
const char *ot_fake_call(unsigned nth);

/* Objects that have been made and not destroyed, of all kinds. */
size_t ot_fake_live(void);

/* Operations that are queued and have not run. */
size_t ot_fake_queued(void);

/* The first wrong use since the last call, in words; false when there was none. */
bool ot_fake_wrong(char *what, size_t n);

/* For tests of tests: reads device memory from the host's side, as a debugger would. */
void ot_fake_peek(void *host, const void *device, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
