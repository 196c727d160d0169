/*
 * test_fuse.c - layers that do the work of those behind them: which ones, and that nets computed so
 * agree with nets where every layer works by itself.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/netkit.h"

/* Of a tensor's largest value: normalising divides by what training makes small. */
#define TOLERANCE 2e-5

static void same(const char *what, const float *a, const float *b, size_t n, double tolerance)
{
    double worst = ot_farthest(a, b, n),
           big = 0.01; /* the gradient of a bias before a BatchNorm is 0 */

    for (size_t i = 0; i < n; i++)
        big = fmax(big, fabs((double)b[i]));
    if (!(worst <= tolerance * big))
        fail_msg("%s: differs by %g of %g, tolerance %g", what, worst, big, tolerance);
}

static void same_params(struct ot_kit *a, struct ot_kit *b, enum ot_param_part part)
{
    for (size_t k = 0; k < a->net->nparam; k++) {
        size_t n;
        float *x = ot_kit_param(a->net, a->net->param[k], (int)part, &n);
        float *y = ot_kit_param(b->net, b->net->param[k], (int)part, NULL);

        same(a->net->param[k]->layer, x, y, n, TOLERANCE);
        ot_free(x);
        ot_free(y);
    }
}

static void same_blob(struct ot_kit *a, struct ot_kit *b, const char *name)
{
    size_t n;
    float *x = ot_kit_blob(a->net, name, &n), *y = ot_kit_blob(b->net, name, NULL);

    same(name, x, y, n, TOLERANCE);
    ot_free(x);
    ot_free(y);
}

static bool absent(const struct ot_kit *k, const char *layer)
{
    const struct ot_node *n = ot_net_node(k->net, layer);

    assert_non_null(n);
    assert_true(n->skip_forward || !n->skip_backward);
    return n->skip_backward;
}

static const struct watched {
    const char *file;
    int n;
    const char *blob[8];
} nets[] = {
    { "norms", 8, { "c0", "r1", "sum", "c3", "most", "fc", "out", "loss" } },
    { "blocks", 7, { "sum1", "sum2", "sum3", "sum5", "sum7", "sum8", "loss" } },
    { "blocks", 1, { "loss" } }, /* memory is free for others as soon as may be */
};

/* [0]: every layer by itself; [1]: fused */
static void open_both(struct ot_kit k[2], const struct watched *w, struct ot_net_conf conf)
{
    conf.keep = w->blob;
    conf.nkeep = w->n;
    for (int i = 0; i < 2; i++) {
        conf.no_fusion = i == 0;
        k[i] = ot_kit_file(w->file, conf);
    }
}

static void forward_both(struct ot_kit k[2], const struct watched *w, uint64_t pass)
{
    double loss[2];

    for (int i = 0; i < 2; i++) {
        k[i].net->env.iter = pass;
        ot_kit_fill(&k[i], pass, 5);
        loss[i] = ot_kit_forward(&k[i]);
    }
    assert_near(loss[1], loss[0], TOLERANCE);
    for (int i = 0; i < w->n; i++)
        same_blob(&k[1], &k[0], w->blob[i]);
}

static void close_both(struct ot_kit k[2])
{
    for (int i = 0; i < 2; i++)
        ot_kit_close(&k[i]);
}

/* Both lists end with NULL. */
static void fused_are(const struct watched *w, const char *const *gone, const char *const *there)
{
    struct ot_kit k[2];

    open_both(k, w, (struct ot_net_conf){ 0 });
    forward_both(k, w, 0);
    for (; *gone; gone++)
        if (!absent(&k[1], *gone) || absent(&k[0], *gone))
            fail_msg("%s is not fused, or is with no_fusion", *gone);
    for (; *there; there++)
        if (absent(&k[1], *there))
            fail_msg("%s is fused", *there);
    assert_true(k[1].net->memory_bytes < k[0].net->memory_bytes);
    close_both(k);
}

static void the_layers_that_one_pass_does_have_none_of_their_own(void **state)
{
    static const char *const gone[] = { "scale0",   "relu0",    "scale1", "relu1",
                                        "scale2",   "relu_sum", "scale3", "relu3",
                                        "scale_fc", "relu_fc",  NULL };
    static const char *const there[] = { "scale_data", "relu_leaky", "relu_most", NULL };

    (void)state;
    fused_are(&nets[0], gone, there);
}

