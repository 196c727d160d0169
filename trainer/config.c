/*
 * config.c - reads the solver file and its nets, applies --set, and checks what can be checked
 * before anything is built.
 *
 * Which nets are test nets and in which state follows Caffe's Solver::InitTestNets: first
 * test_net_param, then test_net, then the one net or net_param for the remaining test_iter.
 */
#include "trainer/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/upgrade.h"

const char *ot_config_path(struct ot_config *c, const char *path, const char *beside,
                           struct ot_err *err)
{
    struct ot_str s = { 0 };
    char dir[1024], joined[2048];
    const char *found = NULL;

    if (ot_env_expand(path, &s, err) == 0) {
        found = s.buf ? s.buf : "";
        if (!ot_exists(found) && beside) {
            (void)ot_path_join(joined, sizeof joined, ot_path_dir(dir, sizeof dir, beside), found);
            if (ot_exists(joined))
                found = joined;
        }
        found = ot_arena_strdup(&c->arena, found, err);
    }
    ot_str_release(&s);
    return found;
}

static Caffe__NetParameter *root_net(const struct ot_doc *doc)
{
    return (Caffe__NetParameter *)(void *)ot_doc_root(doc);
}

/* Says what ot_upgrade_...() found, as Caffe does; returns 0 or its error. */
static int upgraded(const char *path, int what)
{
    char names[256];

    if (what > 0)
        ot_log(OT_LOG_INFO, "config", "%s: upgraded: %s", path,
               ot_upgrade_names(what, names, sizeof names));
    return what < 0 ? what : 0;
}

static struct ot_doc *load_net(struct ot_config *c, const char *name, const char *field,
                               struct ot_err *err)
{
    const char *path = ot_config_path(c, name, c->path, err);
    struct ot_doc *doc = path ? ot_text_parse_file(&caffe__net_parameter__descriptor, path, err)
                              : NULL;

    if (!doc) {
        if (err->code != OT_EPARSE)
            (void)ot_err_at(err, ot_doc_loc(c->doc, c->solver, field));
        return NULL;
    }
    c->net_doc[c->n_net_doc++] = doc;
    return upgraded(path, ot_upgrade_net(doc, root_net(doc), err)) < 0 ? NULL : doc;
}

/* The state a net is built in: the solver's default phase, then the net's own state, then `more`;
 * the later one wins, stages add up (Solver::InitTrainNet and InitTestNets). */
static int set_state(struct ot_config *c, struct ot_net_source *s, Caffe__Phase phase,
                     const Caffe__NetState *more, struct ot_err *err)
{
    const Caffe__NetState *own = s->param->state;
    size_t n = (own ? own->n_stage : 0) + (more ? more->n_stage : 0);
    const char **stage = ot_arena_alloc(&c->arena, n + 1, sizeof *stage, err);

    if (!stage)
        return err->code;
    s->phase = more && more->has_phase ? more->phase : own && own->has_phase ? own->phase : phase;
    s->level = more && more->has_level ? more->level : own ? own->level : 0;
    for (size_t i = 0; own && i < own->n_stage; i++)
        stage[s->nstage++] = own->stage[i];
    for (size_t i = 0; more && i < more->n_stage; i++)
        stage[s->nstage++] = more->stage[i];
    s->stage = stage;
    return 0;
}

static int find_train_net(struct ot_config *c, struct ot_doc **shared, struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;
    int n = (s->net != NULL) + (s->net_param != NULL) + (s->train_net != NULL) +
            (s->train_net_param != NULL);
    struct ot_doc *doc = NULL;

    if (n != 1)
        return ot_fail_at(err, ot_doc_loc(c->doc, s, NULL), OT_ECONFIG,
                          "exactly one of net, net_param, train_net and train_net_param must name "
                          "the net to train, got %d",
                          n);
    if (s->net || s->train_net) {
        doc = load_net(c, s->net ? s->net : s->train_net, s->net ? "net" : "train_net", err);
        if (!doc)
            return err->code;
        c->train.param = root_net(doc);
        c->train.doc = doc;
    } else {
        c->train.param = s->net_param ? s->net_param : s->train_net_param;
        c->train.doc = c->doc;
    }
    *shared = doc;
    return set_state(c, &c->train, CAFFE__PHASE__TRAIN, s->train_state, err);
}

