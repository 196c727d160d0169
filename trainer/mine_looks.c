/*
 * mine_looks.c - who each loss is about.
 *
 * An image-level instance is row i of the batch.  A RoI-level instance is a row of the loss whose
 * RoI (first top of the ProposalTarget layer) says which image it is in; background is known by
 * its box, foreground by its ground-truth index (sixth top).  Of the RoIs of one object the one
 * that overlaps it most speaks for it: a RoI at the edge of the foreground threshold is rightly
 * unsure, and would make every object look hard and many labels look wrong.
 *
 * The values come with a lag: what is needed of the batch is kept, because the feed has gone on.
 */
#include <string.h>

#include "base/mem.h"
#include "layers/box_math.h"
#include "trainer/mine_i.h"

int ot_mine_fetch(struct ot_mine *m, int last, struct ot_err *err)
{
    const struct ot_blob *b[OT_MINE_SLOTS] = { m->label, m->prob, m->inst, m->rois, m->matched };

    for (int k = 0; k <= last; k++)
        if (b[k] && ot_fetch_ask(&m->slot[k], m->net, b[k], err) < 0)
            return err->code;
    return 0;
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

/* Of an image's row of objects; 0 where an instance is an image. */
static size_t boxes(const struct ot_mine *m)
{
    return m->rois ? (size_t)ot_loader_max_boxes(ot_feeds_loader(m->feeds)) : 0;
}

/* Keeps look k of object `gt` of an image when it overlaps it more than any before it did; else
 * takes k back.  Returns where the next look goes. */
static size_t let_speak(struct ot_mine *m, int image, int gt, const float *roi, size_t k)
{
    size_t at = (size_t)image * boxes(m) + (size_t)gt;
    struct ot_speaker *s = &m->speaker[at];
    double overlap = ot_iou(roi + 1, m->given.gt + at * 6);

    if (overlap <= s->overlap)
        return k;
    if (s->overlap > 0) { /* the new one takes the old one's place */
        m->lag.look[s->look] = m->lag.look[k];
        s->overlap = overlap;
        return k;
    }
    *s = (struct ot_speaker){ .overlap = overlap, .look = k };
    return k + 1;
}

static int clear_speakers(struct ot_mine *m, struct ot_err *err)
{
    size_t n = (size_t)m->given.n * boxes(m);

    if (ot_grow(&m->speaker, &m->speaker_cap, n + 1, sizeof *m->speaker, err) < 0)
        return err->code;
    memset(m->speaker, 0, n * sizeof *m->speaker);
    return 0;
}

bool ot_mine_ignored(const struct ot_mine *m, float label)
{
    const Caffe__LossParameter *p = m->loss->l.conf->loss_param;

    return label < 0 || (p && p->has_ignore_label && (int)label == p->ignore_label);
}

/* What the data set says, whatever was trained on. */
static int32_t given_label(const struct ot_mine *m, int image, const struct ot_look *k)
{
    if (k->kind == OT_KIND_IMAGE)
        return (int32_t)m->given.label[image];
    if (k->kind == OT_KIND_GT_ROI)
        return (int32_t)m->given.gt[((size_t)image * boxes(m) + (size_t)k->slot) * 6 + 4];
    return k->label;
}

static int keep_given(struct ot_mine *m, struct ot_err *err)
{
    const struct ot_batch *b = ot_feeds_batch(m->feeds);
    struct ot_given *g = &m->given;
    size_t n = (size_t)b->n, rows = n * boxes(m);

    if (ot_grow(&g->sample, &g->sample_cap, n, sizeof *g->sample, err) < 0 ||
        ot_grow(&g->label, &g->label_cap, n, sizeof *g->label, err) < 0 ||
        ot_grow(&g->gt, &g->gt_cap, rows * 6 + 1, sizeof *g->gt, err) < 0)
        return err->code;
    g->n = b->n;
    g->rows = ot_dim(&m->prob->data.shape, 0);
    g->classes = ot_dim(&m->prob->data.shape, 1);
    memcpy(g->sample, b->sample, n * sizeof *g->sample);
    if (m->rois)
        memcpy(g->gt, b->gt, rows * 6 * sizeof *g->gt);
    else
        memcpy(g->label, b->label, n * sizeof *g->label);
    return 0;
}

int ot_mine_ask(struct ot_mine *m, struct ot_err *err)
{
    struct ot_dev *dev = m->net->env.dev;

    if (ot_mine_fetch(m, OT_MINE_SLOTS - 1, err) < 0 || keep_given(m, err) < 0)
        return err->code;
    m->mark = dev->ops->mark(dev);
    return 0;
}

/* Adds the look of row r, unless it is of nothing. */
static void look_at(struct ot_mine *m, int r)
{
    const int c = m->given.classes;
    struct ot_look *k = &m->lag.look[m->lag.n];
    const float label = m->slot[OT_MINE_LABEL].v[r];
    const float *roi = m->rois ? m->slot[OT_MINE_ROIS].v + 5 * (size_t)r : NULL;
    const struct ot_sample_info *s;
    int image = roi ? (int)roi[0] : r;

    if (ot_mine_ignored(m, label) || image < 0 || image >= m->given.n)
        return; /* ignored, or a row that holds nothing */
    s = &m->given.sample[image];
    *k = (struct ot_look){ .sample = s->index,
                           .kind = OT_KIND_IMAGE,
                           .label = (int32_t)label,
                           .loss = m->slot[OT_MINE_INST].v[r],
                           .box = { 0, 0, 1, 1 },
                           .flip = s->flip };
    classify(k, m->slot[OT_MINE_PROB].v + (size_t)r * (size_t)c, c);
    if (roi) {
        k->slot = (int32_t)m->slot[OT_MINE_MATCHED].v[r];
        k->kind = k->slot >= 0 ? OT_KIND_GT_ROI : OT_KIND_BG_ROI;
        un_augment(s, roi, k->box);
    }
    k->given = given_label(m, image, k);
    m->lag.n = k->kind == OT_KIND_GT_ROI ? let_speak(m, image, k->slot, roi, m->lag.n)
                                         : m->lag.n + 1;
}

int ot_mine_settle(struct ot_mine *m, struct ot_err *err)
{
    struct ot_dev *dev = m->net->env.dev;
    uint64_t mark = m->mark;

    if (!mark)
        return 0;
    m->mark = 0;
    dev->ops->wait(dev, mark);
    if (ot_net_ok(m->net, err) < 0 ||
        ot_grow(&m->lag.look, &m->lag.cap, (size_t)m->given.rows, sizeof *m->lag.look, err) < 0 ||
        clear_speakers(m, err) < 0)
        return err->code;
    m->lag.n = 0;
    for (int r = 0; r < m->given.rows; r++)
        look_at(m, r);
    return 0;
}
