/*
 * proof.c - what mining proves of itself while it runs: the control group, the thermometer.
 */
#include <math.h>

#include "mining/miner_impl.h"

int ot_miner_effects(const struct ot_miner *m, struct ot_mining_effect *e, int max)
{
    (void)m;
    (void)e;
    (void)max;
    return 0;
}

struct ot_thermometer ot_miner_thermometer(const struct ot_miner *m)
{
    (void)m;
    return (struct ot_thermometer){
        .recall = NAN, .recall_lo = NAN, .recall_hi = NAN, .noise = NAN, .precision = NAN
    };
}

int ot_miner_sentinel(struct ot_miner *m, int64_t iter, const float *loss, size_t n, float *share,
                      struct ot_err *err)
{
    (void)iter;
    (void)loss;
    (void)n;
    (void)err;
    *share = m->conf.max_share;
    return 0;
}
