/* rows_i.h - what the layers that take rows by index have in common (rows.c). */
#ifndef OT_LAYERS_ROWS_I_H
#define OT_LAYERS_ROWS_I_H

#include "layers/layer.h"

/* Kept memory `ws` takes what check_rows says of the indices of bottom `in`. */
void ot_rows_check(struct ot_layer *l, int in, size_t limit, int ws);

/* After forward: an error that names bottom, place and value when one was outside [0, limit). */
int ot_rows_report(struct ot_layer *l, int in, size_t limit, int ws, struct ot_err *err);

/* Of scatter_rows. */
static inline size_t ot_rows_scratch(size_t n, size_t limit)
{
    return (n + limit) * sizeof(int32_t);
}

#endif
