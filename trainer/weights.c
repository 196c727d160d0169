/* weights.c - parameters to and from .caffemodel; those in HDF5 are snapshot_h5.c's. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto/wire.h"
#include "trainer/snapshot.h"
#include "trainer/snapshot_i.h"

/* ---- loading --------------------------------------------------------------------------------- */

static char *wire_shape(const struct ot_wire_shape *s, char *buf, size_t n)
{
    size_t len = 0;

    (void)snprintf(buf, n, "scalar");
    for (int i = 0; i < s->nd && len < n; i++)
        len += (size_t)snprintf(buf + len, n - len, i ? "x%lld" : "%lld", (long long)s->dim[i]);
    return buf;
}

/* As Caffe's Blob::ShapeEquals: equal; or legacy dims, which are as many axes from the last one,
 * ones in front (1x1xNxK for N x K, 1x1x1xN for N). */
static bool shape_fits(const struct ot_shape *want, const struct ot_wire_blob *got)
{
    int lead = got->shape.nd - want->nd;

    if (lead < 0 || (lead > 0 && !got->legacy))
        return false;
    for (int i = 0; i < got->shape.nd; i++)
        if (got->shape.dim[i] != (i < lead ? 1 : want->dim[i - lead]))
            return false;
    return true;
}

/* The usual reason for one blob more or less. */
static const char *bias_hint(const struct ot_node *n, size_t have)
{
    if (n->l.nparam == 2 && have == 1)
        return " (was it saved with bias_term: false?)";
    if (n->l.nparam == 1 && have == 2)
        return " (is it a bias? see bias_term)";
    return "";
}

static int copy_layer(struct ot_net *net, struct ot_node *n, const struct ot_wire_layer *w,
                      struct ot_err *err)
{
    char a[OT_SHAPE_TEXT], b[512];

    if (w->nblob != (size_t)n->l.nparam)
        return ot_fail(err, OT_ESHAPE,
                       "the weights have %zu blobs, the net wants %d%s; to train this layer anew, "
                       "rename it in the prototxt",
                       w->nblob, n->l.nparam, bias_hint(n, w->nblob));
    for (int k = 0; k < n->l.nparam; k++) {
        struct ot_param *p = n->l.param[k];

        if (!shape_fits(&p->data.shape, &w->blob[k]))
            return ot_fail(err, OT_ESHAPE,
                           "blob %d: the weights have shape %s, the net wants %s; to train this "
                           "layer anew, rename it in the prototxt",
                           k, wire_shape(&w->blob[k].shape, b, sizeof b),
                           ot_shape_str(&p->data.shape, a));
        if (ot_param_set(net, p->owner, OT_PARAM_DATA, w->blob[k].data, err) < 0)
            return err->code;
    }
    return 0;
}

static int load_wire(struct ot_net *net, const char *path, int *loaded, struct ot_err *err)
{
    struct ot_weights w = { 0 };
    int rc = ot_wire_read_net(path, &w, err);

    for (size_t i = 0; rc == 0 && i < w.n; i++) {
        struct ot_node *n = ot_net_node(net, w.layer[i].name);

        if (!w.layer[i].nblob)
            continue;
        if (!n || !n->l.nparam) {
            ot_log(OT_LOG_INFO, "weights", "Ignoring source layer %s", w.layer[i].name);
            continue;
        }
        rc = copy_layer(net, n, &w.layer[i], err);
        if (rc < 0) {
            (void)ot_net_wrap(n, err);
            (void)ot_err_wrap(err, "%s", path);
        }
        *loaded += 1;
    }
    ot_weights_free(&w);
    return rc;
}

int ot_weights_load_one(struct ot_net *net, const char *path, struct ot_err *err)
{
    int loaded = 0, rc;

    if (!net->planned && ot_net_plan(net, err) < 0)
        return err->code;
    rc = ot_h5_named(path) ? ot_h5_load_net(net, path, &loaded, err)
                           : load_wire(net, path, &loaded, err);
    if (rc == 0 && loaded == 0)
        rc = ot_fail(err, OT_EDATA, "%s: no layer of the net has weights in it", path);
    if (rc == 0)
        ot_log(OT_LOG_INFO, "weights", "%s: %d layers", path, loaded);
    return rc;
}

