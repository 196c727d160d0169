/* golden_net.c - see golden_net.h. */
#include "tests/golden_net.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "trainer/feed.h"
#include "trainer/net.h"
#include "trainer/snapshot.h"

enum { PATH = 1100 };

struct run {
    struct ot_dev *dev;
    struct ot_golden g;
    struct ot_config *config;
    struct ot_feeds *feeds;
    struct ot_net *net;
    struct ot_golden_result *r;
};

/* ---- opening --------------------------------------------------------------------------------- */

static bool is_test(const char *dir)
{
    struct ot_err err = OT_ERR_INIT;
    char path[PATH];
    size_t n;
    char *text, *end;
    bool test;

    (void)snprintf(path, sizeof path, "%s/shapes.txt", dir);
    text = ot_read_file(path, 1 << 20, &n, &err);
    end = text ? strchr(text, '\n') : NULL;
    if (end)
        *end = '\0';
    test = text && strstr(text, "phase=TEST");
    ot_free(text);
    return test;
}

static int open_net(struct run *r, const char *dir, struct ot_err *err)
{
    Caffe__Phase phase = is_test(dir) ? CAFFE__PHASE__TEST : CAFFE__PHASE__TRAIN;
    struct ot_net_conf c = { .dev = r->dev, .phase = phase, .seed = 5, .keep_all = true };
    char path[PATH];

    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    r->config = ot_config_model(path, phase, 0, NULL, 0, err);
    if (!r->config)
        return err->code;
    r->feeds = ot_feeds_new(r->config, &r->config->train, err);
    if (!r->feeds)
        return err->code;
    c.param = r->config->train.param;
    c.doc = r->config->train.doc;
    c.door = ot_feeds_door(r->feeds);
    r->net = ot_net_new(&c, err);
    return r->net ? ot_net_plan(r->net, err) : err->code;
}

static void close_net(struct run *r)
{
    ot_net_free(r->net);
    ot_feeds_free(r->feeds);
    ot_config_free(r->config);
    r->net = NULL;
    r->feeds = NULL;
    r->config = NULL;
}

/* ---- blobs and parameters -------------------------------------------------------------------- */

/* "LAYER.I": the parameter, or NULL. */
static struct ot_param *param_of(struct ot_net *net, const char *spec)
{
    const char *dot = strrchr(spec, '.');
    char layer[64];
    struct ot_node *n;
    int i;

    (void)snprintf(layer, sizeof layer, "%.*s", dot ? (int)(dot - spec) : 0, spec);
    n = ot_net_node(net, layer);
    i = dot ? atoi(dot + 1) : 0;
    return n && i >= 0 && i < n->l.nparam ? n->l.param[i] : NULL;
}

static int give(struct run *r, bool params, struct ot_err *err)
{
    for (int i = 0; i < r->g.n; i++) {
        const struct ot_golden_blob *b = &r->g.blob[i];

        if (!b->given)
            continue;
        if (!strncmp(b->name, "blob.", 5)) {
            struct ot_blob *to = ot_net_blob(r->net, b->name + 5);

            if (!to || ot_count(&to->data.shape) != b->n)
                return ot_fail(err, OT_EDATA, "%s: the net has no such blob of %zu values", b->name,
                               b->n);
            r->dev->ops->upload(r->dev, to->data.data, b->v, b->n * sizeof *b->v);
        } else if (params && !strncmp(b->name, "param.", 6)) {
            struct ot_param *p = param_of(r->net, b->name + 6);

            if (!p || ot_count(&p->data.shape) != b->n)
                return ot_fail(err, OT_EDATA, "%s: the net has no such parameter of %zu values",
                               b->name, b->n);
            if (ot_param_set(r->net, p, OT_PARAM_DATA, b->v, err) < 0)
                return err->code;
        }
    }
    return 0;
}

static void note(struct run *r, const char *name, double share)
{
    if (!(share <= r->r->share) || !r->r->at[0]) {
        r->r->share = share;
        (void)snprintf(r->r->at, sizeof r->r->at, "%s", name);
    }
}

/* What Caffe leaves in the diff of a blob with in-place layers: the gradient before all of them. */
static const struct ot_blob *first_version(const struct ot_net *net, const char *name)
{
    for (size_t i = 0; i < net->nblob; i++)
        if (!strcmp(net->blob[i]->b.name, name))
            return &net->blob[i]->b;
    return NULL;
}

/* One expected array against what the net has; got: room for it.  A gradient that nobody wants here
 * is left out: Caffe was told to compute all. */
