/*
 * test_more_losses.c - the losses that Caffe has beside SoftmaxWithLoss: its values, gradients,
 * normalisation, what is refused.
 */
#include <math.h>
#include <unistd.h>

#include "base/rng.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/golden.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"

static struct ot_err err;

static struct ot_mini *open_mini(const char *text, int n_in, const struct ot_shape *in,
                                 unsigned no_grad)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in, .no_grad = no_grad };
    struct ot_mini *m;

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    err = (struct ot_err)OT_ERR_INIT;
    m = ot_mini_open(ot_cpu, &spec, &err);
    if (!m)
        assert_ok(err.code, &err);
    return m;
}

static void refuse_mini(const char *text, int n_in, const struct ot_shape *in, enum ot_code code,
                        const char *part)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in };

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, code, part);
}

static void fill_labels(struct ot_mini_array *a, uint32_t classes, uint64_t seed)
{
    for (size_t i = 0; i < a->n; i++)
        a->v[i] = (float)ot_rng_below(seed, OT_RNG_TEST, 1, i, classes);
}

static void forward(struct ot_mini *m)
{
    assert_ok(ot_mini_forward(m, &err), &err);
}

static void backward(struct ot_mini *m)
{
    assert_ok(ot_mini_backward(m, &err), &err);
}

/* ---- Caffe's values ------------------------------------------------------------------------ */

/* The recording of the hinge losses lost their gradients: Caffe keeps the margins in the bottom's
 * diff from Forward to Backward, the recorder cleared it in between, and so the files hold zeros.
 */
static const char *const no_gradient[] = { "hinge_l1", "hinge_l2", NULL };

static const struct ot_golden_blob *blob(const struct ot_golden *g, const char *name)
{
    const struct ot_golden_blob *b = ot_golden_find(g, name);

    assert_non_null(b);
    return b;
}

static void hinge_losses_agree_with_caffe(void **state)
{
    static const char *const text[] = {
        "layer { name: 'l' type: 'HingeLoss' bottom: 'x' bottom: 'y' top: 'l' }",
        "layer { name: 'l' type: 'HingeLoss' bottom: 'x' bottom: 'y' top: 'l' "
        "hinge_loss_param { norm: L2 } loss_weight: 0.5 }"
    };
    const struct ot_shape in[] = { ot_shape2(5, 4), ot_shape1(5) };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ot_mini *m = open_mini(text[i], 2, in, 2);
        struct ot_golden g;
        char path[64];

        (void)snprintf(path, sizeof path, "golden/layers/%s", no_gradient[i]);
        if (!ot_shared(path))
            skip_because("no golden/layers");
        assert_ok(ot_golden_open(&g, ot_shared(path), &err), &err);
        memcpy(m->in[0].v, blob(&g, "bottom0")->v, 20 * sizeof(float));
        memcpy(m->in[1].v, blob(&g, "bottom1")->v, 5 * sizeof(float));
        forward(m);
        assert_true(ot_golden_error(blob(&g, "top0"), m->out[0].v, 1) <= 1.0);
        ot_golden_close(&g);
        ot_mini_close(m);
    }
}

/* ---- gradients ------------------------------------------------------------------------------ */

#define LAYER(type, more)                                                               \
    "layer { name: 'l' type: '" type "' bottom: 'x' bottom: 'y' top: 'l' loss_weight: " \
    "1.75 " more " }"

static void check_gradient(const char *text, int n_in, const struct ot_shape *in, unsigned no_grad,
                           float lo, float hi, const struct ot_gradcheck *how, size_t checked)
{
    struct ot_mini *m = open_mini(text, n_in, in, no_grad);
    size_t n;

    ot_mini_random(m, 17, lo, hi);
    if (m->in[1].n < m->in[0].n)
        fill_labels(&m->in[1], 4, 5);
    if (n_in > 2 && m->in[2].n == (size_t)in[0].dim[0])
        fill_labels(&m->in[2], 2, 3);
    n = ot_gradcheck(m, how);
    if (n != checked)
        fail_msg("%s: checked %zu values, wanted %zu", text, n, checked);
    ot_mini_close(m);
}

