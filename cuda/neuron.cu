/*
 * neuron.cu - kernels of one element: ReLU, dropout, Eltwise.
 */
#include "cuda/map.h"
#include "layers/channel_math.h"
#include "layers/neuron_math.h"

struct relu {
    float slope;

    __device__ float operator()(const float *x, size_t) const
    {
        return ot_relu(x[0], slope);
    }
};

template <class T>
static void relu_fwd(struct ot_dev *dev, size_t n, float slope, const void *x, void *y)
{
    ot_map<T, T, 1>(dev, n, { { (const T *)x } }, (T *)y, relu{ slope });
}

extern "C" void ot_cuda_relu_fwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope,
                                 const float *x, float *y)
{
    OT_BY_TYPE(type, relu_fwd, dev, n, slope, x, y);
}

struct relu_grad {
    float slope;

    __device__ float operator()(const float *x, size_t) const
    {
        return ot_relu_grad(x[0], x[1], slope);
    }
};

template <class T>
static void relu_bwd(struct ot_dev *dev, size_t n, float slope, const void *y, const void *dy,
                     void *dx)
{
    ot_map<T, T, 2>(dev, n, { { (const T *)y, (const T *)dy } }, (T *)dx, relu_grad{ slope });
}

extern "C" void ot_cuda_relu_bwd(struct ot_dev *dev, enum ot_type type, size_t n, float slope,
                                 const float *y, const float *dy, float *dx)
{
    OT_BY_TYPE(type, relu_bwd, dev, n, slope, y, dy, dx);
}

struct drop {
    struct ot_channels g;
    float ratio, scale;
    uint64_t seed, stream;
    const struct ot_step *step;

    __device__ float operator()(const float *x, size_t i) const
    {
        return ot_dropout(x[0], ratio, scale, seed, step->iter, stream, ot_channel_logical(&g, i));
    }
};

template <class T>
static void dropout(struct ot_dev *dev, size_t n, const struct drop &d, const void *x, void *y)
{
    ot_map<T, T, 1>(dev, n, { { (const T *)x } }, (T *)y, d);
}

extern "C" void ot_cuda_dropout(struct ot_dev *dev, const struct ot_channels *g, float ratio,
                                float scale, uint64_t seed, uint64_t stream, const float *x,
                                float *y)
{
    const struct drop d = { *g, ratio, scale, seed, stream, ot_cuda_step(dev) };

    OT_BY_TYPE(g->type, dropout, dev, ot_channel_elems(g), d, x, y);
}

/* ---- of several inputs ----------------------------------------------------------------------- */

constexpr int INPUTS = 64;

struct inputs { /* a kernel's argument: no table of pointers in device memory */
    const void *x[INPUTS];
    float coeff[INPUTS];
    int k;
    bool relu; /* of a sum */
};

/* Whether vectors may be used. */
static bool gather(struct ot_dev *dev, int k, const float *const *x, struct inputs *in)
{
    bool wide = true;

    in->k = 0;
    in->relu = false;
    if (k > INPUTS) {
        ot_dev_fail(dev, OT_ENOTSUP, "eltwise: at most %d inputs, got %d", INPUTS, k);
        return false;
    }
    for (int i = 0; i < k; i++) {
        in->x[i] = x[i];
        in->coeff[i] = 1.0f;
        wide = wide && ot_aligned(x[i]);
    }
    in->k = k;
    return wide;
}

struct product {
    __device__ static float first(const struct inputs &, float v)
    {
        return v;
    }

    __device__ static float next(const struct inputs &, int, float sum, float v)
    {
        return sum * v;
    }

    __device__ static float last(const struct inputs &, float v)
    {
        return v;
    }
};

struct weighted_sum {
    __device__ static float first(const struct inputs &in, float v)
    {
        return in.coeff[0] * v;
    }

    __device__ static float next(const struct inputs &in, int j, float sum, float v)
    {
        return in.coeff[j] * v + sum;
    }

    __device__ static float last(const struct inputs &in, float v)
    {
        return in.relu ? ot_relu(v, 0.0f) : v;
    }
};

