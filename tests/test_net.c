/*
 * test_net.c - a net's wiring: who is in it, what the blobs are called, who shares what, who gets a
 * gradient.  Split names are those of Caffe's test_split_layer.cpp (InsertSplits).
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/netkit.h"

#define DATA(n, c)                                    \
    "layer { name: 'data' type: 'Input' top: 'data' " \
    "  input_param { shape { dim: " #n " dim: " #c " } } }"
#define LABEL(n) \
    "layer { name: 'label' type: 'Input' top: 'label' input_param { shape { dim: " #n " } } }"
#define IP(name, bottom, out, rest)                                                       \
    "layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" name "' " \
    "  inner_product_param { num_output: " #out " weight_filler { type: 'xavier' } "      \
    "    bias_filler { value: 0.1 } } " rest " }"
#define LOSS(name, bottom)                                                   \
    "layer { name: '" name "' type: 'SoftmaxWithLoss' bottom: '" bottom "' " \
    "  bottom: 'label' top: '" name "' }"

static const struct ot_net_conf plain = { 0 };

/* ---- who is in the net --------------------------------------------------------------- */

static const char rules[] =
    DATA(2, 3) "layer { name: 'always' type: 'ReLU' bottom: 'data' top: 'always' }"
               "layer { name: 'train' type: 'ReLU' bottom: 'data' top: 'train' "
               "  include { phase: TRAIN } }"
               "layer { name: 'test' type: 'ReLU' bottom: 'data' top: 'test' "
               "  include { phase: TEST } }"
               "layer { name: 'no_test' type: 'ReLU' bottom: 'data' top: 'no_test' "
               "  exclude { phase: TEST } }"
               "layer { name: 'deep' type: 'ReLU' bottom: 'data' top: 'deep' "
               "  include { min_level: 2 max_level: 4 } }"
               "layer { name: 'a_and_b' type: 'ReLU' bottom: 'data' top: 'a_and_b' "
               "  include { stage: 'a' stage: 'b' } }"
               "layer { name: 'a_or_b' type: 'ReLU' bottom: 'data' top: 'a_or_b' "
               "  include { stage: 'a' } include { stage: 'b' } }"
               "layer { name: 'not_a' type: 'ReLU' bottom: 'data' top: 'not_a' "
               "  include { phase: TRAIN not_stage: 'a' } }";

static void has_layers(struct ot_net_conf conf, const char *want)
{
    static const char *const all[] = { "always", "train",   "test",   "no_test",
                                       "deep",   "a_and_b", "a_or_b", "not_a" };
    struct ot_kit k = ot_kit_open(rules, conf);
    char got[200] = "";

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (ot_net_node(k.net, all[i])) {
            (void)strcat(got, " ");
            (void)strcat(got, all[i]);
        }
    assert_string_equal(got, want);
    ot_kit_close(&k);
}

static void include_and_exclude_rules_choose_the_layers(void **state)
{
    static const char *const a[] = { "a" }, *const ab[] = { "b", "a" }, *const b[] = { "b" };

    (void)state;
    has_layers((struct ot_net_conf){ .phase = CAFFE__PHASE__TRAIN }, " always train no_test not_a");
    has_layers((struct ot_net_conf){ .phase = CAFFE__PHASE__TEST }, " always test");
    has_layers((struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .level = 1 }, " always test");
    has_layers((struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .level = 4 },
               " always test deep");
    has_layers((struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .level = 5 }, " always test");
    has_layers((struct ot_net_conf){ .stage = a, .nstage = 1 }, " always train no_test a_or_b");
    has_layers((struct ot_net_conf){ .stage = b, .nstage = 1 },
               " always train no_test a_or_b not_a");
    has_layers((struct ot_net_conf){ .stage = ab, .nstage = 2 },
               " always train no_test a_and_b a_or_b");
}

