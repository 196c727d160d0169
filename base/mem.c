/* mem.c - a 64-byte header in front of each block remembers its size for the statistics. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static atomic_uint_fast64_t n_alloc, n_bytes, fail_at, fail_over;

void *ot_alloc(size_t n, size_t size, struct ot_err *err)
{
    size_t bytes;
    char *p;

    if (size && n > (SIZE_MAX - 2 * ALIGN) / size) {
        (void)ot_fail(err, OT_ENOMEM, "out of memory: %zu elements of %zu bytes", n, size);
        return NULL;
    }
    bytes = (n * size + ALIGN - 1) / ALIGN * ALIGN;
    if (atomic_load(&fail_at) && atomic_fetch_sub(&fail_at, 1) == 1)
        p = NULL;
    else if (atomic_load(&fail_over) && bytes > atomic_load(&fail_over))
        p = NULL;
    else
        p = aligned_alloc(ALIGN, bytes + ALIGN);
    if (!p) {
        (void)ot_fail(err, OT_ENOMEM, "out of memory: %zu bytes", bytes);
        return NULL;
    }
    memset(p, 0, bytes + ALIGN);
    *(size_t *)(void *)p = bytes;
    atomic_fetch_add(&n_alloc, 1);
    atomic_fetch_add(&n_bytes, bytes);
    return p + ALIGN;
}

void ot_free(void *p)
{
    char *block;

    if (!p)
        return;
    block = (char *)p - ALIGN;
    atomic_fetch_sub(&n_bytes, *(size_t *)(void *)block);
    free(block);
}

char *ot_strdup(const char *s, struct ot_err *err)
{
    size_t n = strlen(s) + 1;
    char *p = ot_alloc(n, 1, err);

    if (p)
        memcpy(p, s, n);
    return p;
}

int ot_grow(void *array, size_t *cap, size_t need, size_t size, struct ot_err *err)
{
    void **slot = array, *bigger;
    size_t n = *cap ? *cap : 8;

    if (need <= *cap)
        return 0;
    while (n < need && n <= SIZE_MAX / 2)
        n *= 2;
    if (n < need)
        n = need;
    bigger = ot_alloc(n, size, err);
    if (!bigger)
        return err->code;
    if (*cap)
        memcpy(bigger, *slot, *cap * size);
    ot_free(*slot);
    *slot = bigger;
    *cap = n;
    return 0;
}

uint64_t ot_mem_count(void)
{
    return atomic_load(&n_alloc);
}

uint64_t ot_mem_bytes(void)
{
    return atomic_load(&n_bytes);
}

void ot_mem_fail_at(uint64_t k)
{
    atomic_store(&fail_at, k);
}

void ot_mem_fail_over(size_t n)
{
    atomic_store(&fail_over, n);
}
