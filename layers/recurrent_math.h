/*
 * recurrent_math.h - one cell of one time step, for every device.
 *
 *   i, f, o = sigmoid(gate input), g = tanh(gate input)
 *   c = cont f before + i g,  y = o tanh(c)
 * The gate f is kept with cont in it, and its derivative is taken as f (1 - f): exact for cont 0
 * and 1, and what Caffe does for others.
 * Source: BVLC Caffe's LSTMUnit; S. Hochreiter and J. Schmidhuber, "Long short-term memory".
 */
#ifndef OT_LAYERS_RECURRENT_MATH_H
#define OT_LAYERS_RECURRENT_MATH_H

#include <math.h>
#include <stddef.h>

#include "base/hd.h"

OT_HD float ot_gate(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* gate[0], gate[h], gate[2 h], gate[3 h]: i, f, o, g of the cell */
OT_HD void ot_lstm_fwd(size_t h, float cont, float before, float *gate, float *c, float *y)
{
    float i = ot_gate(gate[0]), f = cont == 0.0f ? 0.0f : cont * ot_gate(gate[h]);
    float o = ot_gate(gate[2 * h]), g = tanhf(gate[3 * h]);

    gate[0] = i;
    gate[h] = f;
    gate[2 * h] = o;
    gate[3 * h] = g;
    *c = f * before + i * g;
    *y = o * tanhf(*c);
}

/* dy: gradient of y, all of it; *dc: of c, becomes that of before */
OT_HD void ot_lstm_bwd(size_t h, float before, const float *gate, float c, float dy, float *dc,
                       float *dgate)
{
    const float i = gate[0], f = gate[h], o = gate[2 * h], g = gate[3 * h], t = tanhf(c);
    const float all = *dc + dy * o * (1.0f - t * t);

    dgate[0] = all * g * i * (1.0f - i);
    dgate[h] = all * before * f * (1.0f - f);
    dgate[2 * h] = dy * t * o * (1.0f - o);
    dgate[3 * h] = all * i * (1.0f - g * g);
    *dc = all * f;
}

OT_HD float ot_rnn_bwd(float y, float dy)
{
    return dy * (1.0f - y * y);
}

#endif
