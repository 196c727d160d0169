/*
 * test_upgrade.c - formats of the past: what they become, where their values are said to be, and
 * what is refused.  The cases follow what Caffe's own tests of its upgrades look at, in texts of
 * our own.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "proto/upgrade.h"
#include "proto/wire.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/runkit.h"
#include "tests/tinydb.h"
#include "trainer/snapshot.h"

#define NET    (&caffe__net_parameter__descriptor)
#define SOLVER (&caffe__solver_parameter__descriptor)

static struct ot_doc *parse(const ProtobufCMessageDescriptor *type, const char *text)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse(type, "f", text, strlen(text), &err);

    assert_ok(doc ? 0 : err.code, &err);
    return doc;
}

static int upgrade(struct ot_doc *doc, struct ot_err *err)
{
    void *root = ot_doc_root(doc);

    return ot_doc_root(doc)->descriptor == SOLVER ? ot_upgrade_solver(doc, root, err)
                                                  : ot_upgrade_net(doc, root, err);
}

static char *printed(const struct ot_doc *doc)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_str s = { 0 };
    char *text;

    ot_text_print(ot_doc_root(doc), &s);
    text = ot_strdup(s.buf ? s.buf : "", &err);
    ot_str_release(&s);
    assert_non_null(text);
    return text;
}

struct good {
    const ProtobufCMessageDescriptor *type;
    const char *old, *new;
    int what;
};

static void check_good(const struct good *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *old = parse(c[i].type, c[i].old), *new = parse(c[i].type, c[i].new);
        int what = upgrade(old, &err);
        char *got, *want = printed(new);

        if (what < 0)
            assert_ok(what, &err);
        assert_int_equal(what, c[i].what);
        got = printed(old);
        assert_string_equal(got, want);
        assert_int_equal(upgrade(old, &err), 0); /* and then it is of today */
        ot_free(got);
        ot_free(want);
        ot_doc_free(old);
        ot_doc_free(new);
    }
}

struct bad {
    const ProtobufCMessageDescriptor *type;
    const char *text, *error;
};

static void check_bad(const struct bad *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc = parse(c[i].type, c[i].text);

        if (upgrade(doc, &err) >= 0)
            fail_msg("accepted: %s", c[i].text);
        assert_error(&err, OT_ECONFIG, c[i].error);
        ot_doc_free(doc);
    }
}

#define CHECK_GOOD(c) check_good(c, sizeof(c) / sizeof *(c))
#define CHECK_BAD(c)  check_bad(c, sizeof(c) / sizeof *(c))

/* ---- V1 -------------------------------------------------------------------------------------- */

static void v1_layers_become_layers(void **state)
{
    static const struct good c[] = {
        { NET, "layers { name: 'r' type: RELU bottom: 'a' bottom: 'b' top: 'c' }",
          "layer { name: 'r' type: 'ReLU' bottom: 'a' bottom: 'b' top: 'c' }", OT_UPGRADED_V1 },
        { NET,
          "name: 'n' force_backward: true\n"
          "layers { type: CONVOLUTION blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0\n"
          " param: 'w' param: '' blob_share_mode: PERMISSIVE convolution_param { num_output: 3 } }",
          "name: 'n' force_backward: true\n"
          "layer { type: 'Convolution' param { name: 'w' share_mode: PERMISSIVE lr_mult: 1"
          " decay_mult: 1 } param { name: '' lr_mult: 2 decay_mult: 0 }"
          " convolution_param { num_output: 3 } }",
          OT_UPGRADED_V1 },
        { NET, "layers { type: INNER_PRODUCT weight_decay: 1 weight_decay: 0 blobs_lr: 3 }",
          "layer { type: 'InnerProduct' param { lr_mult: 3 decay_mult: 1 }"
          " param { decay_mult: 0 } }",
          OT_UPGRADED_V1 },
        { NET,
          "layers { type: SOFTMAX_LOSS loss_weight: 0.5 include { phase: TRAIN }"
          " loss_param { ignore_label: 3 } softmax_param { engine: CAFFE } }"
          "layers { type: ACCURACY exclude { stage: 's' } accuracy_param { top_k: 5 } }",
          "layer { type: 'SoftmaxWithLoss' loss_weight: 0.5 include { phase: TRAIN }"
          " loss_param { ignore_label: 3 } softmax_param { engine: CAFFE } }"
          "layer { type: 'Accuracy' exclude { stage: 's' } accuracy_param { top_k: 5 } }",
          OT_UPGRADED_V1 },
        { NET,
          "layers { type: DECONVOLUTION convolution_param { num_output: 3 } blobs { num: 1 } }",
          "layer { type: 'Deconvolution' convolution_param { num_output: 3 } blobs { num: 1 } }",
          OT_UPGRADED_V1 },
        { NET, "layer { type: 'ReLU' }", "layer { type: 'ReLU' }", 0 },
        { NET, "", "", 0 },
    };

    (void)state;
    CHECK_GOOD(c);
}

