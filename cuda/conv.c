/*
 * conv.c - convolution through cuDNN.
 *
 * What is computed in FP32 stays in plain order.  TF32 and BF16 want channels last, for which
 * tensor cores are made: x and y are kept so by the net, and so are the weights, which are fp32
 * always.  With BF16 a bf16 copy of the weights is made for each call, and gradients of weights,
 * which cuDNN gives in bf16, are added to those in fp32.  Some plans add the bias, in the blobs'
 * type, and take the ReLU before they store.  Where cuDNN has no algorithm for that
 * (conv_choice.c), plain order is tried, then fp32 in plain order.  Other biases and all their
 * gradients are kernels of our own, in fp32.
 *
 * A deconvolution is the plan of the convolution whose gradient it is: x and y, forward and
 * backward-data change roles.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/conv_i.h"

struct conv {
    struct ot_plan base;
    struct ot_conv_desc d;
    bool transposed; /* a deconvolution from y to x */
    struct ot_conv_algo algo[OT_CONV_WAYS];
    size_t w_elems, w_room; /* bytes in scratch of weights, or their gradients, as cuDNN has them */
    size_t bias_room;       /* and of biases */
    struct ot_channels out; /* of what forward makes */
};

/* How x, y and w may be kept. */
struct layout {
    bool last;
    enum ot_type type;
};

/* ---- describing ---------------------------------------------------------------------------- */

static void drop_desc(struct ot_conv_desc *d)
{
    if (d->x)
        (void)cudnnDestroyTensorDescriptor(d->x);
    if (d->y)
        (void)cudnnDestroyTensorDescriptor(d->y);
    if (d->w)
        (void)cudnnDestroyFilterDescriptor(d->w);
    for (int i = 0; i < OT_CONV_WAYS; i++)
        if (d->op[i])
            (void)cudnnDestroyConvolutionDescriptor(d->op[i]);
    d->x = d->y = NULL;
    d->w = NULL;
    memset(d->op, 0, sizeof d->op);
}

static void free_conv(struct ot_plan *plan)
{
    struct conv *p = (struct conv *)(void *)plan;

    drop_desc(&p->d);
    ot_free(p);
}

