/*
 * train.c - the loop.
 *
 * One pass is one batch through the net, fresh or re-injected; one iteration is iter_size passes
 * and one update.  The order of events of an iteration follows Caffe's Solver::Step: test, then
 * train, then snapshot.
 *
 * A device is not waited for: the losses of a pass are taken when the next one has been asked for,
 * or earlier where a number must be known (display, test, snapshot, the end).  So one that is no
 * number is found one pass late, but before any file or the pool could see what came of it.
 */
#include "trainer/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "trainer/debug.h"
#include "trainer/job_i.h"
#include "trainer/signals.h"

/* ---- one iteration --------------------------------------------------------------------------- */

bool ot_job_fresh(const struct ot_job *j)
{
    return j->part[0].n > 0;
}

double ot_job_loss(const struct ot_job *j)
{
    const struct ot_part *p = &j->part[ot_job_fresh(j) ? 0 : 1];

    return p->total / p->n;
}

/* A loss of several values counts as their sum.  Fresh passes and re-injected ones are never added
 * up: the losses of the hard subset say nothing about the net as a whole. */
static int add_losses(struct ot_job *j, struct ot_err *err)
{
    struct ot_part *part = &j->part[j->asked.reinjected];

    part->n++;
    for (int k = 0; k < j->nloss; k++) {
        double v = 0;

        for (size_t i = 0; i < j->slot[k].n; i++)
            v += (double)j->slot[k].v[i];
        if (!isfinite(v))
            return ot_fail(err, OT_ENAN,
                           "iteration %lld: loss '%s' is %g; lower base_lr or set clip_gradients",
                           (long long)j->asked.iter, j->loss[k]->b.name, v);
        part->loss[k] += v;
        part->total += (double)j->loss[k]->loss_weight * v;
    }
    return 0;
}

static void finish_iteration(struct ot_job *j)
{
    const struct ot_done *d = &j->done;

    if (j->mine)
        ot_mine_note(j->mine, d->iter, !ot_job_fresh(j), ot_job_loss(j), d->lr, d->ms, &d->counts);
    ot_report_iter(j);
    memset(j->part, 0, sizeof j->part);
}

/* Waits for the losses of the last pass asked for, if they have not been taken. */
static int take_losses(struct ot_job *j, struct ot_err *err)
{
    uint64_t mark = j->asked.mark;

    if (!mark)
        return 0;
    j->asked.mark = 0;
    j->dev->ops->wait(j->dev, mark);
    if (ot_net_ok(j->net, err) < 0 || add_losses(j, err) < 0) {
        if (j->mine)
            ot_mine_drop(j->mine);
        return err->code;
    }
    if (j->asked.last)
        finish_iteration(j);
    return 0;
}

static int ask_losses(struct ot_job *j, bool reinjected, bool last, struct ot_err *err)
{
    for (int k = 0; k < j->nloss; k++)
        if (ot_fetch_ask(&j->slot[k], j->net, &j->loss[k]->b, err) < 0)
            return err->code;
    j->asked = (struct ot_asked){ .mark = j->dev->ops->mark(j->dev),
                                  .iter = j->solver->iter,
                                  .reinjected = reinjected,
                                  .last = last };
    ot_feeds_passed(j->feeds, j->asked.mark);
    return 0;
}

static void watch(struct ot_job *j, struct ot_str *debug)
{
    bool on = j->param->debug_info && ot_report_due(j, j->solver->iter);

    j->net->watch = on ? ot_debug_layer : NULL;
    j->net->watch_arg = debug;
}

static int pass_through(struct ot_job *j, int64_t pass, bool last, struct ot_str *debug,
                        struct ot_err *err)
{
    const uint32_t *sample = NULL;
    int n = j->mine ? ot_mine_next(j->mine, pass, &sample, err) : 0;

