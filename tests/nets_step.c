/* nets_step.c - see nets_step.h. */
#include "tests/nets_step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "trainer/solver.h"

/* ---- opening --------------------------------------------------------------------------------- */

static int apply(struct ot_doc *doc, const struct nets_edits *e, struct ot_err *err)
{
    for (int i = 0; i < e->n; i++) {
        const char *eq = strchr(e->text[i], '=');
        char path[256];

        (void)snprintf(path, sizeof path, "%.*s", (int)(eq - e->text[i]), e->text[i]);
        if (ot_text_set(doc, path + strlen("net."), eq + 1, err) < 0)
            return err->code;
    }
    return 0;
}

static int batch_of(const struct ot_net *net)
{
    for (int i = 0; i < net->nnode; i++)
        if (!net->node[i].l.nin && net->node[i].l.nout)
            return net->node[i].l.out[0]->data.shape.dim[0];
    return 1;
}

static void measure(struct nets_phase *p)
{
    const struct ot_net *net = p->net;

    for (int i = 0; i < net->nnode; i++) {
        p->layers += !net->node[i].inserted;
        p->gflops += net->node[i].l.flops * 1e-9;
        for (int t = 0; t < net->node[i].l.nout; t++)
            p->has_loss = p->has_loss || net->node[i].l.loss_weight[t] != 0.0f;
    }
    for (size_t i = 0; i < net->nparam; i++) /* a sharer's belong to its owner */
        if (net->param[i]->owner == net->param[i] || net->conf.share)
            p->params += ot_count(&net->param[i]->data.shape);
    p->memory = net->memory_bytes + net->scratch_bytes + net->param_bytes;
    p->batch = batch_of(net);
}

int nets_phase_open(struct nets_phase *p, struct ot_dev *dev, const char *file, Caffe__Phase phase,
                    const struct nets_edits *e, struct ot_net *share, struct ot_err *err)
{
    const struct ot_net_source *s;
    struct ot_net_conf c;

    *p = (struct nets_phase){ .phase = phase };
    p->config = ot_config_model(file, phase, 0, NULL, 0, err);
    if (!p->config || apply(p->config->net_doc[0], e, err) < 0)
        return err->code;
    s = &p->config->train;
    p->feeds = ot_feeds_new(p->config, s, err);
    if (!p->feeds)
        return err->code;
    c = (struct ot_net_conf){ .dev = dev,
                              .param = s->param,
                              .doc = s->doc,
                              .phase = phase,
                              .level = s->level,
                              .stage = s->stage,
                              .nstage = s->nstage,
                              .seed = 1,
                              .door = ot_feeds_door(p->feeds),
                              .share = share };
    p->net = ot_net_new(&c, err);
    if (!p->net || ot_net_plan(p->net, err) < 0)
        return err->code;
    measure(p);
    return 0;
}

void nets_phase_close(struct nets_phase *p)
{
    ot_net_free(p->net);
    ot_feeds_free(p->feeds);
    ot_config_free(p->config);
    *p = (struct nets_phase){ 0 };
}

bool nets_trainable(const struct ot_net *net)
{
    for (int i = 0; i < net->nnode; i++)
        if (net->node[i].backward && net->node[i].l.nparam)
            return true;
    return false;
}

