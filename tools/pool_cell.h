/*
 * pool_cell.h - instances of a pool that are to be looked at: what is known of them, their picture.
 *
 * A pick names a view (any that has a column inst_id) and filters; the cells come in the view's
 * order.  The pictures are drawn later, by tools/pool_crop.h, where the data base is at hand.
 *
 * Ownership: ot_cells_release() frees; the texts of a pick are borrowed.
 * Threads: one.
 * Errors: OT_EUSAGE (no such view or class), and those of tools/pool_db.h.
 */
#ifndef OT_TOOLS_POOL_CELL_H
#define OT_TOOLS_POOL_CELL_H

#include "data/image.h"
#include "tools/pool_db.h"

enum { OT_CELL_STATES = 7 }; /* of the table inst; control group: 6 */

struct ot_pool_cell {
    int64_t inst;
    int kind, slot, label, pred, state, n_seen, n_reinj, n_contra;
    double loss, p_label, p_pred; /* NaN: not told */
    float box[4];                 /* fractions of the image */
    bool has_box, has_pred;
    char key[512];            /* as the file has it: not printable bytes as \xNN */
    char name[64], other[64]; /* label and prediction */
    struct ot_image picture;  /* BGR, or empty */
    char missing[160];        /* why it is */
};

struct ot_cells {
    struct ot_pool_cell *cell;
    size_t n, cap;
    int64_t total; /* that the view has */
};

struct ot_pool_pick {
    const char *view;      /* NULL: hardest */
    const char *label;     /* a class by name or number, or NULL */
    const char *confusion; /* "TRUTH,PREDICTED", or NULL */
    const int *pair;       /* the same as two labels, or NULL */
    int limit;             /* 0: all */
};

int ot_cells_pick(const struct ot_pdb *d, const struct ot_pool_pick *pick, struct ot_cells *out,
                  struct ot_err *err);
void ot_cells_release(struct ot_cells *c);

#endif
