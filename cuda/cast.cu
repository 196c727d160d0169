/*
 * cast.cu - what convolution and inner product need beside the libraries: weights to bf16 and
 * their gradients back, biases with ReLU, and the gradients of biases.
 */
#include "cuda/elem.h"
#include "layers/neuron_math.h"

/* ---- between fp32 and bf16 ----------------------------------------------------------------- */

constexpr unsigned CAST = OT_LANES<struct ot_bf16>;

__global__ static void to_bf16(size_t n, const float *x, struct ot_bf16 *y)
{
    OT_EACH (k, (n + CAST - 1) / CAST) {
        const size_t i = k * CAST;
        float v[CAST];

        if (i + CAST <= n) {
            ot_load<CAST>(x + i, v);
            ot_store<CAST>(y + i, v);
        } else {
            for (size_t j = i; j < n; j++)
                ot_put(y + j, x[j]);
        }
    }
}

extern "C" void ot_cuda_to_bf16(struct ot_dev *dev, size_t n, const float *x, void *y)
{
    OT_BUG_IF(!ot_aligned(x) || !ot_aligned(y));
    if (n)
        OT_LAUNCH(dev, to_bf16, ot_grid(n / CAST + 1), OT_THREADS, n, x, (struct ot_bf16 *)y);
}

__global__ static void from_bf16(size_t n, const struct ot_bf16 *x, float beta, float *y)
{
    OT_EACH (k, (n + CAST - 1) / CAST) {
        const size_t i = k * CAST;
        float v[CAST], old[CAST];

        if (i + CAST <= n) {
            ot_load<CAST>(x + i, v);
            if (beta != 0.0f) {
                ot_load<CAST>(y + i, old);
                for (unsigned j = 0; j < CAST; j++)
                    v[j] += beta * old[j];
            }
            ot_store<CAST>(y + i, v);
        } else {
            for (size_t j = i; j < n; j++)
                y[j] = beta == 0.0f ? ot_get(x + j) : ot_get(x + j) + beta * y[j];
        }
    }
}

extern "C" void ot_cuda_from_bf16(struct ot_dev *dev, size_t n, const void *x, float beta, float *y)
{
    OT_BUG_IF(!ot_aligned(x) || !ot_aligned(y));
    if (n)
        OT_LAUNCH(dev, from_bf16, ot_grid(n / CAST + 1), OT_THREADS, n, (const struct ot_bf16 *)x,
                  beta, y);
}

/* ---- biases -------------------------------------------------------------------------------- */

__device__ __forceinline__ static float biased(float v, const float *b, size_t c, bool relu)
{
    v = b ? v + b[c] : v;
    return relu ? ot_relu(v, 0.0f) : v;
}

/* A channel every `inner` elements; I: an integer that can count all of them. */
template <class T, unsigned V, class I>
__global__ static void bias(I n, I channels, I inner, const float *b, bool relu, T *y)
{
    OT_EACH (k, (n + V - 1) / V) {
        const I i = (I)(k * V);
        I c = i / inner % channels, left = inner - i % inner;
        float v[V];

        if (n - i >= V) {
            ot_load<V>(y + i, v);
            for (unsigned j = 0; j < V; j++) {
                v[j] = biased(v[j], b, c, relu);
                if (--left == 0) {
                    left = inner;
                    c = c + 1 == channels ? 0 : c + 1;
                }
            }
            ot_store<V>(y + i, v);
        } else {
            for (I j = i; j < n; j++)
                ot_put(y + j, biased(ot_get(y + j), b, j / inner % channels, relu));
        }
    }
}

template <class T, unsigned V>
static void bias_of(struct ot_dev *dev, size_t n, size_t c, size_t inner, const float *b, bool relu,
                    T *y)
{
    const unsigned grid = ot_grid(n / V + 1);

    if (n <= INT32_MAX)
        OT_LAUNCH(dev, (bias<T, V, uint32_t>), grid, OT_THREADS, (uint32_t)n, (uint32_t)c,
                  (uint32_t)inner, b, relu, y);
    else
        OT_LAUNCH(dev, (bias<T, V, size_t>), grid, OT_THREADS, n, c, inner, b, relu, y);
}

template <class T>
static void bias_by_width(struct ot_dev *dev, size_t n, size_t c, size_t inner, const float *b,
                          bool relu, float *y)
{
    if (ot_aligned(y))
        bias_of<T, OT_LANES<T>>(dev, n, c, inner, b, relu, (T *)y);
    else
        bias_of<T, 1>(dev, n, c, inner, b, relu, (T *)y);
}

