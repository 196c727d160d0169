/*
 * gpu_cases_format.c - cases of the formats in which CUDA keeps blobs: conversions between them,
 * and layers whose kernels have a way of their own for channels side by side (test_cuda gives each
 * of them plain inputs, channels last, and bf16).  Channels that fill vectors of 16 bytes, and
 * others.
 */
#include "tests/check.h"
#include "tests/gpu_cases.h"

static void take(struct ot_dev *dev, struct ot_cuda_raw *r, const float *from, size_t n)
{
    dev->ops->download(dev, r->out + r->n_out, from, n * sizeof(float));
    r->n_out += n;
}

/* Through channels last and bf16 and back to plain F32: small whole numbers come back as they were.
 * Shapes take each kind of tile, several of them, and none. */
static void raw_reorder(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const struct ot_shape shapes[] = {
        { 4, { 2, 3, 40, 41 } }, { 4, { 2, 130, 3, 3 } }, { 3, { 3, 65, 70 } },
        { 4, { 1, 2, 61, 59 } }, { 4, { 3, 8, 1, 1 } },   { 4, { 5, 1, 7, 11 } },
        { 2, { 13, 17 } },       { 4, { 0, 3, 5, 5 } },
    };
    static const bool last[] = { true, false, true, true };

    static const enum ot_type types[] = { OT_F32, OT_BF16, OT_BF16, OT_F32 };

    static float numbers[OT_RAW];

    for (size_t i = 0; i < OT_RAW; i++)
        numbers[i] = (float)(i * 37 % 251) - 125.0f;
    dev->ops->upload(dev, r->x, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t n = ot_count(&shapes[i]);
        struct ot_tensor from = { .shape = shapes[i], .elems = n, .data = r->x }, to = from;

        for (size_t k = 0; k < 5; k++) { /* between y and z, the last one plain */
            to.fmt = NULL;
            to.data = k % 2 ? r->z : r->y;
            if (k < 4)
                dev->k->format_of(dev, &shapes[i], last[k], types[k], &to.fmt);
            dev->k->reorder(dev, &from, &to);
            from = to;
        }
        take(dev, r, r->y, n);
    }
}

/* Every kernel that takes a type, with lengths that leave a rest and addresses that are odd. */
static void raw_bf16(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const size_t lengths[] = { 0, 1, 7, 8, 9, 1003, 4096 };
    const struct ot_kernels *k = dev->k;
    const struct ot_shape all = { 1, { OT_RAW } };
    struct ot_tensor wide = { .shape = all, .elems = OT_RAW, .data = r->x }, narrow = wide;
    enum ot_type type;
    float *x, *y;

    k->format_of(dev, &all, false, OT_BF16, &narrow.fmt); /* plain F32 on the CPU */
    type = ot_type_of(narrow.fmt);
    narrow.data = r->z;
    k->fill(dev, OT_F32, OT_RAW, 0.5f, r->y);
    k->axpby(dev, OT_F32, OT_RAW, 0.25f, r->y, 0.0f, r->x); /* 1/8: exact in bf16, as all below */
    k->reorder(dev, &wide, &narrow);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t odd = 0; odd < 2; odd++) {
            const size_t n = lengths[i], at = (i * 2 + odd) * 2500 + odd;
            const float *in[2];

            x = (float *)(void *)((char *)r->z + at * ot_type_bytes(type));
            y = (float *)(void *)((char *)x + 1200 * ot_type_bytes(type));
            in[0] = x;
            in[1] = y;
            if (n > 1200)
                continue;
            k->fill(dev, type, n, 3.0f, x);
            k->copy(dev, type, n, x, y);
            k->axpby(dev, type, n, 2.0f, x, 0.5f, y);
            k->copy2d(dev, type, n / 8, 4, x, 8, 1.0f, y, 8);
            k->eltwise_sum(dev, type, n, 2, in, NULL, true, x);
            k->relu_fwd(dev, type, n, 0.5f, x, x);
        }
    k->reorder(dev, &narrow, &wide);
    take(dev, r, r->x, OT_RAW);
}

#define POOL(param) "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { " param " } }"

