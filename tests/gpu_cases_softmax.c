/*
 * gpu_cases_softmax.c - CUDA against the CPU: softmax and its loss at the sizes where another form
 * of the kernel begins, at addresses that 16 bytes do not divide, and on bad numbers.
 */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

enum { MOST = OT_RAW - 8 };

/* What is peculiar about a run. */
enum {
    IGNORE = 1 << 0,
    ALL_IGNORED = 1 << 1,
    WEIGHTS = 1 << 2,
    NO_WEIGHT = 1 << 3, /* all weights are 0 */
    FOCAL = 1 << 4,
    NANS = 1 << 5,
    INFINITE = 1 << 6,
    NO_INST = 1 << 7,
    VALID = 1 << 8
};

struct run {
    struct ot_softmax_loss_geom g;
    int what;
    size_t off, side; /* of the scores; of labels, weights and instance losses: in floats */
};

struct arrays {
    float *label, *weight, *inst, *loss;
    struct ot_loss_stats *stats;
};

static size_t count(const struct run *u)
{
    return u->g.outer * u->g.c * u->g.inner;
}

static size_t instances(const struct run *u)
{
    return u->g.outer * u->g.inner;
}

static void give(struct ot_dev *dev, const struct run *u, const struct ot_cuda_raw *r,
                 const struct arrays *a)
{
    static float v[MOST];
    const size_t n = count(u), m = instances(u);

    for (size_t i = 0; i < n; i++)
        v[i] = 16.0f * ot_rng_unit(41, OT_RNG_TEST, n, i) - 8.0f;
    for (size_t i = 3; i < n && u->what & NANS; i += n / 3 + 1)
        v[i] = NAN;
    for (size_t i = 5; i < n && u->what & INFINITE; i += n / 4 + 1)
        v[i] = i % 2 ? INFINITY : -INFINITY;
    dev->ops->upload(dev, r->x + u->off, v, n * sizeof *v);
    for (size_t i = 0; i < m; i++)
        v[i] = u->what & ALL_IGNORED || (u->what & IGNORE && i % 3 == 1)
                   ? -1.0f
                   : (float)ot_rng_below(42, OT_RNG_TEST, n, i, (uint32_t)u->g.c);
    dev->ops->upload(dev, a->label + u->side, v, m * sizeof *v);
    for (size_t i = 0; i < m; i++)
        v[i] = u->what & NO_WEIGHT ? 0.0f : ot_rng_unit(43, OT_RNG_TEST, n, i);
    dev->ops->upload(dev, a->weight + u->side, v, m * sizeof *v);
}

static void forward(struct ot_dev *dev, const struct run *u, const struct ot_cuda_raw *r,
                    const struct arrays *a, struct ot_loss_stats *stats, float *loss)
{
    dev->k->fill(dev, OT_F32, MOST, NAN, r->y);
    dev->k->softmax_loss_fwd(dev, &u->g, r->x + u->off, a->label + u->side,
                             u->what & (WEIGHTS | NO_WEIGHT) ? a->weight + u->side : NULL,
                             r->y + u->off, u->what & NO_INST ? NULL : a->inst + u->side, a->stats,
                             a->loss);
    dev->ops->download(dev, stats, a->stats, sizeof *stats);
    dev->ops->download(dev, loss, a->loss, sizeof *loss);
}

static void keep(struct ot_dev *dev, struct ot_cuda_raw *r, const float *x, size_t n)
{
    assert_true(r->n_out + n <= OT_RAW_OUT);
    dev->ops->download(dev, r->out + r->n_out, x, n * sizeof *x);
    r->n_out += n;
}

/* Twice, with the same bits: whatever counts the blocks begins anew. */
static void run(struct ot_dev *dev, const struct run *u, struct ot_cuda_raw *r,
                const struct arrays *a)
{
    const float dloss = 0.75f;
    struct ot_loss_stats stats, again;
    float loss, loss_again;
    const double m = (double)instances(u) + 1.0;

    give(dev, u, r, a);
    forward(dev, u, r, a, &stats, &loss);
    forward(dev, u, r, a, &again, &loss_again);
    assert_memory_equal(&stats, &again, sizeof stats);
    assert_memory_equal(&loss, &loss_again, sizeof loss);
    keep(dev, r, r->y + u->off, count(u));
    if (!(u->what & NO_INST))
        keep(dev, r, a->inst + u->side, instances(u));
    dev->ops->upload(dev, a->loss, &dloss, sizeof dloss);
    dev->k->fill(dev, OT_F32, MOST, NAN, r->z);
    dev->k->softmax_loss_bwd(dev, &u->g, r->y + u->off, a->label + u->side,
                             u->what & (WEIGHTS | NO_WEIGHT) ? a->weight + u->side : NULL, a->stats,
                             a->loss, r->z + u->off);
    keep(dev, r, r->z + u->off, count(u));
    r->out[r->n_out++] = (float)(stats.sum / m);
    r->out[r->n_out++] = (float)(stats.valid / m);
    r->out[r->n_out++] = (float)(stats.norm / m);
    r->out[r->n_out++] = (float)((double)loss * stats.norm / m);
}

