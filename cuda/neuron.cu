/*
 * neuron.cu - kernels that move and combine memory element by element, sums of squares, and the
 * update of the parameters in one launch.
 */
#include "cuda/launch.h"
#include "layers/neuron_math.h"
#include "layers/update_math.h"

/* ---- memory -------------------------------------------------------------------------------- */

__global__ static void fill(size_t n, float v, float *y)
{
    OT_EACH (i, n)
        y[i] = v;
}

extern "C" void ot_cuda_fill(struct ot_dev *dev, enum ot_type type, size_t n, float v, float *y)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, fill, ot_grid(n), OT_THREADS, n, v, y);
}

extern "C" void ot_cuda_copy(struct ot_dev *dev, enum ot_type type, size_t n, const float *x, float *y)
{
    (void)type;
    if (n && x != y)
        ot_cuda_move(dev, y, x, n * sizeof *y);
}

__global__ static void axpby(size_t n, float a, const float *x, float b, float *y)
{
    OT_EACH (i, n)
        y[i] = b == 0.0f ? a * x[i] : a * x[i] + b * y[i];
}

extern "C" void ot_cuda_axpby(struct ot_dev *dev, enum ot_type type, size_t n, float a, const float *x, float b,
                              float *y)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, axpby, ot_grid(n), OT_THREADS, n, a, x, b, y);
}

__global__ static void copy2d(size_t rows, size_t cols, const float *x, size_t xld, float beta,
                              float *y, size_t yld)
{
    OT_EACH (i, rows * cols) {
        size_t r = i / cols, c = i % cols;
        float v = x[r * xld + c];

        y[r * yld + c] = beta == 0.0f ? v : v + beta * y[r * yld + c];
    }
}

extern "C" void ot_cuda_copy2d(struct ot_dev *dev, enum ot_type type, size_t rows, size_t cols, const float *x,
                               size_t xld, float beta, float *y, size_t yld)
{
    (void)type;
    if (rows && cols)
        OT_LAUNCH(dev, copy2d, ot_grid(rows * cols), OT_THREADS, rows, cols, x, xld, beta, y, yld);
}

/* This device has one format, plain. */
extern "C" void ot_cuda_reorder(struct ot_dev *dev, const struct ot_tensor *x,
                                const struct ot_tensor *y)
{
    ot_cuda_copy(dev, OT_F32, x->elems, x->data, y->data);
}

/* ---- sum of squares: one partial sum per block, then one block adds them ------------------- */

constexpr unsigned PARTS = 512;

__global__ static void square_parts(size_t n, const float *x, double *part)
{
    double s = 0.0;

    OT_EACH (i, n)
        s += (double)x[i] * (double)x[i];
    s = ot_block_sum(s);
    if (threadIdx.x == 0)
        part[blockIdx.x] = s;
}

__global__ static void add_parts(unsigned n, const double *part, float beta, double *sum)
{
    double s = 0.0;

    for (unsigned i = threadIdx.x; i < n; i += blockDim.x)
        s += part[i];
    s = ot_block_sum(s);
    if (threadIdx.x == 0)
        *sum = beta == 0.0f ? s : *sum + s;
}

extern "C" void ot_cuda_grad_norm(struct ot_dev *dev, const struct ot_update_seg *host_segs,
                                  int nseg, double *norm)
{
    double *part = (double *)ot_cuda_room(dev, PARTS * sizeof(double));

    ot_cuda_zero(dev, norm, sizeof *norm);
    for (int k = 0; part && k < nseg; k++) {
        const unsigned blocks = ot_grid(host_segs[k].n, PARTS);

        OT_LAUNCH(dev, square_parts, blocks, OT_THREADS, host_segs[k].n, host_segs[k].g, part);
        OT_LAUNCH(dev, add_parts, 1, OT_THREADS, blocks, part, 1.0f, norm);
    }
}

/* ---- biases of matrices -------------------------------------------------------------------- */

__global__ static void bias_rows(size_t rows, size_t cols, const float *b, float *y)
{
    OT_EACH (i, rows * cols)
        y[i] += b[i % cols];
}

