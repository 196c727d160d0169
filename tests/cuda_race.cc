// cuda_race.cc - see cuda_race.hh.
//
// Time is a number that grows with every block and barrier: accesses of one block are ordered when
// their times differ, those of one warp also when their counts of __syncwarp do.  Each place keeps
// its last write and its last readers.
#include "tests/cuda_race.hh"

#include <stdint.h>
#include <stdio.h>
#include <unordered_map>

#include "tests/cuda_fibres.hh"

namespace
{

enum access { READ, VOLATILE_READ, WRITE, ATOMIC };

// A byte of the program's own variables, which is where shared memory is; else two bytes, the
// least that kernels access there.
struct place {
    uint32_t written, read; // when last
    uint32_t read_before;   // when last by another block than that
    uint16_t writer, reader;
    uint32_t write_turn, read_turn; // of the warp
    bool atomic, writers;           // how it was written; by several threads
    bool readers, warps;            // by several threads, warps
};

constexpr unsigned warp = 32, most_warps = 32;
constexpr size_t page_bytes = 4096, most_pages = 4096;

struct page {
    place at[page_bytes];
};

std::unordered_map<uintptr_t, page *> &pages = *new std::unordered_map<uintptr_t, page *>();
uintptr_t last_number = ~static_cast<uintptr_t>(0);
page *last_page;

bool running;
const char *kernel_name;
uint32_t now, block_began, launch_began;
unsigned current;
uint32_t turn[most_warps];
uintptr_t own_stack;
size_t own_stack_bytes;

extern "C" char __data_start, _end, __executable_start;

bool is_variable(uintptr_t at)
{
    return at >= reinterpret_cast<uintptr_t>(&__data_start) &&
           at < reinterpret_cast<uintptr_t>(&_end);
}

place *place_of(uintptr_t at)
{
    const uintptr_t number = at / page_bytes;

    if (number != last_number) {
        page *&p = pages[number];

        if (!p)
            p = new page();
        last_number = number;
        last_page = p;
    }
    return &last_page->at[at % page_bytes];
}

void wrong(const char *what, uintptr_t at, const void *from)
{
    char text[256];

    snprintf(text, sizeof text,
             "block (%u, %u, %u): %s: thread %u, %s memory, code at +0x%lx of the program",
             blockIdx.x, blockIdx.y, blockIdx.z, what, current,
             is_variable(at) ? "shared" : "global",
             static_cast<unsigned long>(static_cast<const char *>(from) - &__executable_start));
    ot_kernel_wrong(kernel_name, text);
}

bool of_own_warp(unsigned other)
{
    return other / warp == current / warp;
}

bool after_write(const place &p, access how)
{
    if (p.written < launch_began || (p.atomic && how == ATOMIC))
        return true;
    if (p.written < block_began)
        return how == VOLATILE_READ;
    if (p.written < now || (p.writer == current && !p.writers))
        return true;
    return !p.writers && of_own_warp(p.writer) && p.write_turn != turn[current / warp];
}

bool after_reads(const place &p)
{
    if (p.read_before >= launch_began || (p.read >= launch_began && p.read < block_began))
        return false;
    if (p.read < now || (p.reader == current && !p.readers))
        return true;
    return !p.warps && of_own_warp(p.reader) && p.read_turn != turn[current / warp];
}

void note_read(place *p)
{
    if (p->read == now && (p->warps || !of_own_warp(p->reader))) {
        p->readers = p->warps = true;
    } else if (p->read == now && p->read_turn == turn[current / warp]) {
        p->readers = p->readers || p->reader != current;
    } else {
        if (p->read < block_began)
            p->read_before = p->read;
        p->readers = p->warps = false;
    }
    p->read = now;
    p->reader = static_cast<uint16_t>(current);
    p->read_turn = turn[current / warp];
}

void note_write(place *p, bool atomic)
{
    p->writers = atomic && p->written == now && (p->writers || p->writer != current);
    p->written = now;
    p->writer = static_cast<uint16_t>(current);
    p->write_turn = turn[current / warp];
    p->atomic = atomic;
}

// A variable is each block's own: what was in it before the block began is garbage.
bool is_garbage(place *p)
{
    if (p->read < block_began)
        p->read = 0;
    p->read_before = 0;
    return p->written && p->written < block_began;
}

void look(uintptr_t at, size_t bytes, access how, const void *from)
{
    const bool variable = is_variable(at);

    if (!running || at - own_stack < own_stack_bytes)
        return;
    for (uintptr_t a = at; a < at + bytes; a += variable ? 1 : 2) {
        place *p = place_of(a);

        if (variable && is_garbage(p)) {
            if (how < WRITE)
                wrong("what nobody wrote is read", a, from);
        } else if (!after_write(*p, how)) {
            wrong("a race with a write", a, from);
        }
        if (how >= WRITE && !after_reads(*p))
            wrong("a race with a read", a, from);
        if (how >= WRITE)
            note_write(p, how == ATOMIC);
        else if (how == READ)
            note_read(p);
    }
}

} // namespace

