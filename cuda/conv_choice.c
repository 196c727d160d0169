/*
 * conv_choice.c - which of cuDNN's algorithms a convolution takes in each direction.
 *
 * A deterministic device takes the first of cuDNN's own ranking that gives the same bits on every
 * run.  Any other tries them all once for each shape and takes the fastest, unless memory is short
 * or very many shapes have been tried (a net of ever new shapes shall train, not measure); then it
 * takes the first of the ranking.  Either way within conf.workspace_bytes, and never one that
 * rounds fp32 to half precision.  What was fastest then has to be faster than the plans of cuDNN's
 * graph interface, too (conv_contest.c).  What was chosen for a shape is kept as long as the
 * device.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cuda/conv_graph.h"

enum { MOST_RANKS = 32, MOST_MEASURED = 512 };

struct ot_cuda_choice {
    struct ot_conv_geom g; /* of which the sizes count */
    bool last, bias, relu;
    enum ot_type type;
    enum ot_conv_way way;
    cudnnStatus_t status;
    struct ot_conv_algo algo;
    struct ot_cuda_choice *next;
};

void ot_cuda_choices_free(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    for (int i = 0; i < OT_CUDA_LISTS; i++)
        while (cuda->choices[i]) {
            struct ot_cuda_choice *next = cuda->choices[i]->next;

            ot_conv_graph_close(cuda->choices[i]->algo.graph);
            ot_free(cuda->choices[i]);
            cuda->choices[i] = next;
        }
}

cudnnMathType_t ot_cuda_conv_math(const struct ot_dev *dev, enum ot_type type)
{
    if (type == OT_BF16)
        return CUDNN_TENSOR_OP_MATH;
    /* of fp32 the default allows TF32 since compute capability 8.0 */
    return ot_cuda_of(dev)->conf.compute == OT_COMPUTE_FP32 ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH;
}

/* ---- memory to measure on ------------------------------------------------------------------ */

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* All that is wanted in one piece, or with less and less workspace. */
static bool make_bench(struct ot_dev *dev, const struct ot_conv_desc *d, struct ot_conv_bench *b)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const size_t x = aligned(d->x_bytes), y = aligned(d->y_bytes), w = aligned(d->w_bytes);
    const size_t bias = aligned((size_t)d->g.oc * sizeof(float)), all = x + y + w + 2 * bias;
    const size_t least = (size_t)8 << 20;
    char *mem;

    if (b->mem || b->none)
        return b->mem;
    b->room_bytes = cuda->conf.workspace_bytes;
    while (cudaMalloc(&b->mem, all + b->room_bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        b->mem = NULL;
        b->room_bytes /= 2;
        if (b->room_bytes < least) {
            b->none = true;
            return false;
        }
    }
    mem = b->mem;
    b->x = mem;
    b->y = mem + x;
    b->w = mem + x + y;
    b->bias = mem + x + y + w;
    b->bias_f32 = mem + x + y + w + bias;
    b->room = mem + all;
    if (cudaMemsetAsync(mem, 0, all, cuda->stream) != cudaSuccess) {
        (void)cudaGetLastError();
        ot_cuda_conv_bench_free(b);
        b->none = true;
    }
    return b->mem;
}

void ot_cuda_conv_bench_free(struct ot_conv_bench *bench)
{
    if (bench->mem)
        (void)cudaFree(bench->mem); /* waits */
    bench->mem = NULL;
}

/* ---- what cuDNN says ----------------------------------------------------------------------- */

struct rank {
    struct ot_conv_algo a;
    cudnnStatus_t status;
    cudnnDeterminism_t repeats;
};

#define TAKE(rank, n, perf)                                                \
    for (int i_ = 0; i_ < (n); i_++)                                       \
        (rank)[i_] = (struct rank)                                         \
        {                                                                  \
            .a = { .algo = (int)(perf)[i_].algo,                           \
                   .bytes = (perf)[i_].memory,                             \
                   .math = (perf)[i_].mathType },                          \
            .status = (perf)[i_].status, .repeats = (perf)[i_].determinism \
        }

/* Algorithms, the best first: measured on b, or by cuDNN's rules when it is NULL. */
static cudnnStatus_t rank_forward(cudnnHandle_t dnn, const struct ot_conv_desc *d,
                                  const struct ot_conv_bench *b, struct rank *rank, int *n)
{
    cudnnConvolutionFwdAlgoPerf_t perf[MOST_RANKS];
    cudnnConvolutionDescriptor_t op = d->op[OT_CONV_FORWARD];
    cudnnStatus_t s;

    if (b)
        s = cudnnFindConvolutionForwardAlgorithmEx(dnn, d->x, b->x, d->w, b->w, op, d->y, b->y,
                                                   MOST_RANKS, n, perf, b->room, b->room_bytes);
    else
        s = cudnnGetConvolutionForwardAlgorithm_v7(dnn, d->x, d->w, op, d->y, MOST_RANKS, n, perf);
    *n = s == CUDNN_STATUS_SUCCESS ? *n : 0;
    TAKE(rank, *n, perf);
    return s;
}