/* Channels last (or alone with their rows) change with every element. */
static bool side_by_side(const struct ot_channels *g)
{
    OT_BUG_IF(g->block != 1 && g->block != g->c);
    return g->inner == 1 || (g->block == g->c && g->c > 1);
}

extern "C" void ot_cuda_bias(struct ot_dev *dev, const struct ot_channels *g, const float *b,
                             bool relu, float *y)
{
    const size_t n = g->outer * g->c * g->inner, inner = side_by_side(g) ? 1 : g->inner;

    if (n && (b || relu))
        OT_BY_TYPE(g->type, bias_by_width, dev, n, g->c, inner, b, relu, y);
}

/* ---- gradients of biases ------------------------------------------------------------------- */

/* A block adds V columns a thread, a warp's side by side, ROWS rows at a time; then its rows. */
constexpr unsigned ROWS = OT_THREADS / OT_WARP;
constexpr size_t PART_ROWS = 64, MOST_BLOCKS = 1024;

template <class T, unsigned V>
__global__ static void column_parts(size_t rows, size_t cols, size_t step, const T *dy,
                                    double *part)
{
    __shared__ double sum[ROWS][OT_WARP * V];
    const unsigned lane = threadIdx.x % OT_WARP, row = threadIdx.x / OT_WARP;
    const size_t first = (size_t)blockIdx.x * OT_WARP * V, c = first + (size_t)lane * V;
    const size_t from = blockIdx.y * step, end = from + step < rows ? from + step : rows;
    double s[V] = {};

    for (size_t r = from + row; c < cols && r < end; r += ROWS) {
        float v[V];

        ot_load<V>(dy + r * cols + c, v);
        for (unsigned j = 0; j < V; j++)
            s[j] += (double)v[j];
    }
    for (unsigned j = 0; j < V; j++)
        sum[row][lane * V + j] = s[j];
    __syncthreads();
    for (unsigned i = threadIdx.x; i < OT_WARP * V && first + i < cols; i += OT_THREADS) {
        double all = 0.0;

        for (unsigned r = 0; r < ROWS; r++)
            all += sum[r][i];
        part[blockIdx.y * cols + first + i] = all;
    }
}

__global__ static void add_columns(size_t cols, size_t parts, const double *part, float beta,
                                   float *db)
{
    OT_EACH (c, cols) {
        double s = 0.0;

        for (size_t p = 0; p < parts; p++)
            s += part[p * cols + c];
        db[c] = (float)(beta == 0.0f ? s : s + (double)(beta * db[c]));
    }
}

template <class T, unsigned V>
static void columns_of(struct ot_dev *dev, size_t rows, size_t cols, const float *dy, float beta,
                       float *db)
{
    const size_t tiles = (cols + OT_WARP * V - 1) / (OT_WARP * V);
    const size_t most = MOST_BLOCKS / tiles + 1, want = (rows + PART_ROWS - 1) / PART_ROWS;
    const size_t parts = want < 1 ? 1 : want > most ? most : want;
    double *part = (double *)ot_cuda_room(dev, parts * cols * sizeof *part);

    if (!part)
        return;
    OT_LAUNCH(dev, (column_parts<T, V>), dim3((unsigned)tiles, (unsigned)parts), OT_THREADS, rows,
              cols, (rows + parts - 1) / parts, (const T *)dy, part);
    OT_LAUNCH(dev, add_columns, ot_grid(cols), OT_THREADS, cols, parts, part, beta, db);
}

template <class T>
static void columns(struct ot_dev *dev, size_t rows, size_t cols, const float *dy, float beta,
                    float *db)
{
    if (cols % 4 == 0 && ot_aligned(dy))
        columns_of<T, 4>(dev, rows, cols, dy, beta, db);
    else
        columns_of<T, 1>(dev, rows, cols, dy, beta, db);
}

extern "C" void ot_cuda_bias_grad(struct ot_dev *dev, const struct ot_channels *g, const float *dy,
                                  float beta, float *db)
{
    if (g->c && side_by_side(g))
        OT_BY_TYPE(g->type, columns, dev, g->outer * g->inner, g->c, dy, beta, db);
    else if (g->c)
        ot_cuda_channel_sum(dev, g, OT_TERM_A, dy, NULL, beta, db);
}
