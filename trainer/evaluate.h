/*
 * evaluate.h - a test net: means of its outputs, or average precision of its detections.
 *
 * A net with a DetectionOutput layer is run over every record of its LMDB once and scored after
 * Pascal VOC; any other net does test_iter passes and each output value is averaged, as Caffe's
 * Solver::Test.  A test net shares the training net's parameters.
 *
 * Ownership: ot_test_open returns owned; free it before the net it shares with.
 * Threads: the trainer's.
 */
#ifndef OT_TRAINER_EVALUATE_H
#define OT_TRAINER_EVALUATE_H

#include "trainer/config.h"
#include "trainer/feed.h"
#include "trainer/net.h"
#include "trainer/voc_eval.h"

struct ot_test;

struct ot_test_result {
    int n_values;        /* means of output elements, as Caffe prints them */
    const char **name;   /* borrowed from the test */
    const float *weight; /* loss weights, 0: none */
    double *value;
    double loss; /* mean weighted loss (test_compute_loss) */
    bool detection;
    const struct ot_voc_class *cls;
    int classes;
    struct ot_voc_result voc;
    double map; /* by the config's metric */
    int images;
    double seconds;
};

struct ot_test *ot_test_open(struct ot_config *config, int which, struct ot_net *train,
                             struct ot_dev *dev, struct ot_err *err);
void ot_test_free(struct ot_test *t);
struct ot_net *ot_test_net(const struct ot_test *t);

/* draw_dir: where pictures of the first `eval.draw` images go, or NULL.  stop: polled between
 * batches; when it returns true the test ends with OT_ESTOPPED. */
int ot_test_run(struct ot_test *t, const char *draw_dir, bool (*stop)(void),
                struct ot_test_result *result, struct ot_err *err);

/* The table of AP per class, for people. */
void ot_test_table(const struct ot_test *t, const struct ot_test_result *r, struct ot_str *out);

#endif