/* Every value of the enum has a type today, and the parameter of its name goes with it. */
static void every_v1_type_has_a_name_today(void **state)
{
    const ProtobufCEnumDescriptor *e = &caffe__v1_layer_parameter__layer_type__descriptor;

    (void)state;
    for (unsigned i = 0; i < e->n_values; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc;
        char text[128];

        if (!e->values[i].value)
            continue;
        (void)snprintf(text, sizeof text, "layers { type: %s }", e->values[i].name);
        doc = parse(NET, text);
        assert_int_equal(upgrade(doc, &err), OT_UPGRADED_V1);
        assert_true(strlen(((Caffe__NetParameter *)ot_doc_root(doc))->layer[0]->type) > 2);
        ot_doc_free(doc);
    }
}

static void what_v1_cannot_mean_is_refused_at_its_place(void **state)
{
    static const struct bad c[] = {
        { NET, "\nlayers { name: 'x' }", "f:2:1: layer 'x': the type is missing" },
        { NET, "layers { name: 'x' type: NONE }", "f:1:20: layer 'x': the type is missing" },
        { NET, "layers { name: 'x' type: RELU\n pooling_param { } }",
          "f:2:2: layer 'x': a layer of type ReLU has no pooling_param" },
        { NET, "layers { type: SOFTMAX sigmoid_param { } }",
          "of type Softmax has no sigmoid_param" },
        { NET, "layers { type: POOLING exp_param { } }", "of type Pooling has no exp_param" },
        { NET, "layers { type: RELU }\nlayer { type: 'ReLU' }",
          "f:2:1: a net has either `layer` or, in the old format, `layers`, got both (`layers` at "
          "line 1)" },
    };

    (void)state;
    CHECK_BAD(c);
}

static void check_loc(const struct ot_doc *doc, const void *msg, const char *field, size_t i,
                      int line, int col)
{
    struct ot_loc loc = ot_doc_loc_at(doc, msg, field, i);

    assert_string_equal(loc.file, "f");
    assert_int_equal(loc.line, line);
    assert_int_equal(loc.col, col);
}

