/*
 * loss_layer.h - what the loss layers have in common: normalisation, the shape of labels, and the
 * report of a label that is no class.
 *
 * Ownership: the net's.  Threads: the net's.
 * Errors: OT_ESHAPE with both shapes; OT_EDATA with instance and value.
 * Source: BVLC Caffe's loss layers; `normalize` is the older name of VALID and BATCH_SIZE.
 */
#ifndef OT_LAYERS_LOSS_LAYER_H
#define OT_LAYERS_LOSS_LAYER_H

#include "layers/layer.h"

/* The mode that p (may be NULL) asks for; `none_said` when it names neither mode nor normalize. */
enum ot_norm ot_loss_norm_of(const Caffe__LossParameter *p, enum ot_norm none_said);

/* in[i] must hold n values; what: "labels", "weights". */
int ot_loss_want(const struct ot_layer *l, int i, size_t n, const char *what, struct ot_err *err);

/* Fails when the statistics (on the device) name an instance with a label outside [0, c).  A device
 * with late_faults latches that by itself, and is not waited for. */
int ot_loss_report(const struct ot_layer *l, const struct ot_loss_stats *device_stats, size_t c,
                   struct ot_err *err);

#endif
