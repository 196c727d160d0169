/* test_text.c - proto/text.h: what is read, what is refused and how, places, --set, printing. */
#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "proto/caffe.pb-c.h"
#include "proto/text.h"
#include "tests/check.h"

#define NET    (&caffe__net_parameter__descriptor)
#define SOLVER (&caffe__solver_parameter__descriptor)
#define LAYER  (&caffe__layer_parameter__descriptor)
#define BLOB   (&caffe__blob_proto__descriptor)
#define DATUM  (&caffe__datum__descriptor)

static struct ot_doc *parse(const ProtobufCMessageDescriptor *type, const char *text)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse(type, "f", text, strlen(text), &err);

    assert_ok(doc ? 0 : err.code, &err);
    return doc;
}

static char *printed(const struct ot_doc *doc)
{
    struct ot_str s = { 0 };
    char *text;

    ot_text_print(ot_doc_root(doc), &s);
    text = ot_str_take(&s);
    assert_non_null(text);
    return text;
}

struct good {
    const ProtobufCMessageDescriptor *type;
    const char *text, *canon; /* canon: what the printer makes of it */
};

static const struct good good[] = {
    { NET, "", "" },
    { NET, " \t\r\n# only a comment", "" },
    { NET, "\xef\xbb\xbfname: 'x'", "name: \"x\"\n" },
    { NET, "name: \"a\" 'b' # c\n \"d\"", "name: \"abd\"\n" },
    { NET, "name: ''", "name: \"\"\n" },
    { NET, "name: 'it''s'", "name: \"its\"\n" },
    { NET, "name: '\"\\'\\n\\t\\\\\\x41\\101\\u00e9\\U0001F600\\?'",
      "name: \"\\\"'\\n\\t\\\\AA\xc3\xa9\xf0\x9f\x98\x80?\"\n" },
    { NET, "input: 'a' input: 'b'; input: 'c', input: ['d', 'e' 'f']",
      "input: \"a\"\ninput: \"b\"\ninput: \"c\"\ninput: \"d\"\ninput: \"ef\"\n" },
    { NET, "input_dim: [1, 0x10, 017, -3] input_dim: [] input_dim: 5 input_dim: 6 input_dim: 7",
      "input_dim: 1\ninput_dim: 16\ninput_dim: 15\ninput_dim: -3\ninput_dim: 5\ninput_dim: 6\n"
      "input_dim: 7\n" },
    { NET, "layer{} layer:{} layer <> layer: <name:'n'>",
      "layer {\n}\nlayer {\n}\nlayer {\n}\nlayer {\n  name: \"n\"\n}\n" },
    { NET, "layer: [{name:'a'}, <name:'b'>]",
      "layer {\n  name: \"a\"\n}\nlayer {\n  name: \"b\"\n}\n" },
    { NET, "state { phase: TRAIN }", "state {\n  phase: TRAIN\n}\n" },
    { NET, "state { phase: 1 }", "state {\n  phase: TEST\n}\n" },
    { NET, "force_backward: t debug_info: 0", "force_backward: true\ndebug_info: false\n" },
    { NET, "force_backward: True debug_info: f", "force_backward: true\ndebug_info: false\n" },
    { NET, "force_backward: 1 debug_info: False", "force_backward: true\ndebug_info: false\n" },
    { LAYER, "loss_weight: [5e-05, 1.f, 1F, .5, 5., -2, 1e3, 0.1, 16777216]",
      "loss_weight: 5e-05\nloss_weight: 1\nloss_weight: 1\nloss_weight: 0.5\nloss_weight: 5\n"
      "loss_weight: -2\nloss_weight: 1e+03\nloss_weight: 0.1\nloss_weight: 16777216\n" },
    { LAYER, "loss_weight: [inf, -inf, nan, Infinity, - 1, 3.40282347e+38, 1e-50, 1.17549435e-38]",
      "loss_weight: inf\nloss_weight: -inf\nloss_weight: nan\nloss_weight: inf\nloss_weight: -1\n"
      "loss_weight: 3.4028235e+38\nloss_weight: 0\nloss_weight: 1.1754944e-38\n" },
    { LAYER, "pooling_param { pool: AVE round_mode: FLOOR }",
      "pooling_param {\n  pool: AVE\n  ceil_mode: false\n}\n" },
    { LAYER, "pooling_param { round_mode: 0 }", "pooling_param {\n  ceil_mode: true\n}\n" },
    { LAYER, "propagate_down: true propagate_down: 0",
      "propagate_down: true\npropagate_down: false\n" },
    { LAYER, "include { phase: TRAIN not_stage: 'x' }",
      "include {\n  phase: TRAIN\n  not_stage: \"x\"\n}\n" },
    { BLOB, "shape { dim: 9223372036854775807 dim: -9223372036854775808 } double_data: 0.1",
      "shape {\n  dim: 9223372036854775807\n  dim: -9223372036854775808\n}\ndouble_data: 0.1\n" },
    { BLOB, "num: -2147483648 channels: 2147483647", "num: -2147483648\nchannels: 2147483647\n" },
    { DATUM, "data: '\\000\\377a\\0' label: 3", "data: \"\\000\\377a\\000\"\nlabel: 3\n" },
    { DATUM, "data: ''", "data: \"\"\n" },
    { SOLVER, "net: 'a' base_lr: .01 random_seed: 1701 type: 'SGD' weights: 'a.caffemodel'",
      "net: \"a\"\nbase_lr: 0.01\nrandom_seed: 1701\ntype: \"SGD\"\nweights: \"a.caffemodel\"\n" },
    { LAYER, "convolution_param { pad: 4294967295 }",
      "convolution_param {\n  pad: 4294967295\n}\n" },
};

