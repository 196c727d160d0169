/*
 * test_trajectories.c - every training of Caffe in ../shared/golden, followed step by step: one
 * test for each folder that has a loss.txt.
 */
#include <dirent.h>

#include "base/fs.h"
#include "base/log.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/trajectory.h"

enum { MAX_RUNS = 128, MAX_NAME = 600 };

static char dirs[MAX_RUNS][MAX_NAME];
static size_t n_dirs;

static void follows(void **state)
{
    struct ot_trajectory t;

    if (!*state)
        skip_because("no ../shared/golden here");
    ot_trajectory_run(ot_kit_dev(), *state, ot_tmpdir(), 0, &t);
    if (t.end == OT_TRAJECTORY_SKIPPED)
        skip_because("%s", t.why);
    if (t.end == OT_TRAJECTORY_FAILED)
        fail_msg("%s: %s", (const char *)*state, t.why);
    print_message("%d iterations, worst loss off by %.2g (at %d), %.2f of its bound at most\n",
                  t.iterations, t.worst, t.at, t.share);
    assert_true(t.iterations > 0);
}

static void add(const char *dir)
{
    char file[MAX_NAME + 20];

    (void)snprintf(file, sizeof file, "%s/loss.txt", dir);
    if (ot_exists(file) && n_dirs < MAX_RUNS)
        (void)snprintf(dirs[n_dirs++], MAX_NAME, "%s", dir);
}

static void find(const char *top)
{
    const char *dir = ot_shared(top);
    struct dirent *e;
    char sub[MAX_NAME];
    DIR *d;

    if (!dir)
        return;
    (void)snprintf(sub, sizeof sub, "%s", dir);
    add(sub);
    d = opendir(dir);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.') {
            (void)snprintf(sub, sizeof sub, "%.300s/%.255s", dir, e->d_name);
            add(sub);
        }
    if (d)
        (void)closedir(d);
}

int main(void)
{
    static struct CMUnitTest tests[MAX_RUNS];

    ot_log_set_level(OT_LOG_ERROR);
    find("golden/tiny-solvers");
    find("golden/lenet-solvers");
    find("golden/lenet-trajectory");
    for (size_t i = 0; i < n_dirs; i++)
        tests[i] = (struct CMUnitTest){ strstr(dirs[i], "golden/") + 7, follows, NULL, NULL,
                                        dirs[i] };
    if (!n_dirs)
        tests[n_dirs++] = (struct CMUnitTest){ "trajectories", follows, NULL, NULL, NULL };
    return _cmocka_run_group_tests("tests", tests, n_dirs, NULL, NULL);
}
