/* recurrent.cu - the steps of the recurrent layers: a thread takes a cell. */
#include "cuda/launch.h"
#include "layers/recurrent_math.h"

__global__ static void scale_rows(size_t rows, size_t cols, const float *s, const float *x,
                                  float *y)
{
    OT_EACH (i, rows * cols)
        y[i] = s[i / cols] * x[i];
}

extern "C" void ot_cuda_scale_rows(struct ot_dev *dev, size_t rows, size_t cols, const float *s,
                                   const float *x, float *y)
{
    if (rows && cols)
        OT_LAUNCH(dev, scale_rows, ot_grid(rows * cols), OT_THREADS, rows, cols, s, x, y);
}

__global__ static void lstm_step_fwd(size_t n, size_t h, const float *cont, const float *before,
                                     float *gate, float *c, float *y)
{
    OT_EACH (i, n * h)
        ot_lstm_fwd(h, cont[i / h], before[i], gate + i / h * 4 * h + i % h, c + i, y + i);
}

extern "C" void ot_cuda_lstm_step_fwd(struct ot_dev *dev, size_t n, size_t h, const float *cont,
                                      const float *before, float *gate, float *c, float *y)
{
    if (n && h)
        OT_LAUNCH(dev, lstm_step_fwd, ot_grid(n * h), OT_THREADS, n, h, cont, before, gate, c, y);
}

__global__ static void lstm_step_bwd(size_t n, size_t h, const float *before, const float *gate,
                                     const float *c, const float *dy, const float *dy_next,
                                     float *dc, float *dgate)
{
    OT_EACH (i, n * h) {
        const size_t at = i / h * 4 * h + i % h;

        ot_lstm_bwd(h, before[i], gate + at, c[i], dy[i] + dy_next[i], dc + i, dgate + at);
    }
}

extern "C" void ot_cuda_lstm_step_bwd(struct ot_dev *dev, size_t n, size_t h, const float *before,
                                      const float *gate, const float *c, const float *dy,
                                      const float *dy_next, float *dc, float *dgate)
{
    if (n && h)
        OT_LAUNCH(dev, lstm_step_bwd, ot_grid(n * h), OT_THREADS, n, h, before, gate, c, dy,
                  dy_next, dc, dgate);
}

__global__ static void rnn_step_fwd(size_t n, const float *x, float *y)
{
    OT_EACH (i, n)
        y[i] = tanhf(x[i]);
}

extern "C" void ot_cuda_rnn_step_fwd(struct ot_dev *dev, size_t n, const float *x, float *y)
{
    if (n)
        OT_LAUNCH(dev, rnn_step_fwd, ot_grid(n), OT_THREADS, n, x, y);
}

__global__ static void rnn_step_bwd(size_t n, const float *y, const float *dy,
                                    const float *dy_next, float *dx)
{
    OT_EACH (i, n)
        dx[i] = ot_rnn_bwd(y[i], dy_next ? dy[i] + dy_next[i] : dy[i]);
}

extern "C" void ot_cuda_rnn_step_bwd(struct ot_dev *dev, size_t n, const float *y, const float *dy,
                                     const float *dy_next, float *dx)
{
    if (n)
        OT_LAUNCH(dev, rnn_step_bwd, ot_grid(n), OT_THREADS, n, y, dy, dy_next, dx);
}
