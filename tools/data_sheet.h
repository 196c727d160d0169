/*
 * data_sheet.h - pictures for people: records with their boxes drawn, several on one sheet.
 *
 * Ownership: the caller releases the sheet.
 */
#ifndef OT_TOOLS_DATA_SHEET_H
#define OT_TOOLS_DATA_SHEET_H

#include <stdbool.h>

#include "data/image.h"

struct ot_data_box {
    int x1, y1, x2, y2; /* inclusive pixels */
    int label;
    bool difficult;
    const char *name; /* NULL: the label's number is shown */
};

/* The picture enlarged by whole pixels with its boxes; difficult ones are grey. */
int ot_data_draw(const struct ot_image *im, int zoom, const struct ot_data_box *box, int n,
                 struct ot_image *out, struct ot_err *err);

enum { OT_SHEET_COLUMNS = 4, OT_SHEET_ROWS = 3, OT_SHEET_ZOOM = 2 };

struct ot_sheet {
    struct ot_image image, cell;
    int width, height; /* of one picture */
    int n;             /* pictures so far */
};

int ot_sheet_open(struct ot_sheet *s, int width, int height, struct ot_err *err);
/* Pictures beyond the last cell are left out. */
int ot_sheet_add(struct ot_sheet *s, const struct ot_image *im, const struct ot_data_box *box,
                 int n, struct ot_err *err);
void ot_sheet_release(struct ot_sheet *s);

#endif
