/*
 * net_plan.c - formats, lifetimes, addresses.
 *
 * Pass 1 walks the net once: each layer says which formats it reads and writes; where a producer
 * and a reader differ, a conversion is put between them.  Pass 2 gives every tensor the steps
 * during which it must live (forward of node i is step i, its backward is step 2n-1-i).  Pass 3
 * places them in one arena, largest first, each at the lowest address that is free for its whole
 * life; on the nets of this project that comes within a few percent of the peak of live bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "trainer/net.h"

/* ---- pass 1: formats ------------------------------------------------------------------------- */

static size_t elems_of(const struct ot_format *fmt, const struct ot_shape *shape)
{
    return fmt ? fmt->elems : ot_count(shape);
}

/* The blob that holds `from` in another format for input b of node i; reused when planned again. */
static struct ot_net_blob *converted(struct ot_net *net, size_t *used, int i, int b,
                                     struct ot_net_blob *from, struct ot_err *err)
{
    struct ot_net_blob *to;

    if (*used == net->nconv) {
        to = ot_arena_alloc(&net->arena, 1, sizeof *to, err);
        if (!to || ot_grow(&net->conv, &net->conv_cap, net->nconv + 1, sizeof *net->conv, err) < 0)
            return NULL;
        net->conv[net->nconv++].to = to;
    }
    to = net->conv[*used].to;
    *to = (struct ot_net_blob){ .b = from->b,
                                .producer = i,
                                .now = to,
                                .keep = from->keep,
                                .data_peak = to->data_peak,
                                .grad_peak = to->grad_peak };
    to->data_item = to->grad_item = -1;
    net->conv[*used] = (struct ot_conversion){ .node = i, .in = b, .from = from, .to = to };
    ++*used;
    return to;
}

static void default_formats(struct ot_layer *l)
{
    const struct ot_format *f = (l->ops->flags & OT_LAYER_ANY_FORMAT) && l->nin ? l->in[0]->data.fmt
                                                                                : NULL;

    if (ot_type_of(f) != OT_F32 && !(l->ops->flags & OT_LAYER_ANY_TYPE))
        f = NULL;
    for (int b = 0; b < l->nin; b++)
        l->in_fmt[b] = f;
    for (int t = 0; t < l->nout; t++)
        if (f && ot_shape_eq(&l->out[t]->data.shape, &l->in[0]->data.shape)) {
            l->out[t]->data.fmt = f;
            l->out[t]->data.elems = f->elems;
        }
}

/* A layer whose work is another's is there by its parameters only: all it reads and writes is what
 * that one writes. */
static void plan_absent(struct ot_net *net, struct ot_node *n)
{
    n->l.out[0] = &net->node[n->last].out[0]->b;
    for (int b = 0; b < n->l.nin; b++)
        n->l.in[b] = n->l.out[0];
    n->l.reads = 0;
}