static void values_keep_the_places_where_they_were_written(void **state)
{
    struct ot_doc *doc = parse(NET, " input: 'x'\ninput_dim: [1, 2, 3,\n4]\n"
                                    "layers { name: 'c'\n type: CONVOLUTION top: 'a'\n  top: 'b'\n"
                                    " blobs_lr: 1\n blobs_lr: 2 convolution_param {\n pad: 1 } }\n"
                                    "  layers { type: DATA\n data_param { scale: 2 } }");
    const Caffe__NetParameter *net = (const Caffe__NetParameter *)ot_doc_root(doc);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_equal(upgrade(doc, &err),
                     OT_UPGRADED_V1 | OT_UPGRADED_TRANSFORM | OT_UPGRADED_INPUT);
    assert_int_equal(net->n_layer, 3);
    check_loc(doc, net, "layer", 0, 1, 2);
    check_loc(doc, net, "layer", 1, 4, 1);
    check_loc(doc, net, "layer", 2, 10, 3);
    check_loc(doc, net->layer[0], NULL, 0, 1, 2);
    check_loc(doc, net->layer[0], "top", 0, 1, 2);
    check_loc(doc, net->layer[0]->input_param->shape[0], "dim", 0, 2, 13);
    check_loc(doc, net->layer[0]->input_param->shape[0], "dim", 3, 3, 1);
    check_loc(doc, net->layer[1], NULL, 0, 4, 1);
    check_loc(doc, net->layer[1], "name", 0, 4, 10);
    check_loc(doc, net->layer[1], "type", 0, 5, 2);
    check_loc(doc, net->layer[1], "top", 1, 6, 3);
    check_loc(doc, net->layer[1]->param[1], "lr_mult", 0, 8, 2);
    check_loc(doc, net->layer[1]->convolution_param, "pad", 0, 9, 2);
    check_loc(doc, net->layer[2]->transform_param, "scale", 0, 11, 15);
    ot_doc_free(doc);
}

/* ---- V0 -------------------------------------------------------------------------------------- */

#define V0 (OT_UPGRADED_V0 | OT_UPGRADED_V1)

static void v0_layers_become_layers(void **state)
{
    static const struct good c[] = {
        { NET,
          "layers { layer { name: 'c' type: 'conv' num_output: 96 kernelsize: 11 stride: 4 pad: 2"
          " group: 2 biasterm: false weight_filler { type: 'gaussian' std: 0.01 }"
          " bias_filler { type: 'constant' } blobs_lr: 1. blobs_lr: 2. weight_decay: 1."
          " weight_decay: 0. } bottom: 'data' top: 'c' }",
          "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c'"
          " param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
          " convolution_param { num_output: 96 kernel_size: 11 stride: 4 pad: 2 group: 2"
          " bias_term: false weight_filler { type: 'gaussian' std: 0.01 }"
          " bias_filler { type: 'constant' } } }",
          V0 },
        { NET,
          "layers { layer { type: 'data' source: '/db' meanfile: '/mean' batchsize: 256"
          " cropsize: 227 mirror: true scale: 0.5 rand_skip: 3 } top: 'data' top: 'label' }",
          "layer { type: 'Data' top: 'data' top: 'label' transform_param { scale: 0.5 mirror: true"
          " crop_size: 227 mean_file: '/mean' } data_param { source: '/db' batch_size: 256"
          " rand_skip: 3 } }",
          V0 },
        { NET,
          "layers { layer { type: 'pool' pool: AVE kernelsize: 3 stride: 2 pad: 1 } }"
          "layers { layer { type: 'lrn' local_size: 5 alpha: 0.0001 beta: 0.75 k: 2 } }"
          "layers { layer { type: 'innerproduct' num_output: 5 biasterm: false"
          " weight_filler { } bias_filler { value: 1 } } }"
          "layers { layer { type: 'dropout' dropout_ratio: 0.2 } }"
          "layers { layer { type: 'concat' concat_dim: 2 } }"
          "layers { layer { type: 'infogain_loss' source: 's' } }"
          "layers { layer { type: 'softmax_loss' } }",
          "layer { type: 'Pooling' pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }"
          "layer { type: 'LRN' lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 k: 2 } }"
          "layer { type: 'InnerProduct' inner_product_param { num_output: 5 bias_term: false"
          " weight_filler { } bias_filler { value: 1 } } }"
          "layer { type: 'Dropout' dropout_param { dropout_ratio: 0.2 } }"
          "layer { type: 'Concat' concat_param { concat_dim: 2 } }"
          "layer { type: 'InfogainLoss' infogain_loss_param { source: 's' } }"
          "layer { type: 'SoftmaxWithLoss' }",
          V0 },
        { NET,
          "layers { layer { type: 'images' source: 'l' batchsize: 2 shuffle_images: true"
          " new_height: 4 new_width: 5 rand_skip: 6 } }"
          "layers { layer { type: 'window_data' source: 'w' batchsize: 2 det_fg_threshold: 0.25"
          " det_bg_threshold: 0.5 det_fg_fraction: 0.125 det_context_pad: 4 det_crop_mode: 's' } }"
          "layers { layer { type: 'hdf5_data' source: 'h' batchsize: 2 } }"
          "layers { layer { type: 'hdf5_output' hdf5_output_param { file_name: 'o' } } }",
          "layer { type: 'ImageData' image_data_param { source: 'l' batch_size: 2 shuffle: true"
          " new_height: 4 new_width: 5 rand_skip: 6 } }"
          "layer { type: 'WindowData' window_data_param { source: 'w' batch_size: 2"
          " fg_threshold: 0.25 bg_threshold: 0.5 fg_fraction: 0.125 context_pad: 4"
          " crop_mode: 's' } }"
          "layer { type: 'HDF5Data' hdf5_data_param { source: 'h' batch_size: 2 } }"
          "layer { type: 'HDF5Output' hdf5_output_param { file_name: 'o' } }",
          V0 },
        /* some layers of each age */
        { NET, "layers { layer { type: 'relu' } } layers { type: TANH }",
          "layer { type: 'ReLU' } layer { type: 'TanH' }", V0 },
    };

    (void)state;
    CHECK_GOOD(c);
}

