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
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "mining/overlay.h"
#include "tools/data_xml.h"
#include "tools/pool_cmd.h"
#include "tools/pool_json.h"
#include "tools/pool_labels.h"
#include "tools/pool_say.h"

enum { MOST_BYTES = 1 << 30 };

struct found { /* an object as the file has it; fractions */
    int label;
    double x0, y0, x1, y1;
};

struct import {
    struct ot_pdb d;
    struct ot_crops crops;
    struct ot_say say;
    struct ot_labels labels; /* of the image at work */
    struct found *obj;
    size_t n, cap;
    const char *who, *file;
    bool deleted, dry;
    /* counts */
    int images, missing, same, relabelled, added, gone, passed;
};

/* ---- one image ------------------------------------------------------------------------------- */

static int put(struct import *im, const char *key, int kind, int slot, const char *verdict,
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

static double overlap(const struct found *f, const struct ot_record_box *b)
{
    double w = fmin(f->x1, (double)b->xmax) - fmax(f->x0, (double)b->xmin);
    double h = fmin(f->y1, (double)b->ymax) - fmax(f->y0, (double)b->ymin);
    double in = w > 0 && h > 0 ? w * h : 0;
    double all = (f->x1 - f->x0) * (f->y1 - f->y0) +
                 ((double)b->xmax - (double)b->xmin) * ((double)b->ymax - (double)b->ymin) - in;

    return all > 0 ? in / all : 0;
}

/* The object of the file for a slot: the best one that is not taken; -1: none. */
static int partner(const struct import *im, const struct ot_record_box *b, const bool *taken)
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

static int compare(struct import *im, const char *key, bool *taken, struct ot_err *err)
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
static int take_image(struct import *im, const char *key, struct ot_err *err)
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

static int add_object(struct import *im, int label, double x0, double y0, double x1, double y1,
                      struct ot_err *err)
{
    if (ot_grow(&im->obj, &im->cap, im->n + 1, sizeof *im->obj, err) < 0)
        return err->code;
    im->obj[im->n++] = (struct found){ label, x0, y0, x1, y1 };
    return 0;
}

/* ---- Pascal VOC ------------------------------------------------------------------------------ */

/* "a%2Fb.xml" is about "a/b". */
static void key_of(const char *name, size_t n, char *key, size_t room)
{
    size_t at = 0;

    for (size_t i = 0; i < n && at + 1 < room; i++)
        if (name[i] == '%' && i + 2 < n &&
            (memcmp(name + i, "%2F", 3) == 0 || memcmp(name + i, "%25", 3) == 0)) {
            key[at++] = name[i + 2] == 'F' ? '/' : '%';
            i += 2;
        } else {
            key[at++] = name[i];
        }
    key[at] = '\0';
}

static int voc_objects(struct import *im, const char *path, const struct ot_voc *v,
                       struct ot_err *err)
{
    im->n = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct ot_voc_object *o = &v->object[i];
        int label = o->name ? ot_say_label(&im->d, o->name) : -1;
        struct ot_loc at = { path, o->line, 0 };

        if (label < 0)
            return ot_fail_at(err, at, OT_EDATA,
                              "object: name must be one of the pool's classes, "
                              "got '%s'",
                              o->name ? o->name : "");
        if (o->bad || !o->has[0] || !o->has[1] || !o->has[2] || !o->has[3])
            return ot_fail_at(err, at, OT_EDATA, "object '%s': wants four sides, got '%s'", o->name,
                              o->bad ? o->bad : "less");
        if (add_object(im, label, (o->side[OT_VOC_XMIN] - 1) / v->width,
                       (o->side[OT_VOC_YMIN] - 1) / v->height, o->side[OT_VOC_XMAX] / v->width,
                       o->side[OT_VOC_YMAX] / v->height, err) < 0)
            return err->code;
    }
    return 0;
}

static int voc_file(struct import *im, const char *path, struct ot_err *err)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct ot_voc v;
    char key[512];
    int rc = ot_voc_read(path, &v, err);

    if (rc < 0)
        return rc;
    if (!v.has_size || !(v.width >= 1) || !(v.height >= 1))
        rc = ot_fail(err, OT_EDATA,
                     "%s: size: wants width and height of the image, got "
                     "none",
                     path);
    if (rc == 0)
        rc = voc_objects(im, path, &v, err);
    key_of(base, strlen(base) - strlen(".xml"), key, sizeof key);
    if (rc == 0)
        rc = take_image(im, key, err);
    ot_voc_release(&v);
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n > m && strcmp(text + n - m, end) == 0;
}

static int is_xml(const struct dirent *e)
{
    return ends_with(e->d_name, ".xml");
}

static int voc_folder(struct import *im, const char *folder, struct ot_err *err)
{
    struct dirent **e = NULL;
    int n = scandir(folder, &e, is_xml, alphasort), rc = 0;

    if (n < 0)
        return ot_fail_sys(err, OT_OK, errno, "'%s'", folder);
    if (n == 0)
        rc = ot_fail(err, OT_EDATA, "'%s': must have files *.xml, got none", folder);
    for (int i = 0; i < n; i++) {
        char path[1200];

        (void)snprintf(path, sizeof path, "%s/%s", folder, e[i]->d_name);
        if (rc == 0)
            rc = voc_file(im, path, err);
        free(e[i]);
    }
    free(e);
    return rc;
}

/* ---- COCO ------------------------------------------------------------------------------------ */

