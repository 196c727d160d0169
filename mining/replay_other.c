/*
 * replay_other.c - other rules over the looks of a recorded run; replay.h says what they get to
 * see.
 *
 * One walk notes where each batch is and, for each sample, in which batches it was looked at; a
 * second one follows the recorded iterations.  As in training the miner gets a batch's losses one
 * iteration later.
 */
#include "base/mem.h"
#include "mining/replay_impl.h"

struct batch {
    int64_t iter;
    size_t at; /* of its LOOKS record */
    bool reinjected;
};

struct seen { /* of one sample */
    uint32_t batch;
    int32_t next; /* its later ones; -1: none */
};

struct other {
    const struct ot_looks_file *f;
    struct ot_miner_conf conf;
    struct ot_miner *m;
    struct ot_replay *out;
    struct ot_replay_count *count;
    struct ot_mining_sink sink;

    struct batch *batch;
    struct seen *seen;
    size_t n_batch, batch_cap, n_seen, seen_cap;
    int32_t *now, *tail; /* by sample, into seen */
    size_t fresh;        /* the next fresh batch is this one or a later one */

    uint32_t *sample;
    struct ot_look *look; /* what the miner gets next */
    size_t n_look, look_cap;
    int64_t look_iter;
    bool reinjected, waiting;
    struct ot_looks_part part, again; /* of the walk; of a batch that is looked up */
};

/* ---- where everything is --------------------------------------------------------------------- */

static int note_sample(struct other *o, uint32_t s, struct ot_err *err)
{
    uint32_t batch = (uint32_t)(o->n_batch - 1);
    int32_t i = (int32_t)o->n_seen;

    if (s >= o->conf.n_samples)
        return ot_fail(err, OT_EDATA, "a look of sample %u: the data set has %u", s,
                       o->conf.n_samples);
    if (o->tail[s] >= 0 && o->seen[o->tail[s]].batch == batch)
        return 0;
    if (o->n_seen >= INT32_MAX)
        return ot_fail(err, OT_EDATA, "more than %d looks", INT32_MAX);
    if (ot_grow(&o->seen, &o->seen_cap, o->n_seen + 1, sizeof *o->seen, err) < 0)
        return err->code;
    o->n_seen++;
    o->seen[i] = (struct seen){ .batch = batch, .next = -1 };
    if (o->tail[s] >= 0)
        o->seen[o->tail[s]].next = i;
    else
        o->now[s] = i;
    o->tail[s] = i;
    return 0;
}

static int note_batches(struct other *o, struct ot_err *err)
{
    struct ot_looks_rec r;

    for (size_t at = o->f->first; ot_looks_next(o->f, &at, &r);) {
        if (r.type != OT_REC_LOOKS)
            continue;
        if (ot_looks_take(&r, &o->part, err) < 0 ||
            ot_grow(&o->batch, &o->batch_cap, o->n_batch + 1, sizeof *o->batch, err) < 0)
            return err->code;
        o->batch[o->n_batch++] =
            (struct batch){ .iter = o->part.iter, .at = r.at, .reinjected = o->part.reinjected };
        for (size_t i = 0; i < o->part.n; i++)
            if (note_sample(o, o->part.look[i].sample, err) < 0)
                return err->code;
    }
    return 0;
}

/* ---- what the miner gets to see -------------------------------------------------------------- */

static int read_batch(struct other *o, size_t i, struct ot_err *err)
{
    size_t at = o->batch[i].at;
    struct ot_looks_rec r;

    if (!ot_looks_next(o->f, &at, &r))
        return ot_fail(err, OT_EDATA, "no record at byte %zu", at);
    return ot_looks_take(&r, &o->again, err);
}

static int add_looks(struct other *o, bool all, uint32_t sample, struct ot_err *err)
{
    if (ot_grow(&o->look, &o->look_cap, o->n_look + o->again.n + 1, sizeof *o->look, err) < 0)
        return err->code;
    for (size_t i = 0; i < o->again.n; i++)
        if (all || o->again.look[i].sample == sample)
            o->look[o->n_look++] = o->again.look[i];
    return 0;
}

/* The sample's next look from `iter` on, or its last one. */
static int add_next_look(struct other *o, uint32_t s, int64_t iter, struct ot_err *err)
{
    int32_t i = o->now[s];

    if (i < 0)
        return 0; /* it came with the first image and never passed again */
    while (o->batch[o->seen[i].batch].iter < iter && o->seen[i].next >= 0)
        i = o->seen[i].next;
    o->now[s] = i;
    if (read_batch(o, o->seen[i].batch, err) < 0)
        return err->code;
    return add_looks(o, false, s, err);
}

