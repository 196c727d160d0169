/* The miner's rules, one story each; then determinism, restore, and invariants under noise. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner.h"
#include "tests/check.h"

/* ---- a sink that remembers ------------------------------------------------------------------- */

struct story {
    int n[8], rows, gone, reinj, unseen;
    char why[256];  /* of the last event */
    uint64_t trace; /* hash of everything told */
    struct ot_row last;
};

static void mix(struct story *s, const void *v, size_t n)
{
    s->trace = s->trace * 1099511628211u ^ ot_hash64(v, n);
}

static void on_row(void *ctx, int64_t iter, const struct ot_row *r)
{
    struct story *s = ctx;
    double v[] = { (double)iter, (double)r->id, (double)r->sample, r->state, (double)r->loss_ema };

    s->rows++;
    s->last = *r;
    mix(s, v, sizeof v);
}

static void on_gone(void *ctx, int64_t iter, const struct ot_row *r)
{
    struct story *s = ctx;

    (void)iter;
    s->gone++;
    mix(s, &r->id, sizeof r->id);
}

static void on_event(void *ctx, int64_t iter, const struct ot_row *r, enum ot_event_kind what,
                     float loss, const char *why)
{
    struct story *s = ctx;

    (void)iter;
    (void)r;
    (void)loss;
    s->n[what]++;
    (void)snprintf(s->why, sizeof s->why, "%s", why);
    assert_true(why[0] != '\0');
    mix(s, why, strlen(why));
}

static void on_reinjected(void *ctx, int64_t iter, const uint64_t *id, const float *before,
                          const float *after, int n)
{
    struct story *s = ctx;

    (void)iter;
    (void)before;
    s->reinj++;
    for (int i = 0; i < n; i++)
        s->unseen += isnan(after[i]) != 0;
    mix(s, id, (size_t)n * sizeof *id);
}

static struct ot_mining_sink sink_of(struct story *s)
{
    return (struct ot_mining_sink){ s, on_row, on_gone, on_event, on_reinjected };
}

static struct ot_miner_conf conf0(void)
{
    return (struct ot_miner_conf){ .admit = OT_ADMIT_THRESHOLD,
                                   .quantile = 0.9f,
                                   .window = 4096,
                                   .threshold = 2,
                                   .topk = 2,
                                   .class_share = 1,
                                   .start_iter = 0,
                                   .end_iter = 1000000,
                                   .capacity = 1000,
                                   .ema = 0.9f,
                                   .batch = 2,
                                   .min_fresh = 1,
                                   .max_share = 1,
                                   .cooldown = 3,
                                   .per_sample = 4,
                                   .retire = 0.5f,
                                   .probe_after = 2,
                                   .probe_conf = 0.8f,
                                   .quarantine_weight = 0.2f,
                                   .release = 0.5f,
                                   .seed = 7,
                                   .n_classes = 10,
                                   .n_samples = 5000 };
}

static struct ot_miner *born(const struct ot_miner_conf *c, struct story *s)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mining_sink sink = sink_of(s);
    struct ot_miner *m = ot_miner_new(c, &sink, &err);

    assert_ok(m ? 0 : -1, &err);
    return m;
}

static struct ot_look look(uint32_t sample, float loss)
{
    return (struct ot_look){ .sample = sample,
                             .label = 1,
                             .pred = 2,
                             .p_label = 0.1f,
                             .p_pred = 0.5f,
                             .loss = loss,
                             .box = { 0, 0, 1, 1 } };
}

static struct ot_look bg(uint32_t sample, float loss, float x, float size)
{
    struct ot_look k = look(sample, loss);

    k.kind = OT_KIND_BG_ROI;
    k.slot = -1;
    k.label = 0;
    k.box[0] = k.box[1] = x;
    k.box[2] = k.box[3] = x + size;
    return k;
}

static void see(struct ot_miner *m, int64_t iter, bool again, const struct ot_look *k, size_t n)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_miner_observe(m, iter, again, k, n, &err), &err);
}

static void see1(struct ot_miner *m, int64_t iter, bool again, uint32_t sample, float loss)
{
    struct ot_look k = look(sample, loss);

    see(m, iter, again, &k, 1);
}

/* ---- admission ------------------------------------------------------------------------------- */

