/* lrn.cu - local response normalisation in plain order: one thread for each element. */
#include "base/mem.h"
#include "cuda/launch.h"
#include "layers/lrn_math.h"

struct lrn {
    struct ot_plan base;
    struct ot_lrn_geom g;
};

/* Sum over element i's window of x^2, or of dy y / scale. */
__device__ static float window(const struct ot_lrn_geom *g, size_t i, const float *a,
                               const float *b, const float *scale)
{
    const size_t plane = g->h * g->w, inner = i % plane, c = i / plane % g->c;
    const size_t start = i - inner - c * plane; /* of the image */
    size_t c0 = c, c1 = c + 1, h0 = inner / g->w, w0 = inner % g->w, h1 = h0 + 1, w1 = w0 + 1;
    float sum = 0.0f;

    if (g->within) {
        ot_lrn_range(h0, g->h, g->size, &h0, &h1);
        ot_lrn_range(w0, g->w, g->size, &w0, &w1);
    } else {
        ot_lrn_range(c, g->c, g->size, &c0, &c1);
    }
    for (size_t k = c0; k < c1; k++)
        for (size_t h = h0; h < h1; h++)
            for (size_t w = w0; w < w1; w++) {
                const size_t at = start + k * plane + h * g->w + w;

                sum += scale ? a[at] * b[at] / scale[at] : a[at] * b[at];
            }
    return sum;
}

__global__ static void lrn_fwd(const __grid_constant__ struct ot_lrn_geom g, size_t n,
                               const float *x, float *scale, float *y)
{
    OT_EACH (i, n) {
        scale[i] = ot_lrn_scale(&g, window(&g, i, x, x, nullptr));
        y[i] = x[i] * ot_lrn_power(scale[i], g.beta, ot_lrn_usual(&g));
    }
}

static size_t elements(const struct ot_lrn_geom *g)
{
    return g->n * g->c * g->h * g->w;
}

extern "C" void ot_cuda_lrn_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                void *scratch, void *ws, float *y)
{
    const struct ot_lrn_geom *g = &((const struct lrn *)plan)->g;
    const size_t n = elements(g);

    (void)scratch;
    if (n)
        OT_LAUNCH(dev, lrn_fwd, ot_grid(n), OT_THREADS, *g, n, x, (float *)ws, y);
}

__global__ static void lrn_bwd(const __grid_constant__ struct ot_lrn_geom g, size_t n,
                               const float *x, const float *y, const float *scale, const float *dy,
                               float *dx)
{
    OT_EACH (i, n)
        dx[i] = ot_lrn_grad(&g, x[i], scale[i], dy[i], window(&g, i, dy, y, scale),
                            ot_lrn_usual(&g));
}

extern "C" void ot_cuda_lrn_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                                const float *y, const float *dy, const void *ws, void *scratch,
                                float *dx)
{
    const struct ot_lrn_geom *g = &((const struct lrn *)plan)->g;
    const size_t n = elements(g);

    (void)scratch;
    if (n)
        OT_LAUNCH(dev, lrn_bwd, ot_grid(n), OT_THREADS, *g, n, x, y, (const float *)ws, dy, dx);
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
    (void)x;
    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->g = *g;
    info->y_elems = elements(g);
    info->ws_bytes = info->y_elems * sizeof(float);
    *plan = &p->base;
}
