/*
 * bench_gpu.c - the kernels whose limit is memory, beside a plain copy of the same device: the
 * fused SoftmaxWithLossOHEM, forward and backward, a single-precision product, and what of our own
 * trains nets: batch normalisation with scale and ReLU, ReLU and max pooling in single precision
 * and in bf16 with channels last, a solver's step, RoI and position-sensitive pooling, proposals.
 *
 * One JSON line each: milliseconds (median of rounds), bytes that must move over that time, and the
 * share of what the copy reaches.  A round is many launches between two waits, so that what a
 * launch costs the host does not count.  The bytes: every input read once, every output written
 * once; where a sum over a channel must be known before the inputs are used, they are read twice.
 * Regions are small: what they take is milliseconds, not a share.
 *
 * A format that the device does not have (bf16 on the CPU) is left out.
 *
 *     build/release/bench/bench_gpu [device=cuda] [outer c inner | small]
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "layers/anchors.h"
#include "layers/bf16_math.h"
#include "layers/bn_math.h"
#include "layers/device.h"
#include "layers/regions.h"

enum { ROUNDS = 15, IGNORED = 255, ARRAYS = 8, SEGMENTS = 160 };

/* What is measured; `small` goes through it all in a second. */
struct sizes {
    size_t outer, c, inner;   /* of the loss: scores (outer, c, inner) */
    size_t gemm;              /* side of the product */
    int n, channels, h, w;    /* of maps that are normalised and pooled */
    size_t params;            /* of the solver */
    int map_h, map_w;         /* of features with regions, an image 16 times as large */
    int deep;                 /* channels of those */
    int rois, sensitive_rois; /* of RoI pooling, of position-sensitive pooling */
    int before, after;        /* boxes before and after suppression */
    int rounds;               /* ROUNDS at most */
    double round_s;
};

/* ResNet-50's largest maps at its batch of 256, its parameters; regions of an image of 600 x 1000:
 * VGG16 with 128 RoIs, R-FCN with 300 and 21 x 7 x 7 channels. */
/* clang-format off */
static const struct sizes full = {
    .outer = 64, .c = 21, .inner = 512 * 512, .gemm = 8192,
    .n = 256, .channels = 64, .h = 112, .w = 112, .params = 25600000,
    .map_h = 38, .map_w = 63, .deep = 512, .rois = 128, .sensitive_rois = 300,
    .before = 12000, .after = 2000, .rounds = ROUNDS, .round_s = 0.05
};
static const struct sizes small = {
    .outer = 2, .c = 21, .inner = 256, .gemm = 64,
    .n = 2, .channels = 8, .h = 14, .w = 14, .params = 50000,
    .map_h = 10, .map_w = 12, .deep = 16, .rois = 9, .sensitive_rois = 11,
    .before = 500, .after = 50, .rounds = 3, .round_s = 0.0005
};

/* clang-format on */

struct bench {
    struct ot_dev *dev;
    struct sizes s;
    double copy_rate; /* bytes/s */
    bool quiet;

    /* of the row at hand */
    void *p[ARRAYS];       /* device memory */
    size_t x, y, kept;     /* bytes of its large input, of its output, of what it keeps */
    struct ot_shape shape; /* of x */
    const char *stored;    /* as what */
    enum ot_type type;
    size_t elems;
    struct ot_softmax_loss_geom loss;
    struct ot_bn_geom bn;
    struct ot_plan *plan;
    struct ot_plan_info info;
    struct ot_update_seg *segs;
    struct ot_roi_pool_geom roi;
    struct ot_psroi_pool_geom psroi;
    struct ot_proposal_geom proposal;
};

typedef void run_fn(struct bench *b);
typedef int make_fn(struct bench *b, bool bf16, struct ot_err *err);

/* ---- memory ----------------------------------------------------------------------------- */

/* Uniform values in [-2, 2), or classes with some that are ignored: a chunk made once and uploaded
 * again and again. */
static int fill(struct bench *b, void *dst, enum ot_type type, size_t n, size_t classes,
                struct ot_err *err)
{
    enum { CHUNK = 1 << 20 };

    const size_t size = ot_type_bytes(type);
    float *v = ot_alloc(CHUNK, sizeof *v, err);