static float *floats(struct ot_dev *dev, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    float *p = dev->ops->alloc(dev, n * sizeof *p, &err);

    assert_non_null(p);
    return p;
}

/* As many classes as said, `inner` apart; the others are the cases' variations in turn. */
static void sizes(struct ot_dev *dev, struct ot_cuda_raw *r, const size_t *c, size_t n_c,
                  size_t inner, size_t most, size_t off, size_t side)
{
    static const int what[] = { 0,
                                IGNORE | WEIGHTS | VALID,
                                FOCAL | NO_INST,
                                NANS | IGNORE,
                                ALL_IGNORED | VALID,
                                INFINITE,
                                NO_WEIGHT,
                                FOCAL | IGNORE | WEIGHTS | NANS };
    struct ot_err err = OT_ERR_INIT;
    struct arrays a = { floats(dev, MOST), floats(dev, MOST), floats(dev, MOST), floats(dev, 1),
                        dev->ops->alloc(dev, sizeof *a.stats, &err) };

    assert_non_null(a.stats);
    for (size_t i = 0; i < n_c; i++) {
        const int w = what[(i + inner + off) % (sizeof what / sizeof what[0])];
        const size_t outer = most / (c[i] * inner);
        struct run u = { .g = { .outer = outer ? outer : 1,
                                .c = c[i],
                                .inner = inner,
                                .has_ignore = w & (IGNORE | ALL_IGNORED),
                                .ignore_label = -1,
                                .norm = w & VALID ? OT_NORM_VALID : OT_NORM_FULL,
                                .focal = w & FOCAL ? 2.0f : 0.0f },
                         .what = w,
                         .off = off,
                         .side = side };

        run(dev, &u, r, &a);
    }
    dev->ops->free(dev, a.label);
    dev->ops->free(dev, a.weight);
    dev->ops->free(dev, a.inst);
    dev->ops->free(dev, a.loss);
    dev->ops->free(dev, a.stats);
}

#define CASE(name, most, inner, off, side, ...)                                   \
    static void name(struct ot_dev *dev, struct ot_cuda_raw *r)                   \
    {                                                                             \
        static const size_t c[] = { __VA_ARGS__ };                                \
                                                                                  \
        sizes(dev, r, c, sizeof c / sizeof c[0], (inner), (most), (off), (side)); \
    }
CASE(rows_short, 1900, 1, 0, 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32)
CASE(rows_short_odd, 1900, 1, 1, 1, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32)
CASE(rows_long, 3500, 1, 0, 0, 33, 36, 127, 128, 129, 132, 511, 512, 513, 516, 1000)
CASE(rows_long_odd, 3500, 1, 1, 1, 33, 36, 127, 128, 129, 132, 511, 512, 513, 516, 1000)
CASE(rows_longer, 4500, 1, 0, 0, 1023, 1024, 1025, 1028, 2047, 2052, 4100)
CASE(rows_longer_odd, 4500, 1, 3, 3, 1023, 1024, 1025, 1028, 2047, 2052, 4100)
CASE(columns_4, 2400, 44, 0, 0, 1, 2, 3, 4, 5, 9, 10, 11, 20, 21, 22, 31, 32, 33, 63)
CASE(columns_4_odd, 2400, 44, 1, 1, 1, 2, 3, 4, 5, 9, 10, 11, 20, 21, 22, 31, 32, 33, 63)
CASE(columns_1, 2400, 37, 0, 0, 1, 2, 3, 4, 5, 9, 10, 11, 20, 21, 22, 31, 32, 33, 63)
CASE(columns_2, 2400, 2, 2, 2, 1, 4, 10, 21, 32, 64, 65, 1000)
CASE(columns_tall, 9000, 33, 0, 0, 64, 65, 66, 97, 250)
CASE(columns_tall_4, 9000, 64, 1, 1, 64, 65, 72, 100, 129)
CASE(columns_side, 2400, 44, 0, 1, 3, 10, 16, 21, 32)
CASE(columns_scores, 2400, 44, 1, 0, 3, 10, 16, 21, 32)
CASE(columns_many, 24000, 500, 0, 0, 2, 21)
#undef CASE

