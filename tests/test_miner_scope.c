/* test_miner_scope.c - quarantine of whatever passes (scope ALL), and its statistics. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner_impl.h"
#include "tests/check.h"
#include "tests/miner_story.h"

static struct ot_miner_conf scope_conf(void)
{
    struct ot_miner_conf c = ot_story_conf0();

    c.scope_all = true;
    c.scope_looks = 4;
    c.scope_margin = 0.2f;
    c.threshold = 50; /* nothing is admitted for its loss */
    return c;
}

/* Sample 0 is what `first` says, 1 to 9 of its class are right; other classes as told. */
static void pass_once(struct ot_miner *m, int64_t it, struct ot_look first, int n)
{
    struct ot_look k[40];

    k[0] = first;
    for (int i = 1; i < n; i++) {
        k[i] = ot_story_look((uint32_t)i, 0.1f);
        k[i].pred = k[i].label;
        k[i].p_label = k[i].p_pred = 0.9f;
    }
    ot_story_see(m, it, false, k, (size_t)n);
}

static struct ot_look wrong(uint32_t sample)
{
    struct ot_look k = ot_story_look(sample, 4);

    k.p_pred = 0.95f;
    k.p_label = 0.02f;
    return k;
}

static void contradicted_in_most_looks_is_quarantined_without_a_row(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_look k = wrong(0);

    (void)st;
    for (int64_t it = 0; it < 3; it++)
        pass_once(m, it, k, 10);
    assert_int_equal(ot_miner_counts(m).rows, 0);
    pass_once(m, 3, k, 10);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    assert_int_equal(s.n[OT_EV_QUARANTINE], 1);
    assert_string_equal(s.why, "contradicted in 4 of 4 looks, mean margin -0.93 < -0.18; "
                               "now class 2 with p 0.95");
    assert_near(ot_miner_weight(m, 0, OT_KIND_IMAGE, 0), 0.2f, 0);
    assert_near(ot_miner_weight(m, 1, OT_KIND_IMAGE, 0), 1, 0);
    pass_once(m, 4, k, 10); /* once */
    assert_int_equal(s.n[OT_EV_QUARANTINE], 1);
    k.loss = 0.3f;
    k.pred = k.label;
    k.p_label = k.p_pred;
    pass_once(m, 5, k, 10);
    assert_int_equal(s.n[OT_EV_RELEASE], 1);
    assert_near(ot_miner_weight(m, 0, OT_KIND_IMAGE, 0), 1, 0);
    ot_miner_free(m);
}

static void a_mean_margin_above_the_bound_keeps_it_out(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m;

    (void)st;
    c.scope_margin = 0.75f;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 30; it++) {
        struct ot_look k = wrong(0);

        if (it % 3 == 0)
            k.p_pred = 0.3f; /* not sure: a mean of -0.71, and the bound is -0.68 */
        if (it % 3 == 1)
            k.p_pred = 0.6f; /* -0.60 */
        pass_once(m, it, k, 10);
    }
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    ot_miner_free(m);
}

/* The same look, of a net that is sure of everything else and of one that is sure of nothing. */
static void bounds_follow_how_sure_the_net_is(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();

    (void)st;
    c.scope_margin = 0.6f;
    for (int sure = 0; sure < 2; sure++) {
        struct ot_miner *m = ot_story_born(&c, &s);

        for (int64_t it = 0; it < 20; it++) {
            struct ot_look k[40];

            for (int i = 0; i < 40; i++) {
                k[i] = ot_story_look((uint32_t)i, i ? 0.1f : 2);
                k[i].p_pred = sure ? 0.95f : 0.6f;
                k[i].p_label = i ? k[i].p_pred : 0.08f;
                k[i].pred = i ? k[i].label : 2;
            }
            k[0].p_pred = 0.58f; /* a margin of -0.5 */
            ot_story_see(m, it, false, k, 40);
        }
        assert_int_equal(ot_miner_counts(m).quarantined, !sure);
        ot_miner_free(m);
    }
}

/* Hardly seen, then half way to suspicion: admitted, and rests. */
static void doubtful_ones_are_not_re_injected(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_look k = ot_story_look(0, 5);
    uint32_t batch[1];
    struct ot_miner *m;

    (void)st;
    c.threshold = 2;
    c.batch = 1;
    c.scope_margin = 0.9f;
    m = ot_story_born(&c, &s);
    k.p_pred = 0.7f; /* a margin of -0.6: between the bound, -0.81, and half of it */
    for (int64_t it = 0; it < 40; it++) {
        assert_int_equal(ot_miner_next(m, it, batch), 0);
        pass_once(m, it, k, 20);
        assert_int_equal(ot_miner_counts(m).cooling, 1);
    }
    k.loss = 1;
    k.pred = k.label;
    k.p_label = k.p_pred;
    for (int64_t it = 40; it < 80; it++)
        pass_once(m, it, k, 20);
    assert_int_equal(ot_miner_next(m, 80, batch), 1); /* its margins have improved */
    ot_miner_free(m);
}

