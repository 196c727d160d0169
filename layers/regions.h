/*
 * regions.h - what the region layers and their CPU kernels share: parameters, scratch sizes,
 * ranking, NMS.
 *
 * The order of anchors is py-faster-rcnn's: (y, x, anchor), index (y w + x) a + anchor.
 * Every choice is a total order (score or random key, then index), so that any device makes the
 * same one.
 *
 * Ownership: everything is borrowed.  Threads: pure functions on the caller's arrays.
 */
#ifndef OT_LAYERS_REGIONS_H
#define OT_LAYERS_REGIONS_H

#include "layers/layer.h"
#include "layers/region_math.h"

/* ---- parameters ------------------------------------------------------------------------- */
/* The number a person wrote: 0.7f is 0.699999988, its decimal is 0.7.  Thresholds are compared
 * with overlaps in double, where the difference decides ties.  Six decimals. */
double ot_decimal(float v);

/* A repeated field of 4 numbers: all of them, or none for the defaults. */
int ot_four(const struct ot_layer *l, const void *msg, const char *field, size_t n, const float *v,
            const float def[4], float out[4], struct ot_err *err);
/* As above for a standard deviation: every value > 0. */
int ot_four_std(const struct ot_layer *l, const void *msg, size_t n, const float *v, float out[4],
                struct ot_err *err);
/* gt_boxes: (G,5) or (G,6) for one image, (N,G,5) or (N,G,6). */
int ot_gt_shape(const struct ot_layer *l, int bottom, int *n, int *gts, int *cols,
                struct ot_err *err);
int ot_want_shape(const struct ot_layer *l, int bottom, const char *what, const int *dim, int nd,
                  struct ot_err *err);

/* How many boxes a row of targets or deltas has: one a class, or background's and objects'. */
static inline int ot_box_classes(bool agnostic, int classes)
{
    return agnostic ? 2 : classes;
}

/* The layer's num_classes, else the net's; at least 2. */
int ot_region_classes(const struct ot_layer *l, const void *msg, bool has, unsigned own,
                      int *classes, struct ot_err *err);

/* ---- ranking ---------------------------------------------------------------------------- */
/* Key that sorts ascending as score descending, then index ascending; NaN comes last. */
uint64_t ot_rank_key(float score, uint32_t index);
/* Sorts by the upper half, stable (radix); tmp has n elements too. */
void ot_rank(uint64_t *key, uint64_t *tmp, size_t n);
/* Brings the m smallest of n distinct keys to the front, in any order. */
void ot_smallest(uint64_t *key, size_t n, size_t m);

/* ---- NMS -------------------------------------------------------------------------------- */
struct ot_kept { /* structure of arrays, each `cap` long, so that the comparison vectorises */
    float *x1, *y1, *x2, *y2, *area;
    int n;
};

static inline struct ot_kept ot_kept_at(float *mem, size_t cap)
{
    return (struct ot_kept){ mem, mem + cap, mem + 2 * cap, mem + 3 * cap, mem + 4 * cap, 0 };
}

/* Keeps the box unless one kept before overlaps it by more than `thresh`. */
bool ot_nms_keep(struct ot_kept *kept, const float box[4], float thresh);

/* ---- scratch ---------------------------------------------------------------------------- */
size_t ot_anchor_target_scratch(const struct ot_anchor_target_geom *g);
size_t ot_proposal_scratch(const struct ot_proposal_geom *g);
size_t ot_proposal_target_scratch(const struct ot_proposal_target_geom *g);
size_t ot_box_annotator_scratch(const struct ot_box_annotator_geom *g);
size_t ot_detection_scratch(const struct ot_detection_geom *g);

/* ---- stages of the CPU kernels, apart so that each can be tested ------------------------- */
struct ot_anchor_work { /* of one image, `total` = h w a each */
    uint64_t *key;
    double *best;   /* (gts) highest overlap of each box */
    int32_t *match; /* box with the highest overlap, -1: none */
    int32_t *label; /* OT_ANCHOR_* */
};

struct ot_anchor_work ot_anchor_work_at(const struct ot_anchor_target_geom *g, int image,
                                        void *scratch);
/* Labels every anchor of image i. */
void ot_anchor_assign(const struct ot_anchor_target_geom *g, int i, const float *gt,
                      const float *im_info, const struct ot_anchor_work *w);
/* Sets labels beyond the sample to OT_ANCHOR_IGNORED. */
void ot_anchor_sample(const struct ot_anchor_target_geom *g, int i, uint64_t iter,
                      const struct ot_anchor_work *w);
/* Writes the outputs of all images from their work. */
void ot_anchor_write(const struct ot_anchor_target_geom *g, const float *gt, void *scratch,
                     float *label, float *target, float *inside, float *outside);

/* Candidates of one image: [0, rois) rows of rois, then gts boxes, then booked rows. */
struct ot_roi_work {
    uint64_t *key;
    double *overlap;
    int32_t *kind;  /* OT_ROI_*; NONE: of another image, unused, or in neither range */
    int32_t *match; /* box with the highest overlap, -1: none */
    int32_t *pick;  /* (batch) the rows in order: candidates, -1: unfilled */
};

struct ot_roi_work ot_roi_work_at(const struct ot_proposal_target_geom *g, int image,
                                  void *scratch);
void ot_roi_assign(const struct ot_proposal_target_geom *g, int i, const float *rois,
                   const float *gt, const float *booked, const struct ot_roi_work *w);
void ot_roi_sample(const struct ot_proposal_target_geom *g, int i, uint64_t iter,
                   const struct ot_roi_work *w);

struct ot_roi_rows { /* the outputs, of all images */
    float *rois, *label, *target, *inside, *outside;
    float *matched, *weight; /* may be NULL */
};

void ot_roi_write(const struct ot_proposal_target_geom *g, int i, const float *rois,
                  const float *gt, const float *booked, const struct ot_roi_work *w,
                  const struct ot_roi_rows *out);

#endif
