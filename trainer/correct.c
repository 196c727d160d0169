/* correct.c - see correct.h.  The verdicts are in the order of their identity: found by bisection.
 */
#include "trainer/correct.h"

#include "base/log.h"
#include "base/mem.h"
#include "mining/overlay.h"

struct ot_correct {
    struct ot_config *config;
    struct ot_feeds *feeds;
    struct ot_verdict *v;
    size_t n;
};

static int compare(const struct ot_verdict *v, uint32_t sample, uint8_t kind, int32_t slot)
{
    if (v->sample != sample)
        return v->sample < sample ? -1 : 1;
    if (v->kind != kind)
        return v->kind < kind ? -1 : 1;
    return (v->slot > slot) - (v->slot < slot);
}

static const struct ot_verdict *find(const struct ot_correct *c, uint32_t sample, uint8_t kind,
                                     int32_t slot)
{
    size_t lo = 0, hi = c->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = compare(&c->v[mid], sample, kind, slot);

        if (order == 0)
            return &c->v[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static int32_t label(void *ctx, uint32_t sample, uint8_t kind, int32_t slot, int32_t given)
{
    const struct ot_verdict *v = find(ctx, sample, kind, slot);

    return v && v->what == OT_VERDICT_RELABEL ? v->label : given;
}

static float weight(const struct ot_correct *c, uint32_t sample, uint8_t kind, int32_t slot)
{
    const struct ot_verdict *v = find(c, sample, kind, slot);

    return v && (v->what == OT_VERDICT_MISLABELLED || v->what == OT_VERDICT_IGNORE) ? 0.0f : 1.0f;
}

static float image_weight(void *ctx, uint32_t sample, bool reinjected)
{
    (void)reinjected;
    return weight(ctx, sample, OT_KIND_IMAGE, 0);
}

static float box_weight(void *ctx, uint32_t sample, int index)
{
    return weight(ctx, sample, OT_KIND_GT_ROI, index);
}

struct ot_correct *ot_correct_new(struct ot_config *config, struct ot_feeds *feeds,
                                  struct ot_err *err)
{
    struct ot_correct *c = ot_alloc(1, sizeof *c, err);
    struct ot_feed_hints hints = {
        .ctx = c, .label = label, .image_weight = image_weight, .box_weight = box_weight
    };

    if (!c)
        return NULL;
    c->config = config;
    c->feeds = feeds;
    ot_feeds_set_hints(feeds, &hints, 0);
    return c;
}

static int64_t sample_of(void *ctx, const char *key)
{
    return ot_loader_find(ctx, key);
}

static int read_overlay(struct ot_config *config, const struct ot_feeds *feeds,
                        struct ot_verdict **v, size_t *n, struct ot_err *err)
{
    const Caffe__SolverParameter *s = config->solver;
    struct ot_loc place = ot_doc_loc(config->doc, s, "label_overlay");
    const char *path = ot_config_path(config, s->label_overlay, config->path, err);

    if (!path)
        return ot_err_at(err, place);
    if (ot_feeds_count(feeds) != 1)
        return ot_fail_at(err, place, OT_ECONFIG,
                          "label_overlay needs exactly one data layer that reads records, got %d",
                          ot_feeds_count(feeds));
    if (ot_overlay_read(path, sample_of, ot_feeds_loader(feeds), (int)s->n_class_name,
                        (const char *const *)s->class_name, v, n, err) < 0)
        return ot_err_at(err, place);
    ot_log(OT_LOG_INFO, "train", "%s: corrections of %zu labels", path, *n);
    return 0;
}

int ot_correct_read(struct ot_correct *c, struct ot_err *err)
{
    return read_overlay(c->config, c->feeds, &c->v, &c->n, err);
}

int ot_correct_check(struct ot_config *config, const struct ot_feeds *feeds, struct ot_err *err)
{
    struct ot_verdict *v = NULL;
    size_t n;
    int rc = config->solver->label_overlay ? read_overlay(config, feeds, &v, &n, err) : 0;

    ot_free(v);
    return rc;
}

void ot_correct_free(struct ot_correct *c)
{
    if (!c)
        return;
    ot_free(c->v);
    ot_free(c);
}