static cudnnDataType_t type_of(enum ot_type type)
{
    return type == OT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

static size_t count4(int n, int c, int h, int w)
{
    return (size_t)n * (size_t)c * (size_t)h * (size_t)w;
}

static cudnnStatus_t describe_blob(cudnnTensorDescriptor_t *t, struct layout l, int n, int c, int h,
                                   int w)
{
    cudnnStatus_t s = cudnnCreateTensorDescriptor(t);

    return s ? s
             : cudnnSetTensor4dDescriptor(*t, l.last ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW,
                                          type_of(l.type), n, c, h, w);
}

static cudnnStatus_t describe_op(cudnnConvolutionDescriptor_t *op, const struct ot_conv_geom *g,
                                 cudnnMathType_t math)
{
    cudnnStatus_t s = cudnnCreateConvolutionDescriptor(op);

    s = s ? s
          : cudnnSetConvolution2dDescriptor(*op, g->ph, g->pw, g->sh, g->sw, g->dh, g->dw,
                                            CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
    s = s ? s : cudnnSetConvolutionGroupCount(*op, g->group);
    return s ? s : cudnnSetConvolutionMathType(*op, math);
}

static cudnnStatus_t describe(struct ot_dev *dev, struct ot_conv_desc *d, struct layout l)
{
    const struct ot_conv_geom *g = &d->g;
    const size_t bytes = ot_type_bytes(l.type);
    cudnnStatus_t s;

    drop_desc(d);
    d->last = l.last;
    d->type = l.type;
    d->x_bytes = bytes * count4(g->n, g->c, g->h, g->w);
    d->y_bytes = bytes * count4(g->n, g->oc, g->oh, g->ow);
    d->w_bytes = bytes * count4(g->oc, g->c / g->group, g->kh, g->kw);
    s = describe_blob(&d->x, l, g->n, g->c, g->h, g->w);
    s = s ? s : describe_blob(&d->y, l, g->n, g->oc, g->oh, g->ow);
    s = s ? s : cudnnCreateFilterDescriptor(&d->w);
    s = s ? s
          : cudnnSetFilter4dDescriptor(d->w, type_of(l.type),
                                       l.last ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW, g->oc,
                                       g->c / g->group, g->kh, g->kw);
    for (int i = 0; i < OT_CONV_WAYS; i++)
        s = s ? s : describe_op(&d->op[i], g, ot_cuda_conv_math(dev, l.type));
    return s;
}

/* ---- planning ------------------------------------------------------------------------------ */

/* Whether the plan will be asked for this way. */
static bool wants(const struct conv *p, enum ot_conv_way way)
{
    const struct ot_conv_geom *g = &p->d.g;
    const bool forward = way == (p->transposed ? OT_CONV_DATA : OT_CONV_FORWARD);

    return forward || (g->training && (g->need_dx || way == OT_CONV_FILTER));
}

/* Describes and chooses; not latched. */
static cudnnStatus_t prepare(struct ot_dev *dev, struct conv *p, struct layout l)
{
    struct ot_conv_bench bench = { 0 };
    cudnnStatus_t s = describe(dev, &p->d, l);

    for (int way = 0; way < OT_CONV_WAYS; way++) {
        if (s || !wants(p, (enum ot_conv_way)way))
            continue;
        s = ot_cuda_conv_choose(dev, &p->d, (enum ot_conv_way)way, &bench, &p->algo[way]);
    }
    ot_cuda_conv_bench_free(&bench);
    return s;
}

static void none_fits(struct ot_dev *dev, const struct conv *p)
{
    const struct ot_conv_geom *g = &p->d.g;

    ot_dev_fail(dev, OT_ENOTSUP,
                "cuDNN has no%s convolution of %dx%dx%dx%d by %dx%d to %d channels within %zu MiB "
                "of workspace",
                ot_cuda_of(dev)->conf.deterministic ? " deterministic" : "", g->n, g->c, g->h, g->w,
                g->kh, g->kw, g->oc, ot_cuda_of(dev)->conf.workspace_bytes >> 20);
}

/* The first layout for which cuDNN has algorithms. */
static bool settle(struct ot_dev *dev, struct conv *p)
{
    static const struct layout layouts[] = {
        { true, OT_BF16 }, { false, OT_BF16 }, { true, OT_F32 }, { false, OT_F32 }
    };
    const enum ot_compute compute = ot_cuda_of(dev)->conf.compute;
    const bool plain = p->d.g.plain || compute == OT_COMPUTE_FP32;
    cudnnStatus_t s = CUDNN_STATUS_NOT_SUPPORTED;

    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if ((layouts[i].type == OT_BF16 && compute != OT_COMPUTE_BF16) ||
            (plain && (layouts[i].last || layouts[i].type != OT_F32)))
            continue;
        p->d.last = layouts[i].last;
        p->d.type = layouts[i].type;
        if (p->d.g.n == 0) /* nothing to compute */
            return true;
        s = prepare(dev, p, layouts[i]);
        if (s == CUDNN_STATUS_SUCCESS)
            return true;
    }
    if (ot_cuda_conv_lacks(s))
        none_fits(dev, p);
    else
        (void)ot_cudnn_bad(dev, s, "choice of a convolution");
    return false;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Scratch is weights, biases, workspace.  No graph adds to what is there. */
static void lay_out(struct conv *p, struct ot_plan_info *info)
{
    const bool own_w = p->d.type == OT_BF16 || p->algo[OT_CONV_FILTER].graph;
    const size_t bias = (size_t)p->d.g.oc * ot_type_bytes(p->d.type);
    size_t most = 0;

    p->w_room = own_w ? rounded(p->d.w_bytes) : 0;
    p->bias_room = p->algo[OT_CONV_FORWARD].fused ? rounded(bias) : 0;
    for (int way = 0; way < OT_CONV_WAYS; way++)
        if (p->algo[way].bytes > most)
            most = p->algo[way].bytes;
    info->scratch_bytes = p->w_room + p->bias_room + most;
}

static void tell(struct ot_dev *dev, struct conv *p, struct ot_plan_info *info)
{
    const struct ot_conv_geom *g = &p->d.g;
    const struct ot_shape x = ot_shape4(g->n, g->c, g->h, g->w),
                          y = ot_shape4(g->n, g->oc, g->oh, g->ow),
                          w = ot_shape4(g->oc, g->c / g->group, g->kh, g->kw);
    const struct ot_format *fx = ot_cuda_format(dev, &x, p->d.last, p->d.type),
                           *fy = ot_cuda_format(dev, &y, p->d.last, p->d.type);
    const struct ot_shape *out = p->transposed ? &x : &y;

    info->x = p->transposed ? fy : fx;
    info->y = p->transposed ? fx : fy;
    info->w = ot_cuda_format(dev, &w, p->d.last, OT_F32);
    info->y_elems = ot_count(out);
    info->w_elems = p->w_elems = ot_count(&w);
    lay_out(p, info);
    p->out = (struct ot_channels){ .outer = (size_t)out->dim[0],
                                   .c = (size_t)out->dim[1],
                                   .inner = (size_t)out->dim[2] * (size_t)out->dim[3],
                                   .block = info->y ? info->y->block : 1,
                                   .type = p->d.type };
}

static void make_plan(struct ot_dev *dev, const struct ot_conv_geom *g, bool transposed,
                      struct ot_plan **plan, struct ot_plan_info *info)
{
    struct conv *p = (struct conv *)(void *)ot_cuda_plan(dev, sizeof *p, free_conv);

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->d.g = *g;
    p->transposed = transposed;
    p->d.bias = g->bias && !transposed;
    p->d.relu = g->relu && !transposed;
    if (!settle(dev, p)) {
        free_conv(&p->base);
        return;
    }
    tell(dev, p, info);
    *plan = &p->base;
}

void ot_cuda_conv_plan(struct ot_dev *dev, const struct ot_conv_geom *g, const struct ot_format *x,
                       struct ot_plan **plan, struct ot_plan_info *info)
{
    (void)x;
    make_plan(dev, g, false, plan, info);
}

void ot_cuda_deconv_plan(struct ot_dev *dev, const struct ot_conv_geom *g,
                         const struct ot_format *x, struct ot_plan **plan,
                         struct ot_plan_info *info)
{
    struct ot_conv_geom conv = *g;

    (void)x;
    conv.c = g->oc;
    conv.h = g->oh;
    conv.w = g->ow;
    conv.oc = g->c;
    conv.oh = g->h;
    conv.ow = g->w;
    make_plan(dev, &conv, true, plan, info);
}

/* ---- running ------------------------------------------------------------------------------- */

static const struct conv *conv_of(const struct ot_plan *plan)
{
    return (const struct conv *)(const void *)plan;
}

/* The weights as cuDNN reads them. */
static const void *weights(struct ot_dev *dev, const struct conv *p, const float *w, void *scratch)
{
    if (p->d.type == OT_F32)
        return w;
    ot_cuda_to_bf16(dev, p->w_elems, w, scratch);
    return scratch;
}

/* The biases as what is fused reads them. */
static const void *biases(struct ot_dev *dev, const struct conv *p, const float *b, void *scratch)
{
    void *to = (char *)scratch + p->w_room;

    if (p->d.type == OT_BF16)
        ot_cuda_to_bf16(dev, p->out.c, b, to);
    else
        ot_cuda_move(dev, to, b, p->out.c * sizeof *b);
    return to;
}

static void *workspace(const struct conv *p, void *scratch)
{
    return scratch ? (char *)scratch + p->w_room + p->bias_room : NULL;
}

/* y = conv(x), or with `against` x = the gradient of conv for y; bias NULL: none is fused */
static void convolve(struct ot_dev *dev, const struct conv *p, bool against, const float *from,
                     const float *w, const void *bias, void *scratch, float *to, const char *what)
{
    const enum ot_conv_way way = against ? OT_CONV_DATA : OT_CONV_FORWARD;
    const void *cw = weights(dev, p, w, scratch);
    const struct ot_conv_args args = { .a = against ? cw : from,
                                       .b = against ? from : cw,
                                       .bias = bias,
                                       .room = workspace(p, scratch),
                                       .to = to };

    if (dev->latch.code == OT_OK)
        (void)ot_cudnn_bad(dev, ot_cuda_conv_run(dev, &p->d, way, &p->algo[way], &args), what);
}

void ot_cuda_conv_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                      const float *b, void *scratch, float *y)
{
    const struct conv *p = conv_of(plan);
    const bool fused = !p->transposed && p->algo[OT_CONV_FORWARD].fused;
    const void *bias;

    if (dev->latch.code != OT_OK || p->d.g.n == 0)
        return;
    bias = fused ? biases(dev, p, b, scratch) : NULL;
    convolve(dev, p, p->transposed, x, w, bias, scratch, y, "conv_fwd");
    if (!fused)
        ot_cuda_bias(dev, &p->out, p->d.g.bias ? b : NULL, p->d.g.relu, y);
}

void ot_cuda_conv_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w,
                           const float *dy, void *scratch, float *dx)
{
    const struct conv *p = conv_of(plan);

    if (dev->latch.code == OT_OK && p->d.g.n)
        convolve(dev, p, !p->transposed, dy, w, NULL, scratch, dx, "conv_bwd_data");
}