static cudnnStatus_t rank_data(cudnnHandle_t dnn, const struct ot_conv_desc *d,
                               const struct ot_conv_bench *b, struct rank *rank, int *n)
{
    cudnnConvolutionBwdDataAlgoPerf_t perf[MOST_RANKS];
    cudnnConvolutionDescriptor_t op = d->op[OT_CONV_DATA];
    cudnnStatus_t s;

    if (b)
        s = cudnnFindConvolutionBackwardDataAlgorithmEx(dnn, d->w, b->w, d->y, b->y, op, d->x, b->x,
                                                        MOST_RANKS, n, perf, b->room,
                                                        b->room_bytes);
    else
        s = cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn, d->w, d->y, op, d->x, MOST_RANKS, n,
                                                        perf);
    *n = s == CUDNN_STATUS_SUCCESS ? *n : 0;
    TAKE(rank, *n, perf);
    return s;
}

static cudnnStatus_t rank_filter(cudnnHandle_t dnn, const struct ot_conv_desc *d,
                                 const struct ot_conv_bench *b, struct rank *rank, int *n)
{
    cudnnConvolutionBwdFilterAlgoPerf_t perf[MOST_RANKS];
    cudnnConvolutionDescriptor_t op = d->op[OT_CONV_FILTER];
    cudnnStatus_t s;

    if (b)
        s = cudnnFindConvolutionBackwardFilterAlgorithmEx(dnn, d->x, b->x, d->y, b->y, op, d->w,
                                                          b->w, MOST_RANKS, n, perf, b->room,
                                                          b->room_bytes);
    else
        s = cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, d->x, d->y, op, d->w, MOST_RANKS, n,
                                                          perf);
    *n = s == CUDNN_STATUS_SUCCESS ? *n : 0;
    TAKE(rank, *n, perf);
    return s;
}

/* ---- choosing ------------------------------------------------------------------------------ */

struct ot_conv_args ot_cuda_conv_on(const struct ot_conv_bench *b, enum ot_conv_way way)
{
    struct ot_conv_args args = { .a = b->x, .b = b->w, .bias = b->bias, .room = b->room };

    args.to = b->y;
    if (way != OT_CONV_FORWARD) {
        args.a = way == OT_CONV_DATA ? b->w : b->x;
        args.b = b->y;
        args.to = way == OT_CONV_DATA ? b->x : b->w;
    }
    return args;
}

static cudnnStatus_t run_graph(cudnnHandle_t dnn, enum ot_conv_way way,
                               const struct ot_conv_algo *algo, const struct ot_conv_args *args)
{
    struct ot_conv_arrays arrays = { args->a, args->b, args->to, args->bias, args->room };

    if (way == OT_CONV_DATA)
        arrays = (struct ot_conv_arrays){ args->to, args->a, args->b, NULL, args->room };
    else if (way == OT_CONV_FILTER)
        arrays = (struct ot_conv_arrays){ args->a, args->to, args->b, NULL, args->room };
    OT_BUG_IF(args->beta != 0.0f);
    return ot_conv_graph_run(dnn, algo->graph, algo->algo, &arrays);
}

cudnnStatus_t ot_cuda_conv_run(struct ot_dev *dev, const struct ot_conv_desc *d,
                               enum ot_conv_way way, const struct ot_conv_algo *algo,
                               const struct ot_conv_args *args)
{
    cudnnHandle_t dnn = ot_cuda_of(dev)->cudnn;
    cudnnConvolutionDescriptor_t op = d->op[way];
    const float one = 1.0f;

    if (algo->graph)
        return run_graph(dnn, way, algo, args);
    switch (way) {
    case OT_CONV_FORWARD:
        return cudnnConvolutionForward(dnn, &one, d->x, args->a, d->w, args->b, op,
                                       (cudnnConvolutionFwdAlgo_t)algo->algo, args->room,
                                       algo->bytes, &args->beta, d->y, args->to);
    case OT_CONV_DATA:
        return cudnnConvolutionBackwardData(dnn, &one, d->w, args->a, d->y, args->b, op,
                                            (cudnnConvolutionBwdDataAlgo_t)algo->algo, args->room,
                                            algo->bytes, &args->beta, d->x, args->to);
    case OT_CONV_FILTER:
        return cudnnConvolutionBackwardFilter(dnn, &one, d->x, args->a, d->y, args->b, op,
                                              (cudnnConvolutionBwdFilterAlgo_t)algo->algo,
                                              args->room, algo->bytes, &args->beta, d->w, args->to);
    case OT_CONV_WAYS:
        break;
    }
    return CUDNN_STATUS_BAD_PARAM;
}

