/*
 * conv_graph.c - cuDNN's graph interface for convolutions: describes one as an operation graph, and
 * takes the plans that cuDNN's heuristics propose.
 *
 * Which plans are no plans: those that round inputs or sums to less than they are stored in, that
 * want reordered filters, or more workspace than there is.  Of those that cuDNN compiles when they
 * are made, which takes it a second, only the first few are.  Which of the rest is taken is decided
 * by measuring (conv_contest.c).
 */
#include "cuda/conv_graph.h"

#include <string.h>

#include "base/mem.h"

enum { ALIGNMENT = 16, MOST_CONFIGS = 48, MOST_COMPILED = 2, MOST_NOTES = 16 };

/* Names of the arrays in a graph. */
enum { X = 1, W, Y, BIAS, SUM, BIASED };

/* ---- descriptors --------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t begin(struct ot_conv_graph *g, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;

    OT_BUG_IF(g->parts == OT_CONV_PARTS);
    if (!g->status)
        g->status = cudnnBackendCreateDescriptor(type, &d);
    if (g->status)
        return NULL;
    g->part[g->parts++] = d;
    return d;
}

static void set(struct ot_conv_graph *g, cudnnBackendDescriptor_t d,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                const void *v)
{
    if (!g->status)
        g->status = cudnnBackendSetAttribute(d, name, type, n, v);
}

static void set_part(struct ot_conv_graph *g, cudnnBackendDescriptor_t d,
                     cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t part)
{
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
}

static void finish(struct ot_conv_graph *g, cudnnBackendDescriptor_t d)
{
    if (!g->status)
        g->status = cudnnBackendFinalize(d);
}

static void destroy(cudnnBackendDescriptor_t d)
{
    if (d)
        (void)cudnnBackendDestroyDescriptor(d);
}

/* ---- the graph ----------------------------------------------------------------------------- */

/* (n, c, h, w) with channels last; `between` operations there is no memory behind it. */
static cudnnBackendDescriptor_t tensor(struct ot_conv_graph *g, int64_t id, bool between,
                                       cudnnDataType_t type, int64_t n, int64_t c, int64_t h,
                                       int64_t w)
{
    const int64_t dim[] = { n, c, h, w }, stride[] = { h * w * c, 1, w * c, c };
    const int64_t alignment = ALIGNMENT;
    cudnnBackendDescriptor_t d = begin(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (between)
        set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &between);
    finish(g, d);
    return d;
}

