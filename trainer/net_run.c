/*
 * net_run.c - forward, backward, and the ways in and out of device memory.
 *
 * Nothing here allocates in the steady state except the explicit reads for people and files.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "trainer/net.h"

/* ---- parameters that are shared in another format -------------------------------------------- */

static int fold_room(struct ot_net *net, size_t elems, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;

    if (elems <= net->fold_elems)
        return 0;
    ot_net_forget(net);
    dev->ops->sync(dev);
    dev->ops->free(dev, net->fold);
    net->fold_elems = 0;
    net->fold = dev->ops->alloc(dev, elems * sizeof(float), err);
    if (!net->fold)
        return err->code;
    net->fold_elems = elems;
    return 0;
}

/* Between a sharer and its owner.  Their shapes differ with share_mode PERMISSIVE: then it is the
 * plain order that agrees, and `room` holds it on the way. */
static void carry(struct ot_dev *dev, const struct ot_tensor *from, struct ot_tensor *to,
                  float *room)
{
    struct ot_tensor plain = { from->shape, NULL, ot_count(&from->shape), room };

    if (ot_shape_eq(&from->shape, &to->shape)) {
        dev->k->reorder(dev, from, to);
        return;
    }
    if (from->fmt)
        dev->k->reorder(dev, from, &plain);
    else
        plain.data = from->data;
    plain.shape = to->shape;
    dev->k->reorder(dev, &plain, to);
}

static int refresh_sharers(struct ot_net *net, struct ot_err *err)
{
    struct ot_net *from = net->conf.share ? net->conf.share : net;

    if (net->seen_version == from->param_version)
        return 0;
    for (size_t k = 0; k < net->nparam; k++) {
        struct ot_param *p = net->param[k];

        if (p->owner == p || p->base != p)
            continue;
        if (!ot_shape_eq(&p->data.shape, &p->owner->data.shape) &&
            fold_room(net, ot_count(&p->data.shape), err) < 0)
            return err->code;
        carry(net->env.dev, &p->owner->data, &p->data, net->fold);
    }
    net->seen_version = from->param_version;
    return 0;
}

/* Gradients of sharers with buffers of their own are added to their owner's. */
static int fold_sharers(struct ot_net *net, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;

    for (size_t k = 0; k < net->nparam; k++) {
        struct ot_param *p = net->param[k], *o = p->owner;
        struct ot_tensor tmp;
        float beta;

        if (o == p || p->base != p || !p->need_grad || p->grad_zero)
            continue;
        tmp = o->grad;
        if (fold_room(net, tmp.elems + ot_count(&tmp.shape), err) < 0)
            return err->code;
        tmp.data = net->fold;
        carry(dev, &p->grad, &tmp, net->fold + tmp.elems);
        beta = ot_param_beta(o);
        dev->k->axpby(dev, OT_F32, tmp.elems, 1.0f, tmp.data, beta, o->grad.data);
        p->grad_zero = true;
    }
    return 0;
}

static bool owners_moved(const struct ot_net *net)
{
    for (size_t k = 0; k < net->nparam; k++) {
        const struct ot_param *p = net->param[k];

        if (p->base != p && p->data.data != p->owner->data.data)
            return true;
    }
    return false;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Data layers look at their feed; everything below follows when a shape changed. */
static int follow_shapes(struct ot_net *net, struct ot_err *err)
{
    bool changed = false;

    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];
        struct ot_shape before[OT_MAX_IO];

        if (!changed && !(n->l.ops->flags & OT_LAYER_DATA))
            continue;
        for (int t = 0; t < n->l.nout; t++)
            before[t] = n->out[t]->b.data.shape;
        for (int b = 0; b < n->l.nin; b++)
            n->l.in[b] = &n->in[b]->b;
        for (int t = 0; t < n->l.nout; t++)
            n->l.out[t] = &n->out[t]->b;
        if (ot_net_reshape(n, err) < 0)
            return ot_net_wrap(n, err);
        for (int t = 0; t < n->l.nout; t++)
            changed = changed || !ot_shape_eq(&before[t], &n->out[t]->b.data.shape);
    }
    if (changed || !net->planned || owners_moved(net))
        return ot_net_plan(net, err);
    return 0;
}

