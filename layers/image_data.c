/* image_data.c - ImageData: images and labels of a list of files; see feed.h. */
#include "layers/feed_i.h"

const struct ot_layer_ops ot_layer_image_data = {
    .type = "ImageData",
    .doc = "images and labels from a list of files",
    .state_size = sizeof(struct ot_feed_layer),
    .min_out = 1,
    .max_out = 3,
    .flags = OT_LAYER_DATA | OT_LAYER_NO_BACKWARD,
    .setup = ot_feed_setup,
    .reshape = ot_feed_reshape,
    .forward = ot_feed_forward,
};
