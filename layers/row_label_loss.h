/*
 * row_label_loss.h - what HingeLoss and MultinomialLogisticLoss share: the values after the first
 * axis are classes, one label a row, divided by the number of rows.
 *
 * state: struct ot_softmax_loss_geom; ws[0]: struct ot_loss_stats.
 * Ownership: the net's.  Threads: the net's.
 * Errors: another count of labels; a label outside [0, C), found after forward.
 */
#ifndef OT_LAYERS_ROW_LABEL_LOSS_H
#define OT_LAYERS_ROW_LABEL_LOSS_H

#include "layers/layer.h"

int ot_row_label_loss_reshape(struct ot_layer *l, struct ot_err *err);
void ot_row_label_loss_forward(struct ot_layer *l, enum ot_label_loss kind);
void ot_row_label_loss_backward(struct ot_layer *l, enum ot_label_loss kind);
int ot_row_label_loss_check(struct ot_layer *l, struct ot_err *err);

#endif
