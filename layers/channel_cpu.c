/*
 * channel_cpu.c - kernels with one value a channel: affine maps, PReLU, sums.
 *
 * Two kinds of loops: along a channel where it lies in one run, and across channels where they lie
 * side by side.  16 of them, oneDNN's block, are one vector with its scales in registers.  Sums are
 * in double over fixed parts, so that they do not depend on the number of threads.
 */
#include "layers/channel_math.h"
#include "layers/cpu_i.h"

enum map { SCALE_SHIFT, SCALE, SHIFT, PRELU, PRELU_GRAD };

enum {
    TILE = 8192, /* elements of one piece of work */
    COLS = 64,   /* channels side by side of one piece */
    WIDE = 16,   /* the width with loops of its own */
    PARTS = 16   /* partial sums of a channel */
};

struct args {
    const float *x, *dy; /* dy: of PRELU_GRAD */
    const float *s, *t;  /* one value a channel; NULL where the map has none */
    float *y;
};

static inline float map_at(enum map m, float x, float dy, float s, float t)
{
    switch (m) {
    case SCALE_SHIFT:
        return s * x + t;
    case SCALE:
        return s * x;
    case SHIFT:
        return x + t;
    case PRELU:
        return ot_prelu(x, s);
    default:
        return ot_prelu_grad(x, s, dy);
    }
}

/* ---- along a channel ------------------------------------------------------------------------- */

static inline void map_run(enum map m, const struct args *a, size_t ch, size_t at, size_t n)
{
    const float *x = a->x + at, *dy = m == PRELU_GRAD ? a->dy + at : x;
    const float s = m == SHIFT ? 1.0f : a->s[ch];
    const float t = m == SCALE_SHIFT || m == SHIFT ? a->t[ch] : 0.0f;
    float *y = a->y + at;

#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = map_at(m, x[i], dy[i], s, t);
}

/* ---- across channels: n rows of `width` of them, the next row ld on ---------------------------
 */

static inline void map_rows(enum map m, const struct args *a, size_t ch, size_t at, size_t n,
                            size_t width, size_t ld)
{
    const float *s = a->s ? a->s + ch : a->x, *t = a->t ? a->t + ch : a->x;

    for (size_t r = 0; r < n; r++) {
        const float *x = a->x + at + r * ld, *dy = m == PRELU_GRAD ? a->dy + at + r * ld : x;
        float *y = a->y + at + r * ld;

#pragma omp simd
        for (size_t j = 0; j < width; j++)
            y[j] = map_at(m, x[j], dy[j], m == SHIFT ? 1.0f : s[j],
                          m == SCALE_SHIFT || m == SHIFT ? t[j] : 0.0f);
    }
}

/* The same for WIDE, with scales and shifts where y cannot change them. */
static inline void map_wide(enum map m, const struct args *a, size_t ch, size_t at, size_t n)
{
    float s[WIDE], t[WIDE];

    for (size_t j = 0; j < WIDE; j++) {
        s[j] = a->s ? a->s[ch + j] : 1.0f;
        t[j] = a->t ? a->t[ch + j] : 0.0f;
    }
    for (size_t r = 0; r < n; r++) {
        const float *x = a->x + at + r * WIDE, *dy = m == PRELU_GRAD ? a->dy + at + r * WIDE : x;
        float *y = a->y + at + r * WIDE;

#pragma omp simd
        for (size_t j = 0; j < WIDE; j++)
            y[j] = map_at(m, x[j], dy[j], s[j], t[j]);
    }
}

#define FOR_EACH_MAP(DO) DO(SCALE_SHIFT) DO(SCALE) DO(SHIFT) DO(PRELU) DO(PRELU_GRAD)

static void do_run(enum map m, const struct args *a, size_t ch, size_t at, size_t n)
{
    switch (m) {
#define CASE(kind)                   \
    case kind:                       \
        map_run(kind, a, ch, at, n); \
        break;
        FOR_EACH_MAP(CASE)
#undef CASE
    }
}

