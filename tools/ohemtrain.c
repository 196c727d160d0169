/* ohemtrain.c - the program: command line, and nothing else. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "layers/layer.h"
#include "trainer/config.h"
#include "trainer/train.h"

#define VERSION "0.1.0"

static const char usage_text[] =
    "usage: ohemtrain [options] CONFIG          train as CONFIG says (a Caffe solver will do)\n"
    "       ohemtrain --check CONFIG            build everything, print the layer tables, exit\n"
    "       ohemtrain --time[=N] CONFIG         time every layer over N iterations (20)\n"
    "       ohemtrain --test --weights W CONFIG run the test nets only\n"
    "       ohemtrain layers                    list the layer types\n"
    "\n"
    "  --set PATH=VALUE    override a field of the config, or with net.PATH of its net:\n"
    "                      --set max_iter=100 --set mining.quantile=0.95\n"
    "                      --set 'net.layer[conv1].convolution_param.num_output=32'\n"
    "  --weights FILES     start from .caffemodel files, comma separated, by layer name\n"
    "  --resume[=STATE]    go on from a .solverstate, or from the newest of this run\n"
    "  --device DEV        cpu, cuda, cuda:N or auto\n"
    "  --threads N         compute threads (0: all cores)\n"
    "  --no-mining         train without the hard-example pool\n"
    "  -q, --quiet         warnings and errors only;  -v, --verbose: more\n"
    "  -V, --version       -h, --help\n"
    "\n"
    "Exit codes are those of sysexits.h: 0 done, 64 usage, 65 bad data, 66 no input,\n"
    "69 no device, 70 NaN or bug, 73 cannot create, 74 I/O, 75 stopped or busy (try again),\n"
    "78 bad config.\n";

enum { MAX_SETS = 64 };

enum {
    OPT_CHECK = 256,
    OPT_TIME,
    OPT_TEST,
    OPT_SET,
    OPT_WEIGHTS,
    OPT_RESUME,
    OPT_DEVICE,
    OPT_THREADS,
    OPT_NO_MINING
};

struct args {
    const char *config;
    const char *set[MAX_SETS];
    int nset;
    bool check, test, no_mining;
    int time_n;
    char threads[64];
    struct ot_train_opts opts;
};

static const struct option long_options[] = {
    { "check", no_argument, NULL, OPT_CHECK },
    { "time", optional_argument, NULL, OPT_TIME },
    { "test", no_argument, NULL, OPT_TEST },
    { "set", required_argument, NULL, OPT_SET },
    { "weights", required_argument, NULL, OPT_WEIGHTS },
    { "resume", optional_argument, NULL, OPT_RESUME },
    { "snapshot", required_argument, NULL, OPT_RESUME }, /* Caffe's name */
    { "device", required_argument, NULL, OPT_DEVICE },
    { "threads", required_argument, NULL, OPT_THREADS },
    { "no-mining", no_argument, NULL, OPT_NO_MINING },
    { "quiet", no_argument, NULL, 'q' },
    { "verbose", no_argument, NULL, 'v' },
    { "version", no_argument, NULL, 'V' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static int list_layers(void)
{
    const struct ot_layer_ops *ops;

    for (int i = 0; (ops = ot_layer_at(i)); i++)
        ot_out("%-22s %s\n", ops->type, ops->doc);
    return 0;
}

static int print_version(void)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open("cpu", 0, &err);

    ot_out("ohemtrain " VERSION "\n");
    if (dev)
        ot_out("cpu: %s\n", dev->what);
    ot_dev_close(dev);
    return 0;
}

static int add_set(struct args *a, const char *text, struct ot_err *err)
{
    if (a->nset == MAX_SETS)
        return ot_fail(err, OT_EUSAGE, "more than %d --set", (int)MAX_SETS);
    a->set[a->nset++] = text;
    return 0;
}

static int set_time(struct args *a, const char *text, struct ot_err *err)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < 1 || n > 1000000)
        return ot_fail(err, OT_EUSAGE, "--time: must be >= 1, got %s", text);
    a->time_n = (int)n;
    return 0;
}

