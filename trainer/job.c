/* job.c - building a job up and taking it down, in one order each. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "trainer/job_i.h"

static const char *device_of(const struct ot_config *c, const struct ot_train_opts *opts,
                             char buf[32])
{
    if (opts->device)
        return opts->device;
    /* As `caffe train`: a GPU only when the file says so itself. */
    if (!c->solver->has_solver_mode ||
        c->solver->solver_mode == CAFFE__SOLVER_PARAMETER__SOLVER_MODE__CPU)
        return "cpu";
    (void)snprintf(buf, 32, "cuda:%d", c->solver->device_id);
    return buf;
}

/* What the file asks of a GPU has no effect on the CPU, which always computes in FP32. */
static void say_unused(const struct ot_job *j)
{
    const Caffe__SolverParameter *p = j->param;

    const struct {
        const char *name;
        bool given;
    } field[] = {
        { "compute", p->compute != CAFFE__SOLVER_PARAMETER__COMPUTE__FP32 },
        { "cuda_graphs", p->has_cuda_graphs },
        { "workspace_mb", p->has_workspace_mb },
    };

    char names[64] = "";

    if (strcmp(j->dev->name, "cpu") != 0)
        return;
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        if (field[i].given)
            (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                           names[0] ? ", " : "", field[i].name);
    if (names[0])
        ot_log(OT_LOG_WARN, "train", "%s: of a GPU, no effect on the CPU, which computes in FP32",
               names);
}

static int open_device(struct ot_job *j, const struct ot_train_opts *opts, struct ot_err *err)
{
    const Caffe__SolverParameter *p = j->param;
    const struct ot_dev_conf conf = { .threads = p->threads,
                                      .compute = (enum ot_compute)p->compute,
                                      .deterministic = p->deterministic,
                                      .no_record = !p->cuda_graphs,
                                      .workspace_bytes = (size_t)p->workspace_mb << 20 };
    char buf[32];
    const char *name = device_of(j->config, opts, buf);

    j->dev = ot_dev_open_conf(name, &conf, err);
    if (!j->dev)
        return ot_err_wrap(err, "device '%s'", name);
    say_unused(j);
    return 0;
}

static int build_train_net(struct ot_job *j, struct ot_err *err)
{
    const struct ot_net_source *s = &j->config->train;
    struct ot_net_conf c = { .dev = j->dev,
                             .param = s->param,
                             .doc = s->doc,
                             .phase = s->phase,
                             .level = s->level,
                             .stage = s->stage,
                             .nstage = s->nstage,
                             .seed = j->config->seed,
                             .no_fusion = j->param->debug_info };

    j->feeds = ot_feeds_new(j->config, s, err);
    if (!j->feeds)
        return err->code;
    if (j->param->mining) {
        j->mine = ot_mine_new(j->config, j->feeds, err);
        if (!j->mine)
            return err->code;
    } else if (j->param->label_overlay) {
        j->correct = ot_correct_new(j->config, j->feeds, err);
        if (!j->correct)
            return err->code;
    }
    c.door = ot_feeds_door(j->feeds);
    j->net = ot_net_new(&c, err);
    if (!j->net || (j->mine && ot_mine_attach(j->mine, j->net, err) < 0) ||
        (j->correct && ot_correct_read(j->correct, err) < 0))
        return err->code;
    for (size_t k = 0; k < j->net->nblob && j->nloss < OT_MAX_LOSSES; k++)
        if (j->net->blob[k]->loss_weight != 0.0f)
            j->loss[j->nloss++] = j->net->blob[k];
    return ot_net_plan(j->net, err);
}

int ot_job_open(struct ot_job *j, struct ot_config *config, const struct ot_train_opts *opts,
                struct ot_err *err)
{
    *j = (struct ot_job){ .config = config, .param = config->solver, .lock = -1 };
    j->last_loss = j->fresh_loss = j->mined_loss = j->last_map = j->final_map = (double)NAN;
    if (open_device(j, opts, err) < 0)
        return err->code;
    if (build_train_net(j, err) < 0)
        return err->code;
    j->solver = ot_solver_new(config, j->net, err);
    if (!j->solver)
        return err->code;
    for (int i = 0; i < config->ntest; i++) {
        j->test[i] = ot_test_open(config, i, j->net, j->dev, err);
        if (!j->test[i])
            return err->code;
    }
    j->recent = ot_alloc((size_t)config->solver->average_loss, sizeof *j->recent, err);
    return j->recent ? 0 : err->code;
}

