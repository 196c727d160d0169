/*
 * test_hdf5.c - weights and solver states in HDF5: the same values as in Caffe's other format, laid
 * out as Caffe lays them out, and refused where they are not.
 */
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/hdf5.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/tinydb.h"
#include "trainer/job_i.h"

#define NEED_HDF5                               \
    do {                                        \
        struct ot_err none_ = OT_ERR_INIT;      \
        if (ot_h5_available(&none_) < 0)        \
            skip_because("built without HDF5"); \
    } while (0)

/* ip and twin share their weight; x is read twice, so that there is a Split */
static const char net_text[] =
    "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }"
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' } "
    "  inner_product_param { num_output: 2 weight_filler { type: 'gaussian' std: 1 } "
    "  bias_filler { type: 'uniform' } } }"
    "layer { name: 'twin' type: 'InnerProduct' bottom: 'x' top: 'b' param { name: 'w' } "
    "  inner_product_param { num_output: 2 bias_filler { type: 'uniform' } } }"
    "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'a' bottom: 'b' top: 'loss' }";

static struct ot_kit open_net(uint64_t seed)
{
    return ot_kit_open(net_text, (struct ot_net_conf){ .seed = seed });
}

static void same_bits(struct ot_net *a, struct ot_net *b, int part)
{
    assert_int_equal(a->nlearn, b->nlearn);
    for (size_t k = 0; k < a->nlearn; k++) {
        size_t n;
        float *x = ot_kit_param(a, a->learn[k], part, &n);
        float *y = ot_kit_param(b, b->learn[k], part, &n);

        if (memcmp(x, y, n * sizeof *x) != 0)
            fail_msg("part %d of parameter %zu (layer '%s') differs", part, k, a->learn[k]->layer);
        ot_free(x);
        ot_free(y);
    }
}

/* ---- weights --------------------------------------------------------------------------------- */

static void weights_come_back_to_the_bit(void **state)
{
    const char *path = ot_tiny_path("a.caffemodel.h5");
    struct ot_kit a = open_net(1), b = open_net(2);
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    NEED_HDF5;
    ot_kit_fill(&a, 5, 2);
    (void)ot_kit_forward(&a);
    ot_kit_backward(&a);
    assert_ok(ot_weights_save(a.net, path, true, &err), &err);
    assert_ok(ot_weights_load(b.net, path, &err), &err);
    same_bits(a.net, b.net, OT_PARAM_DATA);
    ot_kit_close(&a);
    ot_kit_close(&b);
}

/* Runs a command and gives what it printed, owned. */
static char *output_of(const char *command, const char *path)
{
    struct ot_str s = { 0 };
    char line[1400];
    size_t n;
    FILE *f;

    (void)snprintf(line, sizeof line, "%s '%s' 2>&1", command, path);
    f = popen(line, "r");
    assert_non_null(f);
    while ((n = fread(line, 1, sizeof line, f)) > 0)
        ot_str_add(&s, line, n);
    (void)pclose(f);
    return ot_str_take(&s);
}

static void wants(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in\n%s", part, text);
}

