/*
 * recurrent.c - inputs, states and gradients of LSTM and RNN.
 *
 * Whatever does not wait for the step before is one product over all steps: the input's part going
 * forward, the gradients of inputs and weights going back.
 */
#include "layers/recurrent.h"

enum { MOST_OUTPUTS = 1 << 24 };

static const Caffe__RecurrentParameter *param_of(const struct ot_layer *l)
{
    return l->conf->recurrent_param;
}

static int check_arity(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err)
{
    const Caffe__RecurrentParameter *p = param_of(l);
    int exposed = r->exposed ? r->states : 0;

    if (l->nin != 2 + exposed && l->nin != 3 + exposed)
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG,
                             "bottoms: must be %d, or %d with a static input, got %d", 2 + exposed,
                             3 + exposed, l->nin);
    if (l->nout != 1 + exposed)
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG, "tops: must be %d, got %d", 1 + exposed,
                             l->nout);
    r->has_static = l->nin == 3 + exposed;
    return 0;
}

static int declare(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err)
{
    const Caffe__RecurrentParameter *p = param_of(l);
    const int width = (int)r->width;
    struct ot_shape w = ot_shape2(width, (int)r->d), b = ot_shape1(width);
    struct ot_shape s = ot_shape2(width, (int)r->s), h = ot_shape2(width, (int)r->h);

    r->w_h = r->has_static ? 3 : 2;
    if (ot_layer_param(l, &w, p->weight_filler, err) || ot_layer_param(l, &b, p->bias_filler, err))
        return err->code;
    if (r->has_static && ot_layer_param(l, &s, p->weight_filler, err))
        return err->code;
    return ot_layer_param(l, &h, p->weight_filler, err);
}

int ot_recurrent_setup(struct ot_layer *l, struct ot_recurrent *r, int states, size_t steps,
                       struct ot_err *err)
{
    const Caffe__RecurrentParameter *p = param_of(l);
    const struct ot_shape *x = &l->in[0]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "recurrent_param is missing");
    if (p->num_output < 1 || p->num_output > MOST_OUTPUTS)
        return ot_layer_fail(l, err, p, "num_output", OT_ECONFIG,
                             "num_output: must be in [1, %d], got %u", MOST_OUTPUTS, p->num_output);
    r->states = states;
    r->exposed = p->expose_hidden;
    if (check_arity(l, r, err))
        return err->code;
    if (x->nd < 3)
        return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted steps x streams x values, got shape %s",
                       l->in[0]->name, ot_shape_str(x, text));
    r->h = p->num_output;
    r->width = steps * r->h;
    r->d = ot_count_range(x, 2, x->nd);
    r->s = r->has_static ? ot_count_range(&l->in[2]->data.shape, 1, l->in[2]->data.shape.nd) : 0;
    if (r->d > INT32_MAX || r->s > INT32_MAX)
        return ot_fail(err, OT_ESHAPE, "a step must have at most %d values, got %zu", INT32_MAX,
                       r->d > r->s ? r->d : r->s);
    return declare(l, r, err);
}

static int want_shape(const struct ot_layer *l, int i, const struct ot_shape *want,
                      struct ot_err *err)
{
    const struct ot_shape *have = &l->in[i]->data.shape;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (ot_shape_eq(have, want))
        return 0;
    return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted shape %s, got %s", l->in[i]->name,
                   ot_shape_str(want, a), ot_shape_str(have, b));
}

static int check_static(const struct ot_layer *l, const struct ot_recurrent *r, struct ot_err *err)
{
    const struct ot_shape *s = &l->in[2]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (s->nd > 0 && (size_t)s->dim[0] == r->n && ot_count_range(s, 1, s->nd) == r->s)
        return 0;
    return ot_fail(err, OT_ESHAPE,
                   "bottom '%s': wanted %zu streams of %zu static values, got shape %s",
                   l->in[2]->name, r->n, r->s, ot_shape_str(s, text));
}

int ot_recurrent_reshape(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    const int t = ot_dim(x, 0), n = ot_dim(x, 1), h = (int)r->h;
    const struct ot_shape cont = ot_shape2(t, n), hidden = { 3, { 1, n, h } };
    char text[OT_SHAPE_TEXT];

    r->t = (size_t)t;
    r->n = (size_t)n;
    if (x->nd < 3 || t < 1 || n < 1 || ot_count_range(x, 2, x->nd) != r->d)
        return ot_fail(err, OT_ESHAPE,
                       "bottom '%s': wanted steps x streams x %zu values, got shape %s",
                       l->in[0]->name, r->d, ot_shape_str(x, text));
    if (want_shape(l, 1, &cont, err) || (r->has_static && check_static(l, r, err)))
        return err->code;
    for (int j = 0; r->exposed && j < r->states; j++) {
        if (want_shape(l, 2 + r->has_static + j, &hidden, err))
            return err->code;
        l->out[1 + j]->data.shape = hidden;
    }
    l->out[0]->data.shape = (struct ot_shape){ 3, { t, n, h } };
    l->flops = 2.0 * (double)r->n * (double)r->width *
               ((double)r->t * (double)(r->d + r->h) + (double)r->s);
    return 0;
}

