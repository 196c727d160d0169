/*
 * test_cuda.c - CUDA against the CPU, every kernel, from one list of cases.
 *
 * Each case runs on two devices of cuda/'s kernels: a real one where the machine has it, and the
 * same sources compiled for the host (cuda_host.hh), threads ascending and descending.  What is
 * not there skips, and says why.
 */
#include <dlfcn.h>
#include <math.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/check.h"
#include "tests/mininet.h"

/* Defined by cuda_host.cc where there is a C++ compiler. */
struct ot_dev *ot_test_cuda_host(bool descending);
#pragma weak ot_test_cuda_host

enum { RAW = 40000, RAW_OUT = 3 * RAW };

/* Arrays of a case that calls a kernel by itself. */
struct raw {
    float *x, *y, *z;   /* RAW device floats each, random in [-1, 1) */
    double *sum;        /* device, 0.25 */
    float out[RAW_OUT]; /* host: what is compared */
    size_t n_out;
};

struct one {
    const char *name;
    const char *text; /* a layer; or `raw` */
    int n_in;
    struct ot_shape in[4];
    void (*give)(struct ot_mini *m); /* beyond random inputs */
    void (*raw)(struct ot_dev *dev, struct raw *r);
    float lo, hi; /* of random inputs; both 0: -1, 1 */
    int levels;   /* > 0: inputs take so many values only, for ties */
    bool library; /* cuDNN or cuBLAS: needs a device */
    bool no_backward;
    bool test_phase, fused_relu;
    double tol; /* of the largest value; 0: 2e-6 */
};

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
            b[5] = r % 3 == 1 ? 0.25f : 1.0f;
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

    for (size_t r = 0; r < m->in[0].n / 5; r++) {
        float *roi = m->in[0].v + 5 * r;
        const float *b = m->in[1].v + 6 * (r % (m->in[1].n / 6));

        give_boxes(&m->in[1]);
        roi[0] = r % 6 == 5 ? -1.0f : (float)(r % n);
        for (size_t k = 0; k < 4; k++)
            roi[1 + k] = b[k] + 24.0f * ot_rng_unit(11, OT_RNG_TEST, r, k) - 12.0f;
        roi[3] = fmaxf(roi[3], roi[1] + 3.0f);
        roi[4] = fmaxf(roi[4], roi[2] + 3.0f);
    }
    give_info(&m->in[2]);
    for (size_t r = 0; m->nin > 3 && r < m->in[3].n / 5; r++) {
        float *b = m->in[3].v + 5 * r;

        memcpy(b, m->in[0].v + 5 * (3 * r + 1) + 1, 4 * sizeof *b);
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

static void take(struct ot_dev *dev, struct raw *r, const float *from, size_t n)
{
    dev->ops->download(dev, r->out + r->n_out, from, n * sizeof(float));
    r->n_out += n;
}

static void raw_fill(struct ot_dev *dev, struct raw *r)
{
    dev->k->fill(dev, RAW - 5, 0.75f, r->y);
    dev->k->fill(dev, 0, 9.0f, r->x);
    take(dev, r, r->y, RAW);
    take(dev, r, r->x, 5);
}

static void raw_copy(struct ot_dev *dev, struct raw *r)
{
    const struct ot_tensor from = { .elems = 77, .data = r->x }, to = { .elems = 77, .data = r->z };

    dev->k->copy(dev, 1001, r->x + 3, r->y);
    dev->k->copy(dev, 10, r->y, r->y);
    dev->k->reorder(dev, &from, &to);
    take(dev, r, r->y, 2000);
    take(dev, r, r->z, 200);
}

static void raw_axpby(struct ot_dev *dev, struct raw *r)
{
    dev->k->fill(dev, 100, NAN, r->z);
    dev->k->axpby(dev, 100, 0.3f, r->x, 0.0f, r->z); /* whatever was there */
    dev->k->axpby(dev, RAW, 0.7f, r->x, -1.3f, r->y);
    take(dev, r, r->y, RAW);
    take(dev, r, r->z, 101);
}

static void raw_copy2d(struct ot_dev *dev, struct raw *r)
{
    dev->k->copy2d(dev, 37, 11, r->x, 13, 0.0f, r->y + 1, 17);
    dev->k->copy2d(dev, 37, 11, r->x, 11, 0.5f, r->z, 29);
    take(dev, r, r->y, 700);
    take(dev, r, r->z, 1200);
}

static void raw_sumsq(struct ot_dev *dev, struct raw *r)
{
    static const size_t counts[] = { 0, 1, 31, 1000, RAW };
    double sum;

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        dev->k->sumsq(dev, counts[i], r->x, r->sum);
        dev->ops->download(dev, &sum, r->sum, sizeof sum);
        r->out[r->n_out++] = (float)sum;
    }
}

