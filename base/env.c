/* env.c - ${NAME} in configuration strings, as a shell reads it; cores. */
#define _GNU_SOURCE /* sched_getaffinity() */
#include "base/env.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *ot_env(const char *name, const char *fallback)
{
    const char *v = getenv(name);

    return v && v[0] ? v : fallback;
}

int ot_env_expand(const char *text, struct ot_str *out, struct ot_err *err)
{
    while (*text) {
        const char *open = strstr(text, "${"), *close = open ? strchr(open, '}') : NULL;
        const char *value, *dash;
        char name[128];
        size_t n;

        if (!close) {
            ot_str_puts(out, text);
            break;
        }
        ot_str_add(out, text, (size_t)(open - text));
        dash = strstr(open, ":-");
        n = (size_t)((dash && dash < close ? dash : close) - (open + 2));
        if (n >= sizeof name)
            return ot_fail(err, OT_ECONFIG, "the name of a variable in '%s' is too long", text);
        memcpy(name, open + 2, n);
        name[n] = '\0';
        value = ot_env(name, NULL);
        if (value)
            ot_str_puts(out, value);
        else if (dash && dash < close)
            ot_str_add(out, dash + 2, (size_t)(close - dash - 2));
        else
            return ot_fail(err, OT_ECONFIG, "environment variable %s is not set", name);
        text = close + 1;
    }
    return ot_str_ok(out, err);
}

int ot_env_cores(void)
{
    cpu_set_t set;
    int n;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && (n = CPU_COUNT(&set)) > 0)
        return n;
    n = (int)sysconf(_SC_NPROCESSORS_ONLN); /* more than a set holds */
    return n > 1 ? n : 1;
}

void ot_env_yielding_threads(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0)
        (void)execv("/proc/self/exe", argv); /* fails: go on as we are */
}
