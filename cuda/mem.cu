/*
 * mem.cu - kernels that move and combine memory, and conversion between the formats of a blob.
 *
 * Where order stays, conversion is a loop over elements.  Otherwise each image is a matrix
 * (channels, places) to be transposed: a block takes a tile of it through shared memory, so that
 * memory is read and written in runs on both sides.  Tiles are 64 x 64; where channels or places
 * are fewer, longer the other way.
 */
#include "cuda/map.h"

/* ---- element by element ---------------------------------------------------------------------- */

struct constant {
    float v;

    __device__ float operator()(const float *, size_t) const
    {
        return v;
    }
};

template <class T> static void fill(struct ot_dev *dev, size_t n, float v, void *y)
{
    ot_map<T, T, 0>(dev, n, {}, (T *)y, constant{ v });
}

extern "C" void ot_cuda_fill(struct ot_dev *dev, enum ot_type type, size_t n, float v, float *y)
{
    OT_BY_TYPE(type, fill, dev, n, v, y);
}

extern "C" void ot_cuda_copy(struct ot_dev *dev, enum ot_type type, size_t n, const float *x,
                             float *y)
{
    if (n && x != y)
        ot_cuda_move(dev, y, x, n * ot_type_bytes(type));
}

struct multiple {
    float a;

    __device__ float operator()(const float *x, size_t) const
    {
        return a * x[0];
    }
};

struct sum_of_two {
    float a, b;

    __device__ float operator()(const float *x, size_t) const
    {
        return a * x[0] + b * x[1];
    }
};

template <class T>
static void axpby(struct ot_dev *dev, size_t n, float a, const void *x, float b, void *y)
{
    if (b == 0.0f)
        ot_map<T, T, 1>(dev, n, { { (const T *)x } }, (T *)y, multiple{ a });
    else
        ot_map<T, T, 2>(dev, n, { { (const T *)x, (const T *)y } }, (T *)y, sum_of_two{ a, b });
}

extern "C" void ot_cuda_axpby(struct ot_dev *dev, enum ot_type type, size_t n, float a,
                              const float *x, float b, float *y)
{
    OT_BY_TYPE(type, axpby, dev, n, a, x, b, y);
}

/* ---- rows of two strides --------------------------------------------------------------------- */

/* Sizes in vectors of V. */
template <unsigned V, class T, class I>
__global__ static void copy_rows(I n, I cols, const T *x, size_t xld, float beta, T *y, size_t yld)
{
    OT_EACH (i, n) {
        const I r = (I)i / cols, c = (I)i - r * cols;
        T *const to = y + (r * yld + c) * V;
        float v[V], w[V];

        ot_load<V>(x + (r * xld + c) * V, v);
        if (beta != 0.0f) {
            ot_load<V>(to, w);
            OT_UNROLL
            for (unsigned j = 0; j < V; j++)
                v[j] += beta * w[j];
        }
        ot_store<V>(to, v);
    }
}

template <unsigned V, class T>
static void copy_vectors(struct ot_dev *dev, size_t rows, size_t cols, const T *x, size_t xld,
                         float beta, T *y, size_t yld)
{
    const size_t n = rows * (cols / V);

    if (n < UINT32_MAX) /* divides several times faster */
        OT_LAUNCH(dev, (copy_rows<V, T, uint32_t>), ot_grid(n), OT_THREADS, (uint32_t)n,
                  (uint32_t)(cols / V), x, xld / V, beta, y, yld / V);
    else
        OT_LAUNCH(dev, (copy_rows<V, T, uint64_t>), ot_grid(n), OT_THREADS, (uint64_t)n,
                  (uint64_t)(cols / V), x, xld / V, beta, y, yld / V);
}

template <class T>
static void copy2d(struct ot_dev *dev, size_t rows, size_t cols, const void *from, size_t xld,
                   float beta, void *to, size_t yld)
{
    constexpr unsigned V = OT_LANES<T>;
    const T *x = (const T *)from;
    T *y = (T *)to;

    if (!rows || !cols)
        return;
    if (rows == 1)
        xld = yld = cols;
    if (cols % V == 0 && xld % V == 0 && yld % V == 0 && ot_aligned(x) && ot_aligned(y))
        copy_vectors<V>(dev, rows, cols, x, xld, beta, y, yld);
    else
        copy_vectors<1>(dev, rows, cols, x, xld, beta, y, yld);
}

extern "C" void ot_cuda_copy2d(struct ot_dev *dev, enum ot_type type, size_t rows, size_t cols,
                               const float *x, size_t xld, float beta, float *y, size_t yld)
{
    OT_BY_TYPE(type, copy2d, dev, rows, cols, x, xld, beta, y, yld);
}

/* ---- between formats ---------------------------------------------------------------------------
 */

constexpr unsigned SIDE = 64, TILE = SIDE * (SIDE + 1);

