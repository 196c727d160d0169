/*
 * net_fuse.c - which layers do the work of those behind them in the same pass over memory.
 *
 *     Convolution, InnerProduct + ReLU           the ReLU's backward stays its own
 *     Eltwise SUM (+ ReLU)                       forward and backward
 *     BatchNorm + Scale of channels (+ ReLU)     forward and backward
 *     the two + Eltwise SUM of two (+ ReLU)      forward and backward
 *
 * and where a sum of these is read by two, Split's backward: the sum of gradients is never stored.
 *
 * The layers are neighbours, each is the only reader of the one before it (another reader would
 * be a Split between them), and nobody has asked for the values in between.  Where the first one
 * does backward for all, it writes into the blob of the last one, which has memory of its own:
 * the blobs between have none.
 *
 * The last is the end of a residual block: K. He, X. Zhang, S. Ren and J. Sun, "Deep residual
 * learning for image recognition", CVPR 2016, figure 2.  What is added is there before BatchNorm
 * runs, because nothing but that one and Scale comes between.
 */
#include <string.h>

#include "trainer/net.h"

/* Whether b, between two layers, need not exist; a reader who asks by name gets `last`. */
static bool hidden(const struct ot_net_blob *b, const struct ot_net_blob *last)
{
    return b->loss_weight == 0.0f && (!b->keep || !strcmp(b->b.name, last->b.name));
}

/* Node i is of that type and all that it reads is node i - 1's only output. */
static bool follows(const struct ot_net *net, int i, const char *type)
{
    const struct ot_node *n = &net->node[i], *before = n - 1;

    return i < net->nnode && !strcmp(n->l.ops->type, type) && before->l.nout == 1 &&
           n->l.nin == 1 && n->in[0] == before->out[0];
}

/* Whether node i, which reads the node before it as its input b, may leave its backward, too, to
 * node `first`. */
static bool may_join(const struct ot_net *net, int first, int i, int b)
{
    return !net->conf.keep_all && net->node[i].backward == net->node[first].backward &&
           hidden(net->node[i].in[b], net->node[i].out[0]);
}

static bool joins(const struct ot_net *net, int first, int i, const char *type)
{
    return follows(net, i, type) && may_join(net, first, i, 0);
}

static bool adds_two(const struct ot_layer *l)
{
    const Caffe__EltwiseParameter *p = l->conf->eltwise_param;

    for (size_t k = 0; p && k < p->n_coeff; k++)
        if (p->coeff[k] != 1.0f)
            return false;
    return l->nin == 2 && (!p || p->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM);
}

/* Node i adds something to the output of the node before it: NULL, or what. */
static struct ot_net_blob *joins_sum(const struct ot_net *net, int first, int i)
{
    const struct ot_node *n = &net->node[i], *before = n - 1;
    int b;

    if (i >= net->nnode || strcmp(n->l.ops->type, "Eltwise") != 0 || !adds_two(&n->l))
        return NULL;
    b = n->in[1] == before->out[0];
    if (n->in[b] != before->out[0] || !may_join(net, first, i, b) ||
        (n->backward && !n->in[!b]->b.need_grad))
        return NULL;
    return n->in[!b];
}

/* Node i is a Split in two, both of which have a gradient, of what node `first` writes. */
static bool joins_split(const struct ot_net *net, int first, int i)
{
    const struct ot_node *n = &net->node[i], *a = &net->node[first];
    const unsigned flags = a->l.ops->flags;

    if (!(flags & OT_LAYER_FUSES_SPLIT) || ((flags & OT_LAYER_FUSES_SUM) && !a->l.fused_sum) ||
        a->l.refuses_relu || net->conf.keep_all || !follows(net, i, "Split") || n->l.nout != 2 ||
        !n->backward || !a->backward || n->in[0]->loss_weight != 0.0f)
        return false;
    for (int t = 0; t < 2; t++)
        if (!n->out[t]->b.need_grad || n->out[t]->loss_weight != 0.0f)
            return false;
    return true;
}

/* A value for each of axis 1. */
static bool of_channels(const struct ot_layer *l)
{
    const Caffe__ScaleParameter *p = l->conf->scale_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    const int axis = p ? p->axis : 1;

    return x->nd >= 2 && (axis < 0 ? axis + x->nd : axis) == 1 && l->nparam > 0 &&
           l->param[0]->data.shape.nd == 1;
}

static bool is_rectifier(const struct ot_layer *l)
{
    const Caffe__ReLUParameter *p = l->conf->relu_param;

    return !p || p->negative_slope == 0.0f;
}

/* The last node whose work node i does. */
static int fuse_from(struct ot_net *net, int i)
{
    struct ot_node *a = &net->node[i];
    const unsigned flags = a->l.ops->flags;
    int last = i;

    if ((flags & OT_LAYER_FUSES_SCALE) && joins(net, i, last + 1, "Scale") &&
        of_channels(&net->node[last + 1].l))
        a->l.fused_scale = &net->node[++last].l;
    if ((flags & OT_LAYER_FUSES_SUM) && a->l.fused_scale) {
        a->in[a->l.nin] = joins_sum(net, i, last + 1);
        a->l.fused_sum = a->in[a->l.nin] != NULL;
        last += a->l.fused_sum;
    }
    if (!(flags & OT_LAYER_FUSES_RELU) || a->l.refuses_relu ||
        ((flags & OT_LAYER_FUSES_SCALE) && !a->l.fused_scale))
        return last;
    if (flags & OT_LAYER_MASKS_RELU)
        a->l.fused_relu = joins(net, i, last + 1, "ReLU");
    else
        a->l.fused_relu = follows(net, last + 1, "ReLU") &&
                          net->node[last + 1].out[0] == net->node[last + 1].in[0];
    a->l.fused_relu = a->l.fused_relu && is_rectifier(&net->node[last + 1].l);
    return last + a->l.fused_relu;
}

void ot_net_fuse(struct ot_net *net)
{
    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *n = &net->node[i];

        n->l.fused_relu = n->l.fused_sum = false;
        n->skip_forward = n->skip_backward = false;
        n->l.fused_scale = n->l.fused_split = NULL;
        n->last = i;
    }
    for (int i = 0; i < net->nnode && !net->conf.no_fusion; i++) {
        struct ot_node *a = &net->node[i];
        const int first = i;

        a->last = fuse_from(net, i);
        for (int k = i + 1; k <= a->last; k++) {
            net->node[k].skip_forward = true;
            net->node[k].skip_backward = a->l.ops->flags & OT_LAYER_MASKS_RELU;
            net->node[k].last = a->last;
        }
        i = a->last;
        if (joins_split(net, first, i + 1)) {
            a->l.fused_split = &net->node[++i].l;
            net->node[i].skip_backward = true;
        }
    }
}
