/* test_recurrent.c - LSTM and RNN: Caffe's values, gradients through time, states, errors. */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/mininet.h"
#include "tests/netkit.h"

enum { T = 4, N = 2, D = 3, H = 5, S = 2 };

static struct ot_err err;

/* Bottoms and tops of one layer: x, cont, [static], [states]. */
struct wiring {
    const char *type;
    bool has_static, exposed;
};

static struct ot_mini *open_wired(const struct wiring *w, int t)
{
    const int states = strcmp(w->type, "LSTM") == 0 ? 2 : 1;
    const struct ot_shape hidden = { 3, { 1, N, H } };
    struct ot_mini_spec spec = { .n_in = 2, .no_grad = 2 };
    struct ot_mini *m;
    char text[800];

    spec.in[0] = (struct ot_shape){ 4, { t, N, D, 1 } };
    spec.in[1] = ot_shape2(t, N);
    if (w->has_static)
        spec.in[spec.n_in++] = ot_shape2(N, S);
    for (int j = 0; w->exposed && j < states; j++)
        spec.in[spec.n_in++] = hidden;
    (void)snprintf(
        text, sizeof text,
        "layer { name: 'l' type: '%s' bottom: 'x' bottom: 'cont' %s %s %s top: 'y' %s %s "
        "recurrent_param { num_output: %d expose_hidden: %s } }",
        w->type, w->has_static ? "bottom: 's'" : "", w->exposed ? "bottom: 'h0'" : "",
        w->exposed && states == 2 ? "bottom: 'c0'" : "", w->exposed ? "top: 'h'" : "",
        w->exposed && states == 2 ? "top: 'c'" : "", H, w->exposed ? "true" : "false");
    spec.text = text;
    err = (struct ot_err)OT_ERR_INIT;
    m = ot_mini_open(ot_cpu, &spec, &err);
    if (!m)
        assert_ok(err.code, &err);
    return m;
}

static void forward(struct ot_mini *m)
{
    assert_ok(ot_mini_forward(m, &err), &err);
}

static void backward(struct ot_mini *m)
{
    assert_ok(ot_mini_backward(m, &err), &err);
}

static void set_cont(struct ot_mini *m, const float *v)
{
    memcpy(m->in[1].v, v, m->in[1].n * sizeof *v);
}

/* ---- gradients ------------------------------------------------------------------------------ */

static void gradients_run_through_time(void **state)
{
    /* the first stream begins anew at step 2; a pass that begins anew does not see the last one */
    static const float anew[T * N] = { 0, 0, 1, 1, 0, 1, 1, 1 };
    static const float on[T * N] = { 1, 0, 1, 1, 0, 1, 1, 1 };

    (void)state;
    for (int i = 0; i < 8; i++) {
        const struct wiring w = { i & 1 ? "LSTM" : "RNN", i & 2, i & 4 };
        struct ot_mini *m = open_wired(&w, T);
        size_t n = T * N * D + (w.has_static ? N * S : 0), checked;

        ot_mini_random(m, 41, -0.8f, 0.8f);
        set_cont(m, w.exposed ? on : anew);
        for (int j = 1; j < m->nout; j++) /* no gradient passes exposed states */
            memset(m->out_grad[j].v, 0, m->out_grad[j].n * sizeof(float));
        for (int j = 0; j < m->nparam; j++)
            n += m->param[j].n;
        checked = ot_gradcheck(
            m, &(struct ot_gradcheck){ .step = 1.0 / 512, .skip_in = w.has_static ? ~5u : ~1u });
        if (checked != n)
            fail_msg("wiring %d: checked %zu values, wanted %zu", i, checked, n);
        for (size_t k = 0; w.exposed && !w.has_static && k < N * H; k++)
            assert_near(m->in_grad[2].v[k], 0.0, 0.0);
        ot_mini_close(m);
    }
}

