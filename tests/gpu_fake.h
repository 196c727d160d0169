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

/* Forgets what cudaGetLastError() would return. */
void ot_fake_clear_error(void);

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

/* Reads device memory past the queue, as a debugger would. */
void ot_fake_peek(void *host, const void *device, size_t bytes);

/* A plan of cuDNN's graph interface; numbers are the enumerations'. */
struct ot_fake_plan {
    unsigned cost;       /* how long it takes; an algorithm of the other interface takes 100 */
    size_t bytes;        /* of workspace */
    int number_note;     /* + 1; 0: none */
    int behaviour_note;  /* + 1; 0: none */
    bool fused_only;     /* proposed for a convolution with a bias, else for one alone */
    bool fallback;       /* proposed in that mode only */
    bool wrong;          /* what it computes */
    int refused, failed; /* the status of finalizing it, of executing it */
};

/* What the heuristics propose from now on, the best first; NULL: as at the beginning, some plans
 * of which one is fast. */
void ot_fake_plans(const struct ot_fake_plan *list, unsigned n);
unsigned ot_fake_plan_runs(unsigned k); /* of the k-th, since then */

/* What the fake itself promises (cuda_fake_self.cc): NULL, or what is wrong with it. */
#define OT_FAKE_SELF(X)                                              \
    X(what_is_queued_runs_when_it_is_waited_for)                     \
    X(pinned_memory_is_read_when_the_copy_runs_and_pageable_at_once) \
    X(what_arrives_is_garbage_until_it_does)                         \
    X(streams_run_apart_but_for_events)                              \
    X(memory_is_fenced_and_what_does_not_fit_is_refused)             \
    X(a_graph_replays_what_was_recorded)                             \
    X(waiting_and_allocating_spoil_a_capture)                        \
    X(a_capture_must_be_joined)                                      \
    X(a_product_checks_its_leading_dimensions)                       \
    X(tf32_and_bf16_round)                                           \
    X(a_convolution_checks_its_shapes_and_workspace)                 \
    X(a_graph_of_operations_is_checked)                              \
    X(a_barrier_that_not_all_reach_is_told)                          \
    X(lanes_exchange_within_their_group)
#define OT_FAKE_DECLARE(name) const char *ot_fake_self_##name(void) __attribute__((weak));
OT_FAKE_SELF(OT_FAKE_DECLARE)
#undef OT_FAKE_DECLARE

#pragma weak ot_fake_schedule
#pragma weak ot_fake_capacity
#pragma weak ot_fake_fail
#pragma weak ot_fake_break
#pragma weak ot_fake_clear_error
#pragma weak ot_fake_calls
#pragma weak ot_fake_forget
#pragma weak ot_fake_call
#pragma weak ot_fake_live
#pragma weak ot_fake_queued
#pragma weak ot_fake_wrong
#pragma weak ot_fake_peek
#pragma weak ot_fake_plans
#pragma weak ot_fake_plan_runs

#ifdef __cplusplus
}
#endif

#endif
