/*
 * test_replay.c - the loss log tells everything, survives kills and says when it could not keep up;
 * replayed by its own rules a run decides as it did.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mining/looklog_impl.h"
#include "mining/replay.h"
#include "tests/check.h"
#include "tests/miner_story.h"
#include "tests/tinydb.h"

/* ---- a run without a net: 40 samples, every fifth of them a wrong label ---------------------- */

enum { SAMPLES = 40, BATCH = 8 };

static struct ot_miner_conf rules(void)
{
    struct ot_miner_conf c = ot_story_conf0();

    c.n_samples = SAMPLES;
    c.max_share = 0.3f;
    c.threshold = 1;
    return c;
}

static char *key_of(void *ctx, uint32_t index, char *buf, size_t n)
{
    (void)ctx;
    (void)snprintf(buf, n, "key %u", index);
    return buf;
}

static struct ot_look look_at(uint32_t sample, int64_t iter)
{
    struct ot_rng4 r = ot_philox(3, OT_RNG_TEST, (uint64_t)iter, sample);
    bool wrong = sample % 5 == 0;
    struct ot_look k = ot_story_look(sample, 0.2f + (float)(r.v[0] % 2000) / 1000.0f);

    k.label = k.given = 1 + (int)(sample % 2);
    k.pred = wrong ? 3 : k.label;
    k.p_pred = 0.9f;
    if (wrong)
        k.loss += 2;
    return k;
}

struct act { /* a run that is being logged */
    struct ot_looklog *log;
    struct ot_miner *m;
    struct ot_miner_conf conf;
    int64_t iter;

    struct { /* the last batch, not yet told to the miner, as in training */
        struct ot_look look[BATCH];
        size_t n;
        bool reinjected;
    } lag;

    uint32_t lie; /* this sample is written in the place of the first one drawn; 0: no lie */
};

static struct ot_looklog *open_log(const char *name, const struct ot_miner_conf *conf)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_looklog_head head = { .conf = *conf,
                                    .passes = 100,
                                    .batch = BATCH,
                                    .fingerprint = 99,
                                    .dataset = "somewhere",
                                    .policy = "quantile: 0.5" };
    struct ot_looklog *log = ot_looklog_open(ot_tiny_path(name), &head, key_of, NULL, &err);

    assert_ok(log ? 0 : err.code, &err);
    return log;
}

static struct act begin(const char *name, struct ot_miner_conf conf)
{
    struct act a = { .conf = conf, .log = open_log(name, &conf) };
    struct ot_err err = OT_ERR_INIT;

    a.m = ot_miner_new(&a.conf, ot_looklog_sink(a.log, NULL), &err);
    assert_ok(a.m ? 0 : err.code, &err);
    return a;
}

static void give_lagging(struct act *a)
{
    struct ot_err err = OT_ERR_INIT;

    if (!a->lag.n)
        return;
    ot_looklog_looks(a->log, a->iter - 1, a->lag.reinjected, a->lag.look, a->lag.n);
    assert_ok(ot_miner_observe(a->m, a->iter - 1, a->lag.reinjected, a->lag.look, a->lag.n, &err),
              &err);
    a->lag.n = 0;
}

static void one(struct act *a)
{
    uint32_t sample[BATCH], told[BATCH] = { 0 };
    int n;

    ot_looklog_begin(a->log, &a->conf, a->m);
    n = ot_miner_next(a->m, a->iter, sample);
    memcpy(told, sample, (size_t)n * sizeof *told);
    if (n && a->lie)
        told[0] = a->lie;
    ot_looklog_next(a->log, a->iter, told, n);
    give_lagging(a);
    a->lag.n = n ? (size_t)n : BATCH;
    a->lag.reinjected = n > 0;
    for (size_t i = 0; i < a->lag.n; i++)
        a->lag.look[i] = look_at(
            n ? sample[i] : ((uint32_t)a->iter * BATCH + (uint32_t)i) % SAMPLES, a->iter);
    a->iter++;
}

static void act(struct act *a, int iters)
{
    for (int i = 0; i < iters; i++)
        one(a);
}

