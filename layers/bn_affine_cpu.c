/*
 * bn_affine_cpu.c - batch normalisation, scale, shift, sum and ReLU in one pass, backward in two.
 *
 * As bn_cpu.c the loops see (n, channel blocks, inner, block): a row of one channel in plain order,
 * otherwise up to WIDE channels side by side, whose parameters are gathered first.
 */
#include <string.h>

#include "layers/bn_affine_math.h"
#include "layers/cpu_i.h"

#define INLINE static inline __attribute__((always_inline))

enum { WIDE = 16 };

/* What the passes need of `n` channels from c on; zeros in padding. */
struct lanes {
    float mean[WIDE], inv[WIDE], slope[WIDE], shift[WIDE];
    float m0[WIDE], m1[WIDE]; /* means of g and of g h */
};

struct affine {
    const struct ot_bn_geom *g;
    bool relu;
    const float *stat, *gamma, *shift, *mean; /* mean (2, channels) or NULL: zeros */
};

static void gather(const struct affine *a, size_t c, size_t n, struct lanes *p)
{
    const size_t pc = ot_bn_channels(a->g);

    for (size_t i = 0; i < n; i++) {
        const bool real = c + i < a->g->c;

        p->mean[i] = a->stat[c + i];
        p->inv[i] = a->stat[pc + c + i];
        p->slope[i] = real && a->gamma ? a->gamma[c + i] * p->inv[i] : 0.0f;
        p->shift[i] = real && a->shift ? a->shift[c + i] : 0.0f;
        p->m0[i] = a->mean ? a->mean[c + i] : 0.0f;
        p->m1[i] = a->mean ? a->mean[pc + c + i] : 0.0f;
    }
}

/* What a pass reads and writes, each NULL where it does not. */
struct arrays {
    const float *x, *other, *y, *dy, *dy2;
    float *out;
};

/* Rows of `lanes` channels, `pitch` apart; the arrays begin at the first channel. */
struct span {
    size_t rows, pitch;
    struct arrays a;
};

INLINE struct arrays arrays_at(const struct arrays *a, size_t at)
{
    const struct arrays from = { .x = a->x + at,
                                 .other = a->other ? a->other + at : NULL,
                                 .y = a->y ? a->y + at : NULL,
                                 .dy = a->dy ? a->dy + at : NULL,
                                 .dy2 = a->dy2 ? a->dy2 + at : NULL,
                                 .out = a->out ? a->out + at : NULL };

    return from;
}

static struct span span_at(const struct arrays *a, const struct ot_bn_geom *g, size_t at)
{
    const struct span s = { g->inner, g->block, arrays_at(a, at) };

    return s;
}

INLINE void forward_span(const struct span *s, size_t lanes, bool relu, bool add,
                         const struct lanes *p)
{
    for (size_t r = 0; r < s->rows; r++) {
        const float *x = s->a.x + r * s->pitch, *other = add ? s->a.other + r * s->pitch : NULL;
        float *y = s->a.out + r * s->pitch;

#pragma omp simd
        for (size_t i = 0; i < lanes; i++) {
            const float v = ot_bn_affine(x[i], p->mean[i], p->slope[i], p->shift[i]);

            y[i] = ot_bn_affine_top(relu, add ? v + other[i] : v);
        }
    }
}

INLINE void gradient_span(const struct span *s, size_t lanes, bool relu, bool fixed,
                          const struct lanes *p)
{
    for (size_t r = 0; r < s->rows; r++) {
        const float *x = s->a.x + r * s->pitch, *dy = s->a.dy + r * s->pitch;
        float *dx = s->a.out + r * s->pitch;

#pragma omp simd
        for (size_t i = 0; i < lanes; i++) {
            const float g = ot_bn_affine_mask(relu, x[i], p->mean[i], p->slope[i], p->shift[i],
                                              dy[i]);

            dx[i] = fixed ? g * p->slope[i]
                          : ot_bn_affine_grad(x[i], g, p->mean[i], p->inv[i], p->slope[i], p->m0[i],
                                              p->m1[i]);
        }
    }
}

/* A row of one channel is the same loop with the channel's values as constants. */
INLINE void forward_row(const struct span *s, bool relu, bool add, const struct lanes *p)
{
    const float mean = p->mean[0], slope = p->slope[0], shift = p->shift[0];
    const struct arrays a = s->a;

#pragma omp simd
    for (size_t i = 0; i < s->rows; i++) {
        const float v = ot_bn_affine(a.x[i], mean, slope, shift);

        a.out[i] = ot_bn_affine_top(relu, add ? v + a.other[i] : v);
    }
}

INLINE void gradient_row(const struct span *s, bool relu, bool fixed, const struct lanes *p)
{
    const float mean = p->mean[0], inv = p->inv[0], slope = p->slope[0], shift = p->shift[0];
    const float m0 = p->m0[0], m1 = p->m1[0];
    const struct arrays a = s->a;

#pragma omp simd
    for (size_t i = 0; i < s->rows; i++) {
        const float g = ot_bn_affine_mask(relu, a.x[i], mean, slope, shift, a.dy[i]);

        a.out[i] = fixed ? g * slope : ot_bn_affine_grad(a.x[i], g, mean, inv, slope, m0, m1);
    }
}