#define DATA0 "layers { layer { type: 'data' } top: 'data' }"
#define PAD   "layers { layer { type: 'padding' pad: 2 } bottom: 'data' top: 'pad' }"

static void padding_layers_go_into_their_readers(void **state)
{
    static const struct good c[] = {
        { NET,
          DATA0 PAD "layers { layer { type: 'conv' kernelsize: 5 } bottom: 'pad' top: 'c' }"
                    "layers { layer { type: 'pool' pad: 7 } bottom: 'pad' top: 'p' }",
          "layer { type: 'Data' top: 'data' }"
          "layer { type: 'Convolution' bottom: 'data' top: 'c'"
          " convolution_param { pad: 2 kernel_size: 5 } }"
          "layer { type: 'Pooling' bottom: 'data' top: 'p' pooling_param { pad: 2 } }",
          V0 },
        /* the newest blob of that name is meant */
        { NET,
          DATA0 PAD "layers { layer { type: 'relu' } bottom: 'data' top: 'pad' }"
                    "layers { layer { type: 'conv' } bottom: 'pad' top: 'c' }",
          "layer { type: 'Data' top: 'data' }"
          "layer { type: 'ReLU' bottom: 'data' top: 'pad' }"
          "layer { type: 'Convolution' bottom: 'pad' top: 'c' }",
          V0 },
    };
    static const struct bad bad[] = {
        { NET, DATA0 PAD "\nlayers { layer { name: 'r' type: 'relu' } bottom: 'pad' top: 'r' }",
          "f:2:43: layer 'r': only \"conv\" and \"pool\" can read a padding layer, got \"relu\"" },
        { NET, DATA0 PAD "layers { layer { type: 'conv' } bottom: 'data' bottom: 'pad' }",
          "must have one bottom and one top, got 1 and 1, and 2 bottoms of the reader" },
        { NET,
          DATA0 "layers { layer { type: 'padding' } bottom: 'data' top: 'a' top: 'b' }"
                "layers { layer { type: 'conv' } bottom: 'b' }",
          "must have one bottom and one top, got 1 and 2" },
        { NET, DATA0 PAD "layers { layer { type: 'padding' } bottom: 'pad' top: 'b' }",
          "can read a padding layer, got \"padding\"" },
    };

    (void)state;
    CHECK_GOOD(c);
    CHECK_BAD(bad);
}

