/* test_config.c - from a solver file to nets, paths and numbers; and --set. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/check.h"
#include "tests/tinydb.h"
#include "trainer/config.h"

static const char one_layer[] =
    "name: \"n\"\n"
    "layer { name: \"data\" type: \"Input\" top: \"data\" include { phase: TRAIN }\n"
    "  input_param { shape { dim: 1 } } }\n"
    "layer { name: \"data\" type: \"Input\" top: \"data\" include { phase: TEST }\n"
    "  input_param { shape { dim: 2 } } }\n"
    "layer { name: \"1x1\" type: \"Input\" top: \"b\" input_param { shape { dim: 3 } } }\n";

static const char *net_path(void)
{
    return ot_tiny_file("n.prototxt", one_layer);
}

static struct ot_config *load(const char *text, const char *const *set, int nset,
                              struct ot_err *err)
{
    char whole[4000];

    (void)net_path();
    (void)snprintf(whole, sizeof whole, "%s", text);
    return ot_config_load(ot_tiny_file("c.conf", whole), set, nset, false, err);
}

static struct ot_config *good(const char *text, const char *const *set, int nset)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_config *c = load(text, set, nset, &err);

    assert_ok(c ? 0 : err.code, &err);
    return c;
}

static void bad(const char *text, const char *const *set, int nset, enum ot_code code,
                const char *message)
{
    struct ot_err err = OT_ERR_INIT;

    assert_null(load(text, set, nset, &err));
    assert_error(&err, code, message);
}

/* ---- paths ----------------------------------------------------------------------------- */

static void a_net_is_found_beside_its_solver(void **state)
{
    struct ot_config *c = good("net: \"n.prototxt\" max_iter: 1", NULL, 0);

    (void)state;
    assert_string_equal(c->train.param->name, "n");
    assert_string_equal(c->run_dir, "runs/c");
    assert_string_equal(c->prefix, "runs/c/c");
    assert_int_equal(c->seed, 1);
    ot_config_free(c);
    c = good("net: \"n.prototxt\" max_iter: 1 run_dir: \"out/x\" random_seed: 0", NULL, 0);
    assert_string_equal(c->prefix, "out/x/c");
    assert_int_equal(c->seed, 0);
    ot_config_free(c);
    c = good("net: \"n.prototxt\" max_iter: 1 snapshot_prefix: \"models/lenet\"", NULL, 0);
    assert_string_equal(c->prefix, "models/lenet");
    ot_config_free(c);
    c = good("net: \"n.prototxt\" max_iter: 1 snapshot_prefix: \"tests\"", NULL, 0);
    assert_string_equal(c->prefix, "tests/c"); /* a folder: the files are in it */
    ot_config_free(c);
}

static void variables_in_paths_are_replaced(void **state)
{
    struct ot_config *c;

    (void)state;
    assert_int_equal(setenv("OT_TEST_NET", "n", 1), 0);
    c = good("net: \"${OT_TEST_NET}.prototxt\" max_iter: 1 run_dir: \"${OT_NONE:-there}/r\"", NULL,
             0);
    assert_string_equal(c->run_dir, "there/r");
    ot_config_free(c);
    bad("max_iter: 1\n net: \"${OT_NONE}.prototxt\"", NULL, 0, OT_ECONFIG, "c.conf:2:");
    bad("net: \"${OT_NONE}.prototxt\" max_iter: 1", NULL, 0, OT_ECONFIG, "OT_NONE");
}

static void a_missing_net_is_reported_where_it_is_named(void **state)
{
    (void)state;
    bad("max_iter: 1\n  net: \"none.prototxt\"", NULL, 0, OT_ENOINPUT, "c.conf:2:3: ");
    bad("max_iter: 1\n  net: \"none.prototxt\"", NULL, 0, OT_ENOINPUT, "none.prototxt");
    bad("net: \"n.prototxt\" train_net: \"n.prototxt\" max_iter: 1", NULL, 0, OT_ECONFIG,
        "exactly one of net, net_param, train_net and train_net_param must name the net to train, "
        "got 2");
}

