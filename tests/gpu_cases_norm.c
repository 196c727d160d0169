/* gpu_cases_norm.c - cases of the normalising layers and of convolution's relatives. */
#include "layers/bf16_math.h"
#include "layers/bn_math.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

#define BN(param)  "layer { type: 'BatchNorm' bottom: 'a' top: 'b' batch_norm_param { " param " } }"
#define LRN(param) "layer { type: 'LRN' bottom: 'a' top: 'b' lrn_param { " param " } }"

/* Variances that somebody could have measured. */
static void give_statistics(struct ot_mini *m)
{
    for (size_t i = 0; i < m->param[1].n; i++)
        m->param[1].v[i] = m->param[1].v[i] * m->param[1].v[i] + 0.1f;
    m->param[2].v[0] = 2.5f;
}

/* ---- normalising, scale, shift, sum and ReLU in one pass ----------------------------------- */

struct affine { /* all of the device; other: what is added, and a second gradient */
    struct ot_bn_geom g;
    struct ot_tensor x, dy, other, y, dother;
    double *scratch;
    float *stat, *gamma, *shift, *dgamma, *dshift;
};

typedef void run_fn(struct ot_dev *dev, struct ot_cuda_raw *r, const struct affine *a);

static void *room(struct ot_dev *dev, size_t bytes)
{
    struct ot_err err = OT_ERR_INIT;
    void *p = dev->ops->alloc(dev, bytes, &err);

    assert_non_null(p);
    return p;
}

/* A blob that the device keeps so, with the values of `plain` (OT_RAW of them) as bf16 has them. */
static struct ot_tensor stored(struct ot_dev *dev, const struct ot_shape *shape, bool last,
                               enum ot_type type, float *plain)
{
    static float host[OT_RAW];
    const struct ot_tensor from = { *shape, NULL, ot_count(shape), plain };
    struct ot_tensor t = from;

    dev->ops->download(dev, host, plain, sizeof host);
    for (size_t i = 0; i < OT_RAW; i++)
        host[i] = ot_bf16_to(ot_bf16_from(host[i]));
    dev->ops->upload(dev, plain, host, sizeof host);
    dev->k->format_of(dev, shape, last, type, &t.fmt);
    if (t.fmt)
        t.elems = t.fmt->elems;
    t.data = room(dev, (t.elems + 1) * sizeof(float));
    dev->k->reorder(dev, &from, &t);
    return t;
}

static void take(struct ot_dev *dev, struct ot_cuda_raw *r, const float *from, size_t n)
{
    assert_true(r->n_out + n <= OT_RAW_OUT);
    dev->ops->download(dev, r->out + r->n_out, from, n * sizeof(float));
    r->n_out += n;
}

static void take_blob(struct ot_dev *dev, struct ot_cuda_raw *r, const struct ot_tensor *t)
{
    const struct ot_tensor plain = { t->shape, NULL, ot_count(&t->shape), r->z };

    dev->k->reorder(dev, t, &plain);
    take(dev, r, r->z, plain.elems);
}

/* Backward in its two halves, with fixed statistics and no gradient of parameters in one. */
static void affine_bwd(struct ot_dev *dev, const struct affine *a, bool fixed, bool relu,
                       const float *shift, float beta, float *dgamma, float *dshift)
{
    const struct ot_kernels *k = dev->k;

    if (dgamma || dshift || !fixed)
        k->bn_affine_sums(dev, &a->g, relu, a->x.data, a->stat, a->gamma, shift, a->dy.data,
                          a->scratch, beta, dgamma, dshift);
    k->bn_affine_grad(dev, &a->g, fixed, relu, a->x.data, a->stat, a->gamma, shift, a->dy.data,
                      a->scratch, a->y.data);
}

/* Each combination of ReLU and a second gradient, of something added; `dgamma` once not wanted. */
static void run_add(struct ot_dev *dev, struct ot_cuda_raw *r, const struct affine *a)
{
    const struct ot_kernels *k = dev->k;

    for (int way = 0; way < 4; way++) {
        const bool relu = way % 2, two = way / 2;

        k->bn_affine_fwd(dev, &a->g, relu, a->x.data, a->stat, a->gamma, two ? a->shift : NULL,
                         a->other.data, a->y.data);
        take_blob(dev, r, &a->y);
        k->bn_add_sums(dev, &a->g, relu, a->x.data, a->stat, relu ? a->y.data : NULL, a->dy.data,
                       two ? a->other.data : NULL, a->scratch, (float)two,
                       way == 2 ? NULL : a->dgamma, a->dshift, a->dother.data);
        take_blob(dev, r, &a->dother);
        k->bn_affine_grad(dev, &a->g, way == 3, false, a->x.data, a->stat, a->gamma, NULL,
                          a->dother.data, a->scratch, a->y.data);
        take_blob(dev, r, &a->y);
        take(dev, r, a->dgamma, a->g.c);
        take(dev, r, a->dshift, a->g.c);
    }
}