struct transposition { /* of n matrices (rows, cols) into (cols, rows) */
    unsigned rows, cols;
    unsigned tile_rows, tile_cols; /* tile_rows * (tile_cols | 1) <= TILE */
    unsigned down, across;         /* tiles of a matrix */
    unsigned tiles;                /* of all */
};

/* Element k of a run of `long_` ones side by side, as place (k / long_, k % long_), for k from
 * threadIdx.x on in steps of the block: no division in the loop. */
struct walk {
    unsigned at, in, step_at, step_in, length;

    __device__ walk(unsigned l)
        : at(threadIdx.x / l), in(threadIdx.x % l), step_at(blockDim.x / l),
          step_in(blockDim.x % l), length(l)
    {
    }

    __device__ void next()
    {
        at += step_at;
        in += step_in;
        if (in >= length) {
            in -= length;
            at++;
        }
    }
};

template <class X, class Y>
__global__ static void transpose(const struct transposition t, const X *x, Y *y)
{
    __shared__ float tile[TILE];
    const unsigned ld = t.tile_cols | 1; /* odd: columns of the tile lie in different banks */

    for (unsigned k = blockIdx.x; k < t.tiles; k += gridDim.x) {
        const unsigned q = k / t.across;
        const unsigned r0 = q % t.down * t.tile_rows, c0 = (k - q * t.across) * t.tile_cols;
        const unsigned rows = t.rows - r0 < t.tile_rows ? t.rows - r0 : t.tile_rows;
        const unsigned cols = t.cols - c0 < t.tile_cols ? t.cols - c0 : t.tile_cols;
        const size_t matrix = (size_t)(q / t.down) * t.rows * t.cols;

        for (walk w(cols); w.at < rows; w.next())
            tile[w.at * ld + w.in] = ot_get(x + matrix + (size_t)(r0 + w.at) * t.cols + c0 + w.in);
        __syncthreads();
        for (walk w(rows); w.at < cols; w.next())
            ot_put(y + matrix + (size_t)(c0 + w.at) * t.rows + r0 + w.in, tile[w.in * ld + w.at]);
        __syncthreads();
    }
}

static unsigned least(size_t a, size_t b)
{
    return (unsigned)(a < b ? a : b);
}

/* The tile: whole rows or columns where those are short. */
static struct transposition plan_tiles(size_t n, size_t rows, size_t cols)
{
    struct transposition t;

    t.rows = (unsigned)rows;
    t.cols = (unsigned)cols;
    t.tile_rows = least(rows, SIDE);
    t.tile_cols = least(cols, SIDE);
    if (t.tile_rows < SIDE)
        t.tile_cols = least(cols, (TILE / t.tile_rows - 1) / OT_WARP * OT_WARP);
    else if (t.tile_cols < SIDE)
        t.tile_rows = least(rows, TILE / (t.tile_cols | 1) / OT_WARP * OT_WARP);
    t.down = (unsigned)((rows + t.tile_rows - 1) / t.tile_rows);
    t.across = (unsigned)((cols + t.tile_cols - 1) / t.tile_cols);
    t.tiles = (unsigned)n * t.down * t.across;
    return t;
}

struct same {
    __device__ float operator()(const float *x, size_t) const
    {
        return x[0];
    }
};

template <class X, class Y>
static void convert(struct ot_dev *dev, const struct ot_tensor *x, const struct ot_tensor *y)
{
    const struct ot_shape *s = &x->shape;
    const size_t n = s->nd > 0 ? (size_t)s->dim[0] : 1, c = (size_t)ot_dim(s, 1);
    const size_t inner = s->nd > 2 ? ot_count_range(s, 2, s->nd) : 1;
    const bool x_last = x->fmt && x->fmt->block > 1, y_last = y->fmt && y->fmt->block > 1;
    const X *from = (const X *)x->data;
    Y *to = (Y *)y->data;
    struct transposition t;

    if (x_last == y_last) {
        ot_map<X, Y, 1>(dev, x->elems, { { from } }, to, same());
        return;
    }
    if (!x->elems)
        return;
    t = x_last ? plan_tiles(n, inner, c) : plan_tiles(n, c, inner);
    OT_LAUNCH(dev, (transpose<X, Y>), least(t.tiles, 1u << 16), OT_THREADS, t, from, to);
}

template <class X>
static void convert_from(struct ot_dev *dev, const struct ot_tensor *x, const struct ot_tensor *y)
{
    if (ot_type_of(y->fmt) == OT_BF16)
        convert<X, struct ot_bf16>(dev, x, y);
    else
        convert<X, float>(dev, x, y);
}

extern "C" void ot_cuda_reorder(struct ot_dev *dev, const struct ot_tensor *x,
                                const struct ot_tensor *y)
{
    if (x->fmt == y->fmt)
        ot_cuda_copy(dev, ot_type_of(x->fmt), x->elems, x->data, y->data);
    else
        OT_BY_TYPE(ot_type_of(x->fmt), convert_from, dev, x, y);
}
