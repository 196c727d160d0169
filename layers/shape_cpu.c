/*
 * shape_cpu.c - strided copies, reductions along an axis, largest values, rows by index.
 *
 * Sums are in double and in one order whatever the number of threads.
 */
#include <string.h>

#include "layers/cpu_i.h"
#include "layers/shape_math.h"
#include "layers/softmax_loss_math.h"

enum { CHUNK = 64 }; /* columns summed side by side */

void ot_cpu_copy_nd(struct ot_dev *dev, const struct ot_copy_geom *g, const float *x, float *y)
{
    const int last = g->nd - 1;
    const size_t cols = g->nd ? g->dim[last] : 1, sx = g->nd ? g->xs[last] : 0,
                 sy = g->nd ? g->ys[last] : 0;
    size_t rows = 1;

    (void)dev;
    for (int d = 0; d < last; d++)
        rows *= g->dim[d];
#pragma omp parallel for if (rows * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < rows; r++) {
        size_t from, to;

        ot_copy_place(g, last, r, &from, &to);
        if (sx == 1 && sy == 1)
            memcpy(y + to, x + from, cols * sizeof *y);
        else
            for (size_t i = 0; i < cols; i++)
                y[to + i * sy] = x[from + i * sx];
    }
}

/* ---- reductions ------------------------------------------------------------------------------ */

/* Of n values side by side, in fixed blocks. */
static double sum_row(enum ot_reduce_op op, size_t n, const float *x)
{
    enum { BLOCKS = 64 };

    double part[BLOCKS] = { 0 }, sum = 0;
    size_t step = n / BLOCKS + 1;

#pragma omp parallel for if (n > OT_CPU_GRAIN) schedule(static)
    for (size_t b = 0; b < BLOCKS; b++) {
        size_t end = (b + 1) * step < n ? (b + 1) * step : n;
        double s = 0;

        for (size_t i = b * step; i < end; i++)
            s += ot_reduce_term(op, x[i]);
        part[b] = s;
    }
    for (int b = 0; b < BLOCKS; b++)
        sum += part[b];
    return sum;
}

/* One sum for each of `cols` columns. */
static void sum_columns(enum ot_reduce_op op, size_t c, size_t inner, size_t cols, float coeff,
                        const float *x, float beta, float *y)
{
    double sum[CHUNK] = { 0 };

    for (size_t j = 0; j < c; j++)
        for (size_t i = 0; i < cols; i++)
            sum[i] += ot_reduce_term(op, x[j * inner + i]);
    for (size_t i = 0; i < cols; i++)
        ot_put_sum(sum[i], coeff, beta, &y[i]);
}

void ot_cpu_reduce_fwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                       enum ot_reduce_op op, float coeff, const float *x, float beta, float *y)
{
    const size_t chunks = (inner + CHUNK - 1) / CHUNK;

    (void)dev;
    if (inner == 1) {
#pragma omp parallel for if (outer * c > OT_CPU_GRAIN && c <= OT_CPU_GRAIN) schedule(static)
        for (size_t r = 0; r < outer; r++)
            ot_put_sum(sum_row(op, c, x + r * c), coeff, beta, &y[r]);
        return;
    }
#pragma omp parallel for if (outer * c * inner > OT_CPU_GRAIN) schedule(static)
    for (size_t k = 0; k < outer * chunks; k++) {
        size_t r = k / chunks, i = k % chunks * CHUNK;
        size_t cols = inner - i < CHUNK ? inner - i : CHUNK;

        sum_columns(op, c, inner, cols, coeff, x + r * c * inner + i, beta, y + r * inner + i);
    }
}

void ot_cpu_reduce_bwd(struct ot_dev *dev, size_t outer, size_t c, size_t inner,
                       enum ot_reduce_op op, float coeff, const float *x, const float *dy,
                       float *dx)
{
    (void)dev;
#pragma omp parallel for if (outer * c * inner > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < outer * c; r++)
        for (size_t i = 0; i < inner; i++)
            dx[r * inner + i] = ot_reduce_grad(op, op == OT_REDUCE_SUM ? 0.0f : x[r * inner + i],
                                               coeff * dy[r / c * inner + i]);
}

void ot_cpu_argmax(struct ot_dev *dev, size_t outer, size_t c, size_t inner, int top_k,
                   const float *x, size_t ld, float *index, float *value)
{
    (void)dev;
#pragma omp parallel for if (outer * c * inner > OT_CPU_GRAIN) schedule(static)
    for (size_t k = 0; k < outer * inner; k++) {
        size_t o = k / inner, i = k % inner, to = o * ld + i;

        ot_argmax_line(c, inner, top_k, x + o * c * inner + i, index ? index + to : NULL,
                       value ? value + to : NULL);
    }
}

/* ---- rows by index --------------------------------------------------------------------------- */

void ot_cpu_check_rows(struct ot_dev *dev, size_t n, size_t limit, const float *index,
                       struct ot_bad_row *bad)
{
    (void)dev;
    *bad = (struct ot_bad_row){ 0 };
    for (size_t i = n; i-- > 0;)
        if (ot_label_class(index[i], limit) < 0)
            *bad = (struct ot_bad_row){ .at = (int64_t)i + 1, .index = (double)index[i] };
}

void ot_cpu_gather_rows(struct ot_dev *dev, size_t n, size_t cols, size_t limit, const float *index,
                        const float *x, const float *b, float *y)
{
    (void)dev;
#pragma omp parallel for if (n * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t i = 0; i < n; i++) {
        int64_t row = ot_label_class(index[i], limit);
        float *to = y + i * cols;

        if (row < 0)
            memset(to, 0, cols * sizeof *to);
        else
            memcpy(to, x + (size_t)row * cols, cols * sizeof *to);
        for (size_t j = 0; b && j < cols; j++)
            to[j] += b[j];
    }
}

/* head[r]: the first i with index r, next[i]: the one after it; -1: none */
static void make_lists(size_t n, size_t limit, const float *index, int32_t *head, int32_t *next)
{
    for (size_t r = 0; r < limit; r++)
        head[r] = -1;
    for (size_t i = n; i-- > 0;) {
        int64_t r = ot_label_class(index[i], limit);

        if (r < 0)
            continue;
        next[i] = head[r];
        head[r] = (int32_t)i;
    }
}

void ot_cpu_scatter_rows(struct ot_dev *dev, size_t n, size_t cols, size_t limit,
                         const float *index, const float *dy, void *scratch, float beta, float *dx)
{
    int32_t *head = scratch, *next = head + limit;

    (void)dev;
    make_lists(n, limit, index, head, next);
#pragma omp parallel for if ((n + limit) * cols > OT_CPU_GRAIN) schedule(static)
    for (size_t r = 0; r < limit; r++) {
        if (head[r] < 0 && beta == 1.0f)
            continue;
        for (size_t from = 0; from < cols; from += CHUNK) {
            size_t m = cols - from < CHUNK ? cols - from : CHUNK;
            double sum[CHUNK] = { 0 };
            float *to = dx + r * cols + from;

            for (int32_t i = head[r]; i >= 0; i = next[i])
                for (size_t j = 0; j < m; j++)
                    sum[j] += (double)dy[(size_t)i * cols + from + j];
            for (size_t j = 0; j < m; j++)
                ot_put_sum(sum[j], 1.0f, beta, &to[j]);
        }
    }
}