static int add_test(struct ot_config *c, const Caffe__NetParameter *param, const struct ot_doc *doc,
                    struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;
    struct ot_net_source *t = &c->test[c->ntest];
    size_t i = (size_t)c->ntest++;

    t->param = param;
    t->doc = doc;
    t->test_iter = i < s->n_test_iter ? s->test_iter[i] : 0;
    return set_state(c, t, CAFFE__PHASE__TEST, i < s->n_test_state ? s->test_state[i] : NULL, err);
}

static int find_test_nets(struct ot_config *c, struct ot_doc *shared, struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;
    size_t named = s->n_test_net + s->n_test_net_param, want = s->n_test_iter;
    bool generic = s->net || s->net_param;

    if (want == 0 && s->eval && generic)
        want = named + 1; /* detection: the whole test set, however long */
    if (s->n_test_state && s->n_test_state != want)
        return ot_fail_at(err, ot_doc_loc(c->doc, s, "test_state"), OT_ECONFIG,
                          "test_state is given %zu times for %zu test nets; give one each, or none",
                          s->n_test_state, want);
    if (want > OT_MAX_TEST_NETS)
        return ot_fail_at(err, ot_doc_loc(c->doc, s, "test_iter"), OT_ECONFIG,
                          "%zu test nets, at most %d are supported", want, OT_MAX_TEST_NETS);
    if (want < named || (want > named && !generic))
        return ot_fail_at(err, ot_doc_loc(c->doc, s, "test_iter"), OT_ECONFIG,
                          "test_iter has %zu values for %zu test nets; give one each", want, named);
    for (size_t i = 0; i < s->n_test_net_param; i++)
        if (add_test(c, s->test_net_param[i], c->doc, err) < 0)
            return err->code;
    for (size_t i = 0; i < s->n_test_net; i++) {
        struct ot_doc *doc = load_net(c, s->test_net[i], "test_net", err);

        if (!doc || add_test(c, root_net(doc), doc, err) < 0)
            return err->code;
    }
    while ((size_t)c->ntest < want)
        if (add_test(c, s->net ? root_net(shared) : s->net_param, s->net ? shared : c->doc, err) <
            0)
            return err->code;
    return 0;
}

/* ---- --set ----------------------------------------------------------------------------------- */

/* layer[NAME] becomes layer[INDEX], for every layer of that name (both phases have one). */
static int set_in_net(struct ot_config *c, struct ot_doc *doc, const char *path, const char *value,
                      struct ot_err *err)
{
    const Caffe__NetParameter *np = root_net(doc);
    const char *close = strchr(path, ']');
    char name[256], by_index[1024];
    int found = 0;

    if (strncmp(path, "layer[", 6) != 0 || !close ||
        strspn(path + 6, "0123456789") == (size_t)(close - path - 6))
        return ot_text_set(doc, path, value, err);
    (void)snprintf(name, sizeof name, "%.*s", (int)(close - path - 6), path + 6);
    for (size_t i = 0; i < np->n_layer; i++) {
        if (!np->layer[i]->name || strcmp(np->layer[i]->name, name) != 0)
            continue;
        (void)snprintf(by_index, sizeof by_index, "layer[%zu]%s", i, close + 1);
        if (ot_text_set(doc, by_index, value, err) < 0)
            return err->code;
        found++;
    }
    (void)c;
    return found ? 0
                 : ot_fail(err, OT_EUSAGE, "--set net.%s: the net has no layer '%s'", path, name);
}

static int apply_sets(struct ot_config *c, struct ot_doc *net, const char *const *sets, int nset,
                      bool nets, struct ot_err *err)
{
    for (int i = 0; i < nset; i++) {
        const char *eq = strchr(sets[i], '=');
        bool in_net = !strncmp(sets[i], "net.", 4);
        char path[1024];

        if (!eq || eq == sets[i])
            return ot_fail(err, OT_EUSAGE, "--set '%s': must be path=value", sets[i]);
        if (in_net != nets)
            continue;
        (void)snprintf(path, sizeof path, "%.*s", (int)(eq - sets[i]), sets[i]);
        if (!nets && ot_text_set(c->doc, path, eq + 1, err) < 0)
            return err->code;
        if (nets && !net)
            return ot_fail(err, OT_EUSAGE, "--set %s: the net is inline; use net_param.", path);
        if (nets && set_in_net(c, net, path + 4, eq + 1, err) < 0)
            return err->code;
    }
    return 0;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static const char *stem(const char *path, char *buf, size_t n)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    (void)snprintf(buf, n, "%.*s", dot && dot != name ? (int)(dot - name) : (int)strlen(name),
                   name);
    return buf;
}

