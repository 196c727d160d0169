/*
 * test_norm_layers.c - BatchNorm and LRN: against Caffe's own outputs, against their own
 * differences, in every order of channels, in nets, and what they say about bad parameters.
 */
#include <math.h>

#include "base/mem.h"
#include "layers/cpu_i.h"
#include "tests/check.h"
#include "tests/cpu.h"
#include "tests/gradcheck.h"
#include "tests/netkit.h"
#include "trainer/snapshot.h"

#define BN(param)  "layer { type: 'BatchNorm' bottom: 'a' top: 'b' batch_norm_param { " param " } }"
#define LRN(param) "layer { type: 'LRN' bottom: 'a' top: 'b' lrn_param { " param " } }"
#define WITHIN     "norm_region: WITHIN_CHANNEL "

static struct ot_mini *open_one(const char *text, struct ot_shape in)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };
    struct ot_mini *m = ot_mini_open(ot_cpu, &spec, &err);

    assert_ok(err.code, &err);
    return m;
}

static void gradients_equal_their_differences(void **state)
{
    static const struct {
        const char *text;
        struct ot_shape in;
    } cases[] = {
        { BN("eps: 0.01"), { 4, { 3, 5, 4, 3 } } },
        { BN(""), { 2, { 9, 6 } } },
        { BN("use_global_stats: true"), { 4, { 3, 5, 4, 3 } } },
        { LRN("local_size: 3 alpha: 2 beta: 0.6 k: 1.5"), { 4, { 2, 7, 3, 4 } } },
        { LRN(WITHIN "local_size: 3 alpha: 2"), { 4, { 2, 3, 5, 6 } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ot_mini *m = open_one(cases[i].text, cases[i].in);
        struct ot_gradcheck how = { .step = 0x1p-6, .tol = 2e-3, .limit = 60 };

        ot_mini_random(m, i + 1, -1, 1);
        ot_mini_fill(&m->param[1], 9, 0.5f, 1);
        assert_true(ot_gradcheck(m, &how) > 40);
        ot_mini_close(m);
    }
}

/* What stands behind a convolution is given its output in the order it likes, and must
 * compute there what it computes in plain order. */
static void every_order_of_channels_gives_the_plain_one(void **state)
{
    static const struct {
        const char *text;
        int c;
    } cases[] = {
        { BN("eps: 0.01"), 32 },
        { BN("eps: 0.01"), 37 },
        { BN("use_global_stats: true"), 37 },
        { LRN("alpha: 3 k: 2"), 37 },
        { LRN("alpha: 3 k: 2"), 48 }, /* oneDNN's */
        { LRN("alpha: 3 k: 0 local_size: 19"), 37 },
        { LRN(WITHIN "alpha: 3 local_size: 3"), 37 },
    };

    static const dnnl_format_tag_t tags[] = { dnnl_nChw16c, dnnl_nChw8c, dnnl_nhwc };

    (void)state;
    for (size_t i = 0; i < 3 * sizeof cases / sizeof cases[0]; i++) {
        const struct ot_shape in = ot_shape4(3, cases[i / 3].c, 5, 6);
        const dnnl_dims_t dims = { 3, cases[i / 3].c, 5, 6 };
        struct ot_err err = OT_ERR_INIT;
        struct ot_mini_spec spec = { .text = cases[i / 3].text, .n_in = 1, .in = { in } };
        struct ot_mini *a = ot_mini_open(ot_cpu, &spec, &err), *b;
        dnnl_memory_desc_t md;
        size_t elems;

        assert_int_equal(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, tags[i % 3]), 0);
        spec.in_fmt[0] = ot_cpu_format(ot_cpu, &md, &elems);
        b = ot_mini_open(ot_cpu, &spec, &err);
        assert_ok(err.code, &err);
        assert_ptr_equal(b->layer.in_fmt[0], spec.in_fmt[0]);
        assert_ptr_equal(b->layer.out[0]->data.fmt, spec.in_fmt[0]);
        for (struct ot_mini *m = a; m; m = m == a ? b : NULL) {
            ot_mini_random(m, i + 1, -1, 1);
            for (int k = 1; k < m->nparam; k++)
                ot_mini_fill(&m->param[k], 9, 0.5f, 1);
            assert_ok(ot_mini_forward(m, &err), &err);
            assert_ok(ot_mini_backward(m, &err), &err);
            ot_mini_read_params(m);
        }
        for (size_t k = 0; k < a->out[0].n; k++) {
            assert_near(a->out[0].v[k], b->out[0].v[k], 2e-6 * fmax(1, fabsf(a->out[0].v[k])));
            assert_near(a->in_grad[0].v[k], b->in_grad[0].v[k],
                        1e-5 * fmax(1, fabsf(a->in_grad[0].v[k])));
        }
        for (int p = 0; p < a->nparam; p++)
            for (size_t k = 0; k < a->param[p].n; k++)
                assert_near(a->param[p].v[k], b->param[p].v[k], 1e-6);
        ot_mini_close(a);
        ot_mini_close(b);
    }
}

/* With eps 0 an unused channel's 1 / sqrt(variance) would be infinite. */
static void the_padding_of_channel_blocks_stays_zero(void **state)
{
    const struct ot_shape in = ot_shape4(2, 5, 3, 4);
    const dnnl_dims_t dims = { 2, 5, 3, 4 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = BN("eps: 0"), .n_in = 1, .in = { in } };
    dnnl_memory_desc_t md;
    size_t elems;
    struct ot_mini *m;

    (void)state;
    assert_int_equal(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_nChw16c), 0);
    spec.in_fmt[0] = ot_cpu_format(ot_cpu, &md, &elems);
    m = ot_mini_open(ot_cpu, &spec, &err);
    assert_ok(err.code, &err);
    ot_mini_random(m, 1, -1, 1);
    assert_ok(ot_mini_forward(m, &err), &err);
    assert_ok(ot_mini_backward(m, &err), &err);
    for (size_t i = 0; i < elems; i++)
        if (i % 16 >= 5) {
            assert_near(m->layer.out[0]->data.data[i], 0, 0);
            assert_near(m->layer.in[0]->grad.data[i], 0, 0);
        }
    ot_mini_close(m);
}

