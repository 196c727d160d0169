/*
 * anchor_target.cu - which anchors the region proposal network learns from; the rules are those
 * of layers/anchor_target_cpu.c.
 *
 * Overlaps are computed twice, a thread per anchor: once for each box's best (an atomic maximum of
 * the bits of a non-negative double, whose order is the numbers'), once for the labels.  One block
 * per image then thins the labels out by the smallest random keys.
 */
#include "base/rng.h"
#include "cuda/launch.h"
#include "layers/region_math.h"

struct work {        /* of all images, in scratch */
    unsigned *count; /* [0]: foreground, [1]: background */
    unsigned long long *best;
    int32_t *label, *match;
    size_t zero; /* bytes at the beginning that start as 0 */
};

static size_t total_of(const struct ot_anchor_target_geom *g)
{
    return (size_t)g->h * (size_t)g->w * (size_t)g->anchors.a;
}

/* 8 + n gts 8 + n total 8 bytes: within ot_anchor_target_scratch(), n (total 16 + gts 8). */
static struct work work_at(const struct ot_anchor_target_geom *g, void *scratch)
{
    const size_t n = (size_t)g->n;
    struct work w;

    w.count = (unsigned *)scratch;
    w.best = (unsigned long long *)(w.count + 2);
    w.label = (int32_t *)(w.best + n * (size_t)g->gts);
    w.match = w.label + n * total_of(g);
    w.zero = (size_t)((char *)w.label - (char *)scratch);
    return w;
}

__global__ static void find_best(const __grid_constant__ struct ot_anchor_target_geom g,
                                 size_t total, const float *gt, const float *im_info, struct work w)
{
    OT_EACH (at, (size_t)g.n * total) {
        const size_t i = at / total;
        float anchor[4];
        bool inside;

        ot_anchor_at(&g.anchors, g.w, at % total, anchor);
        inside = ot_anchor_inside(anchor, g.border, im_info + 3 * i);
        w.match[at] = -1;
        w.label[at] = inside ? OT_ANCHOR_IGNORED : OT_ANCHOR_OUTSIDE;
        for (size_t j = 0; inside && j < (size_t)g.gts; j++) {
            const float *b = gt + (i * (size_t)g.gts + j) * (size_t)g.gt_cols;
            double iou = b[4] > 0.0f ? ot_iou(anchor, b) : 0.0;
            unsigned long long bits;

            memcpy(&bits, &iou, sizeof bits);
            if (iou > 0.0)
                atomicMax(&w.best[i * (size_t)g.gts + j], bits);
        }
    }
}

__global__ static void assign(const __grid_constant__ struct ot_anchor_target_geom g, size_t total,
                              const float *gt, struct work w)
{
    OT_EACH (at, (size_t)g.n * total) {
        const size_t i = at / total;
        double most = 0.0, best;
        bool is_best = false;
        int match = -1;
        float anchor[4];

        if (w.label[at] == OT_ANCHOR_OUTSIDE)
            continue;
        ot_anchor_at(&g.anchors, g.w, at % total, anchor);
        for (size_t j = 0; j < (size_t)g.gts; j++) {
            const float *b = gt + (i * (size_t)g.gts + j) * (size_t)g.gt_cols;
            double iou;

            if (!(b[4] > 0.0f))
                continue;
            iou = ot_iou(anchor, b);
            memcpy(&best, &w.best[i * (size_t)g.gts + j], sizeof best);
            is_best |= iou > 0.0 && iou >= best;
            if (match < 0 || iou > most) {
                match = (int)j;
                most = iou;
            }
        }
        w.match[at] = match;
        if ((is_best || most >= g.pos_overlap) && !(g.clobber && most < g.neg_overlap)) {
            if (ot_box_teaches(gt + (i * (size_t)g.gts + (size_t)match) * (size_t)g.gt_cols,
                               g.gt_cols))
                w.label[at] = OT_ANCHOR_FG;
        } else if (most < g.neg_overlap)
            w.label[at] = OT_ANCHOR_BG;
    }
}

/* The random key of an anchor that has the label. */
struct label_key {
    const int32_t *label;
    int32_t want;
    uint64_t seed, iter, first;

    __device__ bool operator()(size_t k, uint64_t *key) const
    {
        if (label[k] != want)
            return false;
        *key = (uint64_t)ot_rng_u32(seed, OT_RNG_ANCHORS, iter, first + k) << 32 | k;
        return true;
    }
};

