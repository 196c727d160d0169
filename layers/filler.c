/*
 * filler.c - Caffe's weight fillers, with counter-based numbers: element i depends on (seed,
 * stream, i) only, so a net's start does not depend on the order its layers were made in.
 *
 * fan_in = count / shape[0], fan_out = count / shape[1] (shape of the blob, whatever it means), n
 * by variance_norm: xavier is uniform in +-sqrt(3 / n) (Glorot and Bengio 2010), msra normal with
 * variance 2 / n (He et al. 2015).
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "layers/layer.h"

struct fill {
    const Caffe__FillerParameter *f;
    const struct ot_shape *shape;
    uint64_t seed, stream;
    size_t n;
};

static float unit(const struct fill *c, size_t i)
{
    return ot_rng_unit(c->seed, OT_RNG_FILL, c->stream, i);
}

static void fill_uniform(const struct fill *c, float lo, float hi, float *out)
{
    for (size_t i = 0; i < c->n; i++)
        out[i] = lo + (hi - lo) * unit(c, i);
}

static void fill_gaussian(const struct fill *c, double mean, double std, float *out)
{
    for (size_t i = 0; i < c->n; i++)
        out[i] = (float)(mean + std * ot_rng_normal(c->seed, OT_RNG_FILL, c->stream, i));
}

static int constant(const struct fill *c, float *out, struct ot_err *err)
{
    (void)err;
    for (size_t i = 0; i < c->n; i++)
        out[i] = c->f ? c->f->value : 0.0f;
    return 0;
}

static int uniform(const struct fill *c, float *out, struct ot_err *err)
{
    (void)err;
    fill_uniform(c, c->f->min, c->f->max, out);
    return 0;
}

/* sparse s: each weight survives with probability s / shape[0]; that many per output, on average */
static int gaussian(const struct fill *c, float *out, struct ot_err *err)
{
    double keep = c->f->sparse >= 0 && c->shape->nd ? (double)c->f->sparse / c->shape->dim[0] : 1;

    if (c->f->sparse < -1)
        return ot_fail(err, OT_ECONFIG, "sparse: must be >= 0, or -1 for dense, got %d",
                       c->f->sparse);
    fill_gaussian(c, (double)c->f->mean, (double)c->f->std, out);
    for (size_t i = 0; keep < 1 && i < c->n; i++)
        if ((double)ot_rng_unit(c->seed, OT_RNG_FILL, c->stream, c->n + i) >= keep)
            out[i] = 0.0f;
    return 0;
}

static double fan(const struct fill *c)
{
    double n = (double)c->n;
    double in = c->shape->nd > 0 && c->shape->dim[0] ? n / c->shape->dim[0] : n;
    double out = c->shape->nd > 1 && c->shape->dim[1] ? n / c->shape->dim[1] : n;

    switch (c->f->variance_norm) {
    case CAFFE__FILLER_PARAMETER__VARIANCE_NORM__FAN_OUT:
        return out;
    case CAFFE__FILLER_PARAMETER__VARIANCE_NORM__AVERAGE:
        return (in + out) / 2;
    default:
        return in;
    }
}

static int xavier(const struct fill *c, float *out, struct ot_err *err)
{
    float scale = (float)sqrt(3.0 / fan(c));

    (void)err;
    fill_uniform(c, -scale, scale, out);
    return 0;
}

static int msra(const struct fill *c, float *out, struct ot_err *err)
{
    (void)err;
    fill_gaussian(c, 0, sqrt(2.0 / fan(c)), out);
    return 0;
}

/* The values of each output are uniform and add up to 1. */
static int positive_unitball(const struct fill *c, float *out, struct ot_err *err)
{
    size_t rows = c->shape->nd ? (size_t)c->shape->dim[0] : 1, cols = rows ? c->n / rows : 0;

    (void)err;
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;

        for (size_t i = r * cols; i < (r + 1) * cols; i++) {
            out[i] = unit(c, i);
            sum += (double)out[i];
        }
        for (size_t i = r * cols; sum > 0 && i < (r + 1) * cols; i++)
            out[i] = (float)((double)out[i] / sum);
    }
    return 0;
}

/* Weights of a bilinear upsampling by f = ceil(k / 2), centre (2 f - 1 - f % 2) / (2 f). */
static int bilinear(const struct fill *c, float *out, struct ot_err *err)
{
    int k = c->shape->nd == 4 ? c->shape->dim[3] : 0, f = (k + 1) / 2;
    double centre;
    char text[OT_SHAPE_TEXT];

    if (k < 1 || c->shape->dim[2] != k)
        return ot_fail(err, OT_ECONFIG,
                       "type: \"bilinear\" needs 4 axes and a square kernel, got %s",
                       ot_shape_str(c->shape, text));
    centre = (2.0 * f - 1 - f % 2) / (2.0 * f);
    for (size_t i = 0; i < c->n; i++) {
        double x = (double)(i % (size_t)k), y = (double)(i / (size_t)k % (size_t)k);

        out[i] = (float)((1 - fabs(x / f - centre)) * (1 - fabs(y / f - centre)));
    }
    return 0;
}

static const struct {
    const char *type;
    int (*fill)(const struct fill *c, float *out, struct ot_err *err);
} fillers[] = {
    { "constant", constant }, { "uniform", uniform }, { "gaussian", gaussian },
    { "xavier", xavier },     { "msra", msra },       { "positive_unitball", positive_unitball },
    { "bilinear", bilinear },
};

int ot_fill(const Caffe__FillerParameter *f, const struct ot_shape *shape, uint64_t seed,
            uint64_t stream, float *out, struct ot_err *err)
{
    struct fill c = { f, shape, seed, stream, ot_count(shape) };

    if (!f)
        return constant(&c, out, err);
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++)
        if (!strcmp(fillers[i].type, f->type))
            return fillers[i].fill(&c, out, err);
    return ot_fail(err, OT_ECONFIG,
                   "type: must be constant, uniform, gaussian, xavier, msra, positive_unitball or "
                   "bilinear, got \"%s\"",
                   f->type);
}
