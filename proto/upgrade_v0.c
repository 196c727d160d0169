/*
 * upgrade_v0.c - layers of 2013: every parameter of every type in one V0LayerParameter.  Decides
 * where each of them belongs today; what belongs nowhere is refused (Caffe logs it and drops it).
 */
#include <string.h>

#include "proto/text.h"
#include "proto/upgrade_i.h"

#define V1(type) CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__##type

static const struct {
    const char *name;
    Caffe__V1LayerParameter__LayerType type;
} types[] = {
    { "accuracy", V1(ACCURACY) },
    { "bnll", V1(BNLL) },
    { "concat", V1(CONCAT) },
    { "conv", V1(CONVOLUTION) },
    { "data", V1(DATA) },
    { "dropout", V1(DROPOUT) },
    { "euclidean_loss", V1(EUCLIDEAN_LOSS) },
    { "flatten", V1(FLATTEN) },
    { "hdf5_data", V1(HDF5_DATA) },
    { "hdf5_output", V1(HDF5_OUTPUT) },
    { "im2col", V1(IM2COL) },
    { "images", V1(IMAGE_DATA) },
    { "infogain_loss", V1(INFOGAIN_LOSS) },
    { "innerproduct", V1(INNER_PRODUCT) },
    { "lrn", V1(LRN) },
    { "multinomial_logistic_loss", V1(MULTINOMIAL_LOGISTIC_LOSS) },
    { "pool", V1(POOLING) },
    { "relu", V1(RELU) },
    { "sigmoid", V1(SIGMOID) },
    { "softmax", V1(SOFTMAX) },
    { "softmax_loss", V1(SOFTMAX_LOSS) },
    { "split", V1(SPLIT) },
    { "tanh", V1(TANH) },
    { "window_data", V1(WINDOW_DATA) },
};

/* A field of V0LayerParameter in a layer of `type` (NULL: of any type) goes to `to`, in message
 * `param` (NULL: the layer itself). */
static const struct rule {
    const char *field, *type, *param, *to;
} rules[] = {
    { "name", NULL, NULL, "name" },
    { "blobs", NULL, NULL, "blobs" },
    { "blobs_lr", NULL, NULL, "blobs_lr" },
    { "weight_decay", NULL, NULL, "weight_decay" },
    { "num_output", "conv", "convolution_param", "num_output" },
    { "num_output", "innerproduct", "inner_product_param", "num_output" },
    { "biasterm", "conv", "convolution_param", "bias_term" },
    { "biasterm", "innerproduct", "inner_product_param", "bias_term" },
    { "weight_filler", "conv", "convolution_param", "weight_filler" },
    { "weight_filler", "innerproduct", "inner_product_param", "weight_filler" },
    { "bias_filler", "conv", "convolution_param", "bias_filler" },
    { "bias_filler", "innerproduct", "inner_product_param", "bias_filler" },
    { "pad", "conv", "convolution_param", "pad" },
    { "pad", "pool", "pooling_param", "pad" },
    { "kernelsize", "conv", "convolution_param", "kernel_size" },
    { "kernelsize", "pool", "pooling_param", "kernel_size" },
    { "group", "conv", "convolution_param", "group" },
    { "stride", "conv", "convolution_param", "stride" },
    { "stride", "pool", "pooling_param", "stride" },
    { "pool", "pool", "pooling_param", "pool" },
    { "dropout_ratio", "dropout", "dropout_param", "dropout_ratio" },
    { "local_size", "lrn", "lrn_param", "local_size" },
    { "alpha", "lrn", "lrn_param", "alpha" },
    { "beta", "lrn", "lrn_param", "beta" },
    { "k", "lrn", "lrn_param", "k" },
    { "source", "data", "data_param", "source" },
    { "source", "hdf5_data", "hdf5_data_param", "source" },
    { "source", "images", "image_data_param", "source" },
    { "source", "window_data", "window_data_param", "source" },
    { "source", "infogain_loss", "infogain_loss_param", "source" },
    { "scale", NULL, "transform_param", "scale" },
    { "meanfile", NULL, "transform_param", "mean_file" },
    { "cropsize", NULL, "transform_param", "crop_size" },
    { "mirror", NULL, "transform_param", "mirror" },
    { "batchsize", "data", "data_param", "batch_size" },
    { "batchsize", "hdf5_data", "hdf5_data_param", "batch_size" },
    { "batchsize", "images", "image_data_param", "batch_size" },
    { "batchsize", "window_data", "window_data_param", "batch_size" },
    { "rand_skip", "data", "data_param", "rand_skip" },
    { "rand_skip", "images", "image_data_param", "rand_skip" },
    { "shuffle_images", "images", "image_data_param", "shuffle" },
    { "new_height", "images", "image_data_param", "new_height" },
    { "new_width", "images", "image_data_param", "new_width" },
    { "concat_dim", "concat", "concat_param", "concat_dim" },
    { "det_fg_threshold", "window_data", "window_data_param", "fg_threshold" },
    { "det_bg_threshold", "window_data", "window_data_param", "bg_threshold" },
    { "det_fg_fraction", "window_data", "window_data_param", "fg_fraction" },
    { "det_context_pad", "window_data", "window_data_param", "context_pad" },
    { "det_crop_mode", "window_data", "window_data_param", "crop_mode" },
    { "hdf5_output_param", "hdf5_output", NULL, "hdf5_output_param" },
};