/* Each combination of ReLU and fixed statistics; gradients overwritten, added to, not wanted. */
static void run_affine(struct ot_dev *dev, struct ot_cuda_raw *r, const struct affine *a)
{
    const struct ot_kernels *k = dev->k;

    for (int way = 0; way < 4; way++) {
        const bool relu = way % 2, fixed = way / 2, shifts = way != 1;

        k->bn_affine_fwd(dev, &a->g, relu, a->x.data, a->stat, a->gamma, shifts ? a->shift : NULL,
                         NULL, a->y.data);
        take_blob(dev, r, &a->y);
        affine_bwd(dev, a, fixed, relu, shifts ? a->shift : NULL, way < 2 ? 0.0f : 1.0f,
                   way == 3 ? NULL : a->dgamma, shifts ? a->dshift : NULL);
        take_blob(dev, r, &a->y);
        take(dev, r, a->dgamma, a->g.c);
        take(dev, r, a->dshift, a->g.c);
    }
    affine_bwd(dev, a, true, true, a->shift, 0.0f, NULL, NULL);
    take_blob(dev, r, &a->y);
}

static void case_of(struct ot_dev *dev, struct ot_cuda_raw *r, struct ot_shape shape, bool last,
                    enum ot_type type, run_fn *run)
{
    struct affine a = { .x = stored(dev, &shape, last, type, r->x),
                        .dy = stored(dev, &shape, last, type, r->y),
                        .other = stored(dev, &shape, last, type, r->z) };
    const size_t c = (size_t)ot_dim(&shape, 1);
    float *p;

    a.y = a.dother = a.x;
    a.y.data = room(dev, (a.y.elems + 1) * sizeof(float));
    a.dother.data = room(dev, (a.y.elems + 1) * sizeof(float));
    a.g = (struct ot_bn_geom){ .n = (size_t)shape.dim[0],
                               .c = c,
                               .inner = ot_count_range(&shape, 2, shape.nd),
                               .block = a.x.fmt && a.x.fmt->block ? a.x.fmt->block : 1,
                               .type = ot_type_of(a.x.fmt) };
    if (a.g.inner == 1)
        a.g.block = c;
    a.scratch = room(dev, ot_bn_scratch(&a.g));
    p = room(dev, 7 * c * sizeof *p);
    a.stat = p;
    a.gamma = p + 3 * c;
    a.shift = p + 4 * c;
    a.dgamma = p + 5 * c;
    a.dshift = p + 6 * c;
    dev->k->copy(dev, OT_F32, 4 * c, r->z, a.gamma);
    dev->k->bn_stats(dev, &a.g, 1e-3f, a.x.data, a.scratch, a.stat);
    run(dev, r, &a);
    dev->ops->sync(dev);
    dev->ops->free(dev, a.x.data);
    dev->ops->free(dev, a.dy.data);
    dev->ops->free(dev, a.other.data);
    dev->ops->free(dev, a.y.data);
    dev->ops->free(dev, a.dother.data);
    dev->ops->free(dev, a.scratch);
    dev->ops->free(dev, p);
}

static void plain_cases(struct ot_dev *dev, struct ot_cuda_raw *r, run_fn *run)
{
    case_of(dev, r, ot_shape4(3, 7, 9, 11), false, OT_F32, run);
    case_of(dev, r, ot_shape4(37, 19, 1, 1), false, OT_F32, run);
}

static void last_cases(struct ot_dev *dev, struct ot_cuda_raw *r, enum ot_type type, run_fn *run)
{
    case_of(dev, r, ot_shape4(3, 8, 9, 11), true, type, run);
    case_of(dev, r, ot_shape4(2, 65, 3, 5), true, type, run);
    case_of(dev, r, ot_shape4(3, 264, 3, 3), true, type, run);
}

static void raw_affine_plain(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    plain_cases(dev, r, run_affine);
}

static void raw_affine_last(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    last_cases(dev, r, OT_F32, run_affine);
}

static void raw_affine_bf16(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    last_cases(dev, r, OT_BF16, run_affine);
}

static void raw_add_plain(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    plain_cases(dev, r, run_add);
}

static void raw_add_last(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    last_cases(dev, r, OT_F32, run_add);
}

static void raw_add_bf16(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    last_cases(dev, r, OT_BF16, run_add);
}

/* 20 channels in blocks of 16; what is in padding is 0 before and after. */
static void raw_affine_blocks(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    const struct ot_bn_geom g = { 3, 20, 11, 16, OT_F32 };
    const size_t n = 3 * 32 * 11;
    double *scratch = room(dev, ot_bn_scratch(&g));

    for (int relu = 0; relu < 2; relu++) {
        float *stat = r->y + 20000, *d = r->y + 30000, *sum = r->z + 5000;

        dev->k->bn_stats(dev, &g, 1e-3f, r->x, scratch, stat);
        dev->k->bn_affine_fwd(dev, &g, relu, r->x, stat, r->y + 5000, r->y + 6000, NULL, r->z);
        take(dev, r, r->z, n);
        dev->k->bn_affine_sums(dev, &g, relu, r->x, stat, r->y + 5000, r->y + 6000, r->y, scratch,
                               (float)relu, d, d + 20);
        dev->k->bn_affine_grad(dev, &g, false, relu, r->x, stat, r->y + 5000, r->y + 6000, r->y,
                               scratch, r->z);
        take(dev, r, r->z, n);
        take(dev, r, d, 40);
        dev->k->bn_affine_fwd(dev, &g, relu, r->x, stat, r->y + 5000, NULL, r->z, sum);
        take(dev, r, sum, n);
        dev->k->bn_add_sums(dev, &g, relu, r->x, stat, sum, r->z, relu ? NULL : sum, scratch, 0.0f,
                            d, d + 20, r->z + 10000);
        take(dev, r, r->z + 10000, n);
        take(dev, r, d, 40);
    }
    dev->ops->sync(dev);
    dev->ops->free(dev, scratch);
}

