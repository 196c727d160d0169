/*
 * proposal_target_cpu.c - which regions the detector learns from, and what they should say.
 *
 * Per image, always `batch` rows: booked regions take their places first, but booked background
 * leaves min_fg places to the foreground while there is any; then foreground up to max_fg, then
 * background.  A sample keeps the smallest random keys, in the order of candidates.
 * Source: R. Girshick, "Fast R-CNN", ICCV 2015, section 2.3.
 */
#include <string.h>

#include "base/rng.h"
#include "layers/regions.h"

static size_t work_bytes(const struct ot_proposal_target_geom *g)
{
    size_t bytes = ot_roi_candidates(g) *
                       (sizeof(uint64_t) + sizeof(double) + 2 * sizeof(int32_t)) +
                   (size_t)g->batch * sizeof(int32_t);

    return (bytes + 7) & ~(size_t)7;
}

size_t ot_proposal_target_scratch(const struct ot_proposal_target_geom *g)
{
    return (size_t)g->n * work_bytes(g);
}

struct ot_roi_work ot_roi_work_at(const struct ot_proposal_target_geom *g, int image, void *scratch)
{
    struct ot_roi_work w;
    char *at = (char *)scratch + (size_t)image * work_bytes(g);

    w.key = (uint64_t *)(void *)at;
    w.overlap = (double *)(void *)(w.key + ot_roi_candidates(g));
    w.kind = (int32_t *)(void *)(w.overlap + ot_roi_candidates(g));
    w.match = w.kind + ot_roi_candidates(g);
    w.pick = w.match + ot_roi_candidates(g);
    return w;
}

static const float *gt_at(const struct ot_proposal_target_geom *g, int i, size_t j, const float *gt)
{
    return gt + ((size_t)i * (size_t)g->gts + j) * (size_t)g->gt_cols;
}

void ot_roi_assign(const struct ot_proposal_target_geom *g, int i, const float *rois,
                   const float *gt, const float *booked, const struct ot_roi_work *w)
{
    const size_t first_booked = (size_t)g->rois + (size_t)g->gts;

    for (size_t c = 0; c < ot_roi_candidates(g); c++) {
        const float *box = ot_roi_candidate(g, i, c, rois, gt, booked);

        w->kind[c] = OT_ROI_NONE;
        w->match[c] = -1;
        w->overlap[c] = 0.0;
        if (!box)
            continue;
        for (int j = 0; j < g->gts; j++) {
            const float *b = gt_at(g, i, (size_t)j, gt);
            double iou;

            if (!(b[4] > 0.0f))
                continue;
            iou = ot_iou(box, b);
            if (w->match[c] < 0 || iou > w->overlap[c]) {
                w->match[c] = j;
                w->overlap[c] = iou;
            }
        }
        if (w->match[c] >= 0 && w->overlap[c] >= g->fg_thresh)
            w->kind[c] = OT_ROI_FG;
        else if (c >= first_booked || (w->overlap[c] < g->bg_hi && w->overlap[c] >= g->bg_lo))
            w->kind[c] = OT_ROI_BG;
    }
}

static int count_kind(const struct ot_roi_work *w, size_t from, size_t to, int kind)
{
    int n = 0;

    for (size_t c = from; c < to; c++)
        n += w->kind[c] == kind;
    return n;
}

static int clamp(int v, int hi)
{
    return v < 0 ? 0 : v > hi ? hi : v;
}

/* Places up to `room` candidates of [from, to) with this kind, in order; returns the next row. */
static int place_first(const struct ot_roi_work *w, size_t from, size_t to, int kind, int room,
                       int row)
{
    for (size_t c = from; c < to && room > 0; c++)
        if (w->kind[c] == kind) {
            w->pick[row++] = (int32_t)c;
            room--;
        }
    return row;
}

/* Places a random `room` of the candidates [0, to) with this kind; returns the next row. */
static int place_sample(const struct ot_proposal_target_geom *g, int i, uint64_t iter,
                        const struct ot_roi_work *w, size_t to, int kind, int room, int row)
{
    size_t n = 0, keep;

    for (size_t c = 0; c < to; c++) {
        /* boxes are counted over all images, so that no two candidates share a number */
        uint64_t id = c < (size_t)g->rois ? c : c + (uint64_t)i * (uint64_t)g->gts;

        if (w->kind[c] == kind)
            w->key[n++] = (uint64_t)ot_rng_u32(g->seed, OT_RNG_ROIS, iter, id) << 32 | c;
    }
    keep = room > 0 ? (size_t)room : 0;
    if (n <= keep)
        return place_first(w, 0, to, kind, (int)n, row);
    ot_smallest(w->key, n, keep);
    for (size_t j = keep; j < n; j++) /* out of the draw, so that a walk gives the order */
        w->kind[w->key[j] & 0xffffffffu] = OT_ROI_NONE;
    return place_first(w, 0, to, kind, (int)keep, row);
}