    if (!v)
        return err->code;
    for (size_t i = 0; i < CHUNK && i < n; i++) {
        float u = ot_rng_unit(1, OT_RNG_TEST, (uint64_t)classes, i);

        v[i] = classes ? floorf(u * (float)classes) : 4.0f * u - 2.0f;
        if (classes && i % 50 == 0)
            v[i] = IGNORED;
        if (type == OT_BF16) { /* place i is written when 2 i has been read */
            const uint16_t half = ot_bf16_from(v[i]);

            memcpy((char *)v + i * sizeof half, &half, sizeof half);
        }
    }
    for (size_t at = 0; at < n; at += CHUNK)
        b->dev->ops->upload(b->dev, (char *)dst + at * size, v,
                            (n - at < CHUNK ? n - at : CHUNK) * size);
    b->dev->ops->sync(b->dev);
    ot_free(v);
    return ot_dev_ok(b->dev, err);
}

/* p[i]: zeros. */
static int room(struct bench *b, int i, size_t bytes, struct ot_err *err)
{
    b->p[i] = b->dev->ops->alloc(b->dev, bytes ? bytes : 1, err);
    return b->p[i] ? 0 : err->code;
}

/* p[i]: n values. */
static int values(struct bench *b, int i, enum ot_type type, size_t n, struct ot_err *err)
{
    return room(b, i, n * ot_type_bytes(type), err) || fill(b, b->p[i], type, n, 0, err) ? err->code
                                                                                         : 0;
}

static void forget(struct bench *b)
{
    for (int i = 0; i < ARRAYS; i++)
        b->dev->ops->free(b->dev, b->p[i]);
    memset(b->p, 0, sizeof b->p);
    b->dev->k->plan_free(b->dev, b->plan);
    b->plan = NULL;
    ot_free(b->segs);
    b->segs = NULL;
    b->x = b->y = b->kept = 0;
}

/* ---- the loss --------------------------------------------------------------------------- */

/* p: scores, probabilities, labels, instance losses, loss, its gradient, stats */
static int make_loss(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct sizes *s = &b->s;
    const size_t rows = s->outer * s->inner;
    const float one = 1.0f;

    (void)bf16;
    b->loss = (struct ot_softmax_loss_geom){
        .outer = s->outer, .c = s->c, .inner = s->inner, .has_ignore = true, .ignore_label = IGNORED
    };
    b->shape = (struct ot_shape){ 3, { (int)s->outer, (int)s->c, (int)s->inner } };
    b->elems = rows * s->c;
    b->x = b->elems * sizeof(float);
    b->y = rows * sizeof(float);
    if (values(b, 0, OT_F32, b->elems, err) || room(b, 1, b->x, err) || room(b, 2, b->y, err) ||
        room(b, 3, b->y, err) || room(b, 4, sizeof(float), err) || room(b, 5, sizeof(float), err) ||
        room(b, 6, sizeof(struct ot_loss_stats), err))
        return err->code;
    b->dev->ops->upload(b->dev, b->p[5], &one, sizeof one);
    if (fill(b, b->p[2], OT_F32, rows, s->c, err))
        return err->code;
    b->dev->k->softmax_loss_fwd(b->dev, &b->loss, b->p[0], b->p[2], NULL, b->p[1], b->p[3], b->p[6],
                                b->p[4]);
    return 0;
}

static void run_copy(struct bench *b)
{
    b->dev->k->copy(b->dev, OT_F32, b->elems, b->p[0], b->p[1]);
}

static void run_loss_fwd(struct bench *b)
{
    b->dev->k->softmax_loss_fwd(b->dev, &b->loss, b->p[0], b->p[2], NULL, b->p[1], b->p[3], b->p[6],
                                b->p[4]);
}

static void run_loss_bwd(struct bench *b)
{
    b->dev->k->softmax_loss_bwd(b->dev, &b->loss, b->p[1], b->p[2], NULL, b->p[6], b->p[5],
                                b->p[0]);
}

static int make_gemm(struct bench *b, bool bf16, struct ot_err *err)
{
    const size_t m = b->s.gemm;

    (void)bf16;
    b->shape = (struct ot_shape){ 3, { (int)m, (int)m, (int)m } };
    return values(b, 0, OT_F32, m * m, err) || values(b, 1, OT_F32, m * m, err) ||
                   room(b, 2, m * m * sizeof(float), err)
               ? err->code
               : 0;
}

