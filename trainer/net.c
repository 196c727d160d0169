/*
 * net.c - building a net: blobs, set-up of every layer, shared parameters, and who needs a
 * gradient.  Planning and running are in net_plan.c and net_run.c.
 */
#include "trainer/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

int ot_net_wrap(const struct ot_node *n, struct ot_err *err)
{
    char said[256]; /* a failure that was found late names its layer itself */

    (void)ot_err_at(err, n->l.loc);
    (void)snprintf(said, sizeof said, "layer '%s': ", n->l.name);
    if (!strncmp(err->text, said, strlen(said)))
        return err->code;
    return ot_err_wrap(err, "layer '%s'", n->l.name);
}

int ot_net_ok(struct ot_net *net, struct ot_err *err)
{
    static const char said[] = "layer '";
    const char *name = err->text + sizeof said - 1;

    if (ot_dev_ok(net->env.dev, err) == 0)
        return 0;
    for (int i = 0; i < net->nnode && !strncmp(err->text, said, sizeof said - 1); i++) {
        size_t n = strlen(net->node[i].l.name);

        if (!strncmp(name, net->node[i].l.name, n) && !strncmp(name + n, "': ", 3))
            return ot_err_at(err, net->node[i].l.loc);
    }
    return err->code;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static struct ot_net_blob *new_blob(struct ot_net *net, const char *name, int producer,
                                    struct ot_err *err)
{
    struct ot_net_blob *b = ot_arena_alloc(&net->arena, 1, sizeof *b, err);

    if (!b || ot_grow(&net->blob, &net->blob_cap, net->nblob + 1, sizeof *net->blob, err) < 0)
        return NULL;
    b->b.name = name;
    b->now = b;
    b->producer = producer;
    b->data_item = b->grad_item = -1;
    net->blob[net->nblob++] = b;
    return b;
}

static struct ot_net_blob *newest(const struct ot_net *net, const char *name)
{
    for (size_t i = net->nblob; i-- > 0;)
        if (!strcmp(net->blob[i]->b.name, name))
            return net->blob[i];
    return NULL;
}

/* A top of that name exists: made by another layer, or what this one wanted to work on in place
 * before Split gave its bottom another name. */
static int top_taken(const struct ot_net *net, const struct ot_node *n, int t, struct ot_err *err)
{
    const struct ot_node *by = &net->node[newest(net, n->top[t])->producer];
    struct ot_loc loc = ot_doc_loc_at(net->conf.doc, n->l.conf, "top", (size_t)t);

    if ((size_t)t < n->l.conf->n_bottom && !strcmp(n->l.conf->bottom[t], n->top[t]))
        return ot_fail_at(err, loc, OT_ECONFIG,
                          "works in place on '%s', which other layers read as well; give it a top "
                          "of its own",
                          n->top[t]);
    return ot_fail_at(err, loc, OT_ECONFIG, "top '%s' is produced by layer '%s' already", n->top[t],
                      by->l.name);
}

/* A top with the name of its bottom is the same memory where nobody's backward needs what it would
 * overwrite; else it is a new version of the blob, and the planner's lifetimes see to the memory.
 */
static bool overwrites(const struct ot_layer_ops *ops, const struct ot_net_blob *in)
{
    return (ops->flags & OT_LAYER_INPLACE) && !(ops->flags & OT_LAYER_BWD_NEEDS_IN) &&
           !in->read_back;
}

static int connect(struct ot_net *net, int i, struct ot_err *err)
{
    struct ot_node *n = &net->node[i];

    for (int b = 0; b < n->l.nin; b++) {
        n->in[b] = newest(net, n->bottom[b]);
        OT_BUG_IF(!n->in[b]); /* net_wire.c has checked it */
        n->l.in[b] = &n->in[b]->b;
    }
    for (int t = 0; t < n->l.nout; t++) {
        bool in_place = t < n->l.nin && !strcmp(n->top[t], n->bottom[t]);

        if (!in_place && newest(net, n->top[t]))
            return top_taken(net, n, t, err);
        n->out[t] = in_place && overwrites(n->l.ops, n->in[t]) ? n->in[t]
                                                               : new_blob(net, n->top[t], i, err);
        if (!n->out[t])
            return err->code;
        if (n->l.ops->flags & OT_LAYER_BWD_NEEDS_OUT)
            n->out[t]->read_back = true;
        n->l.out[t] = &n->out[t]->b;
    }
    return 0;
}

/* ---- set-up of one layer --------------------------------------------------------------------- */

static int set_loss_weights(struct ot_node *n, struct ot_err *err)
{
    const Caffe__LayerParameter *p = n->l.conf;

    if (p->n_loss_weight > (size_t)n->l.nout)
        return ot_fail(err, OT_ECONFIG, "loss_weight: %zu values for %d tops", p->n_loss_weight,
                       n->l.nout);
    for (int t = 0; t < n->l.nout; t++) {
        float w = t == 0 && (n->l.ops->flags & OT_LAYER_LOSS) ? 1.0f : 0.0f;

        if (p->n_loss_weight)
            w = (size_t)t < p->n_loss_weight ? p->loss_weight[t] : 0.0f;
        if (n->loss_moved >> t & 1)
            w = 0.0f;
        n->l.loss_weight[t] = w;
        n->out[t]->loss_weight = w;
    }
    return 0;
}

static uint64_t stream_of(const char *name)
{
    return ot_hash64(name, strlen(name)) & 0xffffff; /* 24 bits: leaves 40 for the element */
}

static struct ot_param *shared_owner(struct ot_net *net, const struct ot_node *n,
                                     const struct ot_param *p)
{
    if (net->conf.share) {
        const struct ot_node *o = ot_net_node(net->conf.share, n->l.name);

        if (o && p->index < o->l.nparam)
            return o->l.param[p->index]->owner;
    }
    for (size_t i = 0; p->name && i < net->nparam; i++)
        if (net->param[i]->name && !strcmp(net->param[i]->name, p->name))
            return net->param[i]->owner;
    return NULL;
}

/* ParamSpec.share_mode of the sharer: shapes must be equal, or only the counts of values. */
static int check_sharer(const struct ot_node *n, const struct ot_param *p,
                        const struct ot_param *owner, struct ot_err *err)
{
    const Caffe__LayerParameter *conf = n->l.conf;
    bool permissive = (size_t)p->index < conf->n_param &&
                      conf->param[p->index]->share_mode ==
                          CAFFE__PARAM_SPEC__DIM_CHECK_MODE__PERMISSIVE;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (permissive ? ot_count(&p->data.shape) == ot_count(&owner->data.shape)
                   : ot_shape_eq(&p->data.shape, &owner->data.shape))
        return 0;
    return ot_fail(err, OT_ESHAPE, "parameter %d is %s but the one it shares with layer '%s' is %s",
                   p->index, ot_shape_str(&p->data.shape, a), owner->layer,
                   ot_shape_str(&owner->data.shape, b));
}

static int join(const struct ot_net *net, const struct ot_node *n, struct ot_param *p,
                struct ot_param *owner, struct ot_err *err)
{
    if (check_sharer(n, p, owner, err) < 0)
        return err->code;
    p->owner = owner;
    if (net->conf.share) {
        p->need_grad = false; /* a test net only reads */
        return 0;
    }
    /* Caffe: a sharer may leave lr_mult and decay_mult to the owner, or the owner to it. */
    if (owner->lr_mult == 1.0f)
        owner->lr_mult = p->lr_mult;
    if (owner->decay_mult == 1.0f)
        owner->decay_mult = p->decay_mult;
    owner->need_grad = owner->lr_mult != 0.0f;
    p->need_grad = owner->need_grad;
    return 0;
}

/* Weights are shared, saved and loaded by layer name. */
static int check_name(const struct ot_net *net, const struct ot_node *n, struct ot_err *err)
{
    const struct ot_node *first = ot_net_node(net, n->l.name);

    if (!n->l.nparam || first == n || !first->l.nparam)
        return 0;
    return ot_fail_at(err, ot_doc_loc(net->conf.doc, n->l.conf, "name"), OT_ECONFIG,
                      "another layer with parameters has that name (line %d); weights are saved "
                      "and loaded by it",
                      first->l.loc.line);
}

static int register_params(struct ot_net *net, struct ot_node *n, struct ot_err *err)
{
    for (int i = 0; i < n->l.nparam; i++) {
        struct ot_param *p = n->l.param[i], *owner = shared_owner(net, n, p);

        if (owner && join(net, n, p, owner, err) < 0)
            return err->code;
        if (ot_grow(&net->param, &net->param_cap, net->nparam + 1, sizeof(void *), err) < 0)
            return err->code;
        net->param[net->nparam++] = p;
    }
    return 0;
}

int ot_net_reshape(struct ot_node *n, struct ot_err *err)
{
    char text[OT_SHAPE_TEXT];

    if (n->l.ops->reshape && n->l.ops->reshape(&n->l, err) < 0)
        return err->code;
    for (int t = 0; t < n->l.nout; t++)
        if (!ot_shape_fits(&n->l.out[t]->data.shape))
            return ot_fail(
                err, OT_ESHAPE, "top '%s' must have at most %d values, %d along an axis, got %s",
                n->top[t], INT32_MAX, OT_MAX_AXIS, ot_shape_str(&n->l.out[t]->data.shape, text));
    return 0;
}

static int set_up(struct ot_net *net, int i, struct ot_err *err)
{
    struct ot_node *n = &net->node[i];
    struct ot_layer *l = &n->l;

    net->dynamic = net->dynamic || (l->ops->flags & OT_LAYER_DYNAMIC);
    l->env = &net->env;
    l->dev = net->env.dev;
    l->stream = stream_of(l->name);
    if (connect(net, i, err) < 0 || set_loss_weights(n, err) < 0)
        return err->code;
    if (l->ops->state_size) {
        l->state = ot_arena_alloc(&net->arena, 1, l->ops->state_size, err);
        if (!l->state)
            return err->code;
    }
    if (l->ops->setup && l->ops->setup(l, err) < 0)
        return err->code;
    if (l->conf->n_param > (size_t)l->nparam)
        return ot_fail_at(err, ot_doc_loc_at(net->conf.doc, l->conf, "param", (size_t)l->nparam),
                          OT_ECONFIG, "param: %zu given, the layer has %d parameters",
                          l->conf->n_param, l->nparam);
    if (check_name(net, n, err) < 0 || register_params(net, n, err) < 0)
        return err->code;
    return ot_net_reshape(n, err);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* Forward sweep: a blob needs a gradient when a parameter or a blob before it does. */
static int sweep_forward(struct ot_net *net, struct ot_err *err)
{
    bool force = net->conf.param->force_backward;

    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];
        const Caffe__LayerParameter *p = n->l.conf;
        bool any = false, source = n->l.nin == 0;

        if (p->n_propagate_down && p->n_propagate_down != (size_t)n->l.nin)
            return ot_fail(err, OT_ECONFIG,
                           "propagate_down: %zu values for %d bottoms; give one each",
                           p->n_propagate_down, n->l.nin),
                   ot_net_wrap(n, err);
        for (int k = 0; k < n->l.nparam; k++)
            any = any || n->l.param[k]->need_grad;
        for (int b = 0; b < n->l.nin; b++) {
            bool may = n->l.ops->backward && !(n->l.ops->no_grad_in >> b & 1);

            n->prop_down[b] = may && n->in[b]->b.need_grad;
            if (may && p->n_propagate_down)
                n->prop_down[b] = p->propagate_down[b] && (n->in[b]->b.need_grad || force);
            any = any || n->prop_down[b];
        }
        n->backward = any && n->l.ops->backward && !(n->l.ops->flags & OT_LAYER_NO_BACKWARD);
        for (int t = 0; t < n->l.nout; t++)
            n->out[t]->b.need_grad = n->backward || (force && source);
    }
    return 0;
}

