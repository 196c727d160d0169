/* test_miner_draw.c - the sum tree, and what a draw from it promises. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mining/sumtree.h"
#include "tests/check.h"
#include "tests/miner_story.h"

static void ten_million_updates_leave_the_sums_exact(void **st)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_sumtree t, again;

    enum { N = 5000 };

    (void)st;
    assert_ok(ot_sumtree_init(&t, N, &err), &err);
    assert_ok(ot_sumtree_init(&again, N, &err), &err);
    for (uint64_t k = 0, x = 1; k < 10000000; k++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        ot_sumtree_set(&t, (uint32_t)(x >> 40) % N, (uint32_t)(x >> 8));
    }
    for (uint32_t i = N; i-- > 0;) /* in another order */
        ot_sumtree_set(&again, i, t.leaf[i]);
    assert_int_equal(t.levels, again.levels);
    for (size_t l = 0, n = N; l < (size_t)t.levels; l++) {
        n = (n + 15) / 16;
        assert_memory_equal(t.sum[l], again.sum[l], n * sizeof *t.sum[l]);
    }
    ot_sumtree_release(&t);
    ot_sumtree_release(&again);
}

static void every_unit_belongs_to_the_thing_that_weighs_it(void **st)
{
    static const uint32_t sizes[] = { 1, 2, 15, 16, 17, 255, 256, 257, 4097 };
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct ot_sumtree t;
        uint64_t x = 0;

        assert_ok(ot_sumtree_init(&t, sizes[s], &err), &err);
        for (uint32_t i = 0; i < sizes[s]; i++)
            ot_sumtree_set(&t, i, i % 3 ? i % 5 : sizes[s] == 1);
        for (uint32_t i = 0; i < sizes[s]; i++)
            for (uint32_t k = 0; k < t.leaf[i]; k++)
                assert_int_equal(ot_sumtree_find(&t, x++), i);
        assert_int_equal(ot_sumtree_total(&t), x);
        ot_sumtree_release(&t);
    }
}

/* How often each of four waiting samples, of losses 3, 6, 9 and 12, is drawn in n re-injections of
 * one sample; they stay as they are, because what is not seen again stays as it was. */
static void draw_often(enum ot_priority priority, int n, int *times)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k[4];

    c.batch = 1;
    c.min_fresh = 0;
    c.priority = priority;
    m = ot_story_born(&c, &s);
    for (int i = 0; i < 4; i++)
        k[i] = ot_story_look((uint32_t)(i * 40), (float)(3 * (i + 1)));
    ot_story_see(m, 0, false, k, 4);
    for (int64_t it = 1; it <= n; it++) {
        uint32_t sample;

        assert_int_equal(ot_miner_next(m, it, &sample), 1);
        times[sample / 40]++;
        ot_story_see(m, it, true, NULL, 0);
    }
    ot_miner_free(m);
}

static void draws_are_as_frequent_as_the_priority_says(void **st)
{
    int uniform[4] = { 0 }, loss[4] = { 0 };
    const int n = 20000;

    (void)st;
    draw_often(OT_PRIORITY_UNIFORM, n, uniform);
    draw_often(OT_PRIORITY_LOSS, n, loss);
    for (int i = 0; i < 4; i++) { /* within 4 standard deviations */
        double p = (i + 1) / 10.0;

        assert_near(uniform[i], n / 4.0, 4 * sqrt(n * 0.25 * 0.75));
        assert_near(loss[i], n * p, 4 * sqrt(n * p * (1 - p)));
    }
}

/* Four of 40 samples wait; a batch of four takes two of them and two others. */
static void a_part_of_the_batch_is_any_samples(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k[4];
    int times[40] = { 0 }, waiting = 0;

    (void)st;
    c.batch = 4;
    c.min_fresh = 0;
    c.fresh_part = 0.5f;
    c.n_samples = 40;
    m = ot_story_born(&c, &s);
    for (int i = 0; i < 4; i++)
        k[i] = ot_story_look((uint32_t)i, 5);
    ot_story_see(m, 0, false, k, 4);
    for (int64_t it = 1; it <= 4000; it++) {
        uint32_t sample[4];

        assert_int_equal(ot_miner_next(m, it, sample), 4);
        assert_true(sample[0] < 4 && sample[1] < 4);
        for (int i = 0; i < 4; i++) {
            times[sample[i]]++;
            for (int j = 0; j < i; j++)
                assert_int_not_equal(sample[i], sample[j]);
        }
        ot_story_see(m, it, true, NULL, 0);
    }
    for (int i = 0; i < 40; i++) { /* 2 of the 38 that are left, within 4 standard deviations */
        double p = 2.0 / 38;

        if (i < 4)
            waiting += times[i];
        else
            assert_near(times[i], 4000 * p, 4 * sqrt(4000 * p * (1 - p)));
    }
    assert_true(waiting > 8000);
    ot_miner_free(m);
}

static void a_batch_holds_no_sample_twice(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_look k[20];
    uint32_t batch[16];

    (void)st;
    c.batch = 16;
    c.min_fresh = 0;
    c.priority = OT_PRIORITY_LOSS;
    m = ot_story_born(&c, &s);
    for (int i = 0; i < 20; i++)
        k[i] = ot_story_look((uint32_t)i, i ? 2.5f : 80); /* one that weighs more than all others */
    ot_story_see(m, 0, false, k, 20);
    for (int64_t it = 1; it < 200; it++) {
        assert_int_equal(ot_miner_next(m, it, batch), 16);
        for (int a = 0; a < 16; a++)
            for (int b = 0; b < a; b++)
                assert_int_not_equal(batch[a], batch[b]);
        ot_story_see(m, it, true, NULL, 0);
    }
    ot_miner_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_million_updates_leave_the_sums_exact),
        cmocka_unit_test(every_unit_belongs_to_the_thing_that_weighs_it),
        cmocka_unit_test(draws_are_as_frequent_as_the_priority_says),
        cmocka_unit_test(a_part_of_the_batch_is_any_samples),
        cmocka_unit_test(a_batch_holds_no_sample_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
