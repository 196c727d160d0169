/*
 * test_weights.c - weights of other programs into a net: whose shapes fit as Caffe decides it, what
 * is said when they do not, and what is written again.
 */
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/golden.h"
#include "tests/netkit.h"
#include "trainer/snapshot.h"

/* ip: 2 x 3 and 2 */
static const char net_text[] = "name: 'n' layer { name: 'data' type: 'Input' top: 'data' "
                               "  input_param { shape { dim: 2 dim: 3 } } }"
                               "layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' "
                               "  inner_product_param { num_output: 2 } }";

static const char *path_of(const char *name)
{
    static char path[300];

    return ot_path_join(path, sizeof path, ot_tmpdir(), name);
}

struct blob { /* legacy: all four of the dims that Caffe once had */
    int nd;
    int64_t dim[6];
    bool legacy;
};

static void fill_blob(Caffe__BlobProto *b, Caffe__BlobShape *s, const struct blob *from, float *v)
{
    caffe__blob_proto__init(b);
    caffe__blob_shape__init(s);
    b->n_data = 1;
    for (int i = 0; i < from->nd; i++)
        b->n_data *= (size_t)from->dim[i];
    b->data = v;
    if (from->legacy) {
        b->has_num = b->has_channels = b->has_height = b->has_width = 1;
        b->num = (int32_t)from->dim[0];
        b->channels = (int32_t)from->dim[1];
        b->height = (int32_t)from->dim[2];
        b->width = (int32_t)from->dim[3];
    } else {
        s->n_dim = (size_t)from->nd;
        s->dim = (int64_t *)(uintptr_t)from->dim;
        b->shape = s;
    }
}

/* A file with the layers 'gone' and `name`, whose n blobs hold 1, 2, 3, ... */
static const char *write_file(const char *name, const struct blob *blob, size_t n)
{
    static float values[64];
    static char gone[] = "gone", type[] = "InnerProduct";
    Caffe__BlobProto b[3], *bp[] = { &b[0], &b[1], &b[2] };
    Caffe__BlobShape s[3];
    Caffe__LayerParameter layer[] = { CAFFE__LAYER_PARAMETER__INIT, CAFFE__LAYER_PARAMETER__INIT };
    Caffe__LayerParameter *lp[] = { &layer[0], &layer[1] };
    Caffe__NetParameter np = CAFFE__NET_PARAMETER__INIT;
    struct ot_err err = OT_ERR_INIT;

    for (int i = 0; i < 64; i++)
        values[i] = (float)(i + 1);
    for (size_t i = 0; i < n; i++)
        fill_blob(&b[i], &s[i], &blob[i], values);
    layer[0].name = gone;
    layer[1].name = (char *)(uintptr_t)name;
    layer[0].type = layer[1].type = type;
    layer[0].blobs = layer[1].blobs = bp;
    layer[0].n_blobs = layer[1].n_blobs = n;
    np.layer = lp;
    np.n_layer = 2;
    assert_ok(ot_wire_write_message(path_of("w.caffemodel"), &np.base, &err), &err);
    return path_of("w.caffemodel");
}

static int load(const char *text, const char *layer, const struct blob *blob, size_t n,
                struct ot_err *err)
{
    struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ 0 });
    int rc = ot_weights_load_one(k.net, write_file(layer, blob, n), err);

    if (rc == 0) {
        float *v = ot_kit_param(k.net, ot_net_node(k.net, layer)->l.param[0], OT_PARAM_DATA, NULL);

        for (int i = 0; i < 6; i++)
            assert_near(v[i], i + 1, 0);
        ot_free(v);
    }
    ot_kit_close(&k);
    return rc;
}

