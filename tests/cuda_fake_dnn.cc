// cuda_fake_dnn.cc - the fake cuDNN: handles, descriptors, and what works element by element.
#include "tests/cuda_fake_dnn.hh"

using namespace fake;

namespace fake
{

std::vector<float> gather(const cudnnTensorStruct &t, const void *p)
{
    std::vector<float> v(t.count());

    for (size_t i = 0; i < v.size(); i++)
        v[i] = get(p, t.type, t.at(i));
    return v;
}

void scatter(const cudnnTensorStruct &t, const std::vector<double> &v, float alpha, float beta,
             void *p)
{
    for (size_t i = 0; i < v.size(); i++) {
        double y = static_cast<double>(alpha) * v[i];

        if (beta != 0.0f) // else it may be anything
            y += static_cast<double>(beta) * static_cast<double>(get(p, t.type, t.at(i)));
        set(p, t.type, t.at(i), static_cast<float>(y));
    }
}

bool there(const cudnnTensorStruct &t, const void *p, const char *what)
{
    if (on_device(p, t.extent() * size_of(t.type)))
        return true;
    wrong("%s: a tensor of %zu x %zu x %zu x %zu is not all on the device", what, t.n, t.c, t.h,
          t.w);
    return false;
}

bool number_of(cudnnDataType_t from, number *to)
{
    *to = from == CUDNN_DATA_BFLOAT16 ? number::BF16 : number::F32;
    return from == CUDNN_DATA_BFLOAT16 || from == CUDNN_DATA_FLOAT;
}

} // namespace fake

namespace
{

cudnnStatus_t describe(cudnnTensorStruct *t, cudnnTensorFormat_t format, cudnnDataType_t type,
                       int n, int c, int h, int w)
{
    if (!t || n <= 0 || c <= 0 || h <= 0 || w <= 0)
        return CUDNN_STATUS_BAD_PARAM;
    if (!number_of(type, &t->type) || (format != CUDNN_TENSOR_NCHW && format != CUDNN_TENSOR_NHWC))
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (static_cast<double>(n) * c * h * w > 2147483647.0) // so does cuDNN 9.19, without a device
        return CUDNN_STATUS_NOT_SUPPORTED;
    t->set = true;
    t->last = format == CUDNN_TENSOR_NHWC;
    t->n = static_cast<size_t>(n);
    t->c = static_cast<size_t>(c);
    t->h = static_cast<size_t>(h);
    t->w = static_cast<size_t>(w);
    t->sn = t->c * t->h * t->w;
    t->sc = format == CUDNN_TENSOR_NHWC ? 1 : t->h * t->w;
    t->sw = format == CUDNN_TENSOR_NHWC ? t->c : 1;
    t->sh = t->w * t->sw;
    return CUDNN_STATUS_SUCCESS;
}

template <class D> cudnnStatus_t make(D **d)
{
    *d = new D();
    alive(1);
    return CUDNN_STATUS_SUCCESS;
}

template <class D> cudnnStatus_t destroy(const char *name, D *d)
{
    call here(name);

    if (d)
        alive(-1);
    delete d;
    return static_cast<cudnnStatus_t>(here.injected);
}

} // namespace

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    OT_DNN(cudnnCreate);
    if (may_wait() != cudaSuccess || broken() != cudaSuccess)
        return CUDNN_STATUS_NOT_INITIALIZED;
    return make(handle);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    wait_all();
    return destroy("cudnnDestroy", handle);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    OT_DNN(cudnnSetStream);
    if (!handle || !known(stream))
        return CUDNN_STATUS_BAD_PARAM;
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t s)
{
    switch (s) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
        return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
        return "a status of the fake cuDNN";
    }
}

// ---- descriptors --------------------------------------------------------------------------------

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *d)
{
    OT_DNN(cudnnCreateTensorDescriptor);
    return make(d);
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t d)
{
    return destroy("cudnnDestroyTensorDescriptor", d);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    OT_DNN(cudnnSetTensor4dDescriptor);
    return describe(d, format, type, n, c, h, w);
}

cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n,
                                           int c, int h, int w, int sn, int sc, int sh, int sw)
{
    OT_DNN(cudnnSetTensor4dDescriptorEx);
    cudnnStatus_t s = describe(d, CUDNN_TENSOR_NCHW, type, n, c, h, w);

    if (s != CUDNN_STATUS_SUCCESS || sn <= 0 || sc <= 0 || sh <= 0 || sw <= 0)
        return s != CUDNN_STATUS_SUCCESS ? s : CUDNN_STATUS_BAD_PARAM;
    d->sn = static_cast<size_t>(sn);
    d->sc = static_cast<size_t>(sc);
    d->sh = static_cast<size_t>(sh);
    d->sw = static_cast<size_t>(sw);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *d)
{
    OT_DNN(cudnnCreateFilterDescriptor);
    return make(d);
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t d)
{
    return destroy("cudnnDestroyFilterDescriptor", d);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    OT_DNN(cudnnSetFilter4dDescriptor);
    return describe(d, format, type, k, c, h, w);
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *d)
{
    OT_DNN(cudnnCreateConvolutionDescriptor);
    return make(d);
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t d)
{
    return destroy("cudnnDestroyConvolutionDescriptor", d);
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int ph, int pw,
                                              int sh, int sw, int dh, int dw,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t compute)
{
    OT_DNN(cudnnSetConvolution2dDescriptor);
    if (!d || ph < 0 || pw < 0 || sh <= 0 || sw <= 0 || dh <= 0 || dw <= 0)
        return CUDNN_STATUS_BAD_PARAM;
    if (mode != CUDNN_CROSS_CORRELATION)
        return CUDNN_STATUS_NOT_SUPPORTED;
    *d = { true, ph, pw, sh, sw, dh, dw, 1, CUDNN_DEFAULT_MATH, compute };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups)
{
    OT_DNN(cudnnSetConvolutionGroupCount);
    if (!d || groups <= 0)
        return CUDNN_STATUS_BAD_PARAM;
    d->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t math)
{
    OT_DNN(cudnnSetConvolutionMathType);
    if (!d)
        return CUDNN_STATUS_BAD_PARAM;
    d->math = math;
    return CUDNN_STATUS_SUCCESS;
}

// ---- element by element -------------------------------------------------------------------------

// y = alpha * x + beta * y, where x's dimensions are y's or 1.
cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void *alpha,
                             const cudnnTensorDescriptor_t xd, const void *x, const void *beta,
                             const cudnnTensorDescriptor_t yd, void *y)
{
    OT_DNN_WORKS(cudnnAddTensor, handle);
    const cudnnTensorStruct a = *xd, c = *yd;
    float al, be;

    if (!a.set || !c.set || a.type != c.type || (a.n != 1 && a.n != c.n) ||
        (a.c != 1 && a.c != c.c) || (a.h != 1 && a.h != c.h) || (a.w != 1 && a.w != c.w))
        return CUDNN_STATUS_BAD_PARAM;
    if (!there(a, x, "cudnnAddTensor") || !there(c, y, "cudnnAddTensor"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    memcpy(&al, alpha, sizeof al);
    memcpy(&be, beta, sizeof be);
    return put(handle->stream, "cudnnAddTensor",
               [=] {
                   for (size_t i = 0; i < c.count(); i++) {
                       const size_t n = i / (c.c * c.h * c.w), k = i / (c.h * c.w) % c.c,
                                    h = i / c.w % c.h, w = i % c.w;
                       const float v = get(x, a.type, (a.n > 1) * n * a.sn + (a.c > 1) * k * a.sc +
                                                          (a.h > 1) * h * a.sh +
                                                          (a.w > 1) * w * a.sw);

                       set(y, c.type, c.at(i), al * v + be * get(y, c.type, c.at(i)));
                   }
               }) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

// y = alpha * x + beta * y with other strides or types.
cudnnStatus_t cudnnTransformTensor(cudnnHandle_t handle, const void *alpha,
                                   const cudnnTensorDescriptor_t xd, const void *x,
                                   const void *beta, const cudnnTensorDescriptor_t yd, void *y)
{
    OT_DNN_WORKS(cudnnTransformTensor, handle);
    const cudnnTensorStruct a = *xd, c = *yd;
    float al, be;

    if (!a.set || !c.set || a.n != c.n || a.c != c.c || a.h != c.h || a.w != c.w)
        return CUDNN_STATUS_BAD_PARAM;
    if (a.type != c.type)
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (!there(a, x, "cudnnTransformTensor") || !there(c, y, "cudnnTransformTensor"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    memcpy(&al, alpha, sizeof al);
    memcpy(&be, beta, sizeof be);
    return put(handle->stream, "cudnnTransformTensor",
               [=] {
                   const std::vector<float> v = gather(a, x);

                   scatter(c, std::vector<double>(v.begin(), v.end()), al, be, y);
               }) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

} // extern "C"
