/*
 * looklog_impl.h - what the two sides of the loss log share: one description of its numbers for
 * both directions.  looklog.c writes, looklog_read.c reads; nobody else includes it.
 */
#ifndef OT_MINING_LOOKLOG_IMPL_H
#define OT_MINING_LOOKLOG_IMPL_H

#include "base/str.h"
#include "mining/looklog.h"

#define OT_LOOKLOG_MAGIC "OTLOOK1\n"

struct ot_rec_head {
    uint32_t type, len;
    uint64_t hash;
};

struct ot_bits {
    struct ot_str *out;      /* writing */
    const unsigned char *in; /* reading */
    size_t left;
    bool bad; /* more was wanted than there is */
};

void ot_bits_pass(struct ot_bits *b, void *v, size_t n);
#define OT_BITS(b, v) ot_bits_pass((b), &(v), sizeof(v))
void ot_bits_bool(struct ot_bits *b, bool *v);
void ot_bits_u64(struct ot_bits *b, uint64_t *v); /* 7 bits a byte, least first */
void ot_bits_i32(struct ot_bits *b, int32_t *v);  /* the same, sign in the lowest bit */
void ot_bits_conf(struct ot_bits *b, struct ot_miner_conf *c);
void ot_bits_tally(struct ot_bits *b, struct ot_tally *t);
void ot_bits_look(struct ot_bits *b, struct ot_look *k);

uint64_t ot_rec_hash(const struct ot_rec_head *h, const void *bytes);

#endif