static void what_v0_cannot_mean_is_refused_at_its_place(void **state)
{
    static const struct bad c[] = {
        { NET, "layers { layer { name: 'x' } }", "f:1:10: layer 'x': the type is missing" },
        { NET, "layers { layer { name: 'x' type: 'convv' } }",
          "f:1:28: layer 'x': unknown type of a V0 layer, got \"convv\"" },
        { NET, "layers { layer { name: 'x' type: 'relu'\n num_output: 3 } }",
          "f:2:2: layer 'x': a layer of type \"relu\" has no num_output" },
        { NET, "layers { layer { type: 'conv' pool: MAX } }", "type \"conv\" has no pool" },
        { NET, "layers { layer { type: 'conv' new_num: 1 } }", "type \"conv\" has no new_num" },
        { NET, "layers { layer { type: 'conv' }\n name: 'y' }",
          "f:2:2: a V0 layer has only bottom and top beside its `layer`, got name" },
    };

    (void)state;
    CHECK_BAD(c);
}

/* ---- transformation, input, BatchNorm -------------------------------------------------------- */

static void transformation_fields_leave_the_data_parameters(void **state)
{
    static const struct good c[] = {
        { NET,
          "layers { type: DATA data_param { source: 'd' scale: 0.25 mean_file: 'm' crop_size: 32"
          " mirror: true batch_size: 8 } }",
          "layer { type: 'Data' data_param { source: 'd' batch_size: 8 } transform_param {"
          " scale: 0.25 mean_file: 'm' crop_size: 32 mirror: true } }",
          OT_UPGRADED_V1 | OT_UPGRADED_TRANSFORM },
        { NET,
          "layers { type: IMAGE_DATA image_data_param { crop_size: 3 } transform_param {"
          " crop_size: 4 scale: 2 } }"
          "layers { type: WINDOW_DATA window_data_param { mirror: false } }",
          "layer { type: 'ImageData' image_data_param { } transform_param { crop_size: 3"
          " scale: 2 } }"
          "layer { type: 'WindowData' window_data_param { } transform_param { mirror: false } }",
          OT_UPGRADED_V1 | OT_UPGRADED_TRANSFORM },
        /* today's layers are left as they are, as in Caffe; the layer says what it does not know */
        { NET, "layer { type: 'Data' data_param { scale: 2 } }",
          "layer { type: 'Data' data_param { scale: 2 } }", 0 },
    };

    (void)state;
    CHECK_GOOD(c);
}

static void input_fields_become_a_layer_before_all_others(void **state)
{
    static const struct good c[] = {
        { NET,
          "input: 'a' input: 'b' input_dim: [1, 2, 3, 4, 5, 6, 7, 8]"
          " layer { type: 'ReLU' } layer { type: 'TanH' }",
          "layer { name: 'input' type: 'Input' top: 'a' top: 'b' input_param {"
          " shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } } }"
          " layer { type: 'ReLU' } layer { type: 'TanH' }",
          OT_UPGRADED_INPUT },
        { NET, "layer { type: 'ReLU' } input: 'a' input_shape { dim: 3 }",
          "layer { name: 'input' type: 'Input' top: 'a' input_param { shape { dim: 3 } } }"
          " layer { type: 'ReLU' }",
          OT_UPGRADED_INPUT },
    };
    static const struct bad bad[] = {
        { NET, "\n input: 'a' input_dim: 1",
          "f:2:2: 1 input names need as many input_shape or 4 input_dim each, got 0 and 1" },
        { NET, "input: 'a' input_shape { } input_shape { }", "got 2 and 0" },
        { NET, "input: 'a'", "got 0 and 0" },
    };

    (void)state;
    CHECK_GOOD(c);
    CHECK_BAD(bad);
}

