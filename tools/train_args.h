/*
 * train_args.h - the command line of ohemtrain: its own, and that of the `caffe` tool.
 *
 *   ohemtrain [options] CONFIG
 *   ohemtrain train|test|time|device_query|layers [flags]
 *
 * Caffe's flags are taken as gflags writes them: -flag value, --flag=value, one dash or two
 * (tools/caffe.cpp of BVLC Caffe 1.0); glog's own are taken and have no effect.
 *
 * Ownership: everything points into argv or into the struct.  Errors: OT_EUSAGE.
 */
#ifndef OT_TOOLS_TRAIN_ARGS_H
#define OT_TOOLS_TRAIN_ARGS_H

#include "trainer/model.h"
#include "trainer/train.h"

enum { OT_ARG_SETS = 64, OT_ARG_STAGES = 32 };

enum ot_command {
    OT_CMD_TRAIN,
    OT_CMD_CHECK,
    OT_CMD_TIME,       /* of a config */
    OT_CMD_TEST,       /* of a config */
    OT_CMD_MODEL_TIME, /* of a net alone */
    OT_CMD_MODEL_TEST,
    OT_CMD_DEVICES,
    OT_CMD_LAYERS,
    OT_CMD_HELP,
    OT_CMD_VERSION
};

struct ot_args {
    enum ot_command cmd;
    const char *config;
    const char *set[OT_ARG_SETS];
    int nset;
    bool no_mining, glog;
    int iterations; /* 0: not given */
    char threads[64], device[32], stages[1024];
    const char *stage[OT_ARG_STAGES];
    struct ot_train_opts opts;
    struct ot_model_opts model; /* model, phase, level, stage, nstage */
};

/* May set the log's level and form. */
int ot_args_parse(struct ot_args *a, int argc, char **argv, struct ot_err *err);

#endif
