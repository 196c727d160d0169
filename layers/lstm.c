/*
 * lstm.c - LSTM over T steps of N streams, as Caffe's unrolled net.
 *
 * Gates in the order i, f, o, g; parameters W_xc, b_c, [W_xc_static], W_hc.  ws[0]: gates of all
 * steps (T N, 4 H); ws[1]: past (T N, H), see recurrent.h; ws[2]: cells, those before the first
 * step first ((T + 1) N, H).
 */
#include "layers/recurrent.h"

enum { GATES = 4, STATES = 2 };

static int setup(struct ot_layer *l, struct ot_err *err)
{
    return ot_recurrent_setup(l, l->state, STATES, GATES, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_recurrent *r = l->state;

    if (ot_recurrent_reshape(l, r, err))
        return err->code;
    l->ws_bytes[0] = r->t * r->n * r->width * sizeof(float);
    l->ws_bytes[1] = r->t * r->n * r->h * sizeof(float);
    l->ws_bytes[2] = (r->t + 1) * r->n * r->h * sizeof(float);
    return 0;
}

/* scratch: gradients of ws[0], then one step of (N, 4 H), then two of (N, H) */
static int plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_recurrent *r = l->state;

    l->scratch_bytes = (r->t * r->n * r->width + r->n * r->width + 2 * r->n * r->h) * sizeof(float);
    return ot_recurrent_plan(l, l->state, err);
}

static void forward(struct ot_layer *l)
{
    const struct ot_recurrent *r = l->state;
    const size_t step = r->n * r->h;
    float *gate = l->ws[0], *past = l->ws[1], *cell = l->ws[2], *y = l->out[0]->data.data;

    ot_recurrent_in(l, r, gate, l->scratch);
    l->dev->k->copy(l->dev, OT_F32, step, ot_recurrent_first(l, r, 1), cell);
    for (size_t t = 0; t < r->t; t++) {
        ot_recurrent_past(l, r, t, t ? y + (t - 1) * step : ot_recurrent_first(l, r, 0), gate,
                          past);
        l->dev->k->lstm_step_fwd(l->dev, r->n, r->h, l->in[1]->data.data + t * r->n,
                                 cell + t * step, gate + t * r->n * r->width, cell + (t + 1) * step,
                                 y + t * step);
    }
    ot_recurrent_last(l, r, 0, y + (r->t - 1) * step);
    ot_recurrent_last(l, r, 1, cell + r->t * step);
}

static void backward(struct ot_layer *l)
{
    const struct ot_recurrent *r = l->state;
    const size_t step = r->n * r->h, in = r->n * r->width;
    const float *gate = l->ws[0], *cell = l->ws[2], *dy = l->out[0]->grad.data;
    float *dgate = l->scratch, *room = dgate + r->t * in, *dy_next = room + in;
    float *dc = dy_next + step;

    l->dev->k->fill(l->dev, OT_F32, 2 * step, 0.0f, dy_next);
    for (size_t t = r->t; t-- > 0;) {
        l->dev->k->lstm_step_bwd(l->dev, r->n, r->h, cell + t * step, gate + t * in,
                                 cell + (t + 1) * step, dy + t * step, dy_next, dc, dgate + t * in);
        if (t)
            ot_recurrent_past_bwd(l, r, t, dgate, dy_next);
    }
    ot_recurrent_in_bwd(l, r, dgate, l->ws[1], room);
}

static void release(struct ot_layer *l)
{
    ot_recurrent_release(l, l->state);
}

const struct ot_layer_ops ot_layer_lstm = {
    .type = "LSTM",
    .doc = "long short-term memory over the steps of sequences",
    .state_size = sizeof(struct ot_recurrent),
    .min_in = 2,
    .max_in = 3 + STATES,
    .min_out = 1,
    .max_out = 1 + STATES,
    .flags = OT_LAYER_BWD_NEEDS_IN,
    .no_grad_in = 1 << 1 | 1 << 3 | 1 << 4,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .release = release,
};
