/*
 * gpu_cases_core.c - cases by which CUDA's kernels are compared with the CPU's: what a Faster R-CNN
 * of VGG's kind is made of.
 *
 * Most are layers, since a layer calls its kernels as a net does; some call a kernel alone.
 */
#include <math.h>

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

/* ---- what layers are given ----------------------------------------------------------------- */

static void labels_of(struct ot_mini_array *a, uint32_t classes, uint64_t seed)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(seed, OT_RNG_TEST, 1, i, classes);
}

static void give_labels(struct ot_mini *m)
{
    const struct ot_shape *s = &m->in[0].shape;

    labels_of(&m->in[1], (uint32_t)s->dim[1], 5);
    for (size_t i = 0; i < m->in[1].n; i += 7)
        m->in[1].v[i] = -1.0f; /* ignored where the case says so */
}

static void give_labels_all(struct ot_mini *m)
{
    labels_of(&m->in[1], (uint32_t)m->in[0].shape.dim[1], 6);
}

static void give_rois(struct ot_mini *m)
{
    const struct ot_shape *s = &m->in[0].shape;

    for (size_t r = 0; r < m->in[1].n / 5; r++) {
        float *roi = m->in[1].v + 5 * r, u[4];

        for (size_t k = 0; k < 4; k++)
            u[k] = ot_rng_unit(8, OT_RNG_TEST, r, k);
        roi[0] = r % 5 == 4 ? -1.0f : (float)(r % (size_t)s->dim[0]);
        roi[1] = u[0] * 2.2f * (float)s->dim[3] - 4.0f;
        roi[2] = u[1] * 2.2f * (float)s->dim[2] - 4.0f;
        roi[3] = roi[1] + u[2] * 2.0f * (float)s->dim[3] - 2.0f;
        roi[4] = roi[2] + u[3] * 2.0f * (float)s->dim[2] - 2.0f;
    }
}

/* Boxes x1, y1, x2, y2, class, weight in an image of 100 x 140; every fourth row is unused. */
static void give_boxes(struct ot_mini_array *a)
{
    const size_t cols = (size_t)a->shape.dim[a->shape.nd - 1];

    for (size_t r = 0; r < a->n / cols; r++) {
        float *b = a->v + cols * r, u[4];

        for (size_t k = 0; k < 4; k++)
            u[k] = ot_rng_unit(9, OT_RNG_TEST, r, k);
        b[0] = floorf(u[0] * 100.0f);
        b[1] = floorf(u[1] * 70.0f);
        b[2] = b[0] + 8.0f + floorf(u[2] * 40.0f);
        b[3] = b[1] + 8.0f + floorf(u[3] * 30.0f);
        b[4] = r % 4 == 3 ? -1.0f : (float)(1 + r % 2);
        if (cols > 5)
            b[5] = r % 3 == 1 ? 0.25f : r % 5 == 4 ? 0.0f : 1.0f;
    }
}

static void give_info(struct ot_mini_array *a)
{
    for (size_t i = 0; i < a->n / 3; i++) {
        a->v[3 * i] = 100.0f - 10.0f * (float)i;
        a->v[3 * i + 1] = 140.0f - 20.0f * (float)i;
        a->v[3 * i + 2] = i == 1 ? 1.5f : 1.0f;
    }
}

static void give_anchors(struct ot_mini *m)
{
    give_boxes(&m->in[1]);
    give_info(&m->in[2]);
}

static void give_proposals(struct ot_mini *m)
{
    give_info(&m->in[2]);
}