/* By HDF5's own tool, not by our reader. */
static void the_layout_is_that_of_caffe(void **state)
{
    static const char *const parts[] = {
        "GROUP \"data\"",
        "GROUP \"ip\" {\n         DATASET \"0\" {\n            DATATYPE  H5T_IEEE_F32LE\n"
        "            DATASPACE  SIMPLE { ( 2, 3 ) / ( 2, 3 ) }",
        "GROUP \"twin\" {\n         DATASET \"1\"", /* its weight is ip's */
        "GROUP \"x_in_0_split\" {\n      }",
        "GROUP \"loss\" {\n      }",
        "GROUP \"diff\"",
        "GROUP \"twin\" {\n         DATASET \"0\"",
    };
    const char *path = ot_tiny_path("layout.caffemodel.h5");
    struct ot_kit k = open_net(1);
    struct ot_err err = OT_ERR_INIT;
    char *text;

    (void)state;
    NEED_HDF5;
    if (system("h5dump --version >/dev/null 2>&1") != 0)
        skip_because("no h5dump (Debian: hdf5-tools)");
    ot_kit_fill(&k, 5, 2);
    (void)ot_kit_forward(&k);
    ot_kit_backward(&k);
    assert_ok(ot_weights_save(k.net, path, true, &err), &err);
    text = output_of("h5dump -H", path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        wants(text, parts[i]);
    ot_free(text);
    assert_ok(ot_weights_save(k.net, path, false, &err), &err);
    text = output_of("h5dump -H", path);
    assert_null(strstr(text, "GROUP \"diff\""));
    ot_free(text);
    ot_kit_close(&k);
}

static void a_layer_with_a_slash_in_its_name_is_not_saved(void **state)
{
    static const char text[] = "layer { name: 'in' type: 'Input' top: 'x' "
                               "  input_param { shape { dim: 2 dim: 3 } } }\n"
                               "layer { name: 'a/ip' type: 'InnerProduct' bottom: 'x' top: 'y' "
                               "  inner_product_param { num_output: 2 } }";
    struct ot_kit k = ot_kit_open(text, (struct ot_net_conf){ 0 });
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    assert_int_equal(ot_weights_save(k.net, ot_tiny_path("slash.h5"), false, &err), OT_ENOTSUP);
    assert_error(&err, OT_ENOTSUP,
                 "layer 'a/ip': in HDF5 a layer's name must be without '/', unique and not empty, "
                 "got 'a/ip'");
    assert_int_equal(err.loc.line, 2);
    assert_false(ot_exists(ot_tiny_path("slash.h5")));
    ot_kit_close(&k);
}

struct set { /* a dataset of zeros */
    const char *at;
    int nd;
    int64_t dim[2];
};

static const char *made(const char *name, const char *const *group, const struct set *set)
{
    static const float zero[64];
    struct ot_err err = OT_ERR_INIT;
    struct ot_h5 *f = ot_h5_create(&err);

    assert_ok(f ? 0 : err.code, &err);
    for (; *group; group++)
        assert_ok(ot_h5_add_group(f, *group, &err), &err);
    for (; set->at; set++) {
        struct ot_wire_shape s = { .nd = set->nd, .dim = { set->dim[0], set->dim[1] } };

        assert_ok(ot_h5_add_floats(f, set->at, &s, zero, &err), &err);
    }
    assert_ok(ot_h5_save(f, ot_tiny_path(name), &err), &err);
    ot_h5_close(f);
    return ot_tiny_path(name);
}

static void weights_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *group[4];
        struct set set[4];
        enum ot_code code;
        const char *message;
    } table[] = {
        { { "/other" }, { { 0 } }, OT_EDATA, "w.h5: cannot read group '/data': " },
        { { "/data" }, { { 0 } }, OT_EDATA, "w.h5: no layer of the net has weights in it" },
        { { "/data" }, { { "/data/ip", 1, { 2 } } }, OT_EDATA, "cannot read group '/data/ip'" },
        { { "/data", "/data/ip" },
          { { "/data/ip/0", 2, { 2, 3 } } },
          OT_ESHAPE,
          "w.h5: layer 'ip': the weights have no blob 1, the net wants 2 blobs" },
        { { "/data", "/data/ip" },
          { { "/data/ip/0", 2, { 3, 2 } } },
          OT_ESHAPE,
          "w.h5: layer 'ip': dataset '/data/ip/0' has shape 3x2, the net wants 2x3" },
        { { "/data", "/data/ip" },
          { { "/data/ip/0", 1, { 6 } } },
          OT_ESHAPE,
          "dataset '/data/ip/0' has shape 6, the net wants 2x3" },
        { { "/data", "/data/ip" },
          { { "/data/ip/0", 0, { 0 } } },
          OT_ESHAPE,
          "dataset '/data/ip/0' has shape scalar, the net wants 2x3" },
        { { "/data", "/data/ip", "/data/ip/0" },
          { { "/data/ip/1", 1, { 2 } } },
          OT_EDATA,
          "cannot read dataset '/data/ip/0': " }, /* a group is in its place */
        { { "/data", "/data/twin" },
          { { "/data/twin/0", 2, { 2, 3 } },
            { "/data/twin/1", 1, { 2 } },
            { "/data/twin/2", 0, { 0 } } },
          OT_ESHAPE,
          "layer 'twin': the weights have 3 blobs, the net wants 2" },
    };
    struct ot_kit k = open_net(1);

    (void)state;
    NEED_HDF5;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        const char *path = made("w.h5", table[i].group, table[i].set);

        assert_int_not_equal(ot_weights_load(k.net, path, &err), 0);
        assert_error(&err, table[i].code, table[i].message);
    }
    ot_kit_close(&k);
}

