/*
 * spp.c - SPP, spatial pyramid pooling: level i pools into 2^i x 2^i bins, MAX or AVE; the levels
 * follow each other in (N, C * sum of bins).  A pyramid of height 1 keeps (N, C, 1, 1), as Caffe.
 *
 * A bin is ceil(size / 2^i) places, without overlap; what is missing is padded, half of it (rounded
 * up) before the image.  Plain order throughout; only pooling's places are kept for backward.
 */
#include <string.h>

#include "layers/layer.h"
#include "layers/pool_math.h"

enum { MAX_LEVELS = 12 };

struct level {
    struct ot_pool_geom g;
    struct ot_plan *plan;
    size_t cols, at; /* values of an item, and where they begin in the output's row */
    size_t ws;       /* offset in ws[0] */
};

struct spp {
    int n;
    enum ot_pool_kind kind;
    struct level level[MAX_LEVELS];
    size_t cols; /* of the output */
    size_t part; /* floats of the largest level */
};

static int spp_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__SPPParameter *p = l->conf->spp_param;
    struct spp *s = l->state;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "spp_param is missing");
    if (p->pyramid_height < 1 || p->pyramid_height > MAX_LEVELS)
        return ot_layer_fail(l, err, p, "pyramid_height", OT_ECONFIG,
                             "pyramid_height: must be in [1, %d], got %u", MAX_LEVELS,
                             p->pyramid_height);
    if (p->pool == CAFFE__SPPPARAMETER__POOL_METHOD__STOCHASTIC)
        return ot_layer_fail(l, err, p, "pool", OT_ENOTSUP,
                             "pool: must be MAX or AVE, got STOCHASTIC");
    s->n = (int)p->pyramid_height;
    s->kind = p->pool == CAFFE__SPPPARAMETER__POOL_METHOD__MAX ? OT_POOL_MAX : OT_POOL_AVE;
    return 0;
}

static void bins(int size, int count, int *kernel, int *stride, int *pad, int *out)
{
    *kernel = *stride = (size + count - 1) / count;
    *pad = (*kernel * count - size + 1) / 2;
    *out = ot_pool_out(size, *kernel, *stride, *pad, true);
}

static int spp_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct spp *s = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (x->nd != 4 || x->dim[2] < 1 || x->dim[3] < 1)
        return ot_fail(err, OT_ESHAPE, "input must have 4 axes (N, C, H, W), got %s",
                       ot_shape_str(x, text));
    s->cols = s->part = 0;
    for (int i = 0; i < s->n; i++) {
        struct level *v = &s->level[i];
        struct ot_pool_geom *g = &v->g;

        g->kind = s->kind;
        g->n = x->dim[0];
        g->c = x->dim[1];
        g->h = x->dim[2];
        g->w = x->dim[3];
        bins(g->h, 1 << i, &g->kh, &g->sh, &g->ph, &g->oh);
        bins(g->w, 1 << i, &g->kw, &g->sw, &g->pw, &g->ow);
        if (g->ph >= g->kh || g->pw >= g->kw)
            return ot_layer_fail(l, err, l->conf->spp_param, "pyramid_height", OT_ESHAPE,
                                 "pyramid_height: an input of %dx%d has no level of %dx%d bins, "
                                 "got %d",
                                 g->h, g->w, 1 << i, 1 << i, s->n);
        v->cols = (size_t)g->c * (size_t)g->oh * (size_t)g->ow;
        v->at = s->cols;
        s->cols += v->cols;
        s->part = v->cols * (size_t)g->n > s->part ? v->cols * (size_t)g->n : s->part;
    }
    if (s->cols > OT_MAX_AXIS)
        return ot_fail(err, OT_ESHAPE, "output must have at most %d values an item, got %zu",
                       OT_MAX_AXIS, s->cols);
    l->out[0]->data.shape = s->n == 1 ? ot_shape4(x->dim[0], x->dim[1], 1, 1)
                                      : ot_shape2(x->dim[0], (int)s->cols);
    l->flops = (double)ot_count(x) * s->n;
    return 0;
}

