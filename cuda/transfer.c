/*
 * transfer.c - between host and device, and what the host waits for.
 *
 * Uploads go through pinned memory, so that the caller's array is free at once and the host does
 * not wait; a large array that is in such memory already is read where it is.  A small upload is
 * queued behind the kernels.  A large one goes on a stream of its own into staging memory on the
 * device, from where it is copied in its turn: so the next batch crosses the bus while the kernels
 * of this one run.  There are two such places; the copy stream, not the host, waits until one has
 * been emptied.  Where there is no memory for them a large upload is queued like a small one.
 *
 * Kernels note bad data in device memory (faults.c).  Every mark takes a copy of these notes and
 * clears them, in the queue's order, so nothing is lost or seen twice; whoever waits reports them.
 */
#include <string.h>

#include "base/mem.h"
#include "cuda/device_i.h"

static const size_t small_bytes = (size_t)64 << 10, stage_bytes = (size_t)4 << 20;
static const size_t staging_most = (size_t)256 << 20;
static const size_t fault_bytes = OT_CUDA_FAULTS * sizeof(unsigned long long);

/* ---- uploads ------------------------------------------------------------------------------- */

/* Queues host[0..bytes) to dst by way of s, which is free again when its event has passed. */
static bool send(struct ot_dev *dev, struct ot_cuda_stage *s, cudaStream_t stream, void *dst,
                 const void *host, size_t bytes)
{
    if (ot_cuda_bad(dev, cudaEventSynchronize(s->passed), "upload"))
        return false;
    memcpy(s->mem, host, bytes);
    return !ot_cuda_bad(dev, cudaMemcpyAsync(dst, s->mem, bytes, cudaMemcpyHostToDevice, stream),
                        "upload") &&
           !ot_cuda_bad(dev, cudaEventRecord(s->passed, stream), "upload");
}

static bool send_pieces(struct ot_dev *dev, cudaStream_t stream, void *dst, const void *host,
                        size_t bytes)
{
    struct ot_cuda_transfer *t = &ot_cuda_of(dev)->transfer;

    if (ot_cuda_is_pinned(dev, host, bytes))
        return !ot_cuda_bad(dev, cudaMemcpyAsync(dst, host, bytes, cudaMemcpyHostToDevice, stream),
                            "upload");
    for (size_t at = 0; at < bytes; at += stage_bytes) {
        const size_t n = bytes - at < stage_bytes ? bytes - at : stage_bytes;

        if (!send(dev, &t->large[t->next_large++ % OT_STAGES], stream, (char *)dst + at,
                  (const char *)host + at, n))
            return false;
    }
    return true;
}

/* Makes room for `bytes`; false when there is no memory, which is no failure. */
static bool make_room(struct ot_dev *dev, struct ot_cuda_staging *s, size_t bytes)
{
    void *p = NULL;

    if (bytes <= s->bytes)
        return true;
    if (ot_cuda_bad(dev, cudaEventSynchronize(s->taken), "upload"))
        return false;
    (void)cudaFree(s->mem);
    s->mem = NULL;
    s->bytes = 0;
    bytes += bytes / 4; /* for a batch that is a little larger */
    if (cudaMalloc(&p, bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    s->mem = p;
    s->bytes = bytes;
    return true;
}

static void send_ahead(struct ot_dev *dev, struct ot_cuda_staging *s, void *dst, const void *host,
                       size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    if (ot_cuda_bad(dev, cudaStreamWaitEvent(cuda->copy, s->taken, 0), "upload") ||
        !send_pieces(dev, cuda->copy, s->mem, host, bytes) ||
        ot_cuda_bad(dev, cudaEventRecord(s->filled, cuda->copy), "upload") ||
        ot_cuda_bad(dev, cudaStreamWaitEvent(cuda->stream, s->filled, 0), "upload") ||
        ot_cuda_bad(dev,
                    cudaMemcpyAsync(dst, s->mem, bytes, cudaMemcpyDeviceToDevice, cuda->stream),
                    "upload"))
        return;
    (void)ot_cuda_bad(dev, cudaEventRecord(s->taken, cuda->stream), "upload");
}

void ot_cuda_upload(struct ot_dev *dev, void *dst, const void *host, size_t bytes)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_transfer *t = &cuda->transfer;

    OT_BUG_IF(ot_cuda_recording(dev));
    if (bytes && bytes <= small_bytes && dev->latch.code == OT_OK) {
        (void)send(dev, &t->small[t->next_small++ % OT_SMALL_STAGES], cuda->stream, dst, host,
                   bytes);
        return;
    }
    for (size_t at = 0, n; at < bytes && dev->latch.code == OT_OK; at += n) {
        struct ot_cuda_staging *s = &t->staging[t->next_staging++ % OT_STAGINGS];

        n = bytes - at < staging_most ? bytes - at : staging_most;
        if (make_room(dev, s, n))
            send_ahead(dev, s, (char *)dst + at, (const char *)host + at, n);
        else if (dev->latch.code == OT_OK)
            (void)send_pieces(dev, cuda->stream, (char *)dst + at, (const char *)host + at, n);
    }
}

/* ---- reading and waiting ------------------------------------------------------------------- */

unsigned long long *ot_cuda_fault(struct ot_dev *dev, enum ot_cuda_fault what, double limit)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);

    return cuda->transfer.fault + ot_cuda_fault_slot(&cuda->faults, what, limit, dev->where);
}