extern "C" void ot_cuda_bias_rows(struct ot_dev *dev, size_t rows, size_t cols, const float *b,
                                  float *y)
{
    if (rows && cols)
        OT_LAUNCH(dev, bias_rows, ot_grid(rows * cols), OT_THREADS, rows, cols, b, y);
}

__global__ static void bias_sums(size_t rows, size_t cols, const float *dy, float beta, float *db)
{
    OT_EACH (c, cols) {
        float s = 0.0f;

        for (size_t r = 0; r < rows; r++)
            s += dy[r * cols + c];
        db[c] = beta == 0.0f ? s : s + beta * db[c];
    }
}

extern "C" void ot_cuda_bias_sums(struct ot_dev *dev, size_t rows, size_t cols, const float *dy,
                                  float beta, float *db)
{
    if (cols)
        OT_LAUNCH(dev, bias_sums, ot_grid(cols), OT_THREADS, rows, cols, dy, beta, db);
}

/* ---- element by element -------------------------------------------------------------------- */

__global__ static void relu_fwd(size_t n, float slope, const float *x, float *y)
{
    OT_EACH (i, n)
        y[i] = ot_relu(x[i], slope);
}

extern "C" void ot_cuda_relu_fwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope, const float *x,
                                 float *y)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, relu_fwd, ot_grid(n), OT_THREADS, n, slope, x, y);
}

__global__ static void relu_bwd(size_t n, float slope, const float *y, const float *dy, float *dx)
{
    OT_EACH (i, n)
        dx[i] = ot_relu_grad(y[i], dy[i], slope);
}

extern "C" void ot_cuda_relu_bwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope, const float *y,
                                 const float *dy, float *dx)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, relu_bwd, ot_grid(n), OT_THREADS, n, slope, y, dy, dx);
}

__global__ static void dropout(size_t n, float ratio, float scale, uint64_t seed,
                               const struct ot_step *step, uint64_t stream, const float *x, float *y)
{
    OT_EACH (i, n)
        y[i] = ot_dropout(x[i], ratio, scale, seed, step->iter, stream, i);
}

extern "C" void ot_cuda_dropout(struct ot_dev *dev, enum ot_type type, size_t n, float ratio, float scale,
                                uint64_t seed, uint64_t stream, const float *x,
                                float *y)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, dropout, ot_grid(n), OT_THREADS, n, ratio, scale, seed, ot_cuda_step(dev), stream, x, y);
}

constexpr int INPUTS = 64;

struct inputs { /* a kernel's argument: no table of pointers in device memory */
    const float *x[INPUTS];
};

static bool gather(struct ot_dev *dev, int k, const float *const *x, struct inputs *in)
{
    if (k > INPUTS) {
        ot_dev_fail(dev, OT_ENOTSUP, "eltwise: at most %d inputs, got %d", INPUTS, k);
        return false;
    }
    for (int i = 0; i < k; i++)
        in->x[i] = x[i];
    return true;
}

__global__ static void prod_fwd(size_t n, int k, const __grid_constant__ struct inputs in, float *y)
{
    OT_EACH (i, n) {
        float v = in.x[0][i];

        for (int j = 1; j < k; j++)
            v *= in.x[j][i];
        y[i] = v;
    }
}

extern "C" void ot_cuda_eltwise_prod_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k, const float *const *x,
                                         float *y)
{
    (void)type;
    struct inputs in;

    if (n && gather(dev, k, x, &in))
        OT_LAUNCH(dev, prod_fwd, ot_grid(n), OT_THREADS, n, k, in, y);
}

__global__ static void prod_bwd(size_t n, int k, const __grid_constant__ struct inputs in, int i,
                                bool stable, const float *y, const float *dy, float *dx)
{
    OT_EACH (e, n) {
        float v = 1.0f;

        if (stable) {
            for (int j = 0; j < k; j++)
                v *= j == i ? 1.0f : in.x[j][e];
        } else {
            v = y[e] / in.x[i][e];
        }
        dx[e] = v * dy[e];
    }
}

