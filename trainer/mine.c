/*
 * mine.c - see mine.h.  What feeds and loop ask of it; mine_conf.c finds the loss and reads the
 * configuration, mine_looks.c says who each loss is about.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "trainer/mine_i.h"

enum { QUARANTINED_BOXES = 8 };

/* ---- what the feeds ask ---------------------------------------------------------------------- */

static int32_t label(void *ctx, uint32_t sample, uint8_t kind, int32_t slot, int32_t given)
{
    const struct ot_mine *m = ctx;

    return m->miner && !m->as_given ? ot_miner_label(m->miner, sample, kind, slot, given) : given;
}

static float image_weight(void *ctx, uint32_t sample, bool reinjected)
{
    const struct ot_mine *m = ctx;
    float w = 1.0f;

    if (!m->miner || m->as_given)
        return w;
    w = ot_miner_weight(m->miner, sample, OT_KIND_IMAGE, 0);
    return reinjected ? w * ot_miner_importance(m->miner, sample) : w;
}

static float box_weight(void *ctx, uint32_t sample, int index)
{
    const struct ot_mine *m = ctx;

    return m->miner && !m->as_given ? ot_miner_weight(m->miner, sample, OT_KIND_GT_ROI, index)
                                    : 1.0f;
}

static int booked(void *ctx, uint32_t sample, bool reinjected, float (*row)[5], int max)
{
    const struct ot_mine *m = ctx;
    struct ot_row r[256];
    float box[QUARANTINED_BOXES][4];
    int n = 0, q;

    if (!m->miner || m->as_given)
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
        /* 0 would mean that the row is not used */
        row[n][4] = fmaxf(m->conf.quarantine_weight, FLT_MIN);
    }
    return n;
}

/* ---- making ---------------------------------------------------------------------------------- */

struct ot_mine *ot_mine_new(struct ot_config *config, struct ot_feeds *feeds, struct ot_err *err)
{
    struct ot_mine *m = ot_alloc(1, sizeof *m, err);
    struct ot_feed_hints hints = {
        .label = label, .image_weight = image_weight, .box_weight = box_weight, .booked = booked
    };

    if (!m)
        return NULL;
    m->config = config;
    m->param = config->solver->mining;
    m->feeds = feeds;
    if (config->solver->label_overlay) {
        m->overlay = ot_config_path(config, config->solver->label_overlay, config->path, err);
        if (!m->overlay) {
            (void)ot_err_at(err, ot_doc_loc(config->doc, config->solver, "label_overlay"));
            ot_free(m);
            return NULL;
        }
    }
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
        (void)ot_pool_close(m->pool, "failed", 70, m->lag.iter, (double)NAN, NULL, (double)NAN,
                            &ignored);
    (void)ot_mine_close_log(m, false, &ignored);
    ot_miner_free(m->miner);
    for (int i = 0; i < OT_MINE_SLOTS; i++)
        ot_fetch_release(&m->slot[i]);
    ot_free(m->given.sample);
    ot_free(m->given.label);
    ot_free(m->given.gt);
    ot_free(m->lag.look);
    ot_free(m->speaker);
    ot_free(m->sample);
    ot_free(m->sentinel.sample);
    ot_free(m->sentinel.loss);
    ot_free(m);
}

int ot_mine_attach(struct ot_mine *m, struct ot_net *net, struct ot_err *err)
{
    if (ot_mine_find(m, net, err) < 0)
        return err->code;
    m->net = net;
    if (ot_mine_conf(m, err) < 0)
        return err->code;
    m->sample = ot_alloc((size_t)m->conf.batch + 1, sizeof *m->sample, err);
    if (!m->sample || ot_mine_choose_sentinel(m, err) < 0)
        return err->code;
    m->miner = ot_miner_new(&m->conf, NULL, err);
    return m->miner ? 0 : err->code;
}

/* ---- the pool file --------------------------------------------------------------------------- */

