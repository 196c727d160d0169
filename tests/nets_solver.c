/*
 * nets_solver.c - one solver file: three iterations of its training, then one more from the
 * snapshot they left.  Its net is looked for under DIR when it is not where the file says.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "proto/upgrade.h"
#include "tests/nets_run.h"
#include "trainer/train.h"

enum { ITERATIONS = 3 };

/* ---- its net --------------------------------------------------------------------------------- */

/* How many trailing parts of two paths agree. */
static int agreeing(const char *a, const char *b)
{
    const char *x = a + strlen(a), *y = b + strlen(b);
    int parts = 0;

    while (x > a && y > b && x[-1] == y[-1]) {
        x--;
        y--;
        parts += *x == '/';
    }
    if ((x == a && (y == b || y[-1] == '/')) || (y == b && x[-1] == '/'))
        parts++;
    return parts;
}

static const char *find_net(const struct nets_run *r, const char *file, const char *named)
{
    char dir[1200];
    static char beside[2400];
    const char *best = NULL;
    int most = 0;

    if (ot_exists(named))
        return named;
    (void)ot_path_join(beside, sizeof beside, ot_path_dir(dir, sizeof dir, file), named);
    if (ot_exists(beside))
        return beside;
    for (size_t i = 0; i < r->nfile; i++)
        if (agreeing(r->file[i], named) > most) {
            most = agreeing(r->file[i], named);
            best = r->file[i];
        }
    return best;
}

struct job {
    const char *field, *path; /* of the net in a file; NULL: it is inside */
    const Caffe__NetParameter *net;
    const char *prefix; /* of its edits */
    struct ot_doc *doc; /* of the net in a file; owned */
};

static int open_net(const struct nets_run *r, const char *file, const Caffe__SolverParameter *s,
                    struct job *j, struct ot_err *err)
{
    const char *named = s->net ? s->net : s->train_net;
    Caffe__NetParameter *net;

    j->prefix = s->net_param ? "net_param" : s->train_net_param ? "train_net_param" : "net";
    j->net = s->net_param ? s->net_param : s->train_net_param;
    if (j->net)
        return 0;
    if (!named)
        return ot_fail(err, OT_ECONFIG, "the solver names no net");
    j->field = s->net ? "net" : "train_net";
    j->path = find_net(r, file, named);
    if (!j->path)
        return ot_fail(err, OT_ENOINPUT, "no file '%s', here or under %s", named, r->dir);
    j->doc = ot_text_parse_file(&caffe__net_parameter__descriptor, j->path, err);
    if (!j->doc)
        return err->code;
    net = (Caffe__NetParameter *)(void *)ot_doc_root(j->doc);
    j->net = net;
    return ot_upgrade_net(j->doc, net, err);
}

/* ---- the edits and the run ------------------------------------------------------------------- */

/* Smaller, and everything into one folder of its own. */
static int edits(const struct nets_run *r, const Caffe__SolverParameter *s, const struct job *j,
                 const char *file, struct nets_record rec, int iterations, struct nets_edits *e,
                 struct ot_err *err)
{
    if (nets_edit(e, err, "max_iter=%d", iterations) < 0 || nets_edit(e, err, "display=1") < 0 ||
        nets_edit(e, err, "snapshot=%d", ITERATIONS) < 0 ||
        nets_edit(e, err, "snapshot_after_train=false") < 0 ||
        nets_edit(e, err, "solver_mode=CPU") < 0 ||
        nets_edit(e, err, "run_dir=\"%s/run\"", r->tmp) < 0 ||
        nets_edit(e, err, "snapshot_prefix=\"%s/run/net\"", r->tmp) < 0)
        return err->code;
    for (size_t i = 0; i < s->n_test_iter; i++)
        if (nets_edit(e, err, "test_iter[%zu]=1", i) < 0)
            return err->code;
    if (j->path && nets_edit(e, err, "%s=\"%s\"", j->field, j->path) < 0)
        return err->code;
    return nets_supply(j->net, j->prefix, j->path ? j->path : file, r->tmp, rec, r->batch, e, err);
}

