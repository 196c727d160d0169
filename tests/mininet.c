/*
 * mininet.c - does for one layer what trainer/net.c does for many, as plainly as possible: every
 * blob has memory of its own, every conversion goes through one plain staging buffer.
 */
#include "tests/mininet.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int array_for(struct ot_mini_array *a, const struct ot_shape *shape, struct ot_err *err)
{
    size_t n = ot_count(shape);

    a->shape = *shape;
    if (a->v && a->n == n)
        return 0;
    ot_free(a->v);
    a->n = n;
    a->v = ot_alloc(n, sizeof *a->v, err);
    return a->v ? 0 : err->code;
}

static bool in_place(const struct ot_mini *m, int i)
{
    return m->layer.out[i] == m->layer.in[0] && m->nin > 0;
}

static void free_device(struct ot_mini *m)
{
    struct ot_dev *dev = m->layer.dev;
    bool alias = m->layer.ops->flags & OT_LAYER_ALIAS;

    for (int i = 0; i < OT_MAX_IO; i++) {
        if (!alias)
            dev->ops->free(dev, m->out_blob[i].data.data);
        dev->ops->free(dev, m->out_blob[i].grad.data);
        dev->ops->free(dev, m->in_blob[i].data.data);
        dev->ops->free(dev, m->in_blob[i].grad.data);
        m->out_blob[i].data.data = m->out_blob[i].grad.data = NULL;
        m->in_blob[i].data.data = m->in_blob[i].grad.data = NULL;
    }
    for (int i = 0; i < m->layer.nparam; i++) {
        dev->ops->free(dev, m->layer.param[i]->data.data);
        dev->ops->free(dev, m->layer.param[i]->grad.data);
        m->layer.param[i]->data.data = m->layer.param[i]->grad.data = NULL;
    }
    for (int i = 0; i < OT_MAX_WS; i++) {
        dev->ops->free(dev, m->layer.ws[i]);
        m->layer.ws[i] = NULL;
    }
    dev->ops->free(dev, m->layer.scratch);
    dev->ops->free(dev, m->stage);
    dev->ops->free(dev, m->nan);
    m->layer.scratch = m->stage = m->nan = NULL;
}

static int alloc_tensor(struct ot_mini *m, struct ot_tensor *t, size_t *most, struct ot_err *err)
{
    struct ot_dev *dev = m->layer.dev;

    if (t->elems < ot_count(&t->shape))
        return ot_fail(err, OT_EDEV, "a tensor of %zu values got %zu physical elements",
                       ot_count(&t->shape), t->elems);
    *most = larger(*most, ot_count(&t->shape));
    t->data = dev->ops->alloc(dev, ot_bytes(t), err);
    return t->data ? 0 : err->code;
}

static void follow(struct ot_blob *b)
{
    float *data = b->grad.data;

    b->grad = b->data;
    b->grad.data = data;
}

static int alloc_kept(struct ot_mini *m, size_t most, struct ot_err *err)
{
    struct ot_dev *dev = m->layer.dev;

    for (int i = 0; i < OT_MAX_WS; i++)
        if (m->layer.ws_bytes[i]) {
            m->layer.ws[i] = dev->ops->alloc(dev, m->layer.ws_bytes[i], err);
            if (!m->layer.ws[i])
                return err->code;
        }
    if (m->layer.scratch_bytes) {
        size_t n = (m->layer.scratch_bytes + sizeof(float) - 1) / sizeof(float);

        m->layer.scratch = dev->ops->alloc(dev, n * sizeof(float), err);
        if (!m->layer.scratch)
            return err->code;
        dev->k->fill(dev, OT_F32, n, NAN, m->layer.scratch);
    }
    m->stage = dev->ops->alloc(dev, most * sizeof(float), err);
    m->nan = m->stage ? dev->ops->alloc(dev, most * sizeof(float), err) : NULL;
    if (!m->nan)
        return err->code;
    dev->k->fill(dev, OT_F32, most, NAN, m->nan);
    return 0;
}

static int alloc_device(struct ot_mini *m, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;
    bool alias = l->ops->flags & OT_LAYER_ALIAS;
    size_t most = 1;

    for (int i = 0; i < m->nin; i++) {
        follow(l->in[i]);
        if (alloc_tensor(m, &l->in[i]->data, &most, err) ||
            alloc_tensor(m, &l->in[i]->grad, &most, err))
            return err->code;
    }
    for (int i = 0; i < m->nout; i++) {
        if (in_place(m, i))
            continue;
        follow(l->out[i]);
        if (alias)
            l->out[i]->data.data = l->in[0]->data.data;
        else if (alloc_tensor(m, &l->out[i]->data, &most, err))
            return err->code;
        if (alloc_tensor(m, &l->out[i]->grad, &most, err))
            return err->code;
    }
    for (int i = 0; i < l->nparam; i++) {
        l->param[i]->grad.fmt = l->param[i]->data.fmt;
        l->param[i]->grad.elems = l->param[i]->data.elems;
        if (alloc_tensor(m, &l->param[i]->data, &most, err) ||
            alloc_tensor(m, &l->param[i]->grad, &most, err))
            return err->code;
    }
    return alloc_kept(m, most, err);
}