/* More segments than one launch takes, some of them empty. */
static void update(struct ot_dev *dev, struct raw *r, bool l1)
{
    struct ot_update_seg seg[150];
    size_t at = 0;

    for (size_t i = 0; i < 150; i++) {
        size_t n = i % 5 == 4 ? 0 : i * 37 % 400;

        seg[i] = (struct ot_update_seg){ r->x + at, r->y + at,        r->z + at,
                                         n,         0.01f * (float)i, 0.001f * (float)(i % 3) };
        at += n;
    }
    seg[7].n = 0;
    assert_true(at < RAW);
    dev->k->sgd_update(dev, seg, 150, 0.5f, 0.9f, l1);
    take(dev, r, r->x, RAW);
    take(dev, r, r->y, RAW);
    take(dev, r, r->z, RAW);
}

static void raw_update_l2(struct ot_dev *dev, struct raw *r)
{
    update(dev, r, false);
}

static void raw_update_l1(struct ot_dev *dev, struct raw *r)
{
    update(dev, r, true);
}

/* ---- the list ------------------------------------------------------------------------------ */

#define ANCHORS     "anchor_param { feat_stride: 8 base_size: 8 ratio: [0.5, 1, 2] scale: [1, 2.5] } "
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
#define TRAIN_ROWS "top: 't'"
#define THREE_TOPS "top: 't' top: 'p' top: 'i'"

static const struct one cases[] = {
    { .name = "fill", .raw = raw_fill },
    { .name = "copy, reorder", .raw = raw_copy },
    { .name = "axpby", .raw = raw_axpby },
    { .name = "copy2d", .raw = raw_copy2d },
    { .name = "sumsq", .raw = raw_sumsq },
    { .name = "sgd_update, L2", .raw = raw_update_l2 },
    { .name = "sgd_update, L1", .raw = raw_update_l1 },

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
      .in = { { 4, { 2, 3, 11, 7 } } } },

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
      .text = TARGETS("batch_size: 8 positive_overlap: 0.3 clobber_positives: true"),
      .n_in = 3,
      .in = { { 4, { 1, 12, 13, 18 } }, { 3, { 1, 9, 5 } }, { 2, { 1, 3 } } },
      .give = give_anchors,
      .no_backward = true },
    { .name = "proposal",
      .text = PROPOSAL("post_nms_top_n: 50 min_size: 4"),
      .n_in = 3,
      .in = { { 4, { 2, 12, 13, 18 } }, { 4, { 2, 24, 13, 18 } }, { 2, { 2, 3 } } },
      .give = give_proposals,
      .no_backward = true,
      .tol = 1e-5 },
    { .name = "proposal, few before NMS, tied scores, few left",
      .text = PROPOSAL("pre_nms_top_n: 37 post_nms_top_n: 60 nms_thresh: 0.3"),
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
      .text = REGIONS("bottom: 'b' ", "batch_size: 24"),
      .n_in = 4,
      .in = { { 2, { 120, 5 } }, { 3, { 2, 6, 6 } }, { 2, { 2, 3 } }, { 3, { 2, 9, 5 } } },
      .give = give_regions,
      .no_backward = true },
    { .name = "proposal target, more rows than candidates",
      .text = REGIONS("", "batch_size: 64 fg_thresh: 0.3"),
      .n_in = 3,
      .in = { { 2, { 17, 5 } }, { 3, { 1, 6, 6 } }, { 2, { 1, 3 } } },
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
};

enum { CASES = sizeof cases / sizeof cases[0] };

/* ---- running a case ------------------------------------------------------------------------ */

static struct ot_dev *cpu, *gpu, *host[2];
static char why_no_gpu[1200];

static struct ot_mini *open_case(struct ot_dev *dev, const struct one *c)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = {
        .text = c->text, .n_in = c->n_in, .no_grad = ~1u, .seed = 21, .fused_relu = c->fused_relu
    };
    struct ot_mini *m;
    bool plain = c->lo == 0.0f && c->hi == 0.0f;

    if (strstr(c->text, "Concat") || strstr(c->text, "Eltwise"))
        spec.no_grad = 0;
    if (strstr(c->text, "SmoothL1"))
        spec.no_grad = ~3u;
    for (int i = 0; i < c->n_in; i++)
        spec.in[i] = c->in[i];
    m = ot_mini_open(dev, &spec, &err);
    if (!m)
        assert_ok(err.code, &err);
    ot_mini_random(m, 4, plain ? -1.0f : c->lo, plain ? 1.0f : c->hi);
    for (int i = 0; c->levels && i < c->n_in; i++)
        for (size_t k = 0; k < m->in[i].n; k++)
            m->in[i].v[k] = floorf(m->in[i].v[k] * (float)c->levels) / (float)c->levels;
    if (c->give)
        c->give(m);
    return m;
}

