/*
 * device.c - the CUDA device: memory, transfers, its one stream, and what went wrong.
 *
 * Uploads are copied to pinned memory at once and sent from there, so that the caller's array is
 * free again and the host does not wait; downloads wait.  A kernel that finds bad data notes it in
 * device memory; whoever waits for the device next (download, sync) brings that to the latch.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

enum { STAGE_BYTES = 4 << 20, MIN_MAJOR = 7, MIN_MINOR = 5 };

/* ---- failures ------------------------------------------------------------------------------ */

bool ot_cuda_bad(struct ot_dev *dev, cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return false;
    ot_dev_fail(dev, e == cudaErrorMemoryAllocation ? OT_ENOMEM : OT_EDEV, "%s: %s: %s", dev->name,
                what, cudaGetErrorString(e));
    return true;
}

bool ot_cudnn_bad(struct ot_dev *dev, cudnnStatus_t s, const char *what)
{
    if (s == CUDNN_STATUS_SUCCESS)
        return false;
    ot_dev_fail(dev, OT_EDEV, "%s: %s: %s", dev->name, what, cudnnGetErrorString(s));
    return true;
}

bool ot_cublas_bad(struct ot_dev *dev, cublasStatus_t s, const char *what)
{
    if (s == CUBLAS_STATUS_SUCCESS)
        return false;
    ot_dev_fail(dev, OT_EDEV, "%s: %s: %s", dev->name, what, cublasGetStatusString(s));
    return true;
}

void ot_cuda_launched(struct ot_dev *dev, const char *kernel)
{
    (void)ot_cuda_bad(dev, cudaGetLastError(), kernel);
}

unsigned long long *ot_cuda_fault(struct ot_dev *dev, enum ot_cuda_fault what, double limit)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    cuda->limit[what] = limit;
    return cuda->fault + what;
}

/* Waits for everything queued, then looks at what kernels noted. */
static void settle(struct ot_dev *dev, const char *what)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const size_t bytes = OT_FAULTS * sizeof *cuda->fault;

    if (ot_cuda_bad(dev,
                    cudaMemcpyAsync(cuda->host_fault, cuda->fault, bytes, cudaMemcpyDeviceToHost,
                                    cuda->stream),
                    what) ||
        ot_cuda_bad(dev, cudaStreamSynchronize(cuda->stream), what))
        return;
    for (int i = 0; i < OT_FAULTS; i++)
        if (cuda->host_fault[i] != ~0ull) {
            ot_cuda_report(dev, (enum ot_cuda_fault)i, cuda->host_fault[i], cuda->limit[i]);
            (void)ot_cuda_bad(dev, cudaMemsetAsync(cuda->fault, 0xff, bytes, cuda->stream), what);
        }
}

/* ---- memory -------------------------------------------------------------------------------- */

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

void *ot_cuda_room(struct ot_dev *dev, size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    void *p = NULL;

    if (bytes <= cuda->room_bytes)
        return cuda->room;
    bytes += bytes / 2;
    if (ot_cuda_bad(dev, cudaStreamSynchronize(cuda->stream), "scratch of a kernel") ||
        ot_cuda_bad(dev, cudaMalloc(&p, bytes), "scratch of a kernel"))
        return NULL;
    (void)cudaFree(cuda->room);
    cuda->room = p;
    cuda->room_bytes = bytes;
    return p;
}

void ot_cuda_zero(struct ot_dev *dev, void *p, size_t bytes)
{
    if (bytes && dev->latch.code == OT_OK)
        (void)ot_cuda_bad(dev, cudaMemsetAsync(p, 0, bytes, ot_cuda_of(dev)->stream), "zero");
}

void ot_cuda_move(struct ot_dev *dev, void *dst, const void *src, size_t bytes)
{
    if (bytes && dev->latch.code == OT_OK)
        (void)ot_cuda_bad(
            dev,
            cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, ot_cuda_of(dev)->stream),
            "copy");
}

