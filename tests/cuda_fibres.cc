// cuda_fibres.cc - see cuda_fibres.hh.
//
// A fibre is a stack.  It runs one thread after another until one has to wait; that thread keeps
// the fibre and the scheduler goes on with a fresh one, so a kernel without barriers never
// switches.
#include "tests/cuda_fibres.hh"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "tests/cuda_race.hh"

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#endif
#ifndef __x86_64__
#    include <ucontext.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace
{

constexpr size_t stack_bytes = 128 << 10;
constexpr unsigned warp = 32, most_threads = 1024, most_shared = 227 << 10;

enum state { FRESH, READY, AT_BARRIER, IN_WARP, DONE };

struct fibre {
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t context;
#endif
    char *stack;
    void *fake; // ASan's own stack
};

struct thread {
    struct fibre *on;
    enum state state;
    unsigned mask;          // IN_WARP: who takes part
    bool orders;            // IN_WARP: in __syncwarp
    unsigned char offer[8]; // to its warp
    unsigned char given[8]; // what it offered when it was last let go
    uint64_t meeting;       // which that was
};

std::vector<fibre *> &idle = *new std::vector<fibre *>(); // lives as long as the program
fibre scheduler;
fibre *running; // nullptr: the scheduler
thread threads[most_threads];
unsigned order[most_threads];
unsigned count, current, cursor; // order[cursor...] are yet to be looked at in this pass
unsigned at_barrier;             // how many wait there
unsigned in_warp[most_threads / warp], alive[most_threads / warp]; // with a full mask; at all
bool partly, woken; // someone waits with another mask; someone can go on
uint64_t meetings;
const std::function<void()> *body;
const char *kernel_name;
uint64_t way;
alignas(256) char dynamic_shared[most_shared];

uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

// ---- switching ------------------------------------------------------------------------------

#ifdef __x86_64__
extern "C" void ot_fibre_swap(void **save, void *load);
asm(".text\n"
    ".globl ot_fibre_swap\n"
    ".hidden ot_fibre_swap\n"
    ".type ot_fibre_swap, @function\n"
    "ot_fibre_swap:\n"
    "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rsi, %rsp\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
    "    ret\n"
    ".size ot_fibre_swap, .-ot_fibre_swap\n");
#endif

void work();

#ifdef __SANITIZE_ADDRESS__
const void *main_bottom; // the scheduler's stack, learnt on each switch away from it
size_t main_size;
fibre *left; // whom the last switch left

void arrived(void *fake)
{
    const void *bottom;
    size_t size;

    __sanitizer_finish_switch_fiber(fake, &bottom, &size);
    if (left == &scheduler) {
        main_bottom = bottom;
        main_size = size;
    }
}
#endif

void go(fibre *from, fibre *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake, to == &scheduler ? main_bottom : to->stack,
                                   to == &scheduler ? main_size : stack_bytes);
    left = from;
#endif
    running = to == &scheduler ? nullptr : to;
    ot_race_stack(to->stack, stack_bytes);
#ifdef __x86_64__
    ot_fibre_swap(&from->sp, to->sp);
#else
    swapcontext(&from->context, &to->context);
#endif
#ifdef __SANITIZE_ADDRESS__
    arrived(from->fake);
#endif
}

// The first thing on a new stack.
void begin()
{
#ifdef __SANITIZE_ADDRESS__
    arrived(nullptr);
#endif
    work();
}

// Forgets what was on its stack.
void start_anew(fibre *f)
{
    idle.push_back(f);
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(f->stack, stack_bytes);
#endif
#ifdef __x86_64__
    void **top = reinterpret_cast<void **>(f->stack + stack_bytes) - 1;

    top[0] = nullptr; // where begin() would return to; the stack is aligned as after a call
    *--top = reinterpret_cast<void *>(begin);
    f->sp = top - 6;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = stack_bytes;
    f->context.uc_link = nullptr;
    makecontext(&f->context, begin, 0);
#endif
}