/* ---- forward --------------------------------------------------------------------------------- */

static void convert_inputs(struct ot_net *net, int i, size_t *c)
{
    for (; *c < net->nconv && net->conv[*c].node == i; ++*c)
        net->env.dev->k->reorder(net->env.dev, &net->conv[*c].from->b.data,
                                 &net->conv[*c].to->b.data);
}

static void forward_node(struct ot_net *net, struct ot_node *n)
{
    struct ot_dev *dev = net->env.dev;

    if (!n->skip_forward)
        n->l.ops->forward(&n->l);
    if (n->l.ops->flags & OT_LAYER_ALIAS) /* outputs that could not share memory get a copy */
        for (int t = 0; t < n->l.nout; t++)
            if (n->l.out[t]->data.data != n->l.in[0]->data.data)
                dev->k->copy(dev, ot_type_of(n->l.in[0]->data.fmt), n->l.in[0]->data.elems,
                             n->l.in[0]->data.data, n->l.out[t]->data.data);
}

static bool shapes_changed(const struct ot_node *n, const struct ot_shape before[OT_MAX_IO])
{
    for (int t = 0; t < n->l.nout; t++)
        if (!ot_shape_eq(&before[t], &n->l.out[t]->data.shape))
            return true;
    return false;
}

/* A layer that decides on the size of its outputs; *c: the next conversion, in the plan to be. */
static int forward_dynamic(struct ot_net *net, int i, size_t *c, struct ot_err *err)
{
    struct ot_node *n = &net->node[i];
    struct ot_shape before[OT_MAX_IO];

    for (int t = 0; t < n->l.nout; t++)
        before[t] = n->l.out[t]->data.shape;
    forward_node(net, n);
    if (net->env.dev->latch.code != OT_OK || !shapes_changed(n, before))
        return 0;
    if (ot_net_follow(net, i, err) < 0 || refresh_sharers(net, err) < 0)
        return err->code;
    for (*c = 0; *c < net->nconv && net->conv[*c].node <= i;)
        ++*c;
    return 0;
}

static int sum_losses(struct ot_net *net, double *loss, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;

    *loss = 0;
    for (size_t k = 0; k < net->nblob; k++) {
        const struct ot_net_blob *b = net->blob[k];
        float v[64];
        size_t n = ot_count(&b->b.data.shape);

        if (b->loss_weight == 0.0f)
            continue;
        for (size_t at = 0; at < n; at += 64) {
            size_t m = n - at < 64 ? n - at : 64;

            dev->ops->download(dev, v, b->b.data.data + at, m * sizeof *v);
            for (size_t j = 0; j < m; j++)
                *loss += (double)b->loss_weight * (double)v[j];
        }
    }
    return ot_net_ok(net, err);
}

/* Node i, with the conversions before it; *c: the next conversion. */
static int forward_at(struct ot_net *net, int i, size_t *c, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    struct ot_node *n = &net->node[i];
    double t0 = net->timing ? ot_now_s() : 0;

    dev->where = n->l.name;
    convert_inputs(net, i, c);
    if (!(n->l.ops->flags & OT_LAYER_DYNAMIC))
        forward_node(net, n);
    else if (forward_dynamic(net, i, c, err) < 0)
        return err->code;
    if (net->timing) {
        dev->ops->sync(dev);
        n->fwd_s += ot_now_s() - t0;
    }
    if (dev->latch.code != OT_OK) {
        (void)ot_dev_ok(dev, err);
        return ot_net_wrap(n, err);
    }
    return net->watch ? net->watch(net, i, false, net->watch_arg, err) : 0;
}

enum { DATA_NODES = 1, OTHER_NODES = 2 };

