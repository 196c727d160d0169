/* loss_layer.c - normalisation, shapes and labels, as all loss layers see them. */
#include "layers/loss_layer.h"

enum ot_norm ot_loss_norm_of(const Caffe__LossParameter *p, enum ot_norm none_said)
{
    if (!p)
        return none_said;
    if (!p->has_normalization && p->has_normalize)
        return p->normalize ? OT_NORM_VALID : OT_NORM_BATCH_SIZE;
    if (!p->has_normalization)
        return none_said;
    switch (p->normalization) {
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__FULL:
        return OT_NORM_FULL;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE:
        return OT_NORM_BATCH_SIZE;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__NONE:
        return OT_NORM_NONE;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__PRE_FIXED:
        return OT_NORM_PRE_FIXED;
    default:
        return OT_NORM_VALID;
    }
}

int ot_loss_want(const struct ot_layer *l, int i, size_t n, const char *what, struct ot_err *err)
{
    const struct ot_shape *shape = &l->in[i]->data.shape;
    char have[OT_SHAPE_TEXT], scores[OT_SHAPE_TEXT];

    if (ot_count(shape) == n)
        return 0;
    return ot_fail(err, OT_ESHAPE,
                   "bottom '%s': wanted %zu %s for scores '%s' of shape %s, got shape %s",
                   l->in[i]->name, n, what, l->in[0]->name,
                   ot_shape_str(&l->in[0]->data.shape, scores), ot_shape_str(shape, have));
}

int ot_loss_report(const struct ot_layer *l, const struct ot_loss_stats *device_stats, size_t c,
                   struct ot_err *err)
{
    struct ot_loss_stats stats;

    if (l->dev->late_faults)
        return 0;
    l->dev->ops->download(l->dev, &stats, device_stats, sizeof stats);
    if (!stats.bad)
        return 0;
    return ot_fail(err, OT_EDATA, "instance %lld: label %g is outside [0, %zu)",
                   (long long)stats.bad - 1, stats.bad_label, c);
}