static void legacy_inputs_become_input_layers(void **state)
{
    struct ot_kit k = ot_kit_open("input: 'x' input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 "
                                  "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'y' }",
                                  plain);
    struct ot_shape want = ot_shape4(2, 3, 4, 5);

    (void)state;
    assert_true(ot_shape_eq(&ot_net_blob(k.net, "y")->data.shape, &want));
    ot_kit_close(&k);
    k = ot_kit_open("input: 'x' input: 'z' input_shape { dim: 2 dim: 3 } input_shape { dim: 7 }"
                    "layer { name: 'r' type: 'ReLU' bottom: 'z' top: 'y' }",
                    plain);
    want = ot_shape1(7);
    assert_true(ot_shape_eq(&ot_net_blob(k.net, "y")->data.shape, &want));
    ot_kit_close(&k);
}

/* Whoever forgets ot_upgrade_net() must not get a net of what is left. */
static void a_net_that_was_not_upgraded_is_refused(void **state)
{
    static const char *const text[] = { " layers { type: RELU }", " input: 'x'" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc = ot_text_parse(&caffe__net_parameter__descriptor, "f", text[i],
                                           strlen(text[i]), &err);
        struct ot_net_conf conf = { .dev = ot_kit_dev(), .doc = doc, .seed = 1 };

        conf.param = (const Caffe__NetParameter *)(const void *)ot_doc_root(doc);
        assert_null(ot_net_new(&conf, &err));
        assert_error(&err, OT_ECONFIG, "f:1:2: the net is of an old format and was not upgraded");
        ot_doc_free(doc);
    }
}

/* ---- Split ----------------------------------------------------------------------------- */

static void wired_as(const char *text, const char *want)
{
    struct ot_kit k = ot_kit_open(text, plain);
    char got[2000] = "";
    size_t n = 0;

    for (int i = 0; i < k.net->nnode; i++) {
        const struct ot_node *node = &k.net->node[i];

        n += (size_t)snprintf(got + n, sizeof got - n, "%s(", node->l.name);
        for (int b = 0; b < node->l.nin; b++)
            n += (size_t)snprintf(got + n, sizeof got - n, b ? " %s" : "%s", node->bottom[b]);
        n += (size_t)snprintf(got + n, sizeof got - n, ")");
        for (int t = 0; t < node->l.nout; t++)
            n += (size_t)snprintf(got + n, sizeof got - n, " %s", node->top[t]);
        n += (size_t)snprintf(got + n, sizeof got - n, "\n");
    }
    assert_string_equal(got, want);
    ot_kit_close(&k);
}

static void a_blob_of_two_readers_is_split_with_caffes_names(void **state)
{
    (void)state;
    wired_as(DATA(2, 3) IP("ip1", "data", 4, "") IP("ip2", "data", 4, ""),
             "data() data\n"
             "data_data_0_split(data) data_data_0_split_0 data_data_0_split_1\n"
             "ip1(data_data_0_split_0) ip1\n"
             "ip2(data_data_0_split_1) ip2\n");
    /* after an in-place layer it is that layer's version that is read */
    wired_as(
        DATA(2, 3)
            IP("ip", "data", 4, "") "layer { name: 'relu' type: 'ReLU' bottom: 'ip' top: 'ip' }" IP(
                "a", "ip", 4, "") IP("b", "ip", 4, ""),
        "data() data\n"
        "ip(data) ip\n"
        "relu(ip) ip\n"
        "ip_relu_0_split(ip) ip_relu_0_split_0 ip_relu_0_split_1\n"
        "a(ip_relu_0_split_0) a\n"
        "b(ip_relu_0_split_1) b\n");
}

