/* silence.c - Silence: takes blobs nobody reads, so that they are not printed; gradient zero. */
#include "layers/layer.h"

static int silence_reshape(struct ot_layer *l, struct ot_err *err)
{
    (void)l;
    (void)err;
    return 0;
}

static void silence_forward(struct ot_layer *l)
{
    (void)l;
}

static void silence_backward(struct ot_layer *l)
{
    for (int i = 0; i < l->nin; i++)
        if (ot_want_in(l, i))
            l->dev->k->fill(l->dev, OT_F32, l->in[i]->grad.elems, 0.0f, l->in[i]->grad.data);
}

const struct ot_layer_ops ot_layer_silence = {
    .type = "Silence",
    .doc = "uses up blobs that nothing reads",
    .min_in = 1,
    .max_in = OT_MAX_IO,
    .reshape = silence_reshape,
    .forward = silence_forward,
    .backward = silence_backward,
};
