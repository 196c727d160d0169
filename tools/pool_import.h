/*
 * pool_import.h - the state of one import, private to pool_import*.c.
 *
 * A reader of a format puts the objects of an image into `obj` (n begins at 0) and hands the image
 * over; what differs from the data set becomes a verdict.
 *
 * Ownership: the command owns all; readers borrow.  Threads: one.
 */
#ifndef OT_TOOLS_POOL_IMPORT_H
#define OT_TOOLS_POOL_IMPORT_H

#include "tools/pool_labels.h"
#include "tools/pool_say.h"

struct ot_found { /* an object as the file has it; fractions */
    int label;
    double x0, y0, x1, y1;
};

struct ot_import {
    struct ot_pdb d;
    struct ot_crops crops;
    struct ot_say say;
    struct ot_labels labels; /* of the image at work */
    struct ot_found *obj;
    size_t n, cap;
    const char *who, *file;
    bool deleted, dry;
    /* counts */
    int images, missing, same, relabelled, added, gone, passed;
};

int ot_import_object(struct ot_import *im, int label, double x0, double y0, double x1, double y1,
                     struct ot_err *err);
int ot_import_image(struct ot_import *im, const char *key, struct ot_err *err);

/* pool_import_files.c: whole files */
int ot_import_voc(struct ot_import *im, const char *path, struct ot_err *err);
int ot_import_voc_folder(struct ot_import *im, const char *folder, struct ot_err *err);
int ot_import_coco(struct ot_import *im, const char *text, struct ot_err *err);
bool ot_ends_with(const char *text, const char *end);

#endif