int ot_weights_load(struct ot_net *net, const char *paths, struct ot_err *err)
{
    char one[1024];

    while (*paths) {
        size_t n = strcspn(paths, ",");

        (void)snprintf(one, sizeof one, "%.*s", (int)n, paths);
        if (n && ot_weights_load_one(net, one, err) < 0)
            return err->code;
        paths += n + (paths[n] == ',');
    }
    return 0;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static int make_blob(struct ot_net *net, const struct ot_param *p, bool diff, struct ot_arena *a,
                     Caffe__BlobProto *b, struct ot_err *err)
{
    size_t n = ot_count(&p->data.shape), nd = (size_t)p->data.shape.nd;

    caffe__blob_proto__init(b);
    b->shape = ot_arena_alloc(a, 1, sizeof *b->shape, err);
    if (!b->shape)
        return err->code;
    caffe__blob_shape__init(b->shape);
    b->shape->dim = ot_arena_alloc(a, nd + 1, sizeof *b->shape->dim, err);
    b->data = ot_arena_alloc(a, n, sizeof *b->data, err);
    if (!b->shape->dim || !b->data)
        return err->code;
    b->shape->n_dim = nd;
    for (size_t i = 0; i < nd; i++)
        b->shape->dim[i] = p->data.shape.dim[i];
    b->n_data = n;
    if (ot_param_get(net, p, OT_PARAM_DATA, b->data, err) < 0)
        return err->code;
    if (!diff)
        return 0;
    b->diff = ot_arena_alloc(a, n, sizeof *b->diff, err);
    b->n_diff = n;
    return b->diff ? ot_param_get(net, p, OT_PARAM_GRAD, b->diff, err) : err->code;
}

/* In BVLC's sense: field 13 set and 1 = FLOOR. */
static int translate_pooling(Caffe__LayerParameter *lp, struct ot_arena *a, struct ot_err *err)
{
    Caffe__PoolingParameter *pp;

    if (!lp->pooling_param || !lp->pooling_param->has_ceil_mode)
        return 0;
    pp = ot_arena_alloc(a, 1, sizeof *pp, err);
    if (!pp)
        return err->code;
    *pp = *lp->pooling_param;
    pp->has_ceil_mode = !lp->pooling_param->ceil_mode;
    pp->ceil_mode = 1;
    lp->pooling_param = pp;
    return 0;
}

static int make_layer(struct ot_net *net, struct ot_node *n, bool diff, struct ot_arena *a,
                      Caffe__LayerParameter *lp, struct ot_err *err)
{
    *lp = *n->l.conf;
    lp->bottom = (char **)(void *)n->bottom;
    lp->n_bottom = (size_t)n->l.nin;
    lp->top = (char **)(void *)n->top;
    lp->n_top = (size_t)n->l.nout;
    lp->has_phase = 1;
    lp->phase = net->env.phase;
    lp->n_blobs = (size_t)n->l.nparam;
    lp->blobs = ot_arena_alloc(a, lp->n_blobs + 1, sizeof *lp->blobs, err);
    if (!lp->blobs || translate_pooling(lp, a, err) < 0)
        return err->code;
    for (size_t k = 0; k < lp->n_blobs; k++) {
        lp->blobs[k] = ot_arena_alloc(a, 1, sizeof *lp->blobs[k], err);
        if (!lp->blobs[k] || make_blob(net, n->l.param[k], diff, a, lp->blobs[k], err) < 0)
            return err->code;
    }
    return 0;
}

int ot_weights_save(struct ot_net *net, const char *path, bool with_diff, struct ot_err *err)
{
    struct ot_arena a = { 0 };
    Caffe__NetParameter np = CAFFE__NET_PARAMETER__INIT;
    int rc = 0;

    if (ot_h5_named(path))
        return ot_h5_save_net(net, path, with_diff, err);
    np.name = net->conf.param->name;
    np.n_layer = (size_t)net->nnode;
    np.layer = ot_arena_alloc(&a, np.n_layer + 1, sizeof *np.layer, err);
    rc = np.layer ? 0 : err->code;
    for (size_t i = 0; rc == 0 && i < np.n_layer; i++) {
        np.layer[i] = ot_arena_alloc(&a, 1, sizeof *np.layer[i], err);
        rc = np.layer[i] ? make_layer(net, &net->node[i], with_diff, &a, np.layer[i], err)
                         : err->code;
    }
    if (rc == 0)
        rc = ot_wire_write_message(path, &np.base, err);
    ot_arena_release(&a);
    return rc;
}
