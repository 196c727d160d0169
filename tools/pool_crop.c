/*
 * pool_crop.c - finds the data base of a pool and draws instances from it.
 *
 * Cells are visited in the order of their keys, so that a record is read and decoded once however
 * many of its boxes are shown, and pages of the map are touched in order.
 */
#include "tools/pool_crop.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "data/keys.h"
#include "tools/data_cmd.h"

/* ---- the data base -----------------------------------------------------------------------------
 */

/* `path` itself, or in the folder of the pool or one above it: runs/night/pool.db names what is
 * relative to the folder that runs/ is in. */
static const char *resolve(const char *path, const char *pool, char *buf, size_t n)
{
    char dir[PATH_MAX], *cut;

    if (path[0] == '/' || ot_exists(path))
        return path;
    if (!realpath(pool, dir))
        return path;
    while ((cut = strrchr(dir, '/'))) {
        *cut = '\0';
        if (ot_exists(ot_path_join(buf, n, *dir ? dir : "/", path)))
            return buf;
    }
    return path;
}

static int check(struct ot_db *db, const struct ot_pdb *d, const char *path, struct ot_err *err)
{
    int64_t entries = ot_pdb_int(d, 0, "SELECT entries FROM dataset");
    struct ot_keys keys = { 0 };
    char have[32];
    int64_t same;

    if ((uint64_t)entries != ot_db_count(db))
        return ot_fail(err, OT_ECONFIG,
                       "data set '%s': is not the one of the pool '%s', which has %lld records, "
                       "got %zu",
                       path, d->path, (long long)entries, ot_db_count(db));
    if (ot_keys_scan(&keys, db, err) < 0)
        return err->code;
    (void)snprintf(have, sizeof have, "%016llx", (unsigned long long)keys.fingerprint);
    ot_keys_release(&keys);
    same = ot_pdb_int(d, 0, "SELECT fingerprint=%Q FROM dataset", have);
    return same ? 0
                : ot_fail(err, OT_ECONFIG,
                          "data set '%s': is not the one of the pool '%s', whose keys have another "
                          "fingerprint, got %s",
                          path, d->path, have);
}

static int open_checked(const struct ot_pdb *d, const char *named, struct ot_crops *c,
                        struct ot_err *err)
{
    char buf[4096];
    const char *path = resolve(named, d->path, buf, sizeof buf);

    c->db = ot_db_open(path, err);
    if (!c->db)
        return ot_err_wrap(err, "pictures of pool '%s' (--db says where they are)", d->path);
    if (check(c->db, d, path, err) < 0)
        return err->code;
    c->cursor = ot_db_cursor_new(c->db, err);
    return c->cursor ? 0 : err->code;
}

int ot_crops_open(const struct ot_pdb *d, const char *db_path, struct ot_crops *c,
                  struct ot_err *err)
{
    sqlite3_stmt *s;
    int rc;

    *c = (struct ot_crops){ 0 };
    if (db_path)
        return open_checked(d, db_path, c, err);
    s = ot_pdb_query(d, err, "SELECT path FROM dataset");
    if (!s)
        return err->code;
    rc = ot_pdb_step(d, s, err);
    if (rc == 1)
        rc = open_checked(d, ot_pdb_str(s, 0), c, err);
    else if (rc == 0)
        rc = ot_fail(err, OT_EDATA, "pool '%s': names no data set, got none in table dataset",
                     d->path);
    (void)sqlite3_finalize(s);
    return rc;
}

void ot_crops_close(struct ot_crops *c)
{
    if (c->cursor)
        ot_db_cursor_free(c->cursor);
    if (c->db)
        ot_db_close(c->db);
    *c = (struct ot_crops){ 0 };
}

/* ---- drawing -----------------------------------------------------------------------------------
 */

const unsigned char *ot_crop_colour(int state)
{
    static const unsigned char colour[OT_CELL_STATES][3] = {
        { 190, 225, 240 }, /* waiting: pale */
        { 235, 175, 80 },  /* cooling: blue */
        { 110, 200, 90 },  /* learned: green */
        { 80, 80, 240 },   /* quarantined: red */
        { 220, 110, 190 }, /* excluded: violet */
        { 140, 140, 140 }, /* evicted: grey */
        { 200, 200, 60 },  /* control group: teal */
    };

    return colour[state >= 0 && state < OT_CELL_STATES ? state : 5];
}

static int to_cell(double v, int from, int n, int out)
{
    return (int)((v - from) * out / n);
}

struct corners {
    int x1, y1, x2, y2; /* inclusive */
};

static struct corners corners(const struct ot_crop_plan *p, const int whole[2], const float box[4])
{
    return (struct corners){ to_cell((double)box[0] * whole[0], p->x, p->w, p->out_w),
                             to_cell((double)box[1] * whole[1], p->y, p->h, p->out_h),
                             to_cell((double)box[2] * whole[0], p->x, p->w, p->out_w) - 1,
                             to_cell((double)box[3] * whole[1], p->y, p->h, p->out_h) - 1 };
}

/* A line with a dark edge on both sides: seen on any ground. */
static void draw_box(struct ot_image *im, struct corners c, const unsigned char ink[3])
{
    static const unsigned char black[3] = { 0, 0, 0 };

    ot_image_box(im, c.x1 - 1, c.y1 - 1, c.x2 + 1, c.y2 + 1, 1, black);
    ot_image_box(im, c.x1 + 1, c.y1 + 1, c.x2 - 1, c.y2 - 1, 1, black);
    ot_image_box(im, c.x1, c.y1, c.x2, c.y2, 1, ink);
}

