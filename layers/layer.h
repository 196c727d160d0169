/*
 * layer.h - what a layer is.
 *
 * A layer is a node of the net: it turns input blobs (Caffe: bottoms) into output blobs (tops)
 * and gradients back.  It is written once, for every device: arithmetic goes through l->dev->k,
 * never through #ifdef.  The net (trainer/net.c) does what all layers have in common: names,
 * arity, fan-out (Split), in-place legality, memory, error context, timing, format conversions.
 *
 * The life of a layer, all calls in this order:
 *   setup    once: reads its message, declares parameters with ot_layer_param(); in[] have shapes
 *   reshape  whenever an input shape changed: sets out[i]->data.shape (no arithmetic, no memory);
 *            asks for kept memory with ws_bytes[]
 *   plan     after every reshape, in net order: makes kernel plans, chooses formats
 *   forward, backward   as often as wanted; allocate nothing
 *   release  frees what hangs on `state` (not state itself)
 *
 * A layer whose output's size depends on values (OT_LAYER_DYNAMIC: Filter) gives the largest shape
 * in its first reshape and the last forward's shape in later ones of the same input; forward sets
 * shape and elems of its plain outputs, and the net reshapes and plans what comes after it.
 *
 * Gradients: backward OVERWRITES in[i]->grad (fan-out goes through Split, as in Caffe) of every
 * input with in[i]->need_grad, and for parameters follows ot_param_beta(): the first writer of an
 * iteration overwrites, later ones add.  For a loss output the net has set out[i]->grad[0] to the
 * loss weight.
 *
 * Formats: a layer without `plan` reads and writes plain order.  With OT_LAYER_ANY_FORMAT and no
 * `plan` it runs over physical elements in whatever format in[0] has (all inputs get in[0]'s), if
 * these are F32 or it has OT_LAYER_ANY_TYPE too.
 * With `plan` it looks at in[i]->data.fmt, says what it wants to read in l->in_fmt[i], and sets
 * out[i]->data.fmt and .elems; the net converts where they differ.  A blob's gradient has the
 * format of its data.  For a parameter, plan sets l->param[i]->data.fmt and .elems (plain unless
 * it does) to the format it wants to read values and write gradients in; the net converts when it
 * loads, saves or shares.
 *
 * Ownership: the net owns blobs, params and the layer; a layer borrows them for the net's life.
 * Threads: all calls come from the thread that owns the net.
 * Errors: setup, reshape and plan say what is wrong with the user's value; the net adds file,
 *         line and the layer's name.
 */
#ifndef OT_LAYERS_LAYER_H
#define OT_LAYERS_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "layers/device.h"
#include "layers/feed.h"
#include "layers/tensor.h"
#include "proto/caffe.pb-c.h"
#include "proto/text.h"

enum { OT_MAX_IO = 32, OT_MAX_PARAM = 8, OT_MAX_WS = 4, OT_MAX_HIST = 2 };

struct ot_blob {
    const char *name;
    struct ot_tensor data, grad; /* grad.shape, .fmt, .elems follow data */
    bool need_grad;              /* somebody upstream wants this gradient */
};

struct ot_param {
    const char *layer; /* owner's name */
    const char *name;  /* ParamSpec.name, or NULL: not shared */
    int index;         /* i-th blob of its layer, as in a .caffemodel */
    struct ot_tensor data, grad;
    float lr_mult, decay_mult;
    bool need_grad; /* false when frozen: lr_mult 0 */
    bool grad_zero; /* the gradient is logically zero: the next writer overwrites */
    const Caffe__FillerParameter *filler; /* borrowed; NULL: zeros */
    float *hist[OT_MAX_HIST]; /* the solver's memory, in data's format; NULL: none yet */
    struct ot_param *owner;   /* itself, or the parameter it shares values with */
    struct ot_param *base;    /* whose buffers these are: itself, or owner when formats agree */
};

/* 0 when the gradient must be overwritten, 1 when it must be added to; clears grad_zero. */
static inline float ot_param_beta(struct ot_param *p)
{
    float beta = p->base->grad_zero ? 0.0f : 1.0f;

    p->base->grad_zero = false;
    return beta;
}