fibre *fresh_fibre()
{
    fibre *f;

    if (!idle.empty()) {
        f = idle.back();
        idle.pop_back();
        return f;
    }
    f = new fibre();
    f->stack = static_cast<char *>(mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (f->stack == MAP_FAILED)
        abort();
    start_anew(f);
    idle.pop_back();
    return f;
}

void be(unsigned t)
{
    current = t;
    ot_race_thread(t);
    threadIdx.x = t;
    threadIdx.y = threadIdx.z = 0;
    if (t >= blockDim.x) { // a block of more dimensions
        threadIdx.x = t % blockDim.x;
        threadIdx.y = t / blockDim.x % blockDim.y;
        threadIdx.z = t / blockDim.x / blockDim.y;
    }
}

// Who goes on in this pass: the fibre of the next thread that can, else the scheduler.
fibre *next_fibre()
{
    for (; cursor < count; cursor++) {
        thread &t = threads[order[cursor]];

        if (t.state == FRESH)
            return fresh_fibre(); // takes it itself
        if (t.state == READY) {
            cursor++;
            be(static_cast<unsigned>(&t - threads));
            return t.on;
        }
    }
    return &scheduler;
}

void let_go(unsigned t)
{
    memcpy(threads[t].given, threads[t].offer, sizeof threads[t].given);
    threads[t].meeting = meetings;
    threads[t].state = READY;
    woken = true;
}

// Lets a whole warp go when all of it that is alive has arrived.
void look_at_warp(unsigned w)
{
    bool orders = true;

    if (in_warp[w] == 0 || in_warp[w] < alive[w])
        return;
    in_warp[w] = 0;
    meetings++;
    for (unsigned t = w * warp; t < (w + 1) * warp && t < count; t++)
        if (threads[t].state == IN_WARP) {
            orders = orders && threads[t].orders;
            let_go(t);
        }
    if (orders)
        ot_race_warp(w);
}

void end_thread()
{
    threads[current].state = DONE;
    alive[current / warp]--;
    look_at_warp(current / warp);
}

// A fibre's life: threads that have not begun, until something else is next.
void work()
{
    for (;;) {
        fibre *next;

        while (cursor < count && threads[order[cursor]].state == FRESH) {
            thread &t = threads[order[cursor++]];

            be(static_cast<unsigned>(&t - threads));
            t.on = running;
            (*body)();
            end_thread();
        }
        idle.push_back(running);
        next = next_fibre();
        if (next != running)
            go(running, next);
    }
}

void wait_as(enum state s)
{
    threads[current].state = s;
    at_barrier += s == AT_BARRIER;
    if (s == IN_WARP && threads[current].mask == ~0u) {
        in_warp[current / warp]++;
        look_at_warp(current / warp);
    } else if (s == IN_WARP) {
        partly = true;
    }
    go(running, next_fibre());
}

// ---- a block --------------------------------------------------------------------------------

// Whether lane t waits for nobody any more.
bool warp_is_there(unsigned t)
{
    const unsigned first = t / warp * warp, mask = threads[t].mask;

    for (unsigned l = first; l < first + warp && l < count; l++)
        if (mask >> (l - first) & 1 && threads[l].state != DONE &&
            (threads[l].state != IN_WARP || threads[l].mask != mask))
            return false;
    return true;
}

// Lets go whoever waits for others that have all arrived.
void release()
{
    static bool ready[most_threads];

    if (at_barrier == count) {
        at_barrier = 0;
        ot_race_barrier();
        woken = true;
        for (unsigned t = 0; t < count; t++)
            threads[t].state = READY;
    }
    if (!partly)
        return;
    partly = false;
    for (unsigned t = 0; t < count; t++) {
        ready[t] = threads[t].state == IN_WARP && threads[t].mask != ~0u && warp_is_there(t);
        partly = partly || (threads[t].state == IN_WARP && !ready[t]);
    }
    for (unsigned t = 0; t < count; t++) {
        if (!ready[t])
            continue;
        meetings++;
        for (unsigned l = t; l < (t / warp + 1) * warp && l < count; l++)
            if (ready[l] && threads[l].mask == threads[t].mask) {
                ready[l] = false;
                let_go(l);
            }
    }
}

void run_block()
{
    at_barrier = 0;
    partly = false;
    ot_race_block();
    for (unsigned t = 0; t < count; t++)
        threads[t].state = FRESH;
    for (unsigned w = 0; w * warp < count; w++) {
        alive[w] = std::min(warp, count - w * warp);
        in_warp[w] = 0;
    }
    do {
        woken = false;
        cursor = 0;
        for (fibre *f; (f = next_fibre()) != &scheduler;)
            go(&scheduler, f);
        release();
    } while (woken);
    for (unsigned t = 0; t < count; t++)
        if (threads[t].state != DONE) {
            char what[160];

            snprintf(what, sizeof what, "block (%u, %u, %u): thread %u waits %s for others that %s",
                     blockIdx.x, blockIdx.y, blockIdx.z, t,
                     threads[t].state == AT_BARRIER ? "at a barrier" : "in its warp",
                     "have ended or wait elsewhere");
            ot_kernel_wrong(kernel_name, what);
            break;
        }
    for (unsigned t = 0; t < count; t++)
        if (threads[t].state != DONE)
            start_anew(threads[t].on);
}

void set_order(uint64_t *random)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = way == 1 ? count - 1 - i : i;
    for (unsigned i = count; way > 1 && i > 1; i--)
        std::swap(order[i - 1], order[next_random(random) % i]);
}

