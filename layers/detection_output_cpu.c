/*
 * detection_output_cpu.c - from class scores and deltas to a list of boxes.
 *
 * In pixels of the original image: boxes are divided by the scale before they are decoded and
 * clipped, as in py-faster-rcnn's test; then NMS in each class and the best max_per_image over
 * all classes.  Ties: class ascending, RoI ascending.
 */
#include <math.h>
#include <string.h>

#include "layers/box_math.h"
#include "layers/regions.h"

struct work {
    uint64_t *key; /* (rois classes) candidates of one class */
    uint64_t *tmp; /* (rois classes) for sorting */
    uint64_t *all; /* (rois classes) survivors, index = class * rois + RoI */
    float *box;    /* (classes, rois, 4) */
    float *kept;   /* (5, rois) */
};

size_t ot_detection_scratch(const struct ot_detection_geom *g)
{
    size_t r = (size_t)g->rois, c = (size_t)g->classes;

    return r * c * (3 * sizeof(uint64_t) + 4 * sizeof(float)) + r * 5 * sizeof(float);
}

static struct work work_at(const struct ot_detection_geom *g, void *scratch)
{
    size_t n = (size_t)g->rois * (size_t)g->classes;
    struct work w;

    w.key = scratch;
    w.tmp = w.key + n;
    w.all = w.tmp + n;
    w.box = (float *)(void *)(w.all + n);
    w.kept = w.box + 4 * n;
    return w;
}

static void decode(const struct ot_detection_geom *g, const float *roi, const float *pred,
                   const float *im_info, float out[4])
{
    float box[4], delta[4], scale = im_info[2];

    for (int k = 0; k < 4; k++) {
        box[k] = roi[k + 1] / scale;
        delta[k] = pred[k] * g->std[k] + g->mean[k];
    }
    ot_box_decode(box, delta, out);
    ot_box_clip(out, roundf(im_info[0] / scale), roundf(im_info[1] / scale));
}

/* Appends the survivors of class c to w->all; returns how many there are now. */
static size_t one_class(const struct ot_detection_geom *g, int image, size_t c, const float *rois,
                        const float *prob, const float *pred, const float *im_info,
                        const struct work *w, size_t found)
{
    const size_t r = (size_t)g->rois, classes = (size_t)g->classes;
    const size_t from = (size_t)ot_box_class((int)c, g->box_classes);
    struct ot_kept kept = ot_kept_at(w->kept, r);
    size_t n = 0;

    for (size_t i = 0; i < r; i++) {
        float score = prob[i * classes + c];

        if (rois[5 * i] == (float)image && score > g->score_thresh) {
            decode(g, rois + 5 * i, pred + 4 * (i * (size_t)g->box_classes + from), im_info,
                   w->box + 4 * (c * r + i));
            w->key[n++] = ot_rank_key(score, (uint32_t)i);
        }
    }
    ot_rank(w->key, w->tmp, n);
    for (size_t j = 0; j < n; j++) {
        size_t i = w->key[j] & 0xffffffffu;

        if (ot_nms_keep(&kept, w->box + 4 * (c * r + i), g->nms_thresh))
            w->all[found++] = ot_rank_key(prob[i * classes + c], (uint32_t)(c * r + i));
    }
    return found;
}

static void one_image(const struct ot_detection_geom *g, int image, const float *rois,
                      const float *prob, const float *pred, const float *im_info,
                      const struct work *w, float *det)
{
    const size_t r = (size_t)g->rois, room = (size_t)g->max_per_image;
    size_t n = 0;

    for (size_t c = 1; c < (size_t)g->classes; c++)
        n = one_class(g, image, c, rois, prob, pred, im_info, w, n);
    ot_rank(w->all, w->tmp, n);
    memset(det, 0, room * 7 * sizeof *det);
    for (size_t j = 0; j < room; j++) {
        float *d = det + 7 * j;
        size_t at = j < n ? w->all[j] & 0xffffffffu : 0;

        d[0] = j < n ? (float)image : -1.0f;
        if (j >= n)
            continue;
        d[1] = (float)(at / r);
        d[2] = prob[at % r * (size_t)g->classes + at / r];
        memcpy(d + 3, w->box + 4 * at, 4 * sizeof *d);
    }
}

void ot_cpu_detection_output(struct ot_dev *dev, const struct ot_detection_geom *g,
                             const float *rois, const float *prob, const float *pred,
                             const float *im_info, void *scratch, float *det)
{
    struct work w = work_at(g, scratch);

    (void)dev;
    for (int i = 0; i < g->n; i++)
        one_image(g, i, rois, prob, pred, im_info + 3 * (size_t)i, &w,
                  det + 7 * (size_t)i * (size_t)g->max_per_image);
}
