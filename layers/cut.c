/* cut.c - the common format of blobs that lie side by side in another one. */
#include "layers/cut.h"

static const struct ot_format *format_of(struct ot_layer *l, const struct ot_shape *s, bool last,
                                         enum ot_type type)
{
    const struct ot_format *fmt;

    l->dev->k->format_of(l->dev, s, last, type, &fmt);
    return fmt;
}

/* Whether x is in an order that the device has for other shapes too. */
static bool regular(struct ot_layer *l, const struct ot_tensor *x)
{
    return !x->fmt || format_of(l, &x->shape, x->fmt->block > 1, x->fmt->type) == x->fmt;
}

static void set(struct ot_tensor *t, const struct ot_format *fmt)
{
    t->fmt = fmt;
    t->elems = fmt ? fmt->elems : ot_count(&t->shape);
}

struct ot_cut ot_cut_plan(struct ot_layer *l, int axis, const struct ot_shape *whole)
{
    struct ot_cut c = { .type = l->nin ? ot_type_of(l->in[0]->data.fmt) : OT_F32 };
    bool last = false, known = true;

    for (int i = 0; i < l->nin; i++) {
        const struct ot_tensor *x = &l->in[i]->data;

        known = known && regular(l, x);
        last = last || (x->fmt && x->fmt->block > 1);
        if (ot_type_of(x->fmt) != c.type)
            c.type = OT_F32;
    }
    last = last && known && axis < 2;
    c.type = known ? c.type : OT_F32;
    for (int i = 0; i < l->nin; i++)
        l->in_fmt[i] = format_of(l, &l->in[i]->data.shape, last, c.type);
    for (int i = 0; i < l->nout; i++)
        set(&l->out[i]->data, format_of(l, &l->out[i]->data.shape, last, c.type));
    c.rows = ot_count_range(whole, 0, axis);
    c.unit = ot_count_range(whole, axis + 1, whole->nd);
    if (last && axis == 1) {
        c.rows *= c.unit;
        c.unit = 1;
    }
    return c;
}
