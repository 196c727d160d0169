/*
 * data_scenes.c - `ohemdata scenes`: a detection set made of IDX products.
 *
 * The seed is mixed with a hash of the labels, so that the same --seed with the train and the
 * test split draws different backgrounds and places, not only different products.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "tools/data_cmd.h"
#include "tools/data_idx.h"
#include "tools/data_scene.h"
#include "tools/data_sheet.h"

enum { N_CLASSES = 10, JPEG_QUALITY = 92 };

static const char *const class_names[N_CLASSES] = {
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
};

struct scenes_conf {
    const char *out, *images, *labels, *encode, *sheet;
    int count, size[2];
    uint64_t seed;
    bool force;
};

static int check_conf(const struct scenes_conf *c, struct ot_err *err)
{
    if (!c->out || !c->images || !c->labels)
        return ot_fail(err, OT_EUSAGE, "scenes: --out, --images and --labels are wanted, got no %s",
                       !c->out      ? "--out"
                       : !c->images ? "--images"
                                    : "--labels");
    if (c->count < 1)
        return ot_fail(err, OT_EUSAGE, "--count: must be >= 1, got %d", c->count);
    if (strcmp(c->encode, "none") != 0 && strcmp(c->encode, "png") != 0 &&
        strcmp(c->encode, "jpeg") != 0)
        return ot_fail(err, OT_EUSAGE, "--encode: must be none, png or jpeg, got '%s'", c->encode);
    return 0;
}

static int check_products(const struct scenes_conf *c, const struct ot_idx *im,
                          const struct ot_idx *lab, struct ot_err *err)
{
    int side = im->width > im->height ? im->width : im->height;
    int least = (side * 11 + 4) / 5; /* 2.2 times, rounded up */

    if (side > 256 || c->size[0] < least || c->size[1] < least)
        return ot_fail(err, OT_EUSAGE, "--size: products of %dx%d want at least %dx%d, got %dx%d",
                       im->width, im->height, least, least, c->size[0], c->size[1]);
    if ((int64_t)c->size[0] * c->size[1] > (int64_t)1 << 24)
        return ot_fail(err, OT_EUSAGE, "--size: at most 16 million pixels, got %dx%d", c->size[0],
                       c->size[1]);
    for (int i = 0; i < lab->count; i++)
        if (lab->byte[i] >= N_CLASSES)
            return ot_fail(err, OT_EDATA, "'%s': item %d: label must be < %d, got %d", c->labels, i,
                           N_CLASSES, lab->byte[i]);
    return 0;
}

/* ---- one record ---------------------------------------------------------------------------- */

/* The parts of an AnnotatedDatum with one group per box, wired together once. */
struct scene_record {
    Caffe__AnnotatedDatum ann;
    Caffe__Datum datum;
    Caffe__AnnotationGroup group[OT_SCENE_MAX_ITEMS], *groups[OT_SCENE_MAX_ITEMS];
    Caffe__Annotation note[OT_SCENE_MAX_ITEMS], *notes[OT_SCENE_MAX_ITEMS];
    Caffe__NormalizedBBox box[OT_SCENE_MAX_ITEMS];
};

static void record_init(struct scene_record *r)
{
    caffe__annotated_datum__init(&r->ann);
    caffe__datum__init(&r->datum);
    r->ann.datum = &r->datum;
    r->ann.has_type = 1;
    r->ann.type = CAFFE__ANNOTATED_DATUM__ANNOTATION_TYPE__BBOX;
    r->ann.annotation_group = r->groups;
    r->datum.has_channels = r->datum.has_height = r->datum.has_width = r->datum.has_data = 1;
    r->datum.has_encoded = 1;
    for (int i = 0; i < OT_SCENE_MAX_ITEMS; i++) {
        caffe__annotation_group__init(&r->group[i]);
        caffe__annotation__init(&r->note[i]);
        caffe__normalized_bbox__init(&r->box[i]);
        r->groups[i] = &r->group[i];
        r->notes[i] = &r->note[i];
        r->group[i].annotation = &r->notes[i];
        r->group[i].n_annotation = 1;
        r->group[i].has_group_label = 1;
        r->note[i].bbox = &r->box[i];
        r->note[i].has_instance_id = 1;
        r->box[i].has_xmin = r->box[i].has_ymin = r->box[i].has_xmax = r->box[i].has_ymax = 1;
        r->box[i].has_difficult = 1;
    }
}

static void record_fill(struct scene_record *r, const struct ot_scene *s)
{
    float w = (float)s->image.width, h = (float)s->image.height;

    r->ann.n_annotation_group = (size_t)s->n_items;
    r->datum.channels = 3;
    r->datum.height = s->image.height;
    r->datum.width = s->image.width;
    for (int i = 0; i < s->n_items; i++) {
        const struct ot_scene_item *it = &s->item[i];

        r->group[i].group_label = it->label + 1;
        r->note[i].instance_id = i;
        r->box[i].xmin = (float)it->x1 / w;
        r->box[i].ymin = (float)it->y1 / h;
        r->box[i].xmax = (float)(it->x2 + 1) / w;
        r->box[i].ymax = (float)(it->y2 + 1) / h;
        r->box[i].difficult = it->difficult;
    }
}