static void give_regions(struct ot_mini *m)
{
    const size_t n = (size_t)m->in[1].shape.dim[0];

    give_boxes(&m->in[1]);
    for (size_t r = 0; r < m->in[0].n / 5; r++) {
        float *roi = m->in[0].v + 5 * r;
        const float *b = m->in[1].v + 6 * (r % (m->in[1].n / 6));

        roi[0] = r % 6 == 5 ? -1.0f : (float)(r % n);
        for (size_t k = 0; k < 4; k++)
            roi[1 + k] = b[k] + 24.0f * ot_rng_unit(11, OT_RNG_TEST, r, k) - 12.0f;
        roi[3] = fmaxf(roi[3], roi[1] + 3.0f);
        roi[4] = fmaxf(roi[4], roi[2] + 3.0f);
    }
    give_info(&m->in[2]);
    for (size_t r = 0; m->nin > 3 && r < m->in[3].n / 5; r++) {
        float *b = m->in[3].v + 5 * r;

        memcpy(b, m->in[0].v + (15 * r + 5) % m->in[0].n + 1, 4 * sizeof *b);
        b[4] = r % 3 == 0 ? 1.0f : r % 3 == 1 ? 0.5f : 0.0f;
    }
}

static void give_detections(struct ot_mini *m)
{
    const size_t n = (size_t)m->in[3].shape.dim[0];

    for (size_t r = 0; r < m->in[0].n / 5; r++) {
        float *roi = m->in[0].v + 5 * r;

        roi[0] = r % 9 == 8 ? -1.0f : (float)(r * n / (m->in[0].n / 5));
        roi[1] = 90.0f * ot_rng_unit(12, OT_RNG_TEST, r, 0);
        roi[2] = 60.0f * ot_rng_unit(12, OT_RNG_TEST, r, 1);
        roi[3] = roi[1] + 10.0f + 30.0f * ot_rng_unit(12, OT_RNG_TEST, r, 2);
        roi[4] = roi[2] + 10.0f + 30.0f * ot_rng_unit(12, OT_RNG_TEST, r, 3);
    }
    give_info(&m->in[3]);
}

/* ---- kernels by themselves ----------------------------------------------------------------- */

static void take(struct ot_dev *dev, struct ot_cuda_raw *r, const float *from, size_t n)
{
    dev->ops->download(dev, r->out + r->n_out, from, n * sizeof(float));
    r->n_out += n;
}

static void raw_fill(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    dev->k->fill(dev, OT_F32, OT_RAW - 5, 0.75f, r->y);
    dev->k->fill(dev, OT_F32, 0, 9.0f, r->x);
    take(dev, r, r->y, OT_RAW);
    take(dev, r, r->x, 5);
}

static void raw_copy(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    const struct ot_tensor from = { .elems = 77, .data = r->x }, to = { .elems = 77, .data = r->z };

    dev->k->copy(dev, OT_F32, 1001, r->x + 3, r->y);
    dev->k->copy(dev, OT_F32, 10, r->y, r->y);
    dev->k->reorder(dev, &from, &to);
    take(dev, r, r->y, 2000);
    take(dev, r, r->z, 200);
}

static void raw_axpby(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    dev->k->fill(dev, OT_F32, 100, NAN, r->z);
    dev->k->axpby(dev, OT_F32, 100, 0.3f, r->x, 0.0f, r->z); /* whatever was there */
    dev->k->axpby(dev, OT_F32, OT_RAW, 0.7f, r->x, -1.3f, r->y);
    take(dev, r, r->y, OT_RAW);
    take(dev, r, r->z, 101);
}

static void raw_copy2d(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    dev->k->copy2d(dev, OT_F32, 37, 11, r->x, 13, 0.0f, r->y + 1, 17);
    dev->k->copy2d(dev, OT_F32, 37, 11, r->x, 11, 0.5f, r->z, 29);
    take(dev, r, r->y, 700);
    take(dev, r, r->z, 1200);
}

static void raw_grad_norm(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const size_t counts[] = { 0, 1, 31, 1000, OT_RAW };
    double sum;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const struct ot_update_seg seg[2] = { { .g = r->x, .n = counts[i] },
                                              { .g = r->y, .n = counts[i] / 3 } };

        dev->k->grad_norm(dev, seg, 2, r->sum);
        dev->ops->download(dev, &sum, r->sum, sizeof sum);
        r->out[r->n_out++] = (float)sum;
    }
}

/* More segments than one launch takes, some of them empty.  Histories are squares where a root is
 * drawn of them. */
