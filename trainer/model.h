/*
 * model.h - a net file without a solver: `caffe test` and `caffe time`.
 *
 * Both write Caffe's lines (tools/caffe.cpp of BVLC Caffe 1.0) through ot_log_file_only(): they are
 * seen after ot_log_glog().  Differences from Caffe: a layer whose backward nothing needs is not
 * timed backward (Caffe runs it all the same); Input blobs are zero, as there.
 *
 * Threads: runs on the caller's thread; loaders and compute threads are its own.
 * Errors: the net's with file:line:col; OT_ENOINPUT for files that are missing; OT_ESTOPPED after
 * a signal.
 */
#ifndef OT_TRAINER_MODEL_H
#define OT_TRAINER_MODEL_H

#include "base/err.h"
#include "proto/caffe.pb-c.h"

struct ot_model_opts {
    const char *model;   /* a NetParameter in text format */
    const char *weights; /* files, comma separated; NULL: fillers */
    const char *device;  /* "cpu", "cuda:N", "auto" */
    Caffe__Phase phase;
    int level;
    const char *const *stage;
    int nstage;
    int iterations; /* >= 1 */
    int threads;    /* compute threads, 0: all cores */
};

/* Means of all outputs and of the loss over `iterations` batches; needs weights. */
int ot_model_test(const struct ot_model_opts *o, struct ot_err *err);
/* Milliseconds of every layer, forward and backward, averaged over `iterations`. */
int ot_model_time(const struct ot_model_opts *o, struct ot_err *err);

#endif
