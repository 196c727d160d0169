/*
 * draw.h - test images with their detections, as PNG, for people.
 *
 * Detections above the threshold are drawn in a colour per class with name and score; ground
 * truth as a thin white box (grey when difficult).
 */
#ifndef OT_TRAINER_DRAW_H
#define OT_TRAINER_DRAW_H

#include "data/loader.h"
#include "trainer/voc_eval.h"

struct ot_draw_conf {
    const char *dir;
    int number; /* of the picture: dir/000_KEY.png */
    float threshold;
    char **class_name; /* label -> name; may be NULL */
    size_t n_class_name;
    const Caffe__TransformationParameter *transform; /* to undo mean and scale; may be NULL */
};

/* Image i of the batch; detections and truths of other images are passed over. */
int ot_draw_detections(const struct ot_draw_conf *c, const struct ot_loader *loader,
                       const struct ot_batch *b, int i, const struct ot_voc_det *det, size_t ndet,
                       const struct ot_voc_gt *gt, size_t ngt, struct ot_err *err);

#endif