static int put_scene(struct ot_db_writer *w, const char *encode, const struct ot_scene *s,
                     uint64_t ordinal, struct scene_record *r, struct ot_str *buf,
                     struct ot_err *err)
{
    unsigned char *file = NULL;
    struct ot_str chw = { 0 };
    char key[32];
    size_t n = 0;
    int rc;

    record_fill(r, s);
    if (strcmp(encode, "none") == 0) {
        rc = ot_data_chw(&s->image, &chw, err);
        r->datum.data = (ProtobufCBinaryData){ chw.len, (uint8_t *)chw.buf };
        r->datum.encoded = 0;
    } else {
        rc = strcmp(encode, "png") == 0
                 ? ot_image_encode_png(&s->image, &file, &n, err)
                 : ot_image_encode_jpeg(&s->image, JPEG_QUALITY, &file, &n, err);
        r->datum.data = (ProtobufCBinaryData){ n, file };
        r->datum.encoded = 1;
    }
    (void)snprintf(key, sizeof key, "%08llu", (unsigned long long)ordinal);
    if (rc == 0)
        rc = ot_data_put(w, key, &r->ann.base, buf, err);
    ot_free(file);
    ot_str_release(&chw);
    return rc;
}

/* ---- the set ------------------------------------------------------------------------------- */

struct tally {
    int boxes, difficult;
};

static int sheet_add(struct ot_sheet *sheet, const struct ot_scene *s, struct ot_err *err)
{
    struct ot_data_box box[OT_SCENE_MAX_ITEMS];

    for (int i = 0; i < s->n_items; i++) {
        const struct ot_scene_item *it = &s->item[i];

        box[i] = (struct ot_data_box){
            it->x1, it->y1, it->x2, it->y2, it->label + 1, it->difficult, class_names[it->label]
        };
    }
    return ot_sheet_add(sheet, &s->image, box, s->n_items, err);
}

static int put_scenes(struct ot_db_writer *w, const struct scenes_conf *c, const struct ot_idx *im,
                      const struct ot_idx *lab, struct ot_sheet *sheet, struct tally *tally,
                      struct ot_err *err)
{
    uint64_t seed = c->seed ^ ot_hash64(lab->byte, (size_t)lab->count);
    struct scene_record rec;
    struct ot_scene s = { 0 };
    struct ot_str buf = { 0 };
    int rc = 0;

    record_init(&rec);
    for (int i = 0; i < c->count && rc == 0; i++) {
        rc = ot_scene_draw(&s, seed, (uint64_t)i, c->size[0], c->size[1], im, lab, err);
        if (rc == 0)
            rc = put_scene(w, c->encode, &s, (uint64_t)i, &rec, &buf, err);
        if (rc == 0 && c->sheet)
            rc = sheet_add(sheet, &s, err);
        for (int k = 0; k < s.n_items; k++)
            tally->difficult += s.item[k].difficult;
        tally->boxes += s.n_items;
    }
    ot_scene_release(&s);
    ot_str_release(&buf);
    return rc;
}

static int make_set(const struct scenes_conf *c, const struct ot_idx *im, const struct ot_idx *lab,
                    struct ot_err *err)
{
    struct ot_sheet sheet = { 0 };
    struct tally tally = { 0 };
    struct ot_db_writer *w;
    int rc = 0;

    if (c->sheet && ot_sheet_open(&sheet, c->size[0], c->size[1], err) < 0)
        return err->code;
    w = ot_data_create(c->out, c->force, err);
    rc = w ? ot_data_finish(w, put_scenes(w, c, im, lab, &sheet, &tally, err), err) : err->code;
    if (rc == 0)
        rc = ot_data_write_classes(c->out, class_names, N_CLASSES, err);
    if (rc == 0 && c->sheet)
        rc = ot_image_write_png(&sheet.image, c->sheet, err);
    if (rc == 0)
        ot_out("%s: %d scenes of %dx%d, %d boxes, %d of them difficult\n", c->out, c->count,
               c->size[0], c->size[1], tally.boxes, tally.difficult);
    ot_sheet_release(&sheet);
    return rc;
}

int ot_data_scenes(int argc, char **argv, struct ot_err *err)
{
    struct scenes_conf c = { .encode = "png", .count = 1000, .size = { 160, 160 }, .seed = 1 };
    const struct ot_data_opt table[] = {
        { "--out", OT_OPT_TEXT, &c.out },       { "--images", OT_OPT_TEXT, &c.images },
        { "--labels", OT_OPT_TEXT, &c.labels }, { "--count", OT_OPT_INT, &c.count },
        { "--size", OT_OPT_SIZE, c.size },      { "--seed", OT_OPT_U64, &c.seed },
        { "--encode", OT_OPT_TEXT, &c.encode }, { "--sheet", OT_OPT_TEXT, &c.sheet },
        { "--force", OT_OPT_FLAG, &c.force },   { NULL, OT_OPT_FLAG, NULL },
    };
    struct ot_idx im = { 0 }, lab = { 0 };
    int rc;

    if (ot_data_options(table, argc, argv, NULL, 0, 0, err) < 0 || check_conf(&c, err) < 0 ||
        ot_idx_read_pair(c.images, c.labels, &im, &lab, err) < 0)
        return err->code;
    rc = check_products(&c, &im, &lab, err);
    if (rc == 0)
        rc = make_set(&c, &im, &lab, err);
    ot_idx_release(&im);
    ot_idx_release(&lab);
    return rc;
}
