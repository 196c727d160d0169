// cuda_host.cc - where CUDA's headers are missing: a device made of cuda/'s own kernels on fibres.
//
// Kernels run when they are launched.  What needs a library (convolution, inner product) is in
// cuda_linear.cc.  Memory has guard bands that are looked at when it is freed and when the device
// is asked to wait.
#include "tests/gpu_host.h"

#include <stdio.h>
#include <stdlib.h>

#include <vector>

#include "base/mem.h"
#include "cuda/cuda_i.h"
#include "tests/cuda_fibres.hh"

// ---- what cuda_i.h promises -----------------------------------------------------------------

namespace
{

constexpr size_t guard = 64;

struct block_of_memory {
    char *mem;
    size_t bytes;
};

struct host_cuda {
    std::vector<block_of_memory> blocks;
    std::vector<char> room;
    struct ot_cuda_faults faults;
    unsigned long long fault[OT_CUDA_FAULTS];
    struct ot_step step;
    unsigned arrived;
    struct ot_cuda_format *formats[OT_CUDA_LISTS];
};

host_cuda *of(struct ot_dev *dev)
{
    return static_cast<host_cuda *>(dev->impl);
}

bool intact(const block_of_memory &b)
{
    for (size_t i = 0; i < guard; i++)
        if (b.mem[i] != 0x5a || b.mem[guard + b.bytes + i] != 0x5a)
            return false;
    return true;
}

void *host_alloc(struct ot_dev *dev, size_t bytes, struct ot_err *)
{
    block_of_memory b = { static_cast<char *>(malloc(bytes + 2 * guard)), bytes };

    memset(b.mem, 0x5a, bytes + 2 * guard);
    memset(b.mem + guard, 0, bytes);
    of(dev)->blocks.push_back(b);
    return b.mem + guard;
}

void host_free(struct ot_dev *dev, void *p)
{
    std::vector<block_of_memory> &blocks = of(dev)->blocks;

    for (size_t i = 0; i < blocks.size(); i++)
        if (p == blocks[i].mem + guard) {
            OT_BUG_IF(!intact(blocks[i]));
            free(blocks[i].mem);
            blocks.erase(blocks.begin() + static_cast<long>(i));
            return;
        }
    OT_BUG_IF(p != nullptr);
}

void host_sync(struct ot_dev *dev)
{
    host_cuda *h = of(dev);

    for (const block_of_memory &b : h->blocks)
        OT_BUG_IF(!intact(b));
    ot_cuda_faults_report(dev, &h->faults, h->fault);
    memset(h->fault, 0xff, sizeof h->fault);
}

void host_upload(struct ot_dev *, void *dst, const void *host, size_t bytes)
{
    if (bytes)
        memcpy(dst, host, bytes);
}

void host_download(struct ot_dev *dev, void *host, const void *src, size_t bytes)
{
    if (bytes)
        memcpy(host, src, bytes);
    host_sync(dev);
}

void host_close(struct ot_dev *dev)
{
    host_sync(dev);
    for (const block_of_memory &b : of(dev)->blocks) // of a test that failed
        free(b.mem);
    ot_cuda_formats_free(dev);
    delete of(dev);
    delete dev;
}

void host_step(struct ot_dev *dev, const struct ot_step *step)
{
    of(dev)->step = *step;
}

uint64_t host_mark(struct ot_dev *)
{
    return 1;
}

void host_wait(struct ot_dev *dev, uint64_t)
{
    host_sync(dev);
}

bool host_replay(struct ot_dev *, uint64_t)
{
    return false;
}

bool host_launch(struct ot_dev *)
{
    return false;
}

const struct ot_dev_ops host_ops = { host_alloc,  host_free,   host_upload, host_download,
                                     host_sync,   host_close,  host_step,   host_alloc,
                                     host_free,   host_download, host_mark, host_wait,
                                     host_replay, host_replay, host_launch, host_sync };

} // namespace

void ot_host_launch(struct ot_dev *, const char *kernel, dim3 grid, dim3 block, size_t shared,
                    std::function<void()> call)
{
    ot_fibres_run(kernel, grid, block, shared, call);
}

static char wrong[512];

void ot_kernel_wrong(const char *kernel, const char *what)
{
    if (!wrong[0])
        snprintf(wrong, sizeof wrong, "%s: %s", kernel, what);
}

extern "C" {

struct ot_plan *ot_cuda_plan(struct ot_dev *, size_t size, void (*free_it)(struct ot_plan *))
{
    struct ot_err err = {};
    struct ot_plan *p = static_cast<struct ot_plan *>(ot_alloc(1, size, &err));

    OT_BUG_IF(p == nullptr);
    p->free = free_it;
    return p;
}

void *ot_cuda_room(struct ot_dev *dev, size_t bytes)
{
    of(dev)->room.assign(bytes, static_cast<char>(0xcd)); // garbage of the call before
    return of(dev)->room.data();
}

void ot_cuda_zero(struct ot_dev *, void *p, size_t bytes)
{
    if (bytes)
        memset(p, 0, bytes);
}

void ot_cuda_move(struct ot_dev *, void *dst, const void *src, size_t bytes)
{
    if (bytes)
        memcpy(dst, src, bytes);
}

struct ot_cuda_format **ot_cuda_formats(struct ot_dev *dev)
{
    return of(dev)->formats;
}

const struct ot_step *ot_cuda_step(struct ot_dev *dev)
{
    return &of(dev)->step;
}

unsigned *ot_cuda_arrived(struct ot_dev *dev)
{
    return &of(dev)->arrived;
}

unsigned long long *ot_cuda_fault(struct ot_dev *dev, enum ot_cuda_fault what, double limit)
{
    return of(dev)->fault + ot_cuda_fault_slot(&of(dev)->faults, what, limit, dev->where);
}

const struct ot_kernels ot_cuda_kernels = {
#define K(name, params, args) ot_cuda_##name,
#include "layers/kernels.def"
#undef K
};

const bool ot_test_cuda_libraries = false;

struct ot_dev *ot_test_cuda_host(const struct ot_dev_conf *, struct ot_err *)
{
    struct ot_dev *dev = new ot_dev();
    host_cuda *h = new host_cuda();

    memset(h->fault, 0xff, sizeof h->fault);
    dev->late_faults = true;
    dev->impl = h;
    dev->k = &ot_cuda_kernels;
    dev->ops = &host_ops;
    snprintf(dev->name, sizeof dev->name, "cuda on the host");
    return dev;
}

void ot_test_cuda_way(uint64_t way)
{
    ot_fibres_order(way);
}

bool ot_test_cuda_wrong(char *what, size_t n)
{
    const bool any = wrong[0] != 0;

    if (any)
        snprintf(what, n, "%s", wrong);
    wrong[0] = 0;
    return any;
}

} // extern "C"