static void a_loss_that_is_read_too_stays_an_output_of_its_split(void **state)
{
    static const char text[] = DATA(2, 3) LABEL(2) IP("ip", "data", 4, "") LOSS(
        "loss",
        "ip") "layer { name: 'half' type: 'Eltwise' bottom: 'loss' bottom: 'loss' top: 'half' }";
    struct ot_kit k = ot_kit_open(text, plain);
    struct ot_blob *out[8];
    double total;
    float *loss;

    (void)state;
    ot_kit_fill(&k, 1, 4);
    assert_int_equal(ot_net_outputs(k.net, out, 8), 2);
    assert_string_equal(out[0]->name, "half");
    assert_string_equal(out[1]->name, "loss_loss_0_split_0");
    total = ot_kit_forward(&k);
    loss = ot_kit_blob(k.net, "loss_loss_0_split_0", NULL);
    assert_near(total, loss[0], 1e-7);
    ot_free(loss);
    ot_kit_close(&k);
}

static void a_split_sums_the_gradients_of_its_ways(void **state)
{
    static const char once[] = DATA(3, 5) LABEL(3) IP("a", "data", 6, "") IP("b", "a", 4, "")
        LOSS("loss", "b");
    static const char twice[] = DATA(3, 5) LABEL(3) IP("a", "data", 6, "")
        IP("b", "a", 4, "param { name: 'w' } param { name: 'b' }") LOSS("loss", "b")
            IP("c", "a", 4, "param { name: 'w' } param { name: 'b' }") LOSS("loss2", "c");
    struct ot_kit k = ot_kit_open(once, plain), k2 = ot_kit_open(twice, plain);
    float *g, *g2;
    size_t n;

    (void)state;
    ot_kit_fill(&k, 1, 4);
    ot_kit_fill(&k2, 1, 4);
    assert_near(ot_kit_forward(&k2), 2 * ot_kit_forward(&k), 1e-6);
    ot_kit_backward(&k);
    ot_kit_backward(&k2);
    for (size_t p = 0; p < k.net->nlearn; p++) {
        g = ot_kit_param(k.net, k.net->learn[p], OT_PARAM_GRAD, &n);
        g2 = ot_kit_param(k2.net, k2.net->learn[p], OT_PARAM_GRAD, NULL);
        for (size_t i = 0; i < n; i++)
            assert_near(g2[i], 2 * g[i], 1e-6);
        ot_free(g);
        ot_free(g2);
    }
    ot_kit_close(&k);
    ot_kit_close(&k2);
}

/* Sizes whose products no size_t holds: nothing is allocated for them. */
static void blobs_and_parameters_of_more_values_than_an_int_are_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "layer { name: 'd' type: 'Input' top: 'd' input_param { shape { dim: 1073741824 dim: 1"
          " dim: 1 dim: 1 } } }"
          "layer { name: 'c' type: 'Convolution' bottom: 'd' top: 'e' convolution_param {"
          " num_output: 16777216 kernel_size: 1 pad: 32768 } }",
          "layer 'c': top 'e' must have at most 2147483647 values, 1073741824 along an axis, "
          "got 1073741824x16777216x65537x65537" },
        { "layer { name: 'd' type: 'Input' top: 'd' input_param { shape { dim: 1 dim: 1073741824"
          " dim: 1 dim: 1 } } }"
          "layer { name: 'c' type: 'Convolution' bottom: 'd' top: 'e' convolution_param {"
          " num_output: 16777216 kernel_size: 32768 pad: 32768 } }",
          "layer 'c': parameter 0 must have at most 2147483647 values, 1073741824 along an axis, "
          "got 16777216x1073741824x32768x32768" },
        { "layer { name: 'd' type: 'Input' top: 'd' input_param { shape { dim: 1073741825 } } }",
          "layer 'd': top 'd' must have at most 2147483647 values, 1073741824 along an axis, "
          "got 1073741825" },
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_kit k = ot_kit_try(bad[i].text, plain, &err);

        assert_null(k.net);
        assert_error(&err, OT_ESHAPE, bad[i].error);
        ot_kit_close(&k);
    }
}

/* ---- shared parameters ----------------------------------------------------------------- */

