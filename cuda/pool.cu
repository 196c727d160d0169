/*
 * pool.cu - pooling with Caffe's windows: one thread per output forward, one per input backward, of
 * V channels side by side where channels are last.
 *
 * Backward gathers: an input asks the windows that cover it, in the order of rows, so that sums
 * are those of the CPU, bit for bit.  The workspace keeps for each output the place of its maximum
 * inside the window, 16 bits, in the order of the outputs.
 */
#include "base/mem.h"
#include "cuda/elem.h"
#include "layers/pool_math.h"

struct pool {
    struct ot_plan base;
    struct ot_pool_geom g;
    bool last; /* channels */
    enum ot_type type;
};

/* Images (h, w) whose elements of one place are `side` planes of V, side by side or apart. */
struct planes {
    unsigned side; /* vectors of channels side by side */
    unsigned n;    /* threads: places of all images times side */
};

/* V places in windows, 16 bits each. */
template <unsigned V> struct __attribute__((aligned(2 * V))) places {
    uint16_t at[V];
};

/* Where thread i is: its place in the image and where that image's first element is. */
struct spot {
    int h, w;
    size_t image, lane;
};

__device__ __forceinline__ static struct spot spot_of(unsigned i, unsigned side, int h, int w)
{
    const unsigned at = i / side, row = at / (unsigned)w, image = row / (unsigned)h;
    struct spot s;

    s.w = (int)(at - row * (unsigned)w);
    s.h = (int)(row - image * (unsigned)h);
    s.image = image;
    s.lane = i - at * side;
    return s;
}

template <unsigned V, bool MAX, class T>
__global__ static void pool_fwd(const __grid_constant__ struct ot_pool_geom g,
                                const struct planes p, const T *x, uint16_t *at, T *y)
{
    const size_t ld = (size_t)p.side * V; /* from one place to the next */

    OT_EACH (i, p.n) {
        const struct spot s = spot_of((unsigned)i, p.side, g.oh, g.ow);
        const struct ot_window v = ot_pool_window(&g, s.h, s.w);
        const T *image = x + s.image * (size_t)g.h * (size_t)g.w * ld + s.lane * V;
        float best[V], a[V];
        places<V> place;

        OT_UNROLL
        for (unsigned j = 0; j < V; j++)
            best[j] = 0.0f;
        if (MAX) {
            ot_load<V>(image + ((size_t)v.h0 * (size_t)g.w + (size_t)v.w0) * ld, best);
            OT_UNROLL
            for (unsigned j = 0; j < V; j++)
                place.at[j] = (uint16_t)((v.h0 - v.hs) * g.kw + v.w0 - v.ws);
        }
        for (int h = v.h0; h < v.h1; h++)
            for (int w = v.w0; w < v.w1; w++) {
                const uint16_t here = (uint16_t)((h - v.hs) * g.kw + w - v.ws);

                ot_load<V>(image + ((size_t)h * (size_t)g.w + (size_t)w) * ld, a);
                OT_UNROLL
                for (unsigned j = 0; j < V; j++)
                    if (!MAX) {
                        best[j] += a[j];
                    } else if (ot_pool_more(a[j], best[j])) {
                        best[j] = a[j];
                        place.at[j] = here;
                    }
            }
        OT_UNROLL
        for (unsigned j = 0; !MAX && j < V; j++)
            best[j] = best[j] / v.size;
        ot_store<V>(y + i * V, best);
        if (MAX && at)
            *(places<V> *)(at + i * V) = place;
    }
}

static size_t outputs(const struct ot_pool_geom *g)
{
    return (size_t)g->n * (size_t)g->c * (size_t)g->oh * (size_t)g->ow;
}

/* Of so many places: plain planes are images of one channel. */
template <unsigned V> static struct planes planes_of(const struct pool *p, size_t elems)
{
    struct planes r;

    r.side = p->last ? (unsigned)p->g.c / V : 1;
    r.n = (unsigned)(elems / V);
    return r;
}

template <class T> static bool vectors(const struct pool *p, const void *x, const void *y)
{
    return p->last && (unsigned)p->g.c % OT_LANES<T> == 0 && ot_aligned(x) && ot_aligned(y);
}

template <unsigned V, class T>
static void forward(struct ot_dev *dev, const struct pool *p, const T *x, uint16_t *at, T *y)
{
    const struct planes r = planes_of<V>(p, outputs(&p->g));

    if (p->g.kind == OT_POOL_MAX)
        OT_LAUNCH(dev, (pool_fwd<V, true, T>), ot_grid(r.n), OT_THREADS, p->g, r, x, at, y);
    else
        OT_LAUNCH(dev, (pool_fwd<V, false, T>), ot_grid(r.n), OT_THREADS, p->g, r, x, at, y);
}

template <class T>
static void run_fwd(struct ot_dev *dev, const struct pool *p, const void *x, void *ws, void *y)
{
    if (vectors<T>(p, x, y) && ot_aligned(ws))
        forward<OT_LANES<T>>(dev, p, (const T *)x, (uint16_t *)ws, (T *)y);
    else
        forward<1>(dev, p, (const T *)x, (uint16_t *)ws, (T *)y);
}

extern "C" void ot_cuda_pool_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                 void *scratch, void *ws, float *y)
{
    const struct pool *p = (const struct pool *)plan;

    (void)scratch;
    if (outputs(&p->g))
        OT_BY_TYPE(p->type, run_fwd, dev, p, x, ws, y);
}

/* First and last window along one axis that can cover place v. */
__device__ static int first_window(int v, int pad, int kernel, int stride)
{
    int past = v + pad - kernel;

    return past < 0 ? 0 : past / stride + 1;
}