static int compare(struct run *r, const struct ot_golden_blob *b, float *got, struct ot_err *err)
{
    static const char *const end[] = { "_diff", "_after", "" };
    size_t len = strlen(b->name), n;
    char what[64];
    int k = 0;

    while (len < strlen(end[k]) || strcmp(b->name + len - strlen(end[k]), end[k]) != 0)
        k++;
    (void)snprintf(what, sizeof what, "%.*s", (int)(len - strlen(end[k])), b->name);
    if (!strncmp(what, "param.", 6)) {
        struct ot_param *p = param_of(r->net, what + 6);

        n = p ? ot_count(&p->data.shape) : 0;
        if (n == b->n &&
            ot_param_get(r->net, p, k == 0 ? OT_PARAM_GRAD : OT_PARAM_DATA, got, err) < 0)
            return err->code;
    } else {
        const struct ot_blob *from = k == 0 ? first_version(r->net, what + 5)
                                            : ot_net_blob(r->net, what + 5);

        if (from && k == 0 && !from->grad.data)
            return 0;
        n = from ? ot_count(&from->data.shape) : 0;
        if (n == b->n && (k == 0 ? ot_net_read_grad(r->net, from, got, err)
                                 : ot_net_read(r->net, from, got, err)) < 0)
            return err->code;
    }
    note(r, b->name, ot_golden_error(b, got, n) / OT_GOLDEN_NET);
    return 0;
}

static int compare_all(struct run *r, bool gradients, struct ot_err *err)
{
    for (int i = 0; i < r->g.n; i++) {
        const struct ot_golden_blob *b = &r->g.blob[i];
        size_t len = strlen(b->name);
        bool diff = len > 5 && !strcmp(b->name + len - 5, "_diff");
        float *got;
        int rc;

        if (b->given || !strcmp(b->name, "loss") || (diff && !gradients))
            continue;
        got = ot_alloc(b->n + 1, sizeof *got, err);
        rc = got ? compare(r, b, got, err) : err->code;
        ot_free(got);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- passes ---------------------------------------------------------------------------------- */

static int pass(struct run *r, struct ot_err *err)
{
    const struct ot_golden_blob *want = ot_golden_find(&r->g, "loss");
    bool train = r->net->env.phase == CAFFE__PHASE__TRAIN;
    double loss;
    float got;

    if (ot_feeds_next(r->feeds, NULL, 0, 0, err) < 0 || ot_net_forward(r->net, &loss, err) < 0)
        return err->code;
    got = (float)loss;
    if (want)
        note(r, "loss", ot_golden_error(want, &got, 1) / OT_GOLDEN_NET);
    ot_net_zero_grads(r->net);
    if (train && ot_net_backward(r->net, err) < 0)
        return err->code;
    return compare_all(r, train, err);
}

/* The given parameters, read back after loading a model: the same bits. */
static int same_params(struct run *r, const char *model, struct ot_err *err)
{
    for (int i = 0; i < r->g.n; i++) {
        const struct ot_golden_blob *b = &r->g.blob[i];
        struct ot_param *p;
        float *got;
        bool same;

        if (!b->given || strncmp(b->name, "param.", 6) != 0)
            continue;
        p = param_of(r->net, b->name + 6);
        got = p ? ot_alloc(b->n + 1, sizeof *got, err) : NULL;
        same = got && ot_count(&p->data.shape) == b->n &&
               ot_param_get(r->net, p, OT_PARAM_DATA, got, err) == 0 &&
               memcmp(got, b->v, b->n * sizeof *got) == 0;
        ot_free(got);
        if (!same)
            return ot_fail(err, OT_EDATA, "%s: %s has other values", model, b->name);
    }
    return 0;
}

static int from_model(struct run *r, const char *dir, const char *model, struct ot_err *err)
{
    char path[PATH];
    int rc;

    (void)snprintf(path, sizeof path, "%s/%s", dir, model);
    rc = open_net(r, dir, err);
    if (rc == 0)
        rc = ot_weights_load_one(r->net, path, err);
    if (rc == 0)
        rc = same_params(r, model, err);
    if (rc == 0)
        rc = give(r, false, err);
    if (rc == 0)
        rc = pass(r, err);
    close_net(r);
    return rc;
}

static int from_models(struct run *r, const char *dir, struct ot_err *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int rc = 0;

    while (d && rc == 0 && (e = readdir(d))) {
        const char *dot = strrchr(e->d_name, '.');

        if (dot && !strcmp(dot, ".caffemodel"))
            rc = from_model(r, dir, e->d_name, err);
    }
    if (d)
        (void)closedir(d);
    return rc;
}

int ot_golden_net(struct ot_dev *dev, const char *dir, struct ot_golden_result *result,
                  struct ot_err *err)
{
    struct run r = { .dev = dev, .r = result };
    int rc;

    *result = (struct ot_golden_result){ 0 };
    if (ot_golden_open(&r.g, dir, err) < 0)
        return err->code;
    rc = open_net(&r, dir, err);
    if (rc == 0)
        rc = give(&r, true, err);
    if (rc == 0)
        rc = pass(&r, err);
    close_net(&r);
    if (rc == 0)
        rc = from_models(&r, dir, err);
    ot_golden_close(&r.g);
    return rc;
}
