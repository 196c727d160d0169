/*
 * feed.h - how data enters a net.
 *
 * A data layer does not know LMDB: it asks a feed for shapes and bytes.  trainer/feed.c makes
 * feeds over data/'s loader (and gives the miner's weights and booked RoIs); a test makes its own.
 * The trainer advances all feeds of a net before each forward; a layer only copies.
 *
 * What the tops mean, in order:
 *   Data, ImageData   data (N,C,H,W), label (N), weight (N)
 *   DetectionData  data (N,3,H,W), im_info (N,3: height, width, scale), gt_boxes (N,G,6: x1, y1,
 *                  x2, y2 in blob pixels, inclusive corners as in py-faster-rcnn; class; weight -
 *                  unused rows have class -1), booked (N,K,5: x1, y1, x2, y2, w: w = 1 takes a
 *                  place, 0 < w < 1 weighs a background region, 0 unused)
 * Labels, classes and indices are floats, as in Caffe.
 *
 * Ownership: the door owns its feeds; they live as long as the net that asked for them.
 * Threads: the net's.
 */
#ifndef OT_LAYERS_FEED_H
#define OT_LAYERS_FEED_H

#include "base/err.h"
#include "layers/tensor.h"
#include "proto/caffe.pb-c.h"

struct ot_layer;

struct ot_feed {
    void *ctx;
    /* shape of top `top` in the current batch (before the first: of the first to come) */
    int (*shape)(void *ctx, int top, struct ot_shape *shape, struct ot_err *err);
    /* the current batch's values in host memory, ot_count(shape) floats, borrowed until the feed
     * is advanced; NULL with err when there is none */
    const float *(*values)(void *ctx, int top, struct ot_err *err);
};

struct ot_feed_door {
    void *ctx;
    /* opens the feed of one data layer; *feed is borrowed */
    int (*open)(void *ctx, const struct ot_layer *l, struct ot_feed **feed, struct ot_err *err);
};

#endif
