/*
 * snapshot_h5.c - .caffemodel.h5 and .solverstate.h5, laid out as Caffe does (Net::ToHDF5,
 * SGDSolver::SnapshotSolverStateToHDF5).
 *
 *   /data/LAYER/0, 1, ...   values of the parameters a layer owns; a group for every layer
 *   /diff/LAYER/0, 1, ...   with snapshot_diff: gradients of all parameters
 *
 *   /iter, /current_step    one int each
 *   /learned_net            a string
 *   /history/0, 1, ...      in the order of the .solverstate
 *
 * Shapes are those of the net exactly, and are compared before anything is allocated.  In HDF5 a
 * name with '/' is a path, so that such a layer cannot be saved (BVLC/caffe #4267).
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "data/hdf5.h"
#include "trainer/snapshot_i.h"

bool ot_h5_named(const char *path)
{
    size_t n = strlen(path);

    return n >= 3 && strcmp(path + n - 3, ".h5") == 0;
}

int ot_h5_check_names(const struct ot_net *net, struct ot_err *err)
{
    for (int i = 0; i < net->nnode; i++) {
        const struct ot_node *n = &net->node[i];
        const char *name = n->l.name;

        if (strchr(name, '/') || !*name || !strcmp(name, ".") ||
            ot_net_node(net, name) != &net->node[i]) {
            (void)ot_fail(err, OT_ENOTSUP,
                          "in HDF5 a layer's name must be without '/', unique and not empty, got "
                          "'%s'; rename the layer or use snapshot_format: BINARYPROTO",
                          name);
            return ot_net_wrap(n, err);
        }
    }
    return 0;
}

static struct ot_wire_shape shape_of(const struct ot_param *p)
{
    struct ot_wire_shape s = { .nd = p->data.shape.nd };

    for (int i = 0; i < s.nd; i++)
        s.dim[i] = p->data.shape.dim[i];
    return s;
}

/* The values of dataset `at`, which must have the shape of p; in `a`. */
static float *read_like(const struct ot_h5 *f, const char *at, const struct ot_param *p,
                        struct ot_arena *a, struct ot_err *err)
{
    const struct ot_wire_shape want = shape_of(p);
    const size_t n = ot_count(&p->data.shape);
    struct ot_wire_shape got = { 0 };
    char w[OT_SHAPE_TEXT], g[OT_WIRE_DIMS * 21];
    size_t len = 0;
    float *v;

    if (ot_h5_shape(f, at, &got, err) < 0)
        return NULL;
    if (got.nd != want.nd || memcmp(got.dim, want.dim, (size_t)want.nd * sizeof want.dim[0])) {
        (void)snprintf(g, sizeof g, "scalar");
        for (int i = 0; i < got.nd; i++)
            len += (size_t)snprintf(g + len, sizeof g - len, i ? "x%lld" : "%lld",
                                    (long long)got.dim[i]);
        (void)ot_fail(err, OT_ESHAPE, "dataset '%s' has shape %s, the net wants %s", at, g,
                      ot_shape_str(&p->data.shape, w));
        return NULL;
    }
    v = ot_arena_alloc(a, n, sizeof *v, err);
    return v && ot_h5_read_floats(f, at, n, v, err) == 0 ? v : NULL;
}

/* ---- weights --------------------------------------------------------------------------------- */