static void gradients_of_parameters_add_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct wiring w = { i ? "LSTM" : "RNN", true, false };
        struct ot_mini *m = open_wired(&w, T);
        float once[6][160];

        ot_mini_random(m, 43, -0.8f, 0.8f);
        set_cont(m, (const float[T * N]){ 0, 0, 1, 1, 1, 1, 1, 1 });
        forward(m);
        backward(m);
        for (int j = 0; j < m->nparam; j++)
            memcpy(once[j], m->param_grad[j].v, m->param_grad[j].n * sizeof(float));
        m->accumulate = true;
        backward(m);
        for (int j = 0; j < m->nparam; j++)
            for (size_t k = 0; k < m->param_grad[j].n; k++)
                assert_near(m->param_grad[j].v[k], 2.0 * (double)once[j][k],
                            1e-6 + 1e-6 * fabs((double)once[j][k]));
        ot_mini_close(m);
    }
}

/* ---- states --------------------------------------------------------------------------------- */

static void copy_params(struct ot_mini *to, const struct ot_mini *from)
{
    for (int j = 0; j < to->nparam; j++)
        memcpy(to->param[j].v, from->param[j].v, from->param[j].n * sizeof(float));
}

static void two_short_passes_are_one_long_one(void **state)
{
    static const float cont[2 * T * N] = { 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1 };

    (void)state;
    for (int i = 0; i < 4; i++) {
        const struct wiring w = { i & 1 ? "LSTM" : "RNN", i & 2, false };
        struct ot_mini *one = open_wired(&w, 2 * T), *two = open_wired(&w, T);

        ot_mini_random(one, 47, -0.9f, 0.9f);
        copy_params(two, one);
        set_cont(one, cont);
        forward(one);
        if (w.has_static)
            memcpy(two->in[2].v, one->in[2].v, one->in[2].n * sizeof(float));
        for (size_t half = 0; half < 2; half++) {
            memcpy(two->in[0].v, one->in[0].v + half * T * N * D, T * N * D * sizeof(float));
            set_cont(two, cont + half * T * N);
            forward(two);
            for (size_t k = 0; k < T * N * H; k++)
                assert_near(two->out[0].v[k], one->out[0].v[half * T * N * H + k], 1e-6);
        }
        ot_mini_close(one);
        ot_mini_close(two);
    }
}

static void exposed_states_hand_on_what_the_layer_would_keep(void **state)
{
    static const float cont[T * N] = { 1, 1, 1, 1, 0, 1, 1, 1 };

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *type = i ? "LSTM" : "RNN";
        struct ot_mini *kept = open_wired(&(struct wiring){ type, false, false }, T);
        struct ot_mini *shown = open_wired(&(struct wiring){ type, false, true }, T);

        ot_mini_random(kept, 53, -0.9f, 0.9f);
        ot_mini_random(shown, 53, 0, 0);
        copy_params(shown, kept);
        memcpy(shown->in[0].v, kept->in[0].v, kept->in[0].n * sizeof(float));
        set_cont(kept, cont);
        set_cont(shown, cont);
        for (int pass = 0; pass < 3; pass++) {
            forward(kept);
            forward(shown);
            assert_memory_equal(shown->out[0].v, kept->out[0].v, T * N * H * sizeof(float));
            for (int j = 1; j < shown->nout; j++)
                memcpy(shown->in[1 + j].v, shown->out[j].v, N * H * sizeof(float));
        }
        if (i)
            assert_memory_equal(shown->out[1].v, shown->out[0].v + (T - 1) * N * H,
                                N * H * sizeof(float));
        ot_mini_close(kept);
        ot_mini_close(shown);
    }
}