void ot_job_close(struct ot_job *j)
{
    for (int i = 0; i < OT_MAX_TEST_NETS; i++)
        ot_test_free(j->test[i]);
    ot_solver_free(j->solver);
    ot_net_free(j->net);
    ot_mine_free(j->mine);
    ot_correct_free(j->correct);
    ot_feeds_free(j->feeds);
    for (int k = 0; k < OT_MAX_LOSSES; k++)
        ot_fetch_release(&j->slot[k]);
    ot_dev_close(j->dev);
    ot_metrics_close(j->metrics);
    ot_free(j->recent);
    ot_log_close();
    ot_unlock_file(j->lock);
}

/* ---- the run folder -------------------------------------------------------------------------- */

static int move_away(const struct ot_job *j, struct ot_err *err)
{
    static const char *const names[] = { "metrics.jsonl", "train.log", "results.txt",
                                         "detections" };
    char old[1200], from[1300], to[1300], newest[1200];

    (void)snprintf(old, sizeof old, "%s/previous", j->config->run_dir);
    (void)snprintf(from, sizeof from, "%s/metrics.jsonl", j->config->run_dir);
    if (!ot_exists(from) && !ot_snapshot_newest(j->config->prefix, newest, sizeof newest))
        return 0;
    if (ot_exists(old) && ot_remove_dir(old, 2) < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "cannot remove '%s'", old);
    if (ot_mkdir_p(old, err) < 0)
        return err->code;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", j->config->run_dir, names[i]);
        (void)snprintf(to, sizeof to, "%s/%s", old, names[i]);
        if (ot_exists(from) && rename(from, to) < 0)
            return ot_fail_sys(err, OT_ECREATE, errno, "cannot move '%s'", from);
    }
    ot_snapshot_move(j->config->prefix, old);
    ot_log(OT_LOG_INFO, "train", "an earlier run's files were moved to %s (the pool stays)", old);
    return 0;
}

int ot_job_claim(struct ot_job *j, bool resumed, struct ot_err *err)
{
    const char *dir = j->config->run_dir;
    char path[1200];

    if (ot_mkdir_p(dir, err) < 0 ||
        ot_mkdir_p(ot_path_dir(path, sizeof path, j->config->prefix), err) < 0)
        return err->code;
    (void)snprintf(path, sizeof path, "%s/lock", dir);
    j->lock = ot_lock_file(path, err);
    if (j->lock < 0)
        return err->code;
    if (!resumed && move_away(j, err) < 0)
        return err->code;
    (void)snprintf(path, sizeof path, "%s/train.log", dir);
    if (ot_log_open(path, err) < 0)
        return err->code;
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    j->metrics = ot_metrics_open(path, err);
    return j->metrics ? 0 : err->code;
}

/* ---- weights, resume, pool ------------------------------------------------------------------- */

/* Those of --weights, or else of the config. */
int ot_job_weights(struct ot_job *j, const struct ot_train_opts *opts, struct ot_err *err)
{
    if (opts->weights)
        return ot_weights_load(j->net, opts->weights, err);
    for (size_t i = 0; i < j->param->n_weights; i++) {
        const char *path = ot_config_path(j->config, j->param->weights[i], j->config->path, err);

        if (!path || ot_weights_load(j->net, path, err) < 0)
            return ot_err_at(err, ot_doc_loc_at(j->config->doc, j->param, "weights", i));
    }
    return 0;
}

int ot_job_start(struct ot_job *j, const struct ot_train_opts *opts, struct ot_err *err)
{
    struct ot_snapshot_info from = { 0 };
    char newest[1200];
    const char *resume = opts->resume;

    if (ot_snapshot_check(j->solver, err) < 0)
        return err->code;
    if (resume && !strcmp(resume, "auto"))
        resume = ot_snapshot_newest(j->config->prefix, newest, sizeof newest) ? newest : NULL;
    if (opts->resume && !resume)
        ot_log(OT_LOG_INFO, "train", "nothing to resume at '%s': a new run", j->config->prefix);
    if (resume && ot_snapshot_peek(resume, &from, err) < 0)
        return ot_err_wrap(err, "resume");
    /* before the run folder is claimed: nothing is moved away when they cannot be read, and they
     * may be of the very run that is moved away */
    if (!resume && ot_job_weights(j, opts, err) < 0)
        return err->code;
    if (ot_net_history(j->net, ot_solver_histories(j->solver), err) < 0 ||
        ot_job_claim(j, resume != NULL, err) < 0)
        return err->code;
    if (j->mine && ot_mine_open_pool(j->mine, j->dev->name, from.iter * j->param->iter_size,
                                     from.run, err) < 0)
        return err->code;
    if (resume && ot_snapshot_restore(j->solver, j->feeds, j->mine, resume, err) < 0)
        return ot_err_wrap(err, "resume");
    if (j->mine && ot_mine_begin(j->mine, j->solver->iter * j->param->iter_size, err) < 0)
        return err->code;
    if (resume)
        ot_log(OT_LOG_INFO, "train", "resumed from %s at iteration %lld", resume,
               (long long)j->solver->iter);
    return 0;
}
