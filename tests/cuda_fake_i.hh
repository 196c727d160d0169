// cuda_fake_i.hh - what the files of the fake CUDA share (see gpu_fake.h).
//
// An operation is a node of a graph: it may run when all that it depends on has.  A stream is the
// last operation put into it, an event the operation that recorded it.
#ifndef OT_TESTS_CUDA_FAKE_I_HH
#define OT_TESTS_CUDA_FAKE_I_HH

#include <cuda_runtime_api.h>
#include <stdint.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/gpu_fake.h"

namespace fake
{

struct op {
    std::string name;
    std::vector<std::shared_ptr<op>> after;
    std::function<void()> run;
    const char *host = nullptr; // pinned memory it reads or writes
    size_t host_bytes = 0;
    bool done = false;
    uint64_t cost = 1; // how long it takes
    uint64_t when = 0; // it had run
};
using op_ref = std::shared_ptr<op>;

// ---- every call (cuda_fake_call.cc) -----------------------------------------------------------

// The first thing in every function of the fake: locks, counts, and may let queued work run.
struct call {
    explicit call(const char *name, const char *kernel = nullptr);
    int injected = 0; // the status to return, if not 0

private:
    std::unique_lock<std::recursive_mutex> lock;
};

void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
void alive(int by); // objects made (1) and destroyed (-1)

// Notes what cudaGetLastError() returns, and returns it.
cudaError_t result(cudaError_t e);

// ---- queueing (cuda_fake_queue.cc) ------------------------------------------------------------

// Puts it into the stream, or into the graph being captured from it.
cudaError_t put(cudaStream_t stream, op_ref o);
cudaError_t put(cudaStream_t stream, const char *name, std::function<void()> run,
                uint64_t cost = 1);

void wait(op_ref o); // runs what is needed, and perhaps more
void wait_all();
void some_may_run();
bool uses(const void *host, size_t bytes); // whether something queued does
cudaError_t broken(); // what the device says since it broke

bool known(cudaStream_t stream);
bool capturing(cudaStream_t stream);
// CUDA loads code lazily, with its first launch, which may not be part of a capture.
void loads(cudaStream_t stream, const char *what, const std::string &code);

// cudaSuccess, or what a call returns that may not be made while anything captures.
cudaError_t may_wait();

// ---- memory (cuda_fake_memory.cc) -------------------------------------------------------------

void open_memory(bool open); // to what runs on the device
void check_fences();
bool on_device(const void *p, size_t bytes);
bool in_arena(const void *p);
bool pinned(const void *p, size_t bytes);
void scribble(void *p, size_t bytes); // garbage: signalling NaNs

} // namespace fake

// First in a function of the runtime.
#define OT_RT(name)                                                  \
    fake::call here(#name);                                          \
    if (here.injected)                                               \
    return fake::result(static_cast<cudaError_t>(here.injected))

// First in one that destroys: it does so, and then returns what OT_RT_GONE() says.
#define OT_RT_DESTROYS(name) fake::call here(#name)
#define OT_RT_GONE()                                                                   \
    fake::result(here.injected ? static_cast<cudaError_t>(here.injected) : fake::broken())

// As OT_RT, of one that a broken device refuses.
#define OT_RT_WORKS(name)                \
    OT_RT(name);                         \
    if (fake::broken() != cudaSuccess)   \
    return fake::result(fake::broken())

#endif