static void *device_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    size_t want = bytes ? bytes : 1, room = 0, total = 0;
    void *p = NULL;
    cudaError_t e = cudaMalloc(&p, want);

    if (e == cudaSuccess) {
        e = cudaMemsetAsync(p, 0, want, cuda->stream);
        if (e == cudaSuccess)
            return p;
        (void)cudaFree(p);
    }
    (void)cudaGetLastError();
    if (e == cudaErrorMemoryAllocation && cudaMemGetInfo(&room, &total) == cudaSuccess)
        (void)ot_fail(err, OT_ENOMEM, "%s: out of memory: wanted %zu MiB, %zu of %zu MiB are free",
                      dev->name, bytes >> 20, room >> 20, total >> 20);
    else
        (void)ot_fail(err, OT_EDEV, "%s: memory of %zu bytes: %s", dev->name, bytes,
                      cudaGetErrorString(e));
    return NULL;
}

static void device_free(struct ot_dev *dev, void *p)
{
    (void)dev;
    (void)cudaFree(p); /* waits for what uses it */
}

/* One piece of an upload, through pinned memory that is free again when its event has passed. */
static bool send(struct ot_dev *dev, void *dst, const void *host, size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const unsigned s = cuda->next_stage++ % OT_STAGES;

    if (ot_cuda_bad(dev, cudaEventSynchronize(cuda->staged[s]), "upload"))
        return false;
    memcpy(cuda->stage[s], host, bytes);
    return !ot_cuda_bad(
               dev,
               cudaMemcpyAsync(dst, cuda->stage[s], bytes, cudaMemcpyHostToDevice, cuda->stream),
               "upload") &&
           !ot_cuda_bad(dev, cudaEventRecord(cuda->staged[s], cuda->stream), "upload");
}

static void upload(struct ot_dev *dev, void *dst, const void *host, size_t bytes)
{
    for (size_t at = 0; at < bytes && dev->latch.code == OT_OK; at += STAGE_BYTES) {
        size_t n = bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;

        if (!send(dev, (char *)dst + at, (const char *)host + at, n))
            return;
    }
}

static void download(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    if (bytes) /* what the caller reads should the device fail */
        memset(host, 0, bytes);
    if (dev->latch.code != OT_OK)
        return;
    if (bytes &&
        ot_cuda_bad(
            dev, cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, ot_cuda_of(dev)->stream),
            "download"))
        return;
    settle(dev, "download");
}

struct ot_cuda_format **ot_cuda_formats(struct ot_dev *dev)
{
    return &ot_cuda_of(dev)->formats;
}

const struct ot_step *ot_cuda_step(struct ot_dev *dev)
{
    return ot_cuda_of(dev)->step;
}

static void set_step(struct ot_dev *dev, const struct ot_step *step)
{
    upload(dev, ot_cuda_of(dev)->step, step, sizeof *step);
}

static void *host_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    void *p = NULL;
    cudaError_t e = cudaMallocHost(&p, bytes ? bytes : 1);

    if (e == cudaSuccess) {
        memset(p, 0, bytes);
        return p;
    }
    (void)cudaGetLastError();
    (void)ot_fail(err, OT_ENOMEM, "%s: pinned memory of %zu bytes: %s", dev->name, bytes,
                  cudaGetErrorString(e));
    return NULL;
}

static void host_free(struct ot_dev *dev, void *p)
{
    (void)dev;
    (void)cudaFreeHost(p);
}

static uint64_t mark(struct ot_dev *dev)
{
    (void)dev;
    return 1;
}

static void wait_for(struct ot_dev *dev, uint64_t m)
{
    if (m)
        settle(dev, "waiting for the device");
}

static bool not_recorded(struct ot_dev *dev, uint64_t key)
{
    (void)dev;
    (void)key;
    return false;
}

static bool launch(struct ot_dev *dev)
{
    (void)dev;
    return false;
}

