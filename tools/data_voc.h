/*
 * data_voc.h - the state of one conversion of a Pascal VOC tree, private to data_voc*.c.
 *
 * Ownership: the job owns its arrays; names live in its arena.  Threads: one.
 */
#ifndef OT_TOOLS_DATA_VOC_H
#define OT_TOOLS_DATA_VOC_H

#include "base/arena.h"
#include "tools/data_cmd.h"

struct voc_id {
    const char *name;
    int line; /* in the list */
};

struct voc_box {
    int label;
    bool difficult;
    float edge[4]; /* x1, y1, x2, y2 in fractions of the image, half-open */
};

struct voc_count {
    int written, bad_images, empty, boxes, difficult, bad_objects, clipped;
};

struct voc_job {
    const char *root;
    char list[1024]; /* path of the image set */
    bool fatal, keep_empty;
    int min_size;
    struct voc_id *id;
    size_t n_ids, ordinal; /* ordinal: of the image at work */
    char **class_name;     /* class_name[label - 1] */
    size_t n_classes, class_cap;
    struct ot_db_writer *writer;
    struct ot_image image; /* decoded once, to know that it can be */
    struct voc_box *box;   /* of the image at work */
    size_t n_boxes, box_cap;
    struct ot_str packed;
    struct ot_arena arena;
    struct voc_count count;
};

/* Writes the image's bytes with the job's boxes as one AnnotatedDatum, a group per class as
 * SSD's convert_annoset. */
int ot_voc_put(struct voc_job *j, const char *key, const char *bytes, size_t n, struct ot_err *err);

#endif
