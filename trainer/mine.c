/*
 * mine.c - see mine.h.
 *
 * An image-level instance is row i of the batch.  A RoI-level instance is a row of the loss whose
 * RoI (first top of the ProposalTarget layer) says which image it is in; background is known by
 * its box, foreground by its ground-truth index (sixth top).  Of the RoIs of one object the one
 * that overlaps it most speaks for it: a RoI at the edge of the foreground threshold is rightly
 * unsure, and would make every object look hard and many labels look wrong.
 */
#include "trainer/mine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "layers/box_math.h"
#include "trainer/net.h"

enum { QUARANTINED_BOXES = 8 };

struct looks { /* the losses of one iteration */
    struct ot_look *look;
    size_t n, cap;
    int64_t iter;
    bool reinjected, waiting; /* waiting: not yet given to the miner */
};

struct speaker { /* the RoI that overlaps an object most */
    double overlap;
    size_t look;
};

struct ot_mine {
    struct ot_config *config;
    const Caffe__MiningParameter *param;
    struct ot_feeds *feeds;
    struct ot_net *net;
    struct ot_miner_conf conf;
    struct ot_miner *miner;
    struct ot_pool *pool;
    enum ot_kind kind;
    struct ot_node *loss;
    struct ot_blob *label, *prob, *inst, *rois, *matched; /* rois, matched: RoI kind only */

    struct {
        float *v;
        size_t cap;
    } host[5];
    struct looks now, lag;
    struct speaker *speaker; /* per object of the batch */
    size_t speaker_cap;
    uint32_t *sample; /* of the re-injection; room for conf.batch */
};

/* ---- what the feeds ask ---------------------------------------------------------------------- */

static float image_weight(void *ctx, uint32_t sample)
{
    const struct ot_mine *m = ctx;

    return m->miner ? ot_miner_weight(m->miner, sample, OT_KIND_IMAGE, 0) : 1.0f;
}

static float box_weight(void *ctx, uint32_t sample, int index)
{
    const struct ot_mine *m = ctx;

    return m->miner ? ot_miner_weight(m->miner, sample, OT_KIND_GT_ROI, index) : 1.0f;
}

static int booked(void *ctx, uint32_t sample, bool reinjected, float (*row)[5], int max)
{
    const struct ot_mine *m = ctx;
    struct ot_row r[256];
    float box[QUARANTINED_BOXES][4];
    int n = 0, q;

    if (!m->miner)
        return 0;
    if (reinjected)
        n = ot_miner_booked(m->miner, sample, r, max < 256 ? max : 256);
    for (int i = 0; i < n; i++) {
        memcpy(row[i], r[i].box, sizeof r[i].box);
        row[i][4] = 1.0f;
    }
    q = ot_miner_quarantined_boxes(m->miner, sample, box, QUARANTINED_BOXES);
    for (int i = 0; i < q && n < max; i++, n++) {
        memcpy(row[n], box[i], sizeof box[i]);
        row[n][4] = m->conf.quarantine_weight;
    }
    return n;
}

/* ---- making ---------------------------------------------------------------------------------- */

struct ot_mine *ot_mine_new(struct ot_config *config, struct ot_feeds *feeds, struct ot_err *err)
{
    struct ot_mine *m = ot_alloc(1, sizeof *m, err);
    struct ot_feed_hints hints = { .image_weight = image_weight,
                                   .box_weight = box_weight,
                                   .booked = booked };

    if (!m)
        return NULL;
    m->config = config;
    m->param = config->solver->mining;
    m->feeds = feeds;
    hints.ctx = m;
    ot_feeds_set_hints(feeds, &hints, m->param->rois_per_image + QUARANTINED_BOXES);
    return m;
}

