/*
 * lrn_plan_cpu.c - which code normalises responses: oneDNN's where it is vector code both ways
 * (across channels, a window of 5, beta 3/4, an order of channels it knows), else our loops, which
 * are ten times faster than oneDNN's reference (docs/decisions/0007-normalisation-loops.md).
 */
#include <string.h>

#include "base/mem.h"
#include "layers/cpu_i.h"

struct lrn {
    struct ot_plan base;
    struct ot_lrn_geom g;
    struct ot_prim fwd, bwd; /* not made: our loops */
    bool training;
};

static void free_lrn(struct ot_plan *plan)
{
    struct lrn *p = (struct lrn *)(void *)plan;

    ot_prim_free(&p->fwd);
    ot_prim_free(&p->bwd);
    ot_free(p);
}

static bool fast(dnnl_primitive_desc_t pd)
{
    return pd && (ot_desc_is(pd, "lrn_jit") || ot_desc_is(pd, "jit"));
}

/* oneDNN's descriptors; false when one of them is missing or a reference. */
static bool describe(struct ot_dev *dev, const struct lrn *p, const struct ot_format *x,
                     dnnl_primitive_desc_t *fwd, dnnl_primitive_desc_t *bwd)
{
    const struct ot_lrn_geom *g = &p->g;
    const dnnl_dim_t dims[4] = { (dnnl_dim_t)g->n, (dnnl_dim_t)g->c, (dnnl_dim_t)g->h,
                                 (dnnl_dim_t)g->w };
    const dnnl_dim_t size = (dnnl_dim_t)g->size;
    const dnnl_alg_kind_t kind = dnnl_lrn_across_channels;
    dnnl_memory_desc_t md;
    dnnl_lrn_desc_t op;

    ot_md_of(&md, x, 4, dims);
    if (dnnl_lrn_forward_desc_init(&op,
                                   p->training ? dnnl_forward_training : dnnl_forward_inference,
                                   kind, &md, size, g->alpha, g->beta, g->k) != dnnl_success)
        return false;
    *fwd = ot_try_desc(dev, &op, false, NULL);
    if (!fast(*fwd) || !p->training)
        return fast(*fwd);
    if (dnnl_lrn_backward_desc_init(&op, kind, &md, &md, size, g->alpha, g->beta, g->k) !=
        dnnl_success)
        return false;
    *bwd = ot_try_desc(dev, &op, false, *fwd);
    return fast(*bwd);
}

static int make_prims(struct ot_dev *dev, struct lrn *p, const struct ot_format *x,
                      struct ot_plan_info *info)
{
    static const int fwd_args[] = { DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WORKSPACE };
    static const int bwd_args[] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC,
                                    DNNL_ARG_WORKSPACE };
    const dnnl_memory_desc_t *ws;
    dnnl_primitive_desc_t fwd = NULL, bwd = NULL;
    int keep;

    if (!describe(dev, p, x, &fwd, &bwd)) {
        if (fwd)
            (void)dnnl_primitive_desc_destroy(fwd);
        if (bwd)
            (void)dnnl_primitive_desc_destroy(bwd);
        return 0;
    }
    ws = dnnl_primitive_desc_query_md(fwd, dnnl_query_workspace_md, 0);
    keep = ws && ws->ndims > 0;
    info->ws_bytes = keep ? dnnl_memory_desc_get_size(ws) : 0;
    if (bwd && ot_prim_make(dev, &p->bwd, bwd, bwd_args, 3 + keep)) {
        (void)dnnl_primitive_desc_destroy(fwd);
        return dev->latch.code;
    }
    if (ot_prim_make(dev, &p->fwd, fwd, fwd_args, 2 + keep))
        return dev->latch.code;
    info->scratch_bytes = p->fwd.scratch > p->bwd.scratch ? p->fwd.scratch : p->bwd.scratch;
    return 0;
}

void ot_cpu_lrn_plan(struct ot_dev *dev, const struct ot_lrn_geom *g, bool training,
                     const struct ot_format *x, struct ot_plan **plan, struct ot_plan_info *info)
{
    struct lrn *p = ot_plan_alloc(dev, sizeof *p);
    const size_t count = g->n * g->c * g->h * g->w;

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->base.free = free_lrn;
    p->g = *g;
    p->training = training;
    info->x = info->y = x;
    info->y_elems = x ? x->elems : count;
    if (!g->within && count > 0 && make_prims(dev, p, x, info)) {
        free_lrn(&p->base);
        return;
    }
    if (!p->fwd.prim)
        info->ws_bytes = info->y_elems * sizeof(float);
    *plan = &p->base;
}

void ot_cpu_lrn_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, void *scratch,
                    void *ws, float *y)
{
    struct lrn *p = (struct lrn *)(void *)plan;
    void *ptr[] = { (void *)(uintptr_t)x, y, ws };

    if (p->fwd.prim)
        ot_prim_run(dev, &p->fwd, ptr, scratch);
    else
        ot_lrn_loops_fwd(&p->g, x, ws, y);
}

void ot_cpu_lrn_bwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *y,
                    const float *dy, const void *ws, void *scratch, float *dx)
{
    struct lrn *p = (struct lrn *)(void *)plan;
    void *ptr[] = { (void *)(uintptr_t)x, (void *)(uintptr_t)dy, dx, (void *)(uintptr_t)ws };

    if (p->bwd.prim)
        ot_prim_run(dev, &p->bwd, ptr, scratch);
    else
        ot_lrn_loops_bwd(&p->g, x, y, ws, dy, dx);
}