static void end(struct act *a, bool ended)
{
    struct ot_err err = OT_ERR_INIT;

    give_lagging(a);
    assert_ok(ot_looklog_close(a->log, ended, &err), &err);
    ot_miner_free(a->m);
}

/* 160 iterations, with verdicts and a sentinel's test on the way */
static void whole_act(const char *name, uint32_t lie)
{
    static const struct ot_verdict v[] = { { .sample = 5, .what = OT_VERDICT_HARD },
                                           { .sample = 7, .what = OT_VERDICT_IGNORE } };
    static const float loss[4] = { 1, 2, 3, 4 };
    struct act a = begin(name, rules());
    struct ot_err err = OT_ERR_INIT;
    float share = 0;

    act(&a, 20);
    assert_ok(ot_miner_judge(a.m, a.iter, v, 2, &err), &err);
    ot_looklog_verdicts(a.log, a.iter, v, 2);
    act(&a, 20);
    assert_ok(ot_miner_sentinel(a.m, a.iter, loss, 4, &share, &err), &err);
    ot_looklog_sentinel(a.log, a.iter, loss, 4, share);
    a.lie = lie;
    act(&a, 120);
    end(&a, true);
}

static struct ot_looks_file *open_looks(const char *name)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_looks_file *f = ot_looks_open(ot_tiny_path(name), &err);

    assert_ok(f ? 0 : err.code, &err);
    return f;
}

static struct ot_replay replayed(const char *name, const struct ot_miner_conf *conf,
                                 const int32_t *truth)
{
    struct ot_looks_file *f = open_looks(name);
    struct ot_err err = OT_ERR_INIT;
    struct ot_replay r;

    assert_ok(ot_replay_run(f, conf, truth, &r, &err), &err);
    if (!conf && !r.same)
        print_message("%s\n", r.difference);
    ot_looks_free(f);
    return r;
}

/* ---- the same rules -------------------------------------------------------------------------- */

static void every_draw_and_event_is_made_again(void **state)
{
    struct ot_replay r;

    (void)state;
    whole_act("whole.log", 0);
    r = replayed("whole.log", NULL, NULL);
    assert_true(r.same && r.ended);
    assert_int_equal(r.iterations, 160);
    assert_int_equal(r.last_iter, 159);
    assert_true(r.batches > 5);
    assert_int_equal(r.tally.n_draws, r.batches);
    assert_true(r.tally.n_events > 20);
    assert_true(r.all.admitted > 10 && r.all.quarantined > 0);
    assert_int_equal(r.label[1].admitted + r.label[2].admitted, r.all.admitted);
    ot_replay_release(&r);
}

static void a_draw_that_was_another_is_named(void **state)
{
    struct ot_replay r;

    (void)state;
    whole_act("lie.log", 4711);
    r = replayed("lie.log", NULL, NULL);
    assert_false(r.same);
    assert_non_null(strstr(r.difference, "the log has 4711"));
    ot_replay_release(&r);
}

static void an_event_that_was_another_is_noticed(void **state)
{
    struct act a = begin("events.log", rules());
    struct ot_row nobody = { .id = 1 };
    const struct ot_mining_sink *sink = ot_looklog_sink(a.log, NULL);
    struct ot_replay r;

    (void)state;
    act(&a, 30);
    sink->event(sink->ctx, 30, &nobody, OT_EV_LEARNED, 0, "");
    act(&a, 5);
    end(&a, true);
    r = replayed("events.log", NULL, NULL);
    assert_false(r.same);
    assert_non_null(strstr(r.difference, "iteration 30: "));
    ot_replay_release(&r);
}

/* ---- what is in the file --------------------------------------------------------------------- */

static void every_field_of_the_rules_is_written(void **state)
{
    struct ot_str s = { 0 };
    struct ot_bits out = { .out = &s }, in;
    struct ot_miner_conf c, d = { 0 };
    unsigned char *p = (unsigned char *)&c, *q = (unsigned char *)&d;
    size_t missing = 0;

    (void)state;
    memset(&c, 1, sizeof c); /* no float of it is 0, bools are true */
    c.admit = OT_ADMIT_TOPK;
    c.priority = OT_PRIORITY_LOSS;
    c.importance = OT_IMPORTANCE_PER;
    ot_bits_conf(&out, &c);
    in = (struct ot_bits){ .in = (unsigned char *)s.buf, .left = s.len };
    ot_bits_conf(&in, &d);
    assert_false(in.bad);
    assert_int_equal(in.left, 0);
    for (size_t i = 0; i < sizeof c; i++)
        missing += p[i] != 0 && q[i] == 0;
    assert_int_equal(
        missing,
        3 + 4 + 6 + 4); /* padding: after naive, before seed, after the two bools, at the end */
    ot_str_release(&s);
}