static void another_number_of_streams_begins_with_zeros(void **state)
{
    const struct ot_shape in[] = { { 4, { 2, 3, D, 1 } }, ot_shape2(2, 3) };
    const struct wiring w = { "LSTM", false, false };
    struct ot_mini *m = open_wired(&w, T);
    float first[2 * 3 * H];

    (void)state;
    ot_mini_random(m, 59, -0.9f, 0.9f);
    forward(m);
    for (int pass = 0; pass < 3; pass++) {
        assert_ok(ot_mini_reshape(m, in, &err), &err); /* the second and third change nothing */
        ot_mini_fill(&m->in[0], 61, -1, 1);
        for (size_t k = 0; k < m->in[1].n; k++)
            m->in[1].v[k] = (float)(pass < 2 || k >= 3);
        forward(m);
        if (pass == 0)
            memcpy(first, m->out[0].v, sizeof first);
        else if (pass == 1)
            assert_true(fabsf(first[0] - m->out[0].v[0]) > 1e-4f); /* goes on */
    }
    for (size_t k = 0; k < sizeof first / sizeof first[0]; k++)
        assert_near(m->out[0].v[k], first[k], 0.0);
    ot_mini_close(m);
}

/* ---- in a net ------------------------------------------------------------------------------- */

/* Z, W: tops of the layers behind the recurrent ones; the same names: in place. */
#define NET(Z, W)                                                                                  \
    "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 4 dim: 2 dim: 3 } } } "   \
    "layer { name: 'c' type: 'Input' top: 'label_cont' input_param { shape { dim: 4 dim: 2 } } } " \
    "layer { name: 't' type: 'Input' top: 't' input_param { shape { dim: 4 dim: 2 dim: 2 } } } "   \
    "layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' inner_product_param { axis: 2 "   \
    "num_output: 7 weight_filler { type: 'xavier' } } } "                                          \
    "layer { name: 'l' type: 'LSTM' bottom: 'a' bottom: 'label_cont' top: 'l' "                    \
    "recurrent_param { num_output: 6 weight_filler { type: 'xavier' } } } "                        \
    "layer { name: 'z' type: 'Dropout' bottom: 'l' top: '" Z "' } "                                \
    "layer { name: 'r' type: 'RNN' bottom: '" Z "' bottom: 'label_cont' top: 'r' "                 \
    "recurrent_param { num_output: 5 weight_filler { type: 'xavier' } } } "                        \
    "layer { name: 'w' type: 'Dropout' bottom: 'r' top: '" W "' } "                                \
    "layer { name: 'y' type: 'InnerProduct' bottom: '" W "' top: 'y' inner_product_param { "       \
    "axis: 2 num_output: 2 weight_filler { type: 'xavier' } } } "                                  \
    "layer { name: 'e' type: 'EuclideanLoss' bottom: 'y' bottom: 't' top: 'e' }"

static void planned_memory_changes_no_gradient(void **state)
{
    struct ot_kit all = ot_kit_open(NET("z", "w"),
                                    (struct ot_net_conf){ .seed = 5, .keep_all = true });
    struct ot_kit few = ot_kit_open(NET("l", "r"), (struct ot_net_conf){ .seed = 5 });

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        ot_kit_fill(&all, 3, 2);
        ot_kit_fill(&few, 3, 2);
        assert_true(ot_kit_forward(&all) == ot_kit_forward(&few));
        ot_kit_backward(&all);
        ot_kit_backward(&few);
    }
    assert_int_equal(all.net->nlearn, 12);
    for (size_t i = 0; i < all.net->nlearn; i++) {
        size_t n;
        float *a = ot_kit_param(all.net, all.net->learn[i], OT_PARAM_GRAD, &n);
        float *b = ot_kit_param(few.net, few.net->learn[i], OT_PARAM_GRAD, &n);

        assert_memory_equal(a, b, n * sizeof *a);
        ot_free(a);
        ot_free(b);
    }
    ot_kit_close(&all);
    ot_kit_close(&few);
}

/* ---- errors --------------------------------------------------------------------------------- */

#define RECURRENT(bottoms, tops, param)                                                      \
    "layer { name: 'l' type: 'LSTM' bottom: 'x' bottom: 'c' " bottoms " top: 'y' " tops "\n" \
    "recurrent_param { " param " } }"

