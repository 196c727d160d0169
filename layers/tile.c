/* tile.c - Tile: a blob repeated along one axis; the gradient is the sum over the copies. */
#include "layers/layer.h"

struct tile {
    size_t outer, tiles, inner;
};

static int tile_reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__TileParameter *p = l->conf->tile_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct tile *s = l->state;
    struct ot_shape y = *x;
    char text[OT_SHAPE_TEXT];
    int axis;

    if (ot_layer_axis(l, p ? p->axis : 1, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    if (!p || !p->has_tiles)
        return ot_layer_fail(l, err, p ? (const void *)p : l->conf, NULL, OT_ECONFIG,
                             "tile_param: tiles is missing");
    if (p->tiles < 1 || (double)p->tiles * x->dim[axis] > OT_MAX_AXIS ||
        (double)p->tiles * (double)ot_count(x) > INT32_MAX)
        return ot_layer_fail(l, err, p, "tiles", OT_ECONFIG,
                             "tiles: must be >= 1 and the result of %s at most %d values, got %d",
                             ot_shape_str(x, text), INT32_MAX, p->tiles);
    s->outer = ot_count_range(x, 0, axis);
    s->inner = ot_count_range(x, axis, x->nd);
    s->tiles = (size_t)p->tiles;
    y.dim[axis] *= p->tiles;
    l->out[0]->data.shape = y;
    return 0;
}

static void tile_forward(struct ot_layer *l)
{
    const struct tile *s = l->state;
    const struct ot_copy_geom g = { .nd = 3,
                                    .dim = { s->outer, s->tiles, s->inner },
                                    .xs = { s->inner, 0, 1 },
                                    .ys = { s->tiles * s->inner, s->inner, 1 } };

    l->dev->k->copy_nd(l->dev, &g, l->in[0]->data.data, l->out[0]->data.data);
}

static void tile_backward(struct ot_layer *l)
{
    const struct tile *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->reduce_fwd(l->dev, s->outer, s->tiles, s->inner, OT_REDUCE_SUM, 1.0f,
                              l->out[0]->grad.data, 0.0f, l->in[0]->grad.data);
}

const struct ot_layer_ops ot_layer_tile = {
    .type = "Tile",
    .doc = "a blob repeated along one axis",
    .state_size = sizeof(struct tile),
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .reshape = tile_reshape,
    .forward = tile_forward,
    .backward = tile_backward,
};
