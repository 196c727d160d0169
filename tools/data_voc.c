/*
 * data_voc.c - `ohemdata voc`: a Pascal VOC tree to an LMDB of AnnotatedDatum.
 *
 * A fault of an object costs the object, a fault of an image costs the image; each is reported
 * with the file and line to blame and counted, and with --on-error fail the first one ends the
 * run.  A box that reaches over the border is clipped with a warning as long as half of it is
 * inside.  The image is stored as the file's own bytes, after it has been decoded once.
 */
#include "tools/data_voc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/data_cmd.h"
#include "tools/data_xml.h"

enum { MAX_LIST = 64 << 20, MAX_IMAGE = 256 << 20 };

/* ---- classes ------------------------------------------------------------------------------- */

static int class_id(const struct voc_job *j, const char *name)
{
    for (size_t i = 0; i < j->n_classes; i++)
        if (strcmp(j->class_name[i], name) == 0)
            return (int)i + 1;
    return 0;
}

static int add_class(struct voc_job *j, const char *name, size_t len, struct ot_err *err)
{
    char *copy = ot_arena_printf(&j->arena, err, "%.*s", (int)len, name);

    if (!copy ||
        ot_grow(&j->class_name, &j->class_cap, j->n_classes + 1, sizeof *j->class_name, err) < 0)
        return err->code;
    if (!*copy || strcmp(copy, "background") == 0)
        return ot_fail(err, OT_EUSAGE, "--classes: a class must have a name of its own, got '%s'",
                       copy);
    if (class_id(j, copy))
        return ot_fail(err, OT_EUSAGE, "--classes: '%s' is there twice", copy);
    j->class_name[j->n_classes++] = copy;
    return 0;
}

static int classes_from_text(struct voc_job *j, const char *list, struct ot_err *err)
{
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");

        if (add_class(j, p, n, err) < 0)
            return err->code;
        p += n;
        if (!*p)
            return 0;
    }
}

