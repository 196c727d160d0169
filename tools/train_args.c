/* train_args.c - see train_args.h. */
#include "tools/train_args.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
    OPT_CHECK = 256,
    OPT_TIME,
    OPT_TEST,
    OPT_SET,
    OPT_WEIGHTS,
    OPT_RESUME,
    OPT_DEVICE,
    OPT_THREADS,
    OPT_NO_MINING,
    OPT_GLOG,
    OPT_SOLVER,
    OPT_MODEL,
    OPT_PHASE,
    OPT_LEVEL,
    OPT_STAGE,
    OPT_GPU,
    OPT_ITERATIONS,
    OPT_SIGINT,
    OPT_SIGHUP,
    OPT_MINLOG,
    OPT_IGNORED
};

static const struct option long_options[] = {
    { "check", no_argument, NULL, OPT_CHECK },
    { "time", optional_argument, NULL, OPT_TIME },
    { "test", no_argument, NULL, OPT_TEST },
    { "set", required_argument, NULL, OPT_SET },
    { "weights", required_argument, NULL, OPT_WEIGHTS },
    { "resume", optional_argument, NULL, OPT_RESUME },
    { "snapshot", required_argument, NULL, OPT_RESUME },
    { "device", required_argument, NULL, OPT_DEVICE },
    { "threads", required_argument, NULL, OPT_THREADS },
    { "no-mining", no_argument, NULL, OPT_NO_MINING },
    { "glog", no_argument, NULL, OPT_GLOG },
    { "quiet", no_argument, NULL, 'q' },
    { "verbose", no_argument, NULL, 'v' },
    { "version", no_argument, NULL, 'V' },
    { "help", no_argument, NULL, 'h' },
    /* Caffe's */
    { "solver", required_argument, NULL, OPT_SOLVER },
    { "model", required_argument, NULL, OPT_MODEL },
    { "phase", required_argument, NULL, OPT_PHASE },
    { "level", required_argument, NULL, OPT_LEVEL },
    { "stage", required_argument, NULL, OPT_STAGE },
    { "gpu", required_argument, NULL, OPT_GPU },
    { "iterations", required_argument, NULL, OPT_ITERATIONS },
    { "sigint_effect", required_argument, NULL, OPT_SIGINT },
    { "sighup_effect", required_argument, NULL, OPT_SIGHUP },
    /* glog's */
    { "minloglevel", required_argument, NULL, OPT_MINLOG },
    { "logtostderr", optional_argument, NULL, OPT_IGNORED },
    { "alsologtostderr", optional_argument, NULL, OPT_IGNORED },
    { "colorlogtostderr", optional_argument, NULL, OPT_IGNORED },
    { "log_dir", required_argument, NULL, OPT_IGNORED },
    { "stderrthreshold", required_argument, NULL, OPT_IGNORED },
    { NULL, 0, NULL, 0 },
};

/* ---- values ---------------------------------------------------------------------------------- */

static int number(const char *flag, const char *text, int min, int max, int *out,
                  struct ot_err *err)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end || n < min || n > max)
        return ot_fail(err, OT_EUSAGE, "--%s: must be in [%d, %d], got '%s'", flag, min, max, text);
    *out = (int)n;
    return 0;
}

static int add_set(struct ot_args *a, const char *text, struct ot_err *err)
{
    if (a->nset == OT_ARG_SETS)
        return ot_fail(err, OT_EUSAGE, "more than %d --set", (int)OT_ARG_SETS);
    a->set[a->nset++] = text;
    return 0;
}

static int set_phase(struct ot_args *a, const char *text, struct ot_err *err)
{
    if (strcmp(text, "TRAIN") != 0 && strcmp(text, "TEST") != 0)
        return ot_fail(err, OT_EUSAGE, "--phase: must be TRAIN or TEST, got '%s'", text);
    a->model.phase = strcmp(text, "TEST") ? CAFFE__PHASE__TRAIN : CAFFE__PHASE__TEST;
    return 0;
}

