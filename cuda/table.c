/*
 * table.c - the CUDA device's table of kernels: a line of kernels.def without a body does not
 * link.  And the plugin's heap, which is the program's.
 */
#include "base/mem.h"
#include "cuda/plugin.h"

const struct ot_kernels ot_cuda_kernels = {
#define K(name, params, args) .name = ot_cuda_##name,
#include "layers/kernels.def"
#undef K
};

static const struct ot_cuda_host *host;

struct ot_dev *ot_cuda_plugin_open(const struct ot_cuda_host *program, int index,
                                   const struct ot_dev_conf *conf, struct ot_err *err)
{
    if (program->border != ot_cuda_border()) {
        (void)ot_fail(err, OT_ENOTSUP,
                      "device \"cuda:%d\": " OT_CUDA_PLUGIN_FILE " is of another build than the "
                      "program: %016llx, wanted %016llx",
                      index, (unsigned long long)ot_cuda_border(),
                      (unsigned long long)program->border);
        return NULL;
    }
    host = program;
    return ot_cuda_open(index, conf, err);
}

void *ot_alloc(size_t n, size_t size, struct ot_err *err)
{
    return host->alloc(n, size, err);
}

void ot_free(void *p)
{
    host->free(p);
}
