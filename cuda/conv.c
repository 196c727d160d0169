/*
 * conv.c - convolution through cuDNN, plain NCHW in fp32.
 *
 * The algorithm of each direction is the first that cuDNN's own ranking names which is fp32
 * without TF32, gives the same bits on every run, and needs no more than workspace_limit; it is
 * chosen when the plan is made, so the loop neither measures nor allocates.
 *
 * A deconvolution is the plan of the convolution whose gradient it is: x and y, forward and
 * backward-data change roles.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

static const size_t workspace_limit = (size_t)256 << 20;

struct conv {
    struct ot_plan base;
    struct ot_conv_geom g; /* of the convolution */
    bool transposed;       /* a deconvolution from y to x */
    cudnnTensorDescriptor_t x, y, b;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t op;
    cudnnConvolutionFwdAlgo_t fwd;
    cudnnConvolutionBwdDataAlgo_t data;
    cudnnConvolutionBwdFilterAlgo_t filter;
    size_t fwd_bytes, data_bytes, filter_bytes, y_elems, w_elems;
    int b_elems;
};

static void free_conv(struct ot_plan *plan)
{
    struct conv *p = (struct conv *)(void *)plan;

    if (p->x)
        (void)cudnnDestroyTensorDescriptor(p->x);
    if (p->y)
        (void)cudnnDestroyTensorDescriptor(p->y);
    if (p->b)
        (void)cudnnDestroyTensorDescriptor(p->b);
    if (p->w)
        (void)cudnnDestroyFilterDescriptor(p->w);
    if (p->op)
        (void)cudnnDestroyConvolutionDescriptor(p->op);
    ot_free(p);
}

static cudnnStatus_t plain(cudnnTensorDescriptor_t *d, int n, int c, int h, int w)
{
    cudnnStatus_t s = cudnnCreateTensorDescriptor(d);

    return s ? s : cudnnSetTensor4dDescriptor(*d, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w);
}

static bool describe(struct ot_dev *dev, struct conv *p)
{
    const struct ot_conv_geom *g = &p->g;

    return !ot_cudnn_bad(dev, plain(&p->x, g->n, g->c, g->h, g->w), "convolution's input") &&
           !ot_cudnn_bad(dev, plain(&p->y, g->n, g->oc, g->oh, g->ow), "convolution's output") &&
           !ot_cudnn_bad(dev, plain(&p->b, 1, p->b_elems, 1, 1), "convolution's bias") &&
           !ot_cudnn_bad(dev, cudnnCreateFilterDescriptor(&p->w), "convolution's weights") &&
           !ot_cudnn_bad(dev,
                         cudnnSetFilter4dDescriptor(p->w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW,
                                                    g->oc, g->c / g->group, g->kh, g->kw),
                         "convolution's weights") &&
           !ot_cudnn_bad(dev, cudnnCreateConvolutionDescriptor(&p->op), "convolution") &&
           !ot_cudnn_bad(dev,
                         cudnnSetConvolution2dDescriptor(p->op, g->ph, g->pw, g->sh, g->sw, g->dh,
                                                         g->dw, CUDNN_CROSS_CORRELATION,
                                                         CUDNN_DATA_FLOAT),
                         "convolution") &&
           !ot_cudnn_bad(dev, cudnnSetConvolutionGroupCount(p->op, g->group), "group") &&
           !ot_cudnn_bad(dev, cudnnSetConvolutionMathType(p->op, CUDNN_FMA_MATH), "convolution");
}

/* Whether a ranked algorithm may be taken. */
static bool fits(cudnnStatus_t s, size_t bytes, cudnnDeterminism_t repeats, cudnnMathType_t math)
{
    return s == CUDNN_STATUS_SUCCESS && bytes <= workspace_limit &&
           repeats == CUDNN_DETERMINISTIC && (math == CUDNN_FMA_MATH || math == CUDNN_DEFAULT_MATH);
}

