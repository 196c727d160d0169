/*
 * data_xml.h - one Pascal VOC annotation file, with the line of everything in it.
 *
 * What is read: annotation/size/{width,height}, annotation/object/{name,difficult} and
 * annotation/object/bndbox/{xmin,ymin,xmax,ymax}; the rest is passed over.
 *
 * Ownership: objects and their names belong to the annotation; release it.
 * Errors: OT_ENOINPUT, OT_EDATA with file and line for text that is not XML or has no
 *         annotation.  Faults of single objects are left to the caller, who has their lines.
 */
#ifndef OT_TOOLS_DATA_XML_H
#define OT_TOOLS_DATA_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum ot_voc_side { OT_VOC_XMIN, OT_VOC_YMIN, OT_VOC_XMAX, OT_VOC_YMAX, OT_VOC_SIDES };

struct ot_voc_object {
    const char *name;              /* NULL: missing */
    int line, name_line, box_line; /* box_line 0: no bndbox */
    bool has[OT_VOC_SIDES];
    double side[OT_VOC_SIDES]; /* as written: 1-based, inclusive */
    bool difficult;
    const char *bad; /* a value that is not a number, or NULL */
    int bad_line;
};

struct ot_voc {
    bool has_size;
    int size_line;
    double width, height; /* as declared; NaN when not a number */
    struct ot_voc_object *object;
    size_t n, cap;
    struct ot_arena arena; /* names */
};

int ot_voc_read(const char *path, struct ot_voc *v, struct ot_err *err);
void ot_voc_release(struct ot_voc *v);

#endif
