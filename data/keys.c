/*
 * keys.c - Caffe's keys all have one width, so their ends are kept only until that is known.
 */
#include "data/keys.h"

#include <stdio.h>
#include <string.h>

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
    return 0;
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

void ot_keys_release(struct ot_keys *k)
{
    ot_free(k->text);
    ot_free(k->end);
    *k = (struct ot_keys){ 0 };
}