static int set_stages(struct ot_args *a, const char *text, struct ot_err *err)
{
    char *save = NULL;

    if (strlen(text) >= sizeof a->stages)
        return ot_fail(err, OT_EUSAGE, "--stage: longer than %zu bytes", sizeof a->stages - 1);
    (void)snprintf(a->stages, sizeof a->stages, "%s", text);
    a->model.nstage = 0;
    for (char *s = strtok_r(a->stages, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        if (a->model.nstage == OT_ARG_STAGES)
            return ot_fail(err, OT_EUSAGE, "--stage: more than %d", (int)OT_ARG_STAGES);
        a->stage[a->model.nstage++] = s;
    }
    a->model.stage = a->stage;
    return 0;
}

/* One device: "0", or "all" where that is one. */
static int set_gpu(struct ot_args *a, const char *text, struct ot_err *err)
{
    int index = 0;

    if (strchr(text, ','))
        return ot_fail(err, OT_EUSAGE, "--gpu: one GPU is used at a time, got '%s'", text);
    if (strcmp(text, "all") != 0 && number("gpu", text, 0, 1023, &index, err) < 0)
        return err->code;
    (void)snprintf(a->device, sizeof a->device, "cuda:%d", index);
    a->opts.device = a->device;
    return 0;
}

static int set_effect(const char *flag, const char *text, enum ot_signal_effect *to,
                      struct ot_err *err)
{
    static const char *const name[] = { "", "stop", "snapshot", "none" };

    for (int i = OT_SIGNAL_STOP; i <= OT_SIGNAL_NONE; i++)
        if (!strcmp(text, name[i])) {
            *to = (enum ot_signal_effect)i;
            return 0;
        }
    return ot_fail(err, OT_EUSAGE, "--%s: must be snapshot, stop or none, got '%s'", flag, text);
}

static int set_min_level(const char *text, struct ot_err *err)
{
    int level = 0;

    if (number("minloglevel", text, 0, 3, &level, err) < 0)
        return err->code;
    ot_log_set_level(level == 0 ? OT_LOG_INFO : level == 1 ? OT_LOG_WARN : OT_LOG_ERROR);
    return 0;
}

/* ---- options --------------------------------------------------------------------------------- */

static int caffe_option(struct ot_args *a, int c, struct ot_err *err)
{
    switch (c) {
    case OPT_SOLVER:
        a->config = optarg;
        a->glog = true;
        return 0;
    case OPT_MODEL:
        a->model.model = optarg;
        a->glog = true;
        return 0;
    case OPT_PHASE:
        return set_phase(a, optarg, err);
    case OPT_LEVEL:
        return number("level", optarg, -1000000, 1000000, &a->model.level, err);
    case OPT_STAGE:
        return set_stages(a, optarg, err);
    case OPT_GPU:
        return set_gpu(a, optarg, err);
    case OPT_ITERATIONS:
        return number("iterations", optarg, 1, 1000000000, &a->iterations, err);
    case OPT_SIGINT:
        return set_effect("sigint_effect", optarg, &a->opts.on_int, err);
    case OPT_SIGHUP:
        return set_effect("sighup_effect", optarg, &a->opts.on_hup, err);
    case OPT_MINLOG:
        return set_min_level(optarg, err);
    case OPT_IGNORED:
        return 0;
    default:
        return ot_fail(err, OT_EUSAGE, "see ohemtrain --help");
    }
}

static int mode(struct ot_args *a, enum ot_command cmd, struct ot_err *err)
{
    if (a->cmd != OT_CMD_TRAIN && a->cmd != cmd)
        return ot_fail(err, OT_EUSAGE, "--check, --time and --test: one at a time");
    a->cmd = cmd;
    return 0;
}

static int one_option(struct ot_args *a, int c, struct ot_err *err)
{
    switch (c) {
    case OPT_CHECK:
        return mode(a, OT_CMD_CHECK, err);
    case OPT_TEST:
        return mode(a, OT_CMD_TEST, err);
    case OPT_TIME:
        if (optarg && number("time", optarg, 1, 1000000, &a->iterations, err) < 0)
            return err->code;
        return mode(a, OT_CMD_TIME, err);
    case OPT_SET:
        return add_set(a, optarg, err);
    case OPT_WEIGHTS:
        a->opts.weights = a->model.weights = optarg;
        return 0;
    case OPT_RESUME:
        a->opts.resume = optarg ? optarg : "auto";
        return 0;
    case OPT_DEVICE:
        a->opts.device = optarg;
        return 0;
    case OPT_THREADS:
        if (number("threads", optarg, 0, 1024, &a->model.threads, err) < 0)
            return err->code;
        (void)snprintf(a->threads, sizeof a->threads, "threads=%d", a->model.threads);
        return add_set(a, a->threads, err);
    case OPT_NO_MINING:
        a->no_mining = true;
        return 0;
    case OPT_GLOG:
        a->glog = true;
        return 0;
    case 'q':
        ot_log_set_level(OT_LOG_WARN);
        return 0;
    case 'v':
        ot_log_set_level(OT_LOG_DEBUG);
        return 0;
    default:
        return caffe_option(a, c, err);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What would be passed over is refused. */
static int check_together(const struct ot_args *a, struct ot_err *err)
{
    bool model = a->cmd == OT_CMD_MODEL_TEST || a->cmd == OT_CMD_MODEL_TIME;

    if (a->opts.weights && a->opts.resume)
        return ot_fail(err, OT_EUSAGE,
                       "--weights and --resume together: a resumed run has its own");
    if (a->opts.resume && a->cmd != OT_CMD_TRAIN)
        return ot_fail(err, OT_EUSAGE, "--resume is for training alone");
    if (a->opts.weights && (a->cmd == OT_CMD_CHECK || a->cmd == OT_CMD_TIME))
        return ot_fail(err, OT_EUSAGE,
                       "--weights is for training and testing, not for --check or --time");
    if (a->cmd == OT_CMD_MODEL_TEST && !a->model.weights)
        return ot_fail(err, OT_EUSAGE,
                       "test: --weights is missing: the net would be an untrained "
                       "one");
    if (model && (a->nset > (a->threads[0] ? 1 : 0) || a->no_mining))
        return ot_fail(err, OT_EUSAGE, "--set and --no-mining are for a CONFIG, not for --model");
    if (a->cmd == OT_CMD_TEST && (a->model.level || a->model.nstage))
        return ot_fail(err, OT_EUSAGE,
                       "--level and --stage are for train and for --model; a config "
                       "has test_state");
    return 0;
}

static int settle(struct ot_args *a, struct ot_err *err)
{
    if (a->cmd == OT_CMD_DEVICES || a->cmd == OT_CMD_LAYERS)
        return 0;
    if (a->model.model) {
        if (a->cmd != OT_CMD_TEST && a->cmd != OT_CMD_TIME)
            return ot_fail(err, OT_EUSAGE, "--model is for `ohemtrain test` and `ohemtrain time`");
        if (a->config)
            return ot_fail(err, OT_EUSAGE, "--model and a solver together; give one of the two");
        a->cmd = a->cmd == OT_CMD_TEST ? OT_CMD_MODEL_TEST : OT_CMD_MODEL_TIME;
    } else if (!a->config) {
        return ot_fail(err, OT_EUSAGE, "one CONFIG is needed%s; see ohemtrain --help",
                       a->cmd == OT_CMD_TEST || a->cmd == OT_CMD_TIME ? ", or --model" : "");
    }
    return check_together(a, err);
}

static bool is_command(const char *word, enum ot_command *cmd)
{
    static const struct {
        const char *word;
        enum ot_command cmd;
    } list[] = { { "train", OT_CMD_TRAIN },
                 { "test", OT_CMD_TEST },
                 { "time", OT_CMD_TIME },
                 { "device_query", OT_CMD_DEVICES },
                 { "layers", OT_CMD_LAYERS } };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (!strcmp(word, list[i].word)) {
            *cmd = list[i].cmd;
            return true;
        }
    return false;
}

/* The words that are no options: a command first, then at most one config. */
static int words(struct ot_args *a, int argc, char **argv, struct ot_err *err)
{
    enum ot_command cmd;
    int i = optind;

    if (i < argc && is_command(argv[i], &cmd)) {
        if (a->cmd != OT_CMD_TRAIN && a->cmd != cmd)
            return ot_fail(err, OT_EUSAGE, "%s and another mode together", argv[i]);
        a->cmd = a->cmd == OT_CMD_TRAIN ? cmd : a->cmd;
        i++;
    }
    if (i < argc && !a->config)
        a->config = argv[i++];
    if (i < argc)
        return ot_fail(err, OT_EUSAGE,
                       "one CONFIG is needed, got '%s' as well; see ohemtrain "
                       "--help",
                       argv[i]);
    return 0;
}

int ot_args_parse(struct ot_args *a, int argc, char **argv, struct ot_err *err)
{
    bool phase_given = false;
    int c;

    while ((c = getopt_long_only(argc, argv, "qvVh", long_options, NULL)) != -1) {
        if (c == 'h' || c == 'V') {
            a->cmd = c == 'h' ? OT_CMD_HELP : OT_CMD_VERSION;
            return 0;
        }
        phase_given = phase_given || c == OPT_PHASE;
        if (one_option(a, c, err) < 0)
            return err->code;
    }
    if (words(a, argc, argv, err) < 0 || settle(a, err) < 0)
        return err->code;
    if (phase_given && a->cmd != OT_CMD_MODEL_TIME)
        return ot_fail(err, OT_EUSAGE, "--phase is for `ohemtrain time --model`");
    if (a->cmd == OT_CMD_MODEL_TEST)
        a->model.phase = CAFFE__PHASE__TEST;
    a->model.iterations = a->iterations ? a->iterations : 50;
    a->model.device = a->opts.device ? a->opts.device : "cpu";
    if (a->glog)
        ot_log_glog();
    return 0;
}
