/*
 * feed.h - the feeds of a net: data/'s loaders behind layers/feed.h's door.
 *
 * One loader per data layer.  The trainer advances all of them before each forward; labels,
 * instance weights and booked RoIs of the miner are filled in at that moment, on the trainer's
 * thread, so that how far ahead the loaders have read can never change what is trained on.  They go
 * into memory of the feed: the loader's batch keeps what the data set says.
 *
 * The loaders' workers fill memory of the device's host_alloc (pinned), from which it reads by
 * itself, while the host goes on: so a batch is given back to its loader one batch later.
 *
 * Ownership: ot_feeds_new returns owned; free it after the net and before the device.
 * Threads: the trainer's.
 * Errors: those of data/loader.h, with the layer's place.
 */
#ifndef OT_TRAINER_FEEDS_H
#define OT_TRAINER_FEEDS_H

#include "data/loader.h"
#include "layers/feed.h"
#include "mining/miner.h"
#include "trainer/config.h"

struct ot_feeds;

/* What a miner says of samples; any pointer may be NULL. */
struct ot_feed_hints {
    void *ctx;
    /* label to train on, of an image or of ground-truth box `slot`, for the `given` one; a box of
     * class 0 counts as not there */
    int32_t (*label)(void *ctx, uint32_t sample, uint8_t kind, int32_t slot, int32_t given);
    /* weight of a whole image */
    float (*image_weight)(void *ctx, uint32_t sample, bool reinjected);
    /* weight of ground-truth box `index` of a sample */
    float (*box_weight)(void *ctx, uint32_t sample, int index);
    /* booked and quarantined boxes, fractions of the un-augmented image: row k is x0, y0, x1,
     * y1, w (w = 1 takes a place, 0 < w < 1 weighs); returns how many */
    int (*booked)(void *ctx, uint32_t sample, bool reinjected, float (*row)[5], int max);
};

struct ot_feeds *ot_feeds_new(struct ot_config *config, const struct ot_net_source *net,
                              struct ot_err *err);
void ot_feeds_free(struct ot_feeds *f);
struct ot_feed_door *ot_feeds_door(struct ot_feeds *f);

/* How many rows the `booked` top has (set before the net is built; 0: one unused row). */
void ot_feeds_set_hints(struct ot_feeds *f, const struct ot_feed_hints *hints, int max_booked);

/* Makes the next batch current in every feed.  sample != NULL: the first feed gets exactly these
 * n records instead (a re-injection); `ordinal` keys their augmentation. */
int ot_feeds_next(struct ot_feeds *f, const uint32_t *sample, int n, uint64_t ordinal,
                  struct ot_err *err);

/* `mark` lies behind the pass over the current batch.  Without it the feeds make one. */
void ot_feeds_passed(struct ot_feeds *f, uint64_t mark);

/* The current batch and the loader of the first data layer; NULL when the net has none. */
const struct ot_batch *ot_feeds_batch(const struct ot_feeds *f);
struct ot_loader *ot_feeds_loader(const struct ot_feeds *f);
int ot_feeds_count(const struct ot_feeds *f);
int ot_feeds_batch_size(const struct ot_feeds *f); /* of the first feed */

uint64_t ot_feeds_position(const struct ot_feeds *f); /* of the first feed */
int ot_feeds_seek(struct ot_feeds *f, uint64_t position, struct ot_err *err);
double ot_feeds_wait_s(const struct ot_feeds *f);

#endif
