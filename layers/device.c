/* device.c - opens a device by name, and hands over what its kernels latched. */
#include "layers/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static struct ot_dev *open_auto(const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct ot_err why = OT_ERR_INIT;
    struct ot_dev *dev = ot_cuda_open(0, conf, &why);

    if (dev)
        ot_log(OT_LOG_INFO, "device", "auto: %s", dev->name);
    else
        ot_log(OT_LOG_INFO, "device", "auto: cpu (%s)", why.text);
    return dev ? dev : ot_cpu_open(conf, err);
}

struct ot_dev *ot_dev_open_conf(const char *name, const struct ot_dev_conf *conf,
                                struct ot_err *err)
{
    char *end = NULL;
    long index;

    if (!strcmp(name, "cpu"))
        return ot_cpu_open(conf, err);
    if (!strcmp(name, "auto"))
        return open_auto(conf, err);
    if (!strcmp(name, "cuda"))
        return ot_cuda_open(0, conf, err);
    if (!strncmp(name, "cuda:", 5)) {
        index = strtol(name + 5, &end, 10);
        if (end != name + 5 && !*end && index >= 0 && index < 1024)
            return ot_cuda_open((int)index, conf, err);
    }
    (void)ot_fail(err, OT_EUSAGE,
                  "device: must be \"cpu\", \"cuda\", \"cuda:N\" or \"auto\", got \"%s\"", name);
    return NULL;
}

struct ot_dev *ot_dev_open(const char *name, int threads, struct ot_err *err)
{
    const struct ot_dev_conf conf = { .threads = threads, .deterministic = true };

    return ot_dev_open_conf(name, &conf, err);
}

void ot_dev_close(struct ot_dev *dev)
{
    if (dev)
        dev->ops->close(dev);
}

int ot_dev_ok(struct ot_dev *dev, struct ot_err *err)
{
    int code = dev->latch.code;

    if (code == OT_OK)
        return 0;
    *err = dev->latch;
    dev->latch = (struct ot_err)OT_ERR_INIT;
    return code;
}
