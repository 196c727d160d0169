/*
 * loss_share.h - how the losses are summed on the GPU: in double over a grid that depends on the
 * sizes alone, within the launch that computes them (ot_grid_sum), so that every run gives the
 * same bits.  A label that is no class is noted as a fault of the device.
 */
#ifndef OT_CUDA_LOSS_SHARE_H
#define OT_CUDA_LOSS_SHARE_H

#include "cuda/elem.h"
#include "layers/softmax_loss_math.h"

constexpr unsigned OT_LOSS_PARTS = 4096; /* blocks of a forward pass, at most */

/* Where a loss leaves its results. */
struct ot_loss_out {
    struct ot_sums *part; /* (OT_LOSS_PARTS); a: the losses, b: how many count */
    unsigned *arrived;
    unsigned long long *bad;
    struct ot_loss_stats *stats;
    float *loss;
};

/* False with the latch set. */
static inline bool ot_loss_out_of(struct ot_dev *dev, size_t c, struct ot_loss_stats *stats,
                                  float *loss, struct ot_loss_out *out)
{
    out->part = (struct ot_sums *)ot_cuda_room(dev, OT_LOSS_PARTS * sizeof *out->part);
    out->arrived = ot_cuda_arrived(dev);
    out->bad = ot_cuda_fault(dev, OT_FAULT_LABEL, (double)c);
    out->stats = stats;
    out->loss = loss;
    return out->part != NULL;
}

/* The class of instance i, -1 where it is ignored or bad; counts it. */
__device__ __forceinline__ static int ot_loss_class(const struct ot_softmax_loss_geom &g,
                                                    const struct ot_loss_out &out, size_t i,
                                                    float label, struct ot_sums *s)
{
    int k;

    if (ot_label_ignored(&g, label))
        return -1;
    k = (int)ot_label_class(label, g.c);
    s->b += 1.0;
    if (k < 0)
        ot_fault(out.bad, i, label);
    return k;
}

/* Every thread's share comes here; the last block writes the results. */
__device__ static inline void ot_loss_finish(const struct ot_softmax_loss_geom &g,
                                             const struct ot_loss_out &out, struct ot_sums s)
{
    if (!ot_grid_sum(&s, out.part, out.arrived) || threadIdx.x != 0)
        return;
    out.stats->sum = s.a;
    out.stats->valid = s.b;
    out.stats->norm = ot_loss_norm(&g, s.b);
    out.stats->bad = 0;
    out.stats->bad_label = 0.0;
    *out.loss = (float)(s.a / out.stats->norm);
}

#endif
