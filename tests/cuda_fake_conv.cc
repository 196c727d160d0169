// cuda_fake_conv.cc - the fake cuDNN's convolutions: plain loops behind a set of algorithms of which
// some do not repeat, some want workspace, some too much, and some are not for this shape.
#include <algorithm>

#include "tests/cuda_fake_dnn.hh"

using namespace fake;

namespace
{

struct algorithm {
    int id;
    bool repeats, nhwc, only_3x3, never;
    size_t bytes, bytes_per_image;
};

constexpr size_t too_much = static_cast<size_t>(2) << 30; // more than any test allows

// As a ranking would have them: the fastest first.
const std::vector<algorithm> algorithms[] = {
    { { CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING, true, false, false, false, too_much, 0 },
      { CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED, true, false, true, false, 4096, 512 },
      { CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, true, true, false, false, 256, 64 },
      { CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, true, true, false, false, 0, 0 },
      { CUDNN_CONVOLUTION_FWD_ALGO_DIRECT, true, true, false, true, 0, 0 } },
    { { CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, false, true, false, false, 0, 0 },
      { CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING, true, false, false, false, too_much, 0 },
      { CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED, true, false, true, false, 8192, 256 },
      { CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, true, true, false, false, 512, 128 } },
    { { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, false, true, false, false, 0, 0 },
      { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3, false, false, false, false, 1024, 0 },
      { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING, true, false, false, false, too_much, 0 },
      { CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, true, true, false, false, 256, 96 } },
};

size_t out_dim(size_t in, int pad, size_t kernel, int stride, int dilation)
{
    const long reach = static_cast<long>(in) + 2 * pad -
                       (dilation * (static_cast<long>(kernel) - 1) + 1);

    return reach < 0 ? 0 : static_cast<size_t>(reach / stride) + 1;
}

} // namespace

