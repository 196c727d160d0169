/*
 * linear_cpu.c - what convolution and inner product have in common: three primitives (forward,
 * gradient for the input, gradient for the weights) around one layout of input, output and weights.
 *
 * The net keeps every tensor in the forward primitive's layout.  Where a backward primitive is
 * only fast in another one, the plan converts into scratch around it: the weights for the input's
 * gradient are the usual case, and small beside the arithmetic.
 */
#include <string.h>

#include "base/mem.h"
#include "layers/cpu_i.h"

/* dnnl_query returns descriptors of oneDNN's own; they live as long as the pd. */
static const dnnl_memory_desc_t *arg_md(dnnl_primitive_desc_t pd, int arg)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, arg);
}

static size_t reserve(struct ot_linear *lin, size_t bytes)
{
    size_t at = lin->bytes;

    lin->bytes += (bytes + 63) / 64 * 64;
    return at;
}

/* Input of a primitive: net's layout -> its layout. */
static int link_in(struct ot_dev *dev, struct ot_linear *lin, struct ot_link *k,
                   const dnnl_memory_desc_t *net, const dnnl_memory_desc_t *own)
{
    if (dnnl_memory_desc_equal(net, own))
        return 0;
    k->offset = reserve(lin, dnnl_memory_desc_get_size(own));
    return ot_prim_reorder(dev, &k->reorder, net, own, false);
}

static int link_out(struct ot_dev *dev, struct ot_linear *lin, struct ot_link *k,
                    const dnnl_memory_desc_t *net, const dnnl_memory_desc_t *own, bool add)
{
    if (dnnl_memory_desc_equal(net, own))
        return 0;
    k->offset = reserve(lin, dnnl_memory_desc_get_size(own));
    if (ot_prim_reorder(dev, &k->reorder, own, net, false))
        return dev->latch.code;
    return add ? ot_prim_reorder(dev, &k->add, own, net, true) : 0;
}

static void *in_ptr(struct ot_dev *dev, struct ot_link *k, const float *net, char *scratch)
{
    void *io[2] = { (void *)(uintptr_t)net, scratch + k->offset };

    if (!k->reorder.prim)
        return io[0];
    ot_prim_run(dev, &k->reorder, io, NULL);
    return io[1];
}

static int make_data(struct ot_dev *dev, struct ot_linear *lin, dnnl_primitive_desc_t pd)
{
    static const int args[] = { DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC };

    if (link_in(dev, lin, &lin->data_w, &lin->w, arg_md(pd, DNNL_ARG_WEIGHTS)) ||
        link_in(dev, lin, &lin->data_dy, &lin->y, arg_md(pd, DNNL_ARG_DIFF_DST)) ||
        link_out(dev, lin, &lin->data_dx, &lin->x, arg_md(pd, DNNL_ARG_DIFF_SRC), false)) {
        (void)dnnl_primitive_desc_destroy(pd);
        return dev->latch.code;
    }
    return ot_prim_make(dev, &lin->data, pd, args, 3);
}

static int make_filter(struct ot_dev *dev, struct ot_linear *lin, dnnl_primitive_desc_t pd)
{
    static const int args[] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS,
                                DNNL_ARG_DIFF_BIAS };

    lin->temp_dw = reserve(lin, lin->w_elems * sizeof(float));
    lin->temp_db = reserve(lin, lin->b_elems * sizeof(float));
    if (link_in(dev, lin, &lin->filter_x, &lin->x, arg_md(pd, DNNL_ARG_SRC)) ||
        link_in(dev, lin, &lin->filter_dy, &lin->y, arg_md(pd, DNNL_ARG_DIFF_DST)) ||
        link_out(dev, lin, &lin->filter_dw, &lin->w, arg_md(pd, DNNL_ARG_DIFF_WEIGHTS), true)) {
        (void)dnnl_primitive_desc_destroy(pd);
        return dev->latch.code;
    }
    return ot_prim_make(dev, &lin->filter, pd, args, lin->b_elems ? 4 : 3);
}

static size_t largest(size_t a, size_t b, size_t c)
{
    size_t m = a > b ? a : b;

    return m > c ? m : c;
}

int ot_linear_make(struct ot_dev *dev, struct ot_linear *lin, dnnl_primitive_desc_t fwd,
                   dnnl_primitive_desc_t data, dnnl_primitive_desc_t filter, size_t b_elems,
                   struct ot_plan_info *info)
{
    static const int args[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS };
    size_t x_elems;

    lin->x = *arg_md(fwd, DNNL_ARG_SRC);
    lin->w = *arg_md(fwd, DNNL_ARG_WEIGHTS);
    lin->y = *arg_md(fwd, DNNL_ARG_DST);
    info->x = ot_cpu_format(dev, &lin->x, &x_elems);
    info->y = ot_cpu_format(dev, &lin->y, &info->y_elems);
    info->w = ot_cpu_format(dev, &lin->w, &info->w_elems);
    lin->w_elems = info->w_elems;
    lin->b_elems = b_elems;
    lin->x_bytes = x_elems * sizeof(float);
    lin->y_bytes = info->y_elems * sizeof(float);
    if (ot_prim_make(dev, &lin->fwd, fwd, args, b_elems ? 4 : 3)) {
        (void)dnnl_primitive_desc_destroy(data);
        (void)dnnl_primitive_desc_destroy(filter);
        return dev->latch.code;
    }
    if (data && make_data(dev, lin, data)) {
        (void)dnnl_primitive_desc_destroy(filter);
        return dev->latch.code;
    }
    if (filter && make_filter(dev, lin, filter))
        return dev->latch.code;
    lin->pad = reserve(lin, largest(lin->fwd.scratch, lin->data.scratch, lin->filter.scratch));
    info->scratch_bytes = lin->bytes;
    return dev->latch.code;
}