static void gradients_are_derivatives(void **state)
{
    const struct ot_shape like[] = { ot_shape4(3, 2, 2, 2), ot_shape4(3, 2, 2, 2) };
    const struct ot_shape rows[] = { ot_shape4(5, 4, 1, 1), ot_shape1(5) };
    const struct ot_gradcheck both = { 0 }, first = { .skip_in = 6 };
    /* hinges at 1 and -1 */
    const struct ot_gradcheck fine = { .step = 1.0 / 512, .skip_in = 2 };

    (void)state;
    check_gradient(LAYER("EuclideanLoss", ""), 2, like, 0, -1, 1, &both, 48);
    check_gradient(LAYER("SigmoidCrossEntropyLoss", ""), 2, like, 2, -3, 3, &first, 24);
    check_gradient(LAYER("SigmoidCrossEntropyLoss", "loss_param { ignore_label: 1 "
                                                    "normalization: VALID }"),
                   2, like, 2, -3, 3, &first, 24);
    check_gradient(LAYER("HingeLoss", ""), 2, rows, 2, -0.9f, 0.9f, &fine, 20);
    check_gradient(LAYER("HingeLoss", "hinge_loss_param { norm: L2 }"), 2, rows, 2, -2, 2, &fine,
                   20);
    check_gradient(LAYER("MultinomialLogisticLoss", ""), 2, rows, 2, 0.2f, 0.9f, &first, 20);
}

static void the_gradient_of_infogain_is_that_of_the_scores(void **state)
{
    static const char *const norm[] = { "FULL", "VALID", "BATCH_SIZE", "NONE" };
    const struct ot_shape in[] = { ot_shape4(2, 3, 4, 3),
                                   { 3, { 2, 3, 3 } },
                                   ot_shape4(1, 1, 4, 4) };

    (void)state;
    for (size_t i = 0; i < sizeof norm / sizeof norm[0]; i++) {
        char text[400];

        (void)snprintf(text, sizeof text,
                       "layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' "
                       "bottom: 'h' top: 'l' loss_weight: 1.5 infogain_loss_param { axis: -2 } "
                       "loss_param { ignore_label: 2 normalization: %s } }",
                       norm[i]);
        check_gradient(text, 3, in, 6, -1, 1, &(struct ot_gradcheck){ .skip_in = 6 }, 72);
    }
}

static void the_gradient_of_contrastive_pairs_is_the_derivative(void **state)
{
    static const char *const param[] = { "", "margin: 3", "margin: 2 legacy_version: true" };
    const struct ot_shape in[] = { ot_shape2(6, 5), ot_shape2(6, 5), ot_shape1(6) };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char text[400];

        (void)snprintf(text, sizeof text,
                       "layer { name: 'l' type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' "
                       "bottom: 'y' top: 'l' loss_weight: 2 contrastive_loss_param { %s } }",
                       param[i]);
        check_gradient(text, 3, in, 4, -0.4f, 0.4f,
                       &(struct ot_gradcheck){ .step = 1.0 / 512, .skip_in = 4 }, 60);
    }
}

/* ---- rules ---------------------------------------------------------------------------------- */

static float sigmoid_loss(const char *param)
{
    const struct ot_shape in[] = { ot_shape2(4, 3), ot_shape2(4, 3) };
    char text[300];
    struct ot_mini *m;
    float loss;

    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'SigmoidCrossEntropyLoss' bottom: 'x' bottom: 'y' "
                   "top: 'l' loss_param { %s } }",
                   param);
    m = open_mini(text, 2, in, 2);
    for (size_t i = 0; i < 12; i++)
        m->in[1].v[i] = i < 6 ? -1.0f : 1.0f; /* x = 0: log 2 each */
    forward(m);
    loss = m->out[0].v[0];
    ot_mini_close(m);
    return loss;
}

static void sigmoid_losses_divide_by_the_batch_unless_told(void **state)
{
    const double half = 6.0 * log(2.0);

    (void)state;
    assert_near(sigmoid_loss(""), 2.0 * half / 4.0, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1"), half / 4.0, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1 normalization: VALID"), half / 6.0, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1 normalization: FULL"), half / 12.0, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1 normalization: NONE"), half, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1 normalize: true"), half / 6.0, 1e-6);
    assert_near(sigmoid_loss("ignore_label: -1 normalize: false"), half / 4.0, 1e-6);
}

static void a_large_score_neither_overflows_nor_hides_a_nan(void **state)
{
    const struct ot_shape in[] = { ot_shape2(1, 2), ot_shape2(1, 2) };
    struct ot_mini *m = open_mini(LAYER("SigmoidCrossEntropyLoss", ""), 2, in, 2);

    (void)state;
    m->in[0].v[0] = 500.0f;
    m->in[0].v[1] = -500.0f;
    m->in[1].v[1] = 1.0f;
    forward(m);
    backward(m);
    assert_near(m->out[0].v[0], 1000.0, 1e-4);
    assert_near(m->in_grad[0].v[0], 1.75, 1e-6);
    assert_near(m->in_grad[0].v[1], -1.75, 1e-6);
    m->in[0].v[0] = NAN;
    forward(m);
    assert_true(isnan(m->out[0].v[0]));
    ot_mini_close(m);
}