/* ---- which nets ------------------------------------------------------------------------ */

static void one_net_serves_training_and_tests(void **state)
{
    struct ot_config *c = good("net: \"n.prototxt\" max_iter: 1 test_iter: 3 test_iter: 4 "
                               "test_state { stage: \"a\" level: 2 } test_state { stage: \"b\" } "
                               "train_state { stage: \"t\" }",
                               NULL, 0);

    (void)state;
    assert_int_equal(c->ntest, 2);
    assert_int_equal(c->train.phase, CAFFE__PHASE__TRAIN);
    assert_int_equal(c->train.nstage, 1);
    assert_string_equal(c->train.stage[0], "t");
    assert_int_equal(c->test[0].phase, CAFFE__PHASE__TEST);
    assert_int_equal(c->test[0].test_iter, 3);
    assert_int_equal(c->test[0].level, 2);
    assert_string_equal(c->test[0].stage[0], "a");
    assert_int_equal(c->test[1].test_iter, 4);
    assert_int_equal(c->test[1].level, 0);
    assert_string_equal(c->test[1].stage[0], "b");
    ot_config_free(c);
    bad("net: \"n.prototxt\" max_iter: 1 test_iter: 3 test_iter: 4 test_state { }", NULL, 0,
        OT_ECONFIG, "test_state is given 1 times for 2 test nets");
}

/* test_net_param first, then test_net, then the net itself */
static void named_test_nets_come_first(void **state)
{
    struct ot_config *c = good(
        "net: \"n.prototxt\" max_iter: 1 test_iter: 3 test_iter: 4 "
        "test_iter: 5 test_net: \"n.prototxt\" test_net_param { name: \"p\" }",
        NULL, 0);

    (void)state;
    assert_int_equal(c->ntest, 3);
    assert_string_equal(c->test[0].param->name, "p");
    assert_string_equal(c->test[1].param->name, "n");
    assert_ptr_equal(c->test[2].param, c->train.param);
    assert_ptr_not_equal(c->test[1].param, c->train.param);
    ot_config_free(c);
    bad("train_net: \"n.prototxt\" max_iter: 1 test_iter: 3", NULL, 0, OT_ECONFIG,
        "test_iter has 1 values for 0 test nets");
    bad("net: \"n.prototxt\" max_iter: 1 test_net: \"n.prototxt\"", NULL, 0, OT_ECONFIG,
        "test_iter has 0 values for 1 test nets");
}

static void the_nets_own_state_counts_and_the_solvers_wins(void **state)
{
    struct ot_config *c = good("net_param { name: \"q\" state { level: 3 stage: \"own\" } } "
                               "max_iter: 1 train_state { stage: \"more\" level: 4 }",
                               NULL, 0);

    (void)state;
    assert_string_equal(c->train.param->name, "q");
    assert_int_equal(c->train.level, 4);
    assert_int_equal(c->train.nstage, 2);
    assert_string_equal(c->train.stage[0], "own");
    assert_string_equal(c->train.stage[1], "more");
    ot_config_free(c);
}

/* ---- numbers --------------------------------------------------------------------------- */

