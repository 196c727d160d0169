/* feed_i.h - what the layers that are filled by a feed have in common (feed_layer.c). */
#ifndef OT_LAYERS_FEED_I_H
#define OT_LAYERS_FEED_I_H

#include "layers/layer.h"

struct ot_feed_layer {
    struct ot_feed *feed; /* borrowed from the net's door */
};

int ot_feed_setup(struct ot_layer *l, struct ot_err *err);
int ot_feed_reshape(struct ot_layer *l, struct ot_err *err);
void ot_feed_forward(struct ot_layer *l);

#endif