static void run_gemm(struct bench *b)
{
    const size_t m = b->s.gemm;

    b->dev->k->gemm(b->dev, false, false, m, m, m, 1.0f, b->p[0], m, b->p[1], m, 0.0f, b->p[2], m);
}

/* ---- maps ------------------------------------------------------------------------------- */

/* *fmt and what follows from it; elems 0 where the device does not have it */
static void choose(struct bench *b, bool bf16, const struct ot_format **fmt)
{
    const struct sizes *s = &b->s;

    b->shape = ot_shape4(s->n, s->channels, s->h, s->w);
    *fmt = NULL;
    b->dev->k->format_of(b->dev, &b->shape, bf16, bf16 ? OT_BF16 : OT_F32, fmt);
    b->type = ot_type_of(*fmt);
    b->stored = *fmt ? (*fmt)->name : "nchw";
    b->elems = (b->type == OT_BF16) == bf16 ? (*fmt ? (*fmt)->elems : ot_count(&b->shape)) : 0;
    b->x = b->elems * ot_type_bytes(b->type);
}

/* p: x, y, dy, scratch, statistics; gamma, shift and their gradients behind those */
static int make_bn(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct ot_format *fmt;
    size_t c;

    choose(b, bf16, &fmt);
    if (!b->elems)
        return 0;
    b->bn = (struct ot_bn_geom){ .n = (size_t)b->s.n,
                                 .c = (size_t)b->s.channels,
                                 .inner = (size_t)b->s.h * (size_t)b->s.w,
                                 .block = fmt && fmt->block ? fmt->block : 1,
                                 .type = b->type };
    c = ot_bn_channels(&b->bn);
    if (values(b, 0, b->type, b->elems, err) || room(b, 1, b->x, err) ||
        values(b, 2, b->type, b->elems, err) || room(b, 3, ot_bn_scratch(&b->bn), err) ||
        values(b, 4, OT_F32, 7 * c, err))
        return err->code;
    b->dev->k->bn_stats(b->dev, &b->bn, 1e-5f, b->p[0], b->p[3], b->p[4]);
    return 0;
}

static void run_bn_stats(struct bench *b)
{
    b->dev->k->bn_stats(b->dev, &b->bn, 1e-5f, b->p[0], b->p[3], b->p[4]);
}

static void run_bn_fwd(struct bench *b)
{
    const size_t c = ot_bn_channels(&b->bn);
    float *stat = b->p[4];

    b->dev->k->bn_affine_fwd(b->dev, &b->bn, true, b->p[0], stat, stat + 3 * c, stat + 4 * c, NULL,
                             b->p[1]);
}

static void run_bn_bwd(struct bench *b)
{
    const size_t c = ot_bn_channels(&b->bn);
    float *stat = b->p[4];

    b->dev->k->bn_affine_sums(b->dev, &b->bn, true, b->p[0], stat, stat + 3 * c, stat + 4 * c,
                              b->p[2], b->p[3], 0.0f, stat + 5 * c, stat + 6 * c);
    b->dev->k->bn_affine_grad(b->dev, &b->bn, false, true, b->p[0], stat, stat + 3 * c,
                              stat + 4 * c, b->p[2], b->p[3], b->p[1]);
}

/* With something added, and gradients of two readers; p besides: other or y, dother, dy2 */
static int make_bn_add(struct bench *b, bool bf16, struct ot_err *err)
{
    if (make_bn(b, bf16, err) < 0 || !b->elems)
        return err->code;
    return values(b, 5, b->type, b->elems, err) || room(b, 6, b->x, err) ||
                   values(b, 7, b->type, b->elems, err)
               ? err->code
               : 0;
}

static void run_bn_add_fwd(struct bench *b)
{
    const size_t c = ot_bn_channels(&b->bn);
    float *stat = b->p[4];

    b->dev->k->bn_affine_fwd(b->dev, &b->bn, true, b->p[0], stat, stat + 3 * c, stat + 4 * c,
                             b->p[5], b->p[1]);
}

