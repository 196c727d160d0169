/*
 * report.c - the progress line, Caffe's log lines, metrics.jsonl, the tables.
 *
 * The loss of fresh batches and the loss of re-injected ones are always two numbers: the second
 * is of the hard subset and says nothing about the net as a whole.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "trainer/job_i.h"

enum { MAX_OUTPUTS = 64, MAX_PRINTED = 100 };

static void duration(char *buf, size_t n, double s)
{
    long t = s > 0 ? (long)(s + 0.5) : 0;

    if (t >= 3600)
        (void)snprintf(buf, n, "%ldh%02ldm", t / 3600, t / 60 % 60);
    else
        (void)snprintf(buf, n, "%ldm%02lds", t / 60, t % 60);
}

/* Where batches change in size a device goes on choosing: said once more in the end. */
static void tell_chosen(struct ot_job *j)
{
    if (!strcmp(j->chosen, j->dev->chosen))
        return;
    (void)snprintf(j->chosen, sizeof j->chosen, "%s", j->dev->chosen);
    ot_log(OT_LOG_INFO, "train", "device %s: %s", j->dev->name, j->chosen);
}

void ot_report_start(struct ot_job *j)
{
    const struct ot_loader *data = ot_feeds_loader(j->feeds);
    struct ot_str table = { 0 };

    ot_net_table(j->net, &table);
    ot_log(OT_LOG_INFO, "train", "%s: net '%s', %d layers, %.1f MB parameters, %.1f MB activations",
           j->config->path, j->net->name, j->net->nnode, (double)j->net->param_bytes / 1e6,
           (double)j->net->memory_bytes / 1e6);
    ot_log(OT_LOG_INFO, "train", "device %s: %s%s%s", j->dev->name, j->dev->what,
           j->dev->passed_over[0] ? "; not a GPU, as auto found " : "", j->dev->passed_over);
    tell_chosen(j);
    if (data)
        ot_log(OT_LOG_INFO, "train", "data %s: %zu records, %d decode thread%s",
               ot_loader_source(data), ot_loader_count(data), ot_loader_threads(data),
               ot_loader_threads(data) == 1 ? "" : "s");
    ot_log(OT_LOG_INFO, "train", "run folder %s, iterations %lld to %d, seed %llu",
           j->config->run_dir, (long long)j->solver->iter, j->param->max_iter, j->config->seed);
    ot_str_printf(&table, "Starting Optimization\nSolving %s\nLearning Rate Policy: %s\n",
                  j->net->name, j->param->lr_policy);
    if (table.buf)
        ot_log_file_only(table.buf);
    ot_str_release(&table);
    if (j->solver->iter > 0) { /* what a killed run wrote of later iterations does not count */
        ot_metrics_begin(j->metrics, "resume", j->solver->iter);
        ot_metrics_end(j->metrics);
    }
    j->start_s = j->last_s = ot_now_s();
    j->start_iter = j->last_iter = j->solver->iter;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static void blend(double *mean, double v)
{
    *mean = isnan(*mean) ? v : 0.95 * *mean + 0.05 * v;
}

static void iter_metrics(struct ot_job *j)
{
    const struct ot_part *part = &j->part[ot_job_fresh(j) ? 0 : 1];
    const struct ot_done *d = &j->done;
    struct ot_metrics *m = j->metrics;

    ot_metrics_begin(m, ot_job_fresh(j) ? "train" : "pool", d->iter);
    ot_metrics_num(m, "loss", ot_job_loss(j));
    for (int k = 0; k < j->nloss; k++)
        ot_metrics_num(m, j->loss[k]->b.name, part->loss[k] / part->n);
    ot_metrics_num(m, "lr", d->lr);
    ot_metrics_num(m, "ms", d->ms);
    ot_metrics_num(m, "wait_s", d->wait_s);
    if (j->mine) {
        const struct ot_miner_counts *c = &d->counts;

        ot_metrics_num(m, "uniform_loss", j->fresh_loss);
        ot_metrics_num(m, "mined_loss", j->mined_loss);
        ot_metrics_num(m, "pool_rows", (double)c->rows);
        ot_metrics_num(m, "pool_waiting", (double)c->waiting);
        ot_metrics_num(m, "admitted", (double)c->admitted);
        ot_metrics_num(m, "reinjected", (double)c->reinjected);
        ot_metrics_num(m, "learned", (double)c->learned_total);
        ot_metrics_num(m, "quarantined", (double)c->quarantined_total);
        ot_metrics_num(m, "admit_threshold", (double)c->admit_threshold);
        ot_metrics_num(m, "share", (double)c->share);
    }
    ot_metrics_end(m);
}

static void pool_part(struct ot_job *j, struct ot_str *s)
{
    struct ot_miner_counts c;

    if (!j->mine)
        return;
    c = ot_mine_counts(j->mine);
    ot_str_printf(
        s,
        " | pool %lld rows, %d waiting (%d fill a batch), %lld batches back, %lld learned, "
        "%lld quarantined",
        (long long)c.rows, c.waiting_samples, ot_mine_batch(j->mine), (long long)c.reinj_batches,
        (long long)c.learned_total, (long long)c.quarantined);
}

static void progress_line(struct ot_job *j, double lr, struct ot_str *s)
{
    double now = ot_now_s(), dt = now - j->last_s, wait = ot_feeds_wait_s(j->feeds);
    double done = (double)(j->solver->iter - j->start_iter), spent = now - j->start_s;
    double left = (double)(j->param->max_iter - j->solver->iter) * spent / (done > 0 ? done : 1);
    char eta[32];

    duration(eta, sizeof eta, left);
    ot_str_printf(s, "iter %lld/%d | loss", (long long)j->solver->iter, j->param->max_iter);
    if (!isnan(j->fresh_loss)) /* a resumed run may begin with a re-injection */
        ot_str_printf(s, " %.4f", j->fresh_loss);
    if (!isnan(j->mined_loss))
        ot_str_printf(s, " (mined %.4f)", j->mined_loss);
    for (int k = 0; k < j->nloss && j->nloss > 1; k++)
        ot_str_printf(s, " %s %.3f", j->loss[k]->b.name, j->loss_sum[k]);
    ot_str_printf(s, " | lr %.2g | %.1f img/s, %.1f%% wait", lr,
                  (double)(j->images - j->last_images) / (dt > 0 ? dt : 1),
                  100.0 * (wait - j->wait_at_last) / (dt > 0 ? dt : 1));
    pool_part(j, s);
    ot_str_printf(s, " | %s left", eta);
    j->last_s = now;
    j->last_iter = j->solver->iter;
    j->last_images = j->images;
    j->wait_at_last = wait;
}

/* One line for each value of each output blob, as the last pass left it; the values of a large
 * blob are counted but not printed.  Those of a re-injected pass get a name that readers of Caffe's
 * logs do not look for. */
static void train_outputs(struct ot_job *j, struct ot_str *s)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_blob *out[MAX_OUTPUTS];
    int nout = ot_net_outputs(j->net, out, MAX_OUTPUTS);
    size_t at = 0;

    for (int k = 0; k < nout; k++) {
        double w = (double)((const struct ot_net_blob *)(const void *)out[k])->loss_weight;
        size_t n = ot_count(&out[k]->data.shape);
        float v[MAX_PRINTED];

        at += n;
        if (n == 0 || n > MAX_PRINTED)
            continue;
        if (ot_net_read(j->net, out[k], v, &err) < 0) {
            ot_log_err("train", &err);
            return;
        }
        for (size_t i = 0; i < n; i++) {
            ot_str_printf(s, "    %s output #%zu: %s = %.6g",
                          j->last_mined ? "Re-injected batch" : "Train net", at - n + i,
                          out[k]->name, (double)v[i]);
            if (w != 0)
                ot_str_printf(s, " (* %g = %.6g loss)", w, w * (double)v[i]);
            ot_str_puts(s, "\n");
        }
    }
}

