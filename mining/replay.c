/*
 * replay.c - the recorded calls made again by the recorded rules: is everything as it was?
 *
 * The log is the list of the miner's calls, so this makes them one by one and compares what came
 * of each: the samples drawn, the events so far, the share after a sentinel's test, and at a
 * resume the whole miner with the image that the run went on from.
 */
#include "mining/replay.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "mining/looklog_impl.h"
#include "mining/replay_impl.h"

struct again {
    struct ot_miner *m;
    struct ot_miner_conf conf;
    struct ot_replay_count *count;
    struct ot_replay *out;
    struct ot_mining_sink sink;
    uint32_t *sample;
    size_t sample_cap;
};

static void differs(struct ot_replay *out, const char *fmt, ...) OT_PRINTF(2, 3);

static void differs(struct ot_replay *out, const char *fmt, ...)
{
    va_list ap;

    if (!out->same)
        return;
    out->same = false;
    va_start(ap, fmt);
    (void)vsnprintf(out->difference, sizeof out->difference, fmt, ap);
    va_end(ap);
}

void ot_replay_saw(struct ot_replay *out, int64_t iter)
{
    if (out->iterations++ == 0)
        out->first_iter = iter;
    out->last_iter = iter;
}

/* ---- beginning and going on ------------------------------------------------------------------ */

struct ot_miner *ot_replay_miner(const struct ot_miner_conf *conf, const struct ot_looks_part *p,
                                 const struct ot_mining_sink *sink, struct ot_err *err)
{
    struct ot_miner *m = ot_miner_new(conf, sink, err);

    if (m && ot_miner_restore(m, p->image, p->n_image, err) < 0) {
        ot_miner_free(m);
        m = NULL;
    }
    return m;
}

static bool same_conf(const struct ot_miner_conf *a, const struct ot_miner_conf *b)
{
    struct ot_miner_conf c[2] = { *a, *b };
    struct ot_str s[2] = { { 0 }, { 0 } };
    bool same;

    for (int i = 0; i < 2; i++) {
        struct ot_bits bits = { .out = &s[i] };

        ot_bits_conf(&bits, &c[i]);
    }
    same = !s[0].failed && s[0].len == s[1].len && !memcmp(s[0].buf, s[1].buf, s[0].len);
    ot_str_release(&s[0]);
    ot_str_release(&s[1]);
    return same;
}

static int check_resume(struct again *a, const struct ot_looks_part *p, struct ot_err *err)
{
    struct ot_str image = { 0 };
    int rc = ot_miner_save(a->m, &image, err);

    if (rc == 0 && (image.len != p->n_image || memcmp(image.buf, p->image, p->n_image) != 0))
        differs(a->out,
                "at the resume after iteration %lld the miner is another one (%zu bytes, the log "
                "has %zu)",
                (long long)a->out->last_iter, image.len, p->n_image);
    ot_str_release(&image);
    return rc;
}