static void link_free(struct ot_link *k)
{
    ot_prim_free(&k->reorder);
    ot_prim_free(&k->add);
}

void ot_linear_free(struct ot_plan *plan)
{
    struct ot_linear *lin = (struct ot_linear *)(void *)plan;

    ot_prim_free(&lin->fwd);
    ot_prim_free(&lin->data);
    ot_prim_free(&lin->filter);
    link_free(&lin->data_w);
    link_free(&lin->data_dy);
    link_free(&lin->data_dx);
    link_free(&lin->filter_x);
    link_free(&lin->filter_dy);
    link_free(&lin->filter_dw);
    ot_free(lin);
}

void ot_linear_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                   const float *b, void *scratch, float *y)
{
    struct ot_linear *lin = (struct ot_linear *)(void *)plan;
    void *ptr[] = { (void *)(uintptr_t)x, (void *)(uintptr_t)w, y, (void *)(uintptr_t)b };

    if (!lin->empty)
        ot_prim_run(dev, &lin->fwd, ptr, (char *)scratch + lin->pad);
}

void ot_linear_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w, const float *dy,
                        void *scratch, float *dx)
{
    struct ot_linear *lin = (struct ot_linear *)(void *)plan;
    void *ptr[3], *back[2];

    if (lin->empty)
        return;
    ptr[0] = in_ptr(dev, &lin->data_w, w, scratch);
    ptr[1] = in_ptr(dev, &lin->data_dy, dy, scratch);
    ptr[2] = lin->data_dx.reorder.prim ? (char *)scratch + lin->data_dx.offset : (char *)dx;
    ot_prim_run(dev, &lin->data, ptr, (char *)scratch + lin->pad);
    back[0] = ptr[2];
    back[1] = dx;
    if (lin->data_dx.reorder.prim)
        ot_prim_run(dev, &lin->data_dx.reorder, back, NULL);
}

void ot_linear_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *dy,
                          void *scratch, float beta, float *dw, float *db)
{
    struct ot_linear *lin = (struct ot_linear *)(void *)plan;
    struct ot_link *out = &lin->filter_dw;
    bool add = beta != 0.0f, moved = out->reorder.prim != NULL;
    char *temp_dw = (char *)scratch + lin->temp_dw, *temp_db = (char *)scratch + lin->temp_db;
    void *ptr[4], *back[2];

    if (lin->empty) {
        if (!add && dw)
            memset(dw, 0, lin->w_elems * sizeof *dw);
        if (!add && db)
            memset(db, 0, lin->b_elems * sizeof *db);
        return;
    }
    ptr[0] = in_ptr(dev, &lin->filter_x, x, scratch);
    ptr[1] = in_ptr(dev, &lin->filter_dy, dy, scratch);
    ptr[2] = moved ? (char *)scratch + out->offset : add || !dw ? temp_dw : (char *)dw;
    ptr[3] = add || !db ? temp_db : (char *)db;
    ot_prim_run(dev, &lin->filter, ptr, (char *)scratch + lin->pad);
    back[0] = ptr[2];
    back[1] = dw;
    if (moved && dw)
        ot_prim_run(dev, add ? &out->add : &out->reorder, back, NULL);
    else if (add && dw)
        ot_cpu_axpby(dev, OT_F32, lin->w_elems, 1.0f, ptr[2], 1.0f, dw);
    if (add && db)
        ot_cpu_axpby(dev, OT_F32, lin->b_elems, 1.0f, ptr[3], 1.0f, db);
}

dnnl_primitive_desc_t ot_try_desc(struct ot_dev *dev, const_dnnl_op_desc_t op, bool relu,
                                  dnnl_primitive_desc_t hint)
{
    struct ot_cpu *cpu = ot_cpu_of(dev);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;

    if (!relu)
        return dnnl_primitive_desc_create(&pd, op, cpu->attr, cpu->engine, hint) == dnnl_success
                   ? pd
                   : NULL;
    if (dnnl_primitive_attr_clone(&attr, cpu->attr) == dnnl_success &&
        dnnl_post_ops_create(&ops) == dnnl_success &&
        dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f) == dnnl_success &&
        dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success)
        (void)dnnl_primitive_desc_create(&pd, op, attr, cpu->engine, hint);
    if (ops)
        (void)dnnl_post_ops_destroy(ops);
    if (attr)
        (void)dnnl_primitive_attr_destroy(attr);
    return pd;
}

bool ot_desc_is(dnnl_primitive_desc_t pd, const char *implementation_prefix)
{
    const char *name = NULL;

    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success || !name)
        return false;
    return !strncmp(name, implementation_prefix, strlen(implementation_prefix));
}