/* The lines that Caffe's log parsers look for.  An iteration that is displayed is the last one
 * asked for: the loop has waited for it. */
static void caffe_lines(struct ot_job *j, double lr, double loss, double dt)
{
    struct ot_str s = { 0 };
    long long it = (long long)j->solver->iter - 1;
    double n = (double)(j->solver->iter - j->last_iter);

    ot_str_printf(&s, "Iteration %lld (%.4g iter/s, %.4gs/%.0f iters), loss = %.6g\n", it,
                  n / (dt > 0 ? dt : 1), dt, n, loss);
    train_outputs(j, &s);
    ot_str_printf(&s, "Iteration %lld, lr = %.6g\n", it, lr);
    if (s.buf)
        ot_log_file_only(s.buf);
    ot_str_release(&s);
}

/* Keeps this iteration's losses, each kind by itself. */
static void keep_losses(struct ot_job *j)
{
    int n = j->param->average_loss;
    const struct ot_part *p = j->part;

    if (p[1].n)
        blend(&j->mined_loss, p[1].total / p[1].n);
    if (!p[0].n)
        return;
    for (int k = 0; k < j->nloss; k++)
        j->loss_sum[k] = p[0].loss[k] / p[0].n;
    j->last_loss = p[0].total / p[0].n;
    blend(&j->fresh_loss, j->last_loss);
    j->recent[j->nrecent++ % n] = j->last_loss;
}

static double smoothed(const struct ot_job *j)
{
    int64_t n = j->param->average_loss < j->nrecent ? j->param->average_loss : j->nrecent;
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += j->recent[i];
    return n ? sum / (double)n : ot_job_loss(j); /* a resumed run may begin with a re-injection */
}

bool ot_report_due(const struct ot_job *j, int64_t iter)
{
    int display = j->param->has_display ? j->param->display : 20;

    return display && iter % display == 0;
}

