#include "tests/runkit.h"

#include "tests/check.h"
#include "tests/netkit.h"

void ot_run_open(struct ot_run *r, const char *conf, const char *const *set, int nset, bool mining,
                 struct ot_net_conf c)
{
    struct ot_err err = OT_ERR_INIT;

    *r = (struct ot_run){ 0 };
    r->config = ot_config_load(conf, set, nset, !mining, &err);
    assert_ok(r->config ? 0 : err.code, &err);
    r->feeds = ot_feeds_new(r->config, &r->config->train, &err);
    if (mining)
        r->mine = ot_mine_new(r->config, r->feeds, &err);
    assert_ok(r->feeds && (!mining || r->mine) ? 0 : err.code, &err);
    c.dev = c.dev ? c.dev : ot_kit_dev();
    c.param = r->config->train.param;
    c.doc = r->config->train.doc;
    c.door = ot_feeds_door(r->feeds);
    c.seed = 5;
    r->net = ot_net_new(&c, &err);
    assert_ok(r->net ? 0 : err.code, &err);
    if (mining)
        assert_ok(ot_mine_attach(r->mine, r->net, &err), &err);
    assert_ok(ot_net_plan(r->net, &err), &err);
    r->solver = ot_solver_new(r->config, r->net, &err);
    assert_ok(r->solver ? 0 : err.code, &err);
    assert_ok(ot_net_history(r->net, ot_solver_histories(r->solver), &err), &err);
}

void ot_run_close(struct ot_run *r)
{
    ot_solver_free(r->solver);
    ot_net_free(r->net);
    ot_mine_free(r->mine);
    ot_feeds_free(r->feeds);
    ot_config_free(r->config);
}

double ot_run_pass(struct ot_run *r, int64_t pass, bool *again)
{
    struct ot_err err = OT_ERR_INIT;
    const uint32_t *sample = NULL;
    double loss;
    int n = r->mine ? ot_mine_next(r->mine, pass, &sample, &err) : 0;

    assert_ok(n < 0 ? n : 0, &err);
    if (again)
        *again = n > 0;
    assert_ok(ot_feeds_next(r->feeds, sample, n, (uint64_t)pass << 32, &err), &err);
    r->net->env.iter = (uint64_t)pass;
    r->net->env.frozen_stats = n > 0;
    assert_ok(ot_net_forward(r->net, &loss, &err), &err);
    if (r->mine)
        assert_ok(ot_mine_read(r->mine, pass, n > 0, &err), &err);
    assert_ok(ot_net_backward(r->net, &err), &err);
    return loss;
}

void ot_run_update(struct ot_run *r, double lr)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_solver_update(r->solver, lr, &err), &err);
}