static void run_bn_add_bwd(struct bench *b)
{
    const size_t c = ot_bn_channels(&b->bn);
    float *stat = b->p[4];

    b->dev->k->bn_add_sums(b->dev, &b->bn, true, b->p[0], stat, b->p[5], b->p[2], b->p[7], b->p[3],
                           0.0f, stat + 5 * c, stat + 6 * c, b->p[6]);
    b->dev->k->bn_affine_grad(b->dev, &b->bn, false, false, b->p[0], stat, stat + 3 * c,
                              stat + 4 * c, b->p[6], b->p[3], b->p[1]);
}

/* p: x or y, dy, result */
static int make_relu(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct ot_format *fmt;

    choose(b, bf16, &fmt);
    if (!b->elems)
        return 0;
    return values(b, 0, b->type, b->elems, err) || values(b, 1, b->type, b->elems, err) ||
                   room(b, 2, b->x, err)
               ? err->code
               : 0;
}

static void run_relu_fwd(struct bench *b)
{
    b->dev->k->relu_fwd(b->dev, b->type, b->elems, 0.0f, b->p[0], b->p[2]);
}

static void run_relu_bwd(struct bench *b)
{
    b->dev->k->relu_bwd(b->dev, b->type, b->elems, 0.0f, b->p[0], b->p[1], b->p[2]);
}

static int pooled(int n) /* by 3 in steps of 2, as Caffe counts */
{
    return (n - 3 + 1) / 2 + 1;
}

/* p: x, y or dy, scratch, where the maxima were, dx */
static int make_pool(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct sizes *s = &b->s;
    const struct ot_pool_geom g = {
        OT_POOL_MAX, s->n, s->channels, s->h, s->w, pooled(s->h), pooled(s->w), 3,
        3,           2,    2,           0,    0,    true
    };
    const struct ot_format *fmt;

    choose(b, bf16, &fmt);
    if (!b->elems)
        return 0;
    b->dev->k->pool_plan(b->dev, &g, fmt, &b->plan, &b->info);
    if (ot_dev_ok(b->dev, err))
        return err->code;
    fmt = b->info.x; /* the CPU's own */
    b->elems = fmt ? fmt->elems : ot_count(&b->shape);
    b->stored = fmt ? fmt->name : "nchw";
    b->x = b->elems * ot_type_bytes(b->type);
    b->y = b->info.y_elems * ot_type_bytes(b->type);
    b->kept = b->info.ws_bytes;
    if (values(b, 0, b->type, b->elems, err) || room(b, 1, b->y, err) ||
        room(b, 2, b->info.scratch_bytes, err) || room(b, 3, b->kept, err) || room(b, 4, b->x, err))
        return err->code;
    b->dev->k->pool_fwd(b->dev, b->plan, b->p[0], b->p[2], b->p[3], b->p[1]);
    return 0;
}

static void run_pool_fwd(struct bench *b)
{
    b->dev->k->pool_fwd(b->dev, b->plan, b->p[0], b->p[2], b->p[3], b->p[1]);
}

static void run_pool_bwd(struct bench *b)
{
    b->dev->k->pool_bwd(b->dev, b->plan, NULL, NULL, b->p[1], b->p[3], b->p[2], b->p[4]);
}

/* ---- parameters ------------------------------------------------------------------------- */

/* p: weights, gradients, history, in as many pieces as ResNet-50 has, large and small */
static int make_solver(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct ot_step step = { .iter = 1, .lr = 1e-6f };
    size_t at = 0;

    (void)bf16;
    b->elems = b->s.params;
    b->shape = ot_shape1((int)b->elems);
    b->x = b->elems * sizeof(float);
    b->segs = ot_alloc(SEGMENTS, sizeof *b->segs, err);
    if (!b->segs)
        return err->code;
    for (int i = 0; i < 3; i++)
        if (values(b, i, OT_F32, b->elems, err))
            return err->code;
    for (int i = 0; i < SEGMENTS; i++) {
        const size_t left = b->elems - at;
        const size_t n = i == SEGMENTS - 1 ? left : (i % 2 ? left / 20 : left / 4000) + 1;

        b->segs[i] = (struct ot_update_seg){ .w = (float *)b->p[0] + at,
                                             .g = (float *)b->p[1] + at,
                                             .h = (float *)b->p[2] + at,
                                             .n = n < left ? n : left,
                                             .lr_mult = 1.0f,
                                             .decay = 1e-4f };
        at += b->segs[i].n;
    }
    ot_dev_step(b->dev, &step);
    return 0;
}

