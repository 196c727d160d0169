/* str.c - growing strings on top of ot_grow(). */
#include "base/str.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static bool room(struct ot_str *s, size_t more)
{
    struct ot_err err = OT_ERR_INIT;

    if (!s->failed && ot_grow(&s->buf, &s->cap, s->len + more + 1, 1, &err) < 0)
        s->failed = true;
    return !s->failed;
}

void ot_str_add(struct ot_str *s, const char *bytes, size_t n)
{
    if (!room(s, n))
        return;
    if (n)
        memcpy(s->buf + s->len, bytes, n);
    s->len += n;
    s->buf[s->len] = '\0';
}

void ot_str_puts(struct ot_str *s, const char *text)
{
    ot_str_add(s, text, strlen(text));
}

void ot_str_vprintf(struct ot_str *s, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && room(s, (size_t)n)) {
        (void)vsnprintf(s->buf + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void ot_str_printf(struct ot_str *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    ot_str_vprintf(s, fmt, ap);
    va_end(ap);
}

void ot_str_clear(struct ot_str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->buf)
        s->buf[0] = '\0';
}

void ot_str_release(struct ot_str *s)
{
    ot_free(s->buf);
    *s = (struct ot_str){ 0 };
}

char *ot_str_take(struct ot_str *s)
{
    char *p;

    ot_str_add(s, "", 0); /* an empty string still has a buffer */
    p = s->failed ? NULL : s->buf;
    if (!p)
        ot_free(s->buf);
    *s = (struct ot_str){ 0 };
    return p;
}

int ot_str_ok(const struct ot_str *s, struct ot_err *err)
{
    return s->failed ? ot_fail(err, OT_ENOMEM, "out of memory while building a string") : 0;
}

void ot_str_json(struct ot_str *s, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            ot_str_printf(s, "\\%c", *p);
        else if (*p < 0x20)
            ot_str_printf(s, "\\u%04x", *p);
        else
            ot_str_add(s, (const char *)p, 1);
    }
}

void ot_str_json_num(struct ot_str *s, double v)
{
    if (isfinite(v))
        ot_str_printf(s, "%.9g", v);
    else
        ot_str_puts(s, "null");
}

int ot_edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };

    int row[MAX + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int diag = row[0];

        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int sub = diag + (a[i - 1] != b[j - 1]),
                best = row[j] < row[j - 1] ? row[j] : row[j - 1];

            diag = row[j];
            row[j] = sub < best + 1 ? sub : best + 1;
        }
    }
    return row[nb];
}