static char *key_of(void *ctx, uint32_t index, char *buf, size_t n)
{
    return ot_loader_key(ctx, index, buf, n);
}

static int64_t sample_of(void *ctx, const char *key)
{
    return ot_loader_find(ctx, key);
}

int ot_mine_open_pool(struct ot_mine *m, const char *device, int64_t iter_start, int64_t parent_run,
                      struct ot_err *err)
{
    struct ot_loader *loader = ot_feeds_loader(m->feeds);
    const Caffe__SolverParameter *s = m->config->solver;
    char path[2048], verdicts[2048];
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
                              .find = sample_of,
                              .key_ctx = loader,
                              .wal_max_mb = m->param->wal_max_mb,
                              .unsafe_fs = m->param->unsafe_fs,
                              .backups = m->param->backups,
                              .overlay = m->overlay };
    const struct ot_mining_sink *sink;
    struct ot_miner *with_sink;

    ot_text_print(&s->base, &text);
    ot_mine_say_limits(m);
    c.path = ot_path_join(path, sizeof path, m->config->run_dir, m->param->pool);
    c.config_text = text.buf ? text.buf : "";
    if (m->param->verdicts)
        c.verdicts = ot_path_join(verdicts, sizeof verdicts, m->config->run_dir,
                                  m->param->verdicts);
    if (s->n_class_name == (size_t)m->conf.n_classes)
        c.class_name = (const char *const *)s->class_name;
    m->pool = ot_pool_open(&c, err);
    ot_str_release(&text);
    if (!m->pool)
        return ot_mine_blame(m, "pool", err);
    if (ot_mine_open_log(m, err) < 0)
        return err->code;
    sink = ot_pool_sink(m->pool);
    with_sink = ot_miner_new(&m->conf, m->log ? ot_looklog_sink(m->log, sink) : sink, err);
    if (!with_sink)
        return err->code;
    ot_miner_free(m->miner);
    m->miner = with_sink;
    return 0;
}

/* ---- what persons and earlier nights say ----------------------------------------------------- */

static int take_verdicts(struct ot_mine *m, int64_t iter, struct ot_err *err)
{
    struct ot_verdict *v;
    size_t n;
    int rc;

    if (!m->pool || !ot_pool_verdicts(m->pool, &v, &n))
        return 0;
    if (n == 0 && ot_miner_counts(m->miner).verdicts == 0) { /* a resumed run is told in any case */
        ot_free(v);
        return 0;
    }
    rc = ot_miner_judge(m->miner, iter, v, n, err);
    if (m->log)
        ot_looklog_verdicts(m->log, iter, v, n);
    ot_free(v);
    return rc;
}

struct carried {
    struct ot_miner *miner;
    int64_t refused;
    struct ot_err first; /* why the first one was */
};

/* A row that a hand has edited into nonsense is left where it is. */
static int adopt(void *ctx, const struct ot_row *row, struct ot_err *err)
{
    struct carried *c = ctx;
    struct ot_err why = OT_ERR_INIT;

    (void)err;
    if (ot_miner_adopt(c->miner, row, &why) < 0 && c->refused++ == 0)
        c->first = why;
    return 0;
}

static int carry(struct ot_mine *m, struct ot_err *err)
{
    struct carried c = { .miner = m->miner, .first = OT_ERR_INIT };
    struct ot_miner_counts n;

    if (ot_pool_each(m->pool, adopt, &c, err) < 0)
        return err->code;
    if (c.refused) {
        ot_log_err("mining", &c.first);
        ot_log(OT_LOG_WARN, "mining", "%lld rows of the pool are not taken over",
               (long long)c.refused);
    }
    n = ot_miner_counts(m->miner);
    if (n.rows)
        ot_log(OT_LOG_INFO, "mining",
               "taken over from earlier runs: %lld rows, of them %lld quarantined, %lld excluded, "
               "%lld learned",
               (long long)n.rows, (long long)n.quarantined, (long long)n.excluded,
               (long long)n.learned);
    return 0;
}

