#include "tests/netkit.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "proto/upgrade.h"
#include "tests/check.h"

static struct ot_dev *dev;

static void close_dev(void)
{
    ot_dev_close(dev);
}

struct ot_dev *ot_kit_dev(void)
{
    struct ot_err err = OT_ERR_INIT;

    if (!dev) {
        dev = ot_dev_open("cpu", 1, &err);
        assert_ok(dev ? 0 : err.code, &err);
        (void)atexit(close_dev);
    }
    return dev;
}

struct ot_kit ot_kit_try(const char *text, struct ot_net_conf conf, struct ot_err *err)
{
    struct ot_kit k = { 0 };
    Caffe__NetParameter *param;

    k.doc = ot_text_parse(&caffe__net_parameter__descriptor, "net.prototxt", text, strlen(text),
                          err);
    if (!k.doc)
        return k;
    param = (Caffe__NetParameter *)(void *)ot_doc_root(k.doc);
    if (ot_upgrade_net(k.doc, param, err) < 0)
        return k;
    conf.dev = conf.dev ? conf.dev : ot_kit_dev();
    conf.doc = k.doc;
    conf.param = param;
    conf.seed = conf.seed ? conf.seed : 5;
    k.net = ot_net_new(&conf, err);
    if (k.net && ot_net_plan(k.net, err) < 0) {
        ot_net_free(k.net);
        k.net = NULL;
    }
    return k;
}

struct ot_kit ot_kit_open(const char *text, struct ot_net_conf conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k = ot_kit_try(text, conf, &err);

    assert_ok(k.net ? 0 : err.code, &err);
    return k;
}

struct ot_kit ot_kit_file(const char *name, struct ot_net_conf conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_kit k;
    char path[200], *text;
    size_t n;

    (void)snprintf(path, sizeof path, "tests/nets/%s.prototxt", name);
    text = ot_read_file(path, 1 << 20, &n, &err);
    assert_ok(text ? 0 : err.code, &err);
    k = ot_kit_open(text, conf);
    ot_free(text);
    return k;
}

void ot_kit_close(struct ot_kit *k)
{
    ot_net_free(k->net);
    ot_doc_free(k->doc);
    *k = (struct ot_kit){ 0 };
}

static float *room_of(size_t n)
{
    struct ot_err err = OT_ERR_INIT;
    float *v = ot_alloc(n, sizeof *v, &err);

    assert_non_null(v);
    return v;
}

static void give(struct ot_net *net, const struct ot_blob *b, const float *v, size_t n)
{
    struct ot_dev *to = net->env.dev;

    to->ops->upload(to, b->data.data, v, n * sizeof *v);
    to->ops->sync(to);
}

void ot_kit_fill(struct ot_kit *k, uint64_t seed, int classes)
{
    for (int i = 0; i < k->net->nnode; i++) {
        const struct ot_layer *l = &k->net->node[i].l;

        for (int t = 0; !strcmp(l->ops->type, "Input") && t < l->nout; t++) {
            const size_t n = l->out[t]->data.elems;
            float *v = room_of(n);
            bool label = !strncmp(l->out[t]->name, "label", 5);

            for (size_t j = 0; j < n; j++)
                v[j] = label ? (float)ot_rng_below(seed, OT_RNG_TEST, 1000 + (uint64_t)i, j,
                                                   (uint32_t)classes)
                             : 2 * ot_rng_unit(seed, OT_RNG_TEST, (uint64_t)i, j) - 1;
            give(k->net, l->out[t], v, n);
            ot_free(v);
        }
    }
}

void ot_kit_set(struct ot_kit *k, const char *blob, const float *values)
{
    struct ot_blob *b = NULL;

    for (size_t i = 0; i < k->net->nblob && !b; i++) /* the Input's own, not a later version */
        if (!strcmp(k->net->blob[i]->b.name, blob))
            b = &k->net->blob[i]->b;
    assert_non_null(b);
    give(k->net, b, values, ot_count(&b->data.shape));
}

double ot_kit_forward(struct ot_kit *k)
{
    struct ot_err err = OT_ERR_INIT;
    double loss = 0;

    assert_ok(ot_net_forward(k->net, &loss, &err), &err);
    return loss;
}

void ot_kit_backward(struct ot_kit *k)
{
    struct ot_err err = OT_ERR_INIT;

    ot_net_zero_grads(k->net);
    assert_ok(ot_net_backward(k->net, &err), &err);
}

static float *room(const struct ot_shape *s, size_t *n)
{
    float *v = room_of(ot_count(s));

    if (n)
        *n = ot_count(s);
    return v;
}

float *ot_kit_blob(struct ot_net *net, const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_blob *b = ot_net_blob(net, name);
    float *v;

    assert_non_null(b);
    v = room(&b->data.shape, n);
    assert_ok(ot_net_read(net, b, v, &err), &err);
    return v;
}

float *ot_kit_blob_grad(struct ot_net *net, const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    const struct ot_blob *b = NULL;
    float *v;

    for (size_t i = net->nblob; i-- > 0;)
        b = strcmp(net->blob[i]->b.name, name) ? b : &net->blob[i]->b;
    assert_non_null(b);
    v = room(&b->data.shape, n);
    assert_ok(ot_net_read_grad(net, b, v, &err), &err);
    return v;
}

float *ot_kit_param(struct ot_net *net, const struct ot_param *p, int part, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    float *v = room(&p->data.shape, n);

    assert_ok(ot_param_get(net, p, (enum ot_param_part)part, v, &err), &err);
    return v;
}
