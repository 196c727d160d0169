/* test_miner_proof.c - what mining proves of itself: control group, thermometer, share, sentinel.
 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner_impl.h"
#include "tests/check.h"
#include "tests/miner_story.h"

static float rnd(uint64_t seed, uint64_t it, uint64_t i)
{
    return ot_rng_unit(seed, OT_RNG_TEST, it, i);
}

/* ---- the control group ----------------------------------------------------------------------- */

static void the_control_group_is_admitted_and_never_re_injected(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_miner_counts n;
    int control = 0;

    (void)st;
    c.control = 0.1f;
    c.capacity = 5000;
    c.min_fresh = 0;
    c.probe_conf = 1;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 5000; i++) {
        ot_story_see1(m, 0, false, i, 5);
        control += ot_in_control(m, i);
    }
    n = ot_miner_counts(m);
    assert_near(control, 500, 4 * sqrt(450)); /* 4 standard deviations */
    assert_int_equal(n.control, control);
    assert_int_equal(n.waiting, 5000 - control);
    assert_int_equal(n.waiting_samples, 5000 - control);
    for (int64_t it = 1; it < 300; it++) {
        uint32_t batch[2];

        assert_int_equal(ot_miner_next(m, it, batch), 2);
        assert_false(ot_in_control(m, batch[0]) || ot_in_control(m, batch[1]));
        ot_story_see1(m, it, true, batch[0], 5);
    }
    assert_int_equal(ot_miner_counts(m).control, control);
    ot_miner_free(m);
}

static void the_control_group_learns_forgets_and_is_quarantined(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k = ot_story_look(7, 5);

    (void)st;
    c.control = 1;
    c.scope_all = true;
    c.scope_looks = 9;
    c.scope_margin = 0.1f;
    m = ot_story_born(&c, &s);
    ot_story_see(m, 0, false, &k, 1);
    assert_string_equal(s.why, "loss 5.00 > threshold 2; class share 100 %; control group");
    ot_story_see1(m, 1, false, 7, 0.1f);
    ot_story_see1(m, 2, false, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    ot_story_see1(m, 3, false, 7, 5);
    assert_int_equal(s.n[OT_EV_FORGOT], 1);
    assert_int_equal(ot_miner_counts(m).control, 1);
    k.p_pred = 0.95f;
    for (int64_t it = 4; it < 50; it++)
        ot_story_see_known(m, it, &k);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    ot_miner_free(m);
}

/* A run of 600 samples of two classes, all hard; each re-injection takes `gain` off the loss.  A
 * share `noise` of them has wrong labels, which are nearly always contradicted. */
static struct ot_mining_effect run_once(uint64_t seed, float gain, float noise, bool *each_class)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_mining_effect e[11];
    static int again[600];
    int n;

    c.seed = seed;
    c.control = 0.1f;
    c.n_samples = 600;
    c.batch = 20;
    c.max_share = 0.5f;
    m = ot_story_born(&c, &s);
    memset(again, 0, sizeof again);
    for (int64_t it = 0; it < 300; it++) {
        struct ot_look k[20];
        uint32_t batch[20];

        n = ot_miner_next(m, it, batch);
        for (int i = 0; i < 20; i++) {
            uint32_t x = n ? batch[i] : (uint32_t)(rnd(seed, (uint64_t)it, (uint64_t)i) * 600);
            float u = rnd(seed, (uint64_t)it, 100 + (uint64_t)i);
            bool wrong = rnd(seed, 1000, x) < noise && u > 0.1f;

            k[i] = ot_story_look(x, wrong ? 6 : 2.5f + 2 * u - gain * (float)again[x]);
            k[i].label = k[i].given = (int)(x % 2);
            k[i].p_pred = wrong ? 0.95f : 0.5f;
            again[x] += n > 0;
        }
        ot_story_see(m, it, n > 0, k, 20);
    }
    n = ot_miner_effects(m, e, 11);
    assert_int_equal(n, 3);
    assert_true(e[0].label == 0 && e[1].label == 1 && e[2].label == -1);
    assert_int_equal(e[2].n_control, e[0].n_control + e[1].n_control);
    assert_int_equal(e[2].n_treated, e[0].n_treated + e[1].n_treated);
    *each_class = e[0].lo > 0 && e[1].lo > 0;
    ot_miner_free(m);
    return e[2];
}

