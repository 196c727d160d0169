/* mem_cpu.c - kernels that move and combine memory, and the update of the parameters. */
#include <string.h>

#include "layers/cpu_i.h"
#include "layers/update_math.h"

void ot_cpu_fill(struct ot_dev *dev, enum ot_type type, size_t n, float v, float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = v;
}

void ot_cpu_copy(struct ot_dev *dev, enum ot_type type, size_t n, const float *x, float *y)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = x[i];
}

void ot_cpu_axpby(struct ot_dev *dev, enum ot_type type, size_t n, float a, const float *x, float b,
                  float *y)
{
    ot_cpu_f32(dev, type);
    if (b == 0.0f) { /* y may be anything, NaN included */
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
        for (size_t i = 0; i < n; i++)
            y[i] = a * x[i];
        return;
    }
#pragma omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i] + b * y[i];
}

void ot_cpu_copy2d(struct ot_dev *dev, enum ot_type type, size_t rows, size_t cols, const float *x,
                   size_t xld, float beta, float *y, size_t yld)
{
    ot_cpu_f32(dev, type);
#pragma omp parallel for if (rows * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *from = x + r * xld;
        float *to = y + r * yld;

        if (beta == 0.0f)
            memcpy(to, from, cols * sizeof *to);
        else
            for (size_t i = 0; i < cols; i++)
                to[i] = from[i] + beta * to[i];
    }
}

void ot_cpu_format_of(struct ot_dev *dev, const struct ot_shape *shape, bool channels_last,
                      enum ot_type type, const struct ot_format **fmt)
{
    (void)dev;
    (void)shape;
    (void)channels_last;
    (void)type;
    *fmt = NULL;
}

static struct ot_prim *find_reorder(struct ot_dev *dev, const dnnl_memory_desc_t *from,
                                    const dnnl_memory_desc_t *to)
{
    struct ot_cpu *cpu = ot_cpu_of(dev);
    struct ot_cpu_reorder *r;

    for (int i = 0; i < OT_REORDERS; i++) {
        r = &cpu->reorder[i];
        if (r->prim.prim && dnnl_memory_desc_equal(&r->from, from) &&
            dnnl_memory_desc_equal(&r->to, to))
            return &r->prim;
    }
    r = &cpu->reorder[cpu->next_reorder++ % OT_REORDERS];
    ot_prim_free(&r->prim);
    r->from = *from;
    r->to = *to;
    return ot_prim_reorder(dev, &r->prim, from, to, false) ? NULL : &r->prim;
}

/* A plain tensor has the axes of the format it is converted from or to: a (oc, c/g, kh, kw) weight
 * is (g, oc/g, c/g, kh, kw) to oneDNN, in the same order. */
void ot_cpu_reorder(struct ot_dev *dev, const struct ot_tensor *x, const struct ot_tensor *y)
{
    const struct ot_format *some = x->fmt ? x->fmt : y->fmt;
    void *ptr[2] = { x->data, y->data };
    dnnl_memory_desc_t from, to;
    struct ot_prim *p;

    if (x->fmt == y->fmt) {
        ot_cpu_copy(dev, OT_F32, x->elems, x->data, y->data);
        return;
    }
    ot_md_of(&from, x->fmt, ot_format_md(some)->ndims, ot_format_md(some)->dims);
    ot_md_of(&to, y->fmt, ot_format_md(some)->ndims, ot_format_md(some)->dims);
    p = find_reorder(dev, &from, &to);
    if (p)
        ot_prim_run(dev, p, ptr, NULL);
}

static double sum_of_squares(size_t n, const float *x)
{
    /* Fixed blocks, added in order: the same sum for any number of threads. */
    enum { BLOCKS = 64 };

    double part[BLOCKS] = { 0 }, sum = 0;
    size_t step = n / BLOCKS + 1;

#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t b = 0; b < BLOCKS; b++) {
        size_t end = (b + 1) * step < n ? (b + 1) * step : n;
        double s = 0;

#pragma omp simd reduction(+ : s)
        for (size_t i = b * step; i < end; i++)
            s += (double)x[i] * (double)x[i];
        part[b] = s;
    }
    for (int b = 0; b < BLOCKS; b++)
        sum += part[b];
    return sum;
}

void ot_cpu_grad_norm(struct ot_dev *dev, const struct ot_update_seg *host_segs, int nseg,
                      double *norm)
{
    (void)dev;
    *norm = 0;
    for (int i = 0; i < nseg; i++)
        *norm += sum_of_squares(host_segs[i].n, host_segs[i].g);
}

void ot_cpu_plan_free(struct ot_dev *dev, struct ot_plan *plan)
{
    (void)dev;
    if (plan)
        plan->free(plan);
}

/* The kind is a constant in each loop, so that each is vectorised by itself. */
#define UPDATE_LOOP(kind_)                                                                         \
    case kind_:                                                                                    \
        r.kind = kind_;                                                                            \
        _Pragma("omp parallel for simd if (n > OT_CPU_GRAIN) schedule(static)") for (size_t i = 0; \
                                                                                     i < n; i++)   \
        {                                                                                          \
            g[i] = ot_update_grad(&r, scale, decay, w[i], g[i]);                                   \
            w[i] -= ot_update_step(&r, lr, step->correction, g[i], &h[i], &h2[i]);                 \
        }                                                                                          \
        break

static void update(const struct ot_update_rule *rule, const struct ot_step *step, float scale,
                   const struct ot_update_seg *s)
{
    struct ot_update_rule r = *rule;
    float *w = s->w, *g = s->g, *h = s->h, *h2 = s->h2 ? s->h2 : s->h;
    const float lr = step->lr * s->lr_mult, decay = s->decay;
    const size_t n = s->n;

    switch (rule->kind) {
        UPDATE_LOOP(OT_UPDATE_SGD);
        UPDATE_LOOP(OT_UPDATE_NESTEROV);
        UPDATE_LOOP(OT_UPDATE_ADAGRAD);
        UPDATE_LOOP(OT_UPDATE_RMSPROP);
        UPDATE_LOOP(OT_UPDATE_ADADELTA);
        UPDATE_LOOP(OT_UPDATE_ADAM);
    }
}

void ot_cpu_solver_update(struct ot_dev *dev, const struct ot_update_rule *rule,
                          const struct ot_update_seg *host_segs, int nseg, const double *norm)
{
    const float scale = ot_update_scale(rule, norm);

    for (int i = 0; i < nseg; i++)
        update(rule, &dev->step, scale, &host_segs[i]);
}
