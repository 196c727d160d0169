/*
 * fill.h - one batch, made by one thread: read, decode, transform, pad.  For loader.c only.
 *
 * What is shared by all threads is in ot_source and read-only; what a thread needs for itself
 * is its ot_hand.
 *
 * Ownership: ot_hand_open/close, ot_slot_release free what they made; a slot's lent memory stays.
 * Threads: a hand belongs to one thread at a time, and a slot, but for ot_batch_part().
 * Errors: OT_EDATA with source and key.
 */
#ifndef OT_DATA_FILL_H
#define OT_DATA_FILL_H

#include "data/keys.h"
#include "data/loader.h"
#include "data/transform.h"

struct ot_source {
    const char *name;
    struct ot_db *db; /* NULL: the keys are files */
    struct ot_keys keys;
    const Caffe__ImageDataParameter *images; /* of files */
    int32_t *label;                          /* owned; of each file */
    uint64_t skip;                           /* records before position 0 */
    struct ot_transform transform;
    bool detection, shuffle;
    uint64_t seed;
};

struct ot_hand_image { /* detection: a decoded image waits until the batch's size is known */
    struct ot_record record;
    struct ot_scratch scratch;
    struct ot_pixels pixels;
    struct ot_view view;
};

struct ot_hand {
    struct ot_db_cursor *cursor;
    struct ot_hand_image *image;
    size_t n, cap;
};

struct ot_slot {
    struct ot_batch batch;
    float *lent, *own;        /* what batch.data may point to; lent: the loader's, may be NULL */
    size_t cap_lent, cap_own; /* in floats */
    size_t cap_n;             /* of the per-sample arrays in samples */
};

int ot_hand_open(struct ot_hand *h, const struct ot_source *s, struct ot_err *err);
void ot_hand_close(struct ot_hand *h);
void ot_slot_release(struct ot_slot *slot);

/* index NULL: the stream's samples position .. position + n - 1; otherwise these records, with
 * `position` keying the augmentation. */
int ot_batch_fill(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot,
                  const uint32_t *index, int n, uint64_t position, struct ot_err *err);
/* The same of images by several threads: begin() makes the first sample, which says how large the
 * batch is; then samples from .. to - 1 may be made by any thread with a hand of its own. */
int ot_batch_begin(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot,
                   const uint32_t *index, int n, uint64_t position, struct ot_err *err);
int ot_batch_part(const struct ot_source *s, struct ot_hand *h, struct ot_slot *slot, int from,
                  int to, struct ot_err *err);
/* Only the shape: batch.channels, height and width of the sample at this position. */
int ot_fill_shape(const struct ot_source *s, struct ot_hand *h, uint64_t position,
                  struct ot_batch *shape, struct ot_err *err);

#endif
