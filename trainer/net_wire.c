/*
 * net_wire.c - from a NetParameter to a list of nodes with names: filtering by NetState, and
 * Split wherever a blob has several readers.
 *
 * Rules and names follow Caffe's Net::FilterNet and InsertSplits (src/caffe/net.cpp and
 * src/caffe/util/insert_splits.cpp, BVLC Caffe 1.0).
 */
#include <stdio.h>
#include <string.h>

#include "trainer/net.h"

/* ---- include and exclude rules --------------------------------------------------------------- */

static bool has_stage(const struct ot_net_conf *c, const char *stage)
{
    for (int i = 0; i < c->nstage; i++)
        if (!strcmp(c->stage[i], stage))
            return true;
    return false;
}

static bool rule_met(const struct ot_net_conf *c, const Caffe__NetStateRule *r)
{
    if (r->has_phase && r->phase != c->phase)
        return false;
    if (r->has_min_level && c->level < r->min_level)
        return false;
    if (r->has_max_level && c->level > r->max_level)
        return false;
    for (size_t i = 0; i < r->n_stage; i++)
        if (!has_stage(c, r->stage[i]))
            return false;
    for (size_t i = 0; i < r->n_not_stage; i++)
        if (has_stage(c, r->not_stage[i]))
            return false;
    return true;
}

static int included(const struct ot_net *net, const Caffe__LayerParameter *p, bool *yes,
                    struct ot_err *err)
{
    *yes = p->n_include == 0;
    if (p->n_include && p->n_exclude) {
        (void)ot_fail_at(err, ot_doc_loc(net->conf.doc, p, "exclude"), OT_ECONFIG,
                         "include and exclude rules together; use one of the two");
        return ot_err_wrap(err, "layer '%s'", p->name ? p->name : "");
    }
    for (size_t i = 0; i < p->n_include; i++)
        *yes = *yes || rule_met(&net->conf, p->include[i]);
    for (size_t i = 0; i < p->n_exclude; i++)
        *yes = *yes && !rule_met(&net->conf, p->exclude[i]);
    return 0;
}

/* ---- nodes before splits --------------------------------------------------------------------- */

struct raw { /* a layer with the names of its blobs */
    const Caffe__LayerParameter *p;
    const char **bottom, **top;
    int nb, nt;
    bool inserted;
    unsigned loss_moved; /* bit t: the loss weight of top t went to its Split */
};

struct wiring {
    struct ot_net *net;
    struct raw *raw;
    int n, cap;
};

static const char **names(struct wiring *w, char *const *from, size_t n, struct ot_err *err)
{
    const char **to = ot_arena_alloc(&w->net->arena, n + 1, sizeof *to, err);

    for (size_t i = 0; to && i < n; i++)
        to[i] = from[i];
    return to;
}

static int add_raw(struct wiring *w, const Caffe__LayerParameter *p, struct ot_err *err)
{
    struct raw *r = &w->raw[w->n];

    *r = (struct raw){ .p = p, .nb = (int)p->n_bottom, .nt = (int)p->n_top };
    r->bottom = names(w, p->bottom, p->n_bottom, err);
    r->top = r->bottom ? names(w, p->top, p->n_top, err) : NULL;
    if (!r->top)
        return err->code;
    w->n++;
    return 0;
}

/* ---- splits ---------------------------------------------------------------------------------- */

struct use { /* of one version of a blob: top `top` of raw layer `layer` */
    int layer, top, readers, next;
};

static int find_use(const struct wiring *w, const struct use *uses, int nuse, const char *name)
{
    for (int i = nuse - 1; i >= 0; i--)
        if (!strcmp(w->raw[uses[i].layer].top[uses[i].top], name))
            return i;
    return -1;
}

static bool is_loss_top(const struct raw *r, int top)
{
    const struct ot_layer_ops *ops = ot_layer_find(r->p->type ? r->p->type : "");

    if ((size_t)top < r->p->n_loss_weight)
        return r->p->loss_weight[top] != 0.0f;
    return top == 0 && ops && (ops->flags & OT_LAYER_LOSS) && !r->p->n_loss_weight;
}