static void threshold_admits_what_is_above_it(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);
    struct ot_look k[] = { look(1, 2.0f), look(2, 2.5f), look(3, 0.1f) };

    (void)st;
    see(m, 1, false, k, 3);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_int_equal(s.last.sample, 2);
    assert_string_equal(s.why, "loss 2.50 > threshold 2; class share 100 %");
    ot_miner_free(m);
}

static void quantile_is_the_exact_order_statistic_of_the_window(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    float seen[3000];
    int n = 0;

    (void)st;
    c.admit = OT_ADMIT_QUANTILE;
    c.window = 500;
    c.start_iter = 1000000;
    m = born(&c, &s);
    assert_true(isnan(ot_miner_counts(m).admit_threshold));
    for (int it = 0; it < 40; it++) {
        struct ot_look k[73];
        float now[500];
        int have, lower = 0, upto = 0;
        float q;

        for (int i = 0; i < 73; i++) { /* coarse values: many ties */
            k[i] = look((uint32_t)i,
                        (float)(int)ot_rng_below(1, OT_RNG_TEST, (uint64_t)it, (uint64_t)i, 60) /
                            8);
            seen[n++] = k[i].loss;
        }
        see(m, it, false, k, 73);
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
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    float before;

    (void)st;
    c.admit = OT_ADMIT_QUANTILE;
    c.window = 10;
    m = born(&c, &s);
    for (int i = 0; i < 10; i++)
        see1(m, i, false, (uint32_t)i, (float)i);
    before = ot_miner_counts(m).admit_threshold;
    assert_near(before, 8, 0);
    for (int i = 0; i < 10; i++)
        see1(m, 10 + i, true, 20, 100);
    assert_near(ot_miner_counts(m).admit_threshold, before, 0);
    ot_miner_free(m);
}

static void top_k_admits_the_k_worst_of_the_batch(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    struct ot_look k[] = { look(5, 1), look(4, 3), look(3, 3), look(2, 3), look(1, 2) };

    (void)st;
    c.admit = OT_ADMIT_TOPK;
    m = born(&c, &s);
    see(m, 1, false, k, 5);
    assert_int_equal(ot_miner_counts(m).rows, 2);
    assert_int_equal(s.last.sample, 3); /* ties go by identity: 2, then 3 */
    ot_miner_free(m);
}

static void nothing_is_admitted_during_warm_up(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;

    (void)st;
    c.start_iter = 5;
    m = born(&c, &s);
    see1(m, 4, false, 1, 9);
    assert_int_equal(ot_miner_counts(m).rows, 0);
    see1(m, 5, false, 1, 9);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    ot_miner_free(m);
}

static void a_class_at_its_share_makes_room_within_itself(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;

    (void)st;
    c.class_share = 0.25f; /* of 8 * 2 * 4 = 64 rows: 16 */
    m = born(&c, &s);
    for (uint32_t i = 0; i < 20; i++)
        see1(m, i, false, i, 3 + (float)i);
    assert_int_equal(ot_miner_counts(m).rows, 16);
    assert_int_equal(s.n[OT_EV_EVICT], 4);
    see1(m, 20, false, 30, 2.5f); /* easier than all of them: stays out */
    assert_int_equal(ot_miner_counts(m).rows, 16);
    assert_int_equal(s.n[OT_EV_EVICT], 4);
    ot_miner_free(m);
}

static void capacity_evicts_least_loss_then_oldest(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    float w;

    (void)st;
    c.capacity = 3;
    m = born(&c, &s);
    see1(m, 1, false, 1, 3);
    see1(m, 2, false, 2, 3);
    see1(m, 3, false, 3, 4);
    see1(m, 4, false, 4, 5);
    assert_int_equal(ot_miner_counts(m).rows, 3);
    assert_int_equal(s.gone, 1);
    assert_non_null(strstr(s.why, "class share"));
    see1(m, 5, false, 1, 3); /* sample 1 was the oldest of least loss: gone; 3 is not harder */
    assert_int_equal(ot_miner_counts(m).admitted, 4);
    see1(m, 6, false, 1, 3.5f);
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
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);

    (void)st;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ot_look k[] = { look(1, 9), look(bad[i].sample, bad[i].loss) };
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
    struct ot_miner_conf c = conf0();
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    c.quantile = 1.5f;
    assert_null(ot_miner_new(&c, NULL, &err));
    assert_error(&err, OT_ECONFIG, "quantile: must be in [0, 1], got 1.5");
}