/* Keeps `room` anchors with this label; returns how many there are then. */
__device__ static int thin_out(struct label_key key, size_t total, int32_t *label, int room)
{
    const unsigned keep = room > 0 ? (unsigned)room : 0;
    unsigned have = 0;
    uint64_t last = 0;

    for (size_t k = threadIdx.x; k < total; k += blockDim.x)
        have += label[k] == key.want;
    have = ot_block_sum(have);
    if (have <= keep)
        return (int)have;
    if (keep)
        last = ot_block_select(total, keep, key);
    __syncthreads();
    for (size_t k = threadIdx.x; k < total; k += blockDim.x) {
        uint64_t own;

        if (key(k, &own) && (!keep || own > last))
            label[k] = OT_ANCHOR_IGNORED;
    }
    __syncthreads();
    return room;
}

__global__ static void __launch_bounds__(OT_BLOCK, 1)
    sample(const __grid_constant__ struct ot_anchor_target_geom g, size_t total,
           const struct ot_step *step, struct work w)
{
    int32_t *label = w.label + blockIdx.x * total;
    struct label_key key = { label, OT_ANCHOR_FG, g.seed, step->iter, blockIdx.x * total };
    unsigned fg = 0, bg = 0;
    int had = thin_out(key, total, label, g.max_fg);

    key.want = OT_ANCHOR_BG;
    (void)thin_out(key, total, label, g.batch - had);
    for (size_t k = threadIdx.x; k < total; k += blockDim.x) {
        fg += label[k] == OT_ANCHOR_FG;
        bg += label[k] == OT_ANCHOR_BG;
    }
    fg = ot_block_sum(fg);
    bg = ot_block_sum(bg);
    if (threadIdx.x == 0) {
        atomicAdd(&w.count[0], fg);
        atomicAdd(&w.count[1], bg);
    }
}

/* The outside weight of a positive and of a negative anchor. */
__device__ static void weights(const struct ot_anchor_target_geom *g, const unsigned *count,
                               float *pos, float *neg)
{
    const double scale = (double)g->n, p = (double)count[0], n = (double)count[1];

    if (g->pos_weight < 0.0) {
        *pos = *neg = (float)(p + n > 0.0 ? scale / (p + n) : 0.0);
    } else {
        *pos = (float)(p > 0.0 ? scale * g->pos_weight / p : 0.0);
        *neg = (float)(n > 0.0 ? scale * (1.0 - g->pos_weight) / n : 0.0);
    }
}

__global__ static void write_out(const __grid_constant__ struct ot_anchor_target_geom g,
                                 size_t total, const float *gt, struct work w, float *label,
                                 float *target, float *inside, float *outside)
{
    const size_t a = (size_t)g.anchors.a, plane = (size_t)g.h * (size_t)g.w;
    float pos, neg;

    weights(&g, w.count, &pos, &neg);
    OT_EACH (at, (size_t)g.n * total) {
        const size_t i = at / total, k = at % total, cell = k / a;
        const int kind = w.label[at], match = w.match[at];
        const float *b = gt +
                         (i * (size_t)g.gts + (match < 0 ? 0 : (size_t)match)) * (size_t)g.gt_cols;
        float own = kind == OT_ANCHOR_FG   ? pos * (g.gt_cols > 5 ? b[5] : 1.0f)
                    : kind == OT_ANCHOR_BG ? neg
                                           : 0.0f;
        double t[4] = { 0.0, 0.0, 0.0, 0.0 };
        float anchor[4];

        label[i * total + k % a * plane + cell] = kind == OT_ANCHOR_OUTSIDE ? -1.0f : (float)kind;
        ot_anchor_at(&g.anchors, g.w, k, anchor);
        if (match >= 0)
            ot_box_encode(anchor, b, t);
        for (size_t c = 0; c < 4; c++) {
            size_t to = 4 * i * total + (k % a * 4 + c) * plane + cell;

            target[to] = (float)t[c];
            inside[to] = kind == OT_ANCHOR_FG ? g.inside[c] : 0.0f;
            outside[to] = own;
        }
    }
}

extern "C" void ot_cuda_anchor_target(struct ot_dev *dev, const struct ot_anchor_target_geom *g,
                                      const float *gt, const float *im_info, void *scratch,
                                      float *label, float *target, float *inside, float *outside)
{
    const size_t total = total_of(g), n = (size_t)g->n * total;
    struct work w = work_at(g, scratch);

    if (n == 0)
        return;
    ot_cuda_zero(dev, scratch, w.zero);
    OT_LAUNCH(dev, find_best, ot_grid(n), OT_THREADS, *g, total, gt, im_info, w);
    OT_LAUNCH(dev, assign, ot_grid(n), OT_THREADS, *g, total, gt, w);
    OT_LAUNCH(dev, sample, (unsigned)g->n, OT_BLOCK, *g, total, ot_cuda_step(dev), w);
    OT_LAUNCH(dev, write_out, ot_grid(n), OT_THREADS, *g, total, gt, w, label, target, inside,
              outside);
}
