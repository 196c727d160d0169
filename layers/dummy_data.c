/*
 * dummy_data.c - DummyData: blobs from fillers; constants once, other fillers with new values every
 * iteration: a pure function of seed, iteration, layer, top and index.
 *
 * Memory is shared along the net, so a constant is written again every time; its value is what
 * stays.
 */
#include <string.h>

#include "base/mem.h"
#include "layers/layer.h"

struct dummy_data {
    struct ot_shape shape[OT_MAX_IO];
    const Caffe__FillerParameter *filler[OT_MAX_IO]; /* NULL: zeros */
    float *host;                                     /* owned; of the largest random top */
};

static bool is_constant(const Caffe__FillerParameter *f)
{
    return !f || !strcmp(f->type, "constant");
}

static int check_times(const struct ot_layer *l, const char *field, size_t n, bool may_lack,
                       struct ot_err *err)
{
    if (n == 1 || n == (size_t)l->nout || (n == 0 && may_lack))
        return 0;
    return ot_layer_fail(l, err, l->conf->dummy_data_param, field, OT_ECONFIG,
                         "%s: must be given once or once per top (%d), got %zu", field, l->nout, n);
}

static unsigned pick(const uint32_t *v, size_t n, int top)
{
    return v[n == 1 ? 0 : top];
}

/* num, channels, height and width: the way before `shape` */
static int legacy_shape(const struct ot_layer *l, int top, struct ot_shape *shape,
                        struct ot_err *err)
{
    const Caffe__DummyDataParameter *p = l->conf->dummy_data_param;
    int64_t dim[4] = { pick(p->num, p->n_num, top), pick(p->channels, p->n_channels, top),
                       pick(p->height, p->n_height, top), pick(p->width, p->n_width, top) };
    Caffe__BlobShape s = CAFFE__BLOB_SHAPE__INIT;

    s.n_dim = 4;
    s.dim = dim;
    if (ot_layer_shape(l, &s, shape, err))
        return ot_layer_blame(l, err, p, "num");
    return 0;
}

static int shapes(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__DummyDataParameter *p = l->conf->dummy_data_param;
    struct dummy_data *s = l->state;
    bool legacy = p->n_num || p->n_channels || p->n_height || p->n_width;

    if (legacy && p->n_shape)
        return ot_layer_fail(l, err, p, "shape", OT_ECONFIG,
                             "shape: give shape, or num, channels, height and width; got both");
    if (legacy && (check_times(l, "num", p->n_num, false, err) ||
                   check_times(l, "channels", p->n_channels, false, err) ||
                   check_times(l, "height", p->n_height, false, err) ||
                   check_times(l, "width", p->n_width, false, err)))
        return err->code;
    if (!legacy && check_times(l, "shape", p->n_shape, false, err))
        return err->code;
    for (int i = 0; i < l->nout; i++)
        if (legacy ? legacy_shape(l, i, &s->shape[i], err)
                   : ot_layer_shape(l, p->shape[p->n_shape == 1 ? 0 : i], &s->shape[i], err))
            return err->code;
    return 0;
}

static int fill_host(const struct ot_layer *l, int top, struct ot_err *err)
{
    const struct dummy_data *s = l->state;
    uint64_t stream = l->stream | (uint64_t)top << 24 | l->env->iter << 32;

    return ot_fill(s->filler[top], &s->shape[top], l->env->seed, stream, s->host, err);
}

static int dummy_data_setup(struct ot_layer *l, struct ot_err *err)
{
    const Caffe__DummyDataParameter *p = l->conf->dummy_data_param;
    struct dummy_data *s = l->state;
    size_t most = 0;

    if (!p)
        return ot_layer_fail(l, err, l->conf, NULL, OT_ECONFIG, "dummy_data_param is missing");
    if (shapes(l, err) || check_times(l, "data_filler", p->n_data_filler, true, err))
        return err->code;
    for (int i = 0; i < l->nout; i++) {
        size_t n = ot_count(&s->shape[i]);

        if (p->n_data_filler)
            s->filler[i] = p->data_filler[p->n_data_filler == 1 ? 0 : i];
        if (!is_constant(s->filler[i]) && n > most)
            most = n;
    }
    s->host = ot_alloc(most + 1, sizeof *s->host, err);
    if (!s->host)
        return err->code;
    for (int i = 0; i < l->nout; i++) /* what a filler refuses is said now */
        if (!is_constant(s->filler[i]) && fill_host(l, i, err))
            return ot_layer_blame(l, err, s->filler[i], NULL);
    return 0;
}

static int dummy_data_reshape(struct ot_layer *l, struct ot_err *err)
{
    const struct dummy_data *s = l->state;

    (void)err;
    for (int i = 0; i < l->nout; i++)
        l->out[i]->data.shape = s->shape[i];
    return 0;
}

static void dummy_data_forward(struct ot_layer *l)
{
    const struct dummy_data *s = l->state;
    struct ot_err err = OT_ERR_INIT;

    for (int i = 0; i < l->nout; i++) {
        const Caffe__FillerParameter *f = s->filler[i];
        struct ot_tensor *y = &l->out[i]->data;

        if (is_constant(f))
            l->dev->k->fill(l->dev, OT_F32, y->elems, f ? f->value : 0.0f, y->data);
        else if (fill_host(l, i, &err) == 0)
            l->dev->ops->upload(l->dev, y->data, s->host, y->elems * sizeof *y->data);
    }
}

static void dummy_data_release(struct ot_layer *l)
{
    struct dummy_data *s = l->state;

    ot_free(s->host);
}

const struct ot_layer_ops ot_layer_dummy_data = {
    .type = "DummyData",
    .doc = "blobs of constants or random numbers",
    .state_size = sizeof(struct dummy_data),
    .min_out = 1,
    .max_out = OT_MAX_IO,
    .flags = OT_LAYER_DATA | OT_LAYER_NO_BACKWARD,
    .setup = dummy_data_setup,
    .reshape = dummy_data_reshape,
    .forward = dummy_data_forward,
    .release = dummy_data_release,
};