static int one_option(struct args *a, int c, struct ot_err *err)
{
    switch (c) {
    case OPT_CHECK:
        a->check = true;
        return 0;
    case OPT_TEST:
        a->test = true;
        return 0;
    case OPT_TIME:
        return set_time(a, optarg ? optarg : "20", err);
    case OPT_SET:
        return add_set(a, optarg, err);
    case OPT_WEIGHTS:
        a->opts.weights = optarg;
        return 0;
    case OPT_RESUME:
        a->opts.resume = optarg ? optarg : "auto";
        return 0;
    case OPT_DEVICE:
        a->opts.device = optarg;
        return 0;
    case OPT_THREADS:
        (void)snprintf(a->threads, sizeof a->threads, "threads=%s", optarg);
        return add_set(a, a->threads, err);
    case OPT_NO_MINING:
        a->no_mining = true;
        return 0;
    case 'q':
        ot_log_set_level(OT_LOG_WARN);
        return 0;
    case 'v':
        ot_log_set_level(OT_LOG_DEBUG);
        return 0;
    default:
        return ot_fail(err, OT_EUSAGE, "see ohemtrain --help");
    }
}

/* What would be passed over is refused. */
static int check_together(const struct args *a, struct ot_err *err)
{
    bool time = a->time_n > 0;

    if (a->check + time + a->test > 1)
        return ot_fail(err, OT_EUSAGE, "--check, --time and --test: one at a time");
    if (a->opts.weights && a->opts.resume)
        return ot_fail(err, OT_EUSAGE,
                       "--weights and --resume together: a resumed run has its own");
    if (a->opts.resume && (a->check || time || a->test))
        return ot_fail(err, OT_EUSAGE,
                       "--resume is for training, not for --check, --time or --test");
    if (a->opts.weights && (a->check || time))
        return ot_fail(err, OT_EUSAGE,
                       "--weights is for training and --test, not for --check or --time");
    return 0;
}

/* 1: done already (help, version, layers); 0: run; < 0: wrong use */
static int parse_args(struct args *a, int argc, char **argv, struct ot_err *err)
{
    int c;

    while ((c = getopt_long(argc, argv, "qvVh", long_options, NULL)) != -1) {
        if (c == 'h') {
            ot_out("%s", usage_text);
            return 1;
        }
        if (c == 'V')
            return print_version(), 1;
        if (one_option(a, c, err) < 0)
            return err->code;
    }
    if (optind < argc && !strcmp(argv[optind], "layers"))
        return list_layers(), 1;
    if (optind < argc && !strcmp(argv[optind], "train"))
        optind++;
    if (optind + 1 != argc)
        return ot_fail(err, OT_EUSAGE, "one CONFIG is needed, got %d; see ohemtrain --help",
                       argc - optind);
    a->config = argv[optind];
    return check_together(a, err);
}

static int run(struct args *a, struct ot_err *err)
{
    struct ot_config *config = ot_config_load(a->config, a->set, a->nset, a->no_mining, err);
    int rc;

    if (!config)
        return err->code;
    if (a->check)
        rc = ot_check(config, &a->opts, err);
    else if (a->time_n)
        rc = ot_time(config, &a->opts, a->time_n, err);
    else if (a->test)
        rc = ot_test_only(config, &a->opts, err);
    else
        rc = ot_train(config, &a->opts, err);
    ot_config_free(config);
    return rc;
}

int main(int argc, char **argv)
{
    struct args a = { 0 };
    struct ot_err err = OT_ERR_INIT;
    char line[1200];
    int rc;

    ot_env_yielding_threads(argv);
    rc = parse_args(&a, argc, argv, &err);
    if (rc == 0)
        rc = run(&a, &err);
    if (rc < 0) {
        ot_progress_end();
        (void)fprintf(stderr, "ohemtrain: %s\n", ot_err_str(&err, line, sizeof line));
    }
    return rc < 0 ? ot_exit_code((enum ot_code)rc) : 0;
}
