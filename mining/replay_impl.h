/* replay_impl.h - what replay.c, replay_other.c and replay_count.c share; nobody else. */
#ifndef OT_MINING_REPLAY_IMPL_H
#define OT_MINING_REPLAY_IMPL_H

#include "base/map.h"
#include "mining/replay.h"

struct ot_replay_count { /* replay_count.c */
    struct ot_replay *out;
    struct ot_map rows; /* id -> label, and bit 32: was re-injected */
    const int32_t *truth;
    int32_t *given; /* by sample; -1: not seen */
    uint32_t n_samples;
    struct ot_err err;
};

int ot_replay_count_init(struct ot_replay_count *c, const struct ot_miner_conf *conf,
                         const int32_t *truth, struct ot_replay *out, struct ot_err *err);
void ot_replay_count_release(struct ot_replay_count *c);
struct ot_mining_sink ot_replay_count_sink(struct ot_replay_count *c);
void ot_replay_count_looks(struct ot_replay_count *c, const struct ot_look *look, size_t n);
void ot_replay_count_end(struct ot_replay_count *c, const struct ot_miner *m);

/* A miner of these rules in the state that a MINER record holds. */
struct ot_miner *ot_replay_miner(const struct ot_miner_conf *conf, const struct ot_looks_part *p,
                                 const struct ot_mining_sink *sink, struct ot_err *err);
void ot_replay_saw(struct ot_replay *out, int64_t iter); /* a NEXT record */

int ot_replay_other(const struct ot_looks_file *f, const struct ot_miner_conf *conf,
                    struct ot_replay_count *count, struct ot_err *err);

#endif