static void equal_vectors_that_do_not_belong_together_have_a_gradient_of_zero(void **state)
{
    const struct ot_shape in[] = { ot_shape2(1, 3), ot_shape2(1, 3), ot_shape1(1) };
    struct ot_mini *m = open_mini("layer { name: 'l' type: 'ContrastiveLoss' bottom: 'a' "
                                  "bottom: 'b' bottom: 'y' top: 'l' }",
                                  3, in, 4);

    (void)state;
    ot_mini_random(m, 1, 0, 0);
    forward(m);
    backward(m);
    assert_near(m->out[0].v[0], 0.5, 0.0);
    for (size_t i = 0; i < 3; i++)
        assert_near(m->in_grad[0].v[i], 0.0, 0.0);
    ot_mini_close(m);
}

static void probability_zero_costs_46(void **state)
{
    const struct ot_shape in[] = { ot_shape2(1, 2), ot_shape1(1) };
    struct ot_mini *m = open_mini(LAYER("MultinomialLogisticLoss", ""), 2, in, 2);

    (void)state;
    m->in[0].v[0] = 0.0f;
    forward(m);
    assert_near(m->out[0].v[0], -log(1e-20), 1e-5);
    ot_mini_close(m);
}

static void write_matrix(char *path, size_t size, int n)
{
    Caffe__BlobProto b = CAFFE__BLOB_PROTO__INIT;
    float v[16];

    for (int i = 0; i < n; i++)
        v[i] = 0.1f * (float)i;
    b.has_num = b.has_channels = b.has_height = b.has_width = true;
    b.num = b.channels = b.height = 1;
    b.width = n;
    b.data = v;
    b.n_data = (size_t)n;
    (void)snprintf(path, size, "%s/h.binaryproto", ot_tmpdir());
    assert_ok(ot_wire_write_message(path, &b.base, &err), &err);
}

static void the_matrix_may_come_from_a_file(void **state)
{
    const struct ot_shape in[] = { ot_shape2(3, 4), ot_shape1(3), ot_shape2(4, 4) };
    char path[256], text[600];
    struct ot_mini *bottom, *file;

    (void)state;
    err = (struct ot_err)OT_ERR_INIT;
    write_matrix(path, sizeof path, 16);
    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' top: 'l' "
                   "top: 'p' infogain_loss_param { source: '%s' } }",
                   path);
    file = open_mini(text, 2, in, 2);
    bottom = open_mini("layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' "
                       "bottom: 'h' top: 'l' }",
                       3, in, 6);
    ot_mini_random(file, 3, -1, 1);
    fill_labels(&file->in[1], 4, 9);
    memcpy(bottom->in[0].v, file->in[0].v, 12 * sizeof(float));
    memcpy(bottom->in[1].v, file->in[1].v, 3 * sizeof(float));
    for (int i = 0; i < 16; i++)
        bottom->in[2].v[i] = 0.1f * (float)i;
    forward(file);
    backward(file);
    forward(bottom);
    backward(bottom);
    assert_near(file->out[0].v[0], bottom->out[0].v[0], 0.0);
    assert_memory_equal(file->in_grad[0].v, bottom->in_grad[0].v, 12 * sizeof(float));
    for (int r = 0; r < 3; r++)
        assert_near(file->out[1].v[4 * r] + file->out[1].v[4 * r + 1] + file->out[1].v[4 * r + 2] +
                        file->out[1].v[4 * r + 3],
                    1.0, 1e-6);
    ot_mini_close(file);
    ot_mini_close(bottom);
}

static void a_label_that_is_no_class_names_instance_and_value(void **state)
{
    static const char *const text[] = {
        LAYER("HingeLoss", ""), LAYER("MultinomialLogisticLoss", ""),
        "layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' bottom: 'h' top: 'l' }"
    };
    const struct ot_shape in[] = { ot_shape2(3, 4), ot_shape1(3), ot_shape2(4, 4) };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ot_mini *m = open_mini(text[i], i < 2 ? 2 : 3, in, 6);

        ot_mini_random(m, 3, 0.1f, 0.9f);
        fill_labels(&m->in[1], 4, 9);
        m->in[1].v[1] = -2.0f;
        m->in[1].v[2] = 4.0f;
        assert_int_equal(ot_mini_forward(m, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "instance 1: label -2 is outside [0, 4)");
        err = (struct ot_err)OT_ERR_INIT;
        backward(m);
        for (size_t k = 4; k < 12; k++)
            assert_near(m->in_grad[0].v[k], 0.0, 0.0);
        ot_mini_close(m);
    }
}

