/* im2col_cpu.c - windows as columns, and the two passes of stochastic pooling. */
#include "layers/cpu_i.h"
#include "layers/im2col_math.h"
#include "layers/pool_math.h"

void ot_cpu_im2col(struct ot_dev *dev, const struct ot_conv_geom *g, const float *x, float *y)
{
    const size_t rows = (size_t)g->n * (size_t)g->c * (size_t)g->kh * (size_t)g->kw;
    const size_t plane = (size_t)g->oh * (size_t)g->ow;

    (void)dev;
#pragma omp parallel for if (rows * plane > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++)
        for (int oh = 0; oh < g->oh; oh++)
            for (int ow = 0; ow < g->ow; ow++)
                y[r * plane + (size_t)oh * (size_t)g->ow + (size_t)ow] = ot_im2col_at(g, r, oh, ow,
                                                                                      x);
}

void ot_cpu_col2im(struct ot_dev *dev, const struct ot_conv_geom *g, const float *dy, float *dx)
{
    const size_t planes = (size_t)g->n * (size_t)g->c, plane = (size_t)g->h * (size_t)g->w;

    (void)dev;
#pragma omp parallel for if (planes * plane > OT_CPU_GRAIN / 8) schedule(static)
    for (size_t p = 0; p < planes; p++)
        for (int h = 0; h < g->h; h++)
            for (int w = 0; w < g->w; w++)
                dx[p * plane + (size_t)h * (size_t)g->w + (size_t)w] = ot_col2im_at(g, p, h, w, dy);
}

void ot_cpu_pool_draw(struct ot_dev *dev, const struct ot_pool_geom *g, uint64_t seed,
                      uint64_t stream, const float *x, void *ws, float *y)
{
    const size_t ow = (size_t)g->ow, oh = (size_t)g->oh, n = (size_t)g->n * (size_t)g->c * oh * ow;

#pragma omp parallel for if (n > OT_CPU_GRAIN / 64) schedule(static)
    for (size_t i = 0; i < n; i++)
        ot_pool_draw(g, i, seed, dev->step.iter, stream, x, ws, y);
}

void ot_cpu_pool_weighted(struct ot_dev *dev, const struct ot_pool_geom *g, const float *x,
                          float *y)
{
    const size_t ow = (size_t)g->ow, oh = (size_t)g->oh, n = (size_t)g->n * (size_t)g->c * oh * ow;

    (void)dev;
#pragma omp parallel for if (n > OT_CPU_GRAIN / 16) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = ot_pool_weighted(g, i, x);
}