/* Compiled for each width and for what is constant in the loops. */
#define BY_WIDTH(f, row, s, width, ...)    \
    do {                                   \
        if ((s)->pitch == 1)               \
            row((s), __VA_ARGS__);         \
        else if ((width) == WIDE)          \
            f((s), WIDE, __VA_ARGS__);     \
        else if ((width) == WIDE / 2)      \
            f((s), WIDE / 2, __VA_ARGS__); \
        else                               \
            f((s), (width), __VA_ARGS__);  \
    } while (0)

/* The same for two flags: f(s, width, a, b, ...) with a and b as constants. */
#define BY_FLAGS(f, row, s, width, a, b, ...)                      \
    do {                                                           \
        if ((a) && (b))                                            \
            BY_WIDTH(f, row, s, width, true, true, __VA_ARGS__);   \
        else if (a)                                                \
            BY_WIDTH(f, row, s, width, true, false, __VA_ARGS__);  \
        else if (b)                                                \
            BY_WIDTH(f, row, s, width, false, true, __VA_ARGS__);  \
        else                                                       \
            BY_WIDTH(f, row, s, width, false, false, __VA_ARGS__); \
    } while (0)

static void forward(const struct span *s, size_t width, bool relu, const struct lanes *p)
{
    BY_FLAGS(forward_span, forward_row, s, width, relu, s->a.other, p);
}

