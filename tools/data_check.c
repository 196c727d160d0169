/*
 * data_check.c - `ohemdata check` decodes every record and names the bad ones; `ohemdata get`
 * draws one.  Both say what a loader would stumble over.
 */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/data_sheet.h"
#include "tools/data_walk.h"

struct check {
    size_t records, bad;
    struct ot_image image;
};

static int check_values(struct check *c, const Caffe__Datum *d, struct ot_err *err)
{
    uint64_t want;

    if (d->encoded || !d->n_float_data) {
        int rc = ot_data_decode(d, &c->image, err);

        if (rc == 0 && d->encoded && d->has_height && d->has_width && d->height && d->width &&
            (d->height != c->image.height || d->width != c->image.width))
            return ot_fail(err, OT_EDATA, "says %dx%d (HxW) but the image is %dx%d", d->height,
                           d->width, c->image.height, c->image.width);
        if (rc != OT_ENOTSUP)
            return rc;
        *err = (struct ot_err)OT_ERR_INIT; /* not an image: only the size can be judged */
    }
    if (d->channels < 1 || d->height < 1 || d->width < 1)
        return ot_fail(err, OT_EDATA, "shape must be positive, got %dx%dx%d", d->channels,
                       d->height, d->width);
    want = (uint64_t)d->channels * (uint64_t)d->height * (uint64_t)d->width;
    if (want != (d->n_float_data ? d->n_float_data : d->data.len))
        return ot_fail(err, OT_EDATA, "shape %dx%dx%d wants %llu values, got %zu", d->channels,
                       d->height, d->width, (unsigned long long)want,
                       d->n_float_data ? d->n_float_data : d->data.len);
    return 0;
}

static int check_boxes(const Caffe__AnnotatedDatum *a, struct ot_err *err)
{
    for (size_t g = 0; g < a->n_annotation_group; g++) {
        const Caffe__AnnotationGroup *group = a->annotation_group[g];

        if (group->group_label < 1)
            return ot_fail(err, OT_EDATA, "group %zu: label must be >= 1, got %d", g,
                           group->group_label);
        for (size_t k = 0; k < group->n_annotation; k++) {
            const Caffe__NormalizedBBox *b = group->annotation[k]->bbox;

            if (!b)
                return ot_fail(err, OT_EDATA, "group %zu: annotation %zu has no box", g, k);
            if (!(b->xmin >= 0 && b->ymin >= 0 && b->xmax <= 1 && b->ymax <= 1 &&
                  b->xmin < b->xmax && b->ymin < b->ymax))
                return ot_fail(err, OT_EDATA,
                               "group %zu: box must be inside the image and not empty, "
                               "got (%g, %g)-(%g, %g)",
                               g, (double)b->xmin, (double)b->ymin, (double)b->xmax,
                               (double)b->ymax);
        }
    }
    return 0;
}

static int visit(void *user, struct ot_bytes key, struct ot_bytes value, struct ot_err *err)
{
    struct check *c = user;
    struct ot_err bad = OT_ERR_INIT;
    struct ot_data_record r;
    char name[600];
    int rc = ot_data_parse(value, &r, &bad);

    (void)err;
    if (rc == 0) {
        rc = check_values(c, r.datum, &bad);
        if (rc == 0 && r.ann)
            rc = check_boxes(r.ann, &bad);
        ot_data_record_release(&r);
    }
    c->records++;
    if (rc < 0) {
        (void)ot_err_wrap(&bad, "key '%s'", ot_data_key(key, name, sizeof name));
        ot_data_report(&bad);
        c->bad++;
    }
    return 0;
}

int ot_data_check(int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt none[] = { { NULL, OT_OPT_FLAG, NULL } };
    struct check c = { 0 };
    const char *pos[1];
    int rc;

    if (ot_data_options(none, argc, argv, pos, 1, 1, err) < 0)
        return err->code;
    rc = ot_data_walk(pos[0], visit, &c, err);
    ot_image_release(&c.image);
    if (rc == 0)
        ot_out("%s: %zu records, %zu bad\n", pos[0], c.records, c.bad);
    if (rc == 0 && c.bad)
        rc = ot_fail(err, OT_EDATA, "'%s': every record must be readable, got %zu bad of %zu",
                     pos[0], c.bad, c.records);
    return rc;
}

