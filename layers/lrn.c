/*
 * lrn.c - LRN: local response normalisation across channels or within each.
 *
 * WITHIN_CHANNEL ignores k (it is 1), as Caffe does.  Runs in the order of its input where channels
 * lie in blocks.
 */
#include <string.h>

#include "layers/layer.h"

struct lrn {
    struct ot_lrn_geom g, planned;
    const struct ot_format *planned_x;
    struct ot_plan *plan;
    struct ot_plan_info info;
    bool training;
};

static int lrn_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__LRNParameter *p = l->conf->lrn_param;
    struct ot_lrn_geom *g = &((struct lrn *)l->state)->g;

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
    struct ot_lrn_geom *g = &((struct lrn *)l->state)->g;
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
    const struct ot_format *fmt = l->in[0]->data.fmt, *x = fmt && fmt->block ? fmt : NULL;
    const bool training = ot_want_in(l, 0);
    struct lrn *s = l->state;

    s->g.block = x ? x->block : 1;
    if (!s->plan || memcmp(&s->g, &s->planned, sizeof s->g) || s->planned_x != x ||
        s->training != training) {
        l->dev->k->plan_free(l->dev, s->plan);
        s->plan = NULL;
        l->dev->k->lrn_plan(l->dev, &s->g, training, x, &s->plan, &s->info);
        if (ot_dev_ok(l->dev, err))
            return err->code;
        memcpy(&s->planned, &s->g, sizeof s->g);
        s->planned_x = x;
        s->training = training;
    }
    l->in_fmt[0] = s->info.x;
    l->out[0]->data.fmt = s->info.y;
    l->out[0]->data.elems = s->info.y_elems;
    l->scratch_bytes = s->info.scratch_bytes;
    l->ws_bytes[0] = s->info.ws_bytes;
    return 0;
}

static void lrn_forward(struct ot_layer *l)
{
    const struct lrn *s = l->state;

    l->dev->k->lrn_fwd(l->dev, s->plan, l->in[0]->data.data, l->scratch, l->ws[0],
                       l->out[0]->data.data);
}

static void lrn_backward(struct ot_layer *l)
{
    const struct lrn *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->lrn_bwd(l->dev, s->plan, l->in[0]->data.data, l->out[0]->data.data,
                           l->out[0]->grad.data, l->ws[0], l->scratch, l->in[0]->grad.data);
}

static void lrn_release(struct ot_layer *l)
{
    const struct lrn *s = l->state;

    l->dev->k->plan_free(l->dev, s->plan);
}

const struct ot_layer_ops ot_layer_lrn = {
    .type = "LRN",
    .doc = "local response normalisation, across channels or within them",
    .state_size = sizeof(struct lrn),
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
    .release = lrn_release,
};
