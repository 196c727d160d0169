/*
 * geom.h - the sizes a kernel needs, one plain struct per kernel family, shared by the layer,
 * the CPU body, the CUDA body, the tests and the benchmarks.  All sizes are in elements.
 */
#ifndef OT_LAYERS_GEOM_H
#define OT_LAYERS_GEOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a value is stored as. */
enum ot_type {
    OT_F32,
    OT_BF16 /* the upper half of an F32, rounded to nearest even */
};

struct ot_conv_geom {
    int n, c, h, w; /* input */
    int oc, oh, ow; /* output */
    int group;
    int kh, kw, sh, sw, ph, pw, dh, dw; /* dilation 1 = dense, as in Caffe */
    bool bias;
    bool need_dx;  /* a gradient for the input will be asked for */
    bool training; /* false: no backward at all */
    bool relu;     /* y = max(0, conv): the planner fused a following ReLU */
    bool plain;    /* input and output in plain order */
};

struct ot_ip_geom {
    int n, oc; /* rows, outputs */
    int nd;    /* axes of the input beyond the first: (n, dim[0], ..) -> k = product */
    int dim[3];
    bool bias, transpose; /* transpose: weights are (k, oc) instead of (oc, k) */
    bool need_dx, training;
    bool relu;
};

enum ot_pool_kind { OT_POOL_MAX, OT_POOL_AVE };

struct ot_pool_geom {
    enum ot_pool_kind kind;
    int n, c, h, w, oh, ow;
    int kh, kw, sh, sw, ph, pw;
    bool training;
};

/* Batch normalisation over (n, channel, inner), channels as struct ot_format says */
struct ot_bn_geom {
    size_t n, c, inner;
    size_t block; /* channels side by side, as in struct ot_format */
    enum ot_type type;
};

/* Local response normalisation over windows of `size` channels, or size x size places. */
struct ot_lrn_geom {
    size_t n, c, h, w;
    size_t block; /* as in struct ot_format; 1 on CUDA */
    size_t size;  /* odd */
    bool within;  /* a channel, not across channels */
    float k, alpha, beta;
};

/* What a plan tells the net: the formats it wants and the memory it needs. */
struct ot_plan_info {
    const struct ot_format *x, *y, *w; /* of input, output, weights; NULL: plain */
    size_t y_elems, w_elems;           /* physical sizes in those formats */
    size_t scratch_bytes;              /* shared, valid during one kernel call */
    size_t ws_bytes;                   /* kept from forward to backward */
};

enum ot_norm { /* LossParameter.NormalizationMode */
               OT_NORM_FULL = 0,
               OT_NORM_VALID = 1,
               OT_NORM_BATCH_SIZE = 2,
               OT_NORM_NONE = 3,
               OT_NORM_PRE_FIXED = 4
};

/* Scores (outer, c, inner), labels and instance losses (outer, inner). */
struct ot_softmax_loss_geom {
    size_t outer, c, inner;
    bool has_ignore;
    int ignore_label;
    enum ot_norm norm;
    float fixed; /* PRE_FIXED */
    float focal; /* gamma; 0: plain cross entropy */
};

/* A loss of one class label an instance: (outer, c, inner) and labels (outer, inner). */
enum ot_label_loss {
    OT_HINGE_L1,
    OT_HINGE_L2,
    OT_MULTINOMIAL, /* of probabilities */
    OT_INFOGAIN     /* of probabilities; the gradient is that of the scores before softmax */
};

/* A loss of two arrays, element by element; sizes are those of a softmax loss with c == 1. */
enum ot_pair_loss { OT_EUCLIDEAN, OT_SIGMOID_CE };

struct ot_contrastive_geom {
    size_t rows, cols;
    float margin;
    bool legacy; /* max(0, margin - d^2) instead of max(0, margin - d)^2 */
};

/* Filled by the forward of a loss, on the device. */
struct ot_loss_stats {
    double sum;   /* of (weighted) instance losses */
    double valid; /* instances that are not ignored */
    double norm;  /* what the sum was divided by, >= 1 */
    int64_t bad;  /* 1 + index of the first instance with a label outside [0, c); 0: none */
    double bad_label;
};

/* A function of one value; what a, b, c are is said beside each. */
enum ot_unary_kind {
    OT_UNARY_ABS,
    OT_UNARY_BNLL,    /* log(1 + e^x) */
    OT_UNARY_CLIP,    /* into [a, b] */
    OT_UNARY_ELU,     /* x for x > 0, otherwise a (e^x - 1) */
    OT_UNARY_EXP,     /* a e^(b x) */
    OT_UNARY_LINEAR,  /* a x + b */
    OT_UNARY_LOG,     /* a log(b x + c) */
    OT_UNARY_POWER,   /* (b x + c)^a */
    OT_UNARY_SIGMOID, /* 1 / (1 + e^-x) */
    OT_UNARY_SQUARE,  /* (a x + b)^2 */
    OT_UNARY_SWISH,   /* x sigmoid(a x) */
    OT_UNARY_TANH,
    OT_UNARY_THRESHOLD /* 1 for x > a, otherwise 0; no gradient */
};

