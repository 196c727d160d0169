/* mvn_cpu.c - rows freed of mean and deviation; sums in double. */
#include "layers/cpu_i.h"
#include "layers/mvn_math.h"

static double sum_of(size_t n, const float *x)
{
    double s = 0;

#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += (double)x[i];
    return s;
}

static double squares_around(size_t n, const float *x, double mean)
{
    double s = 0;

#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += ((double)x[i] - mean) * ((double)x[i] - mean);
    return s;
}

static double dot(size_t n, const float *a, const float *b)
{
    double s = 0;

#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

void ot_cpu_mvn_fwd(struct ot_dev *dev, size_t rows, size_t cols, bool variance, float eps,
                    const float *x, float *norm, float *y)
{
    (void)dev;
#pragma omp parallel for if (rows * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *from = x + r * cols;
        const double mean = sum_of(cols, from) / (double)cols;
        const double d = variance ? ot_mvn_norm(squares_around(cols, from, mean), cols, eps) : 1.0;

        norm[r] = (float)d;
        for (size_t i = 0; i < cols; i++)
            y[r * cols + i] = ot_mvn(from[i], mean, d);
    }
}

void ot_cpu_mvn_bwd(struct ot_dev *dev, size_t rows, size_t cols, bool variance, const float *y,
                    const float *norm, const float *dy, float *dx)
{
    (void)dev;
#pragma omp parallel for if (rows * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const float *out = y + r * cols, *d = dy + r * cols;
        const double mean = sum_of(cols, d) / (double)cols;
        const double mean_y = variance ? dot(cols, d, out) / (double)cols : 0.0;

        for (size_t i = 0; i < cols; i++)
            dx[r * cols + i] = ot_mvn_grad(out[i], d[i], mean, mean_y, (double)norm[r]);
    }
}
