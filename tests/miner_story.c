/* miner_story.c - see miner_story.h. */
#include "tests/miner_story.h"

#include <math.h>

#include "base/hash.h"
#include "base/mem.h"
#include "tests/check.h"

static void mix(struct ot_story *s, const void *v, size_t n)
{
    s->trace = s->trace * 1099511628211u ^ ot_hash64(v, n);
}

static void on_row(void *ctx, int64_t iter, const struct ot_row *r)
{
    struct ot_story *s = ctx;
    double v[] = { (double)iter, (double)r->id, (double)r->sample, r->state, (double)r->loss_ema };

    s->rows++;
    s->last = *r;
    mix(s, v, sizeof v);
}

static void on_gone(void *ctx, int64_t iter, const struct ot_row *r)
{
    struct ot_story *s = ctx;

    (void)iter;
    s->gone++;
    mix(s, &r->id, sizeof r->id);
}

static void on_event(void *ctx, int64_t iter, const struct ot_row *r, enum ot_event_kind what,
                     float loss, const char *why)
{
    struct ot_story *s = ctx;

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
    struct ot_story *s = ctx;

    (void)iter;
    (void)before;
    s->reinj++;
    for (int i = 0; i < n; i++)
        s->unseen += isnan(after[i]) != 0;
    mix(s, id, (size_t)n * sizeof *id);
}

struct ot_mining_sink ot_story_sink_of(struct ot_story *s)
{
    return (struct ot_mining_sink){ s, on_row, on_gone, on_event, on_reinjected };
}

struct ot_miner_conf ot_story_conf0(void)
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

struct ot_miner *ot_story_born(const struct ot_miner_conf *c, struct ot_story *s)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_mining_sink sink = ot_story_sink_of(s);
    struct ot_miner *m = ot_miner_new(c, &sink, &err);

    assert_ok(m ? 0 : -1, &err);
    return m;
}

struct ot_look ot_story_look(uint32_t sample, float loss)
{
    return (struct ot_look){ .sample = sample,
                             .label = 1,
                             .given = 1,
                             .pred = 2,
                             .p_label = 0.1f,
                             .p_pred = 0.5f,
                             .loss = loss,
                             .box = { 0, 0, 1, 1 } };
}

struct ot_look ot_story_bg(uint32_t sample, float loss, float x, float size)
{
    struct ot_look k = ot_story_look(sample, loss);

    k.kind = OT_KIND_BG_ROI;
    k.slot = -1;
    k.label = k.given = 0;
    k.box[0] = k.box[1] = x;
    k.box[2] = k.box[3] = x + size;
    return k;
}

void ot_story_see(struct ot_miner *m, int64_t iter, bool again, const struct ot_look *k, size_t n)
{
    struct ot_err err = OT_ERR_INIT;

    assert_ok(ot_miner_observe(m, iter, again, k, n, &err), &err);
}

void ot_story_see_known(struct ot_miner *m, int64_t iter, const struct ot_look *k)
{
    struct ot_look all[21];
    size_t n = 0;

    if (k)
        all[n++] = *k;
    for (uint32_t i = 0; i < 20; i++) {
        struct ot_look r = ot_story_look(3000 + i, 0.1f);

        r.label = r.given = r.pred = k ? k->label : 1;
        r.p_label = r.p_pred = 0.95f;
        all[n++] = r;
    }
    ot_story_see(m, iter, false, all, n);
}

void ot_story_see1(struct ot_miner *m, int64_t iter, bool again, uint32_t sample, float loss)
{
    struct ot_look k = ot_story_look(sample, loss);

    ot_story_see(m, iter, again, &k, 1);
}
