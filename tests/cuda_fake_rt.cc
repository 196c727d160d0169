// cuda_fake_rt.cc - the rest of the fake runtime: the device, copies, fills and kernels.
#include <stdio.h>
#include <string.h>

#include "cuda/cuda_i.h"
#include "tests/cuda_fake_i.hh"
#include "tests/cuda_fibres.hh"

using namespace fake;

extern "C" cudaStream_t ot_cuda_stream(struct ot_dev *dev);

// ---- kernels ------------------------------------------------------------------------------------

static cudaError_t shape_is_fine(dim3 grid, dim3 block, size_t shared)
{
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;

    return !grid.x || !grid.y || !grid.z || !threads || threads > 1024 || block.z > 64 ||
                   grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535
               ? cudaErrorInvalidConfiguration
           : shared > 227 << 10 ? cudaErrorInvalidValue
                                : cudaSuccess;
}

void ot_host_launch(struct ot_dev *dev, const char *kernel, dim3 grid, dim3 block, size_t shared,
                    std::function<void()> run)
{
    call here("cudaLaunchKernel", kernel);
    cudaError_t e = static_cast<cudaError_t>(here.injected);

    if (e == cudaSuccess)
        e = broken() != cudaSuccess ? broken() : shape_is_fine(grid, block, shared);
    loads(ot_cuda_stream(dev), kernel, run.target_type().name());
    if (e == cudaSuccess)
        e = put(ot_cuda_stream(dev), kernel,
                [=] { ot_fibres_run(kernel, grid, block, shared, run); });
    result(e);
    ot_cuda_launched(dev, kernel); // as launch.h does
}

extern "C" {

// ---- the device ---------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int *count)
{
    OT_RT(cudaGetDeviceCount);
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    OT_RT(cudaDriverGetVersion);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    OT_RT(cudaRuntimeGetVersion);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    OT_RT(cudaSetDevice);
    return result(index == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *index)
{
    OT_RT(cudaGetDevice);
    *index = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int index)
{
    OT_RT(cudaGetDeviceProperties);
    size_t room;

    memset(prop, 0, sizeof *prop);
    if (index)
        return result(cudaErrorInvalidDevice);
    snprintf(prop->name, sizeof prop->name, "Fake GPU");
    prop->major = 9;
    prop->warpSize = 32;
    prop->multiProcessorCount = 132;
    prop->maxThreadsPerBlock = 1024;
    prop->sharedMemPerBlock = 48 << 10;
    prop->sharedMemPerBlockOptin = 227 << 10;
    prop->asyncEngineCount = 2;
    prop->concurrentKernels = 1;
    prop->unifiedAddressing = 1;
    return cudaMemGetInfo(&room, &prop->totalGlobalMem);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr which, int index)
{
    OT_RT(cudaDeviceGetAttribute);
    if (index)
        return result(cudaErrorInvalidDevice);
    switch (which) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = 9;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = 0;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = 132;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = 227 << 10;
        break;
    default:
        return result(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    OT_RT(cudaDeviceGetStreamPriorityRange);
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    static char other[64];

    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    default:
        snprintf(other, sizeof other, "error %d of the fake", static_cast<int>(e));
        return other;
    }
}

const char *cudaGetErrorName(cudaError_t e)
{
    return cudaGetErrorString(e);
}

// ---- copies and fills ---------------------------------------------------------------------------

// What a copy's ends must be; cudaMemcpyDefault is told by the addresses.
static cudaError_t ends_are_fine(void *dst, const void *src, size_t bytes, cudaMemcpyKind *kind)
{
    const bool to = in_arena(dst), from = in_arena(src);

    if (*kind == cudaMemcpyDefault)
        *kind = to ? from ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice
                : from ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
    if (to != (*kind == cudaMemcpyHostToDevice || *kind == cudaMemcpyDeviceToDevice) ||
        from != (*kind == cudaMemcpyDeviceToHost || *kind == cudaMemcpyDeviceToDevice)) {
        wrong("a copy of kind %d from %s to %s", static_cast<int>(*kind), from ? "device" : "host",
              to ? "device" : "host");
        return cudaErrorInvalidValue;
    }
    if ((to && !on_device(dst, bytes)) || (from && !on_device(src, bytes))) {
        wrong("a copy of %zu bytes goes out of bounds of device memory", bytes);
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

static cudaError_t copy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                        cudaStream_t stream)
{
    cudaError_t e = ends_are_fine(dst, src, bytes, &kind);
    const void *host = kind == cudaMemcpyHostToDevice   ? src
                       : kind == cudaMemcpyDeviceToHost ? dst
                                                        : nullptr;
    const bool pageable = host && !pinned(host, bytes);
    op_ref o = std::make_shared<op>();

    if (e != cudaSuccess || !known(stream) || kind == cudaMemcpyHostToHost)
        return e != cudaSuccess ? e : cudaErrorInvalidValue;
    if (pageable && capturing(stream)) {
        wrong("a copy of pageable memory in a graph");
        return cudaErrorStreamCaptureUnsupported;
    }
    o->name = "copy";
    o->run = [=] { memcpy(dst, src, bytes); };
    if (pageable && kind == cudaMemcpyHostToDevice) { // is read now
        auto stage = std::make_shared<std::vector<char>>(static_cast<const char *>(src),
                                                         static_cast<const char *>(src) + bytes);

        o->run = [=] { memcpy(dst, stage->data(), bytes); };
    } else if (host && !pageable) {
        o->host = static_cast<const char *>(host);
        o->host_bytes = bytes;
        if (kind == cudaMemcpyDeviceToHost && !capturing(stream))
            scribble(dst, bytes); // until it arrives
    }
    e = put(stream, o);
    if (e == cudaSuccess && pageable && kind == cudaMemcpyDeviceToHost) {
        wait(o); // returns when all is there
        e = broken();
    }
    return e;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    OT_RT_WORKS(cudaMemcpyAsync);
    return result(bytes ? copy(dst, src, bytes, kind, stream) : cudaSuccess);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind)
{
    OT_RT_WORKS(cudaMemcpy);
    cudaError_t e = may_wait();

    if (e == cudaSuccess && bytes)
        e = copy(dst, src, bytes, kind, nullptr);
    if (e == cudaSuccess)
        e = cudaStreamSynchronize(nullptr);
    return result(e);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream)
{
    OT_RT_WORKS(cudaMemcpy2DAsync);
    if (width > dst_pitch || width > src_pitch)
        return result(cudaErrorInvalidPitchValue);
    for (size_t y = 0; y < height && width; y++) {
        cudaError_t e = copy(static_cast<char *>(dst) + y * dst_pitch,
                             static_cast<const char *>(src) + y * src_pitch, width, kind, stream);

        if (e != cudaSuccess)
            return result(e);
    }
    return cudaSuccess;
}

static cudaError_t set(void *p, int value, size_t bytes, cudaStream_t stream)
{
    if (!on_device(p, bytes)) {
        wrong("a fill of %zu bytes that are not all on the device", bytes);
        return cudaErrorInvalidValue;
    }
    return put(stream, "fill", [=] { memset(p, value, bytes); });
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    OT_RT_WORKS(cudaMemsetAsync);
    return result(bytes ? set(p, value, bytes, stream) : cudaSuccess);
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    OT_RT_WORKS(cudaMemset);
    cudaError_t e = may_wait();

    return result(e == cudaSuccess && bytes ? set(p, value, bytes, nullptr) : e);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t f, void *arg)
{
    OT_RT_WORKS(cudaLaunchHostFunc);
    return result(put(stream, "cudaLaunchHostFunc", [=] { f(arg); }));
}

} // extern "C"
