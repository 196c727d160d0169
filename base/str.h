/*
 * str.h - a growing string, and the text helpers that several modules need.
 *
 * Invariant: s.buf is NULL or NUL-terminated at s.len.  A failed append is latched: the string
 * keeps what it had, and ot_str_ok() tells; so a long run of appends needs one check.
 * Ownership: ot_str_release() frees; ot_str_take() hands the buffer to the caller (ot_free()).
 * Threads: one owner at a time.
 */
#ifndef OT_BASE_STR_H
#define OT_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ot_str {
    char *buf;
    size_t len, cap;
    bool failed;
};

void ot_str_add(struct ot_str *s, const char *bytes, size_t n);
void ot_str_puts(struct ot_str *s, const char *text);
void ot_str_printf(struct ot_str *s, const char *fmt, ...) OT_PRINTF(2, 3);
void ot_str_vprintf(struct ot_str *s, const char *fmt, va_list ap);
void ot_str_clear(struct ot_str *s); /* empty, memory kept */
void ot_str_release(struct ot_str *s);
char *ot_str_take(struct ot_str *s); /* returns owned, never NULL unless failed */
int ot_str_ok(const struct ot_str *s, struct ot_err *err);

/* Appends `text` as the inside of a JSON string (escapes, no quotes). */
void ot_str_json(struct ot_str *s, const char *text);
/* Appends a number that reads back as the same float; NaN and infinities become null. */
void ot_str_json_num(struct ot_str *s, double v);

/* Edit distance (Levenshtein); used for "did you mean". */
int ot_edit_distance(const char *a, const char *b);

#ifdef __cplusplus
}
#endif

#endif