static void same(const struct one *c, const char *what, int i, const float *want, const float *got,
                 size_t n)
{
    const double tol = c->tol > 0.0 ? c->tol : 2e-6;
    double most = 0.0;

    for (size_t k = 0; k < n; k++)
        if (isfinite(want[k]))
            most = fmax(most, fabs((double)want[k]));
    for (size_t k = 0; k < n; k++) {
        double e = fabs((double)want[k] - (double)got[k]);

        if (!(e <= tol * most) && !(isnan(want[k]) && isnan(got[k])))
            fail_msg("%s: %s %d[%zu]: the CPU says %.9g, CUDA %.9g", c->name, what, i, k,
                     (double)want[k], (double)got[k]);
    }
}

static void run_layer(struct ot_dev *dev, const struct one *c)
{
    struct ot_mini *a = open_case(cpu, c), *b = open_case(dev, c);
    struct ot_err err = OT_ERR_INIT;
    size_t compared = 0;

    assert_ok(ot_mini_forward(a, &err), &err);
    assert_ok(ot_mini_forward(b, &err), &err);
    for (int i = 0; i < a->nout; i++)
        same(c, "output", i, a->out[i].v, b->out[i].v, a->out[i].n);
    for (int pass = 0; !c->no_backward && pass < 2; pass++) { /* overwrites, then adds */
        a->accumulate = b->accumulate = pass > 0;
        assert_ok(ot_mini_backward(a, &err), &err);
        assert_ok(ot_mini_backward(b, &err), &err);
        for (int i = 0; i < a->nin; i++)
            if (ot_want_in(&a->layer, i)) {
                same(c, "gradient of input", i, a->in_grad[i].v, b->in_grad[i].v, a->in_grad[i].n);
                compared += a->in_grad[i].n;
            }
        for (int i = 0; i < a->nparam; i++)
            same(c, "gradient of parameter", i, a->param_grad[i].v, b->param_grad[i].v,
                 a->param_grad[i].n);
    }
    assert_true(c->no_backward || compared > 0);
    ot_mini_close(a);
    ot_mini_close(b);
}

static void run_raw_on(struct ot_dev *dev, const struct one *c, struct raw *r)
{
    static float init[RAW];
    struct ot_err err = OT_ERR_INIT;
    float **part[3] = { &r->x, &r->y, &r->z };
    const double quarter = 0.25;

    for (uint64_t i = 0; i < 3; i++) {
        *part[i] = dev->ops->alloc(dev, RAW * sizeof(float), &err);
        assert_non_null(*part[i]);
        for (size_t k = 0; k < RAW; k++)
            init[k] = 2.0f * ot_rng_unit(31, OT_RNG_TEST, i, k) - 1.0f;
        dev->ops->upload(dev, *part[i], init, sizeof init);
    }
    r->sum = dev->ops->alloc(dev, sizeof(double), &err);
    dev->ops->upload(dev, r->sum, &quarter, sizeof quarter);
    c->raw(dev, r);
    dev->ops->sync(dev);
    assert_ok(ot_dev_ok(dev, &err), &err);
    for (int i = 0; i < 3; i++)
        dev->ops->free(dev, *part[i]);
    dev->ops->free(dev, r->sum);
}

static void run_raw(struct ot_dev *dev, const struct one *c)
{
    struct ot_err err = OT_ERR_INIT;
    struct raw *a = ot_alloc(1, sizeof *a, &err), *b = ot_alloc(1, sizeof *b, &err);

    assert_true(a && b);
    run_raw_on(cpu, c, a);
    run_raw_on(dev, c, b);
    assert_int_equal(a->n_out, b->n_out);
    assert_true(a->n_out > 0);
    same(c, "result", 0, a->out, b->out, a->n_out);
    ot_free(a);
    ot_free(b);
}

static void on_a_device(void **state)
{
    const struct one *c = *state;

    if (!gpu)
        skip_because("%s", why_no_gpu);
    if (c->raw)
        run_raw(gpu, c);
    else
        run_layer(gpu, c);
}

static void on_the_host(void **state)
{
    const struct one *c = *state;

    if (!host[0])
        skip_because("no C++ compiler when the tests were built");
    if (c->library)
        skip_because("a library's kernel needs a device");
    for (int i = 0; i < 2; i++)
        if (c->raw)
            run_raw(host[i], c);
        else
            run_layer(host[i], c);
}

/* ---- the device itself --------------------------------------------------------------------- */

