/*
 * proposal.cu - boxes worth a second look: decode, clip, drop the small, best `pre` by score, NMS,
 * best `post`; the rules are those of layers/proposal_cpu.c.
 *
 * A thread per anchor decodes; all images are sorted together; overlaps are found by all of the GPU
 * where there are many, and one block per image suppresses.
 */
#include "cuda/sort.h"

/* One image's scratch, as ot_proposal_scratch() counts it: room for two keys and a box per anchor
 * and 20 bytes per kept box. */
struct work {
    char *mem;
    size_t total, bytes;
};

__device__ static inline uint64_t *keys_of(const struct work &w, size_t image)
{
    return (uint64_t *)(w.mem + image * w.bytes);
}

__device__ static inline float *boxes_of(const struct work &w, size_t image)
{
    return (float *)(keys_of(w, image) + 2 * w.total);
}

__device__ static inline uint32_t *kept_of(const struct work &w, size_t image)
{
    return (uint32_t *)(boxes_of(w, image) + 4 * w.total);
}

/* Index in prob of the foreground score of anchor k of an image. */
__device__ static inline size_t score_at(const struct ot_proposal_geom &g, size_t image, size_t k)
{
    const size_t a = (size_t)g.anchors.a, plane = (size_t)g.h * (size_t)g.w;

    return (image * 2 * a + a + k % a) * plane + k / a;
}

__global__ static void decode(const __grid_constant__ struct ot_proposal_geom g, size_t room,
                              const float *prob, const float *pred, const float *im_info,
                              struct work w)
{
    const size_t a = (size_t)g.anchors.a, plane = (size_t)g.h * (size_t)g.w;

    OT_EACH (at, (size_t)g.n * room) {
        const size_t i = at / room, k = at % room;
        const float *info = im_info + 3 * i;
        const float least = g.min_size * info[2];
        const float *d = pred + (4 * i * a + k % a * 4) * plane + k / a;
        float anchor[4], delta[4], box[4];
        uint64_t key = OT_NO_KEY;

        if (k < w.total) {
            for (size_t c = 0; c < 4; c++)
                delta[c] = d[c * plane];
            ot_anchor_at(&g.anchors, g.w, k, anchor);
            ot_box_decode(anchor, delta, box);
            ot_box_clip(box, info[0], info[1]);
            for (size_t c = 0; c < 4; c++)
                boxes_of(w, i)[4 * k + c] = box[c];
            if (box[2] - box[0] + 1.0f >= least && box[3] - box[1] + 1.0f >= least)
                key = ot_rank_of(prob[score_at(g, i, k)], (uint32_t)k);
        }
        keys_of(w, i)[k] = key;
    }
}

/* mask: of ot_cuda_nms_mask(), or NULL */
__global__ static void __launch_bounds__(OT_BLOCK)
    propose(const __grid_constant__ struct ot_proposal_geom g, size_t most, const float *prob,
            struct work w, const unsigned long long *mask, float *rois, float *score)
{
    const size_t i = blockIdx.x, post = (size_t)g.post;
    const uint32_t *kept = kept_of(w, i);
    const unsigned found = mask ? ot_block_nms_mask(keys_of(w, i), most,
                                                    mask + i * most * ot_nms_words(most),
                                                    (unsigned)g.post, kept_of(w, i))
                                : ot_block_nms(keys_of(w, i), most, boxes_of(w, i), g.nms_thresh,
                                               (unsigned)g.post, kept_of(w, i));

    __syncthreads();
    for (size_t r = threadIdx.x; r < post; r += blockDim.x) {
        const bool used = r < found;
        const size_t k = used ? kept[r] : 0;
        float *roi = rois + 5 * (i * post + r);

        roi[0] = used ? (float)i : -1.0f;
        for (size_t c = 0; c < 4; c++)
            roi[c + 1] = used ? boxes_of(w, i)[4 * k + c] : 0.0f;
        if (score)
            score[i * post + r] = used ? prob[score_at(g, i, k)] : 0.0f;
    }
}

/* Who suppresses whom, by all of the GPU; NULL: few enough, or too many, for a block's own way. */
static unsigned long long *compare(struct ot_dev *dev, const struct ot_proposal_geom *g,
                                   size_t most, const struct work *w, bool *failed)
{
    const size_t few = 1024, too_much = (size_t)256 << 20;
    const size_t bytes = (size_t)g->n * most * ot_nms_words(most) * sizeof(uint64_t);
    const uint64_t *key = (const uint64_t *)w->mem;
    unsigned long long *mask;

    *failed = false;
    if (most <= few || most > OT_NMS_MOST || bytes > too_much)
        return NULL;
    mask = (unsigned long long *)ot_cuda_room(dev, bytes);
    *failed = mask == NULL;
    if (mask)
        ot_cuda_nms_mask(dev, (unsigned)g->n, key, w->bytes / sizeof *key, most,
                         (const float *)(key + 2 * w->total), w->bytes / sizeof(float),
                         g->nms_thresh, mask);
    return mask;
}

extern "C" void ot_cuda_proposal(struct ot_dev *dev, const struct ot_proposal_geom *g,
                                 const float *prob, const float *pred, const float *im_info,
                                 void *scratch, float *rois, float *score)
{
    const size_t total = (size_t)g->h * (size_t)g->w * (size_t)g->anchors.a;
    const size_t kept = ((size_t)g->post * 5 * sizeof(float) + 7) & ~(size_t)7;
    const size_t room = ot_sort_room(total);
    const size_t most = g->pre > 0 && (size_t)g->pre < total ? (size_t)g->pre : total;
    struct work w = { (char *)scratch, total,
                      total * (2 * sizeof(uint64_t) + 4 * sizeof(float)) + kept };

    unsigned long long *mask;
    bool failed;

    if (g->n == 0 || total == 0)
        return;
    OT_LAUNCH(dev, decode, ot_grid((size_t)g->n * room), OT_THREADS, *g, room, prob, pred, im_info,
              w);
    ot_cuda_sort(dev, (uint64_t *)scratch, room, (unsigned)g->n, w.bytes / sizeof(uint64_t));
    mask = compare(dev, g, most, &w, &failed);
    if (!failed)
        OT_LAUNCH(dev, propose, (unsigned)g->n, OT_BLOCK, *g, most, prob, w, mask, rois, score);
}