static int classes_from_file(struct voc_job *j, const char *path, struct ot_err *err)
{
    struct ot_data_names names;
    int rc = 0;

    if (!ot_exists(path))
        return ot_fail(err, OT_ENOINPUT, "--classes: no such file, got '%s'", path);
    if (ot_data_read_classes(path, &names, err) < 0)
        return err->code;
    if (names.n < 2 || strcmp(names.name[0], "background") != 0)
        rc = ot_fail(err, OT_EDATA, "'%s': wants 'background' and then class names, got %d lines",
                     path, names.n);
    for (int i = 1; i < names.n && rc == 0; i++)
        rc = add_class(j, names.name[i], strlen(names.name[i]), err);
    ot_data_names_release(&names);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every name in the set, in byte order; files that cannot be read are reported later. */
static int classes_from_set(struct voc_job *j, struct ot_err *err)
{
    for (size_t i = 0; i < j->n_ids; i++) {
        struct ot_err ignored = OT_ERR_INIT;
        struct ot_voc v;
        char path[1024];

        (void)snprintf(path, sizeof path, "%s/Annotations/%s.xml", j->root, j->id[i].name);
        if (ot_voc_read(path, &v, &ignored) < 0)
            continue;
        for (size_t k = 0; k < v.n; k++) {
            const char *name = v.object[k].name;

            if (!name || !*name || strcmp(name, "background") == 0 || class_id(j, name))
                continue;
            if (add_class(j, name, strlen(name), err) < 0) {
                ot_voc_release(&v);
                return err->code;
            }
        }
        ot_voc_release(&v);
    }
    if (!j->n_classes)
        return ot_fail(err, OT_EDATA, "'%s': no object with a name in %zu annotations", j->list,
                       j->n_ids);
    qsort(j->class_name, j->n_classes, sizeof *j->class_name, by_name);
    return 0;
}

/* ---- the list of images -------------------------------------------------------------------- */

static int read_ids(struct voc_job *j, struct ot_err *err)
{
    size_t n = 0, cap = 0;
    char *text = ot_read_file(j->list, MAX_LIST, &n, err);
    int line = 1, rc = text ? 0 : (int)err->code;

    for (const char *p = text; rc == 0 && *p; line++) {
        size_t len = strcspn(p, "\n"), skip = strspn(p, " \t"), word;

        skip = skip < len ? skip : len;
        word = strcspn(p + skip, " \t\r\n");
        if (word) {
            rc = ot_grow(&j->id, &cap, j->n_ids + 1, sizeof *j->id, err);
            if (rc == 0) {
                char *name = ot_arena_printf(&j->arena, err, "%.*s", (int)word, p + skip);

                j->id[j->n_ids++] = (struct voc_id){ name, line };
                rc = name ? 0 : (int)err->code;
            }
        }
        p += len + (p[len] == '\n');
    }
    ot_free(text);
    if (rc == 0 && !j->n_ids)
        rc = ot_fail(err, OT_EDATA, "'%s': lists no image", j->list);
    return rc;
}

/* ---- objects ------------------------------------------------------------------------------- */

/* Faults of what is written, before the picture comes into it. */
static int check_fields(const struct voc_job *j, const char *file, const struct ot_voc_object *o,
                        struct ot_err *err)
{
    static const char *const side[] = { "xmin", "ymin", "xmax", "ymax" };
    struct ot_loc at = { file, o->line, 0 };
    struct ot_loc box_at = { file, o->box_line, 0 };

    if (!o->name || !*o->name)
        return ot_fail_at(err, at, OT_EDATA, "object has no name");
    if (!class_id(j, o->name)) {
        at.line = o->name_line;
        return ot_fail_at(err, at, OT_EDATA, "unknown class '%s'", o->name);
    }
    if (!o->box_line)
        return ot_fail_at(err, at, OT_EDATA, "object '%s' has no bndbox", o->name);
    if (o->bad) {
        box_at.line = o->bad_line;
        return ot_fail_at(err, box_at, OT_EDATA, "box of '%s': wants a number, got '%s'", o->name,
                          o->bad);
    }
    for (int i = 0; i < OT_VOC_SIDES; i++)
        if (!o->has[i])
            return ot_fail_at(err, box_at, OT_EDATA, "box of '%s' has no %s", o->name, side[i]);
    for (int i = 0; i < 2; i++) {
        if (o->side[i + 2] < o->side[i])
            return ot_fail_at(err, box_at, OT_EDATA, "box of '%s': %s must be > %s, got %g and %g",
                              o->name, side[i + 2], side[i], o->side[i + 2], o->side[i]);
        if (o->side[i + 2] == o->side[i])
            return ot_fail_at(err, box_at, OT_EDATA, "box of '%s' has zero size: %s = %s = %g",
                              o->name, side[i], side[i + 2], o->side[i]);
    }
    return 0;
}

/* Fills edge[] with 0-based half-open edges, clipped; *clipped says whether that changed them. */
static int check_place(const struct voc_job *j, const char *file, const struct ot_voc_object *o,
                       const struct ot_image *im, double edge[4], bool *clipped, struct ot_err *err)
{
    const double *s = o->side;
    struct ot_loc at = { file, o->box_line, 0 };
    double full = (s[2] - s[0] + 1) * (s[3] - s[1] + 1), w, h;

    edge[0] = fmax(s[0] - 1, 0);
    edge[1] = fmax(s[1] - 1, 0);
    edge[2] = fmin(s[2], im->width);
    edge[3] = fmin(s[3], im->height);
    w = edge[2] - edge[0];
    h = edge[3] - edge[1];
    if (w <= 0 || h <= 0 || w * h < 0.5 * full)
        return ot_fail_at(err, at, OT_EDATA,
                          "box of '%s' is outside the image of %dx%d, got (%g, %g)-(%g, %g)",
                          o->name, im->width, im->height, s[0], s[1], s[2], s[3]);
    if (w < j->min_size || h < j->min_size)
        return ot_fail_at(err, at, OT_EDATA, "box of '%s' is smaller than --min-size %d, got %gx%g",
                          o->name, j->min_size, w, h);
    *clipped = w * h < full;
    return 0;
}

/* Reported and counted; the run goes on only when that was asked. */
static int fault(struct voc_job *j, int *count, struct ot_err *err)
{
    if (j->fatal)
        return err->code;
    ot_data_report(err);
    (*count)++;
    *err = (struct ot_err)OT_ERR_INIT;
    return 0;
}

static int add_box(struct voc_job *j, const char *file, const struct ot_voc_object *o,
                   const struct ot_image *im, struct ot_err *err)
{
    struct voc_box *b;
    double edge[4] = { 0 };
    bool clipped = false;

    if (check_fields(j, file, o, err) < 0 || check_place(j, file, o, im, edge, &clipped, err) < 0)
        return fault(j, &j->count.bad_objects, err);
    if (clipped) {
        ot_data_note("%s:%d: warning: box of '%s' clipped to the image of %dx%d, was "
                     "(%g, %g)-(%g, %g)",
                     file, o->box_line, o->name, im->width, im->height, o->side[0], o->side[1],
                     o->side[2], o->side[3]);
        j->count.clipped++;
    }
    if (ot_grow(&j->box, &j->box_cap, j->n_boxes + 1, sizeof *j->box, err) < 0)
        return err->code;
    b = &j->box[j->n_boxes++];
    b->label = class_id(j, o->name);
    b->difficult = o->difficult;
    for (int i = 0; i < 4; i++)
        b->edge[i] = (float)(edge[i] / (i % 2 ? im->height : im->width));
    return 0;
}

/* ---- images -------------------------------------------------------------------------------- */

static int check_size(const char *file, const struct ot_voc *v, const struct ot_image *im,
                      struct ot_err *err)
{
    struct ot_loc at = { file, v->size_line, 0 };

    if (v->has_size && (v->width != im->width || v->height != im->height))
        return ot_fail_at(err, at, OT_EDATA, "size says %gx%g but the image is %dx%d", v->width,
                          v->height, im->width, im->height);
    return 0;
}

/* The image file of `id`, whichever suffix it has. */
static char *read_image(struct voc_job *j, const struct voc_id *id, size_t *n, struct ot_err *err)
{
    static const char *const suffix[] = { "jpg", "jpeg", "JPG", "png" };
    struct ot_loc at = { j->list, id->line, 0 };
    char path[1024], *bytes;

    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        struct ot_bytes file;

        (void)snprintf(path, sizeof path, "%s/JPEGImages/%s.%s", j->root, id->name, suffix[i]);
        if (!ot_exists(path))
            continue;
        bytes = ot_read_file(path, MAX_IMAGE, n, err);
        file = (struct ot_bytes){ bytes, *n };
        if (bytes && ot_image_decode(&j->image, file, 0, err) < 0) {
            (void)ot_err_wrap(err, "'%s'", path);
            ot_free(bytes);
            bytes = NULL;
        }
        if (!bytes)
            (void)ot_err_at(err, at);
        return bytes;
    }
    (void)ot_fail_at(err, at, OT_ENOINPUT, "no image '%s/JPEGImages/%s.jpg'", j->root, id->name);
    return NULL;
}