void ot_mine_free(struct ot_mine *m)
{
    struct ot_err ignored = OT_ERR_INIT;

    if (!m)
        return;
    if (m->pool) /* an error path: the run has not ended by itself */
        (void)ot_pool_close(m->pool, "failed", 70, m->now.iter, (double)NAN, NULL, (double)NAN,
                            &ignored);
    ot_miner_free(m->miner);
    for (size_t i = 0; i < sizeof m->host / sizeof m->host[0]; i++)
        ot_free(m->host[i].v);
    ot_free(m->now.look);
    ot_free(m->lag.look);
    ot_free(m->speaker);
    ot_free(m->sample);
    ot_free(m);
}

static int blame(const struct ot_mine *m, const char *field, struct ot_err *err)
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
    (void)blame(m, "layer", err);
    return NULL;
}

static struct ot_blob *keep(struct ot_net_blob *b)
{
    b->keep = true;
    return &b->b;
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
            return blame(m, "kind", err);
        }
        m->kind = OT_KIND_GT_ROI;
        m->rois = keep(target->out[0]);
        m->matched = keep(target->out[5]);
    }
    net->env.mining_min_fg = m->param->min_fg;
    return 0;
}

static int check_range(const struct ot_mine *m, const char *field, double v, double lo, double hi,
                       struct ot_err *err)
{
    if (v >= lo && v <= hi)
        return 0;
    (void)ot_fail(err, OT_ECONFIG, "mining.%s: must be in [%g, %g], got %g", field, lo, hi, v);
    return blame(m, field, err);
}

static int make_conf(struct ot_mine *m, int n_classes, struct ot_err *err)
{
    const Caffe__MiningParameter *p = m->param;
    double passes = (double)m->config->solver->max_iter * m->config->solver->iter_size;
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
    };

    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
        if (check_range(m, range[i].field, range[i].v, range[i].lo, range[i].hi, err) < 0)
            return err->code;
    m->conf = (struct ot_miner_conf){
        .naive = p->policy == CAFFE__MINING_PARAMETER__POLICY__NAIVE,
        .admit = (enum ot_admit)p->admit,
        .quantile = p->quantile,
        .window = p->window,
        .threshold = p->threshold,
        .topk = p->topk,
        .class_share = p->class_share,
        .start_iter = (int64_t)((double)p->warmup * passes),
        .end_iter = (int64_t)((double)p->until * passes),
        .capacity = p->capacity,
        .ema = p->ema,
        .batch = p->batch ? p->batch : ot_feeds_batch_size(m->feeds),
        .min_fresh = p->min_fresh,
        .max_share = p->max_share,
        .cooldown = p->cooldown,
        .per_sample = m->kind == OT_KIND_IMAGE ? 1 : p->rois_per_image,
        .retire = p->retire,
        .probe_after = p->probe_after,
        .probe_conf = p->probe_conf,
        .quarantine_weight = p->quarantine_weight,
        .release = p->release,
        .seed = m->config->seed,
        .n_classes = n_classes,
        .n_samples = (uint32_t)ot_loader_count(ot_feeds_loader(m->feeds)),
    };
    if (m->conf.n_samples < (uint32_t)m->conf.batch) {
        (void)ot_fail(err, OT_ECONFIG, "mining.batch: %d samples, but the data set has only %u",
                      m->conf.batch, m->conf.n_samples);
        return blame(m, "batch", err);
    }
    return 0;
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
        return blame(m, NULL, err);
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

int ot_mine_attach(struct ot_mine *m, struct ot_net *net, struct ot_err *err)
{
    if (find_blobs(m, net, err) < 0 || check_instances(m, err) < 0)
        return err->code;
    m->net = net;
    if (make_conf(m, ot_dim(&m->prob->data.shape, 1), err) < 0)
        return err->code;
    m->sample = ot_alloc((size_t)m->conf.batch + 1, sizeof *m->sample, err);
    if (!m->sample)
        return err->code;
    m->miner = ot_miner_new(&m->conf, NULL, err);
    return m->miner ? 0 : err->code;
}

/* ---- the pool file --------------------------------------------------------------------------- */

static char *key_of(void *ctx, uint32_t index, char *buf, size_t n)
{
    return ot_loader_key(ctx, index, buf, n);
}

