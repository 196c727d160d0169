/*
 * gpu_cases_solver.c - CUDA against the CPU: a solver's step over parameters of the sizes where a
 * block's share ends, at addresses that 16 bytes do not divide, and over more parameters than one
 * launch takes; the norm of their gradients.
 */
#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

enum { HALF = OT_RAW / 2, MOST_SEGS = 1300 };

/* Parameters of n[i % n_n] elements, `gap` elements apart, as long as there is room; histories are
 * squares where a root is drawn of them. */
static int cut(struct ot_dev *dev, const struct ot_cuda_raw *r, const size_t *n, int n_n, int most,
               size_t gap, bool squares, struct ot_update_seg *seg)
{
    const float *twice[] = { r->z, r->z };
    size_t at = gap;
    int i = 0;

    if (squares)
        dev->k->eltwise_prod_fwd(dev, OT_F32, OT_RAW, 2, twice, r->z);
    for (; i < most && at + n[i % n_n] <= HALF; i++) {
        seg[i] = (struct ot_update_seg){ .w = r->x + at,
                                         .g = r->y + at,
                                         .h = r->z + at,
                                         .h2 = r->z + HALF + at,
                                         .n = n[i % n_n],
                                         .lr_mult = (float)(i % 7),
                                         .decay = 0.001f * (float)(i % 3) };
        at += n[i % n_n] + gap;
    }
    return i;
}

static void keep(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    const float *const from[] = { r->x, r->y, r->z };

    for (int i = 0; i < 3; i++, r->n_out += OT_RAW)
        dev->ops->download(dev, r->out + r->n_out, from[i], OT_RAW * sizeof(float));
}

/* Clipped; two steps with different rates. */
static void update(struct ot_dev *dev, struct ot_cuda_raw *r, enum ot_update_kind kind,
                   const size_t *n, int n_n, size_t gap, int wanted)
{
    static struct ot_update_seg seg[MOST_SEGS];
    const struct ot_update_rule rule = { .kind = kind,
                                         .iter_size = 3,
                                         .clip = 20.0,
                                         .momentum = 0.9f,
                                         .momentum2 = 0.99f,
                                         .delta = 1e-3f,
                                         .rms_decay = 0.95f };
    const int nseg = cut(dev, r, n, n_n, MOST_SEGS, gap, kind >= OT_UPDATE_ADAGRAD, seg);

    assert_true(nseg >= wanted);
    for (int i = 0; i < 2; i++) {
        const struct ot_step step = { .lr = 0.01f * (float)(i + 1), .correction = 0.7f };

        ot_dev_step(dev, &step);
        dev->k->grad_norm(dev, seg, nseg, r->sum);
        dev->k->solver_update(dev, &rule, seg, nseg, r->sum);
    }
    keep(dev, r);
}

static const size_t chunks[] = { 4096, 4097, 1, 0, 4095, 3, 7000 }, small[] = { 13, 16, 0, 19 };

#define STEPS(name, layout, kind, n, gap, wanted)                            \
    static void name##_##layout(struct ot_dev *dev, struct ot_cuda_raw *r)   \
    {                                                                        \
        update(dev, r, kind, n, (int)(sizeof n / sizeof n[0]), gap, wanted); \
    }
#define BOTH(name, kind)                  \
    STEPS(name, even, kind, chunks, 0, 7) \
    STEPS(name, odd, kind, chunks, 3, 7)
BOTH(sgd, OT_UPDATE_SGD)
BOTH(nesterov, OT_UPDATE_NESTEROV)
BOTH(adagrad, OT_UPDATE_ADAGRAD)
BOTH(rmsprop, OT_UPDATE_RMSPROP)
BOTH(adadelta, OT_UPDATE_ADADELTA)
BOTH(adam, OT_UPDATE_ADAM)
STEPS(sgd, many, OT_UPDATE_SGD, small, 1, 1200) /* 900 that are not empty */
STEPS(adam, many, OT_UPDATE_ADAM, small, 1, 1200)
#undef BOTH
#undef STEPS

/* Twice each, with the same bits. */
static void norms(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static struct ot_update_seg seg[MOST_SEGS];

    static const struct {
        const size_t *n;
        int n_n, most;
        size_t gap;
    } list[] = { { chunks, 7, 7, 0 }, { chunks, 7, 7, 1 },     { small, 4, MOST_SEGS, 0 },
                 { small, 4, 64, 1 }, { small, 4, 65, 1 },     { chunks + 3, 1, 5, 0 },
                 { chunks, 1, 1, 0 }, { chunks + 2, 1, 1, 0 }, { chunks, 7, 0, 0 } };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        const int n = cut(dev, r, list[i].n, list[i].n_n, list[i].most, list[i].gap, false, seg);
        double sum, again;

        dev->k->grad_norm(dev, seg, n, r->sum);
        dev->ops->download(dev, &sum, r->sum, sizeof sum);
        dev->k->grad_norm(dev, seg, n, r->sum);
        dev->ops->download(dev, &again, r->sum, sizeof again);
        assert_memory_equal(&sum, &again, sizeof sum);
        r->out[r->n_out++] = (float)sum;
        assert_true(i < 8 || sum == 0.0);
    }
}

const struct ot_cuda_case ot_cuda_cases_solver[] = {
    { .name = "step of SGD, shares of blocks", .raw = sgd_even },
    { .name = "step of SGD, odd addresses", .raw = sgd_odd },
    { .name = "step of SGD, more than a launch takes", .raw = sgd_many },
    { .name = "step of Nesterov, shares of blocks", .raw = nesterov_even },
    { .name = "step of Nesterov, odd addresses", .raw = nesterov_odd },
    { .name = "step of AdaGrad, shares of blocks", .raw = adagrad_even },
    { .name = "step of AdaGrad, odd addresses", .raw = adagrad_odd },
    { .name = "step of RMSProp, shares of blocks", .raw = rmsprop_even },
    { .name = "step of RMSProp, odd addresses", .raw = rmsprop_odd },
    { .name = "step of AdaDelta, shares of blocks", .raw = adadelta_even },
    { .name = "step of AdaDelta, odd addresses", .raw = adadelta_odd },
    { .name = "step of Adam, shares of blocks", .raw = adam_even },
    { .name = "step of Adam, odd addresses", .raw = adam_odd },
    { .name = "step of Adam, more than a launch takes", .raw = adam_many },
    { .name = "norms of gradients", .raw = norms, .tol = 1e-6 },
    { .name = NULL },
};