static cudnnBackendDescriptor_t convolution(struct ot_conv_graph *g,
                                            const struct ot_conv_geom *geom)
{
    const int64_t dims = 2, pad[] = { geom->ph, geom->pw }, stride[] = { geom->sh, geom->sw },
                  dilation[] = { geom->dh, geom->dw };
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = begin(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);

    set(g, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(g, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(g, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims);
    set(g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    finish(g, d);
    return d;
}

/* The convolution's way between three tensors, as alpha 1 and beta 0. */
static cudnnBackendDescriptor_t convolve(struct ot_conv_graph *g, cudnnBackendDescriptor_t conv,
                                         cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w,
                                         cudnnBackendDescriptor_t y)
{
    static const struct {
        cudnnBackendDescriptorType_t type;
        cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
    } ways[OT_CONV_WAYS] = {
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
    };

    const float alpha = 1.0f, beta = 0.0f;
    cudnnBackendDescriptor_t d = begin(g, ways[g->way].type);

    set_part(g, d, ways[g->way].conv, conv);
    set_part(g, d, ways[g->way].x, x);
    set_part(g, d, ways[g->way].w, w);
    set_part(g, d, ways[g->way].y, y);
    set(g, d, ways[g->way].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(g, d, ways[g->way].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    finish(g, d);
    return d;
}

/* to = mode(a, b), or mode(a) with b NULL */
static cudnnBackendDescriptor_t pointwise(struct ot_conv_graph *g, cudnnPointwiseMode_t mode,
                                          cudnnBackendDescriptor_t a, cudnnBackendDescriptor_t b,
                                          cudnnBackendDescriptor_t to)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t what = begin(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), d;

    set(g, what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finish(g, what);
    d = begin(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_part(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    set_part(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    if (b)
        set_part(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_part(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    finish(g, d);
    return d;
}

/* The operations; returns how many. */
static int operations(struct ot_conv_graph *g, const struct ot_conv_desc *desc,
                      cudnnBackendDescriptor_t op[3])
{
    const struct ot_conv_geom *d = &desc->g;
    const cudnnDataType_t type = desc->type == OT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t conv = convolution(g, d), x, w, y, bias, sum, biased;

    x = tensor(g, X, false, type, d->n, d->c, d->h, d->w);
    w = tensor(g, W, false, type, d->oc, d->c / d->group, d->kh, d->kw);
    y = tensor(g, Y, false, type, d->n, d->oc, d->oh, d->ow);
    if (!g->fused) {
        op[0] = convolve(g, conv, x, w, y);
        return 1;
    }
    bias = tensor(g, BIAS, false, type, 1, d->oc, 1, 1);
    sum = tensor(g, SUM, true, CUDNN_DATA_FLOAT, d->n, d->oc, d->oh, d->ow);
    op[0] = convolve(g, conv, x, w, sum);
    if (!desc->relu) {
        op[1] = pointwise(g, CUDNN_POINTWISE_ADD, sum, bias, y);
        return 2;
    }
    biased = tensor(g, BIASED, true, CUDNN_DATA_FLOAT, d->n, d->oc, d->oh, d->ow);
    op[1] = pointwise(g, CUDNN_POINTWISE_ADD, sum, bias, biased);
    op[2] = pointwise(g, CUDNN_POINTWISE_RELU_FWD, biased, NULL, y);
    return 3;
}

static cudnnBackendDescriptor_t graph(struct ot_conv_graph *g, const struct ot_conv_desc *d,
                                      const struct ot_conv_target *target)
{
    cudnnBackendDescriptor_t op[3], all;
    const int n = operations(g, d, op);

    all = begin(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(g, all, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, op);
    if (!target->device)
        set(g, all, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    finish(g, all);
    return all;
}

/* ---- its plans ----------------------------------------------------------------------------- */

/* Whether an engine keeps the promises; counts those that are compiled. */
static bool allowed(cudnnBackendDescriptor_t config, int *compiled)
{
    cudnnBackendNumericalNote_t number[MOST_NOTES];
    cudnnBackendBehaviorNote_t behaviour[MOST_NOTES];
    cudnnBackendDescriptor_t engine = NULL;
    int64_t one = 0, numbers = 0, behaviours = 0;
    bool good = !cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) &&
                !cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one, &engine) &&
                !cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                          CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &numbers,
                                          number) &&
                !cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                          CUDNN_TYPE_BEHAVIOR_NOTE, MOST_NOTES, &behaviours,
                                          behaviour) &&
                numbers <= MOST_NOTES && behaviours <= MOST_NOTES;

    for (int i = 0; good && i < numbers; i++)
        good = number[i] != CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS &&
               number[i] != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    for (int i = 0; good && i < behaviours; i++) {
        if (behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            good = ++*compiled <= MOST_COMPILED;
        else
            good = behaviour[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER &&
                   behaviour[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER;
    }
    destroy(engine);
    return good;
}

/* Tells a descriptor which GPU it is for. */
static cudnnStatus_t aim(cudnnBackendDescriptor_t d, const struct ot_conv_target *target)
{
#if CUDNN_VERSION >= 90800
    if (target->device)
        return cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->device);
#endif
    return cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                    &target->handle);
}

/* Adds the plan of a config; false, and the config stays the caller's, where there is none. */
static bool add_plan(struct ot_conv_graph *g, cudnnBackendDescriptor_t config,
                     const struct ot_conv_target *target, size_t room_bytes, int *compiled)
{
    cudnnBackendDescriptor_t plan = NULL;
    int64_t one = 0, bytes = -1;

    if (g->plans < OT_CONV_PLANS && allowed(config, compiled) &&
        !cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) &&
        !aim(plan, target) &&
        !cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config) &&
        !cudnnBackendFinalize(plan) &&
        !cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                  1, &one, &bytes) &&
        bytes >= 0 && (uint64_t)bytes <= room_bytes) {
        g->plan[g->plans++] = (struct ot_conv_plan){ config, plan, (size_t)bytes };
        return true;
    }
    destroy(plan);
    return false;
}

/* Configurations that cuDNN proposes, up to MOST_CONFIGS of them; returns how many. */
static int propose(cudnnBackendDescriptor_t heuristics, cudnnBackendDescriptor_t graph,
                   const struct ot_conv_target *target, cudnnBackendHeurMode_t mode,
                   cudnnBackendDescriptor_t config[MOST_CONFIGS])
{
    int64_t n = 0;
    int made = 0;
    cudnnStatus_t s = cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);

    s = s ? s
          : cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE,
                                     1, &mode);
#if CUDNN_VERSION >= 90800
    if (!s && target->device)
        s = cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->device);
#else
    (void)target;
#endif
    s = s ? s : cudnnBackendFinalize(heuristics);
    while (!s && made < MOST_CONFIGS &&
           !cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made]))
        made++;
    if (!s)
        s = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &n, config);
    for (int i = s ? 0 : (int)(n < made ? n : made); i < made; i++) {
        destroy(config[i]); /* not filled */
        config[i] = NULL;
    }
    return s ? 0 : (int)(n < made ? n : made);
}