static void the_effect_is_seen_where_there_is_one_and_only_there(void **st)
{
    int seen = 0, covered = 0, covered_with_noise = 0;
    bool each_class = false;

    (void)st;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct ot_mining_effect e = run_once(seed, 0.3f, 0, &each_class);

        seen += e.lo > 0;
        assert_true(e.lo < e.diff && e.diff < e.hi);
        e = run_once(seed, 0, 0, &each_class);
        covered += e.lo <= 0 && e.hi >= 0;
        /* the probe finds wrong labels among the treated only: no effect of mining */
        e = run_once(seed, 0, 0.2f, &each_class);
        covered_with_noise += e.lo <= 0 && e.hi >= 0;
    }
    assert_true(seen >= 18);
    assert_true(covered >= 18);
    assert_true(covered_with_noise >= 18);
}

static void the_interval_is_welchs(void **st)
{
    static const float treated[] = { 1, 2, 3, 4 }, control[] = { 5, 7, 9 };
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_mining_effect e[11];
    int nt = 0, nc = 0;

    (void)st;
    c.control = 0.5f;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; nt < 4 || nc < 3; i++) {
        bool in = ot_in_control(m, i);

        if (in ? nc == 3 : nt == 4)
            continue;
        ot_story_see1(m, 0, false, i, 9);
        ot_story_see1(m, 1, false, i, in ? control[nc++] : treated[nt++]);
    }
    assert_int_equal(ot_miner_effects(m, e, 11), 2);
    assert_near(e[1].diff, 4.5, 1e-9);
    assert_near(e[1].lo, 4.5 - 4.0423, 0.01); /* t(0.975, 3.2347) sqrt(1.75) */
    assert_near(e[1].hi, 4.5 + 4.0423, 0.01);
    ot_miner_free(m);
}

static void evicted_instances_stay_in_the_effect(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_mining_effect e[11];
    int n;

    (void)st;
    c.capacity = 5;
    c.control = 0.5f;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 40; i++) {
        ot_story_see1(m, i, false, i, 3 + (float)i);
        ot_story_see1(m, i, false, i, 3 + (float)i);
    }
    assert_int_equal(ot_miner_counts(m).rows, 5);
    n = ot_miner_effects(m, e, 11);
    assert_int_equal(e[n - 1].n_treated + e[n - 1].n_control, 40);
    ot_miner_free(m);
}

static int64_t counted(const struct ot_miner *m)
{
    struct ot_mining_effect e[11];
    int n = ot_miner_effects(m, e, 11);

    return e[n - 1].n_treated + e[n - 1].n_control;
}

static void what_is_held_or_was_not_seen_since_is_left_out_of_the_effect(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_verdict v = { .sample = 1, .what = OT_VERDICT_IGNORE };
    struct ot_err err = OT_ERR_INIT;
    uint32_t batch[2];
    int64_t it = 1;

    (void)st;
    ot_story_see1(m, 0, false, 1, 5);
    ot_story_see1(m, 0, false, 2, 5);
    assert_int_equal(counted(m), 0); /* admitted, not seen since */
    for (int k = 0; k < 4; k++)
        ot_story_see1(m, it++, false, 1 + (uint32_t)k % 2, 5);
    ot_story_see1(m, it, false, 3, 1); /* never admitted */
    assert_int_equal(counted(m), 2);
    assert_ok(ot_miner_judge(m, it, &v, 1, &err), &err);
    assert_int_equal(counted(m), 1);
    assert_ok(ot_miner_judge(m, it, NULL, 0, &err), &err);
    assert_int_equal(counted(m), 2);
    while (ot_miner_counts(m).quarantined == 0 && it < 100) { /* only when re-injected */
        struct ot_look k = ot_story_look(2, 5);

        k.p_pred = 0.95f;
        if (ot_miner_next(m, ++it, batch))
            ot_story_see(m, it, true, &k, 1);
    }
    assert_int_equal(counted(m), 1);
    ot_miner_free(m);
}

/* ---- the thermometer ------------------------------------------------------------------------- */

static void planted_labels_are_wrong_weigh_nothing_and_spare_the_background(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    int planted = 0, times[10] = { 0 };

    (void)st;
    c.thermometer = 0.3f;
    c.first_class = 1;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 5000; i++) {
        int32_t label = ot_miner_label(m, i, OT_KIND_IMAGE, 0, 4);
        bool is = ot_is_planted(m, ot_row_key(i, OT_KIND_IMAGE, 0));

        assert_int_equal(is, label != 4);
        assert_in_range(label, 1, 9);
        assert_near(ot_miner_weight(m, i, OT_KIND_IMAGE, 0), is ? 0 : 1, 0);
        assert_int_equal(ot_miner_label(m, i, OT_KIND_GT_ROI, 0, 0), 0);
        assert_int_equal(ot_miner_label(m, i, OT_KIND_BG_ROI, -1, 0), 0);
        assert_near(ot_miner_weight(m, i, OT_KIND_BG_ROI, 0), 1, 0);
        planted += is;
        times[label]++;
    }
    assert_near(planted, 1500, 4 * sqrt(1050));
    for (int l = 1; l < 10; l++) /* each of the eight others alike */
        if (l != 4)
            assert_near(times[l], planted / 8.0, 4 * sqrt(planted / 8.0));
    ot_miner_free(m);
}