static void refuse(const char *text, int n_in, const struct ot_shape *in, enum ot_code code,
                   const char *part)
{
    struct ot_mini_spec spec = { .text = text, .n_in = n_in };

    for (int i = 0; i < n_in; i++)
        spec.in[i] = in[i];
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, code, part);
}

static void wrong_settings_are_refused_by_name(void **state)
{
    const struct ot_shape good[] = { { 3, { 4, 2, 3 } }, ot_shape2(4, 2), ot_shape2(2, 7) };
    const struct ot_shape flat[] = { ot_shape2(4, 2), ot_shape2(4, 2) };
    const struct ot_shape cont[] = { { 3, { 4, 2, 3 } }, ot_shape2(2, 4) };
    const struct ot_shape still[] = { { 3, { 4, 2, 3 } }, ot_shape2(4, 2), ot_shape2(3, 7) };
    const struct ot_shape hidden[] = {
        { 3, { 4, 2, 3 } }, ot_shape2(4, 2), { 3, { 1, 2, 5 } }, { 3, { 1, 2, 4 } }
    };

    (void)state;
    refuse(RECURRENT("", "", "num_output: 0"), 2, good, OT_ECONFIG,
           "mini.prototxt:2:19: layer 'l': num_output: must be in [1, 16777216], got 0");
    refuse("layer { name: 'l' type: 'RNN' bottom: 'x' bottom: 'c' top: 'y' }", 2, good, OT_ECONFIG,
           "recurrent_param is missing");
    refuse(RECURRENT("", "", "num_output: 5"), 2, flat, OT_ESHAPE,
           "layer 'l': bottom 'x': wanted steps x streams x values, got shape 4x2");
    refuse(RECURRENT("", "", "num_output: 5"), 2, cont, OT_ESHAPE,
           "bottom 'c': wanted shape 4x2, got 2x4");
    refuse(RECURRENT("bottom: 's'", "", "num_output: 5"), 3, still, OT_ESHAPE,
           "bottom 's': wanted 2 streams of 7 static values, got shape 3x7");
    refuse(RECURRENT("bottom: 's'", "top: 'h' top: 'd'", "num_output: 5 expose_hidden: true"), 3,
           good, OT_ECONFIG, "bottoms: must be 4, or 5 with a static input, got 3");
    refuse(RECURRENT("bottom: 'h0' bottom: 'c0'", "top: 'h'", "num_output: 5 expose_hidden: true"),
           4, hidden, OT_ECONFIG, "tops: must be 3, got 2");
    refuse(RECURRENT("bottom: 'h0' bottom: 'c0'", "top: 'h' top: 'd'",
                     "num_output: 5 expose_hidden: true"),
           4, hidden, OT_ESHAPE, "bottom 'c0': wanted shape 1x2x5, got 1x2x4");
}

static void another_number_of_values_is_refused(void **state)
{
    const struct ot_shape in[] = { { 3, { T, N, D + 1 } }, ot_shape2(T, N) };
    const struct wiring w = { "RNN", false, false };
    struct ot_mini *m = open_wired(&w, T);

    (void)state;
    assert_int_equal(ot_mini_reshape(m, in, &err), OT_ESHAPE);
    assert_error(&err, OT_ESHAPE, "wanted steps x streams x 3 values, got shape 4x2x4");
    ot_mini_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_run_through_time),
        cmocka_unit_test(gradients_of_parameters_add_up),
        cmocka_unit_test(two_short_passes_are_one_long_one),
        cmocka_unit_test(exposed_states_hand_on_what_the_layer_would_keep),
        cmocka_unit_test(another_number_of_streams_begins_with_zeros),
        cmocka_unit_test(planned_memory_changes_no_gradient),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
        cmocka_unit_test(another_number_of_values_is_refused),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
