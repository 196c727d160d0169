/* channels.c - sizes and formats of layers with one value a channel. */
#include "layers/channels.h"

struct ot_channels ot_channels_of(const struct ot_shape *s, int from, int to)
{
    return (struct ot_channels){ .outer = ot_count_range(s, 0, from),
                                 .c = ot_count_range(s, from, to),
                                 .inner = ot_count_range(s, to, s->nd),
                                 .block = 1 };
}

struct ot_channels ot_channels_plan(struct ot_layer *l, int from, int to, bool keeps_zero)
{
    const struct ot_tensor *x = &l->in[0]->data;
    const struct ot_format *f = x->fmt;
    struct ot_channels g = ot_channels_of(&x->shape, from, to);

    if (f && from == 1 && to == 2 && f->block)
        g.block = f->block;
    else if (f && from == to && (keeps_zero || f->elems == ot_count(&x->shape)))
        g = (struct ot_channels){ .outer = 1, .c = 1, .inner = f->elems, .block = 1 };
    else
        f = NULL;
    g.type = ot_type_of(f);
    l->in_fmt[0] = f;
    for (int i = 1; i < l->nin; i++)
        l->in_fmt[i] = NULL;
    l->out[0]->data.fmt = f;
    l->out[0]->data.elems = f ? f->elems : ot_count(&x->shape);
    return g;
}