static int check_numbers(const struct ot_config *c, struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;

    const struct {
        const char *field;
        bool bad;
        double got;
        const char *rule;
    } rule[] = {
        { "base_lr", s->has_base_lr && !(s->base_lr >= 0), (double)s->base_lr, ">= 0" },
        { "max_iter", s->max_iter < 0, s->max_iter, ">= 0" },
        { "iter_size", s->iter_size < 1, s->iter_size, ">= 1" },
        { "average_loss", s->average_loss < 1, s->average_loss, ">= 1" },
        { "display", s->display < 0, s->display, ">= 0" },
        { "snapshot", s->snapshot < 0, s->snapshot, ">= 0" },
        { "test_interval", s->test_interval < 0, s->test_interval, ">= 0" },
        { "weight_decay", !(s->weight_decay >= 0), (double)s->weight_decay, ">= 0" },
        { "clip_gradients", isnan(s->clip_gradients), (double)s->clip_gradients, "a number" },
        { "warmup_iter", !(s->warmup_iter >= 0), (double)s->warmup_iter, ">= 0" },
        { "max_time_s", !(s->max_time_s >= 0), (double)s->max_time_s, ">= 0" },
        { "snapshot_keep", s->snapshot_keep < 0, s->snapshot_keep, ">= 0" },
        { "momentum", !(s->momentum >= 0 && s->momentum < 1), (double)s->momentum, "in [0, 1)" },
        { "workspace_mb", s->workspace_mb < 1 || s->workspace_mb > 1 << 20, s->workspace_mb,
          "in [1, 1048576]" },
        { "device_id", s->device_id < 0 || s->device_id > 1023, s->device_id, "in [0, 1023]" },
        { "threads", s->threads < 0 || s->threads > 1024, s->threads, "in [0, 1024]" },
        { "data_threads", s->data_threads < 0 || s->data_threads > 256, s->data_threads,
          "in [0, 256]" },
    };

    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++)
        if (rule[i].bad)
            return ot_fail_at(err, ot_doc_loc(c->doc, s, rule[i].field), OT_ECONFIG,
                              "%s: must be %s, got %g", rule[i].field, rule[i].rule, rule[i].got);
    return 0;
}

static int check_rest(const struct ot_config *c, struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;
    const Caffe__NetParameter *net = c->train.param;

    if (!s->has_max_iter)
        return ot_fail_at(err, ot_doc_loc(c->doc, s, NULL), OT_ECONFIG, "max_iter is missing");
    if (s->n_class_name && net->has_num_classes && s->n_class_name != net->num_classes)
        return ot_fail_at(err, ot_doc_loc(c->doc, s, "class_name"), OT_ECONFIG,
                          "class_name: %zu names, but the net's num_classes is %u (background "
                          "included)",
                          s->n_class_name, net->num_classes);
    return 0;
}

static int fill_in(struct ot_config *c, struct ot_err *err)
{
    const Caffe__SolverParameter *s = c->solver;
    char name[256];

    c->seed = s->random_seed >= 0 ? (unsigned long long)s->random_seed : 1;
    if (s->run_dir)
        c->run_dir = ot_config_path(c, s->run_dir, NULL, err);
    else
        c->run_dir = ot_arena_printf(&c->arena, err, "runs/%s", stem(c->path, name, sizeof name));
    if (!c->run_dir)
        return ot_err_at(err, ot_doc_loc(c->doc, s, "run_dir"));
    if (s->snapshot_prefix)
        c->prefix = ot_config_path(c, s->snapshot_prefix, NULL, err);
    if (c->prefix && ot_is_dir(c->prefix)) /* as Caffe does */
        c->prefix = ot_arena_printf(&c->arena, err, "%s/%s", c->prefix,
                                    stem(c->path, name, sizeof name));
    if (!s->snapshot_prefix)
        c->prefix = ot_arena_printf(&c->arena, err, "%s/%s", c->run_dir,
                                    stem(c->path, name, sizeof name));
    return c->prefix ? 0 : err->code;
}

