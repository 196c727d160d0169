/*
 * net_dynamic.c - when a layer's output gets another size during forward (Filter): what follows is
 * reshaped and the net planned anew.
 *
 * Every place keeps the largest size it ever had, so a plan of the same tensors puts them where
 * they are and nothing is copied.  Where formats differ with the size (a library may choose so)
 * places move; then the new plan gets memory of its own and the values computed so far go there.
 */
#include <string.h>

#include "base/mem.h"
#include "trainer/net.h"

static int reshape_after(struct ot_net *net, int i, struct ot_err *err)
{
    for (int k = i + 1; k < net->nnode; k++) {
        struct ot_node *n = &net->node[k];

        for (int b = 0; b < n->l.nin; b++)
            n->l.in[b] = &n->in[b]->b;
        for (int t = 0; t < n->l.nout; t++)
            n->l.out[t] = &n->out[t]->b;
        if (ot_net_reshape(n, err) < 0)
            return ot_net_wrap(n, err);
    }
    return 0;
}

int ot_net_follow(struct ot_net *net, int i, struct ot_err *err)
{
    struct ot_plan_item *old = ot_alloc(net->nitem + 1, sizeof *old, err);
    const struct ot_plan_before before = { .item = old, .nitem = net->nitem, .step = i };
    int rc;

    if (!old)
        return err->code;
    memcpy(old, net->item, net->nitem * sizeof *old);
    rc = reshape_after(net, i, err);
    net->before = &before;
    if (rc == 0)
        rc = ot_net_plan(net, err);
    net->before = NULL;
    net->planned = rc == 0;
    ot_free(old);
    return rc;
}

/* Where item k of the new plan was before; NULL: it holds no value that is needed. */
static const struct ot_plan_item *was(const struct ot_net *net, size_t k)
{
    const struct ot_plan_before *b = net->before;
    const struct ot_plan_item *now = &net->item[k];

    if (now->first > b->step || now->last < b->step)
        return NULL;
    if (k < b->nitem && b->item[k].slot == now->slot && b->item[k].slot_ws == now->slot_ws)
        return &b->item[k];
    for (size_t j = 0; j < b->nitem; j++)
        if (b->item[j].slot == now->slot && b->item[j].slot_ws == now->slot_ws)
            return &b->item[j];
    return NULL;
}

static bool any_moved(const struct ot_net *net)
{
    for (size_t k = 0; k < net->nitem; k++) {
        const struct ot_plan_item *old = was(net, k);

        if (old && old->offset != net->item[k].offset)
            return true;
    }
    return false;
}

int ot_net_resettle(struct ot_net *net, size_t need, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;
    char *from = net->memory, *to;

    if (need <= net->memory_bytes && !any_moved(net))
        return 0;
    if (need < net->memory_bytes)
        need = net->memory_bytes;
    to = dev->ops->alloc(dev, need, err);
    if (!to)
        return err->code;
    for (size_t k = 0; k < net->nitem; k++) {
        const struct ot_plan_item *now = &net->item[k], *old = was(net, k);
        size_t bytes = old && old->bytes < now->bytes ? old->bytes : now->bytes;

        if (old) /* places are multiples of 64 bytes */
            dev->k->copy(dev, OT_F32, bytes / sizeof(float),
                         (const float *)(void *)(from + old->offset),
                         (float *)(void *)(to + now->offset));
    }
    dev->ops->sync(dev);
    dev->ops->free(dev, from);
    net->memory = to;
    net->memory_bytes = need;
    return 0;
}
