/*
 * config.h - from a .conf (a SolverParameter in text format) to everything a run needs.
 *
 * Any Caffe solver file is a valid config.  Paths are relative to the current directory, as in
 * Caffe, and where nothing is found there, to the folder of the file that names them.  ${NAME}
 * and ${NAME:-default} are replaced in paths.
 *
 * Ownership: ot_config_load returns owned; messages are borrowed from it.
 * Threads: read-only after loading.
 * Errors: OT_ENOINPUT, OT_EPARSE, OT_ECONFIG with file:line:col.
 */
#ifndef OT_TRAINER_CONFIG_H
#define OT_TRAINER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/caffe.pb-c.h"
#include "proto/text.h"

enum { OT_MAX_TEST_NETS = 8 };

struct ot_net_source { /* a net and the state it is built in */
    const Caffe__NetParameter *param;
    const struct ot_doc *doc;
    Caffe__Phase phase;
    int level;
    const char *const *stage;
    int nstage;
    int test_iter; /* test nets: forward passes of one test */
};

struct ot_config {
    struct ot_arena arena;
    const char *path; /* of the .conf */
    struct ot_doc *doc;
    struct ot_doc *net_doc[2 + OT_MAX_TEST_NETS];
    int n_net_doc;
    const Caffe__SolverParameter *solver;
    struct ot_net_source train, test[OT_MAX_TEST_NETS];
    int ntest;
    const char *run_dir;     /* "runs/<stem>" unless given; "" with no_run_dir */
    const char *prefix;      /* of snapshots */
    unsigned long long seed; /* random_seed, or 1 */
};

/* sets: "path=value" strings of --set, applied in order; "net.PATH=value" goes to the net, where
 * a layer may be named: net.layer[conv1].convolution_param.num_output=20.
 * no_mining: the mining block is left out. */
struct ot_config *ot_config_load(const char *path, const char *const *sets, int nset,
                                 bool no_mining, struct ot_err *err);
/* A config of one net file without a solver: config->train is the net in that state. */
struct ot_config *ot_config_model(const char *path, Caffe__Phase phase, int level,
                                  const char *const *stage, int nstage, struct ot_err *err);
/* Level and stages of the training net, as if written in train_state. */
int ot_config_train_state(struct ot_config *c, int level, const char *const *stage, int nstage,
                          struct ot_err *err);
void ot_config_free(struct ot_config *c);

/* `path` with variables replaced, relative to the current directory or else to the folder of
 * `beside`; returns memory of the config's arena. */
const char *ot_config_path(struct ot_config *c, const char *path, const char *beside,
                           struct ot_err *err);

#endif
