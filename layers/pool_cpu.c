/*
 * pool_cpu.c - pooling with Caffe's windows.
 *
 * A window is clipped to the image; MAX takes the first maximum in row order; AVE divides by the
 * window's size clipped to the padded image, so padding counts and what hangs over it does not.
 * oneDNN's average has no such divisor and its maximum breaks ties otherwise, so the loops are our
 * own.  All layouts are one: (outer, h, w, inner), with inner 1 for plain, 16 or 8 for channel
 * blocks, C for NHWC; loops run over lanes of inner, which the compiler turns into vectors.
 *
 * The workspace keeps for each output the place of its maximum inside the window, 16 bits.
 * NaN never wins a comparison against a number, and a window of nothing but NaN keeps its first
 * place: backward writes inside the image whatever the values are.
 */
#include <float.h>
#include <string.h>

#include "base/mem.h"
#include "layers/cpu_i.h"
#include "layers/pool_math.h"

struct pool {
    struct ot_plan base;
    struct ot_pool_geom g;
    size_t outer, inner;
};

#define LANES static inline __attribute__((always_inline))

enum { MAX_LANES = 16 };

LANES void max_lanes(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                     int lanes, const float *x, uint16_t *at, float *y)
{
    float best[MAX_LANES];
    int32_t place[MAX_LANES];
    int32_t first = (v->h0 - v->hs) * g->kw + v->w0 - v->ws;

#pragma omp simd
    for (int i = 0; i < lanes; i++) {
        best[i] = x[((size_t)v->h0 * (size_t)g->w + (size_t)v->w0) * inner + (size_t)i];
        place[i] = first;
    }
    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++) {
            const float *p = x + ((size_t)h * (size_t)g->w + (size_t)w) * inner;
            int32_t k = (h - v->hs) * g->kw + w - v->ws;

#pragma omp simd
            for (int i = 0; i < lanes; i++) {
                /* `!(p <= best)` when best is NaN: a number replaces it, NaN does not */
                bool more = p[i] > best[i] || (best[i] != best[i] && p[i] == p[i]);

                place[i] = more ? k : place[i];
                best[i] = more ? p[i] : best[i];
            }
        }
#pragma omp simd
    for (int i = 0; i < lanes; i++)
        y[i] = best[i];
    if (at)
#pragma omp simd
        for (int i = 0; i < lanes; i++)
            at[i] = (uint16_t)place[i];
}

typedef float vec_f __attribute__((vector_size(64)));
typedef int32_t vec_i __attribute__((vector_size(64)));

/* The largest of rows x cols cells from p on, a row `pitch` further; places count `width` a row.
 * With constant sizes the compiler unrolls all of it. */
LANES void scan_16(const float *p, size_t inner, size_t pitch, int rows, int cols, int width,
                   int32_t first, vec_f *best, vec_i *place)
{
    vec_f top, x;
    vec_i at = (vec_i){ 0 } + first;

    memcpy(&top, p, sizeof top);
    for (int h = 0; h < rows; h++)
        for (int w = 0; w < cols; w++) {
            vec_i more;

            memcpy(&x, p + (size_t)h * pitch + (size_t)w * inner, sizeof x);
            /* a number replaces NaN: NOLINTNEXTLINE(misc-redundant-expression) */
            more = (x > top) | ((top != top) & (x == x));
            at = (more & (first + h * width + w)) | (~more & at);
            top = (vec_f)((more & (vec_i)x) | (~more & (vec_i)top));
        }
    *best = top;
    *place = at;
}

/* max_lanes() of 16 lanes, with best and place held in registers. */
LANES void max_16(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                  const float *x, uint16_t *at, float *y)
{
    const float *p = x + ((size_t)v->h0 * (size_t)g->w + (size_t)v->w0) * inner;
    const int rows = v->h1 - v->h0, cols = v->w1 - v->w0;
    const int32_t first = (v->h0 - v->hs) * g->kw + v->w0 - v->ws;
    const size_t pitch = (size_t)g->w * inner;
    vec_f best;
    vec_i place;

    if (rows == 2 && cols == 2 && g->kw == 2)
        scan_16(p, inner, pitch, 2, 2, 2, first, &best, &place);
    else if (rows == 3 && cols == 3 && g->kw == 3)
        scan_16(p, inner, pitch, 3, 3, 3, first, &best, &place);
    else
        scan_16(p, inner, pitch, rows, cols, g->kw, first, &best, &place);
    memcpy(y, &best, sizeof best);
    if (at)
        for (int i = 0; i < 16; i++)
            at[i] = (uint16_t)place[i];
}

