/*
 * arena.h - many small objects with one end: names, nodes, lists.
 *
 * Memory is zeroed, aligned to 16 bytes, and lives until ot_arena_release().
 * Threads: one owner at a time.  Errors: OT_ENOMEM.
 */
#ifndef OT_BASE_ARENA_H
#define OT_BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct ot_arena {
    void *block; /* newest first; each block begins with a pointer to the one before */
    size_t used, cap;
};

void *ot_arena_alloc(struct ot_arena *a, size_t n, size_t size, struct ot_err *err) OT_MUST_USE;
char *ot_arena_strdup(struct ot_arena *a, const char *s, struct ot_err *err) OT_MUST_USE;
char *ot_arena_printf(struct ot_arena *a, struct ot_err *err, const char *fmt, ...) OT_PRINTF(3, 4);
void ot_arena_release(struct ot_arena *a);

#endif
