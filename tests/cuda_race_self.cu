// cuda_race_self.cu - small kernels, half of them wrong, by which cuda_race.cc is checked: see
// test_cuda_race.c.
#include "tests/cuda_fibres.hh"
#include "tests/gpu_race.h"

static constexpr unsigned THREADS = 64, WARP = 32, OTHER = THREADS - 1;

// ---- within a block -------------------------------------------------------------------------

__global__ static void mirror(float *x, bool before, bool after)
{
    __shared__ float s[THREADS];
    const unsigned t = threadIdx.x;

    x += blockIdx.x * THREADS;
    s[t] = x[t];
    __syncthreads();
    if (before)
        s[t] = x[t] + 1.0f;
    if (after)
        __syncthreads();
    x[t] = s[OTHER - t];
    __syncthreads();
    s[t] = 0.0f;
}

__global__ static void overwrite_what_others_read(float *x)
{
    __shared__ float s[THREADS];
    const unsigned t = threadIdx.x;

    s[t] = x[t];
    __syncthreads();
    x[t] = s[t < OTHER ? t + 1 : t];
    s[t] = 0.0f;
}

__global__ static void read_shared_that_nobody_wrote(float *x)
{
    __shared__ float s[THREADS];

    if (threadIdx.x < OTHER || blockIdx.x == 0)
        s[threadIdx.x] = 1.0f;
    __syncthreads();
    x[blockIdx.x * THREADS + threadIdx.x] = s[threadIdx.x];
}

__global__ static void write_one_place(float *x)
{
    x[0] = (float)threadIdx.x;
}

__global__ static void write_all(float *x)
{
    x[threadIdx.x] = 1.0f;
}

// ---- within a warp --------------------------------------------------------------------------

enum meeting { NONE, SHUFFLE, SYNCWARP };

__global__ static void turn(float *x, bool far, enum meeting meeting, unsigned times)
{
    const unsigned t = threadIdx.x, w = t / WARP * WARP;

    for (unsigned i = 0; i < times; i++) {
        x[t] = (float)t;
        if (meeting == SYNCWARP)
            __syncwarp();
        else if (meeting == SHUFFLE)
            (void)__shfl_sync(~0u, 1.0f, 0);
        x[THREADS + t] = x[far ? OTHER - t : w + (t + 1) % WARP];
        if (meeting == SYNCWARP)
            __syncwarp();
    }
}

// ---- between blocks and launches --------------------------------------------------------------

template <class T> __global__ static void pass_on(float *x)
{
    if (threadIdx.x == 0 && blockIdx.x == 0)
        x[0] = 1.0f;
    if (threadIdx.x == 1 && blockIdx.x == 1)
        x[1] = *(T *)x;
}

__global__ static void count(unsigned *n, unsigned *copy)
{
    atomicAdd(n, 1u);
    if (copy)
        *copy = *n;
}

// ---- alignment --------------------------------------------------------------------------------

__global__ static void copy_pairs(const float *x, float *y, unsigned from)
{
    ((float2 *)y)[threadIdx.x] = ((const float2 *)(x + from))[threadIdx.x];
}

// ---- the list -----------------------------------------------------------------------------------

#define RUN(blocks, threads, ...) \
    ot_fibres_run("self", dim3(blocks), dim3(threads), 0, [=] { __VA_ARGS__; })

// x: memory of the device; says: what is wrong with it, NULL: nothing
static const struct {
    const char *name;
    void (*run)(float *x);
    const char *says;
} selves[] = {
    { "barriers on both sides", [](float *x) { RUN(3, THREADS, mirror(x, true, true)); }, NULL },
    { "no barrier behind a write", [](float *x) { RUN(1, THREADS, mirror(x, true, false)); },
      "a race with a" },
    { "no barrier behind a read", [](float *x) { RUN(1, THREADS, overwrite_what_others_read(x)); },
      "a race with a read" },
    { "shared memory that nobody wrote",
      [](float *x) { RUN(2, THREADS, read_shared_that_nobody_wrote(x)); },
      "what nobody wrote is read" },
    { "two writers", [](float *x) { RUN(1, THREADS, write_one_place(x)); }, "a race with a write" },
    { "nothing within a warp", [](float *x) { RUN(1, THREADS, turn(x, false, NONE, 1)); },
      "a race with a" },
    { "a shuffle, which orders nothing",
      [](float *x) { RUN(1, THREADS, turn(x, false, SHUFFLE, 1)); }, "a race with a" },
    { "__syncwarp, 600 times", [](float *x) { RUN(1, THREADS, turn(x, false, SYNCWARP, 300)); },
      NULL },
    { "__syncwarp, of another warp", [](float *x) { RUN(1, THREADS, turn(x, true, SYNCWARP, 1)); },
      "a race with a" },
    { "another block", [](float *x) { RUN(2, THREADS, pass_on<float>(x)); },
      "a race with a write" },
    { "another block, volatile", [](float *x) { RUN(2, THREADS, pass_on<volatile float>(x)); },
      NULL },
    { "another launch",
      [](float *x) {
          RUN(1, THREADS, write_all(x));
          RUN(2, THREADS, pass_on<volatile float>(x));
          RUN(1, THREADS, mirror(x, true, true));
      },
      NULL },
    { "atomics", [](float *x) { RUN(2, THREADS, count((unsigned *)x, NULL)); }, NULL },
    { "an atomic and a read",
      [](float *x) { RUN(1, THREADS, count((unsigned *)x, (unsigned *)x + 1)); }, "a race with a" },
    { "8 bytes where 8 are", [](float *x) { RUN(1, 16, copy_pairs(x, x + 2 * THREADS, 2)); },
      NULL },
    { "8 bytes where 4 are", [](float *x) { RUN(1, 16, copy_pairs(x, x + 2 * THREADS, 1)); },
      "an access that is not aligned" },
};

bool ot_race_sees()
{
#ifdef OT_RACES
    return true;
#else
    return false;
#endif
}

bool ot_race_self(size_t which, struct ot_race_self *self)
{
    if (which >= sizeof selves / sizeof selves[0])
        return false;
    *self = { selves[which].name, selves[which].run, selves[which].says };
    return true;
}