static int forward_nodes(struct ot_net *net, int which, struct ot_err *err)
{
    size_t c = 0;
    int rc = 0;

    for (int i = 0; i < net->nnode && rc == 0; i++)
        if (which & (net->node[i].l.ops->flags & OT_LAYER_DATA ? DATA_NODES : OTHER_NODES))
            rc = forward_at(net, i, &c, err);
    net->env.dev->where = NULL;
    return rc;
}

static int check_nodes(struct ot_net *net, struct ot_err *err)
{
    if (net->env.dev->late_faults) /* kernels look themselves */
        return 0;
    for (int i = 0; i < net->nnode; i++)
        if (net->node[i].l.ops->check && net->node[i].l.ops->check(&net->node[i].l, err) < 0)
            return ot_net_wrap(&net->node[i], err);
    return 0;
}

/* What a forward pass does before its kernels. */
static int begin_pass(struct ot_net *net, struct ot_err *err)
{
    struct ot_step step = net->env.dev->step;

    if (follow_shapes(net, err) < 0 || refresh_sharers(net, err) < 0)
        return err->code;
    step.iter = net->env.iter;
    ot_dev_step(net->env.dev, &step);
    return 0;
}

static int forward_rest(void *arg, struct ot_err *err)
{
    return forward_nodes(arg, OTHER_NODES, err);
}

/* Data layers go first: they wait for nobody, their outputs have memory of their own from the
 * first step on, and what they copy changes, while the rest may be replayed. */
static int run_forward(struct ot_net *net, struct ot_err *err)
{
    if (begin_pass(net, err) < 0)
        return err->code;
    if (!ot_net_replays(net))
        return forward_nodes(net, DATA_NODES | OTHER_NODES, err);
    if (forward_nodes(net, DATA_NODES, err) < 0)
        return err->code;
    return ot_net_replay(net, OT_REPLAY_FORWARD, forward_rest, net, err);
}

int ot_net_forward(struct ot_net *net, double *loss, struct ot_err *err)
{
    if (run_forward(net, err) < 0 || check_nodes(net, err) < 0)
        return err->code;
    return loss ? sum_losses(net, loss, err) : 0;
}

/* ---- backward -------------------------------------------------------------------------------- */

static void seed_gradients(struct ot_net *net)
{
    struct ot_dev *dev = net->env.dev;

    for (size_t k = 0; k < net->nblob; k++) {
        struct ot_net_blob *b = net->blob[k];

        if (b->grad_item >= 0 && (b->zero_grad || b->loss_weight != 0.0f))
            dev->k->fill(dev, ot_type_of(b->b.grad.fmt), b->b.grad.elems, b->loss_weight,
                         b->b.grad.data);
    }
}

static int backward_at(struct ot_net *net, int i, size_t *c, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    struct ot_node *n = &net->node[i];
    double t0 = net->timing ? ot_now_s() : 0;

    dev->where = n->l.name;
    if (n->backward && !n->skip_backward)
        n->l.ops->backward(&n->l);
    for (; *c > 0 && net->conv[*c - 1].node == i; --*c) {
        const struct ot_conversion *v = &net->conv[*c - 1];

        if (n->backward && v->from->b.need_grad && v->to->b.grad.data)
            dev->k->reorder(dev, &v->to->b.grad, &v->from->b.grad);
    }
    if (net->timing) {
        dev->ops->sync(dev);
        n->bwd_s += ot_now_s() - t0;
    }
    if (dev->latch.code != OT_OK) {
        (void)ot_dev_ok(dev, err);
        return ot_net_wrap(n, err);
    }
    return net->watch && n->backward ? net->watch(net, i, true, net->watch_arg, err) : 0;
}

int ot_net_backward(struct ot_net *net, struct ot_err *err)
{
    size_t c = net->nconv;
    int rc = 0;

    seed_gradients(net);
    for (int i = net->nnode; i-- > 0 && rc == 0;)
        rc = backward_at(net, i, &c, err);
    net->env.dev->where = NULL;
    return rc < 0 ? rc : fold_sharers(net, err);
}

