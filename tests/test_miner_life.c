/* test_miner_life.c - long noisy lives of a miner: invariants, determinism, save and restore. */
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mining/miner_impl.h"
#include "tests/check.h"
#include "tests/miner_story.h"

/* ---- a noisy life ---------------------------------------------------------------------------- */

enum { LIFE_LOOKS = 48 };

static float rnd(int64_t it, int i, int what)
{
    return ot_rng_unit(3, OT_RNG_TEST, (uint64_t)it, (uint64_t)(i * 8 + what));
}

/* Persons: every 37 iterations a new set of verdicts, some of them kept from the last. */
static void judge(struct ot_miner *m, int64_t it, uint32_t n_samples)
{
    struct ot_verdict v[24];
    struct ot_err err = OT_ERR_INIT;
    int n = 0;

    for (int i = 0; i < 24; i++) {
        int64_t from = i % 2 ? it : it / 111 * 111;
        uint32_t sample = (uint32_t)(rnd(from, i, 4) * (float)n_samples / 24) + (uint32_t)i * 3;

        if (rnd(from, i, 6) < 0.3f || sample >= n_samples)
            continue;
        v[n] = (struct ot_verdict){ .sample = sample,
                                    .kind = i % 5 ? OT_KIND_GT_ROI : OT_KIND_BG_ROI,
                                    .slot = (int)(rnd(from, i, 5) * 5),
                                    .what = (uint8_t)(rnd(from, i, 3) * (i % 5 ? 4 : 3)),
                                    .label = 1 + i % 9 };
        if (n == 0 || v[n].sample != v[n - 1].sample)
            n++;
    }
    assert_ok(ot_miner_judge(m, it, v, (size_t)n, &err), &err);
}

static void watch_sentinel(struct ot_miner *m, int64_t it)
{
    struct ot_err err = OT_ERR_INIT;
    float loss[16], share;

    for (int i = 0; i < 16; i++)
        loss[i] = 1 + 0.2f * rnd(it, i, 2) + (float)(it % 900) / 500;
    assert_ok(ot_miner_sentinel(m, it, loss, 16, &share, &err), &err);
}

/* One iteration: images with foreground and background RoIs, some always contradicted. */
static void live(struct ot_miner *m, int64_t it, uint32_t n_samples)
{
    struct ot_look k[LIFE_LOOKS];
    uint32_t batch[2];
    int n;

    if (it % 37 == 36)
        judge(m, it, n_samples);
    if (it % 50 == 49)
        watch_sentinel(m, it);
    n = ot_miner_next(m, it, batch);
    if (n == 0) {
        batch[0] = (uint32_t)((float)n_samples * rnd(it, 0, 7));
        batch[1] = (batch[0] + 1) % n_samples;
    }
    for (int i = 0; i < LIFE_LOOKS; i++) {
        uint32_t s = batch[i % 2];
        bool wrong = s % 7 == 0;
        float u = rnd(it, i, 0), loss = u * u * u * (wrong ? 6 : 4) + (wrong ? 1 : 0);

        if (i % 3) {
            k[i] = ot_story_bg(s, loss, 0.1f * (float)(int)(rnd(it, i, 1) * 9), 0.1f);
        } else {
            k[i] = ot_story_look(s, loss);
            k[i].kind = OT_KIND_GT_ROI;
            k[i].slot = (int)(rnd(it, i, 1) * 5);
            k[i].given = 1 + (int)((s + (uint32_t)k[i].slot) % 9);
            k[i].label = ot_miner_label(m, s, OT_KIND_GT_ROI, k[i].slot, k[i].given);
        }
        k[i].pred = wrong ? 9 - k[i].label : k[i].label;
        k[i].p_pred = wrong ? 0.9f : 0.6f;
    }
    ot_story_see(m, it, n > 0, k, LIFE_LOOKS);
}

static struct ot_miner_conf life_conf(void)
{
    struct ot_miner_conf c = ot_story_conf0();

