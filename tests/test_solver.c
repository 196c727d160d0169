/*
 * test_solver.c - the update of a net with two parameters, by hand: clip, divide, decay, momentum;
 * every learning-rate policy as caffe.proto documents it; and what is refused.
 */
#include <math.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/netkit.h"
#include "tests/tinydb.h"
#include "trainer/config.h"
#include "trainer/solver.h"

/* loss = -log softmax(w x + b)[0] of one example: gradients that can be written down */
static const char net_text[] =
    "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 1 } } }"
    "layer { name: 'label' type: 'Input' top: 'label' input_param { shape { dim: 1 } } }"
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' "
    "  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0.5 } "
    "  inner_product_param { num_output: 2 } }"
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }";

struct bench {
    struct ot_config *config;
    struct ot_kit kit;
    struct ot_solver *solver;
    double w[2], b[2], vw[2], vb[2]; /* by hand */
    double x;
};

static struct ot_config *config(const char *lines, struct ot_err *err)
{
    static int count;
    char text[1000], name[32];

    (void)snprintf(name, sizeof name, "solver%d.conf", count++);
    (void)snprintf(text, sizeof text, "net: \"%s\"\nmax_iter: 100\n%s\n",
                   ot_tiny_file("net.prototxt", net_text), lines);
    return ot_config_load(ot_tiny_file(name, text), NULL, 0, false, err);
}

static void set_up(struct bench *t, const char *lines)
{
    static const float w[2] = { 0.5f, -0.25f }, b[2] = { 0.125f, -1 };
    struct ot_err err = OT_ERR_INIT;

    *t = (struct bench){ .w = { 0.5, -0.25 }, .b = { 0.125, -1 }, .x = 1.5 };
    t->config = config(lines, &err);
    assert_ok(t->config ? 0 : err.code, &err);
    t->kit = ot_kit_open(net_text, (struct ot_net_conf){ 0 });
    assert_ok(ot_net_history(t->kit.net, 1, &err), &err);
    t->solver = ot_solver_new(t->config, t->kit.net, &err);
    assert_ok(t->solver ? 0 : err.code, &err);
    assert_ok(ot_param_set(t->kit.net, t->kit.net->learn[0], OT_PARAM_DATA, w, &err), &err);
    assert_ok(ot_param_set(t->kit.net, t->kit.net->learn[1], OT_PARAM_DATA, b, &err), &err);
    ot_kit_set(&t->kit, "data", (const float[]){ (float)t->x });
    ot_kit_set(&t->kit, "label", (const float[]){ 0 });
}

static void tear_down(struct bench *t)
{
    ot_solver_free(t->solver);
    ot_kit_close(&t->kit);
    ot_config_free(t->config);
}

/* d loss / d score_j = p_j - [j == 0] */
static void gradient(const struct bench *t, double gw[2], double gb[2])
{
    double s0 = t->w[0] * t->x + t->b[0], s1 = t->w[1] * t->x + t->b[1];
    double p0 = 1 / (1 + exp(s1 - s0));

    gb[0] = p0 - 1;
    gb[1] = 1 - p0;
    gw[0] = gb[0] * t->x;
    gw[1] = gb[1] * t->x;
}

struct rule {
    double lr, momentum, decay, clip; /* clip 0: none */
    bool l1;
    int iter_size;
};

static double regular(double w, double decay, bool l1)
{
    return l1 ? decay * ((w > 0) - (w < 0)) : decay * w;
}

static void by_hand(struct bench *t, const struct rule *r)
{
    double gw[2], gb[2], norm = 0, scale = 1;

    gradient(t, gw, gb);
    for (int i = 0; i < 2; i++) { /* the sum over iter_size equal passes */
        gw[i] *= r->iter_size;
        gb[i] *= r->iter_size;
        norm += gw[i] * gw[i] + gb[i] * gb[i];
    }
    norm = sqrt(norm);
    if (r->clip > 0 && norm > r->clip)
        scale = r->clip / norm;
    for (int i = 0; i < 2; i++) {
        gw[i] = gw[i] * scale / r->iter_size + regular(t->w[i], r->decay, r->l1);
        gb[i] = gb[i] * scale / r->iter_size + regular(t->b[i], r->decay * 0.5, r->l1);
        t->vw[i] = r->momentum * t->vw[i] + r->lr * gw[i];
        t->vb[i] = r->momentum * t->vb[i] + r->lr * 2 * gb[i];
        t->w[i] -= t->vw[i];
        t->b[i] -= t->vb[i];
    }
}

