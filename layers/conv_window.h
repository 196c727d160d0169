/*
 * conv_window.h - what the layers of convolution_param have in common: Convolution, Deconvolution
 * and Im2col read the same fields into a struct ot_conv_geom.
 *
 * The axes before `axis` (channels) count as items, the 1 or 2 after it are height and width; one
 * alone is the width of a single row.  Out of 32768, or an input that does not fit, is an error
 * that names the field.
 */
#ifndef OT_LAYERS_CONV_WINDOW_H
#define OT_LAYERS_CONV_WINDOW_H

#include "layers/layer.h"

/* Checks convolution_param.axis against in[0]. */
int ot_conv_axes(struct ot_layer *l, int *axis, int *spatial, struct ot_err *err);

/* kernel_size, stride, pad and dilation; once, per axis, or (not dilation) as _h and _w */
int ot_conv_window(struct ot_layer *l, int spatial, struct ot_conv_geom *g, struct ot_err *err);

/* n, c, h, w from x. */
void ot_conv_input(const struct ot_shape *x, int axis, struct ot_conv_geom *g);

/* Into y, a copy of the input's shape: the channels, oh, ow. */
void ot_conv_output(const struct ot_conv_geom *g, int axis, int channels, struct ot_shape *y);

/* oh, ow: floor((size + 2 pad - ((kernel - 1) dilation + 1)) / stride) + 1 */
int ot_conv_slide(struct ot_layer *l, struct ot_conv_geom *g, struct ot_err *err);

#endif
