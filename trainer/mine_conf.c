/*
 * mine_conf.c - what is watched and by which rules: the loss layer, its blobs, every field of
 * `mining` with its range.
 */
#include <string.h>

#include "base/log.h"
#include "trainer/mine_i.h"

#define NO_WEIGHTS "the loss has no weights from the data layer"

int ot_mine_blame(const struct ot_mine *m, const char *field, struct ot_err *err)
{
    return ot_err_at(err, ot_doc_loc(m->config->doc, m->param, field));
}

static struct ot_node *find_loss(struct ot_mine *m, struct ot_net *net, struct ot_err *err)
{
    struct ot_node *found = NULL;
    int n = 0;

    for (int i = 0; i < net->nnode; i++) {
        struct ot_node *k = &net->node[i];
        bool fits = !strcmp(k->l.ops->type, "SoftmaxWithLossOHEM") && k->l.nout == 3;

        if (m->param->layer)
            fits = fits && !strcmp(k->l.name, m->param->layer);
        found = fits ? k : found;
        n += fits;
    }
    if (n == 1)
        return found;
    if (m->param->layer)
        (void)ot_fail(err, OT_ECONFIG,
                      "layer: no SoftmaxWithLossOHEM layer with three tops is named '%s'",
                      m->param->layer);
    else
        (void)ot_fail(err, OT_ECONFIG,
                      "mining needs one SoftmaxWithLossOHEM layer with three tops, the net has %d"
                      "; name one with mining.layer",
                      n);
    (void)ot_mine_blame(m, "layer", err);
    return NULL;
}

static struct ot_blob *keep(struct ot_net_blob *b)
{
    b->keep = true;
    return &b->b;
}

/* Whether the weights that the feed gives reach the loss's third bottom, through whatever. */
static bool is_weighted(const struct ot_mine *m, const struct ot_net *net)
{
    const struct ot_net_blob *want[256];
    int n = 0;

    if (m->loss->l.nin < 3)
        return false;
    want[n++] = m->loss->in[2];
    for (int i = (int)(m->loss - net->node) - 1; i >= 0; i--) {
        const struct ot_node *k = &net->node[i];
        int source = m->rois ? 6 : 2;
        bool found = false;

        for (int t = 0; t < k->l.nout; t++)
            for (int w = 0; w < n; w++)
                if (want[w] == k->out[t] && t == source &&
                    (m->rois ? !strcmp(k->l.ops->type, "ProposalTarget")
                             : (k->l.ops->flags & OT_LAYER_DATA) != 0))
                    return true;
                else
                    found |= want[w] == k->out[t];
        for (int b = 0; found && b < k->l.nin && n < 256; b++)
            want[n++] = k->in[b];
    }
    return false;
}

/* A loss besides the mined one that learns from the data layer's labels, whatever they weigh. */
static const struct ot_node *other_loss(const struct ot_mine *m, const struct ot_net *net)
{
    const struct ot_net_blob *from[256];
    int n = 0;

    for (int i = 0; i < net->nnode && !m->rois; i++) {
        const struct ot_node *k = &net->node[i];
        bool reached = false;

        for (int b = 0; b < k->l.nin; b++)
            for (int f = 0; f < n; f++)
                reached |= from[f] == k->in[b];
        if (reached && k != m->loss && (k->l.ops->flags & OT_LAYER_LOSS) &&
            k->l.loss_weight[0] != 0.0f)
            return k;
        for (int t = 0; t < k->l.nout && n < 256; t++)
            if (reached || ((k->l.ops->flags & OT_LAYER_DATA) && t == 1))
                from[n++] = k->out[t];
    }
    return NULL;
}

static int find_blobs(struct ot_mine *m, struct ot_net *net, struct ot_err *err)
{
    struct ot_node *loss = find_loss(m, net, err), *target = NULL;

    if (!loss)
        return err->code;
    for (int i = 0; i < net->nnode; i++)
        if (!strcmp(net->node[i].l.ops->type, "ProposalTarget"))
            target = &net->node[i];
    m->loss = loss;
    m->label = keep(loss->in[1]);
    m->prob = keep(loss->out[1]);
    m->inst = keep(loss->out[2]);
    m->kind = OT_KIND_IMAGE;
    if (m->param->kind == CAFFE__MINING_PARAMETER__KIND__ROI ||
        (m->param->kind == CAFFE__MINING_PARAMETER__KIND__AUTO && target)) {
        if (!target || target->l.nout < 6) {
            (void)ot_fail(err, OT_ECONFIG,
                          "kind: mining RoIs needs a ProposalTarget layer with at least 6 tops "
                          "(rois, labels, targets, two weights, matched_gt)");
            return ot_mine_blame(m, "kind", err);
        }
        m->kind = OT_KIND_GT_ROI;
        m->rois = keep(target->out[0]);
        m->matched = keep(target->out[5]);
    }
    net->env.mining_min_fg = m->param->min_fg;
    m->weighted = is_weighted(m, net);
    m->other_loss = other_loss(m, net);
    return 0;
}

