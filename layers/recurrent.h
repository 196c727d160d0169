/*
 * recurrent.h - what LSTM and RNN share: Caffe's RecurrentLayer.
 *
 * Bottoms: x (T, N, ...), cont (T, N): 0 where a sequence begins; [x_static (N, ...)]; with
 * expose_hidden the states before the first step, (1, N, H) each.  Tops: outputs (T, N, H); with
 * expose_hidden the states after the last step.  Without it the layer keeps these itself: a
 * pass begins where the last one ended, unless cont says 0.  As in Caffe no gradient passes the
 * states, neither from one pass to the next nor through exposed ones.
 *
 * Parameters: W_x (width, D), b (width), [W_static (width, S)], W_h (width, H), and what the
 * layer adds after these.  width is the values that go into one step: 4 H of an LSTM, H of an RNN.
 *
 * Memory of all steps: in (T N, width): what goes into the steps; past (T N, H): cont times the
 * output before the step.
 * Ownership: the layer's state owns `kept`; ot_recurrent_release() frees.  Threads: the net's.
 * Errors: shapes, num_output, the number of bottoms and tops that expose_hidden asks for.
 * Source: BVLC Caffe's recurrent_layer, lstm_layer and rnn_layer.
 */
#ifndef OT_LAYERS_RECURRENT_H
#define OT_LAYERS_RECURRENT_H

#include "layers/layer.h"

enum { OT_RECURRENT_STATES = 2 };

struct ot_recurrent {
    size_t t, n;           /* steps, streams */
    size_t d, s, h, width; /* values of x and x_static, outputs, see above */
    bool has_static, exposed;
    int states;                       /* 2: outputs and cells; 1 */
    int w_h;                          /* index of W_h */
    float *kept[OT_RECURRENT_STATES]; /* (N, H) after the last pass, on the device */
    size_t kept_n;
};

/* Both declare nothing of their own; `steps` is width / H. */
int ot_recurrent_setup(struct ot_layer *l, struct ot_recurrent *r, int states, size_t steps,
                       struct ot_err *err);
int ot_recurrent_reshape(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err);
/* Makes room for what is kept between passes; zeros when the number of streams has changed. */
int ot_recurrent_plan(struct ot_layer *l, struct ot_recurrent *r, struct ot_err *err);
void ot_recurrent_release(struct ot_layer *l, struct ot_recurrent *r);

/* in = W_x x + b + W_static x_static, of all steps; scratch: N width floats. */
void ot_recurrent_in(struct ot_layer *l, const struct ot_recurrent *r, float *in, float *scratch);
/* past = cont y_before, in += W_h past, of step t. */
void ot_recurrent_past(struct ot_layer *l, const struct ot_recurrent *r, size_t t,
                       const float *y_before, float *in, float *past);
/* State j before the first step; and its value after the last one, kept or given to a top. */
const float *ot_recurrent_first(const struct ot_layer *l, const struct ot_recurrent *r, int j);
void ot_recurrent_last(struct ot_layer *l, const struct ot_recurrent *r, int j, const float *v);

/* dy_next of step t - 1 = cont_t (din_t W_h). */
void ot_recurrent_past_bwd(struct ot_layer *l, const struct ot_recurrent *r, size_t t,
                           const float *din, float *dy_next);
/* Gradients of x, x_static, W_x, b, W_static, W_h from din of all steps; scratch: N width. */
void ot_recurrent_in_bwd(struct ot_layer *l, const struct ot_recurrent *r, const float *din,
                         const float *past, float *scratch);

/* Gradients of a product y (rows, out) = x (rows, in) W' and its sums over rows; b < 0: none. */
void ot_recurrent_filter(struct ot_layer *l, int w, int b, size_t rows, size_t out, size_t in,
                         const float *dy, const float *x);

#endif
