/* gpu_cases_conv.c - cases of convolutions both ways and of other windows. */
#include "tests/gpu_cases.h"

#define CONV(type, param) \
    "layer { type: '" type "' bottom: 'a' top: 'b' convolution_param { " param " } }"

static void raw_weighted(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    const struct ot_pool_geom g = { .kind = OT_POOL_MAX,
                                    .n = 3,
                                    .c = 5,
                                    .h = 17,
                                    .w = 11,
                                    .oh = 8,
                                    .ow = 5,
                                    .kh = 3,
                                    .kw = 3,
                                    .sh = 2,
                                    .sw = 2 };

    dev->k->pool_weighted(dev, &g, r->x, r->z);
    r->n_out = (size_t)3 * 5 * 8 * 5;
    dev->ops->download(dev, r->out, r->z, r->n_out * sizeof(float));
}

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
    { .name = "im2col",
      .text = CONV("Im2col", "kernel_size: 3 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 3, 4, 9, 11 } } } },
    { .name = "im2col, dilated, one axis",
      .text = CONV("Im2col", "kernel_size: 3 dilation: 2 axis: 2"),
      .n_in = 1,
      .in = { { 4, { 3, 4, 5, 11 } } } },
    { .name = "spatial pyramid of maxima",
      .text = "layer { type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 3 } }",
      .n_in = 1,
      .in = { { 4, { 3, 5, 13, 9 } } },
      .levels = 4 },
    { .name = "spatial pyramid of averages",
      .text =
          "layer { type: 'SPP' bottom: 'a' top: 'b' spp_param { pyramid_height: 2 pool: AVE } }",
      .n_in = 1,
      .in = { { 4, { 3, 5, 13, 9 } } } },
    { .name = "stochastic pooling",
      .text = "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { pool: STOCHASTIC "
              "kernel_size: 3 stride: 2 } }",
      .n_in = 1,
      .in = { { 4, { 3, 5, 13, 10 } } },
      .lo = 0,
      .hi = 1 },
    { .name = "stochastic pooling's averages", .raw = raw_weighted },
    { .name = NULL },
};