/* The formats of a net whose converter stands before every input. */
static int plan(struct ot_mini *m, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;
    bool any = l->ops->flags & OT_LAYER_ANY_FORMAT;

    any = any && (ot_type_of(m->src_fmt[0]) == OT_F32 || l->ops->flags & OT_LAYER_ANY_TYPE);
    for (int i = 0; i < m->nin; i++) {
        l->in[i]->data.fmt = m->src_fmt[i];
        l->in[i]->data.elems = m->src_fmt[i] ? m->src_fmt[i]->elems
                                             : ot_count(&l->in[i]->data.shape);
        l->in_fmt[i] = any && !l->ops->plan ? m->src_fmt[0] : NULL;
    }
    for (int i = 0; i < m->nout; i++) {
        if (in_place(m, i))
            continue;
        l->out[i]->data.fmt = m->nin && any && !l->ops->plan ? m->src_fmt[0] : NULL;
        l->out[i]->data.elems = l->out[i]->data.fmt ? l->out[i]->data.fmt->elems
                                                    : ot_count(&l->out[i]->data.shape);
    }
    l->scratch_bytes = 0;
    if (l->ops->plan && l->ops->plan(l, err))
        return err->code;
    for (int i = 0; i < m->nin; i++) {
        l->in[i]->data.fmt = l->in_fmt[i];
        l->in[i]->data.elems = l->in_fmt[i] ? l->in_fmt[i]->elems : ot_count(&l->in[i]->data.shape);
    }
    return 0;
}

static int shape_and_plan(struct ot_mini *m, const struct ot_shape *in, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;

    for (int i = 0; i < m->nin; i++) {
        l->in[i]->data.shape = in[i];
        l->in[i]->data.elems = ot_count(&in[i]);
        l->in[i]->data.fmt = NULL;
    }
    memset(l->ws_bytes, 0, sizeof l->ws_bytes);
    if ((l->ops->reshape && l->ops->reshape(l, err)) || plan(m, err) || alloc_device(m, err))
        return err->code;
    for (int i = 0; i < m->nin; i++)
        if (array_for(&m->in[i], &in[i], err) || array_for(&m->in_grad[i], &in[i], err))
            return err->code;
    for (int i = 0; i < m->nout; i++) {
        if (array_for(&m->out[i], &l->out[i]->data.shape, err) ||
            array_for(&m->out_grad[i], &l->out[i]->data.shape, err))
            return err->code;
        if (l->loss_weight[i] != 0.0f && m->out_grad[i].n)
            m->out_grad[i].v[0] = l->loss_weight[i];
    }
    for (int i = 0; i < l->nparam; i++)
        if (array_for(&m->param[i], &l->param[i]->data.shape, err) ||
            array_for(&m->param_grad[i], &l->param[i]->data.shape, err))
            return err->code;
    return 0;
}

static int parse(struct ot_mini *m, const struct ot_mini_spec *spec, struct ot_shape *in,
                 struct ot_err *err)
{
    const Caffe__NetParameter *net;
    struct ot_layer *l = &m->layer;

    m->doc = ot_text_parse(&caffe__net_parameter__descriptor,
                           spec->file ? spec->file : "mini.prototxt", spec->text,
                           strlen(spec->text), err);
    if (!m->doc)
        return err->code;
    net = (const Caffe__NetParameter *)ot_doc_root(m->doc);
    if (!net->n_layer)
        return ot_fail(err, OT_ECONFIG, "the text has no layer");
    m->env.net = net;
    m->env.doc = m->doc;
    l->conf = net->layer[net->n_layer - 1];
    l->ops = ot_layer_find(l->conf->type);
    if (!l->ops)
        return ot_fail(err, OT_ECONFIG, "unknown layer type \"%s\"", l->conf->type);
    l->name = l->conf->name ? l->conf->name : "layer";
    l->loc = ot_doc_loc(m->doc, l->conf, NULL);
    l->stream = ot_hash64(l->name, strlen(l->name)) & 0xffffff;
    m->nin = l->nin = (int)l->conf->n_bottom;
    m->nout = l->nout = (int)l->conf->n_top;
    memcpy(in, spec->in, sizeof spec->in);
    for (int i = 0; spec->n_in == 0 && i < m->nin && (size_t)i + 1 < net->n_layer; i++) {
        const Caffe__BlobShape *s = net->layer[i]->input_param->shape[0];

        in[i].nd = (int)s->n_dim;
        for (int d = 0; d < in[i].nd; d++)
            in[i].dim[d] = (int)s->dim[d];
    }
    return 0;
}

