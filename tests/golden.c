/* golden.c - the golden folders, and the runner that takes a layer case through mininet. */
#include "tests/golden.h"

#include <math.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "tests/check.h"
#include "tests/mininet.h"

/* NAME ROLE NDIM D0 D1 ...: false for a comment */
static bool shape_line(const char *line, struct ot_golden_blob *b, bool *i32)
{
    char role[16];
    int used = 0, nd = 0;
    char *colon;

    if (sscanf(line, "%63s %15s %d%n", b->name, role, &nd, &used) != 3 || b->name[0] == '#' ||
        nd < 0 || nd > OT_MAX_DIMS)
        return false;
    b->given = !strncmp(role, "in", 2);
    *i32 = strstr(line, ":i32") != NULL;
    colon = strchr(b->name, ':');
    if (colon)
        *colon = '\0';
    b->shape.nd = nd;
    for (int d = 0; d < nd; d++) {
        int more = 0;

        if (sscanf(line + used, "%d%n", &b->shape.dim[d], &more) != 1)
            return false;
        used += more;
    }
    b->n = ot_count(&b->shape);
    return true;
}

static int read_blob(const struct ot_golden *g, struct ot_golden_blob *b, bool i32,
                     struct ot_err *err)
{
    char path[1024];
    size_t bytes = 0;
    char *raw;

    (void)snprintf(path, sizeof path, "%s/%s.bin", g->dir, b->name);
    raw = ot_read_file(path, (size_t)1 << 30, &bytes, err);
    if (!raw)
        return err->code;
    b->v = ot_alloc(b->n, sizeof *b->v, err);
    if (b->v && bytes != b->n * sizeof(float))
        (void)ot_fail(err, OT_EDATA, "%s: wanted %zu bytes, got %zu", path, b->n * sizeof(float),
                      bytes);
    else if (b->v)
        memcpy(b->v, raw, bytes);
    for (size_t i = 0; i32 && b->v && err->code == OT_OK && i < b->n; i++) {
        int32_t v;

        memcpy(&v, raw + 4 * i, sizeof v);
        b->v[i] = (float)v;
    }
    ot_free(raw);
    return err->code;
}

static void read_precision(struct ot_golden *g)
{
    struct ot_err err = OT_ERR_INIT;
    char path[1024], name[64];
    size_t n = 0;
    char *text, *save = NULL;

    (void)snprintf(path, sizeof path, "%s/precision.txt", g->dir);
    text = ot_read_file(path, 1 << 20, &n, &err);
    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        double max, error;

        if (sscanf(line, "%63s %lf %lf", name, &max, &error) != 3)
            continue;
        for (int i = 0; i < g->n; i++)
            if (!strcmp(g->blob[i].name, name)) {
                g->blob[i].max = max;
                g->blob[i].caffe_error = error;
            }
    }
    ot_free(text);
}

int ot_golden_open(struct ot_golden *g, const char *dir, struct ot_err *err)
{
    char path[1024];
    size_t n = 0;
    char *text, *save = NULL;

    memset(g, 0, sizeof *g);
    (void)snprintf(g->dir, sizeof g->dir, "%s", dir);
    (void)snprintf(path, sizeof path, "%s/shapes.txt", dir);
    text = ot_read_file(path, 1 << 20, &n, err);
    if (!text)
        return err->code;
    for (char *line = strtok_r(text, "\n", &save); line && err->code == OT_OK;
         line = strtok_r(NULL, "\n", &save)) {
        struct ot_golden_blob *b = &g->blob[g->n];
        bool i32;

        if (g->n == OT_GOLDEN_BLOBS - 1)
            (void)ot_fail(err, OT_EDATA, "%s: more than %d blobs", path, g->n);
        else if (shape_line(line, b, &i32)) {
            g->n++;
            (void)read_blob(g, b, i32, err);
        }
    }
    ot_free(text);
    if (err->code != OT_OK)
        ot_golden_close(g);
    else
        read_precision(g);
    return err->code;
}

