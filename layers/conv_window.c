/* conv_window.c - which axes a window slides over, how large it is and how often it fits. */
#include "layers/conv_window.h"

int ot_conv_axes(struct ot_layer *l, int *axis, int *spatial, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    const struct ot_shape *x = &l->in[0]->data.shape;
    char text[OT_SHAPE_TEXT];

    if (ot_layer_axis(l, p->axis, x->nd, axis, err))
        return ot_layer_blame(l, err, p, "axis");
    *spatial = x->nd - *axis - 1;
    if (*spatial > 2)
        return ot_layer_fail(l, err, p, "axis", OT_ENOTSUP,
                             "axis: %d-D is not supported, there must be 1 or 2 axes after the "
                             "channels, got input %s and channel axis %d",
                             *spatial, ot_shape_str(x, text), *axis);
    if (*spatial < 1)
        return ot_layer_fail(l, err, p, "axis", OT_ESHAPE,
                             "axis: there must be 1 or 2 axes after the channels, got input %s "
                             "and channel axis %d",
                             ot_shape_str(x, text), *axis);
    return 0;
}

/* One of kernel_size, stride, pad, dilation in its repeated form: axis i of `spatial`. */
static int repeated(struct ot_layer *l, const char *field, const uint32_t *v, size_t n, int i,
                    int spatial, int least, int unset, int *to, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    uint32_t value;

    if (n > 1 && n != (size_t)spatial)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG,
                             "%s: must be given once or once per axis (%d), got %zu", field,
                             spatial, n);
    if (n == 0) {
        *to = unset;
        return 0;
    }
    value = v[n == 1 ? 0 : i];
    if (value < (uint32_t)least || value > 32768)
        return ot_layer_fail(l, err, p, field, OT_ECONFIG, "%s: must be in [%d, 32768], got %u",
                             field, least, value);
    *to = (int)value;
    return 0;
}

/* The _h and _w forms replace the repeated one and must come together. */
static int pair(struct ot_layer *l, const char *field, bool has_h, bool has_w, uint32_t h,
                uint32_t w, size_t n_repeated, int least, int *to_h, int *to_w, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;

    if (!has_h && !has_w)
        return 0;
    if (n_repeated || (least > 0 && (!has_h || !has_w)))
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG,
                             "%s: give it alone, or both its _h and _w form, got h %u and w %u",
                             field, h, w);
    if (h < (uint32_t)least || w < (uint32_t)least || h > 32768 || w > 32768)
        return ot_layer_fail(l, err, p, NULL, OT_ECONFIG,
                             "%s: must be in [%d, 32768], got h %u and w %u", field, least, h, w);
    *to_h = (int)h;
    *to_w = (int)w;
    return 0;
}

int ot_conv_window(struct ot_layer *l, int spatial, struct ot_conv_geom *g, struct ot_err *err)
{
    const Caffe__ConvolutionParameter *p = l->conf->convolution_param;
    /* 1-D: one row high */
    int *const k[] = { &g->kh, &g->kw }, *const st[] = { &g->sh, &g->sw };
    int *const pa[] = { &g->ph, &g->pw }, *const di[] = { &g->dh, &g->dw };

    g->kh = g->sh = g->dh = 1;
    g->ph = 0;
    for (int i = 0; i < spatial; i++) {
        int a = 2 - spatial + i;

        if (repeated(l, "kernel_size", p->kernel_size, p->n_kernel_size, i, spatial, 1, 0, k[a],
                     err) ||
            repeated(l, "stride", p->stride, p->n_stride, i, spatial, 1, 1, st[a], err) ||
            repeated(l, "pad", p->pad, p->n_pad, i, spatial, 0, 0, pa[a], err) ||
            repeated(l, "dilation", p->dilation, p->n_dilation, i, spatial, 1, 1, di[a], err))
            return err->code;
    }
    if (pair(l, "kernel_size", p->has_kernel_h, p->has_kernel_w, p->kernel_h, p->kernel_w,
             p->n_kernel_size, 1, &g->kh, &g->kw, err) ||
        pair(l, "stride", p->has_stride_h, p->has_stride_w, p->stride_h, p->stride_w, p->n_stride,
             1, &g->sh, &g->sw, err) ||
        pair(l, "pad", p->has_pad_h, p->has_pad_w, p->pad_h, p->pad_w, p->n_pad, 0, &g->ph, &g->pw,
             err))
        return err->code;
    if (g->kw == 0)
        return ot_layer_fail(l, err, p, "kernel_size", OT_ECONFIG,
                             "kernel_size: must be given, got none");
    return 0;
}

void ot_conv_input(const struct ot_shape *x, int axis, struct ot_conv_geom *g)
{
    g->n = (int)ot_count_range(x, 0, axis);
    g->c = x->dim[axis];
    g->h = x->nd - axis == 3 ? x->dim[axis + 1] : 1;
    g->w = x->dim[x->nd - 1];
}

void ot_conv_output(const struct ot_conv_geom *g, int axis, int channels, struct ot_shape *y)
{
    y->dim[axis] = channels;
    y->dim[y->nd - 1] = g->ow;
    if (y->nd - axis == 3)
        y->dim[axis + 1] = g->oh;
}

int ot_conv_slide(struct ot_layer *l, struct ot_conv_geom *g, struct ot_err *err)
{
    int room_h = g->h + 2 * g->ph - ((g->kh - 1) * g->dh + 1);
    int room_w = g->w + 2 * g->pw - ((g->kw - 1) * g->dw + 1);

    if (room_h < 0 || room_w < 0)
        return ot_layer_fail(l, err, l->conf->convolution_param, "kernel_size", OT_ESHAPE,
                             "kernel_size: a kernel of %dx%d with dilation %dx%d does not fit an "
                             "input of %dx%d with padding %dx%d",
                             g->kh, g->kw, g->dh, g->dw, g->h, g->w, g->ph, g->pw);
    g->oh = room_h / g->sh + 1;
    g->ow = room_w / g->sw + 1;
    return 0;
}
