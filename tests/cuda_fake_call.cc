// cuda_fake_call.cc - counting, injected failures, and what was used wrongly.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/cuda_fake_i.hh"
#include "tests/cuda_fibres.hh"

namespace fake
{
namespace
{

std::recursive_mutex all;
std::vector<std::string> made; // calls, in order; a kernel's launch is one
std::vector<std::string> kernels;
std::string fails;             // which function
unsigned fails_in;             // how many calls from now
int fails_with;
char first_wrong[512];
long live;
thread_local cudaError_t last_error;

} // namespace

call::call(const char *name, const char *kernel) : lock(all)
{
    made.push_back(name);
    if (kernel)
        kernels.push_back(kernel);
    if (!fails.empty() && (fails == "*" || fails == name || (kernel && fails == kernel)) &&
        --fails_in == 0) {
        injected = fails_with;
        fails.clear();
    } else {
        some_may_run();
    }
}

void wrong(const char *format, ...)
{
    char what[sizeof first_wrong];
    va_list ap;

    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    if (!first_wrong[0])
        memcpy(first_wrong, what, sizeof what);
}

void alive(int by)
{
    live += by;
}

cudaError_t result(cudaError_t e)
{
    if (e != cudaSuccess)
        last_error = e;
    return e;
}

} // namespace fake

void ot_kernel_wrong(const char *kernel, const char *what)
{
    fake::wrong("%s: %s", kernel, what);
}

extern "C" {

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = fake::last_error;

    fake::last_error = fake::broken(); // which no call clears
    return e != cudaSuccess ? e : fake::broken();
}

cudaError_t cudaPeekAtLastError(void)
{
    return fake::last_error;
}

void ot_fake_fail(const char *function, unsigned nth, int status)
{
    fake::fails = function && nth ? function : "";
    fake::fails_in = nth;
    fake::fails_with = status;
}

void ot_fake_clear_error(void)
{
    fake::last_error = cudaSuccess;
}

unsigned ot_fake_calls(const char *function)
{
    unsigned n = 0;

    for (const std::string &name : fake::made)
        n += !strcmp(function, "*") || name == function;
    for (const std::string &name : fake::kernels)
        n += name == function;
    return n;
}

void ot_fake_forget(void)
{
    fake::made.clear();
    fake::kernels.clear();
}

const char *ot_fake_call(unsigned nth)
{
    return nth && nth <= fake::made.size() ? fake::made[nth - 1].c_str() : nullptr;
}

size_t ot_fake_live(void)
{
    return static_cast<size_t>(fake::live);
}

bool ot_fake_wrong(char *what, size_t n)
{
    const bool any = fake::first_wrong[0] != 0;

    fake::check_fences();
    if (any)
        snprintf(what, n, "%s", fake::first_wrong);
    fake::first_wrong[0] = 0;
    return any;
}

} // extern "C"