/* What all layers of a net may know; owned by the net. */
struct ot_net_env {
    struct ot_dev *dev;
    Caffe__Phase phase;
    uint64_t seed;
    uint64_t iter;                  /* of the solver; counts sub-iterations of iter_size too */
    const Caffe__NetParameter *net; /* num_classes, anchor_param */
    const struct ot_doc *doc;       /* for ot_doc_loc(); NULL for nets made in memory */
    struct ot_feed_door *door;      /* where data layers get their feed; NULL: none */
    bool frozen_stats;              /* re-injected passes leave running statistics alone */
    float mining_min_fg;            /* least foreground share when booked RoIs take places; 0.25 */
};

struct ot_layer {
    const struct ot_layer_ops *ops;
    const char *name;
    const Caffe__LayerParameter *conf;
    struct ot_loc loc; /* where the user wrote the layer */
    struct ot_net_env *env;
    struct ot_dev *dev; /* == env->dev */
    struct ot_blob *in[OT_MAX_IO], *out[OT_MAX_IO];
    int nin, nout;
    struct ot_param *param[OT_MAX_PARAM];
    int nparam;
    float loss_weight[OT_MAX_IO]; /* of each output; set before setup */
    uint64_t stream;              /* the layer's own random stream: a hash of its name */
    const struct ot_format *in_fmt[OT_MAX_IO]; /* set by plan */
    size_t ws_bytes[OT_MAX_WS]; /* set by reshape or plan: kept from forward to backward */
    void *ws[OT_MAX_WS];        /* device memory of that size */
    size_t scratch_bytes;       /* set by plan: needed during one call only */
    void *scratch;
    double flops;      /* of one forward, set by reshape or plan; for --check */
    bool refuses_relu; /* set by setup: FUSES_RELU and _SPLIT do not hold for what it computes */
    /* set by the net before plan */
    bool fused_relu;              /* apply ReLU to out[0] */
    struct ot_layer *fused_scale; /* NULL, or a Scale of channels whose parameters to apply too */
    bool fused_sum;               /* add in[nin], a blob like in[0], before the ReLU */
    struct ot_layer *fused_split; /* NULL, or out[0]'s gradient is that of its two outputs' sum */
    unsigned reads; /* which of BWD_NEEDS_IN, _OUT hold: ops->flags', but plan may say otherwise */
    void *state;    /* ops->state_size bytes, zeroed before setup */
};

enum {
    OT_LAYER_LOSS = 1u << 0,          /* out[0] has loss weight 1 unless the user says otherwise */
    OT_LAYER_INPLACE = 1u << 1,       /* in[0] and out[0] may be the same memory */
    OT_LAYER_DATA = 1u << 2,          /* no inputs; filled by a feed */
    OT_LAYER_ANY_FORMAT = 1u << 3,    /* runs over physical elements */
    OT_LAYER_NO_BACKWARD = 1u << 4,   /* never passes a gradient: labels, targets, proposals */
    OT_LAYER_ALIAS = 1u << 5,         /* every out[i]->data is in[0]'s memory (Reshape, Split) */
    OT_LAYER_FUSES_RELU = 1u << 6,    /* understands fused_relu */
    OT_LAYER_BWD_NEEDS_IN = 1u << 7,  /* backward reads in[i]->data */
    OT_LAYER_BWD_NEEDS_OUT = 1u << 8, /* backward reads out[i]->data */
    OT_LAYER_DYNAMIC = 1u << 9,       /* forward may give outputs fewer items than reshape did */
    OT_LAYER_ANY_TYPE = 1u << 10,     /* with ANY_FORMAT: whatever the type of the elements is */
    OT_LAYER_MASKS_RELU = 1u << 11,   /* backward too does the fused ReLU's part */
    OT_LAYER_FUSES_SCALE = 1u << 12,  /* understands fused_scale, and fused_relu with it only */
    OT_LAYER_FUSES_SUM = 1u << 13,    /* the same of fused_sum */
    OT_LAYER_FUSES_SPLIT = 1u << 14 /* understands fused_split, with FUSES_SUM and fused_sum only */
};