static int add_fresh(struct other *o, int64_t iter, struct ot_err *err)
{
    while (o->fresh < o->n_batch && o->batch[o->fresh].reinjected)
        o->fresh++;
    if (o->fresh == o->n_batch || o->batch[o->fresh].iter > iter) {
        o->out->absent++;
        return 0;
    }
    if (read_batch(o, o->fresh++, err) < 0)
        return err->code;
    ot_replay_count_looks(o->count, o->again.look, o->again.n);
    return add_looks(o, true, 0, err);
}

static int give_lagging(struct other *o, struct ot_err *err)
{
    if (!o->waiting)
        return 0;
    o->waiting = false;
    return ot_miner_observe(o->m, o->look_iter, o->reinjected, o->look, o->n_look, err);
}

static int on_next(struct other *o, int64_t iter, struct ot_err *err)
{
    int n;

    if (o->out->iterations && iter <= o->out->last_iter)
        return 0; /* a gap: the log tells some iterations twice */
    n = ot_miner_next(o->m, iter, o->sample);
    ot_replay_saw(o->out, iter);
    ot_tally_draw(&o->out->tally, iter, o->sample, n);
    o->out->batches += n > 0;
    if (give_lagging(o, err) < 0)
        return err->code;
    o->n_look = 0;
    o->look_iter = iter;
    o->reinjected = n > 0;
    o->waiting = true;
    for (int i = 0; i < n; i++)
        if (add_next_look(o, o->sample[i], iter, err) < 0)
            return err->code;
    return n ? 0 : add_fresh(o, iter, err);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static int on_miner(struct other *o, struct ot_err *err)
{
    o->out->resumes += o->m != NULL;
    o->out->gaps += o->part.gap;
    if (o->m)
        return 0;
    o->m = ot_replay_miner(&o->conf, &o->part, &o->sink, err);
    return o->m ? 0 : err->code;
}

static int one_record(struct other *o, const struct ot_looks_rec *r, struct ot_err *err)
{
    float share;

    if (ot_looks_take(r, &o->part, err) < 0)
        return err->code;
    o->out->ended |= r->type == OT_REC_END;
    if (r->type == OT_REC_BROKEN)
        o->out->broken_from = o->part.iter;
    if (r->type == OT_REC_MINER)
        return on_miner(o, err);
    if (!o->m)
        return r->type == OT_REC_BROKEN ? 0
                                        : ot_fail(err, OT_EDATA, "the log begins without a miner");
    if (r->type == OT_REC_NEXT)
        return on_next(o, o->part.iter, err);
    if (r->type == OT_REC_VERDICTS)
        return ot_miner_judge(o->m, o->part.iter, o->part.verdict, o->part.n, err);
    if (r->type == OT_REC_SENTINEL)
        return ot_miner_sentinel(o->m, o->part.iter, o->part.loss, o->part.n, &share, err);
    return 0;
}

static int walk(struct other *o, struct ot_err *err)
{
    struct ot_looks_rec r;
    int rc = note_batches(o, err);

    for (size_t at = o->f->first; rc == 0 && ot_looks_next(o->f, &at, &r);)
        if (one_record(o, &r, err) < 0)
            rc = ot_err_wrap(err, "record '%c' at byte %zu", (int)r.type, r.at);
    if (rc == 0 && o->m)
        rc = give_lagging(o, err);
    if (rc < 0 || !o->m)
        return rc;
    for (size_t i = o->fresh; i < o->n_batch; i++)
        o->out->left += !o->batch[i].reinjected;
    ot_replay_count_end(o->count, o->m);
    return 0;
}

int ot_replay_other(const struct ot_looks_file *f, const struct ot_miner_conf *conf,
                    struct ot_replay_count *count, struct ot_err *err)
{
    struct other o = { .f = f,
                       .conf = *conf,
                       .out = count->out,
                       .count = count,
                       .sink = ot_replay_count_sink(count) };
    int rc;

    if (conf->n_samples != f->head.conf.n_samples || conf->n_classes != f->head.conf.n_classes)
        return ot_fail(err, OT_ECONFIG, "rules for %u samples, the log has %u", conf->n_samples,
                       f->head.conf.n_samples);
    o.now = ot_alloc(conf->n_samples, sizeof *o.now, err);
    o.tail = o.now ? ot_alloc(conf->n_samples, sizeof *o.tail, err) : NULL;
    o.sample = o.tail ? ot_alloc((size_t)conf->batch + 1, sizeof *o.sample, err) : NULL;
    for (uint32_t s = 0; o.tail && s < conf->n_samples; s++)
        o.now[s] = o.tail[s] = -1;
    rc = o.sample ? walk(&o, err) : err->code;
    ot_miner_free(o.m);
    ot_looks_part_release(&o.part);
    ot_looks_part_release(&o.again);
    ot_free(o.batch);
    ot_free(o.seen);
    ot_free(o.now);
    ot_free(o.tail);
    ot_free(o.sample);
    ot_free(o.look);
    return rc;
}