LANES void ave_lanes(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                     int lanes, const float *x, float *y)
{
    float sum[MAX_LANES];

#pragma omp simd
    for (int i = 0; i < lanes; i++)
        sum[i] = 0;
    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++) {
            const float *p = x + ((size_t)h * (size_t)g->w + (size_t)w) * inner;

#pragma omp simd
            for (int i = 0; i < lanes; i++)
                sum[i] += p[i];
        }
#pragma omp simd
    for (int i = 0; i < lanes; i++)
        y[i] = sum[i] / v->size;
}

/* dx of the whole window += dy where the maximum was */
LANES void max_back_lanes(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                          int lanes, const uint16_t *at, const float *dy, float *dx)
{
    int32_t place[MAX_LANES];

#pragma omp simd
    for (int i = 0; i < lanes; i++)
        place[i] = at[i];
    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++) {
            float *p = dx + ((size_t)h * (size_t)g->w + (size_t)w) * inner;
            int32_t k = (h - v->hs) * g->kw + w - v->ws;

#pragma omp simd
            for (int i = 0; i < lanes; i++)
                p[i] += place[i] == k ? dy[i] : 0.0f;
        }
}

LANES void spread_16(float *p, size_t inner, size_t pitch, int rows, int cols, int width,
                     int32_t first, vec_i place, vec_f dy)
{
    for (int h = 0; h < rows; h++)
        for (int w = 0; w < cols; w++) {
            float *to = p + (size_t)h * pitch + (size_t)w * inner;
            vec_f sum;

            memcpy(&sum, to, sizeof sum);
            sum += (vec_f)((place == first + h * width + w) & (vec_i)dy);
            memcpy(to, &sum, sizeof sum);
        }
}

/* max_back_lanes() of 16 lanes */
LANES void max_back_16(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                       const uint16_t *at, const float *dy, float *dx)
{
    float *p = dx + ((size_t)v->h0 * (size_t)g->w + (size_t)v->w0) * inner;
    const int rows = v->h1 - v->h0, cols = v->w1 - v->w0;
    const int32_t first = (v->h0 - v->hs) * g->kw + v->w0 - v->ws;
    const size_t pitch = (size_t)g->w * inner;
    vec_f grad;
    vec_i place;

    memcpy(&grad, dy, sizeof grad);
    for (int i = 0; i < 16; i++)
        place[i] = at[i];
    if (rows == 2 && cols == 2 && g->kw == 2)
        spread_16(p, inner, pitch, 2, 2, 2, first, place, grad);
    else if (rows == 3 && cols == 3 && g->kw == 3)
        spread_16(p, inner, pitch, 3, 3, 3, first, place, grad);
    else
        spread_16(p, inner, pitch, rows, cols, g->kw, first, place, grad);
}

LANES void ave_back_lanes(const struct ot_pool_geom *g, const struct ot_window *v, size_t inner,
                          int lanes, const float *dy, float *dx)
{
    float each[MAX_LANES];

#pragma omp simd
    for (int i = 0; i < lanes; i++)
        each[i] = dy[i] / v->size;
    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++) {
            float *p = dx + ((size_t)h * (size_t)g->w + (size_t)w) * inner;

#pragma omp simd
            for (int i = 0; i < lanes; i++)
                p[i] += each[i];
        }
}

/* Lanes of one output, 16, 8 or 1 at a time, the first of them `from`; `to`: where the output's
 * lanes begin in y and at. */
