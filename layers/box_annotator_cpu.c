/*
 * box_annotator_cpu.c - the hardest instances of each image, by two stable radix sorts: by
 * hardness, then by image.
 */
#include "layers/box_annotator_math.h"
#include "layers/regions.h"

size_t ot_box_annotator_scratch(const struct ot_box_annotator_geom *g)
{
    return 2 * g->rois * g->inner * sizeof(uint64_t);
}

/* Keys (image, i) of all instances in use, images together and the harder first within one;
 * returns how many there are. */
static size_t by_image(const struct ot_box_annotator_geom *g, const float *rois, const float *loss,
                       uint64_t *key, uint64_t *tmp)
{
    size_t n = 0;

    for (size_t i = 0; i < g->rois * g->inner; i++)
        if (ot_annotator_image(g, rois, i) != OT_NO_IMAGE)
            key[n++] = ot_hard_key(loss[i], (uint32_t)i);
    ot_rank(key, tmp, n);
    for (size_t k = 0; k < n; k++) {
        uint32_t i = (uint32_t)key[k];

        key[k] = (uint64_t)ot_annotator_image(g, rois, i) << 32 | i;
    }
    ot_rank(key, tmp, n);
    return n;
}

void ot_cpu_box_annotate(struct ot_dev *dev, const struct ot_box_annotator_geom *g,
                         const float *rois, const float *loss, const float *label,
                         const float *weight, void *scratch, float *label_out, float *weight_out)
{
    const size_t all = g->rois * g->inner;
    uint64_t *key = scratch;
    size_t n = by_image(g, rois, loss, key, key + all), place = 0;

    (void)dev;
    for (size_t i = 0; i < all; i++)
        label_out[i] = g->ignore;
    memset(weight_out, 0, all * g->channels * sizeof *weight_out);
    for (size_t k = 0; k < n; k++) {
        const size_t i = (uint32_t)key[k];
        const size_t at = i / g->inner * g->channels * g->inner + i % g->inner;

        place = k > 0 && key[k] >> 32 == key[k - 1] >> 32 ? place + 1 : 0;
        if (place >= g->keep)
            continue;
        label_out[i] = label[i];
        for (size_t c = 0; c < g->channels * g->inner; c += g->inner)
            weight_out[at + c] = weight[at + c];
    }
}
