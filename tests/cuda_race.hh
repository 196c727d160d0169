// cuda_race.hh - finds races between the threads of a kernel that runs on fibres.
//
// The sources of cuda/ are compiled so that every access to memory calls a function of ours: g++'s
// -fsanitize=thread without its library.  Two accesses to one place of which one writes are a race
// unless a barrier, or __syncwarp within a warp, lies between them, both are atomic, or they are in
// different launches.  Shuffles and votes order nothing.  What other blocks of the launch wrote may
// be read through volatile pointers only.  Shared memory that is read must have been written by its
// block.  Accesses must be aligned to their size, as far as the host's compiler left them whole.
// Nothing depends on the order in which fibres run.
//
// Not seen: a missing __threadfence, a place that more than the last writer and readers shared, and
// shared memory that no block ever wrote.  In the sanitizers' own modes nothing is checked.
#ifndef OT_TESTS_CUDA_RACE_HH
#define OT_TESTS_CUDA_RACE_HH

#include <stddef.h>

// What the fibres do: a kernel begins and ends, a block begins, all its threads were at a barrier,
// a warp was at __syncwarp.
void ot_race_launch(const char *kernel);
void ot_race_end();
void ot_race_block();
void ot_race_barrier();
void ot_race_warp(unsigned warp);

// Who runs from now on, on which stack.
void ot_race_thread(unsigned thread);
void ot_race_stack(const char *stack, size_t bytes);

// An atomic access by the thread that runs.
void ot_race_atomic(const void *at, size_t bytes);

#endif
