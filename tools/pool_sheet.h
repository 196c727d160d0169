/*
 * pool_sheet.h - a contact sheet: cells in rows, each with two lines under it, a header above.
 *
 * Ownership: the image is the caller's.  Threads: one.  Errors: OT_EUSAGE when it would be larger
 * than an image may be.
 */
#ifndef OT_TOOLS_POOL_SHEET_H
#define OT_TOOLS_POOL_SHEET_H

#include "tools/pool_cell.h"

struct ot_sheet_form {
    const char *title;
    int side, columns; /* of a cell in pixels; columns 0: about as wide as high */
};

int ot_pool_sheet(const struct ot_cells *cells, const struct ot_sheet_form *form,
                  struct ot_image *out, struct ot_err *err);

/* Is a sheet of n cells small enough?  To be asked before their pictures are drawn. */
int ot_pool_sheet_fits(const struct ot_sheet_form *form, size_t n, struct ot_err *err);

#endif