static void fused_training_agrees(void **state)
{
    struct ot_kit k[2];

    (void)state;
    for (size_t net = 0; net < sizeof nets / sizeof *nets; net++) {
        open_both(k, &nets[net], (struct ot_net_conf){ 0 });
        for (uint64_t pass = 0; pass < 3; pass++) {
            forward_both(k, &nets[net], pass);
            for (int i = 0; i < 2; i++)
                ot_kit_backward(&k[i]);
            same_params(&k[1], &k[0], OT_PARAM_GRAD);
            same_params(&k[1], &k[0], OT_PARAM_DATA); /* the running statistics */
        }
        close_both(k);
    }
}

static void a_sum_of_two_behind_a_scale_is_the_same_pass(void **state)
{
    static const char *const gone[] = { "scale1b", "sum1",  "relu1", "scale2", "sum2",
                                        "scale3",  "sum3",  "relu3", "scale4", "scale8",
                                        "sum8",    "relu8", NULL };
    static const char *const there[] = { "sum4", "sum5", "max6", "sum7", NULL };

    (void)state;
    fused_are(&nets[1], gone, there);
}

/* The ReLU's backward asks it. */
static void a_sum_stays_until_its_backward(void **state)
{
    struct ot_kit k[2];
    const struct ot_node *bn, *relu;

    (void)state;
    open_both(k, &nets[2], (struct ot_net_conf){ 0 });
    forward_both(k, &nets[2], 0);
    bn = ot_net_node(k[1].net, "bn8");
    relu = ot_net_node(k[1].net, "relu8");
    assert_int_equal(k[1].net->item[relu->out[0]->data_item].last,
                     2 * k[1].net->nnode - 1 - (bn - k[1].net->node));
    close_both(k);
}

/* Where two read a sum, their gradients are added where it is differentiated. */
static void gradients_of_two_readers_are_added_in_that_pass(void **state)
{
    struct ot_kit k[2];
    int joined[2] = { 0 };

    (void)state;
    open_both(k, &nets[1], (struct ot_net_conf){ 0 });
    forward_both(k, &nets[1], 0);
    for (int i = 0; i < 2; i++) {
        ot_kit_backward(&k[i]);
        for (int j = 0; j < k[i].net->nnode; j++) {
            const struct ot_node *n = &k[i].net->node[j];

            if (strcmp(n->l.ops->type, "Split") != 0 || !n->skip_backward)
                continue;
            assert_false(n->skip_forward);
            assert_null(n->in[0]->b.grad.data);
            joined[i]++;
        }
    }
    assert_int_equal(joined[0], 0);
    assert_int_equal(joined[1], 5); /* sum1, 2, 4, 5 and 7; sum3 has three readers */
    close_both(k);
}

static void gradients_of_several_passes_add_up(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k[2];

    (void)state;
    open_both(k, &nets[0], (struct ot_net_conf){ 0 });
    for (uint64_t pass = 0; pass < 3; pass++) {
        forward_both(k, &nets[0], pass);
        for (int i = 0; i < 2; i++) {
            if (pass == 0)
                ot_net_zero_grads(k[i].net);
            assert_ok(ot_net_backward(k[i].net, &err), &err);
        }
    }
    same_params(&k[1], &k[0], OT_PARAM_GRAD);
    close_both(k);
}

static void frozen_statistics_stay_as_they_are(void **state)
{
    struct ot_kit k[2];
    float *before, *after;
    size_t n;

    (void)state;
    open_both(k, &nets[0], (struct ot_net_conf){ 0 });
    forward_both(k, &nets[0], 0);
    before = ot_kit_param(k[1].net, ot_net_node(k[1].net, "bn1")->l.param[0], OT_PARAM_DATA, &n);
    k[0].net->env.frozen_stats = k[1].net->env.frozen_stats = true;
    forward_both(k, &nets[0], 1);
    after = ot_kit_param(k[1].net, ot_net_node(k[1].net, "bn1")->l.param[0], OT_PARAM_DATA, &n);
    assert_memory_equal(before, after, n * sizeof *before);
    ot_free(before);
    ot_free(after);
    close_both(k);
}

static void a_test_net_uses_the_parameters_it_shares(void **state)
{
    (void)state;
    for (int net = 0; net < 2; net++) {
        const struct watched *w = &nets[net];
        struct ot_kit train[2], test[2];

        open_both(train, w, (struct ot_net_conf){ 0 });
        for (int i = 0; i < 2; i++)
            test[i] = ot_kit_file(w->file, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST,
                                                                 .share = train[i].net,
                                                                 .no_fusion = i == 0,
                                                                 .keep = w->blob,
                                                                 .nkeep = w->n });
        for (uint64_t pass = 0; pass < 2; pass++) {
            forward_both(train, w, pass);
            forward_both(test, w, pass + 7);
        }
        /* nobody has a backward there */
        assert_true(absent(&test[1], net ? "sum7" : "scale_data"));
        close_both(test);
        close_both(train);
    }
}