static void none_fits(struct ot_dev *dev, const struct conv *p, const char *direction)
{
    const struct ot_conv_geom *g = &p->g;

    ot_dev_fail(dev, OT_ENOTSUP,
                "cuDNN has no %s convolution of %dx%dx%dx%d by %dx%d to %d channels within %zu MiB "
                "of workspace",
                direction, g->n, g->c, g->h, g->w, g->kh, g->kw, g->oc, workspace_limit >> 20);
}

static bool choose_forward(struct ot_dev *dev, struct conv *p)
{
    cudnnConvolutionFwdAlgoPerf_t rank[CUDNN_CONVOLUTION_FWD_ALGO_COUNT];
    int n = 0;

    if (ot_cudnn_bad(
            dev,
            cudnnGetConvolutionForwardAlgorithm_v7(ot_cuda_of(dev)->cudnn, p->x, p->w, p->op, p->y,
                                                   CUDNN_CONVOLUTION_FWD_ALGO_COUNT, &n, rank),
            "choice of a convolution"))
        return false;
    for (int i = 0; i < n; i++)
        if (fits(rank[i].status, rank[i].memory, rank[i].determinism, rank[i].mathType)) {
            p->fwd = rank[i].algo;
            p->fwd_bytes = rank[i].memory;
            return true;
        }
    none_fits(dev, p, "forward");
    return false;
}

static bool choose_data(struct ot_dev *dev, struct conv *p)
{
    cudnnConvolutionBwdDataAlgoPerf_t rank[CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT];
    int n = 0;

    if (ot_cudnn_bad(dev,
                     cudnnGetConvolutionBackwardDataAlgorithm_v7(
                         ot_cuda_of(dev)->cudnn, p->w, p->y, p->op, p->x,
                         CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT, &n, rank),
                     "choice of a convolution"))
        return false;
    for (int i = 0; i < n; i++)
        if (fits(rank[i].status, rank[i].memory, rank[i].determinism, rank[i].mathType)) {
            p->data = rank[i].algo;
            p->data_bytes = rank[i].memory;
            return true;
        }
    none_fits(dev, p, "backward data");
    return false;
}

static bool choose_filter(struct ot_dev *dev, struct conv *p)
{
    cudnnConvolutionBwdFilterAlgoPerf_t rank[CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT];
    int n = 0;

    if (ot_cudnn_bad(dev,
                     cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                         ot_cuda_of(dev)->cudnn, p->x, p->y, p->op, p->w,
                         CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT, &n, rank),
                     "choice of a convolution"))
        return false;
    for (int i = 0; i < n; i++)
        if (fits(rank[i].status, rank[i].memory, rank[i].determinism, rank[i].mathType)) {
            p->filter = rank[i].algo;
            p->filter_bytes = rank[i].memory;
            return true;
        }
    none_fits(dev, p, "backward filter");
    return false;
}

static bool choose(struct ot_dev *dev, struct conv *p, struct ot_plan_info *info)
{
    const struct ot_conv_geom *g = &p->g;
    bool back = g->training && g->need_dx;

    if (((back || !p->transposed) && !choose_forward(dev, p)) ||
        (g->training && !choose_filter(dev, p)) ||
        ((back || p->transposed) && !choose_data(dev, p)))
        return false;
    info->scratch_bytes = p->fwd_bytes;
    if (p->data_bytes > info->scratch_bytes)
        info->scratch_bytes = p->data_bytes;
    if (p->filter_bytes > info->scratch_bytes)
        info->scratch_bytes = p->filter_bytes;
    return true;
}

static void make_plan(struct ot_dev *dev, const struct ot_conv_geom *g, bool transposed,
                      struct ot_plan **plan, struct ot_plan_info *info)
{
    struct conv *p = (struct conv *)(void *)ot_cuda_plan(dev, sizeof *p, free_conv);

