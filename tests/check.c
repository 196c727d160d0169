#define _XOPEN_SOURCE 700 /* nftw */

#include "tests/check.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

const char *ot_shared(const char *name)
{
    static char path[1024];
    const char *top = getenv("OT_SHARED");

    const char *golden = getenv("OT_GOLDEN");

    if (golden && !strncmp(name, "golden/", 7))
        (void)snprintf(path, sizeof path, "%s/%s", golden, name + 7);
    else
        (void)snprintf(path, sizeof path, "%s/%s", top ? top : "../shared", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

double ot_farthest(const float *a, const float *b, size_t n)
{
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);

        if (isnan(d))
            return INFINITY;
        worst = fmax(worst, d);
    }
    return worst;
}

static char tmp[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_tmp(void)
{
    (void)nftw(tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *ot_tmpdir(void)
{
    if (!tmp[0]) {
        (void)snprintf(tmp, sizeof tmp, "/tmp/ohemtrain-test-XXXXXX");
        if (!mkdtemp(tmp)) {
            (void)fprintf(stderr, "cannot create %s\n", tmp);
            exit(1);
        }
        (void)atexit(remove_tmp);
    }
    return tmp;
}