static void weight_gradient(struct ot_dev *dev, const struct conv *p, const float *x,
                            const float *dy, void *scratch, float beta, float *dw)
{
    const struct ot_conv_algo *algo = &p->algo[OT_CONV_FILTER];
    const bool adds = p->d.type == OT_F32 && !algo->graph;
    const bool copy = p->d.type != OT_F32 || (algo->graph && beta != 0.0f);
    const struct ot_conv_args args = { .a = p->transposed ? dy : x,
                                       .b = p->transposed ? x : dy,
                                       .room = workspace(p, scratch),
                                       .beta = adds ? beta : 0.0f,
                                       .to = copy ? scratch : dw };

    if (ot_cudnn_bad(dev, ot_cuda_conv_run(dev, &p->d, OT_CONV_FILTER, algo, &args),
                     "conv_bwd_filter"))
        return;
    if (p->d.type == OT_BF16)
        ot_cuda_from_bf16(dev, p->w_elems, scratch, beta, dw);
    else if (copy)
        ot_cuda_axpby(dev, OT_F32, p->w_elems, 1.0f, scratch, beta, dw);
}

void ot_cuda_conv_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                             const float *dy, void *scratch, float beta, float *dw, float *db)
{
    const struct conv *p = conv_of(plan);

    if (dev->latch.code != OT_OK)
        return;
    if (p->d.g.n == 0) {
        if (beta == 0.0f && dw)
            ot_cuda_zero(dev, dw, p->w_elems * sizeof *dw);
        if (beta == 0.0f && db)
            ot_cuda_zero(dev, db, p->out.c * sizeof *db);
        return;
    }
    if (dw)
        weight_gradient(dev, p, x, dy, scratch, beta, dw);
    if (db)
        ot_cuda_bias_grad(dev, &p->out, dy, beta, db);
}
