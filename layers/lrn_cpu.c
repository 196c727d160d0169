/*
 * lrn_cpu.c - local response normalisation in every layout: (n, channel blocks, h, w, block), 16
 * channels or places at a time; for what oneDNN has no vector code for (lrn_plan_cpu.c).
 */
#include "layers/cpu_i.h"
#include "layers/lrn_math.h"

#define LANES static inline __attribute__((always_inline))

enum { WIDE = 16, NEAR = 16 };

/* A run of values that lie side by side: of places in plain order, of channels in the others. */
struct run {
    size_t at; /* the first one's place */
    size_t n;  /* <= WIDE */
    size_t c;  /* its (first) channel */
    size_t image, inner;
};

static size_t padded(const struct ot_lrn_geom *g)
{
    return (g->c + g->block - 1) / g->block * g->block;
}

static size_t place(const struct ot_lrn_geom *g, size_t image, size_t c, size_t inner)
{
    const size_t blocks = padded(g) / g->block, plane = g->h * g->w;

    return ((image * blocks + c / g->block) * plane + inner) * g->block + c % g->block;
}

static size_t runs_of_one(const struct ot_lrn_geom *g)
{
    const size_t row = g->block == 1 ? g->h * g->w : g->block;

    return (row + WIDE - 1) / WIDE;
}

static size_t runs(const struct ot_lrn_geom *g)
{
    return runs_of_one(g) *
           (g->block == 1 ? g->n * g->c : g->n * padded(g) / g->block * g->h * g->w);
}

static struct run run_of(const struct ot_lrn_geom *g, size_t i)
{
    const size_t each = runs_of_one(g), plane = g->h * g->w, from = i % each * WIDE;
    const size_t row = g->block == 1 ? plane : g->block, blocks = padded(g) / g->block;
    struct run r = { .n = row - from < WIDE ? row - from : WIDE };

    i /= each;
    if (g->block == 1) {
        r.inner = from;
        r.c = i % g->c;
        r.image = i / g->c;
    } else {
        r.inner = i % plane;
        r.c = i / plane % blocks * g->block + from;
        r.image = i / plane / blocks;
    }
    r.at = place(g, r.image, r.c, r.inner);
    return r;
}

/* What is summed over a window: x^2, or dy y / scale. */
LANES float term(const float *a, const float *b, const float *scale, size_t at)
{
    return scale ? a[at] * b[at] / scale[at] : a[at] * b[at];
}

/* How many of the run are channels, not padding. */
LANES size_t real(const struct ot_lrn_geom *g, const struct run *r)
{
    if (g->block == 1 || r->c + r->n <= g->c)
        return r->n;
    return r->c < g->c ? g->c - r->c : 0;
}

/* across() where channels lie side by side and a window ends in the neighbouring blocks. */
LANES void across_near(const struct ot_lrn_geom *g, const struct run *r, const float *a,
                       const float *b, const float *scale, float *sum)
{
    const size_t half = g->size / 2, lane = r->c % g->block, m = real(g, r);
    const size_t jump = (g->h * g->w - 1) * g->block; /* to the next block */
    float t[WIDE + 2 * NEAR] = { 0 };

    for (size_t d = 1; d <= half && d <= r->c; d++)
        t[half - d] = term(a, b, scale, r->at - d - (d > lane ? jump : 0));
#pragma omp simd
    for (size_t i = 0; i < m; i++)
        t[half + i] = term(a, b, scale, r->at + i);
    for (size_t d = m; d < m + half && r->c + d < g->c; d++)
        t[half + d] = term(a, b, scale, r->at + d + (lane + d >= g->block ? jump : 0));
    for (size_t d = 0; d < g->size; d++)
#pragma omp simd
        for (size_t i = 0; i < WIDE; i++)
            sum[i] += t[i + d];
}

