/*
 * check.h - what every test file includes: cmocka, and comparisons that say both values.
 *
 * One executable per module, tests/test_<module>.c; each runs alone.  Data of ../shared (golden
 * outputs, photographs) is used where present: ot_shared() gives a path or NULL, and the test
 * then calls skip_because().
 */
#ifndef OT_TESTS_CHECK_H
#define OT_TESTS_CHECK_H

/* cmocka.h wants to come after these */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
/* clang-format on */

#include "base/err.h"

/* Fails with the error's own line when rc is not 0. */
#define assert_ok(rc, err)                                                   \
    do {                                                                     \
        if ((rc) != 0) {                                                     \
            char line_[1200];                                                \
            fail_msg("%s: %s", #rc, ot_err_str((err), line_, sizeof line_)); \
        }                                                                    \
    } while (0)

/* Both the code and a part of the message must match. */
#define assert_error(err, want, part)                                                 \
    do {                                                                              \
        char line_[1200];                                                             \
        (void)ot_err_str((err), line_, sizeof line_);                                 \
        if ((err)->code != (want) || !strstr(line_, (part)))                          \
            fail_msg("wanted %s with \"%s\", got %s: %s", ot_code_name(want), (part), \
                     ot_code_name((err)->code), line_);                               \
    } while (0)

/* NaN-proof: passes only when |a - b| <= tol. */
#define assert_near(a, b, tol)                                                                \
    do {                                                                                      \
        double a_ = (double)(a), b_ = (double)(b);                                            \
        if (!(a_ - b_ <= (tol) && b_ - a_ <= (tol)))                                          \
            fail_msg("%s = %.9g but %s = %.9g, tolerance %g", #a, a_, #b, b_, (double)(tol)); \
    } while (0)

/* The largest |a[i] - b[i]|; infinity where that is no number. */
double ot_farthest(const float *a, const float *b, size_t n);

#define skip_because(...)           \
    do {                            \
        print_message("skipped: "); \
        print_message(__VA_ARGS__); \
        print_message("\n");        \
        skip();                     \
    } while (0)

/* Path of `name` below the shared folder (env OT_SHARED, default ../shared; golden/... below env
 * OT_GOLDEN where that is set), or NULL when it is not there; the buffer is static and overwritten
 * by the next call. */
const char *ot_shared(const char *name);

/* A fresh empty temporary folder for this process, removed at exit. */
const char *ot_tmpdir(void);

#endif