int ot_mine_open_pool(struct ot_mine *m, const char *device, int64_t iter_start, int64_t parent_run,
                      struct ot_err *err)
{
    struct ot_loader *loader = ot_feeds_loader(m->feeds);
    const Caffe__SolverParameter *s = m->config->solver;
    char path[2048];
    struct ot_str text = { 0 };
    struct ot_pool_conf c = { .job = m->config->path,
                              .seed = m->config->seed,
                              .iter_start = iter_start,
                              .parent_run = parent_run,
                              .device = device,
                              .dataset = ot_loader_source(loader),
                              .dataset_entries = ot_loader_count(loader),
                              .dataset_fingerprint = ot_loader_fingerprint(loader),
                              .n_classes = m->conf.n_classes,
                              .flush_s = m->param->flush_s,
                              .flush_rows = m->param->flush_rows,
                              .key = key_of,
                              .key_ctx = loader };
    struct ot_miner *with_sink;

    ot_text_print(&s->base, &text);
    c.path = ot_path_join(path, sizeof path, m->config->run_dir, m->param->pool);
    c.config_text = text.buf ? text.buf : "";
    if (s->n_class_name == (size_t)m->conf.n_classes)
        c.class_name = (const char *const *)s->class_name;
    m->pool = ot_pool_open(&c, err);
    ot_str_release(&text);
    if (!m->pool)
        return blame(m, "pool", err);
    with_sink = ot_miner_new(&m->conf, ot_pool_sink(m->pool), err);
    if (!with_sink)
        return err->code;
    ot_miner_free(m->miner);
    m->miner = with_sink;
    return 0;
}

/* ---- every iteration ------------------------------------------------------------------------- */

int ot_mine_next(struct ot_mine *m, int64_t iter, const uint32_t **sample)
{
    int n = ot_miner_next(m->miner, iter, m->sample);

    *sample = n ? m->sample : NULL;
    return n;
}

static const float *fetch(struct ot_mine *m, int slot, const struct ot_blob *b, struct ot_err *err)
{
    size_t n = ot_count(&b->data.shape);

    if (ot_grow(&m->host[slot].v, &m->host[slot].cap, n, sizeof(float), err) < 0 ||
        ot_net_read(m->net, b, m->host[slot].v, err) < 0)
        return NULL;
    return m->host[slot].v;
}

static void classify(struct ot_look *k, const float *p, int c)
{
    k->pred = 0;
    for (int j = 1; j < c; j++)
        if (p[j] > p[k->pred])
            k->pred = j;
    k->p_pred = p[k->pred];
    k->p_label = k->label >= 0 && k->label < c ? p[k->label] : 0.0f;
}

static void clip_unit(float *v)
{
    *v = *v < 0 ? 0.0f : *v > 1 ? 1.0f : *v;
}

/* Pixels of the blob, inclusive corners, to fractions of the un-augmented image. */
static void un_augment(const struct ot_sample_info *s, const float *roi, float box[4])
{
    float w = (float)s->in_width, h = (float)s->in_height;
    float x0 = roi[1] / w, x1 = (roi[3] + 1.0f) / w;

    box[0] = s->flip ? 1.0f - x1 : x0;
    box[1] = roi[2] / h;
    box[2] = s->flip ? 1.0f - x0 : x1;
    box[3] = (roi[4] + 1.0f) / h;
    for (int i = 0; i < 4; i++)
        clip_unit(&box[i]);
}

/* Keeps look k of object `gt` of an image when it overlaps it more than any before it did; else
 * takes k back.  Returns where the next look goes. */
static size_t let_speak(struct ot_mine *m, const struct ot_batch *batch, int image, int gt,
                        const float *roi, size_t k)
{
    size_t g = (size_t)ot_loader_max_boxes(ot_feeds_loader(m->feeds));
    size_t at = (size_t)image * g + (size_t)gt;
    struct speaker *s = &m->speaker[at];
    double overlap = ot_iou(roi + 1, batch->gt + at * 6);

    if (overlap <= s->overlap)
        return k;
    if (s->overlap > 0) { /* the new one takes the old one's place */
        m->now.look[s->look] = m->now.look[k];
        s->overlap = overlap;
        return k;
    }
    *s = (struct speaker){ .overlap = overlap, .look = k };
    return k + 1;
}

