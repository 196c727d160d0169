/*
 * miner.h - which examples are hard: pure decisions on (identity, loss).
 *
 * After every iteration the trainer tells the miner the loss of each instance.  The miner keeps
 * the pool in memory (the authority), admits, re-injects, retires, quarantines, and reports each
 * change to a sink (mining/pool.h, the SQLite file; or nothing).  No decision looks at a clock,
 * a thread or the file; the same losses give the same decisions, on any device.
 *
 * Order: loss descending, identity ascending.  A NaN loss is an error.
 * Words: sample, instance, admit, pending, re-inject, learned, quarantined: see docs/mining.md.
 *
 * Ownership: ot_miner_new returns owned; arrays passed in are not kept.
 * Threads: the trainer's thread only.
 * Source: the policy and its defaults follow docs/mining.md.
 */
#ifndef OT_MINING_MINER_H
#define OT_MINING_MINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum ot_kind { OT_KIND_IMAGE = 0, OT_KIND_GT_ROI = 1, OT_KIND_BG_ROI = 2, OT_KIND_TILE = 3 };

#define OT_SLOT_MAX 0x3fffffff /* of an instance */

enum ot_state {
    OT_WAITING = 0, /* pending: will be re-injected */
    OT_COOLING = 1, /* re-injected lately, rests */
    OT_LEARNED = 2,
    OT_QUARANTINED = 3, /* still confidently contradicted after the allowed re-injections */
    OT_EXCLUDED = 4,    /* by a person */
    /* 5 is the file's: evicted after re-injection */
    OT_CONTROL = 6 /* would wait, but its sample is of the control group: never re-injected */
};

enum ot_admit { OT_ADMIT_QUANTILE, OT_ADMIT_THRESHOLD, OT_ADMIT_TOPK };

enum ot_priority { OT_PRIORITY_UNIFORM, OT_PRIORITY_LOSS };

enum ot_importance { OT_IMPORTANCE_NONE, OT_IMPORTANCE_RANK, OT_IMPORTANCE_PER };

struct ot_miner_conf { /* after MiningParameter, with every default filled in */
    bool naive;        /* policy NAIVE: no quarantine, no share limit, no cooling */
    enum ot_admit admit;
    float quantile;
    int window;
    float threshold;
    int topk;
    float class_share;
    int64_t start_iter; /* warm-up ends: admission begins */
    int64_t end_iter;   /* nothing is re-injected from here on */
    int capacity;
    float ema;
    int batch; /* samples of a re-injected batch */
    int min_fresh;
    float max_share;
    float fresh_part; /* of a re-injected batch: samples at random, not from the pool */
    int cooldown;
    int per_sample; /* booked instances of one sample, at most */
    float retire;
    int probe_after;
    float probe_conf;
    float quarantine_weight;
    float release;
    uint64_t seed;
    int n_classes;
    uint32_t n_samples; /* records of the data set */

    enum ot_priority priority; /* of the draw among the waiting samples */
    enum ot_importance importance;
    float importance_beta; /* at start_iter; 1 at end_iter */
    bool auto_share;       /* max_share is lowered by the measured noise */
    bool scope_all;        /* quarantine whatever passes, not only pool rows */
    int scope_looks;
    float scope_margin;
    float control;     /* share of the samples in the control group */
    float thermometer; /* share of the instances with a planted wrong label */
    int first_class;   /* least label a planted one may have: 1 where 0 is the background */
};

/* One per-instance loss, with all that identifies it. */
struct ot_look {
    uint32_t sample;       /* ordinal of the LMDB key */
    uint8_t kind;          /* enum ot_kind */
    int32_t slot;          /* 0 | ground-truth index | -1: background, matched by box */
    int32_t label, pred;   /* classes; label: the one trained on (a person's, a planted one) */
    int32_t given;         /* label as the data set has it (background RoIs: their label) */
    float p_label, p_pred; /* probabilities */
    float loss;            /* unweighted */
    float box[4];          /* x0, y0, x1, y1: fractions of the un-augmented image */
    bool flip;             /* what the augmentation did this time */
};

