/* shape.cu - strided copies, reductions along an axis, largest values, rows by index. */
#include "cuda/launch.h"
#include "layers/shape_math.h"
#include "layers/softmax_loss_math.h"

__global__ static void copy_nd(const __grid_constant__ struct ot_copy_geom g, size_t n,
                               const float *x, float *y)
{
    OT_EACH (i, n) {
        size_t from, to;

        ot_copy_place(&g, g.nd, i, &from, &to);
        y[to] = x[from];
    }
}

extern "C" void ot_cuda_copy_nd(struct ot_dev *dev, const struct ot_copy_geom *g, const float *x,
                                float *y)
{
    size_t n = 1;

    for (int d = 0; d < g->nd; d++)
        n *= g->dim[d];
    if (n)
        OT_LAUNCH(dev, copy_nd, ot_grid(n), OT_THREADS, *g, n, x, y);
}

/* ---- reductions ---------------------------------------------------------------------------- */

/* A block for each row of c values side by side. */
__global__ static void reduce_rows(size_t outer, size_t c, enum ot_reduce_op op, float coeff,
                                   const float *x, float beta, float *y)
{
    for (size_t r = blockIdx.x; r < outer; r += gridDim.x) {
        double sum = 0.0;

        for (size_t j = threadIdx.x; j < c; j += blockDim.x)
            sum += ot_reduce_term(op, x[r * c + j]);
        sum = ot_block_sum(sum);
        if (threadIdx.x == 0)
            ot_put_sum(sum, coeff, beta, &y[r]);
    }
}

/* A thread for each column. */
__global__ static void reduce_columns(size_t n, size_t c, size_t inner, enum ot_reduce_op op,
                                      float coeff, const float *x, float beta, float *y)
{
    OT_EACH (i, n) {
        const float *from = x + i / inner * c * inner + i % inner;
        double sum = 0.0;

        for (size_t j = 0; j < c; j++)
            sum += ot_reduce_term(op, from[j * inner]);
        ot_put_sum(sum, coeff, beta, &y[i]);
    }
}

extern "C" void ot_cuda_reduce_fwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                   enum ot_reduce_op op, float coeff, const float *x, float beta,
                                   float *y)
{
    const size_t n = outer * inner;

    if (!n)
        return;
    if (inner == 1 && c > OT_WARP)
        OT_LAUNCH(dev, reduce_rows, ot_grid(outer * OT_THREADS), OT_THREADS, outer, c, op, coeff, x,
                  beta, y);
    else
        OT_LAUNCH(dev, reduce_columns, ot_grid(n), OT_THREADS, n, c, inner, op, coeff, x, beta, y);
}

__global__ static void reduce_bwd(size_t n, size_t c, size_t inner, enum ot_reduce_op op,
                                  float coeff, const float *x, const float *dy, float *dx)
{
    OT_EACH (i, n) {
        const float d = coeff * dy[i / (c * inner) * inner + i % inner];

        dx[i] = ot_reduce_grad(op, op == OT_REDUCE_SUM ? 0.0f : x[i], d);
    }
}

extern "C" void ot_cuda_reduce_bwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                                   enum ot_reduce_op op, float coeff, const float *x,
                                   const float *dy, float *dx)
{
    const size_t n = outer * c * inner;

    if (n)
        OT_LAUNCH(dev, reduce_bwd, ot_grid(n), OT_THREADS, n, c, inner, op, coeff, x, dy, dx);
}

__global__ static void argmax(size_t n, size_t c, size_t inner, int top_k, const float *x,
                              size_t ld, float *index, float *value)
{
    OT_EACH (i, n) {
        const size_t o = i / inner, at = i % inner, to = o * ld + at;

        ot_argmax_line(c, inner, top_k, x + o * c * inner + at, index ? index + to : NULL,
                       value ? value + to : NULL);
    }
}

extern "C" void ot_cuda_argmax(struct ot_dev *dev, size_t outer, size_t c, size_t inner, int top_k,
                               const float *x, size_t ld, float *index, float *value)
{
    const size_t n = outer * inner;

    if (n)
        OT_LAUNCH(dev, argmax, ot_grid(n), OT_THREADS, n, c, inner, top_k, x, ld, index, value);
}

/* ---- rows by index ------------------------------------------------------------------------- */

/* The least place of a bad index is noted, as a fault of the device. */
__global__ static void check_rows(size_t n, size_t limit, const float *index,
                                  unsigned long long *bad)
{
    OT_EACH (i, n)
        if (ot_label_class(index[i], limit) < 0)
            ot_fault(bad, i, index[i]);
}

extern "C" void ot_cuda_check_rows(struct ot_dev *dev, size_t n, size_t limit, const float *index,
                                   struct ot_bad_row *bad)
{
    (void)bad;
    if (n)
        OT_LAUNCH(dev, check_rows, ot_grid(n), OT_THREADS, n, limit, index,
                  ot_cuda_fault(dev, OT_FAULT_ROW, (double)limit));
}

__global__ static void gather_rows(size_t n, size_t cols, size_t limit, const float *index,
                                   const float *x, const float *b, float *y)
{
    OT_EACH (i, n * cols) {
        const int64_t row = ot_label_class(index[i / cols], limit);
        const float v = row < 0 ? 0.0f : x[(size_t)row * cols + i % cols];

        y[i] = b ? v + b[i % cols] : v;
    }
}

extern "C" void ot_cuda_gather_rows(struct ot_dev *dev, size_t n, size_t cols, size_t limit,
                                    const float *index, const float *x, const float *b, float *y)
{
    if (n && cols)
        OT_LAUNCH(dev, gather_rows, ot_grid(n * cols), OT_THREADS, n, cols, limit, index, x, b, y);
}

__global__ static void no_lists(size_t limit, int *head)
{
    OT_EACH (r, limit)
        head[r] = INT32_MAX;
}

/* head[r]: the first i with index r, next[i]: the one after it; INT32_MAX: none */
__global__ static void make_lists(size_t n, size_t limit, const float *index, int *head, int *next)
{
    OT_EACH (i, n) {
        const int64_t r = ot_label_class(index[i], limit);
        size_t j = i + 1;

        if (r < 0)
            continue;
        while (j < n && ot_label_class(index[j], limit) != r)
            j++;
        next[i] = j < n ? (int)j : INT32_MAX;
        atomicMin(&head[r], (int)i);
    }
}

__global__ static void sum_lists(size_t cols, size_t limit, const int *head, const int *next,
                                 const float *dy, float beta, float *dx)
{
    OT_EACH (i, limit * cols) {
        double sum = 0.0;

        for (int r = head[i / cols]; r != INT32_MAX; r = next[r])
            sum += (double)dy[(size_t)r * cols + i % cols];
        ot_put_sum(sum, 1.0f, beta, &dx[i]);
    }
}

extern "C" void ot_cuda_scatter_rows(struct ot_dev *dev, size_t n, size_t cols, size_t limit,
                                     const float *index, const float *dy, void *scratch, float beta,
                                     float *dx)
{
    int *head = (int *)scratch, *next = head + limit;

    if (!limit || !cols)
        return;
    OT_LAUNCH(dev, no_lists, ot_grid(limit), OT_THREADS, limit, head);
    if (n)
        OT_LAUNCH(dev, make_lists, ot_grid(n), OT_THREADS, n, limit, index, head, next);
    OT_LAUNCH(dev, sum_lists, ot_grid(limit * cols), OT_THREADS, cols, limit, head, next, dy, beta,
              dx);
}