static int put_image(struct voc_job *j, const struct voc_id *id, const char *bytes, size_t n,
                     struct ot_err *err)
{
    char key[600];
    int len = snprintf(key, sizeof key, "%08zu_%s", j->ordinal, id->name);

    if (len > 511)
        return ot_fail(err, OT_EDATA, "a key has at most 511 bytes, got '%.40s...'", key);
    if (ot_voc_put(j, key, bytes, n, err) < 0)
        return err->code;
    j->count.written++;
    for (size_t i = 0; i < j->n_boxes; i++)
        j->count.difficult += j->box[i].difficult;
    j->count.boxes += (int)j->n_boxes;
    return 0;
}

static int convert_objects(struct voc_job *j, const char *file, const struct ot_voc *v,
                           struct ot_err *err)
{
    j->n_boxes = 0;
    for (size_t i = 0; i < v->n; i++)
        if (add_box(j, file, &v->object[i], &j->image, err) < 0)
            return err->code;
    return 0;
}

static int convert_one(struct voc_job *j, const struct voc_id *id, struct ot_err *err)
{
    struct ot_loc at = { j->list, id->line, 0 };
    struct ot_voc v;
    char file[1024], *bytes;
    size_t n = 0;
    int rc;

    (void)snprintf(file, sizeof file, "%s/Annotations/%s.xml", j->root, id->name);
    if (ot_voc_read(file, &v, err) < 0) {
        (void)ot_err_at(err, at);
        return fault(j, &j->count.bad_images, err);
    }
    bytes = read_image(j, id, &n, err);
    if (!bytes || check_size(file, &v, &j->image, err) < 0) {
        rc = fault(j, &j->count.bad_images, err);
    } else {
        rc = convert_objects(j, file, &v, err);
        if (rc == 0 && !j->n_boxes && !j->keep_empty) {
            ot_data_note("%s: warning: no usable object, image left out (--keep-empty keeps it)",
                         file);
            j->count.empty++;
        } else if (rc == 0) {
            rc = put_image(j, id, bytes, n, err);
        }
    }
    ot_free(bytes);
    ot_voc_release(&v);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------- */

static int convert_all(struct voc_job *j, struct ot_err *err)
{
    for (j->ordinal = 0; j->ordinal < j->n_ids; j->ordinal++)
        if (convert_one(j, &j->id[j->ordinal], err) < 0)
            return err->code;
    if (!j->count.written)
        return ot_fail(err, OT_EDATA, "'%s': none of %zu images can be used", j->list, j->n_ids);
    return 0;
}

static int prepare(struct voc_job *j, const char *set, const char *classes, struct ot_err *err)
{
    (void)snprintf(j->list, sizeof j->list, "%s/ImageSets/Main/%s.txt", j->root, set);
    if (read_ids(j, err) < 0)
        return err->code;
    if (strcmp(classes, "auto") == 0)
        return classes_from_set(j, err);
    return classes[0] == '@' ? classes_from_file(j, classes + 1, err)
                             : classes_from_text(j, classes, err);
}

static void summary(const struct voc_job *j, const char *out)
{
    const struct voc_count *c = &j->count;

    ot_out("%s: %d of %zu images, %d boxes of %zu classes, %d of them difficult\n", out, c->written,
           j->n_ids, c->boxes, j->n_classes, c->difficult);
    ot_out("left out: %d faulty images, %d without object, %d faulty objects; %d boxes clipped\n",
           c->bad_images, c->empty, c->bad_objects, c->clipped);
}

static int convert(struct voc_job *j, const char *out, bool force, struct ot_err *err)
{
    int rc;

    j->writer = ot_data_create(out, force, err);
    if (!j->writer)
        return err->code;
    rc = ot_data_finish(j->writer, convert_all(j, err), err);
    if (rc == 0)
        rc = ot_data_write_classes(out, (const char *const *)j->class_name, (int)j->n_classes, err);
    if (rc == 0)
        summary(j, out);
    return rc;
}

static void release(struct voc_job *j)
{
    ot_free(j->id);
    ot_free(j->class_name);
    ot_free(j->box);
    ot_image_release(&j->image);
    ot_str_release(&j->packed);
    ot_arena_release(&j->arena);
}

int ot_data_voc(int argc, char **argv, struct ot_err *err)
{
    const char *set = NULL, *out = NULL, *classes = "auto", *on_error = "skip";
    struct voc_job j = { .min_size = 1 };
    bool force = false;
    const struct ot_data_opt table[] = {
        { "--root", OT_OPT_TEXT, &j.root },
        { "--set", OT_OPT_TEXT, &set },
        { "--out", OT_OPT_TEXT, &out },
        { "--classes", OT_OPT_TEXT, &classes },
        { "--on-error", OT_OPT_TEXT, &on_error },
        { "--min-size", OT_OPT_INT, &j.min_size },
        { "--keep-empty", OT_OPT_FLAG, &j.keep_empty },
        { "--force", OT_OPT_FLAG, &force },
        { NULL, OT_OPT_FLAG, NULL },
    };
    int rc;

    if (ot_data_options(table, argc, argv, NULL, 0, 0, err) < 0)
        return err->code;
    if (!j.root || !set || !out)
        return ot_fail(err, OT_EUSAGE, "voc: --root, --set and --out are wanted, got no %s",
                       !j.root ? "--root"
                       : !set  ? "--set"
                               : "--out");
    j.fatal = strcmp(on_error, "fail") == 0;
    if (!j.fatal && strcmp(on_error, "skip") != 0)
        return ot_fail(err, OT_EUSAGE, "--on-error: must be skip or fail, got '%s'", on_error);
    rc = prepare(&j, set, classes, err);
    if (rc == 0)
        rc = convert(&j, out, force, err);
    release(&j);
    return rc;
}
