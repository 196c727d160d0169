/*
 * mine_looks.c - who each loss is about.
 *
 * An image-level instance is row i of the batch.  A RoI-level instance is a row of the loss whose
 * RoI (first top of the ProposalTarget layer) says which image it is in; background is known by
 * its box, foreground by its ground-truth index (sixth top).  Of the RoIs of one object the one
 * that overlaps it most speaks for it: a RoI at the edge of the foreground threshold is rightly
 * unsure, and would make every object look hard and many labels look wrong.
 */
#include <string.h>

#include "base/mem.h"
#include "layers/box_math.h"
#include "trainer/mine_i.h"

const float *ot_mine_fetch(struct ot_mine *m, int slot, const struct ot_blob *b, struct ot_err *err)
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
    struct ot_speaker *s = &m->speaker[at];
    double overlap = ot_iou(roi + 1, batch->gt + at * 6);

    if (overlap <= s->overlap)
        return k;
    if (s->overlap > 0) { /* the new one takes the old one's place */
        m->now.look[s->look] = m->now.look[k];
        s->overlap = overlap;
        return k;
    }
    *s = (struct ot_speaker){ .overlap = overlap, .look = k };
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

bool ot_mine_ignored(const struct ot_mine *m, float label)
{
    const Caffe__LossParameter *p = m->loss->l.conf->loss_param;

    return label < 0 || (p && p->has_ignore_label && (int)label == p->ignore_label);
}

/* What the data set says, whatever was trained on. */
static int32_t given_label(const struct ot_mine *m, const struct ot_batch *batch, int image,
                           const struct ot_look *k)
{
    size_t g = m->rois ? (size_t)ot_loader_max_boxes(ot_feeds_loader(m->feeds)) : 0;

    if (k->kind == OT_KIND_IMAGE)
        return (int32_t)batch->label[image];
    if (k->kind == OT_KIND_GT_ROI)
        return (int32_t)batch->gt[((size_t)image * g + (size_t)k->slot) * 6 + 4];
    return k->label;
}

int ot_mine_collect(struct ot_mine *m, struct ot_err *err)
{
    const struct ot_batch *batch = ot_feeds_batch(m->feeds);
    const float *label = ot_mine_fetch(m, 0, m->label, err),
                *prob = ot_mine_fetch(m, 1, m->prob, err);
    const float *inst = ot_mine_fetch(m, 2, m->inst, err);
    const float *rois = m->rois ? ot_mine_fetch(m, 3, m->rois, err) : label;
    const float *matched = m->rois ? ot_mine_fetch(m, 4, m->matched, err) : label;
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

        if (ot_mine_ignored(m, label[r]) || image < 0 || image >= batch->n)
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
        k->given = given_label(m, batch, image, k);
        if (k->kind == OT_KIND_GT_ROI)
            m->now.n = let_speak(m, batch, image, k->slot, rois + 5 * (size_t)r, m->now.n);
        else
            m->now.n++;
    }
    return 0;
}