/* Scratch: one level's values, then the input's gradient for it, then pooling's own. */
static int spp_plan(struct ot_layer *l, struct ot_err *err)
{
    struct spp *s = l->state;
    size_t own = 0, x = ot_count(&l->in[0]->data.shape);

    l->ws_bytes[0] = 0;
    for (int i = 0; i < s->n; i++) {
        struct level *v = &s->level[i];
        struct ot_plan_info info;

        v->g.training = ot_want_in(l, 0);
        l->dev->k->plan_free(l->dev, v->plan);
        v->plan = NULL;
        l->dev->k->pool_plan(l->dev, &v->g, NULL, &v->plan, &info);
        if (ot_dev_ok(l->dev, err))
            return err->code;
        v->ws = l->ws_bytes[0];
        l->ws_bytes[0] += (info.ws_bytes + 63) / 64 * 64;
        own = info.scratch_bytes > own ? info.scratch_bytes : own;
    }
    l->in_fmt[0] = NULL;
    l->out[0]->data.fmt = NULL;
    l->out[0]->data.elems = ot_count(&l->out[0]->data.shape);
    s->part = (s->part + 15) / 16 * 16;
    l->scratch_bytes = (s->part + (x + 15) / 16 * 16) * sizeof(float) + own;
    return 0;
}

static float *gradient_part(const struct ot_layer *l)
{
    const struct spp *s = l->state;

    return (float *)l->scratch + s->part;
}

static void *pooling_part(const struct ot_layer *l)
{
    return gradient_part(l) + (ot_count(&l->in[0]->data.shape) + 15) / 16 * 16;
}

static void *places(const struct ot_layer *l, const struct level *v)
{
    return l->ws[0] ? (char *)l->ws[0] + v->ws : NULL;
}

static void spp_forward(struct ot_layer *l)
{
    const struct spp *s = l->state;
    float *part = l->scratch;

    for (int i = 0; i < s->n; i++) {
        const struct level *v = &s->level[i];

        l->dev->k->pool_fwd(l->dev, v->plan, l->in[0]->data.data, pooling_part(l), places(l, v),
                            part);
        l->dev->k->copy2d(l->dev, OT_F32, (size_t)v->g.n, v->cols, part, v->cols, 0.0f,
                          l->out[0]->data.data + v->at, s->cols);
    }
}

static void spp_backward(struct ot_layer *l)
{
    const struct spp *s = l->state;
    const size_t n = ot_count(&l->in[0]->data.shape);
    float *part = l->scratch, *dx = l->in[0]->grad.data;

    for (int i = 0; ot_want_in(l, 0) && i < s->n; i++) {
        const struct level *v = &s->level[i];
        float *to = i == 0 ? dx : gradient_part(l);

        l->dev->k->copy2d(l->dev, OT_F32, (size_t)v->g.n, v->cols, l->out[0]->grad.data + v->at,
                          s->cols, 0.0f, part, v->cols);
        l->dev->k->pool_bwd(l->dev, v->plan, NULL, NULL, part, places(l, v), pooling_part(l), to);
        if (i > 0)
            l->dev->k->axpby(l->dev, OT_F32, n, 1.0f, to, 1.0f, dx);
    }
}

static void spp_release(struct ot_layer *l)
{
    struct spp *s = l->state;

    for (int i = 0; i < s->n; i++)
        l->dev->k->plan_free(l->dev, s->level[i].plan);
}

const struct ot_layer_ops ot_layer_spp = {
    .type = "SPP",
    .doc = "spatial pyramid pooling: maxima or averages of ever smaller bins",
    .state_size = sizeof(struct spp),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .setup = spp_setup,
    .reshape = spp_reshape,
    .plan = spp_plan,
    .forward = spp_forward,
    .backward = spp_backward,
    .release = spp_release,
};
