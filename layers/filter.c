/*
 * filter.c - Filter: of every bottom but the last, the items whose value in the last (the selector)
 * is not 0, in their order.
 *
 * How many that is depends on values, so forward waits for the selector and makes its outputs as
 * long as what was kept (OT_LAYER_DYNAMIC).  As in Caffe nothing kept makes outputs of no items,
 * and before the first forward they have as many as the inputs.
 */
#include "base/mem.h"
#include "layers/rows_i.h"

struct filter {
    int n, kept; /* items of the input, of the last forward's outputs */
    float *host; /* owned: the selector, then the indices of what is kept */
    size_t room; /* of host */
};

static int filter_setup(struct ot_layer *l, struct ot_err *err)
{
    if (l->nout == l->nin - 1)
        return 0;
    return ot_layer_fail(l, err, l->conf, "top", OT_ECONFIG,
                         "top: %d bottoms, the last being the selector, give %d tops, got %d",
                         l->nin, l->nin - 1, l->nout);
}

static int check_shapes(const struct ot_layer *l, struct ot_err *err)
{
    const struct ot_blob *sel = l->in[l->nin - 1];
    const struct ot_shape *s = &sel->data.shape;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (s->nd < 1 || ot_count_range(s, 1, s->nd) != 1)
        return ot_fail(err, OT_ESHAPE, "selector '%s': every axis but the first must be 1, got %s",
                       sel->name, ot_shape_str(s, a));
    for (int i = 0; i < l->nout; i++) {
        const struct ot_shape *x = &l->in[i]->data.shape;

        if (x->nd < 1 || x->dim[0] != s->dim[0])
            return ot_fail(err, OT_ESHAPE,
                           "bottom '%s' of shape %s needs as many items as selector '%s' of shape "
                           "%s",
                           l->in[i]->name, ot_shape_str(x, a), sel->name, ot_shape_str(s, b));
    }
    return 0;
}

static int filter_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct filter *s = l->state;
    int n;

    if (check_shapes(l, err))
        return err->code;
    n = l->in[l->nin - 1]->data.shape.dim[0];
    if ((size_t)n > s->room || !s->host) {
        ot_free(s->host);
        s->host = ot_alloc((size_t)n + 1, sizeof *s->host, err);
        if (!s->host)
            return err->code;
        s->room = (size_t)n;
    }
    if (n != s->n)
        s->kept = n;
    s->n = n;
    for (int i = 0; i < l->nout; i++) {
        l->out[i]->data.shape = l->in[i]->data.shape;
        l->out[i]->data.shape.dim[0] = s->kept;
    }
    l->ws_bytes[0] = (size_t)n * sizeof(float);
    return 0;
}

static int filter_plan(struct ot_layer *l, struct ot_err *err)
{
    const struct filter *s = l->state;

    (void)err;
    l->scratch_bytes = ot_rows_scratch((size_t)s->n, (size_t)s->n);
    return 0;
}

static size_t cols_of(const struct ot_layer *l, int i)
{
    return ot_count_range(&l->in[i]->data.shape, 1, l->in[i]->data.shape.nd);
}

static void select_rows(struct ot_layer *l)
{
    struct filter *s = l->state;

    l->dev->ops->download(l->dev, s->host, l->in[l->nin - 1]->data.data,
                          (size_t)s->n * sizeof(float));
    s->kept = 0;
    for (int i = 0; i < s->n; i++)
        if (s->host[i] != 0.0f)
            s->host[s->kept++] = (float)i;
    l->dev->ops->upload(l->dev, l->ws[0], s->host, (size_t)s->kept * sizeof(float));
}

static void filter_forward(struct ot_layer *l)
{
    struct filter *s = l->state;

    select_rows(l);
    for (int i = 0; i < l->nout; i++) {
        struct ot_tensor *y = &l->out[i]->data;

        y->shape.dim[0] = s->kept;
        y->elems = ot_count(&y->shape);
        l->dev->k->gather_rows(l->dev, (size_t)s->kept, cols_of(l, i), (size_t)s->n, l->ws[0],
                               l->in[i]->data.data, NULL, y->data);
    }
}

static void filter_backward(struct ot_layer *l)
{
    const struct filter *s = l->state;
    struct ot_tensor *selector = &l->in[l->nin - 1]->grad;

    if (ot_want_in(l, l->nin - 1)) /* a step function */
        l->dev->k->fill(l->dev, OT_F32, selector->elems, 0.0f, selector->data);
    for (int i = 0; i < l->nout; i++)
        if (ot_want_in(l, i))
            l->dev->k->scatter_rows(l->dev, (size_t)s->kept, cols_of(l, i), (size_t)s->n, l->ws[0],
                                    l->out[i]->grad.data, l->scratch, 0.0f, l->in[i]->grad.data);
}

static void filter_release(struct ot_layer *l)
{
    struct filter *s = l->state;

    ot_free(s->host);
}

const struct ot_layer_ops ot_layer_filter = {
    .type = "Filter",
    .doc = "the items that a selector marks",
    .state_size = sizeof(struct filter),
    .min_in = 2,
    .max_in = OT_MAX_IO,
    .min_out = 1,
    .max_out = OT_MAX_IO - 1,
    .flags = OT_LAYER_DYNAMIC,
    .setup = filter_setup,
    .reshape = filter_reshape,
    .plan = filter_plan,
    .forward = filter_forward,
    .backward = filter_backward,
    .release = filter_release,
};