// Offers v to the lanes of the mask, and waits for them.
void meet_warp(unsigned mask, const void *v, size_t bytes)
{
    thread &t = threads[current];

    if (!(mask >> current % warp & 1))
        ot_kernel_wrong(kernel_name, "a lane is not in the mask that it names");
    memcpy(t.offer, v, bytes);
    t.mask = mask;
    t.orders = false;
    wait_as(IN_WARP);
}

// What thread `from` offered at the meeting that this one comes from; false: it was not there.
bool taken(unsigned from, void *v, size_t bytes)
{
    if (from >= count || threads[from].meeting != threads[current].meeting)
        return false;
    memcpy(v, threads[from].given, bytes);
    return true;
}

} // namespace

void ot_fibres_order(uint64_t new_way)
{
    way = new_way;
}

void ot_fibres_run(const char *kernel, dim3 grid, dim3 block, size_t shared,
                   const std::function<void()> &call)
{
    const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    uint64_t random = way | 1;

    count = block.x * block.y * block.z;
    if (count == 0 || count > most_threads || shared > most_shared) {
        ot_kernel_wrong(kernel, "too many threads or too much shared memory for a block");
        return;
    }
    body = &call;
    kernel_name = kernel;
    gridDim = grid;
    blockDim = block;
    if (way == 0) // what it finds does not depend on the order
        ot_race_launch(kernel);
    for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t at = way % 2 ? blocks - 1 - b : b;

        blockIdx = dim3(static_cast<unsigned>(at % grid.x),
                        static_cast<unsigned>(at / grid.x % grid.y),
                        static_cast<unsigned>(at / grid.x / grid.y));
        if (shared)
            memset(dynamic_shared, 0xa5, shared);
        if (b == 0 || way > 1)
            set_order(&random);
        run_block();
    }
    ot_race_end();
}

// ---- what kernels call ----------------------------------------------------------------------

void *ot_host_dynamic_shared()
{
    return dynamic_shared;
}

void __syncthreads()
{
    wait_as(AT_BARRIER);
}

void __syncwarp(unsigned mask)
{
    threads[current].mask = mask;
    threads[current].orders = true;
    wait_as(IN_WARP);
}

void ot_host_shuffle(unsigned mask, void *v, size_t bytes, unsigned lane)
{
    meet_warp(mask, v, bytes);
    if (!taken(current / warp * warp + lane, v, bytes))
        memset(v, 0xa5, bytes); // undefined on a GPU
}

unsigned ot_host_lane()
{
    return current % warp;
}

unsigned __ballot_sync(unsigned mask, int predicate)
{
    const unsigned first = current / warp * warp;
    unsigned votes = 0;
    int other;

    meet_warp(mask, &predicate, sizeof predicate);
    for (unsigned l = 0; l < warp; l++)
        if (taken(first + l, &other, sizeof other) && other)
            votes |= 1u << l;
    return votes;
}