/* Backward sweep: only what a loss can reach takes part. */
static void sweep_backward(struct ot_net *net)
{
    for (size_t k = 0; k < net->nblob; k++)
        net->blob[k]->zero_grad = true; /* until a reader is found that writes it */
    for (int i = net->nnode - 1; i >= 0; i--) {
        struct ot_node *n = &net->node[i];
        bool under = false;

        for (int t = 0; t < n->l.nout; t++)
            under = under || n->out[t]->loss_weight != 0.0f || !n->out[t]->zero_grad;
        n->backward = n->backward && under;
        for (int b = 0; b < n->l.nin; b++) {
            n->prop_down[b] = n->prop_down[b] && n->backward;
            if (b < n->l.nout && n->in[b] == n->out[b])
                continue; /* in place: what was said of the top holds */
            n->in[b]->zero_grad = !n->prop_down[b];
        }
    }
    for (size_t k = 0; k < net->nblob; k++) {
        struct ot_net_blob *b = net->blob[k];
        bool producer_runs = b->producer >= 0 && net->node[b->producer].backward;
        bool has_grad = !b->zero_grad || b->loss_weight != 0.0f;

        /* a gradient exists where someone writes it; a Split skips the ways that have none */
        b->b.need_grad = b->b.need_grad && has_grad;
        b->zero_grad = producer_runs && !has_grad;
    }
}