static void every_kind_of_look_comes_back_to_the_bit(void **state)
{
    struct ot_look k[5] = { ot_story_look(3, 1.25f),
                            ot_story_bg(70000, 0.1f, 0.2f, 0.5f),
                            ot_story_look(UINT32_MAX, 3),
                            ot_story_look(0, 0),
                            { 0 } };
    struct ot_str s = { 0 };
    struct ot_bits out = { .out = &s }, in;

    (void)state;
    k[1].flip = true;
    k[2].kind = OT_KIND_GT_ROI;
    k[2].slot = 0x3fffffff;
    k[2].given = -1;
    k[2].box[3] = 0.3f;
    k[3].kind = OT_KIND_TILE;
    k[3].label = k[3].pred = k[3].given = INT32_MIN;
    for (int i = 0; i < 5; i++)
        ot_bits_look(&out, &k[i]);
    in = (struct ot_bits){ .in = (unsigned char *)s.buf, .left = s.len };
    for (int i = 0; i < 5; i++) {
        struct ot_look d = { 0 };

        ot_bits_look(&in, &d);
        assert_int_equal(d.sample, k[i].sample);
        assert_int_equal(d.kind, k[i].kind);
        assert_int_equal(d.slot, k[i].slot);
        assert_int_equal(d.label, k[i].label);
        assert_int_equal(d.pred, k[i].pred);
        assert_int_equal(d.given, k[i].given);
        assert_int_equal(d.flip, k[i].flip);
        assert_memory_equal(&d.p_label, &k[i].p_label, 3 * sizeof(float));
        assert_memory_equal(d.box, k[i].box, sizeof d.box);
    }
    assert_false(in.bad);
    assert_int_equal(in.left, 0);
    ot_str_release(&s);
}

static void the_head_and_the_keys_are_there(void **state)
{
    struct ot_looks_file *f = open_looks("whole.log");

    (void)state;
    assert_int_equal(f->head.passes, 100);
    assert_int_equal(f->head.batch, BATCH);
    assert_int_equal(f->head.fingerprint, 99);
    assert_string_equal(f->head.dataset, "somewhere");
    assert_string_equal(f->head.policy, "quantile: 0.5");
    assert_string_equal(f->key[39], "key 39");
    ot_looks_free(f);
}

/* ---- kills and damage ------------------------------------------------------------------------ */