static void looks_in_warm_up_and_in_re_injection_do_not_count(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m;
    struct ot_look k = wrong(0);

    (void)st;
    c.start_iter = 10;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 13; it++)
        pass_once(m, it, k, 10);
    for (int64_t it = 13; it < 20; it++)
        ot_story_see(m, it, true, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    pass_once(m, 20, k, 10);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    ot_miner_free(m);
}

static void a_class_that_is_mostly_contradicted_is_no_judge(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m = ot_story_born(&c, &s);

    (void)st;
    for (int64_t it = 0; it < 20; it++) {
        struct ot_look k[8];

        for (int i = 0; i < 8; i++) {
            k[i] = wrong((uint32_t)i);
            if (i >= 5) { /* 5 of 8 are contradicted: the net does not know the class */
                k[i].pred = 1;
                k[i].p_label = k[i].p_pred;
            }
        }
        ot_story_see(m, it, false, k, 8);
    }
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    ot_miner_free(m);
}

static void a_rare_class_is_left_to_the_probe(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();

    (void)st;
    for (int rare = 0; rare < 2; rare++) {
        struct ot_miner *m = ot_story_born(&c, &s);

        for (int64_t it = 0; it < 20; it++) {
            struct ot_look k[40];

            for (int i = 0; i < 40; i++) {
                k[i] = wrong((uint32_t)i);
                k[i].label = i < (rare ? 4 : 20) ? 5 : 6;
                if (i) {
                    k[i].pred = k[i].label;
                    k[i].p_label = k[i].p_pred;
                }
            }
            ot_story_see(m, it, false, k, 40);
        }
        /* 4 of 40 are less than a quarter of an even share, 20 */
        assert_int_equal(ot_miner_counts(m).quarantined, !rare);
        ot_miner_free(m);
    }
}

static void the_pool_never_grows_beyond_its_capacity(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m;

    (void)st;
    c.capacity = 8;
    c.threshold = 3;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 20; it++) {
        struct ot_look k[40];

        for (int i = 0; i < 40; i++) {
            k[i] = wrong((uint32_t)i);
            if (i % 3) {
                k[i].pred = 1;
                k[i].p_label = k[i].p_pred;
            }
        }
        ot_story_see(m, it, false, k, 40);
        assert_true(ot_miner_counts(m).rows <= 8);
    }
    assert_int_equal(ot_miner_counts(m).quarantined, 4); /* half of it */
    ot_miner_free(m);
}

static void objects_are_remembered_as_images_are(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m = ot_story_born(&c, &s);
    int found = 0;

    (void)st;
    for (int64_t it = 0; it < 5; it++)
        for (uint32_t sample = 0; sample < 700; sample++) {
            struct ot_look k = wrong(sample);

            k.kind = OT_KIND_GT_ROI;
            k.slot = (int32_t)(sample % 7);
            if (sample % 10) {
                k.pred = k.label;
                k.p_label = k.p_pred;
            }
            ot_story_see(m, it, false, &k, 1);
        }
    for (uint32_t sample = 0; sample < 700; sample++) {
        uint64_t key = ot_row_key(sample, OT_KIND_GT_ROI, (int32_t)(sample % 7));

        found += ot_stat_find(m, key) && ot_stat_find(m, key)->n_seen == 5;
        assert_null(ot_stat_find(m, key + 1));
    }
    assert_int_equal(found, 700);
    assert_int_equal(ot_miner_counts(m).quarantined, 70);
    ot_miner_free(m);
}

static void an_image_takes_at_most_32_bytes(void **st)
{
    (void)st;
    assert_int_equal(sizeof(struct ot_stat), 24);
}

static void naive_has_no_scope(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = scope_conf();
    struct ot_miner *m;

    (void)st;
    c.naive = true;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 9; it++)
        pass_once(m, it, wrong(0), 10);
    assert_int_equal(ot_miner_counts(m).rows, 0);
    ot_miner_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contradicted_in_most_looks_is_quarantined_without_a_row),
        cmocka_unit_test(a_mean_margin_above_the_bound_keeps_it_out),
        cmocka_unit_test(bounds_follow_how_sure_the_net_is),
        cmocka_unit_test(doubtful_ones_are_not_re_injected),
        cmocka_unit_test(looks_in_warm_up_and_in_re_injection_do_not_count),
        cmocka_unit_test(a_class_that_is_mostly_contradicted_is_no_judge),
        cmocka_unit_test(a_rare_class_is_left_to_the_probe),
        cmocka_unit_test(the_pool_never_grows_beyond_its_capacity),
        cmocka_unit_test(objects_are_remembered_as_images_are),
        cmocka_unit_test(an_image_takes_at_most_32_bytes),
        cmocka_unit_test(naive_has_no_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
