/*
 * judge.c - what persons say: verdicts, and the label that is trained on.
 */
#include "mining/miner_impl.h"

bool ot_in_control(const struct ot_miner *m, uint32_t sample)
{
    (void)m;
    (void)sample;
    return false;
}

bool ot_is_planted(const struct ot_miner *m, uint64_t key)
{
    (void)m;
    (void)key;
    return false;
}

void ot_row_conform(const struct ot_miner *m, struct ot_row *r)
{
    (void)m;
    (void)r;
}

int32_t ot_miner_label(const struct ot_miner *m, uint32_t sample, uint8_t kind, int32_t slot,
                       int32_t given)
{
    (void)m;
    (void)sample;
    (void)kind;
    (void)slot;
    return given;
}

int ot_miner_judge(struct ot_miner *m, int64_t iter, const struct ot_verdict *v, size_t n,
                   struct ot_err *err)
{
    (void)m;
    (void)iter;
    (void)v;
    (void)n;
    (void)err;
    return 0;
}