static void run_sgd(struct bench *b)
{
    const struct ot_update_rule rule = {
        .kind = OT_UPDATE_SGD, .iter_size = 1, .clip = -1.0, .momentum = 0.9f
    };

    b->dev->k->solver_update(b->dev, &rule, b->segs, SEGMENTS, NULL);
}

/* ---- regions ---------------------------------------------------------------------------- */

/* p[i]: n boxes of 32 to 400 pixels in the image */
static int boxes(struct bench *b, int i, int n, struct ot_err *err)
{
    const float h = 16.0f * (float)b->s.map_h, w = 16.0f * (float)b->s.map_w;
    const size_t bytes = 5 * (size_t)n * sizeof(float);
    float *roi = ot_alloc((size_t)n, 5 * sizeof *roi, err);

    if (!roi)
        return err->code;
    for (int r = 0; r < n; r++) {
        float u[4], *v = roi + 5 * (size_t)r;

        for (uint32_t k = 0; k < 4; k++)
            u[k] = ot_rng_unit(2, OT_RNG_TEST, (uint64_t)r, k);
        v[1] = floorf(u[0] * (w - 32.0f));
        v[2] = floorf(u[1] * (h - 32.0f));
        v[3] = fminf(w - 1.0f, v[1] + 32.0f + floorf(368.0f * u[2]));
        v[4] = fminf(h - 1.0f, v[2] + 32.0f + floorf(368.0f * u[3]));
    }
    if (!room(b, i, bytes, err)) {
        b->dev->ops->upload(b->dev, b->p[i], roi, bytes);
        b->dev->ops->sync(b->dev);
    }
    ot_free(roi);
    return err->code;
}

/* p: x, RoIs, where the maxima were, y or dy, dx */
static int make_roi(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct sizes *s = &b->s;
    size_t out;

    (void)bf16;
    b->roi = (struct ot_roi_pool_geom){ 1, s->deep, s->map_h, s->map_w, s->rois, 7, 7, 0.0625f };
    b->shape = ot_shape4(s->rois, s->deep, s->map_h, s->map_w);
    b->x = (size_t)s->deep * (size_t)s->map_h * (size_t)s->map_w * sizeof(float);
    out = 49 * (size_t)s->rois * (size_t)s->deep;
    b->y = out * sizeof(float);
    b->kept = out * sizeof(int32_t);
    if (values(b, 0, OT_F32, b->x / sizeof(float), err) || boxes(b, 1, s->rois, err) ||
        room(b, 2, b->kept, err) || values(b, 3, OT_F32, out, err) || room(b, 4, b->x, err))
        return err->code;
    b->dev->k->roi_pool_fwd(b->dev, &b->roi, b->p[0], b->p[1], b->p[2], b->p[3]);
    return 0;
}

static void run_roi_fwd(struct bench *b)
{
    b->dev->k->roi_pool_fwd(b->dev, &b->roi, b->p[0], b->p[1], b->p[2], b->p[3]);
}

static void run_roi_bwd(struct bench *b)
{
    b->dev->k->roi_pool_bwd(b->dev, &b->roi, b->p[1], b->p[2], b->p[3], b->p[4]);
}

/* p: x, RoIs, y or dy, dx */
static int make_psroi(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct sizes *s = &b->s;
    const size_t cells = (size_t)s->map_h * (size_t)s->map_w;
    const size_t out = 21 * 49 * (size_t)s->sensitive_rois;

    (void)bf16;
    b->psroi =
        (struct ot_psroi_pool_geom){ 1, 21, 7, s->map_h, s->map_w, s->sensitive_rois, 0.0625f };
    b->shape = ot_shape4(s->sensitive_rois, 21 * 49, s->map_h, s->map_w);
    b->x = 21 * 49 * cells * sizeof(float);
    b->y = out * sizeof(float);
    return values(b, 0, OT_F32, 21 * 49 * cells, err) || boxes(b, 1, s->sensitive_rois, err) ||
                   values(b, 2, OT_F32, out, err) || room(b, 3, b->x, err)
               ? err->code
               : 0;
}

static void run_psroi_fwd(struct bench *b)
{
    b->dev->k->psroi_pool_fwd(b->dev, &b->psroi, b->p[0], b->p[1], b->p[2]);
}