static const struct rule *find_rule(const char *field, const char *type)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].field, field) && (!rules[i].type || !strcmp(rules[i].type, type)))
            return &rules[i];
    return NULL;
}

static int move_one(struct ot_doc *doc, Caffe__V1LayerParameter *l, Caffe__V0LayerParameter *v0,
                    const ProtobufCFieldDescriptor *f, struct ot_err *err)
{
    const struct rule *r = find_rule(f->name, v0->type);
    struct ot_loc loc = ot_doc_loc(doc, v0, f->name);
    ProtobufCMessage *to = &l->base;

    if (!r)
        return ot_fail_at(err, loc, OT_ECONFIG, "a layer of type \"%s\" has no %s", v0->type,
                          f->name);
    if (r->param)
        to = ot_upgrade_message(doc, to, r->param, loc, err);
    return to ? ot_field_move(doc, &v0->base, f, to, ot_field_named(to, r->to), err) : err->code;
}

static int upgrade_layer(struct ot_doc *doc, Caffe__V1LayerParameter *l, struct ot_err *err)
{
    Caffe__V0LayerParameter *v0 = l->layer;
    union ot_value type = { .e = V1(NONE) };

    if (!v0->type)
        return ot_fail_at(err, ot_doc_loc(doc, v0, NULL), OT_ECONFIG, "the type is missing");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, v0->type))
            type.e = (int)types[i].type;
    if (type.e == V1(NONE))
        return ot_fail_at(err, ot_doc_loc(doc, v0, "type"), OT_ECONFIG,
                          "unknown type of a V0 layer, got \"%s\"", v0->type);
    if (ot_field_add(doc, &l->base, ot_field_named(&l->base, "type"), &type,
                     ot_doc_loc(doc, v0, "type"), err) < 0)
        return err->code;
    for (unsigned i = 0; i < v0->base.descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &v0->base.descriptor->fields[i];

        if (ot_field_count(&v0->base, f) && strcmp(f->name, "type") != 0 &&
            move_one(doc, l, v0, f, err) < 0)
            return err->code;
    }
    ot_field_clear(doc, &l->base, ot_field_named(&l->base, "layer"));
    return 0;
}

/* A V0 layer says everything inside `layer` but its blobs; Caffe drops what else is there. */
static int check_beside(const struct ot_doc *doc, const Caffe__V1LayerParameter *l,
                        struct ot_err *err)
{
    for (unsigned i = 0; i < l->base.descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &l->base.descriptor->fields[i];

        if (ot_field_count(&l->base, f) && strcmp(f->name, "layer") != 0 &&
            strcmp(f->name, "bottom") != 0 && strcmp(f->name, "top") != 0)
            return ot_fail_at(err, ot_doc_loc(doc, l, f->name), OT_ECONFIG,
                              "a V0 layer has only bottom and top beside its `layer`, got %s",
                              f->name);
    }
    return 0;
}