/* ---- the public part ------------------------------------------------------------------------- */

static int collect_learnable(struct ot_net *net, struct ot_err *err)
{
    net->learn = ot_arena_alloc(&net->arena, net->nparam + 1, sizeof(void *), err);
    if (!net->learn)
        return err->code;
    for (size_t i = 0; i < net->nparam; i++)
        if (net->param[i]->owner == net->param[i])
            net->learn[net->nlearn++] = net->param[i];
    return 0;
}

/* Does any node other than an in-place one read this blob? */
static bool is_read(const struct ot_net *net, const struct ot_net_blob *b)
{
    for (int i = 0; i < net->nnode; i++) {
        const struct ot_node *n = &net->node[i];

        for (int j = 0; j < n->l.nin; j++)
            if (n->in[j] == b && !(j < n->l.nout && n->out[j] == b))
                return true;
    }
    return false;
}

/* The caller sets its values once, for as many passes as it likes. */
static bool is_input(const struct ot_net *net, const struct ot_net_blob *b)
{
    return b->producer >= 0 && !strcmp(net->node[b->producer].l.ops->type, "Input");
}

static void mark_kept(struct ot_net *net)
{
    for (size_t k = 0; k < net->nblob; k++) {
        struct ot_net_blob *b = net->blob[k];

        b->keep = net->conf.keep_all || b->loss_weight != 0.0f || !is_read(net, b) ||
                  is_input(net, b);
        for (int j = 0; j < net->conf.nkeep; j++)
            b->keep = b->keep || !strcmp(net->conf.keep[j], b->b.name);
    }
}