static void wire(struct ot_mini *m, const struct ot_mini_spec *spec, const struct ot_shape *in)
{
    struct ot_layer *l = &m->layer;

    for (int i = 0; i < m->nin; i++) {
        l->in[i] = &m->in_blob[i];
        l->in[i]->name = l->conf->bottom[i];
        l->in[i]->data.shape = in[i];
        l->in[i]->data.elems = ot_count(&in[i]);
        l->in[i]->need_grad = !(spec->no_grad >> i & 1) && l->ops->backward != NULL;
        m->src_fmt[i] = spec->in_fmt[i];
    }
    for (int i = 0; i < m->nout; i++) {
        bool same = i == 0 && m->nin > 0 && !strcmp(l->conf->top[0], l->conf->bottom[0]) &&
                    (l->ops->flags & OT_LAYER_INPLACE);

        l->out[i] = same ? l->in[0] : &m->out_blob[i];
        l->out[i]->name = l->conf->top[i];
        l->out[i]->need_grad = l->ops->backward != NULL;
        if ((size_t)i < l->conf->n_loss_weight)
            l->loss_weight[i] = l->conf->loss_weight[i];
        else if (i == 0 && (l->ops->flags & OT_LAYER_LOSS))
            l->loss_weight[i] = 1.0f;
    }
}

static int open_(struct ot_mini *m, struct ot_dev *dev, const struct ot_mini_spec *spec,
                 struct ot_err *err)
{
    struct ot_shape in[OT_MAX_IO];
    struct ot_layer *l = &m->layer;

    if (parse(m, spec, in, err))
        return err->code;
    m->env.dev = l->dev = dev;
    m->env.phase = spec->phase;
    m->env.seed = spec->seed;
    m->env.door = spec->door;
    m->env.mining_min_fg = 0.25f;
    l->env = &m->env;
    l->fused_relu = spec->fused_relu;
    wire(m, spec, in);
    if (l->ops->state_size) {
        l->state = ot_alloc(1, l->ops->state_size, err);
        if (!l->state)
            return err->code;
    }
    if ((l->ops->setup && l->ops->setup(l, err)) || shape_and_plan(m, in, err)) {
        (void)ot_err_at(err, l->loc);
        return ot_err_wrap(err, "layer '%s'", l->name);
    }
    m->nparam = l->nparam;
    return 0;
}

struct ot_mini *ot_mini_open(struct ot_dev *dev, const struct ot_mini_spec *spec,
                             struct ot_err *err)
{
    struct ot_mini *m = ot_alloc(1, sizeof *m, err);

    if (m && open_(m, dev, spec, err)) {
        ot_mini_close(m);
        m = NULL;
    }
    return m;
}

void ot_mini_close(struct ot_mini *m)
{
    if (!m)
        return;
    if (m->layer.state && m->layer.ops->release)
        m->layer.ops->release(&m->layer);
    if (m->layer.dev)
        free_device(m);
    ot_free(m->layer.state);
    for (int i = 0; i < m->layer.nparam; i++)
        ot_free(m->layer.param[i]);
    for (int i = 0; i < OT_MAX_IO; i++) {
        ot_free(m->in[i].v);
        ot_free(m->in_grad[i].v);
        ot_free(m->out[i].v);
        ot_free(m->out_grad[i].v);
    }
    for (int i = 0; i < OT_MAX_PARAM; i++) {
        ot_free(m->param[i].v);
        ot_free(m->param_grad[i].v);
    }
    ot_doc_free(m->doc);
    ot_free(m);
}

int ot_mini_reshape(struct ot_mini *m, const struct ot_shape *in, struct ot_err *err)
{
    free_device(m);
    if (!shape_and_plan(m, in, err))
        return 0;
    (void)ot_err_at(err, m->layer.loc);
    return ot_err_wrap(err, "layer '%s'", m->layer.name);
}

void ot_mini_fill(struct ot_mini_array *a, uint64_t seed, float lo, float hi)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = lo + (hi - lo) * ot_rng_unit(seed, OT_RNG_TEST, 0, i);
}