/* ---- identity -------------------------------------------------------------------------------- */

static void the_same_hard_example_is_one_row_updated(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);

    (void)st;
    see1(m, 1, false, 7, 4);
    see1(m, 2, false, 7, 3);
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
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);
    struct ot_look k[3] = { look(7, 3), look(7, 5), look(7, 4) };

    (void)st;
    for (int i = 0; i < 3; i++) {
        k[i].kind = OT_KIND_GT_ROI;
        k[i].slot = 2;
    }
    see(m, 1, false, k, 3);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_near(s.last.loss, 5, 0);
    assert_int_equal(s.last.n_seen, 1);
    ot_miner_free(m);
}

static void background_boxes_are_matched_by_overlap(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);
    struct ot_look first[] = { bg(7, 3, 0.1f, 0.4f), bg(7, 4, 0.11f, 0.4f), bg(7, 5, 0.5f, 0.4f) };
    struct ot_look later[] = { bg(7, 6, 0.105f, 0.4f), bg(7, 7, 0.3f, 0.4f), bg(8, 6, 0.1f, 0.4f) };

    (void)st;
    see(m, 1, false, first, 3); /* the first two are one region */
    assert_int_equal(ot_miner_counts(m).rows, 2);
    see(m, 2, false, later, 3); /* a known one, a new one, another image's */
    assert_int_equal(ot_miner_counts(m).rows, 4);
    assert_int_equal(s.n[OT_EV_ADMIT], 4);
    ot_miner_free(m);
}

/* ---- re-injection ---------------------------------------------------------------------------- */

static void a_full_batch_of_samples_is_re_injected(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m = born(&c, &s);
    struct ot_row rows[8];
    struct ot_look k[6];
    uint32_t batch[2];

    (void)st;
    for (int i = 0; i < 6; i++) {
        k[i] = look(7, 3 + (float)i);
        k[i].kind = OT_KIND_GT_ROI;
        k[i].slot = i;
    }
    assert_int_equal(ot_miner_next(m, 0, batch), 0);
    see(m, 0, false, k, 6); /* six rows of one sample are not two samples */
    assert_int_equal(ot_miner_next(m, 1, batch), 0);
    see1(m, 1, false, 9, 3);
    assert_int_equal(ot_miner_next(m, 2, batch), 2);
    assert_true(batch[0] + batch[1] == 16 && batch[0] != batch[1]);
    assert_int_equal(ot_miner_booked(m, 7, rows, 8), 4); /* per_sample, worst first */
    for (int i = 0; i < 4; i++)
        assert_near(rows[i].loss, 8 - i, 0);
    assert_int_equal(ot_miner_next(m, 3, batch), 0); /* one at a time */
    see(m, 2, true, k, 5);
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
        struct story s = { 0 };
        struct ot_miner_conf c = conf0();
        struct ot_miner *m;
        int again = 0;

        c.min_fresh = cases[t].min_fresh;
        c.max_share = cases[t].max_share;
        c.naive = cases[t].naive;
        c.end_iter = cases[t].end;
        c.cooldown = 0;
        m = born(&c, &s);
        for (int64_t it = 0; it < 1000; it++) {
            uint32_t batch[2];
            struct ot_look k[2] = { look(1, 5), look(2, 5) };
            int n = ot_miner_next(m, it, batch);

            k[0].pred = k[1].pred = 1; /* right, with a high loss: never quarantined */
            again += n > 0;
            see(m, it, n > 0, k, 2);
        }
        assert_in_range(again, cases[t].want_least, cases[t].want_most);
        ot_miner_free(m);
    }
}

static void rows_cool_down_and_wait_again(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    uint32_t batch[1];

    (void)st;
    c.batch = 1;
    m = born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_next(m, 1, batch), 1);
    see1(m, 1, true, 7, 4);
    assert_int_equal(ot_miner_counts(m).cooling, 1);
    assert_int_equal(ot_miner_next(m, 2, batch), 0);
    assert_int_equal(ot_miner_next(m, 3, batch), 0);
    assert_int_equal(ot_miner_next(m, 4, batch), 1); /* 1 + cooldown 3 */
    ot_miner_free(m);
}

/* ---- leaving --------------------------------------------------------------------------------- */

