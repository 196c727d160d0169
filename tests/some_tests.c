/* some_tests.c - see some_tests.h. */
#include "tests/some_tests.h"

#include <fnmatch.h>
#include <stdbool.h>

#include "base/mem.h"

struct choice {
    int argc;
    char **argv;
    bool list, patterns;
    const char *behind;
};

static bool takes_a_word(const char *option)
{
    return !strcmp(option, "--skip") || !strcmp(option, "--behind");
}

static bool understood(struct choice *c)
{
    for (int i = 1; i < c->argc; i++) {
        const char *a = c->argv[i];

        if (!strcmp(a, "--list"))
            c->list = true;
        else if (takes_a_word(a) && i + 1 < c->argc)
            c->behind = !strcmp(c->argv[i++], "--behind") ? c->argv[i] : c->behind;
        else if (a[0] == '-')
            return false;
        else
            c->patterns = true;
    }
    return true;
}

static bool chosen(const struct choice *c, const char *name)
{
    bool in = !c->patterns;

    for (int i = 1; i < c->argc; i++) {
        if (!strcmp(c->argv[i], "--skip") && !fnmatch(c->argv[i + 1], name, 0))
            return false;
        if (takes_a_word(c->argv[i]))
            i++;
        else if (c->argv[i][0] != '-' && !fnmatch(c->argv[i], name, 0))
            in = true;
    }
    return in;
}

static int run(const struct choice *c, const struct CMUnitTest *tests, size_t n,
               struct CMUnitTest *some, CMFixtureFunction before, CMFixtureFunction after)
{
    size_t first = 0, k = 0;

    while (c->behind && first < n && strcmp(tests[first].name, c->behind) != 0)
        first++;
    if (c->behind && first++ == n) {
        (void)fprintf(stderr, "%s: --behind: no test '%s'\n", c->argv[0], c->behind);
        return 64;
    }
    for (size_t i = first; i < n; i++)
        if (chosen(c, tests[i].name))
            some[k++] = tests[i];
    for (size_t i = 0; c->list && i < k; i++)
        (void)printf("%s\n", some[i].name);
    return c->list || !k ? 0 : _cmocka_run_group_tests("tests", some, k, before, after);
}

int ot_some_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n,
                  CMFixtureFunction before, CMFixtureFunction after)
{
    struct choice c = { .argc = argc, .argv = argv };
    struct ot_err err = OT_ERR_INIT;
    struct CMUnitTest *some;
    int status;

    if (!understood(&c)) {
        (void)fprintf(stderr, "usage: %s [--list] [--skip PATTERN].. [--behind NAME] [PATTERN]..\n",
                      argv[0]);
        return 64;
    }
    some = ot_alloc(n + 1, sizeof *some, &err);
    if (!some)
        return 71;
    status = run(&c, tests, n, some, before, after);
    ot_free(some);
    return status;
}
