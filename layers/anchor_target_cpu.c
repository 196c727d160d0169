/*
 * anchor_target_cpu.c - which anchors the region proposal network learns from.
 *
 * An anchor inside its image is foreground when its overlap with some box reaches pos_overlap or
 * is that box's highest (ties included), background when its highest overlap is below
 * neg_overlap, else ignored.  So is what would be foreground of a box of weight 0.  A box that
 * overlaps no anchor has no best anchor (py-faster-rcnn would then call every anchor without
 * overlap foreground).  The sample keeps the smallest random keys. Source: S. Ren et al., "Faster
 * R-CNN", NIPS 2015, section 3.1.2.
 */
#include <string.h>

#include "base/rng.h"
#include "layers/regions.h"

static size_t total_of(const struct ot_anchor_target_geom *g)
{
    return (size_t)g->h * (size_t)g->w * (size_t)g->anchors.a;
}

static size_t work_bytes(const struct ot_anchor_target_geom *g)
{
    return total_of(g) * (sizeof(uint64_t) + 2 * sizeof(int32_t)) + (size_t)g->gts * sizeof(double);
}

size_t ot_anchor_target_scratch(const struct ot_anchor_target_geom *g)
{
    return (size_t)g->n * work_bytes(g);
}

struct ot_anchor_work ot_anchor_work_at(const struct ot_anchor_target_geom *g, int image,
                                        void *scratch)
{
    struct ot_anchor_work w;
    char *at = (char *)scratch + (size_t)image * work_bytes(g);

    w.key = (uint64_t *)(void *)at;
    w.best = (double *)(void *)(w.key + total_of(g));
    w.match = (int32_t *)(void *)(w.best + g->gts);
    w.label = w.match + total_of(g);
    return w;
}

void ot_anchor_assign(const struct ot_anchor_target_geom *g, int i, const float *gt,
                      const float *im_info, const struct ot_anchor_work *w)
{
    const size_t total = total_of(g), cols = (size_t)g->gt_cols;
    const float *box = gt + (size_t)i * (size_t)g->gts * cols;

    memset(w->best, 0, (size_t)g->gts * sizeof *w->best);
    for (size_t k = 0; k < total; k++) { /* each box's highest overlap */
        float anchor[4];

        ot_anchor_at(&g->anchors, g->w, k, anchor);
        w->match[k] = -1;
        w->label[k] = OT_ANCHOR_OUTSIDE;
        if (!ot_anchor_inside(anchor, g->border, im_info + 3 * (size_t)i))
            continue;
        w->label[k] = OT_ANCHOR_IGNORED;
        for (int j = 0; j < g->gts; j++) {
            const float *b = box + (size_t)j * cols;
            double iou = b[4] > 0.0f ? ot_iou(anchor, b) : 0.0;

            w->best[j] = iou > w->best[j] ? iou : w->best[j];
        }
    }
    for (size_t k = 0; k < total; k++) {
        double most = 0.0;
        bool is_best = false;
        float anchor[4];

        if (w->label[k] == OT_ANCHOR_OUTSIDE)
            continue;
        ot_anchor_at(&g->anchors, g->w, k, anchor);
        for (int j = 0; j < g->gts; j++) {
            const float *b = box + (size_t)j * cols;
            double iou;

            if (!(b[4] > 0.0f))
                continue;
            iou = ot_iou(anchor, b);
            is_best |= iou > 0.0 && iou >= w->best[j];
            if (w->match[k] < 0 || iou > most) {
                w->match[k] = j;
                most = iou;
            }
        }
        if ((is_best || most >= g->pos_overlap) && !(g->clobber && most < g->neg_overlap)) {
            if (ot_box_teaches(box + (size_t)w->match[k] * cols, g->gt_cols))
                w->label[k] = OT_ANCHOR_FG;
        } else if (most < g->neg_overlap)
            w->label[k] = OT_ANCHOR_BG;
    }
}

/* Keeps `room` anchors with this label; returns how many there are then. */
static int thin_out(const struct ot_anchor_target_geom *g, int i, uint64_t iter, int label,
                    int room, const struct ot_anchor_work *w)
{
    const size_t total = total_of(g), keep = room > 0 ? (size_t)room : 0;
    size_t n = 0;

    for (size_t k = 0; k < total; k++)
        if (w->label[k] == label)
            w->key[n++] =
                (uint64_t)ot_rng_u32(g->seed, OT_RNG_ANCHORS, iter, (uint64_t)i * total + k) << 32 |
                k;
    if (n <= keep)
        return (int)n;
    ot_smallest(w->key, n, keep);
    for (size_t j = keep; j < n; j++)
        w->label[w->key[j] & 0xffffffffu] = OT_ANCHOR_IGNORED;
    return room;
}