int ot_mine_begin(struct ot_mine *m, int64_t iter, struct ot_err *err)
{
    if (m->restored)
        return 0;
    if (take_verdicts(m, iter, err) < 0 || (m->pool && m->param->carry && carry(m, err) < 0))
        return ot_err_wrap(err, "mining");
    return 0;
}

/* ---- every iteration ------------------------------------------------------------------------- */

int ot_mine_next(struct ot_mine *m, int64_t iter, const uint32_t **sample, struct ot_err *err)
{
    int n;

    if (m->log)
        ot_looklog_begin(m->log, &m->conf, m->miner);
    if (take_verdicts(m, iter, err) < 0)
        return ot_err_wrap(err, "mining");
    n = ot_miner_next(m->miner, iter, m->sample);
    if (m->log)
        ot_looklog_next(m->log, iter, m->sample, n);
    *sample = n ? m->sample : NULL;
    return n;
}

static int give_lagging(struct ot_mine *m, struct ot_err *err)
{
    if (!m->lag.waiting)
        return 0;
    m->lag.waiting = false;
    if (ot_mine_settle(m, err) < 0)
        return err->code;
    if (m->log)
        ot_looklog_looks(m->log, m->lag.iter, m->lag.reinjected, m->lag.look, m->lag.n);
    return ot_miner_observe(m->miner, m->lag.iter, m->lag.reinjected, m->lag.look, m->lag.n, err);
}

int ot_mine_read(struct ot_mine *m, int64_t iter, bool reinjected, struct ot_err *err)
{
    if (give_lagging(m, err) < 0 || ot_mine_ask(m, err) < 0)
        return ot_err_wrap(err, "mining");
    m->lag.iter = iter;
    m->lag.reinjected = reinjected;
    m->lag.waiting = true;
    return 0;
}

void ot_mine_drop(struct ot_mine *m)
{
    m->lag.waiting = false;
    m->mark = 0;
}

void ot_mine_note(struct ot_mine *m, int64_t iter, bool reinjected, double loss, double lr,
                  double ms, const struct ot_miner_counts *then)
{
    struct ot_pool_iter it = { .iter = iter,
                               .reinjected = reinjected,
                               .loss = loss,
                               .lr = lr,
                               .ms = ms,
                               .pool_rows = then->rows,
                               .admitted = then->admitted,
                               .admit_threshold = (double)then->admit_threshold };

    if (m->pool)
        ot_pool_iter(m->pool, &it);
    ot_mine_check_log(m);
}

struct ot_miner_counts ot_mine_counts(const struct ot_mine *m)
{
    return ot_miner_counts(m->miner);
}

int ot_mine_batch(const struct ot_mine *m)
{
    return m->conf.batch;
}

bool ot_mine_on(const struct ot_mine *m, int64_t iter)
{
    return iter >= m->conf.start_iter && iter < m->conf.end_iter;
}

struct ot_pool *ot_mine_pool(struct ot_mine *m)
{
    return m->pool;
}

/* ---- the end ------------------------------------------------------------------------------- */

int ot_mine_close(struct ot_mine *m, const char *status, int exit_code, int64_t iter, double loss,
                  const char *metric, double value, struct ot_err *err)
{
    int rc = give_lagging(m, err), rc2 = 0;
    struct ot_err more = OT_ERR_INIT;
    struct ot_pool *pool = m->pool;

    if (rc == 0)
        rc = ot_mine_prove(m, iter, err);
    m->pool = NULL;
    if (ot_mine_close_log(m, rc == 0, &more) < 0)
        ot_log_err("loss log", &more);
    if (pool)
        rc2 = ot_pool_close(pool, status, exit_code, iter, loss, metric, value, err);
    return rc < 0 ? rc : rc2;
}
