/*
 * infogain_loss.c - InfogainLoss: softmax, then -sum over j of H_kj log p_j for label k.
 *
 * H comes from a BlobProto file (`source`) or is the third bottom; the second top keeps the
 * probabilities.  As in BVLC's last version; older ones took probabilities.
 */
#include "layers/loss_layer.h"
#include "proto/wire.h"

struct infogain {
    struct ot_softmax_loss_geom geom;
    struct ot_wire_blob file;
    float *h; /* the file's values on the device */
};

static int setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__InfogainLossParameter *p = l->conf->infogain_loss_param;
    struct infogain *s = l->state;
    const char *source = p && p->source ? p->source : "";

    if (l->nin > 2)
        return 0;
    if (!*source)
        return ot_layer_fail(l, err, p, "source", OT_ECONFIG,
                             "source: the matrix must be a file or the third bottom, got \"\"");
    if (ot_wire_read_blob(source, &s->file, err))
        return ot_layer_blame(l, err, p, "source");
    s->h = l->dev->ops->alloc(l->dev, (size_t)s->file.count * sizeof *s->h, err);
    if (!s->h)
        return err->code;
    l->dev->ops->upload(l->dev, s->h, s->file.data, (size_t)s->file.count * sizeof *s->h);
    return 0;
}

static int check_matrix(struct ot_layer *l, struct ot_err *err)
{
    const struct infogain *s = l->state;
    size_t n = l->nin > 2 ? ot_count(&l->in[2]->data.shape) : (size_t)s->file.count;

    if (n == s->geom.c * s->geom.c)
        return 0;
    if (l->nin > 2)
        return ot_loss_want(l, 2, s->geom.c * s->geom.c, "matrix values", err);
    return ot_layer_fail(l, err, l->conf->infogain_loss_param, "source", OT_ESHAPE,
                         "source: \"%s\": the matrix must have %zu x %zu values, got %zu",
                         l->conf->infogain_loss_param->source, s->geom.c, s->geom.c, n);
}

static int reshape(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__InfogainLossParameter *p = l->conf->infogain_loss_param;
    const Caffe__LossParameter *loss = l->conf->loss_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    struct infogain *s = l->state;
    int axis;

    if (ot_layer_axis(l, p ? p->axis : 1, x->nd, &axis, err))
        return ot_layer_blame(l, err, p, "axis");
    s->geom = (struct ot_softmax_loss_geom){
        .outer = ot_count_range(x, 0, axis),
        .c = (size_t)x->dim[axis],
        .inner = ot_count_range(x, axis + 1, x->nd),
        .has_ignore = loss && loss->has_ignore_label,
        .ignore_label = loss ? loss->ignore_label : 0,
        .norm = ot_loss_norm_of(loss, OT_NORM_VALID),
        .fixed = loss ? loss->pre_fixed_normalizer : 1.0f,
    };
    if (ot_loss_want(l, 1, s->geom.outer * s->geom.inner, "labels", err) || check_matrix(l, err))
        return err->code;
    l->out[0]->data.shape = (struct ot_shape){ 0 };
    if (l->nout > 1)
        l->out[1]->data.shape = *x;
    l->ws_bytes[0] = sizeof(struct ot_loss_stats);
    l->ws_bytes[1] = l->nout > 1 ? 0 : ot_count(x) * sizeof(float);
    return 0;
}

static float *prob_of(const struct ot_layer *l)
{
    return l->nout > 1 ? l->out[1]->data.data : l->ws[1];
}

static const float *matrix_of(const struct ot_layer *l)
{
    const struct infogain *s = l->state;

    return l->nin > 2 ? l->in[2]->data.data : s->h;
}

static void forward(struct ot_layer *l)
{
    const struct infogain *s = l->state;
    float *prob = prob_of(l);

    l->dev->k->softmax_fwd(l->dev, s->geom.outer, s->geom.c, s->geom.inner, l->in[0]->data.data,
                           prob);
    l->dev->k->label_loss_fwd(l->dev, OT_INFOGAIN, &s->geom, prob, l->in[1]->data.data,
                              matrix_of(l), l->ws[0], l->out[0]->data.data);
}

static void backward(struct ot_layer *l)
{
    const struct infogain *s = l->state;

    if (ot_want_in(l, 0))
        l->dev->k->label_loss_bwd(l->dev, OT_INFOGAIN, &s->geom, prob_of(l), l->in[1]->data.data,
                                  matrix_of(l), l->ws[0], l->out[0]->grad.data,
                                  l->in[0]->grad.data);
}

static int check(struct ot_layer *l, struct ot_err *err)
{
    const struct infogain *s = l->state;

    return ot_loss_report(l, l->ws[0], s->geom.c, err);
}

static void release(struct ot_layer *l)
{
    struct infogain *s = l->state;

    ot_wire_blob_free(&s->file);
    l->dev->ops->free(l->dev, s->h);
}

const struct ot_layer_ops ot_layer_infogain_loss = {
    .type = "InfogainLoss",
    .doc = "cross entropy of a softmax, weighed by a matrix of classes",
    .state_size = sizeof(struct infogain),
    .min_in = 2,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .flags = OT_LAYER_LOSS | OT_LAYER_BWD_NEEDS_IN | OT_LAYER_BWD_NEEDS_OUT,
    .no_grad_in = 1 << 1 | 1 << 2,
    .setup = setup,
    .reshape = reshape,
    .forward = forward,
    .backward = backward,
    .check = check,
    .release = release,
};