void ot_race_launch(const char *kernel)
{
    if (pages.size() > most_pages) {
        for (auto &p : pages)
            delete p.second;
        pages.clear();
        last_number = ~static_cast<uintptr_t>(0);
    }
    kernel_name = kernel;
    launch_began = block_began = ++now;
    running = true;
}

void ot_race_end()
{
    running = false;
}

void ot_race_block()
{
    block_began = ++now;
    for (uint32_t &t : turn)
        t = 0;
}

void ot_race_barrier()
{
    now++;
}

void ot_race_warp(unsigned w)
{
    turn[w]++;
}

void ot_race_thread(unsigned thread)
{
    current = thread;
}

void ot_race_stack(const char *stack, size_t bytes)
{
    own_stack = reinterpret_cast<uintptr_t>(stack);
    own_stack_bytes = bytes;
}

void ot_race_atomic(const void *at, size_t bytes)
{
    look(reinterpret_cast<uintptr_t>(at), bytes, ATOMIC, __builtin_return_address(0));
}

// ---- what the compiler calls --------------------------------------------------------------------

#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__

static void aligned(void *at, size_t bytes, access how, const void *from)
{
    if (running && reinterpret_cast<uintptr_t>(at) % bytes != 0)
        wrong("an access that is not aligned", reinterpret_cast<uintptr_t>(at), from);
    look(reinterpret_cast<uintptr_t>(at), bytes, how, from);
}

#    define FROM __builtin_return_address(0)
#    define OF_SIZE(n)                                    \
        void __tsan_read##n(void *at)                     \
        {                                                 \
            aligned(at, n, READ, FROM);                   \
        }                                                 \
        void __tsan_write##n(void *at)                    \
        {                                                 \
            aligned(at, n, WRITE, FROM);                  \
        }                                                 \
        void __tsan_volatile_read##n(void *at)            \
        {                                                 \
            aligned(at, n, VOLATILE_READ, FROM);          \
        }                                                 \
        void __tsan_volatile_write##n(void *at)           \
        {                                                 \
            aligned(at, n, WRITE, FROM);                  \
        }                                                 \
        void __tsan_unaligned_read##n(void *at)           \
        {                                                 \
            look((uintptr_t)at, n, READ, FROM);           \
        }                                                 \
        void __tsan_unaligned_write##n(void *at)          \
        {                                                 \
            look((uintptr_t)at, n, WRITE, FROM);          \
        }                                                 \
        void __tsan_unaligned_volatile_read##n(void *at)  \
        {                                                 \
            look((uintptr_t)at, n, VOLATILE_READ, FROM);  \
        }                                                 \
        void __tsan_unaligned_volatile_write##n(void *at) \
        {                                                 \
            look((uintptr_t)at, n, WRITE, FROM);          \
        }

extern "C" {

OF_SIZE(1)
OF_SIZE(2)
OF_SIZE(4)
OF_SIZE(8)
OF_SIZE(16)

void __tsan_init()
{
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit()
{
}

void __tsan_vptr_update(void *, void *)
{
}

void __tsan_read_range(void *at, size_t bytes)
{
    look((uintptr_t)at, bytes, READ, FROM);
}

void __tsan_write_range(void *at, size_t bytes)
{
    look((uintptr_t)at, bytes, WRITE, FROM);
}

} // extern "C"

#endif