const Caffe__LayerParameter *nets_unsupported(const Caffe__NetParameter *net)
{
    for (size_t i = 0; i < net->n_layer; i++)
        if (net->layer[i]->type && !ot_layer_find(net->layer[i]->type))
            return net->layer[i];
    return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

enum values { NOISE, LABELS, ROIS };

static enum values kind_of(const struct ot_layer *l, int in)
{
    if (in == 1 && (!strcmp(l->ops->type, "ROIPooling") || !strcmp(l->ops->type, "PSROIPooling")))
        return ROIS;
    if (in == 1 && (strstr(l->ops->type, "Softmax") || strstr(l->ops->type, "Accuracy") ||
                    strstr(l->ops->type, "Hinge") || strstr(l->ops->type, "Multinomial") ||
                    strstr(l->ops->type, "Infogain")))
        return LABELS;
    return NOISE;
}

/* What its readers take it for; Splits are seen through. */
static enum values read_as(const struct ot_net *net, const struct ot_blob *b)
{
    enum values k = NOISE;

    for (int i = 0; i < net->nnode && k == NOISE; i++)
        for (int j = 0; j < net->node[i].l.nin && k == NOISE; j++) {
            const struct ot_layer *l = &net->node[i].l;

            if (l->in[j] != b)
                continue;
            k = kind_of(l, j);
            for (int t = 0; net->node[i].inserted && t < l->nout && k == NOISE; t++)
                k = read_as(net, l->out[t]);
        }
    return k;
}

static float value(enum values k, const struct ot_shape *s, uint64_t stream, size_t i)
{
    size_t row = s->nd == 2 && s->dim[1] == 5 ? i % 5 : i;

    if (k == ROIS) /* image 0, all of its first 16 x 16 pixels */
        return row >= 3 ? 15.0f : 0.0f;
    if (k == LABELS)
        return (float)(i % 2);
    return 2 * ot_rng_unit(1, OT_RNG_TEST, stream, i) - 1;
}

static int fill_inputs(struct ot_net *net, struct ot_err *err)
{
    struct ot_dev *dev = net->env.dev;

    for (int i = 0; i < net->nnode; i++) {
        const struct ot_layer *l = &net->node[i].l;

        for (int t = 0; !strcmp(l->ops->type, "Input") && t < l->nout; t++) {
            const struct ot_tensor *x = &l->out[t]->data;
            enum values k = read_as(net, l->out[t]);
            float *v = ot_alloc(x->elems, sizeof *v, err);

            if (!v)
                return err->code;
            for (size_t j = 0; j < x->elems; j++)
                v[j] = value(k, &x->shape, l->stream + (uint64_t)t, j);
            dev->ops->upload(dev, x->data, v, x->elems * sizeof *v);
            dev->ops->sync(dev);
            ot_free(v);
        }
    }
    return 0;
}

/* Uniform with msra's variance, 2 / fan_in; faster than a normal distribution by ten. */
static void like_msra(float *v, const struct ot_shape *s, uint64_t stream)
{
    size_t n = ot_count(s);
    float bound = sqrtf(6.0f * (float)s->dim[0] / (float)n);

#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        uint64_t h = (i + stream * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;

        h = (h ^ h >> 29) * 0x94D049BB133111EBu;
        v[i] = bound * ((float)(h >> 40) * (2.0f / 16777216.0f) - 1.0f);
    }
}

enum weights { AS_IT_IS, LIKE_MSRA, ONES };

static enum weights weights_of(const struct ot_layer *l, const struct ot_param *p)
{
    if (p->owner != p)
        return AS_IT_IS;
    if (!strcmp(l->ops->type, "BatchNorm") && l->env->phase == CAFFE__PHASE__TEST)
        return p->index ? ONES : AS_IT_IS; /* mean 0, variance 1, both counted once */
    return !p->filler && p->data.shape.nd >= 2 ? LIKE_MSRA : AS_IT_IS;
}

static int fill_param(struct ot_net *net, const struct ot_layer *l, struct ot_param *p,
                      enum weights w, struct ot_err *err)
{
    size_t n = ot_count(&p->data.shape);
    float *v = ot_alloc(n, sizeof *v, err);
    int rc;

    if (!v)
        return err->code;
    for (size_t i = 0; w == ONES && i < n; i++)
        v[i] = 1.0f;
    if (w == LIKE_MSRA)
        like_msra(v, &p->data.shape, l->stream + (uint64_t)p->index);
    rc = ot_param_set(net, p, OT_PARAM_DATA, v, err);
    ot_free(v);
    return rc;
}

