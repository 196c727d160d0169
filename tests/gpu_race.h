/*
 * gpu_race.h - small kernels, half of them wrong, by which cuda_race.hh is checked.
 *
 * Weak: absent where there is no C++ compiler.
 */
#ifndef OT_TESTS_GPU_RACE_H
#define OT_TESTS_GPU_RACE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { OT_RACE_FLOATS = 256 };

struct ot_race_self {
    const char *name;
    void (*run)(float *x); /* OT_RACE_FLOATS of them, in any memory but the program's variables */
    const char *says;      /* what is wrong with it, among other words; NULL: nothing */
};

/* False: there are no more. */
bool ot_race_self(size_t which, struct ot_race_self *self);

/* Whether accesses are seen in this build: not under a sanitizer. */
bool ot_race_sees(void);

#pragma weak ot_race_self
#pragma weak ot_race_sees

#ifdef __cplusplus
}
#endif

#endif
