/*
 * hash.h - FNV-1a, 64 bit: fingerprints of configs and records, lists to look in; not security.
 *
 * Source: G. Fowler, L. C. Noll, K.-P. Vo, the FNV hash (IETF draft-eastlake-fnv).
 * Threads: any.
 */
#ifndef OT_BASE_HASH_H
#define OT_BASE_HASH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

unsigned long long ot_hash64(const void *bytes, size_t n);
/* The hash of what `hash` stands for with these bytes behind it; begins with ot_hash64("", 0). */
unsigned long long ot_hash64_more(unsigned long long hash, const void *bytes, size_t n);

#ifdef __cplusplus
}
#endif

#endif