LANES void forward_at(const struct pool *p, const struct ot_window *v, const float *x, uint16_t *at,
                      float *y, size_t to, int lanes, size_t from)
{
    to += from;
    if (p->g.kind == OT_POOL_MAX && lanes == 16)
        max_16(&p->g, v, p->inner, x + from, at ? at + to : NULL, y + to);
    else if (p->g.kind == OT_POOL_MAX)
        max_lanes(&p->g, v, p->inner, lanes, x + from, at ? at + to : NULL, y + to);
    else
        ave_lanes(&p->g, v, p->inner, lanes, x + from, y + to);
}

LANES void backward_at(const struct pool *p, const struct ot_window *v, const uint16_t *at,
                       const float *dy, float *dx, size_t from, int lanes)
{
    if (p->g.kind == OT_POOL_MAX && lanes == 16)
        max_back_16(&p->g, v, p->inner, at + from, dy + from, dx + from);
    else if (p->g.kind == OT_POOL_MAX && lanes == 1) /* of the window only that place */
        dx[((size_t)(v->hs + at[from] / p->g.kw) * (size_t)p->g.w +
            (size_t)(v->ws + at[from] % p->g.kw)) *
               p->inner +
           from] += dy[from];
    else if (p->g.kind == OT_POOL_MAX)
        max_back_lanes(&p->g, v, p->inner, lanes, at + from, dy + from, dx + from);
    else
        ave_back_lanes(&p->g, v, p->inner, lanes, dy + from, dx + from);
}

/* Outputs from ow on, in plain order at stride 1, whose windows lie side by side and are not cut
 * off at the sides: one output's lanes might as well be they. */
static int run_of(const struct pool *p, int ow)
{
    const struct ot_pool_geom *g = &p->g;
    int whole = g->w - (ow - g->pw) - g->kw + 1, rest = g->ow - ow;
    int n = whole < rest ? whole : rest;

    if (p->inner != 1 || g->sw != 1 || ow < g->pw)
        return 1;
    return n >= 16 ? 16 : n >= 8 ? 8 : 1;
}

static void forward_row(const struct pool *p, int oh, const float *x, uint16_t *at, float *y)
{
    const struct ot_pool_geom *g = &p->g;

    for (int ow = 0, run; ow < g->ow; ow += run) {
        struct ot_window v = ot_pool_window(g, oh, ow);
        size_t to = (size_t)ow * p->inner, i = 0;

        run = run_of(p, ow);
        if (run == 16)
            forward_at(p, &v, x, at, y, to, 16, 0);
        else if (run == 8)
            forward_at(p, &v, x, at, y, to, 8, 0);
        for (; run == 1 && i + 16 <= p->inner; i += 16)
            forward_at(p, &v, x, at, y, to, 16, i);
        for (; run == 1 && i + 8 <= p->inner; i += 8)
            forward_at(p, &v, x, at, y, to, 8, i);
        for (; run == 1 && i < p->inner; i++)
            forward_at(p, &v, x, at, y, to, 1, i);
    }
}

void ot_cpu_pool_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, void *scratch,
                     void *ws, float *y)
{
    const struct pool *p = (const struct pool *)(const void *)plan;
    const struct ot_pool_geom *g = &p->g;
    size_t in = (size_t)g->h * (size_t)g->w * p->inner;
    size_t row = (size_t)g->ow * p->inner;

    (void)dev;
    (void)scratch;
#pragma omp parallel for collapse(2) \
    schedule(static) if (p->outer * row * (size_t)g->oh > OT_CPU_GRAIN / 4)
    for (size_t o = 0; o < p->outer; o++)
        for (int oh = 0; oh < g->oh; oh++) {
            size_t to = (o * (size_t)g->oh + (size_t)oh) * row;

            forward_row(p, oh, x + o * in, ws ? (uint16_t *)ws + to : NULL, y + to);
        }
}