static int check_range(const Caffe__MiningParameter *p, const struct ot_doc *doc, const char *field,
                       double v, double lo, double hi, struct ot_err *err)
{
    if (v >= lo && (v <= hi || (float)v == (float)hi)) /* 0.1f is above 0.1 */
        return 0;
    (void)ot_fail(err, OT_ECONFIG, "mining.%s: must be in [%g, %g], got %g", field, lo, hi, v);
    return ot_err_at(err, ot_doc_loc(doc, p, field));
}

static int check_ranges(const Caffe__MiningParameter *p, const struct ot_doc *doc,
                        struct ot_err *err)
{
    double big = 1 << 30;

    const struct {
        const char *field;
        double v, lo, hi;
    } range[] = {
        { "quantile", (double)p->quantile, 0, 1 },
        { "window", p->window, 16, 1 << 24 },
        { "topk", p->topk, 1, big },
        { "class_share", (double)p->class_share, 0, 1 },
        { "warmup", (double)p->warmup, 0, 1 },
        { "until", (double)p->until, 0, 1 },
        { "capacity", p->capacity, 1, 1 << 26 },
        { "ema", (double)p->ema, 0, 0.9999 },
        { "batch", p->batch, 0, 1 << 20 },
        { "min_fresh", p->min_fresh, 1, big },
        { "max_share", (double)p->max_share, 0, 1 },
        { "fresh_part", (double)p->fresh_part, 0, 1 },
        { "cooldown", p->cooldown, 0, big },
        { "min_fg", (double)p->min_fg, 0, 1 },
        { "rois_per_image", p->rois_per_image, 1, 128 },
        { "probe_after", p->probe_after, 1, big },
        { "probe_conf", (double)p->probe_conf, 0, 1 },
        { "quarantine_weight", (double)p->quarantine_weight, 0, 1 },
        { "threshold", (double)p->threshold, 0, big },
        { "retire", (double)p->retire, 0, big },
        { "release", (double)p->release, 0, big },
        { "flush_s", (double)p->flush_s, 0.01, 3600 },
        { "flush_rows", p->flush_rows, 1, big },
        { "importance_beta", (double)p->importance_beta, 0, 1 },
        { "scope_looks", p->scope_looks, 1, big },
        { "scope_margin", (double)p->scope_margin, 0, 1 },
        { "wal_max_mb", (double)p->wal_max_mb, 1, 1 << 20 },
        { "backups", p->backups, 0, 1000 },
        { "control", (double)p->control, 0, 0.5 },
        { "thermometer", (double)p->thermometer, 0, 0.1 },
        { "sentinel", p->sentinel, -1, 1 << 20 },
    };

    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
        if (check_range(p, doc, range[i].field, range[i].v, range[i].lo, range[i].hi, err) < 0)
            return err->code;
    return 0;
}

/* The textbook pool has no guards; planted labels need weights, and a wrong class to be. */
static void switch_off(struct ot_miner_conf *c, const struct ot_mine_facts *f)
{
    if (c->naive) {
        c->control = c->thermometer = 0;
        c->scope_all = c->auto_share = false;
    }
    if (f->unweighted || f->shared || c->n_classes - c->first_class < 2)
        c->thermometer = 0;
}

/* What one field alone does not tell. */
static int check_conf(const Caffe__MiningParameter *p, const struct ot_doc *doc,
                      const struct ot_mine_facts *f, const struct ot_miner_conf *c,
                      struct ot_err *err)
{
    if (c->importance && (f->roi || f->unweighted)) {
        (void)ot_fail(err, OT_ECONFIG, "mining.importance: must be NONE %s, got %s",
                      f->roi ? "where RoIs are mined" : "where " NO_WEIGHTS,
                      c->importance == OT_IMPORTANCE_RANK ? "RANK" : "PER");
        return ot_err_at(err, ot_doc_loc(doc, p, "importance"));
    }
    if (c->importance && c->priority == OT_PRIORITY_UNIFORM) {
        (void)ot_fail(
            err, OT_ECONFIG,
            "mining.importance: a uniform draw has no bias to weigh; needs priority LOSS, "
            "got UNIFORM");
        return ot_err_at(err, ot_doc_loc(doc, p, "importance"));
    }
    if (c->n_samples < (uint32_t)c->batch) {
        (void)ot_fail(err, OT_ECONFIG, "mining.batch: %d samples, but the data set has only %u",
                      c->batch, c->n_samples);
        return ot_err_at(err, ot_doc_loc(doc, p, "batch"));
    }
    return 0;
}

