/*
 * pool.cu - pooling with Caffe's windows: one thread per output forward, one per input backward.
 *
 * Backward gathers: an input asks the windows that cover it, in the order of rows, so that sums
 * are those of the CPU, bit for bit.  The workspace keeps for each output the place of its maximum
 * inside the window, 16 bits.
 */
#include "base/mem.h"
#include "cuda/launch.h"
#include "layers/pool_math.h"

struct pool {
    struct ot_plan base;
    struct ot_pool_geom g;
};

__device__ static float max_of(const struct ot_pool_geom *g, const struct ot_window *v,
                               const float *x, int *place)
{
    float best = x[(size_t)v->h0 * (size_t)g->w + (size_t)v->w0];

    *place = (v->h0 - v->hs) * g->kw + v->w0 - v->ws;
    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++) {
            float p = x[(size_t)h * (size_t)g->w + (size_t)w];

            if (ot_pool_more(p, best)) {
                best = p;
                *place = (h - v->hs) * g->kw + w - v->ws;
            }
        }
    return best;
}

__device__ static float mean_of(const struct ot_pool_geom *g, const struct ot_window *v,
                                const float *x)
{
    float sum = 0.0f;

    for (int h = v->h0; h < v->h1; h++)
        for (int w = v->w0; w < v->w1; w++)
            sum += x[(size_t)h * (size_t)g->w + (size_t)w];
    return sum / v->size;
}

__global__ static void pool_fwd(const __grid_constant__ struct ot_pool_geom g, size_t n,
                                const float *x, uint16_t *at, float *y)
{
    const size_t ow = (size_t)g.ow, oh = (size_t)g.oh;

    OT_EACH (i, n) {
        struct ot_window v = ot_pool_window(&g, (int)(i / ow % oh), (int)(i % ow));
        const float *plane = x + i / (ow * oh) * ((size_t)g.h * (size_t)g.w);
        int place;

        if (g.kind == OT_POOL_MAX) {
            y[i] = max_of(&g, &v, plane, &place);
            if (at)
                at[i] = (uint16_t)place;
        } else {
            y[i] = mean_of(&g, &v, plane);
        }
    }
}

static size_t outputs(const struct ot_pool_geom *g)
{
    return (size_t)g->n * (size_t)g->c * (size_t)g->oh * (size_t)g->ow;
}

extern "C" void ot_cuda_pool_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                 void *scratch, void *ws, float *y)
{
    const struct pool *p = (const struct pool *)plan;
    const size_t n = outputs(&p->g);

    (void)scratch;
    if (n)
        OT_LAUNCH(dev, pool_fwd, ot_grid(n), OT_THREADS, p->g, n, x, (uint16_t *)ws, y);
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

__global__ static void pool_bwd(const __grid_constant__ struct ot_pool_geom g, size_t n,
                                const float *dy, const uint16_t *at, float *dx)
{
    const size_t gw = (size_t)g.w, gh = (size_t)g.h;

    OT_EACH (i, n) {
        const int w = (int)(i % gw), h = (int)(i / gw % gh);
        const size_t plane = i / (gw * gh) * ((size_t)g.oh * (size_t)g.ow);
        const int last_h = last_window(h, g.ph, g.sh, g.oh);
        const int last_w = last_window(w, g.pw, g.sw, g.ow);
        float sum = 0.0f;

        for (int oh = first_window(h, g.ph, g.kh, g.sh); oh <= last_h; oh++)
            for (int ow = first_window(w, g.pw, g.kw, g.sw); ow <= last_w; ow++) {
                size_t o = plane + (size_t)oh * (size_t)g.ow + (size_t)ow;
                struct ot_window v = ot_pool_window(&g, oh, ow);

                if (g.kind == OT_POOL_AVE)
                    sum += dy[o] / v.size;
                else if (at[o] == (h - v.hs) * g.kw + w - v.ws)
                    sum += dy[o];
            }
        dx[i] = sum;
    }
}

extern "C" void ot_cuda_pool_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                 const float *y, const float *dy, const void *ws, void *scratch,
                                 float *dx)
{
    const struct pool *p = (const struct pool *)plan;
    const size_t n = (size_t)p->g.n * (size_t)p->g.c * (size_t)p->g.h * (size_t)p->g.w;

    (void)x;
    (void)y;
    (void)scratch;
    if (n)
        OT_LAUNCH(dev, pool_bwd, ot_grid(n), OT_THREADS, p->g, n, dy, (const uint16_t *)ws, dx);
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
    struct pool *p = NULL;

    (void)x;
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