static void forget(struct ot_dev *dev)
{
    (void)dev;
}

static void sync_device(struct ot_dev *dev)
{
    settle(dev, "waiting for the device");
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void close_device(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    if (cuda->stream)
        (void)cudaStreamSynchronize(cuda->stream);
    ot_cuda_formats_free(dev);
    if (cuda->cudnn)
        (void)cudnnDestroy(cuda->cudnn);
    if (cuda->cublas)
        (void)cublasDestroy(cuda->cublas);
    for (int i = 0; i < OT_STAGES; i++) {
        if (cuda->staged[i])
            (void)cudaEventDestroy(cuda->staged[i]);
        (void)cudaFreeHost(cuda->stage[i]);
    }
    (void)cudaFreeHost(cuda->host_fault);
    (void)cudaFree(cuda->fault);
    (void)cudaFree(cuda->step);
    (void)cudaFree(cuda->room);
    if (cuda->stream)
        (void)cudaStreamDestroy(cuda->stream);
    ot_free(cuda);
    ot_free(dev);
}

static const struct ot_dev_ops device_ops = {
    .alloc = device_alloc,
    .free = device_free,
    .upload = upload,
    .download = download,
    .sync = sync_device,
    .close = close_device,
    .step = set_step,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .fetch = download,
    .mark = mark,
    .wait = wait_for,
    .replay = not_recorded,
    .record = not_recorded,
    .launch = launch,
    .forget = forget,
};

/* Whether the machine has device `index`, and it is one the kernels are built for. */
static int look_for(int index, struct cudaDeviceProp *prop, struct ot_err *err)
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
    return 0;
}

/* Stream, libraries and buffers; failures are latched. */
static bool start(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const size_t bytes = OT_FAULTS * sizeof *cuda->fault;
    bool bad = ot_cuda_bad(dev, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                           "stream") ||
               ot_cuda_bad(dev, cudaMalloc((void **)&cuda->fault, bytes), "memory") ||
               ot_cuda_bad(dev, cudaMemsetAsync(cuda->fault, 0xff, bytes, cuda->stream),
                           "memory") ||
               ot_cuda_bad(dev, cudaMalloc((void **)&cuda->step, sizeof *cuda->step), "memory") ||
               ot_cuda_bad(dev, cudaMallocHost((void **)&cuda->host_fault, bytes), "memory");

    for (int i = 0; i < OT_STAGES; i++)
        bad = bad || ot_cuda_bad(dev, cudaMallocHost(&cuda->stage[i], STAGE_BYTES), "memory") ||
              ot_cuda_bad(dev, cudaEventCreateWithFlags(&cuda->staged[i], cudaEventDisableTiming),
                          "event");
    /* cuBLAS's default is fp32 without TF32 */
    return !bad && !ot_cudnn_bad(dev, cudnnCreate(&cuda->cudnn), "cuDNN") &&
           !ot_cudnn_bad(dev, cudnnSetStream(cuda->cudnn, cuda->stream), "cuDNN") &&
           !ot_cublas_bad(dev, cublasCreate(&cuda->cublas), "cuBLAS") &&
           !ot_cublas_bad(dev, cublasSetStream(cuda->cublas, cuda->stream), "cuBLAS");
}

struct ot_dev *ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct cudaDeviceProp prop;
    struct ot_dev *dev;
    struct ot_cuda *cuda;

    if (look_for(index, &prop, err))
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
    cuda->index = index;
    cuda->conf = *conf;
    (void)snprintf(dev->name, sizeof dev->name, "cuda:%d", index);
    if (!start(dev)) {
        *err = dev->latch;
        close_device(dev);
        return NULL;
    }
    (void)snprintf(dev->what, sizeof dev->what, "%.60s, %zu MiB, CUDA %d.%d, cuDNN %zu", prop.name,
                   prop.totalGlobalMem >> 20, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10,
                   cudnnGetVersion());
    return dev;
}
