/* model.c - see model.h. */
#include "trainer/model.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "trainer/feed.h"
#include "trainer/net.h"
#include "trainer/signals.h"
#include "trainer/snapshot.h"

enum { MAX_OUT = 64 };

struct model {
    const struct ot_model_opts *o;
    struct ot_config *config;
    struct ot_dev *dev;
    struct ot_feeds *feeds;
    struct ot_net *net;
    struct ot_blob *out[MAX_OUT];
    int nout;
    float *host;
    size_t host_cap;
    double *sum; /* of every output value */
    size_t sum_cap;
};

static int open_model(struct model *m, const struct ot_model_opts *o, struct ot_err *err)
{
    const struct ot_net_source *s;
    struct ot_net_conf c;

    *m = (struct model){ .o = o };
    m->config = ot_config_model(o->model, o->phase, o->level, o->stage, o->nstage, err);
    if (!m->config)
        return err->code;
    m->dev = ot_dev_open(o->device, o->threads, err);
    if (!m->dev)
        return ot_err_wrap(err, "device '%s'", o->device);
    s = &m->config->train;
    m->feeds = ot_feeds_new(m->config, s, err);
    if (!m->feeds)
        return err->code;
    c = (struct ot_net_conf){ .dev = m->dev,
                              .param = s->param,
                              .doc = s->doc,
                              .phase = s->phase,
                              .level = s->level,
                              .stage = s->stage,
                              .nstage = s->nstage,
                              .seed = m->config->seed,
                              .door = ot_feeds_door(m->feeds) };
    m->net = ot_net_new(&c, err);
    if (!m->net || ot_net_plan(m->net, err) < 0)
        return err->code;
    m->nout = ot_net_outputs(m->net, m->out, MAX_OUT);
    if (o->weights)
        return ot_weights_load(m->net, o->weights, err);
    return 0;
}

static void close_model(struct model *m)
{
    ot_net_free(m->net);
    ot_feeds_free(m->feeds);
    ot_dev_close(m->dev);
    ot_config_free(m->config);
    ot_free(m->host);
    ot_free(m->sum);
}

static int next_batch(struct model *m, struct ot_err *err)
{
    if (ot_signals_stop())
        return ot_fail(err, OT_ESTOPPED, "stopped by %s", ot_signals_name());
    return ot_feeds_next(m->feeds, NULL, 0, 0, err);
}

static void say(struct ot_str *s)
{
    if (s->buf)
        ot_log_file_only(s->buf);
    ot_str_clear(s);
}

/* ---- test ------------------------------------------------------------------------------------ */

static float weight_of(const struct ot_blob *b)
{
    return ((const struct ot_net_blob *)(const void *)b)->loss_weight;
}

static int add_batch(struct model *m, int batch, struct ot_str *s, struct ot_err *err)
{
    size_t k = 0;

    for (int i = 0; i < m->nout; i++) {
        const struct ot_blob *b = m->out[i];
        size_t n = ot_count(&b->data.shape);

        if (ot_grow(&m->host, &m->host_cap, n, sizeof *m->host, err) < 0 ||
            ot_grow(&m->sum, &m->sum_cap, k + n, sizeof *m->sum, err) < 0 ||
            ot_net_read(m->net, b, m->host, err) < 0)
            return err->code;
        for (size_t j = 0; j < n; j++, k++) {
            m->sum[k] = (batch ? m->sum[k] : 0.0) + (double)m->host[j];
            ot_str_printf(s, "Batch %d, %s = %.6g\n", batch, b->name, (double)m->host[j]);
        }
    }
    say(s);
    return 0;
}

static void means(const struct model *m, double loss, struct ot_str *s)
{
    const double n = m->o->iterations;
    size_t k = 0;

    ot_str_printf(s, "Loss: %.6g\n", loss / n);
    for (int i = 0; i < m->nout; i++) {
        double w = (double)weight_of(m->out[i]);

        for (size_t left = ot_count(&m->out[i]->data.shape); left > 0; left--, k++) {
            ot_str_printf(s, "%s = %.6g", m->out[i]->name, m->sum[k] / n);
            if (w != 0.0)
                ot_str_printf(s, " (* %g = %.6g loss)", w, w * m->sum[k] / n);
            ot_str_puts(s, "\n");
        }
    }
    say(s);
}