void ot_anchor_sample(const struct ot_anchor_target_geom *g, int i, uint64_t iter,
                      const struct ot_anchor_work *w)
{
    int fg = thin_out(g, i, iter, OT_ANCHOR_FG, g->max_fg, w);

    (void)thin_out(g, i, iter, OT_ANCHOR_BG, g->batch - fg, w);
}

/* One image's planes; `pos` and `neg` are the outside weights. */
static void write_image(const struct ot_anchor_target_geom *g, int i, const float *gt, float pos,
                        float neg, const struct ot_anchor_work *w, float *label, float *target,
                        float *inside, float *outside)
{
    const size_t a = (size_t)g->anchors.a, plane = (size_t)g->h * (size_t)g->w;
    const size_t cols = (size_t)g->gt_cols, total = total_of(g), at = (size_t)i * total;

    for (size_t k = 0; k < total; k++) {
        const int kind = w->label[k];
        const float *b = w->match[k] < 0
                             ? NULL
                             : gt + ((size_t)i * (size_t)g->gts + (size_t)w->match[k]) * cols;
        float own = kind == OT_ANCHOR_FG   ? pos * (cols > 5 ? b[5] : 1.0f)
                    : kind == OT_ANCHOR_BG ? neg
                                           : 0.0f;
        double t[4] = { 0.0, 0.0, 0.0, 0.0 };
        float anchor[4];
        size_t cell = k / a, to = at + k % a * plane + cell;

        label[to] = kind == OT_ANCHOR_OUTSIDE ? -1.0f : (float)kind;
        ot_anchor_at(&g->anchors, g->w, k, anchor);
        if (b)
            ot_box_encode(anchor, b, t);
        for (size_t c = 0; c < 4; c++) {
            to = 4 * at + (k % a * 4 + c) * plane + cell;
            target[to] = (float)t[c];
            inside[to] = kind == OT_ANCHOR_FG ? g->inside[c] : 0.0f;
            outside[to] = own;
        }
    }
}

void ot_anchor_write(const struct ot_anchor_target_geom *g, const float *gt, void *scratch,
                     float *label, float *target, float *inside, float *outside)
{
    const size_t total = total_of(g);
    /* SmoothL1Loss divides by the number of images: the batch's loss is a mean over anchors */
    double pos = 0.0, neg = 0.0, scale = (double)g->n;

    for (int i = 0; i < g->n; i++) {
        struct ot_anchor_work w = ot_anchor_work_at(g, i, scratch);

        for (size_t k = 0; k < total; k++) {
            pos += w.label[k] == OT_ANCHOR_FG;
            neg += w.label[k] == OT_ANCHOR_BG;
        }
    }
    if (g->pos_weight < 0.0)
        pos = neg = pos + neg > 0.0 ? scale / (pos + neg) : 0.0;
    else {
        pos = pos > 0.0 ? scale * g->pos_weight / pos : 0.0;
        neg = neg > 0.0 ? scale * (1.0 - g->pos_weight) / neg : 0.0;
    }
#pragma omp parallel for schedule(static) if (g->n > 1)
    for (int i = 0; i < g->n; i++) {
        struct ot_anchor_work w = ot_anchor_work_at(g, i, scratch);

        write_image(g, i, gt, (float)pos, (float)neg, &w, label, target, inside, outside);
    }
}

void ot_cpu_anchor_target(struct ot_dev *dev, const struct ot_anchor_target_geom *g,
                          const float *gt, const float *im_info, void *scratch, float *label,
                          float *target, float *inside, float *outside)
{
#pragma omp parallel for schedule(static) if (g->n > 1)
    for (int i = 0; i < g->n; i++) {
        struct ot_anchor_work w = ot_anchor_work_at(g, i, scratch);

        ot_anchor_assign(g, i, gt, im_info, &w);
        ot_anchor_sample(g, i, dev->step.iter, &w);
    }
    ot_anchor_write(g, gt, scratch, label, target, inside, outside);
}
