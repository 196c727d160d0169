/*
 * some_tests.h - runs those of a program's tests that its arguments choose.
 *
 *     test_cuda [--list] [--skip PATTERN].. [--behind NAME] [PATTERN]..
 *
 * Without a pattern all are chosen; patterns are the shell's, a space is written ?, as some names
 * have `_` there.  --list prints names and runs nothing.  --behind NAME leaves out everything up to
 * NAME: a device that a kernel broke is of no use to the rest of the process, so whoever runs the
 * program goes on behind it in another one (tools/gpu-check).
 *
 * Threads: one.  Errors: 64 for wrong use, told on stderr; else what cmocka returns, and 0 where
 * nothing is chosen.
 */
#ifndef OT_TESTS_SOME_TESTS_H
#define OT_TESTS_SOME_TESTS_H

#include "tests/check.h"

int ot_some_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n,
                  CMFixtureFunction before, CMFixtureFunction after);

#define OT_SOME_TESTS(argc, argv, tests, before, after) \
    ot_some_tests(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]), before, after)

#endif
