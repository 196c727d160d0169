/*
 * debug.h - debug_info: mean absolute values of every blob and parameter, as Caffe's
 * Net::ForwardDebugInfo, BackwardDebugInfo and Backward print them.
 *
 * Lines are written while the pass goes on: later layers reuse the memory.  The net must have been
 * made with no_fusion, or else a producer shows the value after its ReLU.  [Update] lines are not
 * printed by today's Caffe either.  Every tensor is read to the host: for looking, not for speed.
 *
 * Ownership: text is added to `out`.
 * Threads: the net's.
 * Errors: those of reading device memory.
 */
#ifndef OT_TRAINER_DEBUG_H
#define OT_TRAINER_DEBUG_H

#include "trainer/net.h"

/* For ot_net.watch; out: a struct ot_str.  Forward: the layer's tops and parameters; backward: its
 * bottoms and parameters. */
int ot_debug_layer(struct ot_net *net, int i, bool backward, void *out, struct ot_err *err);
/* After a backward pass: the norms of all parameters and of their gradients. */
int ot_debug_norms(struct ot_net *net, struct ot_str *out, struct ot_err *err);

#endif
