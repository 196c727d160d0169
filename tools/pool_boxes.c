/*
 * pool_boxes.c - labels for annotation tools: Pascal VOC files, one COCO file.
 *
 * Every image that is spoken of is written with all its objects, so that a tool shows them in their
 * surroundings.  A relabel is applied; an object that is mislabelled, ignored or suspected keeps
 * its label and says so in an element of its own, which tools pass over.  An image without boxes is
 * one object as large as itself.  Claims about background and tiles have no object and are left
 * out. Source: VOC2007's annotations (1-based, inclusive); https://cocodataset.org/#format-data.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "tools/pool_labels.h"

struct object {
    struct ot_record_box box;
    const struct ot_claim *claim; /* NULL: nobody says anything */
    double x0, y0, x1, y1;        /* pixels */
    int slot;
};

/* The claims of one image lie side by side; *first is moved behind them. */
static struct object object_at(const struct ot_labels *l, const struct ot_claim *claims, size_t n,
                               int slot)
{
    struct object o = { .box = ot_labels_at(l, slot), .slot = slot };

    o.x0 = (double)o.box.xmin * l->width;
    o.y0 = (double)o.box.ymin * l->height;
    o.x1 = (double)o.box.xmax * l->width;
    o.y1 = (double)o.box.ymax * l->height;
    for (size_t i = 0; i < n; i++)
        if (claims[i].kind == !l->image && claims[i].slot == slot)
            o.claim = &claims[i];
    if (o.claim && o.claim->label >= 0)
        o.box.label = o.claim->label;
    return o;
}

static size_t run_of(const struct ot_claims *c, size_t at)
{
    size_t n = 1;

    while (at + n < c->n && strcmp(c->v[at].key, c->v[at + n].key) == 0)
        n++;
    return n;
}

static bool speaks_of_objects(const struct ot_claim *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].kind <= 1)
            return true;
    return false;
}

/* Calls put() with the labels and the claims of each image that is in the data set. */
static int each_image(struct ot_crops *crops, const struct ot_claims *c,
                      int (*put)(void *ctx, const char *key, const struct ot_labels *l,
                                 const struct ot_claim *claims, size_t n, struct ot_err *err),
                      void *ctx, int *count, struct ot_err *err)
{
    struct ot_labels l = { 0 };
    int rc = 0;

    *count = 0;
    for (size_t i = 0, n; rc >= 0 && i < c->n; i += n) {
        n = run_of(c, i);
        if (!speaks_of_objects(&c->v[i], n))
            continue;
        rc = ot_labels_get(crops, c->v[i].key, &l, err);
        if (rc > 0) {
            rc = put(ctx, c->v[i].key, &l, &c->v[i], n, err);
            ++*count;
        }
    }
    ot_labels_release(&l);
    return rc < 0 ? rc : 0;
}

/* ---- Pascal VOC ------------------------------------------------------------------------------ */

static void xml(struct ot_str *s, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            ot_str_puts(s, "&lt;");
            break;
        case '>':
            ot_str_puts(s, "&gt;");
            break;
        case '&':
            ot_str_puts(s, "&amp;");
            break;
        default:
            if ((unsigned char)*text >= ' ')
                ot_str_add(s, text, 1);
        }
}

struct voc {
    const struct ot_pdb *d;
    const char *folder;
    struct ot_str text, path;
};

static void voc_claim(const struct ot_pdb *d, const struct ot_claim *c, struct ot_str *s)
{
    char name[128];

    ot_str_printf(s, "    <verdict>%s</verdict>\n", c->verdict);
    if (c->pred >= 0) {
        ot_str_puts(s, "    <model_says>");
        xml(s, ot_pdb_class(d, c->pred, name, sizeof name));
        ot_str_printf(s, "</model_says>\n    <conf>%.4f</conf>\n", c->conf);
    }
}

static void voc_object(const struct ot_pdb *d, const struct object *o, struct ot_str *s)
{
    char name[128];

    ot_str_puts(s, "  <object>\n    <name>");
    xml(s, ot_pdb_class(d, o->box.label, name, sizeof name));
    ot_str_printf(s,
                  "</name>\n    <difficult>%d</difficult>\n    <bndbox><xmin>%.7g</xmin>"
                  "<ymin>%.7g</ymin><xmax>%.7g</xmax><ymax>%.7g</ymax></bndbox>\n",
                  o->box.difficult, o->x0 + 1, o->y0 + 1, o->x1, o->y1);
    if (o->claim)
        voc_claim(d, o->claim, s);
    ot_str_puts(s, "  </object>\n");
}