static void follows(const char *lines, const struct rule *r)
{
    struct ot_err err = OT_ERR_INIT;
    struct bench t;

    set_up(&t, lines);
    for (int step = 0; step < 5; step++) {
        float *w, *b, *v;

        for (int k = 0; k < r->iter_size; k++) {
            (void)ot_kit_forward(&t.kit);
            assert_ok(ot_net_backward(t.kit.net, &err), &err);
        }
        assert_ok(ot_solver_update(t.solver, ot_solver_lr(t.solver), &err), &err);
        by_hand(&t, r);
        w = ot_kit_param(t.kit.net, t.kit.net->learn[0], OT_PARAM_DATA, NULL);
        b = ot_kit_param(t.kit.net, t.kit.net->learn[1], OT_PARAM_DATA, NULL);
        v = ot_kit_param(t.kit.net, t.kit.net->learn[1], OT_PARAM_HIST0, NULL);
        for (int i = 0; i < 2; i++) {
            assert_near(w[i], t.w[i], 2e-6);
            assert_near(b[i], t.b[i], 2e-6);
            assert_near(v[i], t.vb[i], 2e-6);
        }
        ot_free(w);
        ot_free(b);
        ot_free(v);
    }
    assert_int_equal(t.solver->iter, 5);
    tear_down(&t);
}

static void an_update_is_the_gradient_times_the_rate(void **state)
{
    (void)state;
    follows("base_lr: 0.1 lr_policy: 'fixed'", &(struct rule){ .lr = 0.1, .iter_size = 1 });
}

static void momentum_holds_the_learning_rate(void **state)
{
    (void)state;
    follows("base_lr: 0.1 lr_policy: 'fixed' momentum: 0.9",
            &(struct rule){ .lr = 0.1, .momentum = 0.9, .iter_size = 1 });
}

static void decay_is_added_to_the_gradient_times_its_multiplier(void **state)
{
    (void)state;
    follows("base_lr: 0.1 lr_policy: 'fixed' momentum: 0.5 weight_decay: 0.2",
            &(struct rule){ .lr = 0.1, .momentum = 0.5, .decay = 0.2, .iter_size = 1 });
    follows("base_lr: 0.1 lr_policy: 'fixed' weight_decay: 0.2 regularization_type: 'L1'",
            &(struct rule){ .lr = 0.1, .decay = 0.2, .l1 = true, .iter_size = 1 });
}

static void iter_size_takes_the_mean_of_the_passes(void **state)
{
    (void)state;
    follows("base_lr: 0.1 lr_policy: 'fixed' momentum: 0.5 weight_decay: 0.2 iter_size: 3",
            &(struct rule){ .lr = 0.1, .momentum = 0.5, .decay = 0.2, .iter_size = 3 });
}

/* Caffe clips the sum over iter_size passes, before dividing and before the decay. */
static void clipping_is_of_the_sum_before_decay(void **state)
{
    (void)state;
    follows("base_lr: 0.1 lr_policy: 'fixed' clip_gradients: 0.5 weight_decay: 0.2 iter_size: 2",
            &(struct rule){ .lr = 0.1, .decay = 0.2, .clip = 0.5, .iter_size = 2 });
    follows("base_lr: 0.1 lr_policy: 'fixed' clip_gradients: 50",
            &(struct rule){ .lr = 0.1, .iter_size = 1 });
}

static void a_parameter_that_no_loss_reaches_still_decays(void **state)
{
    struct ot_err err = OT_ERR_INIT;
    struct bench t;
    float *w;

    (void)state;
    set_up(&t, "base_lr: 0.1 lr_policy: 'fixed' weight_decay: 0.2");
    ot_net_zero_grads(t.kit.net);
    assert_ok(ot_solver_update(t.solver, 0.1, &err), &err);
    w = ot_kit_param(t.kit.net, t.kit.net->learn[0], OT_PARAM_DATA, NULL);
    assert_near(w[0], 0.5 * (1 - 0.1 * 0.2), 1e-7);
    ot_free(w);
    tear_down(&t);
}

/* ---- policies ------------------------------------------------------------------------ */

static double rate_at(const char *lines, int64_t iter)
{
    struct bench t;
    double lr = 0;

    set_up(&t, lines);
    for (int64_t i = 0; i <= iter; i++) { /* multistep moves one step an iteration */
        t.solver->iter = i;
        lr = ot_solver_lr(t.solver);
    }
    tear_down(&t);
    return lr;
}

