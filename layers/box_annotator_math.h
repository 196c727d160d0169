/*
 * box_annotator_math.h - the order in which instances are hard, for every device.
 *
 * Instance i = (RoI, position).  Loss descending, then i ascending; a loss that is no number is
 * harder than any that is one: it is kept, so that the training loss shows it instead of hiding it.
 */
#ifndef OT_LAYERS_BOX_ANNOTATOR_MATH_H
#define OT_LAYERS_BOX_ANNOTATOR_MATH_H

#include <math.h>
#include <string.h>

#include "layers/region_math.h"

/* Ascending keys are descending losses; all of them differ. */
OT_HD uint64_t ot_hard_key(float loss, uint32_t i)
{
    return loss != loss ? i : ot_rank_of(loss, i);
}

/* What ot_annotator_image() says of rows that are unused. */
#define OT_NO_IMAGE 0xffffffffu

/* The image of instance i as a number that is the same for rows of one image only: bits of the
 * batch index without its fraction, as Caffe takes it. */
OT_HD uint32_t ot_annotator_image(const struct ot_box_annotator_geom *g, const float *rois,
                                  size_t i)
{
    float index = rois[i / g->inner * 5 * g->inner + i % g->inner];
    uint32_t bits;

    if (!(index >= 0.0f))
        return OT_NO_IMAGE;
    index = truncf(index) + 0.0f; /* -0 is 0 */
    memcpy(&bits, &index, sizeof bits);
    return bits;
}

#endif
