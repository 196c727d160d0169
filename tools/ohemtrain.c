/* ohemtrain.c - the program: what the command line asks for, and nothing else. */
#include <stdio.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "layers/layer.h"
#include "mining/pool.h"
#include "tools/train_args.h"

#define VERSION "0.1.0"

static const char usage_text[] =
    "usage: ohemtrain [options] CONFIG           train as CONFIG says (a Caffe solver will do)\n"
    "       ohemtrain --check CONFIG             build everything, print the layer tables, exit\n"
    "       ohemtrain --time[=N] CONFIG          time every layer over N iterations (20)\n"
    "       ohemtrain --test --weights W CONFIG  run the test nets only\n"
    "       ohemtrain layers                     list the layer types\n"
    "\n"
    "  --set PATH=VALUE    override a field of the config, or with net.PATH of its net:\n"
    "                      --set max_iter=100 --set mining.quantile=0.95\n"
    "                      --set 'net.layer[conv1].convolution_param.num_output=32'\n"
    "  --weights FILES     start from .caffemodel files, comma separated, by layer name\n"
    "  --resume[=STATE]    go on from a .solverstate, or from the newest of this run\n"
    "  --device DEV        cpu, cuda, cuda:N or auto\n"
    "  --threads N         compute threads (0: all cores)\n"
    "  --no-mining         train without the hard-example pool\n"
    "  --glog              the log on stderr as Caffe's log parsers read it\n"
    "  -q, --quiet         warnings and errors only;  -v, --verbose: more\n"
    "  -V, --version       -h, --help\n"
    "\n"
    "as the `caffe` tool, with one dash or two, and with its log:\n"
    "       ohemtrain train --solver=S [--snapshot=STATE | --weights=W] [--gpu=N]\n"
    "                       [--level=N] [--stage=A,B] [--sigint_effect=stop|snapshot|none]\n"
    "                       [--sighup_effect=snapshot|stop|none]\n"
    "       ohemtrain test --model=M --weights=W [--iterations=50] [--gpu=N] [--level] [--stage]\n"
    "       ohemtrain time --model=M [--weights=W] [--iterations=50] [--phase=TRAIN|TEST] [--gpu]\n"
    "       ohemtrain device_query [--gpu=N]\n"
    "\n"
    "Exit codes are those of sysexits.h: 0 done, 64 usage, 65 bad data, 66 no input,\n"
    "69 no device, 70 NaN or bug, 73 cannot create, 74 I/O, 75 stopped or busy (try again),\n"
    "78 bad config.\n";

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
    ot_out("SQLite %s\n", ot_pool_sqlite());
    if (dev)
        ot_out("cpu: %s\n", dev->what);
    ot_dev_close(dev);
    return 0;
}

static int show_device(const char *name, struct ot_err *err)
{
    struct ot_dev *dev = ot_dev_open(name, 0, err);

    if (!dev)
        return err->code;
    ot_out("%s: %s\n", dev->name, dev->what);
    ot_dev_close(dev);
    return 0;
}

/* The one that was asked for must be there; without a wish all are shown, or why there is none. */
static int query_devices(const char *wanted, struct ot_err *err)
{
    char name[32], line[1200];

    if (wanted)
        return show_device(wanted, err);
    if (show_device("cpu", err) < 0)
        return err->code;
    for (int i = 0; i < 64; i++) {
        struct ot_err none = OT_ERR_INIT;

        (void)snprintf(name, sizeof name, "cuda:%d", i);
        if (show_device(name, &none) == 0)
            continue;
        if (i == 0)
            ot_out("cuda: %s\n", ot_err_str(&none, line, sizeof line));
        break;
    }
    return 0;
}

static int run_config(struct ot_args *a, struct ot_err *err)
{
    struct ot_config *config = ot_config_load(a->config, a->set, a->nset, a->no_mining, err);
    int rc = config ? 0 : err->code;

    if (rc == 0 && (a->model.level || a->model.nstage))
        rc = ot_config_train_state(config, a->model.level, a->model.stage, a->model.nstage, err);
    if (rc == 0 && a->cmd == OT_CMD_CHECK)
        rc = ot_check(config, &a->opts, err);
    else if (rc == 0 && a->cmd == OT_CMD_TIME)
        rc = ot_time(config, &a->opts, a->iterations ? a->iterations : 20, err);
    else if (rc == 0 && a->cmd == OT_CMD_TEST)
        rc = ot_test_only(config, &a->opts, err);
    else if (rc == 0)
        rc = ot_train(config, &a->opts, err);
    ot_config_free(config);
    return rc;
}

static int run(struct ot_args *a, struct ot_err *err)
{
    switch (a->cmd) {
    case OT_CMD_HELP:
        ot_out("%s", usage_text);
        return 0;
    case OT_CMD_VERSION:
        return print_version();
    case OT_CMD_LAYERS:
        return list_layers();
    case OT_CMD_DEVICES:
        return query_devices(a->opts.device, err);
    case OT_CMD_MODEL_TEST:
        ot_signals_install(a->opts.on_int, a->opts.on_hup);
        return ot_model_test(&a->model, err);
    case OT_CMD_MODEL_TIME:
        ot_signals_install(a->opts.on_int, a->opts.on_hup);
        return ot_model_time(&a->model, err);
    default:
        return run_config(a, err);
    }
}

int main(int argc, char **argv)
{
    struct ot_args a = { 0 };
    struct ot_err err = OT_ERR_INIT;
    char line[1200];
    int rc;

    ot_env_yielding_threads(argv);
    rc = ot_args_parse(&a, argc, argv, &err);
    if (rc == 0)
        rc = run(&a, &err);
    if (rc < 0) {
        ot_progress_end();
        (void)fprintf(stderr, "ohemtrain: %s\n", ot_err_str(&err, line, sizeof line));
    }
    return rc < 0 ? ot_exit_code((enum ot_code)rc) : 0;
}
