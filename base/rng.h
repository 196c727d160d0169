/*
 * rng.h - random numbers as a pure function of (seed, purpose, iteration, index).
 *
 * Philox4x32-10, the counter-based generator of J. Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011, section 4.  There is no state: batches are the same for any number
 * of workers, dropout is the same on CPU and GPU, and a resumed run needs no generator saved.
 *
 * Threads: pure functions.
 */
#ifndef OT_BASE_RNG_H
#define OT_BASE_RNG_H

#include <math.h>
#include <stdint.h>

#include "base/hd.h"

/* What the number is for: keeps streams apart.  Values are part of a run's reproducibility. */
enum ot_rng_purpose {
    OT_RNG_FILL = 1,    /* weight fillers: iteration = layer hash, index = element */
    OT_RNG_SHUFFLE = 2, /* epoch permutation */
    OT_RNG_AUGMENT = 3, /* crop, mirror, ...: iteration = sample's ordinal in the run */
    OT_RNG_DROPOUT = 4,
    OT_RNG_ANCHORS = 5, /* sampling of anchors */
    OT_RNG_ROIS = 6,    /* sampling of RoIs */
    OT_RNG_MINING = 7,  /* choice among waiting rows */
    OT_RNG_SCENES = 8,  /* ohemdata scenes */
    OT_RNG_TEST = 9,
    OT_RNG_POOL = 10,       /* stochastic pooling */
    OT_RNG_CONTROL = 11,    /* samples of the control group */
    OT_RNG_THERMOMETER = 12 /* planted wrong labels */
};

struct ot_rng4 {
    uint32_t v[4];
};

OT_HD struct ot_rng4 ot_philox(uint64_t seed, uint32_t purpose, uint64_t iter, uint64_t index)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ (purpose * 0x9E3779B9u);
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)iter, c3 = (uint32_t)(iter >> 32) ^ (purpose << 24);
    struct ot_rng4 r;

    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;

        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    r.v[0] = c0;
    r.v[1] = c1;
    r.v[2] = c2;
    r.v[3] = c3;
    return r;
}

OT_HD uint32_t ot_rng_u32(uint64_t seed, uint32_t purpose, uint64_t iter, uint64_t index)
{
    return ot_philox(seed, purpose, iter, index).v[0];
}

/* Uniform in [0, 1), 24 bits: exact in float. */
OT_HD float ot_rng_unit(uint64_t seed, uint32_t purpose, uint64_t iter, uint64_t index)
{
    return (float)(ot_rng_u32(seed, purpose, iter, index) >> 8) * (1.0f / 16777216.0f);
}

/* Uniform integer in [0, n), n >= 1 (multiply-shift; bias below n / 2^32). */
OT_HD uint32_t ot_rng_below(uint64_t seed, uint32_t purpose, uint64_t iter, uint64_t index,
                            uint32_t n)
{
    return (uint32_t)(((uint64_t)ot_rng_u32(seed, purpose, iter, index) * n) >> 32);
}

/* Standard normal (Box-Muller on two of the four words). */
OT_HD double ot_rng_normal(uint64_t seed, uint32_t purpose, uint64_t iter, uint64_t index)
{
    struct ot_rng4 r = ot_philox(seed, purpose, iter, index);
    double u = ((double)r.v[0] + 1.0) / 4294967296.0, v = (double)r.v[1] / 4294967296.0;

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/*
 * Keyed bijection of [0, n): position -> index.  A 4-round Feistel network on the next even
 * power of two with cycle walking (J. Black and P. Rogaway, "Ciphers with arbitrary finite
 * domains", CT-RSA 2002).  The shuffle of an epoch without an array and without state.
 */
OT_HD uint64_t ot_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t pos)
{
    int half = 1;
    uint64_t mask;

    while (half < 31 && ((uint64_t)1 << (2 * half)) < n)
        half++;
    mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t l = pos >> half, r = pos & mask;

        for (uint32_t round = 0; round < 4; round++) {
            uint64_t f = ot_rng_u32(seed, OT_RNG_SHUFFLE, epoch, (r << 3) | round) & mask;
            uint64_t t = l ^ f;

            l = r;
            r = t;
        }
        pos = (l << half) | r;
    } while (pos >= n);
    return pos;
}

#endif
