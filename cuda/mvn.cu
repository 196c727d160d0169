/* mvn.cu - rows freed of mean and deviation: a block for each row. */
#include "cuda/launch.h"
#include "layers/mvn_math.h"

__global__ static void mvn_fwd(size_t rows, size_t cols, bool variance, float eps, const float *x,
                               float *norm, float *y)
{
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *from = x + r * cols;
        double mean = 0.0, d = 0.0;

        for (size_t i = threadIdx.x; i < cols; i += blockDim.x)
            mean += (double)from[i];
        mean = ot_block_sum(mean) / (double)cols;
        for (size_t i = threadIdx.x; i < cols; i += blockDim.x)
            d += ((double)from[i] - mean) * ((double)from[i] - mean);
        d = ot_block_sum(d);
        d = variance ? ot_mvn_norm(d, cols, eps) : 1.0;
        if (threadIdx.x == 0)
            norm[r] = (float)d;
        for (size_t i = threadIdx.x; i < cols; i += blockDim.x)
            y[r * cols + i] = ot_mvn(from[i], mean, d);
    }
}

extern "C" void ot_cuda_mvn_fwd(struct ot_dev *dev, size_t rows, size_t cols, bool variance,
                                float eps, const float *x, float *norm, float *y)
{
    if (rows && cols)
        OT_LAUNCH(dev, mvn_fwd, ot_grid(rows * OT_THREADS), OT_THREADS, rows, cols, variance, eps,
                  x, norm, y);
}

__global__ static void mvn_bwd(size_t rows, size_t cols, bool variance, const float *y,
                               const float *norm, const float *dy, float *dx)
{
    for (size_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const float *out = y + r * cols, *d = dy + r * cols;
        double mean = 0.0, mean_y = 0.0;

        for (size_t i = threadIdx.x; i < cols; i += blockDim.x) {
            mean += (double)d[i];
            mean_y += (double)d[i] * (double)out[i];
        }
        mean = ot_block_sum(mean) / (double)cols;
        mean_y = ot_block_sum(mean_y) / (double)cols;
        for (size_t i = threadIdx.x; i < cols; i += blockDim.x)
            dx[r * cols + i] =
                ot_mvn_grad(out[i], d[i], mean, variance ? mean_y : 0.0, (double)norm[r]);
    }
}

extern "C" void ot_cuda_mvn_bwd(struct ot_dev *dev, size_t rows, size_t cols, bool variance,
                                const float *y, const float *norm, const float *dy, float *dx)
{
    if (rows && cols)
        OT_LAUNCH(dev, mvn_bwd, ot_grid(rows * OT_THREADS), OT_THREADS, rows, cols, variance, y,
                  norm, dy, dx);
}