__device__ static int last_window(int v, int pad, int stride, int out)
{
    int last = (v + pad) / stride;

    return last < out ? last : out - 1;
}

template <unsigned V, bool MAX, class T>
__global__ static void pool_bwd(const __grid_constant__ struct ot_pool_geom g,
                                const struct planes p, const T *dy, const uint16_t *at, T *dx)
{
    const size_t ld = (size_t)p.side * V;

    OT_EACH (i, p.n) {
        const struct spot s = spot_of((unsigned)i, p.side, g.h, g.w);
        const size_t image = s.image * (size_t)g.oh * (size_t)g.ow * ld + s.lane * V;
        const int last_h = last_window(s.h, g.ph, g.sh, g.oh);
        const int first_w = first_window(s.w, g.pw, g.kw, g.sw);
        const int last_w = last_window(s.w, g.pw, g.sw, g.ow);
        float sum[V] = {}, d[V];

        for (int oh = first_window(s.h, g.ph, g.kh, g.sh); oh <= last_h; oh++)
            for (int ow = first_w; ow <= last_w; ow++) {
                const size_t o = image + ((size_t)oh * (size_t)g.ow + (size_t)ow) * ld;
                const struct ot_window v = ot_pool_window(&g, oh, ow);
                const uint16_t here = (uint16_t)((s.h - v.hs) * g.kw + s.w - v.ws);
                places<V> place;

                ot_load<V>(dy + o, d);
                if (MAX)
                    place = *(const places<V> *)(at + o);
                OT_UNROLL
                for (unsigned j = 0; j < V; j++)
                    sum[j] += !MAX ? d[j] / v.size : place.at[j] == here ? d[j] : 0.0f;
            }
        ot_store<V>(dx + i * V, sum);
    }
}

template <unsigned V, class T>
static void backward(struct ot_dev *dev, const struct pool *p, const T *dy, const uint16_t *at,
                     T *dx)
{
    const struct ot_pool_geom *g = &p->g;
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->h * (size_t)g->w;
    const struct planes r = planes_of<V>(p, n);

    if (!n)
        return;
    if (g->kind == OT_POOL_MAX)
        OT_LAUNCH(dev, (pool_bwd<V, true, T>), ot_grid(r.n), OT_THREADS, *g, r, dy, at, dx);
    else
        OT_LAUNCH(dev, (pool_bwd<V, false, T>), ot_grid(r.n), OT_THREADS, *g, r, dy, at, dx);
}

template <class T>
static void run_bwd(struct ot_dev *dev, const struct pool *p, const void *dy, const void *ws,
                    void *dx)
{
    if (vectors<T>(p, dy, dx) && ot_aligned(ws))
        backward<OT_LANES<T>>(dev, p, (const T *)dy, (const uint16_t *)ws, (T *)dx);
    else
        backward<1>(dev, p, (const T *)dy, (const uint16_t *)ws, (T *)dx);
}

extern "C" void ot_cuda_pool_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                 const float *y, const float *dy, const void *ws, void *scratch,
                                 float *dx)
{
    const struct pool *p = (const struct pool *)plan;

    (void)x;
    (void)y;
    (void)scratch;
    OT_BY_TYPE(p->type, run_bwd, dev, p, dy, ws, dx);
}

__global__ static void pool_mask(const __grid_constant__ struct ot_pool_geom g, size_t n,
                                 const uint16_t *at, float *mask)
{
    const size_t ow = (size_t)g.ow, oh = (size_t)g.oh;

    OT_EACH (i, n) {
        int h = (int)(i / ow % oh) * g.sh - g.ph + at[i] / g.kw;
        int w = (int)(i % ow) * g.sw - g.pw + at[i] % g.kw;

        mask[i] = (float)(h * g.w + w);
    }
}

extern "C" void ot_cuda_pool_mask(struct ot_dev *dev, struct ot_plan *plan, const void *ws,
                                  float *mask)
{
    const struct pool *p = (const struct pool *)plan;
    const size_t n = outputs(&p->g);

    if (n)
        OT_LAUNCH(dev, pool_mask, ot_grid(n), OT_THREADS, p->g, n, (const uint16_t *)ws, mask);
}

static void free_pool(struct ot_plan *plan)
{
    ot_free(plan);
}

extern "C" void ot_cuda_pool_plan(struct ot_dev *dev, const struct ot_pool_geom *g,
                                  const struct ot_format *x, struct ot_plan **plan,
                                  struct ot_plan_info *info)
{
    const struct ot_shape shape = ot_shape4(g->n, g->c, g->oh, g->ow);
    struct pool *p = NULL;

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if ((int64_t)g->kh * g->kw > UINT16_MAX)
        ot_dev_fail(dev, OT_ENOTSUP, "kernel_size: a window may have up to %d places, got %dx%d",
                    UINT16_MAX, g->kh, g->kw);
    else
        p = (struct pool *)ot_cuda_plan(dev, sizeof *p, free_pool);
    if (!p)
        return;
    p->g = *g;
    p->last = x && x->block > 1;
    p->type = ot_type_of(x);
    info->x = x;
    info->y = ot_cuda_format(dev, &shape, p->last, p->type);
    info->y_elems = outputs(g);
    if (g->training && g->kind == OT_POOL_MAX)
        info->ws_bytes = info->y_elems * sizeof(uint16_t);
    *plan = &p->base;
}

extern "C" void ot_cuda_plan_free(struct ot_dev *dev, struct ot_plan *plan)
{
    (void)dev;
    if (plan)
        plan->free(plan);
}