/* A row of the pool. */
struct ot_row {
    uint64_t id; /* 1, 2, ...: order of admission, never reused */
    uint32_t sample;
    uint8_t kind, state;
    int32_t slot; /* background RoIs: number given at admission */
    int32_t label, pred;
    float p_label, p_pred;
    float box[4];
    bool flip; /* as last seen */
    float loss, loss_ema, loss_max, loss_first;
    double margin_sum; /* of p(label) - p(best other) over all looks */
    int32_t n_seen, n_reinj, n_contra, n_forget;
    float weight;
    int64_t first_iter, last_iter, cool_until;
    int32_t label_given;   /* as the data set has it; `label` may be planted or a person's */
    bool planted, control; /* of the thermometer; of the control group */
};

enum ot_event_kind {
    OT_EV_ADMIT,
    OT_EV_EVICT,
    OT_EV_LEARNED,
    OT_EV_FORGOT,
    OT_EV_QUARANTINE,
    OT_EV_RELEASE,
    OT_EV_EXCLUDE,
    OT_EV_RESTORE,
    OT_EV_RELABEL
};

/* Where changes go.  Any pointer may be NULL.  Called from the miner's thread; must not wait. */
struct ot_mining_sink {
    void *ctx;
    void (*row)(void *ctx, int64_t iter, const struct ot_row *row);  /* new or changed */
    void (*gone)(void *ctx, int64_t iter, const struct ot_row *row); /* evicted */
    void (*event)(void *ctx, int64_t iter, const struct ot_row *row, enum ot_event_kind what,
                  float loss, const char *why);
    /* a re-injected batch is measured: per row loss before and after (NaN: not seen again) */
    void (*reinjected)(void *ctx, int64_t iter, const uint64_t *row_id, const float *before,
                       const float *after, int n);
};

struct ot_miner_counts {
    int64_t rows, waiting, cooling, learned, quarantined; /* now */
    int64_t admitted, evicted, reinjected, reinj_batches; /* so far */
    int64_t learned_total, quarantined_total, released_total;
    int waiting_samples;       /* samples with waiting rows: the pool's fill against conf.batch */
    float admit_threshold;     /* as of now; NaN before there is one */
    float share;               /* limit of re-injected iterations, as of now */
    float factor;              /* of max_share that the sentinel set has left: 1, 1/2, ... */
    int64_t excluded, control; /* rows, now */
    int64_t verdicts;          /* that hold now */
};

/* What a person says of an instance (table verdict, label overlay). */
enum ot_verdict_kind {
    OT_VERDICT_MISLABELLED, /* the label is wrong: no weight, out of the pool */
    OT_VERDICT_HARD,        /* the label is right: never quarantined */
    OT_VERDICT_IGNORE,      /* nothing can be learned from it: no weight, out of the pool */
    OT_VERDICT_RELABEL /* `label` is right: trained on with that one, its history begins anew */
};

struct ot_verdict {
    uint32_t sample;
    uint8_t kind; /* enum ot_kind */
    uint8_t what; /* enum ot_verdict_kind */
    int32_t slot, label;
};

/* By instance: sample, kind, slot; 0 when both are about the same one. */
int ot_verdict_order(const struct ot_verdict *a, const struct ot_verdict *b);

/* Loss of the control group beside that of the others, all that were ever admitted and not
 * quarantined, excluded or contradicted in most of their looks (proof.c says why), by their last
 * fresh loss after admission; 95 % interval (Welch). */
struct ot_mining_effect {
    int32_t label; /* -1: all classes */
    int64_t n_treated, n_control;
    double loss_treated, loss_control;
    double diff, lo, hi; /* control - treated: what mining took off the loss; NaN below 2 + 2 */
};

