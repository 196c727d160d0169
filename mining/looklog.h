/*
 * looklog.h - the loss log: every call of the miner, in order, so that its decisions can be made
 * again without training.
 *
 * While training (mining.loss_log) the trainer tells the log each call and its outcome; the log
 * copies it into a bounded buffer and a thread of its own writes that.  The trainer never waits
 * for the disk: when the buffer is full the log is broken from that iteration, says so, and
 * training goes on.  After kill -9 the file is readable up to its last whole record.
 *
 * File: 8 bytes of magic, then records: u32 type, u32 length, u64 FNV-1a of these two and the
 * content; numbers in the machine's byte order.  The first is HEAD, the second KEYS.
 *
 * Ownership: ot_looklog_open and ot_looks_open return owned; arguments are not kept, except the
 *            sink that is passed on to.
 * Threads: one each; the writing thread is the log's own affair.
 * Errors: OT_ECREATE, OT_EIO; reading: OT_ENOINPUT, OT_EDATA (with the byte), OT_ENOMEM.
 */
#ifndef OT_MINING_LOOKLOG_H
#define OT_MINING_LOOKLOG_H

#include "mining/miner.h"

enum ot_looklog_type {
    OT_REC_HEAD = 'H',
    OT_REC_KEYS = 'D',
    OT_REC_MINER = 'M',    /* the miner as it begins here: of a new run, or of one that goes on */
    OT_REC_NEXT = 'N',     /* ot_miner_next() and what it drew */
    OT_REC_LOOKS = 'L',    /* ot_miner_observe() */
    OT_REC_VERDICTS = 'V', /* ot_miner_judge() */
    OT_REC_SENTINEL = 'S', /* ot_miner_sentinel() */
    OT_REC_MARK = 'K',     /* a snapshot was made of this state */
    OT_REC_BROKEN = 'B',   /* nothing more was written, from this iteration on */
    OT_REC_END = 'E'
};

struct ot_looklog_head {
    struct ot_miner_conf conf;
    int64_t passes;       /* of the whole run: what `warmup` and `until` are shares of */
    int32_t batch;        /* images of the data layer's batch */
    bool roi;             /* instances are RoIs */
    uint64_t fingerprint; /* of the data set; it has conf.n_samples records */
    const char *dataset;  /* its path */
    const char *policy;   /* the printed mining block */
};

/* Decisions so far, as counts and as running hashes: of (iteration, event, row), of draws. */
struct ot_tally {
    uint64_t n_events, events, n_draws, draws;
};

struct ot_tally ot_tally_zero(void);
void ot_tally_event(struct ot_tally *t, int64_t iter, enum ot_event_kind what, uint64_t row);
void ot_tally_draw(struct ot_tally *t, int64_t iter, const uint32_t *sample, int n);

/* ---- writing --------------------------------------------------------------------------------- */

struct ot_looklog;

/* key: of sample `index`, into buf; asked for each sample while opening a new log. */
struct ot_looklog *ot_looklog_open(const char *path, const struct ot_looklog_head *head,
                                   char *(*key)(void *ctx, uint32_t index, char *buf, size_t n),
                                   void *key_ctx, struct ot_err *err);

/* The sink to hand to ot_miner_new(): counts decisions and passes on to `next` (NULL: nobody). */
const struct ot_mining_sink *ot_looklog_sink(struct ot_looklog *log,
                                             const struct ot_mining_sink *next);

/* The run goes on from a snapshot whose mining state is these bytes: before ot_looklog_begin().
 * What the log has beyond that snapshot is cut off. */
void ot_looklog_resume(struct ot_looklog *log, const void *bytes, size_t n);
/* Before the first call of the miner, which is as it will be then; later calls do nothing.  An
 * earlier run's log is kept as <path>.old. */
void ot_looklog_begin(struct ot_looklog *log, const struct ot_miner_conf *conf,
                      const struct ot_miner *m);

/* After the miner's call of that name. */
void ot_looklog_next(struct ot_looklog *log, int64_t iter, const uint32_t *sample, int n);
void ot_looklog_looks(struct ot_looklog *log, int64_t iter, bool reinjected,
                      const struct ot_look *looks, size_t n);
void ot_looklog_verdicts(struct ot_looklog *log, int64_t iter, const struct ot_verdict *v,
                         size_t n);
void ot_looklog_sentinel(struct ot_looklog *log, int64_t iter, const float *loss, size_t n,
                         float share);
/* A snapshot is made, with this mining state. */
void ot_looklog_mark(struct ot_looklog *log, int64_t iter, const void *bytes, size_t n);

/* 0, or why nothing is written any more. */
int ot_looklog_ok(struct ot_looklog *log, struct ot_err *err);
/* Writes what is left, and the end when `ended`: the run is over and was not merely left. */
int ot_looklog_close(struct ot_looklog *log, bool ended, struct ot_err *err);

void ot_looklog_limit(struct ot_looklog *log, size_t bytes); /* tests: of the buffer */

/* ---- reading --------------------------------------------------------------------------------- */

struct ot_looks_file {
    char *bytes;
    size_t n;    /* of whole records */
    size_t torn; /* bytes behind them, of a record that was not finished */
    struct ot_looklog_head head;
    size_t first;     /* where the records after HEAD and KEYS begin */
    const char **key; /* by sample */
};

struct ot_looks_rec {
    enum ot_looklog_type type;
    size_t at; /* of its first byte */
    const unsigned char *p;
    size_t n;
};

struct ot_looks_file *ot_looks_open(const char *path, struct ot_err *err);
void ot_looks_free(struct ot_looks_file *f);
/* The record at *at, which moves on; false at the end.  Begin with f->first. */
bool ot_looks_next(const struct ot_looks_file *f, size_t *at, struct ot_looks_rec *r);

/* What a record holds; arrays are the caller's (begin with zeros, ot_looks_part_release()). */
struct ot_looks_part {
    int64_t iter;
    bool reinjected, gap; /* gap: what was decided before this MINER is not all in the log */
    struct ot_tally tally;
    float share;
    uint64_t state; /* MARK: hash of the snapshot's mining state */
    struct ot_miner_conf conf;
    const unsigned char *image; /* of a MINER record, borrowed from the file */
    size_t n_image;
    size_t n; /* of the one array that the record has */
    struct ot_look *look;
    uint32_t *sample;
    struct ot_verdict *verdict;
    float *loss;
    size_t look_cap, sample_cap, verdict_cap, loss_cap;
};

int ot_looks_take(const struct ot_looks_rec *r, struct ot_looks_part *part, struct ot_err *err);
void ot_looks_part_release(struct ot_looks_part *part);

#endif