static int fill_weights(struct ot_net *net, struct ot_err *err)
{
    for (int i = 0; i < net->nnode; i++) {
        const struct ot_layer *l = &net->node[i].l;

        for (int k = 0; k < l->nparam; k++) {
            enum weights w = weights_of(l, l->param[k]);

            if (w != AS_IT_IS && fill_param(net, l, l->param[k], w, err) < 0)
                return err->code;
        }
    }
    ot_net_params_changed(net);
    return 0;
}

/* ---- one pass -------------------------------------------------------------------------------- */

static int all_finite(const float *v, size_t n, const char *what, const char *name,
                      struct ot_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return ot_fail(err, OT_ENAN, "%s '%s': value %zu is %g", what, name, i, (double)v[i]);
    return 0;
}

static int check_outputs(struct ot_net *net, struct ot_err *err)
{
    struct ot_blob *out[64];
    int n = ot_net_outputs(net, out, 64), rc = 0;

    for (int i = 0; i < n && i < 64 && rc == 0; i++) {
        size_t count = ot_count(&out[i]->data.shape);
        float *v = ot_alloc(count, sizeof *v, err);

        rc = v ? ot_net_read(net, out[i], v, err) : err->code;
        if (rc == 0)
            rc = all_finite(v, count, "output", out[i]->name, err);
        ot_free(v);
    }
    return rc;
}

static int check_params(struct ot_net *net, struct ot_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < net->nlearn && rc == 0; i++) {
        const struct ot_param *p = net->learn[i];
        size_t count = ot_count(&p->data.shape);
        float *v = ot_alloc(count, sizeof *v, err);

        rc = v ? ot_param_get(net, p, OT_PARAM_DATA, v, err) : err->code;
        if (rc == 0)
            rc = all_finite(v, count, "after the update, a parameter of layer", p->layer, err);
        ot_free(v);
    }
    return rc;
}

/* A step of plain SGD, small enough for any net. */
static int update(struct nets_phase *p, struct ot_err *err)
{
    Caffe__SolverParameter sgd;
    struct ot_config c = { .solver = &sgd, .train = p->config->train };
    char policy[] = "fixed";
    struct ot_solver *s;
    int rc;

    caffe__solver_parameter__init(&sgd);
    sgd.lr_policy = policy;
    sgd.has_base_lr = 1;
    sgd.base_lr = 1e-4f;
    sgd.has_max_iter = 1;
    sgd.max_iter = 1;
    s = ot_solver_new(&c, p->net, err);
    if (!s)
        return err->code;
    rc = ot_net_history(p->net, ot_solver_histories(s), err);
    if (rc == 0)
        rc = ot_solver_update(s, ot_solver_lr(s), err);
    ot_solver_free(s);
    return rc == 0 ? check_params(p->net, err) : rc;
}

int nets_phase_run(struct nets_phase *p, bool step, struct ot_err *err)
{
    double t0 = ot_now_s();
    bool back = step || (p->net->conf.param->force_backward && p->has_loss);

    if ((!p->net->conf.share && fill_weights(p->net, err) < 0) || fill_inputs(p->net, err) < 0 ||
        ot_feeds_next(p->feeds, NULL, 0, 0, err) < 0)
        return err->code;
    ot_net_zero_grads(p->net);
    if (ot_net_forward(p->net, &p->loss, err) < 0 || check_outputs(p->net, err) < 0)
        return err->code;
    if (!isfinite(p->loss))
        return ot_fail(err, OT_ENAN, "the loss is %g", p->loss);
    if (back && ot_net_backward(p->net, err) < 0)
        return err->code;
    if (step && update(p, err) < 0)
        return err->code;
    p->net->env.dev->ops->sync(p->net->env.dev);
    p->backward = back;
    p->seconds = ot_now_s() - t0;
    return 0;
}
