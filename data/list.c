/* list.c - lines of a list; empty ones and blanks at the end of a line do not count. */
#include "data/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

enum { LIST_LIMIT = 1 << 30 };

struct list {
    const char *path;
    struct ot_keys *keys;
    int32_t *label;
    size_t cap;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int add_line(struct list *l, char *line, int number, struct ot_err *err)
{
    size_t n = strlen(line), at;
    char *rest = NULL;
    long v;

    while (n && is_blank(line[n - 1]))
        line[--n] = '\0';
    if (!n)
        return 0;
    for (at = n; at && !is_blank(line[at - 1]);)
        at--;
    errno = 0;
    v = strtol(line + at, &rest, 10);
    if (!at || *rest || errno || v < INT32_MIN || v > INT32_MAX)
        return ot_fail(err, OT_EDATA,
                       "%s:%d: wanted \"path label\", the label an integer, got "
                       "\"%.200s\"",
                       l->path, number, line);
    while (at && is_blank(line[at - 1]))
        at--;
    if (!at)
        return ot_fail(err, OT_EDATA, "%s:%d: wanted \"path label\", got no path before \"%ld\"",
                       l->path, number, v);
    if (ot_grow(&l->label, &l->cap, l->keys->n + 1, sizeof *l->label, err) < 0)
        return err->code;
    l->label[l->keys->n] = (int32_t)v;
    return ot_keys_add(l->keys, (struct ot_bytes){ line, at }, err);
}

int ot_list_read(const char *path, struct ot_keys *keys, int32_t **label, struct ot_err *err)
{
    struct list l = { .path = path, .keys = keys };
    size_t n;
    char *text, *line;
    int rc = 0;

    *keys = (struct ot_keys){ 0 };
    *label = NULL;
    text = ot_read_file(path, LIST_LIMIT, &n, err);
    if (!text)
        return err->code;
    line = text;
    for (int number = 1; rc == 0 && line; number++) {
        char *end = strchr(line, '\n');

        if (end)
            *end = '\0';
        rc = add_line(&l, line, number, err);
        line = end ? end + 1 : NULL;
    }
    ot_free(text);
    if (rc == 0)
        rc = ot_keys_seal(keys, path, err);
    if (rc < 0) {
        ot_keys_release(keys);
        ot_free(l.label);
        return rc;
    }
    *label = l.label;
    return 0;
}
