/*
 * err.h - failure as a value with an address.
 *
 * A function that can fail returns int: 0, or a negative enum ot_code.  It takes
 * `struct ot_err *err` as its LAST parameter and fills it exactly once, where the failure is
 * first seen; callers add context on the way up with ot_err_wrap() and a place in the user's
 * file with ot_err_at().
 *
 * Ownership: the caller owns the ot_err (usually on its stack); nothing here allocates, so
 * "out of memory" can be reported when memory is out.
 * Threads: an ot_err belongs to one thread at a time.
 *
 * Printed form, one line, no trailing newline:
 *     net.prototxt:12:9: layer 'conv1': pad: must be >= 0, got -1
 *
 * Example:
 *     if (pad < 0)
 *         return ot_fail(err, OT_ECONFIG, "pad: must be >= 0, got %d", pad);
 */
#ifndef OT_BASE_ERR_H
#define OT_BASE_ERR_H

#include <stddef.h>

/* X(name, number, exit code after sysexits.h, text) */
#define OT_CODE_MAP(X)                                          \
    X(ENOMEM, 1, 71, "out of memory")                           \
    X(EUSAGE, 2, 64, "wrong use of the command line")           \
    X(EPARSE, 3, 78, "syntax or schema error")                  \
    X(ECONFIG, 4, 78, "invalid configuration")                  \
    X(ESHAPE, 5, 78, "shapes do not agree")                     \
    X(EDATA, 6, 65, "invalid data")                             \
    X(ENOINPUT, 7, 66, "input is missing")                      \
    X(EDEV, 8, 69, "device error")                              \
    X(ENOTSUP, 9, 69, "not supported by this build or machine") \
    X(ENAN, 10, 70, "non-finite value")                         \
    X(ECREATE, 11, 73, "cannot create output")                  \
    X(EIO, 12, 74, "input/output error")                        \
    X(EBUSY, 13, 75, "in use, try again later")                 \
    X(ESTOPPED, 14, 75, "stopped by a signal, can be resumed")  \
    X(EPERM, 15, 77, "permission denied")                       \
    X(ECLOSED, 16, 70, "closed")

enum ot_code {
    OT_OK = 0,

#define X(name, n, ex, text) OT_##name = -(n),
    OT_CODE_MAP(X)
#undef X
};

struct ot_loc {       /* a place in a user's file; file == NULL means "nowhere" */
    const char *file; /* borrowed: lives as long as the parsed document */
    int line, col;    /* 1-based; 0 = unknown */
};

struct ot_err {
    enum ot_code code;
    struct ot_loc loc; /* the user's place; the innermost one wins */
    char file[256];    /* copy of loc.file, so that an error outlives its document */
    const char *src;   /* our own __FILE__ and line of the first ot_fail() */
    int src_line;
    char text[768]; /* "outer: inner: message" */
};

#define OT_ERR_INIT   \
    {                 \
        .code = OT_OK \
    }

#ifdef __GNUC__
#    define OT_PRINTF(a, b) __attribute__((format(printf, a, b)))
#    define OT_NORETURN     __attribute__((noreturn))
#    define OT_UNUSED_OK    __attribute__((unused))
#    define OT_MUST_USE     __attribute__((warn_unused_result))
#else
#    define OT_PRINTF(a, b)
#    define OT_NORETURN
#    define OT_UNUSED_OK
#    define OT_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Records a failure and returns its code, so that `return ot_fail(err, ...)` is the idiom. */
#define ot_fail(err, code, ...) ot_fail_((err), (code), __FILE__, __LINE__, __VA_ARGS__)
int ot_fail_(struct ot_err *err, enum ot_code code, const char *src, int line, const char *fmt, ...)
    OT_PRINTF(5, 6);

/* Like ot_fail(), with the place in the user's file that is to blame. */
#define ot_fail_at(err, loc, code, ...) \
    (ot_fail_((err), (code), __FILE__, __LINE__, __VA_ARGS__), ot_err_at((err), (loc)))

/* Like ot_fail() with ": <strerror(errnum)>" appended; the code is chosen from errnum when
 * `code` is OT_OK (ENOENT: ENOINPUT, EACCES: EPERM, ENOSPC: EIO, ...). */
#define ot_fail_sys(err, code, errnum, ...) \
    ot_fail_sys_((err), (code), (errnum), __FILE__, __LINE__, __VA_ARGS__)
int ot_fail_sys_(struct ot_err *err, enum ot_code code, int errnum, const char *src, int line,
                 const char *fmt, ...) OT_PRINTF(6, 7);

/* Prefixes "<context>: " and returns err->code. */
int ot_err_wrap(struct ot_err *err, const char *fmt, ...) OT_PRINTF(2, 3);

/* Gives the failure a place in the user's file unless it already has a closer one. */
int ot_err_at(struct ot_err *err, struct ot_loc loc);

/* Formats the one-line form into buf[n]; returns buf. */
char *ot_err_str(const struct ot_err *err, char *buf, size_t n);

const char *ot_code_name(enum ot_code code);
int ot_exit_code(enum ot_code code); /* sysexits.h number; 0 for OT_OK */

/* A bug of ours: prints expression, file:line and aborts, in every build.  Never for input. */
#define OT_BUG_IF(cond) ((cond) ? ot_bug_(#cond, __FILE__, __LINE__) : (void)0)
OT_NORETURN void ot_bug_(const char *what, const char *src, int line);

#ifdef __cplusplus
}
#endif

#endif