static void the_number_of_threads_does_not_change_a_bit(void **state)
{
    const struct ot_shape in[] = { ot_shape2(3, 9001), ot_shape2(3, 9001) };
    struct ot_dev *two = ot_cpu;
    float loss[2];

    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct ot_mini *m;

        ot_cpu = ot_dev_open("cpu", threads, &err);
        assert_non_null(ot_cpu);
        m = open_mini(LAYER("SigmoidCrossEntropyLoss", ""), 2, in, 2);
        ot_mini_random(m, 77, -3, 3);
        forward(m);
        loss[threads - 1] = m->out[0].v[0];
        ot_mini_close(m);
        ot_dev_close(ot_cpu);
    }
    ot_cpu = two;
    assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
}

static void wrong_settings_are_refused_by_name(void **state)
{
    const struct ot_shape in[] = { ot_shape2(6, 4), ot_shape1(5), ot_shape1(6) };
    const struct ot_shape like[] = { ot_shape2(6, 4), ot_shape2(6, 4), ot_shape1(5) };
    const struct ot_shape info[] = { ot_shape2(6, 4), ot_shape1(6), ot_shape2(4, 3) };
    char path[256], text[600];

    (void)state;
    refuse_mini(LAYER("EuclideanLoss", ""), 2, in, OT_ESHAPE,
                "layer 'l': bottom 'y': wanted shape 6x4 of bottom 'x', got 5");
    refuse_mini(LAYER("SigmoidCrossEntropyLoss", ""), 2, in, OT_ESHAPE,
                "bottom 'y': wanted 24 targets for scores 'x' of shape 6x4, got shape 5");
    refuse_mini(LAYER("HingeLoss", ""), 2, in, OT_ESHAPE,
                "bottom 'y': wanted 6 labels for scores 'x' of shape 6x4, got shape 5");
    refuse_mini(LAYER("MultinomialLogisticLoss", ""), 2, in, OT_ESHAPE, "wanted 6 labels");
    refuse_mini("layer { name: 'l' type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' "
                "top: 'l' }",
                3, in, OT_ESHAPE, "bottom 'b': wanted shape 6x4 of bottom 'a', got 5");
    refuse_mini("layer { name: 'l' type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'y' "
                "top: 'l' }",
                3, like, OT_ESHAPE, "bottom 'y': wanted 6 labels");
    refuse_mini(LAYER("InfogainLoss", "\ninfogain_loss_param { axis: 2 source: 'x' }"), 2, in,
                OT_ENOINPUT, "mini.prototxt:2:31: layer 'l'");
    refuse_mini(LAYER("InfogainLoss", "\ninfogain_loss_param { axis: 1 }"), 2, in, OT_ECONFIG,
                "source: the matrix must be a file or the third bottom, got \"\"");
    refuse_mini("layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' bottom: 'h' "
                "top: 'l' }",
                3, info, OT_ESHAPE, "bottom 'h': wanted 16 matrix values");
    refuse_mini("layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' bottom: 'h' "
                "top: 'l'\ninfogain_loss_param { axis: 2 } }",
                3, info, OT_ECONFIG, "mini.prototxt:2:23: layer 'l': axis: must be in [-2, 2)");
    write_matrix(path, sizeof path, 9);
    (void)snprintf(text, sizeof text,
                   "layer { name: 'l' type: 'InfogainLoss' bottom: 'x' bottom: 'y' top: 'l'\n"
                   "infogain_loss_param { source: '%s' } }",
                   path);
    refuse_mini(text, 2, info, OT_ESHAPE, "the matrix must have 4 x 4 values, got 9");
    assert_error(&err, OT_ESHAPE, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hinge_losses_agree_with_caffe),
        cmocka_unit_test(gradients_are_derivatives),
        cmocka_unit_test(the_gradient_of_infogain_is_that_of_the_scores),
        cmocka_unit_test(the_gradient_of_contrastive_pairs_is_the_derivative),
        cmocka_unit_test(sigmoid_losses_divide_by_the_batch_unless_told),
        cmocka_unit_test(a_large_score_neither_overflows_nor_hides_a_nan),
        cmocka_unit_test(equal_vectors_that_do_not_belong_together_have_a_gradient_of_zero),
        cmocka_unit_test(probability_zero_costs_46),
        cmocka_unit_test(the_matrix_may_come_from_a_file),
        cmocka_unit_test(a_label_that_is_no_class_names_instance_and_value),
        cmocka_unit_test(the_number_of_threads_does_not_change_a_bit),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