static void three_params_of_a_batch_norm_are_zero(void **state)
{
    static const struct good c[] = {
        { NET,
          "layer { type: 'BatchNorm' param { lr_mult: 1 name: 'm' } param { decay_mult: 3 }"
          " param { } }",
          "layer { type: 'BatchNorm' param { lr_mult: 0 decay_mult: 0 name: 'm' }"
          " param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }",
          OT_UPGRADED_BATCH_NORM },
        { NET, "layer { type: 'Scale' param { } param { } param { } }",
          "layer { type: 'Scale' param { } param { } param { } }", 0 },
        { NET, "layer { type: 'BatchNorm' param { lr_mult: 1 } }",
          "layer { type: 'BatchNorm' param { lr_mult: 1 } }", 0 },
    };
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (size_t i = 1; i < 3; i++)
        check_good(&c[i], 1);
    for (int again = 0; again < 2; again++) { /* they stay three */
        struct ot_doc *old = parse(NET, c[0].old), *new = parse(NET, c[0].new);
        char *want = printed(new), *got;

        for (int k = 0; k <= again; k++)
            assert_int_equal(upgrade(old, &err), OT_UPGRADED_BATCH_NORM);
        got = printed(old);
        assert_string_equal(got, want);
        ot_free(got);
        ot_free(want);
        ot_doc_free(old);
        ot_doc_free(new);
    }
}

/* ---- solvers --------------------------------------------------------------------------------- */

