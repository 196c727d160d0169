/*
 * pool_import_files.c - Pascal VOC and COCO, as annotation tools write them.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tools/data_xml.h"
#include "tools/pool_import.h"
#include "tools/pool_json.h"

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

static int voc_objects(struct ot_import *im, const char *path, const struct ot_voc *v,
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
        if (ot_import_object(im, label, (o->side[OT_VOC_XMIN] - 1) / v->width,
                             (o->side[OT_VOC_YMIN] - 1) / v->height,
                             o->side[OT_VOC_XMAX] / v->width, o->side[OT_VOC_YMAX] / v->height,
                             err) < 0)
            return err->code;
    }
    return 0;
}

int ot_import_voc(struct ot_import *im, const char *path, struct ot_err *err)
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
        rc = ot_import_image(im, key, err);
    ot_voc_release(&v);
    return rc;
}

bool ot_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n > m && strcmp(text + n - m, end) == 0;
}

static int is_xml(const struct dirent *e)
{
    return ot_ends_with(e->d_name, ".xml");
}

int ot_import_voc_folder(struct ot_import *im, const char *folder, struct ot_err *err)
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
            rc = ot_import_voc(im, path, err);
        free(e[i]);
    }
    free(e);
    return rc;
}

/* ---- COCO ------------------------------------------------------------------------------------ */

/* By the name of the category where the pool has it, else by its number. */
static int coco_label(const struct ot_import *im, const struct ot_json *root, double category)
{
    for (const struct ot_json *c = ot_json_first(ot_json_get(root, "categories")); c; c = c->next)
        if (ot_json_num(ot_json_get(c, "id")) == category) {
            const char *name = ot_json_text(ot_json_get(c, "name"));

            return name ? ot_say_label(&im->d, name) : -1;
        }
    return -1;
}

static int coco_object(struct ot_import *im, const struct ot_json *root, const struct ot_json *a,
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
    return ot_import_object(im, label, b[0] / w, b[1] / h, (b[0] + b[2]) / w, (b[1] + b[3]) / h,
                            err);
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

static int coco_images(struct ot_import *im, const struct ot_json *root,
                       const struct coco_note *note, size_t n, struct ot_err *err)
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
            rc = ot_import_image(im, key, err);
    }
    return rc;
}

int ot_import_coco(struct ot_import *im, const char *text, struct ot_err *err)
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