/* ---- get ----------------------------------------------------------------------------------- */

static int collect_boxes(const struct ot_data_record *r, const struct ot_image *im,
                         const struct ot_data_names *names, struct ot_data_box **box, int *n,
                         struct ot_err *err)
{
    size_t cap = 0;

    for (size_t g = 0; r->ann && g < r->ann->n_annotation_group; g++) {
        const Caffe__AnnotationGroup *group = r->ann->annotation_group[g];
        int label = group->group_label;

        for (size_t k = 0; k < group->n_annotation; k++) {
            const Caffe__NormalizedBBox *b = group->annotation[k]->bbox;

            if (!b || !(b->xmin >= 0 && b->ymin >= 0 && b->xmax <= 1 && b->ymax <= 1))
                continue;
            if (ot_grow(box, &cap, (size_t)*n + 1, sizeof **box, err) < 0)
                return err->code;
            (*box)[(*n)++] = (struct ot_data_box){
                (int)(b->xmin * (float)im->width + 0.5f),
                (int)(b->ymin * (float)im->height + 0.5f),
                (int)(b->xmax * (float)im->width - 0.5f),
                (int)(b->ymax * (float)im->height - 0.5f),
                label,
                b->difficult != 0,
                label >= 0 && label < names->n ? names->name[label] : NULL,
            };
        }
    }
    return 0;
}

static int draw_record(struct ot_bytes value, const char *db, const char *out, struct ot_err *err)
{
    struct ot_data_names names = { 0 };
    struct ot_data_record r;
    struct ot_data_box *box = NULL;
    struct ot_image im = { 0 }, drawn = { 0 };
    char path[1024];
    int n = 0, rc = ot_data_parse(value, &r, err);

    if (rc < 0)
        return rc;
    rc = ot_data_decode(r.datum, &im, err);
    if (rc == 0)
        rc = ot_data_read_classes(ot_path_join(path, sizeof path, db, "classes.txt"), &names, err);
    if (rc == 0)
        rc = collect_boxes(&r, &im, &names, &box, &n, err);
    if (rc == 0)
        rc = ot_data_draw(&im, im.width < 320 ? 3 : 1, box, n, &drawn, err);
    if (rc == 0)
        rc = ot_image_write_png(&drawn, out, err);
    if (rc == 0)
        ot_out("%s: %dx%d, label %d, %d boxes\n", out, im.width, im.height, r.datum->label, n);
    ot_free(box);
    ot_image_release(&im);
    ot_image_release(&drawn);
    ot_data_names_release(&names);
    ot_data_record_release(&r);
    return rc;
}

int ot_data_get(int argc, char **argv, struct ot_err *err)
{
    const struct ot_data_opt none[] = { { NULL, OT_OPT_FLAG, NULL } };
    struct ot_db_cursor *c;
    struct ot_bytes value = { 0 };
    struct ot_db *db;
    const char *pos[3];
    int rc;

    if (ot_data_options(none, argc, argv, pos, 3, 3, err) < 0)
        return err->code;
    db = ot_db_open(pos[0], err);
    if (!db)
        return err->code;
    c = ot_db_cursor_new(db, err);
    rc = c ? ot_db_get(c, (struct ot_bytes){ pos[1], strlen(pos[1]) }, &value, err)
           : (int)err->code;
    if (rc > 0)
        rc = draw_record(value, pos[0], pos[2], err);
    else if (rc == 0)
        rc = ot_fail(err, OT_ENOINPUT, "'%s': no key '%s'", pos[0], pos[1]);
    if (c)
        ot_db_cursor_free(c);
    ot_db_close(db);
    return rc;
}