void ot_roi_sample(const struct ot_proposal_target_geom *g, int i, uint64_t iter,
                   const struct ot_roi_work *w)
{
    const size_t usual = (size_t)g->rois + (size_t)g->gts, all = ot_roi_candidates(g);
    const int fg = count_kind(w, 0, usual, OT_ROI_FG);
    const int fg_booked = clamp(count_kind(w, usual, all, OT_ROI_FG), g->batch);
    const int reserved = clamp(g->min_fg, fg + fg_booked);
    const int bg_room = clamp(g->batch - (fg_booked > reserved ? fg_booked : reserved), g->batch);
    const int max_fg = g->max_fg > g->min_fg ? g->max_fg : g->min_fg;
    int row = place_first(w, usual, all, OT_ROI_FG, fg_booked, 0);

    row = place_first(w, usual, all, OT_ROI_BG, bg_room, row);
    row = place_sample(g, i, iter, w, usual, OT_ROI_FG, clamp(max_fg - fg_booked, g->batch - row),
                       row);
    row = place_sample(g, i, iter, w, usual, OT_ROI_BG, g->batch - row, row);
    while (row < g->batch)
        w->pick[row++] = -1;
}

/* The four targets of a foreground row, at its class's place. */
static void write_targets(const struct ot_proposal_target_geom *g, const float *box,
                          const float *gt, float weight, size_t at, const struct ot_roi_rows *out)
{
    double t[4];
    int cls = (int)gt[4];

    if (cls < 1 || cls >= g->classes)
        return;
    at = 4 * (at * (size_t)g->box_classes + (size_t)ot_box_class(cls, g->box_classes));
    ot_box_encode(box, gt, t);
    for (size_t k = 0; k < 4; k++) {
        out->target[at + k] = (float)((t[k] - (double)g->mean[k]) / (double)g->std[k]);
        out->inside[at + k] = g->inside[k];
        out->outside[at + k] = g->inside[k] > 0.0f ? weight : 0.0f;
    }
}

void ot_roi_write(const struct ot_proposal_target_geom *g, int i, const float *rois,
                  const float *gt, const float *booked, const struct ot_roi_work *w,
                  const struct ot_roi_rows *out)
{
    const size_t batch = (size_t)g->batch, wide = 4 * (size_t)g->box_classes;
    const size_t first = (size_t)i * batch;

    memset(out->target + first * wide, 0, batch * wide * sizeof(float));
    memset(out->inside + first * wide, 0, batch * wide * sizeof(float));
    memset(out->outside + first * wide, 0, batch * wide * sizeof(float));
    for (size_t row = 0; row < batch; row++) {
        const size_t at = first + row;
        float *roi = out->rois + 5 * at, label = -1.0f, matched = -1.0f, weight = 0.0f;
        int c = w->pick[row];
        const float *box = c < 0 ? NULL : ot_roi_candidate(g, i, (size_t)c, rois, gt, booked), *b;

        roi[0] = box ? (float)i : -1.0f;
        for (int k = 0; k < 4; k++)
            roi[k + 1] = box ? box[k] : 0.0f;
        if (box && w->match[c] >= 0 && w->overlap[c] >= g->fg_thresh) {
            b = gt_at(g, i, (size_t)w->match[c], gt);
            label = b[4];
            matched = (float)w->match[c];
            weight = g->gt_cols > 5 ? b[5] : 1.0f;
            write_targets(g, box, b, weight, at, out);
        } else if (box) {
            label = 0.0f;
            weight = ot_background_weight(g, i, box, booked);
        }
        out->label[at] = label;
        if (out->matched)
            out->matched[at] = matched;
        if (out->weight)
            out->weight[at] = weight;
    }
}

static void check_classes(struct ot_dev *dev, const struct ot_proposal_target_geom *g,
                          const float *gt)
{
    for (size_t j = 0; j < (size_t)g->n * (size_t)g->gts; j++) {
        float cls = gt[j * (size_t)g->gt_cols + 4];

        if (!(cls < (float)g->classes))
            ot_dev_fail(dev, OT_EDATA,
                        "gt_boxes row %zu: class must be below num_classes %d, got %g", j,
                        g->classes, (double)cls);
    }
}

void ot_cpu_proposal_target(struct ot_dev *dev, const struct ot_proposal_target_geom *g,
                            const float *rois, const float *gt, const float *booked, void *scratch,
                            float *out, float *label, float *target, float *inside, float *outside,
                            float *matched, float *weight)
{
    const struct ot_roi_rows rows = { out, label, target, inside, outside, matched, weight };

    check_classes(dev, g, gt);
#pragma omp parallel for schedule(static) if (g->n > 1)
    for (int i = 0; i < g->n; i++) {
        struct ot_roi_work w = ot_roi_work_at(g, i, scratch);

        ot_roi_assign(g, i, rois, gt, booked, &w);
        ot_roi_sample(g, i, dev->step.iter, &w);
        ot_roi_write(g, i, rois, gt, booked, &w, &rows);
    }
}