static void run_psroi_bwd(struct bench *b)
{
    b->dev->k->psroi_pool_bwd(b->dev, &b->psroi, b->p[1], b->p[2], b->p[3]);
}

/* p: probabilities, deltas, image, scratch, RoIs, scores */
static int make_proposal(struct bench *b, bool bf16, struct ot_err *err)
{
    const struct sizes *s = &b->s;
    struct ot_proposal_geom *g = &b->proposal;
    const float info[] = { 16.0f * (float)s->map_h, 16.0f * (float)s->map_w, 1.0f };
    size_t anchors;

    (void)bf16;
    *g = (struct ot_proposal_geom){ .n = 1,
                                    .h = s->map_h,
                                    .w = s->map_w,
                                    .pre = s->before,
                                    .post = s->after,
                                    .nms_thresh = 0.7f,
                                    .min_size = 16.0f };
    if (ot_anchors_make(NULL, &g->anchors, err))
        return err->code;
    anchors = (size_t)g->anchors.a * (size_t)g->h * (size_t)g->w;
    b->shape = (struct ot_shape){ 2, { s->before, s->after } };
    b->x = 6 * anchors * sizeof(float);
    b->y = 6 * (size_t)s->after * sizeof(float);
    if (values(b, 0, OT_F32, 2 * anchors, err) || values(b, 1, OT_F32, 4 * anchors, err) ||
        room(b, 2, sizeof info, err) || room(b, 3, ot_proposal_scratch(g), err) ||
        room(b, 4, 5 * (size_t)s->after * sizeof(float), err) ||
        room(b, 5, (size_t)s->after * sizeof(float), err))
        return err->code;
    /* a tenth: boxes move by up to a fifth of their size */
    b->dev->k->axpby(b->dev, OT_F32, 4 * anchors, 0.1f, b->p[1], 0.0f, b->p[1]);
    b->dev->ops->upload(b->dev, b->p[2], info, sizeof info);
    b->dev->ops->sync(b->dev);
    return 0;
}

static void run_proposal(struct bench *b)
{
    b->dev->k->proposal(b->dev, &b->proposal, b->p[0], b->p[1], b->p[2], b->p[3], b->p[4], b->p[5]);
}

/* ---- all of them ------------------------------------------------------------------------ */

