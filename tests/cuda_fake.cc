// cuda_fake.cc - the CUDA device of cuda/'s own sources on the fake libraries: see gpu_host.h.
#define ot_cuda_open ot_fake_cuda_open // the program has one of the other name

#include "tests/gpu_fake.h"

#include "tests/cuda_fibres.hh"
#include "tests/gpu_host.h"

extern "C" {

const struct ot_kernels ot_cuda_kernels = {
#define K(name, params, args) ot_cuda_##name,
#include "layers/kernels.def"
#undef K
};

const bool ot_test_cuda_libraries = true;

struct ot_dev *ot_test_cuda_host(const struct ot_dev_conf *conf, struct ot_err *err)
{
    return ot_cuda_open(0, conf, err);
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
