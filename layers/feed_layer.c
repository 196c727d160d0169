/*
 * feed_layer.c - a data layer opens its feed once and then copies what the feed holds.  The net
 * reshapes when a batch has another size; a feed that changed without that is a failure, because
 * the memory was planned for the shapes of the last reshape.
 */
#include "layers/feed_i.h"

int ot_feed_setup(struct ot_layer *l, struct ot_err *err)
{
    struct ot_feed_layer *s = l->state;
    struct ot_feed_door *door = l->env->door;

    if (!door)
        return ot_fail(err, OT_ENOTSUP, "a %s layer needs a feed, but this net has none",
                       l->ops->type);
    return door->open(door->ctx, l, &s->feed, err);
}

int ot_feed_reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_feed_layer *s = l->state;

    for (int i = 0; i < l->nout; i++)
        if (s->feed->shape(s->feed->ctx, i, &l->out[i]->data.shape, err))
            return err->code;
    return 0;
}

static int copy_top(struct ot_layer *l, int i, struct ot_err *err)
{
    struct ot_feed_layer *s = l->state;
    const struct ot_shape *want = &l->out[i]->data.shape;
    struct ot_shape now = { 0 };
    const float *values;
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (s->feed->shape(s->feed->ctx, i, &now, err))
        return err->code;
    if (!ot_shape_eq(&now, want))
        return ot_fail(err, OT_ESHAPE, "layer '%s': top \"%s\" was planned as %s, the batch is %s",
                       l->name, l->out[i]->name, ot_shape_str(want, a), ot_shape_str(&now, b));
    values = s->feed->values(s->feed->ctx, i, err);
    if (!values)
        return err->code;
    l->dev->ops->upload(l->dev, l->out[i]->data.data, values, ot_count(want) * sizeof(float));
    return 0;
}

void ot_feed_forward(struct ot_layer *l)
{
    struct ot_err err = OT_ERR_INIT;

    for (int i = 0; i < l->nout; i++)
        if (copy_top(l, i, &err)) {
            if (l->dev->latch.code == OT_OK)
                l->dev->latch = err;
            return;
        }
}
