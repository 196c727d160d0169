/* gpu_cases_neuron.c - cases of functions of one value and of layers with one value a channel. */
#include "tests/check.h"
#include "tests/gpu_cases.h"

static void take(struct ot_dev *dev, struct ot_cuda_raw *r, size_t n)
{
    dev->ops->download(dev, r->out + r->n_out, r->z, n * sizeof(float));
    r->n_out += n;
}

/* 20 channels in blocks of 16, and 70 of them side by side. */
static void raw_blocks(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const struct ot_channels shapes[] = { { 3, 20, 11, 16, OT_F32 },
                                                 { 3, 70, 5, 70, OT_F32 } };
    const struct ot_kernels *k = dev->k;

    for (size_t i = 0; i < 2; i++) {
        const struct ot_channels *g = &shapes[i];
        const size_t n = g->outer * ((g->c + g->block - 1) / g->block) * g->block * g->inner;

        k->affine(dev, g, r->x, r->y + 5000, r->y + 6000, r->z);
        take(dev, r, n);
        k->affine(dev, g, r->x, NULL, r->y + 6000, r->z);
        take(dev, r, n);
        k->prelu_fwd(dev, g, r->x, r->y + 5000, r->z);
        take(dev, r, n);
        k->prelu_bwd(dev, g, r->x, r->y + 5000, r->y, r->z);
        take(dev, r, n);
        for (int t = 0; t < 3; t++) {
            k->channel_sum(dev, g, (enum ot_channel_term)t, r->y, r->x, (float)(t % 2), r->z);
            take(dev, r, g->c);
        }
    }
}

/* The gradients of a sum that two read: with and without ReLU, vectors and not. */
static void raw_two_gradients(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const size_t lengths[] = { 1, 7, 64, 1009 };
    static const float coeff[] = { 1.0f, -0.5f, 3.0f };

    for (size_t i = 0; i < 4 * sizeof lengths / sizeof lengths[0]; i++) {
        const size_t n = lengths[i / 4], odd = i % 2;
        float *dx[] = { r->z, NULL, r->z + 2000 };

        dev->k->fill(dev, OT_F32, 4000, 0.0f, r->z);
        dev->k->eltwise_sum_bwd(dev, OT_F32, n, 3, coeff, i % 4 < 2, r->x, r->y, r->y + 2000 + odd,
                                dx);
        take(dev, r, 4000);
    }
}

#define ONE(type, param) "layer { type: '" type "' bottom: 'a' top: 'b' " param " }"
#define TWO(type, param) "layer { type: '" type "' bottom: 'a' bottom: 's' top: 'b' " param " }"
/* clang-format off */
#define UNARY(name_, ...)                                                                       \
    { .name = name_, .text = ONE(__VA_ARGS__), .n_in = 1, .in = { { 4, { 2, 3, 5, 7 } } },       \
      .lo = -3, .hi = 3 }
/* clang-format on */

