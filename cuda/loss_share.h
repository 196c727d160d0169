/*
 * loss_share.h - how the losses are summed on the GPU: in double over a grid that depends on the
 * sizes alone, each block leaving one partial sum, and one block adds those, so that every run
 * gives the same bits.
 */
#ifndef OT_CUDA_LOSS_SHARE_H
#define OT_CUDA_LOSS_SHARE_H

#include "cuda/launch.h"
#include "layers/softmax_loss_math.h"

constexpr unsigned PARTS = 1024;

/* A thread's, then a block's, share of the sums. */
struct share {
    double sum, valid;
    unsigned long long bad; /* least (index << 32 | bits of the label); ~0: none */
};

__device__ static inline void note_bad(size_t i, float label, struct share *s)
{
    unsigned bits;
    unsigned long long bad;

    memcpy(&bits, &label, sizeof bits);
    bad = (unsigned long long)i << 32 | bits;
    s->bad = bad < s->bad ? bad : s->bad;
}

/* Every thread's share into part[blockIdx.x]. */
__device__ static void leave_share(struct share s, struct share *part)
{
    __shared__ unsigned long long bad;

    if (threadIdx.x == 0)
        bad = ~0ull;
    __syncthreads();
    if (s.bad != ~0ull)
        atomicMin(&bad, s.bad);
    s.sum = ot_block_sum(s.sum);
    s.valid = ot_block_sum(s.valid);
    if (threadIdx.x == 0) {
        part[blockIdx.x].sum = s.sum;
        part[blockIdx.x].valid = s.valid;
        part[blockIdx.x].bad = bad;
    }
}

__global__ static void loss_total(const __grid_constant__ struct ot_softmax_loss_geom g,
                                  unsigned parts, const struct share *part,
                                  struct ot_loss_stats *stats, float *loss)
{
    __shared__ struct share all;
    struct share s = { 0.0, 0.0, ~0ull };

    for (unsigned i = threadIdx.x; i < parts; i += blockDim.x) {
        s.sum += part[i].sum;
        s.valid += part[i].valid;
        s.bad = part[i].bad < s.bad ? part[i].bad : s.bad;
    }
    leave_share(s, &all);
    if (threadIdx.x == 0) {
        unsigned bits = (unsigned)all.bad;
        float label = 0.0f;

        if (all.bad != ~0ull)
            memcpy(&label, &bits, sizeof label);
        stats->sum = all.sum;
        stats->valid = all.valid;
        stats->norm = ot_loss_norm(&g, all.valid);
        stats->bad = all.bad == ~0ull ? 0 : (int64_t)(all.bad >> 32) + 1;
        stats->bad_label = (double)label;
        *loss = (float)(all.sum / stats->norm);
    }
}

#endif