static int load(struct ot_config *c, const char *const *sets, int nset, bool no_mining,
                struct ot_err *err)
{
    struct ot_doc *shared = NULL;
    Caffe__SolverParameter *s;

    c->doc = ot_text_parse_file(&caffe__solver_parameter__descriptor, c->path, err);
    if (!c->doc)
        return err->code;
    c->solver = s = (Caffe__SolverParameter *)(void *)ot_doc_root(c->doc);
    /* --set speaks of today's fields; what it writes in the old ones is upgraded too */
    if (upgraded(c->path, ot_upgrade_solver(c->doc, s, err)) < 0 ||
        apply_sets(c, NULL, sets, nset, false, err) < 0 || ot_upgrade_solver(c->doc, s, err) < 0)
        return err->code;
    if (no_mining)
        s->mining = NULL; /* its memory is the document's */
    if (find_train_net(c, &shared, err) < 0 || apply_sets(c, shared, sets, nset, true, err) < 0 ||
        (shared && ot_upgrade_net(shared, root_net(shared), err) < 0) ||
        find_test_nets(c, shared, err) < 0)
        return err->code;
    if (check_numbers(c, err) < 0 || check_rest(c, err) < 0)
        return err->code;
    return fill_in(c, err);
}

struct ot_config *ot_config_load(const char *path, const char *const *sets, int nset,
                                 bool no_mining, struct ot_err *err)
{
    struct ot_config *c = ot_alloc(1, sizeof *c, err);

    if (!c)
        return NULL;
    c->path = ot_arena_strdup(&c->arena, path, err);
    if (!c->path || load(c, sets, nset, no_mining, err) < 0) {
        ot_config_free(c);
        return NULL;
    }
    return c;
}

/* ---- one net, and the command line ------------------------------------------------------------
 */

/* The state's own stages come first, as Caffe adds those of its command line. */
static int add_state(struct ot_config *c, struct ot_net_source *s, int level,
                     const char *const *stage, int nstage, struct ot_err *err)
{
    const char **all = ot_arena_alloc(&c->arena, (size_t)(s->nstage + nstage) + 1, sizeof *all,
                                      err);

    if (!all)
        return err->code;
    for (int i = 0; i < s->nstage; i++)
        all[i] = s->stage[i];
    for (int i = 0; i < nstage; i++) {
        all[s->nstage + i] = ot_arena_strdup(&c->arena, stage[i], err);
        if (!all[s->nstage + i])
            return err->code;
    }
    s->stage = all;
    s->nstage += nstage;
    s->level = level;
    return 0;
}

int ot_config_train_state(struct ot_config *c, int level, const char *const *stage, int nstage,
                          struct ot_err *err)
{
    return add_state(c, &c->train, level, stage, nstage, err);
}

static int load_model(struct ot_config *c, Caffe__Phase phase, int level, const char *const *stage,
                      int nstage, struct ot_err *err)
{
    Caffe__SolverParameter *none = ot_arena_alloc(&c->arena, 1, sizeof *none, err);
    const Caffe__NetState *own;
    struct ot_doc *doc;

    if (!none)
        return err->code;
    caffe__solver_parameter__init(none);
    c->solver = none;
    c->run_dir = c->prefix = "";
    c->seed = 1;
    doc = load_net(c, c->path, "net", err);
    if (!doc)
        return err->code;
    c->train.param = root_net(doc);
    c->train.doc = doc;
    own = c->train.param->state;
    if (set_state(c, &c->train, phase, NULL, err) < 0)
        return err->code;
    c->train.phase = phase; /* the command line's word is the last, as in `caffe test` and `time` */
    return add_state(c, &c->train, level ? level : own ? own->level : 0, stage, nstage, err);
}

struct ot_config *ot_config_model(const char *path, Caffe__Phase phase, int level,
                                  const char *const *stage, int nstage, struct ot_err *err)
{
    struct ot_config *c = ot_alloc(1, sizeof *c, err);

    if (!c)
        return NULL;
    c->path = ot_arena_strdup(&c->arena, path, err);
    if (!c->path || load_model(c, phase, level, stage, nstage, err) < 0) {
        ot_config_free(c);
        return NULL;
    }
    return c;
}

void ot_config_free(struct ot_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n_net_doc; i++)
        ot_doc_free(c->net_doc[i]);
    ot_doc_free(c->doc);
    ot_arena_release(&c->arena);
    ot_free(c);
}