static void gradient(const struct span *s, size_t width, bool relu, bool fixed,
                     const struct lanes *p)
{
    BY_FLAGS(gradient_span, gradient_row, s, width, relu, fixed, p);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* All elements, image by image and up to WIDE channels at a time; without dy: forward. */
static void each_span(const struct affine *a, bool fixed, const struct arrays *of)
{
    const struct ot_bn_geom *g = a->g;
    const size_t width = smaller(g->block, WIDE), cuts = (g->block + width - 1) / width;
    const size_t groups = ot_bn_channels(g) / g->block * cuts, plane = g->inner * g->block;

#pragma omp parallel for collapse(2) if (g->n * groups * width * g->inner > OT_CPU_GRAIN) \
    schedule(static)
    for (size_t n = 0; n < g->n; n++)
        for (size_t k = 0; k < groups; k++) {
            const size_t cut = k % cuts * width, many = smaller(width, g->block - cut);
            const size_t at = (n * (groups / cuts) + k / cuts) * plane + cut;
            const struct span s = span_at(of, g, at);
            struct lanes p;

            gather(a, k / cuts * g->block + cut, many, &p);
            if (of->dy)
                gradient(&s, many, a->relu, fixed, &p);
            else
                forward(&s, many, a->relu, &p);
        }
}

void ot_cpu_bn_affine_fwd(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu, const float *x,
                          const float *stat, const float *gamma, const float *shift,
                          const float *other, float *y)
{
    const struct affine a = { g, relu, stat, gamma, shift, NULL };
    const struct arrays of = { .x = x, .other = other, .out = y };

    ot_cpu_f32(dev, g->type);
    each_span(&a, false, &of);
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* g, the gradient behind the ReLU: y computed again, or where something was `added` read, with the
 * gradients of one reader or two, and then g goes to memory. */
INLINE void sum_span(const struct span *s, size_t lanes, bool relu, bool two, bool added,
                     const struct lanes *p, double *s0, double *s1)
{
    double u[WIDE] = { 0 }, v[WIDE] = { 0 };

    for (size_t r = 0; r < s->rows; r++) {
        const struct arrays a = arrays_at(&s->a, r * s->pitch);

#pragma omp simd
        for (size_t i = 0; i < lanes; i++) {
            const float d = two ? a.dy[i] + a.dy2[i] : a.dy[i];
            const float g = added ? ot_relu_mask(relu, relu ? a.y[i] : 0.0f, d)
                                  : ot_bn_affine_mask(relu, a.x[i], p->mean[i], p->slope[i],
                                                      p->shift[i], d);

            if (added)
                a.out[i] = g;
            u[i] += (double)g;
            v[i] += (double)g * (double)((a.x[i] - p->mean[i]) * p->inv[i]);
        }
    }
    for (size_t i = 0; i < lanes; i++) {
        s0[i] += u[i];
        s1[i] += v[i];
    }
}

INLINE void sum_row(const struct span *s, bool relu, bool two, bool added, const struct lanes *p,
                    double *s0, double *s1)
{
    const float mean = p->mean[0], inv = p->inv[0], slope = p->slope[0], shift = p->shift[0];
    const struct arrays a = s->a;
    double u = 0, v = 0;

#pragma omp simd reduction(+ : u, v)
    for (size_t i = 0; i < s->rows; i++) {
        const float d = two ? a.dy[i] + a.dy2[i] : a.dy[i];
        const float g = added ? ot_relu_mask(relu, relu ? a.y[i] : 0.0f, d)
                              : ot_bn_affine_mask(relu, a.x[i], mean, slope, shift, d);

        if (added)
            a.out[i] = g;
        u += (double)g;
        v += (double)g * (double)((a.x[i] - mean) * inv);
    }
    *s0 += u;
    *s1 += v;
}

static void sum_added(const struct span *s, size_t width, bool relu, const struct lanes *p,
                      double *s0, double *s1)
{
    BY_FLAGS(sum_span, sum_row, s, width, relu, s->a.dy2, true, p, s0, s1);
}

static void sum(const struct span *s, size_t width, bool relu, const struct lanes *p, double *s0,
                double *s1)
{
    if (relu)
        BY_WIDTH(sum_span, sum_row, s, width, true, false, false, p, s0, s1);
    else
        BY_WIDTH(sum_span, sum_row, s, width, false, false, false, p, s0, s1);
}

/* scratch (2, parts, channels): the sums of g and of g h; the first part ends as the total. */
static void sums(const struct affine *a, const struct arrays *of, double *scratch)
{
    const struct ot_bn_geom *g = a->g;
    const size_t width = smaller(g->block, WIDE), cuts = (g->block + width - 1) / width;
    const size_t pc = ot_bn_channels(g), groups = pc / g->block * cuts, parts = ot_bn_parts(g);
    double *const other = scratch + ot_bn_sums(g) / 2;

    memset(scratch, 0, ot_bn_sums(g) * sizeof *scratch);
#pragma omp parallel for collapse(2) if (g->n * pc * g->inner > OT_CPU_GRAIN) schedule(static)
    for (size_t part = 0; part < parts; part++)
        for (size_t k = 0; k < groups; k++) {
            const size_t cut = k % cuts * width, many = smaller(width, g->block - cut);
            const size_t c = k / cuts * g->block + cut;
            struct lanes p;

            gather(a, c, many, &p);
            for (size_t n = part; n < g->n; n += parts) {
                const size_t at = (n * pc + k / cuts * g->block) * g->inner + cut;
                const struct span s = span_at(of, g, at);

                (of->out ? sum_added : sum)(&s, many, a->relu, &p, scratch + part * pc + c,
                                            other + part * pc + c);
            }
        }
    for (size_t p = 1; p < parts; p++)
        for (size_t c = 0; c < pc; c++) {
            scratch[c] += scratch[p * pc + c];
            other[c] += other[p * pc + c];
        }
}

static void put(size_t c, const double *sum, float beta, float *d)
{
    for (size_t i = 0; d && i < c; i++)
        d[i] = (float)(beta == 0.0f ? sum[i] : sum[i] + (double)(beta * d[i]));
}

/* From the totals what is of each channel; the means lie behind the sums. */
static void finish(const struct ot_bn_geom *g, double *scratch, float beta, float *dgamma,
                   float *dshift)
{
    const size_t pc = ot_bn_channels(g);
    const double *const other = scratch + ot_bn_sums(g) / 2, m = (double)(g->n * g->inner);
    float *const mean = (float *)(void *)(scratch + ot_bn_sums(g));

    put(g->c, other, beta, dgamma);
    put(g->c, scratch, beta, dshift);
    for (size_t c = 0; c < pc; c++) {
        mean[c] = ot_bn_mean(scratch[c], m);
        mean[pc + c] = ot_bn_mean(other[c], m);
    }
}

void ot_cpu_bn_affine_sums(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu,
                           const float *x, const float *stat, const float *gamma,
                           const float *shift, const float *dy, double *scratch, float beta,
                           float *dgamma, float *dshift)
{
    const struct affine a = { g, relu, stat, gamma, shift, NULL };
    const struct arrays of = { .x = x, .dy = dy };

    ot_cpu_f32(dev, g->type);
    sums(&a, &of, scratch);
    finish(g, scratch, beta, dgamma, dshift);
}

void ot_cpu_bn_add_sums(struct ot_dev *dev, const struct ot_bn_geom *g, bool relu, const float *x,
                        const float *stat, const float *y, const float *dy, const float *dy2,
                        double *scratch, float beta, float *dgamma, float *dshift, float *dother)
{
    const struct affine a = { g, relu, stat, NULL, NULL, NULL };
    const struct arrays of = { .x = x, .y = y, .dy = dy, .dy2 = dy2, .out = dother };

    ot_cpu_f32(dev, g->type);
    sums(&a, &of, scratch);
    finish(g, scratch, beta, dgamma, dshift);
}

void ot_cpu_bn_affine_grad(struct ot_dev *dev, const struct ot_bn_geom *g, bool fixed, bool relu,
                           const float *x, const float *stat, const float *gamma,
                           const float *shift, const float *dy, const double *scratch, float *dx)
{
    const float *const mean = (const float *)(const void *)(scratch + ot_bn_sums(g));
    const struct affine a = { g, relu, stat, gamma, shift, fixed ? NULL : mean };
    const struct arrays of = { .x = x, .dy = dy, .out = dx };

    ot_cpu_f32(dev, g->type);
    each_span(&a, fixed, &of);
}