/* The results of its test nets go to stdout, which is ours. */
static int train_quietly(const struct nets_run *r, struct ot_config *c,
                         const struct ot_train_opts *o, struct ot_err *err)
{
    int out = -1, null = r->verbose ? -1 : open("/dev/null", O_WRONLY), rc;

    (void)fflush(stdout);
    if (null >= 0) {
        out = dup(STDOUT_FILENO);
        (void)dup2(null, STDOUT_FILENO);
        (void)close(null);
    }
    rc = ot_train(c, o, err);
    (void)fflush(stdout);
    if (out >= 0) {
        (void)dup2(out, STDOUT_FILENO);
        (void)close(out);
    }
    return rc;
}

static int train(const struct nets_run *r, const Caffe__SolverParameter *s, const struct job *j,
                 const char *file, struct nets_record rec, int iterations, const char *resume,
                 struct ot_err *err)
{
    struct ot_train_opts o = { .device = "cpu", .resume = resume };
    struct nets_edits e = { .n = 0 };
    struct ot_config *c = NULL;
    int rc = edits(r, s, j, file, rec, iterations, &e, err);

    if (rc == 0) {
        c = ot_config_load(file, (const char *const *)e.text, e.n, false, err);
        rc = c ? train_quietly(r, c, &o, err) : err->code;
    }
    ot_config_free(c);
    nets_edits_free(&e);
    return rc;
}

/* The likeliest shape of data that the training net takes; where crops say it, nothing is built. */
static int find_record(const struct nets_run *r, const struct job *j, struct nets_record *rec,
                       struct ot_err *err)
{
    struct nets_record likely[NETS_SHAPES];
    struct nets_phase p;
    int rc = 0;

    if (nets_records(j->net, likely) == NETS_SHAPES && j->path) {
        rc = nets_find_data(r, j->path, j->net, CAFFE__PHASE__TRAIN, NULL, &p, rec, err);
        nets_phase_close(&p);
    } else if (nets_records(j->net, likely) > 0) {
        *rec = likely[0];
    }
    return rc;
}

static int run(struct nets_run *r, const char *file, const Caffe__SolverParameter *s, struct job *j,
               struct ot_err *err)
{
    struct nets_record rec = { 1, 28 };
    char state[128], text[256];
    double t0 = ot_now_s();

    if (open_net(r, file, s, j, err) < 0)
        return err->code;
    if (nets_skip_type(r, file, j->net))
        return 0;
    if (find_record(r, j, &rec, err) < 0 || train(r, s, j, file, rec, ITERATIONS, NULL, err) < 0)
        return err->code;
    (void)snprintf(state, sizeof state, "%s/run/net_iter_%d.solverstate%s", r->tmp, ITERATIONS,
                   s->snapshot_format == CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__HDF5 ? ".h5"
                                                                                        : "");
    if (train(r, s, j, file, rec, ITERATIONS + 1, state, err) < 0)
        return ot_err_wrap(err, "after a resume");
    (void)snprintf(text, sizeof text, "%s, %d iterations, snapshot, resume, 1 more; %.2f s",
                   s->type, ITERATIONS, ot_now_s() - t0);
    nets_say(r, file, "OK", text);
    return 0;
}

void nets_run_solver(struct nets_run *r, const char *file, struct ot_doc *doc)
{
    Caffe__SolverParameter *s = (Caffe__SolverParameter *)(void *)ot_doc_root(doc);
    struct ot_err err = OT_ERR_INIT;
    struct job j = { 0 };
    char run_dir[96];
    int rc = ot_upgrade_solver(doc, s, &err);

    if (rc >= 0)
        rc = run(r, file, s, &j, &err);
    if (rc == OT_ENOTSUP)
        nets_say(r, file, "SKIP", err.text);
    else if (rc < 0)
        nets_fail(r, file, "SOLVER", &err);
    ot_doc_free(j.doc);
    (void)snprintf(run_dir, sizeof run_dir, "%s/run", r->tmp);
    (void)ot_remove_dir(run_dir, 2);
}
