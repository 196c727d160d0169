/*
 * softmax_cpu.c - softmax over the middle of (outer, c, inner): y = exp(x - max) / sum.
 *
 * With inner > 1 the loops run along inner in tiles, so that every step is a vector and a tile's
 * maxima and sums stay in the cache.  exp() is a polynomial the compiler can vectorise: range
 * reduction to
 * [-ln2/2, ln2/2] with ln2 in two parts and the minimax polynomial of Cephes' expf (S. Moshier),
 * within 2 units in the last place; below the range it is 0, and NaN stays NaN.
 */
#include <string.h>

#include "layers/cpu_i.h"

enum { TILE = 256 };

static inline float exp_nonpositive(float x)
{
    float in = x < -87.0f ? -87.0f : x; /* exp(-87) is still a normal number */
    float k = in * 1.44269504f + 12582912.0f;
    int32_t bits;
    float n = k - 12582912.0f, r, p, two_n;

    r = in - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    memcpy(&bits, &k, sizeof bits);
    bits = (bits - 0x4B400000 + 127) * (1 << 23);
    memcpy(&two_n, &bits, sizeof two_n);
    p = p * two_n;
    return x < -87.0f ? 0.0f : p;
}

/* One row of c values, inner == 1. */
static void softmax_row(size_t c, const float *x, float *y)
{
    float most = x[0], sum = 0;

    for (size_t i = 1; i < c; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < c; i++)
        y[i] = exp_nonpositive(x[i] - most);
    for (size_t i = 0; i < c; i++)
        sum += y[i];
    for (size_t i = 0; i < c; i++)
        y[i] /= sum;
}

/* `n` <= TILE neighbouring columns. */
static void softmax_tile(size_t c, size_t inner, size_t n, const float *x, float *y)
{
    float most[TILE], sum[TILE];

    memcpy(most, x, n * sizeof *most);
    for (size_t k = 1; k < c; k++)
        for (size_t i = 0; i < n; i++)
            most[i] = x[k * inner + i] > most[i] ? x[k * inner + i] : most[i];
    memset(sum, 0, n * sizeof *sum);
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < n; i++) {
            float e = exp_nonpositive(x[k * inner + i] - most[i]);

            y[k * inner + i] = e;
            sum[i] += e;
        }
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < n; i++)
            y[k * inner + i] /= sum[i];
}

void ot_cpu_softmax_fwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner, const float *x,
                        float *y)
{
    size_t tiles = (inner + TILE - 1) / TILE;

    (void)dev;
    if (c == 0)
        return;
#pragma omp parallel for collapse(2) schedule(static) if (outer * c * inner > OT_CPU_GRAIN / 4)
    for (size_t o = 0; o < outer; o++)
        for (size_t t = 0; t < tiles; t++) {
            size_t from = o * c * inner + t * TILE, left = inner - t * TILE;

            if (inner == 1)
                softmax_row(c, x + from, y + from);
            else
                softmax_tile(c, inner, left < TILE ? left : TILE, x + from, y + from);
        }
}

static void back_tile(size_t c, size_t inner, size_t n, const float *y, const float *dy, float *dx)
{
    float dot[TILE] = { 0 };

    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < n; i++)
            dot[i] += y[k * inner + i] * dy[k * inner + i];
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < n; i++)
            dx[k * inner + i] = (dy[k * inner + i] - dot[i]) * y[k * inner + i];
}

void ot_cpu_softmax_bwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner, const float *y,
                        const float *dy, float *dx)
{
    size_t tiles = (inner + TILE - 1) / TILE;

    (void)dev;
#pragma omp parallel for collapse(2) schedule(static) if (outer * c * inner > OT_CPU_GRAIN / 4)
    for (size_t o = 0; o < outer; o++)
        for (size_t t = 0; t < tiles; t++) {
            size_t from = o * c * inner + t * TILE, left = inner - t * TILE;

            back_tile(c, inner, left < TILE ? left : TILE, y + from, dy + from, dx + from);
        }
}