static void what_real_files_write_is_read_and_printed_canonically(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ot_doc *doc = parse(good[i].type, good[i].text), *again;
        char *one = printed(doc), *two;

        assert_string_equal(one, good[i].canon);
        again = parse(good[i].type, one);
        two = printed(again);
        assert_string_equal(one, two);
        ot_free(one);
        ot_free(two);
        ot_doc_free(doc);
        ot_doc_free(again);
    }
}

struct bad {
    const ProtobufCMessageDescriptor *type;
    const char *text, *error;
};

static const struct bad bad[] = {
    { NET, "layer {\n  pooling_param {\n    ceil_mod: true } }",
      "f:3:5: message type \"caffe.PoolingParameter\" has no field named \"ceil_mod\"; "
      "did you mean \"ceil_mode\"?" },
    { NET, "\nnme: 'x'",
      "f:2:1: message type \"caffe.NetParameter\" has no field named \"nme\"; "
      "did you mean \"name\"?" },
    { LAYER, "batchnorm_param { }",
      "has no field named \"batchnorm_param\"; did you mean \"batch_norm_param\"?" },
    { LAYER, "lrnn_param { }", "has no field named \"lrnn_param\"; did you mean \"lrn_param\"?" },
    { LAYER, "pooling_param { pool: MAXX }",
      "f:1:17: field \"pool\" (enum PoolMethod) must be one of MAX, AVE, STOCHASTIC, got MAXX" },
    { LAYER, "pooling_param { pool: 3 }", "must be one of MAX, AVE, STOCHASTIC, got 3" },
    { LAYER, "pooling_param { pool: -MAX }", "got -MAX" },
    { LAYER, "pooling_param { round_mode: UP }",
      "field \"round_mode\" must be one of CEIL, FLOOR, got UP" },
    { LAYER, "pooling_param {\n round_mode: CEIL ceil_mode: true }",
      "f:2:19: field \"ceil_mode\" is given twice (round_mode and ceil_mode are the same field); "
      "first at line 2, column 2" },
    { LAYER, "pooling_param { ceil_mode: true round_mode: CEIL }", "given twice" },
    { LAYER, "relu_param { round_mode: CEIL }", "has no field named \"round_mode\"" },
    { LAYER, "convolution_param { pad: -1 }",
      "f:1:21: field \"pad\" (uint32) must be an integer from 0 to 4294967295, got -1" },
    { LAYER, "convolution_param { pad: 4294967296 }", "got 4294967296" },
    { LAYER, "convolution_param { pad: 1.5 }", "(uint32) must be an integer" },
    { LAYER, "convolution_param { pad: 'a' }", "got 'a'" },
    { LAYER, "convolution_param { pad: 1a }", "got 1a" },
    { LAYER, "convolution_param { pad: 09 }", "got 09" },
    { BLOB, "num: 2147483648", "(int32) must be an integer from -2147483648 to 2147483647" },
    { BLOB, "num: -2147483649", "got -2147483649" },
    { BLOB, "num: 99999999999999999999999999", "got 99999999999999999999999999" },
    { BLOB, "shape { dim: 9223372036854775808 }", "(int64)" },
    { BLOB, "data: 1e39", "(float) must be a number in its range, got 1e39" },
    { BLOB, "double_data: 1e999", "(double) must be a number in its range, got 1e999" },
    { BLOB, "data: 0x10", "got 0x10" },
    { BLOB, "data: 1.2.3", "got 1.2.3" },
    { BLOB, "data: 1e", "got 1e" },
    { BLOB, "data: --1", "got --" },
    { BLOB, "data: f", "got f" },
    { NET, "force_backward: 2", "field \"force_backward\" (bool) must be true or false, got 2" },
    { NET, "force_backward: yes", "got yes" },
    { NET, "name: x", "f:1:1: field \"name\" (string) must be a string in quotes, got x" },
    { NET, "name: 5", "got 5" },
    { NET, "name 'x'", "f:1:6: expected ':' after field \"name\", got 'x'" },
    { NET, "name {", "expected ':' after field \"name\", got {" },
    { NET, "name: 'a\\0b'", "field \"name\" (string) must not contain byte 0" },
    { NET, "name: 'a\nb'", "f:1:7: string has no closing ' on its line, got 'a" },
    { NET, "name: \"a", "string has no closing \" on its line, got \"a" },
    { NET, "name: 'a\\'", "string has no closing '" },
    { NET, "name: '\\q'", "string has an unknown escape, got \\q" },
    { NET, "name: '\\xg'", "unknown escape" },
    { NET, "name: '\\777'", "unknown escape" },
    { NET, "name: '\\u12'", "unknown escape" },
    { NET, "name: ['a']", "field \"name\" takes one value, got a list" },
    { NET, "name: 'a'\n name: 'b'",
      "f:2:2: field \"name\" is given twice; first at line 1, column 1" },
    { NET, "state {} state {}",
      "f:1:10: field \"state\" is given twice; first at line 1, column 1" },
    { NET, "layer {\n name: 'a'\n",
      "f:3:1: expected '}' to close \"layer\" opened at line 1, column 7, got end of text" },
    { NET, "layer < }",
      "f:1:9: expected '>' to close \"layer\" opened at line 1, column 7, got }" },
    { NET, "layer { >", "expected '}' to close" },
    { NET, "layer { } }", "f:1:11: expected a field (no message is open), got }" },
    { NET, "layer: 3", "field \"layer\" (message caffe.LayerParameter) must be { ... }, got 3" },
    { NET, "layer", "must be { ... }, got end of text" },
    { NET, "input_dim: [1 2]", "f:1:15: expected ',' or ']' in a list, got 2" },
    { NET, "input_dim: [1,", "got end of text" },
    { NET, "input_dim: [1", "expected ',' or ']' in a list, got end of text" },
    { NET, "input_dim: [[1]]", "got [" },
    { NET, "input_dim:", "got end of text" },
    { NET, "'name': 'x'", "f:1:1: expected the name of a field, got 'name'" },
    { NET, "[a.b]: 1", "expected the name of a field, got [" },
    { NET, "name: 'x';;", "expected the name of a field, got ;" },
    { NET, "name: 'x' @", "f:1:11: unexpected byte, got 0x40" },
    { NET, "name = 'x'", "unexpected byte, got 0x3d" },
    { NET, "\tname: x", "f:1:2: " },
    { LAYER, "exp_param { base: 'e' }",
      "f:1:13: field \"base\" (float) must be a number in its range, got 'e'" },
    { LAYER, "exp_param { base 2 }", "expected ':' after field \"base\", got 2" },
    { LAYER, "log_param { base: [2] }", "field \"base\" takes one value, got a list" },
    { LAYER, "log_param { base: 2 base: 3 }", "field \"base\" is given twice" },
    { LAYER, "log_param { basis: 2 }", "no field named \"basis\"; did you mean \"base\"?" },
};