static void update(struct ot_dev *dev, struct ot_cuda_raw *r, enum ot_update_kind kind, bool l1)
{
    const struct ot_update_rule rule = { .kind = kind,
                                         .l1 = l1,
                                         .iter_size = 2,
                                         .clip = 50.0,
                                         .momentum = 0.9f,
                                         .momentum2 = 0.99f,
                                         .delta = 1e-3f,
                                         .rms_decay = 0.95f };
    const struct ot_step step = { .lr = 0.01f, .correction = 0.7f };
    struct ot_update_seg seg[150];
    size_t at = 0;

    if (kind >= OT_UPDATE_ADAGRAD) {
        const float *twice[] = { r->z, r->z };

        dev->k->eltwise_prod_fwd(dev, OT_F32, OT_RAW, 2, twice, r->z);
    }
    for (size_t i = 0; i < 150; i++) {
        size_t n = i % 5 == 4 ? 0 : i * 37 % 200;

        seg[i] = (struct ot_update_seg){ .w = r->x + at,
                                         .g = r->y + at,
                                         .h = r->z + at,
                                         .h2 = r->z + OT_RAW / 2 + at,
                                         .n = n,
                                         .lr_mult = (float)i,
                                         .decay = 0.001f * (float)(i % 3) };
        at += n;
    }
    seg[7].n = 0;
    assert_true(at < OT_RAW / 2);
    ot_dev_step(dev, &step);
    dev->k->grad_norm(dev, seg, 150, r->sum);
    dev->k->solver_update(dev, &rule, seg, 150, r->sum);
    take(dev, r, r->x, OT_RAW);
    take(dev, r, r->y, OT_RAW);
    take(dev, r, r->z, OT_RAW);
}

#define UPDATE(name, kind, l1)                                               \
    static void raw_update_##name(struct ot_dev *dev, struct ot_cuda_raw *r) \
    {                                                                        \
        update(dev, r, kind, l1);                                            \
    }
UPDATE(l2, OT_UPDATE_SGD, false)
UPDATE(l1, OT_UPDATE_SGD, true)
UPDATE(nesterov, OT_UPDATE_NESTEROV, false)
UPDATE(adagrad, OT_UPDATE_ADAGRAD, false)
UPDATE(rmsprop, OT_UPDATE_RMSPROP, false)
UPDATE(adadelta, OT_UPDATE_ADADELTA, true)
UPDATE(adam, OT_UPDATE_ADAM, false)
#undef UPDATE

/* ---- the list ------------------------------------------------------------------------------ */

#define ANCHORS                                                      \
    "anchor_param { feat_stride: 8 base_size: 8 ratio: [0.5, 1, 2] " \
    "scale: [1, 2.5] } "
#define POOL(param) "layer { type: 'Pooling' bottom: 'a' top: 'b' pooling_param { " param " } }"
#define CONV(param) \
    "layer { type: 'Convolution' bottom: 'a' top: 'b' convolution_param { " param " } }"
#define IP(param) \
    "layer { type: 'InnerProduct' bottom: 'a' top: 'b' inner_product_param { " param " } }"
#define LOSS(type, tops, param) \
    "layer { type: '" type "' bottom: 'a' bottom: 'l' " tops " loss_param { " param " } }"
#define TARGETS(param)                                                                            \
    ANCHORS "layer { type: 'AnchorTarget' bottom: 's' bottom: 'g' bottom: 'i' top: 'l' top: 't' " \
            "top: 'n' top: 'o' anchor_target_param { " param " } }"
#define PROPOSAL(param)                                                                       \
    ANCHORS "layer { type: 'Proposal' bottom: 'p' bottom: 'd' bottom: 'i' top: 'r' top: 's' " \
            "proposal_param { " param " } }"
#define REGIONS(more, param)                                                   \
    "layer { type: 'ProposalTarget' bottom: 'r' bottom: 'g' bottom: 'i' " more \
    "top: 'r' top: 'l' top: 't' top: 'i' top: 'o' top: 'm' top: 'w' "          \
    "proposal_target_param { num_classes: 3 " param " } }"
#define DETECT(param)                                                                     \
    "num_classes: 4 layer { type: 'DetectionOutput' bottom: 'r' bottom: 'p' bottom: 'd' " \
    "bottom: 'i' top: 'o' detection_output_param { " param " } }"
