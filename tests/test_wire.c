/* test_wire.c - proto/wire.h: weights of every layout, damage of every kind, files both ways. */
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto/caffe.pb-c.h"
#include "proto/wire.h"
#include "tests/check.h"

/* ---- bytes by hand --------------------------------------------------------------------------- */

static void varint(struct ot_str *s, uint64_t v)
{
    do {
        char c = (char)(unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));

        ot_str_add(s, &c, 1);
        v >>= 7;
    } while (v);
}

static void number(struct ot_str *s, unsigned field, uint64_t v)
{
    varint(s, (uint64_t)field << 3);
    varint(s, v);
}

static void bytes(struct ot_str *s, unsigned field, const void *p, size_t n)
{
    varint(s, (uint64_t)field << 3 | 2);
    varint(s, n);
    ot_str_add(s, p, n);
}

/* Moves `inner` into `s` as one length-prefixed field. */
static void nest(struct ot_str *s, unsigned field, struct ot_str *inner)
{
    bytes(s, field, inner->buf ? inner->buf : "", inner->len);
    ot_str_release(inner);
}

/* A net of one layer 'l' with one blob of these bytes. */
static struct ot_str net_of(struct ot_str *blob)
{
    struct ot_str layer = { 0 }, net = { 0 };

    nest(&layer, 7, blob);
    bytes(&layer, 1, "l", 1); /* the name after the blob: legal, and messages still name it */
    nest(&net, 100, &layer);
    return net;
}