static int clear_speakers(struct ot_mine *m, const struct ot_batch *batch, struct ot_err *err)
{
    size_t n = m->rois ? (size_t)batch->n * (size_t)ot_loader_max_boxes(ot_feeds_loader(m->feeds))
                       : 0;

    if (ot_grow(&m->speaker, &m->speaker_cap, n + 1, sizeof *m->speaker, err) < 0)
        return err->code;
    memset(m->speaker, 0, n * sizeof *m->speaker);
    return 0;
}

static bool ignored(const struct ot_mine *m, float label)
{
    const Caffe__LossParameter *p = m->loss->l.conf->loss_param;

    return label < 0 || (p && p->has_ignore_label && (int)label == p->ignore_label);
}

static int collect(struct ot_mine *m, struct ot_err *err)
{
    const struct ot_batch *batch = ot_feeds_batch(m->feeds);
    const float *label = fetch(m, 0, m->label, err), *prob = fetch(m, 1, m->prob, err);
    const float *inst = fetch(m, 2, m->inst, err);
    const float *rois = m->rois ? fetch(m, 3, m->rois, err) : label;
    const float *matched = m->rois ? fetch(m, 4, m->matched, err) : label;
    int n = ot_dim(&m->prob->data.shape, 0), c = ot_dim(&m->prob->data.shape, 1);

    if (!label || !prob || !inst || !rois || !matched)
        return err->code;
    if (ot_grow(&m->now.look, &m->now.cap, (size_t)n, sizeof *m->now.look, err) < 0 ||
        clear_speakers(m, batch, err) < 0)
        return err->code;
    m->now.n = 0;
    for (int r = 0; r < n; r++) {
        struct ot_look *k = &m->now.look[m->now.n];
        int image = m->rois ? (int)rois[5 * r] : r;
        const struct ot_sample_info *s;

        if (ignored(m, label[r]) || image < 0 || image >= batch->n)
            continue; /* ignored, or a row that holds nothing */
        s = &batch->sample[image];
        *k = (struct ot_look){ .sample = s->index,
                               .kind = OT_KIND_IMAGE,
                               .label = (int32_t)label[r],
                               .loss = inst[r],
                               .box = { 0, 0, 1, 1 },
                               .flip = s->flip };
        classify(k, prob + (size_t)r * (size_t)c, c);
        if (m->rois) {
            k->slot = (int32_t)matched[r];
            k->kind = k->slot >= 0 ? OT_KIND_GT_ROI : OT_KIND_BG_ROI;
            un_augment(s, rois + 5 * (size_t)r, k->box);
        }
        if (k->kind == OT_KIND_GT_ROI)
            m->now.n = let_speak(m, batch, image, k->slot, rois + 5 * (size_t)r, m->now.n);
        else
            m->now.n++;
    }
    return 0;
}

static int give_lagging(struct ot_mine *m, struct ot_err *err)
{
    if (!m->lag.waiting)
        return 0;
    m->lag.waiting = false;
    return ot_miner_observe(m->miner, m->lag.iter, m->lag.reinjected, m->lag.look, m->lag.n, err);
}

int ot_mine_read(struct ot_mine *m, int64_t iter, bool reinjected, struct ot_err *err)
{
    struct looks swap;

    if (collect(m, err) < 0 || give_lagging(m, err) < 0)
        return ot_err_wrap(err, "mining");
    m->now.iter = iter;
    m->now.reinjected = reinjected;
    m->now.waiting = true;
    swap = m->lag;
    m->lag = m->now;
    m->now = swap;
    m->now.iter = iter;
    return 0;
}