static void parameters_of_one_name_are_one_parameter(void **state)
{
    static const char text[] = DATA(3, 5) LABEL(3)
        IP("a", "data", 5, "param { name: 'w' } param { name: 'b' }")
            IP("b", "a", 5, "param { name: 'w' lr_mult: 0.5 decay_mult: 3 } param { name: 'b' }")
                LOSS("loss", "b");
    struct ot_kit k = ot_kit_open(text, plain);
    struct ot_param *w = k.net->learn[0];
    float *before, *after, ones[25];
    struct ot_err err = OT_ERR_INIT;
    size_t n;

    (void)state;
    assert_int_equal(k.net->nlearn, 2);
    assert_int_equal(k.net->nparam, 4);
    assert_ptr_equal(k.net->param[2]->owner, w);
    assert_near(w->lr_mult, 0.5, 0); /* the owner left it to the sharer */
    assert_near(w->decay_mult, 3, 0);
    before = ot_kit_param(k.net, ot_net_node(k.net, "b")->l.param[0], OT_PARAM_DATA, &n);
    assert_int_equal(n, 25);
    for (int i = 0; i < 25; i++)
        ones[i] = before[i] + 1;
    assert_ok(ot_param_set(k.net, w, OT_PARAM_DATA, ones, &err), &err);
    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    after = ot_kit_param(k.net, ot_net_node(k.net, "b")->l.param[0], OT_PARAM_DATA, NULL);
    assert_memory_equal(after, ones, sizeof ones);
    ot_free(before);
    ot_free(after);
    ot_kit_close(&k);
}

/* d loss / d w of the first parameter, numerically. */
static void check_gradient(const char *text)
{
    struct ot_kit k = ot_kit_open(text, plain);
    struct ot_err err = OT_ERR_INIT;
    float *w, *g;
    size_t n;

    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    w = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_DATA, &n);
    g = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, NULL);
    for (size_t i = 0; i < n; i += n / 5 + 1) {
        float was = w[i];
        double up, down;

        w[i] = was + 1e-2f;
        assert_ok(ot_param_set(k.net, k.net->learn[0], OT_PARAM_DATA, w, &err), &err);
        up = ot_kit_forward(&k);
        w[i] = was - 1e-2f;
        assert_ok(ot_param_set(k.net, k.net->learn[0], OT_PARAM_DATA, w, &err), &err);
        down = ot_kit_forward(&k);
        w[i] = was;
        assert_near((up - down) / 2e-2, g[i], 2e-4);
    }
    ot_free(w);
    ot_free(g);
    ot_kit_close(&k);
}

static void the_gradient_of_a_shared_parameter_is_the_sum(void **state)
{
    (void)state;
    check_gradient(DATA(3, 5) LABEL(3) IP("a", "data", 5, "param { name: 'w' }")
                       IP("b", "a", 5, "param { name: 'w' }") LOSS("loss", "b"));
}

/* A 3x3 convolution of a 3x3 image and an inner product of its 27 values: 16x3x3x3 and 16x27. */
#define IMAGE                                         \
    "layer { name: 'data' type: 'Input' top: 'data' " \
    "input_param { shape { dim: 3 dim: 3 dim: 3 dim: 3 } } }" LABEL(3)
#define PERMISSIVE "param { name: 'w' share_mode: PERMISSIVE } "
#define CONV                                                                              \
    "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' " PERMISSIVE           \
    "convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } " \
    "bias_filler { value: 0.1 } } }"