static int load_layer(struct ot_net *net, struct ot_node *n, const struct ot_h5 *f,
                      const char *group, struct ot_err *err)
{
    int have = 0, rc = ot_h5_links(f, group, &have, err);

    if (rc == 0 && have > n->l.nparam)
        rc = ot_fail(err, OT_ESHAPE,
                     "the weights have %d blobs, the net wants %d; to train this layer anew, "
                     "rename it in the prototxt",
                     have, n->l.nparam);
    for (int k = 0; rc == 0 && k < n->l.nparam; k++) {
        struct ot_param *p = n->l.param[k];
        struct ot_arena a = { 0 };
        const char *at = ot_arena_printf(&a, err, "%s/%d", group, k);
        float *v = NULL;

        if (!at)
            rc = err->code;
        else if (!ot_h5_has(f, at) && p->owner == p)
            rc = ot_fail(err, OT_ESHAPE,
                         "the weights have no blob %d, the net wants %d blobs; to train this layer "
                         "anew, rename it in the prototxt",
                         k, n->l.nparam);
        else if (ot_h5_has(f, at)) {
            v = read_like(f, at, p, &a, err);
            rc = v ? ot_param_set(net, p->owner, OT_PARAM_DATA, v, err) : err->code;
        }
        ot_arena_release(&a);
    }
    return rc < 0 ? ot_net_wrap(n, err) : 0;
}

int ot_h5_load_net(struct ot_net *net, const char *path, int *loaded, struct ot_err *err)
{
    struct ot_h5 *f = ot_h5_open(path, err);
    struct ot_arena a = { 0 };
    int n = 0, rc;

    if (!f)
        return err->code;
    rc = ot_h5_links(f, "/data", &n, err);
    for (int i = 0; rc == 0 && i < n; i++) {
        const char *name = ot_h5_link(f, "/data", i, &a, err);
        const char *group = name ? ot_arena_printf(&a, err, "/data/%s", name) : NULL;
        struct ot_node *node = group ? ot_net_node(net, name) : NULL;
        int blobs = 0;

        rc = group ? ot_h5_links(f, group, &blobs, err) : err->code;
        if (rc < 0)
            continue;
        if (!node || !node->l.nparam) {
            if (blobs)
                ot_log(OT_LOG_INFO, "weights", "Ignoring source layer %s", name);
            continue;
        }
        rc = load_layer(net, node, f, group, err);
        *loaded += 1;
    }
    ot_h5_close(f);
    ot_arena_release(&a);
    return rc < 0 ? ot_err_wrap(err, "%s", path) : 0;
}

static int save_param(struct ot_net *net, struct ot_h5 *f, const char *top, const struct ot_node *n,
                      int k, struct ot_err *err)
{
    const struct ot_param *p = n->l.param[k];
    const struct ot_wire_shape shape = shape_of(p);
    struct ot_arena a = { 0 };
    float *v = ot_arena_alloc(&a, ot_count(&p->data.shape), sizeof *v, err);
    const char *at = ot_arena_printf(&a, err, "%s/%s/%d", top, n->l.name, k);
    int rc = v && at ? ot_param_get(net, p, strcmp(top, "/diff") ? OT_PARAM_DATA : OT_PARAM_GRAD, v,
                                    err)
                     : err->code;

    if (rc == 0)
        rc = ot_h5_add_floats(f, at, &shape, v, err);
    ot_arena_release(&a);
    return rc;
}

/* One of the two trees, "/data" or "/diff". */
static int save_tree(struct ot_net *net, struct ot_h5 *f, const char *top, struct ot_err *err)
{
    struct ot_arena a = { 0 };
    int rc = ot_h5_add_group(f, top, err);

    for (int i = 0; rc == 0 && i < net->nnode; i++) {
        const struct ot_node *n = &net->node[i];
        const char *group = ot_arena_printf(&a, err, "%s/%s", top, n->l.name);

        rc = group ? ot_h5_add_group(f, group, err) : err->code;
        for (int k = 0; rc == 0 && k < n->l.nparam; k++)
            if (n->l.param[k]->owner == n->l.param[k] || !strcmp(top, "/diff"))
                rc = save_param(net, f, top, n, k, err);
    }
    ot_arena_release(&a);
    return rc;
}

int ot_h5_save_net(struct ot_net *net, const char *path, bool with_diff, struct ot_err *err)
{
    struct ot_h5 *f;
    int rc;

    if (ot_h5_check_names(net, err) < 0)
        return ot_err_wrap(err, "%s", path);
    f = ot_h5_create(err);
    if (!f)
        return ot_err_wrap(err, "%s", path);
    rc = save_tree(net, f, "/data", err);
    if (rc == 0 && with_diff)
        rc = save_tree(net, f, "/diff", err);
    rc = rc < 0 ? ot_err_wrap(err, "%s", path) : ot_h5_save(f, path, err);
    ot_h5_close(f);
    return rc;
}

