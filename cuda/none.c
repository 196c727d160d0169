/* none.c - the CUDA device of a build without CUDA: it cannot be opened, and says so. */
#include "layers/device.h"

struct ot_dev *ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err)
{
    (void)conf;
    (void)ot_fail(err, OT_ENOTSUP, "device \"cuda:%d\": this program was built without CUDA",
                  index);
    return NULL;
}