const struct ot_cuda_case ot_cuda_cases_format[] = {
    { .name = "reorder", .raw = raw_reorder },
    { .name = "bf16", .raw = raw_bf16 },
    { .name = "relu of 8 channels",
      .text = "layer { type: 'ReLU' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 4, { 2, 8, 5, 7 } } } },
    { .name = "relu of nothing",
      .text = "layer { type: 'ReLU' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 4, { 0, 8, 5, 7 } } } },
    { .name = "dropout of planes",
      .text = "layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 4, { 3, 17, 5, 7 } } } },
    { .name = "dropout of 16 channels, in place",
      .text = "layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'a' }",
      .n_in = 1,
      .in = { { 4, { 3, 16, 5, 7 } } },
      .no_backward = true },
    { .name = "split of planes",
      .text = "layer { type: 'Split' bottom: 'a' top: 'b' top: 'c' top: 'd' }",
      .n_in = 1,
      .in = { { 4, { 2, 8, 3, 7 } } } },
    { .name = "concat of channels",
      .text = "layer { type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'd' }",
      .n_in = 3,
      .in = { { 4, { 2, 8, 5, 3 } }, { 4, { 2, 16, 5, 3 } }, { 4, { 2, 8, 5, 3 } } } },
    { .name = "concat of odd channels",
      .text = "layer { type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'd' }",
      .n_in = 3,
      .in = { { 4, { 2, 5, 5, 3 } }, { 4, { 2, 1, 5, 3 } }, { 4, { 2, 17, 5, 3 } } } },
    { .name = "concat of images",
      .text = "layer { type: 'Concat' bottom: 'a' bottom: 'b' top: 'd' "
              "concat_param { axis: 0 } }",
      .n_in = 2,
      .in = { { 4, { 2, 8, 5, 3 } }, { 4, { 1, 8, 5, 3 } } } },
    { .name = "concat of rows of pixels",
      .text = "layer { type: 'Concat' bottom: 'a' bottom: 'b' top: 'd' "
              "concat_param { axis: 2 } }",
      .n_in = 2,
      .in = { { 4, { 2, 8, 5, 3 } }, { 4, { 2, 8, 2, 3 } } } },
    { .name = "slice of channels",
      .text = "layer { type: 'Slice' bottom: 'a' top: 'b' top: 'c' top: 'd' "
              "slice_param { slice_point: [8, 9] } }",
      .n_in = 1,
      .in = { { 4, { 2, 17, 5, 3 } } } },
    { .name = "slice of 32 channels",
      .text = "layer { type: 'Slice' bottom: 'a' top: 'b' top: 'c' }",
      .n_in = 1,
      .in = { { 4, { 2, 32, 5, 3 } } } },
    { .name = "slice of images",
      .text = "layer { type: 'Slice' bottom: 'a' top: 'b' top: 'c' "
              "slice_param { axis: 0 slice_point: 1 } }",
      .n_in = 1,
      .in = { { 4, { 3, 8, 5, 3 } } } },
    { .name = "eltwise of planes, sum",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'd' }",
      .n_in = 2,
      .in = { { 4, { 2, 8, 5, 7 } }, { 4, { 2, 8, 5, 7 } } } },
    { .name = "eltwise of planes, maximum",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'd' "
              "eltwise_param { operation: MAX } }",
      .n_in = 2,
      .in = { { 4, { 2, 3, 5, 7 } }, { 4, { 2, 3, 5, 7 } } },
      .levels = 3 },
    { .name = "pooling of 8 channels, max 2x2",
      .text = POOL("kernel_size: 2 stride: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 8, 8, 10 } } } },
    { .name = "pooling of 24 channels, max 3x3, ties",
      .text = POOL("kernel_size: 3 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 24, 11, 7 } } },
      .levels = 4 },
    { .name = "pooling of 65 channels, max 3x2",
      .text = POOL("kernel_h: 3 kernel_w: 2 stride: 2 ceil_mode: false"),
      .n_in = 1,
      .in = { { 4, { 1, 65, 9, 6 } } } },
    { .name = "pooling of 16 channels, average over edges",
      .text = POOL("pool: AVE kernel_size: 3 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 16, 10, 8 } } } },
    { .name = "pooling of 32 channels, all average",
      .text = POOL("pool: AVE global_pooling: true"),
      .n_in = 1,
      .in = { { 4, { 3, 32, 7, 7 } } } },
    { .name = "pooling of 17 channels, all average",
      .text = POOL("pool: AVE global_pooling: true"),
      .n_in = 1,
      .in = { { 4, { 3, 17, 7, 7 } } } },
    { .name = "pooling of one place",
      .text = POOL("pool: AVE kernel_size: 2 stride: 1 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 8, 1, 1 } } } },
    { .name = "pooling of no image",
      .text = POOL("kernel_size: 2 stride: 2"),
      .n_in = 1,
      .in = { { 4, { 0, 8, 4, 4 } } } },
    { .name = NULL },
};