    c.admit = OT_ADMIT_QUANTILE;
    c.window = 700;
    c.start_iter = 20;
    c.capacity = 200;
    c.class_share = 0.2f;
    c.max_share = 0.4f;
    c.cooldown = 7;
    c.n_samples = 90;
    c.first_class = 1;
    return c;
}

/* The same with everything on. */
static struct ot_miner_conf rich_conf(void)
{
    struct ot_miner_conf c = life_conf();

    c.priority = OT_PRIORITY_LOSS;
    c.importance = OT_IMPORTANCE_RANK;
    c.importance_beta = 0.4f;
    c.auto_share = true;
    c.scope_all = true;
    c.scope_looks = 4;
    c.scope_margin = 0.2f;
    c.control = 0.2f;
    c.thermometer = 0.05f;
    return c;
}

static struct ot_miner_conf conf_of(int rich)
{
    return rich ? rich_conf() : life_conf();
}

struct census {
    int n, of_class[10], state[7];
    const struct ot_miner *m;
    int64_t held;
    uint64_t key[4096], last_id;
};

static void count_row(void *ctx, const struct ot_row *r)
{
    struct census *z = ctx;

    assert_true(r->id > z->last_id);
    z->last_id = r->id;
    z->key[z->n++] = (uint64_t)r->sample << 32 | (uint64_t)r->kind << 24 | (uint32_t)r->slot;
    z->of_class[r->label] += !ot_is_held(r);
    z->state[r->state]++;
    z->held += r->state == OT_QUARANTINED && !r->planted && r->kind != OT_KIND_BG_ROI;
    assert_int_equal(r->control, ot_in_control(z->m, r->sample));
    assert_false(r->control && (r->state == OT_WAITING || r->state == OT_COOLING));
    assert_false(!r->control && r->state == OT_CONTROL);
    assert_int_equal(r->planted, ot_is_planted(z->m, ot_row_key(r->sample, r->kind, r->slot)));
    assert_near(ot_miner_weight(z->m, r->sample, r->kind, r->slot), r->weight, 0);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The sums of the draw, made again from the rows. */
static void check_draw(const struct ot_miner *m)
{
    uint64_t total = 0;
    int waiting = 0;

    for (uint32_t s = 0; s < m->conf.n_samples; s++) {
        double most = 0;
        int n = 0;

        for (int32_t i = m->sample[s].rows.head; i >= 0; i = m->e[i].link[OT_BY_SAMPLE].next)
            if (m->e[i].r.state == OT_WAITING) {
                most = fmax(most, (double)m->e[i].r.loss_ema);
                n++;
            }
        waiting += n > 0;
        assert_int_equal(m->sample[s].n_wait, n);
        if (n && m->conf.priority == OT_PRIORITY_LOSS)
            assert_int_equal(m->waiting.leaf[s], (uint32_t)fmax(1, most * 1048576));
        else
            assert_int_equal(m->waiting.leaf[s], n > 0);
        total += m->waiting.leaf[s];
    }
    assert_int_equal(ot_sumtree_total(&m->waiting), total);
    assert_int_equal(m->n_waiting, waiting);
}

static void check_rows(struct ot_miner *m, struct census *z)
{
    struct ot_miner_counts n = ot_miner_counts(m);

    memset(z, 0, sizeof *z);
    z->m = m;
    ot_miner_each(m, count_row, z);
    assert_int_equal(z->n, n.rows);
    assert_true(n.rows <= m->conf.capacity);
    assert_int_equal(n.rows, n.admitted - n.evicted);
    assert_int_equal(z->state[OT_WAITING], n.waiting);
    assert_int_equal(z->state[OT_COOLING], n.cooling);
    assert_int_equal(z->state[OT_LEARNED], n.learned);
    assert_int_equal(z->state[OT_QUARANTINED], n.quarantined);
    assert_int_equal(z->state[OT_EXCLUDED], n.excluded);
    assert_int_equal(z->state[OT_CONTROL], n.control);
    assert_int_equal(z->held, m->held);
    check_draw(m);
    qsort(z->key, (size_t)z->n, sizeof *z->key, by_key);
    for (int k = 1; k < z->n; k++)
        assert_true(z->key[k - 1] < z->key[k]);
}

static void invariants_hold_under_random_looks(void **st)
{
    static struct census z;

    (void)st;
    for (int rich = 0; rich < 2; rich++) {
        struct ot_story s = { 0 };
        struct ot_miner_conf c = conf_of(rich);
        struct ot_miner *m = ot_story_born(&c, &s);

        for (int64_t it = 0; it < 3000; it++) {
            live(m, it, c.n_samples);
            check_rows(m, &z);
            /* 20 % of the 200 rows or of eight batches, the greater; what is released, restored
             * or relabelled may add to it */
            for (int k = 0; k < 10; k++)
                assert_true(z.of_class[k] <=
                            40 + s.n[OT_EV_RELEASE] + s.n[OT_EV_RESTORE] + s.n[OT_EV_RELABEL]);
        }
        /* the life was a full one */
        for (int e = OT_EV_ADMIT; e <= OT_EV_RELABEL; e++)
            assert_true(s.n[e] > 0);
        ot_miner_free(m);
    }
}

static void the_same_losses_give_the_same_decisions(void **st)
{
    uint64_t trace[2];

    (void)st;
    for (int r = 0; r < 2; r++) {
        struct ot_story s = { 0 };
        struct ot_miner_conf c = life_conf();
        struct ot_miner *m = ot_story_born(&c, &s);

        for (int64_t it = 0; it < 500; it++)
            live(m, it, c.n_samples);
        trace[r] = s.trace;
        ot_miner_free(m);
    }
    assert_true(trace[0] == trace[1]);
}

static void go_on_together(const struct ot_miner_conf *c, int64_t cut)
{
    struct ot_story s = { 0 }, t = { 0 };
    struct ot_miner *m = ot_story_born(c, &s), *r = ot_story_born(c, &t);
    struct ot_str a = { 0 }, b = { 0 };
    struct ot_err err = OT_ERR_INIT;

    for (int64_t it = 0; it < cut; it++)
        live(m, it, c->n_samples);
    assert_ok(ot_miner_save(m, &a, &err), &err);
    assert_ok(ot_miner_restore(r, a.buf, a.len, &err), &err);
    s.trace = t.trace = 0;
    for (int64_t it = cut; it < cut + 400; it++) {
        live(m, it, c->n_samples);
        live(r, it, c->n_samples);
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

static void a_restored_miner_decides_like_the_one_that_went_on(void **st)
{
    (void)st;
    for (int rich = 0; rich < 2; rich++) {
        struct ot_miner_conf c = conf_of(rich);

        for (int64_t cut = 15; cut < 600; cut += 83)
            go_on_together(&c, cut);
    }
}

/* Groups, labels and states are then those of the new configuration. */
static void a_miner_of_other_groups_takes_the_rows_over(void **st)
{
    static struct census z;

    (void)st;
    for (int rich = 0; rich < 2; rich++) {
        struct ot_miner_conf from = conf_of(rich), to = conf_of(!rich);
        struct ot_story s = { 0 };
        struct ot_miner *m = ot_story_born(&from, &s), *r;
        struct ot_str a = { 0 };
        struct ot_err err = OT_ERR_INIT;

        to.seed = 99;
        r = ot_story_born(&to, &s);
        for (int64_t it = 0; it < 1000; it++)
            live(m, it, from.n_samples);
        assert_ok(ot_miner_save(m, &a, &err), &err);
        assert_ok(ot_miner_restore(r, a.buf, a.len, &err), &err);
        assert_int_equal(ot_miner_counts(r).rows, ot_miner_counts(m).rows);
        for (int64_t it = 1000; it < 1300; it++) {
            check_rows(r, &z);
            live(r, it, to.n_samples);
        }
        ot_str_release(&a);
        ot_miner_free(m);
        ot_miner_free(r);
    }
}

static void a_damaged_state_is_refused_and_changes_nothing(void **st)
{
    struct ot_miner_conf c = rich_conf();
    struct ot_story s = { 0 };
    struct ot_miner *m = ot_story_born(&c, &s);
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
    m = ot_story_born(&c, &s);
    assert_true(ot_miner_restore(m, a.buf, a.len, &err) < 0);
    assert_error(&err, OT_EDATA, "sample beyond the data set");
    ot_str_release(&a);
    ot_miner_free(m);
}

/* Damage with the checksum made to fit, as nobody but a programmer makes it. */
static void a_state_of_wrong_content_is_refused_or_lived_with(void **st)
{
    enum { HEAD = 32, HASH_AT = 24 }; /* magic, version, zero, length, hash */
    struct ot_miner_conf c = rich_conf();
    struct ot_story s = { 0 };
    struct ot_miner *m = ot_story_born(&c, &s), *r;
    struct ot_str a = { 0 };
    struct ot_err err = OT_ERR_INIT;
    int refused = 0;

    (void)st;
    for (int64_t it = 0; it < 150; it++)
        live(m, it, c.n_samples);
    assert_ok(ot_miner_save(m, &a, &err), &err);
    r = ot_story_born(&c, &s);
    for (uint64_t k = 0; k < 1500; k++) {
        struct ot_rng4 u = ot_philox(17, OT_RNG_TEST, 0, k);
        size_t at = HEAD + u.v[0] % (a.len - HEAD);
        char was = a.buf[at];
        uint64_t hash;

        a.buf[at] = (char)(u.v[1] & 1 ? u.v[2] : (uint32_t)(was ^ 1 << u.v[2] % 8));
        hash = ot_hash64(a.buf + HEAD, a.len - HEAD);
        memcpy(a.buf + HASH_AT, &hash, sizeof hash);
        if (ot_miner_restore(r, a.buf, a.len, &err) < 0)
            refused++;
        else
            for (int64_t it = 150; it < 155; it++)
                live(r, it, c.n_samples);
        a.buf[at] = was;
    }
    assert_in_range(refused, 10, 1490);
    ot_str_release(&a);
    ot_miner_free(m);
    ot_miner_free(r);
}

/* Saved by the program when the format was version 1: three waiting rows, a cooling and a
 * quarantined one, a re-injection of samples 7 and 4 under way, a window of 8. */
static const char version_1[] =
    "4f544d494e45520001000000000000002c03000000000000481861d944f6a67f06000000000000000e0000000000"
    "00000000000000000000050000000000000000000000000000000600000000000000060000000000000001000000"
    "00000000010000000000000000000000000000000108000000000080400000a040000080400000a8400000804000"
    "00b040000080400000c040050000000100000000000000030000000003000000000100000002000000cdcccc3d66"
    "66663f00000000000000000000803f0000803f0000008040ad6e84400000a0400000804000000029333313c00600"
    "0000020000000600000000000000cdcc4c3e00000000000000000c00000000000000050000000000000000000000"
    "0200000000000000070000000200000000000000000002000000cdcccc3d0000003f0000003f0000003fcdcc4c3f"
    "cdcc4c3f000000c040150e79400000c0400000404000000065666606c00700000000000000000000000000000000"
    "00803f00000000000000000c00000000000000000000000000000000000000030000000000000005000000000100"
    "0000000100000002000000cdcccc3d0000003f00000000000000000000803f0000803f000000204027a067400000"
    "804000008040000000feffffffbf050000000300000000000000000000000000803f02000000000000000b000000"
    "000000000f00000000000000000000000400000000000000040000000000000000000100000002000000cdcccc3d"
    "0000003f00000000000000000000803f0000803f0000008040ac1c6a400000804000008040000000323333f3bf03"
    "0000000100000000000000010000000000803f04000000000000000a000000000000000000000000000000000000"
    "000500000000000000070000000200010000000000000002000000cdcccc3d0000003fcdcccc3dcdcccc3dcdcccc"
    "3ecdcccc3e000000a8400000a8400000a8400000a840000000989999d9bf01000000000000000000000000000000"
    "0000803f090000000000000009000000000000000000000000000000000000000200000007000000040000000100"
    "000000000000050000000300000001000080070000000000a84000000080070000000000c0400000000004000000"
    "00008040010000000700000002000000";

static size_t from_hex(const char *hex, unsigned char *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

        out[i] = (unsigned char)strtol(two, NULL, 16);
    }
    return n;
}

static void a_state_of_version_1_is_read(void **st)
{
    struct ot_story s = { 0 };
    struct ot_miner_conf c = ot_story_conf0();
    struct ot_miner *m;
    struct ot_miner_counts n;
    struct ot_row row;
    struct ot_err err = OT_ERR_INIT;
    unsigned char bytes[1024];
    uint32_t batch[2];

    (void)st;
    c.window = 8;
    c.n_samples = 50;
    c.cooldown = 4;
    m = ot_story_born(&c, &s);
    assert_ok(ot_miner_restore(m, bytes, from_hex(version_1, bytes), &err), &err);
    n = ot_miner_counts(m);
    assert_int_equal(n.rows, 5);
    assert_true(n.waiting == 3 && n.cooling == 1 && n.quarantined == 1);
    assert_int_equal(n.waiting_samples, 2);
    assert_int_equal(n.reinjected, 6);
    assert_near(n.admit_threshold, 2, 0);
    assert_near(ot_miner_weight(m, 3, OT_KIND_IMAGE, 0), 0.2f, 0);
    assert_int_equal(ot_miner_booked(m, 4, &row, 1), 1);
    assert_int_equal(row.label_given, 1);
    ot_story_see(m, 13, true, NULL, 0);
    assert_int_equal(s.reinj, 1);
    for (int64_t it = 14; it < 60; it++)
        ot_story_see1(m, it, ot_miner_next(m, it, batch) > 0, (uint32_t)(it % 9), 4);
    ot_miner_free(m);
}

static void a_smaller_miner_keeps_the_hardest_rows(void **st)
{
    struct ot_miner_conf c = life_conf();
    struct ot_story s = { 0 };
    struct ot_miner *m = ot_story_born(&c, &s), *r;
    struct ot_str a = { 0 };
    struct ot_err err = OT_ERR_INIT;

    (void)st;
    for (int64_t it = 0; it < 600; it++)
        live(m, it, c.n_samples);
    assert_ok(ot_miner_save(m, &a, &err), &err);
    c.capacity = 40;
    c.window = 100;
    r = ot_story_born(&c, &s);
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
    (void)st;
    for (int rich = 0; rich < 2; rich++) {
        struct ot_miner_conf c = conf_of(rich);
        struct ot_err err = OT_ERR_INIT;
        struct ot_miner *m = ot_miner_new(&c, NULL, &err);
        uint64_t before;

        assert_non_null(m);
        for (int64_t it = 0; it < 8000; it++)
            live(m, it, c.n_samples);
        before = ot_mem_count();
        for (int64_t it = 8000; it < 9000; it++)
            live(m, it, c.n_samples);
        assert_int_equal(ot_mem_count(), before);
        ot_miner_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invariants_hold_under_random_looks),
        cmocka_unit_test(the_same_losses_give_the_same_decisions),
        cmocka_unit_test(a_restored_miner_decides_like_the_one_that_went_on),
        cmocka_unit_test(a_miner_of_other_groups_takes_the_rows_over),
        cmocka_unit_test(a_damaged_state_is_refused_and_changes_nothing),
        cmocka_unit_test(a_state_of_wrong_content_is_refused_or_lived_with),
        cmocka_unit_test(a_state_of_version_1_is_read),
        cmocka_unit_test(a_smaller_miner_keeps_the_hardest_rows),
        cmocka_unit_test(the_steady_state_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
