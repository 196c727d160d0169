/*
 * pool_labels.h - what persons and the quarantine say of labels, and the labels of the data set.
 *
 * Ownership: ot_labels_release(), ot_claims_release() free.  Threads: one.
 * Errors: those of pool_db.h and of data/db.h.
 */
#ifndef OT_TOOLS_POOL_LABELS_H
#define OT_TOOLS_POOL_LABELS_H

#include "data/datum.h"
#include "tools/pool_crop.h"
#include "tools/pool_db.h"

/* Of one instance. */
struct ot_claim {
    char *key, *verdict, *who, *note; /* owned; who, note may be NULL */
    int kind, slot;
    int label;       /* of a relabel, else -1 */
    int given, pred; /* suspects: the label, and what the model says; else -1 */
    double conf;     /* of pred; NaN */
};

struct ot_claims {
    struct ot_claim *v; /* by key, kind, slot */
    size_t n, cap;
};

/* What persons said (pool and file of verdicts), the last word on each instance. */
int ot_claims_said(const struct ot_pdb *d, struct ot_claims *c, struct ot_err *err);
/* View suspected_noise. */
int ot_claims_suspected(const struct ot_pdb *d, struct ot_claims *c, struct ot_err *err);
void ot_claims_release(struct ot_claims *c);

/* One record's labels as the data set has them. */
struct ot_labels {
    struct ot_record record; /* boxes, in the order of their slots */
    int width, height;
    bool image; /* no boxes but one label for the whole */
};

/* 1: read; 0: no such record.  *l begins as { 0 } and is reused. */
int ot_labels_get(struct ot_crops *c, const char *key, struct ot_labels *l, struct ot_err *err);
int ot_labels_count(const struct ot_labels *l);
/* Label and box of a slot; the whole image where there are no boxes. */
struct ot_record_box ot_labels_at(const struct ot_labels *l, int slot);
void ot_labels_release(struct ot_labels *l);

/* Writers of whole files; `count` gets how many images were written. */
int ot_export_voc(const struct ot_pdb *d, struct ot_crops *c, const struct ot_claims *claims,
                  const char *folder, int *count, struct ot_err *err);
int ot_export_coco(const struct ot_pdb *d, struct ot_crops *c, const struct ot_claims *claims,
                   struct ot_str *out, int *count, struct ot_err *err);

#endif
