/*
 * pool_crop.h - the pictures of a pool's instances, from the data base that it is about.
 *
 * The LMDB is the one that table dataset names (or --db), and it must be that one: number and
 * fingerprint of its keys are compared.  A picture is the record for an image, else the box with
 * its surroundings.  Small ones are enlarged by a whole factor, large ones averaged over areas;
 * the instance's box is drawn, the other boxes of the record thinly.  Every record is decoded once.
 *
 * Ownership: ot_crops_close() closes.
 * Threads: one.
 * Errors: OT_ENOINPUT (no data base there), OT_ECONFIG (another one), OT_EDATA (no LMDB).  A
 *         record that is missing or broken is no error: its cell says so.
 */
#ifndef OT_TOOLS_POOL_CROP_H
#define OT_TOOLS_POOL_CROP_H

#include "data/db.h"
#include "tools/pool_cell.h"

struct ot_crops {
    struct ot_db *db;
    struct ot_db_cursor *cursor;
};

enum { OT_CROP_LEAST = 24, OT_CROP_MOST = 1024 }; /* side of a cell in pixels */

/* db_path: NULL takes the pool's own; a relative one is looked for where the program runs, then
 * in the folder of the pool and those above it. */
int ot_crops_open(const struct ot_pdb *d, const char *db_path, struct ot_crops *c,
                  struct ot_err *err);
void ot_crops_close(struct ot_crops *c);

/* Fills picture or missing of every cell; pictures are at most side x side. */
int ot_crops_draw(struct ot_crops *c, struct ot_cells *cells, int side, struct ot_err *err);

/* The colour of a state, as {b, g, r}; its name: ot_pdb_state_name(). */
const unsigned char *ot_crop_colour(int state);

/* ---- geometry, for tests ---- */

struct ot_crop_plan {
    int x, y, w, h; /* of the source */
    int out_w, out_h;
};

/* What of a width x height image goes into a cell; box in fractions, NULL: all of it. */
struct ot_crop_plan ot_crop_plan(int width, int height, const float *box, int side);
int ot_crop_scale(const struct ot_image *im, const struct ot_crop_plan *p, struct ot_image *out,
                  struct ot_err *err);

#endif
