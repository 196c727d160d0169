/* gpu_cases_norm.c - cases of the normalising layers and of convolution's relatives. */
#include "tests/gpu_cases.h"

#define BN(param)  "layer { type: 'BatchNorm' bottom: 'a' top: 'b' batch_norm_param { " param " } }"
#define LRN(param) "layer { type: 'LRN' bottom: 'a' top: 'b' lrn_param { " param " } }"

/* Variances that somebody could have measured. */
static void give_statistics(struct ot_mini *m)
{
    for (size_t i = 0; i < m->param[1].n; i++)
        m->param[1].v[i] = m->param[1].v[i] * m->param[1].v[i] + 0.1f;
    m->param[2].v[0] = 2.5f;
}

const struct ot_cuda_case ot_cuda_cases_norm[] = {
    { .name = "batch normalisation",
      .text = BN("eps: 1e-3"),
      .n_in = 1,
      .in = { { 4, { 3, 7, 9, 11 } } },
      .give = give_statistics },
    { .name = "batch normalisation, many images",
      .text = BN("moving_average_fraction: 0.9"),
      .n_in = 1,
      .in = { { 4, { 130, 5, 3, 2 } } },
      .give = give_statistics },
    { .name = "batch normalisation, of rows",
      .text = BN(""),
      .n_in = 1,
      .in = { { 2, { 37, 19 } } },
      .give = give_statistics },
    { .name = "batch normalisation, running statistics",
      .text = BN("use_global_stats: true"),
      .n_in = 1,
      .in = { { 4, { 3, 7, 9, 11 } } },
      .give = give_statistics },
    { .name = "response normalisation, across channels",
      .text = LRN("alpha: 2 k: 2 beta: 0.6"),
      .n_in = 1,
      .in = { { 4, { 2, 9, 7, 6 } } } },
    { .name = "response normalisation, within channels",
      .text = LRN("norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 7, 6 } } } },
    { .name = NULL },
};