static bool is_type(const Caffe__V1LayerParameter *l, const char *type)
{
    return l->layer && l->layer->type && !strcmp(l->layer->type, type);
}

/* The layer before `end` that made the newest blob of that name, or NULL. */
static const Caffe__V1LayerParameter *producer(const Caffe__NetParameter *net, size_t end,
                                               const char *blob)
{
    while (end-- > 0)
        for (size_t t = 0; t < net->layers[end]->n_top; t++)
            if (!strcmp(net->layers[end]->top[t], blob))
                return net->layers[end];
    return NULL;
}

/* `pad` and the bottom of the padding layer `from` go to its reader `l`. */
static int merge(struct ot_doc *doc, Caffe__V1LayerParameter *l,
                 const Caffe__V1LayerParameter *from, struct ot_err *err)
{
    const union ot_value pad = { .u32 = from->layer->pad }, bottom = { .str = from->bottom[0] };
    ProtobufCMessage *v0 = &l->layer->base;
    const ProtobufCFieldDescriptor *f = ot_field_named(&l->base, "bottom");

    if (ot_field_add(doc, v0, ot_field_named(v0, "pad"), &pad, ot_doc_loc(doc, from->layer, "pad"),
                     err) < 0 ||
        ot_doc_mark(doc, &l->base, f, 0, ot_doc_loc(doc, from, "bottom"), err) < 0)
        return err->code;
    return ot_field_put(doc, &l->base, f, 0, &bottom, err);
}

static int merge_padding(struct ot_doc *doc, const Caffe__NetParameter *net, size_t i,
                         struct ot_err *err)
{
    Caffe__V1LayerParameter *l = net->layers[i];

    for (size_t b = 0; b < l->n_bottom; b++) {
        const Caffe__V1LayerParameter *from = producer(net, i, l->bottom[b]);
        struct ot_loc loc = ot_doc_loc_at(doc, l, "bottom", b);

        if (!from || !is_type(from, "padding"))
            continue;
        if (!is_type(l, "conv") && !is_type(l, "pool"))
            return ot_fail_at(err, loc, OT_ECONFIG,
                              "only \"conv\" and \"pool\" can read a padding layer, got \"%s\"",
                              l->layer && l->layer->type ? l->layer->type : "");
        if (l->n_bottom != 1 || from->n_bottom != 1 || from->n_top != 1)
            return ot_fail_at(err, loc, OT_ECONFIG,
                              "a padding layer and its reader must have one bottom and one top, "
                              "got %zu and %zu, and %zu bottoms of the reader",
                              from->n_bottom, from->n_top, l->n_bottom);
        if (merge(doc, l, from, err) < 0)
            return err->code;
    }
    return 0;
}

static int upgrade_padding(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    size_t kept = 0, npad = 0;

    for (size_t i = 0; i < net->n_layers; i++)
        npad += is_type(net->layers[i], "padding");
    for (size_t i = 0; npad && i < net->n_layers; i++)
        if (merge_padding(doc, net, i, err) < 0) {
            const Caffe__V0LayerParameter *v0 = net->layers[i]->layer;

            return ot_err_wrap(err, "layer '%s'", v0 && v0->name ? v0->name : "");
        }
    for (size_t i = 0; i < net->n_layers; i++)
        if (!is_type(net->layers[i], "padding"))
            net->layers[kept++] = net->layers[i];
    net->n_layers = kept;
    return 0;
}

int ot_upgrade_v0(struct ot_doc *doc, Caffe__NetParameter *net, struct ot_err *err)
{
    for (size_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->layer && check_beside(doc, net->layers[i], err) < 0)
            return err->code;
    if (upgrade_padding(doc, net, err) < 0)
        return err->code;
    for (size_t i = 0; i < net->n_layers; i++) {
        Caffe__V1LayerParameter *l = net->layers[i];
        const char *name = l->layer ? l->layer->name : NULL;

        if (l->layer && upgrade_layer(doc, l, err) < 0)
            return ot_err_wrap(err, "layer '%s'", name ? name : "");
    }
    return 0;
}