static void what_another_layer_owns_may_be_missing(void **state)
{
    const char *path;
    struct ot_kit k = open_net(1);
    struct ot_err err = OT_ERR_INIT;
    float *w, *bias;

    (void)state;
    NEED_HDF5;
    path = made("twin.h5", (const char *const[]){ "/data", "/data/twin", NULL },
                (const struct set[]){ { "/data/twin/1", 1, { 2 } }, { 0 } });
    assert_ok(ot_weights_load(k.net, path, &err), &err);
    w = ot_kit_param(k.net, ot_net_node(k.net, "ip")->l.param[0], OT_PARAM_DATA, NULL);
    bias = ot_kit_param(k.net, ot_net_node(k.net, "twin")->l.param[1], OT_PARAM_DATA, NULL);
    assert_true(w[0] != 0.0f);
    assert_near(bias[0], 0, 0);
    ot_free(w);
    ot_free(bias);
    ot_kit_close(&k);
}

static void a_file_that_is_not_hdf5_is_refused(void **state)
{
    const char *path = ot_tiny_file("text.h5", "not so\n");
    struct ot_kit k = open_net(1);
    struct ot_err err = OT_ERR_INIT;
    char *bytes;
    size_t n;

    (void)state;
    NEED_HDF5;
    assert_int_not_equal(ot_weights_load(k.net, path, &err), 0);
    assert_error(&err, OT_EDATA, "text.h5: cannot be read as HDF5: ");
    assert_int_not_equal(ot_weights_load(k.net, ot_tiny_path("none.h5"), &err), 0);
    assert_error(&err, OT_ENOINPUT, "cannot open");
    assert_int_not_equal(ot_weights_load(k.net, ot_tmpdir(), &err), 0);

    assert_ok(ot_weights_save(k.net, ot_tiny_path("whole.h5"), false, &err), &err);
    bytes = ot_read_file(ot_tiny_path("whole.h5"), 1 << 20, &n, &err);
    assert_non_null(bytes);
    for (size_t cut = 0; cut < n; cut += 97) {
        assert_ok(ot_write_file_atomic(ot_tiny_path("cut.h5"), bytes, cut, &err), &err);
        assert_int_equal(ot_weights_load(k.net, ot_tiny_path("cut.h5"), &err), OT_EDATA);
    }
    ot_free(bytes);
    ot_kit_close(&k);
}

/* ---- states ---------------------------------------------------------------------------------- */

static char source[400];

static struct ot_config *config(const char *dir, const char *const *more, int nmore)
{
    static char run_dir[400];
    struct ot_err err = OT_ERR_INIT;
    const char *set[20] = { run_dir,
                            source,
                            "net.layer[data].data_param.batch_size=8",
                            "net.layer[ip1].inner_product_param.num_output=20",
                            "test_interval=0",
                            "test_iter=2",
                            "max_iter=20",
                            "snapshot=0",
                            "threads=1",
                            "mining.warmup=0",
                            "mining.window=16" };
    int n = 11;
    struct ot_config *c;

    (void)snprintf(run_dir, sizeof run_dir, "run_dir=\"%s/%s\"", ot_tmpdir(), dir);
    for (int i = 0; i < nmore; i++)
        set[n++] = more[i];
    c = ot_config_load("configs/fashion.conf", set, n, false, &err);
    assert_ok(c ? 0 : err.code, &err);
    return c;
}

