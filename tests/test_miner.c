/* test_miner.c - each rule of the miner, as a story of a few looks. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner.h"
#include "tests/check.h"
#include "tests/miner_story.h"

/* ---- admission ------------------------------------------------------------------------------- */

static void threshold_admits_what_is_above_it(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_look k[] = { ot_story_look(1, 2.0f), ot_story_look(2, 2.5f), ot_story_look(3, 0.1f) };

    (void)st;
    ot_story_see(m, 1, false, k, 3);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_int_equal(s.last.sample, 2);
    assert_string_equal(s.why, "loss 2.50 > threshold 2; class share 100 %");
    ot_miner_free(m);
}

static void quantile_is_the_exact_order_statistic_of_the_window(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    float seen[3000];
    int n = 0;

    (void)st;
    c.admit = OT_ADMIT_QUANTILE;
    c.window = 500;
    c.start_iter = 1000000;
    m = ot_story_born(&c, &s);
    assert_true(isnan(ot_miner_counts(m).admit_threshold));
    for (int it = 0; it < 40; it++) {
        struct ot_look k[73];
        float now[500];
        int have, lower = 0, upto = 0;
        float q;

        for (int i = 0; i < 73; i++) { /* coarse values: many ties */
            k[i] = ot_story_look(
                (uint32_t)i,
                (float)(int)ot_rng_below(1, OT_RNG_TEST, (uint64_t)it, (uint64_t)i, 60) / 8);
            seen[n++] = k[i].loss;
        }
        ot_story_see(m, it, false, k, 73);
        q = ot_miner_counts(m).admit_threshold;
        have = n < 500 ? n : 500;
        if (have < 100) {
            assert_true(isnan(q));
            continue;
        }
        memcpy(now, seen + n - have, (size_t)have * sizeof *now);
        for (int i = 0; i < have; i++) {
            lower += now[i] < q;
            upto += now[i] <= q;
        }
        assert_true(lower < 0.9 * have && upto >= 0.9 * have - 1e-9);
    }
    ot_miner_free(m);
}

static void reinjected_losses_never_enter_the_window(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    float before;

    (void)st;
    c.admit = OT_ADMIT_QUANTILE;
    c.window = 10;
    m = ot_story_born(&c, &s);
    for (int i = 0; i < 10; i++)
        ot_story_see1(m, i, false, (uint32_t)i, (float)i);
    before = ot_miner_counts(m).admit_threshold;
    assert_near(before, 8, 0);
    for (int i = 0; i < 10; i++)
        ot_story_see1(m, 10 + i, true, 20, 100);
    assert_near(ot_miner_counts(m).admit_threshold, before, 0);
    ot_miner_free(m);
}

static void top_k_admits_the_k_worst_of_the_batch(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k[] = { ot_story_look(5, 1), ot_story_look(4, 3), ot_story_look(3, 3),
                           ot_story_look(2, 3), ot_story_look(1, 2) };

    (void)st;
    c.admit = OT_ADMIT_TOPK;
    m = ot_story_born(&c, &s);
    ot_story_see(m, 1, false, k, 5);
    assert_int_equal(ot_miner_counts(m).rows, 2);
    assert_int_equal(s.last.sample, 3); /* ties go by identity: 2, then 3 */
    ot_miner_free(m);
}

static void nothing_is_admitted_during_warm_up(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.start_iter = 5;
    m = ot_story_born(&c, &s);
    ot_story_see1(m, 4, false, 1, 9);
    assert_int_equal(ot_miner_counts(m).rows, 0);
    ot_story_see1(m, 5, false, 1, 9);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    ot_miner_free(m);
}

static void a_class_at_its_share_makes_room_within_itself(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.class_share = 0.25f; /* of 8 * 2 * 4 = 64 rows: 16 */
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 20; i++)
        ot_story_see1(m, i, false, i, 3 + (float)i);
    assert_int_equal(ot_miner_counts(m).rows, 16);
    assert_int_equal(s.n[OT_EV_EVICT], 4);
    ot_story_see1(m, 20, false, 30, 2.5f); /* easier than all of them: stays out */
    assert_int_equal(ot_miner_counts(m).rows, 16);
    assert_int_equal(s.n[OT_EV_EVICT], 4);
    ot_miner_free(m);
}

