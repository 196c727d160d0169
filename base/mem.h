/*
 * mem.h - the one door to the heap.
 *
 * Every allocation of the program goes through here: sizes are checked for overflow, memory
 * comes zeroed and aligned to 64 bytes (a cache line, an AVX-512 register), and a count of all
 * allocations lets a test prove that the steady-state loop makes none.
 *
 * Ownership: the caller owns what ot_alloc() and ot_strdup() return and gives it to ot_free().
 * Threads: all functions may be called from any thread.
 * Errors: NULL with err filled (OT_ENOMEM).  OT_MEM_FAIL=k in the environment of a test makes
 *         the k-th allocation fail (ot_mem_fail_at()).
 */
#ifndef OT_BASE_MEM_H
#define OT_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed array of n elements of `size` bytes; a valid pointer also for n == 0. */
void *ot_alloc(size_t n, size_t size, struct ot_err *err) OT_MUST_USE;
void ot_free(void *p); /* NULL is fine */
char *ot_strdup(const char *s, struct ot_err *err) OT_MUST_USE;

/* Makes *array hold at least `need` elements of `size` bytes, doubling; old content is kept,
 * new elements are zero.  *array == NULL with *cap == 0 is a valid start. */
int ot_grow(void *array, size_t *cap, size_t need, size_t size, struct ot_err *err);

uint64_t ot_mem_count(void);     /* allocations made so far */
uint64_t ot_mem_bytes(void);     /* bytes currently held through this door */
void ot_mem_fail_at(uint64_t k); /* tests: the k-th allocation from now fails; 0 = never */
void ot_mem_fail_over(size_t n); /* tests: every allocation of more bytes fails; 0 = none does */

#ifdef __cplusplus
}
#endif

#endif