static int plan_node(struct ot_net *net, int i, size_t *nconv, struct ot_err *err)
{
    struct ot_node *n = &net->node[i];
    struct ot_layer *l = &n->l;

    l->scratch_bytes = 0;
    l->reads = l->ops->flags & (OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT);
    if (n->skip_forward && n->skip_backward) {
        plan_absent(net, n);
        return 0;
    }
    for (int b = 0; b < ot_layer_inputs(l); b++) {
        l->in[b] = &n->in[b]->now->b;
        l->in_fmt[b] = NULL;
    }
    for (int t = 0; t < l->nout; t++) {
        struct ot_net_blob *out = t ? n->out[t] : net->node[n->last].out[0];
        bool in_place = t < l->nin && out == n->in[t];

        l->out[t] = in_place ? l->in[t] : &out->b;
        if (!in_place) {
            l->out[t]->data.fmt = NULL;
            l->out[t]->data.elems = ot_count(&l->out[t]->data.shape);
        }
    }
    if (!l->ops->plan)
        default_formats(l);
    else if (l->ops->plan(l, err) < 0)
        return err->code;
    for (int b = 0; b < ot_layer_inputs(l); b++) {
        struct ot_net_blob *from = n->in[b]->now, *to;

        if (from->b.data.fmt == l->in_fmt[b])
            continue;
        to = converted(net, nconv, i, b, from, err);
        if (!to)
            return err->code;
        to->b.data.fmt = l->in_fmt[b];
        to->b.data.elems = elems_of(l->in_fmt[b], &to->b.data.shape);
        l->in[b] = &to->b;
        if (b < l->nout && l->out[b] == &from->b) { /* in place: readers after it read `to` */
            l->out[b] = &to->b;
            n->in[b]->now = to;
        }
    }
    return 0;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static int move_tensor(struct ot_dev *dev, const struct ot_tensor *old, struct ot_tensor *t,
                       struct ot_err *err)
{
    t->data = dev->ops->alloc(dev, ot_bytes(t), err);
    if (!t->data)
        return err->code;
    if (old->data) {
        dev->k->reorder(dev, old, t);
        dev->ops->sync(dev);
        dev->ops->free(dev, old->data);
    }
    return 0;
}

/* Values, gradient and history follow the format that the layer now wants. */
static int settle_own(struct ot_dev *dev, struct ot_param *p, const struct ot_tensor *old,
                      struct ot_err *err)
{
    if (old->data && old->fmt == p->data.fmt) {
        p->data.data = old->data;
        return 0;
    }
    if (move_tensor(dev, old, &p->data, err) < 0)
        return err->code;
    for (int h = 0; h < OT_MAX_HIST; h++)
        if (p->hist[h]) {
            struct ot_tensor was = *old, now = p->data;

            was.data = p->hist[h];
            if (move_tensor(dev, &was, &now, err) < 0)
                return err->code;
            p->hist[h] = now.data;
        }
    dev->ops->free(dev, p->grad.data);
    p->grad = p->data;
    p->grad.data = NULL;
    p->grad_zero = true;
    if (p->need_grad) {
        p->grad.data = dev->ops->alloc(dev, ot_bytes(&p->grad), err);
        if (!p->grad.data)
            return err->code;
    }
    return 0;
}

static int settle_param(struct ot_net *net, struct ot_param *p, const struct ot_tensor *old,
                        struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    struct ot_param *o = p->owner;

    if (o != p && o->data.fmt == p->data.fmt &&
        (!p->data.fmt || ot_shape_eq(&o->data.shape, &p->data.shape))) {
        const struct ot_shape shape = p->data.shape; /* another one with share_mode PERMISSIVE */

        if (p->base == p && old->data)
            dev->ops->free(dev, old->data);
        p->base = o;
        p->data = o->data;
        p->grad = o->grad;
        p->data.shape = p->grad.shape = shape;
        return 0;
    }
    p->base = p;
    return settle_own(dev, p, old, err);
}

static int fill_new(struct ot_net *net, struct ot_param *p, uint64_t stream, struct ot_err *err)
{
    size_t n = ot_count(&p->data.shape);
    float *host = ot_alloc(n, sizeof *host, err);
    int rc = host ? 0 : err->code;

    if (rc == 0 && p->filler)
        rc = ot_fill(p->filler, &p->data.shape, net->env.seed, stream, host, err);
    if (rc < 0) {
        (void)ot_err_at(err, ot_doc_loc(net->conf.doc, p->filler, "type"));
        (void)ot_err_wrap(err, "filler of parameter %d", p->index);
    }
    if (rc == 0)
        rc = ot_param_set(net, p, OT_PARAM_DATA, host, err);
    ot_free(host);
    return rc;
}

static int settle_params(struct ot_net *net, const struct ot_tensor *old, struct ot_err *err)
{
    size_t k = 0;

    net->param_bytes = 0;
    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];

        for (int j = 0; j < n->l.nparam; j++, k++) {
            struct ot_param *p = n->l.param[j];
            bool fresh = !old[k].data && p->owner == p;

            if (settle_param(net, p, &old[k], err) < 0)
                return ot_net_wrap(n, err);
            if (fresh && fill_new(net, p, n->l.stream + ((uint64_t)j << 24), err) < 0)
                return ot_net_wrap(n, err);
            if (p->base == p)
                net->param_bytes += p->data.elems * sizeof(float) * (p->need_grad ? 2 : 1);
        }
    }
    net->seen_version = 0; /* sharers of another format refresh before the next forward */
    return 0;
}

/* ---- pass 2: lifetimes ----------------------------------------------------------------------- */

static int new_item(struct ot_net *net, size_t bytes, float **slot, void **slot_ws,
                    struct ot_err *err)
{
    if (ot_grow(&net->item, &net->item_cap, net->nitem + 1, sizeof *net->item, err) < 0)
        return -1;
    net->item[net->nitem] = (struct ot_plan_item){ .bytes = (bytes + 63) / 64 * 64,
                                                   .first = 1 << 30,
                                                   .last = -1,
                                                   .slot = slot,
                                                   .slot_ws = slot_ws };
    return (int)net->nitem++;
}

