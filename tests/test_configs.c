/* test_configs.c - every file in configs/ loads, builds with stand-in data, and runs two steps and
 * its tests.  A config without a line in `data` below is a failure: add it. */
#include <dirent.h>
#include <math.h>

#include "base/log.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/evaluate.h"

static const struct {
    const char *conf;
    int classes; /* of detection; 0: 28 x 28 images */
} data[] = {
    { "fashion.conf", 0 },
    { "frcnn.conf", 11 },
    { "rfcn.conf", 11 },
    { "bccd.conf", 4 },
};

static const char *source_of(int classes)
{
    static const char *path[16];
    char name[32];

    if (!path[classes]) {
        (void)snprintf(name, sizeof name, "data%d.lmdb", classes);
        path[classes] = strdup(classes ? ot_tiny_scenes(name, 6, 128, classes)
                                       : ot_tiny_digits(name, 64, 28, 10));
    }
    return path[classes];
}

static void runs(const char *conf, int classes)
{
    struct ot_err err = OT_ERR_INIT;
    char path[300], source[400];
    const char *set[] = { source,
                          "net.layer[data].data_param.batch_size=2",
                          "test_iter=2",
                          "mining.warmup=0",
                          "mining.window=16",
                          "mining.quantile=0.5",
                          "net.layer[data].detection_data_param.short_side=128" };
    struct ot_run r;

    (void)snprintf(path, sizeof path, "configs/%s", conf);
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   source_of(classes));
    if (classes)
        set[2] = "test_interval=1000";
    ot_run_open(&r, path, set, classes ? 7 : 6, true, (struct ot_net_conf){ 0 });
    for (int i = 0; i < 2; i++) {
        double loss = ot_run_pass(&r, i, NULL);

        if (!isfinite(loss))
            fail_msg("%s: loss %g", conf, loss);
        ot_run_update(&r, ot_solver_lr(r.solver));
    }
    for (int i = 0; i < r.config->ntest; i++) {
        struct ot_test_result result;
        struct ot_test *t = ot_test_open(r.config, i, r.net, ot_kit_dev(), &err);

        assert_ok(t ? 0 : err.code, &err);
        assert_ok(ot_test_run(t, NULL, NULL, &result, &err), &err);
        assert_int_equal(result.detection, classes != 0);
        ot_test_free(t);
    }
    assert_true(r.config->ntest > 0);
    ot_run_close(&r);
}

static void every_config_builds_and_runs(void **state)
{
    DIR *d = opendir("configs");
    struct dirent *e;
    int seen = 0;

    (void)state;
    assert_non_null(d);
    while ((e = readdir(d))) {
        size_t n = strlen(e->d_name), k = 0;

        if (n < 5 || strcmp(e->d_name + n - 5, ".conf") != 0)
            continue;
        while (k < sizeof data / sizeof data[0] && strcmp(data[k].conf, e->d_name) != 0)
            k++;
        if (k == sizeof data / sizeof data[0])
            fail_msg("configs/%s is run by no test", e->d_name);
        print_message("%s\n", e->d_name);
        runs(e->d_name, data[k].classes);
        seen++;
    }
    (void)closedir(d);
    assert_int_equal(seen, sizeof data / sizeof data[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_config_builds_and_runs),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