/* sum[i] over the channels near that of value i. */
LANES void across(const struct ot_lrn_geom *g, const struct run *r, const float *a, const float *b,
                  const float *scale, float *sum)
{
    const size_t half = g->size / 2;

    for (size_t d = 0; d < g->size; d++) {
        const size_t c = r->c + d; /* half too many */

        if (g->block == 1 && c >= half && c - half < g->c) {
            const size_t at = place(g, r->image, c - half, r->inner);

#pragma omp simd
            for (size_t i = 0; i < r->n; i++)
                sum[i] += term(a, b, scale, at + i);
        }
        for (size_t i = 0; g->block > 1 && i < r->n; i++)
            if (c + i >= half && c + i - half < g->c)
                sum[i] += term(a, b, scale, place(g, r->image, c + i - half, r->inner));
    }
}

/* sum[i] over the places near that of value i. */
LANES void within(const struct ot_lrn_geom *g, const struct run *r, const float *a, const float *b,
                  const float *scale, float *sum)
{
    for (size_t i = 0; i < r->n; i++) {
        const size_t inner = g->block == 1 ? r->inner + i : r->inner;
        const size_t c = g->block == 1 ? r->c : r->c + i;
        size_t h0, h1, w0, w1;

        ot_lrn_range(inner / g->w, g->h, g->size, &h0, &h1);
        ot_lrn_range(inner % g->w, g->w, g->size, &w0, &w1);
        for (size_t h = h0; h < h1; h++)
            for (size_t w = w0; w < w1; w++)
                sum[i] += term(a, b, scale, place(g, r->image, c, h * g->w + w));
    }
}

LANES void window(const struct ot_lrn_geom *g, const struct run *r, const float *a, const float *b,
                  const float *scale, float *sum)
{
    for (size_t i = 0; i < WIDE; i++)
        sum[i] = 0.0f;
    if (g->within)
        within(g, r, a, b, scale, sum);
    else if (g->block > 1 && g->size / 2 <= NEAR && g->size / 2 <= g->block)
        across_near(g, r, a, b, scale, sum);
    else
        across(g, r, a, b, scale, sum);
}

LANES void finish_fwd(const struct ot_lrn_geom *g, const struct run *r, const float *x,
                      const float *sum, float *scale, float *y, int usual)
{
    const size_t m = real(g, r);

#pragma omp simd
    for (size_t i = 0; i < m; i++) {
        const float s = ot_lrn_scale(g, sum[i]);

        scale[r->at + i] = s;
        y[r->at + i] = x[r->at + i] * ot_lrn_power(s, g->beta, usual);
    }
    for (size_t i = m; i < r->n; i++)
        y[r->at + i] = 0.0f;
}

LANES void finish_bwd(const struct ot_lrn_geom *g, const struct run *r, const float *x,
                      const float *scale, const float *dy, const float *sum, float *dx, int usual)
{
    const size_t m = real(g, r);

#pragma omp simd
    for (size_t i = 0; i < m; i++) {
        const size_t at = r->at + i;

        dx[at] = ot_lrn_grad(g, x[at], scale[at], dy[at], sum[i], usual);
    }
    for (size_t i = m; i < r->n; i++)
        dx[r->at + i] = 0.0f;
}

void ot_lrn_loops_fwd(const struct ot_lrn_geom *g, const float *x, float *scale, float *y)
{
    const size_t n = runs(g);

#pragma omp parallel for if (n > OT_CPU_GRAIN / 256) schedule(static)
    for (size_t k = 0; k < n; k++) {
        const struct run r = run_of(g, k);
        float sum[WIDE];

        window(g, &r, x, x, NULL, sum);
        if (ot_lrn_usual(g))
            finish_fwd(g, &r, x, sum, scale, y, 1);
        else
            finish_fwd(g, &r, x, sum, scale, y, 0);
    }
}

void ot_lrn_loops_bwd(const struct ot_lrn_geom *g, const float *x, const float *y,
                      const float *scale, const float *dy, float *dx)
{
    const size_t n = runs(g);

#pragma omp parallel for if (n > OT_CPU_GRAIN / 256) schedule(static)
    for (size_t k = 0; k < n; k++) {
        const struct run r = run_of(g, k);
        float sum[WIDE];

        window(g, &r, dy, y, scale, sum);
        if (ot_lrn_usual(g))
            finish_bwd(g, &r, x, scale, dy, sum, dx, 1);
        else
            finish_bwd(g, &r, x, scale, dy, sum, dx, 0);
    }
}