/* In a dynamic net a place stays as large as it ever was, so that it stays where it is. */
static size_t room(const struct ot_net *net, size_t bytes, size_t *peak)
{
    if (!net->dynamic)
        return bytes;
    *peak = bytes > *peak ? bytes : *peak;
    return *peak;
}

static void touch(struct ot_net *net, int item, int step)
{
    struct ot_plan_item *it = &net->item[item];

    it->first = step < it->first ? step : it->first;
    it->last = step > it->last ? step : it->last;
}

static struct ot_net_blob *root(struct ot_net_blob *b)
{
    while (b->alias)
        b = b->alias;
    return b;
}

static struct ot_net_blob *net_blob(struct ot_blob *b)
{
    return (struct ot_net_blob *)(void *)b; /* b is its first member */
}

static int touch_data(struct ot_net *net, struct ot_blob *blob, int step, struct ot_err *err)
{
    struct ot_net_blob *b = root(net_blob(blob));

    if (b->data_item < 0)
        b->data_item = new_item(net, room(net, ot_bytes(&b->b.data), &b->data_peak),
                                &b->b.data.data, NULL, err);
    if (b->data_item < 0)
        return err->code;
    touch(net, b->data_item, step);
    if (b->keep || net_blob(blob)->keep) {
        touch(net, b->data_item, 2 * net->nnode);
        if (net->conf.keep_all)
            touch(net, b->data_item, 0);
    }
    return 0;
}

static int touch_grad(struct ot_net *net, struct ot_blob *blob, int step, struct ot_err *err)
{
    struct ot_net_blob *b = net_blob(blob);

    if (b->grad_item < 0)
        b->grad_item = new_item(net, room(net, ot_bytes(&b->b.data), &b->grad_peak),
                                &b->b.grad.data, NULL, err);
    if (b->grad_item < 0)
        return err->code;
    touch(net, b->grad_item, step);
    if (b->zero_grad || b->loss_weight != 0.0f)
        touch(net, b->grad_item, net->nnode); /* written when backward begins */
    if (net->conf.keep_all) {
        touch(net, b->grad_item, 0);
        touch(net, b->grad_item, 2 * net->nnode);
    }
    return 0;
}

static bool has_in_place_reader(const struct ot_net *net, const struct ot_net_blob *b)
{
    for (int i = 0; i < net->nnode; i++)
        for (int j = 0; j < net->node[i].l.nin && j < net->node[i].l.nout; j++)
            if (net->node[i].in[j] == b && net->node[i].out[j] == b)
                return true;
    return false;
}

static void find_aliases(struct ot_net *net)
{
    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];

        if (!(n->l.ops->flags & OT_LAYER_ALIAS))
            continue;
        for (int t = 0; t < n->l.nout; t++) {
            bool same = ot_bytes(&n->l.out[t]->data) == ot_bytes(&n->l.in[0]->data);

            n->out[t]->alias = NULL;
            if (same && !net->conf.keep_all && n->l.out[t] != n->l.in[0] &&
                !has_in_place_reader(net, n->out[t]))
                n->out[t]->alias = net_blob(n->l.in[0]);
        }
    }
}

/* The gradients that layer l reads, and those it writes. */
static int live_grads(struct ot_net *net, const struct ot_layer *l, int back, struct ot_err *err)
{
    const struct ot_layer *from = l->fused_split ? l->fused_split : l;
    int rc = 0;

    for (int b = 0; b < ot_layer_inputs(l) && rc == 0; b++)
        if (l->in[b]->need_grad)
            rc = touch_grad(net, l->in[b], back, err);
    for (int t = 0; t < from->nout && rc == 0; t++)
        if (from->out[t]->need_grad || net_blob(from->out[t])->zero_grad)
            rc = touch_grad(net, from->out[t], back, err);
    return rc;
}

