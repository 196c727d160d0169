/* solver.c - see solver.h; policies from Caffe's sgd_solver.cpp as caffe.proto documents them. */
#include "trainer/solver.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum policy { FIXED, STEP, EXP, INV, MULTISTEP, POLY, SIGMOID, N_POLICY };

static const char *const policy_name[N_POLICY] = { "fixed",     "step", "exp",    "inv",
                                                   "multistep", "poly", "sigmoid" };

static enum policy policy_of(const Caffe__SolverParameter *p)
{
    for (int i = 0; i < N_POLICY; i++)
        if (p->lr_policy && !strcmp(p->lr_policy, policy_name[i]))
            return (enum policy)i;
    return N_POLICY;
}

static int need(const struct ot_config *c, bool has, const char *field, struct ot_err *err)
{
    if (has)
        return 0;
    return ot_fail_at(err, ot_doc_loc(c->doc, c->solver, "lr_policy"), OT_ECONFIG,
                      "lr_policy \"%s\" needs %s", c->solver->lr_policy, field);
}

static int check_policy(const struct ot_config *c, struct ot_err *err)
{
    const Caffe__SolverParameter *p = c->solver;
    enum policy k = policy_of(p);

    if (k == N_POLICY)
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "lr_policy"), OT_ECONFIG,
                          "lr_policy: must be fixed, step, exp, inv, multistep, poly or sigmoid, "
                          "got \"%s\"",
                          p->lr_policy ? p->lr_policy : "");
    if (need(c, p->has_base_lr, "base_lr", err) < 0)
        return err->code;
    if ((k == STEP || k == SIGMOID) &&
        need(c, p->has_stepsize && p->stepsize > 0, "stepsize > 0", err) < 0)
        return err->code;
    if ((k == STEP || k == EXP || k == INV || k == MULTISTEP || k == SIGMOID) &&
        need(c, p->has_gamma, "gamma", err) < 0)
        return err->code;
    if ((k == INV || k == POLY) && need(c, p->has_power, "power", err) < 0)
        return err->code;
    if (k == POLY && need(c, p->max_iter > 0, "max_iter > 0", err) < 0)
        return err->code;
    return 0;
}

static const char *const type_name[] = {
    "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"
};

/* solver_type has become `type` when the file was read (proto/upgrade.h). */
static int find_type(const struct ot_config *c, enum ot_update_kind *kind, struct ot_err *err)
{
    const Caffe__SolverParameter *p = c->solver;

    for (size_t i = 0; i < sizeof type_name / sizeof type_name[0]; i++)
        if (!strcmp(p->type, type_name[i])) {
            *kind = (enum ot_update_kind)i;
            return 0;
        }
    return ot_fail_at(err, ot_doc_loc(c->doc, p, "type"), OT_ECONFIG,
                      "type: must be SGD, Nesterov, AdaGrad, RMSProp, AdaDelta or Adam, got \"%s\"",
                      p->type);
}

static int check_type(const struct ot_config *c, enum ot_update_kind *kind, struct ot_err *err)
{
    const Caffe__SolverParameter *p = c->solver;
    const char *reg = p->regularization_type;

    if (find_type(c, kind, err) < 0)
        return err->code;
    if ((*kind == OT_UPDATE_ADAGRAD || *kind == OT_UPDATE_RMSPROP) && p->momentum != 0.0f)
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "momentum"), OT_ECONFIG,
                          "momentum: %s has none, it must be 0, got %g", p->type,
                          (double)p->momentum);
    if (*kind == OT_UPDATE_RMSPROP && !(p->rms_decay >= 0 && p->rms_decay < 1))
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "rms_decay"), OT_ECONFIG,
                          "rms_decay: must be in [0, 1), got %g", (double)p->rms_decay);
    if (*kind == OT_UPDATE_ADAM && !(p->momentum2 >= 0 && p->momentum2 < 1))
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "momentum2"), OT_ECONFIG,
                          "momentum2: must be in [0, 1), got %g", (double)p->momentum2);
    if (*kind >= OT_UPDATE_ADAGRAD && !(p->delta >= 0))
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "delta"), OT_ECONFIG,
                          "delta: must be >= 0, got %g", (double)p->delta);
    if (reg && strcmp(reg, "L2") != 0 && strcmp(reg, "L1") != 0)
        return ot_fail_at(err, ot_doc_loc(c->doc, p, "regularization_type"), OT_ECONFIG,
                          "regularization_type: must be \"L2\" or \"L1\", got \"%s\"", reg);
    return 0;
}

int ot_solver_histories(const struct ot_solver *s)
{
    return s->kind == OT_UPDATE_ADADELTA || s->kind == OT_UPDATE_ADAM ? 2 : 1;
}

struct ot_solver *ot_solver_new(const struct ot_config *config, struct ot_net *net,
                                struct ot_err *err)
{
    enum ot_update_kind kind = OT_UPDATE_SGD;
    struct ot_solver *s;

