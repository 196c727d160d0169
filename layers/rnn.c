/*
 * rnn.c - RNN over T steps of N streams, as Caffe's unrolled net.
 *
 *   h_t = tanh(W_hh cont_t h_(t-1) + W_xh x_t + b_h [+ W_xh_static x_static])
 *   o_t = tanh(W_ho h_t + b_o)
 * Parameters W_xh, b_h, [W_xh_static], W_hh, W_ho, b_o.  ws[0]: h of all steps (T N, H); ws[1]:
 * past (T N, H), see recurrent.h.
 */
#include "layers/recurrent.h"

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__RecurrentParameter *p = l->conf->recurrent_param;
    struct ot_recurrent *r = l->state;
    struct ot_shape w, b;

    if (ot_recurrent_setup(l, r, 1, 1, err))
        return err->code;
    w = ot_shape2((int)r->h, (int)r->h);
    b = ot_shape1((int)r->h);
    if (ot_layer_param(l, &w, p->weight_filler, err))
        return err->code;
    return ot_layer_param(l, &b, p->bias_filler, err);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    struct ot_recurrent *r = l->state;

    if (ot_recurrent_reshape(l, r, err))
        return err->code;
    l->flops += 2.0 * (double)(r->t * r->n) * (double)r->h * (double)r->h;
    l->ws_bytes[0] = l->ws_bytes[1] = r->t * r->n * r->h * sizeof(float);
    return 0;
}

/* scratch: gradients of h and of o before tanh, of all steps, then two of one step */
static int plan(struct ot_layer *l, struct ot_err *err)
{
    const struct ot_recurrent *r = l->state;

    l->scratch_bytes = (2 * r->t + 2) * r->n * r->h * sizeof(float);
    return ot_recurrent_plan(l, l->state, err);
}

static void forward(struct ot_layer *l)
{
    const struct ot_recurrent *r = l->state;
    const struct ot_kernels *k = l->dev->k;
    const size_t step = r->n * r->h, rows = r->t * r->n, h = r->h;
    float *hidden = l->ws[0], *past = l->ws[1], *y = l->out[0]->data.data;

    ot_recurrent_in(l, r, hidden, l->scratch);
    for (size_t t = 0; t < r->t; t++) {
        float *at = hidden + t * step;

        ot_recurrent_past(l, r, t, t ? at - step : ot_recurrent_first(l, r, 0), hidden, past);
        k->rnn_step_fwd(l->dev, step, at, at);
    }
    ot_recurrent_last(l, r, 0, hidden + (r->t - 1) * step);
    k->copy2d(l->dev, OT_F32, rows, h, l->param[r->w_h + 2]->data.data, 0, 0.0f, y, h);
    k->gemm(l->dev, false, true, rows, h, h, 1.0f, hidden, h, l->param[r->w_h + 1]->data.data, h,
            1.0f, y, h);
    k->rnn_step_fwd(l->dev, rows * h, y, y);
}

static void backward(struct ot_layer *l)
{
    const struct ot_recurrent *r = l->state;
    const struct ot_kernels *k = l->dev->k;
    const size_t step = r->n * r->h, rows = r->t * r->n, h = r->h;
    const float *hidden = l->ws[0];
    float *din = l->scratch, *dout = din + rows * h, *dy_next = dout + rows * h;

    k->rnn_step_bwd(l->dev, rows * h, l->out[0]->data.data, l->out[0]->grad.data, NULL, dout);
    k->gemm(l->dev, false, false, rows, h, h, 1.0f, dout, h, l->param[r->w_h + 1]->data.data, h,
            0.0f, din, h);
    ot_recurrent_filter(l, r->w_h + 1, r->w_h + 2, rows, h, h, dout, hidden);
    for (size_t t = r->t; t-- > 0;) {
        k->rnn_step_bwd(l->dev, step, hidden + t * step, din + t * step,
                        t + 1 < r->t ? dy_next : NULL, din + t * step);
        if (t)
            ot_recurrent_past_bwd(l, r, t, din, dy_next);
    }
    ot_recurrent_in_bwd(l, r, din, l->ws[1], dy_next + step);
}

static void release(struct ot_layer *l)
{
    ot_recurrent_release(l, l->state);
}

const struct ot_layer_ops ot_layer_rnn = {
    .type = "RNN",
    .doc = "recurrent net of tanh units over the steps of sequences",
    .state_size = sizeof(struct ot_recurrent),
    .min_in = 2,
    .max_in = 4,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .no_grad_in = 1 << 1 | 1 << 3,
    .setup = setup,
    .reshape = reshape,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .release = release,
};