void ot_mine_note(struct ot_mine *m, int64_t iter, bool reinjected, double loss, double lr,
                  double ms)
{
    struct ot_miner_counts c = ot_miner_counts(m->miner);
    struct ot_pool_iter it = { .iter = iter,
                               .reinjected = reinjected,
                               .loss = loss,
                               .lr = lr,
                               .ms = ms,
                               .pool_rows = c.rows,
                               .admitted = c.admitted,
                               .admit_threshold = (double)c.admit_threshold };

    if (m->pool)
        ot_pool_iter(m->pool, &it);
}

struct ot_miner_counts ot_mine_counts(const struct ot_mine *m)
{
    return ot_miner_counts(m->miner);
}

int ot_mine_batch(const struct ot_mine *m)
{
    return m->conf.batch;
}

struct ot_pool *ot_mine_pool(struct ot_mine *m)
{
    return m->pool;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

struct image_head { /* in the machine's byte order; a snapshot stays on its machine class */
    char magic[8];
    int64_t lag_iter;
    uint64_t lag_n;
    uint32_t look_size, lag_reinjected, lag_waiting, reserved;
};

static const char image_magic[8] = { 'O', 'T', 'M', 'I', 'N', 'E', '1', '\n' };

int ot_mine_save(struct ot_mine *m, struct ot_str *out, struct ot_err *err)
{
    struct image_head h = { .lag_iter = m->lag.iter,
                            .lag_n = m->lag.waiting ? m->lag.n : 0,
                            .look_size = sizeof(struct ot_look),
                            .lag_reinjected = m->lag.reinjected,
                            .lag_waiting = m->lag.waiting };

    memcpy(h.magic, image_magic, sizeof h.magic);
    ot_str_add(out, (const char *)&h, sizeof h);
    ot_str_add(out, (const char *)m->lag.look, (size_t)h.lag_n * sizeof(struct ot_look));
    if (ot_miner_save(m->miner, out, err) < 0)
        return err->code;
    return ot_str_ok(out, err);
}

int ot_mine_restore(struct ot_mine *m, const void *bytes, size_t n, int64_t iter,
                    struct ot_err *err)
{
    struct image_head h;
    size_t looks;

    if (n < sizeof h)
        return ot_fail(err, OT_EDATA, "mining state: only %zu bytes", n);
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.magic, image_magic, sizeof h.magic) != 0 || h.look_size != sizeof(struct ot_look))
        return ot_fail(err, OT_EDATA, "mining state: written by another version");
    if (h.lag_n > (n - sizeof h) / sizeof(struct ot_look))
        return ot_fail(err, OT_EDATA, "mining state: truncated (%zu bytes)", n);
    looks = (size_t)h.lag_n * sizeof(struct ot_look);
    if (ot_grow(&m->lag.look, &m->lag.cap, (size_t)h.lag_n + 1, sizeof *m->lag.look, err) < 0)
        return err->code;
    memcpy(m->lag.look, (const char *)bytes + sizeof h, looks);
    m->lag.n = (size_t)h.lag_n;
    m->lag.iter = h.lag_iter;
    m->lag.reinjected = h.lag_reinjected != 0;
    m->lag.waiting = h.lag_waiting != 0;
    if (ot_miner_restore(m->miner, (const char *)bytes + sizeof h + looks, n - sizeof h - looks,
                         err) < 0)
        return err->code;
    /* what the miner made of the lagging losses will be made of them again */
    return m->pool ? ot_pool_reset(m->pool, m->miner, m->lag.waiting ? m->lag.iter - 1 : iter, err)
                   : 0;
}

int ot_mine_close(struct ot_mine *m, const char *status, int exit_code, int64_t iter, double loss,
                  const char *metric, double value, struct ot_err *err)
{
    int rc = give_lagging(m, err), rc2 = 0;
    struct ot_pool *pool = m->pool;

    m->pool = NULL;
    if (pool)
        rc2 = ot_pool_close(pool, status, exit_code, iter, loss, metric, value, err);
    return rc < 0 ? rc : rc2;
}
