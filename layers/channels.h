/*
 * channels.h - layers with one value a channel: the sizes of axes [from, to) of a blob, and the
 * format such a layer runs in.
 *
 * Along the channels ([1, 2)) that is any format with struct ot_format.block; with no axis at all
 * (one value for everything) any format; otherwise plain order.
 * Ownership: nothing.  Threads: any.  Errors: none.
 */
#ifndef OT_LAYERS_CHANNELS_H
#define OT_LAYERS_CHANNELS_H

#include "layers/layer.h"

/* In plain order. */
struct ot_channels ot_channels_of(const struct ot_shape *s, int from, int to);

/* For plan: chooses in_fmt[0] and the format of out[0], all further inputs plain.  keeps_zero: the
 * layer maps 0 to 0 whatever its values, so that padding stays 0. */
struct ot_channels ot_channels_plan(struct ot_layer *l, int from, int to, bool keeps_zero);

#endif
