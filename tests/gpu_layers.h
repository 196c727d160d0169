/* gpu_layers.h - what the small nets of the CUDA tests are written of, in prototxt. */
#ifndef OT_TESTS_GPU_LAYERS_H
#define OT_TESTS_GPU_LAYERS_H

/* clang-format off */
#define LEARN "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } "
#define CONV(name, in, param)                                                              \
    "layer { name: '" name "' type: 'Convolution' bottom: '" in "' top: '" name "' " LEARN \
    "convolution_param { " param " weight_filler { type: 'msra' } } } "
#define POOL(name, in)                                                           \
    "layer { name: '" name "' type: 'Pooling' bottom: '" in "' top: '" name "' " \
    "pooling_param { kernel_size: 2 stride: 2 } } "
#define RELU(blob) "layer { name: 'r" blob "' type: 'ReLU' bottom: '" blob "' top: '" blob "' } "
#define IP(name, in, n)                                                                     \
    "layer { name: '" name "' type: 'InnerProduct' bottom: '" in "' top: '" name "' " LEARN \
    "inner_product_param { num_output: " n " weight_filler { type: 'msra' } } } "

/* From the features c2 to the losses lc and lb of a region proposal network. */
#define RPN \
    CONV("score", "c2", "per_anchor: 2 kernel_size: 1") \
    CONV("delta", "c2", "per_anchor: 4 kernel_size: 1") \
    "layer { name: 'two' type: 'Reshape' bottom: 'score' top: 'two' reshape_param { shape { " \
    "dim: [0, 2, -1, 0] } } } " \
    "layer { name: 'at' type: 'AnchorTarget' bottom: 'score' bottom: 'gt' bottom: 'info' " \
    "top: 'al' top: 'at' top: 'ai' top: 'ao' anchor_target_param { batch_size: 32 " \
    "allowed_border: 8 positive_overlap: 0.5 } } " \
    "layer { name: 'lc' type: 'SoftmaxWithLoss' bottom: 'two' bottom: 'al' top: 'lc' " \
    "loss_param { ignore_label: -1 } } " \
    "layer { name: 'lb' type: 'SmoothL1Loss' bottom: 'delta' bottom: 'at' bottom: 'ai' " \
    "bottom: 'ao' top: 'lb' smooth_l1_loss_param { sigma: 3 } } "

/* clang-format on */

#endif
