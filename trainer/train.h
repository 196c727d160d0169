/*
 * train.h - the job: from a config to a trained net, a pool, and a table.
 *
 * Leaves in the run folder: PREFIX_iter_N.* (snapshot.h), pool.db, metrics.jsonl, train.log,
 * detections/ (pictures of the test set), results.txt (the last table).  A run that starts anew
 * moves what an earlier one left to previous/ (the pool stays).
 *
 * Threads: runs on the caller's thread; loaders, compute threads and the pool's writer are its
 * own.
 * Errors: every kind; the net's and config's with file:line:col.  OT_ESTOPPED: stopped by a
 * signal or by max_time_s, with a snapshot to resume from.
 */
#ifndef OT_TRAINER_TRAIN_H
#define OT_TRAINER_TRAIN_H

#include "trainer/config.h"
#include "trainer/signals.h"

struct ot_train_opts {
    const char *device;  /* "cpu", "cuda:N", "auto"; NULL: as solver_mode says */
    const char *weights; /* comma separated .caffemodel to start from; NULL: the config's */
    const char *resume;  /* a .solverstate, "auto" (the newest one, if any), or NULL */
    enum ot_signal_effect on_int, on_hup;
};

int ot_train(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err);

/* Builds all nets, prints the layer tables, opens data and nothing else. */
int ot_check(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err);

/* Forward and backward of the training net, per layer, averages over n iterations. */
int ot_time(struct ot_config *config, const struct ot_train_opts *opts, int n, struct ot_err *err);

/* Runs the test nets on given weights and prints their tables. */
int ot_test_only(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err);

#endif