/* ---- the solver's state ---------------------------------------------------------------------- */

static int load_history(const struct ot_h5 *f, const struct ot_solver *s, Caffe__SolverState *st,
                        struct ot_arena *a, struct ot_err *err)
{
    st->history = ot_arena_alloc(a, st->n_history + 1, sizeof *st->history, err);
    for (size_t k = 0; st->history && k < st->n_history; k++) {
        const struct ot_param *p = s->net->learn[k % s->net->nlearn];
        Caffe__BlobProto *b = ot_arena_alloc(a, 1, sizeof *b, err);
        const char *at = ot_arena_printf(a, err, "/history/%zu", k);

        if (!b || !at)
            return err->code;
        caffe__blob_proto__init(b);
        b->n_data = ot_count(&p->data.shape);
        b->data = read_like(f, at, p, a, err);
        if (!b->data)
            return ot_err_wrap(err, "layer '%s'", p->layer);
        st->history[k] = b;
    }
    return st->history ? 0 : err->code;
}

int ot_h5_load_state(const char *path, const struct ot_solver *s, Caffe__SolverState *st,
                     struct ot_arena *a, struct ot_err *err)
{
    struct ot_h5 *f = ot_h5_open(path, err);
    int n = 0, rc;

    caffe__solver_state__init(st);
    if (!f)
        return err->code;
    rc = ot_h5_read_int(f, "/iter", &st->iter, err);
    if (rc == 0)
        rc = ot_h5_read_int(f, "/current_step", &st->current_step, err);
    if (rc == 0 && ot_h5_has(f, "/learned_net")) {
        st->learned_net = ot_h5_read_string(f, "/learned_net", a, err);
        rc = st->learned_net ? 0 : err->code;
    }
    if (rc == 0)
        rc = ot_h5_links(f, "/history", &n, err);
    st->has_iter = st->has_current_step = 1;
    st->n_history = (size_t)n;
    if (rc == 0 && s && st->n_history == s->net->nlearn * (size_t)ot_solver_histories(s))
        rc = load_history(f, s, st, a, err);
    ot_h5_close(f);
    return rc < 0 ? ot_err_wrap(err, "%s", path) : 0;
}

static int add_history(struct ot_h5 *f, const Caffe__SolverState *st, struct ot_err *err)
{
    int rc = ot_h5_add_group(f, "/history", err);

    for (size_t k = 0; rc == 0 && k < st->n_history; k++) {
        const Caffe__BlobProto *b = st->history[k];
        struct ot_wire_shape shape = { .nd = (int)b->shape->n_dim };
        char at[40];

        for (int i = 0; i < shape.nd; i++)
            shape.dim[i] = b->shape->dim[i];
        (void)snprintf(at, sizeof at, "/history/%zu", k);
        rc = ot_h5_add_floats(f, at, &shape, b->data, err);
    }
    return rc;
}

int ot_h5_save_state(const char *path, const Caffe__SolverState *st, struct ot_err *err)
{
    struct ot_h5 *f = ot_h5_create(err);
    int rc;

    if (!f)
        return ot_err_wrap(err, "%s", path);
    rc = ot_h5_add_int(f, "/iter", st->iter, err);
    if (rc == 0)
        rc = ot_h5_add_string(f, "/learned_net", st->learned_net, err);
    if (rc == 0)
        rc = ot_h5_add_int(f, "/current_step", st->current_step, err);
    if (rc == 0)
        rc = add_history(f, st, err);
    rc = rc < 0 ? ot_err_wrap(err, "%s", path) : ot_h5_save(f, path, err);
    ot_h5_close(f);
    return rc;
}
