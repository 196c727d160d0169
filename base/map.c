/* map.c - linear probing, load at most 1/2, backward-shift deletion (no tombstones). */
#include "base/map.h"

#include <string.h>

#include "base/mem.h"

static size_t home(const struct ot_map *m, uint64_t key)
{
    return (size_t)ot_mix64(key) & (m->cap - 1);
}

static size_t find(const struct ot_map *m, uint64_t key)
{
    size_t i = home(m, key);

    while (m->slots[i].used && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

static int rehash(struct ot_map *m, size_t cap, struct ot_err *err)
{
    struct ot_map bigger = { .cap = cap };

    bigger.slots = ot_alloc(cap, sizeof *bigger.slots, err);
    if (!bigger.slots)
        return err->code;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].used)
            bigger.slots[find(&bigger, m->slots[i].key)] = m->slots[i];
    bigger.len = m->len;
    ot_free(m->slots);
    *m = bigger;
    return 0;
}

int ot_map_set(struct ot_map *m, uint64_t key, uint64_t value, struct ot_err *err)
{
    size_t i;

    if (2 * (m->len + 1) > m->cap && rehash(m, m->cap ? 2 * m->cap : 16, err) < 0)
        return err->code;
    i = find(m, key);
    m->len += !m->slots[i].used;
    m->slots[i] = (struct ot_map_slot){ key, value, true };
    return 0;
}

bool ot_map_get(const struct ot_map *m, uint64_t key, uint64_t *value)
{
    size_t i;

    if (!m->cap)
        return false;
    i = find(m, key);
    if (m->slots[i].used && value)
        *value = m->slots[i].value;
    return m->slots[i].used;
}

bool ot_map_remove(struct ot_map *m, uint64_t key)
{
    size_t i, j;

    if (!m->cap)
        return false;
    i = find(m, key);
    if (!m->slots[i].used)
        return false;
    m->slots[i].used = false;
    m->len--;
    for (j = (i + 1) & (m->cap - 1); m->slots[j].used; j = (j + 1) & (m->cap - 1)) {
        size_t h = home(m, m->slots[j].key);

        if (((j - h) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
            m->slots[i] = m->slots[j];
            m->slots[j].used = false;
            i = j;
        }
    }
    return true;
}

void ot_map_clear(struct ot_map *m)
{
    if (m->cap)
        memset(m->slots, 0, m->cap * sizeof *m->slots);
    m->len = 0;
}

void ot_map_release(struct ot_map *m)
{
    ot_free(m->slots);
    *m = (struct ot_map){ 0 };
}
