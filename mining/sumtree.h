/*
 * sumtree.h - integer weights of n things, their sum, and who holds the x-th unit of it.
 *
 * A tree of 64-bit sums with 16 children each: exact, so any order of updates gives the same
 * tree, and a restored one draws as the one that was saved.  Both operations are O(log n) and
 * allocate nothing; 4.6 bytes per thing.
 *
 * Ownership: ot_sumtree_release() frees.  Threads: one owner at a time.
 */
#ifndef OT_MINING_SUMTREE_H
#define OT_MINING_SUMTREE_H

#include <stdint.h>

#include "base/err.h"

enum { OT_SUMTREE_LEVELS = 8 }; /* 16^8 = 2^32 leaves */

struct ot_sumtree {
    uint32_t *leaf;
    uint64_t *sum[OT_SUMTREE_LEVELS]; /* sum[0]: of 16 leaves each; the last level is one sum */
    uint32_t n;
    int levels;
};

int ot_sumtree_init(struct ot_sumtree *t, uint32_t n, struct ot_err *err); /* all weights 0 */
void ot_sumtree_release(struct ot_sumtree *t);
void ot_sumtree_set(struct ot_sumtree *t, uint32_t i, uint32_t weight);
uint64_t ot_sumtree_total(const struct ot_sumtree *t);
/* The i with sum(weight[0..i-1]) <= x < sum(weight[0..i]); x must be below the total. */
uint32_t ot_sumtree_find(const struct ot_sumtree *t, uint64_t x);

#endif
