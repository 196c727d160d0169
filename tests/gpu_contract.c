/* gpu_contract.c - see gpu_contract.h. */
#include "tests/gpu_contract.h"

#include "tests/check.h"

void ot_gpu_contract(void (*const *what)(struct ot_dev *dev), int n)
{
    const struct ot_dev_conf conf = { .deterministic = true };
    char why[1200];

    for (int i = 0; i < n; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_dev *dev = ot_dev_open_conf("cuda", &conf, &err);

        if (!dev)
            skip_because("%s", ot_err_str(&err, why, sizeof why));
        what[i](dev);
        assert_ok(ot_dev_ok(dev, &err), &err);
        ot_dev_close(dev);
    }
}
