/*
 * upgrade.h - formats of the past become today's, in the parsed document.
 *
 * What Caffe upgrades when it reads a net or a solver, by Caffe's rules: V0 layers
 * (`layers { layer { type: "conv" } }`, padding layers among them), V1 layers
 * (`layers { type: CONVOLUTION blobs_lr: 1 }`), transformation fields inside the parameters of data
 * layers, `input:` with its shapes, BatchNorm with three `param`, and `solver_type`.  Values keep
 * the places where they were written, and a new message has the place of what it came from.
 *
 * Stricter than Caffe, where Caffe logs an error and goes on with half of what was written: `layer`
 * beside `layers`, a layer without a type, and a parameter that its type does not have.
 *
 * Ownership: everything stays the document's.
 * Threads: one owner of the document at a time.
 * Errors: OT_ECONFIG with file:line:col, OT_ENOMEM.  After a failure the document may be half
 *         upgraded: report the error and give up.
 * Source: src/caffe/util/upgrade_proto.cpp (BVLC Caffe 1.0).
 */
#ifndef OT_PROTO_UPGRADE_H
#define OT_PROTO_UPGRADE_H

#include <stddef.h>

#include "base/err.h"
#include "proto/caffe.pb-c.h"
#include "proto/text.h"

enum {
    OT_UPGRADED_V0 = 1,
    OT_UPGRADED_TRANSFORM = 2,
    OT_UPGRADED_V1 = 4,
    OT_UPGRADED_INPUT = 8,
    OT_UPGRADED_BATCH_NORM = 16,
    OT_UPGRADED_SOLVER_TYPE = 32
};

/* Returns which of OT_UPGRADED_* were there, 0 when all was of today.  `net` belongs to `doc`. */
int ot_upgrade_net(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err);
/* Also the nets that are written inside it. */
int ot_upgrade_solver(struct ot_doc *doc, Caffe__SolverParameter *s, struct ot_err *err);

/* "V1LayerParameter, solver_type": for a line that says what was upgraded; returns buf. */
const char *ot_upgrade_names(int what, char *buf, size_t n);

#endif
