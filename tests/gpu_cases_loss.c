/* gpu_cases_loss.c - CUDA against the CPU: Caffe's further losses, the recurrent layers. */
#include "base/rng.h"
#include "tests/check.h"
#include "tests/gpu_cases.h"

static void labels_of(struct ot_mini_array *a, uint32_t classes)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(5, OT_RNG_TEST, 1, i, classes);
}

static void give_labels(struct ot_mini *m)
{
    labels_of(&m->in[1], (uint32_t)m->in[0].shape.dim[1]);
    for (size_t i = 0; i < m->in[1].n; i += 7)
        m->in[1].v[i] = -1.0f; /* ignored where the case says so */
}

static void give_classes(struct ot_mini *m)
{
    labels_of(&m->in[1], (uint32_t)m->in[0].shape.dim[1]);
}

static void give_same(struct ot_mini *m)
{
    labels_of(&m->in[2], 2);
}

static void give_cont(struct ot_mini *m)
{
    labels_of(&m->in[1], 2);
}

/* Rows are longer than what is used of them. */
static void raw_gemm(struct ot_dev *dev, struct ot_cuda_raw *r)
{
    enum { M = 37, INNER = 61, COLS = 29, LD = 130 };

    for (int i = 0; i < 4; i++) {
        dev->k->gemm(dev, i & 1, i & 2, M, COLS, INNER, 0.5f, r->x, LD, r->y, LD + 1,
                     i == 3 ? 1.0f : 0.0f, r->z + 5000 * i, LD);
        dev->ops->download(dev, r->out + 5000 * i, r->z + 5000 * i, 5000 * sizeof(float));
    }
    r->n_out = 20000;
}

#define TWO(type, more)                                                                           \
    "layer { name: 'l' type: '" type "' bottom: 'x' bottom: 'y' top: 'l' loss_weight: 1.75 " more \
    " }"
#define THREE(type, more)                                                              \
    "layer { name: 'l' type: '" type "' bottom: 'x' bottom: 'y' bottom: 'z' top: 'l' " \
    "loss_weight: 0.5 " more " }"

const struct ot_cuda_case ot_cuda_cases_loss[] = {
    { .name = "Euclidean loss",
      .text = TWO("EuclideanLoss", ""),
      .n_in = 2,
      .in = { { 4, { 5, 3, 41, 37 } }, { 4, { 5, 3, 41, 37 } } },
      .grads = 2 },
    { .name = "sigmoid cross entropy, ignoring",
      .text = TWO("SigmoidCrossEntropyLoss",
                  "loss_param { ignore_label: -1 normalization: VALID }"),
      .n_in = 2,
      .in = { { 2, { 33, 700 } }, { 2, { 33, 700 } } },
      .lo = -2,
      .hi = 2 },
    { .name = "sigmoid cross entropy of one element",
      .text = TWO("SigmoidCrossEntropyLoss", ""),
      .n_in = 2,
      .in = { { 1, { 1 } }, { 1, { 1 } } } },
    { .name = "hinge loss, L1",
      .text = TWO("HingeLoss", ""),
      .n_in = 2,
      .in = { { 2, { 301, 21 } }, { 1, { 301 } } },
      .give = give_classes },
    { .name = "hinge loss, L2",
      .text = TWO("HingeLoss", "hinge_loss_param { norm: L2 }"),
      .n_in = 2,
      .in = { { 2, { 301, 21 } }, { 1, { 301 } } },
      .give = give_classes },
    { .name = "multinomial logistic loss",
      .text = TWO("MultinomialLogisticLoss", ""),
      .n_in = 2,
      .in = { { 2, { 301, 21 } }, { 1, { 301 } } },
      .lo = 0.1f,
      .hi = 1,
      .give = give_classes },
    { .name = "infogain loss over positions, ignoring",
      .text = THREE("InfogainLoss", "loss_param { ignore_label: -1 } top: 'p'"),
      .n_in = 3,
      .in = { { 4, { 3, 7, 11, 13 } }, { 3, { 3, 11, 13 } }, { 2, { 7, 7 } } },
      .give = give_labels },
    { .name = "infogain loss of rows",
      .text = THREE("InfogainLoss", ""),
      .n_in = 3,
      .in = { { 2, { 60, 19 } }, { 1, { 60 } }, { 2, { 19, 19 } } },
      .give = give_classes },
    { .name = "contrastive loss",
      .text = THREE("ContrastiveLoss", "contrastive_loss_param { margin: 18 }"),
      .n_in = 3,
      .in = { { 2, { 40, 517 } }, { 2, { 40, 517 } }, { 1, { 40 } } },
      .give = give_same,
      .grads = 2 },
    { .name = "contrastive loss, legacy",
      .text = THREE("ContrastiveLoss", "contrastive_loss_param { margin: 3 legacy_version: true }"),
      .n_in = 3,
      .in = { { 2, { 1100, 5 } }, { 2, { 1100, 5 } }, { 1, { 1100 } } },
      .give = give_same,
      .grads = 2 },

    { .name = "smooth L1 of R-FCN, instances",
      .text = THREE("SmoothL1Loss", "top: 'i' loss_weight: 0"),
      .n_in = 3,
      .in = { { 4, { 3, 8, 13, 11 } }, { 4, { 3, 8, 13, 11 } }, { 4, { 3, 8, 13, 11 } } } },
    { .name = "gemm", .raw = raw_gemm, .tol = 1e-5 },
    { .name = "LSTM",
      .text = "layer { name: 'l' type: 'LSTM' bottom: 'x' bottom: 'c' top: 'y' "
              "recurrent_param { num_output: 19 } }",
      .n_in = 2,
      .in = { { 3, { 7, 5, 11 } }, { 2, { 7, 5 } } },
      .give = give_cont,
      .tol = 1e-5 },
    { .name = "LSTM, static input",
      .text = "layer { name: 'l' type: 'LSTM' bottom: 'x' bottom: 'c' bottom: 's' top: 'y' "
              "recurrent_param { num_output: 6 } }",
      .n_in = 3,
      .in = { { 3, { 5, 50, 4 } }, { 2, { 5, 50 } }, { 2, { 50, 9 } } },
      .give = give_cont,
      .grads = 3,
      .tol = 1e-5 },
    { .name = "RNN, static input",
      .text = "layer { name: 'l' type: 'RNN' bottom: 'x' bottom: 'c' bottom: 's' top: 'y' "
              "recurrent_param { num_output: 13 } }",
      .n_in = 3,
      .in = { { 3, { 6, 3, 8 } }, { 2, { 6, 3 } }, { 2, { 3, 9 } } },
      .give = give_cont,
      .grads = 3,
      .tol = 1e-5 },
    { .name = NULL },
};
