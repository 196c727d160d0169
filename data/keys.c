/*
 * keys.c - Caffe's keys all have one width, so their ends are kept only until that is known.
 */
#include "data/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

int ot_keys_add(struct ot_keys *k, struct ot_bytes key, struct ot_err *err)
{
    if (ot_grow(&k->text, &k->cap, k->len + key.n, 1, err) < 0 ||
        ot_grow(&k->end, &k->cap_end, k->n + 1, sizeof *k->end, err) < 0)
        return err->code;
    memcpy(k->text + k->len, key.data, key.n);
    k->len += key.n;
    k->end[k->n++] = k->len;
    if (k->n == 1)
        k->width = key.n;
    else if (k->width != key.n)
        k->width = 0;
    return 0;
}

static int scan(struct ot_keys *k, struct ot_db_cursor *c, struct ot_err *err)
{
    struct ot_bytes key, value;
    int rc = ot_db_first(c, &key, &value, err);

    while (rc == 1) {
        if (ot_keys_add(k, key, err) < 0)
            return err->code;
        rc = ot_db_next(c, &key, &value, err);
    }
    return rc;
}

int ot_keys_scan(struct ot_keys *k, struct ot_db *db, struct ot_err *err)
{
    struct ot_db_cursor *c = ot_db_cursor_new(db, err);
    int rc;

    *k = (struct ot_keys){ 0 };
    if (!c)
        return err->code;
    rc = scan(k, c, err);
    ot_db_cursor_free(c);
    if (rc == 0)
        rc = ot_keys_seal(k, ot_db_path(db), err);
    if (rc < 0)
        ot_keys_release(k);
    return rc;
}

/* Byte order, a shorter key before its extensions: LMDB's. */
static int compare(struct ot_bytes a, struct ot_bytes b)
{
    int c = memcmp(a.data, b.data, a.n < b.n ? a.n : b.n);

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Keys are found by bisection; those of a list of files, in the list's order, by their hash. */
static int make_findable(struct ot_keys *k, struct ot_err *err)
{
    uint64_t first;

    k->sorted = true;
    for (size_t i = 1; k->sorted && i < k->n; i++)
        k->sorted = compare(ot_keys_at(k, i - 1), ot_keys_at(k, i)) < 0;
    for (size_t i = 0; !k->sorted && i < k->n; i++) {
        struct ot_bytes key = ot_keys_at(k, i);
        uint64_t hash = ot_hash64(key.data, key.n);

        if (!ot_map_get(&k->hash, hash, &first) && ot_map_set(&k->hash, hash, i, err) < 0)
            return err->code;
    }
    return 0;
}

int ot_keys_seal(struct ot_keys *k, const char *name, struct ot_err *err)
{
    if (k->n == 0 || k->n > UINT32_MAX)
        return ot_fail(err, OT_EDATA, "'%s': must have 1 to 2^32 - 1 records, got %zu", name, k->n);
    k->fingerprint = ot_hash64(k->text, k->len);
    if (k->width) {
        ot_free(k->end);
        k->end = NULL;
    } else {
        k->fingerprint ^= ot_hash64(k->end, k->n * sizeof *k->end);
    }
    return make_findable(k, err);
}

struct ot_bytes ot_keys_at(const struct ot_keys *k, size_t index)
{
    size_t begin = index * k->width, end = begin + k->width;

    if (!k->width) {
        begin = index ? k->end[index - 1] : 0;
        end = k->end[index];
    }
    return (struct ot_bytes){ k->text + begin, end - begin };
}

char *ot_keys_print(const struct ot_keys *k, size_t index, char *buf, size_t n)
{
    struct ot_bytes key = ot_keys_at(k, index);
    const unsigned char *p = key.data;
    size_t at = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < key.n && at + 5 < n; i++)
        at += (size_t)snprintf(buf + at, n - at,
                               p[i] >= ' ' && p[i] <= '~' && p[i] != '\\' ? "%c" : "\\x%02x", p[i]);
    return buf;
}

/* The inverse of the escapes above, in place; the bytes' number, or -1 for what is none. */
static long unescape(char *s)
{
    char *to = s;

    for (const char *p = s; *p; to++) {
        char hex[3] = { 0 };

        if (*p != '\\') {
            *to = *p++;
            continue;
        }
        if (p[1] != 'x' || !isxdigit((unsigned char)p[2]) || !isxdigit((unsigned char)p[3]))
            return -1;
        memcpy(hex, p + 2, 2);
        *to = (char)strtoul(hex, NULL, 16);
        p += 4;
    }
    return to - s;
}

static int64_t bisect(const struct ot_keys *k, struct ot_bytes key)
{
    size_t lo = 0, hi = k->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare(ot_keys_at(k, mid), key);

        if (c == 0)
            return (int64_t)mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

static int64_t find_hashed(const struct ot_keys *k, struct ot_bytes key)
{
    uint64_t at;

    if (!ot_map_get(&k->hash, ot_hash64(key.data, key.n), &at))
        return -1;
    if (compare(ot_keys_at(k, at), key) == 0)
        return (int64_t)at;
    for (size_t i = 0; i < k->n; i++) /* another key has the same hash */
        if (compare(ot_keys_at(k, i), key) == 0)
            return (int64_t)i;
    return -1;
}

int64_t ot_keys_find(const struct ot_keys *k, const char *printed)
{
    struct ot_err ignored = OT_ERR_INIT;
    char *bytes = ot_strdup(printed, &ignored);
    long n = bytes ? unescape(bytes) : -1;
    struct ot_bytes key = { bytes, n < 0 ? 0 : (size_t)n };
    int64_t at = -1;

    if (n > 0)
        at = k->sorted ? bisect(k, key) : find_hashed(k, key);
    ot_free(bytes);
    return at;
}

void ot_keys_release(struct ot_keys *k)
{
    ot_map_release(&k->hash);
    ot_free(k->text);
    ot_free(k->end);
    *k = (struct ot_keys){ 0 };
}