static void expect(struct ot_str *blob, const char *error)
{
    struct ot_str net = net_of(blob);
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    uint64_t held = ot_mem_bytes();

    assert_int_equal(ot_wire_parse_net(net.buf, net.len, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, error);
    assert_int_equal(w.n, 0);
    assert_int_equal(ot_mem_bytes(), held);
    ot_str_release(&net);
}

static struct ot_str shape_of(const int64_t *dim, size_t n, bool packed)
{
    struct ot_str s = { 0 }, all = { 0 };

    for (size_t i = 0; i < n; i++) {
        if (packed)
            varint(&all, (uint64_t)dim[i]);
        else
            number(&s, 1, (uint64_t)dim[i]);
    }
    if (packed)
        nest(&s, 1, &all);
    return s;
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void check_one(struct ot_str *blob, int nd, const int64_t *dim, int64_t count)
{
    struct ot_str net = net_of(blob);
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    const struct ot_wire_layer *l;

    assert_ok(ot_wire_parse_net(net.buf, net.len, &w, &err), &err);
    l = ot_weights_find(&w, "l");
    assert_non_null(l);
    assert_null(ot_weights_find(&w, "m"));
    assert_int_equal(l->nblob, 1);
    assert_int_equal(l->blob->shape.nd, nd);
    for (int i = 0; i < nd; i++)
        assert_int_equal(l->blob->shape.dim[i], dim[i]);
    assert_int_equal(l->blob->count, count);
    for (int64_t i = 0; i < count; i++)
        assert_near(l->blob->data[i], (double)i + 0.5, 0);
    ot_weights_free(&w);
    ot_str_release(&net);
}

static void shapes_and_values_are_read_packed_or_not_float_or_double(void **state)
{
    static const int64_t dim[] = { 2, 3 }, legacy[] = { 1, 2, 1, 3 }, none[] = { 4, 0 };

    (void)state;
    for (int way = 0; way < 16; way++) {
        bool packed = way & 1, doubles = way & 2, packed_dims = way & 4, old = way & 8;
        struct ot_str blob = { 0 }, shape = shape_of(dim, 2, packed_dims), all = { 0 };

        for (int i = 0; i < 6; i++) {
            double d = (double)i + 0.5;
            float f = (float)d;
            size_t n = doubles ? sizeof d : sizeof f;
            const void *v = doubles ? (const void *)&d : (const void *)&f;

            if (!packed)
                varint(&blob, doubles ? 8 << 3 | 1 : 5 << 3 | 5);
            ot_str_add(packed ? &all : &blob, v, n);
        }
        if (packed)
            nest(&blob, doubles ? 8 : 5, &all);
        if (old)
            for (unsigned i = 0; i < 4; i++)
                number(&blob, i + 1, (uint64_t)legacy[i]);
        nest(&blob, 7, &shape);
        check_one(&blob, old ? 4 : 2, old ? legacy : dim, 6);
    }
    {
        struct ot_str blob = { 0 }, shape = shape_of(none, 2, true);

        nest(&blob, 7, &shape);
        check_one(&blob, 2, none, 0);
    }
    {
        struct ot_str blob = { 0 };
        float half = 0.5f;

        bytes(&blob, 5, &half, sizeof half);
        check_one(&blob, 0, NULL, 1);
    }
}

static void everything_else_is_stepped_over(void **state)
{
    static const char group[] = "\x0b\x13\x08\x05\x14\x0c"; /* 1 { 2 { 1: 5 } } as old groups */
    struct ot_str net = { 0 }, layer = { 0 }, blob = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    float one = 1;

    (void)state;
    bytes(&blob, 6, "odd", 3);
    bytes(&blob, 5, &one, 4);
    number(&blob, 5, 7); /* field 5 of another wire type */
    bytes(&layer, 1, "first", 5);
    bytes(&layer, 1, "l", 1);
    bytes(&layer, 2, "T", 1); /* a type that nobody knows */
    /* Microsoft's fork and others have messages of their own here; and these are not even whole */
    for (unsigned other = 147; other <= 150; other++)
        bytes(&layer, other, "\xff\xff\xff", 3);
    bytes(&layer, 148, "\x0d\x00\x00\x80\x3f", 5); /* ClipParameter without its required max */
    ot_str_add(&layer, group, sizeof group - 1);
    nest(&layer, 7, &blob);
    number(&layer, 7, 3);
    number(&net, 100, 3);
    bytes(&net, 1, "net", 3);
    nest(&net, 100, &layer);
    assert_ok(ot_wire_parse_net(net.buf, net.len, &w, &err), &err);
    assert_int_equal(w.n, 1);
    assert_string_equal(w.layer[0].name, "l");
    assert_string_equal(w.layer[0].type, "T");
    assert_int_equal(w.layer[0].nblob, 1);
    assert_near(w.layer[0].blob[0].data[0], 1, 0);
    ot_weights_free(&w);
    ot_str_release(&net);
    assert_ok(ot_wire_parse_net("", 0, &w, &err), &err);
    assert_int_equal(w.n, 0);
}

/* ---- golden ---------------------------------------------------------------------------------- */

static void check_golden(const char *folder, const char *file, const char *const *params, size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    char name[256];

    (void)snprintf(name, sizeof name, "golden/%s/%s", folder, file);
    assert_ok(ot_wire_read_net(ot_shared(name), &w, &err), &err);
    for (size_t i = 0; i < n; i++) {
        char layer[32];
        size_t k = strcspn(params[i], "."), size = 0;
        size_t at = (size_t)strtoul(params[i] + k + 1, NULL, 10);
        const struct ot_wire_layer *l;
        char *want;

        (void)snprintf(layer, sizeof layer, "%.*s", (int)k, params[i]);
        l = ot_weights_find(&w, layer);
        assert_true(l && l->nblob > at);
        (void)snprintf(name, sizeof name, "golden/%s/param.%s.bin", folder, params[i]);
        want = ot_read_file(ot_shared(name), 1 << 20, &size, &err);
        assert_non_null(want);
        assert_int_equal(size, (size_t)l->blob[at].count * 4);
        assert_memory_equal(want, l->blob[at].data, size);
        ot_free(want);
    }
    ot_weights_free(&w);
}

static void weights_that_caffe_wrote_are_read_bit_by_bit(void **state)
{
    static const char *const tiny[] = { "conv1.0",  "conv1.1",  "bn1.0", "bn1.1", "bn1.2",
                                        "scale1.0", "scale1.1", "ip.0",  "ip.1" };
    static const char *const v1[] = { "conv1.0", "conv1.1", "fc.0", "fc.1" };

    (void)state;
    if (!ot_shared("golden/weights-io/tiny/tiny.caffemodel"))
        skip_because("no ../shared/golden");
    check_golden("weights-io/tiny", "tiny.caffemodel", tiny, 9);
    check_golden("nets/legacy_v1", "new.caffemodel", v1, 4);
    check_golden("nets/legacy_v1", "v1.caffemodel", v1, 4);
}

static void both_layouts_have_their_shapes(void **state)
{
    static const char *const file[] = { "new", "v1" };

    (void)state;
    if (!ot_shared("golden/nets/legacy_v1/v1.caffemodel"))
        skip_because("no ../shared/golden");
    for (int i = 0; i < 2; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_weights w;
        const struct ot_wire_layer *fc;
        char name[64];

        (void)snprintf(name, sizeof name, "golden/nets/legacy_v1/%s.caffemodel", file[i]);
        assert_ok(ot_wire_read_net(ot_shared(name), &w, &err), &err);
        fc = ot_weights_find(&w, "fc");
        assert_non_null(fc);
        assert_string_equal(fc->type, i ? "" : "InnerProduct");
        assert_int_equal(fc->blob[0].shape.nd, i ? 4 : 2);
        assert_int_equal(fc->blob[0].shape.dim[i ? 2 : 0], 5);
        assert_int_equal(fc->blob[0].shape.dim[i ? 3 : 1], 16);
        ot_weights_free(&w);
    }
}

/* layers { layer { name: 'l' type: 'conv' blobs { 2x1x1x1 } blobs { 1 } } bottom top }, and a V1
 * layer after it. */
static void v0_layers_have_their_blobs_inside(void **state)
{
    static const float values[] = { 0.5f, 1.5f };
    struct ot_str net = { 0 }, layer = { 0 }, v0 = { 0 }, blob = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;

    (void)state;
    for (unsigned i = 1; i <= 4; i++)
        number(&blob, i, i == 1 ? 2 : 1);
    bytes(&blob, 5, values, sizeof values);
    bytes(&v0, 1, "l", 1);
    bytes(&v0, 2, "conv", 4);
    nest(&v0, 50, &blob);
    bytes(&blob, 5, values, sizeof *values);
    nest(&v0, 50, &blob);
    bytes(&layer, 2, "bottom", 6);
    nest(&layer, 1, &v0);
    bytes(&layer, 3, "top", 3);
    nest(&net, 2, &layer);
    bytes(&layer, 4, "m", 1);
    nest(&net, 2, &layer);
    assert_ok(ot_wire_parse_net(net.buf, net.len, &w, &err), &err);
    assert_int_equal(w.n, 2);
    assert_string_equal(w.layer[0].name, "l");
    assert_string_equal(w.layer[0].type, "");
    assert_int_equal(w.layer[0].nblob, 2);
    assert_int_equal(w.layer[0].blob[0].shape.nd, 4);
    assert_memory_equal(w.layer[0].blob[0].data, values, sizeof values);
    assert_string_equal(w.layer[1].name, "m");
    ot_weights_free(&w);
    for (size_t n = 1; n < net.len - 5; n++) /* cut within the first layer */
        assert_int_equal(ot_wire_parse_net(net.buf, n, &w, &err), OT_EDATA);
    ot_str_release(&net);
}

static void a_mean_file_is_one_blob(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_wire_blob b;

    (void)state;
    if (!ot_shared("golden/lmdb-tiny/mean.binaryproto"))
        skip_because("no ../shared/golden");
    assert_ok(ot_wire_read_blob(ot_shared("golden/lmdb-tiny/mean.binaryproto"), &b, &err), &err);
    assert_int_equal(b.shape.nd, 4);
    assert_int_equal(b.count, 784);
    ot_wire_blob_free(&b);
    assert_true(ot_wire_read_blob("/nowhere/m.binaryproto", &b, &err) == OT_ENOINPUT);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void dims_that_cannot_be_are_refused_with_layer_and_blob(void **state)
{
    static const int64_t minus[] = { 2, -3 }, huge[] = { INT64_MAX, INT64_MAX, 2 }, six[] = { 6 };
    static const int64_t hidden[] = { INT64_MAX, INT64_MAX, 0 };
    int64_t many[OT_WIRE_DIMS + 1] = { 0 };
    struct ot_str blob = { 0 }, s = shape_of(minus, 2, true);
    static const float v[2] = { 1, 2 };

    (void)state;
    nest(&blob, 7, &s);
    expect(&blob, "layer 'l': blob 0: dim 1 must be >= 0, got -3");
    s = shape_of(huge, 3, true);
    nest(&blob, 7, &s);
    expect(&blob, "has more than 2^63 values, got 0");
    s = shape_of(hidden, 3, true);
    nest(&blob, 7, &s);
    bytes(&blob, 5, v, 8);
    expect(&blob, "has 0 values, got 2");
    s = shape_of(many, OT_WIRE_DIMS + 1, true);
    nest(&blob, 7, &s);
    expect(&blob, "shape must have at most 32 dims");
    s = shape_of(six, 1, false);
    nest(&blob, 7, &s);
    bytes(&blob, 5, v, 8);
    expect(&blob, "layer 'l': blob 0: shape 6 has 6 values, got 2");
    s = shape_of(six, 1, false);
    nest(&blob, 7, &s);
    expect(&blob, "shape 6 has 6 values, got 0");
    bytes(&blob, 5, v, 7);
    expect(&blob, "bytes of values are not whole values");
    number(&blob, 1, (uint64_t)-1);
    expect(&blob, "dim 0 must be >= 0, got -1");
    number(&blob, 2, UINT64_C(1) << 40);
    bytes(&blob, 5, v, 8);
    expect(&blob, "shape 0x1099511627776x0x0 has 0 values, got 2");
}

static void lengths_and_tags_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *error;
    } bad[] = {
        { "\xa2\x06\x05", 3, "field is longer than its message at byte 3" },
        { "\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "longer than its message" },
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, "number does not end at byte 0" },
        { "\x80", 1, "number does not end" },
        { "\x00\x00", 2, "impossible field tag" },
        { "\x0f", 1, "impossible wire type" },
        { "\x0c", 1, "end of a group that was not begun" },
        { "\x0b\x0b\x0c", 3, "number does not end" },
        { "\xa2\x06\x01", 3, "longer than its message" }, /* by one byte */
        { "\x0d\x01\x02\x03", 4, "longer than its message" },
        { "\x0d\x01\x02", 3, "longer than its message" },
        { "\x09\x01\x02", 3, "longer than its message" },
        { "\xa2\x06\x04\x0a\x02g\x00", 7, "layer '?': byte 0 in a name" },
        { "\xa2\x06\x05\x0a\x01g\x3a\x09", 8, "layer 'g': field is longer than its message" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_weights w;

        assert_int_equal(ot_wire_parse_net(bad[i].bytes, bad[i].n, &w, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, bad[i].error);
    }
}

/* Exact copy on the heap, so that the address sanitizer sees the first byte past the end. */
static int parse_copy(const char *p, size_t n, struct ot_weights *w, struct ot_err *err)
{
    char *copy = malloc(n ? n : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, p, n);
    rc = ot_wire_parse_net(copy, n, w, err);
    free(copy);
    return rc;
}

static void cut_and_changed_files_never_crash_or_leak(void **state)
{
    uint64_t held = ot_mem_bytes();
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;
    const char *path = ot_shared("golden/nets/legacy_v1/v1.caffemodel");
    size_t n = 0, fine = 0;
    char *file;

    (void)state;
    if (!path)
        skip_because("no ../shared/golden");
    file = ot_read_file(path, 1 << 20, &n, &err);
    assert_non_null(file);
    for (size_t cut = 0; cut < n; cut++) {
        if (parse_copy(file, cut, &w, &err) == 0)
            fine++;
        ot_weights_free(&w);
    }
    assert_true(fine < 20); /* only cuts between layers give a net */
    for (size_t at = 0; at < n; at++) {
        char old = file[at];

        for (int k = 0; k < 4; k++) {
            file[at] = "\x00\x7f\x80\xff"[k];
            (void)parse_copy(file, n, &w, &err);
            ot_weights_free(&w);
        }
        file[at] = old;
    }
    ot_free(file);
    assert_int_equal(ot_mem_bytes(), held);
}

static void too_many_layers_or_blobs_are_refused(void **state)
{
    struct ot_str net = { 0 }, layer = { 0 }, blob = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;

    (void)state;
    for (int i = 0; i <= OT_WIRE_LAYERS; i++)
        nest(&net, 100, &layer);
    assert_int_equal(ot_wire_parse_net(net.buf, net.len, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "at most 65536 layers");
    ot_str_clear(&net);
    for (int i = 0; i <= OT_WIRE_BLOBS; i++) {
        number(&blob, 1, 0);
        nest(&layer, 7, &blob);
    }
    nest(&net, 100, &layer);
    assert_int_equal(ot_wire_parse_net(net.buf, net.len, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "at most 1024 blobs");
    ot_str_release(&net);
}

static void memory_running_out_is_an_error_at_every_allocation(void **state)
{
    float one = 1;
    struct ot_str blob = { 0 }, net;
    uint64_t held;

    (void)state;
    bytes(&blob, 5, &one, 4);
    net = net_of(&blob);
    held = ot_mem_bytes();
    for (uint64_t k = 1;; k++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_weights w;
        int rc;

        ot_mem_fail_at(k);
        rc = ot_wire_parse_net(net.buf, net.len, &w, &err);
        ot_mem_fail_at(0);
        ot_weights_free(&w);
        assert_int_equal(ot_mem_bytes(), held);
        if (rc == 0) {
            assert_true(k > 4);
            break;
        }
        assert_int_equal(rc, OT_ENOMEM);
    }
    ot_str_release(&net);
}

/* ---- whole messages -------------------------------------------------------------------------- */

static void a_message_is_written_and_read_back(void **state)
{
    static float values[] = { 1, -2, 3.5f };
    static int64_t dims[] = { 3 };
    Caffe__BlobShape shape = CAFFE__BLOB_SHAPE__INIT;
    Caffe__BlobProto blob = CAFFE__BLOB_PROTO__INIT, *history[] = { &blob, &blob };
    Caffe__SolverState s = CAFFE__SOLVER_STATE__INIT, *back;
    struct ot_err err = OT_ERR_INIT;
    uint64_t held = ot_mem_bytes();
    char path[256];

    (void)state;
    shape.n_dim = 1;
    shape.dim = dims;
    blob.shape = &shape;
    blob.n_data = 3;
    blob.data = values;
    s.has_iter = 1;
    s.iter = 77;
    s.n_history = 2;
    s.history = history;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "x.solverstate");
    assert_ok(ot_wire_write_message(path, &s.base, &err), &err);
    back = (Caffe__SolverState *)ot_wire_read_message(&caffe__solver_state__descriptor, path,
                                                      OT_WIRE_BYTES, &err);
    assert_ok(back ? 0 : err.code, &err);
    assert_int_equal(back->iter, 77);
    assert_int_equal(back->n_history, 2);
    assert_memory_equal(back->history[1]->data, values, sizeof values);
    ot_wire_free_message(&back->base);
    assert_int_equal(ot_mem_bytes(), held);
    assert_null(ot_wire_read_message(&caffe__solver_state__descriptor, path, 10, &err));
    assert_error(&err, OT_EDATA, "more than the limit of 10");
    assert_ok(ot_write_file_atomic(path, "\x1a\x7f", 2, &err), &err);
    err = (struct ot_err)OT_ERR_INIT;
    assert_null(ot_wire_read_message(&caffe__solver_state__descriptor, path, 10, &err));
    assert_error(&err, OT_EDATA, "x.solverstate: is not a whole message of type caffe.SolverState");
    assert_int_equal(ot_mem_bytes(), held);
    assert_true(ot_wire_write_message("/nowhere/x", &s.base, &err) == OT_ECREATE);
}

static void a_net_written_by_us_is_read_by_the_lenient_reader(void **state)
{
    static float values[] = { 1, -2 };
    Caffe__BlobProto blob = CAFFE__BLOB_PROTO__INIT, *blobs[] = { &blob };
    Caffe__BlobShape shape = CAFFE__BLOB_SHAPE__INIT;
    Caffe__LayerParameter layer = CAFFE__LAYER_PARAMETER__INIT, *layers[] = { &layer };
    Caffe__NetParameter net = CAFFE__NET_PARAMETER__INIT;
    char name[] = "ip", type[] = "InnerProduct", path[256];
    int64_t dims[] = { 1, 2 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_weights w;

    (void)state;
    shape.n_dim = 2;
    shape.dim = dims;
    blob.shape = &shape;
    blob.n_data = 2;
    blob.data = values;
    layer.name = name;
    layer.type = type;
    layer.n_blobs = 1;
    layer.blobs = blobs;
    net.n_layer = 1;
    net.layer = layers;
    (void)ot_path_join(path, sizeof path, ot_tmpdir(), "x.caffemodel");
    assert_ok(ot_wire_write_message(path, &net.base, &err), &err);
    assert_ok(ot_wire_read_net(path, &w, &err), &err);
    assert_string_equal(w.layer[0].type, "InnerProduct");
    assert_int_equal(w.layer[0].blob[0].shape.nd, 2);
    assert_memory_equal(w.layer[0].blob[0].data, values, sizeof values);
    ot_weights_free(&w);
    assert_ok(ot_write_file_atomic(path, "\xa2", 1, &err), &err);
    assert_int_equal(ot_wire_read_net(path, &w, &err), OT_EDATA);
    assert_error(&err, OT_EDATA, "x.caffemodel: number does not end at byte 0");
}

static void solver_states_of_caffe_are_read(void **state)
{
    const char *path = ot_shared("golden/lenet-trajectory/lenet_iter_200.solverstate");
    struct ot_err err = OT_ERR_INIT;
    Caffe__SolverState *s;

    (void)state;
    if (!path)
        skip_because("no ../shared/golden");
    s = (Caffe__SolverState *)ot_wire_read_message(&caffe__solver_state__descriptor, path,
                                                   OT_WIRE_BYTES, &err);
    assert_ok(s ? 0 : err.code, &err);
    assert_int_equal(s->iter, 200);
    assert_int_equal(s->n_history, 8);
    ot_wire_free_message(&s->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_and_values_are_read_packed_or_not_float_or_double),
        cmocka_unit_test(everything_else_is_stepped_over),
        cmocka_unit_test(weights_that_caffe_wrote_are_read_bit_by_bit),
        cmocka_unit_test(both_layouts_have_their_shapes),
        cmocka_unit_test(v0_layers_have_their_blobs_inside),
        cmocka_unit_test(a_mean_file_is_one_blob),
        cmocka_unit_test(dims_that_cannot_be_are_refused_with_layer_and_blob),
        cmocka_unit_test(lengths_and_tags_that_cannot_be_are_refused),
        cmocka_unit_test(cut_and_changed_files_never_crash_or_leak),
        cmocka_unit_test(too_many_layers_or_blobs_are_refused),
        cmocka_unit_test(memory_running_out_is_an_error_at_every_allocation),
        cmocka_unit_test(a_message_is_written_and_read_back),
        cmocka_unit_test(a_net_written_by_us_is_read_by_the_lenient_reader),
        cmocka_unit_test(solver_states_of_caffe_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
