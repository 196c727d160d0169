/* arena.c - a chain of blocks, each twice the last up to a megabyte. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { HEAD = 16, FIRST = 4096, MOST = 1 << 20 };

void *ot_arena_alloc(struct ot_arena *a, size_t n, size_t size, struct ot_err *err)
{
    size_t bytes;
    char *p;

    if (size && n > (SIZE_MAX - 64) / size) {
        (void)ot_fail(err, OT_ENOMEM, "out of memory: %zu elements of %zu bytes", n, size);
        return NULL;
    }
    bytes = (n * size + 15) / 16 * 16;
    if (a->cap - a->used < bytes || !a->block) {
        size_t cap = a->cap ? 2 * a->cap : FIRST;
        void *block;

        cap = cap > MOST ? MOST : cap;
        cap = cap < bytes + HEAD ? bytes + HEAD : cap;
        block = ot_alloc(cap, 1, err);
        if (!block)
            return NULL;
        memcpy(block, &a->block, sizeof a->block);
        a->block = block;
        a->used = HEAD;
        a->cap = cap;
    }
    p = (char *)a->block + a->used;
    a->used += bytes;
    return p;
}

char *ot_arena_strdup(struct ot_arena *a, const char *s, struct ot_err *err)
{
    size_t n = strlen(s) + 1;
    char *p = ot_arena_alloc(a, n, 1, err);

    if (p)
        memcpy(p, s, n);
    return p;
}

char *ot_arena_printf(struct ot_arena *a, struct ot_err *err, const char *fmt, ...)
{
    va_list ap, again;
    char *p;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    p = n < 0 ? NULL : ot_arena_alloc(a, (size_t)n + 1, 1, err);
    if (p)
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

void ot_arena_release(struct ot_arena *a)
{
    while (a->block) {
        void *next;

        memcpy(&next, a->block, sizeof next);
        ot_free(a->block);
        a->block = next;
    }
    *a = (struct ot_arena){ 0 };
}
