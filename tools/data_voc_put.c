/*
 * data_voc_put.c - one AnnotatedDatum of a VOC image.
 *
 * Boxes are grouped by class in order of the class's first box; the instance number counts within
 * the class (SSD's ReadXMLToAnnotatedDatum).  All messages of one record live in one arena.
 */
#include "tools/data_voc.h"

struct record {
    Caffe__AnnotatedDatum ann;
    Caffe__Datum datum;
};

static Caffe__AnnotationGroup *group_of(Caffe__AnnotatedDatum *ann, int label, size_t room,
                                        struct ot_arena *a, struct ot_err *err)
{
    Caffe__AnnotationGroup *g;

    for (size_t i = 0; i < ann->n_annotation_group; i++)
        if (ann->annotation_group[i]->group_label == label)
            return ann->annotation_group[i];
    g = ot_arena_alloc(a, 1, sizeof *g, err);
    if (!g)
        return NULL;
    caffe__annotation_group__init(g);
    g->has_group_label = 1;
    g->group_label = label;
    g->annotation = ot_arena_alloc(a, room, sizeof(void *), err);
    if (!g->annotation)
        return NULL;
    ann->annotation_group[ann->n_annotation_group++] = g;
    return g;
}

static int add_annotation(struct record *r, const struct voc_box *b, size_t room,
                          struct ot_arena *a, struct ot_err *err)
{
    Caffe__AnnotationGroup *g = group_of(&r->ann, b->label, room, a, err);
    Caffe__Annotation *note = g ? ot_arena_alloc(a, 1, sizeof *note, err) : NULL;
    Caffe__NormalizedBBox *box = note ? ot_arena_alloc(a, 1, sizeof *box, err) : NULL;

    if (!box)
        return err->code;
    caffe__annotation__init(note);
    caffe__normalized_bbox__init(box);
    box->has_xmin = box->has_ymin = box->has_xmax = box->has_ymax = box->has_difficult = 1;
    box->xmin = b->edge[0];
    box->ymin = b->edge[1];
    box->xmax = b->edge[2];
    box->ymax = b->edge[3];
    box->difficult = b->difficult;
    note->bbox = box;
    note->has_instance_id = 1;
    note->instance_id = (int32_t)g->n_annotation;
    g->annotation[g->n_annotation++] = note;
    return 0;
}

int ot_voc_put(struct voc_job *j, const char *key, const char *bytes, size_t n, struct ot_err *err)
{
    struct ot_arena a = { 0 };
    struct record r;
    int rc = 0;

    caffe__annotated_datum__init(&r.ann);
    caffe__datum__init(&r.datum);
    r.ann.datum = &r.datum;
    r.ann.has_type = 1;
    r.ann.type = CAFFE__ANNOTATED_DATUM__ANNOTATION_TYPE__BBOX;
    r.ann.annotation_group = ot_arena_alloc(&a, j->n_boxes + 1, sizeof(void *), err);
    if (!r.ann.annotation_group)
        rc = err->code;
    r.datum.has_channels = r.datum.has_height = r.datum.has_width = r.datum.has_data = 1;
    r.datum.channels = j->image.channels;
    r.datum.height = j->image.height;
    r.datum.width = j->image.width;
    r.datum.data = (ProtobufCBinaryData){ n, (uint8_t *)(uintptr_t)bytes };
    r.datum.has_encoded = 1;
    r.datum.encoded = 1;
    for (size_t i = 0; i < j->n_boxes && rc == 0; i++)
        rc = add_annotation(&r, &j->box[i], j->n_boxes, &a, err);
    if (rc == 0)
        rc = ot_data_put(j->writer, key, &r.ann.base, &j->packed, err);
    ot_arena_release(&a);
    return rc;
}
