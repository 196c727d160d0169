/* gpu_contract.c - see gpu_contract.h. */
#include "tests/gpu_contract.h"

#include "tests/check.h"
#include "tests/gpu_guard.h"

void ot_gpu_contract(void (*const *what)(struct ot_dev *dev), int n)
{
    for (int i = 0; i < n; i++) {
        struct ot_dev *dev = ot_gpu_open(&(struct ot_dev_conf){ .deterministic = true });

        what[i](dev);
        ot_gpu_close(dev);
    }
}

struct ot_dev *ot_gpu_open(const struct ot_dev_conf *conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open_conf("cuda", conf, &err);
    char why[1200];

    if (!dev)
        skip_because("%s", ot_err_str(&err, why, sizeof why));
    ot_guard(dev);
    return dev;
}

void ot_gpu_close(struct ot_dev *dev)
{
    struct ot_err err = OT_ERR_INIT;
    char why[200];

    assert_ok(ot_dev_ok(dev, &err), &err);
    if (ot_guard_broken(dev, why, sizeof why))
        fail_msg("%s", why);
    ot_gpu_tell(dev);
    ot_dev_close(dev);
}

void ot_gpu_tell(const struct ot_dev *dev)
{
    if (dev && dev->unrecorded[0])
        print_message("%s: iterations are not recorded, which is slower: %s\n", dev->name,
                      dev->unrecorded);
    if (dev && dev->distrusted[0])
        print_message("%s: not used, as its result is another: %s\n", dev->name, dev->distrusted);
}