/* What cuDNN says to running the algorithm; success where it cannot be tried. */
static cudnnStatus_t try_it(struct ot_dev *dev, const struct ot_conv_desc *d, enum ot_conv_way way,
                            struct ot_conv_bench *b, const struct ot_conv_algo *a)
{
    struct ot_conv_args args;
    cudnnStatus_t s;

    if (ot_cuda_recording(dev) || !make_bench(dev, d, b) || a->bytes > b->room_bytes)
        return CUDNN_STATUS_SUCCESS;
    args = ot_cuda_conv_on(b, way);
    s = ot_cuda_conv_run(dev, d, way, a, &args);
    (void)cudaGetLastError(); /* or the next kernel would find it */
    return s;
}

/* The workspace for an algorithm with the arithmetic that d->op[way] has now. */
static cudnnStatus_t ask_room(cudnnHandle_t dnn, const struct ot_conv_desc *d, enum ot_conv_way way,
                              int algo, size_t *bytes)
{
    cudnnConvolutionDescriptor_t op = d->op[way];

    if (way == OT_CONV_FORWARD)
        return cudnnGetConvolutionForwardWorkspaceSize(dnn, d->x, d->w, op, d->y,
                                                       (cudnnConvolutionFwdAlgo_t)algo, bytes);
    if (way == OT_CONV_DATA)
        return cudnnGetConvolutionBackwardDataWorkspaceSize(
            dnn, d->w, d->y, op, d->x, (cudnnConvolutionBwdDataAlgo_t)algo, bytes);
    return cudnnGetConvolutionBackwardFilterWorkspaceSize(
        dnn, d->x, d->y, op, d->w, (cudnnConvolutionBwdFilterAlgo_t)algo, bytes);
}

/* Tells cuDNN with what arithmetic the algorithm runs.  In FP32 that is no other than fp32's,
 * whatever the ranking says; its figure of the workspace was for what it says. */
static cudnnStatus_t tell_math(struct ot_dev *dev, const struct ot_conv_desc *d,
                               enum ot_conv_way way, struct ot_conv_algo *a)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const bool strict = d->type == OT_F32 && cuda->conf.compute == OT_COMPUTE_FP32;
    const bool other = strict && a->math != CUDNN_FMA_MATH;
    size_t bytes = 0;
    cudnnStatus_t s;

    if (other)
        a->math = CUDNN_FMA_MATH;
    s = cudnnSetConvolutionMathType(d->op[way], a->math);
    if (s == CUDNN_STATUS_SUCCESS && other)
        s = ask_room(cuda->cudnn, d, way, a->algo, &bytes);
    if (bytes > a->bytes)
        a->bytes = bytes;
    return s;
}

static bool allowed(const struct ot_cuda *cuda, const struct rank *r)
{
    return r->status == CUDNN_STATUS_SUCCESS && r->a.bytes <= cuda->conf.workspace_bytes &&
           (r->repeats == CUDNN_DETERMINISTIC || !cuda->conf.deterministic) &&
           r->a.math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
}

/* The first that is allowed, of those measured or of the ranking. */
static cudnnStatus_t first_of(struct ot_dev *dev, const struct ot_conv_desc *d,
                              enum ot_conv_way way, bool measure, struct ot_conv_bench *bench,
                              struct ot_conv_algo *algo)
{
    static cudnnStatus_t (*const rankings[OT_CONV_WAYS])(
        cudnnHandle_t, const struct ot_conv_desc *, const struct ot_conv_bench *, struct rank *,
        int *) = { rank_forward, rank_data, rank_filter };
    const struct ot_cuda *cuda = ot_cuda_of(dev);
    struct rank rank[MOST_RANKS];
    int n = 0;
    cudnnStatus_t none = CUDNN_STATUS_NOT_SUPPORTED,
                  s = rankings[way](cuda->cudnn, d, measure ? bench : NULL, rank, &n);

    (void)cudaGetLastError(); /* of an algorithm that was tried and did not run */
    if (s != CUDNN_STATUS_SUCCESS)
        return s;
    for (int i = 0; i < n; i++) {
        if (!allowed(cuda, &rank[i]))
            continue;
        s = tell_math(dev, d, way, &rank[i].a);
        if (s == CUDNN_STATUS_SUCCESS && rank[i].a.bytes <= cuda->conf.workspace_bytes) {
            s = try_it(dev, d, way, bench, &rank[i].a);
            if (s == CUDNN_STATUS_SUCCESS) {
                *algo = rank[i].a;
                return s;
            }
        }
        if (s != CUDNN_STATUS_SUCCESS && !ot_cuda_conv_lacks(s))
            none = s; /* says nothing of the algorithm: not kept */
    }
    return none;
}

