/*
 * keys.h - the list of an LMDB's keys (or of the files of a list): ordinal -> key, in one block.
 *
 * Ownership: ot_keys_scan() fills *k with owned memory; ot_keys_release() frees it.
 * Threads: read-only after the scan.  Errors: OT_EDATA for an empty database.
 */
#ifndef OT_DATA_KEYS_H
#define OT_DATA_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "data/db.h"

struct ot_keys {
    size_t n;
    char *text; /* all keys, one after the other */
    size_t len, cap;
    size_t width; /* of every key, or 0 when they differ */
    size_t *end;  /* where key i ends; only used when width is 0 */
    size_t cap_end;
    uint64_t fingerprint;
    bool sorted;        /* in byte order, as an LMDB's are */
    struct ot_map hash; /* else: hash of a key -> first index with it */
};

/* By hand: add to a { 0 }, in order, then seal; `name` is what is blamed when there are none. */
int ot_keys_add(struct ot_keys *k, struct ot_bytes key, struct ot_err *err);
int ot_keys_seal(struct ot_keys *k, const char *name, struct ot_err *err);

int ot_keys_scan(struct ot_keys *k, struct ot_db *db, struct ot_err *err);
struct ot_bytes ot_keys_at(const struct ot_keys *k, size_t index);
/* Printable form into buf; returns buf. */
char *ot_keys_print(const struct ot_keys *k, size_t index, char *buf, size_t n);
/* The index of the key whose printable form this is (the first one's), or -1; thread-safe. */
int64_t ot_keys_find(const struct ot_keys *k, const char *printed);
void ot_keys_release(struct ot_keys *k);

#endif
