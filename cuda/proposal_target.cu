/*
 * proposal_target.cu - which regions the detector learns from, and what they should say; the rules
 * are those of layers/proposal_target_cpu.c.
 *
 * A thread per candidate assigns; one block per image chooses the rows, placing by counting who
 * comes before; a thread per row writes.
 */
#include "base/rng.h"
#include "cuda/launch.h"
#include "layers/region_math.h"

struct work { /* of all images, in scratch */
    double *overlap;
    int32_t *kind, *match; /* (n, candidates) like overlap */
    int32_t *pick;         /* (n, batch) */
};

/* n (candidates 16 + batch 4) bytes: within ot_proposal_target_scratch(). */
static struct work work_at(const struct ot_proposal_target_geom *g, void *scratch)
{
    const size_t all = (size_t)g->n * ot_roi_candidates(g);
    struct work w;

    w.overlap = (double *)scratch;
    w.kind = (int32_t *)(w.overlap + all);
    w.match = w.kind + all;
    w.pick = w.match + all;
    return w;
}

__global__ static void check_classes(const __grid_constant__ struct ot_proposal_target_geom g,
                                     const float *gt, unsigned long long *bad)
{
    OT_EACH (j, (size_t)g.n * (size_t)g.gts) {
        float cls = gt[j * (size_t)g.gt_cols + 4];

        if (!(cls < (float)g.classes))
            ot_fault(bad, j, cls);
    }
}

__global__ static void assign(const __grid_constant__ struct ot_proposal_target_geom g,
                              const float *rois, const float *gt, const float *booked,
                              struct work w)
{
    const size_t all = ot_roi_candidates(&g), gts = (size_t)g.gts;

    OT_EACH (at, (size_t)g.n * all) {
        const size_t i = at / all, c = at % all;
        const float *box = ot_roi_candidate(&g, (int)i, c, rois, gt, booked);
        double most = 0.0;
        int32_t match = -1, kind = OT_ROI_NONE;

        for (size_t j = 0; box && j < gts; j++) {
            const float *b = gt + (i * gts + j) * (size_t)g.gt_cols;
            double iou;

            if (!(b[4] > 0.0f))
                continue;
            iou = ot_iou(box, b);
            if (match < 0 || iou > most) {
                match = (int32_t)j;
                most = iou;
            }
        }
        if (box && match >= 0 && most >= g.fg_thresh)
            kind = OT_ROI_FG;
        else if (box && (c >= (size_t)g.rois + gts || (most < g.bg_hi && most >= g.bg_lo)))
            kind = OT_ROI_BG;
        w.overlap[at] = most;
        w.match[at] = match;
        w.kind[at] = kind;
    }
}

/* ---- one block chooses the rows of one image ----------------------------------------------- */

struct choice {
    int32_t *kind, *pick; /* of this image */
    uint64_t seed, iter;
    size_t rois, shift; /* boxes are counted over all images: candidate c >= rois is c + shift */
};

/* The random key of a candidate of this kind. */
struct kind_key {
    struct choice c;
    int32_t want;

    __device__ bool operator()(size_t k, uint64_t *key) const
    {
        const uint64_t id = k < c.rois ? k : k + c.shift;

        if (c.kind[k] != want)
            return false;
        *key = (uint64_t)ot_rng_u32(c.seed, OT_RNG_ROIS, c.iter, id) << 32 | k;
        return true;
    }
};

__device__ static int count_kind(const struct choice &c, size_t from, size_t to, int32_t kind)
{
    unsigned n = 0;

    for (size_t k = from + threadIdx.x; k < to; k += blockDim.x)
        n += c.kind[k] == kind;
    return (int)ot_block_sum(n);
}

__device__ static int clamp(int v, int hi)
{
    return v < 0 ? 0 : v > hi ? hi : v;
}

/* Places up to `room` candidates of [from, to) with this kind, in order; returns the next row. */
__device__ static int place_first(const struct choice &c, size_t from, size_t to, int32_t kind,
                                  int room, int row)
{
    int placed = 0;

    for (size_t base = from; base < to && placed < room; base += blockDim.x) {
        const size_t k = base + threadIdx.x;
        const bool mine = k < to && c.kind[k] == kind;
        unsigned total;
        const int at = placed + (int)ot_block_rank(mine, &total);

        if (mine && at < room)
            c.pick[row + at] = (int32_t)k;
        placed += (int)total;
    }
    return row + (placed < room ? placed : room > 0 ? room : 0);
}

/* Places a random `room` of the candidates [0, to) with this kind; returns the next row. */
__device__ static int place_sample(const struct choice &c, size_t to, int32_t kind, int room,
                                   int row)
{
    const int have = count_kind(c, 0, to, kind), keep = room > 0 ? room : 0;
    const struct kind_key key = { c, kind };
    uint64_t last = 0;

    if (have <= keep)
        return place_first(c, 0, to, kind, have, row);
    if (keep)
        last = ot_block_select(to, (size_t)keep, key);
    __syncthreads();
    for (size_t k = threadIdx.x; k < to; k += blockDim.x) {
        uint64_t own;

        if (key(k, &own) && (!keep || own > last))
            c.kind[k] = OT_ROI_NONE;
    }
    __syncthreads();
    return place_first(c, 0, to, kind, keep, row);
}

