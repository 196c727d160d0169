/*
 * miner_impl.h - the miner's private parts, shared by the files of the miner; nobody else
 * includes it.
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
#include "mining/sumtree.h"

#define OT_BG_ROWS    64   /* background rows of one sample, at most: bounds the box matching */
#define OT_SAME_BOX   0.7f /* IoU from which two background boxes are one instance */
#define OT_LOW_LOOKS  2    /* fresh looks below `retire` in a row that make a row learned */
#define OT_READ_EVERY 500  /* iterations between two readings of the thermometer, at least */
#define OT_NEVER      INT64_MAX /* cool_until of a row that only a hard fresh look wakes (NAIVE) */

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
    uint64_t stamp;    /* last observe() that updated it */
    uint8_t probation; /* looks left in which a quarantine of an earlier night must be earned */
};

/*
 * What is remembered of every image and object that ever passed, in the pool or not: 24 bytes for
 * an image (an array by sample), 24 + 8 (key) + 8 to 16 (index) for an object.  Background
 * RoIs have none: a box that passes once is not an instance.  Counts are of fresh looks after
 * warm-up: before it predictions mean nothing, and re-injected looks are a choice of ours.
 */
enum { OT_STAT_USED = 1, OT_STAT_ADMITTED = 2, OT_STAT_AFTER = 4 /* fresh look since admission */ };

struct ot_stat {
    float ema;    /* smoothed loss of all looks */
    float margin; /* mean margin */
    float fresh;  /* loss of the last fresh look */
    uint32_t n_seen, n_contra;
    uint32_t label : 24, flags : 8;
};

struct ot_stats {
    struct ot_stat *image, *object; /* image: by sample, NULL before the first one */
    uint64_t *key;                  /* of the objects, in order of appearance */
    uint32_t *index;                /* open addressing: 1 + place in `object`, 0: free */
    size_t object_cap, key_cap, n_object, n_index;
    int64_t used; /* instances with a label */
    int classes;  /* with instances */
    float sure;   /* mean probability of the prediction over the latest looks */
    uint32_t looks;
};

struct ot_class { /* rows of one label, those that may be evicted as a heap, least first */
    int32_t *heap;
    size_t cap;
    int n, rows;
    int held;          /* of them quarantined or excluded: kept, and outside the class's share */
    int64_t instances; /* images and objects of this label that ever passed */
    float margin;      /* mean over the latest looks */
    uint32_t looks;
};

struct ot_sample {
    struct ot_list rows;
    int32_t n_wait;  /* waiting rows */
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

struct ot_drawn {
    uint32_t sample, weight; /* in the draw */
    uint32_t heavier;        /* waiting samples that weigh more (rank_drawn) */
    float importance;
};

struct ot_bound { /* what admits now; v NaN: nothing is admitted */
    float v;
    bool inclusive;
    int most; /* admissions of this batch, at most */
};

struct ot_judged { /* a verdict that holds */
    uint64_t key;
    int32_t label; /* a person's */
    uint32_t what; /* enum ot_verdict_kind */
};

struct ot_sentinel { /* the losses of its best evaluation */
    float *best;
    size_t cap;
    int32_t n; /* 0: none yet */
    double mean;
    int64_t batches; /* re-injections at its last evaluation */
    float factor;    /* of max_share that is left */
};

struct ot_margin { /* of a planted instance, for the thermometer */
    float v;
    uint32_t others; /* others from the planted one before up to this one */
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
    struct ot_sumtree waiting; /* samples with waiting rows, by the weight of the draw */
    int n_waiting;
    int n_rows, n_state[7];
    uint64_t next_id, stamp;

    struct ot_window window;
    struct ot_cand *order, *cand;
    size_t order_cap, cand_cap, n_cand;

    struct ot_booked *book;
    int book_cap, n_book;
    struct ot_drawn *drawn; /* the samples of the current re-injection, room for conf.batch */
    int n_drawn;
    bool in_flight; /* next() gave a batch that observe() has not seen yet */
    uint64_t *out_id;
    float *out_before, *out_after;

    int64_t iters, fresh; /* next() calls from start_iter on; fresh ones since the last */
    int64_t admitted, evicted, reinjected, batches;
    int64_t learned_total, quarantined_total, released_total;

    struct ot_stats stats;
    struct ot_judged *judged; /* by key */
    size_t judged_cap, n_judged;
    struct ot_judged *next_judged; /* the set to come, while it is made */
    size_t next_judged_cap;
    struct ot_sentinel sentinel;
    struct ot_margin *margins; /* scratch of the thermometer */
    size_t margins_cap;