template <unsigned V, class T, class Op>
__device__ static void combine_at(const struct inputs &in, size_t i, T *y)
{
    float v[V], w[V];

    ot_load<V>((const T *)in.x[0] + i, v);
    OT_UNROLL
    for (unsigned e = 0; e < V; e++)
        v[e] = Op::first(in, v[e]);
    for (int j = 1; j < in.k; j++) {
        ot_load<V>((const T *)in.x[j] + i, w);
        OT_UNROLL
        for (unsigned e = 0; e < V; e++)
            v[e] = Op::next(in, j, v[e], w[e]);
    }
    OT_UNROLL
    for (unsigned e = 0; e < V; e++)
        v[e] = Op::last(in, v[e]);
    ot_store<V>(y + i, v);
}

template <unsigned V, class T, class Op>
__global__ static void combine(size_t n, const __grid_constant__ struct inputs in, T *y)
{
    const size_t whole = n / V;

    OT_EACH (i, whole)
        combine_at<V, T, Op>(in, i * V, y);
    if constexpr (V > 1)
        OT_EACH (i, n - whole * V)
            combine_at<1, T, Op>(in, whole * V + i, y);
}

template <class T, class Op>
static void combined(struct ot_dev *dev, size_t n, const struct inputs &in, bool wide, void *y)
{
    constexpr unsigned V = OT_LANES<T>;

    if (!n || !in.k)
        return;
    if (wide && ot_aligned(y))
        OT_LAUNCH(dev, (combine<V, T, Op>), ot_grid(n / V), OT_THREADS, n, in, (T *)y);
    else
        OT_LAUNCH(dev, (combine<1, T, Op>), ot_grid(n), OT_THREADS, n, in, (T *)y);
}

extern "C" void ot_cuda_eltwise_prod_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                                         const float *const *x, float *y)
{
    struct inputs in;
    const bool wide = gather(dev, k, x, &in);

    if (type == OT_BF16)
        combined<struct ot_bf16, struct product>(dev, n, in, wide, y);
    else
        combined<float, struct product>(dev, n, in, wide, y);
}

extern "C" void ot_cuda_eltwise_sum(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                                    const float *const *x, const float *host_coeff, bool relu,
                                    float *y)
{
    struct inputs in;
    const bool wide = gather(dev, k, x, &in);

    for (int i = 0; host_coeff && i < in.k; i++)
        in.coeff[i] = host_coeff[i];
    in.relu = relu;
    if (type == OT_BF16)
        combined<struct ot_bf16, struct weighted_sum>(dev, n, in, wide, y);
    else
        combined<float, struct weighted_sum>(dev, n, in, wide, y);
}

/* What comes down: y NULL without a ReLU, dy2 for one reader. */
template <class T> struct from_above {
    const T *y, *dy, *dy2;
};

struct outputs {
    void *x[INPUTS];
    float coeff[INPUTS];
    int k;
};

template <unsigned V, class T>
__device__ static void hand_down_at(const struct outputs &out, size_t i, const from_above<T> &a)
{
    float d[V], v[V];

    ot_load<V>(a.dy + i, d);
    if (a.dy2) {
        ot_load<V>(a.dy2 + i, v);
        OT_UNROLL
        for (unsigned e = 0; e < V; e++)
            d[e] += v[e];
    }
    if (a.y) {
        ot_load<V>(a.y + i, v);
        OT_UNROLL
        for (unsigned e = 0; e < V; e++)
            d[e] = ot_relu_pass(v[e], d[e]);
    }
    for (int j = 0; j < out.k; j++) {
        OT_UNROLL
        for (unsigned e = 0; e < V; e++)
            v[e] = out.coeff[j] * d[e];
        ot_store<V>((T *)out.x[j] + i, v);
    }
}

template <unsigned V, class T>
__global__ static void hand_down(size_t n, const __grid_constant__ struct outputs out,
                                 const from_above<T> a)
{
    const size_t whole = n / V;

    OT_EACH (i, whole)
        hand_down_at<V>(out, i * V, a);
    if constexpr (V > 1)
        OT_EACH (i, n - whole * V)
            hand_down_at<1>(out, whole * V + i, a);
}

template <class T>
static void handed_down(struct ot_dev *dev, size_t n, const struct outputs &out, bool wide,
                        const void *y, const void *dy, const void *dy2)
{
    constexpr unsigned V = OT_LANES<T>;
    const from_above<T> a = { (const T *)y, (const T *)dy, (const T *)dy2 };

    if (!n || !out.k)
        return;
    if (wide)
        OT_LAUNCH(dev, (hand_down<V, T>), ot_grid(n / V), OT_THREADS, n, out, a);
    else
        OT_LAUNCH(dev, (hand_down<1, T>), ot_grid(n), OT_THREADS, n, out, a);
}