static void rows_none(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    const struct ot_softmax_loss_geom g = { .c = 5, .inner = 1 }, planes = { .c = 5, .inner = 7 };
    struct ot_loss_stats stats;
    struct ot_err err = OT_ERR_INIT;
    struct ot_loss_stats *s = dev->ops->alloc(dev, sizeof *s, &err);
    const struct ot_softmax_loss_geom *both[] = { &g, &planes };

    assert_non_null(s);
    for (int i = 0; i < 2; i++) {
        dev->k->softmax_loss_fwd(dev, both[i], r->x, r->y, NULL, r->z, NULL, s, r->y);
        dev->k->softmax_loss_bwd(dev, both[i], r->z, r->y, NULL, s, r->y, r->z);
        dev->ops->download(dev, &stats, s, sizeof stats);
        r->out[r->n_out++] = (float)stats.sum;
        r->out[r->n_out++] = (float)stats.valid;
        r->out[r->n_out++] = (float)stats.norm;
        keep(dev, r, r->y, 1);
        keep(dev, r, r->z, 1);
    }
    dev->ops->free(dev, s);
}

/* The first bad label, as the statistics have it or as the device's failure says; to out. */
static void bad_label(struct ot_dev *dev, struct ot_cuda_raw *r, const struct ot_loss_stats *device)
{
    struct ot_loss_stats got;
    struct ot_err err = OT_ERR_INIT;
    char line[200];
    const char *at;
    int place = -1;
    float label = 0.0f;

    dev->ops->download(dev, &got, device, sizeof got);
    if (!dev->late_faults) {
        assert_true(got.bad > 0);
        place = (int)got.bad - 1;
        label = (float)got.bad_label;
    } else {
        assert_int_equal(ot_dev_ok(dev, &err), OT_EDATA);
        (void)ot_err_str(&err, line, sizeof line);
        at = strstr(line, "instance ");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "instance %d: label %f is outside", &place, &label), 2);
    }
    r->out[r->n_out++] = (float)place;
    r->out[r->n_out++] = label;
}

static void bad_labels(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const struct ot_softmax_loss_geom g[] = { { .outer = 70, .c = 6, .inner = 1 },
                                                     { .outer = 3, .c = 1100, .inner = 1 },
                                                     { .outer = 5, .c = 4, .inner = 8 },
                                                     { .outer = 5, .c = 4, .inner = 7 },
                                                     { .outer = 2, .c = 70, .inner = 9 } };
    float label[80] = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_loss_stats *s = dev->ops->alloc(dev, sizeof *s, &err);
    float *l = floats(dev, 80), *loss = floats(dev, 1);

    assert_non_null(s);
    for (size_t i = 0; i < sizeof g / sizeof g[0]; i++) {
        const size_t n = g[i].outer * g[i].inner;

        memset(label, 0, sizeof label);
        label[n - 1] = -1.0f;
        label[n / 2] = (float)g[i].c;
        dev->ops->upload(dev, l, label, sizeof label);
        dev->k->softmax_loss_fwd(dev, &g[i], r->x, l, NULL, r->y, NULL, s, loss);
        bad_label(dev, r, s);
        dev->k->label_loss_fwd(dev, OT_HINGE_L1, &g[i], r->x, l, NULL, s, loss);
        bad_label(dev, r, s);
    }
    dev->ops->free(dev, s);
    dev->ops->free(dev, l);
    dev->ops->free(dev, loss);
}

/* In place, as the layer may run. */
static void softmax_in_place(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    dev->k->softmax_fwd(dev, 7, 1500, 1, r->x, r->x);
    dev->k->softmax_fwd(dev, 11, 21, 48, r->y, r->y);
    dev->k->softmax_fwd(dev, 3, 100, 37, r->z, r->z);
    keep(dev, r, r->x, 10500);
    keep(dev, r, r->y, 11088);
    keep(dev, r, r->z, 11100);
}

const struct ot_cuda_case ot_cuda_cases_softmax[] = {
    { .name = "softmax loss, rows of up to 32 classes", .raw = rows_short },
    { .name = "softmax loss, rows of up to 32 classes, odd address", .raw = rows_short_odd },
    { .name = "softmax loss, rows of up to 1000 classes", .raw = rows_long },
    { .name = "softmax loss, rows of up to 1000 classes, odd address", .raw = rows_long_odd },
    { .name = "softmax loss, rows of up to 4100 classes", .raw = rows_longer },
    { .name = "softmax loss, rows of up to 4100 classes, odd address", .raw = rows_longer_odd },
    { .name = "softmax loss, no rows", .raw = rows_none },
    { .name = "softmax loss, columns by fours", .raw = columns_4 },
    { .name = "softmax loss, columns by fours, odd address", .raw = columns_4_odd },
    { .name = "softmax loss, columns by fours, labels at odd addresses", .raw = columns_side },
    { .name = "softmax loss, columns by fours, scores at odd addresses", .raw = columns_scores },
    { .name = "softmax loss, columns one by one", .raw = columns_1 },
    { .name = "softmax loss, two columns", .raw = columns_2 },
    { .name = "softmax loss, tall columns", .raw = columns_tall },
    { .name = "softmax loss, tall columns, odd address", .raw = columns_tall_4 },
    { .name = "softmax loss, many columns", .raw = columns_many },
    { .name = "losses of bad labels", .raw = bad_labels },
    { .name = "softmax in place", .raw = softmax_in_place },
    { .name = NULL },
};
