/* device.c - opens a device by name, and hands over what its kernels latched. */
#include "layers/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"

/* Where there is a driver there should be a GPU that works. */
static struct ot_dev *open_auto(const struct ot_dev_conf *conf, struct ot_err *err)
{
    struct ot_err why = OT_ERR_INIT;
    struct ot_dev *dev = ot_cuda_open(0, conf, &why);

    if (dev) {
        ot_log(OT_LOG_INFO, "device", "auto: %s", dev->name);
        return dev;
    }
    ot_log(ot_exists("/proc/driver/nvidia/version") ? OT_LOG_WARN : OT_LOG_INFO, "device",
           "auto: cpu (%s)", why.text);
    dev = ot_cpu_open(conf, err);
    if (dev)
        (void)snprintf(dev->passed_over, sizeof dev->passed_over, "%.159s", why.text);
    return dev;
}

/* "cuda:7" and no other way to write it. */
static bool read_index(const char *text, int *index)
{
    size_t n = strspn(text, "0123456789");

    *index = n && n < 5 ? (int)strtol(text, NULL, 10) : -1;
    return *index >= 0 && *index < 1024 && !text[n];
}

struct ot_dev *ot_dev_open_conf(const char *name, const struct ot_dev_conf *conf,
                                struct ot_err *err)
{
    int index;

    if (!strcmp(name, "cpu"))
        return ot_cpu_open(conf, err);
    if (!strcmp(name, "auto"))
        return open_auto(conf, err);
    if (!strcmp(name, "cuda"))
        return ot_cuda_open(0, conf, err);
    if (!strncmp(name, "cuda:", 5) && read_index(name + 5, &index))
        return ot_cuda_open(index, conf, err);
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
