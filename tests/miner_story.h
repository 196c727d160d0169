/*
 * miner_story.h - what the miner's tests share: a sink that remembers what it was told, a small
 * configuration, and looks.
 */
#ifndef OT_TESTS_MINER_STORY_H
#define OT_TESTS_MINER_STORY_H

#include "mining/miner.h"

struct ot_story {
    int n[9], rows, gone, reinj, unseen;
    char why[256];  /* of the last event */
    uint64_t trace; /* hash of everything told */
    struct ot_row last;
};

struct ot_mining_sink ot_story_sink_of(struct ot_story *s);
struct ot_miner_conf ot_story_conf0(void);
struct ot_miner *ot_story_born(const struct ot_miner_conf *c, struct ot_story *s);
/* label 1, predicted 2 */
struct ot_look ot_story_look(uint32_t sample, float loss);
/* a background box (x, x, x + size, x + size) */
struct ot_look ot_story_bg(uint32_t sample, float loss, float x, float size);
void ot_story_see(struct ot_miner *m, int64_t iter, bool again, const struct ot_look *k, size_t n);
/* A fresh batch of k, when it is not NULL, and of 20 sure and right looks of its class, at samples
 * from 3000. */
void ot_story_see_known(struct ot_miner *m, int64_t iter, const struct ot_look *k);
void ot_story_see1(struct ot_miner *m, int64_t iter, bool again, uint32_t sample, float loss);

#endif