static void what_is_wrong_is_named_at_its_place_with_the_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_err err = OT_ERR_INIT;

        if (ot_text_parse(bad[i].type, "f", bad[i].text, strlen(bad[i].text), &err))
            fail_msg("accepted: %s", bad[i].text);
        assert_error(&err, OT_EPARSE, bad[i].error);
    }
}

static void a_far_name_gets_no_suggestion(void **state)
{
    static const char *const name[] = { "warp_ctc_param {}", "crf_param {}", "x: 1" };
    struct ot_err err = OT_ERR_INIT;
    char line[1200];

    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        assert_null(ot_text_parse(LAYER, "f", name[i], strlen(name[i]), &err));
        assert_null(strstr(ot_err_str(&err, line, sizeof line), "did you mean"));
    }
}

static void fields_fill_the_generated_structs(void **state)
{
    struct ot_doc *doc = parse(NET,
                               "layer { name: 'p' type: 'Pooling' bottom: 'a' top: 'b' top: 'c'"
                               " pooling_param { kernel_size: 3 } }");
    const Caffe__NetParameter *net = (const Caffe__NetParameter *)ot_doc_root(doc);
    const Caffe__PoolingParameter *p;

    (void)state;
    assert_int_equal(net->n_layer, 1);
    assert_string_equal(net->layer[0]->type, "Pooling");
    assert_int_equal(net->layer[0]->n_top, 2);
    assert_string_equal(net->layer[0]->top[1], "c");
    p = net->layer[0]->pooling_param;
    assert_true(p->has_kernel_size && p->kernel_size == 3);
    assert_true(!p->has_stride && p->stride == 1);
    assert_true(!p->has_ceil_mode && p->ceil_mode);
    assert_null(net->layer[0]->relu_param);
    ot_doc_free(doc);
}

