/*
 * pool_import.c - ohempool import: labels back from an annotation tool.
 *
 * Each object of the file is compared with the object of the data set that its box overlaps best
 * (IoU >= 0.9); where the label differs, a verdict `relabel` is written, the data set is not
 * touched. An object of the data set that the file's image has no more is relabelled 0, the
 * background, with
 * --deleted; a new object has no verdict that could say it, and is counted.  JSON Lines are taken
 * line by line, what agrees with the data set is left out.
 */
#include "tools/pool_import.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/overlay.h"
#include "tools/pool_cmd.h"

enum { MOST_BYTES = 1 << 30 };

/* ---- one image ------------------------------------------------------------------------------- */

static int put(struct ot_import *im, const char *key, int kind, int slot, const char *verdict,
               int label, struct ot_err *err)
{
    struct ot_say_row row = { .key = key,
                              .verdict = verdict,
                              .who = im->who,
                              .note = "imported",
                              .kind = kind,
                              .slot = slot,
                              .label = label };

    return im->dry ? 0 : ot_say_put(&im->say, &row, err);
}

static double overlap(const struct ot_found *f, const struct ot_record_box *b)
{
    double w = fmin(f->x1, (double)b->xmax) - fmax(f->x0, (double)b->xmin);
    double h = fmin(f->y1, (double)b->ymax) - fmax(f->y0, (double)b->ymin);
    double in = w > 0 && h > 0 ? w * h : 0;
    double all = (f->x1 - f->x0) * (f->y1 - f->y0) +
                 ((double)b->xmax - (double)b->xmin) * ((double)b->ymax - (double)b->ymin) - in;

    return all > 0 ? in / all : 0;
}

/* The object of the file for a slot: the best one that is not taken; -1: none. */
static int partner(const struct ot_import *im, const struct ot_record_box *b, const bool *taken)
{
    double best = im->labels.image ? 0 : 0.9;
    int at = -1;

    for (size_t i = 0; i < im->n; i++) {
        double u = im->labels.image ? 1 - (double)i * 1e-9 : overlap(&im->obj[i], b);

        /* of two that overlap alike, the one with the same label */
        if (!taken[i] && (u > best || (at >= 0 && u == best && im->obj[i].label == b->label))) {
            best = u;
            at = (int)i;
        }
    }
    return at;
}

static int compare(struct ot_import *im, const char *key, bool *taken, struct ot_err *err)
{
    int n = ot_labels_count(&im->labels), rc = 0;

    for (int slot = 0; rc >= 0 && slot < n; slot++) {
        struct ot_record_box b = ot_labels_at(&im->labels, slot);
        int at = partner(im, &b, taken);

        if (at >= 0)
            taken[at] = true;
        if (at >= 0 && im->obj[at].label == b.label) {
            im->same++;
        } else if (at >= 0) {
            im->relabelled++;
            rc = put(im, key, !im->labels.image, slot, "relabel", im->obj[at].label, err);
        } else {
            im->gone++;
            if (im->deleted && !im->labels.image)
                rc = put(im, key, 1, slot, "relabel", 0, err);
        }
    }
    for (size_t i = 0; i < im->n; i++)
        im->added += !taken[i];
    return rc < 0 ? rc : 0;
}

/* The objects are in im->obj. */
int ot_import_image(struct ot_import *im, const char *key, struct ot_err *err)
{
    int rc = ot_labels_get(&im->crops, key, &im->labels, err);
    bool *taken;

    if (rc < 0)
        return rc;
    if (rc == 0) {
        if (im->missing++ == 0)
            ot_pcmd_note("%s: no record has the key '%s'; passed over", im->file, key);
        return 0;
    }
    im->images++;
    taken = ot_alloc(im->n, sizeof *taken, err);
    rc = taken ? compare(im, key, taken, err) : err->code;
    ot_free(taken);
    return rc;
}

int ot_import_object(struct ot_import *im, int label, double x0, double y0, double x1, double y1,
                     struct ot_err *err)
{
    if (ot_grow(&im->obj, &im->cap, im->n + 1, sizeof *im->obj, err) < 0)
        return err->code;
    im->obj[im->n++] = (struct ot_found){ label, x0, y0, x1, y1 };
    return 0;
}

/* ---- JSON Lines ------------------------------------------------------------------------------ */

struct names { /* keys that were asked for, by order */
    struct ot_import *im;
    char **key;
    size_t n, cap;
    struct ot_err err;
};

static int64_t find_key(void *ctx, const char *key)
{
    struct names *k = ctx;

    for (size_t i = k->n; i > 0 && i + 64 > k->n; i--) /* lines of one record lie together */
        if (strcmp(k->key[i - 1], key) == 0)
            return (int64_t)i - 1;
    if (ot_labels_get(&k->im->crops, key, &k->im->labels, &k->err) <= 0 ||
        ot_grow(&k->key, &k->cap, k->n + 1, sizeof *k->key, &k->err) < 0)
        return -1;
    k->key[k->n] = ot_strdup(key, &k->err);
    return k->key[k->n] ? (int64_t)k->n++ : -1;
}

static int take_line(struct ot_import *im, const char *key, const struct ot_verdict *v,
                     struct ot_err *err)
{
    static const char *const name[] = { "mislabelled", "hard", "ignore", "relabel" };
    int rc = ot_labels_get(&im->crops, key, &im->labels, err);