/* Set aside as wrong labels, rows must not close the pool to the rest of their class. */
static void quarantined_rows_take_no_share(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    uint32_t batch[2];
    int64_t it = 0;
    int n_held;

    (void)st;
    c.class_share = 0.25f; /* 16 rows */
    c.probe_after = 1;
    m = ot_story_born(&c, &s);
    for (uint32_t i = 0; i < 16; i++)
        ot_story_see1(m, it++, false, i, 3 + (float)i);
    while (ot_miner_counts(m).quarantined < 4 && it < 500) {
        int n = ot_miner_next(m, it, batch);
        struct ot_look k[2];

        for (int i = 0; i < n; i++) {
            k[i] = ot_story_look(batch[i], 5);
            k[i].p_pred = 0.95f;
        }
        ot_story_see(m, it++, n > 0, k, (size_t)n);
    }
    n_held = (int)ot_miner_counts(m).quarantined;
    assert_true(n_held >= 4);
    for (uint32_t i = 100; i < 130; i++)
        ot_story_see1(m, it++, false, i,
                      2.5f); /* easier than what is there: only the freed share is open */
    assert_int_equal(ot_miner_counts(m).rows, 16 + n_held);
    ot_miner_free(m);
}

static void capacity_evicts_least_loss_then_oldest(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    float w;

    (void)st;
    c.capacity = 3;
    m = ot_story_born(&c, &s);
    ot_story_see1(m, 1, false, 1, 3);
    ot_story_see1(m, 2, false, 2, 3);
    ot_story_see1(m, 3, false, 3, 4);
    ot_story_see1(m, 4, false, 4, 5);
    assert_int_equal(ot_miner_counts(m).rows, 3);
    assert_int_equal(s.gone, 1);
    assert_non_null(strstr(s.why, "class share"));
    ot_story_see1(m, 5, false, 1,
                  3); /* sample 1 was the oldest of least loss: gone; 3 is not harder */
    assert_int_equal(ot_miner_counts(m).admitted, 4);
    ot_story_see1(m, 6, false, 1, 3.5f);
    assert_int_equal(ot_miner_counts(m).admitted, 5);
    w = ot_miner_weight(m, 1, OT_KIND_IMAGE, 0);
    assert_near(w, 1, 0);
    ot_miner_free(m);
}

static void not_finite_is_an_error_that_names_the_instance(void **st)
{
    static const struct {
        float loss, p;
        uint32_t sample;
        int32_t label;
        enum ot_code code;
        const char *part;
    } bad[] = {
        { NAN, 0, 12, 1, OT_ENAN, "sample 12, kind 1, slot 3: loss is not finite, got nan" },
        { INFINITY, 0, 12, 1, OT_ENAN, "loss is not finite, got inf" },
        { 1, NAN, 12, 1, OT_ENAN, "probability of the label is not finite" },
        { 1, 0, 5000, 1, OT_EDATA, "sample 5000, kind 1, slot 3: the data set has 5000" },
        { 1, 0, 12, 10, OT_EDATA, "label must be in [0, 10), got 10" },
    };
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);

    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_look k[] = { ot_story_look(1, 9), ot_story_look(bad[i].sample, bad[i].loss) };
        struct ot_err err = OT_ERR_INIT;

        k[1].kind = OT_KIND_GT_ROI;
        k[1].slot = 3;
        k[1].p_label = bad[i].p;
        k[1].label = bad[i].label;
        assert_true(ot_miner_observe(m, 1, false, k, 2, &err) < 0);
        assert_error(&err, bad[i].code, bad[i].part);
        assert_int_equal(ot_miner_counts(m).rows, 0); /* nothing half done */
    }
    ot_miner_free(m);
}

static void a_senseless_configuration_is_refused(void **st)
{
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    c.quantile = 1.5f;
    assert_null(ot_miner_new(&c, NULL, &err));
    assert_error(&err, OT_ECONFIG, "quantile: must be in [0, 1], got 1.5");
}

/* ---- identity -------------------------------------------------------------------------------- */

static void the_same_hard_example_is_one_row_updated(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);

    (void)st;
    ot_story_see1(m, 1, false, 7, 4);
    ot_story_see1(m, 2, false, 7, 3);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_int_equal(s.last.n_seen, 2);
    assert_near(s.last.loss, 3, 0);
    assert_near(s.last.loss_ema, 0.9 * 4 + 0.1 * 3, 1e-6);
    assert_near(s.last.loss_max, 4, 0);
    assert_near(s.last.loss_first, 4, 0);
    assert_near(s.last.margin_sum, 2 * (0.1 - 0.5), 1e-6);
    assert_int_equal(s.last.first_iter, 1);
    assert_int_equal(s.last.last_iter, 2);
    ot_miner_free(m);
}

static void foreground_rows_keep_the_worst_look_of_the_iteration(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_look k[3] = { ot_story_look(7, 3), ot_story_look(7, 5), ot_story_look(7, 4) };

    (void)st;
    for (int i = 0; i < 3; i++) {
        k[i].kind = OT_KIND_GT_ROI;
        k[i].slot = 2;
    }
    ot_story_see(m, 1, false, k, 3);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_near(s.last.loss, 5, 0);
    assert_int_equal(s.last.n_seen, 1);
    ot_miner_free(m);
}

