/*
 * solver.h - Caffe's six solvers and its learning-rate policies.
 *
 * One update (Caffe's SGDSolver::ApplyUpdate): clip by the global L2 norm of the summed gradient,
 * divide by iter_size, add the weight decay, and step as layers/update_math.h says for SGD,
 * Nesterov, AdaGrad, RMSProp, AdaDelta and Adam.  The learning rate is inside the momentum.
 *
 * Ownership: ot_solver_new returns owned; it borrows config and net.
 * Threads: the trainer's.
 * Errors: OT_ECONFIG with file:line:col for an unknown type or policy or a missing field.
 */
#ifndef OT_TRAINER_SOLVER_H
#define OT_TRAINER_SOLVER_H

#include "trainer/config.h"
#include "trainer/net.h"

struct ot_solver {
    const struct ot_config *config;
    const Caffe__SolverParameter *param;
    struct ot_net *net;
    int64_t iter;
    int current_step; /* multistep: values passed; saved in the .solverstate */
    enum ot_update_kind kind;
    struct ot_update_seg *seg; /* room for net->nlearn */
    double *dev_norm;          /* clip_gradients */
};

struct ot_solver *ot_solver_new(const struct ot_config *config, struct ot_net *net,
                                struct ot_err *err);
void ot_solver_free(struct ot_solver *s);

/* Histories of each parameter: 1, or 2 (AdaDelta, Adam).  The net must have as many
 * (ot_net_history) before the first update. */
int ot_solver_histories(const struct ot_solver *s);

/* The rate of the current iteration; multistep may move current_step on. */
double ot_solver_lr(struct ot_solver *s);

/* Applies the gradients of iter_size passes and counts the iteration. */
int ot_solver_update(struct ot_solver *s, double lr, struct ot_err *err);

#endif