static void string_defaults_stand_until_written(void **state)
{
    struct ot_doc *doc = parse(SOLVER, "regularization_type: 'L2'");
    const Caffe__SolverParameter *s = (const Caffe__SolverParameter *)ot_doc_root(doc);
    char *text = printed(doc);

    (void)state;
    assert_string_equal(s->type, "SGD");
    assert_string_equal(text, "regularization_type: \"L2\"\n");
    ot_free(text);
    ot_doc_free(doc);
}

static void check_loc(const struct ot_doc *doc, const void *msg, const char *field, size_t i,
                      int line, int col)
{
    struct ot_loc loc = ot_doc_loc_at(doc, msg, field, i);

    assert_string_equal(loc.file, "f");
    assert_int_equal(loc.line, line);
    assert_int_equal(loc.col, col);
}

static void every_field_remembers_its_place(void **state)
{
    struct ot_doc *doc = parse(NET, "name: 'n'\nlayer {\n  name: 'a'\n}\n  layer { top: 't'\n"
                                    "   top: ['u',\n'v'] }\n");
    struct ot_doc *other = parse(NET, "");
    const Caffe__NetParameter *net = (const Caffe__NetParameter *)ot_doc_root(doc);

    (void)state;
    check_loc(doc, net, NULL, 0, 1, 1);
    check_loc(doc, net, "name", 0, 1, 1);
    check_loc(doc, net, "layer", 1, 5, 3);
    check_loc(doc, net->layer[0], NULL, 0, 2, 1);
    check_loc(doc, net->layer[0], "name", 0, 3, 3);
    check_loc(doc, net->layer[0], "type", 0, 2, 1);
    check_loc(doc, net->layer[1], "top", 0, 5, 11);
    check_loc(doc, net->layer[1], "top", 1, 6, 10);
    check_loc(doc, net->layer[1], "top", 2, 7, 1);
    assert_null(ot_doc_loc(doc, ot_doc_root(other), NULL).file);
    assert_null(ot_doc_loc(NULL, net, "name").file);
    assert_string_equal(ot_doc_file(doc), "f");
    ot_doc_free(other);
    ot_doc_free(doc);
}