/* Planted wrong labels: how much of what is wrong tonight's quarantine finds. */
struct ot_thermometer {
    int64_t planted, tested;             /* seen at all; seen often enough to be quarantined */
    int64_t quarantined;                 /* of those tested */
    double recall, recall_lo, recall_hi; /* Wilson's 95 % interval; NaN when none was tested */
    double noise;                        /* estimated share of wrong labels, an upper bound */
    double precision;                    /* of the quarantine, from these two; NaN: no estimate */
};

struct ot_miner;

struct ot_miner *ot_miner_new(const struct ot_miner_conf *conf, const struct ot_mining_sink *sink,
                              struct ot_err *err);
void ot_miner_free(struct ot_miner *m);

/* The losses of iteration `iter`.  reinjected: it was the batch that ot_miner_next() gave at
 * that iteration; then rows are re-measured and nothing is admitted. */
int ot_miner_observe(struct ot_miner *m, int64_t iter, bool reinjected, const struct ot_look *looks,
                     size_t n, struct ot_err *err);

/* Is iteration `iter` a re-injection?  If so fills sample[conf.batch] (distinct ordinals,
 * those from the pool first; the rows booked are remembered until observed) and returns the number;
 * 0: train fresh. Must be called once per iteration, in order. */
int ot_miner_next(struct ot_miner *m, int64_t iter, uint32_t *sample);

/* Booked rows of a sample of the current re-injection, worst first; returns how many (<= max). */
int ot_miner_booked(const struct ot_miner *m, uint32_t sample, struct ot_row *rows, int max);

/* Weight of an instance in any pass: 0 when planted, mislabelled or to be ignored;
 * quarantine_weight when quarantined; else 1. */
float ot_miner_weight(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot);
/* Background boxes of a sample that are quarantined, or excluded by a person: they weigh
 * quarantine_weight; returns how many. */
int ot_miner_quarantined_boxes(const struct ot_miner *m, uint32_t sample, float (*box)[4], int max);

/* Label to train on: a person's, a planted one, or the given one.  A pure function of the verdicts
 * and the seed; background RoIs keep theirs. */
int32_t ot_miner_label(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot,
                       int32_t given);
/* Importance weight of a sample of the current re-injection; 1 otherwise. */
float ot_miner_importance(const struct ot_miner *m, uint32_t sample);

/* The verdicts that hold from `iter` on: the complete set, in any order, one per instance.  What
 * was there before and is not any more is taken back. */
int ot_miner_judge(struct ot_miner *m, int64_t iter, const struct ot_verdict *v, size_t n,
                   struct ot_err *err);

/* The losses of the sentinel set (always the same n samples, in the same order).  When their mean
 * has risen by more than two standard errors over the least so far while mining is on, max_share
 * is halved.  *share: what it is now. */
int ot_miner_sentinel(struct ot_miner *m, int64_t iter, const float *loss, size_t n, float *share,
                      struct ot_err *err);

/* Rows of an earlier night (of other weights), before the first observe(): waiting and cooling
 * ones rest until a hard look wakes them, quarantined ones have to be contradicted again within
 * two looks, excluded ones follow the verdicts. */
int ot_miner_adopt(struct ot_miner *m, const struct ot_row *row, struct ot_err *err);

/* Effect by class, labels ascending, then all (-1); returns how many (<= max). */
int ot_miner_effects(const struct ot_miner *m, struct ot_mining_effect *e, int max);
struct ot_thermometer ot_miner_thermometer(struct ot_miner *m);

struct ot_miner_counts ot_miner_counts(const struct ot_miner *m);

/* The whole state as bytes (versioned, checksummed), for a snapshot; and back.  Restoring into a
 * miner of another configuration keeps the rows (those of least loss are dropped when they are
 * more than its capacity); on failure the miner is as it was.  The sink is not called. */
int ot_miner_save(const struct ot_miner *m, struct ot_str *out, struct ot_err *err);
int ot_miner_restore(struct ot_miner *m, const void *bytes, size_t n, struct ot_err *err);

/* Calls visit for every row in id order (to write a restored pool to its file). */
void ot_miner_each(const struct ot_miner *m, void (*visit)(void *ctx, const struct ot_row *row),
                   void *ctx);

#endif