/* Where somebody keeps `blob`, `apart` works by itself, and what comes before it is one pass. */
static void is_computed(const char *net, const char *blob, const char *apart, const char *fused)
{
    struct ot_net_conf conf = { .keep = &blob, .nkeep = 1 };
    struct ot_kit k[2];

    for (int i = 0; i < 2; i++) {
        conf.no_fusion = i == 0;
        k[i] = ot_kit_file(net, conf);
        ot_kit_fill(&k[i], 3, 5);
        (void)ot_kit_forward(&k[i]);
    }
    assert_false(absent(&k[1], apart));
    assert_true(absent(&k[1], fused));
    same_blob(&k[1], &k[0], blob);
    close_both(k);
}

static void a_blob_that_somebody_keeps_is_computed(void **state)
{
    (void)state;
    is_computed("norms", "b1", "scale1", "scale0");
    is_computed("blocks", "s2", "sum2", "scale2");
}

static void nothing_is_fused_where_all_is_kept(void **state)
{
    (void)state;
    for (int net = 0; net < 2; net++) {
        struct ot_kit k = ot_kit_file(nets[net].file, (struct ot_net_conf){ .keep_all = true });

        ot_kit_fill(&k, 3, 5);
        (void)ot_kit_forward(&k);
        for (int i = 0; i < k.net->nnode; i++)
            assert_false(k.net->node[i].skip_backward);
        ot_kit_close(&k);
    }
}

static void the_table_shows_what_is_fused(void **state)
{
    struct ot_kit k[2];
    struct ot_str text = { 0 };
    const char *line;

    (void)state;
    open_both(k, &nets[0], (struct ot_net_conf){ 0 });
    forward_both(k, &nets[0], 0);
    ot_net_table(k[1].net, &text);
    line = strstr(text.buf, "scale0");
    assert_non_null(line);
    assert_non_null(strstr(line, "fused"));
    assert_true(strstr(line, "fused") < strchr(line, '\n'));
    ot_str_release(&text);
    close_both(k);
}

/* 19 channels of one place lie in blocks with padding where convolution likes that. */
static void channels_of_one_place_are_normalised_each_by_itself(void **state)
{
    static const char text[] =
        "layer { name: 'data' type: 'Input' top: 'data' "
        "  input_param { shape { dim: [6, 3, 4, 4] } } }"
        "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { "
        "  num_output: 19 kernel_size: 4 weight_filler { type: 'msra' } } }"
        "layer { name: 'bn' type: 'BatchNorm' bottom: 'c' top: 'bn' }"
        "layer { name: 's' type: 'Scale' bottom: 'bn' top: 's' scale_param { bias_term: true } }";

    (void)state;
    for (int fused = 0; fused < 2; fused++) {
        struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ .no_fusion = !fused });
        float *y;

        ot_kit_fill(&k, 1, 2);
        (void)ot_kit_forward(&k);
        assert_int_equal(absent(&k, "s"), fused);
        y = ot_kit_blob(k.net, "s", NULL);
        for (size_t c = 0; c < 19; c++) {
            double sum = 0, squares = 0;

            for (size_t n = 0; n < 6; n++) {
                sum += (double)y[n * 19 + c];
                squares += (double)y[n * 19 + c] * (double)y[n * 19 + c];
            }
            assert_near(sum, 0, 1e-5);
            assert_near(squares, 6, 0.01);
        }
        ot_free(y);
        ot_kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layers_that_one_pass_does_have_none_of_their_own),
        cmocka_unit_test(fused_training_agrees),
        cmocka_unit_test(a_sum_of_two_behind_a_scale_is_the_same_pass),
        cmocka_unit_test(a_sum_stays_until_its_backward),
        cmocka_unit_test(gradients_of_two_readers_are_added_in_that_pass),
        cmocka_unit_test(gradients_of_several_passes_add_up),
        cmocka_unit_test(frozen_statistics_stay_as_they_are),
        cmocka_unit_test(a_test_net_uses_the_parameters_it_shares),
        cmocka_unit_test(a_blob_that_somebody_keeps_is_computed),
        cmocka_unit_test(nothing_is_fused_where_all_is_kept),
        cmocka_unit_test(the_table_shows_what_is_fused),
        cmocka_unit_test(channels_of_one_place_are_normalised_each_by_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
