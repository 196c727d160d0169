/*
 * lrn.c - LRN: local response normalisation across channels or within each.
 *
 * WITHIN_CHANNEL ignores k (it is 1), as Caffe does.
 */
#include "layers/layer.h"
#include "layers/lrn_math.h"

static int lrn_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__LRNParameter *p = l->conf->lrn_param;
    struct ot_lrn_geom *g = l->state;

    *g = (struct ot_lrn_geom){ .size = 5, .k = 1.0f, .alpha = 1.0f, .beta = 0.75f };
    if (!p)
        return 0;
    if (p->local_size % 2 != 1 || p->local_size > 32767)
        return ot_layer_fail(l, err, p, "local_size", OT_ECONFIG,
                             "local_size: must be odd and at most 32767, got %u", p->local_size);
    g->size = p->local_size;
    g->alpha = p->alpha;
    g->beta = p->beta;
    g->within = p->norm_region == CAFFE__LRNPARAMETER__NORM_REGION__WITHIN_CHANNEL;
    g->k = g->within ? 1.0f : p->k;
    return 0;
}

static int lrn_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_lrn_geom *g = l->state;
    char text[OT_SHAPE_TEXT];

    if (x->nd != 4)
        return ot_fail(err, OT_ESHAPE, "input must have 4 axes (N, C, H, W), got %s",
                       ot_shape_str(x, text));
    g->n = (size_t)x->dim[0];
    g->c = (size_t)x->dim[1];
    g->h = (size_t)x->dim[2];
    g->w = (size_t)x->dim[3];
    l->out[0]->data.shape = *x;
    l->flops = (double)ot_count(x) * 2.0 * (double)(g->within ? g->size * g->size : g->size);
    return 0;
}

static int lrn_plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_tensor *x = &l->in[0]->data;
    const bool keep = x->fmt && x->fmt->block;
    struct ot_lrn_geom *g = l->state;

    (void)err;
    g->block = keep ? x->fmt->block : 1;
    l->in_fmt[0] = l->out[0]->data.fmt = keep ? x->fmt : NULL;
    l->out[0]->data.elems = keep ? x->elems : ot_count(&x->shape);
    l->ws_bytes[0] = l->out[0]->data.elems * sizeof(float);
    return 0;
}

static void lrn_forward(struct ot_layer *l)
{
    l->dev->k->lrn_fwd(l->dev, l->state, l->in[0]->data.data, l->ws[0], l->out[0]->data.data);
}

static void lrn_backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0))
        l->dev->k->lrn_bwd(l->dev, l->state, l->in[0]->data.data, l->out[0]->data.data, l->ws[0],
                           l->out[0]->grad.data, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_lrn = {
    .type = "LRN",
    .doc = "local response normalisation, across channels or within them",
    .state_size = sizeof(struct ot_lrn_geom),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .flags = OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .setup = lrn_setup,
    .reshape = lrn_reshape,
    .plan = lrn_plan,
    .forward = lrn_forward,
    .backward = lrn_backward,
};