static char *slurp(const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    char *p = ot_read_file(ot_tiny_path(name), 1 << 28, n, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

static void spit(const char *name, const char *bytes, size_t n)
{
    FILE *f = fopen(ot_tiny_path(name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void a_log_cut_anywhere_is_read_up_to_its_last_whole_record(void **state)
{
    size_t n, good = 0;
    char *bytes = slurp("whole.log", &n);

    (void)state;
    for (size_t cut = 0; cut < n; cut += 1 + cut / 16) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_looks_file *f;
        struct ot_replay r;

        spit("cut.log", bytes, cut);
        f = ot_looks_open(ot_tiny_path("cut.log"), &err);
        if (!f) { /* within head and keys */
            assert_int_equal(err.code, OT_EDATA);
            assert_true(cut < 1200);
            continue;
        }
        assert_int_equal(f->n + f->torn, cut);
        assert_ok(ot_replay_run(f, NULL, NULL, &r, &err), &err);
        assert_true(r.same);
        assert_false(r.ended);
        ot_replay_release(&r);
        ot_looks_free(f);
        good++;
    }
    assert_true(good > 20);
    ot_free(bytes);
}

static void a_changed_byte_is_damage_and_its_record_is_named(void **state)
{
    size_t n;
    char *bytes = slurp("whole.log", &n);

    (void)state;
    for (size_t at = 0; at < n - 40; at += 1 + n / 97) {
        struct ot_err err = OT_ERR_INIT;
        struct ot_looks_file *f;

        bytes[at] ^= 32;
        spit("bad.log", bytes, n);
        bytes[at] ^= 32;
        f = ot_looks_open(ot_tiny_path("bad.log"), &err);
        if (f) { /* a length that now reaches beyond the end is as if cut there */
            assert_true(f->torn > 0 && f->n <= at);
            ot_looks_free(f);
            continue;
        }
        assert_int_equal(err.code, OT_EDATA);
        assert_non_null(strstr(err.text, "bad.log"));
    }
    ot_free(bytes);
}

/* Well-formed records that make no sense: nothing is read beyond them, and nothing crashes. */
static void records_that_lie_are_refused(void **state)
{
    static const struct {
        enum ot_looklog_type type;
        unsigned char p[12];
        size_t n;
    } lie[] = { { OT_REC_LOOKS, { 1 }, 1 },
                { OT_REC_LOOKS, { 1, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 3 }, 12 },
                { OT_REC_LOOKS, { 1, 0, 0, 0, 0, 0, 0, 0, 7, 0 }, 10 },
                { OT_REC_VERDICTS, { 1, 0, 0, 0, 0, 0, 0, 0, 9 }, 9 },
                { OT_REC_SENTINEL, { 0 }, 9 },
                { OT_REC_NEXT, { 0 }, 12 },
                { OT_REC_MINER, { 2 }, 1 },
                { OT_REC_END, { 0 }, 3 },
                { (enum ot_looklog_type)0, { 0 }, 0 } };
    struct ot_looks_part part = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof lie / sizeof lie[0]; i++) {
        struct ot_looks_rec r = { .type = lie[i].type, .at = 77, .p = lie[i].p, .n = lie[i].n };
        struct ot_err err = OT_ERR_INIT;

        assert_int_equal(ot_looks_take(&r, &part, &err), OT_EDATA);
        assert_error(&err, OT_EDATA, "at byte 77");
    }
    ot_looks_part_release(&part);
}

static void a_log_that_cannot_keep_up_says_from_where_it_is_broken(void **state)
{
    struct act a = begin("slow.log", rules());
    struct ot_err err = OT_ERR_INIT;
    struct ot_replay r;

    (void)state;
    act(&a, 1);
    usleep(250000); /* the thread has written that */
    ot_looklog_limit(a.log, 3000);
    act(&a, 39); /* faster than it wakes */
    assert_int_equal(ot_looklog_ok(a.log, &err), OT_EIO);
    assert_error(&err, OT_EIO, "does not keep up");
    assert_int_equal(ot_looklog_close(a.log, true, &err), OT_EIO);
    ot_miner_free(a.m);
    r = replayed("slow.log", NULL, NULL);
    assert_true(r.same);
    assert_false(r.ended);
    assert_true(r.broken_from > 1 && r.broken_from < 39);
    assert_true(labs((long)(r.last_iter - r.broken_from)) <= 1); /* its draw or its looks */
    ot_replay_release(&r);
}

static void a_full_disk_ends_the_log_and_not_the_run(void **state)
{
    struct ot_miner_conf conf = rules();
    struct ot_err err = OT_ERR_INIT;
    struct act a = { .conf = conf };
    struct ot_looklog_head head = { .conf = conf, .dataset = "", .policy = "" };

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip_because("no /dev/full");
    a.log = ot_looklog_open("/dev/full", &head, NULL, NULL, &err);
    assert_ok(a.log ? 0 : err.code, &err);
    a.m = ot_miner_new(&a.conf, ot_looklog_sink(a.log, NULL), &err);
    act(&a, 30);
    assert_int_equal(ot_looklog_close(a.log, true, &err), OT_EIO);
    assert_error(&err, OT_EIO, "No space left");
    ot_miner_free(a.m);
}

/* ---- going on -------------------------------------------------------------------------------- */

/* The run as it was at `then`, when the image was taken. */
static struct act resumed(const char *name, struct ot_miner_conf conf, const struct act *then,
                          const struct ot_str *image)
{
    struct act a = begin(name, conf);
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_miner_restore(a.m, image->buf, image->len, &err), &err);
    ot_looklog_resume(a.log, image->buf, image->len);
    a.iter = then->iter;
    a.lag = then->lag;
    return a;
}

static void a_resumed_run_goes_on_where_its_snapshot_was(void **state)
{
    struct act a = begin("on.log", rules()), then;
    struct ot_err err = OT_ERR_INIT;
    struct ot_str image = { 0 };
    struct ot_replay r;

    (void)state;
    act(&a, 25);
    assert_ok(ot_miner_save(a.m, &image, &err), &err);
    ot_looklog_mark(a.log, 24, image.buf, image.len);
    then = a;
    act(&a, 7); /* lost by a kill */
    end(&a, false);
    a = resumed("on.log", rules(), &then, &image);
    act(&a, 15);
    end(&a, true);
    r = replayed("on.log", NULL, NULL);
    assert_true(r.same && r.ended);
    assert_int_equal(r.iterations, 40);
    assert_int_equal(r.resumes, 1);
    assert_int_equal(r.gaps, 0);
    ot_replay_release(&r);
    ot_str_release(&image);
}

static void a_resume_from_an_unknown_snapshot_is_a_gap(void **state)
{
    struct act a = begin("gap.log", rules()), then;
    struct ot_err err = OT_ERR_INIT;
    struct ot_str image = { 0 };
    struct ot_replay r;

    (void)state;
    act(&a, 25);
    assert_ok(ot_miner_save(a.m, &image, &err), &err);
    then = a;
    act(&a, 3);
    end(&a, false);
    a = resumed("gap.log", rules(), &then, &image);
    act(&a, 15);
    end(&a, true);
    r = replayed("gap.log", NULL, NULL);
    assert_true(r.same && r.ended);
    assert_int_equal(r.gaps, 1);
    ot_replay_release(&r);
    ot_str_release(&image);
}

static void a_run_that_goes_on_by_other_rules_is_made_again(void **state)
{
    struct act a = begin("turn.log", rules()), then;
    struct ot_err err = OT_ERR_INIT;
    struct ot_str image = { 0 };
    struct ot_miner_conf other = rules();
    struct ot_replay r;

    (void)state;
    other.max_share = 0.1f;
    act(&a, 25);
    assert_ok(ot_miner_save(a.m, &image, &err), &err);
    ot_looklog_mark(a.log, 24, image.buf, image.len);
    then = a;
    end(&a, false);
    a = resumed("turn.log", other, &then, &image);
    act(&a, 25);
    end(&a, true);
    r = replayed("turn.log", NULL, NULL);
    assert_true(r.same);
    ot_replay_release(&r);
    ot_str_release(&image);
}

static void a_new_run_keeps_the_log_before_it(void **state)
{
    struct act a = begin("new.log", rules());
    struct ot_replay r;

    (void)state;
    act(&a, 12);
    end(&a, true);
    a = begin("new.log", rules());
    act(&a, 5);
    end(&a, true);
    r = replayed("new.log", NULL, NULL);
    assert_int_equal(r.iterations, 5);
    ot_replay_release(&r);
    r = replayed("new.log.old", NULL, NULL);
    assert_int_equal(r.iterations, 12);
    ot_replay_release(&r);
}

/* ---- other rules ----------------------------------------------------------------------------- */

static void the_same_rules_given_as_others_do_the_same(void **state)
{
    struct ot_miner_conf conf = rules();
    struct ot_replay r = replayed("whole.log", NULL, NULL);
    struct ot_replay o = replayed("whole.log", &conf, NULL);

    (void)state;
    assert_memory_equal(&r.all, &o.all, sizeof r.all);
    assert_memory_equal(&r.tally, &o.tally, sizeof r.tally);
    assert_int_equal(o.absent, 0);
    assert_int_equal(o.left, 0);
    ot_replay_release(&r);
    ot_replay_release(&o);
}

static void one_that_never_re_injects_lacks_batches_and_a_greedier_one_leaves_some(void **state)
{
    struct ot_miner_conf conf = rules();
    struct ot_replay r = replayed("whole.log", NULL, NULL), o;

    (void)state;
    conf.max_share = 0;
    o = replayed("whole.log", &conf, NULL);
    assert_int_equal(o.batches, 0);
    assert_int_equal(o.all.reinjected, 0);
    assert_int_equal(o.all.quarantined, 0);
    assert_int_equal(o.absent, r.batches);
    ot_replay_release(&o);
    conf.max_share = 1;
    conf.cooldown = 0;
    o = replayed("whole.log", &conf, NULL);
    assert_true(o.batches > r.batches);
    assert_int_equal(o.left, o.batches - r.batches);
    ot_replay_release(&o);
    ot_replay_release(&r);
}

/* Two looks at sample 1, hard at iteration 0 and easy at 5: a policy that re-injects it at once
 * gets the look of iteration 5, and so learns it. */
static void a_re_injection_sees_the_next_recorded_look(void **state)
{
    struct ot_miner_conf conf = rules();
    struct ot_looklog *log = open_log("next.log", &conf);
    struct ot_err err = OT_ERR_INIT;
    struct ot_miner *m = ot_miner_new(&conf, NULL, &err);
    struct ot_look k = look_at(1, 0);
    struct ot_replay o;

    (void)state;
    ot_looklog_begin(log, &conf, m);
    for (int64_t it = 0; it < 10; it++) {
        k.loss = it ? 0.1f : 3.0f;
        ot_looklog_next(log, it, NULL, 0);
        ot_looklog_looks(log, it, false, &k, it == 0 || it == 5);
    }
    assert_ok(ot_looklog_close(log, true, &err), &err);
    ot_miner_free(m);
    conf.batch = 1;
    conf.max_share = 1;
    o = replayed("next.log", &conf, NULL);
    assert_int_equal(o.batches, 1);
    assert_int_equal(o.label[2].reinjected, 1);
    assert_int_equal(o.label[2].learned, 1);
    ot_replay_release(&o);
}

static void precision_and_recall_are_counted_against_the_truth(void **state)
{
    int32_t truth[SAMPLES];
    struct ot_replay r;

    (void)state;
    for (int s = 0; s < SAMPLES; s++)
        truth[s] = s % 10 == 0 ? 3 : s % 5 == 0 && s > 20 ? -1 : 1 + s % 2;
    r = replayed("whole.log", NULL, truth);
    assert_int_equal(r.all.wrong, 4);              /* 0, 10, 20, 30 */
    assert_true(r.all.quarantined > r.all.judged); /* of 25 and 35 nothing is known */
    assert_true(r.all.hit > 0 && r.all.hit <= 4);
    assert_true(r.all.judged > r.all.hit); /* 15 is contradicted all the same */
    ot_replay_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_draw_and_event_is_made_again),
        cmocka_unit_test(a_draw_that_was_another_is_named),
        cmocka_unit_test(an_event_that_was_another_is_noticed),
        cmocka_unit_test(every_field_of_the_rules_is_written),
        cmocka_unit_test(every_kind_of_look_comes_back_to_the_bit),
        cmocka_unit_test(the_head_and_the_keys_are_there),
        cmocka_unit_test(a_log_cut_anywhere_is_read_up_to_its_last_whole_record),
        cmocka_unit_test(a_changed_byte_is_damage_and_its_record_is_named),
        cmocka_unit_test(records_that_lie_are_refused),
        cmocka_unit_test(a_log_that_cannot_keep_up_says_from_where_it_is_broken),
        cmocka_unit_test(a_full_disk_ends_the_log_and_not_the_run),
        cmocka_unit_test(a_resumed_run_goes_on_where_its_snapshot_was),
        cmocka_unit_test(a_resume_from_an_unknown_snapshot_is_a_gap),
        cmocka_unit_test(a_run_that_goes_on_by_other_rules_is_made_again),
        cmocka_unit_test(a_new_run_keeps_the_log_before_it),
        cmocka_unit_test(the_same_rules_given_as_others_do_the_same),
        cmocka_unit_test(one_that_never_re_injects_lacks_batches_and_a_greedier_one_leaves_some),
        cmocka_unit_test(a_re_injection_sees_the_next_recorded_look),
        cmocka_unit_test(precision_and_recall_are_counted_against_the_truth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
