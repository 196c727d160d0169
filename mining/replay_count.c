/* replay_count.c - what a replayed policy did, by class, told by the miner's sink. */
#include <math.h>

#include "base/mem.h"
#include "mining/replay_impl.h"

#define AGAIN ((uint64_t)1 << 32)

static void add(struct ot_replay_count *c, int32_t label, size_t field)
{
    struct ot_replay_counts *one = &c->out->label[label];

    *(int64_t *)(void *)((char *)one + field) += 1;
    *(int64_t *)(void *)((char *)&c->out->all + field) += 1;
}

#define ADD(c, label, field) add((c), (label), offsetof(struct ot_replay_counts, field))

static void on_row(void *ctx, int64_t iter, const struct ot_row *row)
{
    struct ot_replay_count *c = ctx;
    uint64_t v = 0;

    (void)iter;
    (void)ot_map_get(&c->rows, row->id, &v);
    if (c->err.code == 0)
        (void)ot_map_set(&c->rows, row->id, (v & AGAIN) | (uint32_t)row->label, &c->err);
}

static void on_event(void *ctx, int64_t iter, const struct ot_row *row, enum ot_event_kind what,
                     float loss, const char *why)
{
    struct ot_replay_count *c = ctx;

    (void)loss;
    (void)why;
    ot_tally_event(&c->out->tally, iter, what, row->id);
    switch (what) {
    case OT_EV_ADMIT:
        ADD(c, row->label, admitted);
        break;
    case OT_EV_EVICT:
        ADD(c, row->label, evicted);
        break;
    case OT_EV_LEARNED:
        ADD(c, row->label, learned);
        break;
    case OT_EV_QUARANTINE:
        ADD(c, row->label, quarantined_ever);
        break;
    case OT_EV_RELEASE:
        ADD(c, row->label, released);
        break;
    default:
        break;
    }
}

static void on_reinjected(void *ctx, int64_t iter, const uint64_t *row_id, const float *before,
                          const float *after, int n)
{
    struct ot_replay_count *c = ctx;

    (void)iter;
    (void)before;
    for (int i = 0; i < n; i++) {
        uint64_t v;

        if (isnan(after[i]) || !ot_map_get(&c->rows, row_id[i], &v))
            continue;
        ADD(c, (int32_t)(uint32_t)v, reinjected);
        if (v & AGAIN)
            continue;
        c->out->rows_reinjected++;
        if (c->err.code == 0)
            (void)ot_map_set(&c->rows, row_id[i], v | AGAIN, &c->err);
    }
}

struct ot_mining_sink ot_replay_count_sink(struct ot_replay_count *c)
{
    return (struct ot_mining_sink){
        .ctx = c, .row = on_row, .event = on_event, .reinjected = on_reinjected
    };
}

int ot_replay_count_init(struct ot_replay_count *c, const struct ot_miner_conf *conf,
                         const int32_t *truth, struct ot_replay *out, struct ot_err *err)
{
    *c = (struct ot_replay_count){ .out = out, .truth = truth, .n_samples = conf->n_samples };
    out->n_classes = conf->n_classes;
    out->label = ot_alloc((size_t)conf->n_classes, sizeof *out->label, err);
    c->given = out->label ? ot_alloc(conf->n_samples, sizeof *c->given, err) : NULL;
    for (uint32_t i = 0; c->given && i < conf->n_samples; i++)
        c->given[i] = -1;
    return c->given ? 0 : err->code;
}

void ot_replay_count_release(struct ot_replay_count *c)
{
    ot_map_release(&c->rows);
    ot_free(c->given);
}

void ot_replay_count_looks(struct ot_replay_count *c, const struct ot_look *look, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (look[i].kind == OT_KIND_IMAGE && look[i].sample < c->n_samples)
            c->given[look[i].sample] = look[i].given;
}

static void last_look(void *ctx, const struct ot_row *r)
{
    struct ot_replay_count *c = ctx;
    uint64_t v = 0;

    if (r->state != OT_QUARANTINED)
        return;
    ADD(c, r->label, quarantined);
    (void)ot_map_get(&c->rows, r->id, &v);
    c->out->rows_doubted += (v & AGAIN) != 0;
    if (!c->truth || r->kind != OT_KIND_IMAGE || r->planted || c->truth[r->sample] < 0)
        return;
    ADD(c, r->label, judged);
    if (c->truth[r->sample] != r->label_given)
        ADD(c, r->label, hit);
}

void ot_replay_count_end(struct ot_replay_count *c, const struct ot_miner *m)
{
    ot_miner_each(m, last_look, c);
    for (uint32_t s = 0; c->truth && s < c->n_samples; s++)
        if (c->truth[s] >= 0 && c->given[s] >= 0 && c->given[s] < c->out->n_classes &&
            c->truth[s] != c->given[s])
            ADD(c, c->given[s], wrong);
}
