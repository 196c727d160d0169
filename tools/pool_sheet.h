/*
 * pool_sheet.h - a contact sheet: cells in rows, each with two lines under it, a header above.
 *
 * Ownership: the image is the caller's.  Threads: one.  Errors: OT_EDATA when it would be larger
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

/* The columns that a sheet of n cells gets, and the left upper corner of cell i's picture area. */
int ot_pool_sheet_columns(const struct ot_sheet_form *form, size_t n);
void ot_pool_sheet_place(const struct ot_sheet_form *form, size_t n, size_t i, int *x, int *y);

#endif