struct ot_layer_ops {
    const char *type; /* the name in a prototxt */
    const char *doc;  /* one line, for `ohemtrain layers` */
    size_t state_size;
    int min_in, max_in, min_out, max_out;
    unsigned flags;
    int no_grad_in; /* bit i: in[i] can never receive a gradient (labels, rois) */
    int (*setup)(struct ot_layer *l, struct ot_err *err); /* NULL: nothing to set up */
    int (*reshape)(struct ot_layer *l, struct ot_err *err);
    int (*plan)(struct ot_layer *l, struct ot_err *err); /* NULL: see Formats above */
    void (*forward)(struct ot_layer *l);
    void (*backward)(struct ot_layer *l);                 /* NULL: not differentiable */
    int (*check)(struct ot_layer *l, struct ot_err *err); /* NULL; after forward, when the host
                                                             may look: bad labels and the like */
    void (*release)(struct ot_layer *l);                  /* NULL: nothing to release */
};

/* Declares the next parameter blob (plain shape); its lr_mult, decay_mult and name come from
 * conf->param.  Called in setup. */
int ot_layer_param(struct ot_layer *l, const struct ot_shape *shape,
                   const Caffe__FillerParameter *filler, struct ot_err *err);

/* Caffe's axis convention: -1 is the last; error when out of range. */
int ot_layer_axis(const struct ot_layer *l, int axis, int nd, int *canonical, struct ot_err *err);

/* A shape of the user's: at most OT_MAX_DIMS axes, sizes >= 0, at most INT32_MAX values. */
int ot_layer_shape(const struct ot_layer *l, const Caffe__BlobShape *from, struct ot_shape *to,
                   struct ot_err *err);

/* ot_fail() that blames field `field` of message `msg` (e.g. l->conf->pooling_param, "pad"):
 * "net.prototxt:14:5: pad: must be ..." */
#define ot_layer_fail(l, err, msg, field, code, ...)           \
    (ot_fail_((err), (code), __FILE__, __LINE__, __VA_ARGS__), \
     ot_layer_blame((l), (err), (msg), (field)))
int ot_layer_blame(const struct ot_layer *l, struct ot_err *err, const void *msg,
                   const char *field);

/* Whether the layer must compute something for in[i] / param[i] in backward. */
static inline bool ot_want_in(const struct ot_layer *l, int i)
{
    return l->in[i]->need_grad && !(l->ops->no_grad_in >> i & 1);
}

/* The gradient of out[0], a sum of dy(0) and dy(1), which is NULL where only one reads it. */
static inline const float *ot_layer_dy(const struct ot_layer *l, int i)
{
    if (l->fused_split)
        return l->fused_split->out[i]->grad.data;
    return i ? NULL : l->out[0]->grad.data;
}

/* With what the net has put behind the user's inputs: in[0] to in[n - 1], in_fmt[] too. */
static inline int ot_layer_inputs(const struct ot_layer *l)
{
    return l->nin + l->fused_sum;
}

static inline bool ot_want_param(const struct ot_layer *l, int i)
{
    return i < l->nparam && l->param[i]->need_grad;
}

/* ot_param_beta() of weights and bias together, for kernels that write both with one beta: where
 * only one of the two is logically zero, it is made so in memory. */
float ot_layer_common_beta(struct ot_layer *l);

/* The list is layers.def.  ot_layer_find returns NULL for an unknown type; ot_layer_near gives
 * the known names that a slip of the hand may have meant, comma separated, into buf. */
const struct ot_layer_ops *ot_layer_find(const char *type);
const struct ot_layer_ops *ot_layer_at(int i); /* NULL past the end */
char *ot_layer_near(const char *type, char *buf, size_t n);

/* Fills a parameter's host copy as Caffe's fillers do: constant, uniform, gaussian (sparse),
 * xavier, msra, positive_unitball, bilinear.  Element i is a pure function of (seed, stream, i).
 * shape: of the parameter; out: ot_count(shape) floats. */
int ot_fill(const Caffe__FillerParameter *f, const struct ot_shape *shape, uint64_t seed,
            uint64_t stream, float *out, struct ot_err *err);

#endif