/* `base_` in the struct */
static void a_name_that_c_cannot_have_is_written_without_its_underscore(void **state)
{
    struct ot_doc *doc = parse(LAYER, "exp_param {\n base: 2 }\nlog_param { base: 4 }");
    const Caffe__LayerParameter *l = (const Caffe__LayerParameter *)ot_doc_root(doc);
    char *text = printed(doc);

    (void)state;
    assert_true(l->exp_param->base_ == 2 && l->log_param->base_ == 4);
    check_loc(doc, l->exp_param, "base", 0, 2, 2);
    check_loc(doc, l->exp_param, "base_", 0, 2, 2);
    check_loc(doc, l->exp_param, "bas", 0, 1, 1); /* no such field: the message's own */
    assert_string_equal(text, "exp_param {\n  base: 2\n}\nlog_param {\n  base: 4\n}\n");
    ot_free(text);
    ot_doc_free(doc);
}

struct set {
    const char *path, *value;
    const char *result; /* printed document, or part of the error */
    bool ok;
};

static const struct set sets[] = {
    { "base_lr", "0.5", "test_iter: 1\ntest_iter: 2\nbase_lr: 0.5\n", true },
    { "max_iter", "-1", "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\nmax_iter: -1\n", true },
    { "test_iter", "7", "test_iter: 7\nbase_lr: 0.1\n", true },
    { "test_iter", "[7, 8, 9]", "test_iter: 7\ntest_iter: 8\ntest_iter: 9\nbase_lr: 0.1\n", true },
    { "test_iter[1]", "7", "test_iter: 1\ntest_iter: 7\nbase_lr: 0.1\n", true },
    { "test_iter[2]", "7", "test_iter: 1\ntest_iter: 2\ntest_iter: 7\nbase_lr: 0.1\n", true },
    { "net", "a/b c.prototxt",
      "net: \"a/b c.prototxt\"\ntest_iter: 1\ntest_iter: 2\nbase_lr: 0.1\n", true },
    { "net", "\"q\\n\"", "net: \"q\\n\"\ntest_iter: 1\ntest_iter: 2\nbase_lr: 0.1\n", true },
    { "mining.quantile", "0.95",
      "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\nmining {\n  quantile: 0.95\n}\n", true },
    { "mining", "{ kind: ROI }",
      "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\nmining {\n  kind: ROI\n}\n", true },
    { "net_param.layer[0].pooling_param.round_mode", "FLOOR",
      "net_param {\n  layer {\n    pooling_param {\n      ceil_mode: false\n    }\n  }\n}\n"
      "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\n",
      true },
    { "weights", "a,b", "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\nweights: \"a,b\"\n", true },
    { "weights[0]", "[x]", "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\nweights: \"[x]\"\n", true },
    { "net_param.layer[0].exp_param.base", "2",
      "net_param {\n  layer {\n    exp_param {\n      base: 2\n    }\n  }\n}\n"
      "test_iter: 1\ntest_iter: 2\nbase_lr: 0.1\n",
      true },
    { "net_param.layer[0].exp_param.base", "two", "field \"base\" (float) must be", false },
    { "net_param.layer[0].exp_param.base[0]", "2", "field \"base\" is not repeated", false },
    { "net_param.layer[0].exp_param.base.x", "2", "field \"base\" of \"caffe.ExpPar", false },
    { "mining.quantil", "1",
      "--set mining.quantil=1: message type \"caffe.MiningParameter\" has no field named "
      "\"quantil\"; did you mean \"quantile\"?",
      false },
    { "minning.quantile", "1", "has no field named \"minning\"; did you mean \"mining\"?", false },
    { "base_lr", "fast", "--set base_lr=fast: field \"base_lr\" (float) must be a number", false },
    { "base_lr", "1 2", "expected nothing after the value, got 2", false },
    { "base_lr", "", "got end of text", false },
    { "base_lr.x", "1", "field \"base_lr\" of \"caffe.SolverParameter\" has no fields", false },
    { "base_lr[0]", "1", "field \"base_lr\" is not repeated", false },
    { "test_iter[3]", "1", "index of \"test_iter\" must be at most 2, got 3", false },
    { "test_iter[x]", "1", "expected an index [number], got \"[x]\"", false },
    { "test_iter[99999999999]", "1", "expected an index", false },
    { "test_iter[0]", "[1,2]", "with an index takes one value", false },
    { "net_param.layer.name", "a", "field \"layer\" is repeated and needs an index", false },
    { "", "1", "expected the name of a field", false },
    { "mining.", "1", "expected the name of a field", false },
    { "mining..kind", "1", "expected the name of a field", false },
    { "mining", "3", "(message caffe.MiningParameter) must be { ... }, got 3", false },
};