static void learned_when_re_measured_low_and_forgotten_when_hard_again(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    uint32_t batch[1];

    (void)st;
    c.batch = 1;
    m = born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    see1(m, 0, false, 7, 5);
    assert_int_equal(ot_miner_next(m, 1, batch), 1);
    see1(m, 1, true, 7, 0.4f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    assert_string_equal(s.why, "loss 0.40 < retire 0.5 when re-injected");
    see1(m, 2, false, 7, 1.0f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    see1(m, 3, false, 7, 3.0f);
    assert_int_equal(s.n[OT_EV_FORGOT], 1);
    assert_int_equal(s.last.n_forget, 1);
    assert_int_equal(ot_miner_counts(m).waiting, 1);
    see1(m, 4, false, 7, 0.1f); /* low twice in fresh passes: learned without re-injection */
    see1(m, 5, false, 7, 0.6f);
    see1(m, 6, false, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).learned, 0);
    see1(m, 7, false, 7, 0.1f);
    assert_int_equal(ot_miner_counts(m).learned, 1);
    ot_miner_free(m);
}

static void contradicted_after_the_probe_is_quarantined_then_released(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    struct ot_look wrong = bg(7, 5, 0.1f, 0.4f);
    uint32_t batch[1];
    float box[4][4];

    (void)st;
    wrong.p_pred = 0.95f;
    c.batch = 1;
    c.cooldown = 0;
    m = born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    see(m, 0, false, &wrong, 1);
    for (int64_t it = 1; it < 5; it++)
        see(m, it, ot_miner_next(m, it, batch) > 0, &wrong, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    assert_int_equal(ot_miner_counts(m).reinjected, 2);
    assert_near(ot_miner_weight(m, 7, OT_KIND_BG_ROI, 0), 0.2f, 0);
    assert_int_equal(ot_miner_quarantined_boxes(m, 7, box, 4), 1);
    assert_near(box[0][2], 0.5, 1e-6);
    assert_int_equal(ot_miner_next(m, 5, batch), 0); /* out of re-injection */
    wrong.loss = 0.3f;
    see(m, 5, false, &wrong, 1);
    assert_int_equal(s.n[OT_EV_RELEASE], 1);
    assert_near(ot_miner_weight(m, 7, OT_KIND_BG_ROI, 0), 1, 0);
    assert_int_equal(ot_miner_quarantined_boxes(m, 7, box, 4), 0);
    ot_miner_free(m);
}

static void quarantined_rows_are_never_evicted(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    struct ot_look k = look(7, 2.1f);
    uint32_t batch[1];

    (void)st;
    k.p_pred = 0.99f;
    c.batch = 1;
    c.cooldown = 0;
    c.capacity = 1;
    m = born(&c, &s);
    (void)ot_miner_next(m, 0, batch);
    see(m, 0, false, &k, 1);
    for (int64_t it = 1; it < 5; it++)
        see(m, it, ot_miner_next(m, it, batch) > 0, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 1);
    see1(m, 9, false, 8, 50);
    assert_int_equal(ot_miner_counts(m).rows, 1);
    assert_int_equal(s.gone, 0);
    ot_miner_free(m);
}

static void naive_neither_cools_nor_quarantines(void **st)
{
    struct story s = { 0 };
    struct ot_miner_conf c = conf0();
    struct ot_miner *m;
    struct ot_look k = look(7, 5);
    uint32_t batch[1];

    (void)st;
    k.p_pred = 0.99f;
    c.naive = true;
    c.batch = 1;
    m = born(&c, &s);
    for (int64_t it = 0; it < 20; it++)
        see(m, it, ot_miner_next(m, it, batch) > 0, &k, 1);
    assert_int_equal(ot_miner_counts(m).quarantined, 0);
    assert_int_equal(ot_miner_counts(m).reinj_batches, 10); /* fresh and pool take turns */
    ot_miner_free(m);
}

/* ---- a noisy life ---------------------------------------------------------------------------- */

enum { LIFE_LOOKS = 48 };

static float rnd(int64_t it, int i, int what)
{
    return ot_rng_unit(3, OT_RNG_TEST, (uint64_t)it, (uint64_t)(i * 8 + what));
}

/* One iteration: images with foreground and background RoIs, some always contradicted. */
static void live(struct ot_miner *m, int64_t it, uint32_t n_samples)
{
    struct ot_look k[LIFE_LOOKS];
    uint32_t batch[2];
    int n = ot_miner_next(m, it, batch);

    if (n == 0) {
        batch[0] = (uint32_t)((float)n_samples * rnd(it, 0, 7));
        batch[1] = (batch[0] + 1) % n_samples;
    }
    for (int i = 0; i < LIFE_LOOKS; i++) {
        uint32_t s = batch[i % 2];
        bool wrong = s % 7 == 0;
        float u = rnd(it, i, 0), loss = u * u * u * (wrong ? 6 : 4) + (wrong ? 1 : 0);

        if (i % 3) {
            k[i] = bg(s, loss, 0.1f * (float)(int)(rnd(it, i, 1) * 9), 0.1f);
        } else {
            k[i] = look(s, loss);
            k[i].kind = OT_KIND_GT_ROI;
            k[i].slot = (int)(rnd(it, i, 1) * 5);
            k[i].label = 1 + (int)((s + (uint32_t)k[i].slot) % 9);
        }
        k[i].pred = wrong ? 9 - k[i].label : k[i].label;
        k[i].p_pred = wrong ? 0.9f : 0.6f;
    }
    see(m, it, n > 0, k, LIFE_LOOKS);
}

static struct ot_miner_conf life_conf(void)
{
    struct ot_miner_conf c = conf0();

    c.admit = OT_ADMIT_QUANTILE;
    c.window = 700;
    c.start_iter = 20;
    c.capacity = 150;
    c.class_share = 0.2f;
    c.max_share = 0.4f;
    c.cooldown = 7;
    c.n_samples = 90;
    return c;
}

struct census {
    int n, of_class[10], state[5];
    uint64_t key[4096], last_id;
};

static void count_row(void *ctx, const struct ot_row *r)
{
    struct census *z = ctx;

    assert_true(r->id > z->last_id);
    z->last_id = r->id;
    z->key[z->n++] = (uint64_t)r->sample << 32 | (uint64_t)r->kind << 24 | (uint32_t)r->slot;
    z->of_class[r->label]++;
    z->state[r->state]++;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void invariants_hold_under_random_looks(void **st)
{
    static struct census z;
    struct story s = { 0 };
    struct ot_miner_conf c = life_conf();
    struct ot_miner *m = born(&c, &s);

    (void)st;
    for (int64_t it = 0; it < 3000; it++) {
        struct ot_miner_counts n;

        live(m, it, c.n_samples);
        memset(&z, 0, sizeof z);
        ot_miner_each(m, count_row, &z);
        n = ot_miner_counts(m);
        assert_int_equal(z.n, n.rows);
        assert_true(n.rows <= c.capacity);
        assert_int_equal(n.rows, n.admitted - n.evicted);
        assert_int_equal(z.state[OT_WAITING], n.waiting);
        assert_int_equal(z.state[OT_COOLING], n.cooling);
        assert_int_equal(z.state[OT_LEARNED], n.learned);
        assert_int_equal(z.state[OT_QUARANTINED], n.quarantined);
        for (int k = 0; k < 10; k++) /* 20 % of the 150 rows or of eight batches, the greater */
            assert_true(z.of_class[k] <= 30);
        qsort(z.key, (size_t)z.n, sizeof *z.key, by_key);
        for (int k = 1; k < z.n; k++)
            assert_true(z.key[k - 1] < z.key[k]);
    }
    /* the life was a full one */
    for (int e = OT_EV_ADMIT; e <= OT_EV_RELEASE; e++)
        if (e != OT_EV_RELEASE)
            assert_true(s.n[e] > 0);
    ot_miner_free(m);
}

static void the_same_losses_give_the_same_decisions(void **st)
{
    uint64_t trace[2];

    (void)st;
    for (int r = 0; r < 2; r++) {
        struct story s = { 0 };
        struct ot_miner_conf c = life_conf();
        struct ot_miner *m = born(&c, &s);

        for (int64_t it = 0; it < 500; it++)
            live(m, it, c.n_samples);
        trace[r] = s.trace;
        ot_miner_free(m);
    }
    assert_true(trace[0] == trace[1]);
}

static void a_restored_miner_decides_like_the_one_that_went_on(void **st)
{
    struct ot_miner_conf c = life_conf();

    (void)st;
    for (int64_t cut = 15; cut < 600; cut += 83) {
        struct story s = { 0 }, t = { 0 };
        struct ot_miner *m = born(&c, &s), *r = born(&c, &t);
        struct ot_str a = { 0 }, b = { 0 };
        struct ot_err err = OT_ERR_INIT;

        for (int64_t it = 0; it < cut; it++)
            live(m, it, c.n_samples);
        assert_ok(ot_miner_save(m, &a, &err), &err);
        assert_ok(ot_miner_restore(r, a.buf, a.len, &err), &err);
        s.trace = t.trace = 0;
        for (int64_t it = cut; it < cut + 400; it++) {
            live(m, it, c.n_samples);
            live(r, it, c.n_samples);
        }
        assert_true(s.trace == t.trace && s.trace != 0);
        ot_str_clear(&a);
        assert_ok(ot_miner_save(m, &a, &err), &err);
        assert_ok(ot_miner_save(r, &b, &err), &err);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.buf, b.buf, a.len);
        ot_str_release(&a);
        ot_str_release(&b);
        ot_miner_free(m);
        ot_miner_free(r);
    }
}

static void a_damaged_state_is_refused_and_changes_nothing(void **st)
{
    struct ot_miner_conf c = life_conf();
    struct story s = { 0 };
    struct ot_miner *m = born(&c, &s);
    struct ot_str a = { 0 };
    struct ot_err err = OT_ERR_INIT;
    int64_t rows;

    (void)st;
    for (int64_t it = 0; it < 200; it++)
        live(m, it, c.n_samples);
    rows = ot_miner_counts(m).rows;
    assert_ok(ot_miner_save(m, &a, &err), &err);
    for (size_t n = 0; n < a.len; n += 97)
        assert_true(ot_miner_restore(m, a.buf, n, &err) < 0);
    for (size_t at = 0; at < a.len; at += 61) {
        a.buf[at] ^= 4;
        assert_true(at == 12 || ot_miner_restore(m, a.buf, a.len, &err) < 0);
        a.buf[at] ^= 4;
    }
    assert_int_equal(ot_miner_counts(m).rows, rows);
    assert_ok(ot_miner_restore(m, a.buf, a.len, &err), &err);
    c.n_samples = 3;
    ot_miner_free(m);
    m = born(&c, &s);
    assert_true(ot_miner_restore(m, a.buf, a.len, &err) < 0);
    assert_error(&err, OT_EDATA, "sample beyond the data set");
    ot_str_release(&a);
    ot_miner_free(m);
}

static void a_smaller_miner_keeps_the_hardest_rows(void **st)
{
    struct ot_miner_conf c = life_conf();
    struct story s = { 0 };
    struct ot_miner *m = born(&c, &s), *r;
    struct ot_str a = { 0 };
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (int64_t it = 0; it < 600; it++)
        live(m, it, c.n_samples);
    assert_ok(ot_miner_save(m, &a, &err), &err);
    c.capacity = 40;
    c.window = 100;
    r = born(&c, &s);
    assert_ok(ot_miner_restore(r, a.buf, a.len, &err), &err);
    assert_true(ot_miner_counts(r).rows <= 40 ||
                ot_miner_counts(r).rows == ot_miner_counts(r).quarantined);
    for (int64_t it = 600; it < 800; it++)
        live(r, it, c.n_samples);
    ot_str_release(&a);
    ot_miner_free(m);
    ot_miner_free(r);
}

static void the_steady_state_allocates_nothing(void **st)
{
    struct ot_miner_conf c = life_conf();
    struct ot_miner *m;
    struct ot_err err = OT_ERR_INIT;
    uint64_t before;

    (void)st;
    m = ot_miner_new(&c, NULL, &err);
    assert_non_null(m);
    for (int64_t it = 0; it < 4000; it++)
        live(m, it, c.n_samples);
    before = ot_mem_count();
    for (int64_t it = 4000; it < 5000; it++)
        live(m, it, c.n_samples);
    assert_int_equal(ot_mem_count(), before);
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
        cmocka_unit_test(invariants_hold_under_random_looks),
        cmocka_unit_test(the_same_losses_give_the_same_decisions),
        cmocka_unit_test(a_restored_miner_decides_like_the_one_that_went_on),
        cmocka_unit_test(a_damaged_state_is_refused_and_changes_nothing),
        cmocka_unit_test(a_smaller_miner_keeps_the_hardest_rows),
        cmocka_unit_test(the_steady_state_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