static int pass(void *arg, struct ot_err *err)
{
    return forward_rest(arg, err) < 0 ? err->code : ot_net_backward(arg, err);
}

int ot_net_pass(struct ot_net *net, struct ot_err *err)
{
    if (!ot_net_replays(net))
        return ot_net_forward(net, NULL, err) < 0 ? err->code : ot_net_backward(net, err);
    if (begin_pass(net, err) < 0 || forward_nodes(net, DATA_NODES, err) < 0)
        return err->code;
    return ot_net_replay(net, OT_REPLAY_PASS, pass, net, err);
}

void ot_net_zero_grads(struct ot_net *net)
{
    for (size_t k = 0; k < net->nparam; k++)
        net->param[k]->grad_zero = true;
}

void ot_net_params_changed(struct ot_net *net)
{
    net->param_version++;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static int read_plain(struct ot_dev *dev, const struct ot_tensor *t, float *host,
                      struct ot_err *err)
{
    struct ot_tensor plain = *t;

    if (!t->data)
        return ot_fail(err, OT_ECONFIG, "a tensor without memory cannot be read");
    if (t->fmt) {
        plain.fmt = NULL;
        plain.elems = ot_count(&t->shape);
        plain.data = dev->ops->alloc(dev, plain.elems * sizeof(float), err);
        if (!plain.data)
            return err->code;
        dev->k->reorder(dev, t, &plain);
    }
    dev->ops->download(dev, host, plain.data, ot_count(&t->shape) * sizeof(float));
    if (t->fmt)
        dev->ops->free(dev, plain.data);
    return ot_dev_ok(dev, err);
}

static int write_plain(struct ot_dev *dev, const struct ot_tensor *t, const float *host,
                       struct ot_err *err)
{
    struct ot_tensor plain = *t;

    if (!t->fmt) {
        dev->ops->upload(dev, t->data, host, t->elems * sizeof(float));
        return ot_dev_ok(dev, err);
    }
    plain.fmt = NULL;
    plain.elems = ot_count(&t->shape);
    plain.data = dev->ops->alloc(dev, plain.elems * sizeof(float), err);
    if (!plain.data)
        return err->code;
    dev->ops->upload(dev, plain.data, host, plain.elems * sizeof(float));
    dev->k->reorder(dev, &plain, t);
    dev->ops->sync(dev);
    dev->ops->free(dev, plain.data);
    return ot_dev_ok(dev, err);
}

int ot_net_read(struct ot_net *net, const struct ot_blob *b, float *host, struct ot_err *err)
{
    return read_plain(net->env.dev, &b->data, host, err);
}

int ot_net_read_grad(struct ot_net *net, const struct ot_blob *b, float *host, struct ot_err *err)
{
    return read_plain(net->env.dev, &b->grad, host, err);
}

static struct ot_tensor part_of(const struct ot_param *p, enum ot_param_part part)
{
    struct ot_tensor t = p->data;

    if (part == OT_PARAM_GRAD)
        t.data = p->base->grad.data;
    else if (part != OT_PARAM_DATA)
        t.data = p->hist[part - OT_PARAM_HIST0];
    return t;
}

int ot_param_get(struct ot_net *net, const struct ot_param *p, enum ot_param_part part, float *host,
                 struct ot_err *err)
{
    struct ot_tensor t = part_of(p, part);

    if (part == OT_PARAM_GRAD && (p->base->grad_zero || !t.data)) {
        memset(host, 0, ot_count(&t.shape) * sizeof *host);
        return 0;
    }
    return read_plain(net->env.dev, &t, host, err);
}

int ot_param_set(struct ot_net *net, struct ot_param *p, enum ot_param_part part, const float *host,
                 struct ot_err *err)
{
    struct ot_tensor t = part_of(p, part);

    if (part == OT_PARAM_DATA)
        ot_net_params_changed(net);
    return write_plain(net->env.dev, &t, host, err);
}
