/*
 * data_scene.h - one synthetic photograph: products on a structured background.
 *
 * A scene is a pure function of (seed, ordinal, products).  No function of the maths library is
 * used, so that the bytes are the same on every machine with IEEE arithmetic.
 *
 * Ownership: the caller owns the scene; its memory is reused from one scene to the next.
 */
#ifndef OT_TOOLS_DATA_SCENE_H
#define OT_TOOLS_DATA_SCENE_H

#include <stdbool.h>

#include "base/err.h"
#include "data/image.h"
#include "tools/data_idx.h"

enum { OT_SCENE_MAX_ITEMS = 8 };

struct ot_scene_item {
    int label;          /* 0..9, as in the IDX file */
    int x1, y1, x2, y2; /* inclusive pixels that hold all of its non-zero alpha */
    int area;           /* pixels mostly its own before others covered it */
    int visible;        /* of these, the ones that can still be seen */
    bool difficult;     /* visible < 35% of area */
};

struct ot_scene {
    struct ot_image image; /* 3 channels, BGR */
    struct ot_scene_item item[OT_SCENE_MAX_ITEMS];
    int n_items;
    signed char *owner; /* per pixel: the item on top, or -1 */
    size_t owner_cap;
};

int ot_scene_draw(struct ot_scene *s, uint64_t seed, uint64_t ordinal, int width, int height,
                  const struct ot_idx *products, const struct ot_idx *labels, struct ot_err *err);
void ot_scene_release(struct ot_scene *s);

#endif
