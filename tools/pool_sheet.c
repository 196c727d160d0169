/*
 * pool_sheet.c - lays out a contact sheet, and the sub-command that writes one.
 *
 * What is written into the file depends on pool, data base and options alone: the date is that of
 * the run, so that the same pool gives the same bytes.
 */
#include "tools/pool_sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "tools/pool_cmd.h"
#include "tools/pool_crop.h"

enum {
    LETTER = 6,
    LINE = 10,
    EDGE = 8,    /* around the sheet */
    GAP = 10,    /* between tiles */
    FRAME = 2,   /* around a picture, in the colour of its state */
    CAPTION = 24 /* letters that a line has at least */
};

static const unsigned char paper[3] = { 34, 30, 28 }, ink[3] = { 235, 235, 235 },
                           dim[3] = { 165, 160, 155 }, hole[3] = { 62, 56, 54 };

struct layout {
    int tile_w, tile_h, pad, columns, rows, width, height, top, letters;
};

static struct layout lay_out(const struct ot_sheet_form *f, size_t n)
{
    struct layout l = { 0 };
    int most = (int)(n ? n : 1);

    l.tile_w = f->side + 2 * FRAME;
    if (l.tile_w < CAPTION * LETTER)
        l.tile_w = CAPTION * LETTER;
    l.tile_h = f->side + 2 * FRAME + 2 * LINE;
    l.pad = (l.tile_w - f->side) / 2;
    l.columns = f->columns < most ? f->columns : most;
    if (!l.columns) /* a little wider than high, as screens are */
        l.columns = (int)ceil(sqrt(1.2 * most * l.tile_h / l.tile_w));
    if (l.columns > most)
        l.columns = most;
    l.rows = (most + l.columns - 1) / l.columns;
    l.letters = l.tile_w / LETTER;
    l.top = EDGE + 2 * LINE + GAP;
    l.width = 2 * EDGE + l.columns * (l.tile_w + GAP) - GAP;
    l.height = l.top + l.rows * (l.tile_h + GAP) - GAP + EDGE;
    if (l.width < 2 * EDGE + 60 * LETTER) /* the header */
        l.width = 2 * EDGE + 60 * LETTER;
    return l;
}

int ot_pool_sheet_fits(const struct ot_sheet_form *form, size_t n, struct ot_err *err)
{
    struct layout l = { 0 };

    if (n < OT_IMAGE_MAX_PIXELS / OT_CROP_LEAST)
        l = lay_out(form, n);
    if (!l.width || l.width > OT_IMAGE_MAX_SIDE || l.height > OT_IMAGE_MAX_SIDE ||
        (int64_t)l.width * l.height > OT_IMAGE_MAX_PIXELS)
        return ot_fail(err, OT_EUSAGE,
                       "a sheet of %zu cells is larger than a PNG may be here, "
                       "got %dx%d pixels; --limit makes it smaller",
                       n, l.width, l.height);
    return 0;
}

static void place_cell(const struct layout *l, size_t i, int *x, int *y)
{
    *x = EDGE + (int)(i % (size_t)l->columns) * (l->tile_w + GAP) + l->pad;
    *y = l->top + (int)(i / (size_t)l->columns) * (l->tile_h + GAP) + FRAME;
}

/* The built-in letters are ASCII: one '?' for each other character. */
static void ascii(char *text)
{
    char *to = text;

    for (const char *p = text; *p; p++)
        if (((unsigned char)*p & 0xC0) != 0x80) /* not a continuation of UTF-8 */
            *to++ = (char)(*p >= ' ' && *p <= '~' ? *p : '?');
    *to = '\0';
}

static void write_line(struct ot_image *im, int x, int y, char *line, int letters,
                       const unsigned char colour[3])
{
    ascii(line);
    if (strlen(line) > (size_t)letters)
        line[letters] = '\0';
    (void)ot_image_text(im, x, y, line, colour, paper);
}

/* "label -> prediction 0.97": the longer name is cut until the line has room. */
static void first_line(const struct ot_pool_cell *c, int letters, char *line, size_t n)
{
    char a[64], b[64], p[16] = "";
    int la, lb, room;

    (void)snprintf(a, sizeof a, "%s", c->name);
    (void)snprintf(b, sizeof b, "%s", c->has_pred ? c->other : "?");
    ascii(a);
    ascii(b);
    if (!isnan(c->p_pred))
        (void)snprintf(p, sizeof p, " %.2f", c->p_pred);
    la = (int)strlen(a);
    lb = (int)strlen(b);
    room = letters - (int)strlen(p) - 2;
    while (la + lb > room && (la > 1 || lb > 1))
        *(la >= lb ? &la : &lb) -= 1;
    (void)snprintf(line, n, "%.*s->%.*s%s", la, a, lb, b, p);
}