    /* images and objects only, for the share limit */
    int64_t seen_again, planted_again; /* rows re-measured so far; planted ones of them */
    int64_t held;                      /* quarantined now, without planted ones */
    double noise;                      /* estimated share of wrong labels; NaN: none yet */
    int64_t next_reading;              /* of the noise: in iterations since start_iter */
    double credit; /* re-injections that the share has allowed and that were not made */
};

struct ot_pass { /* what is true of all looks of one observe() */
    int64_t iter;
    bool reinjected, after_warmup;
    struct ot_bound bound;
};

/* rows.c: the store */
uint64_t ot_row_key(uint32_t sample, uint8_t kind, int32_t slot);
uint32_t ot_key_sample(uint64_t key);
enum ot_kind ot_key_kind(uint64_t key);
int32_t ot_key_slot(uint64_t key);
bool ot_is_held(const struct ot_row *r);                      /* quarantined or excluded */
int32_t ot_rows_find(const struct ot_miner *m, uint64_t key); /* -1: none */
int32_t ot_rows_add(struct ot_miner *m, const struct ot_row *r, struct ot_err *err);
void ot_rows_remove(struct ot_miner *m, int32_t i);
void ot_rows_set_state(struct ot_miner *m, int32_t i, enum ot_state state);
void ot_rows_queue(struct ot_miner *m, int32_t i); /* waiting, or the control group's own state */
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

/* states.c: what a look does to a row, and how each change is told */
void ot_tell_row(struct ot_miner *m, int64_t iter, int32_t i);
void ot_tell(struct ot_miner *m, int64_t iter, int32_t i, enum ot_event_kind what, const char *fmt,
             ...) OT_PRINTF(5, 6);
const char *ot_bound_text(const struct ot_miner *m, const struct ot_bound *b, char buf[48]);
double ot_margin(const struct ot_look *k);
bool ot_contradicted(const struct ot_miner *m, const struct ot_row *r);
int ot_row_look(struct ot_miner *m, int32_t i, int64_t iter, const struct ot_look *k,
                struct ot_err *err);
void ot_row_after_look(struct ot_miner *m, int32_t i, const struct ot_pass *p);
void ot_row_restart(struct ot_miner *m, int32_t i); /* another label: its history begins anew */
void ot_row_learned(struct ot_miner *m, int32_t i, int64_t iter, const char *when);
void ot_row_released(struct ot_miner *m, int32_t i, int64_t iter, const char *why);

/* stat.c: the memory of all instances */
struct ot_stat *ot_stat_find(const struct ot_miner *m, uint64_t key); /* NULL: none */
struct ot_stat *ot_stat_get(struct ot_miner *m, uint64_t key, struct ot_err *err);
void ot_stat_label(struct ot_miner *m, struct ot_stat *s, int32_t label); /* begins anew */
void ot_stat_forget(struct ot_miner *m, struct ot_stat *s);               /* begins anew later */
struct ot_stat *ot_stat_look(struct ot_miner *m, const struct ot_look *k, const struct ot_pass *p,
                             struct ot_err *err);
void ot_stats_each(const struct ot_miner *m,
                   void (*visit)(const struct ot_miner *m, uint64_t key, const struct ot_stat *s,
                                 void *ctx),
                   void *ctx);
bool ot_stat_suspect(const struct ot_miner *m, const struct ot_stat *s);
bool ot_stat_doubtful(const struct ot_miner *m, const struct ot_stat *s);
bool ot_stat_below(const struct ot_miner *m, const struct ot_stat *s, float part);
void ot_stats_release(struct ot_stats *s);

/* share.c */
double ot_share(const struct ot_miner *m); /* limit of re-injected iterations, as of now */
double ot_noise(struct ot_miner *m);       /* proof.c: share of wrong labels; NaN: no estimate */
void ot_share_read(struct ot_miner *m);    /* once an iteration: the noise, now and then */

/* image.c, image_mind.c: one description for both directions */
struct ot_io {
    struct ot_str *out;      /* writing */
    const unsigned char *in; /* reading */
    size_t left;
    uint32_t version; /* of what is read */
    bool bad;
};

void ot_io_pass(struct ot_io *io, void *v, size_t n);
#define OT_PASS(io, v) ot_io_pass((io), &(v), sizeof(v))
int ot_io_bad(struct ot_err *err, const char *what, long long got);
int32_t ot_io_take_n(struct ot_io *io, size_t size); /* of things of at least `size` bytes */
void ot_put_judged(struct ot_io *io, const struct ot_miner *m);
int ot_take_judged(struct ot_io *io, struct ot_miner *m, struct ot_err *err);
void ot_put_mind(struct ot_io *io, const struct ot_miner *m);
int ot_take_mind(struct ot_io *io, struct ot_miner *m, struct ot_err *err);

/* judge.c: verdicts, planted labels, the control group */
bool ot_in_control(const struct ot_miner *m, uint32_t sample);
bool ot_is_planted(const struct ot_miner *m, uint64_t key);
int32_t ot_train_label(const struct ot_miner *m, uint64_t key, int32_t given);
const struct ot_judged *ot_judged_find(const struct ot_miner *m, uint64_t key); /* NULL: none */
bool ot_is_excluded(const struct ot_judged *j);                                 /* NULL: no */
bool ot_is_hard(const struct ot_judged *j);
bool ot_is_stale(const struct ot_miner *m, const struct ot_look *k); /* of an earlier label */
/* A row as this miner would have it: its groups, label and state under this seed and these
 * verdicts. */
void ot_row_conform(const struct ot_miner *m, struct ot_row *r);

/* reinject.c */
void ot_row_rest(struct ot_miner *m, int32_t i, int64_t iter); /* from waiting to cooling */
void ot_remeasure(struct ot_miner *m, int64_t iter);
void ot_unbook(struct ot_miner *m);

#endif
