/*
 * test_dynamic_net.c - nets in which a Filter decides how many items go on: the same losses and
 * gradients as a net that was given those items alone.
 */
#include "base/mem.h"
#include "tests/check.h"
#include "tests/netkit.h"

enum { N = 6, C = 3, HW = 6 * 5, CLASSES = 4 };

#define INPUT(n, shape) \
    "layer { name: '" n "' type: 'Input' top: '" n "' input_param { shape { " shape " } } }"
#define CONV(n, b)                                                                                \
    "layer { name: '" n "' type: 'Convolution' bottom: '" b "' top: '" n "' convolution_param { " \
    "num_output: 17 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }"
#define RELU(b) "layer { name: '" b "r' type: 'ReLU' bottom: '" b "' top: '" b "' }"
#define TAIL(data, label)                                                                          \
    CONV("two", data)                                                                              \
    RELU("two")                                                                                    \
    "layer { name: 'pool' type: 'Pooling' bottom: 'two' top: 'pool' pooling_param { kernel_size: " \
    "2 stride: 2 } }"                                                                              \
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'pool' top: 'ip' inner_product_param { "      \
    "num_output: 4 weight_filler { type: 'xavier' } } }"                                           \
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: '" label "' top: 'loss' }"
#define HEAD CONV("one", "data") RELU("one")
#define FILTER                                                                                \
    "layer { name: 'f' type: 'Filter' bottom: 'one' bottom: 'label' bottom: 'sel' top: 'fd' " \
    "top: 'fl' }"

static const char filtered[] = "force_backward: true " INPUT("data", "dim: 6 dim: 3 dim: 6 dim: 5")
    INPUT("label", "dim: 6") INPUT("sel", "dim: 6 dim: 1") HEAD FILTER TAIL("fd", "fl");

static const unsigned kept[] = { 0x3f, 0x0b, 0x3f, 0x20, 0x1e, 0x15 };

/* The net that is given the kept items alone. */
static struct ot_kit open_alone(int items)
{
    char text[2000];

    (void)snprintf(text, sizeof text,
                   "force_backward: true layer { name: 'data' type: 'Input' top: 'data' top: "
                   "'label' input_param { shape { dim: %d dim: 3 dim: 6 dim: 5 } shape { dim: %d } "
                   "} } %s",
                   items, items, HEAD TAIL("one", "label"));
    return ot_kit_open(text, (struct ot_net_conf){ 0 });
}

static int give(struct ot_kit *k, struct ot_kit *alone, unsigned mask)
{
    float data[N * C * HW], label[N], sel[N], some[N * C * HW], some_label[N];
    int n = 0;

    for (int i = 0; i < N * C * HW; i++)
        data[i] = (float)((i * 37 + i / 7) % 19) / 10 - 0.9f;
    for (int i = 0; i < N; i++) {
        label[i] = (float)(i % CLASSES);
        sel[i] = mask >> i & 1 ? 1.0f : 0.0f;
        if (!(mask >> i & 1))
            continue;
        memcpy(some + n * C * HW, data + i * C * HW, C * HW * sizeof *some);
        some_label[n++] = label[i];
    }
    ot_kit_set(k, "data", data);
    ot_kit_set(k, "label", label);
    ot_kit_set(k, "sel", sel);
    if (alone) {
        ot_kit_set(alone, "data", some);
        ot_kit_set(alone, "label", some_label);
    }
    return n;
}

static void same_gradients(struct ot_kit *a, struct ot_kit *b)
{
    assert_int_equal(a->net->nlearn, b->net->nlearn);
    for (size_t p = 0; p < a->net->nlearn; p++) {
        size_t n;
        float *x = ot_kit_param(a->net, a->net->learn[p], OT_PARAM_GRAD, &n);
        float *y = ot_kit_param(b->net, b->net->learn[p], OT_PARAM_GRAD, NULL);

        for (size_t i = 0; i < n; i++)
            assert_near(x[i], y[i], 2e-6);
        ot_free(x);
        ot_free(y);
    }
}

