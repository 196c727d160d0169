/*
 * memory.c - device memory and pinned memory of the CUDA device, and the room that its kernels
 * share.
 *
 * Memory is zeroed when allocated.  The room only grows, and rarely: recordings hold its address,
 * so they are forgotten then; while one is being made it cannot grow, which spoils it.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

void *ot_cuda_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    size_t want = bytes ? bytes : 1, room = 0, total = 0;
    void *p = NULL;
    cudaError_t e;

    OT_BUG_IF(ot_cuda_recording(dev));
    e = cudaMalloc(&p, want);
    if (e == cudaSuccess) {
        e = cudaMemsetAsync(p, 0, want, ot_cuda_of(dev)->stream);
        if (e == cudaSuccess)
            return p;
        (void)cudaFree(p);
    }
    (void)cudaGetLastError();
    if (e == cudaErrorMemoryAllocation && cudaMemGetInfo(&room, &total) == cudaSuccess)
        (void)ot_fail(err, OT_ENOMEM, "%s: out of memory: wanted %zu MiB, %zu of %zu MiB are free",
                      dev->name, (bytes + (1 << 20) - 1) >> 20, room >> 20, total >> 20);
    else
        (void)ot_fail(err, OT_EDEV, "%s: memory of %zu bytes: %s", dev->name, bytes,
                      cudaGetErrorString(e));
    return NULL;
}

void ot_cuda_free(struct ot_dev *dev, void *p)
{
    OT_BUG_IF(ot_cuda_recording(dev));
    (void)cudaFree(p); /* waits for what uses it */
}

void *ot_cuda_host_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *err)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_pinned *n = ot_alloc(1, sizeof *n, err);
    void *p = NULL;
    cudaError_t e;

    OT_BUG_IF(ot_cuda_recording(dev));
    if (!n)
        return NULL;
    e = cudaMallocHost(&p, bytes ? bytes : 1);
    if (e == cudaSuccess) {
        memset(p, 0, bytes);
        *n = (struct ot_cuda_pinned){ .next = cuda->pinned, .mem = p, .bytes = bytes };
        cuda->pinned = n;
        return p;
    }
    ot_free(n);
    (void)cudaGetLastError();
    (void)ot_fail(err, e == cudaErrorMemoryAllocation ? OT_ENOMEM : OT_EDEV,
                  "%s: pinned memory of %zu bytes: %s", dev->name, bytes, cudaGetErrorString(e));
    return NULL;
}

void ot_cuda_host_free(struct ot_dev *dev, void *p)
{
    struct ot_cuda_pinned **at = &ot_cuda_of(dev)->pinned, *n;

    OT_BUG_IF(ot_cuda_recording(dev));
    if (!p)
        return;
    while (*at && (*at)->mem != p)
        at = &(*at)->next;
    n = *at;
    OT_BUG_IF(!n);
    *at = n->next;
    ot_free(n);
    (void)cudaStreamSynchronize(ot_cuda_of(dev)->copy);
    (void)cudaStreamSynchronize(ot_cuda_of(dev)->stream);
    (void)cudaFreeHost(p);
}

bool ot_cuda_is_pinned(const struct ot_dev *dev, const void *host, size_t bytes)
{
    const char *from = host;

    for (const struct ot_cuda_pinned *n = ot_cuda_of(dev)->pinned; n; n = n->next)
        if (from >= (const char *)n->mem && from + bytes <= (const char *)n->mem + n->bytes)
            return true;
    return false;
}

static void *grow(struct ot_dev *dev, size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    void *p = NULL;

    bytes += bytes / 2;
    if (ot_cuda_bad(dev, cudaStreamSynchronize(cuda->stream), "scratch of a kernel") ||
        ot_cuda_bad(dev, cudaMalloc(&p, bytes), "scratch of a kernel"))
        return NULL;
    ot_cuda_forget(dev);
    (void)cudaFree(cuda->room);
    cuda->room = p;
    cuda->room_bytes = bytes;
    return p;
}

void *ot_cuda_room(struct ot_dev *dev, size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    if (bytes <= cuda->room_bytes)
        return cuda->room;
    if (!cuda->recorder.on)
        return grow(dev, bytes);
    cuda->recorder.spoilt = true;
    return NULL;
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
