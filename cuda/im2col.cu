/* im2col.cu - windows as columns, and the two passes of stochastic pooling. */
#include "cuda/launch.h"
#include "layers/im2col_math.h"
#include "layers/pool_math.h"

__global__ static void im2col(const __grid_constant__ struct ot_conv_geom g, size_t n,
                              const float *x, float *y)
{
    const size_t ow = (size_t)g.ow, oh = (size_t)g.oh;

    OT_EACH (i, n)
        y[i] = ot_im2col_at(&g, i / (ow * oh), (int)(i / ow % oh), (int)(i % ow), x);
}

extern "C" void ot_cuda_im2col(struct ot_dev *dev, const struct ot_conv_geom *g, const float *x,
                               float *y)
{
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->kh * (size_t)g->kw * (size_t)g->oh *
                     (size_t)g->ow;

    if (n)
        OT_LAUNCH(dev, im2col, ot_grid(n), OT_THREADS, *g, n, x, y);
}

__global__ static void col2im(const __grid_constant__ struct ot_conv_geom g, size_t n,
                              const float *dy, float *dx)
{
    const size_t w = (size_t)g.w, h = (size_t)g.h;

    OT_EACH (i, n)
        dx[i] = ot_col2im_at(&g, i / (w * h), (int)(i / w % h), (int)(i % w), dy);
}

extern "C" void ot_cuda_col2im(struct ot_dev *dev, const struct ot_conv_geom *g, const float *dy,
                               float *dx)
{
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->h * (size_t)g->w;

    if (n)
        OT_LAUNCH(dev, col2im, ot_grid(n), OT_THREADS, *g, n, dy, dx);
}

__global__ static void pool_draw(const __grid_constant__ struct ot_pool_geom g, size_t n,
                                 uint64_t seed, const struct ot_step *step, uint64_t stream,
                                 const float *x,
                                 uint16_t *at, float *y)
{
    OT_EACH (i, n)
        ot_pool_draw(&g, i, seed, step->iter, stream, x, at, y);
}

extern "C" void ot_cuda_pool_draw(struct ot_dev *dev, const struct ot_pool_geom *g, uint64_t seed,
                                  uint64_t stream, const float *x, void *ws,
                                  float *y)
{
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->oh * (size_t)g->ow;

    if (n)
        OT_LAUNCH(dev, pool_draw, ot_grid(n), OT_THREADS, *g, n, seed, ot_cuda_step(dev), stream, x,
                  (uint16_t *)ws, y);
}

__global__ static void pool_weighted(const __grid_constant__ struct ot_pool_geom g, size_t n,
                                     const float *x, float *y)
{
    OT_EACH (i, n)
        y[i] = ot_pool_weighted(&g, i, x);
}

extern "C" void ot_cuda_pool_weighted(struct ot_dev *dev, const struct ot_pool_geom *g,
                                      const float *x, float *y)
{
    const size_t n = (size_t)g->n * (size_t)g->c * (size_t)g->oh * (size_t)g->ow;

    if (n)
        OT_LAUNCH(dev, pool_weighted, ot_grid(n), OT_THREADS, *g, n, x, y);
}