static int voc_put(void *ctx, const char *key, const struct ot_labels *l,
                   const struct ot_claim *claims, size_t n, struct ot_err *err)
{
    struct voc *v = ctx;

    ot_str_clear(&v->path);
    ot_str_printf(&v->path, "%s/", v->folder);
    for (const char *p = key; *p; p++) /* a key is a path in some data sets */
        if (*p == '/' || *p == '%')
            ot_str_printf(&v->path, "%%%02X", *p);
        else
            ot_str_add(&v->path, p, 1);
    ot_str_puts(&v->path, ".xml");
    ot_str_clear(&v->text);
    ot_str_puts(&v->text, "<annotation>\n  <filename>");
    xml(&v->text, key);
    ot_str_printf(&v->text, "</filename>\n  <size><width>%d</width><height>%d</height></size>\n",
                  l->width, l->height);
    for (int i = 0; i < ot_labels_count(l); i++) {
        struct object o = object_at(l, claims, n, i);

        voc_object(v->d, &o, &v->text);
    }
    ot_str_puts(&v->text, "</annotation>\n");
    if (ot_str_ok(&v->text, err) < 0 || ot_str_ok(&v->path, err) < 0)
        return err->code;
    return ot_write_file_atomic(v->path.buf, v->text.buf, v->text.len, err);
}

int ot_export_voc(const struct ot_pdb *d, struct ot_crops *c, const struct ot_claims *claims,
                  const char *folder, int *count, struct ot_err *err)
{
    struct voc v = { .d = d, .folder = folder };
    int rc = ot_mkdir_p(folder, err);

    if (rc == 0)
        rc = each_image(c, claims, voc_put, &v, count, err);
    ot_str_release(&v.text);
    ot_str_release(&v.path);
    return rc;
}

/* ---- COCO ------------------------------------------------------------------------------------ */

struct coco {
    const struct ot_pdb *d;
    struct ot_str images, annotations;
    int n_images, n_annotations;
};

static void coco_object(struct coco *c, const struct object *o)
{
    struct ot_str *s = &c->annotations;
    char name[128];
    double w = o->x1 - o->x0, h = o->y1 - o->y0;

    ot_str_printf(s,
                  "%s{\"id\":%d,\"image_id\":%d,\"category_id\":%d,\"bbox\":[%.7g,%.7g,%.7g,%.7g],"
                  "\"area\":%.7g,\"iscrowd\":0,\"slot\":%d",
                  c->n_annotations ? ",\n" : "", c->n_annotations + 1, c->n_images, o->box.label,
                  o->x0, o->y0, w, h, w * h, o->slot);
    c->n_annotations++;
    if (o->claim) {
        ot_str_printf(s, ",\"verdict\":\"%s\"", o->claim->verdict);
        if (o->claim->pred >= 0) {
            ot_str_puts(s, ",\"model_says\":\"");
            ot_str_json(s, ot_pdb_class(c->d, o->claim->pred, name, sizeof name));
            ot_str_printf(s, "\",\"conf\":%.4f", o->claim->conf);
        }
    }
    ot_str_puts(s, "}");
}

static int coco_put(void *ctx, const char *key, const struct ot_labels *l,
                    const struct ot_claim *claims, size_t n, struct ot_err *err)
{
    struct coco *c = ctx;

    ot_str_printf(&c->images, "%s{\"id\":%d,\"file_name\":\"", c->n_images ? ",\n" : "",
                  c->n_images + 1);
    c->n_images++;
    ot_str_json(&c->images, key);
    ot_str_printf(&c->images, "\",\"width\":%d,\"height\":%d}", l->width, l->height);
    for (int i = 0; i < ot_labels_count(l); i++) {
        struct object o = object_at(l, claims, n, i);

        coco_object(c, &o);
    }
    return ot_str_ok(&c->images, err) < 0 ? err->code : ot_str_ok(&c->annotations, err);
}

static int coco_categories(const struct ot_pdb *d, struct ot_str *out, struct ot_err *err)
{
    sqlite3_stmt *s = ot_pdb_query(d, err,
                                   "SELECT l.label, coalesce(c.name,l.label) FROM (SELECT label "
                                   "FROM "
                                   "class UNION SELECT label FROM inst UNION SELECT new_label FROM "
                                   "verdict WHERE new_label IS NOT NULL) l LEFT JOIN class c "
                                   "USING(label) ORDER BY 1");
    int rc, n = 0;

    if (!s)
        return err->code;
    while ((rc = ot_pdb_step(d, s, err)) > 0) {
        ot_str_printf(out, "%s{\"id\":%d,\"name\":\"", n++ ? ",\n" : "", sqlite3_column_int(s, 0));
        ot_str_json(out, ot_pdb_str(s, 1));
        ot_str_puts(out, "\"}");
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int ot_export_coco(const struct ot_pdb *d, struct ot_crops *crops, const struct ot_claims *claims,
                   struct ot_str *out, int *count, struct ot_err *err)
{
    struct coco c = { .d = d };
    int rc = each_image(crops, claims, coco_put, &c, count, err);

    if (rc == 0) {
        ot_str_puts(out, "{\"info\":{\"description\":\"labels of a pool of ohemtrain\"},\n"
                         "\"images\":[");
        ot_str_add(out, c.images.buf ? c.images.buf : "", c.images.len);
        ot_str_puts(out, "],\n\"annotations\":[");
        ot_str_add(out, c.annotations.buf ? c.annotations.buf : "", c.annotations.len);
        ot_str_puts(out, "],\n\"categories\":[");
        rc = coco_categories(d, out, err);
        ot_str_puts(out, "]}\n");
    }
    ot_str_release(&c.images);
    ot_str_release(&c.annotations);
    return rc < 0 ? rc : ot_str_ok(out, err);
}