static void every_policy_is_its_formula(void **state)
{
    static const struct {
        const char *lines;
        int64_t iter;
        double lr;
    } table[] = {
        { "lr_policy: 'fixed'", 70, 0.5 },
        { "lr_policy: 'step' gamma: 0.1 stepsize: 10", 9, 0.5 },
        { "lr_policy: 'step' gamma: 0.1 stepsize: 10", 10, 0.05 },
        { "lr_policy: 'step' gamma: 0.1 stepsize: 10", 39, 0.0005 },
        { "lr_policy: 'exp' gamma: 0.9", 3, 0.3645 },
        { "lr_policy: 'inv' gamma: 0.5 power: 2", 4, 0.5 / 9 },
        { "lr_policy: 'poly' power: 2", 50, 0.125 },
        { "lr_policy: 'poly' power: 2", 0, 0.5 },
        { "lr_policy: 'sigmoid' gamma: -0.5 stepsize: 10", 10, 0.25 },
        { "lr_policy: 'sigmoid' gamma: -0.5 stepsize: 10", 14, 0.0596014610 },
        { "lr_policy: 'multistep' gamma: 0.1 stepvalue: 3 stepvalue: 5", 2, 0.5 },
        { "lr_policy: 'multistep' gamma: 0.1 stepvalue: 3 stepvalue: 5", 3, 0.05 },
        { "lr_policy: 'multistep' gamma: 0.1 stepvalue: 3 stepvalue: 5", 99, 0.005 },
        { "lr_policy: 'multistep' gamma: 0.1", 99, 0.5 }, /* never decays, as in Caffe */
        { "lr_policy: 'fixed' warmup_iter: 10", 0, 0.05 },
        { "lr_policy: 'fixed' warmup_iter: 10", 9, 0.5 },
        { "lr_policy: 'fixed' warmup_iter: 10", 10, 0.5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char lines[200];
        double lr;

        (void)snprintf(lines, sizeof lines, "base_lr: 0.5 %s", table[i].lines);
        lr = rate_at(lines, table[i].iter);
        if (!(fabs(lr - table[i].lr) <= 1e-6 * table[i].lr))
            fail_msg("%s at %d: %.9g, wanted %.9g", table[i].lines, (int)table[i].iter, lr,
                     table[i].lr);
    }
}

static void what_a_policy_needs_is_asked_for(void **state)
{
    static const struct {
        const char *lines, *message;
    } table[] = {
        { "base_lr: 1", "lr_policy: must be fixed, step," },
        { "base_lr: 1 lr_policy: 'cosine'", ":3:12: lr_policy: must be fixed, step," },
        { "lr_policy: 'fixed'", "needs base_lr" },
        { "base_lr: 1 lr_policy: 'step' gamma: 0.1", "\"step\" needs stepsize > 0" },
        { "base_lr: 1 lr_policy: 'step' stepsize: 0 gamma: 1", "\"step\" needs stepsize > 0" },
        { "base_lr: 1 lr_policy: 'step' stepsize: 5", "\"step\" needs gamma" },
        { "base_lr: 1 lr_policy: 'exp'", "\"exp\" needs gamma" },
        { "base_lr: 1 lr_policy: 'inv' gamma: 1", "\"inv\" needs power" },
        { "base_lr: 1 lr_policy: 'poly'", "\"poly\" needs power" },
        { "base_lr: 1 lr_policy: 'multistep' stepvalue: 3", "\"multistep\" needs gamma" },
        { "base_lr: 1 lr_policy: 'fixed' type: 'Adagrad'",
          "type: must be SGD, Nesterov, AdaGrad, RMSProp, AdaDelta or Adam, got \"Adagrad\"" },
        { "base_lr: 1 lr_policy: 'fixed' type: 'AdaGrad' momentum: 0.5",
          "momentum: AdaGrad has none, it must be 0, got 0.5" },
        { "base_lr: 1 lr_policy: 'fixed' type: 'RMSProp' rms_decay: 1",
          "rms_decay: must be in [0, 1), got 1" },
        { "base_lr: 1 lr_policy: 'fixed' type: 'Adam' momentum2: 1.5",
          "momentum2: must be in [0, 1), got 1.5" },
        { "base_lr: 1 lr_policy: 'fixed' type: 'AdaDelta' delta: -1",
          "delta: must be >= 0, got -1" },
        { "base_lr: 1 lr_policy: 'fixed' regularization_type: 'L3'", "got \"L3\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_config *c = config(table[i].lines, &err);
        struct ot_kit k = ot_kit_open(net_text, (struct ot_net_conf){ 0 });

        assert_ok(c ? 0 : err.code, &err);
        assert_null(ot_solver_new(c, k.net, &err));
        assert_error(&err, OT_ECONFIG, table[i].message);
        ot_kit_close(&k);
        ot_config_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_the_gradient_times_the_rate),
        cmocka_unit_test(momentum_holds_the_learning_rate),
        cmocka_unit_test(decay_is_added_to_the_gradient_times_its_multiplier),
        cmocka_unit_test(iter_size_takes_the_mean_of_the_passes),
        cmocka_unit_test(clipping_is_of_the_sum_before_decay),
        cmocka_unit_test(a_parameter_that_no_loss_reaches_still_decays),
        cmocka_unit_test(every_policy_is_its_formula),
        cmocka_unit_test(what_a_policy_needs_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