static void do_rows(enum map m, const struct args *a, size_t ch, size_t at, size_t n, size_t width,
                    size_t ld)
{
    switch (m) {
#define CASE(kind)                                   \
    case kind:                                       \
        if (width == WIDE && ld == WIDE)             \
            map_wide(kind, a, ch, at, n);            \
        else                                         \
            map_rows(kind, a, ch, at, n, width, ld); \
        break;
        FOR_EACH_MAP(CASE)
#undef CASE
    }
}

static void clear_rows(float *y, size_t n, size_t width, size_t ld)
{
    for (size_t r = 0; r < n; r++)
        for (size_t j = 0; j < width; j++)
            y[r * ld + j] = 0.0f;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void map_plain(enum map m, const struct ot_channels *g, const struct args *a)
{
    const size_t pieces = (g->inner + TILE - 1) / TILE, runs = g->outer * g->c;

#pragma omp parallel for if (runs * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t k = 0; k < runs * pieces; k++) {
        size_t run = k / pieces, i = k % pieces * TILE;

        do_run(m, a, run % g->c, run * g->inner + i, smaller(g->inner - i, TILE));
    }
}

static void map_blocks(enum map m, const struct ot_channels *g, const struct args *a)
{
    const size_t width = smaller(g->block, TILE), cuts = (g->block + width - 1) / width;
    const size_t rows = TILE / width, pieces = (g->inner + rows - 1) / rows;
    const size_t blocks = ot_channel_blocks(g), all = g->outer * blocks * pieces * cuts;

#pragma omp parallel for if (g->outer * g->c * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t k = 0; k < all; k++) {
        size_t cut = k % cuts * width, i = k / cuts % pieces * rows, b = k / cuts / pieces;
        size_t ch = b % blocks * g->block + cut, n = smaller(g->inner - i, rows);
        size_t w = smaller(g->block - cut, width), have = ch < g->c ? smaller(w, g->c - ch) : 0;
        size_t at = (b * g->inner + i) * g->block + cut;

        if (have)
            do_rows(m, a, ch, at, n, have, g->block);
        if (have < w)
            clear_rows(a->y + at + have, n, w - have, g->block);
    }
}

static void map_all(enum map m, const struct ot_channels *g, const struct args *a)
{
    const struct ot_channels merged = ot_channels_merged(g);

    if (merged.block == 1)
        map_plain(m, &merged, a);
    else
        map_blocks(m, &merged, a);
}

void ot_cpu_affine(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                   const float *scale, const float *shift, float *y)
{
    const struct args a = { .x = x, .s = scale, .t = shift, .y = y };

    if (scale)
        map_all(shift ? SCALE_SHIFT : SCALE, g, &a);
    else if (shift)
        map_all(SHIFT, g, &a);
    else
        ot_cpu_copy(dev, OT_F32, g->outer * ot_channel_blocks(g) * g->block * g->inner, x, y);
}

void ot_cpu_prelu_fwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                      const float *slope, float *y)
{
    (void)dev;
    map_all(PRELU, g, &(struct args){ .x = x, .s = slope, .y = y });
}

void ot_cpu_prelu_bwd(struct ot_dev *dev, const struct ot_channels *g, const float *x,
                      const float *slope, const float *dy, float *dx)
{
    (void)dev;
    map_all(PRELU_GRAD, g, &(struct args){ .x = x, .dy = dy, .s = slope, .y = dx });
}

/* ---- sums ------------------------------------------------------------------------------------ */

static inline double sum_run(enum ot_channel_term term, size_t n, const float *a, const float *b)
{
    double s = 0;

#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += ot_channel_term(term, a[i], term == OT_TERM_A ? 0.0f : b[i]);
    return s;
}

static inline void sum_rows(enum ot_channel_term term, size_t n, size_t width, size_t ld,
                            const float *a, const float *b, double *sum)
{
    for (size_t r = 0; r < n; r++)
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            sum[j] += ot_channel_term(term, a[r * ld + j],
                                      term == OT_TERM_A ? 0.0f : b[r * ld + j]);
}