static void set_edits_one_field_by_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct ot_doc *doc = parse(SOLVER, "test_iter: [1, 2] base_lr: 0.1");
        struct ot_err err = OT_ERR_INIT;
        int rc = ot_text_set(doc, sets[i].path, sets[i].value, &err);

        if (sets[i].ok) {
            char *text;

            assert_ok(rc, &err);
            text = printed(doc);
            assert_string_equal(text, sets[i].result);
            ot_free(text);
        } else {
            assert_int_equal(rc, OT_EPARSE);
            assert_error(&err, OT_EPARSE, sets[i].result);
        }
        ot_doc_free(doc);
    }
}

static void set_moves_the_place_of_the_field(void **state)
{
    struct ot_doc *doc = parse(SOLVER, "test_iter: [1, 2]\nbase_lr: 0.1");
    struct ot_err err = OT_ERR_INIT;
    const void *root = ot_doc_root(doc);
    const Caffe__SolverParameter *s = root;

    (void)state;
    assert_ok(ot_text_set(doc, "base_lr", "2", &err), &err);
    assert_ok(ot_text_set(doc, "test_iter[1]", "5", &err), &err);
    assert_ok(ot_text_set(doc, "mining.quantile", "0.5", &err), &err);
    assert_string_equal(ot_doc_loc(doc, root, "base_lr").file, "--set base_lr=2");
    assert_int_equal(ot_doc_loc(doc, root, "base_lr").line, 0);
    assert_int_equal(ot_doc_loc_at(doc, root, "test_iter", 0).line, 1);
    assert_string_equal(ot_doc_loc_at(doc, root, "test_iter", 1).file, "--set test_iter[1]=5");
    assert_string_equal(ot_doc_loc(doc, s->mining, NULL).file, "--set mining.quantile=0.5");
    assert_string_equal(ot_doc_loc(doc, s->mining, "quantile").file, "--set mining.quantile=0.5");
    assert_ok(ot_text_set(doc, "test_iter", "9", &err), &err);
    assert_string_equal(ot_doc_loc_at(doc, root, "test_iter", 0).file, "--set test_iter=9");
    assert_string_equal(ot_doc_loc_at(doc, root, "test_iter", 1).file, "f");
    ot_doc_free(doc);
}

/* A message that contains itself, which caffe.proto has none of: message Node { Node child = 1; }
 */
struct node {
    ProtobufCMessage base;
    struct node *child;
};

static const ProtobufCMessageDescriptor node_type;

static void node_init(ProtobufCMessage *m)
{
    *(struct node *)m = (struct node){ .base = { .descriptor = &node_type } };
}

static const ProtobufCFieldDescriptor node_fields[] = {
    { .name = "child",
      .id = 1,
      .label = PROTOBUF_C_LABEL_OPTIONAL,
      .type = PROTOBUF_C_TYPE_MESSAGE,
      .offset = offsetof(struct node, child),
      .descriptor = &node_type },
};
static const unsigned node_by_name[] = { 0 };
static const ProtobufCIntRange node_ranges[] = { { 1, 0 }, { 0, 1 } };
static const ProtobufCMessageDescriptor node_type = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "Node",
    .short_name = "Node",
    .sizeof_message = sizeof(struct node),
    .n_fields = 1,
    .fields = node_fields,
    .fields_sorted_by_name = node_by_name,
    .n_field_ranges = 1,
    .field_ranges = node_ranges,
    .message_init = node_init,
};

static struct ot_doc *nested(int depth, struct ot_err *err)
{
    struct ot_str s = { 0 };
    struct ot_doc *doc;

    for (int i = 0; i < depth; i++)
        ot_str_puts(&s, "child {");
    for (int i = 0; i < depth; i++)
        ot_str_puts(&s, "}");
    doc = ot_text_parse(&node_type, "f", s.buf, s.len, err);
    ot_str_release(&s);
    return doc;
}

static void nesting_has_a_limit(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_doc *doc = nested(OT_TEXT_DEPTH, &err);

    (void)state;
    assert_ok(doc ? 0 : err.code, &err);
    ot_doc_free(doc);
    assert_null(nested(OT_TEXT_DEPTH + 1, &err));
    assert_error(&err, OT_EPARSE, "f:1:449: \"child\" is nested deeper than 64 messages, got 65");
    assert_null(nested(100000, &err));
}