/* "loss 4.21 00012345": of a long key the end is shown, where keys differ. */
static void second_line(const struct ot_pool_cell *c, int letters, char *line, size_t n)
{
    int head = snprintf(line, n, "loss %.2f ", c->loss), room = letters - head;
    size_t len = strlen(c->key);

    if (room > 2 && len > (size_t)room)
        (void)snprintf(line + head, n - (size_t)head, "..%s", c->key + len - (size_t)room + 2);
    else
        (void)snprintf(line + head, n - (size_t)head, "%s", c->key);
}

static void fill(struct ot_image *im, int x, int y, int w, int h, const unsigned char c[3])
{
    ot_image_box(im, x, y, x + w - 1, y + h - 1, (w < h ? w : h) / 2 + 1, c);
}

static void paste(struct ot_image *im, const struct ot_image *part, int x, int y)
{
    size_t row = (size_t)part->width * 3;

    for (int i = 0; i < part->height; i++)
        memcpy(im->pixel + ((size_t)(y + i) * (size_t)im->width + (size_t)x) * 3,
               part->pixel + (size_t)i * row, row);
}

/* Why there is no picture, in as many lines as fit. */
static void draw_hole(struct ot_image *im, const char *why, int x, int y, int side)
{
    int letters = (side - 4) / LETTER;
    size_t n = strlen(why);
    char line[256];

    fill(im, x, y, side, side, hole);
    for (int row = 0; (row + 1) * LINE + 4 <= side && (size_t)row * (size_t)letters < n; row++) {
        (void)snprintf(line, sizeof line, "%.*s", letters, why + (size_t)row * (size_t)letters);
        ascii(line);
        (void)ot_image_text(im, x + 2, y + 2 + row * LINE, line, ink, hole);
    }
}

static void draw_tile(struct ot_image *im, const struct ot_pool_cell *c, const struct layout *l,
                      int side, int x, int y)
{
    const unsigned char *colour = ot_crop_colour(c->state);
    char line[640];

    ot_image_box(im, x - FRAME, y - FRAME, x + side + FRAME - 1, y + side + FRAME - 1, FRAME,
                 colour);
    fill(im, x, y, side, side, hole);
    if (c->picture.pixel)
        paste(im, &c->picture, x + (side - c->picture.width) / 2,
              y + (side - c->picture.height) / 2);
    else
        draw_hole(im, c->missing[0] ? c->missing : "no picture", x, y, side);
    x -= l->pad;
    y += side + FRAME;
    first_line(c, l->letters, line, sizeof line);
    write_line(im, x, y, line, l->letters, ink);
    second_line(c, l->letters, line, sizeof line);
    write_line(im, x, y + LINE, line, l->letters, dim);
}

/* The states that occur, each with its colour and number. */
static void draw_legend(struct ot_image *im, const struct ot_cells *cells, int x, int y)
{
    int count[OT_CELL_STATES] = { 0 };
    char text[64];

    for (size_t i = 0; i < cells->n; i++)
        if (cells->cell[i].state >= 0 && cells->cell[i].state < OT_CELL_STATES)
            count[cells->cell[i].state]++;
    for (int s = 0; s < OT_CELL_STATES; s++) {
        if (!count[s])
            continue;
        fill(im, x, y + 1, LINE - 2, LINE - 2, ot_crop_colour(s));
        (void)snprintf(text, sizeof text, "%s %d", ot_pdb_state_name(s), count[s]);
        x += LINE + ot_image_text(im, x + LINE, y, text, dim, paper) + 2 * LETTER;
    }
}

int ot_pool_sheet(const struct ot_cells *cells, const struct ot_sheet_form *form,
                  struct ot_image *out, struct ot_err *err)
{
    struct layout l = lay_out(form, cells->n);
    char title[1024];