    if (n < 0)
        return n;
    if (ot_feeds_next(j->feeds, sample, n, (uint64_t)pass << 32, err) < 0)
        return err->code;
    j->last_mined = n > 0;
    j->net->env.iter = (uint64_t)pass;
    j->net->env.frozen_stats = n > 0; /* hard examples alone are another distribution */
    if (ot_net_pass(j->net, err) < 0 || (j->net->watch && ot_debug_norms(j->net, debug, err) < 0))
        return err->code;
    if (debug->buf)
        ot_log_file_only(debug->buf);
    if (take_losses(j, err) < 0 || ask_losses(j, n > 0, last, err) < 0)
        return err->code;
    if (ot_feeds_batch(j->feeds))
        j->images += ot_feeds_batch(j->feeds)->n;
    return j->mine ? ot_mine_read(j->mine, pass, n > 0, err) : 0;
}

static int one_pass(struct ot_job *j, int64_t pass, bool last, struct ot_err *err)
{
    struct ot_str debug = { 0 };
    int rc;

    watch(j, &debug);
    rc = pass_through(j, pass, last, &debug, err);
    j->net->watch = NULL;
    ot_str_release(&debug);
    return rc;
}

static int one_iteration(struct ot_job *j, struct ot_err *err)
{
    double t0 = ot_now_s(), lr = ot_solver_lr(j->solver);
    int64_t iter = j->solver->iter;
    int size = j->param->iter_size;

    ot_net_zero_grads(j->net);
    for (int k = 0; k < size; k++)
        if (one_pass(j, iter * size + k, k == size - 1, err) < 0)
            return err->code;
    if (ot_solver_update(j->solver, lr, err) < 0)
        return err->code;
    j->done = (struct ot_done){
        .iter = iter, .lr = lr, .ms = 1e3 * (ot_now_s() - t0), .wait_s = ot_feeds_wait_s(j->feeds)
    };
    if (j->mine)
        j->done.counts = ot_mine_counts(j->mine);
    return ot_report_due(j, iter) ? take_losses(j, err) : 0;
}

/* ---- tests and snapshots --------------------------------------------------------------------- */

static int run_tests(struct ot_job *j, bool final, struct ot_err *err)
{
    if (take_losses(j, err) < 0)
        return err->code;
    for (int i = 0; i < j->config->ntest; i++) {
        struct ot_test_result r;
        char dir[1200];

        (void)snprintf(dir, sizeof dir, "%s/detections", j->config->run_dir);
        if (ot_test_run(j->test[i], final && i == 0 ? dir : NULL, ot_signals_stop, &r, err) < 0)
            return err->code;
        ot_report_test(j, i, &r);
        if (final && ot_report_final(j, &r, i, err) < 0)
            return err->code;
    }
    return 0;
}

/* The pool file names the model of each snapshot, with a hash that tells two of them apart. */
static int tell_pool(struct ot_job *j, struct ot_err *err)
{
    char model[1200];
    uint64_t hash;

    if (!j->mine || !ot_mine_pool(j->mine))
        return 0;
    if (ot_hash_file(ot_snapshot_model(j->solver, j->config->prefix, model, sizeof model), &hash,
                     err) < 0)
        return err->code;
    ot_pool_snapshot(ot_mine_pool(j->mine), j->solver->iter, model, hash);
    return 0;
}

static int save(struct ot_job *j, struct ot_err *err)
{
    char path[1200];

    if (take_losses(j, err) < 0)
        return err->code;
    if (ot_snapshot_write(j->solver, j->feeds, j->mine, j->config->prefix, path, sizeof path, err) <
        0)
        return err->code;
    if (tell_pool(j, err) < 0 || (j->mine && ot_mine_prove(j->mine, j->solver->iter, err) < 0))
        return err->code;
    ot_snapshot_prune(j->config->prefix, j->param->snapshot_keep);
    ot_log(OT_LOG_INFO, "train", "snapshot %s", path);
    return 0;
}

static bool due(int64_t iter, int every)
{
    return every > 0 && iter % every == 0;
}

/* Before the first mining iteration, and at each test while there is mining. */
static bool sentinel_due(const struct ot_job *j)
{
    int size = j->param->iter_size;
    int64_t iter = j->solver->iter;

    if (!j->mine || j->param->test_interval <= 0 || !ot_mine_on(j->mine, (iter + 1) * size - 1))
        return false;
    return due(iter, j->param->test_interval) || !ot_mine_on(j->mine, iter * size - 1);
}