void ot_cpu_pool_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *y,
                     const float *dy, const void *ws, void *scratch, float *dx)
{
    const struct pool *p = (const struct pool *)(const void *)plan;
    const struct ot_pool_geom *g = &p->g;
    size_t in = (size_t)g->h * (size_t)g->w * p->inner;

    (void)dev;
    (void)x;
    (void)y;
    (void)scratch;
#pragma omp parallel for schedule(static) if (p->outer * in > OT_CPU_GRAIN / 4)
    for (size_t o = 0; o < p->outer; o++) {
        size_t to = o * (size_t)g->oh * (size_t)g->ow * p->inner;
        float *plane = dx + o * in;

        memset(plane, 0, in * sizeof *plane);
        for (int oh = 0; oh < g->oh; oh++)
            for (int ow = 0; ow < g->ow; ow++, to += p->inner) {
                struct ot_window v = ot_pool_window(g, oh, ow);
                const uint16_t *at = (const uint16_t *)ws + to;
                size_t i = 0;

                for (; i + 16 <= p->inner; i += 16)
                    backward_at(p, &v, at, dy + to, plane, i, 16);
                for (; i + 8 <= p->inner; i += 8)
                    backward_at(p, &v, at, dy + to, plane, i, 8);
                for (; i < p->inner; i++)
                    backward_at(p, &v, at, dy + to, plane, i, 1);
            }
    }
}

void ot_cpu_pool_mask(struct ot_dev *dev, struct ot_plan *plan, const void *ws, float *mask)
{
    const struct pool *p = (const struct pool *)(const void *)plan;
    const struct ot_pool_geom *g = &p->g;
    const uint16_t *at = ws;

    (void)dev;
    for (size_t o = 0; o < p->outer; o++)
        for (int oh = 0; oh < g->oh; oh++)
            for (int ow = 0; ow < g->ow; ow++, at++, mask++) {
                int h = oh * g->sh - g->ph + *at / g->kw, w = ow * g->sw - g->pw + *at % g->kw;

                *mask = (float)(h * g->w + w);
            }
}

static void free_pool(struct ot_plan *plan)
{
    ot_free(plan);
}

/* The layouts the loops know; anything else is read plain. */
static void choose_layout(struct ot_dev *dev, struct pool *p, const struct ot_format *x,
                          struct ot_plan_info *info)
{
    static const struct {
        dnnl_format_tag_t tag;
        int lanes; /* 0: all channels */
    } known[] = { { dnnl_nChw16c, 16 }, { dnnl_nChw8c, 8 }, { dnnl_nhwc, 0 } };
    const struct ot_pool_geom *g = &p->g;
    dnnl_dims_t in = { g->n, g->c, g->h, g->w }, out = { g->n, g->c, g->oh, g->ow };
    dnnl_memory_desc_t md;

    p->outer = (size_t)g->n * (size_t)g->c;
    p->inner = 1;
    info->y_elems = p->outer * (size_t)g->oh * (size_t)g->ow;
    for (size_t i = 0; x && i < sizeof known / sizeof known[0]; i++) {
        if (dnnl_memory_desc_init_by_tag(&md, 4, in, dnnl_f32, known[i].tag) != dnnl_success ||
            !dnnl_memory_desc_equal(&md, ot_format_md(x)) ||
            dnnl_memory_desc_init_by_tag(&md, 4, out, dnnl_f32, known[i].tag) != dnnl_success)
            continue;
        p->inner = known[i].lanes ? (size_t)known[i].lanes : (size_t)g->c;
        p->outer = (size_t)g->n * (known[i].lanes ? ((size_t)g->c + p->inner - 1) / p->inner : 1);
        info->x = x;
        info->y = ot_cpu_format(dev, &md, &info->y_elems);
        return;
    }
}

void ot_cpu_pool_plan(struct ot_dev *dev, const struct ot_pool_geom *g, const struct ot_format *x,
                      struct ot_plan **plan, struct ot_plan_info *info)
{
    struct pool *p = NULL;

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if ((int64_t)g->kh * g->kw > UINT16_MAX)
        ot_dev_fail(dev, OT_ENOTSUP, "kernel_size: a window may have up to %d places, got %dx%d",
                    UINT16_MAX, g->kh, g->kw);
    else
        p = ot_plan_alloc(dev, sizeof *p);
    if (!p)
        return;
    p->base.free = free_pool;
    p->g = *g;
    choose_layout(dev, p, x, info);
    if (g->training && g->kind == OT_POOL_MAX)
        info->ws_bytes = info->y_elems * sizeof(uint16_t);
    *plan = &p->base;
}