static void permissive_sharers_have_the_same_values_in_another_shape(void **state)
{
    static const char *const text[] = { IMAGE CONV IP("i", "data", 16, PERMISSIVE) LOSS("lc", "c")
                                            LOSS("li", "i"),
                                        IMAGE IP("i", "data", 16, PERMISSIVE) CONV LOSS("lc", "c")
                                            LOSS("li", "i") };

    static const char turned[] = DATA(3, 5) LABEL(3) IP("a", "data", 4, PERMISSIVE)
        IP("b", "a", 5, PERMISSIVE) LOSS("loss", "b");
    static const char flat[] = "layer { name: 'a' type: 'Parameter' top: 'a' " PERMISSIVE
                               "parameter_param { shape { dim: 20 } } }"
                               "layer { name: 'b' type: 'Parameter' top: 'b' " PERMISSIVE
                               "parameter_param { shape { dim: 5 dim: 4 } } }";
    const struct ot_shape want = ot_shape2(5, 4);
    struct ot_kit k;

    (void)state;
    for (int t = 0; t < 2; t++) {
        float *c, *i;
        size_t n;

        k = ot_kit_open(text[t], (struct ot_net_conf){ .keep_all = true });
        assert_int_equal(k.net->nlearn, 3); /* w, and a bias each */
        ot_kit_fill(&k, 1, 4);
        (void)ot_kit_forward(&k);
        c = ot_kit_blob(k.net, "c", &n);
        i = ot_kit_blob(k.net, "i", NULL);
        for (size_t j = 0; j < n; j++)
            assert_near(c[j], i[j], 1e-5);
        ot_free(c);
        ot_free(i);
        ot_kit_close(&k);
        check_gradient(text[t]);
    }
    check_gradient(turned);
    k = ot_kit_open(flat, plain); /* the same memory */
    assert_ptr_equal(k.net->param[0]->data.data, k.net->param[1]->data.data);
    assert_true(ot_shape_eq(&ot_net_node(k.net, "b")->l.param[0]->data.shape, &want));
    ot_kit_close(&k);
}

static void permissive_sharers_need_as_many_values(void **state)
{
    static const char text[] = DATA(3, 5) IP("a", "data", 4, PERMISSIVE)
        IP("b", "a", 6, PERMISSIVE);
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k = ot_kit_try(text, plain, &err);

    (void)state;
    assert_null(k.net);
    assert_error(&err, OT_ESHAPE, "parameter 0 is 6x4 but the one it shares with layer 'a' is 4x5");
    ot_kit_close(&k);
}

static void sharers_of_another_shape_are_refused_with_both_shapes(void **state)
{
    static const char text[] = DATA(3, 5) IP("a", "data", 4, "param { name: 'w' }")
        IP("b", "a", 5, "param { name: 'w' }");
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k = ot_kit_try(text, plain, &err);

    (void)state;
    assert_null(k.net);
    assert_error(&err, OT_ESHAPE,
                 "layer 'b': parameter 0 is 5x4 but the one it shares with layer "
                 "'a' is 4x5");
    ot_kit_close(&k);
}

static void a_test_net_sees_the_weights_that_training_changes(void **state)
{
    static const char text[] =
        "layer { name: 'data' type: 'Input' top: 'data' "
        "  input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } include { phase: TRAIN } }"
        "layer { name: 'data' type: 'Input' top: 'data' "
        "  input_param { shape { dim: 5 dim: 3 dim: 9 dim: 9 } } include { phase: TEST } }"
        "layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' "
        "  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } } }"
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'conv' top: 'ip' "
        "  inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } }";
    struct ot_kit train = ot_kit_open(text, plain);
    struct ot_kit test = ot_kit_open(
        text, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .share = train.net });
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (int pass = 0; pass < 3; pass++) {
        float *a, *b;
        size_t n;

        ot_kit_fill(&train, 1, 4);
        (void)ot_kit_forward(&train);
        for (size_t k = 0; k < train.net->nlearn; k++) {
            float *w = ot_kit_param(train.net, train.net->learn[k], OT_PARAM_DATA, &n);

            for (size_t i = 0; i < n; i++)
                w[i] *= 1.5f;
            assert_ok(ot_param_set(train.net, train.net->learn[k], OT_PARAM_DATA, w, &err), &err);
            ot_free(w);
        }
        ot_kit_fill(&test, 1, 4);
        (void)ot_kit_forward(&train);
        (void)ot_kit_forward(&test); /* its first two images are the training net's */
        a = ot_kit_blob(train.net, "ip", &n);
        b = ot_kit_blob(test.net, "ip", NULL);
        for (size_t i = 0; i < n; i++)
            assert_near(a[i], b[i], 1e-5 * fabs((double)a[i]) + 1e-6);
        ot_free(a);
        ot_free(b);
    }
    ot_kit_close(&test);
    ot_kit_close(&train);
}