static void a_verdict_wins_over_a_planted_label(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_verdict v = { .sample = 7, .what = OT_VERDICT_HARD };
    struct ot_err err = OT_ERR_INIT;
    struct ot_look k = ot_story_look(7, 5);

    (void)st;
    c.thermometer = 1;
    m = ot_story_born(&c, &s);
    k.label = ot_miner_label(m, 7, OT_KIND_IMAGE, 0, 1);
    ot_story_see(m, 0, false, &k, 1);
    assert_true(s.last.planted && s.last.label == k.label && s.last.label_given == 1);
    assert_near(s.last.weight, 0, 0);
    assert_ok(ot_miner_judge(m, 1, &v, 1, &err), &err);
    assert_true(!s.last.planted && s.last.label == 1 && s.last.n_seen == 0);
    assert_near(ot_miner_weight(m, 7, OT_KIND_IMAGE, 0), 1, 0);
    assert_int_equal(ot_miner_label(m, 7, OT_KIND_IMAGE, 0, 1), 1);
    assert_ok(ot_miner_judge(m, 2, NULL, 0, &err), &err);
    assert_true(s.last.planted && s.last.label == k.label);
    ot_miner_free(m);
}

/* Ten looks at each of 4000 samples, `noise` of them wrong; wrong and planted ones are contradicted
 * in 97 of 100 looks, right ones in one of twenty. */
static void measure(float noise, bool scope_all, struct ot_thermometer *t, double *precision)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    int64_t held = 0, right = 0;

    c.n_samples = 4000;
    c.capacity = 8000;
    c.thermometer = 0.1f;
    c.scope_all = scope_all;
    c.scope_looks = 4;
    c.scope_margin = 0.2f;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 10; it++)
        for (uint32_t i = 0; i < 4000; i++) {
            bool wrong = rnd(9, 1, i) < noise;
            bool planted = ot_is_planted(m, ot_row_key(i, OT_KIND_IMAGE, 0));
            bool contra = rnd(9, (uint64_t)it + 2, i) < (wrong || planted ? 0.97f : 0.05f);
            struct ot_look k = ot_story_look(i, contra ? 4 : 0.3f);

            k.given = (int32_t)(i % 10);
            k.label = ot_miner_label(m, i, OT_KIND_IMAGE, 0, k.given);
            k.pred = contra ? (k.label + 1) % 10 : k.label;
            k.p_pred = contra ? 0.85f + 0.1f * rnd(9, (uint64_t)it + 50, i) : 0.9f;
            k.p_label = contra ? 0.03f : 0.9f;
            ot_story_see(m, it, false, &k, 1);
        }
    for (uint32_t i = 0; i < 4000; i++)
        if (fabsf(ot_miner_weight(m, i, OT_KIND_IMAGE, 0) - 0.2f) < 1e-6f) {
            held++;
            right += rnd(9, 1, i) < noise;
        }
    *t = ot_miner_thermometer(m);
    *precision = held ? (double)right / (double)held : (double)NAN;
    ot_miner_free(m);
}

static void the_thermometer_reads_noise_recall_and_precision(void **st)
{
    static const float noise[] = { 0.02f, 0.05f, 0.1f, 0.2f };
    struct ot_thermometer t;
    double precision;

    (void)st;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        measure(noise[i], true, &t, &precision);
        assert_near(t.planted, 400, 4 * sqrt(360));
        assert_int_equal(t.tested, t.planted);
        assert_near(t.noise, noise[i], 0.03);
        assert_true(t.recall > 0.75 && t.recall_lo < t.recall && t.recall < t.recall_hi);
        assert_near(t.recall, (double)t.quarantined / (double)t.tested, 1e-12);
        assert_true(precision > 0.9);
        assert_near(t.precision, precision, 0.15);
    }
    measure(0.1f, false, &t, &precision);
    assert_int_equal(t.quarantined, 0);
    assert_near(t.recall, 0, 0);
    assert_true(isnan(t.precision));
}

