/*
 * mine_sentinel.c - a fixed set of samples that is scored again and again: a guard against
 * forgetting what is easy while the hard is trained on.
 *
 * The set is a draw without repetition by the seed.  A pass over it is forward only, on the data
 * set's own labels and weights 1; every draw in it (crop, dropout, RoIs) is keyed by numbers that
 * no training pass has and that are always the same, so that two scores differ by the weights of
 * the net alone and the training goes on as if it had not been.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "trainer/mine_i.h"

enum { IMAGES = 512, IMAGES_WITH_ROIS = 64 };

/* Training passes are numbered from 0. */
static const uint64_t no_pass = (uint64_t)1 << 63;

static int by_ordinal(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

int ot_mine_choose_sentinel(struct ot_mine *m, struct ot_err *err)
{
    int64_t n = m->param->sentinel, all = m->conf.n_samples;

    if (n < 0)
        n = m->rois ? IMAGES_WITH_ROIS : IMAGES;
    n = n < all ? n : all;
    m->sentinel.batch = ot_feeds_batch_size(m->feeds);
    m->sentinel.n = (int)(n - n % m->sentinel.batch); /* whole batches: the net keeps its shape */
    m->sentinel.sample = ot_alloc((size_t)m->sentinel.n, sizeof *m->sentinel.sample, err);
    m->sentinel.loss = m->sentinel.sample
                           ? ot_alloc((size_t)m->sentinel.n, sizeof *m->sentinel.loss, err)
                           : NULL;
    if (!m->sentinel.loss)
        return err->code;
    for (int i = 0; i < m->sentinel.n; i++)
        m->sentinel.sample[i] = (uint32_t)ot_permute(m->conf.seed, no_pass, (uint64_t)all,
                                                     (uint64_t)i);
    qsort(m->sentinel.sample, (size_t)m->sentinel.n, sizeof *m->sentinel.sample, by_ordinal);
    return 0;
}

/* Means over the instances of each image of the batch; 0 where it has none. */
static int read_batch(struct ot_mine *m, float *loss, struct ot_err *err)
{
    struct ot_dev *dev = m->net->env.dev;
    const float *label, *inst, *rois;
    int n;

    if (ot_mine_fetch(m, OT_MINE_ROIS, err) < 0)
        return err->code;
    dev->ops->wait(dev, dev->ops->mark(dev));
    if (ot_net_ok(m->net, err) < 0)
        return err->code;
    label = m->slot[OT_MINE_LABEL].v;
    inst = m->slot[OT_MINE_INST].v;
    rois = m->slot[OT_MINE_ROIS].v;
    n = ot_dim(&m->prob->data.shape, 0);
    for (int i = 0; i < m->sentinel.batch; i++) {
        double sum = 0;
        int of = 0;

        for (int r = m->rois ? 0 : i; r < (m->rois ? n : i + 1); r++)
            if (!ot_mine_ignored(m, label[r]) && (!m->rois || (int)rois[5 * r] == i)) {
                sum += (double)inst[r];
                of++;
            }
        loss[i] = of ? (float)(sum / of) : 0.0f;
    }
    return 0;
}

static int forward(struct ot_mine *m, struct ot_err *err)
{
    for (int at = 0; at < m->sentinel.n; at += m->sentinel.batch)
        if (ot_feeds_next(m->feeds, m->sentinel.sample + at, m->sentinel.batch,
                          no_pass + (uint64_t)at, err) < 0 ||
            ot_net_forward(m->net, NULL, err) < 0 || read_batch(m, m->sentinel.loss + at, err) < 0)
            return err->code;
    return 0;
}

static int score(struct ot_mine *m, struct ot_err *err)
{
    struct ot_net_env was = m->net->env;
    int rc;

    m->net->env.iter = no_pass;
    m->net->env.frozen_stats = true;
    m->as_given = true;
    rc = forward(m, err);
    m->as_given = false;
    m->net->env = was;
    return rc;
}

static void moments(const float *loss, int n, double *mean, double *sd)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < n; i++)
        sum += (double)loss[i];
    *mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += ((double)loss[i] - *mean) * ((double)loss[i] - *mean);
    *sd = n > 1 ? sqrt(squares / (n - 1)) : 0.0;
}

int ot_mine_sentinel(struct ot_mine *m, int64_t iter, struct ot_err *err)
{
    float share, was = ot_miner_counts(m->miner).factor, now;
    double mean, sd;

    if (!m->sentinel.n)
        return 0;
    if (m->log)
        ot_looklog_begin(m->log, &m->conf, m->miner);
    if (ot_mine_settle(m, err) < 0 || score(m, err) < 0 ||
        ot_miner_sentinel(m->miner, iter, m->sentinel.loss, (size_t)m->sentinel.n, &share, err) < 0)
        return ot_err_wrap(err, "mining: sentinel set");
    if (m->log)
        ot_looklog_sentinel(m->log, iter, m->sentinel.loss, (size_t)m->sentinel.n, share);
    moments(m->sentinel.loss, m->sentinel.n, &mean, &sd);
    now = ot_miner_counts(m->miner).factor;
    if (now < was)
        ot_log(OT_LOG_WARN, "mining",
               "iteration %lld: the loss of the %d samples of the sentinel set has risen to %.4f; "
               "max_share is halved, to %.3g",
               (long long)iter, m->sentinel.n, mean, (double)(m->conf.max_share * now));
    if (m->pool)
        ot_pool_sentinel(m->pool, iter, m->sentinel.n, mean, sd, (double)share);
    return 0;
}
