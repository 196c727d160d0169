/* gpu_cases_shape.c - cases of the layers that select, repeat, reorder and sum. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

static void indices(struct ot_mini_array *a, uint32_t limit)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(13, OT_RNG_TEST, 2, i, limit);
}

static void give_words(struct ot_mini *m)
{
    indices(&m->in[0], 40);
}

static void give_items(struct ot_mini *m)
{
    indices(&m->in[1], (uint32_t)m->in[0].shape.dim[0]);
}

static void give_selector(struct ot_mini *m)
{
    indices(&m->in[m->nin - 1], 2);
}

static void give_nothing_selected(struct ot_mini *m)
{
    indices(&m->in[m->nin - 1], 1);
}

/* The first bad one of `count` indices: 1 + place and value, as check_rows leaves it or as the
 * device's failure says. */
static void bad_row(struct ot_dev *dev, size_t count, struct ot_cuda_raw *r, float *at,
                    float *index)
{
    struct ot_bad_row *bad = (struct ot_bad_row *)(void *)r->z, got;
    struct ot_err err = OT_ERR_INIT;
    char line[200];
    int place = -1;

    *at = *index = 0.0f;
    dev->k->check_rows(dev, count, 4, r->x, bad);
    dev->ops->download(dev, &got, bad, sizeof got);
    if (!dev->late_faults) {
        *at = (float)got.at;
        *index = (float)got.index;
    } else if (ot_dev_ok(dev, &err)) {
        (void)ot_err_str(&err, line, sizeof line);
        assert_non_null(strstr(line, "index "));
        assert_int_equal(sscanf(strstr(line, "index "), "index %f at position %d is outside [0, 4)",
                                index, &place),
                         2);
        *at = (float)(place + 1);
    }
}

/* Good and bad indices: what check_rows notes, and rows of 0. */
static void raw_bad_rows(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    static const float index[] = { 0, 3.9f, -0.5f, 2, 4, NAN, -1, 1e30f, 1 };
    const size_t n = sizeof index / sizeof index[0];

    dev->ops->upload(dev, r->x, index, sizeof index);
    for (size_t count = 0; count <= n; count++, r->n_out += 2)
        bad_row(dev, count, r, r->out + r->n_out, r->out + r->n_out + 1);
    dev->k->gather_rows(dev, n, 7, 4, r->x, r->y, NULL, r->z);
    dev->ops->download(dev, r->out + r->n_out, r->z, n * 7 * sizeof(float));
    r->n_out += n * 7;
}

#define REDUCE(param) \
    "layer { type: 'Reduction' bottom: 'a' top: 'b' reduction_param { " param " } }"
#define ARGMAX(param) "layer { type: 'ArgMax' bottom: 'a' top: 'b' argmax_param { " param " } }"

const struct ot_cuda_case ot_cuda_cases_shape[] = {
    { .name = "slice",
      .text =
          "layer { type: 'Slice' bottom: 'a' top: 'b' top: 'c' slice_param { slice_point: 2 } }",
      .n_in = 1,
      .in = { { 3, { 3, 7, 5 } } } },
    { .name = "crop",
      .text = "layer { type: 'Crop' bottom: 'a' bottom: 'b' top: 'c' crop_param { axis: 1 offset: "
              "1 offset: 2 offset: 0 } }",
      .n_in = 2,
      .in = { { 4, { 3, 7, 9, 11 } }, { 4, { 1, 5, 6, 11 } } } },
    { .name = "crop of one axis",
      .text = "layer { type: 'Crop' bottom: 'a' bottom: 'b' top: 'c' crop_param { axis: 0 offset: "
              "3 } }",
      .n_in = 2,
      .in = { { 1, { 700 } }, { 1, { 600 } } } },
    { .name = "tile",
      .text = "layer { type: 'Tile' bottom: 'a' top: 'b' tile_param { tiles: 5 } }",
      .n_in = 1,
      .in = { { 3, { 3, 7, 11 } } } },
    { .name = "tile of the last axis",
      .text = "layer { type: 'Tile' bottom: 'a' top: 'b' tile_param { axis: 0 tiles: 50 } }",
      .n_in = 1,
      .in = { { 1, { 1 } } } },
    { .name = "reduction, sum of long rows",
      .text = REDUCE("axis: 1 coeff: 0.5"),
      .n_in = 1,
      .in = { { 3, { 5, 31, 37 } } } },
    { .name = "reduction, sum of absolute values of short rows",
      .text = REDUCE("operation: ASUM axis: 1"),
      .n_in = 1,
      .in = { { 2, { 700, 7 } } },
      .levels = 3 },
    { .name = "reduction, squares",
      .text = REDUCE("operation: SUMSQ coeff: 2"),
      .n_in = 1,
      .in = { { 4, { 2, 3, 9, 11 } } } },
    { .name = "reduction, mean",
      .text = REDUCE("operation: MEAN axis: -1"),
      .n_in = 1,
      .in = { { 3, { 4, 5, 67 } } } },
    { .name = "argmax, places and values",
      .text = ARGMAX("top_k: 4 out_max_val: true"),
      .n_in = 1,
      .in = { { 3, { 5, 7, 9 } } },
      .levels = 6,
      .no_backward = true },
    { .name = "argmax, along an axis with ties",
      .text = ARGMAX("top_k: 3 axis: 1"),
      .n_in = 1,
      .in = { { 3, { 5, 7, 9 } } },
      .levels = 2,
      .no_backward = true },
    { .name = "embed",
      .text = "layer { type: 'Embed' bottom: 'a' top: 'b' embed_param { num_output: 13 input_dim: "
              "41 } }",
      .n_in = 1,
      .in = { { 2, { 37, 8 } } },
      .give = give_words },
    { .name = "embed, no bias",
      .text = "layer { type: 'Embed' bottom: 'a' top: 'b' embed_param { num_output: 70 input_dim: "
              "40 bias_term: false } }",
      .n_in = 1,
      .in = { { 1, { 9 } } },
      .give = give_words },
    { .name = "batch reindex",
      .text = "layer { type: 'BatchReindex' bottom: 'a' bottom: 'i' top: 'b' }",
      .n_in = 2,
      .in = { { 3, { 11, 5, 7 } }, { 1, { 29 } } },
      .give = give_items },
    { .name = "filter",
      .text = "layer { type: 'Filter' bottom: 'a' bottom: 'b' bottom: 's' top: 'c' top: 'd' }",
      .n_in = 3,
      .in = { { 2, { 61, 7 } }, { 1, { 61 } }, { 2, { 61, 1 } } },
      .give = give_selector },
    { .name = "filter that keeps nothing",
      .text = "layer { type: 'Filter' bottom: 'a' bottom: 's' top: 'c' }",
      .n_in = 2,
      .in = { { 2, { 61, 7 } }, { 1, { 61 } } },
      .give = give_nothing_selected },
    { .name = "rows of bad indices", .raw = raw_bad_rows },
    { .name = NULL },
};