static int run(const char *dir, const char *type, const char *format, const char *stop,
               const char *resume, struct ot_err *err)
{
    const char *const more[] = { type, format, stop };
    struct ot_config *c = config(dir, more, 3);
    struct ot_train_opts opts = { .resume = resume };
    int rc = ot_train(c, &opts, err);

    ot_config_free(c);
    return rc;
}

/* What a job holds after it went on from this state. */
static void restore(struct ot_job *j, struct ot_config *c, const char *path)
{
    struct ot_train_opts opts = { 0 };
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_job_open(j, c, &opts, &err), &err);
    assert_ok(ot_net_history(j->net, ot_solver_histories(j->solver), &err), &err);
    assert_ok(ot_snapshot_restore(j->solver, j->feeds, j->mine, path, &err), &err);
}

static void resumes_alike(const char *type)
{
    static const char *const format[] = { "snapshot_format=BINARYPROTO", "snapshot_format=HDF5" };
    static const char *const dir[] = { "proto", "h5" };
    static const char *const end[] = { "", ".h5" };
    struct ot_config *c[2];
    struct ot_job j[2];

    for (int i = 0; i < 2; i++) {
        struct ot_err err = OT_ERR_INIT;
        char path[600];

        assert_ok(run(dir[i], type, format[i], "max_iter=10", NULL, &err), &err);
        (void)snprintf(path, sizeof path, "%s/%s/fashion_iter_10.solverstate%s", ot_tmpdir(),
                       dir[i], end[i]);
        assert_true(ot_exists(path));
        assert_ok(run(dir[i], type, format[i], "max_iter=20", "auto", &err), &err);
        (void)snprintf(path, sizeof path, "%s/%s/fashion_iter_20.solverstate%s", ot_tmpdir(),
                       dir[i], end[i]);
        c[i] = config(dir[i], &type, 1);
        restore(&j[i], c[i], path);
        assert_int_equal(j[i].solver->iter, 20);
    }
    same_bits(j[0].net, j[1].net, OT_PARAM_DATA);
    for (int h = 0; h < ot_solver_histories(j[0].solver); h++)
        same_bits(j[0].net, j[1].net, OT_PARAM_HIST0 + h);
    for (int i = 0; i < 2; i++) {
        ot_job_close(&j[i]);
        ot_config_free(c[i]);
    }
}

static void a_run_resumed_from_hdf5_is_the_one_resumed_from_a_message(void **state)
{
    (void)state;
    NEED_HDF5;
    resumes_alike("type=SGD");
    resumes_alike("type=Adam"); /* also: the first run's files are moved to previous/ */
    assert_true(ot_exists(ot_tiny_path("h5/previous/fashion_iter_20.solverstate.h5")));
    assert_true(ot_exists(ot_tiny_path("h5/previous/fashion_iter_20.caffemodel.h5")));
    assert_true(ot_exists(ot_tiny_path("h5/fashion_iter_20.caffemodel.h5")));
    assert_false(ot_exists(ot_tiny_path("h5/fashion_iter_20.caffemodel")));
}

static void the_newest_snapshot_may_be_in_either_format(void **state)
{
    char path[1200];

    (void)state;
    (void)ot_tiny_file("n_iter_5.solverstate", "");
    (void)ot_tiny_file("n_iter_10.solverstate.h5", "");
    (void)ot_tiny_file("n_iter_10.caffemodel.h5", "");
    (void)ot_tiny_file("n_iter_7.solverstate", "");
    (void)ot_tiny_file("n_iter_7.solverstate.h5", "");
    (void)ot_tiny_file("n_iter_99.solverstate.h5.tmp", "");
    assert_int_equal(ot_snapshot_newest(ot_tiny_path("n"), path, sizeof path), 1);
    assert_string_equal(path, ot_tiny_path("n_iter_10.solverstate.h5"));
    ot_snapshot_prune(ot_tiny_path("n"), 2);
    assert_false(ot_exists(ot_tiny_path("n_iter_5.solverstate")));
    assert_true(ot_exists(ot_tiny_path("n_iter_7.solverstate")));
    ot_snapshot_prune(ot_tiny_path("n"), 1);
    assert_false(ot_exists(ot_tiny_path("n_iter_7.solverstate")));
    assert_false(ot_exists(ot_tiny_path("n_iter_7.solverstate.h5")));
    assert_true(ot_exists(ot_tiny_path("n_iter_10.caffemodel.h5")));
}