int ot_recurrent_plan(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err)
{
    struct ot_dev *dev = l->dev;

    if (r->exposed || r->kept_n == r->n)
        return 0;
    for (int j = 0; j < r->states; j++) {
        dev->ops->free(dev, r->kept[j]);
        r->kept[j] = dev->ops->alloc(dev, r->n * r->h * sizeof(float), err);
        if (!r->kept[j])
            return err->code;
    }
    r->kept_n = r->n;
    return 0;
}

void ot_recurrent_release(struct ot_layer *l, struct ot_recurrent *r)
{
    for (int j = 0; j < OT_RECURRENT_STATES; j++)
        l->dev->ops->free(l->dev, r->kept[j]);
}

void ot_recurrent_in(struct ot_layer *l, const struct ot_recurrent *r, float *in, float *scratch)
{
    const struct ot_kernels *k = l->dev->k;
    const size_t rows = r->t * r->n, w = r->width;

    k->copy2d(l->dev, OT_F32, rows, w, l->param[1]->data.data, 0, 0.0f, in, w);
    k->gemm(l->dev, false, true, rows, w, r->d, 1.0f, l->in[0]->data.data, r->d,
            l->param[0]->data.data, r->d, 1.0f, in, w);
    if (!r->has_static)
        return;
    k->gemm(l->dev, false, true, r->n, w, r->s, 1.0f, l->in[2]->data.data, r->s,
            l->param[2]->data.data, r->s, 0.0f, scratch, w);
    k->copy2d(l->dev, OT_F32, r->t, r->n * w, scratch, 0, 1.0f, in, r->n * w);
}

void ot_recurrent_past(struct ot_layer *l, const struct ot_recurrent *r, size_t t,
                       const float *y_before, float *in, float *past)
{
    const struct ot_kernels *k = l->dev->k;
    float *to = past + t * r->n * r->h;

    k->scale_rows(l->dev, r->n, r->h, l->in[1]->data.data + t * r->n, y_before, to);
    k->gemm(l->dev, false, true, r->n, r->width, r->h, 1.0f, to, r->h, l->param[r->w_h]->data.data,
            r->h, 1.0f, in + t * r->n * r->width, r->width);
}

const float *ot_recurrent_first(const struct ot_layer *l, const struct ot_recurrent *r, int j)
{
    return r->exposed ? l->in[2 + r->has_static + j]->data.data : r->kept[j];
}

void ot_recurrent_last(struct ot_layer *l, const struct ot_recurrent *r, int j, const float *v)
{
    l->dev->k->copy(l->dev, OT_F32, r->n * r->h, v,
                    r->exposed ? l->out[1 + j]->data.data : r->kept[j]);
}

void ot_recurrent_past_bwd(struct ot_layer *l, const struct ot_recurrent *r, size_t t,
                           const float *din, float *dy_next)
{
    const struct ot_kernels *k = l->dev->k;

    k->gemm(l->dev, false, false, r->n, r->h, r->width, 1.0f, din + t * r->n * r->width, r->width,
            l->param[r->w_h]->data.data, r->h, 0.0f, dy_next, r->h);
    k->scale_rows(l->dev, r->n, r->h, l->in[1]->data.data + t * r->n, dy_next, dy_next);
}

void ot_recurrent_filter(struct ot_layer *l, int w, int b, size_t rows, size_t out, size_t in,
                         const float *dy, const float *x)
{
    const struct ot_kernels *k = l->dev->k;

    if (ot_want_param(l, w))
        k->gemm(l->dev, true, false, out, in, rows, 1.0f, dy, out, x, in,
                ot_param_beta(l->param[w]), l->param[w]->grad.data, in);
    if (b >= 0 && ot_want_param(l, b))
        k->reduce_fwd(l->dev, 1, rows, out, OT_REDUCE_SUM, 1.0f, dy, ot_param_beta(l->param[b]),
                      l->param[b]->grad.data);
}

static void static_bwd(struct ot_layer *l, const struct ot_recurrent *r, const float *din,
                       float *sum)
{
    const size_t w = r->width;

    if (!ot_want_param(l, 2) && !ot_want_in(l, 2))
        return;
    l->dev->k->reduce_fwd(l->dev, 1, r->t, r->n * w, OT_REDUCE_SUM, 1.0f, din, 0.0f, sum);
    ot_recurrent_filter(l, 2, -1, r->n, w, r->s, sum, l->in[2]->data.data);
    if (ot_want_in(l, 2))
        l->dev->k->gemm(l->dev, false, false, r->n, r->s, w, 1.0f, sum, w, l->param[2]->data.data,
                        r->s, 0.0f, l->in[2]->grad.data, r->s);
}

void ot_recurrent_in_bwd(struct ot_layer *l, const struct ot_recurrent *r, const float *din,
                         const float *past, float *scratch)
{
    const size_t rows = r->t * r->n, w = r->width;

    ot_recurrent_filter(l, 0, 1, rows, w, r->d, din, l->in[0]->data.data);
    ot_recurrent_filter(l, r->w_h, -1, rows, w, r->h, din, past);
    if (ot_want_in(l, 0))
        l->dev->k->gemm(l->dev, false, false, rows, r->d, w, 1.0f, din, w, l->param[0]->data.data,
                        r->d, 0.0f, l->in[0]->grad.data, r->d);
    if (r->has_static)
        static_bwd(l, r, din, scratch);
    else if (r->exposed && ot_want_in(l, 2))
        l->dev->k->fill(l->dev, OT_F32, r->n * r->h, 0.0f, l->in[2]->grad.data);
}
