// cuda_fake_memory.cc - the fake device's memory, and pinned memory of the host.
//
// The device's memory is one range of addresses that the host may not touch (PROT_NONE) except
// while something queued runs.  An allocation has fences before and behind it, looked at when it is
// freed and when the host waits; under ASan they are poisoned too.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>

#include "tests/cuda_fake_i.hh"

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace fake
{
namespace
{

constexpr size_t arena_bytes = static_cast<size_t>(16) << 30, align = 256, fence = 512;
constexpr size_t most_filled = 128 << 10; // of a large block only the ends are garbage
constexpr char fence_byte = 0x5a;

char *arena;
size_t high;                         // bytes of the arena used so far
size_t capacity = arena_bytes / 2, used;
std::map<char *, size_t> blocks;     // what is allocated, bytes asked for
std::map<char *, size_t> page_locked;
int open_count;

size_t up(size_t n)
{
    return (n + align - 1) / align * align;
}

void reach(size_t bytes)
{
    if (!arena) {
        arena = static_cast<char *>(mmap(nullptr, arena_bytes, PROT_NONE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (arena == MAP_FAILED)
            abort();
        madvise(arena, arena_bytes, MADV_HUGEPAGE); // it opens and closes all the time
    }
    bytes = (bytes + 4095) / 4096 * 4096;
    if (bytes > high) {
        if (open_count)
            mprotect(arena + high, bytes - high, PROT_READ | PROT_WRITE);
        high = bytes;
    }
}

// The first gap that is large enough, for a block and its fences.
char *place(size_t bytes)
{
    char *at;

    reach(0);
    at = arena + fence;
    for (const auto &b : blocks) {
        if (at + up(bytes) + fence <= b.first)
            break;
        at = b.first + up(b.second) + fence;
    }
    return at + up(bytes) + fence <= arena + arena_bytes ? at : nullptr;
}

bool intact(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != fence_byte)
            return false;
    return true;
}

void poison(const char *p, size_t bytes, bool on)
{
    if (on) {
        ASAN_POISON_MEMORY_REGION(p - fence, fence);
        ASAN_POISON_MEMORY_REGION(p + bytes, up(bytes) - bytes + fence);
    } else {
        ASAN_UNPOISON_MEMORY_REGION(p - fence, fence);
        ASAN_UNPOISON_MEMORY_REGION(p + bytes, up(bytes) - bytes + fence);
    }
}

void check_block(const char *p, size_t bytes)
{
    poison(p, bytes, false);
    if (!intact(p - fence, fence))
        wrong("device memory of %zu bytes: written before its start", bytes);
    if (!intact(p + bytes, up(bytes) - bytes + fence))
        wrong("device memory of %zu bytes: written past its end", bytes);
    poison(p, bytes, true);
}

// What lies behind the last block: the less there is, the faster it opens and closes.
void give_up_the_end()
{
    const size_t page = 4096;
    size_t end = 0;

    if (!blocks.empty()) {
        const auto last = blocks.rbegin();

        end = static_cast<size_t>(last->first - arena) + up(last->second) + fence;
    }
    end = (end + page - 1) / page * page;
    if (end >= high)
        return;
    madvise(arena + end, high - end, MADV_DONTNEED);
    mprotect(arena + end, high - end, PROT_NONE);
    high = end;
}

cudaError_t free_block(char *p)
{
    const auto b = blocks.find(p);

    if (b == blocks.end()) {
        wrong("cudaFree of %p, which is not allocated", static_cast<void *>(p));
        return cudaErrorInvalidValue;
    }
    open_memory(true);
    check_block(p, b->second);
    scribble(p, b->second);
    open_memory(false);
    ASAN_POISON_MEMORY_REGION(p, b->second);
    used -= up(b->second);
    blocks.erase(b);
    give_up_the_end();
    alive(-1);
    return cudaSuccess;
}

cudaError_t lock_pages(void **p, size_t bytes)
{
    cudaError_t e = may_wait();

    *p = nullptr;
    if (e != cudaSuccess || bytes == 0)
        return result(e);
    *p = aligned_alloc(align, up(bytes));
    scribble(*p, bytes);
    page_locked[static_cast<char *>(*p)] = bytes;
    alive(1);
    return cudaSuccess;
}

} // namespace

void open_memory(bool open)
{
    open_count += open ? 1 : -1;
    if (arena && high && open_count == (open ? 1 : 0))
        mprotect(arena, high, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void check_fences()
{
    open_memory(true);
    for (const auto &b : blocks)
        check_block(b.first, b.second);
    open_memory(false);
}

bool in_arena(const void *p)
{
    return arena && p >= arena && p < arena + arena_bytes;
}

// The block that holds p, or blocks.end().
static std::map<char *, size_t>::iterator holder(std::map<char *, size_t> &in, const void *p)
{
    auto b = in.upper_bound(static_cast<char *>(const_cast<void *>(p)));

    if (b == in.begin())
        return in.end();
    --b;
    return p < b->first + b->second ? b : in.end();
}

bool on_device(const void *p, size_t bytes)
{
    const auto b = holder(blocks, p);

    return b != blocks.end() &&
           static_cast<const char *>(p) + bytes <= b->first + b->second;
}

bool pinned(const void *p, size_t bytes)
{
    const auto b = holder(page_locked, p);

    return b != page_locked.end() &&
           static_cast<const char *>(p) + bytes <= b->first + b->second;
}

void scribble(void *p, size_t bytes)
{
    static const unsigned char nan[4] = { 0xa5, 0x7f, 0xa5, 0x7f }; // as float and as bfloat16
    unsigned char *at = static_cast<unsigned char *>(p);

    for (size_t i = 0; i < bytes; i++) {
        if (i == most_filled && bytes > 2 * most_filled)
            i = bytes - most_filled;
        at[i] = nan[i % 4];
    }
}

} // namespace fake

extern "C" {

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    OT_RT_WORKS(cudaMalloc);
    cudaError_t e = fake::may_wait();
    char *at;

    *p = nullptr;
    if (e != cudaSuccess || bytes == 0)
        return fake::result(e);
    at = bytes > fake::capacity || fake::used > fake::capacity - bytes ? nullptr : fake::place(bytes);
    if (!at)
        return fake::result(cudaErrorMemoryAllocation);
    fake::reach(static_cast<size_t>(at - fake::arena) + fake::up(bytes) + fake::fence);
    fake::open_memory(true);
    ASAN_UNPOISON_MEMORY_REGION(at - fake::fence, fake::up(bytes) + 2 * fake::fence);
    memset(at - fake::fence, fake::fence_byte, fake::fence);
    memset(at + bytes, fake::fence_byte, fake::up(bytes) - bytes + fake::fence);
    fake::scribble(at, bytes);
    fake::poison(at, bytes, true);
    fake::open_memory(false);
    fake::blocks[at] = bytes;
    fake::used += fake::up(bytes);
    fake::alive(1);
    *p = at;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    OT_RT_DESTROYS(cudaFree);
    cudaError_t e = fake::may_wait();

    if (!p || e != cudaSuccess)
        return fake::result(e);
    fake::wait_all();
    e = fake::free_block(static_cast<char *>(p));
    return e != cudaSuccess ? fake::result(e) : OT_RT_GONE();
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    OT_RT_WORKS(cudaMallocHost);
    return fake::lock_pages(p, bytes);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    OT_RT_WORKS(cudaHostAlloc);
    return fake::lock_pages(p, bytes);
}

cudaError_t cudaFreeHost(void *p)
{
    OT_RT_DESTROYS(cudaFreeHost);
    cudaError_t e = fake::may_wait();

    if (!p || e != cudaSuccess)
        return fake::result(e);
    const auto b = fake::page_locked.find(static_cast<char *>(p));

    if (b == fake::page_locked.end()) {
        fake::wrong("cudaFreeHost of %p, which is not pinned", p);
        return fake::result(cudaErrorInvalidValue);
    }
    if (fake::uses(p, b->second))
        fake::wrong("cudaFreeHost of pinned memory that a queued copy uses");
    fake::wait_all();
    fake::page_locked.erase(b);
    free(p);
    fake::alive(-1);
    return OT_RT_GONE();
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *total)
{
    OT_RT_WORKS(cudaMemGetInfo);
    *room = fake::capacity > fake::used ? fake::capacity - fake::used : 0;
    *total = fake::capacity;
    return cudaSuccess;
}

void ot_fake_capacity(size_t bytes)
{
    fake::capacity = bytes ? bytes : fake::arena_bytes / 2;
}

void ot_fake_peek(void *host, const void *device, size_t bytes)
{
    fake::open_memory(true);
    memcpy(host, device, bytes);
    fake::open_memory(false);
}

} // extern "C"
