/*
 * nets_step.h - one net in one phase: built from its file with edits, filled, and run once.
 *
 * TRAIN: forward, backward, one update of plain SGD; TEST: forward.  Weights without a filler are
 * drawn with msra's variance, so that numbers neither vanish nor explode; inputs are random, labels
 * 0 or 1.
 *
 * Ownership: nets_phase_close() frees what nets_phase_open() made, also after a failure.
 * Threads: one.  Errors: the net's, with file:line:col; OT_ENAN for a value that is not finite.
 */
#ifndef OT_TESTS_NETS_STEP_H
#define OT_TESTS_NETS_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/nets_data.h"
#include "trainer/feed.h"
#include "trainer/net.h"

struct nets_phase {
    Caffe__Phase phase;
    struct ot_config *config;
    struct ot_feeds *feeds;
    struct ot_net *net;
    /* measured */
    int layers; /* Splits that the net inserted left out */
    size_t params;
    double gflops; /* of one forward of the whole batch */
    int batch;
    size_t memory; /* bytes of blobs and parameters */
    bool has_loss, backward;
    double loss, seconds;
};

/* Opens, feeds, builds and plans; `share`: take weights from there, or NULL. */
int nets_phase_open(struct nets_phase *p, struct ot_dev *dev, const char *file, Caffe__Phase phase,
                    const struct nets_edits *e, struct ot_net *share, struct ot_err *err);
/* One pass; with `update` also the backward pass and a step. */
int nets_phase_run(struct nets_phase *p, bool update, struct ot_err *err);
void nets_phase_close(struct nets_phase *p);

/* The net has a loss, and something to learn from it. */
bool nets_trainable(const struct ot_net *net);
/* The first layer of a type that is not supported, or NULL. */
const Caffe__LayerParameter *nets_unsupported(const Caffe__NetParameter *net);

#endif