void ot_report_iter(struct ot_job *j)
{
    struct ot_str s = { 0 };
    double lr = j->done.lr;

    keep_losses(j);
    iter_metrics(j);
    if (!ot_report_due(j, j->done.iter))
        return;
    caffe_lines(j, lr, smoothed(j), ot_now_s() - j->last_s);
    progress_line(j, lr, &s);
    if (s.buf) {
        ot_progress(s.buf, false);
        ot_log_file_only(s.buf);
    }
    ot_str_release(&s);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_metrics(struct ot_job *j, int which, const struct ot_test_result *r)
{
    ot_metrics_begin(j->metrics, "test", j->solver->iter);
    ot_metrics_num(j->metrics, "net", which);
    ot_metrics_num(j->metrics, "images", r->images);
    ot_metrics_num(j->metrics, "seconds", r->seconds);
    if (r->detection)
        ot_metrics_num(j->metrics, "map", r->map);
    else if (j->param->test_compute_loss)
        ot_metrics_num(j->metrics, "test_loss", r->loss);
    for (int k = 0; k < r->n_values; k++)
        ot_metrics_num(j->metrics, r->name[k], r->value[k]);
    ot_metrics_end(j->metrics);
}

void ot_report_test(struct ot_job *j, int which, const struct ot_test_result *r)
{
    struct ot_str s = { 0 };

    test_metrics(j, which, r);
    ot_str_printf(&s, "Iteration %lld, Testing net (#%d)\n", (long long)j->solver->iter, which);
    if (j->param->test_compute_loss && !r->detection)
        ot_str_printf(&s, "Test loss: %.6g\n", r->loss);
    for (int k = 0; k < r->n_values; k++) {
        ot_str_printf(&s, "    Test net output #%d: %s = %.6g", k, r->name[k], r->value[k]);
        if (r->weight[k] != 0.0f)
            ot_str_printf(&s, " (* %g = %.6g loss)", (double)r->weight[k],
                          (double)r->weight[k] * r->value[k]);
        ot_str_puts(&s, "\n");
    }
    if (s.buf)
        ot_log_file_only(s.buf);
    ot_str_clear(&s);
    if (r->detection)
        ot_str_printf(&s, "mAP = %.4f", r->map);
    for (int k = 0; k < r->n_values && k < 8; k++)
        ot_str_printf(&s, "%s%s = %.4f", s.len ? ", " : "", r->name[k], r->value[k]);
    ot_log(OT_LOG_INFO, "test", "iteration %lld: %s (%d images, %.1f s)",
           (long long)j->solver->iter, s.buf ? s.buf : "", r->images, r->seconds);
    if (r->detection)
        j->last_map = r->map;
    ot_str_release(&s);
}

int ot_report_final(struct ot_job *j, const struct ot_test_result *r, int which, struct ot_err *err)
{
    const Caffe__EvalParameter *e = j->param->eval;
    struct ot_str s = { 0 };
    char path[1200];
    int rc = 0;

    if (r->detection) {
        ot_test_table(j->test[which], r, &s);
        j->final_map = r->map;
    } else {
        for (int k = 0; k < r->n_values; k++)
            ot_str_printf(&s, "%s = %.4f\n", r->name[k], r->value[k]);
    }
    ot_out("%s", s.buf ? s.buf : "");
    (void)snprintf(path, sizeof path, "%s/results.txt", j->config->run_dir);
    if (which == 0)
        rc = ot_write_file_atomic(path, s.buf ? s.buf : "", s.len, err);
    if (r->detection && e && e->goal > 0 && r->map < (double)e->goal)
        ot_log(OT_LOG_WARN, "test", "mAP %.4f is below the goal of %.4f", r->map, (double)e->goal);
    ot_str_release(&s);
    return rc;
}

static void mining_end(struct ot_job *j)
{
    struct ot_miner_counts c = ot_mine_counts(j->mine);
    struct ot_str s = { 0 };
    char *line, *end;

    ot_log(OT_LOG_INFO, "mining",
           "admitted %lld, re-injected %lld in %lld batches, learned %lld, quarantined %lld, "
           "released %lld, evicted %lld, in the pool %lld",
           (long long)c.admitted, (long long)c.reinjected, (long long)c.reinj_batches,
           (long long)c.learned_total, (long long)c.quarantined_total, (long long)c.released_total,
           (long long)c.evicted, (long long)c.rows);
    if (!isnan(j->fresh_loss) && !isnan(j->mined_loss))
        ot_str_printf(&s, "loss of fresh batches %.4f, of re-injected batches %.4f\n",
                      j->fresh_loss, j->mined_loss);
    ot_mine_tell(j->mine, &s);
    for (line = s.buf; line && (end = strchr(line, '\n')); line = end + 1)
        ot_log(OT_LOG_INFO, "mining", "%.*s", (int)(end - line), line);
    ot_str_release(&s);
}

void ot_report_end(struct ot_job *j)
{
    double s = ot_now_s() - j->start_s;
    char time[32];

    duration(time, sizeof time, s);
    ot_log(OT_LOG_INFO, "train",
           "%lld iterations, %lld images in %s: %.1f img/s; %.2f%% of it waiting for data",
           (long long)(j->solver->iter - j->start_iter), (long long)j->images, time,
           (double)j->images / (s > 0 ? s : 1),
           100.0 * ot_feeds_wait_s(j->feeds) / (s > 0 ? s : 1));
    tell_chosen(j);
    if (j->mine)
        mining_end(j);
}
