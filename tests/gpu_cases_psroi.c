/*
 * gpu_cases_psroi.c - position-sensitive RoI pooling on CUDA against the CPU: the same bits, for
 * both add up a plane's bins in the order of RoIs.
 */
#include <math.h>

#include "base/rng.h"
#include "tests/gpu_cases.h"

/* Of every kind: unused, reversed, beyond the map, no numbers, and the whole map. */
static void give_rois(struct ot_mini *m)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 1e30f };
    const float h = (float)m->in[0].shape.dim[2], w = (float)m->in[0].shape.dim[3];

    for (uint32_t r = 0; r < m->in[1].n / 5; r++) {
        float *roi = m->in[1].v + 5 * (size_t)r, u[4];

        for (uint32_t k = 0; k < 4; k++)
            u[k] = ot_rng_unit(53, OT_RNG_TEST, r, k);
        roi[0] = r % 7 == 3 ? -1.0f : (float)(r % (uint32_t)m->in[0].shape.dim[0]);
        roi[1] = r % 11 == 5 ? 0.0f : (3.2f * u[0] - 0.8f) * w;
        roi[2] = r % 11 == 5 ? 0.0f : (3.2f * u[1] - 0.8f) * h;
        roi[3] = r % 11 == 5 ? 2.0f * w - 1.0f : roi[1] + (2.4f * u[2] - 0.4f) * w;
        roi[4] = r % 11 == 5 ? 2.0f * h - 1.0f : roi[2] + (2.4f * u[3] - 0.4f) * h;
        if (r % 11 == 8)
            roi[1 + r % 4] = odd[r / 11 % 4];
    }
}

#define PSROI(param)                                                 \
    "layer { type: 'PSROIPooling' bottom: 'x' bottom: 'r' top: 'y' " \
    "psroi_pooling_param { spatial_scale: 0.5 " param " } }"

const struct ot_cuda_case ot_cuda_cases_psroi[] = {
    { .name = "psroi, 7x7 of 3 classes, two images",
      .text = PSROI("output_dim: 3 group_size: 7"),
      .n_in = 2,
      .in = { { 4, { 2, 147, 9, 11 } }, { 2, { 101, 5 } } },
      .give = give_rois,
      .tol = 1e-12 },
    { .name = "psroi, 3x3, fewer RoIs than lanes",
      .text = PSROI("output_dim: 5 group_size: 3"),
      .n_in = 2,
      .in = { { 4, { 1, 45, 13, 7 } }, { 2, { 19, 5 } } },
      .give = give_rois,
      .tol = 1e-12 },
    { .name = "psroi, one bin of more cells than lanes",
      .text = PSROI("output_dim: 3 group_size: 1"),
      .n_in = 2,
      .in = { { 4, { 2, 3, 17, 23 } }, { 2, { 65, 5 } } },
      .give = give_rois,
      .tol = 1e-12 },
    { .name = "psroi, more bins than cells",
      .text = PSROI("output_dim: 2 group_size: 5"),
      .n_in = 2,
      .in = { { 4, { 3, 50, 1, 1 } }, { 2, { 40, 5 } } },
      .give = give_rois,
      .tol = 1e-12 },
    { .name = "psroi, no RoI",
      .text = PSROI("output_dim: 2 group_size: 2"),
      .n_in = 2,
      .in = { { 4, { 1, 8, 5, 3 } }, { 2, { 0, 5 } } },
      .tol = 1e-12 },
    { .name = NULL },
};
