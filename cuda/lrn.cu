/*
 * lrn.cu - local response normalisation.
 *
 * Across five channels that lie side by side, with beta 3/4, which is what everybody uses: a thread
 * for V of them, which has its neighbours' values in registers too.  Backward computes the sums of
 * squares again: two arrays are read and one is written, instead of four and one.  Everything else:
 * a thread for each element, and the scales are kept.
 */
#include "base/mem.h"
#include "cuda/elem.h"
#include "layers/lrn_math.h"

struct lrn {
    struct ot_plan base;
    struct ot_lrn_geom g;
    bool five, last;
    enum ot_type type;
};

/* ---- five channels --------------------------------------------------------------------------- */

constexpr unsigned HALF = 2, REACH = 2 * HALF; /* what s of a neighbour at distance 2 needs */

/* v[REACH + j] = x[j] of the channels c + j, with REACH more at both ends; 0 beyond the channels.
 */
template <unsigned V, class T>
__device__ __forceinline__ static void around(const T *x, unsigned c, unsigned channels, float *v)
{
    if constexpr (V >= REACH) {
        OT_UNROLL
        for (unsigned j = 0; j < REACH; j++)
            v[j] = v[REACH + V + j] = 0.0f;
        if (c >= REACH)
            ot_load<REACH>(x - REACH, v);
        ot_load<V>(x, v + REACH);
        if (c + V < channels)
            ot_load<REACH>(x + V, v + REACH + V);
    } else {
        OT_UNROLL
        for (unsigned j = 0; j < V + 2 * REACH; j++)
            v[j] = c + j >= REACH && c + j - REACH < channels ? ot_get(x + j - REACH) : 0.0f;
    }
}

/* Scale of the channel at v[0]. */
__device__ __forceinline__ static float scale_at(const struct ot_lrn_geom &g, const float *v)
{
    float sum = 0.0f;

    OT_UNROLL
    for (int d = -(int)HALF; d <= (int)HALF; d++)
        sum += v[d] * v[d];
    return ot_lrn_scale(&g, sum);
}

/* s^-3/4 of r = s^-1/2; two approximate roots of 2 ulp instead of two exact ones and a division. */
__device__ __forceinline__ static float power(float r)
{
    return r == 0.0f ? 0.0f : r * r * rsqrtf(r);
}

template <unsigned V, class T>
__global__ static void five_fwd(const __grid_constant__ struct ot_lrn_geom g, unsigned n,
                                const T *x, T *y)
{
    const unsigned across = (unsigned)g.c / V;

    OT_EACH (i, n) {
        float v[V + 2 * REACH], out[V];

        around<V>(x + i * V, (unsigned)i % across * V, (unsigned)g.c, v);
        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            out[j] = v[REACH + j] * power(rsqrtf(scale_at(g, v + REACH + j)));
        ot_store<V>(y + i * V, out);
    }
}

template <unsigned V, class T>
__global__ static void five_bwd(const __grid_constant__ struct ot_lrn_geom g, unsigned n,
                                const T *x, const T *dy, T *dx)
{
    const float ratio = 2.0f * g.alpha * g.beta / ot_lrn_places(&g);
    const unsigned across = (unsigned)g.c / V;

    OT_EACH (i, n) {
        const unsigned c = (unsigned)i % across * V;
        float v[V + 2 * REACH], d[V + 2 * REACH], term[V + 2 * HALF], out[V];

        around<V>(x + i * V, c, (unsigned)g.c, v);
        around<V>(dy + i * V, c, (unsigned)g.c, d);
        OT_UNROLL
        for (unsigned j = 0; j < V + 2 * HALF; j++) { /* channel c + j - HALF */
            const float r = rsqrtf(scale_at(g, v + HALF + j)), p = power(r) * d[HALF + j];

            term[j] = p * v[HALF + j] * (r * r);
            if (j >= HALF && j < V + HALF)
                out[j - HALF] = p;
        }
        OT_UNROLL
        for (unsigned j = 0; j < V; j++) {
            float sum = 0.0f;

            OT_UNROLL
            for (unsigned k = 0; k <= 2 * HALF; k++)
                sum += term[j + k];
            out[j] -= ratio * v[REACH + j] * sum;
        }
        ot_store<V>(dx + i * V, out);
    }
}

/* ---- any ------------------------------------------------------------------------------------- */

/* Steps along the axes of an image, in elements. */
struct steps {
    size_t c, h, w;
    bool last;
};

struct spot { /* of one element: its image's first, and where it is there */
    size_t image, c, h, w;
};

__device__ static struct spot spot_of(const struct ot_lrn_geom *g, bool last, size_t i)
{
    const unsigned c = (unsigned)g->c, w = (unsigned)g->w, h = (unsigned)g->h, k = (unsigned)i;
    struct spot s;

    s.image = k / (c * h * w) * (size_t)(c * h * w);
    s.c = last ? k % c : k / (h * w) % c;
    s.w = (last ? k / c : k) % w;
    s.h = (last ? k / c : k) / w % h;
    return s;
}