/* What the device found out about itself: once for each. */
static void tell_of_device(const struct ot_dev *dev, bool told[2])
{
    if (!told[0] && dev->unrecorded[0]) {
        ot_log(OT_LOG_WARN, "train", "%s: iterations are not recorded, which is slower: %s",
               dev->name, dev->unrecorded);
        told[0] = true;
    }
    if (!told[1] && dev->distrusted[0]) {
        ot_log(OT_LOG_WARN, "train", "%s: not used, as its result is another: %s", dev->name,
               dev->distrusted);
        told[1] = true;
    }
}

static int loop(struct ot_job *j, struct ot_err *err)
{
    const Caffe__SolverParameter *p = j->param;
    bool warned = false, told[2] = { false };

    while (j->solver->iter < p->max_iter) {
        if (due(j->solver->iter, p->test_interval) &&
            (j->solver->iter > 0 || p->test_initialization) && run_tests(j, false, err) < 0)
            return err->code;
        if (sentinel_due(j) && (take_losses(j, err) < 0 ||
                                ot_mine_sentinel(j->mine, j->solver->iter * p->iter_size, err) < 0))
            return err->code;
        if (one_iteration(j, err) < 0)
            return err->code;
        if ((due(j->solver->iter, p->snapshot) || ot_signals_save()) && save(j, err) < 0)
            return err->code;
        if (!warned && j->mine && ot_mine_pool(j->mine) &&
            ot_pool_ok(ot_mine_pool(j->mine), err) < 0) {
            ot_log_err("pool", err); /* training goes on; the pool stays in memory */
            warned = true;
        }
        tell_of_device(j->dev, told);
        if (ot_signals_stop() ||
            (p->max_time_s > 0 && ot_now_s() - j->start_s > (double)p->max_time_s))
            return ot_fail(err, OT_ESTOPPED, "stopped by %s at iteration %lld of %d",
                           ot_signals_stop() ? ot_signals_name() : "max_time_s",
                           (long long)j->solver->iter, p->max_iter);
    }
    return 0;
}

/* ---- the job --------------------------------------------------------------------------------- */

static int finish(struct ot_job *j, int rc, struct ot_err *err)
{
    struct ot_err more = OT_ERR_INIT;
    const Caffe__SolverParameter *p = j->param;
    bool stopped, unsaved = !due(j->solver->iter, p->snapshot);

    if (take_losses(j, &more) < 0 && (rc == 0 || rc == OT_ESTOPPED)) {
        *err = more;
        rc = more.code;
    }
    more = (struct ot_err)OT_ERR_INIT;
    stopped = rc == OT_ESTOPPED;
    ot_progress_end();
    if ((rc == 0 || stopped) && p->snapshot_after_train && unsaved && save(j, &more) < 0) {
        *err = more;
        rc = more.code;
    }
    if (rc == 0 && run_tests(j, true, err) < 0)
        rc = err->code;
    if (rc == 0 || stopped)
        ot_log_file_only(stopped ? "Optimization stopped early." : "Optimization Done.");
    ot_report_end(j);
    if (stopped && rc == OT_ESTOPPED)
        ot_log(OT_LOG_INFO, "train", "go on with: ohemtrain %s --resume", j->config->path);
    if (j->mine && ot_mine_close(j->mine,
                                 rc == 0             ? "ok"
                                 : rc == OT_ESTOPPED ? "interrupted"
                                                     : "failed",
                                 ot_exit_code((enum ot_code)rc), j->solver->iter, j->last_loss,
                                 isnan(j->final_map) ? NULL : "map", j->final_map, &more) < 0) {
        ot_log_err("pool", &more);
        if (rc == 0) {
            *err = more;
            rc = more.code;
        }
    }
    return rc;
}

int ot_train(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err)
{
    struct ot_job j;
    int rc = ot_job_open(&j, config, opts, err);

    if (rc == 0)
        rc = ot_job_start(&j, opts, err);
    if (rc == 0) {
        ot_signals_install(opts->on_int, opts->on_hup);
        ot_report_start(&j);
        rc = finish(&j, loop(&j, err), err);
    }
    ot_job_close(&j);
    return rc;
}