    if (ot_image_alloc(out, l.width, l.height, 3, err) < 0)
        return ot_err_wrap(err, "a sheet of %zu cells", cells->n);
    fill(out, 0, 0, l.width, l.height, paper);
    (void)snprintf(title, sizeof title, "%s", form->title);
    write_line(out, EDGE, EDGE, title, (l.width - 2 * EDGE) / LETTER, ink);
    draw_legend(out, cells, EDGE, EDGE + LINE + 2);
    for (size_t i = 0; i < cells->n; i++) {
        int x, y;

        place_cell(&l, i, &x, &y);
        draw_tile(out, &cells->cell[i], &l, form->side, x, y);
    }
    return 0;
}

/* ---- the sub-command ---------------------------------------------------------------------------
 */

struct options {
    struct ot_pool_pick pick;
    const char *db;
    int columns, side;
};

static void make_title(const struct ot_pdb *d, const struct options *o,
                       const struct ot_cells *cells, char *title, size_t n)
{
    struct ot_err ignored = OT_ERR_INIT;
    sqlite3_stmt *s = ot_pdb_query(d, &ignored,
                                   "SELECT run_id, substr(started,1,10) FROM run "
                                   "ORDER BY run_id DESC LIMIT 1");
    const char *view = o->pick.view ? o->pick.view : o->pick.confusion ? "confusion" : "hardest";
    bool run = s && ot_pdb_step(d, s, &ignored) == 1;

    (void)snprintf(title, n, "%s%s%s%s%s | %zu of %lld | run %lld of %s | %s", view,
                   o->pick.confusion ? " " : "", o->pick.confusion ? o->pick.confusion : "",
                   o->pick.label ? " class " : "", o->pick.label ? o->pick.label : "", cells->n,
                   (long long)cells->total, run ? (long long)sqlite3_column_int64(s, 0) : 0LL,
                   run ? ot_pdb_str(s, 1) : "no date", d->path);
    (void)sqlite3_finalize(s);
}

static int draw_sheet(const struct ot_pdb *d, const struct options *o, const char *out,
                      struct ot_err *err)
{
    struct ot_cells cells = { 0 };
    struct ot_crops crops = { 0 };
    struct ot_image im = { 0 };
    struct ot_sheet_form form = { .side = o->side, .columns = o->columns };
    char title[1024];
    int rc = ot_cells_pick(d, &o->pick, &cells, err);

    if (rc == 0)
        rc = ot_pool_sheet_fits(&form, cells.n, err);
    if (rc == 0)
        rc = ot_crops_open(d, o->db, &crops, err);
    if (rc == 0)
        rc = ot_crops_draw(&crops, &cells, o->side, err);
    if (rc == 0) {
        make_title(d, o, &cells, title, sizeof title);
        form.title = title;
        rc = ot_pool_sheet(&cells, &form, &im, err);
    }
    if (rc == 0)
        rc = ot_image_write_png(&im, out, err);
    if (rc == 0)
        ot_out("%s: %dx%d, %zu of %lld\n", out, im.width, im.height, cells.n,
               (long long)cells.total);
    ot_image_release(&im);
    ot_crops_close(&crops);
    ot_cells_release(&cells);
    return rc;
}

int ot_pcmd_sheet(int argc, char **argv, struct ot_err *err)
{
    struct options o = { .pick = { .limit = 100 }, .side = 96 };
    const struct ot_data_opt table[] = { { "--view", OT_OPT_TEXT, &o.pick.view },
                                         { "--class", OT_OPT_TEXT, &o.pick.label },
                                         { "--confusion", OT_OPT_TEXT, &o.pick.confusion },
                                         { "--limit", OT_OPT_INT, &o.pick.limit },
                                         { "--columns", OT_OPT_INT, &o.columns },
                                         { "--cell", OT_OPT_INT, &o.side },
                                         { "--db", OT_OPT_TEXT, &o.db },
                                         { NULL, OT_OPT_FLAG, NULL } };
    const char *pos[2];
    struct ot_pdb d = { 0 };
    int rc = ot_data_options(table, argc, argv, pos, 2, 2, err);

    if (rc < 0)
        return rc;
    if (o.side < OT_CROP_LEAST || o.side > OT_CROP_MOST)
        return ot_fail(err, OT_EUSAGE, "--cell: must be %d to %d pixels, got %d", OT_CROP_LEAST,
                       OT_CROP_MOST, o.side);
    if (ot_pdb_open(pos[0], &d, err) < 0)
        return err->code;
    rc = draw_sheet(&d, &o, pos[1], err);
    ot_pdb_close(&d);
    return rc;
}