static int live_node(struct ot_net *net, int i, struct ot_err *err)
{
    struct ot_node *n = &net->node[i];
    struct ot_layer *l = &n->l;
    int back = 2 * net->nnode - 1 - i, rc = 0;

    for (int b = 0; b < ot_layer_inputs(l) && rc == 0; b++) {
        rc = touch_data(net, l->in[b], i, err);
        if (rc == 0 && n->backward && b < l->nin && (l->reads & OT_LAYER_BWD_NEEDS_IN))
            rc = touch_data(net, l->in[b], back, err);
    }
    for (int t = 0; t < l->nout && rc == 0; t++) {
        rc = touch_data(net, l->out[t], i, err);
        if (rc == 0 && l->nin == 0) /* an Input's values may be set before any step */
            rc = touch_data(net, l->out[t], 0, err);
        if (rc == 0 && n->backward && (l->reads & OT_LAYER_BWD_NEEDS_OUT))
            rc = touch_data(net, l->out[t], back, err);
    }
    if (rc == 0 && n->backward && !n->skip_backward)
        rc = live_grads(net, l, back, err);
    for (int k = 0; k < OT_MAX_WS && rc == 0; k++) {
        l->ws[k] = NULL;
        if (!l->ws_bytes[k])
            continue;
        n->ws_item[k] = new_item(net, room(net, l->ws_bytes[k], &n->ws_peak[k]), NULL, &l->ws[k],
                                 err);
        if (n->ws_item[k] < 0)
            return err->code;
        touch(net, n->ws_item[k], i);
        /* check() looks when the whole forward pass is done */
        touch(net, n->ws_item[k], n->backward ? back : l->ops->check ? net->nnode - 1 : i);
    }
    return rc;
}

static int live_conversions(struct ot_net *net, size_t nconv, struct ot_err *err)
{
    for (size_t k = 0; k < nconv; k++) {
        const struct ot_conversion *c = &net->conv[k];
        const struct ot_node *n = &net->node[c->node];
        int back = 2 * net->nnode - 1 - c->node;

        if (touch_data(net, &c->from->b, c->node, err) < 0 ||
            touch_data(net, &c->to->b, c->node, err) < 0)
            return err->code;
        if (n->backward && c->from->b.need_grad &&
            (touch_grad(net, &c->from->b, back, err) < 0 ||
             touch_grad(net, &c->to->b, back, err) < 0))
            return err->code;
    }
    return 0;
}

/* ---- pass 3: addresses ----------------------------------------------------------------------- */