static int build(struct ot_net *net, struct ot_err *err)
{
    if (ot_net_wire(net, err) < 0)
        return err->code;
    for (int i = 0; i < net->nnode; i++)
        if (set_up(net, i, err) < 0)
            return ot_net_wrap(&net->node[i], err);
    if (sweep_forward(net, err) < 0)
        return err->code;
    sweep_backward(net);
    mark_kept(net);
    return collect_learnable(net, err);
}

struct ot_net *ot_net_new(const struct ot_net_conf *conf, struct ot_err *err)
{
    struct ot_net *net = ot_alloc(1, sizeof *net, err);

    if (!net)
        return NULL;
    net->conf = *conf;
    net->name = conf->param->name ? conf->param->name : "";
    net->env = (struct ot_net_env){ .dev = conf->dev,
                                    .phase = conf->phase,
                                    .seed = conf->seed,
                                    .net = conf->param,
                                    .doc = conf->doc,
                                    .door = conf->door,
                                    .mining_min_fg = 0.25f };
    net->param_version = 1;
    if (build(net, err) < 0) {
        ot_net_free(net);
        return NULL;
    }
    return net;
}

static void free_params(struct ot_net *net)
{
    struct ot_dev *dev = net->env.dev;

    for (int i = 0; i < net->nnode; i++)
        for (int k = 0; k < net->node[i].l.nparam; k++) {
            struct ot_param *p = net->node[i].l.param[k];

            if (p->base == p) {
                dev->ops->free(dev, p->data.data);
                dev->ops->free(dev, p->grad.data);
                for (int h = 0; h < OT_MAX_HIST; h++)
                    dev->ops->free(dev, p->hist[h]);
            }
            ot_free(p);
        }
}

void ot_net_free(struct ot_net *net)
{
    struct ot_dev *dev;

    if (!net)
        return;
    dev = net->env.dev;
    ot_net_forget(net);
    ot_free(net->replay);
    for (int i = 0; i < net->nnode; i++)
        if (net->node[i].l.state && net->node[i].l.ops->release)
            net->node[i].l.ops->release(&net->node[i].l);
    free_params(net);
    dev->ops->free(dev, net->memory);
    dev->ops->free(dev, net->scratch);
    dev->ops->free(dev, net->fold);
    ot_free(net->blob);
    ot_free(net->param);
    ot_free(net->conv);
    ot_free(net->item);
    ot_arena_release(&net->arena);
    ot_free(net);
}

struct ot_blob *ot_net_blob(const struct ot_net *net, const char *name)
{
    struct ot_net_blob *b = newest(net, name);

    return b ? &(b->now ? b->now : b)->b : NULL;
}

struct ot_node *ot_net_node(const struct ot_net *net, const char *layer)
{
    for (int i = 0; i < net->nnode; i++)
        if (!strcmp(net->node[i].l.name, layer))
            return &net->node[i];
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct ot_blob *const *)a)->name, (*(struct ot_blob *const *)b)->name);
}

int ot_net_outputs(const struct ot_net *net, struct ot_blob **out, int max)
{
    int n = 0;

    for (size_t k = 0; k < net->nblob; k++) {
        struct ot_net_blob *b = net->blob[k];

        if (!is_read(net, b) && n < max)
            out[n++] = &b->now->b;
    }
    qsort(out, (size_t)n, sizeof *out, by_name);
    return n;
}