static bool is_choice(const struct ot_cuda_choice *c, const struct ot_conv_desc *d,
                      enum ot_conv_way way)
{
    const struct ot_conv_geom *a = &c->g, *b = &d->g;

    if (way == OT_CONV_FORWARD && (c->bias != d->bias || c->relu != d->relu))
        return false;
    return c->way == way && c->last == d->last && c->type == d->type && a->n == b->n &&
           a->c == b->c && a->h == b->h && a->w == b->w && a->oc == b->oc && a->group == b->group &&
           a->kh == b->kh && a->kw == b->kw && a->sh == b->sh && a->sw == b->sw && a->ph == b->ph &&
           a->pw == b->pw && a->dh == b->dh && a->dw == b->dw && a->oh == b->oh && a->ow == b->ow;
}

static struct ot_cuda_choice **list_of(struct ot_cuda *cuda, const struct ot_conv_desc *d,
                                       enum ot_conv_way way)
{
    const struct ot_conv_geom *g = &d->g;
    const int size[] = { g->n, g->c, g->h, g->w, g->oc, g->kh, g->kw, (int)way };

    return &cuda->choices[ot_hash64(size, sizeof size) % OT_CUDA_LISTS];
}

/* Counts a choice, and says for people what there is now. */
static void count(struct ot_dev *dev, const struct ot_conv_algo *algo)
{
    struct ot_cuda_chosen *n = &ot_cuda_of(dev)->chosen;
    int at;

    n->plans += algo->graph != NULL;
    n->algos += algo->graph == NULL;
    n->fused += algo->fused;
    n->ranked += !algo->measured;
    at = snprintf(dev->chosen, sizeof dev->chosen,
                  "%d directions of convolutions: %d algorithms, %d plans (%d fused)",
                  n->algos + n->plans, n->algos, n->plans, n->fused);
    if (n->ranked && at > 0 && (size_t)at < sizeof dev->chosen)
        (void)snprintf(dev->chosen + at, sizeof dev->chosen - (size_t)at, "; %d not measured",
                       n->ranked);
}

/* A graph is not taken unless it will be `kept`, to go with the device. */
static cudnnStatus_t choose(struct ot_dev *dev, const struct ot_conv_desc *d, enum ot_conv_way way,
                            bool kept, struct ot_conv_bench *bench, struct ot_conv_algo *algo)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    if (!cuda->conf.deterministic && !cuda->recorder.on && cuda->measured < MOST_MEASURED &&
        make_bench(dev, d, bench)) {
        cuda->measured++;
        if (first_of(dev, d, way, true, bench, algo) == CUDNN_STATUS_SUCCESS) {
            algo->measured = true;
            if (kept)
                ot_cuda_conv_contest(dev, d, way, bench, algo);
            return CUDNN_STATUS_SUCCESS;
        }
    }
    return first_of(dev, d, way, false, bench, algo);
}

cudnnStatus_t ot_cuda_conv_choose(struct ot_dev *dev, const struct ot_conv_desc *d,
                                  enum ot_conv_way way, struct ot_conv_bench *bench,
                                  struct ot_conv_algo *algo)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_err none = OT_ERR_INIT;
    struct ot_cuda_choice **list = list_of(cuda, d, way), *c;
    cudnnStatus_t s;

    for (c = *list; c; c = c->next)
        if (is_choice(c, d, way)) {
            *algo = c->algo;
            return c->status ? c->status : cudnnSetConvolutionMathType(d->op[way], algo->math);
        }
    *algo = (struct ot_conv_algo){ 0 };
    c = ot_alloc(1, sizeof *c, &none); /* without it, it will be chosen again */
    s = choose(dev, d, way, c, bench, algo);
    if (!c)
        return s;
    if (s != CUDNN_STATUS_SUCCESS && !ot_cuda_conv_lacks(s)) {
        ot_free(c);
        return s;
    }
    *c = (struct ot_cuda_choice){ .g = d->g,
                                  .last = d->last,
                                  .bias = d->bias,
                                  .relu = d->relu,
                                  .type = d->type,
                                  .way = way,
                                  .status = s,
                                  .algo = *algo,
                                  .next = *list };
    *list = c;
    if (s == CUDNN_STATUS_SUCCESS)
        count(dev, algo);
    return s;
}