int ot_mine_rules(const Caffe__MiningParameter *p, const struct ot_doc *doc,
                  const struct ot_mine_facts *f, struct ot_miner_conf *conf, struct ot_err *err)
{
    if (check_ranges(p, doc, err) < 0)
        return err->code;
    *conf = (struct ot_miner_conf){
        .naive = p->policy == CAFFE__MINING_PARAMETER__POLICY__NAIVE,
        .admit = (enum ot_admit)p->admit,
        .quantile = p->quantile,
        .window = p->window,
        .threshold = p->threshold,
        .topk = p->topk,
        .class_share = p->class_share,
        .start_iter = (int64_t)((double)p->warmup * (double)f->passes),
        .end_iter = (int64_t)((double)p->until * (double)f->passes),
        .capacity = p->capacity,
        .ema = p->ema,
        .batch = p->batch ? p->batch : f->batch,
        .min_fresh = p->min_fresh,
        .max_share = p->max_share,
        .fresh_part = p->fresh_part,
        .cooldown = p->cooldown,
        .per_sample = f->roi ? p->rois_per_image : 1,
        .retire = p->retire,
        .probe_after = p->probe_after,
        .probe_conf = p->probe_conf,
        .quarantine_weight = p->quarantine_weight,
        .release = p->release,
        .seed = f->seed,
        .n_classes = f->n_classes,
        .n_samples = f->n_samples,
        .priority = (enum ot_priority)p->priority,
        .importance = (enum ot_importance)p->importance,
        .importance_beta = p->importance_beta,
        .auto_share = p->auto_share,
        .scope_all = p->scope == CAFFE__MINING_PARAMETER__SCOPE__ALL,
        .scope_looks = p->scope_looks,
        .scope_margin = p->scope_margin,
        .control = p->control,
        .thermometer = p->thermometer,
        .first_class = f->roi ? 1 : 0,
    };
    switch_off(conf, f);
    return check_conf(p, doc, f, conf, err);
}

int ot_mine_conf(struct ot_mine *m, struct ot_err *err)
{
    const Caffe__SolverParameter *s = m->config->solver;

    m->facts =
        (struct ot_mine_facts){ .passes = (int64_t)s->max_iter * s->iter_size,
                                .batch = ot_feeds_batch_size(m->feeds),
                                .roi = m->kind != OT_KIND_IMAGE,
                                .seed = m->config->seed,
                                .n_classes = ot_dim(&m->prob->data.shape, 1),
                                .n_samples = (uint32_t)ot_loader_count(ot_feeds_loader(m->feeds)),
                                .unweighted = !m->weighted,
                                .shared = m->other_loss != NULL };
    return ot_mine_rules(m->param, m->config->doc, &m->facts, &m->conf, err);
}

void ot_mine_say_limits(const struct ot_mine *m)
{
    if (!m->weighted)
        ot_log(OT_LOG_WARN, "mining",
               NO_WEIGHTS ": no thermometer, and quarantined, ignored and mislabelled examples are "
                          "trained on like all others (docs/mining.md, Weights)");
    else if (m->other_loss)
        ot_log(OT_LOG_WARN, "mining",
               "layer '%s' learns from the labels too, whatever the mined loss weighs: no "
               "thermometer (docs/mining.md, Weights)",
               m->other_loss->l.name);
}

/* One loss value per image or per RoI, and one data layer whose records they are about. */
static int check_instances(struct ot_mine *m, struct ot_err *err)
{
    const struct ot_shape *inst = &m->inst->data.shape, *prob = &m->prob->data.shape;
    int images = ot_feeds_batch_size(m->feeds);
    char a[OT_SHAPE_TEXT], b[OT_SHAPE_TEXT];

    if (ot_feeds_count(m->feeds) != 1) {
        (void)ot_fail(err, OT_ECONFIG,
                      "mining needs exactly one data layer that reads an LMDB, got %d",
                      ot_feeds_count(m->feeds));
        return ot_mine_blame(m, NULL, err);
    }
    if (ot_count(inst) == (size_t)ot_dim(prob, 0) &&
        ot_count_range(prob, 1, prob->nd) == (size_t)ot_dim(prob, 1) &&
        (m->rois || ot_dim(prob, 0) == images))
        return 0;
    (void)ot_fail(err, OT_ESHAPE,
                  "mining wants one loss per %s (a batch has %d images); scores are %s, the losses "
                  "of the instances %s",
                  m->rois ? "RoI" : "image", images, ot_shape_str(prob, a), ot_shape_str(inst, b));
    return ot_net_wrap(m->loss, err);
}

int ot_mine_find(struct ot_mine *m, struct ot_net *net, struct ot_err *err)
{
    return find_blobs(m, net, err) < 0 ? err->code : check_instances(m, err);
}
