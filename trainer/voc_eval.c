/* voc_eval.c - matches detections to ground truth, class by class, and integrates precision. */
#include "trainer/voc_eval.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "layers/box_math.h"

struct ranked {
    const struct ot_voc_det *det;
    size_t order;
};

struct target {
    const struct ot_voc_gt *gt;
    size_t order;
    bool claimed;
};

struct job {
    struct ranked *det;         /* by class, then score descending */
    struct target *gt;          /* by class, then image */
    double *recall, *precision; /* one point a detection */
    double overlap;
};

static int by_number(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_score(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    int c = by_number(a->det->cls, b->det->cls);

    if (c)
        return c;
    if (a->det->score != b->det->score)
        return a->det->score > b->det->score ? -1 : 1;
    c = by_number(a->det->image, b->det->image);
    return c ? c : a->order < b->order ? -1 : 1;
}

static int by_image(const void *pa, const void *pb)
{
    const struct target *a = pa, *b = pb;
    int c = by_number(a->gt->cls, b->gt->cls);

    c = c ? c : by_number(a->gt->image, b->gt->image);
    return c ? c : a->order < b->order ? -1 : 1;
}

/* First of n ground truths (one class, sorted by image) that is not before `image`. */
static size_t first_of_image(const struct target *gt, size_t n, int64_t image)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (gt[mid].gt->image < image)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

enum verdict { HIT, FALSE_POSITIVE, NEITHER };

static enum verdict judge(const struct ot_voc_det *det, struct target *gt, size_t n, double overlap)
{
    struct target *best = NULL;
    double most = 0.0;

    for (size_t i = first_of_image(gt, n, det->image); i < n && gt[i].gt->image == det->image;
         i++) {
        double iou = ot_iou(gt[i].gt->box, det->box);

        if (!best || iou > most) {
            most = iou;
            best = &gt[i];
        }
    }
    if (!best || !(most > overlap))
        return FALSE_POSITIVE;
    if (best->gt->difficult)
        return NEITHER;
    if (best->claimed)
        return FALSE_POSITIVE;
    best->claimed = true;
    return HIT;
}

/* Area under precision's monotone envelope, from recall 0. */
static double area(const double *recall, double *precision, size_t n)
{
    double sum = 0.0, before = 0.0;

    for (size_t i = n; i-- > 1;)
        if (precision[i] > precision[i - 1])
            precision[i - 1] = precision[i];
    for (size_t i = 0; i < n; i++) {
        sum += (recall[i] - before) * precision[i];
        before = recall[i];
    }
    return sum;
}

/* Mean over t = 0, 0.1, .. of the best precision at recall >= t; t is k * 0.1 in double, so that
 * 0.3, 0.6 and 0.7 lie just above the decimal, as the VOC 2007 development kit's do. */
static double eleven_points(const double *recall, const double *precision, size_t n)
{
    double sum = 0.0;

    for (int k = 0; k <= 10; k++) {
        double best = 0.0;

        for (size_t i = 0; i < n; i++)
            if (recall[i] >= (double)k * 0.1 && precision[i] > best)
                best = precision[i];
        sum += best / 11.0;
    }
    return sum;
}

static void one_class(const struct job *j, const struct ranked *det, size_t n_det,
                      struct target *gt, size_t n_gt, struct ot_voc_class *c)
{
    c->dets = n_det;
    for (size_t i = 0; i < n_gt; i++)
        c->gts += !gt[i].gt->difficult;
    for (size_t i = 0; i < n_det; i++) {
        enum verdict v = judge(det[i].det, gt, n_gt, j->overlap);

        c->hits += v == HIT;
        c->false_pos += v == FALSE_POSITIVE;
        c->recall = c->gts ? (double)c->hits / (double)c->gts : 0.0;
        c->precision = c->hits ? (double)c->hits / (double)(c->hits + c->false_pos) : 0.0;
        j->recall[i] = c->recall;
        j->precision[i] = c->precision;
    }
    if (c->gts == 0)
        return;
    c->ap07 = eleven_points(j->recall, j->precision, n_det);
    c->ap = area(j->recall, j->precision, n_det);
}

static int fill_job(struct job *j, const struct ot_voc_det *det, size_t n_det,
                    const struct ot_voc_gt *gt, size_t n_gt, int classes, struct ot_err *err)
{
    for (size_t i = 0; i < n_det; i++) {
        if (det[i].cls < 1 || det[i].cls >= classes)
            return ot_fail(err, OT_EDATA, "detection %zu: class must be in [1, %d), got %d", i,
                           classes, det[i].cls);
        if (det[i].score != det[i].score)
            return ot_fail(err, OT_EDATA, "detection %zu: score must be a number, got nan", i);
        j->det[i] = (struct ranked){ &det[i], i };
    }
    for (size_t i = 0; i < n_gt; i++) {
        if (gt[i].cls < 1 || gt[i].cls >= classes)
            return ot_fail(err, OT_EDATA, "ground truth %zu: class must be in [1, %d), got %d", i,
                           classes, gt[i].cls);
        j->gt[i] = (struct target){ &gt[i], i, false };
    }
    qsort(j->det, n_det, sizeof *j->det, by_score);
    qsort(j->gt, n_gt, sizeof *j->gt, by_image);
    return 0;
}

static void all_classes(const struct job *j, size_t n_det, size_t n_gt, int classes,
                        struct ot_voc_class *cls, struct ot_voc_result *result)
{
    size_t d = 0, g = 0;

    memset(cls, 0, (size_t)classes * sizeof *cls);
    *result = (struct ot_voc_result){ 0 };
    for (int c = 1; c < classes; c++) {
        size_t d0 = d, g0 = g;

        while (d < n_det && j->det[d].det->cls == c)
            d++;
        while (g < n_gt && j->gt[g].gt->cls == c)
            g++;
        one_class(j, j->det + d0, d - d0, j->gt + g0, g - g0, &cls[c]);
        if (cls[c].gts == 0)
            continue;
        result->counted++;
        result->map += cls[c].ap;
        result->map07 += cls[c].ap07;
    }
    if (result->counted) {
        result->map /= result->counted;
        result->map07 /= result->counted;
    }
}

int ot_voc_eval(const struct ot_voc_det *det, size_t n_det, const struct ot_voc_gt *gt, size_t n_gt,
                int classes, double overlap, struct ot_voc_class *cls, struct ot_voc_result *result,
                struct ot_err *err)
{
    struct job j = { .overlap = overlap };
    int rc = OT_ENOMEM;

    if ((j.det = ot_alloc(n_det, sizeof *j.det, err)) &&
        (j.gt = ot_alloc(n_gt, sizeof *j.gt, err)) &&
        (j.recall = ot_alloc(n_det, sizeof *j.recall, err)) &&
        (j.precision = ot_alloc(n_det, sizeof *j.precision, err)))
        rc = fill_job(&j, det, n_det, gt, n_gt, classes, err);
    if (!rc)
        all_classes(&j, n_det, n_gt, classes, cls, result);
    ot_free(j.det);
    ot_free(j.gt);
    ot_free(j.recall);
    ot_free(j.precision);
    return rc;
}
