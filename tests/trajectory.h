/*
 * trajectory.h - trainings of Caffe followed step by step.
 *
 * A folder with solver.prototxt and loss.txt ("iter lr loss" lines), and where they are there
 * init.caffemodel, loss.test.txt ("iter name value name value": means of test outputs),
 * loss.weights.txt (sums over parameters at the end), s_iter_N.solverstate with loss_resumeN.txt
 * (the data begins again at record 0).  The net, its data and its first weights are looked for in
 * the folder, beside it and in the folders beside its parent; Fashion-MNIST takes the place of
 * fm_train_lmdb and fm_test_lmdb.
 *
 * How far a loss may be from Caffe's: FACTOR times what ../divergence.txt records of float32
 * against float64 under the folder's name, at least FLOOR.  Nets with maxima or kinks (ReLU) have
 * ties that break by chance: there it is FACTOR times the larger of what is recorded for the end of
 * that run and of what another correct program (oneDNN) drifts two tiers of iterations later
 * (before iteration 10: one tier on).
 *
 * No cmocka in here: failures are values.
 */
#ifndef OT_TESTS_TRAJECTORY_H
#define OT_TESTS_TRAJECTORY_H

#include "layers/device.h"

#define OT_TRAJECTORY_FACTOR 4.0
#define OT_TRAJECTORY_FLOOR  2e-6

enum ot_trajectory_end { OT_TRAJECTORY_PASSED, OT_TRAJECTORY_FAILED, OT_TRAJECTORY_SKIPPED };

struct ot_trajectory {
    enum ot_trajectory_end end;
    char why[1200]; /* of a failure or a skip */
    int iterations; /* followed, the resumed ones included */
    double worst;   /* |loss - Caffe's| */
    double share;   /* the largest error over its bound, of losses, tests and weights */
    int at;         /* the iteration of `worst` */
};

/* tmp: an existing folder for databases.  max_iter: at most so many iterations of loss.txt, 0: all
 * (tests and weights at the end are compared when they are reached). */
void ot_trajectory_run(struct ot_dev *dev, const char *dir, const char *tmp, int max_iter,
                       struct ot_trajectory *t);

#endif