static void without_a_device_one_line_says_what_is_missing(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char line[1200];

    (void)state;
    if (gpu)
        skip_because("this machine has %s", gpu->name);
    assert_null(ot_dev_open("cuda", 0, &err));
    assert_true(err.code == OT_EDEV || err.code == OT_ENOTSUP);
    (void)ot_err_str(&err, line, sizeof line);
    assert_non_null(strstr(line, "device \"cuda:0\": "));
    assert_null(strchr(line, '\n'));
    assert_int_equal(ot_exit_code(err.code), 69);
}

static void a_device_that_is_not_there_is_refused(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_null(ot_dev_open("cuda:1023", 0, &err));
    assert_error(&err, err.code == OT_EDEV ? OT_EDEV : OT_ENOTSUP, "device \"cuda:1023\": ");
}

static void auto_falls_back_to_the_cpu(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_dev *dev = ot_dev_open("auto", 1, &err);

    (void)state;
    assert_non_null(dev);
    assert_string_equal(dev->name, gpu ? "cuda:0" : "cpu");
    ot_dev_close(dev);
}

static void the_plugins_table_has_a_body_for_every_kernel(void **state)
{
    char path[1100], *slash;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    void *plugin, *const *body;

    (void)state;
    assert_true(n > 0);
    path[n] = '\0';
    slash = strrchr(path, '/');
    (void)snprintf(slash, 64, "/../ohemtrain-cuda.so");
    if (access(path, R_OK))
        skip_because("built without CUDA");
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin)
        skip_because("%s", dlerror());
    body = dlsym(plugin, "ot_cuda_kernels");
    assert_non_null(body);
    for (size_t i = 0; i < sizeof(struct ot_kernels) / sizeof(void *); i++)
        assert_non_null(body[i]);
    assert_non_null(dlsym(plugin, "ot_cuda_plugin_open"));
    (void)dlclose(plugin);
}

/* A kernel cannot fail where it finds bad data; whoever waits next reports it. */
static void report_on(struct ot_dev *dev)
{
    static const float label[4] = { 0, 2, 7, 9 }, score[12] = { 0 };
    struct ot_err err = OT_ERR_INIT;
    float *x = dev->ops->alloc(dev, sizeof score, &err), *y = dev->ops->alloc(dev, 16, &err);
    float *acc = dev->ops->alloc(dev, sizeof *acc, &err);

    dev->ops->upload(dev, x, score, sizeof score);
    dev->ops->upload(dev, y, label, sizeof label);
    dev->k->accuracy(dev, 4, 3, 1, 1, false, 0, x, y, acc, NULL);
    dev->ops->sync(dev);
    assert_int_equal(ot_dev_ok(dev, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "instance 2: label 7 is outside [0, 3)");
    dev->ops->sync(dev);
    assert_ok(ot_dev_ok(dev, &err), &err);
    dev->ops->free(dev, x);
    dev->ops->free(dev, y);
    dev->ops->free(dev, acc);
}

static void bad_data_is_reported_with_its_place_and_value(void **state)
{
    (void)state;
    report_on(cpu);
    if (gpu)
        report_on(gpu);
    if (!host[0])
        skip_because("no C++ compiler when the tests were built");
    report_on(host[0]);
    report_on(host[1]);
}

static int open_all(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    cpu = ot_dev_open("cpu", 2, &err);
    gpu = ot_dev_open("cuda", 0, &err);
    if (!gpu)
        (void)ot_err_str(&err, why_no_gpu, sizeof why_no_gpu);
    for (int i = 0; ot_test_cuda_host && i < 2; i++)
        host[i] = ot_test_cuda_host(i == 1);
    return cpu ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    ot_dev_close(cpu);
    ot_dev_close(gpu);
    ot_dev_close(host[0]);
    ot_dev_close(host[1]);
    return 0;
}

enum { OWN = 5 };

int main(void)
{
    static char names[2 * CASES][96];
    static struct CMUnitTest tests[OWN + 2 * CASES] = {
        cmocka_unit_test(without_a_device_one_line_says_what_is_missing),
        cmocka_unit_test(a_device_that_is_not_there_is_refused),
        cmocka_unit_test(auto_falls_back_to_the_cpu),
        cmocka_unit_test(the_plugins_table_has_a_body_for_every_kernel),
        cmocka_unit_test(bad_data_is_reported_with_its_place_and_value),
    };

    for (size_t i = 0; i < CASES; i++)
        for (size_t where = 0; where < 2; where++) {
            char *name = names[2 * i + where];

            (void)snprintf(name, sizeof names[0], "%s: %s as on the CPU", cases[i].name,
                           where ? "on a device" : "on the host");
            tests[OWN + 2 * i + where] = (struct CMUnitTest){
                name, where ? on_a_device : on_the_host, NULL, NULL, (void *)(uintptr_t)&cases[i]
            };
        }
    return cmocka_run_group_tests(tests, open_all, close_all);
}