const struct ot_cuda_case ot_cuda_cases_norm[] = {
    { .name = "normalise, scale, shift, ReLU", .raw = raw_affine_plain },
    { .name = "normalise, scale, shift, ReLU, channels last", .raw = raw_affine_last },
    { .name = "normalise, scale, shift, ReLU, bf16", .raw = raw_affine_bf16, .tol = 1.0 / 128 },
    { .name = "normalise, scale, shift, ReLU, in blocks", .raw = raw_affine_blocks },
    { .name = "normalise, scale, shift, add, ReLU", .raw = raw_add_plain },
    { .name = "normalise, scale, shift, add, ReLU, channels last", .raw = raw_add_last },
    { .name = "normalise, scale, shift, add, ReLU, bf16", .raw = raw_add_bf16, .tol = 1.0 / 128 },
    { .name = "batch normalisation",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 3, 7, 9, 11 } } },
      .give = give_statistics },
    { .name = "batch normalisation, many images",
      .text = BN("moving_average_fraction: 0.9"),
      .n_in = 1,
      .in = { { 4, { 130, 5, 3, 2 } } },
      .give = give_statistics },
    { .name = "batch normalisation, of rows",
      .text = BN(""),
      .n_in = 1,
      .in = { { 2, { 37, 19 } } },
      .give = give_statistics },
    { .name = "batch normalisation, running statistics",
      .text = BN("use_global_stats: true"),
      .n_in = 1,
      .in = { { 4, { 3, 7, 9, 11 } } },
      .give = give_statistics },
    { .name = "response normalisation, across channels",
      .text = LRN("alpha: 2 k: 2 beta: 0.6"),
      .n_in = 1,
      .in = { { 4, { 2, 9, 7, 6 } } } },
    { .name = "response normalisation, within channels",
      .text = LRN("norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 7, 6 } } } },
    { .name = "batch normalisation, 8 channels",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 2, 8, 5, 7 } } },
      .give = give_statistics },
    { .name = "batch normalisation, 32 channels",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 3, 32, 9, 11 } } },
      .give = give_statistics },
    { .name = "batch normalisation, 65 channels",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 2, 65, 3, 5 } } },
      .give = give_statistics },
    { .name = "batch normalisation, 264 channels, many images",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 70, 264, 3, 3 } } },
      .give = give_statistics },
    { .name = "batch normalisation, 17 channels of one place",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 5, 17, 1, 1 } } },
      /* of five values; dx loses what it has in common with y, which is stored in bf16 */
      .bf16 = 1.0 / 64,
      .give = give_statistics },
    { .name = "batch normalisation, one channel",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 3, 1, 5, 7 } } },
      .give = give_statistics },
    { .name = "batch normalisation, no image",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 0, 8, 3, 3 } } },
      .give = give_statistics },
    { .name = "batch normalisation, of rows of 64",
      .text = BN(""),
      .n_in = 1,
      .in = { { 2, { 37, 64 } } },
      .give = give_statistics },
    { .name = "batch normalisation, running statistics of 16 channels",
      .text = BN("use_global_stats: true"),
      .n_in = 1,
      .in = { { 4, { 3, 16, 3, 5 } } },
      .give = give_statistics },
    { .name = "response normalisation, across five of 8 channels",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 8, 5, 7 } } } },
    { .name = "response normalisation, across five of 96 channels",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 1, 96, 3, 5 } } } },
    { .name = "response normalisation, across five of 17 channels",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 17, 5, 3 } } } },
    { .name = "response normalisation, across five of 5 channels",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 5, 3, 3 } } } },
    { .name = "response normalisation, across five of one channel",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 3, 1, 4, 4 } } } },
    { .name = "response normalisation, across five of 3 channels",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 3, 5 } } } },
    { .name = "response normalisation, across five of one place",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 3, 32, 1, 1 } } } },
    { .name = "response normalisation, across five of no image",
      .text = LRN("alpha: 2 k: 2"),
      .n_in = 1,
      .in = { { 4, { 0, 8, 3, 3 } } } },
    { .name = "response normalisation, within 16 channels",
      .text = LRN("norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 16, 5, 6 } } } },
    { .name = "response normalisation, across nine channels",
      .text = LRN("local_size: 9 alpha: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 24, 3, 5 } } } },
    { .name = NULL },
};