static void refused(const char *text, struct ot_shape in, enum ot_code code, const char *part)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mini_spec spec = { .text = text, .n_in = 1, .in = { in } };

    assert_null(ot_mini_open(ot_cpu, &spec, &err));
    assert_error(&err, code, part);
}

static void bad_values_are_named_with_their_place(void **state)
{
    const struct ot_shape x = ot_shape4(2, 3, 4, 5);

    (void)state;
    refused(BN("eps: -1"), x, OT_ECONFIG,
            "mini.prototxt:1:67: layer 'layer': eps: must be >= 0, got -1");
    refused(BN("moving_average_fraction: 2"), x, OT_ECONFIG, "must be in [0, 1], got 2");
    refused("layer { type: 'BatchNorm' bottom: 'a' top: 'b' param { lr_mult: 1 } }", x, OT_ECONFIG,
            "lr_mult: must be 0, statistics are not learned, got 1");
    refused("layer { type: 'BatchNorm' bottom: 'a' top: 'b' param { decay_mult: 0 } }", x,
            OT_ECONFIG, "lr_mult: must be 0, statistics are not learned, got 1");
    refused(LRN("local_size: 4"), x, OT_ECONFIG,
            "local_size: must be odd and at most 32767, got 4");
    refused(LRN(""), ot_shape2(3, 4), OT_ESHAPE, "input must have 4 axes (N, C, H, W), got 3x4");
}

/* ---- in nets ------------------------------------------------------------------------------- */

static const char net_text[] =
    "layer { name: 'x' type: 'Input' top: 'x' input_param { shape { dim: 4 dim: 16 dim: 9 dim: 9 "
    "} } } "
    "layer { name: 'c1' type: 'Convolution' bottom: 'x' top: 'c1' convolution_param { num_output: "
    "32 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: 'xavier' } } } "
    "layer { name: 'n1' type: 'BatchNorm' bottom: 'c1' top: 'c1' } "
    "layer { name: 's1' type: 'Scale' bottom: 'c1' top: 'c1' scale_param { bias_term: true } } "
    "layer { name: 'r1' type: 'ReLU' bottom: 'c1' top: 'c1' } "
    "layer { name: 'c2' type: 'Convolution' bottom: 'c1' top: 'c2' convolution_param { num_output: "
    "32 kernel_size: 1 weight_filler { type: 'xavier' } } } "
    "layer { name: 'n2' type: 'BatchNorm' bottom: 'c2' top: 'n2' } ";