static void background_boxes_are_matched_by_overlap(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_look first[] = { ot_story_bg(7, 3, 0.1f, 0.4f), ot_story_bg(7, 4, 0.11f, 0.4f),
                               ot_story_bg(7, 5, 0.5f, 0.4f) };
    struct ot_look later[] = { ot_story_bg(7, 6, 0.105f, 0.4f), ot_story_bg(7, 7, 0.3f, 0.4f),
                               ot_story_bg(8, 6, 0.1f, 0.4f) };

    (void)st;
    ot_story_see(m, 1, false, first, 3); /* the first two are one region */
    assert_int_equal(ot_miner_counts(m).rows, 2);
    ot_story_see(m, 2, false, later, 3); /* a known one, a new one, another image's */
    assert_int_equal(ot_miner_counts(m).rows, 4);
    assert_int_equal(s.n[OT_EV_ADMIT], 4);
    ot_miner_free(m);
}

/* ---- re-injection ---------------------------------------------------------------------------- */

static void a_full_batch_of_samples_is_re_injected(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_row rows[8];
    struct ot_look k[6];
    uint32_t batch[2];

    (void)st;
    for (int i = 0; i < 6; i++) {
        k[i] = ot_story_look(7, 3 + (float)i);
        k[i].kind = OT_KIND_GT_ROI;
        k[i].slot = i;
    }
    assert_int_equal(ot_miner_next(m, 0, batch), 0);
    ot_story_see(m, 0, false, k, 6); /* six rows of one sample are not two samples */
    assert_int_equal(ot_miner_next(m, 1, batch), 0);
    ot_story_see1(m, 1, false, 9, 3);
    assert_int_equal(ot_miner_next(m, 2, batch), 2);
    assert_true(batch[0] + batch[1] == 16 && batch[0] != batch[1]);
    assert_int_equal(ot_miner_booked(m, 7, rows, 8), 4); /* per_sample, worst first */
    for (int i = 0; i < 4; i++)
        assert_near(rows[i].loss, 8 - i, 0);
    assert_int_equal(ot_miner_next(m, 3, batch), 0); /* one at a time */
    ot_story_see(m, 2, true, k, 5);
    assert_int_equal(s.reinj, 1);
    assert_int_equal(s.unseen, 2); /* slot 5 of sample 7, and sample 9, were not seen again */
    assert_int_equal(ot_miner_counts(m).cooling, 3);
    assert_int_equal(ot_miner_counts(m).reinjected, 3);
    ot_miner_free(m);
}

static void limits_on_re_injection_hold(void **st)
{
    static const struct {
        int min_fresh;
        float max_share;
        bool naive;
        int64_t end;
        int want_least, want_most;
    } cases[] = {
        { 1, 1, false, 1000, 499, 500 },    { 3, 1, false, 1000, 249, 250 },
        { 1, 0.2f, false, 1000, 199, 200 }, { 1, 0, false, 1000, 0, 0 },
        { 1, 1, false, 100, 49, 50 },       { 1, 0.2f, true, 1000, 480, 520 },
    };

    (void)st;
    for (size_t t = 0; t < sizeof cases / sizeof *cases; t++) {
        struct ot_story s = { 0 };
        struct ot_miner_conf c = ot_story_conf0();
        struct ot_miner *m;
        int again = 0;

        c.min_fresh = cases[t].min_fresh;
        c.max_share = cases[t].max_share;
        c.naive = cases[t].naive;
        c.end_iter = cases[t].end;
        c.cooldown = 0;
        m = ot_story_born(&c, &s);
        for (int64_t it = 0; it < 1000; it++) {
            uint32_t batch[2];
            struct ot_look k[2] = { ot_story_look(1, 5), ot_story_look(2, 5) };
            int n = ot_miner_next(m, it, batch);

            k[0].pred = k[1].pred = 1; /* right, with a high loss: never quarantined */
            again += n > 0;
            ot_story_see(m, it, n > 0, k, 2);
        }
        assert_in_range(again, cases[t].want_least, cases[t].want_most);
        ot_miner_free(m);
    }
}