static void too_few_planted_ones_say_nothing(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_thermometer t = ot_miner_thermometer(m);

    (void)st;
    assert_int_equal(t.planted, 0);
    assert_true(isnan(t.recall) && isnan(t.noise) && isnan(t.precision));
    ot_miner_free(m);
    c.thermometer = 0.001f;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 3; it++)
        for (uint32_t i = 0; i < 3000; i++) {
            struct ot_look k = ot_story_look(i, 1);

            k.label = ot_miner_label(m, i, OT_KIND_IMAGE, 0, 1);
            ot_story_see(m, it, false, &k, 1);
        }
    t = ot_miner_thermometer(m);
    assert_in_range(t.planted, 1, 9);
    assert_true(isnan(t.noise) && isnan(t.precision));
    ot_miner_free(m);
}

/* ---- the share ------------------------------------------------------------------------------- */

static void the_share_falls_with_the_noise(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    float before = 1;

    (void)st;
    c.auto_share = true;
    c.max_share = 0.5f;
    c.batch = 10;
    c.cooldown = 0;
    c.n_samples = 1000;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 1200; it++) { /* 60 of 1000 are wrong, and hard; 60 more are hard */
        struct ot_look k[20];
        uint32_t batch[10];
        int n = ot_miner_next(m, it, batch);

        for (int i = 0; i < (n ? n : 20); i++) {
            uint32_t x = n ? batch[i] : (uint32_t)(it * 20 + i) % 1000;

            k[i] = ot_story_look(x, x < 120 ? 4 : 0.2f);
            k[i].p_pred = 0.95f;
            if (x >= 60)
                k[i].pred = 1;
        }
        ot_story_see(m, it, n > 0, k, (size_t)(n ? n : 20));
        before = fminf(before, ot_miner_counts(m).share);
        if (isnan(m->noise))
            assert_near(ot_miner_counts(m).share, 0.5f, 0);
    }
    assert_near(m->noise, (double)m->held / (double)m->stats.used, 0.02);
    assert_true(m->held > 20 && before < 0.5f);
    assert_near(ot_miner_counts(m).share, 0.005 / (m->noise * 7), 1e-6);
    m->noise = 0.0005; /* hardly anything is wrong: the user's limit */
    assert_near(ot_miner_counts(m).share, 0.5f, 0);
    m->noise = 0.1;
    assert_near(ot_miner_counts(m).share, 0.005 / 0.7, 1e-6);
    ot_miner_free(m);
}

static void planted_labels_measure_how_much_denser_wrong_ones_are_in_the_pool(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.auto_share = true;
    c.max_share = 1;
    c.thermometer = 0.01f;
    m = ot_story_born(&c, &s);
    m->noise = 0.1;
    assert_near(ot_miner_counts(m).share, 0.005 / 0.7, 1e-6); /* A is 8 until it is known */
    m->seen_again = 9000;
    m->planted_again = 360; /* 4 % of them, not 1 % */
    assert_near(ot_miner_counts(m).share, 0.005 / (0.1 * (4.4 - 1)), 1e-5);
    m->planted_again = 0; /* no denser than elsewhere: nothing to fear */
    assert_near(ot_miner_counts(m).share, 1, 0);
    ot_miner_free(m);
}

static float sentinel(struct ot_miner *m, int64_t iter, float mean, float spread, int n)
{
    struct ot_err err = OT_ERR_INIT;
    float loss[64], share;

    for (int i = 0; i < n; i++)
        loss[i] = mean + spread * (rnd(4, (uint64_t)iter, (uint64_t)i) - 0.5f);
    assert_ok(ot_miner_sentinel(m, iter, loss, (size_t)n, &share, &err), &err);
    return share;
}

static void a_risen_sentinel_halves_the_share_while_mining_is_on(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    uint32_t batch[2];
    int64_t it = 0;
    float want = 0.5f;

    (void)st;
    c.max_share = 0.5f;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 4; i++)
        ot_story_see1(m, it, false, i, 5);
    assert_near(sentinel(m, it, 2, 0.5f, 64), 0.5f, 0);
    assert_near(sentinel(m, it, 3, 0.5f, 64), 0.5f, 0); /* nothing was re-injected since */
    for (int round = 0; round < 6; round++) {
        int64_t batches = m->batches;

        for (; m->batches == batches && it < 10000; it++)
            if (ot_miner_next(m, it, batch))
                ot_story_see(m, it, true, NULL, 0);
        assert_near(sentinel(m, it, 2.02f, 2, 64), want, 0); /* within two standard errors */
        ot_story_see(m, it, false, NULL, 0);
        batches = m->batches;
        for (; m->batches == batches && it < 10000; it++)
            if (ot_miner_next(m, it, batch))
                ot_story_see(m, it, true, NULL, 0);
        want = fmaxf(0.5f / 16, want / 2);
        assert_near(sentinel(m, it, 3, 0.5f, 64), want, 0);
    }
    assert_near(ot_miner_counts(m).share, 0.5f / 16, 0); /* and no lower */
    ot_miner_free(m);
}