/* Three light, three dark pixels. */
static void dash(struct ot_image *im, int x, int y)
{
    static const unsigned char light[3] = { 230, 230, 230 }, dark[3] = { 40, 40, 40 };

    ot_image_box(im, x, y, x, y, 1, (x + y) / 3 % 2 ? dark : light);
}

static void draw_dashed(struct ot_image *im, struct corners c)
{
    for (int x = c.x1 > 0 ? c.x1 : 0; x <= c.x2 && x < im->width; x++) {
        dash(im, x, c.y1);
        dash(im, x, c.y2);
    }
    for (int y = c.y1 > 0 ? c.y1 : 0; y <= c.y2 && y < im->height; y++) {
        dash(im, c.x1, y);
        dash(im, c.x2, y);
    }
}

static void draw_others(struct ot_image *im, const struct ot_crop_plan *p, const int whole[2],
                        const Caffe__AnnotatedDatum *ann)
{
    for (size_t g = 0; ann && g < ann->n_annotation_group; g++)
        for (size_t k = 0; k < ann->annotation_group[g]->n_annotation; k++) {
            const Caffe__NormalizedBBox *b = ann->annotation_group[g]->annotation[k]->bbox;

            if (b && b->xmin >= 0 && b->ymin >= 0 && b->xmax <= 1 && b->ymax <= 1)
                draw_dashed(
                    im, corners(p, whole, (const float[]){ b->xmin, b->ymin, b->xmax, b->ymax }));
        }
}

static int draw_cell(const struct ot_image *im, const struct ot_data_record *r,
                     struct ot_pool_cell *cell, int side, struct ot_err *err)
{
    struct ot_crop_plan p = ot_crop_plan(im->width, im->height, cell->has_box ? cell->box : NULL,
                                         side);
    const int whole[2] = { im->width, im->height };

    if (ot_crop_scale(im, &p, &cell->picture, err) < 0)
        return err->code;
    draw_others(&cell->picture, &p, whole, r->ann);
    if (cell->has_box)
        draw_box(&cell->picture, corners(&p, whole, cell->box), ot_crop_colour(cell->state));
    return 0;
}

/* ---- records -----------------------------------------------------------------------------------
 */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of a printed key (data/keys.h). */
static size_t key_bytes(const char *key, char *out)
{
    size_t n = 0;

    for (const char *p = key; *p; p++)
        if (p[0] == '\\' && p[1] == 'x' && digit(p[2]) >= 0 && digit(p[3]) >= 0) {
            out[n++] = (char)(digit(p[2]) * 16 + digit(p[3]));
            p += 3;
        } else {
            out[n++] = *p;
        }
    return n;
}

/* Decodes the record of a key; what is wrong with it goes into *err with a positive result. */
static int load(struct ot_crops *c, const char *key, struct ot_data_record *r, struct ot_image *im,
                struct ot_err *err)
{
    char bytes[512];
    struct ot_bytes value;
    size_t n = key_bytes(key, bytes); /* LMDB has no empty key and does not look for one */
    int rc = n ? ot_db_get(c->cursor, (struct ot_bytes){ bytes, n }, &value, err) : 0;

    if (rc < 0)
        return rc;
    if (rc == 0) {
        (void)ot_fail(err, OT_ENOINPUT, "no such record");
        return 1;
    }
    if (ot_data_parse(value, r, err) < 0)
        return err->code == OT_ENOMEM ? (int)err->code : 1;
    if (ot_data_decode(r->datum, im, err) < 0)
        return err->code == OT_ENOMEM ? (int)err->code : 1;
    return 0;
}

static int draw_record(struct ot_crops *c, struct ot_pool_cell *const *cell, size_t n, int side,
                       struct ot_image *im, struct ot_err *err)
{
    struct ot_data_record r = { 0 };
    struct ot_err why = OT_ERR_INIT;
    int rc = load(c, cell[0]->key, &r, im, &why);

    for (size_t i = 0; rc >= 0 && i < n; i++)
        if (rc > 0)
            (void)snprintf(cell[i]->missing, sizeof cell[i]->missing, "%.150s", why.text);
        else if (draw_cell(im, &r, cell[i], side, &why) < 0)
            rc = why.code;
    ot_data_record_release(&r);
    if (rc < 0)
        *err = why;
    return rc < 0 ? rc : 0;
}

static int by_key(const void *a, const void *b)
{
    const struct ot_pool_cell *x = *(struct ot_pool_cell *const *)a;
    const struct ot_pool_cell *y = *(struct ot_pool_cell *const *)b;

    return strcmp(x->key, y->key);
}

int ot_crops_draw(struct ot_crops *c, struct ot_cells *cells, int side, struct ot_err *err)
{
    struct ot_pool_cell **order = ot_alloc(cells->n, sizeof *order, err);
    struct ot_image im = { 0 };
    int rc = order ? 0 : (int)err->code;

    for (size_t i = 0; rc == 0 && i < cells->n; i++)
        order[i] = &cells->cell[i];
    if (rc == 0)
        qsort(order, cells->n, sizeof *order, by_key);
    for (size_t i = 0, n; rc == 0 && i < cells->n; i += n) {
        for (n = 1; i + n < cells->n && strcmp(order[i]->key, order[i + n]->key) == 0;)
            n++;
        rc = draw_record(c, order + i, n, side, &im, err);
    }
    ot_image_release(&im);
    ot_free(order);
    return rc;
}