#define THREE_TOPS "top: 't' top: 'p' top: 'i'"

const struct ot_cuda_case ot_cuda_cases_core[] = {
    { .name = "fill", .raw = raw_fill },
    { .name = "copy, reorder", .raw = raw_copy },
    { .name = "axpby", .raw = raw_axpby },
    { .name = "copy2d", .raw = raw_copy2d },
    { .name = "sumsq", .raw = raw_grad_norm },
    { .name = "solver_update, SGD, L2", .raw = raw_update_l2 },
    { .name = "solver_update, SGD, L1", .raw = raw_update_l1 },
    { .name = "solver_update, Nesterov", .raw = raw_update_nesterov },
    { .name = "solver_update, AdaGrad", .raw = raw_update_adagrad },
    { .name = "solver_update, RMSProp", .raw = raw_update_rmsprop },
    { .name = "solver_update, AdaDelta", .raw = raw_update_adadelta },
    { .name = "solver_update, Adam", .raw = raw_update_adam },

    { .name = "relu",
      .text = "layer { type: 'ReLU' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 4, { 2, 3, 5, 7 } } } },
    { .name = "relu, leaky, in place",
      .text = "layer { type: 'ReLU' bottom: 'a' top: 'a' relu_param { negative_slope: 0.1 } }",
      .n_in = 1,
      .in = { { 2, { 3, 1009 } } } },
    { .name = "dropout",
      .text = "layer { name: 'd' type: 'Dropout' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 2, { 3, 1009 } } } },
    { .name = "split",
      .text = "layer { type: 'Split' bottom: 'a' top: 'b' top: 'c' top: 'd' }",
      .n_in = 1,
      .in = { { 2, { 3, 37 } } } },
    { .name = "concat",
      .text = "layer { type: 'Concat' bottom: 'a' bottom: 'b' top: 'c' }",
      .n_in = 2,
      .in = { { 3, { 3, 2, 5 } }, { 3, { 3, 4, 5 } } } },
    { .name = "eltwise, product",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'd' "
              "eltwise_param { operation: PROD } }",
      .n_in = 3,
      .in = { { 2, { 3, 67 } }, { 2, { 3, 67 } }, { 2, { 3, 67 } } },
      .lo = 0.5f,
      .hi = 1.5f },
    { .name = "eltwise, product by division",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'd' "
              "eltwise_param { operation: PROD stable_prod_grad: false } }",
      .n_in = 2,
      .in = { { 2, { 3, 67 } }, { 2, { 3, 67 } } },
      .lo = 0.5f,
      .hi = 1.5f },
    { .name = "eltwise, maximum with ties",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'd' "
              "eltwise_param { operation: MAX } }",
      .n_in = 3,
      .in = { { 2, { 3, 67 } }, { 2, { 3, 67 } }, { 2, { 3, 67 } } },
      .levels = 3 },
    { .name = "eltwise, sum",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'd' "
              "eltwise_param { operation: SUM coeff: [0.5, -2] } }",
      .n_in = 2,
      .in = { { 2, { 3, 67 } }, { 2, { 3, 67 } } } },
    { .name = "eltwise, sum and its ReLU",
      .text = "layer { type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 'd' "
              "eltwise_param { operation: SUM coeff: [1, -2, 0.5] } }",
      .n_in = 3,
      .in = { { 2, { 3, 1009 } }, { 2, { 3, 1009 } }, { 2, { 3, 1009 } } },
      .levels = 2,
      .grads = 2,
      .fused_relu = true },

    { .name = "pooling, max 2x2",
      .text = POOL("kernel_size: 2 stride: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 8, 10 } } } },
    { .name = "pooling, max 3x3 over edges, ties",
      .text = POOL("kernel_size: 3 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 5, 11, 7 } } },
      .levels = 4 },
    { .name = "pooling, max 5x2 stride 1x3",
      .text = POOL("kernel_h: 5 kernel_w: 2 stride_h: 1 stride_w: 3 ceil_mode: false"),
      .n_in = 1,
      .in = { { 4, { 1, 3, 9, 13 } } },
      .levels = 3 },
    { .name = "pooling, max with its mask",
      .text = "layer { type: 'Pooling' bottom: 'a' top: 'b' top: 'm' pooling_param { "
              "kernel_size: 3 stride: 2 } }",
      .n_in = 1,
      .in = { { 4, { 2, 3, 7, 9 } } },
      .levels = 5 },
    { .name = "pooling, global max",
      .text = POOL("global_pooling: true"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 7, 9 } } } },
    { .name = "pooling, average 3x3 over edges",
      .text = POOL("pool: AVE kernel_size: 3 stride: 2 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 10, 8 } } } },

    { .name = "softmax, rows",
      .text = "layer { type: 'Softmax' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 2, { 13, 10 } } },
      .lo = -8,
      .hi = 8 },
    { .name = "softmax, long rows",
      .text = "layer { type: 'Softmax' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 2, { 3, 1009 } } },
      .lo = -8,
      .hi = 8 },
    { .name = "softmax, columns",
      .text = "layer { type: 'Softmax' bottom: 'a' top: 'b' }",
      .n_in = 1,
      .in = { { 4, { 2, 5, 7, 11 } } },
      .lo = -8,
      .hi = 8 },

    { .name = "softmax loss, rows",
      .text = LOSS("SoftmaxWithLoss", "top: 't'", ""),
      .n_in = 2,
      .in = { { 2, { 67, 10 } }, { 1, { 67 } } },
      .give = give_labels_all,
      .lo = -6,
      .hi = 6 },
    { .name = "softmax loss, one row of one class",
      .text = LOSS("SoftmaxWithLoss", "top: 't'", ""),
      .n_in = 2,
      .in = { { 2, { 1, 1 } }, { 1, { 1 } } },
      .give = give_labels_all },
    { .name = "OHEM loss, rows, ignored",
      .text = LOSS("SoftmaxWithLossOHEM", THREE_TOPS, "ignore_label: -1"),
      .n_in = 2,
      .in = { { 2, { 1500, 33 } }, { 1, { 1500 } } },
      .give = give_labels,
      .lo = -6,
      .hi = 6 },
    { .name = "OHEM loss, pixels, ignored, full",
      .text = LOSS("SoftmaxWithLossOHEM", THREE_TOPS, "ignore_label: -1 normalization: FULL"),
      .n_in = 2,
      .in = { { 4, { 2, 5, 31, 17 } }, { 4, { 2, 1, 31, 17 } } },
      .give = give_labels,
      .lo = -90,
      .hi = 90 },
    { .name = "OHEM loss, per image",
      .text = LOSS("SoftmaxWithLossOHEM", THREE_TOPS, "ignore_label: -1 normalization: BATCH_SIZE"),
      .n_in = 2,
      .in = { { 4, { 3, 2, 9, 5 } }, { 4, { 3, 1, 9, 5 } } },
      .give = give_labels },
    { .name = "OHEM loss, focal, rows",
      .text = LOSS("SoftmaxWithLossOHEM", THREE_TOPS, "ignore_label: -1 focal_gamma: 2"),
      .n_in = 2,
      .in = { { 2, { 301, 21 } }, { 1, { 301 } } },
      .give = give_labels,
      .lo = -6,
      .hi = 6 },
    { .name = "OHEM loss, focal, pixels",
      .text = LOSS("SoftmaxWithLossOHEM", THREE_TOPS, "ignore_label: -1 focal_gamma: 0.5"),
      .n_in = 2,
      .in = { { 4, { 2, 5, 31, 17 } }, { 4, { 2, 1, 31, 17 } } },
      .give = give_labels,
      .lo = -90,
      .hi = 90 },
    { .name = "smooth L1",
      .text = "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' top: 't' loss_weight: 0.5 "
              "smooth_l1_loss_param { sigma: 3 } }",
      .n_in = 2,
      .in = { { 2, { 7, 84 } }, { 2, { 7, 84 } } } },
    { .name = "smooth L1, weighted",
      .text = "layer { type: 'SmoothL1Loss' bottom: 'a' bottom: 'b' bottom: 'i' bottom: 'o' "
              "top: 't' }",
      .n_in = 4,
      .in = { { 4, { 2, 8, 9, 5 } },
              { 4, { 2, 8, 9, 5 } },
              { 4, { 2, 8, 9, 5 } },
              { 4, { 2, 8, 9, 5 } } },
      .lo = -3,
      .hi = 3 },
    { .name = "accuracy, ties are wrong",
      .text = "layer { type: 'Accuracy' bottom: 'a' bottom: 'l' top: 't' top: 'c' }",
      .n_in = 2,
      .in = { { 2, { 97, 6 } }, { 1, { 97 } } },
      .give = give_labels_all,
      .levels = 9,
      .no_backward = true },
    { .name = "accuracy, top 3 of pixels, ignored",
      .text = "layer { type: 'Accuracy' bottom: 'a' bottom: 'l' top: 't' "
              "accuracy_param { top_k: 3 ignore_label: -1 } }",
      .n_in = 2,
      .in = { { 4, { 2, 7, 5, 3 } }, { 4, { 2, 1, 5, 3 } } },
      .give = give_labels,
      .no_backward = true },

    { .name = "RoI pooling",
      .text = "layer { type: 'ROIPooling' bottom: 'x' bottom: 'r' top: 'y' roi_pooling_param { "
              "pooled_h: 3 pooled_w: 4 spatial_scale: 0.5 } }",
      .n_in = 2,
      .in = { { 4, { 2, 3, 9, 13 } }, { 2, { 23, 5 } } },
      .give = give_rois,
      .levels = 6 },
    { .name = "RoI pooling, more bins than cells",
      .text = "layer { type: 'ROIPooling' bottom: 'x' bottom: 'r' top: 'y' roi_pooling_param { "
              "pooled_h: 7 pooled_w: 7 spatial_scale: 0.25 } }",
      .n_in = 2,
      .in = { { 4, { 1, 2, 4, 5 } }, { 2, { 11, 5 } } },
      .give = give_rois },
    { .name = "anchor target, everything",
      .text = TARGETS("batch_size: 100000"),
      .n_in = 3,
      .in = { { 4, { 2, 12, 13, 18 } }, { 3, { 2, 9, 6 } }, { 2, { 2, 3 } } },
      .give = give_anchors,
      .no_backward = true },
    { .name = "anchor target, sampled, weighted",
      .text = TARGETS("batch_size: 64 positive_overlap: 0.4 positive_weight: 0.3"),
      .n_in = 3,
      .in = { { 4, { 2, 12, 13, 18 } }, { 3, { 2, 9, 6 } }, { 2, { 2, 3 } } },
      .give = give_anchors,
      .no_backward = true },
    { .name = "anchor target, few foreground",
      .text = TARGETS("batch_size: 8 negative_overlap: 0.55 clobber_positives: true"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 13, 18 } }, { 3, { 1, 9, 5 } }, { 2, { 1, 3 } } },
      .give = give_anchors,
      .no_backward = true },
    { .name = "proposal",
      .text = PROPOSAL("post_nms_top_n: 900 nms_thresh: 0.5 min_size: 4"),
      .n_in = 3,
      .in = { { 4, { 2, 12, 13, 18 } }, { 4, { 2, 24, 13, 18 } }, { 2, { 2, 3 } } },
      .give = give_proposals,
      .no_backward = true,
      .tol = 1e-5 },
    { .name = "proposal, few before NMS, tied scores, few left",
      .text = PROPOSAL("pre_nms_top_n: 37 post_nms_top_n: 60 min_size: 1"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 5, 7 } }, { 4, { 1, 24, 5, 7 } }, { 2, { 1, 3 } } },
      .give = give_proposals,
      .no_backward = true,
      .levels = 5,
      .tol = 1e-5 },
    { .name = "proposal target",
      .text = REGIONS("", "batch_size: 32"),
      .n_in = 3,
      .in = { { 2, { 120, 5 } }, { 3, { 2, 6, 6 } }, { 2, { 2, 3 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, booked",
      .text = REGIONS("bottom: 'b' ", "batch_size: 24 bg_thresh_lo: 0.1"),
      .n_in = 4,
      .in = { { 2, { 120, 5 } }, { 3, { 2, 6, 6 } }, { 2, { 2, 3 } }, { 3, { 2, 9, 5 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, booked take all but a quarter",
      .text = REGIONS("bottom: 'b' ", "batch_size: 4"),
      .n_in = 4,
      .in = { { 2, { 120, 5 } }, { 3, { 2, 6, 6 } }, { 2, { 2, 3 } }, { 3, { 2, 30, 5 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, many candidates",
      .text = REGIONS("", "batch_size: 700 fg_fraction: 0.5"),
      .n_in = 3,
      .in = { { 2, { 1900, 5 } }, { 3, { 1, 6, 6 } }, { 2, { 1, 3 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, more rows than candidates",
      .text = REGIONS("", "batch_size: 64 fg_thresh: 0.3"),
      .n_in = 3,
      .in = { { 2, { 17, 5 } }, { 3, { 1, 6, 6 } }, { 2, { 1, 3 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, one box for all classes",
      .text = REGIONS("", "batch_size: 32 class_agnostic: true"),
      .n_in = 3,
      .in = { { 2, { 120, 5 } }, { 3, { 2, 6, 6 } }, { 2, { 2, 3 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "detection output",
      .text = DETECT("max_per_image: 40"),
      .n_in = 4,
      .in = { { 2, { 150, 5 } }, { 2, { 150, 4 } }, { 2, { 150, 16 } }, { 2, { 2, 3 } } },
      .give = give_detections,
      .no_backward = true,
      .lo = 0,
      .hi = 1,
      .tol = 1e-5 },
    { .name = "detection output, one box for all classes",
      .text = DETECT("max_per_image: 40 class_agnostic: true"),
      .n_in = 4,
      .in = { { 2, { 150, 5 } }, { 2, { 150, 4 } }, { 2, { 150, 8 } }, { 2, { 2, 3 } } },
      .give = give_detections,
      .no_backward = true,
      .lo = 0,
      .hi = 1,
      .tol = 1e-5 },
    { .name = "detection output, tied scores, room left",
      .text = DETECT("max_per_image: 300 nms_thresh: 0.1 score_thresh: 0.6"),
      .n_in = 4,
      .in = { { 2, { 61, 5 } }, { 2, { 61, 4 } }, { 2, { 61, 16 } }, { 2, { 1, 3 } } },
      .give = give_detections,
      .no_backward = true,
      .lo = 0,
      .hi = 1,
      .levels = 4,
      .tol = 1e-5 },

    { .name = "convolution 3x3",
      .text = CONV("num_output: 8 kernel_size: 3 pad: 1"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 13, 11 } } },
      .library = true,
      .tol = 1e-5 },
    { .name = "convolution 5x3, stride 2, no bias, fused ReLU",
      .text = CONV("num_output: 7 kernel_h: 5 kernel_w: 3 stride: 2 bias_term: false"),
      .n_in = 1,
      .in = { { 4, { 1, 4, 17, 19 } } },
      .library = true,
      .fused_relu = true,
      .tol = 1e-5 },
    { .name = "convolution, groups",
      .text = CONV("num_output: 6 kernel_size: 3 group: 3"),
      .n_in = 1,
      .in = { { 4, { 2, 9, 9, 10 } } },
      .library = true,
      .tol = 1e-5 },
    { .name = "convolution, dilated",
      .text = CONV("num_output: 5 kernel_size: 3 pad: 2 dilation: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 4, 9, 10 } } },
      .library = true,
      .tol = 1e-5 },
    { .name = "inner product",
      .text = IP("num_output: 10"),
      .n_in = 1,
      .in = { { 4, { 7, 3, 4, 5 } } },
      .library = true,
      .tol = 1e-5 },
    { .name = "inner product, transposed, no bias",
      .text = IP("num_output: 13 bias_term: false transpose: true"),
      .n_in = 1,
      .in = { { 2, { 5, 31 } } },
      .library = true,
      .tol = 1e-5 },
    { .name = NULL },
};