static void print_table(const struct ot_net *net)
{
    struct ot_str s = { 0 };

    ot_net_table(net, &s);
    ot_out("%s\n", s.buf ? s.buf : "");
    ot_str_release(&s);
}

int ot_check(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err)
{
    struct ot_job j;
    int rc = ot_job_open(&j, config, opts, err);

    if (rc == 0)
        rc = ot_snapshot_check(j.solver, err);
    if (rc == 0 && j.mine)
        rc = ot_correct_check(config, j.feeds, err);
    if (rc == 0)
        print_table(j.net);
    for (int i = 0; rc == 0 && i < config->ntest; i++) {
        rc = ot_net_plan(ot_test_net(j.test[i]), err);
        if (rc == 0)
            print_table(ot_test_net(j.test[i]));
    }
    ot_job_close(&j);
    return rc;
}

int ot_test_only(struct ot_config *config, const struct ot_train_opts *opts, struct ot_err *err)
{
    struct ot_job j;
    int rc;

    if (!opts->weights && !config->solver->n_weights)
        return ot_fail(err, OT_EUSAGE, "--test needs --weights: the net would be an untrained one");
    if (!config->ntest)
        return ot_fail(err, OT_ECONFIG, "%s names no test net", config->path);
    rc = ot_job_open(&j, config, opts, err);
    if (rc == 0)
        rc = ot_job_weights(&j, opts, err);
    for (int i = 0; rc == 0 && i < config->ntest; i++) {
        struct ot_test_result r;
        struct ot_str s = { 0 };

        rc = ot_test_run(j.test[i], NULL, ot_signals_stop, &r, err);
        if (rc == 0 && r.detection)
            ot_test_table(j.test[i], &r, &s);
        for (int k = 0; rc == 0 && k < r.n_values; k++)
            ot_str_printf(&s, "%s = %.6g\n", r.name[k], r.value[k]);
        ot_out("%s", s.buf ? s.buf : "");
        ot_str_release(&s);
    }
    ot_job_close(&j);
    return rc;
}

/* ---- --time ---------------------------------------------------------------------------------- */

static void time_table(const struct ot_net *net, int n, double total)
{
    double fwd = 0, bwd = 0;

    ot_out("%-24s %-20s %10s %10s\n", "layer", "type", "forward ms", "backward ms");
    for (int i = 0; i < net->nnode; i++) {
        const struct ot_node *k = &net->node[i];

        ot_out("%-24.24s %-20.20s %10.3f %10.3f\n", k->l.name, k->l.ops->type, 1e3 * k->fwd_s / n,
               1e3 * k->bwd_s / n);
        fwd += k->fwd_s;
        bwd += k->bwd_s;
    }
    ot_out("%-24s %-20s %10.3f %10.3f  (%.3f ms an iteration with update and data)\n", "all", "",
           1e3 * fwd / n, 1e3 * bwd / n, 1e3 * total / n);
}

int ot_time(struct ot_config *config, const struct ot_train_opts *opts, int n, struct ot_err *err)
{
    struct ot_job j;
    double t0 = 0;
    int rc = ot_job_open(&j, config, opts, err);

    if (rc == 0)
        rc = ot_net_history(j.net, ot_solver_histories(j.solver), err);
    for (int i = -2; rc == 0 && i < n; i++) { /* two passes to warm up */
        if (i == 0) {
            t0 = ot_now_s();
            j.net->timing = true;
        }
        ot_net_zero_grads(j.net);
        rc = ot_feeds_next(j.feeds, NULL, 0, 0, err);
        if (rc == 0)
            rc = ot_net_forward(j.net, NULL, err);
        if (rc == 0)
            rc = ot_net_backward(j.net, err);
        if (rc == 0)
            rc = ot_solver_update(j.solver, 0.0, err);
    }
    if (rc == 0)
        time_table(j.net, n, ot_now_s() - t0);
    ot_job_close(&j);
    return rc;
}
