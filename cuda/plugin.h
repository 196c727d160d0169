/*
 * plugin.h - between the program and ohemtrain-cuda.so: the program starts on machines that have
 * no CUDA libraries, and loads the device only when asked for it.
 *
 * Both sides must come from one build: `border` is compared before anything else is done.
 */
#ifndef OT_CUDA_PLUGIN_H
#define OT_CUDA_PLUGIN_H

#include <string.h>

#include "base/hash.h"
#include "layers/device.h"

struct ot_cuda_host { /* what the plugin takes from the program */
    uint64_t border;  /* ot_cuda_border() of the program */
    void *(*alloc)(size_t n, size_t size, struct ot_err *err);
    void (*free)(void *p);
};

/* Sizes of everything that crosses the border. */
#define OT_CUDA_LAYOUT                                                                     \
    (sizeof(struct ot_kernels) + 3 * sizeof(struct ot_dev) + 5 * sizeof(struct ot_err) +   \
     7 * sizeof(struct ot_conv_geom) + 11 * sizeof(struct ot_ip_geom) +                    \
     13 * sizeof(struct ot_pool_geom) + 17 * sizeof(struct ot_plan_info) +                 \
     19 * sizeof(struct ot_softmax_loss_geom) + 23 * sizeof(struct ot_loss_stats) +        \
     29 * sizeof(struct ot_anchor_target_geom) + 31 * sizeof(struct ot_proposal_geom) +    \
     37 * sizeof(struct ot_proposal_target_geom) + 41 * sizeof(struct ot_detection_geom) + \
     43 * sizeof(struct ot_update_seg) + 53 * sizeof(struct ot_update_rule) +              \
     47 * sizeof(struct ot_tensor) + 59 * sizeof(struct ot_dev_ops) +                      \
     61 * sizeof(struct ot_dev_conf) + 67 * sizeof(struct ot_format) +                     \
     71 * sizeof(struct ot_bn_geom) + 73 * sizeof(struct ot_channels))

/* A hash of these sizes and of every kernel's name and parameters. */
static inline uint64_t ot_cuda_border(void)
{
    static const char *const kernels[] = {
#define K(name, params, args) #name #params,
#include "layers/kernels.def"
#undef K
    };
    const size_t layout = OT_CUDA_LAYOUT;
    uint64_t h = ot_hash64(&layout, sizeof layout);

    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        h = ot_hash64_more(h, kernels[i], strlen(kernels[i]) + 1);
    return h;
}

#define OT_CUDA_PLUGIN_FILE  "ohemtrain-cuda.so"
#define OT_CUDA_PLUGIN_ENTRY "ot_cuda_plugin_open"

typedef struct ot_dev *ot_cuda_plugin_open_fn(const struct ot_cuda_host *host, int index,
                                              const struct ot_dev_conf *conf, struct ot_err *err);
ot_cuda_plugin_open_fn ot_cuda_plugin_open;

#endif