    *plan = NULL;
    memset(info, 0, sizeof *info);
    if (!p)
        return;
    p->g = *g;
    p->transposed = transposed;
    p->b_elems = transposed ? g->c : g->oc;
    p->y_elems = (size_t)g->n * (size_t)g->oc * (size_t)g->oh * (size_t)g->ow;
    info->y_elems = transposed ? (size_t)g->n * (size_t)g->c * (size_t)g->h * (size_t)g->w
                               : p->y_elems;
    info->w_elems = p->w_elems = (size_t)g->oc * (size_t)(g->c / g->group) * (size_t)g->kh *
                                 (size_t)g->kw;
    if (g->n > 0 && (!describe(dev, p) || !choose(dev, p, info))) {
        free_conv(&p->base);
        return;
    }
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

static const struct conv *conv_of(const struct ot_plan *plan)
{
    return (const struct conv *)(const void *)plan;
}

/* y = conv(x) */
static bool along(struct ot_dev *dev, const struct conv *p, const float *x, const float *w,
                  void *scratch, float *y, const char *what)
{
    const float one = 1.0f, zero = 0.0f;

    return !ot_cudnn_bad(dev,
                         cudnnConvolutionForward(ot_cuda_of(dev)->cudnn, &one, p->x, x, p->w, w,
                                                 p->op, p->fwd, scratch, p->fwd_bytes, &zero, p->y,
                                                 y),
                         what);
}

/* x = the gradient of conv for dy */
static bool against(struct ot_dev *dev, const struct conv *p, const float *dy, const float *w,
                    void *scratch, float *x, const char *what)
{
    const float one = 1.0f, zero = 0.0f;

    return !ot_cudnn_bad(dev,
                         cudnnConvolutionBackwardData(ot_cuda_of(dev)->cudnn, &one, p->w, w, p->y,
                                                      dy, p->op, p->data, scratch, p->data_bytes,
                                                      &zero, p->x, x),
                         what);
}

void ot_cuda_conv_fwd(struct ot_dev *dev, struct ot_plan *plan, const float *x, const float *w,
                      const float *b, void *scratch, float *y)
{
    const struct conv *p = conv_of(plan);
    const float one = 1.0f;

    if (dev->latch.code != OT_OK || p->g.n == 0 ||
        !(p->transposed ? against : along)(dev, p, x, w, scratch, y, "conv_fwd"))
        return;
    if (p->g.bias && ot_cudnn_bad(dev,
                                  cudnnAddTensor(ot_cuda_of(dev)->cudnn, &one, p->b, b, &one,
                                                 p->transposed ? p->x : p->y, y),
                                  "conv_fwd's bias"))
        return;
    if (p->g.relu)
        ot_cuda_relu_fwd(dev, OT_F32, p->y_elems, 0.0f, y, y);
}

void ot_cuda_conv_bwd_data(struct ot_dev *dev, struct ot_plan *plan, const float *w,
                           const float *dy, void *scratch, float *dx)
{
    const struct conv *p = conv_of(plan);

    if (dev->latch.code == OT_OK && p->g.n)
        (void)(p->transposed ? along : against)(dev, p, dy, w, scratch, dx, "conv_bwd_data");
}

void ot_cuda_conv_bwd_filter(struct ot_dev *dev, struct ot_plan *plan, const float *x,
                             const float *dy, void *scratch, float beta, float *dw, float *db)
{
    const struct conv *p = conv_of(plan);
    const float *large = p->transposed ? dy : x, *small = p->transposed ? x : dy;
    cudnnHandle_t dnn = ot_cuda_of(dev)->cudnn;
    const float one = 1.0f;

    if (dev->latch.code != OT_OK)
        return;
    if (p->g.n == 0) {
        if (beta == 0.0f && dw)
            ot_cuda_zero(dev, dw, p->w_elems * sizeof *dw);
        if (beta == 0.0f && db)
            ot_cuda_zero(dev, db, (size_t)p->b_elems * sizeof *db);
        return;
    }
    if (dw && ot_cudnn_bad(dev,
                           cudnnConvolutionBackwardFilter(dnn, &one, p->x, large, p->y, small,
                                                          p->op, p->filter, scratch,
                                                          p->filter_bytes, &beta, p->w, dw),
                           "conv_bwd_filter"))
        return;
    if (db)
        (void)ot_cudnn_bad(dev,
                           cudnnConvolutionBackwardBias(dnn, &one, p->transposed ? p->x : p->y, dy,
                                                        &beta, p->b, db),
                           "conv_bwd_filter's bias");
}
