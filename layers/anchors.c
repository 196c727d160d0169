/* anchors.c - enumerates ratios, then scales of each, around the base box (0, 0, b-1, b-1). */
#include "layers/anchors.h"

#include <math.h>

#include "layers/regions.h"

static const float default_ratio[] = { 0.5f, 1.0f, 2.0f }, default_scale[] = { 8, 16, 32 };

struct spec {
    int nr, ns;
    const float *ratio, *scale;
    double stride, base;
};

static struct spec spec_of(const Caffe__AnchorParameter *p)
{
    struct spec s = { 3, 3, default_ratio, default_scale, 16.0, 16.0 };

    if (!p)
        return s;
    s.stride = p->feat_stride;
    s.base = p->base_size;
    if (p->n_ratio) {
        s.nr = p->n_ratio > OT_MAX_ANCHORS ? OT_MAX_ANCHORS + 1 : (int)p->n_ratio;
        s.ratio = p->ratio;
    }
    if (p->n_scale) {
        s.ns = p->n_scale > OT_MAX_ANCHORS ? OT_MAX_ANCHORS + 1 : (int)p->n_scale;
        s.scale = p->scale;
    }
    return s;
}

int ot_anchors_count(const Caffe__AnchorParameter *p)
{
    struct spec s = spec_of(p);

    return s.nr * s.ns;
}

static int check_spec(const struct spec *s, struct ot_err *err)
{
    if (s->nr * s->ns > OT_MAX_ANCHORS)
        return ot_fail(err, OT_ECONFIG,
                       "anchor_param: at most %d anchors, got %d ratios x %d scales",
                       OT_MAX_ANCHORS, s->nr, s->ns);
    if (s->stride < 1.0 || s->stride > 4096.0)
        return ot_fail(err, OT_ECONFIG, "feat_stride: must be in [1, 4096], got %g", s->stride);
    if (s->base < 1.0 || s->base > 4096.0)
        return ot_fail(err, OT_ECONFIG, "base_size: must be in [1, 4096], got %g", s->base);
    for (int i = 0; i < s->nr; i++)
        if (!(s->ratio[i] > 0.0f && s->ratio[i] <= 1000.0f))
            return ot_fail(err, OT_ECONFIG, "ratio: must be in (0, 1000], got %g",
                           (double)s->ratio[i]);
    for (int i = 0; i < s->ns; i++)
        if (!(s->scale[i] > 0.0f && s->scale[i] <= 10000.0f))
            return ot_fail(err, OT_ECONFIG, "scale: must be in (0, 10000], got %g",
                           (double)s->scale[i]);
    return 0;
}

int ot_anchors_make(const Caffe__AnchorParameter *p, struct ot_anchors *a, struct ot_err *err)
{
    const struct spec s = spec_of(p);
    const double centre = 0.5 * (s.base - 1.0);
    int rc = check_spec(&s, err);

    if (rc)
        return rc;
    *a = (struct ot_anchors){ .a = s.nr * s.ns, .stride = (int)s.stride };
    for (int i = 0; i < s.nr; i++) {
        double ratio = ot_decimal(s.ratio[i]);
        double w = rint(sqrt(s.base * s.base / ratio)), h = rint(w * ratio);

        for (int j = 0; j < s.ns; j++) {
            double scale = ot_decimal(s.scale[j]);
            float *box = a->box[i * s.ns + j];

            box[0] = (float)(centre - 0.5 * (w * scale - 1.0));
            box[1] = (float)(centre - 0.5 * (h * scale - 1.0));
            box[2] = (float)(centre + 0.5 * (w * scale - 1.0));
            box[3] = (float)(centre + 0.5 * (h * scale - 1.0));
        }
    }
    return 0;
}

const Caffe__AnchorParameter *ot_layer_anchor_param(const struct ot_layer *l)
{
    if (l->conf->anchor_param)
        return l->conf->anchor_param;
    return l->env->net ? l->env->net->anchor_param : NULL;
}

int ot_layer_anchors(const struct ot_layer *l, struct ot_anchors *a, struct ot_err *err)
{
    const Caffe__AnchorParameter *p = ot_layer_anchor_param(l);
    int rc = ot_anchors_make(p, a, err);

    return rc ? ot_layer_blame(l, err, p, NULL) : 0;
}
