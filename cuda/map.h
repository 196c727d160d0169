/*
 * map.h - one function of every element of some arrays, y[i] = f(x0[i], x1[i], .., i).
 *
 * f is a struct with float operator()(const float *x, size_t i): fp32 whatever the memory holds.
 * Vectors where all addresses allow, what is left over one by one; y may be one of the inputs.
 */
#ifndef OT_CUDA_MAP_H
#define OT_CUDA_MAP_H

#include "cuda/elem.h"

template <class T, int K> struct ot_inputs {
    const T *x[K > 0 ? K : 1];
};

template <unsigned V, class X, class Y, int K, class F>
__device__ __forceinline__ static void ot_map_at(size_t i, const ot_inputs<X, K> &in, Y *y,
                                                 const F &f)
{
    float v[K > 0 ? K : 1][V], out[V];

    OT_UNROLL
    for (int k = 0; k < K; k++)
        ot_load<V>(in.x[k] + i, v[k]);
    OT_UNROLL
    for (unsigned j = 0; j < V; j++) {
        float at[K > 0 ? K : 1];

        OT_UNROLL
        for (int k = 0; k < K; k++)
            at[k] = v[k][j];
        out[j] = f(at, i + j);
    }
    ot_store<V>(y + i, out);
}

template <unsigned V, class X, class Y, int K, class F>
__global__ static void ot_map_kernel(size_t n, const ot_inputs<X, K> in, Y *y, const F f)
{
    const size_t whole = n / V;

    OT_EACH (i, whole)
        ot_map_at<V, X, Y, K>(i * V, in, y, f);
    if constexpr (V > 1)
        OT_EACH (i, n - whole * V)
            ot_map_at<1, X, Y, K>(whole * V + i, in, y, f);
}

template <class X, class Y, int K, class F>
static void ot_map(struct ot_dev *dev, size_t n, const ot_inputs<X, K> &in, Y *y, const F &f)
{
    constexpr unsigned V = sizeof(X) > sizeof(Y) ? OT_LANES<X> : OT_LANES<Y>;
    bool wide = ot_aligned(y);

    for (int k = 0; k < K; k++)
        wide = wide && ot_aligned(in.x[k]);
    if (!n)
        return;
    if (wide)
        OT_LAUNCH(dev, (ot_map_kernel<V, X, Y, K, F>), ot_grid(n / V), OT_THREADS, n, in, y, f);
    else
        OT_LAUNCH(dev, (ot_map_kernel<1, X, Y, K, F>), ot_grid(n), OT_THREADS, n, in, y, f);
}

#endif