static void hostile_bytes_never_crash_and_leave_nothing_behind(void **state)
{
    static const char text[] =
        "name: 'a\\x41' input: ['x', \"y\"]\n# c\nlayer { loss_weight: -1e-3 "
        "blobs < data: [1, inf] > pooling_param { round_mode: CEIL } }";
    char copy[sizeof text];
    uint64_t held = ot_mem_bytes();
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        ot_doc_free(ot_text_parse(NET, "f", text, n, &err));
        for (int byte = 0; byte < 256; byte += 5) {
            memcpy(copy, text, sizeof text);
            copy[n] = (char)byte;
            ot_doc_free(ot_text_parse(NET, "f", copy, sizeof copy - 1, &err));
        }
    }
    assert_null(ot_text_parse(NET, "f", "name: 'a'\0", 10, &err));
    assert_error(&err, OT_EPARSE, "f:1:10: unexpected byte, got 0x00");
    assert_null(ot_text_parse(NET, "f", "name: 'a\0b'", 11, &err));
    assert_error(&err, OT_EPARSE, "must not contain byte 0");
    assert_null(ot_text_parse(NET, "f", text, (size_t)OT_TEXT_BYTES + 1, &err));
    assert_error(&err, OT_EPARSE, "text is longer than");
    assert_int_equal(ot_mem_bytes(), held);
}

static void a_very_long_number_is_refused(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    char text[4000] = "base_lr: ";

    (void)state;
    memset(text + 9, '1', sizeof text - 9);
    assert_null(ot_text_parse(SOLVER, "f", text, sizeof text, &err));
    assert_error(&err, OT_EPARSE, "1111...");
}

static void memory_running_out_is_an_error_at_every_allocation(void **state)
{
    static const char text[] =
        "name: 'a' 'b' input: ['x'] layer { top: 't' blobs { data: [1,2,3,4,5]"
        " } }";
    uint64_t held = ot_mem_bytes();

    (void)state;
    for (uint64_t k = 1;; k++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc;

        ot_mem_fail_at(k);
        doc = ot_text_parse(NET, "f", text, sizeof text - 1, &err);
        ot_mem_fail_at(0);
        if (doc) {
            ot_doc_free(doc);
            assert_true(k > 3);
            break;
        }
        assert_int_equal(err.code, OT_ENOMEM);
        assert_int_equal(ot_mem_bytes(), held);
    }
}

static void many_values_and_layers_are_kept_in_order(void **state)
{
    struct ot_str s = { 0 };
    struct ot_doc *doc;
    const Caffe__NetParameter *net;

    (void)state;
    for (int i = 0; i < 1000; i++)
        ot_str_printf(&s, "input_dim: %d layer { name: 'l%d' }\n", i, i);
    doc = parse(NET, s.buf);
    net = (const Caffe__NetParameter *)ot_doc_root(doc);
    assert_int_equal(net->n_layer, 1000);
    for (int i = 0; i < 1000; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "l%d", i);
        assert_int_equal(net->input_dim[i], i);
        assert_string_equal(net->layer[i]->name, name);
        check_loc(doc, net, "input_dim", (size_t)i, i + 1, 1);
    }
    ot_doc_free(doc);
    ot_str_release(&s);
}

struct file {
    const char *path;
    const ProtobufCMessageDescriptor *type;
};