extern "C" void ot_cuda_eltwise_prod_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int k, const float *const *x,
                                         int i, bool stable, const float *y, const float *dy,
                                         float *dx)
{
    (void)type;
    struct inputs in;

    if (n && gather(dev, k, x, &in))
        OT_LAUNCH(dev, prod_bwd, ot_grid(n), OT_THREADS, n, k, in, i, stable, y, dy, dx);
}

__global__ static void max_fwd(size_t n, int k, const __grid_constant__ struct inputs in,
                               int32_t *mask, float *y)
{
    OT_EACH (i, n) {
        float best = in.x[0][i];
        int32_t at = 0;

        for (int j = 1; j < k; j++)
            if (in.x[j][i] > best || (j == 1 && !(best > in.x[1][i]))) {
                best = in.x[j][i];
                at = j;
            }
        y[i] = best;
        mask[i] = at;
    }
}

extern "C" void ot_cuda_eltwise_max_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k, const float *const *x,
                                        int32_t *mask, float *y)
{
    (void)type;
    struct inputs in;

    if (n && gather(dev, k, x, &in))
        OT_LAUNCH(dev, max_fwd, ot_grid(n), OT_THREADS, n, k, in, mask, y);
}

__global__ static void max_bwd(size_t n, int i, const int32_t *mask, const float *dy, float *dx)
{
    OT_EACH (e, n)
        dx[e] = mask[e] == i ? dy[e] : 0.0f;
}

extern "C" void ot_cuda_eltwise_max_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int i, const int32_t *mask,
                                        const float *dy, float *dx)
{
    (void)type;
    if (n)
        OT_LAUNCH(dev, max_bwd, ot_grid(n), OT_THREADS, n, i, mask, dy, dx);
}

/* ---- solver -------------------------------------------------------------------------------- */

/* As many parameters as fit into a kernel's arguments (4 KiB): a usual net is one launch. */
constexpr int SEGS = 56, PER_THREAD = 4;

struct segs {
    struct ot_update_seg s[SEGS];
    unsigned first[SEGS + 1]; /* first block of each */
};

__device__ static void step(const struct ot_update_rule *r, const struct ot_step *now, float scale,
                            const struct ot_update_seg *s, size_t i)
{
    s->g[i] = ot_update_grad(r, scale, s->decay, s->w[i], s->g[i]);
    s->w[i] -= ot_update_step(r, now->lr * s->lr_mult, now->correction, s->g[i], &s->h[i], s->h2 ? &s->h2[i] : nullptr);
}

__global__ static void solver_update(const __grid_constant__ struct segs t, int nseg,
                                     const __grid_constant__ struct ot_update_rule r,
                                     const struct ot_step *now, const double *norm)
{
    const float scale = ot_update_scale(&r, norm);
    int k = 0;
    const struct ot_update_seg *s;
    size_t from;

    while (k + 1 < nseg && blockIdx.x >= t.first[k + 1])
        k++;
    s = &t.s[k];
    from = (size_t)(blockIdx.x - t.first[k]) * OT_THREADS * PER_THREAD;
    for (int j = 0; j < PER_THREAD; j++) {
        size_t i = from + (size_t)j * OT_THREADS + threadIdx.x;

        if (i < s->n)
            step(&r, now, scale, s, i);
    }
}

extern "C" void ot_cuda_solver_update(struct ot_dev *dev, const struct ot_update_rule *rule,
                                      const struct ot_update_seg *host_segs, int nseg,
                                      const double *norm)
{
    const size_t chunk = (size_t)OT_THREADS * PER_THREAD;

    for (int from = 0; from < nseg; from += SEGS) {
        struct segs t = {};
        int n = nseg - from < SEGS ? nseg - from : SEGS;

        for (int i = 0; i < n; i++) {
            t.s[i] = host_segs[from + i];
            t.first[i + 1] = t.first[i] + (unsigned)((t.s[i].n + chunk - 1) / chunk);
        }
        if (t.first[n])
            OT_LAUNCH(dev, solver_update, t.first[n], OT_THREADS, t, n, *rule, ot_cuda_step(dev), norm);
    }
}
