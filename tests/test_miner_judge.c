/* test_miner_judge.c - what persons say, and what a new run takes over from an earlier night. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mining/miner_impl.h"
#include "tests/check.h"
#include "tests/miner_story.h"

static void say(struct ot_miner *m, int64_t iter, const struct ot_verdict *v, size_t n)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_miner_judge(m, iter, v, n, &err), &err);
}

static struct ot_verdict on(uint32_t sample, enum ot_verdict_kind what, int32_t label)
{
    return (struct ot_verdict){ .sample = sample, .what = (uint8_t)what, .label = label };
}

static void what_a_person_excludes_weighs_nothing_until_taken_back(void **st)
{
    static const enum ot_verdict_kind kinds[] = { OT_VERDICT_MISLABELLED, OT_VERDICT_IGNORE };

    static const char *const why[] = { "a person says mislabelled", "a person says ignore" };
    static const char *const back[] = { "a person takes 'mislabelled' back",
                                        "a person takes 'ignore' back" };

    (void)st;
    for (int t = 0; t < 2; t++) {
        struct ot_story s = { 0 };
        struct ot_miner_conf c = ot_story_conf0();
        struct ot_miner *m = ot_story_born(&c, &s);
        struct ot_verdict v[] = { on(9, kinds[t], 0), on(7, kinds[t], 0) };

        ot_story_see1(m, 0, false, 7, 5);
        say(m, 1, v, 2);
        assert_int_equal(s.n[OT_EV_EXCLUDE], 1);
        assert_string_equal(s.why, why[t]);
        assert_near(ot_miner_weight(m, 7, OT_KIND_IMAGE, 0), 0, 0);
        assert_near(ot_miner_weight(m, 9, OT_KIND_IMAGE, 0), 0, 0); /* also without a row */
        ot_story_see1(m, 1, false, 7, 0.1f);
        ot_story_see1(m, 2, false, 7, 0.1f);
        ot_story_see1(m, 3, false, 9, 5); /* never admitted while it holds */
        assert_int_equal(ot_miner_counts(m).rows, 1);
        assert_int_equal(ot_miner_counts(m).excluded, 1);
        say(m, 4, v, 2); /* the same again: nothing is told */
        assert_int_equal(s.n[OT_EV_EXCLUDE], 1);
        say(m, 4, NULL, 0);
        assert_int_equal(s.n[OT_EV_RESTORE], 1);
        assert_string_equal(s.why, back[t]);
        assert_int_equal(ot_miner_counts(m).waiting, 1);
        assert_near(ot_miner_weight(m, 7, OT_KIND_IMAGE, 0), 1, 0);
        assert_near(s.last.weight, 1, 0);
        ot_story_see1(m, 5, false, 9, 5);
        assert_int_equal(ot_miner_counts(m).waiting_samples, 2);
        ot_miner_free(m);
    }
}

/* Sample 7, always contradicted, among others of its class that are right. */
static int64_t probe(struct ot_miner *m, int64_t from, int n)
{
    struct ot_look k[10];
    int64_t it = from;

    for (int i = 0; i < 10; i++) {
        k[i] = ot_story_look((uint32_t)(7 + i), i ? 0.1f : 5);
        k[i].p_pred = 0.95f;
        if (i) {
            k[i].pred = 1;
            k[i].p_label = k[i].p_pred;
        }
    }
    for (; it < from + n; it++) {
        uint32_t batch[1];
        bool again = ot_miner_next(m, it, batch) > 0;

        ot_story_see(m, it, again, k, again ? 1 : 10);
    }
    return it;
}

static void what_a_person_calls_hard_is_never_quarantined(void **st)
{
    struct ot_verdict v = on(7, OT_VERDICT_HARD, 0);

    (void)st;
    for (int scope = 0; scope < 2; scope++) { /* by the probe; whatever passes */
        struct ot_story s = { 0 };
        struct ot_miner_conf c = ot_story_conf0();
        struct ot_miner *m;
        int64_t it;

        c.batch = 1;
        c.probe_after = scope ? 1000 : 2;
        c.scope_all = scope;
        c.scope_looks = 4;
        c.scope_margin = 0.2f;
        m = ot_story_born(&c, &s);
        it = probe(m, 0, 30);
        assert_int_equal(ot_miner_counts(m).quarantined, 1);
        say(m, it, &v, 1);
        assert_int_equal(ot_miner_counts(m).quarantined, 0);
        assert_string_equal(s.why, "a person says hard; now waiting");
        it = probe(m, it, 60);
        assert_int_equal(ot_miner_counts(m).quarantined, 0);
        say(m, it, NULL, 0);
        (void)probe(m, it, 60);
        assert_int_equal(ot_miner_counts(m).quarantined, 1);
        ot_miner_free(m);
    }
}