void ot_golden_close(struct ot_golden *g)
{
    for (int i = 0; i < g->n; i++)
        ot_free(g->blob[i].v);
    g->n = 0;
}

const struct ot_golden_blob *ot_golden_find(const struct ot_golden *g, const char *name)
{
    for (int i = 0; i < g->n; i++)
        if (!strcmp(g->blob[i].name, name))
            return &g->blob[i];
    return NULL;
}

double ot_golden_error(const struct ot_golden_blob *want, const float *got, size_t n)
{
    double tol = fmax(OT_GOLDEN_TIMES * want->caffe_error, OT_GOLDEN_EPS * want->max), worst = 0;

    if (n != want->n)
        return HUGE_VAL;
    for (size_t i = 0; i < n; i++) {
        double e = fabs((double)got[i] - (double)want->v[i]);

        if (got[i] == want->v[i])
            continue;
        if (!(e <= tol * 1e30))
            return HUGE_VAL;
        worst = fmax(worst, tol > 0 ? e / tol : HUGE_VAL);
    }
    return worst;
}

/* ---- running a case ------------------------------------------------------------------------ */

struct options {
    bool test, no_backward, accumulate;
    unsigned no_grad;
    char type[64];
};

static void read_options(const char *dir, struct options *o)
{
    struct ot_err err = OT_ERR_INIT;
    char path[1024];
    size_t n = 0;
    char *text, *flags, *prop;

    memset(o, 0, sizeof *o);
    (void)snprintf(path, sizeof path, "%s/case.txt", dir);
    text = ot_read_file(path, 1 << 16, &n, &err);
    if (!text)
        return;
    (void)sscanf(text, "type %63s", o->type);
    flags = strstr(text, "opts");
    if (flags) {
        o->test = strstr(flags, "-test") != NULL;
        o->no_backward = strstr(flags, "-nobwd") != NULL;
        o->accumulate = strstr(flags, "-accum") != NULL;
        prop = strstr(flags, "-prop ");
        for (int i = 0; prop && (prop[6 + i] == '0' || prop[6 + i] == '1'); i++)
            o->no_grad |= prop[6 + i] == '0' ? 1u << i : 0u;
    }
    ot_free(text);
}

static void give(const struct ot_golden *g, const char *what, int i, const char *suffix,
                 struct ot_mini_array *a)
{
    char name[64];
    const struct ot_golden_blob *b;

    (void)snprintf(name, sizeof name, "%s%d%s", what, i, suffix);
    b = ot_golden_find(g, name);
    if (b && b->n == a->n)
        memcpy(a->v, b->v, a->n * sizeof *a->v);
}

struct compare {
    const char *name; /* of the case */
    double worst;
    char worst_blob[64];
    char cleared[64]; /* a blob that the recorder had zeroed, or "" */
};

static bool all_zero(const struct ot_golden_blob *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->v[i] != 0.0f)
            return false;
    return true;
}

/* Layers that keep something in the bottom's diff between forward and backward, or share it with
 * the top's (hinge, Reshape, Concat of one), were recorded with that diff cleared in between: it is
 * all zeros though a gradient comes in. */
static bool was_cleared(const struct ot_golden *g, const char *what, const struct ot_golden_blob *b)
{
    return !strcmp(what, "bottom") && all_zero(b) && !all_zero(ot_golden_find(g, "top0_diff"));
}

static void compare(const struct ot_golden *g, struct compare *c, const char *what, int i,
                    const char *suffix, const struct ot_mini_array *got)
{
    char name[64];
    const struct ot_golden_blob *want;
    double e;

    (void)snprintf(name, sizeof name, "%s%d%s", what, i, suffix);
    want = ot_golden_find(g, name);
    if (!want || want->given)
        return;
    e = ot_golden_error(want, got->v, got->n);
    if (e > 1 && was_cleared(g, what, want)) {
        (void)snprintf(c->cleared, sizeof c->cleared, "%s", name);
        return;
    }
    if (e > 1)
        print_message("  %s: %s: error is %.3g of the tolerance\n", c->name, name, e);
    if (e > c->worst || !c->worst_blob[0]) {
        c->worst = e;
        (void)snprintf(c->worst_blob, sizeof c->worst_blob, "%s", name);
    }
}