static void numbers_out_of_range_are_refused_with_place_and_value(void **state)
{
    static const struct {
        const char *line, *message;
    } table[] = {
        { "base_lr: -1", "c.conf:2:1: base_lr: must be >= 0, got -1" },
        { "iter_size: 0", "c.conf:2:1: iter_size: must be >= 1, got 0" },
        { "average_loss: 0", "c.conf:2:1: average_loss: must be >= 1, got 0" },
        { "momentum: 1", "c.conf:2:1: momentum: must be in [0, 1), got 1" },
        { "momentum: nan", "c.conf:2:1: momentum: must be in [0, 1), got nan" },
        { "snapshot: -5", "c.conf:2:1: snapshot: must be >= 0, got -5" },
        { "snapshot_keep: -1", "c.conf:2:1: snapshot_keep: must be >= 0, got -1" },
        { "device_id: -1", "c.conf:2:1: device_id: must be in [0, 1023], got -1" },
        { "threads: -1", "c.conf:2:1: threads: must be in [0, 1024], got -1" },
        { "data_threads: -1", "c.conf:2:1: data_threads: must be in [0, 256], got -1" },
        { "data_threads: 257", "c.conf:2:1: data_threads: must be in [0, 256], got 257" },
        { "weight_decay: -0.5", "c.conf:2:1: weight_decay: must be >= 0, got -0.5" },
        { "clip_gradients: nan", "c.conf:2:1: clip_gradients: must be a number, got nan" },
        { "warmup_iter: -2", "c.conf:2:1: warmup_iter: must be >= 0, got -2" },
        { "max_time_s: -2", "c.conf:2:1: max_time_s: must be >= 0, got -2" },
        { "test_interval: -2", "c.conf:2:1: test_interval: must be >= 0, got -2" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[200];

        (void)snprintf(text, sizeof text, "net: \"n.prototxt\" max_iter: 1\n%s", table[i].line);
        bad(text, NULL, 0, OT_ECONFIG, table[i].message);
    }
    bad("net: \"n.prototxt\"", NULL, 0, OT_ECONFIG, "c.conf:1:1: max_iter is missing");
    bad("net_param { num_classes: 3 } max_iter: 1\nclass_name: \"a\"", NULL, 0, OT_ECONFIG,
        "c.conf:2:1: class_name: 1 names, but the net's num_classes is 3");
}

/* ---- --set ----------------------------------------------------------------------------- */

static const char plain[] = "net: \"n.prototxt\" max_iter: 1 stepvalue: 1 stepvalue: 2";

static void set_overrides_fields_in_order(void **state)
{
    static const char *const set[] = { "max_iter=7",           "base_lr=0.5",    "max_iter=9",
                                       "mining.quantile=0.95", "stepvalue[1]=5", "run_dir=a/b" };
    struct ot_config *c = good(plain, set, 6);

    (void)state;
    assert_int_equal(c->solver->max_iter, 9);
    assert_near(c->solver->base_lr, 0.5, 0);
    assert_near(c->solver->mining->quantile, 0.95, 1e-7);
    assert_int_equal(c->solver->stepvalue[1], 5);
    assert_int_equal(c->solver->n_stepvalue, 2);
    assert_string_equal(c->run_dir, "a/b");
    ot_config_free(c);
}

static void set_names_layers_of_the_net_in_both_phases(void **state)
{
    static const char *const set[] = { "net.layer[data].input_param.shape[0].dim=9",
                                       "net.layer[1x1].top=c", "net.layer[0].top=d" };
    struct ot_config *c = good(plain, set, 3);
    const Caffe__NetParameter *n = c->train.param;

    (void)state;
    assert_int_equal(n->layer[0]->input_param->shape[0]->dim[0], 9);
    assert_int_equal(n->layer[1]->input_param->shape[0]->dim[0], 9);
    assert_string_equal(n->layer[2]->top[0], "c");
    assert_string_equal(n->layer[0]->top[0], "d");
    assert_string_equal(n->layer[1]->top[0], "data");
    ot_config_free(c);
}

static void set_can_name_another_net(void **state)
{
    char other[400];
    const char *set[] = { other };
    struct ot_config *c;

    (void)state;
    (void)snprintf(other, sizeof other, "net=%s", ot_tiny_file("o.prototxt", "name: \"other\""));
    c = good(plain, set, 1);
    assert_string_equal(c->train.param->name, "other");
    ot_config_free(c);
}

static void a_wrong_set_says_which_one(void **state)
{
    static const struct {
        const char *set;
        enum ot_code code;
        const char *message;
    } table[] = {
        { "max_iter", OT_EUSAGE, "--set 'max_iter': must be path=value" },
        { "=3", OT_EUSAGE, "--set '=3': must be path=value" },
        { "max_itr=3", OT_EPARSE, "has no field named \"max_itr\"; did you mean \"max_iter\"?" },
        { "max_iter=x", OT_EPARSE, "--set max_iter=x" },
        { "iter_size=0", OT_ECONFIG, "--set iter_size=0" },
        { "net.layer[none].top=x", OT_EUSAGE, "the net has no layer 'none'" },
        { "net.layer[9].top=x", OT_EPARSE, "--set layer[9].top=x" },
        { "net.layer[data].tops=x", OT_EPARSE, "no field named \"tops\"; did you mean \"top\"?" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        bad(plain, &table[i].set, 1, table[i].code, table[i].message);
    bad("net_param { } max_iter: 1", (const char *const[]){ "net.name=x" }, 1, OT_EUSAGE,
        "the net is inline; use net_param.");
}

/* Files in the formats of the past are read as of today, and --set speaks of what they became. */
static void old_formats_are_upgraded_before_set(void **state)
{
    static const char *const set[] = { "net.layer[r].param[1].decay_mult=5", "type=SGD" };
    static const char *const twice[] = { "solver_type=ADAM" };
    static const char *const layers[] = { "net.layers[0].name=x" };
    struct ot_config *c;

    (void)state;
    (void)ot_tiny_file("v1.prototxt", "input: 'x' input_shape { dim: 1 }\n"
                                      "layers { name: 'r' type: RELU blobs_lr: 3 blobs_lr: 2 }");
    c = good("net: \"v1.prototxt\" max_iter: 1 solver_type: ADAGRAD", set, 2);
    assert_string_equal(c->solver->type, "SGD");
    assert_int_equal(c->train.param->n_layer, 2);
    assert_string_equal(c->train.param->layer[1]->type, "ReLU");
    assert_near(c->train.param->layer[1]->param[0]->lr_mult, 3, 0);
    assert_near(c->train.param->layer[1]->param[1]->decay_mult, 5, 0);
    ot_config_free(c);
    c = good("net_param { layers { type: TANH } } max_iter: 1", twice, 1);
    assert_string_equal(c->solver->type, "Adam");
    assert_string_equal(c->train.param->layer[0]->type, "TanH");
    ot_config_free(c);
    bad("net: \"v1.prototxt\" max_iter: 1\ntype: \"SGD\"", twice, 1, OT_ECONFIG,
        "--set solver_type=ADAM: solver_type is the old form of type");
    bad("net: \"v1.prototxt\" max_iter: 1", layers, 1, OT_ECONFIG, "got both");
    (void)ot_tiny_file("v1.prototxt", "\nlayers { name: 'r' }");
    bad("net: \"v1.prototxt\" max_iter: 1", NULL, 0, OT_ECONFIG,
        "v1.prototxt:2:1: layer 'r': the type is missing");
}

static void no_mining_leaves_the_block_out(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_config *c;

    (void)state;
    (void)net_path();
    c = ot_config_load(ot_tiny_file("c.conf", "net: \"n.prototxt\" max_iter: 1 mining { }"), NULL,
                       0, true, &err);
    assert_ok(c ? 0 : err.code, &err);
    assert_null(c->solver->mining);
    ot_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_net_is_found_beside_its_solver),
        cmocka_unit_test(variables_in_paths_are_replaced),
        cmocka_unit_test(a_missing_net_is_reported_where_it_is_named),
        cmocka_unit_test(one_net_serves_training_and_tests),
        cmocka_unit_test(named_test_nets_come_first),
        cmocka_unit_test(the_nets_own_state_counts_and_the_solvers_wins),
        cmocka_unit_test(numbers_out_of_range_are_refused_with_place_and_value),
        cmocka_unit_test(set_overrides_fields_in_order),
        cmocka_unit_test(set_names_layers_of_the_net_in_both_phases),
        cmocka_unit_test(set_can_name_another_net),
        cmocka_unit_test(a_wrong_set_says_which_one),
        cmocka_unit_test(old_formats_are_upgraded_before_set),
        cmocka_unit_test(no_mining_leaves_the_block_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
