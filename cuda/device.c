/*
 * device.c - opens and closes the CUDA device: which ones will do, their libraries and state; and
 * how failures of the libraries are said.
 */
#include <stdio.h>

#include "base/mem.h"
#include "cuda/device_i.h"

enum { MIN_MAJOR = 7, MIN_MINOR = 5 };

/* cuBLAS recommends as much for Hopper, and less before it; given here it allocates nothing. */
static const size_t hopper_blas_room = (size_t)32 << 20, other_blas_room = (size_t)8 << 20;

/* ---- failures ------------------------------------------------------------------------------ */

bool ot_cuda_bad(struct ot_dev *dev, cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return false;
    (void)cudaGetLastError(); /* told here: the next launch is not to blame */
    ot_dev_fail(dev, e == cudaErrorMemoryAllocation ? OT_ENOMEM : OT_EDEV, "%s: %s: %s", dev->name,
                what, cudaGetErrorString(e));
    return true;
}

bool ot_cudnn_bad(struct ot_dev *dev, cudnnStatus_t s, const char *what)
{
    if (s == CUDNN_STATUS_SUCCESS)
        return false;
    ot_dev_fail(dev, s == CUDNN_STATUS_ALLOC_FAILED ? OT_ENOMEM : OT_EDEV, "%s: %s: %s", dev->name,
                what, cudnnGetErrorString(s));
    return true;
}

bool ot_cublas_bad(struct ot_dev *dev, cublasStatus_t s, const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS)
        return false;
    ot_dev_fail(dev, s == CUBLAS_STATUS_ALLOC_FAILED ? OT_ENOMEM : OT_EDEV, "%s: %s: %s", dev->name,
                what, cublasGetStatusString(s));
    return true;
}

void ot_cuda_launched(struct ot_dev *dev, const char *kernel)
{
    (void)ot_cuda_bad(dev, cudaGetLastError(), kernel);
}

/* ---- what other sources see ------------------------------------------------------------- */

cudaStream_t ot_cuda_stream(struct ot_dev *dev);

cudaStream_t ot_cuda_stream(struct ot_dev *dev)
{
    return ot_cuda_of(dev)->stream;
}

struct ot_plan *ot_cuda_plan(struct ot_dev *dev, size_t size, void (*free)(struct ot_plan *))
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_plan *p = ot_alloc(1, size, &err);

    if (!p) {
        if (dev->latch.code == OT_OK)
            dev->latch = err;
        return NULL;
    }
    p->free = free;
    return p;
}

struct ot_cuda_format **ot_cuda_formats(struct ot_dev *dev)
{
    return ot_cuda_of(dev)->formats;
}

const struct ot_step *ot_cuda_step(struct ot_dev *dev)
{
    return ot_cuda_of(dev)->step;
}

unsigned *ot_cuda_arrived(struct ot_dev *dev)
{
    return ot_cuda_of(dev)->arrived;
}