/* Blames bottom b of r; a top whose name is near is offered. */
static int no_producer(const struct wiring *w, const struct use *uses, int nuse,
                       const struct raw *r, int b, struct ot_err *err)
{
    const char *near = NULL;
    int best = 3; /* further than that is not a slip of the hand */

    for (int i = 0; i < nuse; i++) {
        const char *top = w->raw[uses[i].layer].top[uses[i].top];
        int d = ot_edit_distance(top, r->bottom[b]);

        if (d < best) {
            best = d;
            near = top;
        }
    }
    (void)ot_fail_at(err, ot_doc_loc_at(w->net->conf.doc, r->p, "bottom", (size_t)b), OT_ECONFIG,
                     "bottom '%s' is produced by no layer before it%s%s%s", r->bottom[b],
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return ot_err_wrap(err, "layer '%s'", r->p->name ? r->p->name : "");
}

/* Which version of which top each bottom reads: use_of[layer][bottom]. */
static int count_readers(struct wiring *w, struct use *uses, int *nuse, int **use_of,
                         struct ot_err *err)
{
    *nuse = 0;
    for (int i = 0; i < w->n; i++) {
        struct raw *r = &w->raw[i];

        use_of[i] = ot_arena_alloc(&w->net->arena, (size_t)r->nb + 1, sizeof(int), err);
        if (!use_of[i])
            return err->code;
        for (int b = 0; b < r->nb; b++) {
            int u = find_use(w, uses, *nuse, r->bottom[b]);

            if (u < 0)
                return no_producer(w, uses, *nuse, r, b, err);
            uses[u].readers++;
            use_of[i][b] = u;
        }
        for (int t = 0; t < r->nt; t++)
            uses[(*nuse)++] = (struct use){ .layer = i, .top = t };
    }
    return 0;
}

static int add_split(struct wiring *w, const struct raw *r, int top, int ways, struct ot_err *err)
{
    struct ot_arena *a = &w->net->arena;
    const char *blob = r->top[top], *layer = r->p->name ? r->p->name : "";
    struct raw *s = &w->raw[w->n++];
    Caffe__LayerParameter *p = ot_arena_alloc(a, 1, sizeof *p, err);
    static char type[] = "Split";

    *s = (struct raw){ .nb = 1, .nt = ways, .inserted = true };
    if (!p)
        return err->code;
    caffe__layer_parameter__init(p);
    p->type = type;
    p->name = ot_arena_printf(a, err, "%s_%s_%d_split", blob, layer, top);
    s->p = p;
    s->bottom = ot_arena_alloc(a, 1, sizeof *s->bottom, err);
    s->top = ot_arena_alloc(a, (size_t)ways, sizeof *s->top, err);
    if (!p->name || !s->bottom || !s->top)
        return err->code;
    s->bottom[0] = blob;
    if (r->loss_moved >> top & 1) { /* the first way is the loss */
        p->n_loss_weight = 1;
        p->loss_weight = ot_arena_alloc(a, 1, sizeof *p->loss_weight, err);
        if (!p->loss_weight)
            return err->code;
        p->loss_weight[0] = (size_t)top < r->p->n_loss_weight ? r->p->loss_weight[top] : 1.0f;
    }
    for (int k = 0; k < ways; k++) {
        s->top[k] = ot_arena_printf(a, err, "%s_%s_%d_split_%d", blob, layer, top, k);
        if (!s->top[k])
            return err->code;
    }
    return 0;
}

static int insert_splits(struct wiring *w, struct ot_err *err)
{
    struct ot_arena *a = &w->net->arena;
    struct raw *old = w->raw;
    int n = w->n, ntop = 0, nuse;
    struct use *uses;
    int **use_of;

    for (int i = 0; i < n; i++)
        ntop += old[i].nt;
    uses = ot_arena_alloc(a, (size_t)ntop + 1, sizeof *uses, err);
    use_of = uses ? ot_arena_alloc(a, (size_t)n + 1, sizeof *use_of, err) : NULL;
    if (!use_of || count_readers(w, uses, &nuse, use_of, err) < 0)
        return err->code;
    w->raw = ot_arena_alloc(a, (size_t)(n + ntop) + 1, sizeof *w->raw, err);
    if (!w->raw)
        return err->code;
    w->n = 0;
    for (int u = 0, i = 0; i < n; i++) {
        struct raw *r = &w->raw[w->n++];

        *r = old[i];
        for (int b = 0; b < r->nb; b++) {
            struct use *s = &uses[use_of[i][b]];

            if (s->readers > 1)
                r->bottom[b] = ot_arena_printf(a, err, "%s_%s_%d_split_%d", r->bottom[b],
                                               old[s->layer].p->name ? old[s->layer].p->name : "",
                                               s->top, s->next++);
            if (!r->bottom[b])
                return err->code;
        }
        for (int t = 0; t < old[i].nt; t++, u++) {
            /* a loss that is also read: one more way, so that it stays an output */
            if (uses[u].readers > 0 && is_loss_top(&old[i], t)) {
                uses[u].readers++;
                uses[u].next = 1;
                r->loss_moved |= 1u << t;
            }
            if (uses[u].readers > 1 && add_split(w, r, t, uses[u].readers, err) < 0)
                return err->code;
        }
    }
    return 0;
}

/* ---- the nodes ------------------------------------------------------------------------------- */

/* Said of all layers before anything else is: a net made for another program is told so at once. */
static int check_type(const struct ot_net *net, const Caffe__LayerParameter *p, struct ot_err *err)
{
    char near[256];

    if (p->type && ot_layer_find(p->type))
        return 0;
    (void)ot_layer_near(p->type ? p->type : "", near, sizeof near);
    if (!p->type || !p->type[0])
        (void)ot_fail_at(err, ot_doc_loc(net->conf.doc, p, NULL), OT_ECONFIG,
                         "the type is missing");
    else
        (void)ot_fail_at(err, ot_doc_loc(net->conf.doc, p, "type"), OT_ECONFIG,
                         "unknown layer type \"%s\"%s%s", p->type, near[0] ? "; near it: " : "",
                         near);
    return ot_err_wrap(err, "layer '%s'", p->name ? p->name : "");
}

static int check_arity(const struct ot_net *net, const struct raw *r, struct ot_err *err)
{
    const Caffe__LayerParameter *p = r->p;
    const struct ot_layer_ops *ops = ot_layer_find(p->type);

    if (r->nb < ops->min_in || r->nb > ops->max_in)
        (void)ot_fail(err, OT_ECONFIG, "%s takes %d to %d bottoms, got %d", ops->type, ops->min_in,
                      ops->max_in, r->nb);
    else if (r->nt < ops->min_out || r->nt > ops->max_out)
        (void)ot_fail(err, OT_ECONFIG, "%s has %d to %d tops, got %d", ops->type, ops->min_out,
                      ops->max_out, r->nt);
    else
        return 0;
    (void)ot_err_at(err, ot_doc_loc(net->conf.doc, p, NULL));
    return ot_err_wrap(err, "layer '%s'", p->name ? p->name : "");
}

static int make_nodes(struct wiring *w, struct ot_err *err)
{
    struct ot_net *net = w->net;

    net->nnode = w->n;
    net->node = ot_arena_alloc(&net->arena, (size_t)w->n + 1, sizeof *net->node, err);
    if (!net->node)
        return err->code;
    for (int i = 0; i < w->n; i++) {
        const struct raw *r = &w->raw[i];
        struct ot_node *n = &net->node[i];

        if (!r->inserted && check_arity(net, r, err) < 0)
            return err->code;
        n->bottom = r->bottom;
        n->top = r->top;
        n->inserted = r->inserted;
        n->loss_moved = r->loss_moved;
        n->l.ops = ot_layer_find(r->p->type);
        n->l.name = r->p->name ? r->p->name : "";
        n->l.conf = r->p;
        n->l.loc = ot_doc_loc(net->conf.doc, r->inserted ? NULL : r->p, NULL);
        n->l.nin = r->nb;
        n->l.nout = r->nt;
        for (int k = 0; k < OT_MAX_WS; k++)
            n->ws_item[k] = -1;
    }
    return 0;
}

int ot_net_wire(struct ot_net *net, struct ot_err *err)
{
    const Caffe__NetParameter *np = net->conf.param;
    struct wiring w = { .net = net };

    if (np->n_layers || np->n_input) /* else they would be left out in silence */
        return ot_fail_at(err, ot_doc_loc(net->conf.doc, np, np->n_layers ? "layers" : "input"),
                          OT_ECONFIG, "the net is of an old format and was not upgraded, got %s",
                          np->n_layers ? "layers" : "input");
    w.cap = (int)np->n_layer;
    w.raw = ot_arena_alloc(&net->arena, (size_t)w.cap + 1, sizeof *w.raw, err);
    if (!w.raw)
        return err->code;
    for (size_t i = 0; i < np->n_layer; i++) {
        bool yes;

        if (included(net, np->layer[i], &yes, err) < 0)
            return err->code;
        if (yes && add_raw(&w, np->layer[i], err) < 0)
            return err->code;
    }
    if (w.n == 0)
        return ot_fail_at(err, ot_doc_loc(net->conf.doc, np, NULL), OT_ECONFIG,
                          "the net has no layer in phase %s",
                          net->conf.phase == CAFFE__PHASE__TRAIN ? "TRAIN" : "TEST");
    for (int i = 0; i < w.n; i++)
        if (check_type(net, w.raw[i].p, err) < 0)
            return err->code;
    if (insert_splits(&w, err) < 0)
        return err->code;
    return make_nodes(&w, err);
}
