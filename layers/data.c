/* data.c - Data: images, labels and (the miner's) weights of an LMDB of Datum; see feed.h. */
#include "layers/feed_i.h"

const struct ot_layer_ops ot_layer_data = {
    .type = "Data",
    .doc = "images and labels from an LMDB of Datum",
    .state_size = sizeof(struct ot_feed_layer),
    .min_out = 1,
    .max_out = 3,
    .flags = OT_LAYER_DATA | OT_LAYER_NO_BACKWARD,
    .setup = ot_feed_setup,
    .reshape = ot_feed_reshape,
    .forward = ot_feed_forward,
};