    if (rc < 0)
        return rc;
    if (v->what != OT_VERDICT_RELABEL) {
        im->passed++;
        return put(im, key, v->kind, v->slot, name[v->what], -1, err);
    }
    if (v->slot >= ot_labels_count(&im->labels) || im->labels.image != (v->kind == 0))
        return ot_fail(err, OT_EDATA,
                       "%s: key '%s': kind and slot must be of the record, got %s "
                       "%d",
                       im->file, key, ot_pdb_kind_name(v->kind), v->slot);
    if (ot_labels_at(&im->labels, v->slot).label == v->label) {
        im->same++;
        return 0;
    }
    im->relabelled++;
    return put(im, key, v->kind, v->slot, "relabel", v->label, err);
}

/* The pool's classes as an array by label; names that are missing are "". */
static int class_names(const struct ot_import *im, char ***name, int *n, struct ot_err *err)
{
    char text[128];

    *n = 1 + (int)ot_pdb_int(&im->d, -1, "SELECT max(label) FROM class");
    *name = ot_alloc((size_t)*n, sizeof **name, err);
    for (int i = 0; *name && i < *n; i++) {
        (*name)[i] = ot_strdup(ot_pdb_class(&im->d, i, text, sizeof text), err);
        if (!(*name)[i])
            return err->code;
    }
    return *name ? 0 : err->code;
}

static int json_lines(struct ot_import *im, struct ot_err *err)
{
    struct names k = { .im = im };
    struct ot_verdict *v = NULL;
    char **name = NULL;
    size_t n = 0;
    int n_names = 0, rc = class_names(im, &name, &n_names, err);

    if (rc == 0)
        rc = ot_overlay_read(im->file, find_key, &k, 0, n_names ? (const char *const *)name : NULL,
                             &v, &n, err);
    if (k.err.code && k.err.code != OT_ENOINPUT)
        rc = (*err = k.err).code;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take_line(im, k.key[v[i].sample], &v[i], err);
    im->images = (int)k.n;
    for (size_t i = 0; i < k.n; i++)
        ot_free(k.key[i]);
    for (int i = 0; name && i < n_names; i++)
        ot_free(name[i]);
    ot_free(name);
    ot_free(k.key);
    ot_free(v);
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int import(struct ot_import *im, struct ot_err *err)
{
    char *text;
    size_t n;
    int rc;

    if (ot_is_dir(im->file))
        return ot_import_voc_folder(im, im->file, err);
    if (ot_ends_with(im->file, ".xml"))
        return ot_import_voc(im, im->file, err);
    if (ot_ends_with(im->file, ".jsonl"))
        return json_lines(im, err);
    if (!ot_ends_with(im->file, ".json"))
        return ot_fail(err, OT_EUSAGE,
                       "'%s': must be a folder of *.xml (VOC), *.xml, *.json (COCO) or *.jsonl",
                       im->file);
    text = ot_read_file(im->file, MOST_BYTES, &n, err);
    rc = text ? ot_import_coco(im, text, err) : err->code;
    ot_free(text);
    return rc;
}

static void report(const struct ot_import *im, const char *path)
{
    ot_out("%s: %d images: %d labels agree, %d differ and are relabelled in '%s'%s\n", im->file,
           im->images, im->same, im->relabelled, path,
           im->dry ? " (dry run: nothing is "
                     "written)"
                   : "");
    if (im->passed)
        ot_out("%d other verdicts were taken over\n", im->passed);
    if (im->missing)
        ot_out("%d images are not in the data set\n", im->missing);
    if (im->gone)
        ot_out("%d objects of the data set are not in the file: %s\n", im->gone,
               im->deleted ? "relabelled 0, the background" : "left as they are (--deleted)");
    if (im->added)
        ot_out("%d objects of the file are not in the data set: no verdict can add them\n",
               im->added);
}

int ot_pcmd_import(int argc, char **argv, struct ot_err *err)
{
    struct ot_import im = { .who = ot_say_user() };
    const char *pos[2], *db = NULL, *verdicts = NULL;
    const struct ot_data_opt own[] = { { "--db", OT_OPT_TEXT, &db },
                                       { "--who", OT_OPT_TEXT, &im.who },
                                       { "--verdicts", OT_OPT_TEXT, &verdicts },
                                       { "--deleted", OT_OPT_FLAG, &im.deleted },
                                       { "--dry-run", OT_OPT_FLAG, &im.dry },
                                       { 0 } };
    char path[1100];
    int rc;

    if (ot_data_options(own, argc, argv, pos, 2, 2, err) < 0)
        return err->code;
    im.file = pos[1];
    if (!ot_exists(im.file))
        return ot_fail(err, OT_ENOINPUT, "'%s': no such file or folder", im.file);
    if (ot_pdb_open(pos[0], &im.d, err) < 0)
        return err->code;
    (void)snprintf(path, sizeof path, "%s%s", verdicts ? verdicts : pos[0],
                   verdicts ? "" : ".verdicts");
    rc = ot_crops_open(&im.d, db, &im.crops, err);
    if (rc == 0) {
        if (!im.dry)
            rc = ot_say_open(&im.say, pos[0], verdicts, err);
        if (rc == 0)
            rc = import(&im, err);
        rc = ot_say_close(&im.say, rc, err);
        ot_crops_close(&im.crops);
    }
    if (rc == 0)
        report(&im, path);
    ot_labels_release(&im.labels);
    ot_free(im.obj);
    ot_pdb_close(&im.d);
    return rc;
}