extern "C" void ot_cuda_eltwise_sum_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                                        const float *host_coeff, bool relu, const float *y,
                                        const float *dy, const float *dy2, float *const *dx)
{
    struct outputs out;
    bool wide = ot_aligned(dy) && ot_aligned(dy2) && (!relu || ot_aligned(y));

    out.k = 0;
    for (int i = 0; i < k; i++) {
        if (!dx[i])
            continue;
        if (out.k == INPUTS) {
            ot_dev_fail(dev, OT_ENOTSUP, "eltwise: at most %d inputs, got %d", INPUTS, k);
            return;
        }
        out.x[out.k] = dx[i];
        out.coeff[out.k++] = host_coeff ? host_coeff[i] : 1.0f;
        wide = wide && ot_aligned(dx[i]);
    }
    OT_BY_TYPE(type, handed_down, dev, n, out, wide, relu ? y : nullptr, dy, dy2);
}

template <class T>
__global__ static void prod_bwd(size_t n, const __grid_constant__ struct inputs in, int i,
                                bool stable, const T *y, const T *dy, T *dx)
{
    OT_EACH (e, n) {
        float v = 1.0f;

        if (stable) {
            for (int j = 0; j < in.k; j++)
                v *= j == i ? 1.0f : ot_get((const T *)in.x[j] + e);
        } else {
            v = ot_get(y + e) / ot_get((const T *)in.x[i] + e);
        }
        ot_put(dx + e, v * ot_get(dy + e));
    }
}

template <class T>
static void prod_grad(struct ot_dev *dev, size_t n, const struct inputs &in, int i, bool stable,
                      const void *y, const void *dy, void *dx)
{
    if (n && in.k)
        OT_LAUNCH(dev, prod_bwd<T>, ot_grid(n), OT_THREADS, n, in, i, stable, (const T *)y,
                  (const T *)dy, (T *)dx);
}

extern "C" void ot_cuda_eltwise_prod_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                                         const float *const *x, int i, bool stable, const float *y,
                                         const float *dy, float *dx)
{
    struct inputs in;

    (void)gather(dev, k, x, &in);
    OT_BY_TYPE(type, prod_grad, dev, n, in, i, stable, y, dy, dx);
}

template <class T>
__global__ static void max_fwd(size_t n, const __grid_constant__ struct inputs in, int32_t *mask,
                               T *y)
{
    OT_EACH (i, n) {
        float best = ot_get((const T *)in.x[0] + i);
        int32_t at = 0;

        for (int j = 1; j < in.k; j++) {
            const float v = ot_get((const T *)in.x[j] + i);

            if (v > best || (j == 1 && !(best > v))) {
                best = v;
                at = j;
            }
        }
        ot_put(y + i, best);
        mask[i] = at;
    }
}

template <class T>
static void maximum(struct ot_dev *dev, size_t n, const struct inputs &in, int32_t *mask, void *y)
{
    if (n && in.k)
        OT_LAUNCH(dev, max_fwd<T>, ot_grid(n), OT_THREADS, n, in, mask, (T *)y);
}

extern "C" void ot_cuda_eltwise_max_fwd(struct ot_dev *dev, enum ot_type type, size_t n, int k,
                                        const float *const *x, int32_t *mask, float *y)
{
    struct inputs in;

    (void)gather(dev, k, x, &in);
    OT_BY_TYPE(type, maximum, dev, n, in, mask, y);
}

struct of_winner {
    const int32_t *mask;
    int32_t winner;

    __device__ float operator()(const float *dy, size_t i) const
    {
        return mask[i] == winner ? dy[0] : 0.0f;
    }
};

template <class T>
static void max_bwd(struct ot_dev *dev, size_t n, int i, const int32_t *mask, const void *dy,
                    void *dx)
{
    ot_map<T, T, 1>(dev, n, { { (const T *)dy } }, (T *)dx, of_winner{ mask, i });
}

extern "C" void ot_cuda_eltwise_max_bwd(struct ot_dev *dev, enum ot_type type, size_t n, int i,
                                        const int32_t *mask, const float *dy, float *dx)
{
    OT_BY_TYPE(type, max_bwd, dev, n, i, mask, dy, dx);
}