/* ---- who gets a gradient ----------------------------------------------------------------- */

static void need(struct ot_net *net, const char *want)
{
    char got[1000] = "";
    size_t n = 0;

    for (int i = 0; i < net->nnode; i++)
        if (net->node[i].backward) {
            n += (size_t)snprintf(got + n, sizeof got - n, " %s", net->node[i].l.name);
            for (int b = 0; b < net->node[i].l.nin; b++)
                n += (size_t)snprintf(got + n, sizeof got - n, "%c",
                                      net->node[i].prop_down[b] ? '+' : '-');
        }
    assert_string_equal(got, want);
}

static void needs(const char *text, const char *want)
{
    struct ot_kit k = ot_kit_open(text, plain);

    need(k.net, want);
    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    ot_kit_close(&k);
}

static void backward_goes_where_a_parameter_learns_and_a_loss_reaches(void **state)
{
    (void)state;
    /* the data needs no gradient, the label never */
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "") IP("b", "a", 4, "") LOSS("loss", "b"),
          " a- b+ loss+-");
    /* frozen up to b: nothing flows into a */
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "param { lr_mult: 0 } param { lr_mult: 0 }")
              IP("b", "a", 4, "") LOSS("loss", "b"),
          " b- loss+-");
    /* frozen in the middle: it still passes the gradient on */
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "")
              IP("b", "a", 4, "param { lr_mult: 0 } param { lr_mult: 0 }") LOSS("loss", "b"),
          " a- b+ loss+-");
    /* a way without a loss at its end takes no part */
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "") IP("side", "a", 4, "") LOSS("loss", "a"),
          " a- a_a_0_split+ loss+-");
    /* all is frozen */
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "param { lr_mult: 0 } param { lr_mult: 0 }")
              LOSS("loss", "a"),
          "");
}

static void propagate_down_stops_the_gradient(void **state)
{
    (void)state;
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "") IP("b", "a", 4, "propagate_down: false")
              LOSS("loss", "b"),
          " b- loss+-");
    needs(DATA(3, 5) LABEL(3) IP("a", "data", 4, "")
              IP("b", "data", 4,
                 "") "layer { name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'sum' "
                     "  propagate_down: false propagate_down: true }" LOSS("loss", "sum"),
          " b- sum-+ loss+-");
}

static void a_frozen_layer_has_no_gradient_buffer_and_does_not_change(void **state)
{
    struct ot_kit k = ot_kit_open(
        DATA(3, 5) LABEL(3) IP("a", "data", 4, "param { lr_mult: 0 }") LOSS("loss", "a"), plain);
    const struct ot_layer *a = &ot_net_node(k.net, "a")->l;

    (void)state;
    assert_false(a->param[0]->need_grad);
    assert_null(a->param[0]->grad.data);
    assert_true(a->param[1]->need_grad); /* the bias learns */
    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    ot_kit_close(&k);
}

static void force_backward_reaches_the_data(void **state)
{
    static const char text[] = "force_backward: true " DATA(3, 5) LABEL(3)
        IP("a", "data", 4, "param { lr_mult: 0 } param { lr_mult: 0 }") LOSS("loss", "a");
    struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ .keep_all = true });
    float *g, *x, sum = 0;
    size_t n;

    (void)state;
    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    g = ot_kit_blob_grad(k.net, "data", &n);
    x = ot_kit_blob(k.net, "data", NULL);
    for (size_t i = 0; i < n; i++)
        sum += fabsf(g[i]);
    assert_true(sum > 0.01f);
    for (size_t i = 0; i < n; i += 4) { /* numerically */
        float was = x[i];
        double up, down;

        x[i] = was + 1e-2f;
        ot_kit_set(&k, "data", x);
        up = ot_kit_forward(&k);
        x[i] = was - 1e-2f;
        ot_kit_set(&k, "data", x);
        down = ot_kit_forward(&k);
        x[i] = was;
        assert_near((up - down) / 2e-2, g[i], 2e-4);
    }
    ot_free(g);
    ot_free(x);
    ot_kit_close(&k);
}