static int larger_first(const void *a, const void *b)
{
    const struct ot_plan_item *x = *(struct ot_plan_item *const *)a;
    const struct ot_plan_item *y = *(struct ot_plan_item *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int by_offset(const void *a, const void *b)
{
    const struct ot_plan_item *x = *(struct ot_plan_item *const *)a;
    const struct ot_plan_item *y = *(struct ot_plan_item *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The lowest gap among `placed` items alive at the same time; busy is room for them. */
static size_t lowest_gap(const struct ot_plan_item *it, struct ot_plan_item **placed, size_t n,
                         struct ot_plan_item **busy)
{
    size_t nbusy = 0, at = 0;

    for (size_t k = 0; k < n; k++)
        if (placed[k]->first <= it->last && it->first <= placed[k]->last)
            busy[nbusy++] = placed[k];
    qsort(busy, nbusy, sizeof(void *), by_offset);
    for (size_t k = 0; k < nbusy; k++) {
        if (busy[k]->offset >= at + it->bytes)
            break;
        if (busy[k]->offset + busy[k]->bytes > at)
            at = busy[k]->offset + busy[k]->bytes;
    }
    return at;
}

static int place(struct ot_net *net, struct ot_err *err)
{
    struct ot_plan_item **order = ot_alloc(2 * net->nitem + 1, sizeof(void *), err);
    size_t need = 0;

    if (!order)
        return err->code;
    net->unshared_bytes = 0;
    for (size_t k = 0; k < net->nitem; k++) {
        order[k] = &net->item[k];
        net->unshared_bytes += net->item[k].bytes;
    }
    qsort(order, net->nitem, sizeof(void *), larger_first);
    for (size_t k = 0; k < net->nitem; k++) {
        order[k]->offset = lowest_gap(order[k], order, k, order + net->nitem);
        if (order[k]->offset + order[k]->bytes > need)
            need = order[k]->offset + order[k]->bytes;
    }
    ot_free(order);
    if (net->before)
        return ot_net_resettle(net, need, err);
    if (need > net->memory_bytes) {
        struct ot_dev *dev = net->env.dev;

        dev->ops->sync(dev);
        dev->ops->free(dev, net->memory);
        net->memory_bytes = 0;
        net->memory = dev->ops->alloc(dev, need, err);
        if (!net->memory)
            return err->code;
        net->memory_bytes = need;
    }
    return 0;
}

static void set_addresses(struct ot_net *net, size_t nconv)
{
    for (size_t k = 0; k < net->nitem; k++) {
        char *p = (char *)net->memory + net->item[k].offset;

        if (net->item[k].slot)
            *net->item[k].slot = (float *)(void *)p;
        else
            *net->item[k].slot_ws = p;
    }
    for (size_t k = 0; k < net->nblob; k++)
        if (net->blob[k]->alias)
            net->blob[k]->b.data.data = root(net->blob[k])->b.data.data;
    for (size_t k = 0; k < nconv; k++) /* sizes of gradients follow those of the data */
        net->conv[k].to->b.need_grad = net->conv[k].from->b.need_grad;
}

static void forget_plan(struct ot_net *net)
{
    net->nitem = 0;
    for (size_t k = 0; k < net->nblob; k++) {
        struct ot_net_blob *b = net->blob[k];

        b->data_item = b->grad_item = -1;
        b->now = b;
        b->alias = NULL;
        b->b.data.data = b->b.grad.data = NULL;
    }
}

static void grads_follow_data(struct ot_blob *b)
{
    b->grad.shape = b->data.shape;
    b->grad.fmt = b->data.fmt;
    b->grad.elems = b->data.elems;
}

static int plan_scratch(struct ot_net *net, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    size_t most = 0;

    for (int i = 0; i < net->nnode; i++)
        if (net->node[i].l.scratch_bytes > most)
            most = net->node[i].l.scratch_bytes;
    if (most > net->scratch_bytes) {
        dev->ops->sync(dev);
        dev->ops->free(dev, net->scratch);
        net->scratch_bytes = 0;
        net->scratch = dev->ops->alloc(dev, most, err);
        if (!net->scratch)
            return err->code;
        net->scratch_bytes = most;
    }
    for (int i = 0; i < net->nnode; i++)
        net->node[i].l.scratch = net->scratch;
    return 0;
}

static int plan_formats(struct ot_net *net, struct ot_tensor *old, size_t *nconv,
                        struct ot_err *err)
{
    size_t k = 0;

    *nconv = 0;
    ot_net_fuse(net);
    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];

        for (int j = 0; j < n->l.nparam; j++) {
            struct ot_param *p = n->l.param[j];

            old[k] = p->data;
            if (p->base != p)
                old[k].data = NULL;
            k++;
            p->data.fmt = NULL;
            p->data.elems = ot_count(&p->data.shape);
        }
        if (plan_node(net, i, nconv, err) < 0)
            return ot_net_wrap(n, err);
    }
    for (size_t b = 0; b < net->nblob; b++)
        grads_follow_data(&net->blob[b]->b);
    for (size_t c = 0; c < *nconv; c++)
        grads_follow_data(&net->conv[c].to->b);
    return 0;
}

int ot_net_plan(struct ot_net *net, struct ot_err *err)
{
    struct ot_tensor *old;
    size_t nconv = 0;
    int rc;

    ot_net_forget(net);
    if (net->conf.share && !net->conf.share->planned && ot_net_plan(net->conf.share, err) < 0)
        return err->code;
    old = ot_alloc(net->nparam + 1, sizeof *old, err);
    if (!old)
        return err->code;
    forget_plan(net);
    rc = plan_formats(net, old, &nconv, err);
    if (rc == 0)
        rc = settle_params(net, old, err);
    ot_free(old);
    if (rc < 0)
        return rc;
    net->nconv = nconv;
    find_aliases(net);
    for (int i = 0; i < net->nnode && rc == 0; i++)
        rc = live_node(net, i, err);
    if (rc == 0)
        rc = live_conversions(net, nconv, err);
    if (rc == 0)
        rc = place(net, err);
    if (rc == 0)
        rc = plan_scratch(net, err);
    if (rc == 0) {
        set_addresses(net, nconv);
        net->planned = true;
    }
    return rc;
}

int ot_net_history(struct ot_net *net, int count, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;

    for (size_t k = 0; k < net->nlearn; k++)
        for (int h = 0; h < count; h++) {
            struct ot_param *p = net->learn[k];

            if (!p->hist[h] && p->need_grad)
                p->hist[h] = dev->ops->alloc(dev, ot_bytes(&p->data), err);
            if (!p->hist[h] && p->need_grad)
                return err->code;
        }
    return 0;
}
