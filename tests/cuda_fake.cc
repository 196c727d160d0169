// cuda_fake.cc - the CUDA device of cuda/'s own sources on the fake libraries: see cuda_host.h.
#include "tests/cuda_fake.h"

#include "tests/cuda_fibres.hh"
#include "tests/cuda_host.h"

extern "C" {

// cuda/'s ot_cuda_open() under another name: the program has one of its own.
struct ot_dev *ot_fake_cuda_open(int index, struct ot_err *err);

const struct ot_kernels ot_cuda_kernels = {
#define K(name, params, args) ot_cuda_##name,
#include "layers/kernels.def"
#undef K
};

const bool ot_test_cuda_libraries = true;

struct ot_dev *ot_test_cuda_host(struct ot_err *err)
{
    return ot_fake_cuda_open(0, err);
}

void ot_test_cuda_way(uint64_t way)
{
    ot_fibres_order(way);
    ot_fake_schedule(way);
}

bool ot_test_cuda_wrong(char *what, size_t n)
{
    return ot_fake_wrong(what, n);
}

} // extern "C"