static void a_relabelled_instance_begins_anew(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_verdict v = on(7, OT_VERDICT_RELABEL, 2);
    struct ot_look k = ot_story_look(7, 3);
    int64_t it;

    (void)st;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    it = probe(m, 0, 30);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    say(m, it, &v, 1);
    assert_int_equal(s.n[OT_EV_RELABEL], 1);
    assert_string_equal(s.why, "a person says class 2, the data set says class 1");
    assert_true(s.last.label == 2 && s.last.label_given == 1);
    assert_int_equal(ot_miner_counts(m).waiting, 1);
    assert_int_equal(ot_stat_find(m, ot_row_key(7, OT_KIND_IMAGE, 0))->n_seen, 0);
    assert_int_equal(ot_miner_label(m, 7, OT_KIND_IMAGE, 0, 1), 2);
    assert_int_equal(ot_miner_label(m, 8, OT_KIND_IMAGE, 0, 1), 1);
    ot_story_see(m, it, false, &k, 1); /* was under way with the old label: not counted */
    assert_int_equal(s.last.n_seen, 0);
    k.label = 2;
    ot_story_see(m, it + 1, false, &k, 1);
    assert_int_equal(s.last.n_seen, 1);
    assert_near(s.last.loss_first, 3, 0);
    assert_near(s.last.loss_ema, 3, 1e-6);
    assert_int_equal(s.last.n_reinj, 0);
    say(m, it + 2, NULL, 0);
    assert_int_equal(s.n[OT_EV_RESTORE], 1);
    assert_true(s.last.label == 1 && s.last.n_seen == 0);
    assert_int_equal(ot_miner_label(m, 7, OT_KIND_IMAGE, 0, 1), 1);
    ot_miner_free(m);
}

static void the_order_of_verdicts_does_not_matter(void **st)
{
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_str image[2] = { { 0 }, { 0 } };
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (int t = 0; t < 2; t++) {
        struct ot_story s = { 0 };
        struct ot_miner *m = ot_story_born(&c, &s);
        struct ot_verdict v[20];

        for (int i = 0; i < 20; i++) {
            ot_story_see1(m, i, false, (uint32_t)i, 5);
            v[t ? 19 - i : i] = on((uint32_t)i, (enum ot_verdict_kind)(i % 4), 3);
        }
        say(m, 20, v, 20);
        assert_ok(ot_miner_save(m, &image[t], &err), &err);
        ot_miner_free(m);
    }
    assert_int_equal(image[0].len, image[1].len);
    assert_memory_equal(image[0].buf, image[1].buf, image[0].len);
    ot_str_release(&image[0]);
    ot_str_release(&image[1]);
}

static void a_senseless_verdict_is_refused_and_changes_nothing(void **st)
{
    static const struct {
        struct ot_verdict v;
        const char *part;
    } bad[] = {
        { { .sample = 5000 }, "verdict on sample 5000: the data set has 5000" },
        { { .sample = 1, .kind = 4 }, "sample 1: no such kind, slot or verdict, got 4, 0, 0" },
        { { .sample = 1, .what = 4 }, "no such kind, slot or verdict, got 0, 0, 4" },
        { { .sample = 1, .slot = -1 }, "got 0, -1, 0" },
        { { .sample = 1, .what = OT_VERDICT_RELABEL, .label = 10 }, "must be in [0, 10), got 10" },
        { { .sample = 1, .kind = OT_KIND_BG_ROI, .what = OT_VERDICT_RELABEL, .label = 3 },
          "a background RoI keeps its label, got relabel to 3" },
        { { .sample = 7 }, "two verdicts on sample 7, kind 0, slot 0" },
    };
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);

    (void)st;
    ot_story_see1(m, 0, false, 7, 5);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_verdict v[] = { on(7, OT_VERDICT_IGNORE, 0), bad[i].v };
        struct ot_err err = OT_ERR_INIT;

        assert_true(ot_miner_judge(m, 1, v, 2, &err) < 0);
        assert_error(&err, OT_EDATA, bad[i].part);
        assert_int_equal(ot_miner_counts(m).waiting, 1);
    }
    ot_miner_free(m);
}