static void a_sentinel_loss_that_is_not_finite_is_an_error(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_err err = OT_ERR_INIT;
    float loss[] = { 1, NAN }, share;

    (void)st;
    assert_true(ot_miner_sentinel(m, 5, loss, 2, &share, &err) < 0);
    assert_error(&err, OT_ENAN, "sentinel 1 at iteration 5: loss is not finite, got nan");
    ot_miner_free(m);
}

/* ---- importance ------------------------------------------------------------------------------ */

/* Four waiting samples of losses 2.5, 5, 10, 10; all are drawn. */
static void weigh(struct ot_miner_conf *c, int64_t iter, float w[4])
{
    struct ot_story s = { 0 };
    struct ot_miner *m;
    const float loss[4] = { 2.5f, 5, 10, 10 };
    uint32_t batch[4];

    c->batch = 4;
    c->min_fresh = 0;
    c->end_iter = 1000;
    m = ot_story_born(c, &s);
    for (uint32_t i = 0; i < 4; i++)
        ot_story_see1(m, 0, false, i, loss[i]);
    m->iters = 10;
    assert_int_equal(ot_miner_next(m, iter, batch), 4);
    for (uint32_t i = 0; i < 4; i++)
        w[i] = ot_miner_importance(m, i);
    assert_near(ot_miner_importance(m, 9), 1, 0);
    ot_story_see(m, iter, true, NULL, 0);
    assert_near(ot_miner_importance(m, 3), 1, 0);
    ot_miner_free(m);
}

static void importance_undoes_the_bias_of_the_draw(void **st)
{
    struct ot_miner_conf c = ot_story_conf0();
    float w[4];

    (void)st;
    c.importance_beta = 0.5f;
    weigh(&c, 1, w); /* NONE */
    assert_true(w[0] == 1 && w[3] == 1);
    c.importance = OT_IMPORTANCE_PER;
    weigh(&c, 1, w); /* a uniform draw has no bias */
    assert_true(w[0] == 1 && w[3] == 1);
    c.priority = OT_PRIORITY_LOSS;
    weigh(&c, 500, w); /* beta is half-way from 0.5 to 1 */
    assert_near(w[0], 1, 1e-6);
    assert_near(w[1], pow(0.5, 0.75), 1e-5);
    assert_near(w[3], pow(0.25, 0.75), 1e-5);
    c.importance = OT_IMPORTANCE_RANK; /* ranks 4, 3, 1, 1 */
    weigh(&c, 500, w);
    assert_near(w[0], 1, 1e-6);
    assert_near(w[1], pow(0.75, 0.75), 1e-5);
    assert_near(w[2], pow(0.25, 0.75), 1e-5);
    assert_near(w[3], w[2], 0);
}

static void naive_proves_nothing(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.naive = c.auto_share = true;
    c.control = c.thermometer = 1;
    m = ot_story_born(&c, &s);
    ot_story_see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_counts(m).waiting, 1);
    assert_near(ot_miner_weight(m, 7, OT_KIND_IMAGE, 0), 1, 0);
    assert_int_equal(ot_miner_label(m, 7, OT_KIND_IMAGE, 0, 1), 1);
    ot_miner_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_control_group_is_admitted_and_never_re_injected),
        cmocka_unit_test(the_control_group_learns_forgets_and_is_quarantined),
        cmocka_unit_test(the_effect_is_seen_where_there_is_one_and_only_there),
        cmocka_unit_test(the_interval_is_welchs),
        cmocka_unit_test(evicted_instances_stay_in_the_effect),
        cmocka_unit_test(what_is_held_or_was_not_seen_since_is_left_out_of_the_effect),
        cmocka_unit_test(planted_labels_are_wrong_weigh_nothing_and_spare_the_background),
        cmocka_unit_test(a_verdict_wins_over_a_planted_label),
        cmocka_unit_test(the_thermometer_reads_noise_recall_and_precision),
        cmocka_unit_test(too_few_planted_ones_say_nothing),
        cmocka_unit_test(the_share_falls_with_the_noise),
        cmocka_unit_test(planted_labels_measure_how_much_denser_wrong_ones_are_in_the_pool),
        cmocka_unit_test(a_risen_sentinel_halves_the_share_while_mining_is_on),
        cmocka_unit_test(a_sentinel_loss_that_is_not_finite_is_an_error),
        cmocka_unit_test(importance_undoes_the_bias_of_the_draw),
        cmocka_unit_test(naive_proves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