void ot_cuda_fetch(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    OT_BUG_IF(ot_cuda_recording(dev));
    if (bytes && dev->latch.code == OT_OK)
        (void)ot_cuda_bad(
            dev, cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, ot_cuda_of(dev)->stream),
            "fetch");
}

/* Waits for mark m and reports what was noted before it. */
static void look_at(struct ot_dev *dev, uint64_t m)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_mark *k = &cuda->transfer.mark[m % OT_MARKS];

    cuda->transfer.seen = m;
    if (!k->open)
        return;
    k->open = false;
    if (!ot_cuda_bad(dev, cudaEventSynchronize(k->passed), "waiting for the device"))
        ot_cuda_faults_report(dev, &cuda->faults, k->fault);
}

uint64_t ot_cuda_mark(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_transfer *t = &cuda->transfer;
    struct ot_cuda_mark *k;

    OT_BUG_IF(ot_cuda_recording(dev));
    t->marked++;
    while (t->seen + OT_MARKS <= t->marked) /* its place is needed; it has passed long ago */
        look_at(dev, t->seen + 1);
    k = &t->mark[t->marked % OT_MARKS];
    k->open = !ot_cuda_bad(dev,
                           cudaMemcpyAsync(k->fault, t->fault, fault_bytes, cudaMemcpyDeviceToHost,
                                           cuda->stream),
                           "mark") &&
              !ot_cuda_bad(dev, cudaMemsetAsync(t->fault, 0xff, fault_bytes, cuda->stream),
                           "mark") &&
              !ot_cuda_bad(dev, cudaEventRecord(k->passed, cuda->stream), "mark");
    return t->marked;
}

void ot_cuda_wait(struct ot_dev *dev, uint64_t mark)
{
    struct ot_cuda_transfer *t = &ot_cuda_of(dev)->transfer;

    OT_BUG_IF(ot_cuda_recording(dev) || mark > t->marked);
    while (t->seen < mark)
        look_at(dev, t->seen + 1);
}

void ot_cuda_sync(struct ot_dev *dev)
{
    ot_cuda_wait(dev, ot_cuda_mark(dev));
}

void ot_cuda_download(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    OT_BUG_IF(ot_cuda_recording(dev));
    if (bytes) /* what the caller reads should the device fail */
        memset(host, 0, bytes);
    if (dev->latch.code != OT_OK)
        return;
    if (bytes &&
        ot_cuda_bad(
            dev, cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, ot_cuda_of(dev)->stream),
            "download"))
        return;
    ot_cuda_sync(dev);
}

/* ---- starting and stopping ----------------------------------------------------------------- */

static bool make_stages(struct ot_dev *dev, struct ot_cuda_stage *s, unsigned n, size_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        if (ot_cuda_bad(dev, cudaMallocHost(&s[i].mem, bytes), "pinned memory") ||
            ot_cuda_bad(dev, cudaEventCreateWithFlags(&s[i].passed, cudaEventDisableTiming),
                        "event"))
            return false;
    return true;
}

static bool make_marks(struct ot_dev *dev, struct ot_cuda_transfer *t)
{
    for (int i = 0; i < OT_STAGINGS; i++)
        if (ot_cuda_bad(dev,
                        cudaEventCreateWithFlags(&t->staging[i].filled, cudaEventDisableTiming),
                        "event") ||
            ot_cuda_bad(dev, cudaEventCreateWithFlags(&t->staging[i].taken, cudaEventDisableTiming),
                        "event"))
            return false;
    for (int i = 0; i < OT_MARKS; i++)
        if (ot_cuda_bad(dev, cudaMallocHost((void **)&t->mark[i].fault, fault_bytes),
                        "pinned memory") ||
            ot_cuda_bad(dev, cudaEventCreateWithFlags(&t->mark[i].passed, cudaEventDisableTiming),
                        "event"))
            return false;
    return true;
}

bool ot_cuda_transfer_start(struct ot_dev *dev)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    struct ot_cuda_transfer *t = &cuda->transfer;

    return !ot_cuda_bad(dev, cudaMalloc((void **)&t->fault, fault_bytes), "memory") &&
           !ot_cuda_bad(dev, cudaMemsetAsync(t->fault, 0xff, fault_bytes, cuda->stream),
                        "memory") &&
           make_stages(dev, t->small, OT_SMALL_STAGES, small_bytes) &&
           make_stages(dev, t->large, OT_STAGES, stage_bytes) && make_marks(dev, t);
}

static void free_event(cudaEvent_t e)
{
    if (e)
        (void)cudaEventDestroy(e);
}

static void free_stages(struct ot_cuda_stage *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        (void)cudaFreeHost(s[i].mem);
        free_event(s[i].passed);
    }
}

void ot_cuda_transfer_stop(struct ot_dev *dev)
{
    struct ot_cuda_transfer *t = &ot_cuda_of(dev)->transfer;

    free_stages(t->small, OT_SMALL_STAGES);
    free_stages(t->large, OT_STAGES);
    for (int i = 0; i < OT_STAGINGS; i++) {
        (void)cudaFree(t->staging[i].mem);
        free_event(t->staging[i].filled);
        free_event(t->staging[i].taken);
    }
    for (int i = 0; i < OT_MARKS; i++) {
        (void)cudaFreeHost(t->mark[i].fault);
        free_event(t->mark[i].passed);
    }
    (void)cudaFree(t->fault);
}