static void shapes_fit_as_caffe_decides(void **state)
{
    static const struct {
        struct blob weight, bias;
        bool fits;
    } c[] = {
        { { 2, { 2, 3 }, false }, { 1, { 2 }, false }, true },
        { { 4, { 1, 1, 2, 3 }, true }, { 4, { 1, 1, 1, 2 }, true }, true },
        { { 4, { 1, 1, 2, 3 }, false }, { 1, { 2 }, false }, false }, /* not legacy: all axes */
        { { 4, { 2, 3, 1, 1 }, true }, { 4, { 1, 1, 1, 2 }, true }, false },
        { { 4, { 1, 1, 2, 3 }, true }, { 4, { 2, 1, 1, 1 }, true }, false },
        { { 4, { 1, 1, 3, 2 }, true }, { 4, { 1, 1, 1, 2 }, true }, false },
        { { 1, { 6 }, false }, { 1, { 2 }, false }, false },
        { { 3, { 1, 2, 3 }, false }, { 1, { 2 }, false }, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct blob two[] = { c[i].weight, c[i].bias };
        struct ot_err err = OT_ERR_INIT;
        int rc = load(net_text, "ip", two, 2, &err);

        if (rc != (c[i].fits ? 0 : OT_ESHAPE))
            fail_msg("case %zu: %d %s", i, rc, err.text);
    }
}

static void legacy_dims_cannot_say_five_axes(void **state)
{
    static const char text[] = "layer { name: 'd' type: 'Input' top: 'd' "
                               "  input_param { shape { dim: 1 } } }"
                               "layer { name: 'p' type: 'Parameter' top: 'p' parameter_param { "
                               "  shape { dim: 1 dim: 1 dim: 1 dim: 2 dim: 3 } } }";
    static const struct blob legacy = { 4, { 1, 1, 2, 3 }, true };
    static const struct blob five = { 5, { 1, 1, 1, 2, 3 }, false };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_equal(load(text, "p", &legacy, 1, &err), OT_ESHAPE);
    assert_error(&err, OT_ESHAPE,
                 "layer 'p': blob 0: the weights have shape 1x1x2x3, the net wants 1x1x1x2x3");
    assert_ok(load(text, "p", &five, 1, &err), &err);
}

static void a_mismatch_says_file_layer_blob_both_shapes_and_what_to_do(void **state)
{
    static const struct blob wide[] = { { 2, { 2, 4 }, false }, { 1, { 2 }, false } };
    static const struct blob three[] = { { 2, { 2, 3 }, false },
                                         { 1, { 2 }, false },
                                         { 1, { 2 }, false } };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_equal(load(net_text, "ip", wide, 2, &err), OT_ESHAPE);
    assert_error(&err, OT_ESHAPE,
                 "w.caffemodel: layer 'ip': blob 0: the weights have shape 2x4, "
                 "the net wants 2x3; to train this layer anew, rename it in the "
                 "prototxt");
    err = (struct ot_err)OT_ERR_INIT;
    assert_int_equal(load(net_text, "ip", three, 1, &err), OT_ESHAPE);
    assert_error(&err, OT_ESHAPE,
                 "w.caffemodel: layer 'ip': the weights have 1 blobs, the net wants 2 (was it "
                 "saved with bias_term: false?); to train this layer anew, rename it");
    err = (struct ot_err)OT_ERR_INIT;
    assert_int_equal(load(net_text, "ip", three, 3, &err), OT_ESHAPE);
    assert_error(&err, OT_ESHAPE, "the weights have 3 blobs, the net wants 2; to train this layer");
    err = (struct ot_err)OT_ERR_INIT;
    assert_int_equal(load(net_text, "other", three, 2, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "w.caffemodel: no layer of the net has weights in it");
}

static void layers_that_the_net_has_not_are_named_in_the_log(void **state)
{
    static const struct blob two[] = { { 2, { 2, 3 }, false }, { 1, { 2 }, false } };
    struct ot_err err = OT_ERR_INIT;
    char log[300], *text;
    size_t n;

    (void)state;
    (void)ot_path_join(log, sizeof log, ot_tmpdir(), "log");
    ot_log_set_level(OT_LOG_INFO);
    assert_ok(ot_log_open(log, &err), &err);
    assert_ok(load(net_text, "ip", two, 2, &err), &err);
    ot_log_close();
    ot_log_set_level(OT_LOG_ERROR);
    text = ot_read_file(log, 1 << 20, &n, &err);
    assert_non_null(text);
    assert_non_null(strstr(text, "Ignoring source layer gone\n"));
    assert_null(strstr(text, "Ignoring source layer ip"));
    ot_free(text);
}

/* ---- Caffe's own file, read and written again ------------------------------------------------ */

static void same_weights(const struct ot_weights *a, const struct ot_weights *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct ot_wire_layer *x = &a->layer[i], *y = &b->layer[i];

        assert_string_equal(x->name, y->name);
        assert_string_equal(x->type, y->type);
        assert_int_equal(x->nblob, y->nblob);
        for (size_t k = 0; k < x->nblob; k++) {
            assert_int_equal(x->blob[k].shape.nd, y->blob[k].shape.nd);
            for (int d = 0; d < x->blob[k].shape.nd; d++)
                assert_int_equal(x->blob[k].shape.dim[d], y->blob[k].shape.dim[d]);
            assert_memory_equal(x->blob[k].data, y->blob[k].data,
                                (size_t)x->blob[k].count * sizeof(float));
        }
    }
}

static void a_model_of_caffe_is_read_computed_and_written_again(void **state)
{
    static const char *const need[] = { "BatchNorm", "Scale" };
    static const char *const out[] = { "blob.conv1", "blob.ip", "blob.prob" };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights theirs, ours;
    struct ot_golden g;
    char dir[1024], path[1100], *text;
    struct ot_kit k;
    size_t n;

    (void)state;
    if (!ot_shared("golden/weights-io/tiny"))
        skip_because("no ../shared/golden");
    for (int i = 0; i < 2; i++)
        if (!ot_layer_find(need[i]))
            skip_because("tiny: %s is not supported yet", need[i]);
    (void)snprintf(dir, sizeof dir, "%s", ot_shared("golden/weights-io/tiny"));
    assert_ok(ot_golden_open(&g, dir, &err), &err);
    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    text = ot_read_file(path, 1 << 20, &n, &err);
    assert_non_null(text);
    k = ot_kit_open(text, (struct ot_net_conf){ .phase = CAFFE__PHASE__TEST, .keep_all = true });
    (void)snprintf(path, sizeof path, "%s/tiny.caffemodel", dir);
    assert_ok(ot_weights_load_one(k.net, path, &err), &err);
    for (int i = 0; i < g.n; i++) {
        char name[32];
        int at;
        float *v;

        if (sscanf(g.blob[i].name, "param.%31[^.].%d", name, &at) != 2)
            continue;
        v = ot_kit_param(k.net, ot_net_node(k.net, name)->l.param[at], OT_PARAM_DATA, &n);
        assert_int_equal(n, g.blob[i].n);
        assert_memory_equal(v, g.blob[i].v, n * sizeof *v);
        ot_free(v);
    }
    ot_kit_set(&k, "data", ot_golden_find(&g, "blob.data")->v);
    (void)ot_kit_forward(&k);
    for (int i = 0; i < 3; i++) {
        float *v = ot_kit_blob(k.net, out[i] + 5, &n);

        assert_true(ot_golden_error(ot_golden_find(&g, out[i]), v, n) <= 1);
        ot_free(v);
    }
    assert_ok(ot_wire_read_net(path, &theirs, &err), &err);
    assert_ok(ot_weights_save(k.net, path_of("again.caffemodel"), false, &err), &err);
    assert_ok(ot_wire_read_net(path_of("again.caffemodel"), &ours, &err), &err);
    same_weights(&theirs, &ours);
    ot_weights_free(&theirs);
    ot_weights_free(&ours);
    ot_kit_close(&k);
    ot_golden_close(&g);
    ot_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_fit_as_caffe_decides),
        cmocka_unit_test(legacy_dims_cannot_say_five_axes),
        cmocka_unit_test(a_mismatch_says_file_layer_blob_both_shapes_and_what_to_do),
        cmocka_unit_test(layers_that_the_net_has_not_are_named_in_the_log),
        cmocka_unit_test(a_model_of_caffe_is_read_computed_and_written_again),
    };

    ot_log_set_level(OT_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