static void plan_all(struct ot_conv_graph *g, cudnnBackendDescriptor_t graph,
                     const struct ot_conv_target *target, cudnnBackendHeurMode_t mode,
                     size_t room_bytes)
{
    cudnnBackendDescriptor_t heuristics = NULL, config[MOST_CONFIGS];
    int compiled = 0, n;

    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics))
        return;
    n = propose(heuristics, graph, target, mode, config);
    for (int i = 0; i < n; i++)
        if (!add_plan(g, config[i], target, room_bytes, &compiled))
            destroy(config[i]);
    destroy(heuristics);
}

/* ---- for others ---------------------------------------------------------------------------- */

struct ot_conv_graph *ot_conv_graph_open(const struct ot_conv_desc *d, enum ot_conv_way way,
                                         bool fused, const struct ot_conv_target *target,
                                         size_t room_bytes)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_conv_graph *g = ot_alloc(1, sizeof *g, &err);
    cudnnBackendDescriptor_t all;

    if (!g)
        return NULL;
    g->way = way;
    g->fused = fused;
    all = graph(g, d, target);
    if (!g->status)
        plan_all(g, all, target, CUDNN_HEUR_MODE_A, room_bytes);
    if (!g->status && !g->plans)
        plan_all(g, all, target, CUDNN_HEUR_MODE_FALLBACK, room_bytes);
    if (g->plans)
        return g;
    ot_conv_graph_close(g);
    return NULL;
}

static void drop_plan(struct ot_conv_plan *p)
{
    destroy(p->plan);
    destroy(p->config);
}

void ot_conv_graph_keep(struct ot_conv_graph *g, int k)
{
    for (int i = 0; i < g->plans; i++)
        if (i != k)
            drop_plan(&g->plan[i]);
    g->plan[0] = g->plan[k];
    g->plans = 1;
}

void ot_conv_graph_close(struct ot_conv_graph *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->plans; i++)
        drop_plan(&g->plan[i]);
    while (g->parts)
        destroy(g->part[--g->parts]);
    ot_free(g);
}

cudnnStatus_t ot_conv_graph_run(cudnnHandle_t handle, const struct ot_conv_graph *g, int k,
                                const struct ot_conv_arrays *arrays)
{
    static const int64_t id[] = { X, W, Y, BIAS };
    const void *const array[] = { arrays->x, arrays->w, arrays->y, arrays->bias };
    const int n = g->fused ? 4 : 3;
    cudnnBackendDescriptor_t pack = NULL;
    cudnnStatus_t s;

    for (int i = 0; i < n; i++)
        if ((uintptr_t)array[i] % ALIGNMENT)
            return CUDNN_STATUS_BAD_PARAM;
    s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    s = s ? s
          : cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n,
                                     id);
    s = s ? s
          : cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                     CUDNN_TYPE_VOID_PTR, n, array);
    s = s ? s
          : cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
                                     1, &arrays->room);
    s = s ? s : cudnnBackendFinalize(pack);
    s = s ? s : cudnnBackendExecute(handle, g->plan[k].plan, pack);
    destroy(pack);
    return s;
}