static int on_miner(struct again *a, const struct ot_looks_part *p, struct ot_err *err)
{
    bool first = !a->m;

    if (p->conf.n_samples > a->count->n_samples || p->conf.n_classes > a->out->n_classes)
        return ot_fail(err, OT_EDATA, "the run goes on with another data set: %u samples",
                       p->conf.n_samples);
    a->out->resumes += !first;
    a->out->gaps += p->gap;
    if (!first && !p->gap && check_resume(a, p, err) < 0)
        return err->code;
    if (!first && !p->gap && same_conf(&a->conf, &p->conf))
        return 0;
    ot_miner_free(a->m);
    a->conf = p->conf;
    a->m = ot_replay_miner(&a->conf, p, &a->sink, err);
    if (first || p->gap)
        a->out->tally = p->tally;
    if (!a->m)
        return err->code;
    return ot_grow(&a->sample, &a->sample_cap, (size_t)a->conf.batch + 1, sizeof *a->sample, err);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static void same_events(struct again *a, int64_t iter, const struct ot_tally *t)
{
    const struct ot_tally *o = &a->out->tally;

    if (o->n_events != t->n_events)
        differs(a->out, "iteration %lld: %llu events by now, the log has %llu", (long long)iter,
                (unsigned long long)o->n_events, (unsigned long long)t->n_events);
    else if (o->events != t->events)
        differs(a->out, "iteration %lld: of the %llu events by now one is another (checksum)",
                (long long)iter, (unsigned long long)o->n_events);
}

static void on_next(struct again *a, const struct ot_looks_part *p)
{
    int n = ot_miner_next(a->m, p->iter, a->sample);

    ot_replay_saw(a->out, p->iter);
    ot_tally_draw(&a->out->tally, p->iter, a->sample, n);
    a->out->batches += n > 0;
    same_events(a, p->iter, &p->tally);
    if ((size_t)n != p->n)
        differs(a->out, "iteration %lld: %d samples drawn, the log has %zu", (long long)p->iter, n,
                p->n);
    for (int i = 0; i < n && (size_t)i < p->n; i++)
        if (a->sample[i] != p->sample[i])
            differs(a->out, "iteration %lld: sample %u drawn at place %d, the log has %u",
                    (long long)p->iter, a->sample[i], i, p->sample[i]);
}

static int on_sentinel(struct again *a, const struct ot_looks_part *p, struct ot_err *err)
{
    float share = 0;

    a->out->sentinels++;
    if (ot_miner_sentinel(a->m, p->iter, p->loss, p->n, &share, err) < 0)
        return err->code;
    if (share < p->share || share > p->share)
        differs(a->out, "iteration %lld: max_share %g after the sentinel's test, the log has %g",
                (long long)p->iter, (double)share, (double)p->share);
    return 0;
}

static int one_call(struct again *a, enum ot_looklog_type type, const struct ot_looks_part *p,
                    struct ot_err *err)
{
    switch (type) {
    case OT_REC_MINER:
        return on_miner(a, p, err);
    case OT_REC_NEXT:
        on_next(a, p);
        return 0;
    case OT_REC_LOOKS:
        ot_replay_count_looks(a->count, p->look, p->n);
        return ot_miner_observe(a->m, p->iter, p->reinjected, p->look, p->n, err);
    case OT_REC_VERDICTS:
        a->out->verdicts++;
        return ot_miner_judge(a->m, p->iter, p->verdict, p->n, err);
    case OT_REC_SENTINEL:
        return on_sentinel(a, p, err);
    case OT_REC_MARK:
        same_events(a, p->iter, &p->tally);
        return 0;
    case OT_REC_BROKEN:
        a->out->broken_from = p->iter;
        return 0;
    case OT_REC_END:
        a->out->ended = true;
        same_events(a, a->out->last_iter, &p->tally);
        if (a->out->tally.draws != p->tally.draws)
            differs(a->out, "at the end: the draws are not those of the log (checksum)");
        return 0;
    default:
        return 0;
    }
}

static int same_rules(const struct ot_looks_file *f, struct ot_replay_count *count,
                      struct ot_err *err)
{
    struct again a = { .count = count, .out = count->out, .sink = ot_replay_count_sink(count) };
    struct ot_looks_part part = { 0 };
    struct ot_looks_rec r;
    int rc = 0;

    for (size_t at = f->first; rc == 0 && ot_looks_next(f, &at, &r);) {
        rc = ot_looks_take(&r, &part, err);
        if (rc == 0 && !a.m && r.type != OT_REC_MINER && r.type != OT_REC_BROKEN)
            rc = ot_fail(err, OT_EDATA, "record '%c' at byte %zu comes before the miner",
                         (int)r.type, r.at);
        if (rc == 0 && one_call(&a, r.type, &part, err) < 0)
            rc = ot_err_wrap(err, "record '%c' at byte %zu", (int)r.type, r.at);
    }
    if (rc == 0 && a.m)
        ot_replay_count_end(count, a.m);
    ot_looks_part_release(&part);
    ot_miner_free(a.m);
    ot_free(a.sample);
    return rc;
}

int ot_replay_run(const struct ot_looks_file *f, const struct ot_miner_conf *conf,
                  const int32_t *truth, struct ot_replay *out, struct ot_err *err)
{
    struct ot_replay_count count;
    int rc;

    *out = (struct ot_replay){ .same = true, .broken_from = -1, .tally = ot_tally_zero() };
    rc = ot_replay_count_init(&count, &f->head.conf, truth, out, err);
    if (rc == 0)
        rc = conf ? ot_replay_other(f, conf, &count, err) : same_rules(f, &count, err);
    if (rc == 0 && count.err.code) {
        *err = count.err;
        rc = err->code;
    }
    ot_replay_count_release(&count);
    if (rc < 0)
        ot_replay_release(out);
    return rc;
}

void ot_replay_release(struct ot_replay *r)
{
    ot_free(r->label);
    r->label = NULL;
}
