/* alias_i.h - forward and backward of layers that only give memory another shape. */
#ifndef OT_LAYERS_ALIAS_I_H
#define OT_LAYERS_ALIAS_I_H

#include "layers/layer.h"

static inline void ot_alias_forward(struct ot_layer *l)
{
    if (l->out[0]->data.data != l->in[0]->data.data)
        l->dev->k->copy(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->data.elems,
                        l->in[0]->data.data, l->out[0]->data.data);
}

static inline void ot_alias_backward(struct ot_layer *l)
{
    if (ot_want_in(l, 0) && l->out[0]->grad.data != l->in[0]->grad.data)
        l->dev->k->copy(l->dev, ot_type_of(l->in[0]->data.fmt), l->in[0]->grad.elems,
                        l->out[0]->grad.data, l->in[0]->grad.data);
}

#endif