static const struct file files[] = {
    { "caffe/mnist/lenet.prototxt", NET },
    { "caffe/mnist/lenet_train_test.prototxt", NET },
    { "caffe/mnist/lenet_solver.prototxt", SOLVER },
    { "caffe/mnist/lenet_solver_adam.prototxt", SOLVER },
    { "caffe/mnist/lenet_solver_rmsprop.prototxt", SOLVER },
    { "caffe/mnist/lenet_adadelta_solver.prototxt", SOLVER },
    { "caffe/mnist/lenet_multistep_solver.prototxt", SOLVER },
    { "caffe/mnist/lenet_consolidated_solver.prototxt", SOLVER },
    { "caffe/cifar10/cifar10_quick_train_test.prototxt", NET },
    { "caffe/cifar10/cifar10_quick_solver.prototxt", SOLVER },
    { "caffe/cifar10/cifar10_full_solver.prototxt", SOLVER },
    { "caffe/cifar10/cifar10_full_sigmoid_solver_bn.prototxt", SOLVER },
    { "caffe/cifar10/cifar10_full_train_test.prototxt", NET },
    { "caffe/cifar10/cifar10_full_sigmoid_train_test_bn.prototxt", NET },
    { "caffe/bvlc_googlenet/train_val.prototxt", NET },
    { "caffe/bvlc_googlenet/deploy.prototxt", NET },
    { "caffe/bvlc_googlenet/solver.prototxt", SOLVER },
    { "caffe/bvlc_reference_caffenet/train_val.prototxt", NET },
    { "caffe/bvlc_reference_caffenet/deploy.prototxt", NET },
    { "caffe/bvlc_reference_caffenet/solver.prototxt", SOLVER },
    { "caffe-model/deploy_resnet50.prototxt", NET },
    { "caffe-model/deploy_resnext50-32x4d.prototxt", NET },
    { "ohem/VGG16/fast_rcnn_ohem/train.prototxt", NET },
    { "ohem/VGG16/fast_rcnn_ohem/solver.prototxt", SOLVER },
    { "py-R-FCN/ResNet-50/rfcn_end2end/train_agnostic_ohem.prototxt", NET },
    { "py-R-FCN/ResNet-50/rfcn_end2end/test_agnostic.prototxt", NET },
    { "py-R-FCN/ResNet-50/rfcn_end2end/solver_ohem.prototxt", SOLVER },
    { "py-faster-rcnn/VGG16/faster_rcnn_end2end/train.prototxt", NET },
    { "py-faster-rcnn/VGG16/faster_rcnn_end2end/test.prototxt", NET },
    { "py-faster-rcnn/VGG16/faster_rcnn_end2end/solver.prototxt", SOLVER },
    { "py-faster-rcnn/VGG16/fast_rcnn/train.prototxt", NET },
    { "py-faster-rcnn/VGG16/fast_rcnn/test.prototxt", NET },
    { "py-faster-rcnn/VGG16/fast_rcnn/solver.prototxt", SOLVER },
};

static void files_of_public_projects_parse_and_print(void **state)
{
    (void)state;
    if (!ot_shared("compat"))
        skip_because("no ../shared/compat");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_doc *doc, *again;
        char name[256], *one, *two;

        (void)snprintf(name, sizeof name, "compat/%s", files[i].path);
        assert_non_null(ot_shared(name));
        doc = ot_text_parse_file(files[i].type, ot_shared(name), &err);
        assert_ok(doc ? 0 : err.code, &err);
        one = printed(doc);
        again = parse(files[i].type, one);
        two = printed(again);
        assert_string_equal(one, two);
        ot_free(one);
        ot_free(two);
        ot_doc_free(again);
        ot_doc_free(doc);
    }
}

static void a_missing_file_is_named(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_null(ot_text_parse_file(NET, "/nowhere/x.prototxt", &err));
    assert_error(&err, OT_ENOINPUT, "/nowhere/x.prototxt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_real_files_write_is_read_and_printed_canonically),
        cmocka_unit_test(what_is_wrong_is_named_at_its_place_with_the_value),
        cmocka_unit_test(a_far_name_gets_no_suggestion),
        cmocka_unit_test(fields_fill_the_generated_structs),
        cmocka_unit_test(string_defaults_stand_until_written),
        cmocka_unit_test(every_field_remembers_its_place),
        cmocka_unit_test(a_name_that_c_cannot_have_is_written_without_its_underscore),
        cmocka_unit_test(set_edits_one_field_by_path),
        cmocka_unit_test(set_moves_the_place_of_the_field),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(hostile_bytes_never_crash_and_leave_nothing_behind),
        cmocka_unit_test(a_very_long_number_is_refused),
        cmocka_unit_test(memory_running_out_is_an_error_at_every_allocation),
        cmocka_unit_test(many_values_and_layers_are_kept_in_order),
        cmocka_unit_test(files_of_public_projects_parse_and_print),
        cmocka_unit_test(a_missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