static void without_memory_the_verdicts_stay_as_they_were(void **st)
{
    int failed = 0;

    (void)st;
    for (uint64_t k = 1; k < 6; k++) {
        struct ot_story s = { 0 };
        struct ot_miner_conf c = ot_story_conf0();
        struct ot_miner *m = ot_story_born(&c, &s);
        struct ot_verdict v[40];
        struct ot_err err = OT_ERR_INIT;
        int rc;

        for (uint32_t i = 0; i < 40; i++) {
            ot_story_see1(m, 0, false, i, 5);
            v[i] = on(i, OT_VERDICT_RELABEL, 2 + (int32_t)(i / 20));
        }
        ot_mem_fail_at(k);
        rc = ot_miner_judge(m, 1, v, 40, &err);
        ot_mem_fail_at(0);
        failed += rc < 0;
        assert_int_equal(s.n[OT_EV_RELABEL], rc < 0 ? 0 : 40);
        assert_int_equal(ot_miner_label(m, 39, OT_KIND_IMAGE, 0, 1), rc < 0 ? 1 : 3);
        ot_miner_free(m);
    }
    assert_int_equal(failed, 3); /* the set, and one heap each of two classes */
}

static void a_verdict_on_a_booked_row_holds_through_the_batch(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_verdict v = on(7, OT_VERDICT_IGNORE, 0);
    uint32_t batch[1];

    (void)st;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    ot_story_see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_next(m, 1, batch), 1);
    say(m, 1, &v, 1);
    ot_story_see1(m, 1, true, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).excluded, 1);
    assert_int_equal(s.reinj, 1);
    ot_miner_free(m);
}

static void a_quarantine_ends_with_its_label(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k = ot_story_look(7, 5);
    int64_t it;

    (void)st;
    c.batch = 1;
    m = ot_story_born(&c, &s);
    it = probe(m, 0, 30);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    k.label = k.given = 4; /* the data set was corrected */
    ot_story_see(m, it, false, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    assert_string_equal(s.why, "its label was class 1 and is class 4 now");
    assert_int_equal(s.last.n_seen, 1);
    ot_miner_free(m);
}

/* ---- an earlier night ------------------------------------------------------------------------ */

static struct ot_row old_row(uint32_t sample, enum ot_state state)
{
    return (struct ot_row){ .id = 100 + sample,
                            .sample = sample,
                            .state = (uint8_t)state,
                            .label = 1,
                            .label_given = 1,
                            .pred = 2,
                            .p_pred = 0.9f,
                            .loss = 4,
                            .loss_ema = 4,
                            .n_seen = 9,
                            .n_reinj = 3,
                            .n_contra = 9,
                            .weight = 1,
                            .last_iter = 5000 };
}

static void adopt(struct ot_miner *m, struct ot_row r)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_miner_adopt(m, &r, &err), &err);
}

static void rows_of_an_earlier_night_rest_until_they_are_hard(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.start_iter = 10;
    m = ot_story_born(&c, &s);
    adopt(m, old_row(1, OT_WAITING));
    adopt(m, old_row(2, OT_COOLING));
    adopt(m, old_row(3, OT_LEARNED));
    adopt(m, old_row(4, (enum ot_state)5)); /* evicted: not taken */
    adopt(m, old_row(1, OT_WAITING));       /* twice: once */
    assert_int_equal(ot_miner_counts(m).rows, 3);
    assert_int_equal(ot_miner_counts(m).cooling, 2);
    ot_story_see1(m, 0, false, 1, 9); /* in warm-up everything is hard */
    assert_int_equal(ot_miner_counts(m).waiting, 0);
    assert_near(s.last.loss_ema, 9, 1e-6); /* of other weights: the first look begins anew */
    assert_int_equal(s.last.n_seen, 1);
    ot_story_see1(m, 11, false, 1, 1);
    assert_int_equal(ot_miner_counts(m).waiting, 0);
    ot_story_see1(m, 12, false, 1, 9);
    ot_story_see1(m, 12, false, 2, 9);
    ot_story_see1(m, 12, false, 3, 9);
    assert_int_equal(ot_miner_counts(m).waiting, 3);
    /* woken, they are of the treated as any row that is admitted */
    assert_true(ot_stat_find(m, ot_row_key(2, OT_KIND_IMAGE, 0))->flags & OT_STAT_ADMITTED);
    ot_miner_free(m);
}

