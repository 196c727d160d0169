/*
 * pool_report.h - the parts of a report on one run: page, charts, pictures.
 *
 * Ownership: the page's string grows; the rest is borrowed.
 * Threads: one.
 * Errors: those of tools/pool_db.h; what a page has no data for is left out, or a sentence.
 */
#ifndef OT_TOOLS_POOL_REPORT_H
#define OT_TOOLS_POOL_REPORT_H

#include "tools/pool_crop.h"
#include "tools/pool_db.h"
#include "tools/pool_html.h"

struct ot_prep {
    struct ot_pdb d;
    struct ot_crops crops;
    bool pictures; /* crops is open */
    char why[800]; /* why it is not */
    struct ot_str page;
};

void ot_prep_begin(struct ot_str *s, const char *title); /* up to <main> */
void ot_prep_end(struct ot_str *s);
void ot_prep_section(struct ot_str *s, const char *id, const char *title);
void ot_prep_close(struct ot_str *s); /* of a section */
void ot_prep_says(struct ot_str *s, const char *text);

/* Sections: charts of the losses, the pool, the sentinel, the effect of mining, the thermometer. */
int ot_prep_losses(struct ot_prep *r, struct ot_err *err);
int ot_prep_fill(struct ot_prep *r, struct ot_err *err);
int ot_prep_effect(struct ot_prep *r, struct ot_err *err);
int ot_prep_thermometer(struct ot_prep *r, struct ot_err *err);
int ot_prep_sentinel(struct ot_prep *r, struct ot_err *err);

/* Sections of pictures: a view, and the pair of classes that is confused most. */
int ot_prep_view(struct ot_prep *r, const char *view, const char *none, struct ot_err *err);
int ot_prep_worst_pair(struct ot_prep *r, struct ot_err *err);

#endif