/* x, y, kept: how often each array of that size is read or written */
static const struct row {
    const char *name;
    make_fn *make;
    run_fn *run;
    size_t x, y, kept;
    bool both; /* in bf16 too */
} table[] = {
    { "copy", make_loss, run_copy, 2, 0, 0, false },
    { "softmax_loss_fwd", make_loss, run_loss_fwd, 2, 2, 0, false },
    { "softmax_loss_bwd", make_loss, run_loss_bwd, 2, 1, 0, false },
    { "gemm", make_gemm, run_gemm, 0, 0, 0, false },
    { "bn_stats", make_bn, run_bn_stats, 1, 0, 0, true },
    { "bn_scale_relu_fwd", make_bn, run_bn_fwd, 2, 0, 0, true },
    { "bn_scale_relu_bwd", make_bn, run_bn_bwd, 5, 0, 0, true },
    { "bn_scale_add_relu_fwd", make_bn_add, run_bn_add_fwd, 3, 0, 0, true },
    { "bn_scale_add_relu_bwd", make_bn_add, run_bn_add_bwd, 8, 0, 0, true },
    { "relu_fwd", make_relu, run_relu_fwd, 2, 0, 0, true },
    { "relu_bwd", make_relu, run_relu_bwd, 3, 0, 0, true },
    { "max_pool_fwd", make_pool, run_pool_fwd, 1, 1, 1, true },
    { "max_pool_bwd", make_pool, run_pool_bwd, 1, 1, 1, true },
    { "sgd", make_solver, run_sgd, 6, 0, 0, false },
    { "roi_pool_fwd", make_roi, run_roi_fwd, 1, 1, 1, false },
    { "roi_pool_bwd", make_roi, run_roi_bwd, 1, 1, 1, false },
    { "psroi_pool_fwd", make_psroi, run_psroi_fwd, 1, 1, 0, false },
    { "psroi_pool_bwd", make_psroi, run_psroi_bwd, 1, 1, 0, false },
    { "proposal", make_proposal, run_proposal, 1, 1, 0, false },
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Seconds of one launch. */
static double median_s(struct bench *b, run_fn *run)
{
    double s[ROUNDS], at;
    int launches;

    for (int i = 0; i < 3; i++)
        run(b);
    b->dev->ops->sync(b->dev);
    at = ot_now_s();
    run(b);
    b->dev->ops->sync(b->dev);
    launches = (int)fmax(1.0, fmin(200.0, b->s.round_s / (ot_now_s() - at)));
    for (int r = 0; r < b->s.rounds; r++) {
        at = ot_now_s();
        for (int i = 0; i < launches; i++)
            run(b);
        b->dev->ops->sync(b->dev);
        s[r] = (ot_now_s() - at) / launches;
    }
    qsort(s, (size_t)b->s.rounds, sizeof *s, by_value);
    return s[b->s.rounds / 2];
}

static void put(const struct bench *b, const struct row *r, double s, size_t bytes)
{
    const double rate = (double)bytes / s;

    ot_out("{\"kernel\": \"%s\", \"device\": \"%s\", \"stored\": \"%s\", \"shape\": [", r->name,
           b->dev->what, b->stored);
    for (int i = 0; i < b->shape.nd; i++)
        ot_out("%s%d", i ? ", " : "", b->shape.dim[i]);
    ot_out("], \"ms\": %.5f, ", 1e3 * s);
    if (bytes)
        ot_out("\"bytes\": %zu, \"bytes_per_s\": %.5g, \"of_copy\": %.4f}\n", bytes, rate,
               rate / b->copy_rate);
    else
        ot_out("\"flop_per_s\": %.5g}\n", 2.0 * pow((double)b->s.gemm, 3.0) / s);
}

static int measure(struct bench *b, const struct row *r, bool bf16, struct ot_err *err)
{
    size_t bytes;
    double s;

    b->type = OT_F32;
    b->stored = "plain";
    b->elems = 0;
    if (r->make(b, bf16, err) || ot_dev_ok(b->dev, err))
        return ot_err_wrap(err, "%s", r->name);
    if (bf16 && !b->elems)
        return 0;
    s = median_s(b, r->run);
    if (ot_dev_ok(b->dev, err))
        return ot_err_wrap(err, "%s", r->name);
    bytes = r->x * b->x + r->y * b->y + r->kept * b->kept;
    if (b->copy_rate == 0.0)
        b->copy_rate = (double)bytes / s;
    if (!b->quiet)
        put(b, r, s, bytes);
    return 0;
}

/* A row that fails does not keep the others from being measured; the first failure counts. */
static int run_all(struct bench *b, struct ot_err *err)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int bf16 = 0; bf16 <= table[i].both; bf16++) {
            struct ot_err bad = OT_ERR_INIT;

            (void)measure(b, &table[i], bf16, &bad);
            forget(b);
            if (bad.code != OT_OK && err->code == OT_OK)
                *err = bad;
            if (b->copy_rate == 0.0)
                return err->code;
        }
    return err->code;
}

static bool read_sizes(int argc, char **argv, struct sizes *s)
{
    *s = full;
    if (argc == 3 && !strcmp(argv[2], "small"))
        *s = small;
    else if (argc == 5) {
        s->outer = strtoul(argv[2], NULL, 10);
        s->c = strtoul(argv[3], NULL, 10);
        s->inner = strtoul(argv[4], NULL, 10);
    } else if (argc > 2) {
        return false;
    }
    return s->outer && s->c && s->inner;
}

int main(int argc, char **argv)
{
    struct ot_err err = OT_ERR_INIT;
    struct bench b = { .copy_rate = 0.0 };

    if (!read_sizes(argc, argv, &b.s)) {
        ot_log(OT_LOG_ERROR, "bench_gpu", "usage: bench_gpu [device] [outer c inner | small]");
        return 64;
    }
    b.dev = ot_dev_open(argc > 1 ? argv[1] : "cuda", 0, &err);
    if (b.dev)
        (void)run_all(&b, &err);
    if (err.code != OT_OK)
        ot_log_err("bench_gpu", &err);
    ot_dev_close(b.dev);
    return ot_exit_code(err.code);
}