static int items_of(unsigned mask)
{
    int n = 0;

    for (int i = 0; i < N; i++)
        n += (int)(mask >> i & 1);
    return n;
}

/* One iteration of both nets; their losses and gradients must agree. */
static void compare(struct ot_kit *k, unsigned mask)
{
    struct ot_kit alone = open_alone(items_of(mask));

    (void)give(k, &alone, mask);
    assert_near(ot_kit_forward(k), ot_kit_forward(&alone), 1e-6);
    assert_int_equal(ot_net_blob(k->net, "ip")->data.shape.dim[0], items_of(mask));
    ot_kit_backward(k);
    ot_kit_backward(&alone);
    same_gradients(k, &alone);
    ot_kit_close(&alone);
}

static void what_follows_a_filter_computes_on_the_kept_items_alone(void **state)
{
    struct ot_kit k = ot_kit_open(filtered, (struct ot_net_conf){ 0 });

    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        compare(&k, kept[i]);
    ot_kit_close(&k);
}

static void nothing_kept_is_a_batch_without_items(void **state)
{
    struct ot_kit k = ot_kit_open(filtered, (struct ot_net_conf){ 0 });
    size_t n;
    float *g;

    (void)state;
    compare(&k, 0x15);
    (void)give(&k, NULL, 0);
    assert_near(ot_kit_forward(&k), 0, 0);
    ot_kit_backward(&k);
    g = ot_kit_param(k.net, k.net->learn[0], OT_PARAM_GRAD, &n);
    for (size_t i = 0; i < n; i++)
        assert_near(g[i], 0, 0);
    ot_free(g);
    compare(&k, 0x2a);
    ot_kit_close(&k);
}

static void values_stay_where_they_are_while_sizes_change(void **state)
{
    struct ot_kit k = ot_kit_open(filtered, (struct ot_net_conf){ 0 });
    const void *memory = k.net->memory, *one = ot_net_blob(k.net, "one")->data.data,
               *ip = ot_net_blob(k.net, "ip")->data.data;
    size_t bytes = k.net->memory_bytes;

    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        compare(&k, kept[i]);
        assert_ptr_equal(k.net->memory, memory);
        assert_ptr_equal(ot_net_blob(k.net, "one")->data.data, one);
        assert_ptr_equal(ot_net_blob(k.net, "ip")->data.data, ip);
    }
    assert_int_equal(k.net->memory_bytes, bytes);
    ot_kit_close(&k);
}

/* As when a library wants other formats for another size. */
static void values_move_along_when_places_change(void **state)
{
    struct ot_kit k = ot_kit_open(filtered, (struct ot_net_conf){ 0 });
    int moves = 0;

    (void)state;
    assert_string_equal(k.net->node[5].l.name, "f");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const void *memory = k.net->memory;

        for (size_t b = 0; b < k.net->nblob; b++) /* the filter's own outputs need their room */
            if (k.net->blob[b]->producer > 5)
                k.net->blob[b]->data_peak = k.net->blob[b]->grad_peak = 0;
        for (size_t c = 0; c < k.net->nconv; c++)
            k.net->conv[c].to->data_peak = k.net->conv[c].to->grad_peak = 0;
        for (int n = 0; n < k.net->nnode; n++)
            memset(k.net->node[n].ws_peak, 0, sizeof k.net->node[n].ws_peak);
        compare(&k, kept[i]);
        moves += k.net->memory != memory;
    }
    assert_true(moves > 0);
    ot_kit_close(&k);
}

static void the_next_shape_is_told_before_the_first_forward(void **state)
{
    struct ot_kit k = ot_kit_open(filtered, (struct ot_net_conf){ 0 });

    (void)state;
    assert_int_equal(ot_net_blob(k.net, "fd")->data.shape.dim[0], N);
    ot_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_a_filter_computes_on_the_kept_items_alone),
        cmocka_unit_test(nothing_kept_is_a_batch_without_items),
        cmocka_unit_test(values_stay_where_they_are_while_sizes_change),
        cmocka_unit_test(values_move_along_when_places_change),
        cmocka_unit_test(the_next_shape_is_told_before_the_first_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
