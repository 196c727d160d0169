/*
 * snapshot.h - what a run leaves to go on from: PREFIX_iter_N.caffemodel, .solverstate, .otstate.
 *
 * .caffemodel (NetParameter) and .solverstate (SolverState) are Caffe's own formats.  .otstate is
 * ours: the data position and the mining state; without it (a snapshot of Caffe's) data starts at
 * record 0 and mining begins anew, as Caffe's resume does.  With snapshot_format: HDF5 the first
 * two are .caffemodel.h5 and .solverstate.h5; a file that is read is one in HDF5 when it ends in
 * .h5. Each file is written whole or not at all, the .solverstate last, so that its being there
 * means the snapshot is complete.
 *
 * PoolingParameter field 13 means opposite things in BVLC Caffe (round_mode, FLOOR = 1) and here
 * (ceil_mode, true = 1); a .caffemodel is written in BVLC's sense.
 *
 * Weights are matched by layer name: equal shapes, or a legacy 4-D shape with leading ones.
 *
 * Threads: the trainer's.  Errors: OT_ESHAPE, OT_EDATA, OT_ENOINPUT, OT_ECREATE, OT_EIO.
 */
#ifndef OT_TRAINER_SNAPSHOT_H
#define OT_TRAINER_SNAPSHOT_H

#include "trainer/feed.h"
#include "trainer/mine.h"
#include "trainer/solver.h"

/* Whether this solver's snapshots can be written: OT_ENOTSUP where HDF5 is asked for, but missing
 * in this build or unable to hold the net's layer names. */
int ot_snapshot_check(const struct ot_solver *s, struct ot_err *err);

/* The name of the weights of a snapshot made now, into path. */
char *ot_snapshot_model(const struct ot_solver *s, const char *prefix, char *path, size_t n);

/* Writes the three files; path receives the .solverstate's name. */
int ot_snapshot_write(struct ot_solver *s, const struct ot_feeds *feeds, struct ot_mine *mine,
                      const char *prefix, char *path, size_t n, struct ot_err *err);

/* What a .solverstate (and the .otstate beside it) says of itself. */
struct ot_snapshot_info {
    int64_t iter;
    int64_t run; /* in the pool file; 0: unknown */
};

int ot_snapshot_peek(const char *path, struct ot_snapshot_info *info, struct ot_err *err);

/* Goes on from a .solverstate: weights, history, iteration, data position, mining state. */
int ot_snapshot_restore(struct ot_solver *s, struct ot_feeds *feeds, struct ot_mine *mine,
                        const char *path, struct ot_err *err);

/* The newest complete snapshot of `prefix` into path, 1 when there is one, else 0. */
int ot_snapshot_newest(const char *prefix, char *path, size_t n);

/* Deletes all but the newest `keep` snapshots of this prefix (0: deletes none). */
void ot_snapshot_prune(const char *prefix, int keep);

/* Moves all snapshots of this prefix into the folder `to`. */
void ot_snapshot_move(const char *prefix, const char *to);

/* Copies weights of equally named layers ("a.caffemodel,b.caffemodel"); layers without a match
 * are logged and keep their fillers. */
int ot_weights_load(struct ot_net *net, const char *paths, struct ot_err *err);
int ot_weights_load_one(struct ot_net *net, const char *path, struct ot_err *err); /* one file */
/* Writes the net's parameters as a .caffemodel, or a .caffemodel.h5 where path ends in .h5. */
int ot_weights_save(struct ot_net *net, const char *path, bool with_diff, struct ot_err *err);

#endif
