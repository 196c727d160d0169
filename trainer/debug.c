/*
 * debug.c - see debug.h.
 *
 * Values are read to the host and summed there in double: it is for looking, not for speed.
 */
#include "trainer/debug.h"

#include <math.h>

#include "base/mem.h"

struct reader {
    struct ot_net *net;
    float *host; /* owned: one tensor */
    size_t cap;
};

struct sums {
    double l1, squares;
};

static struct sums sums_of(const float *x, size_t n)
{
    struct sums s = { 0 };

    for (size_t i = 0; i < n; i++) {
        s.l1 += fabs((double)x[i]);
        s.squares += (double)x[i] * (double)x[i];
    }
    return s;
}

static int mean_of_blob(struct reader *r, const struct ot_blob *b, bool grad, double *mean,
                        struct ot_err *err)
{
    size_t n = ot_count(&b->data.shape);

    if (ot_grow(&r->host, &r->cap, n + 1, sizeof *r->host, err) < 0)
        return err->code;
    if (n && (grad ? ot_net_read_grad : ot_net_read)(r->net, b, r->host, err) < 0)
        return err->code;
    *mean = sums_of(r->host, n).l1 / (double)(n ? n : 1);
    return 0;
}

static int sums_of_param(struct reader *r, const struct ot_param *p, enum ot_param_part part,
                         struct sums *sums, struct ot_err *err)
{
    size_t n = ot_count(&p->data.shape);

    if (ot_grow(&r->host, &r->cap, n, sizeof *r->host, err) < 0 ||
        ot_param_get(r->net, p, part, r->host, err) < 0)
        return err->code;
    *sums = sums_of(r->host, n);
    return 0;
}

/* The name that was given in ParamSpec, or else the index: only the forward lines have it. */
static int param_lines(struct reader *r, const struct ot_node *n, bool grad, struct ot_str *out,
                       struct ot_err *err)
{
    for (int k = 0; k < n->l.nparam; k++) {
        const struct ot_param *p = n->l.param[k];
        struct sums s;

        if (grad && !p->need_grad)
            continue;
        if (sums_of_param(r, p, grad ? OT_PARAM_GRAD : OT_PARAM_DATA, &s, err) < 0)
            return err->code;
        ot_str_printf(out, "    [%s] Layer %s, param blob ", grad ? "Backward" : "Forward",
                      n->l.name);
        if (p->name && !grad)
            ot_str_puts(out, p->name);
        else
            ot_str_printf(out, "%d", k);
        ot_str_printf(out, " %s: %.6g\n", grad ? "diff" : "data",
                      s.l1 / (double)ot_count(&p->data.shape));
    }
    return 0;
}

static int forward_lines(struct reader *r, const struct ot_node *n, struct ot_str *out,
                         struct ot_err *err)
{
    for (int t = 0; t < n->l.nout; t++) {
        double mean;

        if (mean_of_blob(r, n->l.out[t], false, &mean, err) < 0)
            return err->code;
        ot_str_printf(out, "    [Forward] Layer %s, top blob %s data: %.6g\n", n->l.name, n->top[t],
                      mean);
    }
    return param_lines(r, n, false, out, err);
}

static int backward_lines(struct reader *r, const struct ot_node *n, struct ot_str *out,
                          struct ot_err *err)
{
    for (int b = 0; b < n->l.nin; b++) {
        double mean;

        if (!n->prop_down[b] || !n->l.in[b]->grad.data)
            continue;
        if (mean_of_blob(r, n->l.in[b], true, &mean, err) < 0)
            return err->code;
        ot_str_printf(out, "    [Backward] Layer %s, bottom blob %s diff: %.6g\n", n->l.name,
                      n->bottom[b], mean);
    }
    return param_lines(r, n, true, out, err);
}

static int norms(struct reader *r, struct ot_str *out, struct ot_err *err)
{
    struct sums all[2] = { { 0 } };

    for (size_t k = 0; k < r->net->nlearn; k++)
        for (int grad = 0; grad < 2; grad++) {
            struct sums s;

            if (sums_of_param(r, r->net->learn[k], grad ? OT_PARAM_GRAD : OT_PARAM_DATA, &s, err) <
                0)
                return err->code;
            all[grad].l1 += s.l1;
            all[grad].squares += s.squares;
        }
    ot_str_printf(out,
                  "    [Backward] All net params (data, diff): L1 norm = (%.6g, %.6g); "
                  "L2 norm = (%.6g, %.6g)\n",
                  all[0].l1, all[1].l1, sqrt(all[0].squares), sqrt(all[1].squares));
    return 0;
}

int ot_debug_layer(struct ot_net *net, int i, bool backward, void *out, struct ot_err *err)
{
    struct reader r = { .net = net };
    int rc = (backward ? backward_lines : forward_lines)(&r, &net->node[i], out, err);

    ot_free(r.host);
    return rc;
}

int ot_debug_norms(struct ot_net *net, struct ot_str *out, struct ot_err *err)
{
    struct reader r = { .net = net };
    int rc = norms(&r, out, err);

    ot_free(r.host);
    return rc;
}
