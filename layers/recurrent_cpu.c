/* recurrent_cpu.c - the matrix product through oneDNN, and the steps of the recurrent layers. */
#include "layers/cpu_i.h"
#include "layers/recurrent_math.h"

void ot_cpu_gemm(struct ot_dev *dev, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                 float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                 float *c, size_t ldc)
{
    if (!m || !n)
        return;
    (void)ot_dnn_bad(dev,
                     dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', (dnnl_dim_t)m,
                                (dnnl_dim_t)n, (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)lda, b,
                                (dnnl_dim_t)ldb, beta, c, (dnnl_dim_t)ldc),
                     "gemm");
}

void ot_cpu_scale_rows(struct ot_dev *dev, size_t rows, size_t cols, const float *s, const float *x,
                       float *y)
{
    (void)dev;
#pragma omp parallel for if (rows * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            y[r * cols + c] = s[r] * x[r * cols + c];
}

void ot_cpu_lstm_step_fwd(struct ot_dev *dev, size_t n, size_t h, const float *cont,
                          const float *before, float *gate, float *c, float *y)
{
    (void)dev;
#pragma omp parallel for if (n * h > OT_CPU_GRAIN / 16) schedule(static)
    for (size_t i = 0; i < n * h; i++)
        ot_lstm_fwd(h, cont[i / h], before[i], gate + i / h * 4 * h + i % h, c + i, y + i);
}

void ot_cpu_lstm_step_bwd(struct ot_dev *dev, size_t n, size_t h, const float *before,
                          const float *gate, const float *c, const float *dy, const float *dy_next,
                          float *dc, float *dgate)
{
    (void)dev;
#pragma omp parallel for if (n * h > OT_CPU_GRAIN / 16) schedule(static)
    for (size_t i = 0; i < n * h; i++) {
        size_t at = i / h * 4 * h + i % h;

        ot_lstm_bwd(h, before[i], gate + at, c[i], dy[i] + dy_next[i], dc + i, dgate + at);
    }
}

void ot_cpu_rnn_step_fwd(struct ot_dev *dev, size_t n, const float *x, float *y)
{
    (void)dev;
#pragma omp parallel for if (n > OT_CPU_GRAIN / 16) schedule(static)
    for (size_t i = 0; i < n; i++)
        y[i] = tanhf(x[i]);
}

void ot_cpu_rnn_step_bwd(struct ot_dev *dev, size_t n, const float *y, const float *dy,
                         const float *dy_next, float *dx)
{
    (void)dev;
#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++)
        dx[i] = ot_rnn_bwd(y[i], dy_next ? dy[i] + dy_next[i] : dy[i]);
}
