/*
 * inner_product.c - InnerProduct: the axes from `axis` on are one vector of k values; y = W x + b.
 *
 * Weights are (num_output, k), or (k, num_output) with transpose.  Extension: per_class times the
 * net's num_classes instead of num_output.
 */
#include <string.h>

#include "layers/layer.h"

struct inner_product {
    struct ot_ip_geom g, planned;
    const struct ot_format *planned_x;
    struct ot_plan *plan;
    struct ot_plan_info info;
    int axis;
    size_t k;
};

static int count_outputs(struct ot_layer *l, int *oc, struct ot_err *err)
{
    const Caffe__InnerProductParameter *p = l->conf->inner_product_param;
    const Caffe__NetParameter *net = l->env->net;
    uint64_t n = p->num_output;

    if (p->has_num_output && p->has_per_class)
        return ot_layer_fail(l, err, p, "per_class", OT_ECONFIG,
                             "per_class: give num_output or per_class, not both, got %u and %u",
                             p->num_output, p->per_class);
    if (p->has_per_class) {
        if (!net || !net->has_num_classes)
            return ot_layer_fail(l, err, p, "per_class", OT_ECONFIG,
                                 "per_class: the net has no num_classes, got per_class %u",
                                 p->per_class);
        n = (uint64_t)p->per_class * net->num_classes;
    }
    if (n < 1 || n > 1 << 24)
        return ot_layer_fail(l, err, p, "num_output", OT_ECONFIG,
                             "num_output: must be in [1, 16777216], got %llu",
                             (unsigned long long)n);
    *oc = (int)n;
    return 0;
}

static int inner_product_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__InnerProductParameter *p = l->conf->inner_product_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct inner_product *s = l->state;
    struct ot_shape w, b;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "inner_product_param is missing");
    if (count_outputs(l, &s->g.oc, err))
        return err->code;
    if (ot_layer_axis(l, p->axis, x->nd, &s->axis, err))
        return ot_layer_blame(l, err, p, "axis");
    s->k = ot_count_range(x, s->axis, x->nd);
    if (s->k < 1 || s->k > INT32_MAX)
        return ot_fail(err, OT_ESHAPE, "an input vector must have 1 to %d values, got %zu",
                       INT32_MAX, s->k);
    s->g.bias = p->bias_term;
    s->g.transpose = p->transpose;
    w = p->transpose ? ot_shape2((int)s->k, s->g.oc) : ot_shape2(s->g.oc, (int)s->k);
    b = ot_shape1(s->g.oc);
    if (ot_layer_param(l, &w, p->weight_filler, err))
        return err->code;
    return p->bias_term ? ot_layer_param(l, &b, p->bias_filler, err) : 0;
}

static int inner_product_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct inner_product *s = l->state;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_shape y = { 0 };
    char text[OT_SHAPE_TEXT];

    if (s->axis >= x->nd || ot_count_range(x, s->axis, x->nd) != s->k)
        return ot_fail(err, OT_ESHAPE, "input must have %zu values from axis %d on, got %s", s->k,
                       s->axis, ot_shape_str(x, text));
    s->g.n = (int)ot_count_range(x, 0, s->axis);
    s->g.nd = 1;
    s->g.dim[0] = (int)s->k;
    if (s->axis == 1 && x->nd == 4) {
        s->g.nd = 3;
        memcpy(s->g.dim, x->dim + 1, sizeof s->g.dim);
    }
    for (int i = 0; i < s->axis; i++)
        y.dim[y.nd++] = x->dim[i];
    y.dim[y.nd++] = s->g.oc;
    l->out[0]->data.shape = y;
    l->flops = 2.0 * s->g.n * s->g.oc * (double)s->k;
    return 0;
}

static int make_plan(struct ot_layer *l, struct inner_product *s, struct ot_err *err)
{
    /* Only a 4-axis input can be read in the device's order. */
    const struct ot_format *x = s->g.nd == 3 ? l->in[0]->data.fmt : NULL;

    if (s->plan && !memcmp(&s->g, &s->planned, sizeof s->g) && s->planned_x == x)
        return 0;
    l->dev->k->plan_free(l->dev, s->plan);
    s->plan = NULL;
    l->dev->k->ip_plan(l->dev, &s->g, x, &s->plan, &s->info);
    if (ot_dev_ok(l->dev, err))
        return err->code;
    s->planned = s->g;
    s->planned_x = x;
    return 0;
}

static int inner_product_plan(struct ot_layer *l, struct ot_err *err)
{
    struct inner_product *s = l->state;

    s->g.need_dx = ot_want_in(l, 0);
    s->g.training = s->g.need_dx || ot_want_param(l, 0) || ot_want_param(l, 1);
    s->g.relu = l->fused_relu;
    if (make_plan(l, s, err))
        return err->code;
    l->in_fmt[0] = s->info.x;
    l->out[0]->data.fmt = s->info.y;
    l->out[0]->data.elems = s->info.y_elems;
    l->param[0]->data.fmt = s->info.w;
    l->param[0]->data.elems = s->info.w_elems;
    l->scratch_bytes = s->info.scratch_bytes;
    l->ws_bytes[0] = s->info.ws_bytes;
    return 0;
}

static void inner_product_forward(struct ot_layer *l)
{
    const struct inner_product *s = l->state;

    l->dev->k->ip_fwd(l->dev, s->plan, l->in[0]->data.data, l->param[0]->data.data,
                      s->g.bias ? l->param[1]->data.data : NULL, l->scratch, l->out[0]->data.data);
}

/* With a fused ReLU the ReLU layer's own backward has already masked the output's gradient. */
static void inner_product_backward(struct ot_layer *l)
{
    const struct inner_product *s = l->state;
    const struct ot_kernels *k = l->dev->k;
    bool want_w = ot_want_param(l, 0), want_b = ot_want_param(l, 1);
    float *dy = l->out[0]->grad.data;

    if (want_w || want_b)
        k->ip_bwd_filter(l->dev, s->plan, l->in[0]->data.data, dy, l->scratch,
                         ot_layer_common_beta(l), want_w ? l->param[0]->grad.data : NULL,
                         want_b ? l->param[1]->grad.data : NULL);
    if (ot_want_in(l, 0))
        k->ip_bwd_data(l->dev, s->plan, l->param[0]->data.data, dy, l->scratch,
                       l->in[0]->grad.data);
}

static void inner_product_release(struct ot_layer *l)
{
    struct inner_product *s = l->state;

    l->dev->k->plan_free(l->dev, s->plan);
}

const struct ot_layer_ops ot_layer_inner_product = {
    .type = "InnerProduct",
    .doc = "fully connected: y = W x + b",
    .state_size = sizeof(struct inner_product),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_FUSES_RELU | OT_LAYER_BWD_NEEDS_IN,
    .setup = inner_product_setup,
    .reshape = inner_product_reshape,
    .plan = inner_product_plan,
    .forward = inner_product_forward,
    .backward = inner_product_backward,
    .release = inner_product_release,
};