static void compare_loss(const struct ot_golden *g, struct compare *c, const struct ot_mini *m)
{
    float loss = 0;
    struct ot_mini_array sum = { .n = 1, .v = &loss };
    const struct ot_golden_blob *want = ot_golden_find(g, "loss");
    double e;

    for (int i = 0; i < m->nout; i++)
        for (size_t j = 0; j < m->out[i].n; j++)
            loss += m->layer.loss_weight[i] * m->out[i].v[j];
    if (!want)
        return;
    e = ot_golden_error(want, sum.v, 1);
    if (e > 1)
        print_message("  %s: loss: wanted %.9g, got %.9g\n", c->name, (double)want->v[0],
                      (double)loss);
    c->worst = fmax(c->worst, e);
}

static int run_layer(const struct ot_golden *g, const struct options *o, struct ot_mini *m,
                     struct compare *c, struct ot_err *err)
{
    for (int i = 0; i < m->nin; i++)
        give(g, "bottom", i, "", &m->in[i]);
    for (int i = 0; i < m->nparam; i++) {
        give(g, "param", i, "", &m->param[i]);
        give(g, "param", i, "_diff_in", &m->param_grad[i]);
    }
    if (ot_mini_forward(m, err))
        return err->code;
    for (int i = 0; i < m->nout; i++) /* only now their size is known for sure */
        give(g, "top", i, "_diff", &m->out_grad[i]);
    for (int i = 0; i < m->nout; i++)
        compare(g, c, "top", i, "", &m->out[i]);
    compare_loss(g, c, m);
    ot_mini_read_params(m);
    for (int i = 0; i < m->nparam; i++)
        compare(g, c, "param", i, "_after", &m->param[i]);
    m->accumulate = o->accumulate;
    if (o->no_backward || !m->layer.ops->backward)
        return 0;
    if (ot_mini_backward(m, err))
        return err->code;
    for (int i = 0; i < m->nin; i++)
        if (!(o->no_grad >> i & 1))
            compare(g, c, "bottom", i, "_diff", &m->in_grad[i]);
    for (int i = 0; i < m->nparam; i++)
        compare(g, c, "param", i, "_diff", &m->param_grad[i]);
    return 0;
}

static int run_case(struct ot_dev *dev, const char *dir, const struct options *o, struct compare *c,
                    struct ot_err *err)
{
    struct ot_golden g;
    struct ot_mini_spec spec = { .phase = o->test ? CAFFE__PHASE__TEST : CAFFE__PHASE__TRAIN,
                                 .no_grad = o->no_grad };
    struct ot_mini *m = NULL;
    char path[1024];
    size_t n = 0;
    char *text;

    if (ot_golden_open(&g, dir, err))
        return err->code;
    (void)snprintf(path, sizeof path, "%s/net.prototxt", dir);
    text = ot_read_file(path, 1 << 20, &n, err);
    spec.text = text;
    spec.file = path;
    if (text)
        m = ot_mini_open(dev, &spec, err);
    if (m)
        (void)run_layer(&g, o, m, c, err);
    ot_mini_close(m);
    ot_free(text);
    ot_golden_close(&g);
    return err->code;
}

int ot_golden_case(struct ot_dev *dev, const char *dir, struct ot_golden_result *r,
                   struct ot_err *err)
{
    const char *slash = strrchr(dir, '/');
    struct compare c = { .name = slash ? slash + 1 : dir };
    struct options o;

    read_options(dir, &o);
    *r = (struct ot_golden_result){ 0 };
    if (run_case(dev, dir, &o, &c, err) < 0)
        return err->code;
    r->share = c.worst;
    (void)snprintf(r->at, sizeof r->at, "%s", c.worst_blob);
    (void)snprintf(r->cleared, sizeof r->cleared, "%s", c.cleared);
    return 0;
}