static void running_statistics_follow_training_and_reach_the_test_net(void **state)
{
    struct ot_kit train = ot_kit_open(net_text, (struct ot_net_conf){ 0 });
    struct ot_kit test = ot_kit_open(
        net_text, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
    float *before, *after, *factor;
    size_t n;

    (void)state;
    ot_kit_fill(&train, 1, 0);
    ot_kit_fill(&test, 1, 0);
    for (int i = 0; i < 3; i++)
        (void)ot_kit_forward(&train);
    (void)ot_kit_forward(&test);
    before = ot_kit_blob(train.net, "n2", &n);
    after = ot_kit_blob(test.net, "n2", NULL);
    for (size_t i = 0; i < n; i++) /* the same batch three times: unbiased variance only */
        assert_near(before[i], after[i], 0.01 * fmax(1, fabsf(before[i])));
    factor = ot_kit_param(test.net, ot_net_node(test.net, "n2")->l.param[2], OT_PARAM_DATA, &n);
    assert_int_equal(n, 1);
    assert_near(factor[0], 1 + 0.999 + 0.999 * 0.999, 1e-6);
    ot_free(factor);
    train.net->env.frozen_stats = true;
    (void)ot_kit_forward(&train);
    factor = ot_kit_param(train.net, ot_net_node(train.net, "n2")->l.param[2], OT_PARAM_DATA, &n);
    assert_near(factor[0], 1 + 0.999 + 0.999 * 0.999, 1e-6);
    ot_free(factor);
    ot_free(before);
    ot_free(after);
    ot_kit_close(&test);
    ot_kit_close(&train);
}

/* A solver changes nothing of them, and a .caffemodel brings them back. */
static void running_statistics_are_saved_and_never_learned(void **state)
{
    struct ot_kit k = ot_kit_open(net_text, (struct ot_net_conf){ 0 });
    struct ot_kit again = ot_kit_open(net_text, (struct ot_net_conf){ 0 });
    struct ot_err err = OT_ERR_INIT;
    char path[512];

    (void)state;
    ot_kit_fill(&k, 1, 0);
    (void)ot_kit_forward(&k);
    (void)snprintf(path, sizeof path, "%s/norm.caffemodel", ot_tmpdir());
    assert_ok(ot_weights_save(k.net, path, false, &err), &err);
    assert_ok(ot_weights_load_one(again.net, path, &err), &err);
    for (int i = 0; i < 3; i++) {
        struct ot_param *p = ot_net_node(k.net, "n1")->l.param[i];
        size_t n;
        float *a = ot_kit_param(k.net, p, OT_PARAM_DATA, &n);
        float *b = ot_kit_param(again.net, ot_net_node(again.net, "n1")->l.param[i], OT_PARAM_DATA,
                                NULL);

        assert_true(a[0] != 0.0f);
        assert_memory_equal(a, b, n * sizeof *a);
        assert_false(p->need_grad);
        assert_near(p->lr_mult, 0, 0);
        ot_free(a);
        ot_free(b);
    }
    ot_kit_close(&again);
    ot_kit_close(&k);
}

static void convolutions_and_normalisations_need_no_conversion_between(void **state)
{
    struct ot_kit kit = ot_kit_open(net_text, (struct ot_net_conf){ 0 });

    (void)state;
    ot_kit_fill(&kit, 1, 0);
    (void)ot_kit_forward(&kit);
    ot_kit_backward(&kit);
    /* plain x for the first convolution, at most */
    assert_true(kit.net->nconv <= 1);
    for (size_t i = 0; i < kit.net->nconv; i++)
        assert_string_equal(kit.net->node[kit.net->conv[i].node].l.name, "c1");
    assert_ptr_equal(ot_net_node(kit.net, "r1")->l.out[0]->data.fmt,
                     ot_net_node(kit.net, "n1")->l.out[0]->data.fmt);
    assert_non_null(ot_net_node(kit.net, "n1")->l.out[0]->data.fmt);
    ot_kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_of_channels_gives_the_plain_one),
        cmocka_unit_test(the_padding_of_channel_blocks_stays_zero),
        cmocka_unit_test(running_statistics_are_saved_and_never_learned),
        cmocka_unit_test(bad_values_are_named_with_their_place),
        cmocka_unit_test(running_statistics_follow_training_and_reach_the_test_net),
        cmocka_unit_test(convolutions_and_normalisations_need_no_conversion_between),
        cmocka_unit_test(gradients_equal_their_differences),
    };

    return cmocka_run_group_tests(tests, ot_cpu_set_up, ot_cpu_tear_down);
}
