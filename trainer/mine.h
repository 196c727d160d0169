/*
 * mine.h - between the net and the miner: who each loss is about, and what comes back.
 *
 * After a pass was asked for, ot_mine_read() asks for labels, probabilities and instance losses;
 * when the next one was, they are there, and each instance is named (sample ordinal, kind, slot,
 * box in the un-augmented image) and given to the miner.  So a GPU is never waited for, and the
 * CPU keeps to that lag, so that both devices make the same decisions.
 *
 * Ownership: ot_mine_new returns owned; it owns miner and pool.
 * Threads: the trainer's.
 */
#ifndef OT_TRAINER_MINE_H
#define OT_TRAINER_MINE_H

#include "mining/miner.h"
#include "mining/pool.h"
#include "trainer/config.h"
#include "trainer/feed.h"
#include "trainer/net.h"

struct ot_mine;

struct ot_mine_facts { /* what the mining block does not say */
    int64_t passes;    /* of the whole run */
    int batch;         /* images of the data layer's batch */
    bool roi;          /* instances are RoIs */
    uint64_t seed;
    int n_classes;
    uint32_t n_samples;
    bool unweighted; /* the loss does not weigh its instances as the data layer says */
    bool shared;     /* another loss learns from the labels */
};

/* The miner's configuration by a mining block, its ranges checked; doc: where it was read from. */
int ot_mine_rules(const Caffe__MiningParameter *p, const struct ot_doc *doc,
                  const struct ot_mine_facts *f, struct ot_miner_conf *conf, struct ot_err *err);

/* Needs config->solver->mining.  Call after the feeds are made and before the net is built:
 * gives the feeds their hints. */
struct ot_mine *ot_mine_new(struct ot_config *config, struct ot_feeds *feeds, struct ot_err *err);
void ot_mine_free(struct ot_mine *m);

/* Finds the loss layer and its blobs in the built net, before it is planned, and makes the miner.
 */
int ot_mine_attach(struct ot_mine *m, struct ot_net *net, struct ot_err *err);

/* Opens the pool file in the run folder; a miner without one works too (tests, --check).
 * parent_run: the run of that file that is resumed, or 0. */
int ot_mine_open_pool(struct ot_mine *m, const char *device, int64_t iter_start, int64_t parent_run,
                      struct ot_err *err);

/* Before the first iteration: the verdicts that hold, and what the pool file knows of earlier
 * nights; nothing after a restore. */
int ot_mine_begin(struct ot_mine *m, int64_t iter, struct ot_err *err);

/* Applies new verdicts; then the samples of iteration `iter` when it is a re-injection (borrowed),
 * else 0; < 0: an error. */
int ot_mine_next(struct ot_mine *m, int64_t iter, const uint32_t **sample, struct ot_err *err);

/* Scores the sentinel set: forward only, as given, nothing of the training is touched.  The miner
 * lowers its share when the set gets worse. */
int ot_mine_sentinel(struct ot_mine *m, int64_t iter, struct ot_err *err);
bool ot_mine_on(const struct ot_mine *m, int64_t iter); /* warm-up is over, the end not reached */

/* What mining proves of itself, to the pool file: with each snapshot, and at the end. */
int ot_mine_prove(struct ot_mine *m, int64_t iter, struct ot_err *err);
/* The same in sentences, one a line. */
void ot_mine_tell(const struct ot_mine *m, struct ot_str *s);

/* When the pass was asked for: asks for its losses, hands the miner those of the one before. */
int ot_mine_read(struct ot_mine *m, int64_t iter, bool reinjected, struct ot_err *err);
/* The last pass's losses are not to be believed: the miner does not get them. */
void ot_mine_drop(struct ot_mine *m);

/* Per-iteration numbers for the pool file; then: the counts when the iteration was asked for. */
void ot_mine_note(struct ot_mine *m, int64_t iter, bool reinjected, double loss, double lr,
                  double ms, const struct ot_miner_counts *then);

struct ot_miner_counts ot_mine_counts(const struct ot_mine *m);
int ot_mine_batch(const struct ot_mine *m); /* samples of a re-injected batch */
struct ot_pool *ot_mine_pool(struct ot_mine *m);

/* Miner and lagging losses as bytes for a snapshot, and back. */
int ot_mine_save(struct ot_mine *m, struct ot_str *out, struct ot_err *err);
/* iter: the last iteration that was done. */
int ot_mine_restore(struct ot_mine *m, const void *bytes, size_t n, int64_t iter,
                    struct ot_err *err);

/* Closes the pool file with the run's end. */
int ot_mine_close(struct ot_mine *m, const char *status, int exit_code, int64_t iter, double loss,
                  const char *metric, double value, struct ot_err *err);

#endif
