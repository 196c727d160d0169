/*
 * voc_eval.h - average precision as Pascal VOC counts it.
 *
 * Detections of a class, best score first, each claim the ground truth of their image that they
 * overlap most: a hit when that overlap is above the threshold (strictly) and the object is not
 * claimed yet; a second claim is a false positive; a difficult object is neither hit nor miss.
 * Widths count both corners (x2 - x1 + 1).  Ties of score: image ascending, then order given.
 *
 * Ownership: arrays are borrowed; results are values.  Threads: any.
 * Errors: OT_EDATA for a class outside [1, classes) or a score that is NaN; OT_ENOMEM.
 * Source: M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010,
 *         section 4.2; AP as area since VOC 2010, the 11-point mean before.
 */
#ifndef OT_TRAINER_VOC_EVAL_H
#define OT_TRAINER_VOC_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ot_voc_det {
    int64_t image;
    int cls;
    float score;
    float box[4]; /* x1, y1, x2, y2, inclusive */
};

struct ot_voc_gt {
    int64_t image;
    int cls;
    bool difficult;
    float box[4];
};

struct ot_voc_class {
    double ap;   /* area under the precision envelope */
    double ap07; /* mean precision at recalls 0, 0.1, .. 1 */
    size_t gts;  /* objects that are not difficult */
    size_t dets;
    size_t hits, false_pos;
    double recall, precision; /* over all detections */
};

struct ot_voc_result {
    double map, map07; /* over the classes that have objects; 0 when none has */
    int counted;       /* how many classes that is */
};

/* cls: room for `classes` entries, background (0) included and left zero. */
int ot_voc_eval(const struct ot_voc_det *det, size_t n_det, const struct ot_voc_gt *gt, size_t n_gt,
                int classes, double overlap, struct ot_voc_class *cls, struct ot_voc_result *result,
                struct ot_err *err);

#endif
