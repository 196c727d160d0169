/*
 * loader.h - batches from an LMDB or a list of image files, decoded and transformed ahead of need.
 *
 * The stream of samples is a pure function of (seed, position): position p is record p % n in
 * key order, or with `shuffle` record ot_permute(seed, p / n, n, p % n); augmentation of the
 * sample at position p is drawn with (seed, OT_RNG_AUGMENT, p, ...).  So batches are the same for
 * any number of worker threads, and a run resumes from the position alone.  With rand_skip,
 * position 0 is a record drawn from the first rand_skip ones.
 *
 * Images (Datum): out = (pixel - mean) * scale, crop, mirror as Caffe's DataTransformer: centre
 * crop in TEST, random in TRAIN; mirror is a coin flip in both phases.  Batch shape (N,C,H,W),
 * labels (N).  The first record of a batch decides its shape; another shape is an error that
 * names the key.  Images of a list (data/list.h) are read from root_folder + path, in colour or
 * grey, and resized bilinearly to new_height x new_width where given.
 *
 * Detection (AnnotatedDatum): decoded, resized bilinearly so that the short side is
 * `short_side`, unless the long side would exceed `max_side` (py-faster-rcnn), flipped or not
 * in TRAIN, mean subtracted, zero-padded right and below to the batch's largest image (rounded
 * up to size_multiple).  gt_boxes as layers/feed.h says: x1, y1, x2, y2 (inclusive corners of
 * the resized image), class, weight 1; unused rows class -1.  In TRAIN difficult boxes are left
 * out unless use_difficult; in TEST they are kept and marked in `difficult`.
 *
 * Ownership: ot_loader_open returns owned; batches belong to the loader, borrowed by the caller
 *            between next/fetch and done.  Everything is allocated when first needed and reused.
 * Threads: next, fetch, done, seek from one thread; workers are the loader's own.
 * Errors: OT_ENOINPUT (no LMDB), OT_EDATA with the source and key of the bad record.  A worker's
 *         failure surfaces in next(), in order.
 */
#ifndef OT_DATA_LOADER_H
#define OT_DATA_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/caffe.pb-c.h"

struct ot_loader;

/* Memory for the values of batches, as a device may want it (pinned).  Asked for, and given back,
 * by the thread that calls the loader only. */
struct ot_loader_room {
    void *ctx;
    void *(*alloc)(void *ctx, size_t bytes); /* NULL: there is none, ordinary memory will do */
    void (*free)(void *ctx, void *p);
};

struct ot_loader_conf {
    const char *source;                      /* LMDB directory (or file), or a list */
    const Caffe__ImageDataParameter *images; /* source is a list of files, to be read and resized
                                                as this says; NULL: LMDB; borrowed while open */
    bool detection;                          /* AnnotatedDatum instead of Datum */
    bool train;                              /* phase TRAIN */
    int batch_size;
    int threads;  /* decode workers, >= 1 */
    int prefetch; /* batches ahead, >= 1 */
    bool shuffle;
    uint32_t rand_skip;
    uint64_t seed;
    const Caffe__TransformationParameter *transform; /* NULL: defaults; borrowed while open */
    const Caffe__DetectionDataParameter *det;        /* NULL: defaults; borrowed while open */
    const char *base_dir; /* mean_file is relative to this; "" = current directory */
    /* for `data` of batches no larger than the first (of detections, than half as much again);
     * NULL: ordinary memory; borrowed while open */
    const struct ot_loader_room *room;
};

/* What happened to one sample on its way into the batch. */
struct ot_sample_info {
    uint32_t index;          /* ordinal of its key in the LMDB */
    uint64_t position;       /* in the stream (fresh) or the caller's `ordinal` (fetched) */
    bool flip;               /* mirrored */
    float scale;             /* detection: blob pixels per original pixel */
    int width, height;       /* of the stored image */
    int in_width, in_height; /* detection: of the resized image inside the blob */
    int n_boxes;             /* detection: used rows of gt */
};

struct ot_batch {
    int n;
    bool fetched;                  /* came from ot_loader_fetch() */
    int channels, height, width;   /* of data */
    float *data;                   /* (n, channels, height, width) */
    float *label;                  /* images: (n) */
    float *im_info;                /* detection: (n, 3) */
    float *gt;                     /* detection: (n, max_boxes, 6) */
    unsigned char *difficult;      /* detection: (n, max_boxes) */
    struct ot_sample_info *sample; /* n */
};

struct ot_loader *ot_loader_open(const struct ot_loader_conf *conf, struct ot_err *err);
void ot_loader_close(struct ot_loader *l); /* NULL is fine; stops and joins the workers */

/* Shape of the first batch without starting the workers: decodes one record. */
int ot_loader_peek(struct ot_loader *l, int *channels, int *height, int *width, struct ot_err *err);

/* The next batch of the stream; waits for the workers (started by the first call).  A failed
 * batch is passed over by the call that reports it.  `prefetch` + 1 batches may be held at once
 * without stopping the workers; holding one more and asking again is OT_EBUSY. */
int ot_loader_next(struct ot_loader *l, struct ot_batch **batch, struct ot_err *err);

/* A batch of given samples, read back by key; `ordinal` keys the augmentation instead of the
 * stream position (sample i uses ordinal + i).  Does not move the stream.  Made by the caller's
 * thread, helped with images by workers that are idle; up to four may be held at once
 * (OT_EBUSY). */
int ot_loader_fetch(struct ot_loader *l, const uint32_t *index, int n, uint64_t ordinal,
                    struct ot_batch **batch, struct ot_err *err);
void ot_loader_done(struct ot_loader *l, struct ot_batch *batch);

/* Position of the first sample of the next batch that next() will return. */
uint64_t ot_loader_position(const struct ot_loader *l);
/* Throws prefetched batches away and goes on from there. */
int ot_loader_seek(struct ot_loader *l, uint64_t position, struct ot_err *err);

const char *ot_loader_source(const struct ot_loader *l);   /* as opened */
size_t ot_loader_count(const struct ot_loader *l);         /* records */
int ot_loader_threads(const struct ot_loader *l);          /* decode workers */
uint64_t ot_loader_fingerprint(const struct ot_loader *l); /* of the key list */
/* The key of record `index` into buf (escaped when not printable); returns buf. */
char *ot_loader_key(const struct ot_loader *l, uint32_t index, char *buf, size_t n);
/* The record of such a key, or -1 (of several with one key in a list: the first); thread-safe. */
int64_t ot_loader_find(const struct ot_loader *l, const char *key);
int ot_loader_max_boxes(const struct ot_loader *l);
double ot_loader_wait_s(const struct ot_loader *l); /* caller's time in next/fetch */
uint64_t ot_loader_helped(struct ot_loader *l);     /* samples made by who came by */

#endif