cudnnStatus_t fake::check(const shape &s)
{
    const size_t groups = static_cast<size_t>(s.op.groups);

    if (!s.x.set || !s.y.set || !s.w.set || !s.op.set || s.x.c != s.w.c * groups ||
        s.w.n % groups || s.y.n != s.x.n || s.y.c != s.w.n ||
        s.y.h != out_dim(s.x.h, s.op.ph, s.w.h, s.op.sh, s.op.dh) ||
        s.y.w != out_dim(s.x.w, s.op.pw, s.w.w, s.op.sw, s.op.dw) || s.x.type != s.w.type)
        return CUDNN_STATUS_BAD_PARAM;
    if (s.y.type != s.x.type || s.op.compute != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    if (s.w.last && !(s.x.nhwc() && s.y.nhwc()))
        return CUDNN_STATUS_NOT_SUPPORTED_LAYOUT;
    return CUDNN_STATUS_SUCCESS;
}

namespace
{

// Of the arithmetic that the descriptor says: the strict one wants a little more.
size_t workspace(const algorithm &a, const shape &s)
{
    const size_t bytes = a.bytes + a.bytes_per_image * s.x.n;

    return bytes && s.op.math == CUDNN_FMA_MATH ? bytes + 1024 : bytes;
}

bool can(const algorithm &a, const shape &s)
{
    return !a.never && (a.nhwc || !s.w.last) &&
           (a.nhwc || s.x.type == number::F32) &&
           (!a.only_3x3 || (s.w.h == 3 && s.w.w == 3 && s.op.sh == 1 && s.op.sw == 1 &&
                            s.op.dh == 1 && s.op.dw == 1 && s.op.groups == 1));
}

// Every algorithm, once per kind of arithmetic it may use; what cannot be comes last.  An entry is of
// the arithmetic that it names, which may be another than was asked for: who takes it so must tell
// the descriptor, who does not must ask for the workspace again.
template <class P>
cudnnStatus_t rank(enum direction d, const shape &s, size_t room, int most, int *n, P *perf)
{
    std::vector<P> all;
    cudnnStatus_t bad = check(s);
    float ms = 0.0f;

    if (bad != CUDNN_STATUS_SUCCESS || most < 1 || !n || !perf)
        return bad != CUDNN_STATUS_SUCCESS ? bad : CUDNN_STATUS_BAD_PARAM;
    for (const algorithm &a : algorithms[d])
        for (int tensor = s.op.math != CUDNN_FMA_MATH; tensor >= 0; tensor--) {
            shape said = s;
            P p = {};

            said.op.math = p.mathType = tensor ? CUDNN_TENSOR_OP_MATH : CUDNN_DEFAULT_MATH;
            p.algo = static_cast<decltype(p.algo)>(a.id);
            p.status = can(a, s) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
            p.memory = can(a, s) ? workspace(a, said) : 0;
            if (p.memory > room)
                p.status = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
            p.time = p.status == CUDNN_STATUS_SUCCESS ? ms += 0.25f : -1.0f;
            p.determinism = a.repeats ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
            all.push_back(p);
        }
    std::stable_partition(all.begin(), all.end(),
                          [](const P &p) { return p.status == CUDNN_STATUS_SUCCESS; });
    *n = std::min(most, static_cast<int>(all.size()));
    std::copy(all.begin(), all.begin() + *n, perf);
    return CUDNN_STATUS_SUCCESS;
}

// Calls f(x index, w index, y index) of packed NCHW arrays for every product.
template <class F> void each_product(const shape &s, F f)
{
    const long groups = s.op.groups, cg = static_cast<long>(s.w.c),
               og = static_cast<long>(s.w.n) / groups, kh = static_cast<long>(s.w.h),
               kw = static_cast<long>(s.w.w), ih = static_cast<long>(s.x.h),
               iw = static_cast<long>(s.x.w), oh = static_cast<long>(s.y.h),
               ow = static_cast<long>(s.y.w), oc = og * groups, ic = cg * groups;

    for (long n = 0; n < static_cast<long>(s.x.n); n++)
        for (long o = 0; o < oc; o++)
            for (long r = 0; r < cg * kh * kw; r++) {
                const long c = o / og * cg + r / (kh * kw), k = r / kw % kh, l = r % kw;

                for (long i = 0; i < oh; i++) {
                    const long h = i * s.op.sh - s.op.ph + k * s.op.dh;

                    for (long j = 0; h >= 0 && h < ih && j < ow; j++) {
                        const long w = j * s.op.sw - s.op.pw + l * s.op.dw;

                        if (w >= 0 && w < iw)
                            f(static_cast<size_t>(((n * ic + c) * ih + h) * iw + w),
                              static_cast<size_t>(o * cg * kh * kw + r),
                              static_cast<size_t>(((n * oc + o) * oh + i) * ow + j));
                    }
                }
            }
}

std::vector<float> operand(const shape &s, const cudnnTensorStruct &t, const void *p)
{
    std::vector<float> v = gather(t, p);

    if (t.type == number::F32 && s.op.math != CUDNN_FMA_MATH) // all others may use TF32
        std::transform(v.begin(), v.end(), v.begin(), as_tf32);
    return v;
}

} // namespace

std::vector<double> fake::products(const shape &s, direction d, const void *a, const void *b)
{
    const std::vector<float> p = operand(s, d == DATA ? s.w : s.x, a),
                             q = operand(s, d == FORWARD ? s.w : s.y, b);
    std::vector<double> v((d == FORWARD ? s.y : d == DATA ? s.x : s.w).count());

    each_product(s, [&](size_t x, size_t w, size_t y) {
        const size_t i = d == DATA ? w : x, j = d == FORWARD ? w : y,
                     k = d == FORWARD ? y
                         : d == DATA  ? x
                                      : w;

        v[k] += static_cast<double>(p[i]) * static_cast<double>(q[j]);
    });
    return v;
}

namespace
{

// What does not repeat differs a little each time.
void shake(std::vector<double> &v)
{
    static unsigned times;

    times++;
    for (size_t i = 0; i < v.size(); i++)
        v[i] *= 1.0 + 1e-3 * static_cast<double>((i + times) % 7);
}

struct arguments {
    enum direction d;
    int algo;
    const void *a, *b; // what is multiplied, in the order of x, w, y
    void *to, *workspace;
    size_t bytes;
    float alpha, beta;
};

void convolve(const shape &s, const arguments &g, const algorithm &a)
{
    const cudnnTensorStruct &to = g.d == FORWARD ? s.y
                                  : g.d == DATA  ? s.x
                                                 : static_cast<const cudnnTensorStruct &>(s.w);
    std::vector<double> v = products(s, g.d, g.a, g.b);

    scribble(g.workspace, workspace(a, s));
    if (!a.repeats)
        shake(v);
    scatter(to, v, g.alpha, g.beta, g.to);
}

cudnnStatus_t put_conv(cudnnHandle_t handle, const shape &s, arguments g, const void *alpha,
                       const void *beta)
{
    static const char *const names[] = { "cudnnConvolutionForward", "cudnnConvolutionBackwardData",
                                         "cudnnConvolutionBackwardFilter" };
    const cudnnTensorStruct &ta = g.d == DATA ? s.w : s.x, &tb = g.d == FORWARD ? s.w : s.y;
    const cudnnTensorStruct &to = g.d == FORWARD ? s.y : g.d == DATA ? s.x : s.w;
    cudnnStatus_t bad = check(s);

    if (bad != CUDNN_STATUS_SUCCESS)
        return bad;
    if (in_arena(alpha) || in_arena(beta)) {
        wrong("%s: alpha and beta are looked for on the host", names[g.d]);
        return CUDNN_STATUS_BAD_PARAM;
    }
    memcpy(&g.alpha, alpha, sizeof g.alpha);
    memcpy(&g.beta, beta, sizeof g.beta);
    if (!there(ta, g.a, names[g.d]) || !there(tb, g.b, names[g.d]) || !there(to, g.to, names[g.d]))
        return CUDNN_STATUS_EXECUTION_FAILED;
    for (const algorithm &a : algorithms[g.d]) {
        const size_t need = workspace(a, s);

        if (a.id != g.algo)
            continue;
        if (!can(a, s))
            return CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
        if (g.bytes < need || (need && !on_device(g.workspace, g.bytes))) {
            wrong("%s: needs %zu bytes of workspace, got %zu%s", names[g.d], need, g.bytes,
                  g.bytes < need ? "" : " that are not all on the device");
            return CUDNN_STATUS_BAD_PARAM;
        }
        loads(handle->stream, names[g.d],
              names[g.d] + std::to_string(a.id) + (s.w.last ? "last" : "plain") +
                  (s.x.type == number::BF16 ? "bf16" : "fp32") + std::to_string(s.op.math));
        return put(
                   handle->stream, names[g.d], [=, &a] { convolve(s, g, a); }, conv_cost) ==
                       cudaSuccess
                   ? CUDNN_STATUS_SUCCESS
                   : CUDNN_STATUS_EXECUTION_FAILED;
    }
    return CUDNN_STATUS_BAD_PARAM;
}

// Trying algorithms out writes the result, and waits.
template <class P>
cudnnStatus_t find(cudnnHandle_t handle, enum direction d, const shape &s, const void *a,
                   const void *b, void *to, void *workspace, size_t room, int most, int *n, P *perf)
{
    const cudnnTensorStruct &ta = d == DATA ? s.w : s.x, &tb = d == FORWARD ? s.w : s.y;
    const cudnnTensorStruct &tt = d == FORWARD ? s.y : d == DATA ? s.x : s.w;
    cudnnStatus_t bad = check(s);

    if (bad != CUDNN_STATUS_SUCCESS)
        return bad;
    if (may_wait() != cudaSuccess || !there(ta, a, "cudnnFind") || !there(tb, b, "cudnnFind") ||
        !there(tt, to, "cudnnFind") || (room && !on_device(workspace, room)))
        return CUDNN_STATUS_BAD_PARAM;
    if (put(handle->stream, "cudnnFind",
            [=] {
                scribble(workspace, room);
                for (size_t i = 0; i < tt.count(); i++)
                    set(to, tt.type, tt.at(i), 12345.0f);
            }) != cudaSuccess ||
        cudaStreamSynchronize(handle->stream) != cudaSuccess)
        return CUDNN_STATUS_EXECUTION_FAILED;
    return rank(d, s, room, most, n, perf);
}

template <class A>
cudnnStatus_t size_for(enum direction d, const shape &s, A algo, size_t *bytes)
{
    cudnnStatus_t bad = check(s);

    for (const algorithm &a : algorithms[d])
        if (bad == CUDNN_STATUS_SUCCESS && a.id == static_cast<int>(algo)) {
            *bytes = workspace(a, s);
            return can(a, s) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED_SHAPE;
        }
    return bad != CUDNN_STATUS_SUCCESS ? bad : CUDNN_STATUS_BAD_PARAM;
}

shape shape_of(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
               cudnnConvolutionDescriptor_t op, cudnnTensorDescriptor_t y)
{
    return x && y && w && op ? shape{ *x, *y, *w, *op } : shape{};
}

} // namespace

extern "C" {

// ---- choosing -----------------------------------------------------------------------------------

cudnnStatus_t cudnnGetConvolutionForwardAlgorithmMaxCount(cudnnHandle_t, int *n)
{
    OT_DNN(cudnnGetConvolutionForwardAlgorithmMaxCount);
    *n = 2 * CUDNN_CONVOLUTION_FWD_ALGO_COUNT;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithmMaxCount(cudnnHandle_t, int *n)
{
    OT_DNN(cudnnGetConvolutionBackwardDataAlgorithmMaxCount);
    *n = 2 * CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(cudnnHandle_t, int *n)
{
    OT_DNN(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount);
    *n = 2 * CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnFilterDescriptor_t w,
    const cudnnConvolutionDescriptor_t op, const cudnnTensorDescriptor_t y, const int most, int *n,
    cudnnConvolutionFwdAlgoPerf_t *perf)
{
    OT_DNN_WORKS(cudnnGetConvolutionForwardAlgorithm_v7, handle);
    return rank(FORWARD, shape_of(x, w, op, y), SIZE_MAX, most, n, perf);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t y,
    const cudnnConvolutionDescriptor_t op, const cudnnTensorDescriptor_t x, const int most, int *n,
    cudnnConvolutionBwdDataAlgoPerf_t *perf)
{
    OT_DNN_WORKS(cudnnGetConvolutionBackwardDataAlgorithm_v7, handle);
    return rank(DATA, shape_of(x, w, op, y), SIZE_MAX, most, n, perf);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t y,
    const cudnnConvolutionDescriptor_t op, const cudnnFilterDescriptor_t w, const int most, int *n,
    cudnnConvolutionBwdFilterAlgoPerf_t *perf)
{
    OT_DNN_WORKS(cudnnGetConvolutionBackwardFilterAlgorithm_v7, handle);
    return rank(FILTER, shape_of(x, w, op, y), SIZE_MAX, most, n, perf);
}

cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xd, const void *x,
    const cudnnFilterDescriptor_t wd, const void *w, const cudnnConvolutionDescriptor_t op,
    const cudnnTensorDescriptor_t yd, void *y, const int most, int *n,
    cudnnConvolutionFwdAlgoPerf_t *perf, void *room, size_t bytes)
{
    OT_DNN_WORKS(cudnnFindConvolutionForwardAlgorithmEx, handle);
    return find(handle, FORWARD, shape_of(xd, wd, op, yd), x, w, y, room, bytes, most, n, perf);
}

cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t wd, const void *w,
    const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t op,
    const cudnnTensorDescriptor_t xd, void *dx, const int most, int *n,
    cudnnConvolutionBwdDataAlgoPerf_t *perf, void *room, size_t bytes)
{
    OT_DNN_WORKS(cudnnFindConvolutionBackwardDataAlgorithmEx, handle);
    return find(handle, DATA, shape_of(xd, wd, op, yd), w, dy, dx, room, bytes, most, n, perf);
}

cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xd, const void *x,
    const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t op,
    const cudnnFilterDescriptor_t wd, void *dw, const int most, int *n,
    cudnnConvolutionBwdFilterAlgoPerf_t *perf, void *room, size_t bytes)
{
    OT_DNN_WORKS(cudnnFindConvolutionBackwardFilterAlgorithmEx, handle);
    return find(handle, FILTER, shape_of(xd, wd, op, yd), x, dy, dw, room, bytes, most, n, perf);
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle,
                                                      const cudnnTensorDescriptor_t x,
                                                      const cudnnFilterDescriptor_t w,
                                                      const cudnnConvolutionDescriptor_t op,
                                                      const cudnnTensorDescriptor_t y,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t *bytes)
{
    OT_DNN_WORKS(cudnnGetConvolutionForwardWorkspaceSize, handle);
    return size_for(FORWARD, shape_of(x, w, op, y), algo, bytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t w, const cudnnTensorDescriptor_t y,
    const cudnnConvolutionDescriptor_t op, const cudnnTensorDescriptor_t x,
    cudnnConvolutionBwdDataAlgo_t algo, size_t *bytes)
{
    OT_DNN_WORKS(cudnnGetConvolutionBackwardDataWorkspaceSize, handle);
    return size_for(DATA, shape_of(x, w, op, y), algo, bytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t x, const cudnnTensorDescriptor_t y,
    const cudnnConvolutionDescriptor_t op, const cudnnFilterDescriptor_t w,
    cudnnConvolutionBwdFilterAlgo_t algo, size_t *bytes)
{
    OT_DNN_WORKS(cudnnGetConvolutionBackwardFilterWorkspaceSize, handle);
    return size_for(FILTER, shape_of(x, w, op, y), algo, bytes);
}

// ---- convolving ---------------------------------------------------------------------------------

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha,
                                      const cudnnTensorDescriptor_t xd, const void *x,
                                      const cudnnFilterDescriptor_t wd, const void *w,
                                      const cudnnConvolutionDescriptor_t op,
                                      cudnnConvolutionFwdAlgo_t algo, void *room, size_t bytes,
                                      const void *beta, const cudnnTensorDescriptor_t yd, void *y)
{
    OT_DNN_WORKS(cudnnConvolutionForward, handle);
    return put_conv(handle, shape_of(xd, wd, op, yd),
                    { FORWARD, algo, x, w, y, room, bytes, 0.0f, 0.0f }, alpha, beta);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                           const cudnnFilterDescriptor_t wd, const void *w,
                                           const cudnnTensorDescriptor_t yd, const void *dy,
                                           const cudnnConvolutionDescriptor_t op,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *room,
                                           size_t bytes, const void *beta,
                                           const cudnnTensorDescriptor_t xd, void *dx)
{
    OT_DNN_WORKS(cudnnConvolutionBackwardData, handle);
    return put_conv(handle, shape_of(xd, wd, op, yd),
                    { DATA, algo, w, dy, dx, room, bytes, 0.0f, 0.0f }, alpha, beta);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                             const cudnnTensorDescriptor_t xd, const void *x,
                                             const cudnnTensorDescriptor_t yd, const void *dy,
                                             const cudnnConvolutionDescriptor_t op,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *room,
                                             size_t bytes, const void *beta,
                                             const cudnnFilterDescriptor_t wd, void *dw)
{
    OT_DNN_WORKS(cudnnConvolutionBackwardFilter, handle);
    return put_conv(handle, shape_of(xd, wd, op, yd),
                    { FILTER, algo, x, dy, dw, room, bytes, 0.0f, 0.0f }, alpha, beta);
}

cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t handle, const void *alpha,
                                           const cudnnTensorDescriptor_t yd, const void *dy,
                                           const void *beta, const cudnnTensorDescriptor_t bd,
                                           void *db)
{
    OT_DNN_WORKS(cudnnConvolutionBackwardBias, handle);
    const cudnnTensorStruct y = *yd, b = *bd;
    float al, be;

    if (!y.set || !b.set || b.c != y.c || b.n != 1 || b.h != 1 || b.w != 1 || b.type != y.type)
        return CUDNN_STATUS_BAD_PARAM;
    if (!there(y, dy, "cudnnConvolutionBackwardBias") ||
        !there(b, db, "cudnnConvolutionBackwardBias"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    memcpy(&al, alpha, sizeof al);
    memcpy(&be, beta, sizeof be);
    return put(handle->stream, "cudnnConvolutionBackwardBias",
               [=] {
                   const std::vector<float> v = gather(y, dy);
                   std::vector<double> sum(y.c);

                   for (size_t i = 0; i < v.size(); i++)
                       sum[i / (y.h * y.w) % y.c] += static_cast<double>(v[i]);
                   scatter(b, sum, al, be, db);
               }) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

} // extern "C"
