/* layer.c - what every layer's setup needs. */
#include "layers/layer.h"

#include <stdio.h>

#include "base/mem.h"

char *ot_shape_str(const struct ot_shape *s, char buf[OT_SHAPE_TEXT])
{
    size_t len = 0;

    (void)snprintf(buf, OT_SHAPE_TEXT, "scalar");
    for (int i = 0; i < s->nd && len < OT_SHAPE_TEXT; i++)
        len += (size_t)snprintf(buf + len, OT_SHAPE_TEXT - len, i ? "x%d" : "%d", s->dim[i]);
    return buf;
}

int ot_layer_param(struct ot_layer *l, const struct ot_shape *shape,
                   const Caffe__FillerParameter *filler, struct ot_err *err)
{
    const Caffe__ParamSpec *spec = NULL;
    struct ot_param *p;

    char text[OT_SHAPE_TEXT];

    OT_BUG_IF(l->nparam >= OT_MAX_PARAM);
    if (!ot_shape_fits(shape))
        return ot_fail(err, OT_ESHAPE,
                       "parameter %d must have at most %d values, %d along an axis, got %s",
                       l->nparam, INT32_MAX, OT_MAX_AXIS, ot_shape_str(shape, text));
    p = ot_alloc(1, sizeof *p, err);
    if (!p)
        return err->code;
    if ((size_t)l->nparam < l->conf->n_param)
        spec = l->conf->param[l->nparam];
    p->layer = l->name;
    p->index = l->nparam;
    p->name = spec && spec->name && spec->name[0] ? spec->name : NULL;
    p->lr_mult = spec && spec->has_lr_mult ? spec->lr_mult : 1.0f;
    p->decay_mult = spec && spec->has_decay_mult ? spec->decay_mult : 1.0f;
    p->need_grad = p->lr_mult != 0.0f;
    p->filler = filler;
    p->owner = p->base = p;
    p->data.shape = p->grad.shape = *shape;
    p->data.elems = p->grad.elems = ot_count(shape);
    l->param[l->nparam++] = p;
    return 0;
}

int ot_layer_axis(const struct ot_layer *l, int axis, int nd, int *canonical, struct ot_err *err)
{
    (void)l;
    if (axis < -nd || axis >= nd)
        return ot_fail(err, OT_ECONFIG, "axis: must be in [%d, %d) for a blob of %d axes, got %d",
                       -nd, nd, nd, axis);
    *canonical = axis < 0 ? axis + nd : axis;
    return 0;
}

int ot_layer_shape(const struct ot_layer *l, const Caffe__BlobShape *from, struct ot_shape *to,
                   struct ot_err *err)
{
    double count = 1;

    if (from->n_dim > OT_MAX_DIMS)
        return ot_layer_fail(l, err, from, "dim", OT_ECONFIG, "dim: at most %d axes, got %zu",
                             OT_MAX_DIMS, from->n_dim);
    to->nd = (int)from->n_dim;
    for (int d = 0; d < to->nd; d++) {
        count *= (double)from->dim[d];
        if (from->dim[d] < 0 || from->dim[d] > INT32_MAX || count > INT32_MAX)
            return ot_layer_fail(l, err, from, "dim", OT_ECONFIG,
                                 "dim: must be >= 0 and the blob at most %d values, got %lld",
                                 INT32_MAX, (long long)from->dim[d]);
        to->dim[d] = (int)from->dim[d];
    }
    return 0;
}

int ot_layer_blame(const struct ot_layer *l, struct ot_err *err, const void *msg, const char *field)
{
    if (msg && l->env->doc)
        (void)ot_err_at(err, ot_doc_loc(l->env->doc, msg, field));
    return err->code;
}

float ot_layer_common_beta(struct ot_layer *l)
{
    float beta[2] = { 0, 0 };
    bool want[2] = { ot_want_param(l, 0), ot_want_param(l, 1) };

    for (int i = 0; i < 2; i++)
        if (want[i])
            beta[i] = ot_param_beta(l->param[i]);
    for (int i = 0; i < 2; i++)
        if (want[0] && want[1] && beta[i] < beta[1 - i])
            l->dev->k->fill(l->dev, OT_F32, l->param[i]->grad.elems, 0.0f, l->param[i]->grad.data);
    return beta[0] > beta[1] ? beta[0] : beta[1];
}
