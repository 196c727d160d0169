/* err.c - errors are plain text in a fixed buffer: nothing here can fail. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct ot_err *err, enum ot_code code, const char *src, int line, const char *fmt,
                 va_list ap)
{
    err->code = code;
    err->loc = (struct ot_loc){ 0 };
    err->src = src;
    err->src_line = line;
    (void)vsnprintf(err->text, sizeof err->text, fmt, ap);
}

int ot_fail_(struct ot_err *err, enum ot_code code, const char *src, int line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(err, code, src, line, fmt, ap);
    va_end(ap);
    return code;
}

static enum ot_code code_of_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return OT_ENOINPUT;
    case EACCES:
    case EPERM:
    case EROFS:
        return OT_EPERM;
    case ENOMEM:
        return OT_ENOMEM;
    case EAGAIN:
    case EBUSY:
        return OT_EBUSY;
    default:
        return OT_EIO;
    }
}

int ot_fail_sys_(struct ot_err *err, enum ot_code code, int errnum, const char *src, int line,
                 const char *fmt, ...)
{
    va_list ap;
    size_t n;
    char why[128];

    va_start(ap, fmt);
    fill(err, code == OT_OK ? code_of_errno(errnum) : code, src, line, fmt, ap);
    va_end(ap);
    n = strlen(err->text);
    if (strerror_r(errnum, why, sizeof why) != 0)
        (void)snprintf(why, sizeof why, "error %d", errnum);
    (void)snprintf(err->text + n, sizeof err->text - n, ": %s", why);
    return err->code;
}

int ot_err_wrap(struct ot_err *err, const char *fmt, ...)
{
    char ctx[256];
    size_t n, keep;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(ctx, sizeof ctx - 2, fmt, ap);
    va_end(ap);
    n = strlen(ctx);
    ctx[n++] = ':';
    ctx[n++] = ' ';
    keep = strlen(err->text);
    if (keep > sizeof err->text - 1 - n)
        keep = sizeof err->text - 1 - n;
    memmove(err->text + n, err->text, keep);
    memcpy(err->text, ctx, n);
    err->text[n + keep] = '\0';
    return err->code;
}

int ot_err_at(struct ot_err *err, struct ot_loc loc)
{
    if (!err->loc.file && loc.file) {
        (void)snprintf(err->file, sizeof err->file, "%s", loc.file);
        err->loc = loc;
        err->loc.file = err->file;
    }
    return err->code;
}

char *ot_err_str(const struct ot_err *err, char *buf, size_t n)
{
    if (err->loc.file && err->loc.line > 0 && err->loc.col > 0)
        (void)snprintf(buf, n, "%s:%d:%d: %s", err->file, err->loc.line, err->loc.col, err->text);
    else if (err->loc.file && err->loc.line > 0)
        (void)snprintf(buf, n, "%s:%d: %s", err->file, err->loc.line, err->text);
    else if (err->loc.file)
        (void)snprintf(buf, n, "%s: %s", err->file, err->text);
    else
        (void)snprintf(buf, n, "%s", err->text);
    return buf;
}

const char *ot_code_name(enum ot_code code)
{
    switch (code) {
    case OT_OK:
        return "OK";
#define X(name, n, ex, text) \
    case OT_##name:          \
        return #name;
        OT_CODE_MAP(X)
#undef X
    }
    return "?";
}

int ot_exit_code(enum ot_code code)
{
    switch (code) {
    case OT_OK:
        return 0;
#define X(name, n, ex, text) \
    case OT_##name:          \
        return ex;
        OT_CODE_MAP(X)
#undef X
    }
    return 70;
}

void ot_bug_(const char *what, const char *src, int line)
{
    (void)fprintf(stderr, "ohemtrain: bug: %s at %s:%d; please report this\n", what, src, line);
    abort();
}