/* Sum over element i's window of x^2, or of dy y / scale. */
template <class T>
__device__ static float window(const struct ot_lrn_geom *g, const struct steps *to, size_t i,
                               const T *a, const T *b, const float *scale)
{
    const struct spot s = spot_of(g, to->last, i);
    size_t c0 = s.c, c1 = c0 + 1, h0 = s.h, h1 = h0 + 1, w0 = s.w, w1 = w0 + 1;
    float sum = 0.0f;

    if (g->within) {
        ot_lrn_range(s.h, g->h, g->size, &h0, &h1);
        ot_lrn_range(s.w, g->w, g->size, &w0, &w1);
    } else {
        ot_lrn_range(s.c, g->c, g->size, &c0, &c1);
    }
    for (size_t c = c0; c < c1; c++)
        for (size_t h = h0; h < h1; h++)
            for (size_t w = w0; w < w1; w++) {
                const size_t at = s.image + c * to->c + h * to->h + w * to->w;
                const float v = ot_get(a + at) * ot_get(b + at);

                sum += scale ? v / scale[at] : v;
            }
    return sum;
}

template <class T>
__global__ static void lrn_fwd(const __grid_constant__ struct ot_lrn_geom g, const struct steps to,
                               size_t n, const T *x, float *scale, T *y)
{
    OT_EACH (i, n) {
        const float s = ot_lrn_scale(&g, window(&g, &to, i, x, x, nullptr));

        scale[i] = s;
        ot_put(y + i, ot_get(x + i) * ot_lrn_power(s, g.beta, ot_lrn_usual(&g)));
    }
}

template <class T>
__global__ static void lrn_bwd(const __grid_constant__ struct ot_lrn_geom g, const struct steps to,
                               size_t n, const T *x, const T *y, const float *scale, const T *dy,
                               T *dx)
{
    OT_EACH (i, n)
        ot_put(dx + i, ot_lrn_grad(&g, ot_get(x + i), scale[i], ot_get(dy + i),
                                   window(&g, &to, i, dy, y, scale), ot_lrn_usual(&g)));
}

/* ---- the device's side ----------------------------------------------------------------------- */

static size_t elements(const struct ot_lrn_geom *g)
{
    return g->n * g->c * g->h * g->w;
}

static struct steps steps_of(const struct lrn *p)
{
    const struct ot_lrn_geom *g = &p->g;
    const struct steps last = { 1, g->w * g->c, g->c, true };
    const struct steps plain = { g->h * g->w, g->w, 1, false };

    return p->last ? last : plain;
}

template <class T>
static void forward(struct ot_dev *dev, const struct lrn *p, const void *from, void *ws, void *to)
{
    constexpr unsigned V = OT_LANES<T>;
    const struct ot_lrn_geom *g = &p->g;
    const size_t n = elements(g);
    const T *x = (const T *)from;
    T *y = (T *)to;

    if (!p->five)
        OT_LAUNCH(dev, lrn_fwd<T>, ot_grid(n), OT_THREADS, *g, steps_of(p), n, x, (float *)ws, y);
    else if (g->c % V == 0 && ot_aligned(x) && ot_aligned(y))
        OT_LAUNCH(dev, (five_fwd<V, T>), ot_grid(n / V), OT_THREADS, *g, (unsigned)(n / V), x, y);
    else
        OT_LAUNCH(dev, (five_fwd<1, T>), ot_grid(n), OT_THREADS, *g, (unsigned)n, x, y);
}

extern "C" void ot_cuda_lrn_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                void *scratch, void *ws, float *y)
{
    const struct lrn *p = (const struct lrn *)plan;

    (void)scratch;
    if (elements(&p->g))
        OT_BY_TYPE(p->type, forward, dev, p, x, ws, y);
}

template <class T>
static void backward(struct ot_dev *dev, const struct lrn *p, const void *from, const void *out,
                     const void *grad, const float *scale, void *to)
{
    constexpr unsigned V = OT_LANES<T>;
    const struct ot_lrn_geom *g = &p->g;
    const size_t n = elements(g);
    const T *x = (const T *)from, *dy = (const T *)grad;
    T *dx = (T *)to;

    if (!p->five)
        OT_LAUNCH(dev, lrn_bwd<T>, ot_grid(n), OT_THREADS, *g, steps_of(p), n, x, (const T *)out,
                  scale, dy, dx);
    else if (g->c % V == 0 && ot_aligned(x) && ot_aligned(dy) && ot_aligned(dx))
        OT_LAUNCH(dev, (five_bwd<V, T>), ot_grid(n / V), OT_THREADS, *g, (unsigned)(n / V), x, dy,
                  dx);
    else
        OT_LAUNCH(dev, (five_bwd<1, T>), ot_grid(n), OT_THREADS, *g, (unsigned)n, x, dy, dx);
}

extern "C" void ot_cuda_lrn_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                const float *y, const float *dy, const void *ws, void *scratch,
                                float *dx)
{
    const struct lrn *p = (const struct lrn *)plan;

    (void)scratch;
    if (elements(&p->g))
        OT_BY_TYPE(p->type, backward, dev, p, x, y, dy, (const float *)ws, dx);
}

static void free_lrn(struct ot_plan *plan)
{
    ot_free(plan);
}

extern "C" void ot_cuda_lrn_plan(struct ot_dev *dev, const struct ot_lrn_geom *g, bool training,
                                 const struct ot_format *x, struct ot_plan **plan,
                                 struct ot_plan_info *info)
{
    struct lrn *p = (struct lrn *)ot_cuda_plan(dev, sizeof *p, free_lrn);

    (void)training;
    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->g = *g;
    p->last = x && x->block > 1;
    p->type = ot_type_of(x);
    p->five = (p->last || g->h * g->w == 1) && !g->within && g->size == 2 * HALF + 1 &&
              ot_lrn_usual(g) && g->k > 0.0f;
    info->x = info->y = x;
    info->y_elems = elements(g);
    if (!p->five)
        info->ws_bytes = info->y_elems * sizeof(float);
    *plan = &p->base;
}