    if (check_type(config, &kind, err) < 0 || check_policy(config, err) < 0)
        return NULL;
    s = ot_alloc(1, sizeof *s, err);
    if (!s)
        return NULL;
    s->config = config;
    s->kind = kind;
    s->param = config->solver;
    s->net = net;
    s->seg = ot_alloc(net->nlearn + 1, sizeof *s->seg, err);
    s->dev_norm = s->seg ? net->env.dev->ops->alloc(net->env.dev, sizeof(double), err) : NULL;
    if (!s->dev_norm) {
        ot_solver_free(s);
        return NULL;
    }
    return s;
}

void ot_solver_free(struct ot_solver *s)
{
    if (!s)
        return;
    ot_net_forget(s->net);
    if (s->dev_norm)
        s->net->env.dev->ops->free(s->net->env.dev, s->dev_norm);
    ot_free(s->seg);
    ot_free(s);
}

double ot_solver_lr(struct ot_solver *s)
{
    const Caffe__SolverParameter *p = s->param;
    double b = (double)p->base_lr, g = (double)p->gamma, it = (double)s->iter, lr = b;

    switch (policy_of(p)) {
    case FIXED:
    case N_POLICY:
        break;
    case STEP:
        lr = b * pow(g, floor(it / p->stepsize));
        break;
    case EXP:
        lr = b * pow(g, it);
        break;
    case INV:
        lr = b * pow(1.0 + g * it, -(double)p->power);
        break;
    case MULTISTEP: /* at most one step an iteration, as Caffe */
        if ((size_t)s->current_step < p->n_stepvalue && s->iter >= p->stepvalue[s->current_step])
            s->current_step++;
        lr = b * pow(g, s->current_step);
        break;
    case POLY:
        lr = b * pow(1.0 - it / p->max_iter, (double)p->power);
        break;
    case SIGMOID:
        lr = b / (1.0 + exp(-g * (it - p->stepsize)));
        break;
    }
    if (p->warmup_iter > 0 && it < (double)p->warmup_iter)
        lr *= (it + 1) / (double)p->warmup_iter;
    return lr;
}

/* Every parameter takes part: one that no pass reached has gradient zero, and still decays. */
static void zero_unreached(struct ot_net *net)
{
    struct ot_dev *dev = net->env.dev;

    for (size_t k = 0; k < net->nlearn; k++) {
        struct ot_param *p = net->learn[k];

        if (p->need_grad && p->grad_zero) {
            dev->k->fill(dev, OT_F32, p->grad.elems, 0.0f, p->grad.data);
            p->grad_zero = false;
        }
    }
}

/* Adam: what takes its bias out in the first iterations. */
static float correction(const struct ot_solver *s)
{
    const double t = (double)s->iter + 1, m = (double)s->param->momentum;

    return (float)(sqrt(1 - pow((double)s->param->momentum2, t)) / (1 - pow(m, t)));
}

static struct ot_update_rule rule_of(const struct ot_solver *s)
{
    const Caffe__SolverParameter *p = s->param;
    const char *reg = p->regularization_type;

    return (struct ot_update_rule){ .kind = s->kind,
                                    .l1 = reg && !strcmp(reg, "L1"),
                                    .iter_size = p->iter_size,
                                    .clip = (double)p->clip_gradients,
                                    .momentum = p->momentum,
                                    .momentum2 = p->momentum2,
                                    .delta = p->delta,
                                    .rms_decay = p->rms_decay };
}

static int update(void *arg, struct ot_err *err)
{
    struct ot_solver *s = arg;
    struct ot_dev *dev = s->net->env.dev;
    const struct ot_update_rule rule = rule_of(s);
    int n = 0;

    (void)err;
    zero_unreached(s->net);
    for (size_t k = 0; k < s->net->nlearn; k++) {
        struct ot_param *p = s->net->learn[k];

        if (!p->need_grad)
            continue;
        s->seg[n++] = (struct ot_update_seg){ .w = p->data.data,
                                              .g = p->grad.data,
                                              .h = p->hist[0],
                                              .h2 = p->hist[1],
                                              .n = p->data.elems,
                                              .lr_mult = p->lr_mult,
                                              .decay = s->param->weight_decay * p->decay_mult };
    }
    if (rule.clip >= 0.0)
        dev->k->grad_norm(dev, s->seg, n, s->dev_norm);
    dev->k->solver_update(dev, &rule, s->seg, n, s->dev_norm);
    return 0;
}

int ot_solver_update(struct ot_solver *s, double lr, struct ot_err *err)
{
    struct ot_net *net = s->net;
    struct ot_dev *dev = net->env.dev;
    struct ot_step step = dev->step;
    int rc;

    step.lr = (float)lr;
    step.correction = correction(s);
    ot_dev_step(dev, &step);
    rc = ot_net_replay(net, OT_REPLAY_UPDATE, update, s, err);
    ot_net_zero_grads(net);
    ot_net_params_changed(net);
    s->iter++;
    return rc < 0 ? rc : ot_net_ok(net, err);
}