static void loss_weights_scale_losses_and_gradients(void **state)
{
    static const char text[] = DATA(3, 5) LABEL(3) IP(
        "a", "data", 4,
        "") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' top: 'loss' "
            "  loss_weight: %s }";
    char one[2000], three[2000];
    struct ot_kit k, k3;
    float *g, *g3;
    size_t n;

    (void)state;
    (void)snprintf(one, sizeof one, text, "1");
    (void)snprintf(three, sizeof three, text, "3");
    k = ot_kit_open(one, plain);
    k3 = ot_kit_open(three, plain);
    ot_kit_fill(&k, 1, 4);
    ot_kit_fill(&k3, 1, 4);
    assert_near(ot_kit_forward(&k3), 3 * ot_kit_forward(&k), 1e-6);
    ot_kit_backward(&k);
    ot_kit_backward(&k3);
    g = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, &n);
    g3 = ot_kit_param(k3.net, k3.net->learn[0], OT_PARAM_GRAD, NULL);
    for (size_t i = 0; i < n; i++)
        assert_near(g3[i], 3 * g[i], 1e-6);
    ot_free(g);
    ot_free(g3);
    ot_kit_close(&k);
    ot_kit_close(&k3);
}

static void gradients_add_up_until_they_are_zeroed(void **state)
{
    struct ot_kit k = ot_kit_open(DATA(3, 5) LABEL(3) IP("a", "data", 4, "") LOSS("loss", "a"),
                                  plain);
    struct ot_err err = OT_ERR_INIT;
    float *g, *g2;
    size_t n;

    (void)state;
    ot_kit_fill(&k, 1, 4);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    g = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, &n);
    (void)ot_kit_forward(&k);
    assert_ok(ot_net_backward(k.net, &err), &err);
    g2 = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, NULL);
    for (size_t i = 0; i < n; i++)
        assert_near(g2[i], 2 * g[i], 1e-7);
    ot_free(g);
    ot_free(g2);
    ot_net_zero_grads(k.net);
    g = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, &n);
    for (size_t i = 0; i < n; i++)
        assert_near(g[i], 0, 0);
    ot_free(g);
    ot_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(include_and_exclude_rules_choose_the_layers),
        cmocka_unit_test(legacy_inputs_become_input_layers),
        cmocka_unit_test(a_net_that_was_not_upgraded_is_refused),
        cmocka_unit_test(a_blob_of_two_readers_is_split_with_caffes_names),
        cmocka_unit_test(a_loss_that_is_read_too_stays_an_output_of_its_split),
        cmocka_unit_test(a_split_sums_the_gradients_of_its_ways),
        cmocka_unit_test(parameters_of_one_name_are_one_parameter),
        cmocka_unit_test(the_gradient_of_a_shared_parameter_is_the_sum),
        cmocka_unit_test(blobs_and_parameters_of_more_values_than_an_int_are_refused),
        cmocka_unit_test(permissive_sharers_have_the_same_values_in_another_shape),
        cmocka_unit_test(permissive_sharers_need_as_many_values),
        cmocka_unit_test(sharers_of_another_shape_are_refused_with_both_shapes),
        cmocka_unit_test(a_test_net_sees_the_weights_that_training_changes),
        cmocka_unit_test(backward_goes_where_a_parameter_learns_and_a_loss_reaches),
        cmocka_unit_test(propagate_down_stops_the_gradient),
        cmocka_unit_test(a_frozen_layer_has_no_gradient_buffer_and_does_not_change),
        cmocka_unit_test(force_backward_reaches_the_data),
        cmocka_unit_test(loss_weights_scale_losses_and_gradients),
        cmocka_unit_test(gradients_add_up_until_they_are_zeroed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