/* By the name of the category where the pool has it, else by its number. */
static int coco_label(const struct import *im, const struct ot_json *root, double category)
{
    for (const struct ot_json *c = ot_json_first(ot_json_get(root, "categories")); c; c = c->next)
        if (ot_json_num(ot_json_get(c, "id")) == category) {
            const char *name = ot_json_text(ot_json_get(c, "name"));

            return name ? ot_say_label(&im->d, name) : -1;
        }
    return -1;
}

static int coco_object(struct import *im, const struct ot_json *root, const struct ot_json *a,
                       double w, double h, struct ot_err *err)
{
    const struct ot_json *side = ot_json_first(ot_json_get(a, "bbox"));
    struct ot_loc at = { im->file, a->line, 0 };
    int label = coco_label(im, root, ot_json_num(ot_json_get(a, "category_id")));
    double b[4];

    for (int i = 0; i < 4; i++, side = side ? side->next : NULL) {
        b[i] = ot_json_num(side);
        if (isnan(b[i]))
            return ot_fail_at(err, at, OT_EDATA, "annotation: bbox: wants four numbers, got %d", i);
    }
    if (label < 0)
        return ot_fail_at(err, at, OT_EDATA,
                          "annotation: category_id must name one of the pool's classes, got %g",
                          ot_json_num(ot_json_get(a, "category_id")));
    return add_object(im, label, b[0] / w, b[1] / h, (b[0] + b[2]) / w, (b[1] + b[3]) / h, err);
}

struct coco_note {
    double image;
    const struct ot_json *a;
    int order;
};

static int by_image(const void *pa, const void *pb)
{
    const struct coco_note *a = pa, *b = pb;

    if (a->image != b->image)
        return a->image < b->image ? -1 : 1;
    return a->order - b->order;
}

static int coco_images(struct import *im, const struct ot_json *root, const struct coco_note *note,
                       size_t n, struct ot_err *err)
{
    int rc = 0;

    for (const struct ot_json *i = ot_json_first(ot_json_get(root, "images")); i && rc == 0;
         i = i->next) {
        const char *key = ot_json_text(ot_json_get(i, "file_name"));
        double id = ot_json_num(ot_json_get(i, "id")), w = ot_json_num(ot_json_get(i, "width")),
               h = ot_json_num(ot_json_get(i, "height"));
        size_t lo = 0, hi = n;

        if (!key || isnan(id) || !(w >= 1) || !(h >= 1))
            return ot_fail_at(err, ((struct ot_loc){ im->file, i->line, 0 }), OT_EDATA,
                              "image: wants id, file_name, width and height, got less");
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;

            if (note[mid].image < id)
                lo = mid + 1;
            else
                hi = mid;
        }
        im->n = 0;
        for (; rc == 0 && lo < n && note[lo].image == id; lo++)
            rc = coco_object(im, root, note[lo].a, w, h, err);
        if (rc == 0)
            rc = take_image(im, key, err);
    }
    return rc;
}

static int coco(struct import *im, const char *text, struct ot_err *err)
{
    struct coco_note *note = NULL;
    struct ot_json_doc doc;
    size_t n = 0, cap = 0;
    int rc = ot_json_parse(im->file, text, &doc, err);

    if (rc < 0)
        return rc;
    if (!ot_json_get(doc.root, "images") || !ot_json_get(doc.root, "annotations"))
        rc = ot_fail(err, OT_EDATA, "%s: wants members images and annotations of COCO, got none",
                     im->file);
    for (const struct ot_json *a = ot_json_first(ot_json_get(doc.root, "annotations"));
         rc == 0 && a; a = a->next) {
        rc = ot_grow(&note, &cap, n + 1, sizeof *note, err);
        if (rc == 0) {
            note[n] = (struct coco_note){ ot_json_num(ot_json_get(a, "image_id")), a, (int)n };
            if (isnan(note[n].image))
                note[n].image = -1;
            n++;
        }
    }
    if (n)
        qsort(note, n, sizeof *note, by_image);
    if (rc == 0)
        rc = coco_images(im, doc.root, note, n, err);
    ot_free(note);
    ot_json_release(&doc);
    return rc;
}

/* ---- JSON Lines ------------------------------------------------------------------------------ */

struct names { /* keys that were asked for, by order */
    struct import *im;
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

static int take_line(struct import *im, const char *key, const struct ot_verdict *v,
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
static int class_names(const struct import *im, char ***name, int *n, struct ot_err *err)
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

static int json_lines(struct import *im, struct ot_err *err)
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

static int import(struct import *im, struct ot_err *err)
{
    char *text;
    size_t n;
    int rc;

    if (ot_is_dir(im->file))
        return voc_folder(im, im->file, err);
    if (ends_with(im->file, ".xml"))
        return voc_file(im, im->file, err);
    if (ends_with(im->file, ".jsonl"))
        return json_lines(im, err);
    if (!ends_with(im->file, ".json"))
        return ot_fail(err, OT_EUSAGE,
                       "'%s': must be a folder of *.xml (VOC), *.xml, *.json (COCO) or *.jsonl",
                       im->file);
    text = ot_read_file(im->file, MOST_BYTES, &n, err);
    rc = text ? coco(im, text, err) : err->code;
    ot_free(text);
    return rc;
}

static void report(const struct import *im, const char *path)
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
    struct import im = { .who = ot_say_user() };
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
