/*
 * replay.h - a recorded run's decisions made again, from its loss log, without training.
 *
 * By the recorded rules every draw and every event must come out the same; the first that does
 * not is named.  By other rules the log answers as well as it can:
 *   - A fresh batch is a recorded fresh batch, in order and never before its iteration.  Where the
 *     other policy trains fresh and none is left, the iteration passes without looks (`absent`);
 *     what it had no time for is `left`.
 *   - The losses of a re-injection of its own are those of each drawn sample's next recorded look,
 *     from that iteration on, or the last one before when there is none.  So what training on it
 *     would have changed is not in them.
 *
 * Ownership: the caller owns struct ot_replay and releases it.  Threads: one.
 * Errors: OT_EDATA (damaged log, names the byte), OT_ENOMEM, those of the miner.  A difference is
 *         no error: `same` tells.
 */
#ifndef OT_MINING_REPLAY_H
#define OT_MINING_REPLAY_H

#include "mining/looklog.h"

struct ot_replay_counts {
    int64_t admitted, evicted, reinjected, learned, quarantined_ever, released;
    int64_t quarantined; /* at the end */
    /* of what the truth is known: wrong labels that were seen; quarantined at the end, right so */
    int64_t wrong, judged, hit;
};

struct ot_replay {
    bool same;            /* by the recorded rules: nothing differs */
    char difference[300]; /* the first one */
    struct ot_tally tally;

    int64_t iterations, first_iter, last_iter; /* that the log has */
    int64_t batches;                           /* re-injected */
    int64_t absent, left;                      /* other rules only, see above */
    int64_t rows_reinjected, rows_doubted; /* ever re-injected; of these quarantined at the end */
    int resumes, gaps;
    int verdicts, sentinels; /* sets of verdicts, tests of the sentinel set */
    bool ended;              /* the log has its end */
    int64_t broken_from;     /* -1: it is not broken */

    struct ot_replay_counts all, *label; /* by class, n_classes */
    int n_classes;
};

/* conf: other rules, or NULL for the recorded ones.  truth: right label by sample (-1: not
 * known), or NULL; compared with what the data set gives, images only. */
int ot_replay_run(const struct ot_looks_file *f, const struct ot_miner_conf *conf,
                  const int32_t *truth, struct ot_replay *out, struct ot_err *err);
void ot_replay_release(struct ot_replay *r);

#endif