static void rows_cool_down_and_wait_again(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    uint32_t batch[1];

    (void)st;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    ot_story_see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_next(m, 1, batch), 1);
    ot_story_see1(m, 1, true, 7, 4);
    assert_int_equal(ot_miner_counts(m).cooling, 1);
    assert_int_equal(ot_miner_next(m, 2, batch), 0);
    assert_int_equal(ot_miner_next(m, 3, batch), 0);
    assert_int_equal(ot_miner_next(m, 4, batch), 1); /* 1 + cooldown 3 */
    ot_miner_free(m);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void learned_when_re_measured_low_and_forgotten_when_hard_again(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    uint32_t batch[1];

    (void)st;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    ot_story_see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_next(m, 1, batch), 1);
    ot_story_see1(m, 1, true, 7, 0.4f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    assert_string_equal(s.why, "loss 0.40 < retire 0.5 when re-injected");
    ot_story_see1(m, 2, false, 7, 1.0f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    ot_story_see1(m, 3, false, 7, 3.0f);
    assert_int_equal(s.n[OT_EV_FORGOT], 1);
    assert_int_equal(s.last.n_forget, 1);
    assert_int_equal(ot_miner_counts(m).waiting, 1);
    ot_story_see1(m, 4, false, 7,
                  0.1f); /* low twice in fresh passes: learned without re-injection */
    ot_story_see1(m, 5, false, 7, 0.6f);
    ot_story_see1(m, 6, false, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).learned, 0);
    ot_story_see1(m, 7, false, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    ot_miner_free(m);
}

static void contradicted_after_the_probe_is_quarantined_then_released(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look wrong = ot_story_bg(7, 5, 0.1f, 0.4f);
    uint32_t batch[1];
    float box[4][4];

    (void)st;
    wrong.p_pred = 0.95f;
    c.batch = 1;
    c.cooldown = 0;
    m = ot_story_born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    ot_story_see(m, 0, false, &wrong, 1);
    for (int64_t it = 1; it < 5; it++)
        ot_story_see(m, it, ot_miner_next(m, it, batch) > 0, &wrong, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    assert_int_equal(ot_miner_counts(m).reinjected, 2);
    assert_string_equal(s.why, "possibly an unlabelled object: after 2 re-injections still class 2 "
                               "with p 0.95 > 0.80, loss 5.00");
    assert_near(ot_miner_weight(m, 7, OT_KIND_BG_ROI, 0), 0.2f, 0);
    assert_int_equal(ot_miner_quarantined_boxes(m, 7, box, 4), 1);
    assert_near(box[0][2], 0.5, 1e-6);
    assert_int_equal(ot_miner_next(m, 5, batch), 0); /* out of re-injection */
    wrong.loss = 0.3f;
    ot_story_see(m, 5, false, &wrong, 1);
    assert_int_equal(s.n[OT_EV_RELEASE], 1);
    assert_near(ot_miner_weight(m, 7, OT_KIND_BG_ROI, 0), 1, 0);
    assert_int_equal(ot_miner_quarantined_boxes(m, 7, box, 4), 0);
    ot_miner_free(m);
}

static void quarantined_rows_are_never_evicted(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k = ot_story_look(7, 2.1f);
    uint32_t batch[1];

    (void)st;
    k.p_pred = 0.99f;
    c.batch = 1;
    c.cooldown = 0;
    c.capacity = 1;
    m = ot_story_born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    ot_story_see(m, 0, false, &k, 1);
    for (int64_t it = 1; it < 5; it++)
        ot_story_see(m, it, ot_miner_next(m, it, batch) > 0, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    ot_story_see1(m, 9, false, 8, 50);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_int_equal(s.gone, 0);
    ot_miner_free(m);
}

static void naive_neither_cools_nor_quarantines(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k = ot_story_look(7, 5);
    uint32_t batch[1];

    (void)st;
    k.p_pred = 0.99f;
    c.naive = true;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    for (int64_t it = 0; it < 20; it++)
        ot_story_see(m, it, ot_miner_next(m, it, batch) > 0, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    assert_int_equal(ot_miner_counts(m).reinj_batches, 10); /* fresh and pool take turns */
    ot_miner_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threshold_admits_what_is_above_it),
        cmocka_unit_test(quantile_is_the_exact_order_statistic_of_the_window),
        cmocka_unit_test(reinjected_losses_never_enter_the_window),
        cmocka_unit_test(top_k_admits_the_k_worst_of_the_batch),
        cmocka_unit_test(nothing_is_admitted_during_warm_up),
        cmocka_unit_test(a_class_at_its_share_makes_room_within_itself),
        cmocka_unit_test(quarantined_rows_take_no_share),
        cmocka_unit_test(capacity_evicts_least_loss_then_oldest),
        cmocka_unit_test(not_finite_is_an_error_that_names_the_instance),
        cmocka_unit_test(a_senseless_configuration_is_refused),
        cmocka_unit_test(the_same_hard_example_is_one_row_updated),
        cmocka_unit_test(foreground_rows_keep_the_worst_look_of_the_iteration),
        cmocka_unit_test(background_boxes_are_matched_by_overlap),
        cmocka_unit_test(a_full_batch_of_samples_is_re_injected),
        cmocka_unit_test(limits_on_re_injection_hold),
        cmocka_unit_test(rows_cool_down_and_wait_again),
        cmocka_unit_test(learned_when_re_measured_low_and_forgotten_when_hard_again),
        cmocka_unit_test(contradicted_after_the_probe_is_quarantined_then_released),
        cmocka_unit_test(quarantined_rows_are_never_evicted),
        cmocka_unit_test(naive_neither_cools_nor_quarantines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
