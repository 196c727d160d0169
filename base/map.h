/*
 * map.h - a hash map from 64-bit keys to 64-bit values.
 *
 * Open addressing with linear probing; iteration order is not defined and must not decide
 * anything.  Ownership: ot_map_release() frees.  Threads: one owner at a time.
 */
#ifndef OT_BASE_MAP_H
#define OT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Spreads the bits of a key: the finaliser of MurmurHash3 (A. Appleby, public domain). */
static inline uint64_t ot_mix64(uint64_t key)
{
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdu;
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53u;
    return key ^ key >> 33;
}

struct ot_map_slot {
    uint64_t key, value;
    bool used;
};

struct ot_map {
    struct ot_map_slot *slots;
    size_t cap, len;
};

int ot_map_set(struct ot_map *m, uint64_t key, uint64_t value, struct ot_err *err);
bool ot_map_get(const struct ot_map *m, uint64_t key, uint64_t *value);
bool ot_map_remove(struct ot_map *m, uint64_t key); /* true when it was there */
void ot_map_clear(struct ot_map *m);                /* empty, memory kept */
void ot_map_release(struct ot_map *m);

#endif
