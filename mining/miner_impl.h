/*
 * miner_impl.h - the miner's private parts, shared by miner.c, rows.c, window.c, looks.c,
 * reinject.c and image.c; nobody else includes it.
 *
 * A row lives at an index of `e`, which no decision may depend on: after a restore the indices
 * differ.  Whatever is ordered is ordered by loss, identity, id or an array that is saved.
 *
 * Ownership: struct ot_miner owns everything below.  Threads: the miner's.
 */
#ifndef OT_MINING_MINER_IMPL_H
#define OT_MINING_MINER_IMPL_H

#include "base/map.h"
#include "mining/miner.h"

#define OT_BG_ROWS   64   /* background rows of one sample, at most: bounds the box matching */
#define OT_SAME_BOX  0.7f /* IoU from which two background boxes are one instance */
#define OT_LOW_LOOKS 2    /* fresh looks below `retire` in a row that make a row learned */
#define OT_SLOT_MAX  0x3fffffff
#define OT_NEVER     INT64_MAX /* cool_until of a row that only a hard fresh look wakes (NAIVE) */

enum ot_list_id { OT_BY_SAMPLE, OT_BY_COOLING, OT_BY_ID, OT_N_LISTS };

struct ot_link {
    int32_t next, prev;
};

struct ot_list {
    int32_t head, tail; /* -1: empty */
};

struct ot_entry {
    struct ot_row r;
    struct ot_link link[OT_N_LISTS];
    int32_t heap; /* place in its class's heap, -1: must not be evicted */
    int32_t book; /* place in the current re-injection, -1: not booked */
    int32_t low;  /* looks below `retire` in a row */
    bool used, cool_listed;
    uint64_t stamp; /* last observe() that updated it */
};

struct ot_class { /* rows of one label, those that may be evicted as a heap, least first */
    int32_t *heap;
    size_t cap;
    int n, rows;
    int held; /* of them quarantined or excluded: kept, and outside the class's share */
};

struct ot_sample {
    struct ot_list rows;
    int32_t wait_pos; /* place in `waiting`, -1: no waiting row */
    int32_t n_wait;
    int32_t next_bg; /* slot of its next background row */
};

struct ot_window { /* the last `cap` fresh losses, in order of arrival and sorted */
    float *ring, *sorted, *in, *out;
    int cap, n, pos;
};

struct ot_cand { /* a look with what sorts it */
    uint32_t sample;
    uint8_t kind;
    int32_t slot;
    float loss;
    size_t look;
};

struct ot_booked {
    int32_t row;
    uint32_t sample;
    float before, after; /* after: NaN until seen */
};

struct ot_bound { /* what admits now; v NaN: nothing is admitted */
    float v;
    bool inclusive;
    int most; /* admissions of this batch, at most */
};

struct ot_miner {
    struct ot_miner_conf conf;
    struct ot_mining_sink sink;

    struct ot_entry *e;
    size_t e_cap;
    int32_t n_slots, free_slot; /* free slots are linked by link[OT_BY_ID].next */
    struct ot_map by_key;
    struct ot_list cooling, by_id;
    struct ot_class *class;
    struct ot_sample *sample;
    uint32_t *waiting; /* samples with waiting rows */
    size_t waiting_cap;
    int n_waiting;
    int n_rows, n_state[7];
    uint64_t next_id, stamp;

    struct ot_window window;
    struct ot_cand *order, *cand;
    size_t order_cap, cand_cap, n_cand;

    struct ot_booked *book;
    int book_cap, n_book;
    bool in_flight; /* next() gave a batch that observe() has not seen yet */
    uint64_t *out_id;
    float *out_before, *out_after;

    int64_t iters, fresh; /* next() calls from start_iter on; fresh ones since the last */
    int64_t admitted, evicted, reinjected, batches;
    int64_t learned_total, quarantined_total, released_total;
};

/* rows.c: the store */
uint64_t ot_row_key(uint32_t sample, uint8_t kind, int32_t slot);
int32_t ot_rows_find(const struct ot_miner *m, uint64_t key); /* -1: none */
int32_t ot_rows_add(struct ot_miner *m, const struct ot_row *r, struct ot_err *err);
void ot_rows_remove(struct ot_miner *m, int32_t i);
void ot_rows_set_state(struct ot_miner *m, int32_t i, enum ot_state state);
void ot_rows_set_label(struct ot_miner *m, int32_t i, int32_t label);
void ot_rows_resort(struct ot_miner *m, int32_t i);  /* after a change of loss, age or booking */
int32_t ot_rows_least(const struct ot_miner *m);     /* next to be evicted, -1: none may be */
void ot_rows_requeue(struct ot_miner *m, int32_t i); /* to the end of the cooling queue */
int ot_reserve_class(struct ot_miner *m, int32_t label, struct ot_err *err);

/* window.c: the running quantile */
int ot_window_init(struct ot_window *w, int cap, struct ot_err *err);
void ot_window_release(struct ot_window *w);
void ot_window_push(struct ot_window *w, const struct ot_look *looks, size_t n);
void ot_window_fill(struct ot_window *w, const float *loss, int n); /* oldest first */
float ot_window_quantile(const struct ot_window *w, float q);       /* NaN: too few losses yet */

/* looks.c: from the looks of a batch to rows and candidates */
int ot_looks_check(const struct ot_miner *m, const struct ot_look *looks, size_t n,
                   struct ot_err *err);
struct ot_bound ot_looks_bound(struct ot_miner *m, const struct ot_look *looks, size_t n);
bool ot_bound_passes(const struct ot_bound *b, float loss);
int ot_looks_sort(struct ot_miner *m, const struct ot_look *looks, size_t n, struct ot_err *err);
void ot_cands_sort(struct ot_miner *m); /* loss descending, identity ascending */
int32_t ot_match_background(const struct ot_miner *m, uint32_t sample, const float box[4],
                            int *n_bg);
float ot_box_iou(const float a[4], const float b[4]);

/* miner.c */
void ot_tell_row(struct ot_miner *m, int64_t iter, int32_t i);
void ot_tell(struct ot_miner *m, int64_t iter, int32_t i, enum ot_event_kind what, const char *fmt,
             ...) OT_PRINTF(5, 6);
void ot_row_look(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k);
bool ot_contradicted(const struct ot_miner *m, const struct ot_row *r);
void ot_row_learned(struct ot_miner *m, int32_t i, int64_t iter, const char *when);

/* reinject.c */
void ot_remeasure(struct ot_miner *m, int64_t iter);
void ot_unbook(struct ot_miner *m);

#endif