static void solver_type_becomes_type(void **state)
{
    static const struct good c[] = {
        { SOLVER, "solver_type: SGD", "type: 'SGD'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "solver_type: NESTEROV", "type: 'Nesterov'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "solver_type: ADAGRAD", "type: 'AdaGrad'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "solver_type: RMSPROP", "type: 'RMSProp'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "solver_type: ADADELTA", "type: 'AdaDelta'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "solver_type: 5", "type: 'Adam'", OT_UPGRADED_SOLVER_TYPE },
        { SOLVER, "type: 'Adam'", "type: 'Adam'", 0 },
        { SOLVER,
          "solver_type: SGD net_param { layers { type: RELU } }"
          "test_net_param { input: 'a' input_shape { } }",
          "type: 'SGD' net_param { layer { type: 'ReLU' } } test_net_param {"
          " layer { name: 'input' type: 'Input' top: 'a' input_param { shape { } } } }",
          OT_UPGRADED_SOLVER_TYPE | OT_UPGRADED_V1 | OT_UPGRADED_INPUT },
        { SOLVER, "train_net_param { layers { layer { type: 'relu' } } }",
          "train_net_param { layer { type: 'ReLU' } }", V0 },
    };
    static const struct bad bad[] = {
        { SOLVER, "type: 'SGD'\n solver_type: SGD",
          "f:2:2: solver_type is the old form of type; give one of the two, got \"SGD\" beside" },
        { SOLVER, "net_param {\n layers { } }", "f:2:2: layer '': the type is missing" },
    };

    (void)state;
    CHECK_GOOD(c);
    CHECK_BAD(bad);
}

static void the_names_of_upgrades_are_a_list(void **state)
{
    char buf[256], small[8];

    (void)state;
    assert_string_equal(ot_upgrade_names(0, buf, sizeof buf), "");
    assert_string_equal(ot_upgrade_names(V0 | OT_UPGRADED_SOLVER_TYPE, buf, sizeof buf),
                        "V0LayerParameter, V1LayerParameter, solver_type");
    assert_string_equal(ot_upgrade_names(V0, small, sizeof small), "V0Laye"
                                                                   "r");
}

static void memory_running_out_is_an_error_at_every_allocation(void **state)
{
    static const char text[] =
        "input: 'x' input_dim: [1, 2, 3, 4]"
        "layers { layer { type: 'conv' num_output: 3 blobs_lr: 1 } bottom: 'x' top: 'c' }"
        "layers { type: DATA data_param { scale: 1 } }";
    struct ot_str s = { 0 };

    (void)state;
    for (int i = 0; i < 60; i++) /* more than a block of the document holds */
        ot_str_puts(&s, text + (i ? 34 : 0));
    for (uint64_t k = 1;; k++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc = parse(NET, s.buf);
        int what;

        ot_mem_fail_at(k);
        what = upgrade(doc, &err);
        ot_mem_fail_at(0);
        ot_doc_free(doc);
        if (what >= 0) {
            assert_true(k > 3);
            break;
        }
        assert_int_equal(err.code, OT_ENOMEM);
    }
    ot_str_release(&s);
}

/* ---- whole files ----------------------------------------------------------------------------- */

/* What is saved is of today, as Caffe saves it. */
static void check_saved(struct ot_net *net)
{
    const char *path = ot_tiny_path("upgraded.caffemodel");
    struct ot_err err = OT_ERR_INIT;
    const Caffe__LayerParameter *conv = NULL;
    Caffe__NetParameter *np;

    assert_ok(ot_weights_save(net, path, false, &err), &err);
    np = (Caffe__NetParameter *)(void *)ot_wire_read_message(NET, path, 1 << 30, &err);
    assert_non_null(np);
    assert_int_equal(np->n_layers, 0);
    assert_int_equal(np->n_layer, net->nnode);
    for (size_t i = 0; i < np->n_layer; i++)
        if (!strcmp(np->layer[i]->name, "conv1"))
            conv = np->layer[i];
    assert_non_null(conv);
    assert_string_equal(conv->type, "Convolution");
    assert_int_equal(conv->n_param, 2);
    assert_near(conv->param[1]->lr_mult, 2, 0);
    ot_wire_free_message(&np->base);
}

/* LeNet with its net inside the solver, in V1, for two test nets by stage. */
static void the_consolidated_lenet_trains(void **state)
{
    static const char file[] = "compat/caffe/mnist/lenet_consolidated_solver.prototxt";
    char source[3][500];
    const char *set[3], *db;
    struct ot_run r;
    double first;

    (void)state;
    if (!ot_shared(file))
        skip_because("no ../shared/compat");
    db = ot_tiny_digits("lenet", 128, 28, 10);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(source[i], sizeof source[i], "net_param.layer[%d].data_param.source=%s", i,
                       db);
        set[i] = source[i];
    }
    ot_run_open(&r, ot_shared(file), set, 3, false, (struct ot_net_conf){ 0 });
    assert_int_equal(r.config->train.param->n_layer, 12);
    assert_int_equal(r.config->ntest, 2);
    assert_string_equal(r.config->test[1].stage[0], "test-on-train-set");
    assert_near(ot_net_node(r.net, "conv2")->l.param[1]->lr_mult, 2, 0);
    first = ot_run_pass(&r, 0, NULL);
    assert_true(first > 1.5 && first < 3.5); /* about ln 10 */
    ot_run_update(&r, 0.01);
    assert_true(ot_run_pass(&r, 1, NULL) < first);
    check_saved(r.net);
    ot_run_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1_layers_become_layers),
        cmocka_unit_test(every_v1_type_has_a_name_today),
        cmocka_unit_test(what_v1_cannot_mean_is_refused_at_its_place),
        cmocka_unit_test(values_keep_the_places_where_they_were_written),
        cmocka_unit_test(v0_layers_become_layers),
        cmocka_unit_test(padding_layers_go_into_their_readers),
        cmocka_unit_test(what_v0_cannot_mean_is_refused_at_its_place),
        cmocka_unit_test(transformation_fields_leave_the_data_parameters),
        cmocka_unit_test(input_fields_become_a_layer_before_all_others),
        cmocka_unit_test(three_params_of_a_batch_norm_are_zero),
        cmocka_unit_test(solver_type_becomes_type),
        cmocka_unit_test(the_names_of_upgrades_are_a_list),
        cmocka_unit_test(memory_running_out_is_an_error_at_every_allocation),
        cmocka_unit_test(the_consolidated_lenet_trains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
