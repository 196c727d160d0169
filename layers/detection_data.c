/* detection_data.c - DetectionData: images, their sizes, boxes and booked RoIs; see feed.h. */
#include "layers/feed_i.h"

const struct ot_layer_ops ot_layer_detection_data = {
    .type = "DetectionData",
    .doc = "images and boxes from an LMDB of AnnotatedDatum",
    .state_size = sizeof(struct ot_feed_layer),
    .min_out = 2,
    .max_out = 4,
    .flags = OT_LAYER_DATA | OT_LAYER_NO_BACKWARD,
    .setup = ot_feed_setup,
    .reshape = ot_feed_reshape,
    .forward = ot_feed_forward,
};
