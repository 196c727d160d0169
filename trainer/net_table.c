/* net_table.c - the net as a table for people: what each layer makes, holds and costs. */
#include <stdio.h>
#include <string.h>

#include "trainer/net.h"

static void number(char *buf, size_t n, double v)
{
    static const char unit[] = " KMGTP";
    int u = 0;

    while (v >= 10000 && u < 5) {
        v /= 1000;
        u++;
    }
    if (u)
        (void)snprintf(buf, n, "%.1f%c", v, unit[u]);
    else
        (void)snprintf(buf, n, "%.0f", v);
}

static void row(const struct ot_node *n, struct ot_str *out, double total[3])
{
    char shape[OT_SHAPE_TEXT] = "", params[32], bytes[32], flops[32];
    double np = 0, mem = 0;
    bool frozen = n->l.nparam > 0 && n->l.env->phase == CAFFE__PHASE__TRAIN;
    const char *mark = "";

    for (int k = 0; k < n->l.nparam; k++) {
        np += (double)ot_count(&n->l.param[k]->data.shape);
        frozen = frozen && !n->l.param[k]->need_grad;
    }
    for (int t = 0; t < n->l.nout; t++)
        if (!n->skip_forward && !n->out[t]->alias && !(t < n->l.nin && n->l.out[t] == n->l.in[t]))
            mem += (double)n->l.out[t]->data.elems * sizeof(float);
    if (n->l.nout)
        (void)ot_shape_str(&n->l.out[0]->data.shape, shape);
    if (n->skip_forward)
        mark = "fused";
    else if (frozen)
        mark = "frozen";
    else if (n->l.nout && n->l.out[0]->data.fmt)
        mark = n->l.out[0]->data.fmt->name;
    number(params, sizeof params, np);
    number(bytes, sizeof bytes, mem);
    number(flops, sizeof flops, n->l.flops);
    ot_str_printf(out, "%-24.24s %-20.20s %-20s %9s %9s %9s  %s\n", n->l.name, n->l.ops->type,
                  shape, params, bytes, flops, mark);
    for (int t = 1; t < n->l.nout && !n->inserted; t++)
        ot_str_printf(out, "%-24s %-20.20s %-20s\n", "", n->top[t],
                      ot_shape_str(&n->l.out[t]->data.shape, shape));
    total[0] += np;
    total[1] += mem;
    total[2] += n->l.flops;
}

void ot_net_table(const struct ot_net *net, struct ot_str *out)
{
    char params[32], flops[32];
    double total[3] = { 0 };

    ot_str_printf(out, "%-24s %-20s %-20s %9s %9s %9s  %s\n", "layer", "type", "output", "params",
                  "bytes", "FLOPs", "");
    for (int i = 0; i < net->nnode; i++)
        row(&net->node[i], out, total);
    number(params, sizeof params, total[0]);
    number(flops, sizeof flops, total[2]);
    ot_str_printf(out,
                  "net '%s', phase %s: %d layers, %s parameters (%.1f MB with gradients), "
                  "%s FLOPs forward\n"
                  "memory: %.1f MB for activations and gradients (%.1f MB without sharing), "
                  "%.1f MB scratch, %zu conversions between formats\n",
                  net->name, net->env.phase == CAFFE__PHASE__TRAIN ? "TRAIN" : "TEST", net->nnode,
                  params, (double)net->param_bytes / 1e6, flops, (double)net->memory_bytes / 1e6,
                  (double)net->unshared_bytes / 1e6, (double)net->scratch_bytes / 1e6, net->nconv);
}