const struct ot_cuda_case ot_cuda_cases_neuron[] = {
    { .name = "gradients of a sum that two read", .raw = raw_two_gradients, .tol = 1e-6 },
    UNARY("absval", "AbsVal", ""),
    UNARY("bnll", "BNLL", ""),
    UNARY("clip", "Clip", "clip_param { min: -0.5 max: 1 }"),
    UNARY("elu", "ELU", "elu_param { alpha: 0.7 }"),
    UNARY("exp", "Exp", "exp_param { base: 2 scale: -1 shift: 0.5 }"),
    UNARY("power 0", "Power", "power_param { power: 0 }"),
    UNARY("power 1", "Power", "power_param { scale: 2 shift: -1 }"),
    UNARY("power 2", "Power", "power_param { power: 2 scale: 2 shift: -1 }"),
    UNARY("power 3", "Power", "power_param { power: 3 shift: -1 }"),
    UNARY("power of negative bases", "Power", "power_param { power: 0.5 shift: 1 }"),
    UNARY("log of negative values", "Log", "log_param { base: 10 scale: 2 shift: 1 }"),
    /* y is stored in bf16 and y (1 - y) drawn from it: an ulp, and what an ulp of y makes */
    { .name = "sigmoid",
      .text = ONE("Sigmoid", ""),
      .n_in = 1,
      .in = { { 4, { 2, 3, 5, 7 } } },
      .lo = -3,
      .hi = 3,
      .bf16 = 1.0 / 64 },

    UNARY("swish", "Swish", "swish_param { beta: 0.8 }"),
    UNARY("tanh", "TanH", ""),
    { .name = "tanh, in place",
      .text = "layer { type: 'TanH' bottom: 'a' top: 'a' }",
      .n_in = 1,
      .in = { { 2, { 3, 1009 } } } },
    { .name = "threshold",
      .text = ONE("Threshold", "threshold_param { threshold: 0.25 }"),
      .n_in = 1,
      .in = { { 2, { 3, 1009 } } },
      .levels = 4,
      .no_backward = true },
    { .name = "prelu",
      .text = ONE("PReLU", ""),
      .n_in = 1,
      .in = { { 4, { 2, 3, 5, 7 } } },
      .levels = 3 },
    { .name = "prelu, shared",
      .text = ONE("PReLU", "prelu_param { channel_shared: true }"),
      .n_in = 1,
      .in = { { 2, { 30, 1009 } } } },
    { .name = "scale and bias of channels",
      .text = ONE("Scale", "scale_param { bias_term: true }"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 67, 71 } } } },
    { .name = "scale and bias, scalar",
      .text = ONE("Scale", "scale_param { num_axes: 0 bias_term: true }"),
      .n_in = 1,
      .in = { { 2, { 30, 1009 } } } },
    { .name = "scale of the last axis",
      .text = ONE("Scale", "scale_param { axis: -1 }"),
      .n_in = 1,
      .in = { { 3, { 5, 7, 130 } } } },
    { .name = "scale by a second bottom",
      .text = TWO("Scale", "scale_param { axis: 0 bias_term: true }"),
      .n_in = 2,
      .in = { { 4, { 2, 3, 5, 7 } }, { 2, { 2, 3 } } },
      .grads = 2 },
    { .name = "scale of each element",
      .text = TWO("Scale", "scale_param { axis: 0 }"),
      .n_in = 2,
      .in = { { 2, { 3, 109 } }, { 2, { 3, 109 } } },
      .grads = 2 },
    { .name = "bias", .text = ONE("Bias", ""), .n_in = 1, .in = { { 4, { 2, 3, 5, 7 } } } },
    { .name = "bias of a second bottom",
      .text = TWO("Bias", "bias_param { axis: 2 }"),
      .n_in = 2,
      .in = { { 4, { 2, 3, 5, 7 } }, { 2, { 5, 7 } } },
      .grads = 2 },
    { .name = "mvn", .text = ONE("MVN", ""), .n_in = 1, .in = { { 4, { 2, 3, 17, 19 } } } },
    { .name = "mvn across channels",
      .text = ONE("MVN", "mvn_param { across_channels: true eps: 0.01 }"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 5, 7 } } } },
    { .name = "mvn, mean only",
      .text = ONE("MVN", "mvn_param { normalize_variance: false }"),
      .n_in = 1,
      .in = { { 3, { 2, 3, 700 } } } },
    { .name = "prelu of 24 channels",
      .text = ONE("PReLU", ""),
      .n_in = 1,
      .in = { { 4, { 2, 24, 5, 7 } } },
      .levels = 3 },
    { .name = "prelu, in place",
      .text = "layer { type: 'PReLU' bottom: 'a' top: 'a' }",
      .n_in = 1,
      .in = { { 4, { 2, 8, 5, 7 } } },
      .no_backward = true },
    { .name = "scale and bias of 40 channels",
      .text = ONE("Scale", "scale_param { bias_term: true }"),
      .n_in = 1,
      .in = { { 4, { 2, 40, 17, 19 } } } },
    { .name = "scale and bias of 300 channels",
      .text = ONE("Scale", "scale_param { bias_term: true }"),
      .n_in = 1,
      .in = { { 4, { 3, 300, 9, 7 } } } },
    { .name = "scale and bias of rows",
      .text = ONE("Scale", "scale_param { bias_term: true }"),
      .n_in = 1,
      .in = { { 2, { 37, 72 } } } },
    { .name = "scale of one channel",
      .text = ONE("Scale", ""),
      .n_in = 1,
      .in = { { 4, { 3, 1, 5, 7 } } } },
    { .name = "scale of no image",
      .text = ONE("Scale", "scale_param { bias_term: true }"),
      .n_in = 1,
      .in = { { 4, { 0, 8, 3, 3 } } } },
    { .name = "channels in blocks", .raw = raw_blocks },
    { .name = NULL },
};