/* The miner that is restored from what m saves; m is no more. */
static struct ot_miner *reborn(struct ot_miner *m, const struct ot_miner_conf *c,
                               struct ot_story *s)
{
    struct ot_miner *r = ot_story_born(c, s);
    struct ot_err err = OT_ERR_INIT;
    struct ot_str bytes = { 0 };

    assert_ok(ot_miner_save(m, &bytes, &err), &err);
    assert_ok(ot_miner_restore(r, bytes.buf, bytes.len, &err), &err);
    ot_str_release(&bytes);
    ot_miner_free(m);
    return r;
}

static void an_old_quarantine_has_to_be_earned_within_two_looks(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;

    (void)st;
    c.start_iter = 10;
    m = ot_story_born(&c, &s);
    adopt(m, old_row(1, OT_QUARANTINED));
    adopt(m, old_row(2, OT_QUARANTINED));
    assert_near(ot_miner_weight(m, 1, OT_KIND_IMAGE, 0), 0.2f, 0);
    for (int64_t it = 5; it < 20; it++) {
        struct ot_look k[] = { ot_story_look(1, 4), ot_story_look(2, 4) };

        k[1].p_pred = it == 11 ? 0.95f : 0.5f; /* sample 2 is contradicted on its second look */
        ot_story_see(m, it, false, k, 2);
        assert_int_equal(ot_miner_counts(m).quarantined, it < 11 ? 2 : 1);
        m = reborn(m, &c, &s);
    }
    assert_string_equal(s.why, "not contradicted in the first looks of this run; now waiting");
    assert_near(ot_miner_weight(m, 2, OT_KIND_IMAGE, 0), 0.2f, 0);
    ot_miner_free(m);
}

static void excluded_rows_of_an_earlier_night_follow_the_verdicts(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_verdict v[] = { on(1, OT_VERDICT_IGNORE, 0), on(3, OT_VERDICT_IGNORE, 0),
                              on(4, OT_VERDICT_RELABEL, 6) };

    (void)st;
    say(m, 0, v, 1);
    adopt(m, old_row(1, OT_EXCLUDED));
    adopt(m, old_row(2, OT_EXCLUDED)); /* nobody says so any more */
    adopt(m, old_row(3, OT_EXCLUDED));
    adopt(m, old_row(4, OT_QUARANTINED));
    assert_int_equal(ot_miner_counts(m).excluded, 1);
    say(m, 0, v, 3);
    assert_int_equal(ot_miner_counts(m).excluded, 2);
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    assert_int_equal(s.last.label, 6);
    ot_miner_free(m);
}

static void a_senseless_row_is_not_adopted(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m = ot_story_born(&c, &s);
    struct ot_row r[4] = { old_row(5000, OT_WAITING), old_row(1, OT_WAITING),
                           old_row(1, (enum ot_state)7), old_row(1, OT_WAITING) };

    (void)st;
    r[1].label = 10;
    r[3].loss_ema = NAN;
    for (int i = 0; i < 4; i++) {
        struct ot_err err = OT_ERR_INIT;

        assert_true(ot_miner_adopt(m, &r[i], &err) < 0);
        assert_error(&err, OT_EDATA, "row of an earlier run: sample ");
    }
    assert_int_equal(ot_miner_counts(m).rows, 0);
    ot_miner_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_person_excludes_weighs_nothing_until_taken_back),
        cmocka_unit_test(what_a_person_calls_hard_is_never_quarantined),
        cmocka_unit_test(a_relabelled_instance_begins_anew),
        cmocka_unit_test(the_order_of_verdicts_does_not_matter),
        cmocka_unit_test(a_senseless_verdict_is_refused_and_changes_nothing),
        cmocka_unit_test(without_memory_the_verdicts_stay_as_they_were),
        cmocka_unit_test(a_verdict_on_a_booked_row_holds_through_the_batch),
        cmocka_unit_test(a_quarantine_ends_with_its_label),
        cmocka_unit_test(rows_of_an_earlier_night_rest_until_they_are_hard),
        cmocka_unit_test(an_old_quarantine_has_to_be_earned_within_two_looks),
        cmocka_unit_test(excluded_rows_of_an_earlier_night_follow_the_verdicts),
        cmocka_unit_test(a_senseless_row_is_not_adopted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
