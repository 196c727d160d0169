/* row_label_loss.c - rows of classes, one label a row. */
#include "layers/row_label_loss.h"

#include "layers/loss_layer.h"

int ot_row_label_loss_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct ot_softmax_loss_geom *g = l->state;

    *g = (struct ot_softmax_loss_geom){
        .outer = (size_t)ot_dim(x, 0),
        .c = ot_count_range(x, 1, x->nd),
        .inner = 1,
        .norm = OT_NORM_BATCH_SIZE,
    };
    if (ot_loss_want(l, 1, g->outer, "labels", err))
        return err->code;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    l->ws_bytes[0] = sizeof(struct ot_loss_stats);
    return 0;
}

void ot_row_label_loss_forward(struct ot_layer *l, enum ot_label_loss kind)
{
    l->dev->k->label_loss_fwd(l->dev, kind, l->state, l->in[0]->data.data, l->in[1]->data.data,
                              NULL, l->ws[0], l->out[0]->data.data);
}

void ot_row_label_loss_backward(struct ot_layer *l, enum ot_label_loss kind)
{
    if (ot_want_in(l, 0))
        l->dev->k->label_loss_bwd(l->dev, kind, l->state, l->in[0]->data.data, l->in[1]->data.data,
                                  NULL, l->ws[0], l->out[0]->grad.data, l->in[0]->grad.data);
}

int ot_row_label_loss_check(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_softmax_loss_geom *g = l->state;

    return ot_loss_report(l, l->ws[0], g->c, err);
}