struct ot_unary {
    enum ot_unary_kind kind;
    float a, b, c;
};

/* An array (outer, c, inner) whose channels lie `block` side by side as struct ot_format has it;
 * block 1: plain order. */
struct ot_channels {
    size_t outer, c, inner, block;
    enum ot_type type;
};

/* What channel_sum adds up. */
enum ot_channel_term {
    OT_TERM_A,     /* a */
    OT_TERM_AB,    /* a b */
    OT_TERM_AB_NEG /* a b except where b > 0 */
};

/* Element (i0, i1, ..) of dim goes from x[sum of i xs] to y[sum of i ys]; a stride may be 0. */
enum { OT_COPY_DIMS = 8 };

struct ot_copy_geom {
    int nd;
    size_t dim[OT_COPY_DIMS], xs[OT_COPY_DIMS], ys[OT_COPY_DIMS];
};

enum ot_reduce_op { OT_REDUCE_SUM, OT_REDUCE_ASUM, OT_REDUCE_SUMSQ };

/* Filled by check_rows, on the device. */
struct ot_bad_row {
    int64_t at; /* 1 + place of the first index outside [0, limit); 0: none */
    double index;
};

struct ot_roi_pool_geom {
    int n, c, h, w; /* features */
    int rois, ph, pw;
    float scale;
};

struct ot_psroi_pool_geom {
    int n, out, group, h, w; /* features: out group^2 channels */
    int rois;
    float scale;
};

/* Anchors around one cell, corners in pixels of the input blob (x1, y1, x2, y2). */
enum { OT_MAX_ANCHORS = 64 };

struct ot_anchors {
    int a; /* how many */
    int stride;
    float box[OT_MAX_ANCHORS][4];
};

/* Anchor labels and targets over an (h, w) map; a total of h * w * anchors.a per image. */
struct ot_anchor_target_geom {
    int n, h, w;
    int gts, gt_cols; /* rows of gt_boxes per image; 5: x1, y1, x2, y2, class; 6: and weight */
    struct ot_anchors anchors;
    double border; /* how far an anchor may stick out of the image */
    double pos_overlap, neg_overlap;
    bool clobber;      /* a low overlap wins over being some box's best anchor */
    int batch, max_fg; /* sampled anchors per image, foreground among them */
    double pos_weight; /* share of the positives in the outside weights; < 0: uniform */
    float inside[4];
    uint64_t seed;
};

struct ot_proposal_geom {
    int n, h, w;
    struct ot_anchors anchors;
    int pre, post; /* boxes before NMS (0: all), rows per image after it */
    float nms_thresh;
    float min_size; /* in pixels of the original image */
};

struct ot_proposal_target_geom {
    int n, rois;       /* images, rows of rois (of all images) */
    int gts, gt_cols;  /* as above */
    int booked;        /* rows of booked RoIs per image, 0: none */
    int classes;       /* background included */
    int box_classes;   /* those with boxes of their own: all, or 2, background and object */
    int batch, max_fg; /* rows per image, foreground among them */
    int min_fg;        /* places that booked background never takes from the foreground */
    double fg_thresh, bg_hi, bg_lo;
    bool append_gt;
    float mean[4], std[4], inside[4];
    uint64_t seed;
};

/* The `keep` hardest of each image among (rois, inner); weights are (rois, channels, inner). */
struct ot_box_annotator_geom {
    size_t rois, inner, channels;
    uint32_t keep;
    float ignore; /* the label of the others */
};

struct ot_detection_geom {
    int n, rois, classes;
    int box_classes; /* as above */
    float score_thresh, nms_thresh;
    int max_per_image; /* rows of the output per image */
    float mean[4], std[4];
};

enum ot_update_kind {
    OT_UPDATE_SGD,
    OT_UPDATE_NESTEROV,
    OT_UPDATE_ADAGRAD,
    OT_UPDATE_RMSPROP,
    OT_UPDATE_ADADELTA,
    OT_UPDATE_ADAM
};

/* How a solver steps, the same in every iteration; formulas: update_math.h. */
struct ot_update_rule {
    enum ot_update_kind kind;
    bool l1;       /* decay by sign */
    int iter_size; /* what the gradient is divided by */
    double clip;   /* of the L2 norm of all gradients; < 0: none */
    float momentum, momentum2, delta, rms_decay;
};

/* What changes from one iteration to the next. */
struct ot_step {
    uint64_t iter;    /* keys the random numbers */
    float lr;         /* the solver's rate */
    float correction; /* Adam: of its bias in the first iterations */
};

/* A row of a solver update: one parameter. */
struct ot_update_seg {
    float *w, *g;  /* value, gradient */
    float *h, *h2; /* histories; h2: AdaDelta and Adam, else NULL */
    size_t n;      /* physical elements */
    float lr_mult; /* of step.lr */
    float decay;   /* multiplier applied */
};

#endif
