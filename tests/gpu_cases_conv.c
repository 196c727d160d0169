/* gpu_cases_conv.c - cases of convolutions both ways and of other windows. */
#include "tests/gpu_cases.h"

#define CONV(type, param) \
    "layer { type: '" type "' bottom: 'a' top: 'b' convolution_param { " param " } }"

const struct ot_cuda_case ot_cuda_cases_conv[] = {
    { .name = "deconvolution",
      .text = CONV("Deconvolution", "num_output: 6 kernel_size: 4 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 5, 4, 7 } } } },
    { .name = "deconvolution, groups, dilation and no bias",
      .text = CONV("Deconvolution", "num_output: 6 kernel_size: 3 stride: 2 dilation: 2 group: 2 "
                                    "bias_term: false"),
      .n_in = 1,
      .in = { { 4, { 2, 4, 5, 3 } } } },
    { .name = "deconvolution, one axis",
      .text = CONV("Deconvolution", "num_output: 3 kernel_size: 5 stride: 3 pad: 2"),
      .n_in = 1,
      .in = { { 3, { 3, 2, 11 } } } },
    { .name = "convolution, channels on the third axis",
      .text = CONV("Convolution", "num_output: 6 kernel_size: 3 pad: 1 axis: 2"),
      .n_in = 1,
      .in = { { 5, { 2, 3, 4, 5, 7 } } } },
    { .name = NULL },
};
