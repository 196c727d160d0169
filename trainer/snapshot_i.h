/* snapshot_i.h - the second serialisation of Caffe's files, HDF5; shared by snapshot.c, weights.c
 * and snapshot_h5.c only. */
#ifndef OT_TRAINER_SNAPSHOT_I_H
#define OT_TRAINER_SNAPSHOT_I_H

#include "base/arena.h"
#include "trainer/net.h"
#include "trainer/solver.h"

bool ot_h5_named(const char *path); /* by its ending, .h5, as Caffe */

/* Whether the net's layers can be named in such a file. */
int ot_h5_check_names(const struct ot_net *net, struct ot_err *err);
/* Also copies; *loaded counts layers. */
int ot_h5_load_net(struct ot_net *net, const char *path, int *loaded, struct ot_err *err);
int ot_h5_save_net(struct ot_net *net, const char *path, bool with_diff, struct ot_err *err);

/* The state's memory is in `a`.  Without a solver (NULL), or with one that has another number of
 * histories, these are counted but not read: history is NULL. */
int ot_h5_load_state(const char *path, const struct ot_solver *s, Caffe__SolverState *st,
                     struct ot_arena *a, struct ot_err *err);
int ot_h5_save_state(const char *path, const Caffe__SolverState *st, struct ot_err *err);

#endif