static inline void sum_wide(enum ot_channel_term term, size_t n, const float *a, const float *b,
                            double *sum)
{
    double s[WIDE] = { 0 };

    for (size_t r = 0; r < n; r++)
#pragma omp simd
        for (size_t j = 0; j < WIDE; j++)
            s[j] += ot_channel_term(term, a[r * WIDE + j],
                                    term == OT_TERM_A ? 0.0f : b[r * WIDE + j]);
    for (size_t j = 0; j < WIDE; j++)
        sum[j] += s[j];
}

static void sum_piece(enum ot_channel_term term, size_t n, size_t width, size_t ld, const float *a,
                      const float *b, double *sum)
{
    switch (term) {
#define CASE(kind)                                   \
    case kind:                                       \
        if (ld == 1)                                 \
            *sum += sum_run(kind, n, a, b);          \
        else if (width == WIDE && ld == WIDE)        \
            sum_wide(kind, n, a, b, sum);            \
        else                                         \
            sum_rows(kind, n, width, ld, a, b, sum); \
        break;
        CASE(OT_TERM_A)
        CASE(OT_TERM_AB)
        CASE(OT_TERM_AB_NEG)
#undef CASE
    }
}

struct sum {
    struct ot_channels g;
    enum ot_channel_term term;
    const float *a, *b;
    size_t width, cuts; /* channels side by side of one piece, pieces of a block */
    size_t elems;
};

/* Adds part `part` of the rows of group k of channels. */
static void sum_part(const struct sum *u, size_t k, size_t part, double *sum)
{
    const struct ot_channels *g = &u->g;
    const size_t block = k / u->cuts, cut = k % u->cuts * u->width, ch = block * g->block + cut;
    const size_t rows = g->outer * g->inner, step = (rows + PARTS - 1) / PARTS;
    const size_t end = smaller(rows, (part + 1) * step), blocks = ot_channel_blocks(g);
    const size_t width = smaller(smaller(u->width, g->block - cut), g->c - ch);

    for (size_t r = part * step; r < end;) {
        size_t o = r / g->inner, i = r % g->inner, n = smaller(g->inner - i, end - r);
        size_t at = ((o * blocks + block) * g->inner + i) * g->block + cut;

        sum_piece(u->term, n, width, g->block, u->a + at, u->b ? u->b + at : NULL, sum);
        r += n;
    }
}

static void put_sums(const struct sum *u, size_t k, double part[PARTS][COLS], float beta, float *y)
{
    const size_t ch = k / u->cuts * u->g.block + k % u->cuts * u->width;

    for (size_t j = 0; j < u->width && ch + j < u->g.c; j++) {
        double s = 0;

        for (size_t p = 0; p < PARTS; p++)
            s += part[p][j];
        y[ch + j] = (float)(beta == 0.0f ? s : s + (double)(beta * y[ch + j]));
    }
}

void ot_cpu_channel_sum(struct ot_dev *dev, const struct ot_channels *g, enum ot_channel_term term,
                        const float *a, const float *b, float beta, float *y)
{
    struct sum u = { .g = ot_channels_merged(g), .term = term, .a = a, .b = b };
    size_t groups;

    (void)dev;
    u.elems = g->outer * g->c * g->inner;
    u.width = smaller(u.g.block, COLS);
    u.cuts = (u.g.block + u.width - 1) / u.width;
    groups = ot_channel_blocks(&u.g) * u.cuts;
#pragma omp parallel for if (u.elems > OT_CPU_GRAIN && groups >= PARTS) schedule(static)
    for (size_t k = 0; k < groups; k++) {
        double part[PARTS][COLS] = { { 0 } };

        if (k / u.cuts * u.g.block + k % u.cuts * u.width >= g->c)
            continue; /* padding */
#pragma omp parallel for if (u.elems > OT_CPU_GRAIN && groups < PARTS) schedule(static)
        for (size_t p = 0; p < PARTS; p++)
            sum_part(&u, k, p, part[p]);
        put_sums(&u, k, part, beta, y);
    }
}
