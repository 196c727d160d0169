/* regions.c - parameters of the region layers, ranking by radix sort, greedy NMS. */
#include "layers/regions.h"

#include <math.h>
#include <string.h>

#include "layers/box_math.h"

double ot_decimal(float v)
{
    return rint((double)v * 1e6) / 1e6;
}

int ot_four(const struct ot_layer *l, const void *msg, const char *field, size_t n, const float *v,
            const float def[4], float out[4], struct ot_err *err)
{
    if (n != 0 && n != 4)
        return ot_layer_fail(l, err, msg, field, OT_ECONFIG, "%s: must have 4 values, got %zu",
                             field, n);
    for (int i = 0; i < 4; i++) {
        out[i] = n ? v[i] : def[i];
        if (!isfinite(out[i]))
            return ot_layer_fail(l, err, msg, field, OT_ECONFIG, "%s: must be finite, got %g",
                                 field, (double)out[i]);
    }
    return 0;
}

int ot_four_std(const struct ot_layer *l, const void *msg, size_t n, const float *v, float out[4],
                struct ot_err *err)
{
    static const float def[4] = { 0.1f, 0.1f, 0.2f, 0.2f };
    int rc = ot_four(l, msg, "bbox_std", n, v, def, out, err);

    for (int i = 0; i < 4 && !rc; i++)
        if (out[i] <= 0.0f)
            rc = ot_layer_fail(l, err, msg, "bbox_std", OT_ECONFIG, "bbox_std: must be > 0, got %g",
                               (double)out[i]);
    return rc;
}

int ot_gt_shape(const struct ot_layer *l, int bottom, int *n, int *gts, int *cols,
                struct ot_err *err)
{
    const struct ot_shape *s = &l->in[bottom]->data.shape;
    char have[OT_SHAPE_TEXT];

    *n = s->nd == 3 ? s->dim[0] : 1;
    if (s->nd == 2 || s->nd == 3) {
        *gts = s->dim[s->nd - 2];
        *cols = s->dim[s->nd - 1];
        if (*cols == 5 || *cols == 6)
            return 0;
    }
    return ot_fail(err, OT_ESHAPE,
                   "bottom '%s': wanted boxes of shape Gx5, Gx6, NxGx5 or NxGx6, got %s",
                   l->in[bottom]->name, ot_shape_str(s, have));
}

int ot_want_shape(const struct ot_layer *l, int bottom, const char *what, const int *dim, int nd,
                  struct ot_err *err)
{
    const struct ot_shape *s = &l->in[bottom]->data.shape;
    struct ot_shape want = { .nd = nd };
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];
    bool same = ot_count_range(s, s->nd < nd ? s->nd : nd, s->nd) == 1;

    for (int i = 0; i < nd; i++) {
        want.dim[i] = dim[i];
        same = same && ot_dim(s, i) == dim[i];
    }
    if (same)
        return 0;
    return ot_fail(err, OT_ESHAPE, "bottom '%s': wanted %s of shape %s, got %s",
                   l->in[bottom]->name, what, ot_shape_str(&want, a), ot_shape_str(s, b));
}

int ot_region_classes(const struct ot_layer *l, const void *msg, bool has, unsigned own,
                      int *classes, struct ot_err *err)
{
    const Caffe__NetParameter *net = l->env->net;
    unsigned n = has ? own : net && net->has_num_classes ? net->num_classes : 0;

    if (!has && n == 0)
        return ot_layer_fail(l, err, msg, "num_classes", OT_ECONFIG,
                             "num_classes: must be given here or in the net, got neither");
    if (n < 2 || n > 100000)
        return ot_layer_fail(l, err, has ? msg : net, "num_classes", OT_ECONFIG,
                             "num_classes: must be at least 2 (background included), got %u", n);
    *classes = (int)n;
    return 0;
}

uint64_t ot_rank_key(float score, uint32_t index)
{
    return ot_rank_of(score, index);
}

void ot_rank(uint64_t *key, uint64_t *tmp, size_t n)
{
    for (int shift = 32; shift < 64; shift += 8) {
        size_t start[257] = { 0 };
        uint64_t *swap = key;

        for (size_t i = 0; i < n; i++)
            start[(key[i] >> shift & 0xff) + 1]++;
        for (int b = 0; b < 256; b++)
            start[b + 1] += start[b];
        for (size_t i = 0; i < n; i++)
            tmp[start[key[i] >> shift & 0xff]++] = key[i];
        key = tmp; /* an even number of passes: the result ends where it began */
        tmp = swap;
    }
}

void ot_smallest(uint64_t *key, size_t n, size_t m)
{
    size_t lo = 0, hi = n;

    while (m > lo && m < hi && hi - lo > 1) {
        uint64_t pivot = key[lo + (hi - lo - 1) / 2]; /* never the last: hi shrinks */
        size_t i = lo, j = hi - 1;

        for (;;) { /* Hoare's partition: [lo, j] <= pivot <= [j + 1, hi) */
            while (key[i] < pivot)
                i++;
            while (key[j] > pivot)
                j--;
            if (i >= j)
                break;
            uint64_t t = key[i];

            key[i++] = key[j];
            key[j--] = t;
        }
        if (m <= j + 1)
            hi = j + 1;
        else
            lo = j + 1;
    }
}

bool ot_nms_keep(struct ot_kept *kept, const float box[4], float thresh)
{
    enum { STEP = 32 };

    const float area = ot_nms_area(box);

    for (int at = 0; at < kept->n; at += STEP) {
        int end = at + STEP < kept->n ? at + STEP : kept->n, hit = 0;

#pragma omp simd reduction(| : hit)
        for (int i = at; i < end; i++)
            hit |= ot_nms_iou(kept->x1[i], kept->y1[i], kept->x2[i], kept->y2[i], kept->area[i],
                              box, area) > thresh;
        if (hit)
            return false;
    }
    kept->x1[kept->n] = box[0];
    kept->y1[kept->n] = box[1];
    kept->x2[kept->n] = box[2];
    kept->y2[kept->n] = box[3];
    kept->area[kept->n++] = area;
    return true;
}