static void set_step(struct ot_dev *dev, const struct ot_step *step)
{
    ot_cuda_upload(dev, ot_cuda_of(dev)->step, step, sizeof *step);
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void close_device(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    OT_BUG_IF(cuda->recorder.on);
    if (cuda->stream)
        (void)cudaStreamSynchronize(cuda->stream);
    ot_cuda_forget(dev);
    ot_cuda_formats_free(dev);
    ot_cuda_choices_free(dev);
    if (cuda->cudnn)
        (void)cudnnDestroy(cuda->cudnn);
    if (cuda->cublas)
        (void)cublasDestroy(cuda->cublas);
    ot_cuda_transfer_stop(dev);
    (void)cudaFree(cuda->blas_room);
    (void)cudaFree(cuda->step);
    (void)cudaFree(cuda->arrived);
    (void)cudaFree(cuda->room);
    if (cuda->copy)
        (void)cudaStreamDestroy(cuda->copy);
    if (cuda->stream)
        (void)cudaStreamDestroy(cuda->stream);
    ot_free(cuda);
    ot_free(dev);
}

static const struct ot_dev_ops device_ops = {
    .alloc = ot_cuda_alloc,
    .free = ot_cuda_free,
    .upload = ot_cuda_upload,
    .download = ot_cuda_download,
    .sync = ot_cuda_sync,
    .close = close_device,
    .step = set_step,
    .host_alloc = ot_cuda_host_alloc,
    .host_free = ot_cuda_host_free,
    .fetch = ot_cuda_fetch,
    .mark = ot_cuda_mark,
    .wait = ot_cuda_wait,
    .replay = ot_cuda_replay,
    .record = ot_cuda_record,
    .launch = ot_cuda_launch,
    .forget = ot_cuda_forget,
};

/* Whether the machine has device `index`, and it is one the kernels are built for. */
static int look_for(int index, const struct ot_dev_conf *conf, struct cudaDeviceProp *prop,
                    struct ot_err *err)
{
    int count = 0, driver = 0;
    cudaError_t e = cudaGetDeviceCount(&count);

    if (e == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess &&
        driver == 0)
        return ot_fail(err, OT_EDEV, "device \"cuda:%d\": no NVIDIA driver on this machine", index);
    if (e != cudaSuccess)
        return ot_fail(err, OT_EDEV, "device \"cuda:%d\": %s", index, cudaGetErrorString(e));
    if (index >= count)
        return ot_fail(err, OT_EDEV, "device \"cuda:%d\": this machine has %d CUDA device%s", index,
                       count, count == 1 ? "" : "s");
    e = cudaGetDeviceProperties(prop, index);
    if (e == cudaSuccess)
        e = cudaSetDevice(index);
    if (e != cudaSuccess)
        return ot_fail(err, OT_EDEV, "device \"cuda:%d\": %s", index, cudaGetErrorString(e));
    if (prop->major < MIN_MAJOR || (prop->major == MIN_MAJOR && prop->minor < MIN_MINOR))
        return ot_fail(err, OT_ENOTSUP,
                       "device \"cuda:%d\": %s has compute capability %d.%d, wanted %d.%d or more",
                       index, prop->name, prop->major, prop->minor, MIN_MAJOR, MIN_MINOR);
    if (conf->compute == OT_COMPUTE_BF16 && prop->major < 8)
        return ot_fail(err, OT_ENOTSUP,
                       "device \"cuda:%d\": compute BF16 needs compute capability 8.0 or more, %s "
                       "has %d.%d",
                       index, prop->name, prop->major, prop->minor);
    return 0;
}

static bool start_libraries(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const size_t room = cuda->hopper ? hopper_blas_room : other_blas_room;
    /* sums of bf16 are fp32 to their end, also where cuBLAS makes them in parts */
    const cublasMath_t math = (cublasMath_t)(CUBLAS_DEFAULT_MATH |
                                             CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);

    /* cuBLAS forgets the workspace when it is given a stream */
    return !ot_cudnn_bad(dev, cudnnCreate(&cuda->cudnn), "cuDNN") &&
           !ot_cudnn_bad(dev, cudnnSetStream(cuda->cudnn, cuda->stream), "cuDNN") &&
           !ot_cublas_bad(dev, cublasCreate(&cuda->cublas), "cuBLAS") &&
           !ot_cublas_bad(dev, cublasSetStream(cuda->cublas, cuda->stream), "cuBLAS") &&
           !ot_cublas_bad(dev, cublasSetMathMode(cuda->cublas, math), "cuBLAS") &&
           !ot_cuda_bad(dev, cudaMalloc(&cuda->blas_room, room), "cuBLAS's workspace") &&
           !ot_cublas_bad(dev, cublasSetWorkspace(cuda->cublas, cuda->blas_room, room), "cuBLAS");
}

/* Streams, libraries and buffers; failures are latched. */
static bool start(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    return !ot_cuda_bad(dev, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                        "stream") &&
           !ot_cuda_bad(dev, cudaStreamCreateWithFlags(&cuda->copy, cudaStreamNonBlocking),
                        "stream") &&
           !ot_cuda_bad(dev, cudaMalloc((void **)&cuda->step, sizeof *cuda->step), "memory") &&
           !ot_cuda_bad(dev, cudaMemsetAsync(cuda->step, 0, sizeof *cuda->step, cuda->stream),
                        "memory") &&
           !ot_cuda_bad(dev, cudaMalloc((void **)&cuda->arrived, sizeof *cuda->arrived),
                        "memory") &&
           !ot_cuda_bad(dev, cudaMemsetAsync(cuda->arrived, 0, sizeof *cuda->arrived, cuda->stream),
                        "memory") &&
           ot_cuda_transfer_start(dev) && start_libraries(dev);
}

static void describe(struct ot_dev *dev, const struct cudaDeviceProp *prop)
{
    (void)snprintf(dev->what, sizeof dev->what,
                   "%.50s, compute capability %d.%d, %zu MiB, CUDA %d.%d, cuDNN %zu", prop->name,
                   prop->major, prop->minor, prop->totalGlobalMem >> 20, CUDART_VERSION / 1000,
                   CUDART_VERSION % 1000 / 10, cudnnGetVersion());
}

struct ot_dev *ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct cudaDeviceProp prop;
    struct ot_dev *dev;
    struct ot_cuda *cuda;

    if (look_for(index, conf, &prop, err))
        return NULL;
    dev = ot_alloc(1, sizeof *dev, err);
    cuda = dev ? ot_alloc(1, sizeof *cuda, err) : NULL;
    if (!cuda) {
        ot_free(dev);
        return NULL;
    }
    dev->impl = cuda;
    dev->k = &ot_cuda_kernels;
    dev->ops = &device_ops;
    dev->late_faults = true;
    cuda->index = index;
    cuda->hopper = prop.major >= 9;
    cuda->conf = *conf;
    if (!cuda->conf.workspace_bytes)
        cuda->conf.workspace_bytes = (size_t)1 << 30;
    (void)snprintf(dev->name, sizeof dev->name, "cuda:%d", index);
    describe(dev, &prop);
    if (!start(dev)) {
        (void)cudaGetLastError();
        *err = dev->latch;
        close_device(dev);
        return NULL;
    }
    return dev;
}
