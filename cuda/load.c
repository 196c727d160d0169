/*
 * load.c - the CUDA device of a build with CUDA: loads the plugin that has it.
 *
 * The plugin lies beside the executable, or in ../lib/ohemtrain from there; it stays loaded.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cuda/plugin.h"

static struct ot_cuda_host host = { .alloc = ot_alloc, .free = ot_free };

enum { PATH_ROOM = 4096 };

/* The plugin's path into buf; false when there is none in either place. */
static bool find_plugin(char *buf, size_t n)
{
    static const char *const places[] = { "", "/../lib/ohemtrain", "/.." };
    char exe[PATH_ROOM], dir[PATH_ROOM];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);

    if (len <= 0)
        return false;
    exe[len] = '\0';
    (void)ot_path_dir(dir, sizeof dir, exe);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int want = snprintf(buf, n, "%s%s/%s", dir, places[i], OT_CUDA_PLUGIN_FILE);

        if (want > 0 && (size_t)want < n && ot_exists(buf))
            return true;
    }
    (void)snprintf(buf, n, "%s", dir);
    return false;
}

struct ot_dev *ot_cuda_open(int index, const struct ot_dev_conf *conf, struct ot_err *err)
{
    ot_cuda_plugin_open_fn *open = NULL;
    char path[2 * PATH_ROOM];
    void *plugin, *entry;

    if (!find_plugin(path, sizeof path)) {
        (void)ot_fail(err, OT_ENOTSUP,
                      "device \"cuda:%d\": " OT_CUDA_PLUGIN_FILE
                      " is not beside the program, in %s",
                      index, path);
        return NULL;
    }
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
        const char *why = dlerror();

        (void)ot_fail(err, OT_ENOTSUP, "device \"cuda:%d\": %s%s", index, why,
                      strncmp(why, "libcu", 5) ? "" : " (LD_LIBRARY_PATH says where else to look)");
        return NULL;
    }
    entry = dlsym(plugin, OT_CUDA_PLUGIN_ENTRY);
    if (!entry) {
        (void)ot_fail(err, OT_ENOTSUP, "device \"cuda:%d\": %s", index, dlerror());
        return NULL;
    }
    memcpy(&open, &entry, sizeof open); /* POSIX has functions in void *, C11 has not */
    host.border = ot_cuda_border();
    return open(&host, index, conf, err);
}
