/* gpu_cases_ohem.c - CUDA against the CPU: R-FCN's loss of each RoI, and which RoIs are kept. */
#include <math.h>

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

static void give_weights(struct ot_mini *m)
{
    for (size_t i = 0; i < m->in[2].n; i++)
        m->in[2].v[i] = (float)ot_rng_below(5, OT_RNG_TEST, 3, i, 2);
}

/* RoIs of `images` images, whose numbers have gaps, in any order; every 13th is unused. */
static void give_images(struct ot_mini *m, uint32_t images)
{
    const struct ot_shape *s = &m->in[0].shape;
    const size_t inner = (size_t)ot_dim(s, 2) * (size_t)ot_dim(s, 3);

    for (size_t i = 0; i < m->in[1].n; i++) {
        const uint32_t image = ot_rng_below(5, OT_RNG_TEST, 4, i, images);

        m->in[0].v[i / inner * 5 * inner + i % inner] =
            i % 13 == 12 ? -1.0f : (float)(image * image) + (i % 5 == 1 ? 0.5f : 0.0f);
        m->in[2].v[i] = (float)(i % 21);
    }
}

static void give_one(struct ot_mini *m)
{
    give_images(m, 1);
}

static void give_two(struct ot_mini *m)
{
    give_images(m, 2);
}

static void give_many(struct ot_mini *m)
{
    give_images(m, 97);
}

static void give_no_numbers(struct ot_mini *m)
{
    give_images(m, 3);
    for (size_t i = 0; i < m->in[1].n; i += 7)
        m->in[1].v[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -0.0f;
    for (size_t i = 3; i < m->in[1].n; i += 29)
        m->in[0].v[5 * i] = NAN;
}

#define SMOOTH(bottoms, more)                                                                    \
    "layer { name: 'l' type: 'SmoothL1LossOHEM' " bottoms " top: 'l' top: 'i' loss_weight: 1.5 " \
    "loss_weight: 0 " more " }"
#define TWO   "bottom: 'x' bottom: 'y'"
#define THREE "bottom: 'x' bottom: 'y' bottom: 'w'"
#define ANNOTATOR(keep)                                                                           \
    "layer { name: 'a' type: 'BoxAnnotatorOHEM' bottom: 'r' bottom: 'i' bottom: 'l' bottom: 'w' " \
    "top: 'm' top: 'v' box_annotator_ohem_param { roi_per_img: " #keep " } }"

const struct ot_cuda_case ot_cuda_cases_ohem[] = {
    { .name = "smooth L1 of RoIs",
      .text = SMOOTH(THREE, "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }"),
      .n_in = 3,
      .in = { { 4, { 307, 8, 1, 1 } }, { 4, { 307, 8, 1, 1 } }, { 4, { 307, 8, 1, 1 } } },
      .give = give_weights,
      .lo = -2,
      .hi = 2 },
    { .name = "smooth L1 of RoIs, no weights",
      .text = SMOOTH(TWO, ""),
      .n_in = 2,
      .in = { { 2, { 53, 84 } }, { 2, { 53, 84 } } },
      .lo = -2,
      .hi = 2 },
    { .name = "smooth L1 of no RoI",
      .text = SMOOTH(TWO, ""),
      .n_in = 2,
      .in = { { 2, { 0, 84 } }, { 2, { 0, 84 } } } },
    { .name = "annotated boxes of one image",
      .text = ANNOTATOR(128),
      .n_in = 4,
      .in = { { 2, { 307, 5 } }, { 1, { 307 } }, { 1, { 307 } }, { 2, { 307, 8 } } },
      .give = give_one,
      .no_backward = true },
    { .name = "annotated boxes, class aware, ties",
      .text = ANNOTATOR(101),
      .n_in = 4,
      .in = { { 4, { 613, 5, 1, 1 } },
              { 4, { 613, 1, 1, 1 } },
              { 4, { 613, 1, 1, 1 } },
              { 4, { 613, 84, 1, 1 } } },
      .give = give_two,
      .levels = 8,
      .no_backward = true },
    { .name = "annotated boxes of many images",
      .text = ANNOTATOR(3),
      .n_in = 4,
      .in = { { 2, { 1009, 5 } }, { 1, { 1009 } }, { 1, { 1009 } }, { 2, { 1009, 4 } } },
      .give = give_many,
      .levels = 4,
      .no_backward = true },
    { .name = "annotated boxes, more places than rows",
      .text = ANNOTATOR(4000000000),
      .n_in = 4,
      .in = { { 2, { 29, 5 } }, { 1, { 29 } }, { 1, { 29 } }, { 2, { 29, 8 } } },
      .give = give_two,
      .no_backward = true },
    { .name = "annotated boxes, losses that are no numbers",
      .text = ANNOTATOR(7),
      .n_in = 4,
      .in = { { 2, { 127, 5 } }, { 1, { 127 } }, { 1, { 127 } }, { 2, { 127, 8 } } },
      .give = give_no_numbers,
      .no_backward = true },
    { .name = "annotated boxes, positions",
      .text = ANNOTATOR(31),
      .n_in = 4,
      .in = { { 4, { 13, 5, 3, 5 } },
              { 4, { 13, 1, 3, 5 } },
              { 4, { 13, 1, 3, 5 } },
              { 4, { 13, 4, 3, 5 } } },
      .give = give_two,
      .levels = 8,
      .no_backward = true },
    { .name = "annotated box",
      .text = ANNOTATOR(1),
      .n_in = 4,
      .in = { { 2, { 1, 5 } }, { 1, { 1 } }, { 1, { 1 } }, { 2, { 1, 1 } } },
      .give = give_one,
      .no_backward = true },
    { .name = "annotated boxes, none",
      .text = ANNOTATOR(128),
      .n_in = 4,
      .in = { { 2, { 0, 5 } }, { 1, { 0 } }, { 1, { 0 } }, { 2, { 0, 8 } } },
      .no_backward = true },
    { .name = NULL },
};