static void the_state_is_laid_out_as_caffes(void **state)
{
    static const char *const parts[] = {
        "DATASET \"current_step\" {\n      DATATYPE  H5T_STD_I32LE\n"
        "      DATASPACE  SIMPLE { ( 1 ) / ( 1 ) }",
        "DATASET \"iter\" {\n      DATATYPE  H5T_STD_I32LE\n"
        "      DATASPACE  SIMPLE { ( 1 ) / ( 1 ) }\n      DATA {\n      (0): 20\n",
        "fashion_iter_20.caffemodel.h5\"",
        "DATASPACE  SCALAR",
        "GROUP \"history\" {\n      DATASET \"0\" {\n         DATATYPE  H5T_IEEE_F32LE\n"
        "         DATASPACE  SIMPLE { ( 20, 1, 5, 5 )",
        "DATASET \"15\"", /* Adam: two of each of the 8 */
    };
    char *text;

    (void)state;
    NEED_HDF5;
    if (system("h5dump --version >/dev/null 2>&1") != 0)
        skip_because("no h5dump (Debian: hdf5-tools)");
    text = output_of("h5dump -w 0", ot_tiny_path("h5/fashion_iter_20.solverstate.h5"));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        wants(text, parts[i]);
    ot_free(text);
}

static void states_that_are_not_whole_are_refused(void **state)
{
    static const char *const only[] = { "/history", NULL };
    static const struct set sets[][4] = {
        { { "/iter", 1, { 1 } }, { 0 } },
        { { "/iter", 1, { 2 } }, { "/current_step", 1, { 1 } }, { 0 } },
        { { "/iter", 1, { 1 } }, { "/current_step", 1, { 1 } }, { "/learned_net", 1, { 1 } } },
    };
    static const char *const message[] = {
        "s.solverstate.h5: cannot read dataset '/current_step': ",
        "s.solverstate.h5: dataset '/iter': must have 1 values, got 2",
        "dataset '/learned_net': must be one string of a fixed length below 4096",
    };
    struct ot_snapshot_info info;

    (void)state;
    NEED_HDF5;
    for (size_t i = 0; i < 3; i++) {
        struct ot_err err = OT_ERR_INIT;
        const char *path = made("s.solverstate.h5", only, sets[i]);

        assert_int_equal(ot_snapshot_peek(path, &info, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, message[i]);
    }
}

static void a_history_of_another_shape_is_refused(void **state)
{
    static const char *const other[] = { "type=SGD" };
    const char *path = ot_tiny_path("history.solverstate.h5");
    struct ot_config *c = config("h5", other, 1);
    struct ot_train_opts opts = { 0 };
    struct ot_err err = OT_ERR_INIT;
    struct ot_h5 *f;
    struct ot_job j;

    (void)state;
    NEED_HDF5;
    f = ot_h5_create(&err);
    assert_ok(ot_job_open(&j, c, &opts, &err), &err);
    assert_ok(ot_h5_add_group(f, "/history", &err), &err);
    assert_ok(ot_h5_add_int(f, "/iter", 3, &err), &err);
    assert_ok(ot_h5_add_int(f, "/current_step", 0, &err), &err);
    assert_ok(
        ot_h5_add_string(f, "/learned_net", ot_tiny_path("h5/fashion_iter_20.caffemodel.h5"), &err),
        &err);
    assert_ok(ot_h5_save(f, path, &err), &err);
    assert_int_not_equal(ot_snapshot_restore(j.solver, j.feeds, j.mine, path, &err), 0);
    assert_error(&err, OT_ESHAPE,
                 "history.solverstate.h5: 0 history blobs, but SGD has 1 for each");
    for (size_t k = 0; k < j.net->nlearn; k++) {
        const struct ot_wire_shape s = { .nd = 1, .dim = { 3 } };
        char at[40];

        (void)snprintf(at, sizeof at, "/history/%zu", k);
        assert_ok(ot_h5_add_floats(f, at, &s, (const float[3]){ 0 }, &err), &err);
    }
    assert_ok(ot_h5_save(f, path, &err), &err);
    assert_int_not_equal(ot_snapshot_restore(j.solver, j.feeds, j.mine, path, &err), 0);
    assert_error(&err, OT_ESHAPE,
                 "history.solverstate.h5: layer 'conv1': dataset '/history/0' has shape 3, the net "
                 "wants 20x1x5x5");
    ot_h5_close(f);
    ot_job_close(&j);
    ot_config_free(c);
}

/* ---- configs, and the other build ------------------------------------------------------------ */

static void the_cifar10_solver_with_hdf5_snapshots_is_a_config(void **state)
{
    static const char file[] = "compat/caffe/cifar10/cifar10_full_solver.prototxt";
    struct ot_err err = OT_ERR_INIT;
    struct ot_config *c;
    char net[600];
    const char *const set[] = { net };

    (void)state;
    if (!ot_shared(file))
        skip_because("no ../shared/compat");
    (void)snprintf(net, sizeof net, "net=\"%s\"",
                   ot_shared("compat/caffe/cifar10/cifar10_full_train_test.prototxt"));
    c = ot_config_load(ot_shared(file), set, 1, false, &err);
    assert_ok(c ? 0 : err.code, &err);
    assert_int_equal(c->solver->snapshot_format, CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__HDF5);
    ot_config_free(c);
}

static void without_libhdf5_every_use_says_so(void **state)
{
    static const char why[] = "built without HDF5; install libhdf5-dev and rebuild";
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k;
    struct ot_snapshot_info info;

    (void)state;
    if (ot_h5_available(&err) == 0)
        skip_because("built with HDF5");
    assert_error(&err, OT_ENOTSUP, why);
    k = open_net(1);
    assert_int_equal(ot_weights_save(k.net, ot_tiny_path("x.h5"), false, &err), OT_ENOTSUP);
    assert_error(&err, OT_ENOTSUP, why);
    assert_int_equal(ot_weights_load(k.net, ot_tiny_path("x.h5"), &err), OT_ENOTSUP);
    assert_error(&err, OT_ENOTSUP, why);
    assert_int_equal(ot_snapshot_peek(ot_tiny_path("x.solverstate.h5"), &info, &err), OT_ENOTSUP);
    assert_error(&err, OT_ENOTSUP, why);
    assert_int_equal(run("none", "type=SGD", "snapshot_format=HDF5", "max_iter=1", NULL, &err),
                     OT_ENOTSUP);
    assert_error(&err, OT_ENOTSUP, why);
    assert_false(ot_exists(ot_tiny_path("none")));
    ot_kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_come_back_to_the_bit),
        cmocka_unit_test(the_layout_is_that_of_caffe),
        cmocka_unit_test(a_layer_with_a_slash_in_its_name_is_not_saved),
        cmocka_unit_test(weights_that_do_not_fit_are_refused),
        cmocka_unit_test(what_another_layer_owns_may_be_missing),
        cmocka_unit_test(a_file_that_is_not_hdf5_is_refused),
        cmocka_unit_test(a_run_resumed_from_hdf5_is_the_one_resumed_from_a_message),
        cmocka_unit_test(the_state_is_laid_out_as_caffes),
        cmocka_unit_test(the_newest_snapshot_may_be_in_either_format),
        cmocka_unit_test(states_that_are_not_whole_are_refused),
        cmocka_unit_test(a_history_of_another_shape_is_refused),
        cmocka_unit_test(the_cifar10_solver_with_hdf5_snapshots_is_a_config),
        cmocka_unit_test(without_libhdf5_every_use_says_so),
    };

    ot_log_set_level(OT_LOG_ERROR);
    (void)snprintf(source, sizeof source, "net.layer[data].data_param.source=\"%s\"",
                   ot_tiny_digits("digits.lmdb", 96, 28, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