void ot_mini_random(struct ot_mini *m, uint64_t seed, float lo, float hi)
{
    for (int i = 0; i < m->nin; i++)
        ot_mini_fill(&m->in[i], seed * 100 + (uint64_t)i, lo, hi);
    for (int i = 0; i < m->nparam; i++)
        ot_mini_fill(&m->param[i], seed * 100 + 40 + (uint64_t)i, lo, hi);
    for (int i = 0; i < m->nout; i++)
        if (m->layer.loss_weight[i] == 0.0f)
            ot_mini_fill(&m->out_grad[i], seed * 100 + 60 + (uint64_t)i, lo, hi);
}

static void put(struct ot_mini *m, const struct ot_mini_array *a, const struct ot_tensor *t)
{
    struct ot_dev *dev = m->layer.dev;
    struct ot_tensor plain = { .shape = t->shape, .elems = a->n, .data = m->stage };

    dev->ops->upload(dev, m->stage, a->v, a->n * sizeof(float));
    dev->k->reorder(dev, &plain, t);
    dev->ops->sync(dev);
}

static void get(struct ot_mini *m, const struct ot_tensor *t, struct ot_mini_array *a)
{
    struct ot_dev *dev = m->layer.dev;
    struct ot_tensor plain = { .shape = t->shape, .elems = a->n, .data = m->stage };

    dev->k->reorder(dev, t, &plain);
    dev->ops->download(dev, a->v, m->stage, a->n * sizeof(float));
}

/* NaN everywhere but in the padding, which stays zero. */
static void poison(struct ot_mini *m, const struct ot_tensor *t)
{
    struct ot_tensor plain = { .shape = t->shape, .elems = ot_count(&t->shape), .data = m->nan };

    m->layer.dev->k->reorder(m->layer.dev, &plain, t);
}

/* What a layer of OT_LAYER_DYNAMIC has just made of its outputs. */
static int follow_outputs(struct ot_mini *m, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;

    for (int i = 0; i < m->nout && (l->ops->flags & OT_LAYER_DYNAMIC); i++) {
        follow(l->out[i]);
        if (array_for(&m->out[i], &l->out[i]->data.shape, err) ||
            array_for(&m->out_grad[i], &l->out[i]->data.shape, err))
            return err->code;
    }
    return 0;
}

int ot_mini_forward(struct ot_mini *m, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;

    for (int i = 0; i < l->nparam; i++)
        put(m, &m->param[i], &l->param[i]->data);
    for (int i = 0; i < m->nout; i++)
        if (!in_place(m, i))
            poison(m, &l->out[i]->data);
    for (int i = 0; i < m->nin; i++)
        put(m, &m->in[i], &l->in[i]->data);
    ot_dev_step(l->dev, &(struct ot_step){ .iter = m->env.iter });
    l->ops->forward(l);
    if (ot_dev_ok(l->dev, err) || (l->ops->check && l->ops->check(l, err))) {
        (void)ot_err_at(err, l->loc);
        return ot_err_wrap(err, "layer '%s'", l->name);
    }
    if (follow_outputs(m, err))
        return err->code;
    for (int i = 0; i < m->nout; i++)
        get(m, &l->out[i]->data, &m->out[i]);
    return 0;
}

void ot_mini_read_params(struct ot_mini *m)
{
    for (int i = 0; i < m->layer.nparam; i++)
        get(m, &m->layer.param[i]->data, &m->param[i]);
}

int ot_mini_backward(struct ot_mini *m, struct ot_err *err)
{
    struct ot_layer *l = &m->layer;

    if (!l->ops->backward)
        return ot_fail(err, OT_ENOTSUP, "layer type \"%s\" has no backward", l->ops->type);
    for (int i = 0; i < m->nin; i++)
        poison(m, &l->in[i]->grad);
    for (int i = 0; i < m->nout; i++)
        put(m, &m->out_grad[i], &l->out[i]->grad);
    for (int i = 0; i < l->nparam; i++) {
        l->param[i]->grad_zero = !m->accumulate;
        if (m->accumulate)
            put(m, &m->param_grad[i], &l->param[i]->grad);
        else
            poison(m, &l->param[i]->grad);
    }
    ot_dev_step(l->dev, &(struct ot_step){ .iter = m->env.iter });
    l->ops->backward(l);
    if (ot_dev_ok(l->dev, err))
        return ot_err_wrap(err, "layer '%s'", l->name);
    for (int i = 0; i < m->nin; i++)
        if (ot_want_in(l, i))
            get(m, &l->in[i]->grad, &m->in_grad[i]);
    for (int i = 0; i < l->nparam; i++)
        if (ot_want_param(l, i))
            get(m, &l->param[i]->grad, &m->param_grad[i]);
    return 0;
}
