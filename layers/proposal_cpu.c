/*
 * proposal_cpu.c - boxes worth a second look: decode, clip, drop the small, best `pre` by score,
 * NMS, best `post`.
 *
 * Candidates are compared with the boxes kept so far, best first, and the walk ends when `post`
 * are kept: the work is (candidates x kept), not (candidates x candidates).
 */
#include <string.h>

#include "layers/box_math.h"
#include "layers/regions.h"

struct work {            /* of one image */
    uint64_t *key, *tmp; /* (total) */
    float *box;          /* (total, 4), by anchor index */
    float *kept;         /* (5, post) */
};

static size_t total_of(const struct ot_proposal_geom *g)
{
    return (size_t)g->h * (size_t)g->w * (size_t)g->anchors.a;
}

static size_t work_bytes(const struct ot_proposal_geom *g)
{
    size_t kept = ((size_t)g->post * 5 * sizeof(float) + 7) & ~(size_t)7;

    return total_of(g) * (2 * sizeof(uint64_t) + 4 * sizeof(float)) + kept;
}

size_t ot_proposal_scratch(const struct ot_proposal_geom *g)
{
    return (size_t)g->n * work_bytes(g);
}

static struct work work_at(const struct ot_proposal_geom *g, int image, void *scratch)
{
    struct work w;
    char *at = (char *)scratch + (size_t)image * work_bytes(g);

    w.key = (uint64_t *)(void *)at;
    w.tmp = w.key + total_of(g);
    w.box = (float *)(void *)(w.tmp + total_of(g));
    w.kept = w.box + 4 * total_of(g);
    return w;
}

/* Decodes every anchor; keys of those large enough.  Returns how many there are. */
static size_t decode(const struct ot_proposal_geom *g, const float *prob, const float *pred,
                     const float *im_info, const struct work *w)
{
    const size_t a = (size_t)g->anchors.a, plane = (size_t)g->h * (size_t)g->w;
    const float least = g->min_size * im_info[2];
    size_t n = 0;

    for (size_t cell = 0; cell < plane; cell++) {
        float x = (float)(cell % (size_t)g->w) * (float)g->anchors.stride;
        float y = (float)(cell / (size_t)g->w) * (float)g->anchors.stride;

        for (size_t k = 0; k < a; k++) {
            const float *ref = g->anchors.box[k], *d = pred + k * 4 * plane + cell;
            const float anchor[4] = { ref[0] + x, ref[1] + y, ref[2] + x, ref[3] + y };
            const float delta[4] = { d[0], d[plane], d[2 * plane], d[3 * plane] };
            float *box = w->box + 4 * (cell * a + k);

            ot_box_decode(anchor, delta, box);
            ot_box_clip(box, im_info[0], im_info[1]);
            if (box[2] - box[0] + 1.0f >= least && box[3] - box[1] + 1.0f >= least)
                w->key[n++] = ot_rank_key(prob[(a + k) * plane + cell], (uint32_t)(cell * a + k));
        }
    }
    return n;
}

static void propose(const struct ot_proposal_geom *g, int image, const float *prob,
                    const float *pred, const float *im_info, const struct work *w, float *rois,
                    float *score)
{
    const size_t a = (size_t)g->anchors.a, plane = (size_t)g->h * (size_t)g->w;
    struct ot_kept kept = ot_kept_at(w->kept, (size_t)g->post);
    size_t n = decode(g, prob, pred, im_info, w);

    ot_rank(w->key, w->tmp, n);
    if (g->pre > 0 && n > (size_t)g->pre)
        n = (size_t)g->pre;
    for (size_t j = 0; j < n && kept.n < g->post; j++) {
        size_t k = w->key[j] & 0xffffffffu;
        const float *box = w->box + 4 * k;
        float *roi = rois + 5 * (size_t)kept.n;

        if (!ot_nms_keep(&kept, box, g->nms_thresh))
            continue;
        roi[0] = (float)image;
        memcpy(roi + 1, box, 4 * sizeof *box);
        if (score)
            score[kept.n - 1] = prob[(a + k % a) * plane + k / a];
    }
    for (int r = kept.n; r < g->post; r++) {
        float *roi = rois + 5 * (size_t)r;

        roi[0] = -1.0f;
        memset(roi + 1, 0, 4 * sizeof *roi);
        if (score)
            score[r] = 0.0f;
    }
}

void ot_cpu_proposal(struct ot_dev *dev, const struct ot_proposal_geom *g, const float *prob,
                     const float *pred, const float *im_info, void *scratch, float *rois,
                     float *score)
{
    const size_t total = total_of(g);

    (void)dev;
#pragma omp parallel for schedule(static) if (g->n > 1)
    for (int i = 0; i < g->n; i++) {
        struct work w = work_at(g, i, scratch);
        size_t at = (size_t)i;

        propose(g, i, prob + 2 * at * total, pred + 4 * at * total, im_info + 3 * at, &w,
                rois + 5 * at * (size_t)g->post, score ? score + at * (size_t)g->post : NULL);
    }
}