static int run_test(struct model *m, struct ot_err *err)
{
    struct ot_str s = { 0 };
    double loss = 0;
    int rc = 0;

    ot_str_printf(&s, "Running for %d iterations.\n", m->o->iterations);
    for (int i = 0; rc == 0 && i < m->o->iterations; i++) {
        double one = 0;

        rc = next_batch(m, err);
        if (rc == 0)
            rc = ot_net_forward(m->net, &one, err);
        if (rc == 0)
            rc = add_batch(m, i, &s, err);
        loss += one;
    }
    if (rc == 0)
        means(m, loss, &s);
    ot_str_release(&s);
    return rc;
}

int ot_model_test(const struct ot_model_opts *o, struct ot_err *err)
{
    struct model m;
    int rc = open_model(&m, o, err);

    if (rc == 0)
        rc = run_test(&m, err);
    close_model(&m);
    return rc;
}

/* ---- time ------------------------------------------------------------------------------------ */

static int one_pass(struct model *m, double *forward, double *backward, struct ot_err *err)
{
    double t0, t1, loss;

    if (next_batch(m, err) < 0)
        return err->code;
    ot_net_zero_grads(m->net);
    t0 = ot_now_s();
    if (ot_net_forward(m->net, &loss, err) < 0)
        return err->code;
    t1 = ot_now_s();
    if (ot_net_backward(m->net, err) < 0)
        return err->code;
    m->dev->ops->sync(m->dev);
    *forward += t1 - t0;
    *backward += ot_now_s() - t1;
    return 0;
}

static void time_table(const struct model *m, double forward, double backward, double total)
{
    const double ms = 1e3 / m->o->iterations;
    struct ot_str s = { 0 };

    ot_str_puts(&s, "Average time per layer: \n");
    for (int i = 0; i < m->net->nnode; i++) {
        const struct ot_node *n = &m->net->node[i];

        ot_str_printf(&s, "%10s\tforward: %g ms.\n", n->l.name, n->fwd_s * ms);
        ot_str_printf(&s, "%10s\tbackward: %g ms.\n", n->l.name, n->bwd_s * ms);
    }
    ot_str_printf(&s, "Average Forward pass: %g ms.\n", forward * ms);
    ot_str_printf(&s, "Average Backward pass: %g ms.\n", backward * ms);
    ot_str_printf(&s, "Average Forward-Backward: %g ms.\n", total * ms);
    ot_str_printf(&s, "Total Time: %g ms.\n*** Benchmark ends ***\n", total * 1e3);
    say(&s);
    ot_str_release(&s);
}

static int run_time(struct model *m, struct ot_err *err)
{
    double forward = 0, backward = 0, t0, unused = 0;
    struct ot_str s = { 0 };
    int rc = one_pass(m, &unused, &unused, err); /* allocates */

    m->net->timing = true;
    ot_str_printf(&s, "*** Benchmark begins ***\nTesting for %d iterations.\n", m->o->iterations);
    say(&s);
    t0 = ot_now_s();
    for (int i = 0; rc == 0 && i < m->o->iterations; i++) {
        double before = forward + backward;

        rc = one_pass(m, &forward, &backward, err);
        ot_str_printf(&s, "Iteration: %d forward-backward time: %g ms.\n", i + 1,
                      1e3 * (forward + backward - before));
        say(&s);
    }
    if (rc == 0)
        time_table(m, forward, backward, ot_now_s() - t0);
    ot_str_release(&s);
    return rc;
}

int ot_model_time(const struct ot_model_opts *o, struct ot_err *err)
{
    struct model m;
    int rc = open_model(&m, o, err);

    if (rc == 0)
        rc = run_time(&m, err);
    close_model(&m);
    return rc;
}