__global__ static void __launch_bounds__(OT_BLOCK)
    sample(const __grid_constant__ struct ot_proposal_target_geom g, const struct ot_step *step,
           struct work w)
{
    const size_t i = blockIdx.x, usual = (size_t)g.rois + (size_t)g.gts;
    const size_t all = ot_roi_candidates(&g);
    const struct choice c = { w.kind + i * all, w.pick + i * (size_t)g.batch,
                              g.seed,           step->iter,
                              (size_t)g.rois,   i * (size_t)g.gts };
    const int fg = count_kind(c, 0, usual, OT_ROI_FG);
    const int fg_booked = clamp(count_kind(c, usual, all, OT_ROI_FG), g.batch);
    const int reserved = clamp(g.min_fg, fg + fg_booked);
    const int bg_room = clamp(g.batch - (fg_booked > reserved ? fg_booked : reserved), g.batch);
    const int max_fg = g.max_fg > g.min_fg ? g.max_fg : g.min_fg;
    int row = place_first(c, usual, all, OT_ROI_FG, fg_booked, 0);

    row = place_first(c, usual, all, OT_ROI_BG, bg_room, row);
    row = place_sample(c, usual, OT_ROI_FG, clamp(max_fg - fg_booked, g.batch - row), row);
    row = place_sample(c, usual, OT_ROI_BG, g.batch - row, row);
    for (int r = row + (int)threadIdx.x; r < g.batch; r += (int)blockDim.x)
        c.pick[r] = -1;
}

/* ---- outputs ------------------------------------------------------------------------------- */

struct rows {
    float *rois, *label, *target, *inside, *outside, *matched, *weight;
};

/* The four targets of a foreground row, at its class's place; everything else has been zeroed. */
__device__ static void write_targets(const struct ot_proposal_target_geom &g, const float *box,
                                     const float *gt, float weight, size_t at,
                                     const struct rows &out)
{
    const int cls = (int)gt[4];
    double t[4];

    if (cls < 1 || cls >= g.classes)
        return;
    at = 4 * (at * (size_t)g.box_classes + (size_t)ot_box_class(cls, g.box_classes));
    ot_box_encode(box, gt, t);
    for (size_t k = 0; k < 4; k++) {
        out.target[at + k] = (float)((t[k] - (double)g.mean[k]) / (double)g.std[k]);
        out.inside[at + k] = g.inside[k];
        out.outside[at + k] = g.inside[k] > 0.0f ? weight : 0.0f;
    }
}

__global__ static void write_out(const __grid_constant__ struct ot_proposal_target_geom g,
                                 const float *rois, const float *gt, const float *booked,
                                 struct work w, struct rows out)
{
    const size_t batch = (size_t)g.batch, all = ot_roi_candidates(&g);

    OT_EACH (at, (size_t)g.n * batch) {
        const size_t i = at / batch;
        const int c = w.pick[at];
        const size_t from = i * all + (c < 0 ? 0 : (size_t)c);
        const float *box = c < 0 ? NULL : ot_roi_candidate(&g, (int)i, (size_t)c, rois, gt, booked);
        float *roi = out.rois + 5 * at, label = -1.0f, matched = -1.0f, weight = 0.0f;

        roi[0] = box ? (float)i : -1.0f;
        for (int k = 0; k < 4; k++)
            roi[k + 1] = box ? box[k] : 0.0f;
        if (box && w.match[from] >= 0 && w.overlap[from] >= g.fg_thresh) {
            const float *b = gt + (i * (size_t)g.gts + (size_t)w.match[from]) * (size_t)g.gt_cols;

            label = b[4];
            matched = (float)w.match[from];
            weight = g.gt_cols > 5 ? b[5] : 1.0f;
            write_targets(g, box, b, weight, at, out);
        } else if (box) {
            label = 0.0f;
            weight = ot_background_weight(&g, (int)i, box, booked);
        }
        out.label[at] = label;
        if (out.matched)
            out.matched[at] = matched;
        if (out.weight)
            out.weight[at] = weight;
    }
}

extern "C" void ot_cuda_proposal_target(struct ot_dev *dev, const struct ot_proposal_target_geom *g,
                                        const float *rois, const float *gt, const float *booked,
                                        void *scratch, float *out, float *label, float *target,
                                        float *inside, float *outside, float *matched,
                                        float *weight)
{
    const size_t n = (size_t)g->n, rows = n * (size_t)g->batch, all = n * ot_roi_candidates(g);
    const size_t wide = rows * 4 * (size_t)g->box_classes * sizeof(float);
    const struct work w = work_at(g, scratch);
    const struct rows to = { out, label, target, inside, outside, matched, weight };
    unsigned long long *bad = ot_cuda_fault(dev, OT_FAULT_CLASS, (double)g->classes);

    if (rows == 0)
        return;
    ot_cuda_zero(dev, target, wide);
    ot_cuda_zero(dev, inside, wide);
    ot_cuda_zero(dev, outside, wide);
    if (g->gts)
        OT_LAUNCH(dev, check_classes, ot_grid(n * (size_t)g->gts), OT_THREADS, *g, gt, bad);
    if (all)
        OT_LAUNCH(dev, assign, ot_grid(all), OT_THREADS, *g, rois, gt, booked, w);
    OT_LAUNCH(dev, sample, (unsigned)g->n, OT_BLOCK, *g, ot_cuda_step(dev), w);
    OT_LAUNCH(dev, write_out, ot_grid(rows), OT_THREADS, *g, rois, gt, booked, w, to);
}
